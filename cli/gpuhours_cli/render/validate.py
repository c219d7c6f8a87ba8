"""The screen of ``validate``: errors by kind, a parity plot, the ten worst rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gpuhours.questions.validating.report import Judged, Validation
from gpuhours.run.digest import digest

WIDTH, HEIGHT = 60, 16
"""Size of the parity plot in characters."""
TABLES = ("source_title", "accelerator", "precision", "parallelism", "length", "kind")
WORST = 10


def answer(validation: Validation) -> str:
    """The one-line answer for ``--quiet``."""
    total = validation.summary()
    sentences = []
    if total["median_ape"] is not None:
        sentences.append(
            f"{total['predicted']} step times: median error {_share(total['median_ape'])}, mean {_share(total['mape'])}"
        )
    if total["sources"] > 1:
        sentences.append(
            f"{total['sources']} sources weighted equally: {_share(total['sources_median_ape'])}, {_share(total['sources_mape'])}"
        )
    if total["memory_median_ape"] is not None:
        sentences.append(
            f"memory of {total['memory_rows']}: {_share(total['memory_median_ape'])}, {_share(total['memory_mape'])}"
        )
    if total["blind_rows"]:
        sentences.append(
            f"{total['blind_rows']} predicted blind: {_share(total['blind_median_ape'])}, {_share(total['blind_mape'])}"
        )
    if total["coverage_80"] is not None:
        sentences.append(
            f"{_share(total['coverage_80'], digits=0)} in range, high / low {total['median_width']:.2f} in the median"
        )
    sentences = sentences or ["nothing to compare"]
    unseen = (
        "none of them used for fitting" if validation.site is None else f"calibrated on the steps of {validation.site}"
    )
    how = "in sample" if validation.in_sample else "each source left out" if total["leave_out"] else unseen
    return "; ".join([f"{total['rows']} rows", *sentences, how])


def screen(validation: Validation) -> RenderableType:
    """The full screen."""
    shown: list[RenderableType] = [
        Text(answer(validation), style="bold"),
        *fits(validation.summary()),
        *tenths(validation.summary()),
        *ranges(validation),
    ]
    if any(one.error is not None or one.memory_error is not None for one in validation.judged):
        shown.append(errors(validation.by()))
    scored = [one for one in validation.judged if one.error is not None]
    if scored:
        shown += [Text("\nPredicted against measured step time, logarithmic; / is perfect"), Text(parity(scored))]
        shown += [worst(scored)]
    shown += skipped(validation.judged)
    if validation.unread:
        shown.append(Text(f"\nColumns that are not used: {', '.join(validation.unread)}"))
    shown.append(Text(f"\nPredicted with constants and profiles {digest()}; {left_out(validation)}"))
    return Group(*shown)


def skipped(judged: Sequence[Judged]) -> list[Text]:
    """Why rows were skipped: the eight most frequent reasons, the number of rows for each, and the first of them."""
    rows: dict[str, list[str]] = {}
    for one in judged:
        if one.skipped_because:
            rows.setdefault(one.skipped_because, []).append(one.row.id)
    frequent = sorted(rows.items(), key=lambda pair: -len(pair[1]))[:8]
    lines = [Text(f"  {len(ids):5}  {reason} (first: {ids[0]})") for reason, ids in frequent]
    return [Text("\nSkipped"), *lines] if lines else []


def left_out(validation: Validation) -> str:
    """Which constants the predictions exclude."""
    left = validation.summary()["leave_out"]
    if validation.in_sample:
        return "including those fitted on these very rows"
    if validation.site is not None:
        return f"stack and network calibrated on the steps of {validation.site}, which may be among these rows"
    if not left:
        return "none of them was fitted on these rows"
    systems = {what.split(":")[0] for what in left}
    return f"{len(left)} of them left out or refitted for {len(systems)} sources or systems (--json says which)"


def fits(total: Mapping[str, Any]) -> list[Text]:
    """How many runs that ran, and how many that failed, were predicted to fit or not; empty if none is published as failed."""
    ran, failed = total["ran_rows"], total["out_of_memory_rows"]
    if not failed:
        return []
    sentences = [f"{total['ran_fits']} of {ran} that ran are predicted to fit"] if ran else []
    sentences += [f"{total['out_of_memory_called']} of {failed} out of memory are predicted not to"]
    return [Text("; ".join(sentences))]


def tenths(total: Mapping[str, Any]) -> list[RenderableType]:
    """For each tenth of the predicted probability of fitting: the share of layouts that ran, and its 95 % interval; empty if
    none is published as failed."""
    if not total["out_of_memory_rows"]:
        return []
    table = Table(box=None, pad_edge=False, header_style="", padding=(0, 0, 0, 1))
    table.add_column("probability of fitting, %")
    for name in ("layouts", "predicted", "ran", "95 % range"):
        table.add_column(name, justify="right", no_wrap=True, min_width=6)
    for one in total["fits_calibration"]:
        between = f"{_percent(one['low'], digits=0)} to {_percent(one['high'], digits=0)}"
        off = "" if one["low"] <= one["predicted"] <= one["high"] else " off"
        tenth = f"  {100 * one['from']:.0f} to {100 * one['from'] + 10:.0f}"
        table.add_row(tenth, str(one["rows"]), _percent(one["predicted"]), _percent(one["ran"]), between + off)
    return [table]


def ranges(validation: Validation) -> list[Text]:
    """How often and how closely the published rows' ranges held, also with half of the facts blanked; empty for other rows."""
    learned = validation.ranges()
    if learned is None:
        return []
    whole, less = learned["as_published"], learned["half_blanked"]
    return [
        Text(
            f"Ranges at the last --update: {_share(whole['rows'], digits=0)} of rows as published inside, high / low "
            f"{whole['median_width']:.2f} in the median, interval score {whole['interval_score']:.3f}; with half of their facts blanked at "
            f"random {_share(less['rows'], digits=0)}, {less['median_width']:.2f}, {less['interval_score']:.3f}"
        )
    ]


