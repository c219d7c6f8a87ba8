"""Finds the headings of a plain text: a numbered line of its own, and the label that opens a paragraph.

``B.3 Long context`` alone on its line, ``C.2 Adapting the resolution. Dense tasks ...``, and ``Structure head. On top of ...`` where two
paragraphs or more open with such a label. Markup says what a heading is; plain text only has its form.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from gpuhours.questions.checking.reading.formats.blocks import NUMBERED_LEVEL, RUN_IN_LEVEL, Passage, Piece

NUMBERED = re.compile(r"(?:(?:[A-Z]\.)?\d{1,2}(?:\.\d{1,2}){0,3}|[A-Z]\.(?=\s))\.?\s+(?=[A-Z])")
"""``C.3``, ``3.1.2`` and ``B.``: the number of a section."""
LABEL = re.compile(r"(?P<label>[A-Z][A-Za-z-]+(?: [A-Za-z-]+){0,4})\.\s+(?=[A-Z\d])")
LONGEST = 60
"""The longest numbered line, in characters, that is a heading."""
VERBS = re.compile(
    r"\b(?:i|we|you|it|he|she|they|is|are|was|were|be|do|does|did|has|have|had|can|will|yes|no|please|thanks|took|ran|used|see|note)\b",
    re.IGNORECASE,
)
"""Words that make a short first sentence a sentence, or an answer, and not a label."""


def with_headings(found: Sequence[Piece]) -> list[Piece]:
    """The pieces of a text, in which numbered lines and the labels of paragraphs are headings."""
    several = sum(isinstance(piece, Passage) and _label(piece) is not None for piece in found) > 1
    told: list[Piece] = []
    for piece in found:
        told += _split(piece, several=several) if isinstance(piece, Passage) and piece.kind == "text" else [piece]
    return told


def _split(piece: Passage, *, several: bool) -> list[Piece]:
    """A passage as a heading, as a heading and the rest, or as it is. ``several``: whether more than one has a label."""
    numbered = NUMBERED.match(piece.text)
    label = _label(piece) if several or numbered else None
    if label is not None:
        heading = replace(piece, kind="heading", text=piece.text[: label.end("label")], depth=RUN_IN_LEVEL)
        return [heading, replace(piece, text=piece.text[label.end() :])]
    if numbered is not None and _is_alone(piece):
        return [replace(piece, kind="heading", depth=NUMBERED_LEVEL)]
    return [piece]


def _is_alone(piece: Passage) -> bool:
    """Whether a passage is one short line that no mark ends."""
    text = piece.text.strip()
    return len(text) <= LONGEST and "\n" not in text and text[-1:].isalnum()


def _label(piece: Passage) -> re.Match[str] | None:
    """The label that opens a paragraph, after its number if it has one; None if the first sentence is none."""
    numbered = NUMBERED.match(piece.text)
    found = LABEL.match(piece.text, numbered.end() if numbered else 0) if piece.kind == "text" else None
    return None if found is None or VERBS.search(found["label"]) else found
