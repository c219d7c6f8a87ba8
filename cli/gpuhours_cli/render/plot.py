"""Plots of a sweep, chosen by the keys that vary: lines with error bands, a heat map, bars, or a Pareto front."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.sweeping import Sweep
from gpuhours.run.results import RESULTS, SHARES
from gpuhours_cli.output import saved
from gpuhours_cli.render import numbers

ENDINGS = (".svg", ".png", ".html")
MOST_ROWS = 5000
"""Maximum number of points in a plot."""
MOST_BANDS = 150
"""Maximum number of points with error bands: each needs its own estimate."""
MOST_TICKS = 12
LABEL_HEIGHT = 0.045
"""Height of a label as a share of the plot's height."""
FEW = 8
"""Maximum number of lines that can be told apart in one plot."""
GOALS = ("gpu_hours", "step_time", "model_flops", "parameters")
BLUE = "#2563a8"
COLOURS = [BLUE, "#b45309", "#1a6b35", "#a21caf", "#b42318", "#0e7490", "#57606a", "#854d0e"]
"""Colours of lines and their names: each has a contrast of 4.5 or more with white."""

KEYS = {
    "data.frames": "frames per clip", "data.seq_len": "sequence length (tokens)", "hardware.gpus": "GPUs",
    "training.global_batch": "global batch (samples)", "hardware.internode_bandwidth": "bandwidth between nodes (B/s per GPU)",
    "data.tokens": "training tokens", "layout.microbatch": "micro-batch (samples)",
}  # fmt: skip


@dataclass(frozen=True)
class Measure:
    """A result on an axis: its column, the divisor of its values, and the axis title."""

    name: str
    divisor: float
    title: str


def check(path: Path) -> None:
    """Raise ``EstimateError`` before any work starts if the extension or folder is invalid, or the plotting library is missing."""
    if path.suffix.lower() not in ENDINGS:
        raise EstimateError(
            f"{path.suffix or 'No extension'!r} is not a picture format.",
            f"Name it {', '.join(ENDINGS)}.",
            f"--plot {path}",
        )
    if not path.parent.is_dir():
        raise EstimateError("No such folder.", f"Make {path.parent} first.", f"--plot {path}")
    _altair()


def _altair() -> Any:
    try:
        import altair
        import vl_convert  # noqa: F401  what turns a chart into a file
    except ImportError:
        raise EstimateError("Pictures need altair and vl-convert.", "pip install 'gpuhours[plot]'", "--plot") from None
    return altair


def picture(swept: Sweep, path: Path) -> None:
    """Draw the plot and write it to a file."""
    drawn, form = chart(swept), path.suffix.lower().removeprefix(".")
    options: dict[str, dict[str, Any]] = {"html": {"inline": True}, "png": {"scale_factor": 2}}
    drawing = io.BytesIO() if form == "png" else io.StringIO()
    drawn.save(drawing, format=form, **options.get(form, {}))
    content = drawing.getvalue()
    saved(content if isinstance(content, bytes) else content.encode(), path, "--plot")


def chart(swept: Sweep) -> Any:
    """The chart for a sweep, chosen by its objective and the keys that vary."""
    rows = [row for row in swept.table.slice(0, MOST_ROWS + 1).to_pylist() if row["valid"]]
    if not rows or len(rows) > MOST_ROWS:
        raise EstimateError(
            f"{swept.kept:,} rows are too many to draw." if rows else "No valid row to draw.",
            "Narrow it with --where or --minimise.",
            "--plot",
        )
    best = swept.job.best
    if best is not None and best.most is None:
        return pareto_chart(swept, rows)
    goal = measure(swept, rows, best.names[0] if best else _goal(rows))
    if best is not None:
        return bar_chart(swept, rows, goal)
    axes = [varied.key for varied in swept.job.grid.varied if len({row[varied.key] for row in rows}) > 1]
    numeric = [
        key for key in axes if all(isinstance(row[key], int | float) and not isinstance(row[key], bool) for row in rows)
    ]
    numeric.sort(key=lambda key: -len({row[key] for row in rows}))
    if not numeric:
        return bar_chart(swept, rows, goal)
    others = [key for key in axes if key != numeric[0]]
    if len(numeric) > 1 and (len(others) > 1 or len({row[numeric[1]] for row in rows}) > FEW):
        return heat_map(swept, rows, goal, numeric[0], numeric[1])
    return line_chart(swept, rows, goal, numeric[0], others)


