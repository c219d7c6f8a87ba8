"""The screens of ``gpuhours watch``: one line per reading, or a summary of the run's progress."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gpuhours.questions.calibrating.watching import Progress
from gpuhours_cli.render import numbers

STYLES = {"inside": "green", "slower than predicted": "bold red"}


def screen(watched: Progress) -> RenderableType:
    """The run's progress."""
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=11)
    table.add_column(overflow="fold")
    table.add_row("step", place(watched))
    table.add_row("measured", f"{pace(watched)} per step, over {watched.readings} readings of {watched.tool}")
    table.add_row("predicted", f"{numbers.duration(watched.predicted)}  {edges(watched)}")
    table.add_row("to the end", left(watched))
    if watched.ended:
        table.add_row("ended", f"{watched.ended}: no longer waiting for it")
    for text in watched.remarks:
        table.add_row("note", text)
    for text in watched.not_understood:
        table.add_row("unread", text[:120])
    return Group(Text(watched.verdict, style=STYLES.get(watched.verdict, "bold")), Text(), Padding(table, (0, 0, 0, 2)))


def line(watched: Progress) -> str:
    """One reading on one line."""
    predicted = f"{numbers.duration(watched.predicted)} {edges(watched)}"
    ended = f"  {watched.ended}: no longer waiting for it" if watched.ended else ""
    return f"step {place(watched)}  {pace(watched)} of {predicted}  {watched.verdict}  {left(watched)}{ended}"


def answer(watched: Progress) -> str:
    """The one-line answer for ``--quiet``."""
    return (
        f"{watched.verdict}: {pace(watched)} per step, predicted {numbers.duration(watched.predicted)} {edges(watched)}"
    )


def place(watched: Progress) -> str:
    """``120 of 50,000``."""
    if watched.step is None:
        return f"{watched.readings} readings"
    return f"{watched.step:,}" + ("" if watched.steps is None else f" of {watched.steps:,}")


def pace(watched: Progress) -> str:
    """Measured seconds per step."""
    return "–" if watched.seen is None else numbers.duration(watched.seen)


def edges(watched: Progress) -> str:
    """The predicted range."""
    return numbers.span(watched.predicted, watched.low, watched.high, numbers.duration)


def left(watched: Progress) -> str:
    """Time and money until the end."""
    if watched.remaining is None:
        return "end not known: the run states no number of steps"
    money = "" if watched.cost is None else f", {numbers.count(round(watched.cost))} USD"
    return (
        f"{numbers.duration(watched.remaining) if watched.remaining else 'done'}{money} to go"
        if watched.remaining
        else "done"
    )
