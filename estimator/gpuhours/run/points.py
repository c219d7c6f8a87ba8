"""The points of the unit cube at which samples are drawn, evenly spread and the same in every run, and the share of the variance due to
each coordinate.

Runs that are sampled are drawn at the points of a lattice, ranges of stated inputs at points around their centre: an estimate is computed
at the centre, and these spread evenly for any number of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS, GENERATOR = 509, 147
CENTRED = 128
"""Number of points beside the centre."""
BINS = 16


def lattice(dimensions: int) -> NDArray[np.float64]:
    """``[dimensions, DRAWS]`` points in the unit cube: a rank-1 lattice, x_j(i) = frac(i a^j / n + 1/2n).

    n = 509 is prime; a = 147 gives the best separation of every pair of the first 15 dimensions (Zaremba's index 27, searched over all a).
    Source: Korobov 1959, Doklady Akademii Nauk 124; Sloan and Joe 1994, Lattice methods for multiple integration, section 4.
    """
    multipliers = np.array([pow(GENERATOR, power, DRAWS) for power in range(dimensions)])
    return np.mod(np.outer(multipliers, np.arange(DRAWS)) / DRAWS + 0.5 / DRAWS, 1.0)


def centred_points(dimensions: int, draws: int = CENTRED) -> NDArray[np.float64]:
    """``[dimensions, 1 + draws]`` points in the unit cube: the centre first, then an additive recurrence with low discrepancy.

    u_j(i) = frac(1/2 + i / phi^(j+1)), phi the root of x^(d+1) = x + 1.
    Source: Roberts 2018, The unreasonable effectiveness of quasirandom sequences.
    """
    phi = 2.0
    for _ in range(30):
        phi = (1 + phi) ** (1 / (dimensions + 1))
    steps = phi ** -(1.0 + np.arange(dimensions))[:, np.newaxis]
    return np.mod(0.5 + np.arange(1 + draws) * steps, 1.0)


def first_order(position: NDArray[np.float64], value: NDArray[np.float64]) -> float:
    """Sobol's first-order index from given data: Var(E[y | x]) / Var(y), x in ``BINS`` bins, minus the value expected by chance.

    Source: Plischke, Borgonovo, Smith 2013, Global sensitivity measures from given data, EJOR 226(3), section 3.
    """
    total = float(np.var(value))
    if total <= 0:
        return 0.0
    bins = np.minimum((position * BINS).astype(int), BINS - 1)
    count = np.bincount(bins, minlength=BINS)
    mean = np.bincount(bins, value, minlength=BINS) / np.maximum(count, 1)
    between = float(np.sum(count * (mean - np.mean(value)) ** 2) / len(value))
    within = total - between
    chance = within * (BINS - 1) / (len(value) - BINS)
    return float(np.clip((between - chance) / total, 0.0, 1.0))
