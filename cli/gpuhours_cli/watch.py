"""``gpuhours watch``: a run's measured steps next to the predicted ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from gpuhours_cli.output import Json, Quiet, emit, written
from gpuhours_cli.root import command
from gpuhours_cli.shortcuts import Settings, described, takes_shortcuts

EXAMPLE = "Example: gpuhours watch train.log --run run.yaml"


@command("watch", epilog=EXAMPLE)
@takes_shortcuts
def watch(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="The log; - reads standard input.", show_default=False)],
    run: Annotated[
        Path | None, typer.Option(metavar="RUN.yaml", help="The run it belongs to.", show_default=False)
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Read what is there, then exit.")] = False,
    every: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="How often to read the log.")] = 2.0,
    settings: Settings = None,
    as_json: Json = False,
    quiet: Quiet = False,
    *,
    shortcuts: Mapping[str, str],
) -> None:
    """Measured against predicted step time, time and money to the end; ends with the run, or with exit code 1 as soon as the throughput is
    below the predicted range. Ctrl-C ends it with what was seen."""
    from gpuhours.questions.calibrating.watching import follow
    from gpuhours_cli.render.watch import answer, line, screen

    base, last = described(run, shortcuts, settings, EXAMPLE), None
    try:
        for last in follow(log, base, once=once, every=every):
            if not (once or as_json or quiet):
                written(line(last) + "\n")
    except KeyboardInterrupt:
        if last is None:
            raise typer.Exit(0) from None
    if last is None:
        return
    seen = last
    if once or as_json or quiet:
        emit(seen, lambda: screen(seen), as_json=as_json, answer=(lambda: answer(seen)) if quiet else None)
    if seen.below:
        raise typer.Exit(1)
