"""Evaluation of one run or of a million at once: values of the run may be arrays.

This is the only path from inputs to results. ``estimate`` calls it with floats, ``sweep`` and ``plan`` with arrays; no code here requires
scalars.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gpuhours.cost.bill import bill
from gpuhours.cost.lines import Bill
from gpuhours.cost.power import Load, running_share
from gpuhours.flops import hardware_flops, model_flops
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.durations import DAY, HOUR
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.memory import Memory, memory
from gpuhours.run import input_pipeline
from gpuhours.run.goodput import checkpoint_of
from gpuhours.run.input_pipeline import Feed
from gpuhours.run.resolve import Resolved, resolve
from gpuhours.run.spec import Run
from gpuhours.run.totals import KEYS, Totals, solve
from gpuhours.step import Step, step

NO_STOPS = Assumption(
    "known.goodput", 1.0, "",
    "no stops are counted: failures, restarts and evaluation are not included",
    "the run states neither its total duration nor its productive share",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Outcome:
    """The results of evaluating a run. ``totals`` has every solved quantity in SI units."""

    run: Run
    resolved: Resolved
    totals: Totals
    step: Step | None
    memory: Memory | None
    bill: Bill
    feed: Feed | None
    """The load on the input pipeline; None for text."""
    assumptions: tuple[Assumption, ...]
    warnings: tuple[str, ...]

    def value(self, name: str) -> Any:
        """The value of one total in SI units; None if it is not determined."""
        return self.totals.value(name)


def evaluate(run: Run, *, slower: Array = 1.0, power_error: Array = 1.0, like: Outcome | None = None) -> Outcome:
    """Evaluate a run; ``slower`` multiplies the predicted step time and ``power_error`` the accelerators' predicted power (used for error
    bands).

    ``like``: an outcome of the same run whose step and memory are reused. Values of the run may be arrays of one shape; every result then
    has that shape. Raises ``EstimateError`` for a run of several stages, and for contradictory totals.
    """
    if run.stages:
        raise EstimateError(
            "A run of several stages has no single step.",
            "Give a stage its own file to sweep, plan or trace it.",
            "stages",
        )
    resolved = resolve(run) if like is None else like.resolved
    known = known_totals(run, resolved)
    if like is None:
        resolved = as_measured(resolved)
    predicted, held, warnings = _predict(resolved) if like is None else (like.step, like.memory, ())
    totals, assumed = _solve(known, predicted, slower, "predicted" if resolved.measured is None else "given")
    charge = _charge(run, resolved, totals, power_error)
    feed = _input_demand(run, resolved, totals)
    bound = None if feed is None else input_pipeline.warning(feed, totals.value("step_time"))
    return Outcome(
        run, resolved, totals, predicted, held, charge, feed,
        (*resolved.assumptions, *assumed, *charge.assumptions),
        (*resolved.warnings, *warnings, *charge.warnings, *((bound,) if bound else ())),
    )  # fmt: skip


def known_totals(run: Run, resolved: Resolved) -> dict[str, tuple[Array, str]]:
    """The totals that the run states, or that follow from its architecture, data and machine: name -> (value in SI units, basis)."""
    known: dict[str, tuple[Array, str]] = {}

    def note(name: str, value: Array | None, key: str = "") -> None:
        if value is not None:
            known[name] = (value, resolved.basis(key or KEYS.get(name, name)))

    data, given = resolved.data, run.known
    note("global_batch", resolved.global_batch)
    note("gpus", resolved.gpus)
    note("samples", data.samples)
    note("epochs", data.epochs)
    note("dataset_samples", data.unique_samples)
    note("tokens", data.tokens)
    note("steps", data.steps)
    note("tokens_per_sample", resolved.tokens_per_sample)
    note("mfu", given.mfu)
    note("step_time", given.step_time)
    note("goodput", given.goodput)
    note("gpu_hours", given.gpu_hours)
    if given.days is None:
        note("wall_clock", given.wall_clock, "known.wall_clock")
    else:
        note("wall_clock", given.days * DAY)
    if resolved.cluster is not None:
        note("peak", resolved.peak)
    if resolved.model is not None:
        convention = run.training.convention
        note("flops_per_sample", model_flops(resolved.model, convention=convention))
        if resolved.layout is not None:
            computed = hardware_flops(resolved.model, 1, resolved.layout, resolved.software, convention)
            note("hardware_flops_per_sample", computed)
    return known


def _charge(run: Run, resolved: Resolved, totals: Totals, power_error: Array) -> Bill:
    """Cost, energy and carbon."""
    hours = totals.value("gpu_hours")
    kept = run.cost.storage is not None and run.cost.storage.checkpoints is not None
    model = resolved.model if kept else None
    return bill(
        None if hours is None else hours * HOUR, resolved.cluster, run.cost,
        wall_clock=totals.value("wall_clock"), load=_load(totals, power_error),
        checkpoint=None if model is None else checkpoint_of(model, resolved.precision),
    )  # fmt: skip


def _load(totals: Totals, power_error: Array) -> Load:
    """How hard the accelerators work.

    The hours that a stated goodput leaves are taken as stops. This errs low, since lost steps and evaluation are among them. Those that a
    predicted or solved goodput leaves are mostly steps that are slower, lost or discarded (``running_share``).
    """
    hfu, goodput = totals.value("hfu"), totals.values.get("goodput")
    hfu = totals.value("mfu") if hfu is None else hfu
    if goodput is None:
        return Load(hfu, error=power_error)
    share = goodput.value
    running = np.minimum(share, 1.0) if goodput.basis == "given" else running_share(share)
    return Load(hfu, share, running, power_error)


def _input_demand(run: Run, resolved: Resolved, totals: Totals) -> Feed | None:
    """The load of a step on the input pipeline, if step, batch and machine are known."""
    batch, seconds, cluster = resolved.global_batch, totals.value("step_time"), resolved.cluster
    if batch is None or seconds is None or cluster is None or resolved.gpus is None:
        return None
    return input_pipeline.feed(run.input, resolved.data, batch, seconds, cluster)


def as_measured(resolved: Resolved) -> Resolved:
    """The run with its step time scaled to the measured one (``Software.pace``); unchanged if none was measured."""
    if resolved.measured is None or resolved.missing:
        return resolved
    pace = resolved.software.pace * resolved.measured / step(resolved.workload).time
    return replace(resolved, software=resolved.software.model_copy(update={"pace": pace}))


def _predict(resolved: Resolved) -> tuple[Step | None, Memory | None, tuple[str, ...]]:
    """Predicted step and memory if model, machine, batch and layout are known; otherwise (None, None) with a warning that names what is
    missing."""
    if resolved.missing:
        return None, None, (f"step time is not predicted; missing: {', '.join(resolved.missing)}",)
    return step(resolved.workload), memory(resolved.workload), ()


def _solve(
    known: Mapping[str, tuple[Array, str]], predicted: Step | None, slower: Array, basis: str
) -> tuple[Totals, tuple[Assumption, ...]]:
    """Solve the totals from known values. The predicted step is used only if the MFU is undetermined otherwise; no stops are assumed only
    if that determines more totals."""
    no_stops = {"goodput": (1.0, "assumed")}
    totals = solve(known)
    if totals.value("mfu") is None:
        unstopped = totals if "goodput" in known else solve({**no_stops, **known})
        if unstopped.value("mfu") is not None:
            return unstopped, (NO_STOPS,)
        if predicted is not None:
            known = {**known, "step_time": (np.multiply(predicted.time, slower), basis)}
            totals = solve(known)
    if "goodput" in known:
        return totals, ()
    unstopped = solve({**no_stops, **known})
    if unstopped.values.keys() - totals.values.keys() - {"goodput", "productive_time"}:
        return unstopped, (NO_STOPS,)
    return totals, ()
