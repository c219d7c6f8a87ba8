"""The files and folders named in the table "to add X, touch Y" exist."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path

import pytest

from gpuhours.architecture.operators import Pointwise
from gpuhours.layout.schedules import Schedule
from gpuhours.layout.sequence_methods import SequenceMethod

ROOT = Path(__file__).parents[1]
ROWS = [
    line
    for line in (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| a")
]


def places(row: str) -> list[str]:
    return re.findall(r"`((?:estimator|hardware_specs|tests|\.github)/[^`]*)`", row)


def test_every_place_exists() -> None:
    every = [place for row in ROWS for place in places(row)]
    assert len(every) > 20
    assert [place for place in every if not (ROOT / place).exists()] == []


MOST = {"a result": 2, "a number format": 1, "a schedule": 3, "a sequence method": 4, "a memory-bound operator": 3}
"""Files to touch at most for one more; for an operator its declaration, its use, and the profiles, which count as one."""


@pytest.mark.parametrize(("what", "most"), MOST.items())
def test_one_more_touches_few_files(what: str, most: int) -> None:
    (row,) = (line for line in ROWS if line.startswith(f"| {what} |"))
    assert 0 < len(places(row)) <= most


USUAL = {"Schedule.f1b1", "Schedule.interleaved", "SequenceMethod.zigzag", "SequenceMethod.hybrid"}
"""Members that others ask for: what is taken where nothing is said, and those that a key of their own belongs to."""
BESIDE = {
    "a schedule": {"questions/validating/stated.py"},
    "a sequence method": set(),
    "a memory-bound operator": {"layout/recompute.py", "step/compute.py", "step/cpu_overhead.py", "memory/activations.py"},
}  # fmt: skip
"""Files that treat one member apart from all others (a module that repeats it) or read tables of others."""


@pytest.mark.parametrize(
    ("what", "kind"),
    [("a schedule", Schedule), ("a sequence method", SequenceMethod), ("a memory-bound operator", Pointwise)],
)
def test_to_add_one_touches_what_the_table_says(what: str, kind: type[Enum]) -> None:
    """No other file names a member, so a new member is handled there through its declared properties."""
    (row,) = (line for line in ROWS if line.startswith(f"| {what} |"))
    package = ROOT / "estimator" / "gpuhours"
    declared = {place.removeprefix("estimator/gpuhours/") for place in places(row)} | BESIDE[what]
    members = {f"{kind.__name__}.{member.name}" for member in kind} - USUAL
    sources = {path.relative_to(package): path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    named = {path for path, text in sources.items() if any(re.search(rf"\b{one}\b", text) for one in members)}
    placed = {path for path in named if kind is Pointwise and path.parts[0] == "architecture"}
    assert {str(path) for path in named - placed} <= declared
    assert named
