"""The texts of ``tests/texts``, each read and checked once for all tests that use it (``TOGETHER`` of ``tests.conftest``), and the figures
that are read from a passage."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from gpuhours.questions.checking.claim import Paper
from gpuhours.questions.checking.one_run import check_document
from gpuhours.questions.checking.outcome import Check
from gpuhours.questions.checking.reading.text import read_paper

TEXTS = Path(__file__).parent / "texts"


@cache
def paper(name: str) -> Paper:
    """Return what is read from a text."""
    return read_paper((TEXTS / f"{name}.txt").read_text(encoding="utf-8"), name)


@cache
def judged(name: str) -> Check:
    """Return the check of the text's only document."""
    return check_document(paper(name).single)


def figures(text: str) -> dict[str, dict[str, float]]:
    """Return the claims of every run of a text: run -> quantity -> value."""
    return {run.name: {claim.quantity: claim.value for claim in run.claims} for run in read_paper(text).runs}


def one(text: str) -> dict[str, float]:
    """Return the claims of the only run of a text."""
    (found,) = figures(text).values()
    return found
