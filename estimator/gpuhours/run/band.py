"""Prediction error for similar runs: the 80 % range, which traits of a run were never measured, and which measured runs are similar.

``published/bands.json`` is fitted and written by ``gpuhours validate --update`` (``validating.learning``); nothing is fitted at start-up.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gpuhours.inputs.arrays import Array
from gpuhours.inputs.records import dataclass
from gpuhours.run.conformal import HostFactors, curve, table
from gpuhours.run.novelty import Traits, features, kind_of_model
from gpuhours.step import over_hosts, over_left_open
from gpuhours.step.hosts import SAME
from gpuhours.step.predict import CPU
from gpuhours.workload import Workload

if TYPE_CHECKING:
    from gpuhours.run.evaluate import Outcome
    from gpuhours.run.resolve import Resolved


@dataclass(frozen=True)
class Band:
    """The expected range of measured / predicted, and the measured runs that are similar."""

    low: float
    """Factor on the predicted step time, 10th percentile."""
    high: float
    memory_low: float
    """Factor on the predicted memory, 10th percentile."""
    memory_high: float
    kind: str
    """The class of this run: stack, accelerator generation, kind and scale."""
    runs: int
    """Number of measured runs in this class."""
    sources: int
    """Number of sources that these runs come from."""
    median_error: float | None
    """Median absolute error of these runs, each predicted with its own source left out; None if there are none."""
    on_stack: int
    """Number of measured runs on this stack, of any kind."""
    stack_error: float
    """Median absolute error of the runs on this stack, with their source left out; 0 if there are none."""
    warnings: tuple[str, ...]
    """Traits of this run that no measured run has."""
    own_steps: int = 0
    """Number of steps measured at the run's own site that ``low`` and ``high`` are based on."""


def band(outcome: Outcome) -> Band | None:
    """The error band of a predicted run, and its traits that were never measured; None if no step was predicted."""
    traits = traits_of(outcome.resolved, outcome.run.software is not None)
    if traits is None or outcome.step is None or outcome.resolved.cluster is None:
        return None
    chip = outcome.resolved.cluster.accelerator
    rests_on = "its data sheet" if chip.step_times is None else chip.step_times.source
    calibration = outcome.resolved.calibration
    hosts = host_limits(outcome.resolved.workload, outcome.step.time)
    waits = float(np.max(outcome.step.parts.get(CPU, 0.0)))
    earned = band_of(traits, float(np.max(outcome.step.time)), rests_on, hosts, left_open_limits(outcome), waits)
    if calibration is None:
        return earned
    low, high = step_limits(outcome.resolved, float(np.max(outcome.step.time)))
    return replace(earned, low=low, high=high, own_steps=len(calibration.steps))


def traits_of(run: Resolved, stack_said: bool) -> Traits | None:
    """The traits that determine how similar a run is to measured ones; None if too little is known."""
    if run.model is None or run.cluster is None or run.tokens_per_sample is None:
        return None
    chip, named = run.cluster.accelerator, stack_said and not run.family_alone
    return Traits(
        run.software.name, chip.name, chip.generation, run.precision.dtype, kind_of_model(run.model, run.data.frames is not None),
        float(np.max(run.cluster.gpus)), float(np.max(run.tokens_per_sample)),
        named, stands_in=run.software.is_stand_in or not named,
    )  # fmt: skip


def host_limits(workload: Workload, time: Array) -> tuple[float, float]:
    """Factors on the predicted step time ``time`` (s) on a fast and a slow host (``step.hosts``)."""
    fast, slow = over_hosts(workload, time)
    return float(np.min(fast)), float(np.max(slow))


def left_open_limits(outcome: Outcome) -> HostFactors:
    """Factors on the predicted step time with the fastest and slowest usual values of what a run with a layout does not state
    (``step.left_open``). Its attention kernel is its stack's, which no key states: only a row of a table leaves that open."""
    run, predicted = outcome.run, outcome.step
    if run.layout is None or predicted is None:
        return SAME
    said = run.layout.model_fields_set
    left_open = {
        "recompute": "recompute" not in said, "sharding": "sharding" not in said,
        "schedule": not said & {"schedule", "interleave", "stage_layers"}, "sequence_method": "sequence_method" not in said,
        "network": run.hardware.network is None and not run.hardware.has_network_rate,
        "precision": "dtype" not in run.training.model_fields_set,
    }  # fmt: skip
    least, most = over_left_open(
        outcome.resolved.workload, predicted.time, {fact: np.asarray(here) for fact, here in left_open.items()}
    )
    return float(np.min(least)), float(np.max(most))


def step_limits(run: Resolved, time: float) -> tuple[float, float]:
    """10th and 90th percentile of measured / predicted step time on a host of known pace, for a run whose stack is given or drawn;
    ``time`` is the predicted step time in s. Raises ``ValueError`` for a run without a step time."""
    traits = traits_of(run, stack_said=True)
    if traits is None:
        raise ValueError("a run without model, machine and samples has no step time")
    traits_new = features(traits, time, table()["world"])
    return (
        curve("step").limits(traits_new)
        if run.calibration is None
        else run.calibration.limits(curve("step").usual(traits_new))
    )


def band_of(
    traits: Traits,
    time: float,
    rests_on: str = "its data sheet",
    hosts: HostFactors = SAME,
    left_open: HostFactors = SAME,
    waits: float = 0.0,
) -> Band:
    """The error band of a run with these traits and a predicted step time of ``time`` s: 10th and 90th percentile of the factors on step
    time and memory, and the traits that were never measured. ``rests_on``: what the accelerator's step times are based on; ``hosts``:
    ``host_limits``; ``left_open``: ``left_open_limits``; ``waits``: s of the step that are exposed CPU overhead."""
    new = features(traits, time, table()["world"], waits=waits)
    like = table()["like"].get(traits.likeness, {"runs": 0, "sources": 0, "median_error": None})
    stack = table()["stacks"].get(traits.stack, {"runs": 0, "median_error": 0.0})
    return Band(
        *curve("step").limits(new, hosts, left_open), *curve("memory").limits(new), traits.words,
        like["runs"], like["sources"], like["median_error"], stack["runs"], stack["median_error"],
        novelty(traits, rests_on),
    )  # fmt: skip


def novelty(traits: Traits, rests_on: str = "its data sheet") -> tuple[str, ...]:
    """One warning for each trait of a run that no measured run has."""
    world, most = table()["world"], table()["most"]
    notes = []
    if traits.card not in world["card"]:
        notes.append(f"no measured run on {traits.card}: its step times are based on {rests_on}")
    if traits.stack not in world["stack"]:
        notes.append(f"no measured run of {traits.stack}")
    if traits.dtype not in table()["dtypes"]:
        notes.append(f"no measured run in {traits.dtype}")
    if traits.gpus > most["gpus"]:
        notes.append(f"more GPUs than any measured run ({most['gpus']:,})")
    if traits.tokens > most["tokens"]:
        notes.append(f"longer sequences than any measured run ({most['tokens']:,} tokens)")
    return tuple(notes)
