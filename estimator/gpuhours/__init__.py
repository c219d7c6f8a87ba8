"""gpuhours: what a training run costs, and how that is known.

``gpuhours.estimate(gpuhours.load("run.yaml"))`` is what ``gpuhours estimate run.yaml`` prints; every command has its function
here. Nothing is imported before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpuhours.claims import check as check
    from gpuhours.comparing import compare as compare
    from gpuhours.documents import reproduce as reproduce
    from gpuhours.errors import Contradiction as Contradiction
    from gpuhours.errors import EstimateError as EstimateError
    from gpuhours.estimates import Estimate as Estimate
    from gpuhours.estimating import estimate as estimate
    from gpuhours.hardware import load_accelerator as load_accelerator
    from gpuhours.hardware import load_node as load_node
    from gpuhours.planning import plan as plan
    from gpuhours.run import Run as Run
    from gpuhours.run import from_dict as from_dict
    from gpuhours.run import load as load
    from gpuhours.sweeping import sweep as sweep
    from gpuhours.validation import validate as validate

_HOMES = {
    "Contradiction": "errors",
    "Estimate": "estimates",
    "EstimateError": "errors",
    "Run": "run",
    "check": "claims",
    "compare": "comparing",
    "estimate": "estimating",
    "from_dict": "run",
    "load": "run",
    "load_accelerator": "hardware",
    "load_node": "hardware",
    "plan": "planning",
    "reproduce": "documents",
    "sweep": "sweeping",
    "validate": "validation",
}
__all__ = sorted(_HOMES)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'gpuhours' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"gpuhours.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
