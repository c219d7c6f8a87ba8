"""Write the verdict as a page to paste into a review, in Markdown or HTML."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gpuhours.questions.checking.outcome import Check, Checked
from gpuhours.questions.checking.papers import PaperCheck
from gpuhours.questions.checking.quantities import QUANTITIES, multiple, shown
from gpuhours.questions.checking.table import TableCheck
from gpuhours.questions.verdicts import AGREES, CONTRADICTED

WIDTH = 21
"""Width of the plot in characters: from half to twice the reconciled value."""
SPAN = math.log(2.0)


def as_markdown(checked: PaperCheck | TableCheck) -> str:
    """Return one page of Markdown: contradictions, a verdict per figure, implied values and numbers not understood."""
    lines = _table(checked) if isinstance(checked, TableCheck) else _paper(checked)
    return "\n".join(lines) + "\n"


def as_html(checked: PaperCheck | TableCheck) -> str:
    """Return the same page as a self-contained HTML file; tables too wide for the window are scrolled, by keyboard too."""
    from html import escape

    from markdown_it import MarkdownIt

    name = checked.name if isinstance(checked, TableCheck) else checked.paper.name
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(as_markdown(checked))
    if "<h1>" not in body:  # a text of one run: its heading is the page's
        body = body.replace("h2>", "h1>")
    body = body.replace("<table>", f"{SCROLLED}<table>").replace("</table>", "</table></div>")
    return PAGE.format(title=escape(f"{name}: {checked.verdict}"), body=body)


SCROLLED = '<div class="wide" role="group" tabindex="0" aria-label="Table">'
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --text: #1a1a1a; --paper: #fff; --soft: #555; --line: #ddd; }}
@media (prefers-color-scheme: dark) {{ :root {{ --text: #e6e6e6; --paper: #16181c; --soft: #a8adb5; --line: #3a3f47; }} }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em;
  color: var(--text); background: var(--paper); overflow-wrap: anywhere; }}
.wide {{ overflow-x: auto; margin: 1em 0; }}
.wide:focus-visible {{ outline: 2px solid var(--soft); outline-offset: 2px; }}
table {{ border-collapse: collapse; overflow-wrap: normal; }}
th, td {{ border-bottom: 1px solid var(--line); padding: 0.25em 0.75em; text-align: left; vertical-align: top; }}
td {{ white-space: nowrap; }}
code {{ font-family: ui-monospace, monospace; white-space: pre; }}
blockquote {{ color: var(--soft); border-left: 3px solid var(--line); margin-left: 0; padding-left: 1em; }}
/* on a phone, no plots: the fourth of six columns, before the verdict */
@media (max-width: 40em) {{ body {{ font-size: 15px; }} ul {{ padding-left: 1.2em; }} th, td {{ padding: 0.25em 0.5em 0.25em 0; }}
  :is(th, td):nth-child(4):nth-last-child(3) {{ display: none; }} }}
</style>
</head>
<body>
<main>
{body}</main>
</body>
</html>
"""


def _paper(checked: PaperCheck) -> Iterator[str]:
    if checked.only is None:
        yield f"# {_escaped(checked.paper.name)}: {checked.verdict}"
        yield ""
        yield headline(checked)
        yield ""
    for run in checked.runs:
        yield from _document(run)
        yield ""
    for contradiction in checked.sums:
        yield f"- **Contradiction** (factor {multiple(contradiction.factor)}): {contradiction.statement}."
    for said in checked.added_up:
        yield f"- Adds up: {said}."
    if checked.to_settle:
        yield from ("", "To settle it:", "", *(f"- {_escaped(question)}" for question in checked.to_settle), "")
    for claim in checked.paper.set_aside:
        yield f"- Set aside: {claim.title} {shown(claim.quantity, claim.value)} ({claim.place}): {_escaped(claim.scope)}"
    for number in checked.paper.not_understood:
        yield f"- Not understood: “{_escaped(number.text)}” ({number.place}): “{_escaped(number.quote)}”"


