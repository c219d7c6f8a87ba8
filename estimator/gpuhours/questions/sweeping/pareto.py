"""The rows that no other row beats in both of two results."""

from __future__ import annotations

from typing import Any

import numpy as np

Values = np.ndarray[Any, Any]


def front(first: Values, second: Values) -> Values:
    """Indices of the Pareto front when less of both is better, by ascending ``first``.

    A row is on it when no row has less or equal of both and less of one. Sorted by (first, second), that is each row whose
    ``second`` is below that of all before it; of rows equal in both the first is kept.
    """
    if not len(first):
        return np.zeros(0, np.intp)
    order = np.lexsort((second, first))
    sorted_second = second[order]
    before = np.concatenate(([np.inf], np.minimum.accumulate(sorted_second)[:-1]))
    return order[sorted_second < before]
