"""The root of the command line: what every command registers with.

Command modules import only typer at the top: the estimator and rich load when a command runs, so that
``gpuhours --help`` starts at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    name="gpuhours",
    help="What a training run costs: GPU-hours, MFU, time, memory, money, energy and carbon.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: rich would double the time it takes to appear
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    """Version and what predictions rest on, then leave."""
    if asked:
        from importlib.metadata import version

        from gpuhours.run.digest import digest

        typer.echo(f"gpuhours {version('gpuhours')}, constants {digest()}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Version, and a digest of all constants."),
    ] = False,
) -> None:
    """What a training run costs: GPU-hours, MFU, time, memory, money, energy and carbon."""
