"""``gpuhours validate``: predictions against measured runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from gpuhours_cli.output import Json, Quiet, emit
from gpuhours_cli.root import command

Runs = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Your own measured runs: a table (.csv) or run files (.yaml).", show_default=False
    ),
]
OfWholeRuns = Annotated[
    bool, typer.Option("--totals", help="Score whole runs: the GPU-hours of published runs, or of FILE.")
]
WholeRuns = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="A table of whole runs for --totals.", show_default=False)
]
Given = Annotated[
    str | None,
    typer.Option(
        metavar="HOW MUCH",
        help="least, usual or all: how much of each row --totals may use.  [default: usual]",
        show_default=False,
    ),
]
UpdateRemainder = Annotated[
    bool,
    typer.Option(
        "--update-remainder", help="Fit the remainder (hours beyond the steps) again, and store it.", hidden=True
    ),
]
Calibration = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Predict the rows of --runs FILE.csv with this calibration (`gpuhours calibrate`); run files name theirs as "
        "`site:` under `run:`.",
        show_default=False,
    ),
]
InSample = Annotated[
    bool,
    typer.Option("--in-sample", help="Leave nothing out: constants fitted on these very rows. For developers."),
]
Update = Annotated[
    bool, typer.Option("--update", help="Fit ranges and odds again, and store them with the errors.", hidden=True)
]
Refit = Annotated[
    bool,
    typer.Option(
        "--refit",
        help="With --update: refit the constants that each source determined without that source.",
        hidden=True,
    ),
]


@command("validate", epilog="Example: gpuhours validate --runs my_runs.csv --json")
def validate(
    runs: Runs = None,
    totals: OfWholeRuns = False,
    file: WholeRuns = None,
    given: Given = None,
    update_remainder: UpdateRemainder = False,
    site: Calibration = None,
    memory_only: Annotated[bool, typer.Option("--memory-only", help="Skip step times.")] = False,
    in_sample: InSample = False,
    update: Update = False,
    refit: Refit = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Predict measured runs, each with constants fitted without its source, and show errors by source, accelerator, precision,
    parallelism and length, and the ten worst rows."""
    if totals:
        refuse_with_totals({"--runs": runs, "--site": site, "--memory-only": memory_only, "--in-sample": in_sample})
        whole_runs(file, given or "usual", update=update_remainder, as_json=as_json, quiet=quiet)
        return
    refuse_without_totals({"--given": given, "--update-remainder": update_remainder})
    if file is not None:
        from gpuhours.inputs.errors import EstimateError

        raise EstimateError(
            f"{file} could be a table of steps or of whole runs.",
            f"--runs {file} for steps, --totals {file} for whole runs.",
        )
    from gpuhours.questions.validating.at_site import site_of
    from gpuhours.questions.validating.report import validate as work_out
    from gpuhours_cli.render.validate import answer, screen

    if update or refit:
        from gpuhours.questions.validating.updating import update as learn

        learn(refit=refit)
    report = work_out(runs, memory_only=memory_only, in_sample=in_sample, site=site_of(site, runs))
    emit(report, lambda: screen(report), as_json=as_json, answer=(lambda: answer(report)) if quiet else None)


def refuse_with_totals(stated: Mapping[str, object]) -> None:
    """Options that ``--totals`` would not read, so that nobody takes the published runs' errors for those of a file of their own."""
    from gpuhours.inputs.errors import EstimateError

    for name in (name for name, value in stated.items() if value):
        hint = "A table of whole runs follows --totals: `gpuhours validate --totals FILE.csv`."
        raise EstimateError(f"{name} is for steps, --totals for whole runs.", hint)


def refuse_without_totals(stated: Mapping[str, object]) -> None:
    """Options that only ``--totals`` reads, so that nobody takes the errors of steps for those of whole runs."""
    from gpuhours.inputs.errors import EstimateError

    for name in (name for name, value in stated.items() if value):
        hint = "For whole runs: `gpuhours validate --totals [FILE.csv]`, with the same option."
        raise EstimateError(f"{name} is for --totals.", hint)


def whole_runs(file: Path | None, given: str, *, update: bool, as_json: bool, quiet: bool) -> None:
    """``--totals``: predicted GPU-hours of whole runs against published ones."""
    from typing import get_args

    from gpuhours.inputs.errors import EstimateError
    from gpuhours.questions.validating.totals import update_remainder as store
    from gpuhours.questions.validating.totals import validate_totals
    from gpuhours.questions.validating.totals_rows import Given
    from gpuhours_cli.render.totals import answer, screen

    if given not in get_args(Given):
        raise EstimateError(f"--given {given!r} is not known.", f"One of {', '.join(get_args(Given))}.")
    report = validate_totals(file, given)  # type: ignore[arg-type]
    if update:
        store(report)
    emit(report, lambda: screen(report), as_json=as_json, answer=(lambda: answer(report)) if quiet else None)