def one_line(text: str) -> Text:
    """The text of a cell that is truncated if other columns need the space."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def errors(by: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    """Errors by each grouping."""
    table = Table(box=None, pad_edge=False, header_style="", padding=(0, 0, 0, 1))
    table.add_column("error in %")  # the only column that shrinks on a narrow terminal
    for name in ("rows", "median", "mean", "p90", "bias", "in band", "memory"):
        table.add_column(name, justify="right", no_wrap=True, min_width=5)
    for grouping in TABLES:
        table.add_row(Text(f"\nby {grouping.removesuffix('_title')}", style="bold"))
        for value, one in by[grouping].items():
            if one["predicted"] or one["memory_rows"]:
                table.add_row(
                    one_line(f"  {value}"), str(one["predicted"]), _percent(one["median_ape"]), _percent(one["mape"]),
                    _percent(one["p90_ape"]), _percent(one["bias"], signed=True), _percent(one["coverage_80"], digits=0),
                    _percent(one["memory_median_ape"]),
                )  # fmt: skip
    return table


def parity(judged: Sequence[Judged]) -> str:
    """A scatter plot in characters: measured on x, predicted on y, both logarithmic."""
    pairs = [(math.log10(one.measured), math.log10(one.predicted)) for one in judged if one.measured and one.predicted]
    low, high = min(min(pair) for pair in pairs), max(max(pair) for pair in pairs) + 1e-9
    counts: Counter[tuple[int, int]] = Counter()
    for x, y in pairs:
        counts[int((x - low) / (high - low) * (WIDTH - 1)), int((y - low) / (high - low) * (HEIGHT - 1))] += 1
    lines = []
    for row in reversed(range(HEIGHT)):
        cells = [
            _mark(counts[column, row], round(column * (HEIGHT - 1) / (WIDTH - 1)) == row) for column in range(WIDTH)
        ]
        lines.append(f"{_seconds(low + (high - low) * row / (HEIGHT - 1)):>9} " + "".join(cells).rstrip())
    return "\n".join([*lines, f"{'':9} {_seconds(low)}{_seconds(high):>{WIDTH - len(_seconds(low))}}"])


def _mark(count: int, diagonal: bool) -> str:
    if not count:
        return "/" if diagonal else " "
    return "." if count == 1 else "o" if count < 5 else "O" if count < 20 else "@"


def worst(judged: Sequence[Judged]) -> Table:
    """The rows with the largest errors, and the largest parts of their predicted time."""
    table = Table(
        title=f"\nThe {WORST} furthest off",
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        header_style="",
    )
    for name, side in (
        ("row", "left"),
        ("measured", "right"),
        ("predicted", "right"),
        ("error", "right"),
        ("largest parts", "left"),
    ):
        table.add_column(name, justify="right" if side == "right" else "left")
    ranked = sorted(judged, key=lambda one: -abs(math.log(max(1 + (one.error or 0.0), 1e-12))))
    for one in ranked[:WORST]:
        largest = sorted(one.parts.items(), key=lambda part: -part[1])[:2]
        time = one.predicted or 1.0
        made_of = ", ".join(f"{name} {_share(seconds / time, digits=0)}" for name, seconds in largest)
        remark = f"; {one.case.remarks[0]}" if one.case and one.case.remarks else ""
        table.add_row(
            Text(one.row.id[:24]),
            f"{one.measured:.3g} s",
            f"{one.predicted:.3g} s",
            _share(one.error, signed=True),
            Text(made_of + remark),
        )
    return table


def _percent(value: float | None, *, signed: bool = False, digits: int = 1) -> str:
    return _share(value, signed=signed, digits=digits).removesuffix(" %")


def _share(value: float | None, *, signed: bool = False, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:{'+' if signed else ''}.{digits}f} %"


def _seconds(power: float) -> str:
    value = 10**power
    return f"{value:.3g} s" if value >= 0.1 else f"{1e3 * value:.3g} ms"
