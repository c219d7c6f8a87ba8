"""How much one accelerator holds: weights, gradients, optimiser, activations, buffers.

``memory`` and what goes with it are imported on first use: software profiles need only ``facts``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpuhours.memory.advice import Way, longest_sequence, ways_to_fit
    from gpuhours.memory.peak import Memory, memory

__all__ = ["Memory", "Way", "longest_sequence", "memory", "ways_to_fit"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "peak" if name in ("Memory", "memory") else "advice"
    return getattr(import_module(f"gpuhours.memory.{module}"), name)
