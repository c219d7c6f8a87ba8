"""What the tests of a sweep's files and screens share: rows are worked out once, however often they are written, lost and written again."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from gpuhours.questions.sweeping import job
from gpuhours.questions.sweeping.grid import Grid


@pytest.fixture(scope="module")
def _rows_made_once() -> Iterator[None]:
    """Of the same block of the same grid, in this process; one that was killed begins anew."""
    made: dict[tuple[bytes, Any, bool], list[Any]] = {}
    rows = job.rows

    def once(grid: Grid, block: Any, breakdown: bool) -> list[Any]:
        key = pickle.dumps(grid), repr(block), breakdown
        if key not in made:
            made[key] = list(rows(grid, block, breakdown))
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "rows", once)
        yield
