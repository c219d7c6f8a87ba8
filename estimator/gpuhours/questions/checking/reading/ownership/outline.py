"""Keeps who the headings, list items and introductions above a sentence are about."""

from __future__ import annotations

from dataclasses import field

from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.reading.naming.cast import NOBODY, Owner
from gpuhours.questions.checking.reading.ownership.sections import SHORT, about
from gpuhours.questions.checking.reading.vocabulary.run_words import compares

MOST_OF_A_TITLE = 8
"""The most words of a paragraph that is only the title of the list under it."""


def ours_in(text: str) -> bool:
    """Whether the authors speak of themselves: then a paragraph is more than a title."""
    return not {"we", "our", "ours", "i"}.isdisjoint(text.lower().split())


@dataclass
class Outline:
    """The owners of the blocks around the current one. Each method enters a block and returns the owner that its text starts with."""

    above: Owner = NOBODY
    """Of the last heading."""
    intro: Owner = NOBODY
    """Of the list under the last short paragraph."""
    items: dict[int, Owner] = field(default_factory=dict)
    """Of the list items that are open, by depth."""

    def heading(self, owner: Owner) -> Owner:
        """A heading: its owner applies to what stands under it."""
        self.above, self.intro, self.items = owner, NOBODY, {}
        return owner

    def item(self, depth: int, opening: Owner) -> Owner:
        """A list item: its first words name the owner, or else the item, the introduction or the heading above it."""
        around = self.items.get(depth - 1, self.intro if self.intro.kind else self.above)
        owner = opening if opening.kind else around
        self.items = {level: parent for level, parent in self.items.items() if level < depth} | {depth: owner}
        return owner

    def paragraph(self, text: str, label: Owner) -> Owner:
        """A paragraph, and the run whose name labels it: one that is short introduces the list under it, about others if it compares."""
        introduces = Owner("other", "others") if compares(text.lower()) else label
        if not introduces.kind and len(text.split()) <= MOST_OF_A_TITLE and not ours_in(text):
            introduces = owner if (owner := about(text)).kind == "side" else label  # SLIDE 12: dry run (skip if late)
        self.intro, self.items = introduces if len(text) < SHORT else NOBODY, {}
        return label if label.kind else self.above
