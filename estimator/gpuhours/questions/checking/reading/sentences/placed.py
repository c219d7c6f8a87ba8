"""Figures of prose with their quantities, and corrections made once all of them are placed."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace

from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.claim import Unplaced
from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.formats.blocks import Prose
from gpuhours.questions.checking.reading.quantities.place import Place
from gpuhours.questions.checking.reading.sentences.scopes import Sentence

ASKED = "the question before it"
"""The reason of a figure that only its question explains; one that a statement explains is preferred."""
OF_ITS_BASE = "of its base"
"""Marks a size as that of the model that a run starts from."""


@dataclass(frozen=True)
class Placed:
    """A figure of the text with its quantity."""

    index: int
    figure: Figure
    sentence: Sentence
    place: Place
    scope: str
    tagged: bool
    said: str = ""
    """The scope of the sentence; a tag overrides it."""
    quote: str = ""
    line: int = 0
    owner: str = ""
    """The name of the run it belongs to; empty if the text does not tie it to one."""
    order: int = 0
    written: str = ""
    """The figure as written in the cell, if its unit came from the label."""

    @property
    def text(self) -> str:
        """The figure as written."""
        return self.written or without_tags(self.figure.text)


@dataclass(frozen=True)
class ReadProse:
    """The items, sentences, and placed and unplaced figures of one text's prose."""

    prose: Prose
    items: tuple[Item, ...]
    sentences: tuple[Sentence, ...]
    placed: list[Placed]
    unplaced: tuple[Unplaced, ...]
    tagged: tuple[tuple[str, int, int], ...]


def totals_of_active(placed: list[Placed]) -> None:
    """``of its 12.4B weights 4.0B take part``: of two sizes that one word marks as active, makes the larger one the total."""
    last: dict[int, int] = {}
    for n, entry in enumerate(placed):
        if entry.place.quantity != "active_parameters":
            continue
        other = last.setdefault(id(entry.sentence), n)
        if other != n and entry.place.because == placed[other].place.because:
            larger = max(n, other, key=lambda at: placed[at].figure.value)
            if placed[larger].figure.value > 1.02 * placed[n + other - larger].figure.value:
                placed[larger] = replace(placed[larger], place=replace(placed[larger].place, quantity="parameters"))


def active_of_all(placed: list[Placed]) -> None:
    """``14B of 120B parameters per token``: of two sizes in a sentence, makes the smaller one the active one."""
    for n, entry in enumerate(placed):
        other = placed[n - 1] if n else entry
        if (
            entry.place.quantity == "active_parameters"
            and other.place.quantity == "parameters"
            and other.sentence is entry.sentence
            and entry.figure.per
            and entry.index - other.index == OF_BETWEEN
            and other.figure.value < entry.figure.value
        ):
            placed[n - 1] = replace(other, place=entry.place)
            placed[n] = replace(entry, place=other.place)
        if (
            entry.place.quantity == "parameters"
            and other.place.quantity == "active_parameters"
            and other.sentence is entry.sentence
            and entry.index - other.index == OF_BETWEEN
            and entry.figure.value < other.figure.value
        ):
            placed[n - 1] = replace(other, place=entry.place)  # parameters (total / active): 46B / 8B
            placed[n] = replace(entry, place=other.place)


OF_BETWEEN = 2
"""Items from a figure to the next one with a single word between."""


def only_without_embeddings(placed: list[Placed]) -> None:
    """``12.1B parameters (embeddings excluded)``: makes a size without embeddings the model's, where no total that fits it is given."""
    totals = sorted(entry.figure.value for entry in placed if entry.place.quantity == "parameters")
    for n, entry in enumerate(placed):
        without = (
            entry.place.quantity == "count"
            and entry.figure.unit in ("parameter", "")
            and "embedding" in entry.place.because
        )
        at = bisect_left(totals, entry.figure.value)
        total = totals[at] if at < len(totals) else math.inf
        if without and entry.figure.value > SMALLEST_MODEL and total >= TWICE * entry.figure.value:
            placed[n] = replace(entry, place=replace(entry.place, quantity="parameters"))


