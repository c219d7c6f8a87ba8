"""``gpuhours hardware``: the list of profiles, and every figure of one."""

from pathlib import Path
from typing import Annotated

import typer

from gpuhours_cli import completion
from gpuhours_cli.output import Force, Json, Quiet, emit, unused
from gpuhours_cli.root import COMMANDS, app

hardware = typer.Typer(
    help="Accelerators and nodes: every figure with its unit, source and note.",
    no_args_is_help=True,
    epilog="Example: gpuhours hardware show h100-sxm-80gb",
)
app.add_typer(hardware, name="hardware", short_help=COMMANDS["hardware"].line)


@hardware.command("list", epilog="Example: gpuhours hardware list --json")
def list_profiles(as_json: Json = False, quiet: Quiet = False) -> None:
    """List all accelerators and nodes, including those of $GPUHOURS_PROFILES."""
    from gpuhours.questions.listing.hardware import catalogue
    from gpuhours_cli.render.hardware import list_screen, names

    profiles = catalogue()
    emit(profiles, lambda: list_screen(profiles), as_json=as_json, answer=(lambda: names(profiles)) if quiet else None)


@hardware.command(epilog="Example: gpuhours hardware show dgx-h100")
def show(
    name: Annotated[
        str,
        typer.Argument(
            help="An accelerator, a node, or your own YAML file.",
            autocompletion=completion.offered(completion.profiles),
        ),
    ],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show every figure of one profile, with its source and notes."""
    from gpuhours.questions.listing.hardware import sheet
    from gpuhours_cli.render.hardware import figures, show_screen

    profile = sheet(name)
    emit(profile, lambda: show_screen(profile), as_json=as_json, answer=(lambda: figures(profile)) if quiet else None)


@hardware.command(epilog="Example: gpuhours hardware measure -o my-h200.yaml")
def measure(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the accelerator's profile with the measured constants.")
    ] = None,
    force: Force = False,
    accelerator: Annotated[
        str | None,
        typer.Option(
            "--accelerator", help="The profile to start from; by default the one that matches the device's name."
        ),
    ] = None,
    gpus: Annotated[
        int | None,
        typer.Option(min=1, max=8, help="How many GPUs to use, with collectives between them; all by default."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Time GEMMs, attention and copies on this machine's GPU, and collectives between up to eight GPUs (15 s on one H200, needs
    PyTorch); show how far the resulting profile improves predictions on this machine."""
    from gpuhours.questions.measuring.measuring import measure as measured
    from gpuhours.questions.measuring.measuring import write
    from gpuhours_cli.render.hardware import measured_screen

    unused(output, force)
    measurements = measured(accelerator, gpus)
    if output is not None:
        write(measurements, output)
    emit(
        measurements,
        lambda: measured_screen(measurements, output),
        as_json=as_json,
        answer=measurements.yaml if quiet else None,
    )
