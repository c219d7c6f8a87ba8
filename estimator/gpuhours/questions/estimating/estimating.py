"""Compute the estimate of a run: values at the centre of every input range, result ranges from joint draws, each stage separately."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gpuhours.cost.power import POWER_SHARE
from gpuhours.inputs.errors import Contradiction, EstimateError
from gpuhours.inputs.units import magnitude
from gpuhours.questions.estimating.chances import chances
from gpuhours.questions.estimating.estimates import ByGpus, Estimate, Result
from gpuhours.questions.estimating.stages import of_each, together
from gpuhours.questions.planning.advice import Advice, advise
from gpuhours.run.band import Band, band
from gpuhours.run.central import RECOMPUTE, centre
from gpuhours.run.ensemble import Ensemble
from gpuhours.run.evaluate import NO_STOPS, Outcome, evaluate
from gpuhours.run.idle_keys import idle_keys
from gpuhours.run.points import shuffled
from gpuhours.run.ranges import draws, middle, percentiles, quantiles
from gpuhours.run.results import RESULTS, SHARES, results
from gpuhours.run.spec import Run
from gpuhours.run.totals import KEYS, undetermined
from gpuhours.run.unmeasured_card import MFU

Range = tuple[float, float, float]
MOST_APART = 1e12
LARGEST = 1e36
"""Upper limit of any total, in its base unit."""

STEP_TIME = "step_time"
BILLED = "cost."
"""Keys that change only the bill: step and memory stay the same."""
ASKED = ("wall_clock", "cost")
"""Results that a deadline or a budget applies to."""
ALIKE = 0.01
"""Difference in log between a stated and a predicted step below which it is not mentioned."""
FEW_STEPS = 10
"""Fewer optimiser steps than this suggest a batch given in the wrong unit."""
MOST_TOKENS = 5e8
"""Tokens per step; no published run has more."""
WHOLE = frozenset({"layout", "hardware.gpus", "training.global_batch", "data.frames"})
"""Keys (or blocks of keys) whose sampled values are rounded to integers, such as GPU counts."""


def estimate(
    run: Run, uncertain: Mapping[str, Range] | None = None, *, best: bool = False, past: bool = False
) -> Estimate:
    """Estimate one run.

    If its step has to be predicted, totals are the median, 10th and 90th percentile over a sample of matching runs (``run.ensemble``);
    everything else comes from the sampled run nearest to the median. Otherwise values are computed at the centre of every input range,
    and their ranges from joint draws.

    ``uncertain`` adds ranges (low, value, high) to the run's own assumptions. ``best``: assume a tuned run rather than a typical one.
    ``past``: a stated duration is what the run took, not the time that it is allowed.
    """
    if run.stages:
        return together(run, of_each(run, lambda stage: estimate(stage, uncertain, best=best, past=past)))
    given = run
    run, sample, outcome = centre(run, best=best, elsewhere=True, past=past)
    _contradictions(outcome)
    earned = band(outcome) if outcome.step is not None else None
    over_ranges = (
        _over_ranges(run, outcome, earned, uncertain or {})
        if sample is None
        else _sampled(run, sample, uncertain or {})
    )
    return Estimate(
        run=run,
        outcome=outcome,
        results=_with_memory(_results(outcome, over_ranges), earned),
        draws=_budget_draws(over_ranges),
        time={} if outcome.step is None else {part: float(value) for part, value in outcome.step.parts.items()},
        memory={} if outcome.memory is None else {part: float(value) for part, value in outcome.memory.parts.items()},
        assumptions=outcome.assumptions,
        warnings=(*outcome.warnings, *_remarks(given, outcome), *(earned.warnings if earned else ())),
        band=earned,
        advice=_advice(outcome),
        sample=sample,
        by_gpus=() if sample is None else days_by_gpus(run, sample),
    )


def with_chances(found: Estimate, by: datetime.date | None, budget: float | None) -> Estimate:
    """An estimate with the probability of meeting a deadline and a budget."""
    return replace(found, chances=chances(found.results, found.draws, found.sample, by, budget))


def _remarks(run: Run, outcome: Outcome) -> Iterator[str]:
    """Warnings about unknown software, a model with nothing trainable, keys without effect, undetermined values, a batch in an odd unit,
    HFU above 1, and a predicted step that differs from the one that the run's own figures give."""
    if run.software is not None and run.stack is None:
        yield f"software {run.software!r} is not known, and is left open; `gpuhours software` lists known stacks"
    model = outcome.resolved.model
    if model is not None and not np.any(model.trainable_parameters):
        yield "no part of the model is trained: this is the time of forward passes alone"
    yield from _round_length(run)
    there = outcome.resolved
    yield from idle_keys(run, there.cluster, there.layout, there.software, there.global_batch)
    if (opened := undetermined(outcome.totals)) is not None:
        yield opened
    yield from _odd_batch(outcome)
    if NO_STOPS in outcome.assumptions and (said := sorted(run.operation.model_fields_set)):
        yield f"operation.{', operation.'.join(said)}: no effect, since known values determine the step time and stops are not counted"
    if (usual := outcome.run.assumptions.get(MFU)) is not None and usual.low is not None and not there.timed:
        low, high = (magnitude(edge) for edge in (usual.low, usual.high))
        yield f"the totals rest on {low:.0%} to {high:.0%} of the peak, as published runs used on other accelerators; --mfu narrows them"
    hfu = outcome.value("hfu")
    if hfu is not None and float(hfu) > 1.0:
        yield f"{RECOMPUTE} is assumed, and with it the run would use {float(hfu):.0%} of the dense peak: less was recomputed"
    seconds = outcome.totals.values.get(STEP_TIME)
    stated = seconds is not None and seconds.basis != "predicted" and outcome.resolved.measured is None
    if outcome.step is not None and seconds is not None and stated:
        ratio = float(outcome.step.time) / float(seconds.value)
        if abs(math.log(ratio)) < ALIKE:
            return
        yield (
            f"the step is predicted to take {float(outcome.step.time):.3g} s (MFU {float(outcome.step.mfu):.1%}); "
            f"the inputs give {float(seconds.value):.3g} s, {max(ratio, 1 / ratio):.3g} times {'faster' if ratio > 1 else 'slower'}"
        )


