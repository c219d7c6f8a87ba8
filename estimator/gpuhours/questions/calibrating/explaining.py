"""``--observed`` and ``--log``: compare a measured step with the predicted one. Computes the factor that each part of the step would need,
and which other stack or recomputation mode explains the step best."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from gpuhours.inputs.errors import EstimateError, UnitError, nearest
from gpuhours.inputs.units import LARGEST, SMALLEST, parse
from gpuhours.layout.choices import Recompute, word
from gpuhours.questions.calibrating.calibrating import usual_error
from gpuhours.questions.calibrating.choosing import candidates, likelihood
from gpuhours.questions.calibrating.logs import Log
from gpuhours.questions.calibrating.observed import Candidate, ObservedRun, observed_log, unknown
from gpuhours.questions.estimating.estimates import Estimate
from gpuhours.questions.estimating.explanation import Explanation, Hypothesis, PartResidual
from gpuhours.run.evaluate import Outcome
from gpuhours.run.spec import Run

UNITS: Mapping[str, str] = {
    "step_time": "s", "mfu": "", "tokens_per_second": "", "tokens_per_second_per_gpu": "", "samples_per_second": "", "steps_per_second": "",
}  # fmt: skip
"""Quantities that can be observed, with their default units."""
UNSAID = 1.0
"""Penalty (see ``choosing``) of a recomputation mode that the run does not state."""
SMALLEST_PART = 0.005
"""Parts below this share of a step are not shown."""
MOST = 4
"""Maximum number of hypotheses kept."""


def explained(estimate: Estimate, observed: str | None = None, log: Log | None = None) -> Estimate:
    """An estimate compared with a measured step: ``observed`` as KEY=VALUE, or a log of the run."""
    outcome = estimate.outcome
    if outcome.step is None or estimate.stages:
        raise EstimateError(
            "There is no predicted step to compare with.", "Give model, batch, accelerator and layout.", "--observed"
        )
    if log is not None:
        one = observed_log(outcome.run, log)
        given = f"{log.tool}, {one.steps.steps if one.steps else 0} readings of {log.path}"
    else:
        seconds = seconds_observed(outcome, observed or "")
        one, given = ObservedRun(unknown(outcome.run), seconds, str(observed)), str(observed)
    low, high = step_range(estimate)
    explanation = Explanation(
        given, one.seconds, float(outcome.step.time), low, high, tuple(parts_of(outcome, one.seconds)),
        tuple(sorted(hypotheses(one, estimate.run), key=lambda other: -other.odds)[:MOST]), one.remarks,
    )  # fmt: skip
    return replace(estimate, observed=explanation)


def step_range(estimate: Estimate) -> tuple[float, float]:
    """10th and 90th percentile of the predicted step time in s, from the sample if there is one, otherwise from the error band."""
    assert estimate.outcome.step is not None
    time, result = float(estimate.outcome.step.time), estimate.results.get("step_time")
    if result is not None and result.low is not None and result.high is not None and result.basis == "predicted":
        return result.low, result.high
    return (time, time) if estimate.band is None else (estimate.band.low * time, estimate.band.high * time)


def seconds_observed(outcome: Outcome, text: str) -> float:
    """Seconds per step from ``step_time=1.42s``, ``mfu=38%``, ``tokens_per_second=530k``."""
    name, equals, value = text.partition("=")
    name = name.strip()
    if not equals or not value.strip():
        raise EstimateError(f"{text!r} is not KEY=VALUE.", "For example --observed step_time=1.42s", "--observed")
    if name not in UNITS:
        hint = nearest(name, UNITS) or f"There are {', '.join(UNITS)}."
        raise EstimateError(f"No observation {name!r}.", hint, "--observed")
    try:
        number = float(parse(value.strip(), UNITS[name]))
    except UnitError as error:
        raise EstimateError(str(error), "For example --observed step_time=1.42s", "--observed") from None
    if not SMALLEST <= number <= LARGEST or (name == "mfu" and number > 1):
        raise EstimateError(
            f"{value.strip()} is not a possible value.", "It must be positive, and an MFU at most 100%.", "--observed"
        )
    return seconds_from(outcome, name, number)


def seconds_from(outcome: Outcome, name: str, number: float) -> float:
    """Seconds per step implied by an observation."""
    assert outcome.step is not None
    batch, gpus = float(np.max(outcome.value("global_batch"))), float(np.max(outcome.value("gpus")))
    tokens = batch * float(np.max(outcome.value("tokens_per_sample") or 0.0))
    per_second = {
        "steps_per_second": 1.0, "samples_per_second": batch, "tokens_per_second": tokens, "tokens_per_second_per_gpu": tokens / gpus,
        "mfu": float(outcome.step.model_flops / outcome.step.peak),
    }  # fmt: skip
    return number if name == "step_time" else per_second[name] / number


def parts_of(outcome: Outcome, measured: float) -> Iterator[PartResidual]:
    """The parts of a step, each with the factor on this part alone that would give the measured step: (part + residual) / part."""
    assert outcome.step is not None
    time = float(outcome.step.time)
    for name, value in outcome.step.parts.items():
        seconds = float(value)
        if seconds >= SMALLEST_PART * time:
            factor = (seconds + measured - time) / seconds
            yield PartResidual(name, seconds, factor if factor > 0 else None)


def hypotheses(one: ObservedRun, described: Run) -> Iterator[Hypothesis]:
    """Alternative profiles, networks and (if the run as ``described`` leaves it open) recomputation modes, scored as in ``choosing``."""
    stated = one.stated
    base = one.predicted(stated)
    if base is None:
        return
    usual = usual_error(one.traits, base)

    def score(seconds: float, penalty: float) -> float:
        return likelihood(np.array([math.log(one.seconds / seconds)]), usual) - penalty

    as_described = score(base, 0.0)
    for stack, penalty in candidates(stated, one.crosses):
        seconds = one.predicted(stack) if stack != stated else None
        if seconds is not None and seconds > 0 and abs(math.log(seconds / base)) > 1e-6:
            yield Hypothesis(*said(stack, stated), seconds, odds(score(seconds, penalty) - as_described))
    for mode, seconds in recomputed(one, described):
        if abs(math.log(seconds / base)) > 1e-6:
            named = word(Recompute, mode)
            yield Hypothesis(
                f"recompute {named}", f"--recompute {named}", seconds, odds(score(seconds, UNSAID) - as_described)
            )


def odds(lead: float) -> float:
    """exp(``lead``) without overflow."""
    return math.exp(min(lead, 700.0))


def said(stack: Candidate, stated: Candidate) -> tuple[str, str]:
    """A description of a stack, and the command-line option that selects it."""
    if stack.software != stated.software:
        return f"software {stack.software}", f"--software {stack.software}"
    return f"network {stack.network}", f"--set hardware.network.kind={stack.network}"


def recomputed(one: ObservedRun, described: Run) -> Iterator[tuple[Recompute, float]]:
    """Pairs (recomputation mode, seconds per step) for every mode that is valid for the run, if it is ``described`` without one."""
    layout = described.layout
    if (
        layout is not None
        and "recompute" in layout.model_fields_set
        and "layout.recompute" not in described.assumptions
    ):
        return
    for mode in Recompute:
        base = one.resolved.layout
        if base is None or mode == base.recompute:
            continue
        other = ObservedRun(
            one.run.replaced("layout", base.replaced(recompute=mode, recompute_layers=None, recompute_modules=None)),
            one.seconds,
            one.source,
        )
        seconds = other.predicted(other.stated)
        if seconds is not None:
            yield mode, seconds
