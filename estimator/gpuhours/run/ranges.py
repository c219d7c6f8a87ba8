"""Propagation of uncertainty to every result: deterministic draws of the inputs, and the 80 % range of the results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuhours.inputs.arrays import Array
from gpuhours.run.points import CENTRED, centred_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOW, HIGH = 0.1, 0.9


def spread_over(low: Array, value: float, high: Array, position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draws of a positive quantity with 10th percentile ``low``, median ``value`` and 90th percentile ``high``.

    The logarithm is piecewise linear between the three, and extrapolated with the same slopes:
    ln x(u) through (0.1, ln low), (0.5, ln value), (0.9, ln high).

    >>> spread_over(2, 10, 160, np.array([0.1, 0.3, 0.5, 0.9])).round(1).tolist()
    [2.0, 4.5, 10.0, 160.0]
    """
    below, middle, above = np.log(low), np.log(value), np.log(high)
    slope_below, slope_above = (middle - below) / (0.5 - LOW), (above - middle) / (HIGH - 0.5)
    distance = position - 0.5
    return np.exp(middle + np.where(distance < 0, slope_below, slope_above) * distance)


def middle(value: Array) -> Any:
    """The central (first) value of a drawn quantity, as a Python number."""
    first = np.asarray(value).reshape(-1)[0]
    return first.item() if isinstance(first, np.generic) else first  # integers beyond 64 bits stay Python's


def quantiles(values: Sequence[float] | NDArray[np.float64], shares: Sequence[float]) -> list[float]:
    """Quantiles by linear interpolation between ordered values, bit-identical to ``np.quantile``.

    ``np.quantile`` is not used because it imports ``numpy.ma``, which takes 1/30 of the time of a single estimate.

    >>> quantiles([4.0, 1.0, 3.0, 2.0], [0.0, 0.5, 0.9])
    [1.0, 2.5, 3.7]
    """
    ordered = np.sort(values)
    levels = []
    for share in shares:
        place = (len(ordered) - 1) * share
        below = math.floor(place)
        one, other, over = ordered[below], ordered[min(below + 1, len(ordered) - 1)], place - below
        between = one + (other - one) * over if over < 0.5 else other - (other - one) * (1 - over)
        levels.append(float(between if over else one))
    return levels if not np.isnan(ordered[-1]) else [math.nan] * len(levels)


def median(values: Sequence[float] | NDArray[np.float64]) -> float:
    """The middle value, or the mean of the two middle values, as in ``np.median``.

    >>> median([4.0, 1.0, 3.0, 2.0])
    2.5
    """
    ordered = np.sort(values)
    return (
        float("nan")
        if np.isnan(ordered[-1])
        else float((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2)
    )


def share_limits(hits: int, trials: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a share, given ``hits`` in ``trials``.

        (p + z^2 / 2 n -+ z sqrt(p (1 - p) / n + z^2 / 4 n^2)) / (1 + z^2 / n),  p = hits / n, z = 1.96

    Source: Wilson 1927, JASA 22(158).

    >>> [round(limit, 3) for limit in share_limits(5, 10)]
    [0.237, 0.763]
    """
    z, share = 1.96, hits / trials
    middle, wide = share + z**2 / (2 * trials), z * math.sqrt(share * (1 - share) / trials + (z / trials) ** 2 / 4)
    low, high = ((middle + side) / (1 + z**2 / trials) for side in (-wide, wide))
    return max(0.0, low), min(1.0, high)


def percentiles(value: Array) -> tuple[float, float] | None:
    """10th and 90th percentile of the draws (all values but the first), in their unit; None if there are no draws or all are equal."""
    array = np.asarray(value)
    if array.size <= 1 or array.dtype == bool:
        return None
    drawn = np.sort(array.reshape(-1)[1:])
    low, high = np.interp([LOW, HIGH], np.linspace(0, 1, drawn.size), drawn)
    return None if low == high else (float(low), float(high))


def draws(ranges: Mapping[str, tuple[float, float, float]], number: int = CENTRED) -> dict[str, NDArray[np.float64]]:
    """Joint draws for several independent ranges (low, value, high): arrays [1 + number] in the range's unit, the central value first."""
    if not ranges:
        return {}
    points = centred_points(len(ranges), number)
    return {key: spread_over(*bounds, points[index]) for index, (key, bounds) in enumerate(ranges.items())}