def _round_length(run: Run) -> Iterator[str]:
    """A warning if the sequence length is a power of two times 1,000 (``8k`` is read as 8,000), where 1,024 is usual."""
    length = run.data.seq_len
    if length is None or np.ndim(length) or length % 1000 or length < 2000:
        return
    thousands = int(length) // 1000
    if thousands.bit_count() == 1:
        usual = 1024 * thousands
        yield f"data.seq_len is {length:,} tokens: k means a thousand; for {usual:,} write {usual} or {thousands}Ki"


def _odd_batch(outcome: Outcome) -> Iterator[str]:
    """A warning if the batch in samples looks like one in tokens: under ``FEW_STEPS`` steps, or over ``MOST_TOKENS`` tokens per step."""
    steps, batch = outcome.value("steps"), outcome.resolved.global_batch
    if batch is None:
        return
    samples, each = float(np.max(batch)), float(np.max(outcome.resolved.tokens_per_sample or 0.0))
    meant = 'is the batch meant in tokens (--batch "4M tokens")?'
    if steps is not None and float(steps) < FEW_STEPS:
        yield f"only {float(steps):.3g} optimiser steps of {samples:,.0f} samples: {meant}"
    elif samples * each > MOST_TOKENS:
        yield f"a step of {samples:,.0f} samples has {samples * each:,.0f} tokens: {meant}"


def _advice(outcome: Outcome) -> Advice:
    """Suggested layout changes; empty if step or memory is unknown."""
    if outcome.step is None or outcome.memory is None:
        return Advice()
    return advise(outcome.run, outcome.resolved, bool(outcome.memory.fits))


