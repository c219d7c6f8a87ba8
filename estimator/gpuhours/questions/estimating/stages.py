"""Training in stages: alignment, pre-training, context extension, fine-tuning. One estimate for each, and their totals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.estimating.estimates import Estimate, Result
from gpuhours.run.results import RESULTS
from gpuhours.run.spec import Run

COMBINED: Mapping[str, tuple[Callable[[list[float]], float], str]] = {
    "sum": (sum, "the sum over the stages"),
    "largest": (max, "the largest of the stages"),
    "smallest": (min, "the smallest of the stages"),
    "all": (all, "every stage fits"),
}
"""How results combine over consecutive stages (``ResultDefinition.stages``)."""


def of_each(run: Run, one: Callable[[Run], Estimate]) -> list[Estimate]:
    """The estimate of each stage; an ``EstimateError`` about a key of a stage names the stage: ``stages.0.layout``."""
    found = []
    for number, stage in enumerate(run.stages):
        try:
            found.append(one(stage))
        except EstimateError as error:
            if error.where.partition(":")[0].partition(".")[0] in Run.model_fields:
                error.where = f"stages.{number}.{error.where}"
            raise
    return found


def together(run: Run, each: Sequence[Estimate]) -> Estimate:
    """The combined estimate of the stages ``each``; the time, memory and model shown are those of the longest stage."""
    longest = max(each, key=lambda one: _value(one, "gpu_hours"))
    return Estimate(
        run=run,
        outcome=longest.outcome,
        results=totals(each),
        time=longest.time,
        memory=longest.memory,
        assumptions=tuple(dict.fromkeys(assumption for stage in each for assumption in stage.assumptions)),
        warnings=(*_not_determined(each), *_warnings(each)),
        band=longest.band,
        stages=tuple(each),
    )


def totals(each: Sequence[Estimate]) -> dict[str, Result | None]:
    """Results over all stages; None if a stage leaves a result undetermined, or the stages have no common value.

        MFU = sum of model FLOPs / sum of (model FLOPs / MFU of the stage)

    The ends of the ranges add up, since the stages are predicted by the same equations and their errors are correlated.
    """
    total: dict[str, Result | None] = dict.fromkeys(each[0].results)
    for name, line in RESULTS.items():
        if line.stages is not None:
            total[name] = _combined(each, name, *COMBINED[line.stages])
    total["mfu"] = _mfu(each)
    return total


def _combined(each: Sequence[Estimate], name: str, how: Callable[[list[float]], float], equation: str) -> Result | None:
    """One result over all stages; None if any stage leaves it undetermined."""
    stages = [stage.results[name] for stage in each]
    known = [result for result in stages if result is not None]
    if len(known) < len(each):
        return None
    value = how([result.value for result in known])
    basis = "predicted" if known[0].basis == "predicted" and not RESULTS[name].ranged else "solved"
    if not RESULTS[name].ranged:
        return Result(value, known[0].unit, None, None, basis, equation)
    low = how([result.value if result.low is None else result.low for result in known])
    high = how([result.value if result.high is None else result.high for result in known])
    ranged = low < value or high > value
    return Result(value, known[0].unit, low if ranged else None, high if ranged else None, basis, equation)


def _mfu(each: Sequence[Estimate]) -> Result | None:
    """MFU over all stages: model FLOPs over the peak FLOPs in the time of the steps. As for a single run, time between steps is
    excluded."""
    flops, reached = ([stage.results[name] for stage in each] for name in ("model_flops", "mfu"))
    useful = [one.value for one in flops if one is not None]
    known = [one for one in reached if one is not None and one.value > 0]
    if len(useful) < len(each) or len(known) < len(each):
        return None

    def over(shares: list[float]) -> float:
        return sum(useful) / sum(part / share for part, share in zip(useful, shares, strict=True))

    low, high = (
        over([one.value if (end := getattr(one, name)) is None or end <= 0 else end for one in known])
        for name in ("low", "high")
    )
    value = over([one.value for one in known])
    ranged = low < value or high > value
    equation = "model FLOPs / (the steps' GPU-seconds x peak), all stages"
    return Result(value, "", low if ranged else None, high if ranged else None, "solved", equation)


def _value(stage: Estimate, name: str) -> float:
    result = stage.results[name]
    return 0.0 if result is None else float(result.value)


def _not_determined(each: Sequence[Estimate]) -> tuple[str, ...]:
    """Which stages prevent a total from being determined."""
    reasons = []
    for name in ("gpu_hours", "wall_clock"):
        missing = [stage.run.name for stage in each if stage.results[name] is None]
        if missing:
            reasons.append(f"{name} of all stages is not determined: open in {', '.join(missing)}")
    return tuple(reasons)


def _warnings(each: Sequence[Estimate]) -> tuple[str, ...]:
    """Every stage's warnings, prefixed by its name; common ones once."""
    by_text: dict[str, list[str]] = {}
    for stage in each:
        for warning in stage.warnings:
            by_text.setdefault(warning, []).append(stage.run.name)
    return tuple(text if len(names) == len(each) else f"{', '.join(names)}: {text}" for text, names in by_text.items())
