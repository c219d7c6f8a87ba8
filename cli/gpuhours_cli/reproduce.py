"""``gpuhours reproduce``: the figures of published texts, recomputed and judged."""

from typing import Annotated

import typer

from gpuhours_cli import completion
from gpuhours_cli.output import Json, Quiet, emit
from gpuhours_cli.root import command


@command("reproduce", epilog="Example: gpuhours reproduce x-gen-video-30b")
def reproduce(
    documents: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names of documents, your own YAML files, or texts; without any, all documents that ship.",
            show_default=False,
            autocompletion=completion.offered(completion.documents),
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Predict the figures that published texts state, never from the figure itself, and give a verdict on each."""
    from gpuhours.questions.reproducing import reproduce as work_out
    from gpuhours_cli.render.reproduce import answer, screen

    reproductions = work_out(tuple(documents or ()))
    emit(
        reproductions,
        lambda: screen(reproductions),
        as_json=as_json,
        answer=(lambda: answer(reproductions)) if quiet else None,
    )
