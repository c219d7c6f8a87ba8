"""``--observed`` and ``--log``: one measured step of a run makes a site, as ``calibrate`` would of more. The run itself then takes what was
measured; a sweep, a plan or a comparison, which change it, take what carries over to others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.calibrating.calibrating import calibrated
from gpuhours.questions.calibrating.explaining import explained, seconds_observed
from gpuhours.questions.calibrating.logs import read_log
from gpuhours.questions.calibrating.observed import ObservedRun, observed_log, unknown
from gpuhours.questions.estimating.estimates import Estimate
from gpuhours.questions.estimating.estimating import estimate
from gpuhours.run.default_layout import as_it_stands
from gpuhours.run.ensemble import settled
from gpuhours.run.evaluate import evaluate
from gpuhours.run.site import Site
from gpuhours.run.spec import Run, at_site


def with_step(run: Run, predicted: Estimate, observed: str | None, log: Path | None, *, best: bool = False) -> Estimate:
    """The estimate of a run whose step was measured: its totals follow from that, and the predicted step stands beside it."""
    read = None if log is None else read_log(log)
    if observed is not None and read is not None:
        raise EstimateError("Both --observed and --log are given.", "Keep the one that is measured better.")
    beside = explained(predicted, observed, read)
    assert beside.observed is not None
    if run.site is None:
        at = on_site(run, site_of_step(run, observed, log))
    else:
        stacks = tuple(one.model_copy(update={"here": beside.observed.measured}) for one in run.site.stacks)
        at = run.replaced("site", run.site.model_copy(update={"stacks": stacks}))
    return replace(estimate(at, best=best), observed=beside.observed)


def site_of_step(run: Run, observed: str | None, log: Path | None) -> Site | None:
    """The site that one measured step of a run makes: ``observed`` as KEY=VALUE, or the run's log; None where neither is given.

    Raises ``EstimateError`` where both are given, where the run has a site already, and where its step cannot be predicted.
    """
    if observed is None and log is None:
        return None
    if observed is not None and log is not None:
        raise EstimateError("Both --observed and --log are given.", "Keep the one that is measured better.")
    if run.site is not None:
        raise EstimateError(
            "The run has a site already, which is made of such steps.", "Leave out --site, or the step.", "--observed"
        )
    if run.stack is None:  # the usual one of its sample, as the other commands take it; not the best one
        run = run.replaced("software", settled(run).software)
    step = observed_log(run, read_log(log)) if log is not None else _stated(run, observed or "")
    site = calibrated([step]).site
    met = tuple(one.model_copy(update={"here": one.steps[0].measured}) for one in site.stacks)
    return site.model_copy(update={"stacks": met, "name": f"--observed {observed}" if log is None else str(log)})


def on_site(run: Run, site: Site | None) -> Run:
    """The run on what a site's steps are likeliest to be of; unchanged where there is none."""
    return run if site is None else at_site(run.replaced("site", site))


def _stated(run: Run, observed: str) -> ObservedRun:
    """A step as the user says it took."""
    outcome = evaluate(unknown(run).replaced("layout", as_it_stands(run.layout)))
    if outcome.step is None:
        raise EstimateError(
            "There is no predicted step to hold it against.", "Give model, batch, accelerator and layout.", "--observed"
        )
    return ObservedRun(unknown(run), seconds_observed(outcome, observed), observed)
