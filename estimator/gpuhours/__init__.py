"""gpuhours: what a training run costs, and how that was determined.

``gpuhours.estimate("run.yaml")`` does what ``gpuhours estimate run.yaml`` prints; every command has its function here. Nothing is
imported before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gpuhours.inputs.version import __version__ as __version__

if TYPE_CHECKING:
    from gpuhours.hardware.accelerators import load_accelerator as load_accelerator
    from gpuhours.hardware.nodes import load_node as load_node
    from gpuhours.inputs.errors import Contradiction as Contradiction
    from gpuhours.inputs.errors import EstimateError as EstimateError
    from gpuhours.questions.checking import check as check
    from gpuhours.questions.comparing import compare as compare
    from gpuhours.questions.estimating.asking import estimate as estimate
    from gpuhours.questions.estimating.estimates import Estimate as Estimate
    from gpuhours.questions.planning import plan as plan
    from gpuhours.questions.reporting.report import report as report
    from gpuhours.questions.reporting.trace import trace as trace
    from gpuhours.questions.reproducing import reproduce as reproduce
    from gpuhours.questions.sweeping import sweep as sweep
    from gpuhours.questions.validating import validate as validate
    from gpuhours.run.spec import Run as Run
    from gpuhours.run.spec import from_dict as from_dict
    from gpuhours.run.spec import load as load

_HOMES = {
    "Contradiction": "inputs.errors",
    "Estimate": "questions.estimating.estimates",
    "EstimateError": "inputs.errors",
    "Run": "run.spec",
    "check": "questions.checking",
    "compare": "questions.comparing",
    "estimate": "questions.estimating.asking",
    "from_dict": "run.spec",
    "load": "run.spec",
    "load_accelerator": "hardware.accelerators",
    "load_node": "hardware.nodes",
    "plan": "questions.planning",
    "report": "questions.reporting.report",
    "reproduce": "questions.reproducing",
    "sweep": "questions.sweeping",
    "trace": "questions.reporting.trace",
    "validate": "questions.validating",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'gpuhours' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"gpuhours.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
