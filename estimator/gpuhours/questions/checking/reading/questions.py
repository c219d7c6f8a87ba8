"""Reads the figure of a short answer by the question before it: ``How many GPUs did you use? 512.``, ``Sequence length? 4,096.``"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from gpuhours.questions.checking.reading.labels import LENDABLE
from gpuhours.questions.checking.reading.place import Place
from gpuhours.questions.checking.reading.placing import place
from gpuhours.questions.checking.reading.scopes import Sentence
from gpuhours.questions.checking.reading.tokens import Figure, Item, tokens_of
from gpuhours.questions.checking.reading.unit_tokens import unit_at

_SPEAKER = re.compile(
    r"(?m)^([ \t]{0,8}(?:[*_]{1,2}|#{1,6}[ ])?)(?:Q|A|Question|Answer)(?:[ ]?\d{1,2})?[.:)](?=[ \t]+\S)"
)
"""``Q.`` and ``A:`` at the start of a line."""
LONGEST = 24
"""The most items in a question that says what its answer counts."""
SIZED = ("how big", "how large", "what size")
LASTED = ("how long", "how much time")


def without_speakers(text: str) -> str:
    """``text`` without the letters that mark questions and answers, if it has both."""
    letters = {found[0].lstrip(" \t*_#")[0] for found in _SPEAKER.finditer(text)}
    return _SPEAKER.sub(r"\1", text) if letters == {"Q", "A"} else text


def answered(items: Sequence[Item], index: int, sentence: Sentence) -> tuple[Figure, Place] | None:
    """The first figure of an answer, with the unit that its question gives it, and its place; None if no question decides it."""
    figure = items[index]
    question = _question(items, sentence)
    if not isinstance(figure, Figure) or question is None or figure.per:
        return None
    if any(isinstance(item, Figure) for item in items[sentence.first : index]):
        return None
    said = " ".join(item.text.lower() for item in items[question : sentence.first])
    scaled = figure.scale in ("b", "m", "t", "billion", "million", "trillion")
    if any(words in said for words in SIZED) and scaled and figure.unit in ("", "parameter"):
        return figure, Place("parameters", "how big", 1.0)
    if any(words in said for words in LASTED) and figure.unit == "time" and "step" not in said:
        return figure, Place("wall_clock", "how long", 1.0)
    if not figure.unit and not figure.sides:
        figure = _with_unit(items, question, sentence.first, figure)
    together = [*items[question:index], figure, *items[index + 1 : sentence.last]]
    found = place(together, index - question, 0, len(together))
    return None if found is None else (figure, found)


def _question(items: Sequence[Item], sentence: Sentence) -> int | None:
    """Where the question directly before a sentence begins; None without one."""
    at = sentence.first - 1
    while at > 0 and items[at].kind == "stop" and items[at].text != "?":
        at -= 1  # the end of a heading
    if at < 1 or items[at].text != "?":
        return None
    while at > 0 and items[at - 1].kind != "stop" and sentence.first - at < LONGEST:
        at -= 1
    return at


def _with_unit(items: Sequence[Item], first: int, last: int, figure: Figure) -> Figure:
    """The number with the unit of ``how many GPU-hours``."""
    for at in range(first, last - 2):
        if items[at].text.lower() == "how" and items[at + 1].text.lower() in ("many", "much"):
            asked = tokens_of(" ".join(item.text for item in items[at + 2 : min(at + 6, last - 1)]))
            unit, _ = unit_at(asked, 0)
            if unit.kind in LENDABLE:
                return replace(
                    figure,
                    value=figure.value * unit.factor,
                    unit=unit.kind,
                    word=unit.word,
                    device=unit.device,
                    per=unit.per,
                )
    return figure
