"""The screen of ``validate --totals``: errors against 6 N D at a constant MFU, and the worst rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gpuhours.questions.validating.totals import JudgedTotals, TotalsReport
from gpuhours_cli.render import numbers
from gpuhours_cli.render.validate import one_line

WORST = 10
GIVEN = {
    "least": "model or parameters, tokens or samples, accelerator, year",
    "usual": "what a user would state: size, tokens, accelerator, year, and GPUs, batch and length where a row has them",
    "all": "everything but hours, days, MFU, FLOPs, energy and cost",
}


def answer(report: TotalsReport) -> str:
    """The one-line answer for ``--quiet``."""
    total = report.summary()
    if not total["predicted"]:
        return f"{total['rows']} rows, none of which can be predicted"
    base = total["baseline_30"]
    return (
        f"{total['predicted']} of {total['rows']} whole runs, each organisation left out: median error "
        f"{_percent(total['median_ape'])}, mean {_percent(total['mape'])}, bias {_percent(total['bias'], signed=True)}, "
        f"{_percent(total['coverage_80'])} inside a range of a factor {numbers.digits(total['median_width'], 2)}; "
        f"6 N D at 30 %: {_percent(base['median_ape'])}, {_percent(base['mape'])}"
    )


def screen(report: TotalsReport) -> RenderableType:
    """The full screen."""
    shown: list[RenderableType] = [Text(answer(report), style="bold"), Text(f"given: {GIVEN[report.given]}\n")]
    shown.append(errors(report.summary(), report.by()))
    scored = sorted((one for one in report.judged if one.error is not None), key=_distance, reverse=True)
    if scored:
        shown += [Text("\nFurthest off"), worst(scored[:WORST])]
    reasons = skipped(report)
    if reasons:
        shown.append(Text(f"\nSkipped, {sum(len(names) for names in reasons.values())} rows"))
        shown += [Text(f"  {len(names):3}  {reason}: {', '.join(names)}") for reason, names in reasons.items()]
    if report.unread:
        shown.append(Text(f"\nColumns that are not used: {', '.join(report.unread)}"))
    return Group(*shown)


def skipped(report: TotalsReport) -> dict[str, list[str]]:
    """Each reason without its names and numbers -> the rows it excludes; most rows first."""
    reasons: dict[str, list[str]] = {}
    for one in report.judged:
        if one.raw.skipped_because:
            reason = re.sub(r" for '.*'| '.*?'|: .*", "", one.raw.skipped_because)
            reasons.setdefault(reason, []).append(one.raw.row.id)
    return dict(sorted(reasons.items(), key=lambda pair: -len(pair[1])))


def errors(total: Mapping[str, Any], by: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    """Errors over all rows and by each grouping."""
    table = Table(box=None, pad_edge=False, header_style="", padding=(0, 0, 0, 1))
    table.add_column("error in %")
    for name in ("rows", "median", "mean", "bias", "inside", "width", "6ND 30 %", "40 %"):
        table.add_column(name, justify="right", no_wrap=True)
    rows = [("all", total)]
    for grouping, values in by.items():
        rows += [(grouping, {}), *((f"  {value}", one) for value, one in values.items())]
    for name, one in rows:
        if not one:
            table.add_row(Text(f"by {name}", style="bold"))
            continue
        width = one["median_width"]
        table.add_row(
            one_line(name), str(one["predicted"]), _number(one["median_ape"]), _number(one["mape"]), _number(one["bias"], signed=True),
            _number(one["coverage_80"]), "" if width is None else f"x {width:.2f}", _number(one["baseline_30"]["mape"]),
            _number(one["baseline_40"]["mape"]),
        )  # fmt: skip
    return table


def worst(judged: list[JudgedTotals]) -> Table:
    """A table of the given (worst) rows: published and predicted GPU-hours, and the error."""
    table = Table(box=None, pad_edge=False, header_style="", padding=(0, 1, 0, 1))
    table.add_column("run")
    for name in ("published", "predicted", "10th", "90th", "error"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in judged:
        values = (one.raw.published, one.predicted, one.low, one.high)
        shown = ["" if value is None else numbers.count(value) for value in values]
        table.add_row(one_line(one.raw.row.id), *shown, _percent(one.error, signed=True))
    return table


def _distance(one: JudgedTotals) -> float:
    """Ratio of predicted and published hours, inverted if below 1, so that a tenth counts as much as tenfold."""
    predicted, published = one.predicted or 1.0, one.raw.published or 1.0
    return max(predicted / published, published / predicted)


def _number(value: float | None, *, signed: bool = False) -> str:
    return "" if value is None else f"{100 * value:+.0f}" if signed else f"{100 * value:.0f}"


def _percent(value: float | None, *, signed: bool = False) -> str:
    return "" if value is None else f"{_number(value, signed=signed)} %"
