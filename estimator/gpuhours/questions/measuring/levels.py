"""How far a profile was off, and is: one factor for a kind of kernel, before and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuhours.inputs.arrays import Array
from gpuhours.inputs.records import dataclass

LEVELS = np.arange(0.3, 1.6, 0.005)
MOST = 1.3
"""Largest share of a data sheet's figure that a profile may state."""


@dataclass(frozen=True)
class Level:
    """One kind of kernel: how far the profile was off, and how far the estimate is from the single times now."""

    kernel: str
    factor: float
    """Measured rate over the profile's."""
    rate: float
    """FLOP/s of the median shape, or byte/s."""
    shapes: int
    error: float
    """Mean error over the shapes with the factor applied."""
    before: float = 0.0
    """The same as the profile had it."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "kernel": self.kernel, "factor": self.factor, "rate": self.rate, "shapes": self.shapes, "error": self.error,
            "error_before": self.before,
        }  # fmt: skip


def best(predicted: Callable[[float], Array], measured: Array) -> tuple[float, float, float]:
    """The factor with the least mean |log(predicted / measured)|, the mean error there, and that without a factor."""
    errors: Sequence[Array] = [np.abs(np.log(predicted(factor) / measured)) for factor in LEVELS]
    means = [float(np.mean(error)) for error in errors]
    place = int(np.argmin(means))
    before = np.abs(np.log(predicted(1.0) / measured))
    return (
        float(LEVELS[place]),
        float(np.mean(np.abs(np.exp(errors[place]) - 1))),
        float(np.mean(np.abs(np.exp(before) - 1))),
    )
