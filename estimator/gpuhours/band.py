"""How far predictions of a kind have been off: the 80 % range that validation earned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpuhours.evaluate import Outcome


@dataclass(frozen=True)
class Band:
    """Factors on a predicted step time: 10th and 90th percentile, learned on runs of the same kind."""

    low: float
    high: float
    kind: str
    runs: int
    median_error: float
    warnings: tuple[str, ...] = ()


def band(outcome: Outcome) -> Band | None:
    """The band of a run's kind; None until validation has earned one."""
    return None
