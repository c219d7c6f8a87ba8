"""What the tests of a sweep's files share: the rows of a block are made once, however often they are written, lost and written again."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from gpuhours.questions.sweeping.job import Job


@pytest.fixture(scope="module")
def _blocks_made_once() -> Iterator[None]:
    """Of the same job, in this process; one that was killed begins anew."""
    made: dict[tuple[bytes, int], Any] = {}
    block = Job.block

    def once(self: Job, number: int) -> Any:
        key = pickle.dumps((self.grid, self.where, self.best, self.breakdown)), number
        if key not in made:
            made[key] = block(self, number)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Job, "block", once)
        yield
