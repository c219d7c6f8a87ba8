"""A measured step compared with the predicted one: the factor that each part would need, and alternative readings that explain it."""

from __future__ import annotations

from typing import Any

from gpuhours.inputs.records import dataclass

ALL_ALIKE = 10.0
"""Factor beyond which a single part is not a plausible cause."""


@dataclass(frozen=True)
class PartResidual:
    """One part of the step."""

    name: str
    seconds: float
    """Predicted."""
    factor: float | None
    """The factor on this part that would explain the step if all other parts were right; None if none does."""

    @property
    def plausible(self) -> bool:
        """Whether this part alone may explain the step: the factor is at most ``ALL_ALIKE`` in either direction."""
        return self.factor is not None and 1 / ALL_ALIKE <= self.factor <= ALL_ALIKE


@dataclass(frozen=True)
class Hypothesis:
    """An alternative reading of the run."""

    what: str
    """``software fsdp-eager``, ``network efa``, ``recompute full``."""
    set: str
    """The option that sets it: ``--software fsdp-eager``."""
    seconds: float
    """The step predicted with it."""
    odds: float
    """Likelihood relative to the run as described, prior included."""


@dataclass(frozen=True)
class Explanation:
    """A measured step against the predicted one."""

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
        """Whether the measured step is within the 80 % range."""
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
