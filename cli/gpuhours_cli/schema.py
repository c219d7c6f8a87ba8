"""``gpuhours schema``: the keys of a file, as JSON Schema."""

import json
from typing import Annotated, Literal

import typer

from gpuhours_cli.output import written
from gpuhours_cli.root import command


@command("schema", epilog="Example: gpuhours schema run > run.schema.json")
def schema(
    kind: Annotated[
        Literal["run", "claims", "hardware", "document", "software", "measurements"], typer.Argument(help="Which file.")
    ],
) -> None:
    """Print the keys of a run, claims, a document, measurements, or a hardware or software profile as JSON Schema (editors complete
    from it)."""
    from gpuhours.questions.listing.schemas import schema as of

    written(json.dumps(of(kind), indent=2) + "\n")
