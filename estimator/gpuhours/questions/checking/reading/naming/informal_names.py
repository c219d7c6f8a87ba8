"""Informal names of runs in prose: ``phase one``, ``the image stage``, ``in the second``, ``the 3B model``, ``LARGE``.

Each has a kind and a key, so that ``stage 2``, ``the second stage`` and ``in the second`` are one name. Another module decides whether they
are separate runs: only if two of them give different hours, steps or machines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.vocabulary.run_words import (
    COMPONENTS,
    EVERY_STAGE,
    ORDINALS,
    PARTS_OF_TRAINING,
    STAGES,
    VARIANTS,
    VARIED,
)

NUMBERS = {
    "1": "1", "one": "1", "i": "1", "first": "1", "1st": "1", "a": "1", "initial": "1",
    "2": "2", "two": "2", "ii": "2", "second": "2", "2nd": "2", "b": "2",
    "3": "3", "three": "3", "iii": "3", "third": "3", "3rd": "3", "c": "3",
    "4": "4", "four": "4", "iv": "4", "fourth": "4", "4th": "4", "d": "4", "five": "5", "fifth": "5", "v": "5",
    "final": "last",
}  # fmt: skip
"""The number of a part, by its spelling."""
COUNTED = frozenset(["first", "second", "third", "fourth"])
CAPITALS = frozenset(["BASE", "LARGE", "SMALL", "TINY", "BIG", "HUGE", "MEDIUM", "MINI", "XL", "XXL"])
GOES_ON = frozenset(
    ["we", "i", "it", "is", "was", "are", "were", "takes", "took", "uses", "used", "runs", "ran", "lasts", "lasted", "trains", "trained",
     "needs", "needed", "consumes", "consumed", "covers", "covered", "sees", "saw", "reads", "has", "had", ",", ":", "with", "at", "on",
     "for", "the", "goes", "went"]
)  # fmt: skip
"""Words after ``the first`` when the noun for the part is omitted."""


BEFORE_A_VARIANT = frozenset(
    ["for", "of", "and", ",", "than", "both", "while", "whereas", "but", "our", "on", "by", "with", "("]
)
"""``Training takes 1.6 days for Base``: words before a variant that is named only by its size."""


class InformalName(NamedTuple):
    """An informal name: its kind, the key that distinguishes it within the kind, its spelling, and a model's size."""

    kind: str
    key: str
    shown: str
    size: float = 0.0


def component_at(items: Sequence[Item], index: int) -> str:
    """``world model`` and ``tokenizer``: the part of a system that is named here and trained on its own; empty for other words."""
    two = " ".join(item.text for item in items[index : index + 2])
    if two.lower() in COMPONENTS:
        return two
    return items[index].text if items[index].text.lower() in COMPONENTS else ""


def informal_name_at(items: Sequence[Item], index: int) -> InformalName | None:
    """The informal name that begins at an item; None if there is none."""
    item = items[index]
    behind = items[index + 1] if index + 1 < len(items) else None
    word, follows = item.text.lower(), behind.text.lower() if behind is not None else ""
    if isinstance(item, Figure):
        article = items[index - 1].text.lower() if index else ""
        if item.unit == "dims" and len(item.sides) == 2 and min(item.sides) >= SMALLEST_SIDE:
            return InformalName("resolution", f"{item.sides[0]}x{item.sides[1]}", item.text)
        return _sized(item, word, follows, alone=article in ("the", "our") and follows in TAKES_ON)
    if item.kind != "word":
        return None
    shown = f"{item.text} {behind.text}" if behind is not None else item.text
    before = items[index - 1].text.lower() if index else ""
    if STAGES.fullmatch(shown):
        return InformalName("stage", NUMBERS.get(follows, follows), shown)
    if word == "initial" and follows == "training":
        return InformalName("stage", "1", shown)
    if word in COUNTED and follows in ("model", "network", "case", "training"):
        return InformalName("stage", NUMBERS[word], shown)
    if word in ORDINALS and follows in PARTS_OF_TRAINING:
        return InformalName("stage", NUMBERS.get(word, word), shown)
    counted = isinstance(behind, Figure) and word in ("second", "third", "fourth")  # but not: the first 500 steps
    if word in ORDINALS and before == "the" and (follows in GOES_ON or counted):
        return InformalName("stage", NUMBERS.get(word, word), f"{item.text} stage")
    if follows in ("stage", "phase") and word not in EVERY_STAGE and re.fullmatch(r"[a-z][a-z-]{2,30}", word):
        return InformalName("part", word, shown)
    if (whole := component_at(items, index)) and before in ("the", "our", "a", "both", ",", "and", ""):
        return InformalName("component", whole.lower(), whole)
    if word in VARIANTS and follows in VARIED:
        return InformalName("variant", word, shown)
    alone = before in ("the", "its", "our") and (follows in STANDS_ALONE or behind is None or behind.kind == "stop")
    if word in COMPARED and alone:
        return InformalName("variant", word, f"{item.text} one")
    near = "".join(one.text for one in items[max(index - 3, 0) : index + 4] if one is not item)
    if item.text in CAPITALS and near != near.upper():
        return InformalName("variant", word, item.text)
    capital = item.text.upper() in CAPITALS and item.text[:1].isupper() and item.text[1:].islower()
    alone = before in BEFORE_A_VARIANT or (
        (index == 0 or items[index - 1].kind == "stop") and follows in GOES_ON - {",", ":"}
    )
    return InformalName("variant", word, item.text) if capital and alone and near != near.title() else None


SMALLEST_SIDE = 64
"""The shortest side of a picture, in pixels, whose resolution can name a stage."""
COMPARED = frozenset(["smaller", "larger", "bigger", "smallest", "largest", "biggest"])
"""Words of size that stand for a model without a noun."""
STANDS_ALONE = frozenset(
    [",", "(", ":", "has", "had", "was", "is", "took", "takes", "needed", "needs", "ran", "runs", "used", "uses", "saw", "sees", "read",
     "reads", "cost", "costs", "holds", "held", "kept", "counts", "got", "lasted", "went", "required", "occupied", "consumed", "with",
     "reached"]
)  # fmt: skip
"""What follows ``the smaller`` if it means a model."""
TAKES_ON = frozenset(
    [":", "was", "took", "takes", "ran", "runs", "used", "uses", "needs", "needed", "saw", "stopped", "went", "got", "had", "is", "has",
     "finished", "read", "reads", "reached", "reaches", "gets", "cost", "costs", "required", "requires", "came", "comes", "stands", "spent",
     "lasted", "consumed", "sees", "began", "started", "ended"]
)  # fmt: skip
"""Words after ``the 410M`` when the noun ``model`` is omitted."""


def _sized(figure: Figure, word: str, follows: str, *, alone: bool = False) -> InformalName | None:
    """``the 3B model``, ``15B parameter model`` and ``for the 410M:``: a model named by its size; None if the figure is not one."""
    if figure.scale not in ("b", "m", "t", "billion", "million") or figure.hedges or figure.per or figure.value < 1e6:
        return None
    models = figure.unit in ("model", "parameter", "run") or (figure.unit == "" and (follows in VARIED or alone))
    return (
        InformalName("size", f"{figure.value:.3g}", f"{figure.digits}{figure.scale[0].upper()}", figure.value)
        if models
        else None
    )
