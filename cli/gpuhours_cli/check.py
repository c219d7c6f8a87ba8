"""``gpuhours check``: whether a document's figures are consistent with each other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpuhours_cli.output import Force, Json, Quiet, emit, finite, saved, shown, unused, written
from gpuhours_cli.root import command

if TYPE_CHECKING:
    from gpuhours.questions.checking.papers import PaperCheck
    from gpuhours.questions.checking.table import TableCheck

MOST_PAPERS = 10_000
"""Maximum number of papers read from a folder."""
READABLE = (".txt", ".md", ".tex", ".html", ".htm", ".pdf", ".yaml", ".yml", ".csv")


@command("check", epilog="Example: gpuhours check paper.txt -o claims.yaml")
def check(
    documents: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="A paper as text, Markdown, LaTeX, HTML or PDF, `-` for standard input, claims as YAML (`gpuhours schema claims`), "
            "a CSV table of runs, or a folder of papers.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="CLAIMS.yaml", help="Write the figures that were read, to correct by hand."
        ),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(metavar="FILE.md", help="Write the verdict as Markdown, to paste into a review."),
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write the verdict as one HTML page.")] = None,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Test a paper's figures against each other, and name the likely cause of a contradiction.

    Several files or a folder print one line each; with --json one document a line.
    """
    for option, path in (("-o", output), ("--markdown", markdown), ("--html", html)):
        unused(path, force, option)
    files = _files(documents)
    if len(files) > 1 or documents[0].is_dir():
        _many(files, output, markdown, html, as_json=as_json, quiet=quiet)
        return
    _one(files[0], output, markdown, html, as_json=as_json, quiet=quiet)


def _one(
    document: Path, output: Path | None, markdown: Path | None, html: Path | None, *, as_json: bool, quiet: bool
) -> None:
    """Check one document and print the full result."""
    from gpuhours.inputs.errors import EstimateError
    from gpuhours.questions.checking.file import write_claims
    from gpuhours.questions.checking.markdown import as_html, as_markdown
    from gpuhours.questions.checking.papers import PaperCheck
    from gpuhours.questions.checking.verdict import check as work_out
    from gpuhours_cli.render.check import answer, screen

    checked = work_out(document)
    if output is not None:
        if not isinstance(checked, PaperCheck):
            raise EstimateError(
                "a table of runs has no claims file", "Give -o with a text or with claims.", str(output)
            )
        saved(write_claims(checked.paper), output)
    if markdown is not None:
        saved(as_markdown(checked), markdown, "--markdown")
    if html is not None:
        saved(as_html(checked), html, "--html")
    emit(checked, lambda: screen(checked), as_json=as_json, answer=(lambda: answer(checked)) if quiet else None)
    if checked.verdict == "contradicted":
        raise typer.Exit(1)


def _many(
    files: list[Path], output: Path | None, markdown: Path | None, html: Path | None, *, as_json: bool, quiet: bool
) -> None:
    """Print one line per document; an unreadable file is reported, and the others are still checked."""
    import json

    from gpuhours.inputs.errors import EstimateError
    from gpuhours.questions.checking.verdict import check as work_out
    from gpuhours_cli.render.check import answer, many
    from gpuhours_cli.render.progress import watching

    if output or markdown or html:
        raise EstimateError("-o, --markdown and --html are for one document", "Give one file with them.")
    checks: list[tuple[Path, PaperCheck | TableCheck]] = []
    failed = 0
    with watching("documents", quiet=quiet) as watch:
        for number, path in enumerate(files, 1):
            try:
                result = work_out(path)
            except EstimateError as error:
                failed += 1
                typer.echo(f"error: {error}", err=True)
            else:
                checks.append((path, result))
                if as_json:
                    written(json.dumps(finite({"file": str(path), **result.to_dict()}), allow_nan=False) + "\n")
                elif quiet:
                    written(f"{path}: {answer(result)}\n")
            if watch is not None:
                watch(number, len(files))
    if not as_json and not quiet:
        shown(many(checks))
    if failed:
        raise typer.Exit(2)
    if any(result.verdict == "contradicted" for _, result in checks):
        raise typer.Exit(1)


def _files(documents: list[Path]) -> list[Path]:
    """The files to check; a folder stands for its readable files, in order."""
    from gpuhours.inputs.errors import EstimateError

    files: list[Path] = []
    for document in documents:
        if not document.is_dir():
            files.append(document)
            continue
        inside: list[Path] = []
        for folder, _, names in os.walk(document):  # what cannot be opened, or has gone, is left out
            found = (Path(folder, name) for name in names if name.lower().endswith(READABLE))
            inside += [path for path in found if path.is_file()]
            if len(inside) > MOST_PAPERS:
                raise EstimateError(
                    f"holds more than {MOST_PAPERS:,} papers.", "Check its folders one by one.", str(document)
                )
        inside.sort()
        if not inside:
            raise EstimateError("holds no document", f"Documents end in {', '.join(READABLE)}.", str(document))
        files += inside
    return files
