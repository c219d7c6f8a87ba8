"""``gpuhours ci``: how a pull request changes the cost of its runs."""

from pathlib import Path
from typing import Annotated

import typer

from gpuhours_cli.output import Force, Json, Quiet, emit, saved, unused
from gpuhours_cli.root import command

EXAMPLE = 'Example: gpuhours ci --base main --budget "500k USD" -o comment.md'


@command("ci", epilog=EXAMPLE)
def ci(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH...]", help="Run files or folders to consider; all by default.", show_default=False
        ),
    ] = None,
    base: Annotated[str, typer.Option(metavar="COMMIT", help="Commit, branch or tag to compare with.")] = "main",
    budget: Annotated[
        str | None, typer.Option(metavar="MONEY", help='What the changed runs may cost together: "500k USD".')
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE.md", help="Write the comment to a file as well.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Estimate every run file that differs from another commit, before and after: a Markdown comment with the difference in cost; exit code
    1 if a run does not fit, or if all together exceed the budget or are not known to be within it."""
    from gpuhours.questions.reviewing import review
    from gpuhours_cli.estimate import money_of
    from gpuhours_cli.render.ci import answer, markdown

    unused(output, force)
    changes = review(base, paths or (), money_of(budget))
    text = markdown(changes)
    if output is not None:
        saved(text, output)
    emit(changes, str, as_json=as_json, answer=lambda: answer(changes) if quiet else text.rstrip())
    if not changes.passes:
        raise typer.Exit(1)
