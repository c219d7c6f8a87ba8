"""The verdict as Markdown, for a review."""

from __future__ import annotations

from collections.abc import Iterator

from gpuhours.questions.checking.outcome import Check
from gpuhours.questions.checking.papers import PaperCheck
from gpuhours.questions.checking.quantities import QUANTITIES, shown
from gpuhours.questions.checking.table import TableCheck


def as_markdown(found: PaperCheck | TableCheck) -> str:
    """One page: contradictions, a verdict per figure, what is implied, what was not understood."""
    lines = _table(found) if isinstance(found, TableCheck) else _paper(found)
    return "\n".join(lines) + "\n"


def _paper(found: PaperCheck) -> Iterator[str]:
    for run in found.runs:
        yield from _document(run)
        yield ""
    for contradiction in found.sums:
        yield f"- **Contradiction** (factor {contradiction.factor:.3g}): {contradiction.statement}."
    for said in found.added_up:
        yield f"- Adds up: {said}."
    for number in found.paper.not_understood:
        yield f"- Not understood: “{number.text}” ({number.place}): “{number.quote}”"


def _document(found: Check) -> Iterator[str]:
    yield f"## {found.document.fact('model') or found.document.name}: {found.verdict}"
    for contradiction in found.contradictions:
        yield ""
        yield f"- **Contradiction** (factor {contradiction.factor:.3g}): {contradiction.statement}."
        first = found.document.claim(contradiction.claims[0])
        if first is not None and first.quote:
            yield f"  > {first.quote} ({first.place})"
        for cause in contradiction.likely_causes:
            title = QUANTITIES[cause.quantity].title
            yield f"  - likely: {cause.cause} ({title} × {cause.factor:.3g}): {cause.text}"
        if not contradiction.likely_causes:
            yield "  - no known cause"
    yield ""
    yield "| figure | stated | together with the others | verdict | place |"
    yield "| --- | ---: | ---: | --- | --- |"
    for checked in found.claims:
        name = checked.claim.quantity
        together = "" if checked.reconciled is None else shown(name, checked.reconciled)
        stated = _cell(shown(name, checked.claim.value))
        yield f"| {checked.claim.title} | {stated} | {together} | {checked.verdict or 'not tested'} | {checked.claim.place} |"
    known = [entry for entry in found.implied if entry.value is not None]
    if known:
        yield ""
        yield "| implied | value | 10–90 % |"
        yield "| --- | ---: | --- |"
        for entry in known:
            assert entry.value is not None
            assert entry.low is not None
            assert entry.high is not None
            name = entry.quantity
            yield f"| {QUANTITIES[name].title} | {shown(name, entry.value)} | {shown(name, entry.low)} – {shown(name, entry.high)} |"


def _table(found: TableCheck) -> Iterator[str]:
    yield f"## {found.name}: {found.verdict}"
    yield ""
    yield "| run | contradiction | factor | likely cause |"
    yield "| --- | --- | ---: | --- |"
    for run in found.runs:
        for one in run.contradictions:
            cause = one.likely_causes[0].cause if one.likely_causes else "no known cause"
            yield f"| {_cell(run.document.name)} | {_cell(one.statement)} | {one.factor:.3g} | {_cell(cause)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
