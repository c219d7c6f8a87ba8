"""The screen of ``gpuhours sweep``: how many cases, the rows that matter, and a bar for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gpuhours.questions.sweeping import Sweep
from gpuhours.run.results import RESULTS
from gpuhours_cli.render import numbers

SHOWN = 20
BAR, SHORTEST_BAR = 16, 8
SHOWN_FIRST = (
    "step_time", "mfu", "memory_per_gpu", "fits", "cost", "goodput", "wall_clock", "gpu_hours", "tokens_per_second_per_gpu", "parameters",
    "tokens", "steps", "model_flops", "energy", "carbon",
)  # fmt: skip
"""Columns of the screen, most important first; an output file has all columns."""
DECIDING = ("step_time", "mfu", "memory_per_gpu", "fits", "cost")
"""The most important results; bars are dropped if there is not enough width for all of these."""
GOALS = ("gpu_hours", "step_time", "model_flops")
"""Results that the bars show if no objective is given: the first that is determined."""


def screen(swept: Sweep, columns: int) -> RenderableType:
    """The rows, then notes on invalid rows, in a width of ``columns`` characters."""
    parts: list[RenderableType] = [Text(f"{swept.job.grid.run.name}: {summary(swept)}", style="bold"), Text()]
    rows = swept.table.slice(0, SHOWN).to_pylist()
    if rows:
        parts.append(table(swept, rows, columns))
    if swept.kept > len(rows):
        parts.append(
            Text(f"  … {swept.kept - len(rows):,} more" + ("" if swept.path else "; -o FILE saves them"), style="dim")
        )
    parts += [Text(note) for note in notes(swept, rows)]
    return Group(*parts)


def summary(swept: Sweep) -> str:
    """How many cases, how long they took, how many were kept."""
    rate = f"{swept.rows:,} cases in {numbers.duration(swept.seconds)}"
    if swept.kept == swept.rows:
        return rate
    return f"{rate}, {swept.kept:,} kept"


def answer(swept: Sweep) -> str:
    """The best row, or the number of rows, on one line."""
    if swept.job.best is None or not swept.kept:
        return str(swept.kept)
    row = swept.table.slice(0, 1).to_pylist()[0]
    names = [varied.key for varied in swept.job.grid.varied] + list(swept.job.best.names)
    return " ".join(f"{name}={_short_number(row[name])}" for name in names)


def _short_number(value: Any) -> str:
    """A float with six significant digits and no exponent below 1e15; anything else as ``str``.

    >>> _short_number(5.809937569949076), _short_number(87_123_456.0), _short_number(4)
    ('5.80994', '87123500', '4')
    """
    return f"{float(f'{value:.6g}'):.15g}" if isinstance(value, float) else str(value)


def table(swept: Sweep, rows: list[dict[str, Any]], wide: int) -> RenderableType:
    """Varied keys and as many results as fit in ``wide`` characters, with a bar for the goal."""
    keys = [varied.key for varied in swept.job.grid.varied]
    goal = goal_of(swept, rows)
    columns = [(short(key, keys), [plain(row[key]) for row in rows]) for key in keys]
    wanted = list(
        dict.fromkeys([*([goal] if goal else []), *(swept.job.best.names if swept.job.best else ()), *SHOWN_FIRST])
    )
    used = sum(width(title, cells) for title, cells in columns)
    worth = [name for name in DECIDING if name not in keys and any(row[name] is not None for row in rows)]
    needed = used + sum(width(column(name)[0], written(name, rows)) for name in {*worth, *([goal] if goal else [])})
    length = min(BAR, wide - needed - 2) if goal is not None and len(rows) > 1 else 0
    barred = length >= SHORTEST_BAR
    room = wide - length - 2 if barred else wide
    for name in wanted:
        same = len(rows) > 1 and len({row[name] for row in rows}) == 1 and name not in DECIDING
        if name in keys or same or all(row[name] is None for row in rows):
            continue
        title, cells = column(name)[0], written(name, rows)
        if used + width(title, cells) > room and columns[len(keys) :]:
            continue
        used += width(title, cells)
        columns.append((title, cells))
    if barred:
        columns.insert(len(keys) + 1, ("", bars([row[str(goal)] for row in rows], length)))
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title, _ in columns:
        grid.add_column(
            title, justify="left" if not title else "right", no_wrap=True, style="cyan" if not title else ""
        )
    for line in zip(*(cells for _, cells in columns), strict=True):
        grid.add_row(*line)
    return grid


def written(name: str, rows: list[dict[str, Any]]) -> list[str]:
    """The cells of a result's column."""
    text = column(name)[1]
    return ["–" if row[name] is None else text(row[name]) for row in rows]


def column(name: str) -> tuple[str, Callable[[float], str]]:
    """The heading of a result's column, and how its cells are formatted."""
    if name not in RESULTS:
        return name, numbers.digits
    if name == "fits":
        return RESULTS[name].label, lambda value: "fits" if value else "no"
    unit = RESULTS[name].unit
    return "USD" if unit == "USD" else RESULTS[name].label, numbers.for_unit(unit)


def goal_of(swept: Sweep, rows: list[dict[str, Any]]) -> str | None:
    """The result that bars show."""
    names = swept.job.best.names[:1] if swept.job.best else GOALS
    return next((name for name in names if any(isinstance(row.get(name), float) for row in rows)), None)


def bars(values: list[float | None], length: int) -> list[str]:
    """Bars from zero, in eighths of a block; the longest has ``length`` blocks."""
    most = max((value for value in values if value is not None), default=0.0)
    lines = []
    for value in values:
        eighths = round(8 * length * value / most) if value is not None and most > 0 else 0
        lines.append("█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip())
    return lines


def width(title: str, cells: list[str]) -> int:
    """Width of a column in characters."""
    return max(len(title), *(len(cell) for cell in cells)) + 2


def short(key: str, keys: list[str]) -> str:
    """The last part of a key, if unique."""
    last = key.rsplit(".", 1)[-1]
    return last if sum(other.rsplit(".", 1)[-1] == last for other in keys) == 1 else key


def plain(value: Any) -> str:
    """A varied value, formatted."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return numbers.count(value)
    return str(value)


def notes(swept: Sweep, rows: list[dict[str, Any]]) -> list[str]:
    """Notes: why rows are invalid, whether the best row does not fit, and the path of the file."""
    said = []
    reasons = Counter(swept.table["reason"].to_pylist())
    reasons.pop(None, None)
    for reason, count in reasons.most_common(3):
        said.append(f"  not valid ({count:,}): {reason}")
    if not swept.kept:
        said.append("  no rows are left" + (f" that satisfy {swept.job.where.text!r}" if swept.job.where else ""))
    if swept.job.best and rows and rows[0]["fits"] is False:
        said.append("  the best row does not fit in memory; --where fits excludes such rows")
    said += [f"  {note}" for note in swept.notes]
    if swept.path is not None:
        said.append(f"  written to {swept.path}")
    return ["", *said] if said else []
