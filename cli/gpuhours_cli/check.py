"""``gpuhours check``: can a document's figures be true together."""

from pathlib import Path
from typing import Annotated

import typer

from gpuhours_cli.output import Json, Quiet, emit
from gpuhours_cli.root import app


@app.command(
    short_help="A paper's figures against each other.", epilog="Example: gpuhours check paper.txt -o claims.yaml"
)
def check(
    document: Annotated[
        Path,
        typer.Argument(help="A paper's text, claims as YAML (`gpuhours schema claims`), or a CSV table of runs."),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="CLAIMS.yaml", help="Write what was read, to correct by hand."),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(metavar="FILE.md", help="Write the verdict as Markdown, to paste into a review."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check a paper's figures against each other, and name the likely cause of a contradiction."""
    from gpuhours.inputs.errors import EstimateError
    from gpuhours.questions.checking.file import write_claims
    from gpuhours.questions.checking.markdown import as_markdown
    from gpuhours.questions.checking.papers import PaperCheck
    from gpuhours.questions.checking.verdict import check as work_out
    from gpuhours_cli.render.check import answer, screen

    found = work_out(document)
    if output is not None:
        if not isinstance(found, PaperCheck):
            raise EstimateError(
                "a table of runs has no claims file", "Give -o with a text or with claims.", str(output)
            )
        _write(output, write_claims(found.paper))
    if markdown is not None:
        _write(markdown, as_markdown(found))
    emit(found, lambda: screen(found), as_json=as_json, answer=(lambda: answer(found)) if quiet else None)
    if found.verdict == "contradicted":
        raise typer.Exit(1)


def _write(path: Path, text: str) -> None:
    """Write a file; one that cannot be written is bad input."""
    from gpuhours.inputs.errors import EstimateError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EstimateError(f"cannot be written: {error.strerror or error}", where=str(path)) from None
