"""The progress bar: rate and time left, only if stderr is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def watching(things: str, *, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A function to call with (done, total); None if there is no terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    said = "{task.fields[said]}"
    columns = (TextColumn(said), BarColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None, said="", rate="")

        def watch(done: int, whole: int) -> None:
            speed = progress.tasks[0].speed
            rate = f"{speed:,.0f}/s" if speed else ""
            progress.update(task, completed=done, total=whole, said=f"{done:,} of {whole:,} {things}", rate=rate)

        yield watch
