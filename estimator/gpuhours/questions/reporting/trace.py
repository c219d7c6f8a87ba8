"""``trace``: the predicted step as events per pipeline rank, in the format of Perfetto and chrome://tracing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.layout.choices import word
from gpuhours.layout.placement import Placement
from gpuhours.layout.schedules import SCHEDULES, Schedule
from gpuhours.questions.envelope import envelope
from gpuhours.questions.estimating.estimates import Estimate
from gpuhours.questions.estimating.estimating import estimate
from gpuhours.questions.reporting.schedule_orders import (
    BACKWARD,
    FORWARD,
    WEIGHT,
    Timed,
    TimedPipeline,
    simulated_within,
)
from gpuhours.run.evaluate import evaluate
from gpuhours.run.shortcuts import run_of
from gpuhours.run.spec import Described
from gpuhours.run.totals import undetermined
from gpuhours.step.breakdown import PARTS, Step
from gpuhours.step.communication import P2P
from gpuhours.step.predict import (
    BUBBLE,
    CPU,
    OFFLOAD,
    OPTIMISER,
    Parts,
    Work,
    encoder_waiting,
    encoding_time,
    joined,
    pace_of,
    shared_work,
    waiting_share,
)
from gpuhours.step.schedule import Passes
from gpuhours.step.state import DATA

PASSES, KINDS = 1, 2
"""Threads of a rank: its passes, and their components."""
NAMES = {DATA: "weights gathered, gradients scattered", OFFLOAD: "copies to and from host memory"}
"""More specific names of parts inside a pass."""


class Event(NamedTuple):
    """An activity of a rank from ``start`` to ``end`` (s): ``part`` is a part of the step, "" on the thread of passes."""

    rank: int
    name: str
    part: str
    start: float
    end: float
    microbatch: int | None = None


@dataclass(frozen=True)
class Trace:
    """One predicted step, event by event. For each part, the mean over ranks of the events' durations equals the estimate's."""

    estimate: Estimate
    events: tuple[Event, ...]
    ranks: int
    schedule: str
    microbatches: int
    scheduled: float
    """Seconds of passes and bubble by the schedule's equation."""
    simulated: float
    """Seconds of the same passes if each starts as soon as possible."""
    early: float
    """Seconds by which passes start before their dependencies end, so that all end when the equation says; 0 if that is not
    needed."""

    @property
    def seconds(self) -> float:
        """The predicted step time."""
        return float(_step_of(self.estimate).time)

    def parts(self) -> dict[str, float]:
        """Mean seconds of a pipeline rank by part, summed over the events."""
        seconds = dict.fromkeys(PARTS, 0.0)
        for event in self.events:
            if event.part and event.rank < self.ranks:
                seconds[event.part] += (event.end - event.start) / self.ranks
        return seconds

    def document(self) -> dict[str, Any]:
        """The trace event format: complete events (``ph: X``) in microseconds, names of processes and threads as metadata."""
        return {
            "traceEvents": [*self._names(), *(_complete(event) for event in self.events)],
            "displayTimeUnit": "ms",
            "otherData": {name: str(value) for name, value in self._about().items()},
        }

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``gpuhours trace --json``: the sums of the events."""
        parts = [{"part": part, "seconds": seconds} for part, seconds in self.parts().items()]
        return envelope("trace", {**self._about(), "time": parts})

    def _about(self) -> dict[str, Any]:
        return {
            "name": self.estimate.run.name, "schedule": self.schedule, "ranks": self.ranks,
            "microbatches": self.microbatches, "events": len(self.events),
            "step_time": self.seconds, "scheduled": self.scheduled, "simulated": self.simulated, "early": self.early,
        }  # fmt: skip

    def _names(self) -> Iterator[dict[str, Any]]:
        for rank in sorted({event.rank for event in self.events}):
            name = f"pipeline rank {rank}" if rank < self.ranks else "the encoder's own GPUs"
            yield _metadata("process_name", rank, 0, name=name)
            yield _metadata("process_sort_index", rank, 0, sort_index=rank)
            yield _metadata("thread_name", rank, PASSES, name="passes")
            yield _metadata("thread_name", rank, KINDS, name="kernels, collectives and gaps")


def _metadata(what: str, rank: int, thread: int, **args: Any) -> dict[str, Any]:
    return {"name": what, "ph": "M", "ts": 0, "pid": rank, "tid": thread, "args": args}


def _complete(event: Event) -> dict[str, Any]:
    """A complete event, times rounded to a nanosecond so that adjacent events stay adjacent."""
    start, end = round(event.start * 1e6, 3), round(event.end * 1e6, 3)
    args = {} if event.microbatch is None else {"microbatch": event.microbatch}
    return {
        "name": event.name, "cat": event.part or "pass", "ph": "X", "ts": start, "dur": round(end - start, 3),
        "pid": event.rank, "tid": KINDS if event.part else PASSES, "args": args,
    }  # fmt: skip


@dataclass(frozen=True)
class _Plan:
    """What a step is simulated from."""

    line: TimedPipeline
    work: Work
    layers: list[float]
    """Per stage."""
    left: Mapping[str, float]
    """Seconds outside passes: P2P and CPU after each micro-batch, DATA and OPTIMISER at the end."""
    waiting: float
    """Seconds spent waiting for the slowest rank."""
    encoding: float
    """Seconds per micro-batch on an encoder's own accelerators."""
    wait: float
    """Seconds spent waiting for that encoder."""