def _goal(rows: list[dict[str, Any]]) -> str:
    return next((name for name in GOALS if any(row[name] is not None for row in rows)), GOALS[-1])


def measure(swept: Sweep, rows: list[dict[str, Any]], name: str) -> Measure:
    """A result in a readable unit, chosen by its largest value."""
    unit = swept.job.units.get(name, "")
    words = RESULTS[name].title if name in RESULTS else KEYS.get(name, name.replace("_", " "))
    most = max((row[name] for row in rows if isinstance(row[name], int | float)), default=0)
    for least, divisor, called in numbers.SCALES.get(unit, ()):
        if most >= least:
            return Measure(name, divisor, f"{words} ({called})")
    if name in SHARES:
        return Measure(name, 0.01, f"{words} (%)")
    return Measure(
        name,
        1.0,
        words if not unit or unit in ("GPU*hour", "GPU", "parameter", "token/second/GPU") else f"{words} ({unit})",
    )


def points(rows: list[dict[str, Any]], goal: Measure, keys: list[str]) -> list[dict[str, Any]]:
    """Rows as chart data: keys without dots, the goal in the axis unit; rows without a goal are left out."""
    return [
        {field(key): row[key] for key in keys} | {"goal": row[goal.name] / goal.divisor, "fits": _fits(row)}
        for row in rows
        if row[goal.name] is not None
    ]


def _fits(row: dict[str, Any]) -> str:
    return {True: "fits in memory", False: "does not fit", None: "memory not known"}[row["fits"]]


def field(key: str) -> str:
    """A key as a chart's field name, where dots have a special meaning."""
    return key.replace(".", "_")


def title(key: str) -> str:
    """A key as an axis title."""
    return KEYS.get(key, key)


def setting(row: dict[str, Any], keys: list[str], between: str = " · ") -> str:
    """The values of the varied keys in words: ``tensor 8 · h100-sxm-80gb``; a name says what it is without its key."""
    return between.join(
        row[key] if isinstance(row[key], str) else f"{key.rsplit('.', 1)[-1]} {str(row[key]).lower()}" for key in keys
    )


def _amounts() -> Any:
    """An axis with SI prefixes, whose zero has none."""
    return _altair().Axis(format="~s", labelExpr="datum.value == 0 ? '0' : datum.label")


def line_chart(swept: Sweep, rows: list[dict[str, Any]], goal: Measure, along: str, others: list[str]) -> Any:
    """The goal along one key: one line per combination of the others, the 80 % range shaded, hollow points for runs that do not fit."""
    alt = _altair()
    data = points(rows, goal, [along, *others])
    for point, row in zip(data, (row for row in rows if row[goal.name] is not None), strict=True):
        point["line"] = setting(row, others, ", ")
    banded = _bands(swept, rows, data, goal)
    scale = alt.Scale(
        type="log" if _spread([point[field(along)] for point in data]) else "linear", zero=False, nice=False, padding=12
    )
    x = alt.X(
        f"{field(along)}:Q", title=title(along), scale=scale, axis=_ticks([point[field(along)] for point in data])
    )
    y = alt.Y("goal:Q", title=goal.title, scale=alt.Scale(zero=True), axis=_amounts())
    base = alt.Chart(alt.Data(values=data)).encode(x=x)
    colour = alt.Color("line:N", sort=None, legend=None, scale=alt.Scale(range=COLOURS)) if others else alt.value(BLUE)
    layers = [base.mark_line(strokeWidth=2).encode(y=y, color=colour)]
    if banded:
        faint = 0.3 / (0.5 + len({point["line"] for point in data}))  # bands of several lines lie on one another
        area = base.mark_area(opacity=faint).encode(y=alt.Y("low:Q", title=goal.title), y2="high:Q", color=colour)
        layers.insert(0, area)
    full = base.mark_point(filled=True, size=50, opacity=1).encode(y=y, color=colour)
    hollow = base.mark_point(filled=False, size=50, opacity=1, strokeWidth=1.5, fill="white").encode(y=y, color=colour)
    layers += [full, hollow.transform_filter("datum.fits == 'does not fit'")]
    if others:
        names = alt.Chart(alt.Data(values=_line_ends(data))).mark_text(align="left", dx=9, fontSize=11)
        layers.append(names.encode(x=x, y=alt.Y("place:Q", title=goal.title), text="line:N", color=colour))
    said = ["shaded: 80 % band"] if banded else []
    said += ["hollow: does not fit in memory"] if any(row["fits"] is False for row in rows) else []
    return framed(alt.layer(*layers), swept, " · ".join(said))


