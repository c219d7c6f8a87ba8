"""The run of a sample that is shown: the draw nearest to the median, everything it draws said, its totals the medians."""

from __future__ import annotations

import dataclasses
from enum import IntEnum
from typing import Any

import numpy as np

from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.durations import HOUR
from gpuhours.layout.layout import Layout, word
from gpuhours.run.evaluate import Outcome, evaluate
from gpuhours.run.ranges import median
from gpuhours.run.resolve import Resolved
from gpuhours.run.sampling import Choices, Draws
from gpuhours.run.spec import Run, Supplied

NAMED = "not stated: as in the run of the sample whose GPU-hours are nearest to the median"
STOPS = "stops, and what remains between the steps and the hours of published runs: the median of the sample"


def nearest_to_median(gpu_time: Draws, seconds: Draws, predicted: Draws) -> int:
    """The draw whose GPU time and whose step, as it is predicted, both lie nearest to the medians of all, in logarithms."""
    far = np.log(gpu_time / median(gpu_time)) ** 2 + 4 * np.log(predicted / median(seconds)) ** 2
    return int(np.argmin(far))


def as_named(run: Run, resolved: Resolved, choices: Choices, draw: int) -> Run:
    """The run of one draw: its stack and layout said."""
    grid = choices.grids[int(choices.stack[draw])]
    layout = grid.layout(int(choices.cell[draw]))
    said = {
        "software": (run.stack, grid.software.name),
        "training.global_batch": (run.training.global_batch, resolved.global_batch),
    }
    supplied = {key: Supplied(value=value, reason=NAMED) for key, (stated, value) in said.items() if stated is None}
    fields = [name for name in grid.axes if name in Layout.model_fields]
    completed = {
        f"layout.{name}": Supplied(value=spelt(value), reason=NAMED)
        for name in (*fields, "recompute_layers", "recompute_modules", "schedule")
        if (run.layout is None or name not in run.layout.model_fields_set)
        and (value := getattr(layout, name)) != getattr(Layout(), name)
    }
    named = run.replaced("layout", layout).replaced("software", run.stack or grid.software.name)
    named = named.replaced("training.global_batch", resolved.global_batch).replaced("training.batch_tokens", None)
    return named.replaced("assumptions", {**run.assumptions, **supplied, **completed})


def spelt(value: Any) -> Any:
    """A field of a layout as a user writes it."""
    if isinstance(value, tuple):
        return [spelt(one) for one in value]
    return word(type(value), value) if isinstance(value, IntEnum) else value


def at_median(named: Run, gpu_time: float, notes: tuple[Assumption, ...]) -> tuple[Outcome, float]:
    """A run whose stops are such that it takes ``gpu_time``, and the s of the step that it is predicted to take.

    Where its goodput is stated, or steps alone would take longer than that, the step is as much faster or slower instead.
    """
    stated = named.known.goodput is not None and "known.goodput" not in named.assumptions
    plain = evaluate(named if stated else named.replaced("known.goodput", 1.0))
    if plain.value("gpu_hours") is None:
        plain = evaluate(named)
    assert plain.step is not None
    if plain.value("gpu_hours") is None:  # without tokens or steps there is a step to be foreseen, and nothing else
        return dataclasses.replace(plain, assumptions=(*notes, *plain.assumptions)), float(plain.step.time)
    share = gpu_seconds(plain) / gpu_time
    if stated:
        outcome = evaluate(named, slower=1.0 / share, like=plain)
        return dataclasses.replace(outcome, assumptions=(*notes, *outcome.assumptions)), float(plain.step.time)
    supplied = Supplied(value=round(min(share, 1.0), 6), reason=STOPS)
    stopped = named.replaced("assumptions", {**named.assumptions, "known.goodput": supplied})
    stopped = stopped.replaced("known.goodput", min(share, 1.0))
    resolved = dataclasses.replace(
        plain.resolved,
        assumptions=(*plain.resolved.assumptions, Assumption("known.goodput", supplied.value, "", STOPS)),
        bases={**plain.resolved.bases, "known.goodput": "assumed"},
    )
    outcome = evaluate(stopped, slower=min(1.0 / share, 1.0), like=dataclasses.replace(plain, resolved=resolved))
    return dataclasses.replace(outcome, assumptions=(*notes, *outcome.assumptions)), float(plain.step.time)


def gpu_seconds(outcome: Outcome) -> float:
    """GPU s of a run whose hours are determined."""
    hours = outcome.value("gpu_hours")
    assert hours is not None
    return float(np.max(hours)) * HOUR
