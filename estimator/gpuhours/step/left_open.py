"""How far the time of a step depends on facts that a run leaves open: the same step with the values that such a fact usually has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from gpuhours.hardware.kernel_constants import generation_constants
from gpuhours.inputs.arrays import Array, Mask
from gpuhours.layout.choices import Recompute, Sharding
from gpuhours.layout.layout import Layout
from gpuhours.layout.schedules import Schedule
from gpuhours.layout.sequence_methods import METHODS
from gpuhours.memory import memory
from gpuhours.step.predict import step
from gpuhours.workload import Workload

SLOW_NETWORK = 0.25
"""Bandwidth of a slow network relative to that of the accelerator's usual node: a cloud's Ethernet with 4 x 200 Gbit/s for 8 H100
(``hardware_specs/nodes/gcp-a3-highgpu.yaml``), 100 Gbit/s per GPU, where a DGX has 400 (``hardware_specs/nodes/dgx-h100.yaml``)."""
CHUNKS = 2
"""Chunks per stage of an interleaved schedule that nobody states."""


def _recompute(workload: Workload) -> Iterator[Workload]:
    return _fitting(workload, "recompute", Recompute)


def _sharding(workload: Workload) -> Iterator[Workload]:
    if np.any(np.greater(workload.ranks.data, 1)):
        yield from _fitting(workload, "sharding", (Sharding.none, Sharding.zero1, Sharding.zero3))


def _schedule(workload: Workload) -> Iterator[Workload]:
    if np.any(np.greater(workload.layout.pipeline, 1)):
        yield _with(workload, schedule=Schedule.f1b1, interleave=1)
        yield _with(workload, schedule=Schedule.interleaved, interleave=CHUNKS)


def _sequence_method(workload: Workload) -> Iterator[Workload]:
    if np.any(np.greater(workload.layout.context, 1)):
        yield from (
            _with(workload, sequence_method=one) for one in (one for one, exchange in METHODS.items() if exchange.usual)
        )


def _network(workload: Workload) -> Iterator[Workload]:
    cluster = workload.cluster
    if not np.any(np.greater(cluster.gpus, cluster.gpus_per_node)):
        return
    slow = replace(cluster, internode_bandwidth=np.multiply(cluster.network_bandwidth, SLOW_NETWORK))
    yield replace(workload, cluster=slow)


def _precision(workload: Workload) -> Iterator[Workload]:
    """8-bit GEMMs instead of 16-bit ones or the reverse, on accelerators that have both."""
    for dtype in {"bf16", "fp8"} - {workload.precision.dtype}:
        if dtype in workload.cluster.accelerator.peak and not workload.precision.format.unpacked:
            yield replace(workload, precision=workload.software.as_run(replace(workload.precision, dtype=dtype)))


def _attention(workload: Workload) -> Iterator[Workload]:
    """The other kernels of its time: before FlashAttention-2 the first, later FlashAttention-2 or cuDNN's."""
    own = workload.attention_kernel
    others = ("flash1",) if own == "unfused" else ("flash2", "cudnn")
    known = generation_constants(workload.cluster.accelerator.generation).attention
    for kernel in (one for one in others if one in known and one != own):
        software = workload.software.model_copy(update={"attention": {"default": kernel}})
        yield replace(workload, software=software)


VALUES: Mapping[str, Callable[[Workload], Iterator[Workload]]] = {
    "recompute": _recompute, "attention": _attention, "sharding": _sharding, "network": _network, "precision": _precision,
    "schedule": _schedule, "sequence_method": _sequence_method,
}  # fmt: skip
"""A fact that may be left open -> the same step with each of its usual values."""


def over_left_open(workload: Workload, time: Array, left_open: Mapping[str, Mask]) -> tuple[Array, Array]:
    """Time of a step where everything left open is as fast, and as slow, as is usual, relative to ``time`` (s), which it is predicted to
    take.

        exp(-sqrt(sum over facts of ln^2 (least / t))),    exp(sqrt(sum over facts of ln^2 (most / t)))

    least and most are the times with the usual values of one fact (``VALUES``), the predicted one among them; layouts that are invalid or
    do not fit in memory are passed over. Facts are independent, so distances in log add up as squares. ``left_open``: fact -> whether the
    run leaves it open. 1 where nothing is.
    """
    below = above = np.zeros(np.shape(time))
    for fact, here in left_open.items():
        if not np.any(here):
            continue
        least = most = np.zeros(np.shape(time))
        for other in VALUES[fact](workload):
            predicted = step(other)
            there = np.where(here & predicted.valid, np.log(np.divide(predicted.time, time)), 0.0)
            least, most = np.minimum(least, there), np.maximum(most, there)
        below, above = np.hypot(below, least), np.hypot(above, most)
    return np.exp(-below), np.exp(above)


def _fitting(workload: Workload, name: str, values: Iterable[Array]) -> Iterator[Workload]:
    """The step with other values of a field of its layout; where one does not fit in memory, it keeps its own."""
    own = getattr(workload.layout, name)
    for value in values:
        if not np.all(np.equal(own, value)):
            other = _with(workload, **{name: value})
            yield _with(workload, **{name: np.where(memory(other).fits, value, own)})


def _with(workload: Workload, **fields: Array) -> Workload:
    layout: Layout = workload.layout.replaced(**fields)
    return workload.with_layout(layout)
