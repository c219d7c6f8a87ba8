"""From a run to its estimate: values at the centre of every range, ranges over joint draws, stages one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from gpuhours.inputs.errors import Contradiction, EstimateError
from gpuhours.questions.estimating.estimates import Estimate, Result
from gpuhours.questions.estimating.stages import together
from gpuhours.questions.planning.advice import Advice, advise
from gpuhours.run.band import Band, band
from gpuhours.run.evaluate import Outcome, evaluate
from gpuhours.run.ranges import draws, middle, percentiles
from gpuhours.run.results import RESULTS, SHARES, results
from gpuhours.run.spec import Run
from gpuhours.run.totals import KEYS, undetermined

Range = tuple[float, float, float]
MOST_APART = 1e12

STEP_TIME, RECOMPUTE = "step_time", "layout.recompute"
BILLED = "cost."
"""Keys that change the bill alone: step and memory stay what they are."""
WHOLE = frozenset({"layout", "hardware.gpus", "training.global_batch", "data.frames"})
"""Keys (or blocks of keys) whose drawn values are rounded: there is no half GPU."""


def estimate(run: Run, uncertain: Mapping[str, Range] | None = None) -> Estimate:
    """Work out one run: at the centre of every range for the values, over joint draws for the ranges.

    ``uncertain`` adds ranges (low, value, high) to those of the run's own assumptions.
    """
    if run.stages:
        return together(run, [estimate(stage, uncertain) for stage in run.stages])
    outcome = evaluate(run)
    _contradictions(outcome)
    earned = band(outcome) if outcome.step is not None else None
    over_ranges = _over_ranges(run, outcome, earned, uncertain or {})
    return Estimate(
        run=run,
        outcome=outcome,
        results=_with_memory(_results(outcome, over_ranges), earned),
        time={} if outcome.step is None else {part: float(value) for part, value in outcome.step.parts.items()},
        memory={} if outcome.memory is None else {part: float(value) for part, value in outcome.memory.parts.items()},
        assumptions=outcome.assumptions,
        warnings=(*outcome.warnings, *_remarks(outcome), *(earned.warnings if earned else ())),
        band=earned,
        advice=_advice(outcome),
    )


def _remarks(outcome: Outcome) -> Iterator[str]:
    """What stays open, and what the step model would have said where the step follows from the run's own figures."""
    if (opened := undetermined(outcome.totals)) is not None:
        yield opened
    hfu = outcome.value("hfu")
    if hfu is not None and float(hfu) > 1.0:
        yield f"{RECOMPUTE} is assumed, and with it the run takes {float(hfu):.0%} of the dense peak: less was computed again"
    seconds = outcome.totals.values.get(STEP_TIME)
    if outcome.step is not None and seconds is not None and seconds.basis != "predicted":
        ratio = float(outcome.step.time) / float(seconds.value)
        yield (
            f"the step is predicted to take {float(outcome.step.time):.3g} s (MFU {float(outcome.step.mfu):.1%}); "
            f"what is given makes it {float(seconds.value):.3g} s, {max(ratio, 1 / ratio):.3g} times {'faster' if ratio > 1 else 'slower'}"
        )


def _advice(outcome: Outcome) -> Advice:
    """What to change in the layout, where step and memory are known."""
    if outcome.step is None or outcome.memory is None:
        return Advice()
    return advise(outcome.run, outcome.resolved, bool(outcome.memory.fits))


def _over_ranges(run: Run, centre: Outcome, earned: Band | None, uncertain: Mapping[str, Range]) -> Outcome:
    """The run over joint draws of its ranges and of the band of its predicted step; the centre where there are none."""
    ranges = run.ranges()
    ranges |= uncertain
    billed = {key: spread for key, spread in centre.bill.ranges.items() if key not in ranges}
    predicted = centre.totals.values.get(STEP_TIME)
    if earned is not None and predicted is not None and predicted.basis == "predicted":
        ranges[STEP_TIME] = (float(earned.low), 1.0, float(earned.high))
    sampled = draws(ranges) | {key: values for key, values in draws(ranges | billed).items() if key in billed}
    slower = sampled.pop(STEP_TIME, 1.0)
    for key, values in sampled.items():
        whole = key in WHOLE or key.split(".")[0] in WHOLE
        run = run.replaced(key, np.maximum(1, np.round(values)) if whole else values)
    same_step = all(key.startswith(BILLED) for key in sampled)
    return evaluate(run, slower=slower, like=centre if same_step else None) if ranges or billed else centre


def _results(centre: Outcome, over_ranges: Outcome) -> dict[str, Result | None]:
    """Every result: the value at the centre, the range from the draws."""
    found: dict[str, Result | None] = {}
    ranged = results(over_ranges)
    for name, one in results(centre).items():
        if one is None:
            found[name] = None
            continue
        over_draws = ranged[name]
        bounds = percentiles(over_draws.value) if over_draws is not None and RESULTS[name].ranged else None
        low, high = bounds or (None, None)
        found[name] = Result(middle(one.value), one.unit, low, high, one.basis, one.equation, one.inputs)
    return found


def _with_memory(found: dict[str, Result | None], earned: Band | None) -> dict[str, Result | None]:
    """The results, the range of memory being what the inputs leave open times what predictions of it were off by."""
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
    """Raise where what is known cannot be true together, or the layout cannot run."""
    if outcome.step is not None and not np.all(outcome.step.valid):
        broken = [reason for reason, where in outcome.step.reasons.items() if np.any(where)]
        raise EstimateError(
            "; ".join(broken) + ".", "`gpuhours plan` finds layouts that run.", f"layout: {_degrees(outcome)}"
        )
    for name, takes in SHARES.items():
        share = outcome.value(name)
        if share is not None and float(share) > 1.0 and not (name == "hfu" and RECOMPUTE in outcome.run.assumptions):
            keys = ", ".join(KEYS.get(root, root) for root in outcome.totals.roots((name,)))
            raise Contradiction(
                f"It takes {float(share):.0%} {takes}: no run can.",
                f"It follows from {keys}; one of them is wrong by {float(share):.2g}x or more.", name, float(share),
            )  # fmt: skip
    if outcome.totals.conflicts:
        conflict = outcome.totals.plainest
        factor = float(np.max(conflict.factor))
        apart = max(factor, 1 / factor) if 0 < factor < math.inf else math.inf
        told = f"by a factor of {apart:.3g}" if apart < MOST_APART else "beyond measure"
        keys = ", ".join(KEYS.get(root, root) for root in outcome.totals.roots(conflict.identity.exponents))
        raise Contradiction(
            f"{conflict.identity.text}: the two sides differ {told}.",
            f"Leave out one of {keys}, or correct it.",
            "known",
        )
