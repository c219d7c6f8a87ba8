"""``--observed`` and ``--log``: calibrate to one measured step of a run, as ``calibrate`` does to several. The run itself then uses the
measured step; a sweep, plan or comparison, which change the run, use the calibrated stack and factor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gpuhours.inputs.errors import Contradiction, EstimateError
from gpuhours.questions.calibrating.calibrating import calibrated
from gpuhours.questions.calibrating.explaining import explained, seconds_observed
from gpuhours.questions.calibrating.logs import read_log
from gpuhours.questions.calibrating.observed import ObservedRun, observed_log, unknown
from gpuhours.questions.estimating.estimates import Estimate
from gpuhours.questions.estimating.estimating import estimate
from gpuhours.run.default_layout import with_explicit_defaults
from gpuhours.run.ensemble import settled
from gpuhours.run.evaluate import evaluate
from gpuhours.run.site import Site
from gpuhours.run.spec import Run, at_site


def with_step(run: Run, predicted: Estimate, observed: str | None, log: Path | None, *, best: bool = False) -> Estimate:
    """The estimate of a run with its totals computed from a measured step; the predicted step is kept for comparison."""
    read = None if log is None else read_log(log)
    if observed is not None and read is not None:
        raise EstimateError("Both --observed and --log are given.", "Keep the more accurate one.")
    beside = explained(predicted, observed, read)
    assert beside.observed is not None
    if run.site is None:
        at = on_site(run, site_of_step(run, observed, log))
    else:
        stacks = tuple(one.model_copy(update={"here": beside.observed.measured}) for one in run.site.stacks)
        at = run.replaced("site", run.site.model_copy(update={"stacks": stacks}))
    try:
        found = estimate(at, best=best)
    except Contradiction as error:  # the step that was handed over is one of the numbers that contradict each other
        given = f"--observed {observed}" if log is None else str(log)
        raise Contradiction(error.problem, error.hint, f"{given}  {error.where}", error.value) from None
    return replace(found, observed=beside.observed)


def site_of_step(run: Run, observed: str | None, log: Path | None) -> Site | None:
    """The calibration from one measured step of a run: ``observed`` as KEY=VALUE, or the run's log; None if neither is given.

    Raises ``EstimateError`` if both are given, if the run already has a site, or if its step cannot be predicted.
    """
    if observed is None and log is None:
        return None
    if observed is not None and log is not None:
        raise EstimateError("Both --observed and --log are given.", "Keep the more accurate one.")
    if run.site is not None:
        raise EstimateError("The run already has a site calibration.", "Leave out --site, or the step.", "--observed")
    if run.stack is None:  # as in other commands, use the typical stack of the sample, not the best-fitting one
        run = run.replaced("software", settled(run).software)
    step = observed_log(run, read_log(log)) if log is not None else _stated(run, observed or "")
    site = calibrated([step]).site
    calibrations = tuple(one.model_copy(update={"here": one.steps[0].measured}) for one in site.stacks)
    return site.model_copy(
        update={"stacks": calibrations, "name": f"--observed {observed}" if log is None else str(log)}
    )


def on_site(run: Run, site: Site | None) -> Run:
    """The run with the stack and network that the site's calibration chose; unchanged if there is none."""
    return run if site is None else at_site(run.replaced("site", site))


def _stated(run: Run, observed: str) -> ObservedRun:
    """The measured step given on the command line, with its run."""
    outcome = evaluate(unknown(run).replaced("layout", with_explicit_defaults(run.layout)))
    if outcome.step is None:
        raise EstimateError(
            "There is no predicted step to compare with.", "Give model, batch, accelerator and layout.", "--observed"
        )
    return ObservedRun(unknown(run), seconds_observed(outcome, observed), observed)
