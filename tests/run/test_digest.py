"""Detects unreported changes to the inputs of predictions: an edited constant, range or remainder could pass every other test."""

import hashlib
import os
from pathlib import Path

from gpuhours.run.digest import LENGTH, covered, digest

STORED = Path(__file__).parents[1] / "snapshots" / "digest.txt"
"""The digest, then each file's own."""


def moved(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return the files that changed: old -> new."""
    return [
        f"{name}: {before.get(name, 'not there')} -> {now.get(name, 'gone')}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]


def test_constants_are_those_that_the_printed_errors_were_earned_with() -> None:
    by_file = {name: hashlib.sha256(content).hexdigest()[:LENGTH] for name, content in sorted(covered())}
    now = {"all": digest(), **by_file}
    if os.environ.get("GPUHOURS_WRITE"):
        STORED.write_text("".join(f"{name} {one}\n" for name, one in now.items()), encoding="utf-8")
    before = dict(line.split() for line in STORED.read_text(encoding="utf-8").splitlines())
    assert now == before, "\n".join((
        "after a change of constants, profiles, what is usual or what was learned run `gpuhours validate --update` and",
        "`gpuhours validate --totals --update-remainder`, look at what moved, and write this snapshot anew:", *moved(before, now),
    ))  # fmt: skip


def test_a_file_that_changed_comes_or_goes_is_named() -> None:
    before, now = {"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "4", "d": "5"}
    assert moved(before, now) == ["b: 2 -> 4", "c: 3 -> gone", "d: not there -> 5"]
