"""``gpuhours validate``: predictions against measured runs."""

from pathlib import Path
from typing import Annotated

import typer

from gpuhours_cli.output import Json, Quiet, emit
from gpuhours_cli.root import app


@app.command(
    short_help="Predictions against measured runs.", epilog="Example: gpuhours validate --runs my_runs.csv --json"
)
def validate(
    runs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Measured runs of your own: a table (.csv) or run files (.yaml).", show_default=False
        ),
    ] = None,
    memory_only: Annotated[bool, typer.Option("--memory-only", help="Leave step times out.")] = False,
    update_band: Annotated[
        bool, typer.Option("--update-band", help="Learn the 80 % bands from these runs and store them.", hidden=True)
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Predict measured runs: errors by source, accelerator, precision, parallelism and length, and the ten worst."""
    from gpuhours.questions.validating.report import validate as work_out
    from gpuhours_cli.render.validate import answer, screen

    found = work_out(runs, memory_only=memory_only)
    if update_band:
        from gpuhours.questions.validating.learning import update_band as store

        store(found)
        found = work_out(runs, memory_only=memory_only)
    emit(found, lambda: screen(found), as_json=as_json, answer=(lambda: answer(found)) if quiet else None)
