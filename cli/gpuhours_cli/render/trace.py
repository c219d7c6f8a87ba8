"""The screen of ``gpuhours trace``: what was written, and the sums of the events."""

from __future__ import annotations

from pathlib import Path

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gpuhours.questions.reporting.trace import Trace
from gpuhours_cli.render import numbers
from gpuhours_cli.render.estimate import title


def screen(traced: Trace, path: Path | None) -> RenderableType:
    """One step by part, summed over the events, and how the simulated schedule compares with the estimate's."""
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=24)
    table.add_column(justify="right")
    table.add_column(justify="right")
    for part, seconds in traced.parts().items():
        if seconds > 0:
            table.add_row(part, numbers.duration(seconds), f"{seconds / traced.seconds:.0%}")
    written = [] if path is None else [Text(f"written to {path}; open it at ui.perfetto.dev")]
    return Group(
        title(traced.estimate),
        Text(),
        Text(answer(traced)),
        Padding(table, (0, 0, 0, 2)),
        Text(),
        Text(played(traced)),
        *written,
    )


def played(traced: Trace) -> str:
    """How the simulated passes, each run as early as possible, compare with the schedule's equation."""
    by_itself, equation = numbers.duration(traced.simulated), numbers.duration(traced.scheduled)
    if traced.ranks == 1:
        return "One pipeline rank: the passes run one after another."
    said = f"Simulated pass by pass, {traced.schedule} takes {by_itself}; the estimate's equation gives {equation}."
    if traced.early > 0:
        return f"{said} Passes start up to {numbers.duration(traced.early)} early to end with it."
    return said


def answer(traced: Trace) -> str:
    """The one-line answer for ``--quiet``."""
    ranks = f"{traced.ranks} pipeline rank{'s' if traced.ranks > 1 else ''}"
    many = f"{traced.microbatches} micro-batch{'es' if traced.microbatches > 1 else ''}"
    return f"{numbers.duration(traced.seconds)} per step, {many} on {ranks}, {numbers.exact(len(traced.events))} events"
