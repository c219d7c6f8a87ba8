"""The best layout of a run: fastest, cheapest or fewest GPU-hours, of all that fit."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpuhours.questions.planning.answer import Plan as Plan
    from gpuhours.questions.planning.search import plan as plan

__all__ = ["Plan", "plan"]


def __getattr__(name: str) -> Any:
    """``plan`` on first use: an estimate needs only ``planning.default``."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"gpuhours.questions.planning.{'answer' if name == 'Plan' else 'search'}"), name)
