"""``gpuhours compare``: two runs side by side."""

from pathlib import Path
from typing import Annotated

import typer

from gpuhours_cli.output import Json, Quiet, emit
from gpuhours_cli.root import app

EXAMPLE = "Example: gpuhours compare a100.yaml h100.yaml"


@app.command(short_help="Two runs side by side.", epilog=EXAMPLE)
def compare(
    first: Annotated[Path, typer.Argument(metavar="A.yaml", help="The run to compare with.", show_default=False)],
    second: Annotated[Path, typer.Argument(metavar="B.yaml", help="The run that is compared.", show_default=False)],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """What changed in the inputs, by how much in every result, and which input caused it."""
    from gpuhours.questions.comparing import compare as side_by_side
    from gpuhours.run.spec import load
    from gpuhours_cli.render.compare import answer, screen

    found = side_by_side(load(first), load(second))
    emit(found, lambda: screen(found), as_json=as_json, answer=(lambda: answer(found)) if quiet else None)
