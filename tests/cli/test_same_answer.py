"""A run gives the same bytes for any hash seed, locale, time zone and number of threads.

``tests.benchmarks.same_answer`` tries every command and interpreter.
"""

import sys

from tests.benchmarks.same_answer import COMMANDS, SURROUNDINGS, answers

QUICK = tuple(
    command for command in COMMANDS if command.startswith(("estimate", "compare", "check", "trace", "schema software"))
)


def test_surroundings_change_no_byte() -> None:
    elsewhere, further_off = (
        answers(sys.executable, SURROUNDINGS[place], QUICK) for place in ("elsewhere", "further off")
    )
    assert all(length > 200 for length, _ in elsewhere.values()), "every command answered"  # type: ignore[operator]
    assert further_off == elsewhere
