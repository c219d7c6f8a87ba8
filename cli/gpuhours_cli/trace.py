"""``gpuhours trace``: the predicted step as a file that Perfetto opens."""

from pathlib import Path
from typing import Annotated

import typer

from gpuhours_cli.output import Force, Json, Quiet, emit, needs_output
from gpuhours_cli.root import command
from gpuhours_cli.shortcuts import Asked, takes_run

EXAMPLE = "Example: gpuhours trace run.yaml -o step.json, then open step.json at ui.perfetto.dev"


@command("trace", epilog=EXAMPLE)
@takes_run
def trace(
    *,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE.json", help="Where to write the events.", show_default=False),
    ] = None,
    force: Force = False,
    asked: Asked,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write every pass, collective, launch gap and wait of one predicted step, per pipeline rank, in the trace event format; exit code 1
    if the run does not fit."""
    import json

    from gpuhours.questions.reporting.trace import trace as played
    from gpuhours_cli.output import finite, saved
    from gpuhours_cli.render.trace import answer, screen

    needs_output(output, "-o step.json", as_json=as_json, force=force)
    traced = played(asked.run(EXAMPLE))
    if output is not None:
        saved(json.dumps(finite(traced.document()), allow_nan=False) + "\n", output)
    emit(traced, lambda: screen(traced, output), as_json=as_json, answer=(lambda: answer(traced)) if quiet else None)
    if traced.estimate.fits is False:
        raise typer.Exit(1)
