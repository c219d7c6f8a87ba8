"""One run, one answer: hash seed, locale, time zone and threads change no byte; ``tests.benchmarks.same_answer`` tries interpreters."""

import sys

import pytest

from tests.benchmarks.same_answer import COMMANDS, SURROUNDINGS, answers

QUICK = tuple(command for command in COMMANDS if not command.startswith(("plan", "validate")))


@pytest.mark.parametrize("place", ["elsewhere", "further off"])
def test_surroundings_change_no_byte(place: str) -> None:
    usual, there = answers(sys.executable, {}, QUICK), answers(sys.executable, SURROUNDINGS[place], QUICK)
    assert there == usual
    assert all(length > 200 for length, _ in usual.values()), "every command answered"  # type: ignore[operator]
