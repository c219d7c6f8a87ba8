"""A measured step beside the predicted one: which part of it would have to be how much slower, and which other reading explains it."""

from __future__ import annotations

from typing import Any

from gpuhours.inputs.records import dataclass

ALL_ALIKE = 10.0
"""Factor beyond which no part is slower than predicted by itself: something else is wrong."""


@dataclass(frozen=True)
class PartResidual:
    """One part of the step."""

    name: str
    seconds: float
    """Predicted."""
    factor: float | None
    """By what it would have to be multiplied, all else right; None where no factor does."""

    @property
    def plausible(self) -> bool:
        """Whether it may be this part alone."""
        return self.factor is not None and 1 / ALL_ALIKE <= self.factor <= ALL_ALIKE


@dataclass(frozen=True)
class Hypothesis:
    """Another reading of the run."""

    what: str
    """``software fsdp-eager``, ``network efa``, ``recompute full``."""
    set: str
    """How to say it: ``--software fsdp-eager``."""
    seconds: float
    """What the step is predicted to take then."""
    odds: float
    """How much likelier than the run as it is described, prior included."""


@dataclass(frozen=True)
class Explanation:
    """A measured step beside the predicted one."""

    given: str
    """``step_time = 1.42 s``, or the log."""
    measured: float
    """s"""
    predicted: float
    low: float
    """s, the 80 % range."""
    high: float
    parts: tuple[PartResidual, ...]
    hypotheses: tuple[Hypothesis, ...]
    remarks: tuple[str, ...] = ()

    @property
    def residual(self) -> float:
        """s, measured - predicted."""
        return self.measured - self.predicted

    @property
    def inside(self) -> bool:
        """Whether it lies in the range."""
        return self.low <= self.measured <= self.high

    def to_dict(self) -> dict[str, Any]:
        """The JSON object."""
        return {
            "given": self.given, "measured": self.measured, "predicted": self.predicted, "low": self.low, "high": self.high,
            "unit": "second", "residual": self.residual, "inside": self.inside,
            "parts": [{"part": one.name, "seconds": one.seconds, "factor": one.factor} for one in self.parts],
            "hypotheses": [
                {"what": one.what, "set": one.set, "seconds": one.seconds, "odds": min(one.odds, 1e6)} for one in self.hypotheses
            ],
            "remarks": list(self.remarks),
        }  # fmt: skip
