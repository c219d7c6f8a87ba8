"""The screens of ``gpuhours watch``: a line for every look, or one picture of where a run stands."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gpuhours.questions.calibrating.watching import Progress
from gpuhours_cli.render import numbers

STYLES = {"inside": "green", "slower than predicted": "bold red"}


def screen(found: Progress) -> RenderableType:
    """Where it stands."""
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=11)
    table.add_column(overflow="fold")
    table.add_row("step", place(found))
    table.add_row("seen", f"{pace(found)} a step, over {found.readings} readings of {found.tool}")
    table.add_row("predicted", f"{numbers.duration(found.predicted)}  {edges(found)}")
    table.add_row("to the end", left(found))
    for text in found.not_understood:
        table.add_row("unread", text[:120])
    return Group(Text(found.verdict, style=STYLES.get(found.verdict, "bold")), Text(), Padding(table, (0, 0, 0, 2)))


def line(found: Progress) -> str:
    """One look, one line."""
    return f"step {place(found)}  {pace(found)} of {numbers.duration(found.predicted)} {edges(found)}  {found.verdict}  {left(found)}"


def answer(found: Progress) -> str:
    """For ``--quiet``."""
    return f"{found.verdict}: {pace(found)} a step of {numbers.duration(found.predicted)} {edges(found)}"


def place(found: Progress) -> str:
    """``120 of 50,000``."""
    if found.step is None:
        return f"{found.readings} readings"
    return f"{found.step:,}" + ("" if found.steps is None else f" of {found.steps:,}")


def pace(found: Progress) -> str:
    """Seen s a step."""
    return "–" if found.seen is None else numbers.duration(found.seen)


def edges(found: Progress) -> str:
    """The predicted range."""
    return numbers.span(found.predicted, found.low, found.high, numbers.duration)


def left(found: Progress) -> str:
    """Time and money to the end."""
    if found.remaining is None:
        return "no end is known: the run has no steps"
    money = "" if found.cost is None else f", {numbers.count(round(found.cost))} USD"
    return (
        f"{numbers.duration(found.remaining) if found.remaining else 'done'}{money} to go"
        if found.remaining
        else "done"
    )
