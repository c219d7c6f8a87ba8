"""The screen of ``gpuhours reproduce``: stated and predicted values, a verdict per figure, and the headline figures in words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gpuhours.questions.checking.quantities import shown
from gpuhours.questions.reproducing import Finding, Reproduction, Reproductions
from gpuhours.questions.reproducing.findings import FITS
from gpuhours.questions.reproducing.taking import GOODPUT, Need
from gpuhours.questions.verdicts import AGREES, CONTRADICTED, NOT_DETERMINED
from gpuhours_cli.render import numbers

STYLES = {AGREES: "green", CONTRADICTED: "bold red", NOT_DETERMINED: "yellow"}
NOT_STATED = "not stated"
"""Shown instead of a verdict where the text gives no figure."""
UNFOUNDED = "none from the rest"
"""Shown instead of a value for a contradicted figure that the text's other figures do not determine without it."""


def screen(reproductions: Reproductions) -> RenderableType:
    """One table per document, then its headline figures and the reasons in words, then the count of verdicts."""
    parts: list[RenderableType] = []
    for document in reproductions.documents:
        parts += [figures(document), *headlines(document), *reasons(document), *rests(document), Text()]
    return Group(*parts, Text(answer(reproductions), style="bold"))


def figures(document: Reproduction) -> Table:
    """The figures of one document."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), expand=True)
    table.add_column(document.name, ratio=7, overflow="fold")
    table.add_column("Stated", ratio=6, overflow="fold")
    table.add_column("Comes out as", ratio=6, overflow="fold")
    table.add_column("Verdict", min_width=15, no_wrap=True)
    for finding in filter(says_something, document.figures):
        table.add_row(finding.figure, published(finding), computed(finding), verdict(finding))
    return table


def verdict(finding: Finding) -> Text:
    """The verdict; if nothing is published, whether any run could match."""
    if finding.verdict is not None:
        apart = f"\n{factor(finding.outside)} outside" if finding.outside is not None and finding.outside > 1 else ""
        said = Text(finding.verdict + apart, style=STYLES[finding.verdict])
        return (
            said.append(f"\non {assumptions(len(finding.rests_on))}", style="dim") if _is_on_choices(finding) else said
        )
    return Text(NOT_STATED, style="dim") if finding.possible else Text("impossible", style="bold red")


def _is_on_choices(finding: Finding) -> bool:
    """Whether a verdict came of a value that rests on what the file's author chose."""
    return finding.verdict is not None and finding.computed is not None and bool(finding.rests_on)


def assumptions(count: int) -> str:
    """``1 assumption``, ``5 assumptions``."""
    return f"{count} assumption{'s' if count != 1 else ''}"


def rests(document: Reproduction) -> list[RenderableType]:
    """What the verdicts rest on that the author of the document chose: only a person can judge it."""
    chosen = sorted({key for finding in document.figures if _is_on_choices(finding) for key in finding.rests_on})
    if not chosen:
        return []
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column(overflow="fold")
    said = (
        f"The verdicts rest on {assumptions(len(chosen))} of the file's author, for you to judge: {', '.join(chosen)}."
    )
    table.add_row("!", Text(said, style="dim"))
    return [table]


def says_something(finding: Finding) -> bool:
    """Whether a figure is shown: not if it is neither stated nor implied, or if no identity uses it."""
    if finding.published is None:
        return finding.computed is not None or not finding.quantity
    return finding.verdict is not None


def said_in(finding: Finding) -> Callable[[float], str]:
    """How the figure's numbers are formatted: by its unit, or as ``check`` formats the quantity."""
    if finding.quantity and finding.unit != "FLOP":
        return lambda number: shown(finding.quantity, number)
    return numbers.for_unit(finding.unit)


def factor(apart: float) -> str:
    """``1.14x``; without decimals from ten."""
    return f"{apart:.0f}x" if apart >= 10 else f"{apart:.2f}x"


def headlines(document: Reproduction) -> list[RenderableType]:
    """The outcome for the headline figures, and the input values needed to match them."""
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column(overflow="fold")
    for finding in document.figures:
        if finding.headline:
            table.add_row("●", Text(sentence(finding), style="bold"))
            for need in document.takes:
                table.add_row("", taken(need, finding))
    return [table] if table.row_count else []


