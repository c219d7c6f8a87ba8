"""The screen of ``gpuhours reproduce``: published beside computed, a verdict per figure."""

from __future__ import annotations

from collections import Counter

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gpuhours.questions.reproducing import Finding, Reproduction, Reproductions
from gpuhours.questions.verdicts import AGREES, CONTRADICTED, NOT_DETERMINED
from gpuhours_cli.render import numbers

STYLES = {AGREES: "green", CONTRADICTED: "bold red", NOT_DETERMINED: "yellow"}
NOT_STATED = "not stated"
"""What stands in the place of a verdict where the text gives no figure."""


def screen(found: Reproductions) -> RenderableType:
    """One table per document, the reasons below it, then the count of verdicts."""
    parts: list[RenderableType] = []
    for document in found.documents:
        parts += [figures(document), *reasons(document), Text()]
    return Group(*parts, Text(answer(found), style="bold"))


def figures(document: Reproduction) -> Table:
    """The figures of one document."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), expand=True)
    table.add_column(document.name, ratio=7, overflow="fold")
    table.add_column("Published", ratio=4, overflow="fold")
    table.add_column("Computed", ratio=8, overflow="fold")
    table.add_column("Verdict", min_width=15, no_wrap=True)
    for finding in document.figures:
        table.add_row(finding.figure, published(finding), computed(finding), verdict(finding))
    return table


def verdict(finding: Finding) -> Text:
    """The verdict; where nothing is published, whether any run can be so."""
    if finding.verdict is not None:
        return Text(finding.verdict, style=STYLES[finding.verdict])
    return Text(NOT_STATED, style="dim") if finding.possible else Text("impossible", style="bold red")


def reasons(document: Reproduction) -> list[RenderableType]:
    """Why a figure is contradicted or open, in the words of the document file."""
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column(overflow="fold")
    for finding in document.figures:
        if finding.reason and (
            finding.verdict in {CONTRADICTED, NOT_DETERMINED} or finding.computed is None or not finding.possible
        ):
            table.add_row("↳", f"{finding.figure}: {finding.reason}")
    return [table] if table.row_count else []


def published(finding: Finding) -> str:
    """What the text says, or a dash."""
    if finding.stated:
        return f"{finding.stated} {finding.unit}".strip()
    return "–" if finding.published is None else value(finding, finding.published)


def computed(finding: Finding) -> str:
    """What came out, with its range."""
    if finding.computed is None:
        return "not determined" if not finding.reason.startswith("not yet") else "not yet modelled"
    said = value(finding, finding.computed)
    if finding.low is None or finding.high is None:
        return said
    return f"{said} {numbers.span(finding.computed, finding.low, finding.high, numbers.for_unit(finding.unit))}".strip()


def value(finding: Finding, number: float) -> str:
    """One number in the words of its unit."""
    return numbers.for_unit(finding.unit)(number)


def answer(found: Reproductions) -> str:
    """``5 documents · 31 figures · 22 reproduced · ...``."""
    verdicts = Counter(finding.verdict for document in found.documents for finding in document.figures)
    documents, figures = len(found.documents), sum(verdicts.values())
    parts = [f"{documents} document{'s' * (documents != 1)}", f"{figures} figure{'s' * (figures != 1)}"]
    words: dict[str | None, str] = {
        AGREES: "agree",
        CONTRADICTED: CONTRADICTED,
        NOT_DETERMINED: NOT_DETERMINED,
        None: NOT_STATED,
    }
    return " · ".join(parts + [f"{verdicts[name]} {word}" for name, word in words.items() if verdicts[name]])
