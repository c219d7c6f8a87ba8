"""A line in the word tables: a unit, a quantity, the words that point to it, and their largest distance."""

from __future__ import annotations

from gpuhours.inputs.records import dataclass

REACH = 14
"""The most words between a figure and the word that decides it."""


@dataclass(frozen=True)
class Rule:
    """One line of the table."""

    units: frozenset[str]
    quantity: str
    words: tuple[str, ...]
    base: float = 0.0
    reach: float = REACH
    subject: bool = False
    """A word that opens the sentence counts as near: "The decoder, which is smaller, has 8 layers"."""
    before: bool = False
    """The words must come before the figure."""


def rule(
    units: str,
    quantity: str,
    words: str = "",
    base: float = 0.0,
    reach: float = REACH,
    *,
    subject: bool = False,
    before: bool = False,
) -> Rule:
    """A line of the table: units separated by spaces (``bare`` means no unit), phrases by commas; ``base`` and ``reach`` in words."""
    listed = tuple(word.strip() for word in words.split(",") if word.strip())
    kinds = frozenset("" if unit == "bare" else unit for unit in units.split())
    return Rule(kinds, quantity, listed, base, reach, subject, before)


CHECKPOINT = "checkpoint, checkpointing, checkpointed, save every, saved every, snapshots"
