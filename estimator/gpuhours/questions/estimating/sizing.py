"""The number of accelerators that a run needs to finish in a given time."""

from __future__ import annotations

import math

from gpuhours.inputs.durations import DAY
from gpuhours.inputs.errors import EstimateError
from gpuhours.run.ensemble import ensemble
from gpuhours.run.ranges import median
from gpuhours.run.spec import Known, Run, Supplied

TRIES = 8
MOST = 1 << 20
"""Upper limit of accelerators tried."""
REASON = "whole nodes on which the sample's median finishes in the stated time"


def is_open(run: Run) -> bool:
    """Whether a run states its duration and nothing that determines the number of accelerators."""
    known = run.known
    if run.stages or run.hardware.gpus is not None or (run.layout is not None and run.layout.data is not None):
        return False
    others = (known.mfu, known.gpu_hours, known.step_time)
    return (known.days is not None or known.wall_clock is not None) and all(value is None for value in others)


def sized(run: Run) -> Run:
    """The run on the fewest whole nodes that finish in its time, with its duration no longer stated.

    GPU-hours hardly depend on the number of accelerators: n = GPU-hours / time, then again with the hours on n, until it repeats; the
    smallest of those tried that finishes in time. If the stated layout or batch does not divide over n, the nearest power of two of nodes
    is used.
    """
    seconds = run.known.days * DAY if run.known.days is not None else run.known.wall_clock
    assert seconds is not None
    kept = {name: getattr(run.known, name) for name in run.known.model_fields_set if name not in ("days", "wall_clock")}
    free = run.replaced("known", Known(**kept))
    sample = ensemble(free)
    if sample is None:
        return run
    node = 1 if sample.outcome.resolved.cluster is None else sample.outcome.resolved.cluster.gpus_per_node
    gpus, done = 0, dict[int, bool]()
    for _ in range(TRIES):
        wanted = max(1, math.ceil(median(sample.gpu_time) / seconds / node)) * node
        if wanted in done:
            gpus = min((tried for tried, in_time in done.items() if in_time), default=max(done))
            break
        gpus = wanted
        if gpus > MOST:
            raise EstimateError(
                f"Even {MOST:,} accelerators would not finish in {seconds / DAY:g} days.",
                "Give it more time.",
                "known.days",
            )
        again = ensemble(free.replaced("hardware.gpus", gpus))
        if again is None:
            gpus = node * 2 ** round(math.log2(gpus / node))
            break
        sample = again
        done[gpus] = median(sample.gpu_time) / gpus <= seconds
    supplied = Supplied(value=gpus, reason=REASON)
    return free.replaced("hardware.gpus", gpus).replaced("assumptions", {**run.assumptions, "hardware.gpus": supplied})
