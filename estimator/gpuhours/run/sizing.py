"""The number of accelerators that a run needs to finish in a given time, or the steps that it takes in that time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

import numpy as np

from gpuhours.inputs.durations import DAY, HOUR
from gpuhours.inputs.errors import EstimateError
from gpuhours.run.ensemble import ensemble
from gpuhours.run.ranges import median
from gpuhours.run.spec import Known, Run, Supplied

TRIES = 8
FEW = 1000.0
"""Number of steps; a run's time is taken as linear through this number and 100 times it."""
DIGITS = 4
"""Significant binary digits of a number of nodes: 15, 16, 18, 20, ... 30, 32, 36; at most an eighth more than needed."""
MOST = 1 << 20
"""Upper limit of accelerators tried."""
REASON = "the fewest that people rent, and that share a stated batch, on which the median finishes in time"


def is_open(run: Run) -> bool:
    """Whether a run states its duration and nothing that determines the number of accelerators."""
    known = run.known
    if run.stages or run.hardware.gpus is not None or (run.layout is not None and run.layout.data is not None):
        return False
    others = (known.mfu, known.gpu_hours, known.step_time)
    return (known.days is not None or known.wall_clock is not None) and all(value is None for value in others)


def sized(run: Run) -> Run:
    """The run on the fewest accelerators that finish in its stated duration, which is then removed.

    GPU-hours hardly depend on the number of accelerators, so the search starts at n = GPU-hours / time and steps through the usual
    ``counts``: up until the run finishes in time, or down for as long as it still does. A stated batch is kept; if that is impossible and
    no layout is stated, it is rounded as for a stated number of accelerators. Raises ``EstimateError`` if no number finishes in time.
    """
    free, seconds = _without_time(run)
    sample = ensemble(free)
    if sample is None:
        return run
    node = 1 if sample.outcome.resolved.cluster is None else sample.outcome.resolved.cluster.gpus_per_node
    wanted = median(sample.gpu_time) / seconds
    gpus = _fewest(free, [gpus for gpus in counts(int(node)) if divides(run, gpus)], wanted, seconds)
    if gpus is None and (run.layout is None or not run.layout.model_fields_set):
        gpus = _fewest(free, list(counts(int(node))), wanted, seconds, exactly=False)
    if gpus is None:
        batch = run.training.global_batch
        shared = "" if batch is None else f" with {float(np.max(batch)):,.0f} samples a step, shared evenly"
        raise EstimateError(
            f"No number of accelerators finishes in {seconds / DAY:g} days{shared}.",
            "Give it more time" + (", or another batch or layout." if shared else "."),
            "known.days",
        )
    supplied = Supplied(value=gpus, reason=REASON)
    return free.replaced("hardware.gpus", gpus).replaced("assumptions", {**run.assumptions, "hardware.gpus": supplied})


def is_endless(run: Run) -> bool:
    """Whether a run states its accelerators and its duration, but nothing that determines its steps or its speed."""
    known, data = run.known, run.data
    if run.stages or run.hardware.gpus is None or np.ndim(run.hardware.gpus):
        return False
    amounts = (data.tokens, data.samples, data.dataset_samples, data.epochs, data.steps, data.video_hours)
    others = (known.mfu, known.gpu_hours, known.step_time, known.goodput, *amounts)
    return (known.days is not None or known.wall_clock is not None) and all(value is None for value in others)


def filled(run: Run) -> Run:
    """The run with as many steps as fit in its stated duration (by the sample's median), which is then removed; unchanged if its step
    cannot be predicted. The time is t = a + b n, with start-up a and time per step b from two step counts n. Raises ``EstimateError`` if
    the duration is less than the start-up."""
    free, seconds = _without_time(run)
    some, many, gpus = FEW, 100 * FEW, float(np.max(run.hardware.gpus or 1))
    taken = [ensemble(free.replaced("data.steps", steps)) for steps in (some, many)]
    times = [median(sample.gpu_time) / gpus for sample in taken if sample is not None]
    if len(times) < len(taken):
        return run
    each = (times[1] - times[0]) / (many - some)
    steps = float(f"{some + (seconds - times[0]) / each:.3g}")
    if steps < 1:
        raise EstimateError(
            f"In {seconds / HOUR:,.3g} hours the run takes no step: its start takes {(times[0] - some * each) / HOUR:,.2g}.",
            "Give it more time.",
            "known.days",
        )
    supplied = Supplied(value=steps, reason="as many as the sample's median takes in the stated time")
    return free.replaced("data.steps", steps).replaced("assumptions", {**run.assumptions, "data.steps": supplied})


def _without_time(run: Run) -> tuple[Run, float]:
    """The run with its duration no longer stated, and that duration in s."""
    seconds = run.known.days * DAY if run.known.days is not None else run.known.wall_clock
    assert seconds is not None
    kept = {name: getattr(run.known, name) for name in run.known.model_fields_set if name not in ("days", "wall_clock")}
    return run.replaced("known", Known(**kept)), float(np.max(seconds))


def counts(node: int) -> Iterator[int]:
    """Numbers of accelerators that people rent, in nodes of ``node``: a power of two below one, then nodes of ``DIGITS`` binary digits.

    >>> list(counts(8))[:3], [gpus // 8 for gpus in counts(8) if gpus >= 8][12:20]
    ([1, 2, 4], [13, 14, 15, 16, 18, 20, 22, 24])
    """
    yield from (1 << power for power in range(node.bit_length() - 1) if 1 << power < node)
    nodes = 1
    while nodes * node <= MOST:
        yield nodes * node
        nodes += 1 << max(0, nodes.bit_length() - DIGITS)


def divides(run: Run, gpus: int) -> bool:
    """Whether ``gpus`` is a whole number of replicas of the stated layout among which a stated batch divides evenly.

    An unstated pipeline degree may have odd factors that divide the layers; all other unstated degrees are powers of two.
    """
    layout, batch = run.layout, run.training.global_batch
    open_pipeline = layout is None or "pipeline" not in layout.model_fields_set
    layers = getattr(run.model, "layers", 1) if open_pipeline else 1
    said = 1 if layout is None else layout.model_parallel
    if np.ndim(said) or np.ndim(layers) or (batch is not None and np.ndim(batch)):
        return True
    spare = gpus - (0 if layout is None else layout.encoder_gpus)
    if spare < said or spare % said:
        return False
    copies = int(spare // said)
    return batch is None or float(batch * layers) % (copies // (copies & -copies)) == 0


def _fewest(run: Run, usual: list[int], wanted: float, seconds: float, *, exactly: bool = True) -> int | None:
    """The smallest of the ``usual`` counts that finishes in ``seconds``, searched from ``wanted``; None if none of ``TRIES`` does."""
    place, found = bisect_left(usual, wanted), None
    for _ in range(TRIES):
        if not 0 <= place < len(usual):
            break
        if _in_time(run, usual[place], seconds, exactly=exactly):
            found, place = usual[place], place - 1
        elif found is not None:
            break
        else:
            place += 1
    return found


def _in_time(run: Run, gpus: int, seconds: float, *, exactly: bool) -> bool:
    """Whether the run fits on ``gpus`` and its median time is at most ``seconds``; ``exactly``: with the stated batch unchanged."""
    sample, batch = ensemble(run.replaced("hardware.gpus", gpus)), run.training.global_batch
    if sample is None:
        return False
    kept = not exactly or batch is None or float(batch) == float(sample.outcome.value("global_batch"))
    return kept and bool(median(sample.gpu_time) / gpus <= seconds)
