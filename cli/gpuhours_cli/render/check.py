"""The screen of ``gpuhours check``: contradictions first, then what agrees, then what is undetermined or was not understood."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gpuhours.questions.checking.claim import Claim
from gpuhours.questions.checking.markdown import WIDTH, headline, plot
from gpuhours.questions.checking.outcome import Check, Checked, ContradictedClaims, Implied
from gpuhours.questions.checking.papers import PaperCheck
from gpuhours.questions.checking.quantities import QUANTITIES, multiple, shown
from gpuhours.questions.checking.table import TableCheck
from gpuhours.questions.verdicts import AGREES, CONSISTENT, CONTRADICTED, NOT_DETERMINED
from gpuhours_cli.output import console

STYLES = {CONTRADICTED: "bold red", AGREES: "green", NOT_DETERMINED: "yellow"}
NARROW = 70
"""Width in columns below which the plots are omitted, to leave room for the words."""
MOST_LISTED = 12
"""Maximum number of listed figures that belong to no run."""


def answer(checked: PaperCheck | TableCheck) -> str:
    """The verdict in one line."""
    if isinstance(checked, TableCheck):
        return f"{checked.verdict}: {checked.count(CONTRADICTED)} of {len(checked.runs)} runs contradicted"
    if checked.contradictions:
        first = checked.contradictions[0]
        cause = first.likely_causes[0].cause if first.likely_causes else "no known cause"
        return f"contradicted: {first.statement} ({cause})"
    return checked.verdict


def screen(checked: PaperCheck | TableCheck) -> RenderableType:
    """The full screen."""
    return _table_screen(checked) if isinstance(checked, TableCheck) else Group(*_paper(checked))


def many(checked: Sequence[tuple[Path, PaperCheck | TableCheck]]) -> RenderableType:
    """One line per document, then how many are contradicted."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(overflow="fold", max_width=30)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for path, result in checked:
        runs = len(result.runs)
        why = "" if isinstance(result, TableCheck) or not result.contradictions else _first_cause(result)
        verdict = Text(result.verdict, style=STYLES.get(result.verdict, ""))
        table.add_row(path.name, verdict, f"{runs} run{'s' if runs != 1 else ''}", why)
    wrong = sum(result.verdict == CONTRADICTED for _, result in checked)
    return Group(table, Text(), Text(f"{len(checked)} documents; {wrong} contradicted"))


def _first_cause(checked: PaperCheck) -> str:
    first = checked.contradictions[0]
    return first.likely_causes[0].cause if first.likely_causes else "no known cause"


def _paper(checked: PaperCheck) -> Iterator[RenderableType]:
    """Each run in turn, then the figures that belong to no run."""
    if checked.only is None:
        yield Text(headline(checked), style="bold red" if checked.contradictions else "bold")
    for index, run in enumerate(checked.runs):
        if checked.only is None or index:
            yield Text()
        yield from _parts(run)
    for contradiction in checked.sums:
        yield Text()
        yield Text.assemble(("contradicted  ", STYLES[CONTRADICTED]), contradiction.statement)
    for said in checked.added_up:
        yield _line("adds up", said)
    if checked.paper.set_aside:
        yield _line(
            "set aside",
            "; ".join(f"{_stated(claim)} ({claim.scope})" for claim in checked.paper.set_aside[:MOST_LISTED]),
        )
    for number in checked.paper.not_understood[:MOST_LISTED]:
        yield _line("not understood", f"“{number.text}” on {number.place}: “{number.quote}”")
    more = len(checked.paper.not_understood) - MOST_LISTED
    if more > 0:
        yield _line("not understood", f"and {more} more: --json lists them")
    questions = checked.to_settle
    if questions:
        yield Text()
    for index, question in enumerate(questions):
        yield _line("" if index else "to settle it", question)