def _over_ranges(run: Run, centre: Outcome, earned: Band | None, uncertain: Mapping[str, Range]) -> Outcome:
    """The run evaluated over joint draws of its input ranges and of the step model's error; ``centre`` if there are no ranges."""
    ranges = run.ranges()
    ranges |= uncertain
    billed = {key: spread for key, spread in centre.bill.ranges.items() if key not in ranges}
    predicted = centre.totals.values.get(STEP_TIME)
    from_step = predicted is not None and (predicted.basis == "predicted" or centre.resolved.measured is not None)
    if earned is not None and from_step:
        ranges[STEP_TIME] = (float(earned.low), 1.0, float(earned.high))
    sampled = draws(ranges) | {key: values for key, values in draws(ranges | billed).items() if key in billed}
    slower, power_error = sampled.pop(STEP_TIME, 1.0), _power_error(sampled, billed)
    for key, values in sampled.items():
        run = run.replaced(key, _rounded_if_whole(key, values))
    same_step = all(key.startswith(BILLED) for key in sampled)
    return (
        evaluate(run, slower=slower, power_error=power_error, like=centre if same_step else None)
        if ranges or billed
        else centre
    )


def _sampled(run: Run, sample: Ensemble, uncertain: Mapping[str, Range]) -> Outcome:
    """The run evaluated over all draws of its sample and of its additional input ranges; the latter are shuffled, so that the two are
    independent."""
    own, centre = run.ranges() | dict(uncertain), sample.outcome
    billed = {key: spread for key, spread in centre.bill.ranges.items() if key not in own}
    own |= billed
    seconds = centre.totals.values[STEP_TIME].value
    assert centre.step is not None
    slower = np.concatenate([[float(seconds) / float(centre.step.time)], sample.slower])
    named, goodput = centre.run, centre.value("goodput")
    if goodput is not None:
        named = named.replaced("known.goodput", np.concatenate([[goodput], sample.effective_goodput]))
    order = np.concatenate([[0], 1 + shuffled()])
    sampled = {key: values[order] for key, values in draws(own, len(sample.slower)).items()}
    power_error = _power_error(sampled, billed)
    for key, values in sampled.items():
        named = named.replaced(key, _rounded_if_whole(key, values))
    same_step = all(key.startswith(BILLED) for key in own)
    return evaluate(named, slower=slower, power_error=power_error, like=centre if same_step else None)


def _power_error(sampled: dict[str, Any], billed: Mapping[str, Range]) -> Any:
    """Takes the draws of the accelerators' assumed power share out of ``sampled``: actual over predicted power, 1 if none is assumed. As an
    error it applies to the power of each draw, which follows that draw's own load."""
    if POWER_SHARE.name not in billed:
        return 1.0
    return sampled.pop(POWER_SHARE.name) / billed[POWER_SHARE.name][1]


def _rounded_if_whole(key: str, values: Any) -> Any:
    """Sampled values of a key; rounded to integers of at least 1 if it is in ``WHOLE``."""
    whole = key in WHOLE or key.split(".")[0] in WHOLE
    return np.maximum(1, np.round(values)) if whole else values


def days_by_gpus(run: Run, sample: Ensemble) -> tuple[ByGpus, ...]:
    """Duration of the run on a quarter, the same and four times the usual number of accelerators; empty if it states a number."""
    stated = run.hardware.gpus is not None or (run.layout is not None and run.layout.data is not None)
    if stated or sample.outcome.value("gpu_hours") is None:
        return ()
    usual = int(float(np.max(sample.outcome.value("gpus"))))
    by_gpus = []
    for gpus, times in sorted({**sample.elsewhere, usual: sample.gpu_time}.items()):
        low, middle, high = (value / gpus for value in quantiles(times, [0.1, 0.5, 0.9]))
        by_gpus.append(ByGpus(gpus, middle, low, high))
    return tuple(by_gpus)


