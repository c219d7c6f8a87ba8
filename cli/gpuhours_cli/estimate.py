"""``gpuhours estimate``: one run, one screen."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from gpuhours_cli.output import Json, Quiet, emit, shown
from gpuhours_cli.root import app
from gpuhours_cli.shortcuts import Settings, described, takes_shortcuts

EXAMPLE = "Example: gpuhours estimate --params 30B --tokens 500B --gpu h100-sxm-80gb --gpus 512 --tensor 4 --pipeline 8"


@app.command(short_help="What one run costs, how long it takes, what limits it.", epilog=EXAMPLE)
@takes_shortcuts
def estimate(
    run: Annotated[
        Path | None,
        typer.Argument(help="The run as YAML (`gpuhours schema run`); - reads it from a pipe.", show_default=False),
    ] = None,
    settings: Settings = None,
    explain: Annotated[
        str | None, typer.Option(metavar="RESULT", help="Equation, inputs and sources of one result.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    *,
    shortcuts: Mapping[str, str],
) -> None:
    """GPU-hours, MFU, wall-clock, memory, money, energy and carbon of one training run."""
    from gpuhours.questions.estimating.estimating import estimate as work_out
    from gpuhours_cli.render.estimate import answer, screen

    result = work_out(described(run, shortcuts, settings, EXAMPLE))
    if explain is not None and not as_json:
        from gpuhours_cli.render.explain import explanation

        shown(explanation(result, explain))
    else:
        emit(result, lambda: screen(result), as_json=as_json, answer=(lambda: answer(result)) if quiet else None)
    if result.fits is False:
        raise typer.Exit(1)