def _parts(checked: Check) -> Iterator[RenderableType]:
    model = checked.document.fact("model") or checked.document.name
    counts = {word: sum(c.verdict == word for c in checked.claims) for word in (AGREES, CONTRADICTED, NOT_DETERMINED)}
    said = " · ".join(f"{n} {'agree' if word == AGREES and n != 1 else word}" for word, n in counts.items() if n)
    yield Text.assemble((f"{model}: {checked.verdict}", "bold red" if checked.contradictions else "bold"), f"   {said}")
    for contradiction in checked.contradictions:
        yield Text()
        yield _contradiction(contradiction, checked)
    for doubt in checked.doubts:
        yield Text()
        yield Text.assemble(("not determined  ", STYLES[NOT_DETERMINED]), doubt.to_confirm)
    compared = [c for c in checked.claims if c.verdict in (AGREES, CONTRADICTED) and c.reconciled is not None]
    if compared:
        yield Text()
        yield _compared(compared)
    alone = [c for c in checked.claims if c.verdict == NOT_DETERMINED]
    if alone:
        yield Text()
        yield _line("nothing tests these", ", ".join(_stated(c.claim) for c in alone))
    yield from _open_ends(checked)
    yield from _asides(checked)


def _contradiction(contradiction: ContradictedClaims, checked: Check) -> RenderableType:
    """One contradiction: the claims involved, the quoted text, and the likely causes."""
    lines: list[RenderableType] = [
        Text.assemble(
            ("contradicted  ", STYLES[CONTRADICTED]),
            f"{contradiction.statement} (factor {multiple(contradiction.factor)})",
        )
    ]
    first = checked.document.claim(contradiction.claims[0])
    if first is not None and first.quote:
        lines.append(Padding(Text(f"“{first.quote}”  {first.place}", style="italic"), (0, 0, 0, 4)))
    if contradiction.arithmetic:
        lines.append(Padding(Text(contradiction.arithmetic), (0, 0, 0, 4)))
    if not contradiction.likely_causes:
        lines.append(Padding(Text("no known cause"), (0, 0, 0, 4)))
    for index, cause in enumerate(contradiction.likely_causes[:3]):
        word = "likely" if index == 0 else "or"
        name = QUANTITIES[cause.quantity].title
        said = f"{word}: {cause.cause} ({name} x {multiple(cause.factor)}): {cause.text}"
        lines.append(Padding(Text(said), (0, 0, 0, 4)))
    return Group(*lines)