def trace(run: Described) -> Trace:
    """The predicted step of a run, simulated over its pipeline ranks.

    Passes follow the schedule's order, each as soon as its rank is free and its dependencies have ended. The estimate computes the total
    from an equation (``step.schedule.pipeline_time``). If the simulated passes end sooner, the difference is idle time at the end; if
    later, passes start ``early``: that long before their dependencies end. Sends, launch gaps, gradient reduction and the optimiser take
    the estimate's time on each rank. Within a pass, the kinds of work are shown one after another, all layers of a kind together.
    """
    run = run_of(run, {})
    if run.stages:
        evaluate(run)  # raises an error: stages have no common step
    answer = estimate(run)
    step_seconds = float(_step_of(answer).time)
    plan = _plan(answer)
    line = plan.line
    behind = plan.left[DATA] + plan.left[OPTIMISER] + plan.waiting
    scheduled = step_seconds - behind - plan.wait
    played, early, simulated = simulated_within(line, scheduled)
    events = [
        event
        for rank, passes in enumerate(played)
        for event in _with_idle(
            rank, _of_rank(rank, passes, plan), step_seconds - behind, _closing(rank, plan, step_seconds)
        )
    ]
    if plan.encoding:
        each = plan.encoding
        events += [
            Event(line.ranks, f"encode {one}", "", one * each, (one + 1) * each, one)
            for one in range(line.microbatches)
        ]
    return Trace(
        answer, tuple(events), line.ranks, word(Schedule, line.schedule), line.microbatches, scheduled, simulated, early
    )


def _step_of(found: Estimate) -> Step:
    """The predicted step; raises an error that says what is missing."""
    step = found.outcome.step
    if step is None:
        reason = undetermined(found.outcome.totals, ("step_time",)) or "; ".join(found.warnings)
        raise EstimateError("There is no predicted step to trace.", reason)
    return step


def _plan(found: Estimate) -> _Plan:
    """The components of ``step.predict.step``, rank by rank."""
    step, workload = _step_of(found), found.outcome.resolved.workload
    ranks = workload.ranks
    p, m = int(ranks.pipeline), round(float(ranks.microbatches))
    own, pace = shared_work(workload), pace_of(workload)
    work = own.at_pace(pace)
    schedule = Schedule(int(workload.layout.schedule))
    v = int(ranks.interleave) if SCHEDULES[schedule].chunked and p > 1 else 1
    placement = workload.placement if work.shared else Placement(1.0, ranks.pipeline)
    layers = [float(placement.on(np.asarray(stage))) for stage in range(p)]
    inside = dict.fromkeys(PARTS, 0.0)
    for group in (work.all_layers, work.first, work.last, work.spread):
        for name, one in group.items():
            inside[name] += m * float(one.total) / p
    slower = float(waiting_share(workload.cluster, workload.software))
    waiting = float(step.time) * slower / (1 + slower)
    left = {name: float(step.parts[name]) - inside[name] for name in (P2P, CPU, DATA, OPTIMISER)}
    left[DATA] -= waiting
    left = {name: seconds if seconds > 1e-12 * float(step.time) else 0.0 for name, seconds in left.items()}
    beside = (left[P2P] + left[CPU]) / (2 * m * v)
    chunks = [[_made_of(work, layers, rank, chunk, v) for chunk in range(v)] for rank in range(p)]
    seconds = [[_seconds(one, schedule) for one in rank] for rank in chunks]
    line = TimedPipeline(schedule, m, seconds, {FORWARD: beside, BACKWARD: beside, WEIGHT: 0.0})
    encoding = float(pace * encoding_time(own, workload)) if own.apart else 0.0
    wait = float(encoder_waiting(workload, own)) if own.apart else 0.0
    return _Plan(line, work, layers, left, waiting, encoding, wait)


