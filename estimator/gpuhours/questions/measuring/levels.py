"""Error of a profile before and after measuring: one factor per kind of kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuhours.inputs.arrays import Array
from gpuhours.inputs.records import dataclass

LEVELS = np.arange(0.3, 1.6, 0.005)
MOST = 1.3
"""Upper limit of a rate in a profile, as a multiple of the data sheet's."""


@dataclass(frozen=True)
class Level:
    """One kind of kernel: the factor on the profile, and the remaining error over the measured shapes."""

    kernel: str
    factor: float
    """Measured rate over the profile's."""
    rate: float
    """FLOP/s of the median shape, or byte/s."""
    shapes: int
    error: float
    """Mean error over the shapes with the factor applied."""
    before: float = 0.0
    """Mean error with the profile as it was."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "kernel": self.kernel, "factor": self.factor, "rate": self.rate, "shapes": self.shapes, "error": self.error,
            "error_before": self.before,
        }  # fmt: skip


def best(predicted: Callable[[float], Array], measured: Array) -> tuple[float, float, float]:
    """The factor with the smallest mean |log(predicted / measured)|, the mean error with it, and that without a factor."""
    errors: Sequence[Array] = [np.abs(np.log(predicted(factor) / measured)) for factor in LEVELS]
    means = [float(np.mean(error)) for error in errors]
    place = int(np.argmin(means))
    before = np.abs(np.log(predicted(1.0) / measured))
    return (
        float(LEVELS[place]),
        float(np.mean(np.abs(np.exp(errors[place]) - 1))),
        float(np.mean(np.abs(np.exp(before) - 1))),
    )
