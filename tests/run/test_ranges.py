"""Quantiles computed without ``numpy.ma`` equal NumPy's own."""

from __future__ import annotations

import numpy as np
import pytest

from gpuhours.run.ranges import median, quantiles

SHARES = [0.0, 0.1, 0.25, 0.5, 0.77, 0.9, 1.0]


@pytest.mark.parametrize("count", [1, 2, 3, 8, 31, 509, 510])
def test_quantiles_and_the_median_are_numpys_to_the_last_digit(count: int) -> None:
    for seed in range(20):
        values = np.exp(3 * np.random.default_rng(seed).standard_normal(count))
        assert quantiles(values, SHARES) == np.quantile(values, SHARES).tolist()
        assert median(values) == np.median(values)


def test_what_is_not_known_stays_so() -> None:
    values = [1.0, float("nan"), 2.0]
    assert np.isnan([*quantiles(values, SHARES), median(values)]).all()
