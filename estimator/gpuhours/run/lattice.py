"""The lattice points at which a sample is drawn, and the share of the variance due to each coordinate."""

from __future__ import annotations

import numpy as np

from gpuhours.run.sampling import Draws

DRAWS, GENERATOR = 509, 147
BINS = 16


def lattice(dimensions: int) -> Draws:
    """``[dimensions, DRAWS]`` points in the unit cube: a rank-1 lattice, x_j(i) = frac(i a^j / n + 1/2n).

    n = 509 is prime; a = 147 gives the best separation of every pair of the first 15 dimensions (Zaremba's index 27, searched over all a).
    Source: Korobov 1959, Doklady Akademii Nauk 124; Sloan and Joe 1994, Lattice methods for multiple integration, section 4.
    """
    multipliers = np.array([pow(GENERATOR, power, DRAWS) for power in range(dimensions)])
    found: Draws = np.mod(np.outer(multipliers, np.arange(DRAWS)) / DRAWS + 0.5 / DRAWS, 1.0)
    return found


def first_order(position: Draws, value: Draws) -> float:
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
