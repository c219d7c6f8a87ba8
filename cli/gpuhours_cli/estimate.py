"""``gpuhours estimate``: one run, one screen."""

import datetime
from collections.abc import Mapping
from typing import Annotated, NoReturn

import typer

from gpuhours_cli import completion
from gpuhours_cli.output import Json, Quiet, emit, shown
from gpuhours_cli.root import command
from gpuhours_cli.shortcuts import LogOfSteps, ObservedStep, RunFile, Settings, described, takes_shortcuts

EXAMPLE = "Example: gpuhours estimate --params 30B --tokens 500B --gpu h100-sxm-80gb --gpus 512 --tensor 4 --pipeline 8"


Explained = Annotated[
    str | None,
    typer.Option(
        metavar="RESULT",
        help="Print the equation, inputs and sources of one result.",
        autocompletion=completion.offered(completion.results),
    ),
]
Best = Annotated[bool, typer.Option("--best", help="Assume a tuned run on the best stack instead of a typical one.")]
Budget = Annotated[
    str | None,
    typer.Option(metavar="MONEY", help='What it may cost: "2M USD"; exit code 1 where that is unlikely.'),
]
Deadline = Annotated[
    str | None,
    typer.Option(metavar="DATE", help="Deadline: 2027-03-01; exit code 1 if it is unlikely to be met."),
]


@command("estimate", epilog=EXAMPLE)
@takes_shortcuts
def estimate(
    run: RunFile = None,
    settings: Settings = None,
    explain: Explained = None,
    best: Best = False,
    budget: Budget = None,
    by: Deadline = None,
    observed: ObservedStep = None,
    log: LogOfSteps = None,
    as_json: Json = False,
    quiet: Quiet = False,
    *,
    shortcuts: Mapping[str, str],
) -> None:
    """Estimate GPU-hours, MFU, wall-clock time, memory, cost, energy and carbon of one training run."""
    from gpuhours.questions.estimating.estimating import estimate as work_out
    from gpuhours.questions.estimating.estimating import with_chances
    from gpuhours_cli.render.estimate import answer, screen

    deadline, money = day_of(by), money_of(budget)
    if deadline is not None and "year" not in shortcuts:
        shortcuts = {**shortcuts, "year": str(deadline.year)}
    asked = described(run, shortcuts, settings, EXAMPLE)
    result = work_out(asked, best=best)
    if observed is not None or log is not None:
        from gpuhours.questions.calibrating.own_step import with_step

        result = with_step(asked, result, observed, log, best=best)
    if deadline is not None or money is not None:
        result = with_chances(result, deadline, money)
    if explain is not None and not as_json:
        from gpuhours_cli.render.explain import explanation

        shown(explanation(result, explain))
    else:
        emit(result, lambda: screen(result), as_json=as_json, answer=(lambda: answer(result)) if quiet else None)
    if result.chances is not None and result.chances.unknown:
        undetermined(result.chances.unknown)
    if result.fits is False or (result.chances is not None and not result.chances.likely):
        raise typer.Exit(1)


def undetermined(flags: tuple[str, ...]) -> NoReturn:
    """Refuse limits that nothing can be said of: an exit code of 0 would read as yes."""
    from gpuhours.inputs.errors import EstimateError

    raise EstimateError(
        "Whether the run stays within it is not known: its time or its cost is not determined.",
        "The output says what is missing: the model, tokens, --gpu, or a price (--price '2.5 USD/GPU-hour').",
        " and ".join(flags),
    )


def day_of(text: str | None) -> datetime.date | None:
    """Parse ``--by 2027-03-01``."""
    from gpuhours.inputs.errors import EstimateError
    from gpuhours.run.spec import LAST_YEAR

    if text is None:
        return None
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        raise EstimateError(f"{text!r} is not a date.", "Year-month-day: 2027-03-01.", "--by") from None
    if day <= datetime.date.today():
        raise EstimateError(f"{text} is in the past.", "Give a later date: the run starts today.", "--by")
    if day.year > LAST_YEAR:
        raise EstimateError(f"{text} is after {LAST_YEAR}.", "No deadline is that far away: leave it out.", "--by")
    return day


def money_of(text: str | None) -> float | None:
    """Parse ``--budget "2M USD"``."""
    from gpuhours.inputs.errors import EstimateError, UnitError
    from gpuhours.inputs.units import amount

    if text is None:
        return None
    try:
        return amount(text, "USD", positive=True)
    except UnitError as error:
        raise EstimateError(f"{text!r}: {error}.", 'For example --budget "50k USD".', "--budget") from None
