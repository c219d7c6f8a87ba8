"""Pipeline schedules, each declared here alone: its names, the order of its passes, its micro-batches in flight, and its bubble.

To add one, add a member to ``Schedule`` and a line to ``SCHEDULES``; profiles that have it list its spelling under ``schedules``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from gpuhours.inputs.arrays import Array, Mask, some
from gpuhours.inputs.records import dataclass
from gpuhours.layout.choices import Coded


class Schedule(Coded):
    """The order of a pipeline's forward and backward passes."""

    f1b1 = 0, "1f1b", "one-forward-one-backward"
    interleaved = 1, "interleaved", "interleaved-1f1b", "interleaved1f1b"
    zb1p = 2, "zb-1p", "zb1p"
    zb2p = 3, "zb-2p", "zb2p"
    gpipe = 4, "gpipe"


class Order(NamedTuple):
    """The order of a rank's passes over m micro-batches, with r ranks before and q after it in the pipeline."""

    ahead: int | None
    """Number of forward passes before the first backward pass is ahead x q, at most m; None: all m."""
    lag: int | None = None
    """Weight gradients follow their backward passes by lag x r micro-batches; None: they are computed in the backward passes."""


class Pipeline(NamedTuple):
    """p stages, v chunks per rank, m micro-batches."""

    stages: Array
    chunks: Array
    microbatches: Array


class Walk(NamedTuple):
    """How long the first micro-batch takes through a pipeline beyond its time on the slowest stage, s.

    ``total``      S - T: all passes of all stages together, less the slowest stage
    ``forward``    S_F: forward passes of all stages
    ``backward``   S_B: input gradients of all stages
    """

    total: Array
    forward: Array
    backward: Array


@dataclass(frozen=True)
class ScheduleRules:
    """What is known of one schedule.

    ``order``      the order of passes; used by the trace
    ``in_flight``  (pipeline, stage) -> micro-batches whose activations a rank holds, before the limit m
    ``bubble``     (pipeline, walk) -> idle s of a rank per step
    ``chunked``    whether ranks may hold several chunks (``interleave``)
    ``bounded``    whether its bubble is a fixed share of S - T, so that it never shrinks as layers take longer (``planning.bound``)
    """

    order: Order
    in_flight: Callable[[Pipeline, Array], Array]
    bubble: Callable[[Pipeline, Walk], Array]
    chunked: bool = False
    bounded: bool = True


def _behind(line: Pipeline, stage: Array) -> Array:
    """p - s: the stages from s to the last."""
    return line.stages - stage


def _interleaved_in_flight(line: Pipeline, stage: Array) -> Array:
    """(2 (p - s - 1) + (v - 1) p + 1) / v; as 1F1B with one chunk."""
    p, v = line.stages, line.chunks
    return np.where(np.equal(v, 1), p - stage, (2 * (p - stage - 1) + (v - 1) * p + 1) / v)


def _zb2p_bubble(line: Pipeline, walk: Walk) -> Array:
    """max(0, (S_F + S_B) (1 - 1/p) - (m - 1) S_F / (2 p))."""
    p = np.asarray(line.stages)
    left = (walk.forward + walk.backward) * (1 - 1 / p) - (line.microbatches - 1) * walk.forward / (2 * p)
    return np.maximum(0.0, left)


SCHEDULES: Mapping[Schedule, ScheduleRules] = {
    # Narayanan et al. 2021, section 2.2
    Schedule.f1b1: ScheduleRules(Order(1), _behind, lambda line, walk: walk.total),
    # ibid.; with one chunk ahead is 1, with several the forward passes of all chunks come first
    Schedule.interleaved: ScheduleRules(
        Order(1), _interleaved_in_flight, lambda line, walk: walk.total / line.chunks, chunked=True
    ),
    # ZB-H1; Qi et al. 2023, section 2
    Schedule.zb1p: ScheduleRules(Order(1, lag=1), lambda line, stage: line.stages, lambda line, walk: walk.total / 3),
    # ZB-H2; ibid.; the factor 1/2 in its bubble is fitted on that paper's runs
    Schedule.zb2p: ScheduleRules(Order(2, lag=2), lambda line, stage: 2 * line.stages - 1, _zb2p_bubble, bounded=False),
    # all forward passes first; Huang et al. 2019
    Schedule.gpipe: ScheduleRules(Order(None), lambda line, stage: line.microbatches, lambda line, walk: walk.total),
}
"""Every schedule."""


def by_schedule(schedule: Array, value: Callable[[ScheduleRules], Any]) -> Any:
    """``value`` of the rules of each entry's schedule: for an array, of all schedules that occur in it."""
    if np.ndim(schedule) == 0:
        return value(SCHEDULES[Schedule(int(schedule))])
    usual = value(SCHEDULES[Schedule.f1b1])
    for one, rules in SCHEDULES.items():
        if one is not Schedule.f1b1 and some(here := np.equal(schedule, one)):
            usual = np.where(here, value(rules), usual)
    return usual


def chunked(schedule: Array) -> Mask:
    """Whether ranks may hold several chunks."""
    return by_schedule(schedule, lambda rules: rules.chunked)
