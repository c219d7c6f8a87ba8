"""All published runs, predicted once for every test that looks at them, which run in one process (``TOGETHER`` of ``tests.conftest``)."""

from __future__ import annotations

from functools import cache

from gpuhours.questions.validating import Validation, validate


@cache
def left_out() -> Validation:
    """Each source judged without itself."""
    return validate()


@cache
def in_sample() -> Validation:
    """With everything that is known."""
    return validate(in_sample=True)
