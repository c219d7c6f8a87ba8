"""What a section, list or paragraph is about, if not the run: other models, use, adaptation."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gpuhours.questions.checking.reading.figures.tokens import Item
from gpuhours.questions.checking.reading.formats.blocks import Prose
from gpuhours.questions.checking.reading.naming.cast import NOBODY, Owner
from gpuhours.questions.checking.reading.sentences.scopes import Sentence
from gpuhours.questions.checking.reading.vocabulary.run_words import OPENINGS, compares, holds
from gpuhours.questions.checking.reading.vocabulary.side_words import BESIDE_SECTIONS, SIDE

SHORT = 80
"""The longest line, in characters, that introduces a list."""


def compared_blocks(prose: Prose) -> set[int]:
    """The blocks under a heading such as ``Related work``, and list items introduced by a line such as ``For comparison``."""
    found, under, level = set(), False, 0
    for index, block in enumerate(prose.blocks):
        if block.kind == "heading" and (level == 0 or block.depth <= level):
            level = block.depth if compares(block.text.lower()) else 0
        if level or (block.kind == "item" and under):
            found.add(index)
        else:
            under = block.kind != "item" and len(block.text) < SHORT and compares(block.text.lower())
    return found


def side_blocks(prose: Prose) -> set[int]:
    """The blocks under a short heading about use or adaptation."""
    found, level = set(), 0
    for index, block in enumerate(prose.blocks):
        if block.kind == "heading" and (level == 0 or block.depth <= level):
            level = block.depth if about(block.text[:SHORT]).name in BESIDE_SECTIONS else 0
        if level:
            found.add(index)
    return found


def about(text: str, but: str = "") -> Owner:
    """The owner that a heading gives to its section; nobody if the section may be about the run."""
    lowered = text.lower()
    numbered = NUMBERED.match(text)
    text, lowered = (text[numbered.end() :], lowered[numbered.end() :]) if numbered else (text, lowered)
    if len(text.split()) <= MOST_WORDS and (COMPARED.fullmatch(lowered) or "others" in lowered.strip(" .:").split()):
        return Owner("other", "others")
    for name, beginnings in BESIDE_SECTIONS.items():
        if (
            name != but
            and len(text.split()) <= MOST_WORDS
            and any(word.startswith(beginnings) for word in lowered.split())
            and not (name == "evaluation" and "train" in lowered)
        ):
            return Owner("side", name)
    for name, phrases in SIDE.items():
        if name != but and holds(lowered, phrases) and not (name == "use" and "train" in lowered):
            return Owner("side", name)
    return Owner("other", "others") if compares(lowered) else NOBODY


COMPARED = re.compile(r"(?:compar(?:ed|ison|ing)|baselines?)(?: (?:with|to|against)\b.*)?[ .:]*")
"""Headings of sections about other models."""
NUMBERED = re.compile(r"(?:[A-Z]\.)?\d{1,2}(?:\.\d{1,2}){0,3}\.?\s+(?=[^\W\d])")
"""``C.3 Evaluation``: the number of a section."""
MOST_WORDS = 4
"""The most words in a heading that only names the topic of its section."""


def goes_on_about_others(
    items: Sequence[Item], sentence: Sentence, lowered: str, *, begins: bool, before: bool
) -> bool:
    """Whether a paragraph that opens with a phrase such as ``Prior efforts were expensive`` is still about others."""
    if begins:
        return holds(lowered, OPENINGS) and not ours(items, sentence)
    return before and not lowered.startswith(TURNS) and not ours(items, sentence)


TURNS = ("in contrast", "by contrast")
"""First words of a sentence that returns from others to the run."""


def ours(items: Sequence[Item], sentence: Sentence) -> bool:
    """Whether the authors refer to themselves."""
    return any(
        items[at].text.lower() in ("we", "our", "ours")
        and not (items[at].text.lower() == "ours" and items[at - 1].text.lower() in NEGATIONS)
        for at in range(sentence.first, sentence.last)
    )


NEGATIONS = frozenset(["not", "isn't", "wasn't", "aren't", "weren't", "never", "isn’t", "wasn’t", "aren’t", "weren’t"])
"""Words before ``ours`` in what is somebody else's."""
