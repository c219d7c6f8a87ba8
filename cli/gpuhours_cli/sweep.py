"""``gpuhours sweep``: vary any input, get every result as a column."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpuhours_cli import completion
from gpuhours_cli.output import Force, Json, Quiet, console, emit, printable, unused
from gpuhours_cli.root import command
from gpuhours_cli.shortcuts import Asked, Engine, Scheduler, takes_run

if TYPE_CHECKING:
    from gpuhours.questions.sweeping import Sweep

EXAMPLE = "Example: gpuhours sweep run.yaml --vary layout.tensor=1,2,4,8 --vary hardware.gpus=64..1024*2 --where fits --minimise cost"

Vary = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=SPEC",
        help="SPEC: a,b,c | start..stop:step | start..stop*factor; may be repeated.",
        autocompletion=completion.keys,
    ),
]
Together = Annotated[
    list[str] | None,
    typer.Option(
        "--zip",
        metavar="KEY,KEY",
        help="Keys that vary together instead of being combined.",
        autocompletion=completion.several(completion.run_keys),
    ),
]
Where = Annotated[
    str | None,
    typer.Option(metavar="EXPR", help="Keep rows that satisfy it: 'fits and mfu > 40% and wall_clock < 30 days'."),
]
_result = completion.offered(completion.results)
Least = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Keep the rows with the smallest value of a result.", autocompletion=_result),
]
Most = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Keep the rows with the largest value of a result.", autocompletion=_result),
]
Front = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,NAME",
        help="Keep the rows that no other row beats in both results.",
        autocompletion=completion.several(completion.results),
    ),
]
Kept = Annotated[int | None, typer.Option(min=1, help="How many rows to keep (default 10).", show_default=False)]
Breakdown = Annotated[bool, typer.Option("--breakdown", help="Add columns for each part of time and memory.")]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Write rows to a .csv, .parquet or .jsonl file."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue a file that an interrupted sweep left behind.")]
Plot = Annotated[Path | None, typer.Option(metavar="FILE", help="Plot the rows: .svg, .png or .html.")]


@command("sweep", epilog=EXAMPLE)
@takes_run
def sweep(
    *,
    vary: Vary = None,
    together: Together = None,
    asked: Asked,
    where: Where = None,
    minimise: Least = None,
    maximise: Most = None,
    top: Kept = None,
    pareto: Front = None,
    breakdown: Breakdown = False,
    output: Output = None,
    force: Force = False,
    resume: Resume = False,
    plot: Plot = None,
    engine: Engine = "local",
    scheduler: Scheduler = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Estimate every combination of some inputs, as a table, a file or a plot."""
    from gpuhours.questions.sweeping import sweep as work_out
    from gpuhours.questions.sweeping.values import varied
    from gpuhours_cli.render.progress import watching
    from gpuhours_cli.render.sweep import answer, screen

    _refuse_unwritable(output, plot, force)
    base = asked.run(EXAMPLE)
    with _continued(output), watching("cases", quiet=quiet or as_json) as watch:
        swept = work_out(
            base, dict(varied(text) for text in vary or []), together=[keys.split(",") for keys in together or []],
            where=where, minimise=minimise, maximise=maximise, top=top, pareto=pareto.split(",") if pareto else None,
            breakdown=breakdown, output=output, force=force and output is not None, resume=resume,
            engine=engine, scheduler=scheduler, watch=watch,
        )  # fmt: skip
    if plot is not None:
        _draw(swept, plot)
    emit(
        swept,
        lambda: screen(swept, console().width),
        as_json=as_json,
        answer=(lambda: answer(swept)) if quiet else None,
    )
    if swept.kept == 0:
        raise typer.Exit(1)


@contextlib.contextmanager
def _continued(output: Path | None) -> Iterator[None]:
    """On Ctrl-C, say how to resume a sweep that has written part of its file."""
    try:
        yield
    except KeyboardInterrupt:
        from gpuhours.questions.sweeping.parts import folder_of, rows_so_far

        if output is not None and folder_of(output).is_dir():
            there = f"; the rows so far: {rows_so_far(output)}" if rows_so_far(output).exists() else ""
            sys.stderr.write(printable(f"stopped; --resume continues {output}{there}\n"))
        raise


def _refuse_unwritable(output: Path | None, plot: Path | None, force: bool) -> None:
    """Refuse files of rows or plots that cannot be written, before any work."""
    if output is not None:
        from gpuhours.questions.sweeping.formats import format_of

        format_of(output)
    if plot is not None:
        from gpuhours_cli.render.plot import check

        check(plot)
        unused(plot, force, "--plot")


def _draw(found: "Sweep", path: Path) -> Any:
    from gpuhours_cli.render.plot import picture

    return picture(found, path)