def _made_of(work: Work, layers: list[float], rank: int, chunk: int, chunks: int) -> Parts:
    """One micro-batch's work in one chunk of a rank: its layers, and the model's ends if the chunk has them."""
    share = layers[rank] / math.fsum(layers) / chunks
    seconds = {name: one * share for name, one in work.all_layers.items()}
    seconds = joined(seconds, {name: one * (1 / len(layers) / chunks) for name, one in work.spread.items()})
    if rank == 0 and chunk == 0:
        seconds = joined(seconds, work.first)
    if rank == len(layers) - 1 and chunk == chunks - 1:
        seconds = joined(seconds, work.last)
    return seconds


def _in_kind(one: Passes, kind: str, schedule: Schedule) -> float:
    """Seconds of a part within a pass of a given kind."""
    if kind == FORWARD:
        return float(one.forward)
    if kind == WEIGHT:
        return float(one.weight)
    return float(one.backward) + (float(one.weight) if SCHEDULES[schedule].order.lag is None else 0.0)


def _seconds(parts: Parts, schedule: Schedule) -> dict[str, float]:
    """Seconds of each kind of pass."""
    return {
        kind: math.fsum(_in_kind(one, kind, schedule) for one in parts.values()) for kind in (FORWARD, BACKWARD, WEIGHT)
    }


def _of_rank(rank: int, passes: list[Timed], plan: _Plan) -> Iterator[Event]:
    """A rank's passes, each with its components and what follows it."""
    line, offset = plan.line, min(plan.encoding, plan.wait)
    chunks = [_made_of(plan.work, plan.layers, rank, chunk, line.chunks) for chunk in range(line.chunks)]
    for what, start, _, _ in passes:
        at = begin = start + offset
        inside = []
        for part in PARTS:
            one = chunks[what.chunk].get(part)
            seconds = 0.0 if one is None else _in_kind(one, what.kind, line.schedule)
            if seconds > 0:
                inside.append(Event(rank, NAMES.get(part, part), part, at, at + seconds, what.microbatch))
                at += seconds
        chunk = f", chunk {what.chunk}" if line.chunks > 1 else ""
        yield Event(rank, f"{what.kind} {what.microbatch}{chunk}", "", begin, at, what.microbatch)
        yield from inside
        if what.kind == WEIGHT:
            continue
        for part, name in ((P2P, f"send, {what.kind}"), (CPU, "launch gap")):
            seconds = plan.left[part] / (2 * line.microbatches * line.chunks)
            if seconds > 0:
                yield Event(rank, name, part, at, at + seconds, what.microbatch)
                at += seconds


def _with_idle(rank: int, events: Iterator[Event], end: float, closing: Iterator[Event]) -> Iterator[Event]:
    """The events with idle time between them and until ``end``, then those that close the step."""
    at, rounding = 0.0, 1e-12 * end
    for event in events:
        if event.part == "" and event.start > at + rounding:
            yield Event(rank, BUBBLE, BUBBLE, at, event.start)
        at = max(at, event.end)
        yield event
    if end > at + rounding:
        yield Event(rank, BUBBLE, BUBBLE, at, end)
    yield from closing


def _closing(rank: int, plan: _Plan, end: float) -> Iterator[Event]:
    """What follows the passes: data-parallel communication, waiting for the slowest rank, the optimiser."""
    at = end - plan.left[DATA] - plan.waiting - plan.left[OPTIMISER]
    for name, part, seconds in (
        ("gradients and weights between replicas", DATA, plan.left[DATA]),
        ("waiting for the slowest", DATA, plan.waiting),
        (OPTIMISER, OPTIMISER, plan.left[OPTIMISER]),
    ):
        if seconds > 0:
            yield Event(rank, name, part, at, at + seconds)
            at += seconds
