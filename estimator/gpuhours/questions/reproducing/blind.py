"""A run predicted blind: everything that the text leaves open is drawn from what is usual, and all draws count alike.

A description with its own ranges and readings is a few runs; each is a sample of ``run.ensemble``, where stack, recomputation, layout,
network, padding, stops, the step model's error and what remains beside the steps are drawn. Nothing is taken from the text's results.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from gpuhours.inputs.durations import HOUR
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.units import magnitude
from gpuhours.layout.layout import Layout
from gpuhours.questions.reproducing.document import Reading
from gpuhours.questions.validating.remainders import without as learned_without
from gpuhours.run.ensemble import Ensemble, ensemble
from gpuhours.run.overlays import put
from gpuhours.run.ranges import positions, spread_over
from gpuhours.run.remainder import Remainder
from gpuhours.run.resolve import resolve
from gpuhours.run.sampling import Draws
from gpuhours.run.spec import Run
from gpuhours.run.typical import kind_of, this_year

MEMBERS = 9
"""Runs that stand for a description with ranges and readings of its own."""
MULTIPLES: Mapping[str, int] = {"data.text_tokens": 64, "data.seq_len": 64}
"""What drawn lengths are rounded to: batches are padded to lengths that the kernels like."""
COUNTED = 64
"""Values from here on are counts (of tokens, clips, parameters): whole."""
WHOLE = ("layout.", "hardware.gpus", "training.global_batch", "data.frames")

Build = Callable[[Mapping[str, Any]], Run]


@dataclass(frozen=True)
class Blind:
    """All draws of a description: what each result is in each of them."""

    values: Mapping[str, Draws]
    stack: tuple[str, ...]
    steps_alone: Draws
    """GPU-hours of the steps, without stops and what remains beside them."""
    usual_goodput: float
    """Median of productive over published time."""

    def quantiles(self, result: str) -> tuple[float, float, float] | None:
        """10th, 50th and 90th percentile; None where the description does not determine the result."""
        drawn = self.values.get(result)
        if drawn is None:
            return None
        low, middle, high = np.quantile(drawn, [0.1, 0.5, 0.9])
        return float(low), float(middle), float(high)


def predict(
    data: Mapping[str, Any], readings: Mapping[str, Reading], build: Build, organisation: str = ""
) -> Blind | None:
    """The draws of a description; None where its step does not have to be predicted, or nothing that fits is described.

    What remains beside the steps was learned on published hours: those of ``organisation`` are left out.
    """
    runs = members(data, readings, build)
    samples = [sample for run in runs if (sample := ensemble(run, without(organisation, run))) is not None]
    if not samples:
        return None
    parts = [_values(one) for one in samples]
    shared = set.intersection(*(set(part) for part in parts))
    pooled = {name: np.concatenate([part[name] for part in parts]) for name in sorted(shared)}
    goodput = np.concatenate([one.effective_goodput for one in samples])
    stacks = tuple(str(name) for one in samples for name in one.stack)
    steps = np.concatenate([one.gpu_time * one.effective_goodput for one in samples]) / HOUR
    return Blind(pooled, stacks, steps, float(np.median(goodput)))


def without(organisation: str, run: Run) -> Remainder | None:
    """What remains beside the steps, as other organisations' runs of the kind have it; None for what all have."""
    if not organisation:
        return None
    resolved = resolve(run.replaced("layout", Layout()))
    if resolved.model is None:
        return None
    year = this_year() if run.year is None else run.year
    kind, params = kind_of(resolved.model, resolved.data.frames), float(np.max(resolved.model.parameters))
    return learned_without(organisation).remainder(kind, year, params)


def members(data: Mapping[str, Any], readings: Mapping[str, Reading], build: Build) -> Iterator[Run]:
    """The runs that a description with ranges and readings may mean, evenly over all of them."""
    ranges = [key for key, one in data["assumptions"].items() if one.get("low") is not None]
    names = [*ranges, *readings]
    points = positions(len(names), MEMBERS - 1) if names else np.full((0, 1), 0.5)
    for point in points.T:
        drawn = copy.deepcopy(dict(data))
        for key, at in zip(names, point, strict=True):
            if key in readings:
                among = readings[key].among
                put(drawn, key, among[min(int(at * len(among)), len(among) - 1)])
            else:
                entry = drawn["assumptions"][key]
                entry["value"] = _value_at(key, entry, float(at))
                del entry["low"], entry["high"]
        yield build(drawn)


def _value_at(key: str, entry: Mapping[str, Any], at: float) -> float:
    """A value of an assumption's range, whole where it must be."""
    low, middle, high = (magnitude(entry[name]) for name in ("low", "value", "high"))
    value = float(spread_over(low, middle, high, np.asarray(at)))
    step = MULTIPLES.get(key, 1)
    whole = value >= COUNTED or key.startswith(WHOLE)
    return max(step, round(value / step) * step) if whole else value


def _values(one: Ensemble) -> dict[str, Draws]:
    """Step time and MFU of every draw of a sample; hours and days where the steps are known."""
    known = one.outcome.value
    gpus, steps = float(np.max(one.outcome.resolved.gpus or 1.0)), known("steps")
    step = one.gpu_time * one.effective_goodput / gpus / float(steps or 1.0)
    values = {"step_time": step}
    work, peak = known("model_flops_per_step"), known("peak")
    if work is not None and peak is not None:
        values["mfu"] = float(work) / (step * gpus * float(peak))
    if steps is not None:
        values |= {"gpu_hours": one.gpu_time / HOUR, "wall_clock": one.gpu_time / gpus}
    return values
