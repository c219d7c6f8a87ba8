"""``report``: what a page about one run holds: its estimate, the run on other numbers of GPUs, what one more fact would narrow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from gpuhours.inputs.durations import HOUR
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.questions.envelope import envelope
from gpuhours.questions.estimating.estimates import Estimate
from gpuhours.questions.estimating.estimating import estimate
from gpuhours.run.ensemble import ensemble
from gpuhours.run.evaluate import Outcome, evaluate
from gpuhours.run.lattice import DRAWS
from gpuhours.run.shortcuts import run_of
from gpuhours.run.spec import Described, Run, of_other_runs

FACTORS = (0.125, 0.25, 0.5, 1, 2, 4, 8)
"""Numbers of GPUs that the run is tried on, over its own."""


@dataclass(frozen=True)
class AtScale:
    """The same samples on ``gpus``, in the batch stated or one that they share evenly; times in seconds."""

    gpus: int
    wall_clock: float
    gpu_hours: float
    mfu: float
    fits: bool


@dataclass(frozen=True)
class Decides:
    """What the range of a description comes from, over ``draws`` runs that fit it."""

    draws: int
    low: float
    """GPU-hours, 10th percentile; ``high`` the 90th."""
    high: float
    shares: Mapping[str, float]
    """Share of the variance of ln GPU-hours that each unknown carries, largest first."""
    fact: str
    """The unknown to settle first; "" where none can be said."""
    how: str
    """The option that says it."""
    narrowed_low: float | None
    """GPU-hours were it as in the middle run, 10th percentile; ``narrowed_high`` the 90th."""
    narrowed_high: float | None

    def to_dict(self) -> dict[str, Any]:
        """The JSON object: shares as a list, largest first."""
        shares = [{"unknown": name, "share": share} for name, share in self.shares.items()]
        return {**asdict(self), "shares": shares}


@dataclass(frozen=True)
class Report:
    """Everything on the page."""

    estimate: Estimate
    scale: tuple[AtScale, ...]
    """By number of GPUs; empty where the run has no predicted step or no length."""
    decides: Decides | None

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``gpuhours report --json``."""
        scale = [asdict(one) for one in self.scale]
        decides = None if self.decides is None else self.decides.to_dict()
        return envelope("report", {"estimate": self.estimate.content(), "scale": scale, "decides": decides})


def report(run: Described) -> Report:
    """Work out a run and what a reader asks next."""
    run = run_of(run, {})
    answer = estimate(run)
    return Report(answer, tuple(at_scale(answer)), decides(run))


def at_scale(estimate: Estimate) -> Iterator[AtScale]:
    """The run on other numbers of GPUs: its own layout on more or fewer replicas, or the fastest where they cannot hold a replica; numbers
    that no layout of it can use are left out.

    wall-clock(g) = wall-clock x (t(g) / B(g)) / (t / B)          t predicted s a step of B samples, the layout and its stops the same
    MFU(g) = MFU x GPU-hours / GPU-hours(g)                       the FLOPs are the same: the answer's own row says what the answer says
    """
    own = estimate.outcome
    gpus, seconds = own.value("gpus"), own.value("wall_clock")
    if estimate.stages or own.step is None or gpus is None or seconds is None:
        return
    base = _replicated(estimate, round(float(gpus))) or own
    before = _per_sample(base)
    useful = own.value("mfu") or own.step.mfu
    for many in sorted({round(float(gpus) * factor) for factor in FACTORS} - {0}):
        outcome = base if many == float(gpus) else _replicated(estimate, many)
        if outcome is None or outcome.step is None or outcome.memory is None:
            continue
        wall_clock = float(seconds) * _per_sample(outcome) / before
        gpu_time, mfu = wall_clock * many, float(useful) * float(seconds) * float(gpus) / (wall_clock * many)
        yield AtScale(many, wall_clock, gpu_time / HOUR, mfu, bool(outcome.memory.fits))


def _per_sample(outcome: Outcome) -> float:
    """s that a sample takes."""
    assert outcome.step is not None
    assert outcome.resolved.global_batch is not None
    return float(outcome.step.time) / float(outcome.resolved.global_batch)


def _replicated(estimate: Estimate, gpus: int) -> Outcome | None:
    """The run on a number of GPUs, on the stack and, where it can be, in the layout of its answer; None where nothing runs there."""
    asked, resolved = estimate.run.replaced("hardware.gpus", gpus), estimate.outcome.resolved
    asked = of_other_runs(asked.replaced("software", asked.software or resolved.software.name))
    answered = None if resolved.layout is None else resolved.layout.replaced(data=None)
    for layout in dict.fromkeys((answered, estimate.run.layout)):
        try:
            outcome = evaluate(asked.replaced("layout", layout))
        except EstimateError:
            continue
        if outcome.step is not None and np.all(outcome.step.valid):
            return outcome
    return None


def decides(run: Run) -> Decides | None:
    """What one more fact would narrow; None where the run's own figures settle its length."""
    try:
        drawn = ensemble(run)
    except EstimateError:
        return None  # a stack or layout that the sample cannot be drawn around
    if drawn is None or not (shares := drawn.shares()):
        return None
    low, high = (float(edge) / HOUR for edge in np.quantile(drawn.gpu_time, [0.1, 0.9]))
    fact, how, *edges = drawn.narrowed() or ("", "", None, None)
    narrowed = [None if edge is None else float(edge) / HOUR for edge in edges]
    return Decides(DRAWS, low, high, shares, str(fact), str(how), narrowed[0], narrowed[1])
