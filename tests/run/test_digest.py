"""Nothing that predictions rest on changes unsaid: an edited constant, range or remainder may happen to please every other test."""

import os
from pathlib import Path

from gpuhours.run.digest import digest

STORED = Path(__file__).parents[1] / "snapshots" / "digest.txt"


def test_constants_are_those_that_the_printed_errors_were_earned_with() -> None:
    if os.environ.get("GPUHOURS_WRITE"):
        STORED.write_text(digest() + "\n", encoding="utf-8")
    stored = STORED.read_text(encoding="utf-8").strip()
    assert digest() == stored, (
        f"{stored} -> {digest()}: after a change of constants, profiles, what is usual or what was learned run "
        "`gpuhours validate --update` and `gpuhours validate --totals --update-remainder`, look at what moved, and write this snapshot anew"
    )
