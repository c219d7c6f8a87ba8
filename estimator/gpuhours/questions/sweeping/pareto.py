"""The Pareto front of two results."""

from __future__ import annotations

from typing import Any

import numpy as np

Values = np.ndarray[Any, Any]


def front(first: Values, second: Values) -> Values:
    """Indices of the Pareto front if smaller is better for both, by ascending ``first``.

    A row is on it if no other row is at most equal in both and smaller in one. Sorted by (first, second), these are the rows whose
    ``second`` is below that of all before; of rows equal in both the first is kept.
    """
    if not len(first):
        return np.zeros(0, np.intp)
    order = np.lexsort((second, first))
    sorted_second = second[order]
    before = np.concatenate(([np.inf], np.minimum.accumulate(sorted_second)[:-1]))
    return order[sorted_second < before]
