"""``report``: the contents of a page about one run: its estimate, other numbers of GPUs, and which fact would narrow the range most."""

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
from gpuhours.run.points import DRAWS
from gpuhours.run.shortcuts import run_of
from gpuhours.run.spec import Described, Run, of_other_runs

FACTORS = (0.125, 0.25, 0.5, 1, 2, 4, 8)
"""Numbers of GPUs to compare, relative to the run's own."""


@dataclass(frozen=True)
class AtScale:
    """The same samples on ``gpus``, with the stated batch or one that divides evenly; times in seconds."""

    gpus: int
    wall_clock: float
    gpu_hours: float
    mfu: float
    fits: bool


@dataclass(frozen=True)
class Decides:
    """Where the range of a description comes from, over ``draws`` sampled runs that match it."""

    draws: int
    low: float
    """GPU-hours, 10th percentile; ``high`` the 90th."""
    high: float
    shares: Mapping[str, float]
    """Each unknown's share of the variance of ln GPU-hours, largest first."""
    fact: str
    """The unknown to settle first; "" if none qualifies."""
    how: str
    """The option that sets it."""
    narrowed_low: float | None
    """GPU-hours with that unknown as in the median run, 10th percentile; ``narrowed_high`` the 90th."""
    narrowed_high: float | None

    def to_dict(self) -> dict[str, Any]:
        """The JSON object: shares as a list, largest first."""
        shares = [{"unknown": name, "share": share} for name, share in self.shares.items()]
        return {**asdict(self), "shares": shares}


@dataclass(frozen=True)
class Report:
    """The contents of the page."""

    estimate: Estimate
    scale: tuple[AtScale, ...]
    """By number of GPUs; empty if the run has no predicted step or no length."""
    decides: Decides | None

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``gpuhours report --json``."""
        scale = [asdict(one) for one in self.scale]
        decides = None if self.decides is None else self.decides.to_dict()
        return envelope("report", {"estimate": self.estimate.content(), "scale": scale, "decides": decides})


def report(run: Described) -> Report:
    """Estimate a run, also on other numbers of GPUs, and find which fact would narrow the range."""
    run = run_of(run, {})
    answer = estimate(run)
    return Report(answer, tuple(at_scale(answer)), decides(run))


def at_scale(estimate: Estimate) -> Iterator[AtScale]:
    """The run on other numbers of GPUs: its layout with more or fewer replicas, or the fastest layout if one replica does not fit; numbers
    that no layout can use are left out.

    wall-clock(g) = wall-clock x (t(g) / B(g)) / (t / B)          t predicted s per step of B samples, same layout and stops
    MFU(g) = MFU x GPU-hours / GPU-hours(g)                       same FLOPs; the run's own row equals the estimate
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
    """Seconds per sample."""
    assert outcome.step is not None
    assert outcome.resolved.global_batch is not None
    return float(outcome.step.time) / float(outcome.resolved.global_batch)


def _replicated(estimate: Estimate, gpus: int) -> Outcome | None:
    """The run on ``gpus``, with the estimate's stack and, if possible, its layout; None if no layout works there."""
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
    """The shares of the variance, and the fact that would narrow the range most; None if the run's own figures determine its GPU-hours."""
    try:
        drawn = ensemble(run)
    except EstimateError:
        return None  # a stack or layout that sampling does not support
    if drawn is None or not (shares := drawn.shares()):
        return None
    low, high = (float(edge) / HOUR for edge in np.quantile(drawn.gpu_time, [0.1, 0.9]))
    fact, how, *edges = drawn.narrowed() or ("", "", None, None)
    narrowed = [None if edge is None else float(edge) / HOUR for edge in edges]
    return Decides(DRAWS, low, high, shares, str(fact), str(how), narrowed[0], narrowed[1])