def _budget_draws(over_ranges: Outcome) -> dict[str, Any]:
    """Draws of the results that a budget or a deadline applies to; a single value if there are none."""
    values = {name: one.value for name, one in results(over_ranges).items() if name in ASKED and one is not None}
    return {name: np.ravel(value)[1:] if np.size(value) > 1 else np.ravel(value) for name, value in values.items()}


def _results(centre: Outcome, over_ranges: Outcome) -> dict[str, Result | None]:
    """Every result: the value at the centre, and the range from the draws, extended to include that value.

    Draws of a share (such as MFU) may exceed 1, since published runs may be faster than predicted; its range is capped at 1.
    """
    by_name: dict[str, Result | None] = {}
    ranged = results(over_ranges)
    for name, one in results(centre).items():
        if one is None:
            by_name[name] = None
            continue
        over_draws = ranged[name]
        bounds = percentiles(over_draws.value) if over_draws is not None and RESULTS[name].ranged else None
        if bounds and name in SHARES:
            bounds = (bounds[0], min(bounds[1], 1.0))
        value = middle(one.value)
        low, high = (min(bounds[0], value), max(bounds[1], value)) if bounds else (None, None)
        by_name[name] = Result(value, one.unit, low, high, one.basis, one.equation, one.inputs)
    return by_name


def _with_memory(found: dict[str, Result | None], earned: Band | None) -> dict[str, Result | None]:
    """The results, with the range of memory widened by the memory model's error."""
    held = found["memory_per_gpu"]
    if held is None or earned is None:
        return found
    low, high = held.low or held.value, held.high or held.value
    return found | {"memory_per_gpu": replace(held, low=low * earned.memory_low, high=high * earned.memory_high)}


def _degrees(outcome: Outcome) -> str:
    """The degrees and batch of a layout, for a message."""
    layout, resolved = outcome.resolved.layout, outcome.resolved
    names = ("tensor", "pipeline", "interleave", "context", "expert", "data", "microbatch")
    said = [f"{name} {getattr(layout, name):g}" for name in names]
    return f"{', '.join(said)}, on {resolved.gpus:g} GPUs with a global batch of {resolved.global_batch:g}"


def _contradictions(outcome: Outcome) -> None:
    """Raise if known values contradict each other, or the layout is invalid."""
    if outcome.step is not None and not np.all(outcome.step.valid):
        broken = [reason for reason, where in outcome.step.reasons.items() if np.any(where)]
        raise EstimateError(
            "; ".join(broken) + ".", "`gpuhours plan` finds layouts that run.", f"layout: {_degrees(outcome)}"
        )
    for name, solved in outcome.totals.values.items():
        if not np.all(np.less(solved.value, LARGEST)):
            keys = ", ".join(KEYS.get(root, root) for root in outcome.totals.roots((name,)))
            amount = f"to more than {LARGEST:g}" if np.all(np.isfinite(solved.value)) else "out without end"
            raise EstimateError(
                f"{name} comes {amount}: that is impossible.", f"It follows from {keys}.", f"the result {name}"
            )
    for name, takes in SHARES.items():
        share = outcome.value(name)
        if share is not None and float(share) > 1.0 and not (name == "hfu" and RECOMPUTE in outcome.run.assumptions):
            keys = ", ".join(KEYS.get(root, root) for root in outcome.totals.roots((name,)))
            raise Contradiction(
                f"It takes {float(share):.0%} {takes}: that is impossible.",
                f"It follows from {keys}; one of them is wrong by {float(share):.2g}x or more.", name, float(share),
            )  # fmt: skip
    if outcome.totals.conflicts:
        conflict = outcome.totals.plainest
        factor = float(np.max(conflict.factor))
        apart = max(factor, 1 / factor) if 0 < factor < math.inf else math.inf
        said = f"by a factor of {apart:.3g}" if apart < MOST_APART else "enormously"
        keys = ", ".join(KEYS.get(root, root) for root in outcome.totals.roots(conflict.identity.exponents))
        raise Contradiction(
            f"{conflict.identity.text}: the two sides differ {said}.",
            f"Leave out one of {keys}, or correct it.",
            "known",
        )
