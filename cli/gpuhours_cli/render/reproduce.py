"""The screen of ``gpuhours reproduce``: published beside computed, a verdict per figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gpuhours.questions.reproducing import Finding, Reproduction, Reproductions
from gpuhours_cli.render import numbers

STYLES = {"reproduced": "green", "consistent": "green", "underdetermined": "yellow", "contradicted": "bold red"}
TEXTS: dict[str, Callable[[float], str]] = {
    "": numbers.plain_or_percent, "s": numbers.duration, "byte": numbers.si("B"), "FLOP": numbers.si("FLOP"),
    "J": numbers.energy, "gCO2e": numbers.carbon, "times": lambda value: f"{value:.2f} times",
    "fits": lambda value: "fits" if value else "does not fit",
}  # fmt: skip


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
        verdict = Text(finding.verdict, style=STYLES[finding.verdict])
        table.add_row(finding.figure, published(finding), computed(finding), verdict)
    return table


def reasons(document: Reproduction) -> list[RenderableType]:
    """Why a figure is contradicted or open, in the words of the document file."""
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column(overflow="fold")
    for finding in document.figures:
        if finding.reason and finding.verdict in {"contradicted", "underdetermined"}:
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
    return f"{said} {numbers.span(finding.computed, finding.low, finding.high, TEXTS.get(finding.unit, numbers.count))}".strip()


def value(finding: Finding, number: float) -> str:
    """One number in the words of its unit."""
    return TEXTS.get(finding.unit, numbers.count)(number)


def answer(found: Reproductions) -> str:
    """``5 documents · 31 figures · 22 reproduced · ...``."""
    verdicts = Counter(finding.verdict for document in found.documents for finding in document.figures)
    documents, figures = len(found.documents), sum(verdicts.values())
    parts = [f"{documents} document{'s' * (documents != 1)}", f"{figures} figure{'s' * (figures != 1)}"]
    return " · ".join(parts + [f"{verdicts[name]} {name}" for name in STYLES if verdicts[name]])
