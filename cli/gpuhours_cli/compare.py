"""``gpuhours compare``: two runs side by side."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpuhours_cli.output import Json, Quiet, emit
from gpuhours_cli.root import command
from gpuhours_cli.shortcuts import LogOfSteps, ObservedStep, Settings, described, placed, takes_shortcuts, typed

if TYPE_CHECKING:
    from gpuhours.run.spec import Run

EXAMPLE = "Example: gpuhours compare a100.yaml h100.yaml, or gpuhours compare a100.yaml --gpu h100-sxm-80gb"


@command("compare", epilog=EXAMPLE)
@takes_shortcuts
def compare(
    first: Annotated[Path, typer.Argument(metavar="A.yaml", help="The baseline.", show_default=False)],
    second: Annotated[
        Path | None,
        typer.Argument(
            metavar="B.yaml",
            help="The other run; the options below then apply to both. Without it, A with those options.",
            show_default=False,
        ),
    ] = None,
    settings: Settings = None,
    observed: ObservedStep = None,
    log: LogOfSteps = None,
    as_json: Json = False,
    quiet: Quiet = False,
    *,
    shortcuts: Mapping[str, str],
) -> None:
    """Show which inputs differ, how much every result changes, and which input causes it."""
    from gpuhours.inputs.errors import EstimateError
    from gpuhours.questions.comparing import compare as side_by_side
    from gpuhours.questions.comparing import numbers
    from gpuhours_cli.render.compare import answer, screen

    one, other = two_runs(first, second, shortcuts, settings)
    if observed is not None or log is not None:
        from gpuhours.questions.calibrating.own_step import on_site, site_of_step

        site = site_of_step(one, observed, log)
        one, other = on_site(one, site), on_site(other, site)
    try:
        comparison = side_by_side(one, other)
    except EstimateError:
        options = typed(shortcuts, settings)
        for path, run, changed in ((first, one, options if second else {}), (second or first, other, options)):
            with placed(path, changed):
                numbers(run)  # raises if it is this run that cannot be
        raise
    emit(
        comparison, lambda: screen(comparison), as_json=as_json, answer=(lambda: answer(comparison)) if quiet else None
    )


def two_runs(
    first: Path, second: Path | None, shortcuts: Mapping[str, str], settings: list[str] | None
) -> "tuple[Run, Run]":
    """The runs to compare: of two files, each with the options; of one file, without and with them. Raises ``EstimateError`` for one file
    without options."""
    from gpuhours.inputs.errors import EstimateError
    from gpuhours.run.overlays import setting
    from gpuhours.run.shortcuts import overlaid
    from gpuhours.run.spec import run_file

    if second is not None:
        one, other = (described(path, shortcuts, settings, EXAMPLE) for path in (first, second))
        if one.name == other.name:  # files that give no name, or the same one
            one, other = one.replaced("name", first.stem), other.replaced("name", second.stem)
        return one, other
    if not (shortcuts or settings):
        raise EstimateError("There is nothing to compare it with.", EXAMPLE, str(first))
    source = run_file(first)
    return overlaid(source, {}), overlaid(source, shortcuts, dict(setting(text) for text in settings or []))
