"""All published runs, predicted once for all tests that use them, which run in one process (``TOGETHER`` of ``tests.conftest``)."""

from __future__ import annotations

from functools import cache

from gpuhours.questions.validating import Validation, validate


@cache
def left_out() -> Validation:
    """Return the validation of each source without its own data."""
    return validate()


@cache
def in_sample() -> Validation:
    """Return the validation with all data."""
    return validate(in_sample=True)
