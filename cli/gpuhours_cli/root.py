"""The root of the command line: what every command registers with.

Command modules import only typer at the top: the estimator and rich load when a command runs, so that
``gpuhours --help`` starts at once.
"""

from __future__ import annotations

from typing import Annotated

import typer
from typer.core import TyperGroup

HOMES = {
    "calibrate": "calibrate", "check": "check", "ci": "ci", "compare": "compare", "estimate": "estimate", "import": "interchange",
    "export": "interchange",
    "init": "init", "plan": "plan", "prices": "prices", "report": "report", "reproduce": "reproduce", "schema": "schema",
    "sweep": "sweep", "trace": "trace", "validate": "validate", "watch": "watch",
    "hardware": "hardware", "models": "models", "software": "software",
}  # fmt: skip
"""Every command with the module that registers it, in the order of the help."""


class InOrder(TyperGroup):
    """Lists commands as ``HOMES`` does, whichever was registered first."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Those that are registered."""
        return [name for name in HOMES if name in self.commands]


app = typer.Typer(
    name="gpuhours",
    cls=InOrder,
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
