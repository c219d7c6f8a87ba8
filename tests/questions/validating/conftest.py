"""The published runs, predicted once, as fixtures."""

from __future__ import annotations

import pytest

from gpuhours.questions.validating import Validation
from tests.published import in_sample, left_out


@pytest.fixture(name="published")
def _published() -> Validation:
    return left_out()


@pytest.fixture(name="in_sample")
def _in_sample() -> Validation:
    return in_sample()
