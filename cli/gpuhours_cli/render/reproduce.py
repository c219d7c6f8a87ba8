"""The screen of ``gpuhours reproduce``: published beside computed, a verdict per figure."""

from __future__ import annotations

from collections import Counter

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gpuhours.documents import Finding, Reproductions
from gpuhours_cli.render import numbers

STYLES = {"reproduced": "green", "consistent": "green", "underdetermined": "yellow", "contradicted": "bold red"}
TEXTS = {
    "": numbers.plain_or_percent, "s": numbers.duration, "byte": numbers.si("B"), "FLOP": numbers.si("FLOP"),
    "J": numbers.energy, "gCO2e": numbers.carbon,
}  # fmt: skip


def screen(found: Reproductions) -> RenderableType:
    """All documents, then the count of verdicts."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), expand=True)
    table.add_column("Figure", ratio=3, overflow="fold")
    table.add_column("Published", ratio=2, overflow="fold")
    table.add_column("Computed", ratio=4, overflow="fold")
    table.add_column("Verdict", min_width=15, no_wrap=True)
    for document in found.documents:
        table.add_row(Text(document.name, style="bold"), "", "", "")
        for finding in document.figures:
            table.add_row(
                "  " + finding.figure, published(finding), computed(finding), Text(finding.verdict, style=STYLES[finding.verdict])
            )
            if finding.reason and finding.verdict in {"contradicted", "underdetermined"}:
                table.add_section()
    notes = [line for document in found.documents for line in reasons(document.name, document.figures)]
    return Group(table, Text(), *notes, Text(answer(found), style="bold"))


def reasons(name: str, figures: tuple[Finding, ...]) -> list[Text]:
    """Why a figure is contradicted or open, in the words of the document file."""
    return [
        Text(f"{name}, {finding.figure}: {finding.reason}")
        for finding in figures
        if finding.reason and finding.verdict in {"contradicted", "underdetermined"}
    ]


def published(finding: Finding) -> str:
    """What the text says, or a dash."""
    return "–" if finding.published is None else value(finding, finding.published)


def computed(finding: Finding) -> str:
    """What came out, with its range."""
    if finding.computed is None:
        return "not determined" if not finding.reason.startswith("not yet") else "not yet modelled"
    said = value(finding, finding.computed)
    if finding.low is None or finding.high is None:
        return said
    return f"{said} {numbers.span(finding.low, finding.high, TEXTS.get(finding.unit, numbers.count))}"


def value(finding: Finding, number: float) -> str:
    """One number in the words of its unit."""
    return TEXTS.get(finding.unit, numbers.count)(number)


def answer(found: Reproductions) -> str:
    """``5 documents · 31 figures · 22 reproduced · ...``."""
    verdicts = Counter(finding.verdict for document in found.documents for finding in document.figures)
    parts = [f"{len(found.documents)} documents", f"{sum(verdicts.values())} figures"]
    return " · ".join(parts + [f"{verdicts[name]} {name}" for name in STYLES if verdicts[name]])
