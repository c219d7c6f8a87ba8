"""One run's answer: every result with its unit, its range and how it came about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from gpuhours.assumption import Assumption
from gpuhours.band import Band, band
from gpuhours.errors import Contradiction, EstimateError
from gpuhours.evaluate import Outcome, evaluate
from gpuhours.planning.advice import Advice, advise
from gpuhours.ranges import draws, middle, percentiles
from gpuhours.results import results
from gpuhours.run import Run
from gpuhours.totals import KEYS, undetermined

SCHEMA = "gpuhours/estimate/1"
Range = tuple[float, float, float]

STEP_TIME, RECOMPUTE = "step_time", "layout.recompute"
SHARES = {
    "mfu": "of the dense peak",
    "hfu": "of the dense peak, recomputation counted",
    "goodput": "of the wall-clock time to make the steps",
}
"""Results that cannot exceed one, and what of."""
WHOLE = frozenset({"layout", "hardware.gpus", "training.global_batch", "data.frames"})
"""Keys (or blocks of keys) whose drawn values are rounded: there is no half GPU."""


@dataclass(frozen=True)
class Result:
    """``value`` in ``unit``; ``low`` and ``high`` the 10th and 90th percentile where there is a range."""

    value: Any
    unit: str
    low: float | None
    high: float | None
    basis: str
    equation: str = ""
    inputs: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of one result."""
        return asdict(self)


@dataclass(frozen=True)
class Estimate:
    """Everything known about a run, ready to print."""

    run: Run
    outcome: Outcome
    """The same at the centre of every range: plain numbers."""
    results: Mapping[str, Result | None]
    time: Mapping[str, float]
    """Seconds of one step, by part."""
    memory: Mapping[str, float]
    """Bytes of the fullest rank, by part."""
    assumptions: tuple[Assumption, ...]
    warnings: tuple[str, ...]
    band: Band | None
    advice: Advice = field(default_factory=Advice)
    stages: tuple[Estimate, ...] = ()
    """One estimate per stage; what stands outside is then of all of them, or of the longest."""

    @property
    def fits(self) -> bool | None:
        """Whether the fullest rank holds it; None where memory was not worked out."""
        found = self.results.get("fits")
        return None if found is None else bool(found.value)

    def _silent(self) -> Iterator[str]:
        """Why a result is null that no warning speaks of: too little to take room on a screen."""
        said = " ".join(self.warnings)
        for name, found in self.results.items():
            if found is None and name not in said:
                reason = undetermined(self.outcome.totals, (name,)) if name in KEYS else None
                yield reason or f"not determined: {name}; the run does not have what it follows from"

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``gpuhours estimate --json``."""
        return {
            "schema": SCHEMA,
            "inputs": self.run.model_dump(mode="json", exclude_none=True),
            "assumptions": [asdict(assumption) for assumption in self.assumptions],
            "results": {name: None if found is None else found.to_dict() for name, found in self.results.items()},
            "time": [{"part": part, "seconds": seconds} for part, seconds in self.time.items()],
            "memory": [{"part": part, "bytes": size} for part, size in self.memory.items()],
            "ways_to_fit": [way.to_dict() for way in self.advice.ways],
            "faster_by": [asdict(change) for change in self.advice.faster],
            "longest_sample": None if self.advice.longest is None else asdict(self.advice.longest),
            "warnings": [*self.warnings, *self._silent()],
            **(
                {"stages": [{"name": stage.run.name, **stage.to_dict()} for stage in self.stages]}
                if self.stages
                else {}
            ),
        }


def estimate(run: Run, uncertain: Mapping[str, Range] | None = None) -> Estimate:
    """Work out one run: at the centre of every range for the values, over joint draws for the ranges.

    ``uncertain`` adds ranges (low, value, high) to those of the run's own assumptions.
    """
    if run.stages:
        from gpuhours.stages import estimate_stages

        return estimate_stages(run, uncertain)
    outcome = evaluate(run)
    _contradictions(outcome)
    earned = band(outcome) if outcome.step is not None else None
    drawn = _drawn(run, outcome, earned, uncertain or {})
    return Estimate(
        run=run,
        outcome=outcome,
        results=_results(outcome, drawn),
        time={} if outcome.step is None else {part: float(value) for part, value in outcome.step.parts.items()},
        memory={} if outcome.memory is None else {part: float(value) for part, value in outcome.memory.parts.items()},
        assumptions=outcome.assumptions,
        warnings=(*outcome.warnings, *_told(outcome), *(earned.warnings if earned else ())),
        band=earned,
        advice=_advice(outcome),
    )


def _told(outcome: Outcome) -> Iterator[str]:
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


def _drawn(run: Run, centre: Outcome, earned: Band | None, uncertain: Mapping[str, Range]) -> Outcome:
    """The run over joint draws of its ranges and of the band of its predicted step; the centre where there are none."""
    ranges = run.ranges()
    ranges |= uncertain
    predicted = centre.totals.values.get(STEP_TIME)
    if earned is not None and predicted is not None and predicted.basis == "predicted":
        ranges[STEP_TIME] = (earned.low, 1.0, earned.high)
    sampled = draws(ranges)
    slower = sampled.pop(STEP_TIME, 1.0)
    for key, values in sampled.items():
        whole = key in WHOLE or key.split(".")[0] in WHOLE
        run = run.replaced(key, np.maximum(1, np.round(values)) if whole else values)
    return evaluate(run, slower=slower) if ranges else centre


def _results(centre: Outcome, drawn: Outcome) -> dict[str, Result | None]:
    """Every result of INTERFACE: the value at the centre, the range from the draws."""
    found: dict[str, Result | None] = {}
    ranged = results(drawn)
    for name, quantity in results(centre).items():
        if quantity.value is None:
            found[name] = None
            continue
        low, high = percentiles(ranged[name].value) or (None, None)
        found[name] = Result(
            middle(quantity.value), quantity.unit, low, high, quantity.basis, quantity.equation, quantity.inputs
        )
    return found


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
        keys = ", ".join(KEYS.get(root, root) for root in outcome.totals.roots(conflict.identity.exponents))
        raise Contradiction(
            f"{conflict.identity.text}: the two sides differ by a factor of {max(factor, 1 / factor):.3g}.",
            f"Leave out one of {keys}, or correct it.",
            "known",
        )
