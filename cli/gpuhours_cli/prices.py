"""``gpuhours prices``: all known prices, with dates and terms."""

from typing import Annotated

import typer

from gpuhours_cli import completion
from gpuhours_cli.output import Json, Quiet, emit
from gpuhours_cli.root import command


@command("prices", epilog="Example: gpuhours prices --gpu h100 --provider AWS")
def prices(
    gpu: Annotated[
        str | None,
        typer.Option(
            "--gpu",
            metavar="NAME",
            autocompletion=completion.of_key("hardware.accelerator"),
            help="An accelerator, or a cloud instance: h100, p5.48xlarge.",
            show_default=False,
        ),
    ] = None,
    provider: Annotated[
        str | None,
        typer.Option(
            "--provider",
            metavar="NAME",
            autocompletion=completion.of_key("cost.provider"),
            help="Only this provider: AWS.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List what an hour of an accelerator costs: on demand, reserved, spot or from a marketplace, with date and source."""
    from gpuhours.questions.listing.prices import price_table
    from gpuhours_cli.render.prices import lines, screen

    offers = price_table(gpu, provider)
    emit(offers, lambda: screen(offers), as_json=as_json, answer=(lambda: lines(offers)) if quiet else None)