SMALLEST_MODEL, TWICE = 1e6, 2.0
"""The fewest parameters of a model, and how many times its other weights its embeddings at most make it."""
THEM = frozenset(["them", "these", "those", "it", "that"])


def corpora_that_runs_read(items: Sequence[Item], placed: list[Placed]) -> None:
    """``708.9B tokens; we went through 569B tokens of them``: makes the larger figure the size of the data set."""
    for n, entry in enumerate(placed):
        of_them = [item.text.lower() for item in items[entry.index + 1 : entry.index + 3]]
        if entry.place.quantity != "tokens" or of_them[:1] != ["of"] or not THEM & set(of_them[1:]):
            continue
        for m in range(n - 1, max(n - 6, -1), -1):
            whole = placed[m]
            if whole.place.quantity == "tokens" and whole.figure.value > entry.figure.value:
                placed[m] = replace(whole, place=replace(whole.place, quantity="dataset_tokens"))
                break


def machines_partly_used(items: Sequence[Item], placed: list[Placed]) -> None:
    """``304 superchips were at our disposal, though only 256 of them were used``: makes the larger figure no number of the run's GPUs.

    So does a part in reserve: ``66 nodes, of which two are hot spares``.
    """
    for n, entry in enumerate(placed):
        if entry.place.quantity in ("gpus", "nodes") and _partly_in_reserve(items, entry.index):
            placed[n] = replace(entry, place=replace(entry.place, quantity="count", because="with those in reserve"))
    for n, entry in enumerate(placed):
        behind = [item.text.lower() for item in items[entry.index + 1 : entry.index + 3]]
        only = entry.index > 0 and items[entry.index - 1].text.lower() in ("only", "just", "merely")
        if entry.place.quantity != "gpus" or not only or behind[:1] != ["of"] or not THEM & set(behind[1:]):
            continue
        for m in range(n - 1, max(n - 4, -1), -1):
            if placed[m].place.quantity == "gpus" and placed[m].figure.value > entry.figure.value:
                placed[m] = replace(
                    placed[m], place=replace(placed[m].place, quantity="count", because="of which a part")
                )
                break


def _partly_in_reserve(items: Sequence[Item], index: int) -> bool:
    """``34 nodes (8x A100), two of them spare``: whether a part of what a figure counts is said to be in reserve."""
    whole = items[index]
    for at in range(index + 1, min(index + FAR_FROM_WHOLE, len(items))):
        part = items[at]
        if part.kind == "stop":
            return False
        before, behind = (
            [item.text.lower() for item in items[first:last]] for first, last in ((at - 2, at), (at + 1, at + 7))
        )
        of_it = before == ["of", "which"] or before[1:] == ["including"] or behind[:1] == ["as"]
        of_it = of_it or (behind[:1] == ["of"] and behind[1:2] in (["them"], ["which"], ["these"]))
        if of_it and isinstance(part, Figure) and isinstance(whole, Figure) and part.value < whole.value:
            clause = behind[: next((n for n, word in enumerate(behind) if word in CLOSES), len(behind))]
            return any(word.startswith(IN_RESERVE) for word in clause) or "stand by" in " ".join(clause)
    return False


FAR_FROM_WHOLE = 14
CLOSES = frozenset([",", ";", ".", ":", ")"])
IN_RESERVE = ("spare", "standby", "stand-by", "reserve", "backup")
"""Prefixes of what machines are that wait for others to fail."""


def refined_by(entry: Placed, behind: Placed | None) -> bool:
    """``a quarter of a million tokens (262,144)``: whether the bracket after a figure repeats it more exactly."""
    return (
        behind is not None
        and behind.figure.refines
        and behind.index == entry.index + 2
        and behind.place.quantity == entry.place.quantity
    )


def without_tags(text: str) -> str:
    """The text without tags and line breaks."""
    pieces = text.replace("</", "<").split("<")
    kept = [pieces[0]]
    for piece in pieces[1:]:
        name, closing, rest = piece.partition(">")
        kept.append(rest if closing and name.replace("_", "").isalpha() else "<" + piece)
    return " ".join("".join(kept).split())
