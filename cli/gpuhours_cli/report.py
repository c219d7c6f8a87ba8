"""``gpuhours report``: one shareable page about one run."""

from pathlib import Path
from typing import Annotated

import typer

from gpuhours_cli.output import Force, Json, Quiet, emit, needs_output, saved
from gpuhours_cli.root import command
from gpuhours_cli.shortcuts import Asked, takes_run

EXAMPLE = "Example: gpuhours report run.yaml -o report.html"


@command("report", epilog=EXAMPLE)
@takes_run
def report(
    *,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE.html", help="Where to write the page.", show_default=False),
    ] = None,
    force: Force = False,
    asked: Asked,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write one self-contained HTML file: answer and range, waterfall, memory, other numbers of GPUs, which further fact would narrow the
    range, assumptions and sources; exit code 1 if the run does not fit."""
    from gpuhours.questions.reporting.report import report as gathered
    from gpuhours_cli.render.estimate import answer

    needs_output(output, "-o report.html", as_json=as_json, force=force)
    gathered_report = gathered(asked.run(EXAMPLE))
    if output is not None:
        from gpuhours_cli.render.report import page

        saved(page(gathered_report), output)
    said = answer(gathered_report.estimate)
    written = said if output is None or quiet else f"{said}\nwritten to {output}"
    emit(gathered_report, lambda: written, as_json=as_json, answer=(lambda: said) if quiet else None)
    if gathered_report.estimate.fits is False:
        raise typer.Exit(1)
