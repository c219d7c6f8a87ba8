"""``gpuhours calibrate``: calibrate to steps measured on a machine, and write a file that every other command accepts."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from gpuhours_cli.output import Force, Json, Quiet, emit, saved, unused
from gpuhours_cli.root import command
from gpuhours_cli.shortcuts import Settings, described, takes_shortcuts

EXAMPLE = (
    "Example: gpuhours calibrate run.yaml train.log -o site.yaml, then gpuhours estimate run.yaml --site site.yaml"
)


def names_tools(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose help ends with the tools whose logs it reads."""
    from gpuhours.questions.calibrating.formats import tools

    command.__doc__ = f"{inspect.getdoc(command)}\n\nLogs of {tools()}; trainer_state.json; and CSVs."
    return command


@command("calibrate", epilog=EXAMPLE)
@takes_shortcuts
@names_tools
def calibrate(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Run files that state known.step_time, tables of runs (.csv), and logs, each log after the run file it belongs to.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="SITE.yaml", help="Where to write the calibration.", show_default=False),
    ] = None,
    force: Force = False,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN.yaml", help="The run that logs given without a run file belong to.", show_default=False
        ),
    ] = None,
    settings: Settings = None,
    as_json: Json = False,
    quiet: Quiet = False,
    *,
    shortcuts: Mapping[str, str],
) -> None:
    """Choose the shipped stack and network that best match a few measured steps; three or more that differ are best."""
    from gpuhours.questions.calibrating import calibrate as work_out
    from gpuhours_cli.render.calibrate import answer, screen

    unused(output, force)
    base = described(run, shortcuts, settings, EXAMPLE) if run is not None or shortcuts or settings else None
    calibration = work_out(files, base)
    if output is not None:
        saved(calibration.yaml(), output)
    emit(
        calibration,
        lambda: screen(calibration, output),
        as_json=as_json,
        answer=(lambda: answer(calibration)) if quiet else None,
    )
