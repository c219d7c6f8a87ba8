"""The times of every draw of a sample: step, stops, remainder and GPU time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from gpuhours.inputs.arrays import Array
from gpuhours.inputs.records import dataclass
from gpuhours.run import input_pipeline
from gpuhours.run.band import host_limits, step_limits
from gpuhours.run.evaluate import known_totals
from gpuhours.run.goodput import checkpoint_of, goodput
from gpuhours.run.points import DRAWS
from gpuhours.run.ranges import median, spread_over
from gpuhours.run.remainder import Remainder
from gpuhours.run.resolve import Resolved
from gpuhours.run.samplable import Samplable
from gpuhours.run.sampling import Choices, Draws
from gpuhours.run.spec import Run
from gpuhours.run.totals import solve
from gpuhours.run.typical import Kind, typical
from gpuhours.step import step

LEAST_GOODPUT = 1e-6
"""Share of productive time below which a run is considered never to finish."""


@dataclass(frozen=True, eq=False)
class Times:
    """Times of every draw: arrays of ``DRAWS``."""

    seconds: Draws
    """s per step."""
    running: Draws
    """Productive time over wall-clock time, counting stops only."""
    remainder: Draws
    """Published hours over those of steps and stops."""
    gpu_time: Draws
    """GPU s."""


def times_of(asked: Samplable, choices: Choices, at: Mapping[str, Draws], rest: Remainder) -> Times:
    """Totals of every draw, arrays of ``DRAWS``: s per step, productive share of time, remainder, GPU s.

    GPU s = steps x step / goodput x remainder x GPUs
    """
    run, resolved = asked.run, asked.resolved
    cluster = resolved.workload.cluster
    seconds = seconds_of(asked, choices, at)
    steps = float(solve(known_totals(run, resolved)).value("steps") or 1.0)
    productive = steps * seconds
    running = stops(run, resolved, seconds, productive, at)
    stated = run.known.goodput is not None
    alone = productive / running * float(np.max(cluster.gpus))
    remainder = np.ones(DRAWS) if stated else rest.factors(alone, at["remainder"], np.max(cluster.nodes))
    return Times(seconds, running, remainder, alone * remainder)


def seconds_of(asked: Samplable, choices: Choices, at: Mapping[str, Draws]) -> Draws:
    """s per step of every draw: as stated; as measured on this same run, with run-to-run variation; otherwise as predicted, with the
    error of the step model, padding and input pipeline."""
    run, resolved = asked.run, asked.resolved
    if run.known.step_time is not None:
        return np.full(DRAWS, float(np.max(run.known.step_time)))
    low, high = error_limits(resolved, choices)
    middle = choices.step_time if resolved.measured is None else resolved.measured
    seconds = middle * spread_over(low, 1.0, high, at["step model"])
    if resolved.calibration is None:
        seconds = seconds * by_host(asked, choices, at["host"])
    seconds = seconds * padded(run, asked.kind, at["padding"])
    return np.maximum(seconds, loading(run, resolved, seconds, at["data"]))


def by_host(asked: Samplable, choices: Choices, position: Draws) -> Draws:
    """Factor on the step time of every draw by the pace of its host (``step.hosts``), as in the stack's draw of median step time."""
    factor = np.ones(DRAWS)
    for number, grid in enumerate(choices.grids):
        here = np.flatnonzero(choices.stack == number)
        if grid.software.states_launch_time or not here.size:
            continue
        middle = here[np.argsort(choices.step_time[here])[here.size // 2]]
        layout = grid.layout(int(choices.cell[middle]))
        workload = replace(asked.resolved.workload, software=grid.software, layout=layout)
        fast, slow = host_limits(workload, step(workload).time)
        factor[here] = spread_over(fast, 1.0, slow, position[here])
    return factor


def error_limits(resolved: Resolved, choices: Choices) -> tuple[Draws, Draws]:
    """10th and 90th percentile of the error of each draw's step: the limits of the stack that is drawn."""
    usual = median(choices.step_time)
    stacks = (replace(resolved, software=grid.software) for grid in choices.grids)
    low, high = np.transpose([step_limits(stack, usual) for stack in stacks])
    return low[choices.stack], high[choices.stack]


def padded(run: Run, kind: Kind, position: Draws) -> Array:
    """Factor on the step time for padding tokens: 1 / (1 - padding) for video-language models whose text varies in length, otherwise 1."""
    data = run.data
    fixed = data.packed or data.seq_len is not None or "padding" in data.model_fields_set
    if kind == "text" or fixed or getattr(run.model, "kind", "") != "video-language":
        return 1.0
    return 1.0 / (1.0 - typical().padding.draw(position))


def loading(run: Run, resolved: Resolved, seconds: Draws, position: Draws) -> Array:
    """Shortest step that the input pipeline can sustain, s; 0 if nothing about it is known."""
    asked = resolved.workload
    fed = input_pipeline.feed(run.input, resolved.data, asked.global_batch, seconds, asked.cluster)
    if fed is None:
        return 0.0
    low, middle, high = (float(np.max(edge)) for edge in (fed.low, fed.time, fed.high))
    return spread_over(low, middle, high, position)


def stops(run: Run, resolved: Resolved, seconds: Draws, productive: Draws, at: Mapping[str, Draws]) -> Draws:
    """Productive time over wall-clock time of every draw: as stated, otherwise predicted from failures, restarts, checkpoints, evaluation
    and launch."""
    if run.known.goodput is not None:
        return np.full(DRAWS, float(run.known.goodput))
    asked = resolved.workload
    cluster = asked.cluster
    size = checkpoint_of(asked.model, asked.precision)
    found = goodput(
        run.operation, at, gpus=cluster.gpus, nodes=cluster.nodes, size=size, step_time=seconds, productive=productive
    )
    return np.maximum(found, LEAST_GOODPUT)