def _line_ends(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last point of each line, with a ``place`` for its label that does not overlap the labels below."""
    ends = sorted({point["line"]: point for point in data}.values(), key=lambda point: point["goal"])
    apart = LABEL_HEIGHT * max(point.get("high", point["goal"]) for point in data)
    places: list[float] = []
    for point in ends:
        places.append(max(point["goal"], places[-1] + apart) if places else point["goal"])
    return [{**point, "place": place} for point, place in zip(ends, places, strict=True)]


def _ticks(values: list[float]) -> Any:
    """An axis with ticks at the data points, if there are at most ``MOST_TICKS``."""
    alt = _altair()
    marked = sorted(set(values))
    written = ",d" if max(marked) < 1e6 and all(float(value).is_integer() for value in marked) else "~s"
    return alt.Axis(values=marked, format=written) if len(marked) <= MOST_TICKS else alt.Axis(format=written)


def _spread(values: list[float]) -> bool:
    """Whether values grow geometrically rather than linearly: the last step is more than twice the first."""
    distinct = sorted(set(values))
    return len(distinct) > 2 and distinct[0] > 0 and distinct[-1] - distinct[-2] > 2 * (distinct[1] - distinct[0])


def _bands(swept: Sweep, rows: list[dict[str, Any]], data: list[dict[str, Any]], goal: Measure) -> bool:
    """Add the 80 % range of each point, from its own estimate; False if there are too many points, or none has a range."""
    from gpuhours.questions.estimating.estimating import estimate

    if len(rows) > MOST_BANDS:
        return False
    drawn = False
    for point, row in zip(data, (row for row in rows if row[goal.name] is not None), strict=True):
        result = estimate(swept.job.grid.run_with(row)).results.get(goal.name)
        if result is None or result.low is None or result.high is None:
            continue
        point["low"], point["high"] = result.low / goal.divisor, result.high / goal.divisor
        drawn = True
    return drawn


def heat_map(swept: Sweep, rows: list[dict[str, Any]], goal: Measure, across: str, down: str) -> Any:
    """The goal over two keys, as colour and number; a cell with several rows shows the best that fits."""
    alt = _altair()
    cells: dict[tuple[Any, Any], dict[str, Any]] = {}
    several = False
    for row in rows:
        place = row[across], row[down]
        before = cells.get(place)
        several |= before is not None
        if before is None or (row["fits"] is not False, -row[goal.name]) > (
            before["fits"] is not False,
            -before[goal.name],
        ):
            cells[place] = row
    data = points(list(cells.values()), goal, [across, down])
    for point in data:
        point["label"] = numbers.count(point["goal"]) + (" ×" if point["fits"] == "does not fit" else "")
    base = alt.Chart(alt.Data(values=data)).encode(
        x=alt.X(f"{field(across)}:O", title=title(across), axis=alt.Axis(labelAngle=0)),
        y=alt.Y(f"{field(down)}:O", title=title(down), sort="descending"),
    )
    colour = alt.Color(
        "goal:Q", title=goal.title, scale=alt.Scale(scheme="viridis", reverse=True), legend=alt.Legend(format="~s")
    )
    tiles = base.mark_rect().encode(color=colour)
    middle = (min(point["goal"] for point in data) + max(point["goal"] for point in data)) / 2
    text = base.mark_text(fontSize=10).encode(
        text="label:N", color=alt.condition(f"datum.goal > {middle}", alt.value("white"), alt.value("black"))
    )
    said = ["each cell: the best row that fits"] if several else []
    said += ["×: does not fit in memory"] if any(point["fits"] == "does not fit" for point in data) else []
    return framed(alt.layer(tiles, text), swept, " · ".join(said))


def bar_chart(swept: Sweep, rows: list[dict[str, Any]], goal: Measure) -> Any:
    """One bar per row, in row order, labelled by the varied keys, with a thin line for its 80 % range."""
    alt = _altair()
    keys = [varied.key for varied in swept.job.grid.varied]
    shown = [row for row in rows if row[goal.name] is not None][:40]
    data = points(shown, goal, [])
    for point, row in zip(data, shown, strict=True):
        point["row"] = setting(row, keys)
    banded = _bands(swept, shown, data, goal)
    base = alt.Chart(alt.Data(values=data)).encode(
        y=alt.Y("row:N", sort=None, title=None, axis=alt.Axis(labelLimit=420)),
        x=alt.X("goal:Q", title=goal.title, scale=alt.Scale(zero=True), axis=_amounts()),
        color=_fit_colour(data),
    )
    layers = [base.mark_bar(opacity=0.85)]
    if banded:
        ends = {"x": alt.X("low:Q", title=goal.title), "x2": "high:Q", "color": alt.value("#222222")}
        layers.append(base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=1.5).encode(**ends))
    return framed(alt.layer(*layers), swept, "line: 80 % range" if banded else "", height=max(60, 22 * len(data)))


def pareto_chart(swept: Sweep, rows: list[dict[str, Any]]) -> Any:
    """The Pareto front over two results."""
    alt = _altair()
    assert swept.job.best is not None
    first, second = (measure(swept, rows, name) for name in swept.job.best.names)
    keys = [varied.key for varied in swept.job.grid.varied]
    data = [
        {"first": row[first.name] / first.divisor, "second": row[second.name] / second.divisor, "fits": _fits(row)}
        | {"row": setting(row, keys)}
        for row in rows
    ]
    base = alt.Chart(alt.Data(values=data)).encode(
        x=alt.X("first:Q", title=first.title, scale=_around([point["first"] for point in data]), axis=_amounts()),
        y=alt.Y(
            "second:Q",
            title=second.title,
            scale=_around([point["second"] for point in data]),
            axis=_amounts(),
        ),
        tooltip=["row:N"],
    )
    line = base.mark_line(interpolate="step-after", color=BLUE, strokeWidth=1.5)
    dots = base.mark_point(filled=True, size=60, opacity=1).encode(color=_fit_colour(data))
    return framed(alt.layer(line, dots), swept, f"{len(rows)} of {swept.rows:,} cases: no other is better in both")


def _around(values: list[float]) -> Any:
    """An axis scale slightly wider than its values, not below zero unless a value is."""
    least, most = min(values), max(values)
    room = 0.04 * ((most - least) or most or 1.0)
    return _altair().Scale(
        domain=[max(0.0, least - room) if least >= 0 else least - room, most + room], nice=False, zero=False
    )


def _fit_colour(data: list[dict[str, Any]]) -> Any:
    """Colours by whether a row fits: blue if it does, red if not; the legend lists only cases that occur."""
    alt = _altair()
    colours = {"fits in memory": BLUE, "does not fit": "#c0504d", "memory not known": "#999999"}
    shown = [words for words in colours if any(point["fits"] == words for point in data)]
    scale = alt.Scale(domain=shown, range=[colours[words] for words in shown])
    return alt.Color("fits:N", title=None, scale=scale, legend=alt.Legend() if len(shown) > 1 else None)


def framed(drawn: Any, swept: Sweep, subtitle: str, height: int = 300) -> Any:
    """The chart with its title, size and light axes."""
    alt = _altair()
    name = alt.TitleParams(swept.job.grid.run.name, subtitle=subtitle, anchor="start", offset=12)
    return (
        drawn.properties(title=name, width=520, height=height, padding={"left": 6, "top": 6, "right": 24, "bottom": 6})
        .configure_view(strokeWidth=0)
        .configure_axis(gridColor="#e5e5e5", domainColor="#888")
    )