def _compared(claims: list[Checked]) -> RenderableType:
    """Each compared claim with its verdict and, if the screen is wide enough, a plot of it against the reconciled value."""
    table = Table.grid(padding=(0, 2, 0, 0))
    titles = [word for checked in claims for word in checked.claim.title.split()]
    table.add_column(max_width=20, min_width=min(20, max(map(len, titles))), overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    drawn = console().width >= NARROW
    if drawn:
        table.add_column(no_wrap=True, width=WIDTH)
    table.add_column(no_wrap=True)
    scale = [Text("half  =  twice".center(WIDTH), style="dim")] if drawn else []
    table.add_row("", Text("stated", style="dim"), Text("together", style="dim"), *scale, "")
    for checked in claims:
        assert checked.reconciled is not None
        name = checked.claim.quantity
        table.add_row(
            checked.claim.title, shown(name, checked.claim.value), shown(name, checked.reconciled), *([plot(checked)] if drawn else []),
            Text(checked.verdict or "", style=STYLES.get(checked.verdict or "", "")),
        )  # fmt: skip
    return table


def _open_ends(checked: Check) -> Iterator[RenderableType]:
    solved = [entry for entry in checked.implied if entry.value is not None and entry.basis != "assumed"]
    usual = [entry for entry in checked.implied if entry.value is not None and entry.basis == "assumed"]
    if solved:
        yield Text()
        yield _implied("Implied", solved)
    if usual:
        yield Text()
        yield Text(f"Implied {usual[0].reason}", style="bold")
        yield _implied("", usual)
    above = {entry.quantity for entry in usual}
    unknown = [
        _name(entry.quantity) for entry in checked.implied if entry.value is None and entry.quantity not in above
    ]
    yield Text()
    if unknown:
        yield _line("not determined", ", ".join(unknown))
    if checked.assumptions:
        yield _line(
            "assumed", "; ".join(f"{_name(a.quantity)} {a.value:.3g} ({a.reason})" for a in checked.assumptions)
        )
    yield from _peak(checked)
    if checked.witness:
        yield _line("witness", checked.witness)


def _peak(checked: Check) -> Iterator[RenderableType]:
    """The peak to which MFU is relative and its source, or a statement that it is unknown."""
    named = checked.document.fact("accelerator")
    if checked.accelerator is not None:
        note = f"; {checked.accelerator.note}" if checked.accelerator.note else ""
        peak = f"{checked.accelerator.peak / 1e12:.4g} TFLOP/s dense, {checked.accelerator.name}{note}"
        yield _line("peak", peak)
    elif named is not None:
        yield _line("peak", f"no figures for “{named}”: MFU and power are not checked")


def _implied(heading: str, entries: list[Implied]) -> RenderableType:
    """Values that the claims imply for unstated quantities, with the 80 % range."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=26 if console().width >= NARROW else 18)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    if heading:
        table.add_row(Text(heading, style="bold"))
    for entry in entries:
        assert entry.value is not None
        assert entry.low is not None
        assert entry.high is not None
        name = entry.quantity
        span = "" if entry.high < 1.004 * entry.low else f"({shown(name, entry.low)} – {shown(name, entry.high)})"
        table.add_row(_name(name), shown(name, entry.value), span)
    return table


def _name(quantity: str) -> str:
    return QUANTITIES[quantity].title if quantity in QUANTITIES else quantity.replace("_", " ")


def _asides(checked: Check) -> Iterator[RenderableType]:
    noted = [c.claim for c in checked.claims if c.verdict is None]
    if noted:
        yield _line("read, not testable", ", ".join(_stated(claim) for claim in noted))
    if checked.document.set_aside:
        yield _line("set aside", "; ".join(f"{_stated(claim)} ({claim.scope})" for claim in checked.document.set_aside))
    for claim in (c.claim for c in checked.claims if c.claim.checked and not c.claim.because):
        if claim.quantity in ("global_batch", "dataset_samples", "wall_clock", "memory_per_gpu"):
            yield _line("placed by its unit", f"“{claim.text}” on {claim.place}: placed as {claim.title}")


def _stated(claim: Claim) -> str:
    return f"{claim.title} {shown(claim.quantity, claim.value)}"


def _line(name: str, text: str) -> RenderableType:
    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_column(width=19, style="dim")
    line.add_column(overflow="fold")
    line.add_row(name, text)
    return line


def _table_screen(checked: TableCheck) -> RenderableType:
    """The contradicted runs of a table, largest discrepancy first, each with the contradiction and its likely cause."""
    flagged = [run for run in checked.runs if run.contradictions]
    flagged.sort(key=lambda run: -abs(math.log(run.contradictions[0].factor)))
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(overflow="fold")
    table.add_column(overflow="fold", ratio=1)
    for run in flagged:
        table.add_row(Text(run.document.name, style="bold red"), "\n".join(_flag(one) for one in run.contradictions))
    counted = f"{len(checked.runs)} runs · " + " · ".join(
        f"{checked.count(verdict)} {verdict}" for verdict in (CONTRADICTED, CONSISTENT, NOT_DETERMINED)
    )
    return Group(table, *([Text()] if flagged else []), Text(counted))


def _flag(contradiction: ContradictedClaims) -> str:
    """One contradiction and its first cause, in a line."""
    said = f"{contradiction.statement} (factor {multiple(contradiction.factor)})"
    if not contradiction.likely_causes:
        return f"{said}; no known cause"
    cause = contradiction.likely_causes[0]
    return f"{said}; likely {cause.cause} ({QUANTITIES[cause.quantity].title} x {multiple(cause.factor)})"