def sentence(finding: Finding) -> str:
    """One headline figure: stated, predicted, and whether the predicted range contains it."""
    said = f"{finding.figure}: the text says {published(finding)};"
    if not finding.possible:
        return f"{said} impossible given its other figures."
    if finding.computed is None or finding.outside is None:
        return f"{said} neither reproduced nor refuted: the text does not state what it follows from."
    came = f"{_how(finding)} {computed(finding)}"
    if finding.outside <= 1:
        closing = "inside: reproduced." if finding.verdict == AGREES else "inside, but the range is too wide to tell."
        return f"{said} {came}, {closing}"
    side = "above" if (finding.published or 0) > finding.computed else "below"
    closing = CONTRADICTED if finding.verdict == CONTRADICTED else "not reproduced"
    return f"{said} {came}. It is {factor(finding.outside)} {side} that range: {closing}."


def _how(finding: Finding) -> str:
    """How the compared value was obtained."""
    if finding.basis != "predicted":
        return "its other figures give"
    seen = ", ".join(f"“{name}”" for name in finding.depends_on)
    return f"predicted blind but for its own {seen}:" if seen else "predicted blind"


def taken(need: Need, finding: Finding) -> str:
    """A sentence on the value that one unstated input would need."""
    if need.key == GOODPUT:
        usual = "" if need.usual is None else f"; usual {need.usual:.2f}"
        stands = "" if need.value is not None else ", which is impossible"
        return f"{need.words.capitalize()} needs a goodput of {need.nearest:.2f}{stands}{usual}."
    if math.isnan(need.nearest):
        return f"No value of {need.words} could be computed."
    most = f"at most {value(finding, need.nearest)} (range to {value(finding, need.nearest_high)}) at {numbers.exact(need.at)}"
    if need.value is not None:
        begins = "" if need.held_from is None else f", and the range holds it from {about(need.held_from)} on"
        return f"It takes {about(need.value)} {need.words}{begins}."
    if need.held_from is not None:
        return f"The range holds it from {about(need.held_from)} {need.words}; the median never reaches it: {most}."
    return f"No number of {need.words} reaches it: {most}."


def about(number: float) -> str:
    """Two digits: ``9,500``."""
    return numbers.exact(float(f"{number:.2g}"))


def reasons(document: Reproduction) -> list[RenderableType]:
    """Why a figure is contradicted or not determined, in the words of the document file."""
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column(overflow="fold")
    why: dict[str, list[str]] = {}
    for finding in filter(says_something, document.figures):
        open_or_denied = finding.verdict in {CONTRADICTED, NOT_DETERMINED} or not finding.possible
        if finding.reason and (open_or_denied or finding.computed is None):
            why.setdefault(finding.reason, []).append(finding.figure)
    for reason, labels in why.items():
        table.add_row("↳", f"{', '.join(labels)}: {reason}")
    return [table] if table.row_count else []


def published(finding: Finding) -> str:
    """The figure as stated in the text, or a dash."""
    if finding.stated:
        return f"{finding.stated} {finding.unit}".strip()
    if finding.published is None or finding.stated_low is None or finding.stated_high is None:
        return "–"
    if finding.unit == FITS:
        return value(finding, finding.published)
    return f"{value(finding, finding.published)} {spread(finding, finding.stated_low, finding.stated_high)}".strip()


def spread(finding: Finding, low: float, high: float) -> str:
    """``(1.66 – 1.95)``: the range of a stated value; empty if it is exact."""
    return "" if low == high else numbers.span(finding.published or 0, low, high, said_in(finding))


def computed(finding: Finding) -> str:
    """The predicted value with its range."""
    if finding.computed is None:
        return UNFOUNDED if finding.verdict == CONTRADICTED else "not determined"
    said = value(finding, finding.computed)
    if finding.low is None or finding.high is None:
        return said
    return f"{said} {numbers.span(finding.computed, finding.low, finding.high, said_in(finding))}".strip()


def value(finding: Finding, number: float) -> str:
    """One number formatted in its unit."""
    return said_in(finding)(number)


def answer(reproductions: Reproductions) -> str:
    """``5 documents · 31 figures · 22 reproduced · ...``."""
    verdicts = Counter(finding.verdict for document in reproductions.documents for finding in document.figures)
    documents, figures = len(reproductions.documents), sum(verdicts.values())
    parts = [f"{documents} document{'s' * (documents != 1)}", f"{figures} figure{'s' * (figures != 1)}"]
    words: dict[str | None, str] = {
        AGREES: "agree",
        CONTRADICTED: CONTRADICTED,
        NOT_DETERMINED: NOT_DETERMINED,
        None: NOT_STATED,
    }
    return " · ".join(parts + [f"{verdicts[name]} {word}" for name, word in words.items() if verdicts[name]])
