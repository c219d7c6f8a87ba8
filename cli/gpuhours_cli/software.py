"""``gpuhours software``: the training stacks with profiles, the runs each was measured on, and every figure of one."""

from typing import Annotated

import typer

from gpuhours_cli import completion
from gpuhours_cli.output import Json, Quiet, emit
from gpuhours_cli.root import COMMANDS, app

software = typer.Typer(
    help="Training stacks: what each was measured on, every figure with its source.",
    no_args_is_help=True,
    epilog="Example: gpuhours software show megatron-core",
)
app.add_typer(software, name="software", short_help=COMMANDS["software"].line)


@software.command("list", epilog="Example: gpuhours software list --json")
def list_profiles(as_json: Json = False, quiet: Quiet = False) -> None:
    """List all stacks, and how many measured steps each was tested on."""
    from gpuhours.questions.listing.software import listing
    from gpuhours_cli.render.software import list_screen

    profiles = listing()
    names = "\n".join(entry.software.name for entry in profiles.entries)
    emit(profiles, lambda: list_screen(profiles), as_json=as_json, answer=(lambda: names) if quiet else None)


@software.command(epilog='Example: gpuhours software show "Megatron-LM 2022"')
def show(
    name: Annotated[
        str,
        typer.Argument(
            help="A stack by name, or your own YAML file.",
            autocompletion=completion.offered(completion.stacks),
        ),
    ],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show where one stack was measured, and its figures with their sources."""
    from gpuhours.questions.listing.software import sheet
    from gpuhours_cli.render.software import show_screen

    profile = sheet(name)
    answer = profile.entry.software.name
    emit(profile, lambda: show_screen(profile), as_json=as_json, answer=(lambda: answer) if quiet else None)
