"""The runs and models that a text names, and the owner that a figure can have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import NamedTuple

from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.reading.naming.names import Mention, another_line, same_name, size_of, stem
from gpuhours.questions.checking.reading.vocabulary.run_words import SIZES


class Owner(NamedTuple):
    """The owner of the figures that follow: own (a named run), other, side, total, or empty for no one in particular."""

    kind: str = ""
    name: str = ""
    also: tuple[str, ...] = ()
    """Runs named together with it: ``the 7B and 13B models read``."""


NOBODY = Owner()
OURS = Owner("us")
"""The authors write about their own run without naming it."""


@dataclass
class Cast:
    """The runs and models that a text names."""

    own: list[str] = field(default_factory=list)
    """The authors' runs, by their names in tables and lists, in order."""
    others: list[str] = field(default_factory=list)
    stems: set[str] = field(default_factory=set)
    """The stems of the authors' own names."""
    sizes: dict[str, float] = field(default_factory=dict)
    main: str = ""
    """The model that the text is about."""
    informal: dict[tuple[str, str], str] = field(default_factory=dict)
    """The authors' own runs that are only mentioned in passing, by kind and key."""

    references: dict[int, str] = field(default_factory=dict)
    """The own runs that words such as ``the latter`` mean, by position."""

    def run(self, name: str) -> str | None:
        """The own run that a name refers to, or None."""
        return name if name in self.own else next((own for own in self.own if same_name(own, name)), None)

    def owner(self, mention: Mention) -> Owner:
        """The owner that a mentioned name refers to."""
        own = self.run(mention.shown)
        if own is not None:
            return Owner("own", own)
        if any(same_name(other, mention.shown) for other in self.others) or another_line(mention.shown, self.main):
            return Owner("other", mention.shown)
        if stem(mention.shown) in self.stems or not self.stems:
            sized = self.by_size(mention.size) if mention.size else None
            return Owner("own", sized or mention.shown)
        return Owner("other", mention.shown)

    def by_size(self, size: float) -> str | None:
        """The own run of about that size (within 6 %); None unless exactly one run has it."""
        near = [name for name, own in self.sizes.items() if name in self.own and abs(own - size) < 0.06 * size]
        return near[0] if len(near) == 1 else None

    def by_rank(self, word: str) -> str | None:
        """The own run that ``largest``, ``smallest`` or ``middle`` refers to; None below two sizes (``middle``: unless three)."""
        ranked = {name: rank for name in self.own if (rank := rank_of(name))}
        if len(ranked) < len(self.own):
            ranked |= {name: self.sizes[name] for name in self.own if name in self.sizes}
        ordered = sorted((size, name) for name, size in ranked.items())
        if len(ordered) < 2 or (SIZES[word] == 1 and len(ordered) != 3):
            return None
        return ordered[SIZES[word]][1]


def rank_of(name: str) -> float:
    """A number that orders names by the size word they end with: ``Sedum-L`` before ``Sedum-g``; 0 for other names."""
    last = name.lower().replace("/", "-").split("-")[-1]
    return next((10.0 ** (rank - len(RANKS)) for rank, words in enumerate(RANKS) if last in words), 0.0)


RANKS = (
    ("pico", "nano"), ("tiny", "ti", "xs", "mini", "micro"), ("small", "s", "lite", "air"), ("base", "b", "medium", "m"),
    ("large", "l", "big", "pro"), ("xl", "h", "huge"), ("xxl", "g", "giant"),
)  # fmt: skip
"""Words and letters at the end of a name that say its size, from the smallest to the largest."""


def sized(names: Sequence[str]) -> dict[str, float]:
    """The sizes in the names, for the names that have one."""
    return {name: size for name in names if (size := size_of(name)) is not None}
