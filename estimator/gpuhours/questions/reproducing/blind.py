"""Blind prediction: everything that the text does not state is sampled from common practice; all draws have equal weight.

A description with its own ranges and readings gives up to ``MEMBERS`` runs. Each is sampled by ``run.ensemble``, which draws the stack,
recomputation, layout, network, padding, stops, the step model's error and the remainder beyond the steps. No result of the text is used.
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
from gpuhours.run.points import centred_points
from gpuhours.run.ranges import spread_over
from gpuhours.run.remainder import Remainder
from gpuhours.run.resolve import resolve
from gpuhours.run.sampling import Draws
from gpuhours.run.spec import Run
from gpuhours.run.typical import kind_of, this_year

MEMBERS = 9
"""Number of runs representing a description with ranges and readings."""
MULTIPLES: Mapping[str, int] = {"data.text_tokens": 64, "data.seq_len": 64}
"""Multiples to which drawn lengths are rounded: batches are padded to lengths that suit the kernels."""
COUNTED = 64
"""Sampled values from here on are rounded to whole numbers, since they are counts (of tokens, clips, parameters)."""
WHOLE = ("layout.", "hardware.gpus", "training.global_batch", "data.frames")

Build = Callable[[Mapping[str, Any]], Run]


@dataclass(frozen=True)
class Blind:
    """Result -> draws, for one description."""

    values: Mapping[str, Draws]
    stack: tuple[str, ...]
    steps_alone: Draws
    """GPU-hours of the steps alone, without stops and remainder."""
    usual_goodput: float
    """Median of productive time over published time."""

    def quantiles(self, result: str) -> tuple[float, float, float] | None:
        """10th, 50th and 90th percentile; None if the description does not determine the result."""
        drawn = self.values.get(result)
        if drawn is None:
            return None
        low, middle, high = np.quantile(drawn, [0.1, 0.5, 0.9])
        return float(low), float(middle), float(high)


def predict(
    data: Mapping[str, Any], readings: Mapping[str, Reading], build: Build, organisation: str = ""
) -> Blind | None:
    """The draws of a description; None if its step need not be predicted, or no run that fits in memory matches it.

    The remainder beyond the steps was learned on published hours; those of ``organisation`` are left out.
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
    """The remainder learned without ``organisation``, for this run's kind, size and year; None to use the general remainder."""
    if not organisation:
        return None
    resolved = resolve(run.replaced("layout", Layout.model_construct()))
    if resolved.model is None:
        return None
    year = this_year() if run.year is None else run.year
    kind, params = kind_of(resolved.model, resolved.data.frames), float(np.max(resolved.model.parameters))
    return learned_without(organisation).remainder(kind, year, params)


def members(data: Mapping[str, Any], readings: Mapping[str, Reading], build: Build) -> Iterator[Run]:
    """Runs that represent a description, spread evenly over its ranges and readings."""
    ranges = [key for key, one in data["assumptions"].items() if one.get("low") is not None]
    names = [*ranges, *readings]
    points = centred_points(len(names), MEMBERS - 1) if names else np.full((0, 1), 0.5)
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
    """A value within an assumption's range, whole if it must be."""
    low, middle, high = (magnitude(entry[name]) for name in ("low", "value", "high"))
    value = float(spread_over(low, middle, high, np.asarray(at)))
    step = MULTIPLES.get(key, 1)
    whole = value >= COUNTED or key.startswith(WHOLE)
    return max(step, round(value / step) * step) if whole else value


def _values(one: Ensemble) -> dict[str, Draws]:
    """Step time and MFU of every draw of a sample; hours and days if the number of steps is known."""
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
