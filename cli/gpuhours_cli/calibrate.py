"""``gpuhours calibrate``: what a machine's own steps say, as a file that every other command takes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from gpuhours_cli.output import Force, Json, Quiet, emit, saved, unused
from gpuhours_cli.root import command
from gpuhours_cli.shortcuts import Settings, described, takes_shortcuts

EXAMPLE = (
    "Example: gpuhours calibrate run.yaml train.log -o site.yaml, then gpuhours estimate run.yaml --site site.yaml"
)


@command("calibrate", epilog=EXAMPLE)
@takes_shortcuts
def calibrate(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Run files that state known.step_time, tables of runs (.csv), and logs, each after the run file that it is of.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="SITE.yaml", help="Where to write what was found.", show_default=False),
    ] = None,
    force: Force = False,
    run: Annotated[
        Path | None, typer.Option(metavar="RUN.yaml", help="The run of logs that stand alone.", show_default=False)
    ] = None,
    settings: Settings = None,
    as_json: Json = False,
    quiet: Quiet = False,
    *,
    shortcuts: Mapping[str, str],
) -> None:
    """Choose among the shipped stacks and networks by a few measured steps; three or more, unlike each other, say most.

    Logs of Megatron-LM, torchtitan, nanotron, nanochat, nanoGPT, LitGPT, DeepSpeed, the Hugging Face Trainer, Lightning, and CSVs.
    """
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