def headline(checked: PaperCheck) -> str:
    """Return one sentence that counts the runs and the contradicted ones: ``In this text: 5 runs; 2 contradicted.``"""
    runs = sum(run.document.kind != "total" for run in checked.runs)
    wrong = sum(bool(run.contradictions) for run in checked.runs)
    sums = "; their sum is contradicted" if checked.sums else ""
    return f"In this text: {runs} runs; {wrong or 'none'} contradicted{sums}."


def plot(checked: Checked) -> str:
    """Plot a claim (●, with its range) and the reconciled value (│) on a logarithmic axis from half to twice that value.

    Returns an empty string if there is no reconciled value or one of the two is not positive.
    """
    if checked.reconciled is None or checked.reconciled <= 0 or checked.claim.value <= 0:
        return ""
    cells = [" "] * WIDTH
    spread = checked.claim.spread
    low, middle, high = (_cell_of(v, checked.reconciled) for v in (spread.low, checked.claim.value, spread.high))
    for position in range(max(low, 0), min(high, WIDTH - 1) + 1):
        cells[position] = "─"
    cells[WIDTH // 2] = "│"
    if 0 <= middle < WIDTH:
        cells[middle] = "●"
    else:
        cells[0 if middle < 0 else -1] = "◀" if middle < 0 else "▶"
    return "".join(cells)


def _cell_of(value: float, reconciled: float) -> int:
    ratio = math.log(value / reconciled) / SPAN if value > 0 else -9.0
    return round((max(min(ratio, 9.0), -9.0) + 1) / 2 * (WIDTH - 1))


def _document(found: Check) -> Iterator[str]:
    yield f"## {_escaped(found.document.fact('model') or found.document.name)}: {found.verdict}"
    if found.witness:
        yield ""
        yield f"Witness: {found.witness}."
    for contradiction in found.contradictions:
        yield ""
        yield f"- **Contradiction** (factor {multiple(contradiction.factor)}): {contradiction.statement}."
        first = found.document.claim(contradiction.claims[0])
        if first is not None and first.quote:
            yield f"  > {_escaped(first.quote)} ({first.place})"
        if contradiction.arithmetic:
            yield f"  - by hand: {contradiction.arithmetic}"
        for index, cause in enumerate(contradiction.likely_causes[:3]):
            title = QUANTITIES[cause.quantity].title
            yield f"  - {'or' if index else 'likely'}: {cause.cause} ({title} × {multiple(cause.factor)}): {cause.text}"
        if not contradiction.likely_causes:
            yield "  - no known cause"
    for doubt in found.doubts:
        yield ""
        yield f"- **Not determined**: {_escaped(doubt.to_confirm)}."
    yield ""
    yield "| figure | stated | together with the others | half = twice | verdict | place |"
    yield "| --- | ---: | ---: | :---: | --- | --- |"
    for checked in found.claims:
        name = checked.claim.quantity
        together = "" if checked.reconciled is None else shown(name, checked.reconciled)
        stated = _cell(shown(name, checked.claim.value))
        verdict = f"{_bar(checked)} | {checked.verdict or 'not tested'} | {checked.claim.place}"
        yield f"| {checked.claim.title} | {stated} | {together} | {verdict} |"
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


def _table(checked: TableCheck) -> Iterator[str]:
    yield f"## {_escaped(checked.name)}: {checked.verdict}"
    yield ""
    yield "| run | contradiction | factor | likely cause |"
    yield "| --- | --- | ---: | --- |"
    for run in checked.runs:
        for one in run.contradictions:
            cause = one.likely_causes[0].cause if one.likely_causes else "no known cause"
            yield f"| {_escaped(run.document.name)} | {_cell(one.statement)} | {multiple(one.factor)} | {_cell(cause)} |"


def _bar(checked: Checked) -> str:
    bar = plot(checked) if checked.verdict in (AGREES, CONTRADICTED) else ""
    return f"`{bar}`" if bar else ""


def _escaped(text: str) -> str:
    """Escape the text of a paper so that Markdown renders it literally."""
    return "".join(f"\\{c}" if c in "\\`*_<>[]#|" else c for c in text)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
