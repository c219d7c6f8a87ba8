"""Replaces line numbers with page numbers in a text that came in pages (``page 7`` for ``line 412``): a PDF shows no lines."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from gpuhours.questions.checking.claim import Claim, Document, Fact, Paper, Unplaced

PAGE = "\f"
"""The separator between two pages, on a line of its own."""
Placed = TypeVar("Placed", Claim, Fact, Unplaced)


def by_pages(paper: Paper, text: str) -> Paper:
    """The paper with page numbers as places, if its text has pages; else unchanged."""
    if PAGE not in text:
        return paper
    starts = [n for n, line in enumerate(text.split("\n"), 1) if PAGE in line]

    def moved(entries: tuple[Placed, ...]) -> tuple[Placed, ...]:
        return tuple(replace(entry, place=_page(entry.place, starts)) for entry in entries)

    def of(run: Document) -> Document:
        return replace(
            run,
            claims=moved(run.claims),
            facts=moved(run.facts),
            set_aside=moved(run.set_aside),
            not_understood=moved(run.not_understood),
        )

    return replace(
        paper,
        runs=tuple(map(of, paper.runs)),
        set_aside=moved(paper.set_aside),
        not_understood=moved(paper.not_understood),
    )


def _page(place: str, starts: list[int]) -> str:
    """``line 412`` as the page that contains it; other places are unchanged."""
    word, _, number = place.partition(" ")
    if word != "line" or not number.isdigit():
        return place
    return f"page {1 + sum(start < int(number) for start in starts)}"
