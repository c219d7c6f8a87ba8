"""Prediction of the step time: layers placed on stages, stages on a pipeline schedule, and the work outside the schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from functools import cached_property

import numpy as np

from gpuhours.architecture.operators import Ends, Stack, Trainable
from gpuhours.flops import hardware_flops, model_flops
from gpuhours.hardware.clusters import Cluster
from gpuhours.inputs.arrays import Array, every, some
from gpuhours.inputs.records import dataclass
from gpuhours.kernels.collectives import point_to_point_time
from gpuhours.layout.choices import VisionPlacement
from gpuhours.layout.placement import Placement, of_words
from gpuhours.layout.ranks import has_experts
from gpuhours.layout.validity import violations
from gpuhours.layout.weights import end_weights, layer_weights
from gpuhours.software.profile import Software
from gpuhours.step.breakdown import PARTS, Step, where_violated
from gpuhours.step.communication import CONTEXT, EXPERT, P2P, TENSOR, expert_passes, tensor_passes
from gpuhours.step.compute import ATTENTION, GEMMS, OTHER, ends_compute, layer_compute
from gpuhours.step.context import context_passes
from gpuhours.step.contrast import contrast_parts
from gpuhours.step.cpu_overhead import as_run, late_and_gaps, launch_time
from gpuhours.step.features import feature_parts
from gpuhours.step.offload import activations_time, parameters_time
from gpuhours.step.recompute import repeated
from gpuhours.step.schedule import Late, Passes, Stages, exposed_time, no_host, pipeline_time, stages
from gpuhours.step.state import (
    DATA,
    accumulation_time,
    blocks_time,
    gather_copies,
    optimiser_time,
    sharded_passes,
    step_reduction,
)
from gpuhours.workload import Workload

RECOMPUTE, BUBBLE, OPTIMISER = "recompute", "pipeline bubble", "optimiser"
OFFLOAD, CPU = "offload transfers", "CPU overhead"
Parts = dict[str, Passes]


@dataclass(frozen=True, eq=False)
class Work:
    """One micro-batch's work by kind: that of the layers distributed over the pipeline, and that of its first and last stage."""

    layers: Array = 0
    """Number of layers distributed over the pipeline."""
    shared: bool = False
    """Whether there are such layers."""
    all_layers: Parts = field(default_factory=dict)
    """Work of all these layers together."""
    first: Parts = field(default_factory=dict)
    last: Parts = field(default_factory=dict)
    spread: Parts = field(default_factory=dict)
    """Work split evenly over all stages: embedding and head with ``vocabulary_parallel``."""
    apart: Parts = field(default_factory=dict)
    """Work of an encoder on its own accelerators."""

    def placed(self, workload: Workload, late: Late = no_host) -> Stages:
        """The work on the pipeline's stages, each of which is longer by ``late`` of its share of the layers."""
        placement = workload.placement if self.shared else Placement(1.0, workload.ranks.pipeline)
        layer, first, last, spread = self._summed
        return stages(layer, placement, first, last, spread, late)

    @cached_property
    def _summed(self) -> tuple[Passes, Passes, Passes, Passes]:
        """The passes of a mean layer, and of the work of the first, the last and every stage beside it, summed over kinds."""
        layer = added(self.all_layers) * (1 / np.asarray(self.layers))
        return layer, added(self.first), added(self.last), added(self.spread)

    def at_pace(self, slower: Array) -> Work:
        """All work multiplied by ``slower``."""

        def slowed(parts: Parts) -> Parts:
            return {name: one * slower for name, one in parts.items()}

        return replace(
            self, all_layers=slowed(self.all_layers), first=slowed(self.first), last=slowed(self.last),
            spread=slowed(self.spread), apart=slowed(self.apart),
        )  # fmt: skip


def step(workload: Workload) -> Step:
    """Predict one optimiser step. Any number may be an array with an axis of its own; results that do not depend on it keep their shape.

        time = pace (1 + w) [schedule(stages, m) + m (P2P + launches) + waits + gradient reduction + optimiser + CPU]

    pace      ``pace_of``                                  w     ``waiting_share``: waiting for the slowest rank
    schedule  ``step.schedule.pipeline_time`` of the passes of m micro-batches, with what their overlap leaves of communication
    P2P       ``p2p_time``                                launches    ``step.cpu_overhead.late_and_gaps``
    waits     ``encoder_wait`` for an encoder on its own accelerators
    gradient reduction and optimiser  ``step.state.step_reduction``, ``optimiser_time``        CPU  a stack's own s per step

    An invalid layout is marked (``Step.valid``); nothing is raised.
    """
    return step_of(workload, shared_work(workload))


def step_of(workload: Workload, work: Work) -> Step:
    """``step`` with its ``shared_work`` at hand, which no launch time enters."""
    cluster, layout = workload.cluster, workload.layout
    parts, time = timed_parts(workload, work)
    reasons = violations(workload.model, workload.global_batch, layout, cluster, workload.ranks)
    return Step(
        time=time,
        parts=parts,
        model_flops=model_flops(workload.model, workload.global_batch),
        hardware_flops=hardware_flops(workload.model, workload.global_batch, layout, workload.software),
        peak=cluster.accelerator.peak_for(workload.precision.gemm) * np.asarray(cluster.gpus),
        valid=np.logical_not(where_violated(reasons)),
        reasons=reasons,
    )


def timed_parts(workload: Workload, work: Work) -> tuple[dict[str, Array], Array]:
    """(seconds of a step by part, seconds of the whole), see ``step``."""
    ranks, cluster = workload.ranks, workload.cluster
    layers = added(work.all_layers)
    update = optimiser_time(workload)
    line, host, passes = scheduled(workload, work, update)
    mean = line.together.total / np.asarray(ranks.pipeline)
    sends = p2p_time(workload, (layers.total + host * ranks.pipeline) / np.asarray(work.layers))
    encoding = encoding_time(work, workload) if work.apart else None
    parts = {name: np.multiply(0.0, mean) for name in PARTS}
    for group in (work.all_layers, work.first, work.last, work.spread):
        for name, one in group.items():
            parts[name] = parts[name] + ranks.microbatches * one.total / np.asarray(ranks.pipeline)
    parts[BUBBLE] = np.maximum(passes - ranks.microbatches * mean, 0.0)
    if encoding is not None:
        parts[BUBBLE] = parts[BUBBLE] + encoder_wait(encoding, ranks.microbatches, passes + ranks.microbatches * host)
    parts[P2P] = parts[P2P] + sends * ranks.microbatches
    parts[CPU] = host * ranks.microbatches + workload.software.host.step
    beside = line.slowest + host
    parts[DATA] = parts[DATA] + step_reduction(workload, beside if encoding is None else np.maximum(beside, encoding))
    parts[OPTIMISER] = update
    time = sum(parts.values())
    parts[DATA] = parts[DATA] + waiting_share(cluster, workload.software) * time
    slower = pace_of(workload)
    if some(np.not_equal(slower, 1.0)):
        parts = {name: seconds * slower for name, seconds in parts.items()}
    return parts, (1 + waiting_share(cluster, workload.software)) * time * slower


def scheduled(workload: Workload, work: Work, update: Array) -> tuple[Stages, Array, Array]:
    """(work on the stages; exposed CPU overhead on the slowest stage, s per micro-batch; s of the passes of all micro-batches without that
    overhead, in a pipeline that fills at the host's pace), for ``update`` s of the optimiser."""
    ranks, line = workload.ranks, work.placed(workload)
    late, filling, gaps = late_and_gaps(workload, update, added(work.all_layers) if work.shared else None)
    launched = work.placed(workload, late)
    host = launched.slowest - line.slowest + gaps
    walked = launched if filling is late else work.placed(workload, filling)
    passes = pipeline_time(walked, ranks.microbatches, ranks.pipeline, ranks.interleave, ranks.schedule)
    return line, host, passes - ranks.microbatches * (walked.slowest - line.slowest)


def encoder_waiting(workload: Workload, work: Work) -> Array:
    """Seconds of a step for which the language model waits for an encoder on its own accelerators (``encoder_wait``)."""
    _, host, passes = scheduled(workload, work, optimiser_time(workload))
    microbatches = workload.ranks.microbatches
    return pace_of(workload) * encoder_wait(encoding_time(work, workload), microbatches, passes + microbatches * host)


def pace_of(workload: Workload) -> Array:
    """Factor on every part of a step relative to its equations: ``unmeasured_factor`` x ``Software.pace``."""
    return unmeasured_factor(workload) * workload.software.pace


def unmeasured_factor(workload: Workload) -> float:
    """Factor on every part of an unmeasured stack's step relative to its stand-in profile: ``Software.unmeasured_factor`` for dense models,
    1 for mixtures of experts, since none contributed to the fit of that factor."""
    experts = any(has_experts(linear) for stack in workload.model.stacks for linear in stack.block.linears)
    factor = workload.software.unmeasured_factor
    return 1.0 if experts or factor is None else factor


def waiting_share(cluster: Cluster, software: Software) -> Array:
    """Share of a step spent waiting for the slowest rank: w = stragglers x log2(nodes), 0 on one node."""
    return software.network.stragglers * np.maximum(np.log2(np.divide(cluster.gpus, cluster.gpus_per_node)), 0.0)


def added(parts: Mapping[str, Passes]) -> Passes:
    """The sum of the passes of all kinds, s."""
    forward: Array = 0.0
    backward: Array = 0.0
    weight: Array = 0.0
    for one in parts.values():
        forward, backward, weight = forward + one.forward, backward + one.backward, weight + one.weight
    return Passes(forward, backward, weight)


def shared_work(workload: Workload) -> Work:
    """All work of one micro-batch. Pipelined stacks are distributed over the stages; an encoder in front is placed according to
    ``layout.vision``; any other stack is on the first stage if it precedes the pipelined ones, otherwise on the last."""
    model, encoder = workload.model, workload.model.encoder
    work = _encoder_work(workload) if encoder else Work()
    seen = False
    for part in model.parts[len(encoder) :]:
        passes = _part_work(part, workload)
        if isinstance(part, Ends):
            if of_words(part) and some(workload.ranks.spreads):
                everywhere = np.where(workload.ranks.spreads, 1.0, 0.0)
                work = replace(work, spread=joined(work.spread, _scaled(passes, everywhere)))
                passes = _scaled(passes, 1.0 - everywhere)
            work = _with_stage_work(work, passes, first=part.first)
        elif model.on_stream(part):
            seen = True
            work = replace(
                work, shared=True, layers=work.layers + part.layers, all_layers=joined(work.all_layers, passes)
            )
        else:
            work = _with_stage_work(work, passes, first=not seen)
    return work if seen else Work(1, False, joined(work.first, work.last))


def _part_work(part: Stack | Ends, workload: Workload) -> Parts:
    """Work of one micro-batch in all layers of a stack, or in an end."""
    part = as_run(part, workload)
    if isinstance(part, Ends):
        return _end_parts(part, workload)
    return {name: passes * part.layers for name, passes in _layer_parts(part, workload).items()}


def _encoder_work(workload: Workload) -> Work:
    """An encoder's work for one micro-batch: on the first stage, on all stages, or on separate accelerators."""
    parts: Parts = {}
    for part in workload.model.encoder:
        parts = joined(parts, _part_work(part, workload.encoding))
    parts = joined(parts, feature_parts(workload))
    where, pipeline = np.asarray(workload.ranks.vision), np.asarray(workload.ranks.pipeline)
    if every(where == VisionPlacement.first_stage):
        return Work(first=parts)

    def share(placement: VisionPlacement, times: Array = 1.0) -> Parts:
        return {name: passes * np.where(where == placement, times, 0.0) for name, passes in parts.items()}

    return Work(
        first=share(VisionPlacement.first_stage),
        all_layers=share(VisionPlacement.replicated, pipeline),
        apart=share(VisionPlacement.separate),
    )


def encoding_time(work: Work, workload: Workload) -> Array:
    """Seconds of one micro-batch on an encoder's own accelerators: the larger of compute and launch time, plus gaps; 0 for other
    placements."""
    launching, gaps = launch_time(workload.model.encoder, workload.encoding)
    apart = np.equal(workload.ranks.vision, VisionPlacement.separate)
    return np.where(apart, np.maximum(added(work.apart).total, launching) + gaps, 0.0)


def encoder_wait(each: Array, microbatches: Array, passes: Array) -> Array:
    """Seconds that the language model waits for an encoder on its own accelerators, which runs one micro-batch ahead.

    wait = e + max(0, m e - t)        e encoding time per micro-batch, m micro-batches, t the pipeline's passes including host overhead

    >>> float(encoder_wait(1.0, 4, 3.0))    # four micro-batches of 1 s ahead of passes of 3 s
    2.0
    """
    return each + np.maximum(microbatches * each - passes, 0.0)


def _with_stage_work(work: Work, found: Parts, *, first: bool) -> Work:
    """``found`` added to the first or the last stage."""
    if first:
        return replace(work, first=joined(work.first, found))
    return replace(work, last=joined(work.last, found))


def _scaled(parts: Parts, factor: Array) -> Parts:
    """The passes of every kind multiplied by ``factor``."""
    return {name: passes * factor for name, passes in parts.items()}


def joined(one: Parts, other: Parts) -> Parts:
    """The sum of both by kind, s."""
    return {name: one.get(name, Passes()) + other.get(name, Passes()) for name in {**one, **other}}


def _layer_parts(stack: Stack, workload: Workload) -> Parts:
    """Work of one layer for one micro-batch by kind: compute, communication, recomputation, offloading."""
    parts = layer_compute(stack, workload)
    gemms, attention = parts[GEMMS], parts[ATTENTION]
    parts[TENSOR] = tensor_passes(stack, workload, gemms)
    parts[CONTEXT] = context_passes(stack, workload, attention)
    parts[EXPERT] = expert_passes(stack, workload)
    if stack.trainable is not Trainable.FROZEN:
        parts[RECOMPUTE] = Passes(0.0, repeated(stack, workload, parts))
    weights = layer_weights(stack, workload.ranks, trained=True)
    parts[OTHER] += Passes(0.0, 0.0, accumulation_time(weights, workload))
    parts[DATA] = sharded_passes(stack, workload, added(parts))
    swapped = parameters_time(stack, workload, added(parts))
    parts[OFFLOAD] = Passes(0.0, activations_time(stack, workload, added(parts).total)) + swapped
    return parts


def _end_parts(part: Ends, workload: Workload) -> Parts:
    """Work of an end (embedding, head, loss) for one micro-batch by kind, including ZeRO-3's copies and gradient accumulation."""
    parts = ends_compute(part, workload)
    if some(part.compared):
        parts = joined(parts, contrast_parts(part, workload))
    weights = end_weights(part, workload.ranks, trained=True)
    parts[DATA] = Passes(gather_copies(end_weights(part, workload.ranks, trained=False), weights, workload))
    parts[OTHER] += Passes(0.0, blocks_time(part, workload), accumulation_time(weights, workload))
    return parts


def p2p_time(workload: Workload, layer: Array) -> Array:
    """Exposed seconds of P2P communication between stages per micro-batch: activations forward and gradients back, 2 v messages.

        t = waits + exposed_time(2 v P2P(M), behind ``layer``),    M = e b s h / c bytes, or e b s h / (c t) if split

    ``layer``  s of one layer, including CPU overhead, behind which messages can be hidden. e bytes per element.

    Messages are split over tensor ranks if the stack does so (Narayanan et al. 2021, section 4.1). If the stack has an additional wait per
    message between nodes (``send_wait``), it is paid in both directions at each boundary of a stage (an inner stage has two), and again at
    every boundary while the pipeline fills and drains.

        waits = 2 w (min(p - 1, 2) + (p - 1) / m)        w s, p stages, m micro-batches; 0 inside a node
    """
    ranks, network = workload.ranks, workload.software.network
    stream = next((stack for stack in reversed(workload.model.stacks)), None)
    tokens = stream.tokens if stream is not None else 0
    split = ranks.tensor if network.sends == "sharded" else 1
    message = (
        np.multiply(tokens, ranks.microbatch)
        * workload.model.hidden
        * workload.precision.element
        / np.multiply(ranks.context, split)
    )
    sent = 2 * np.multiply(ranks.interleave, point_to_point_time(message, ranks.stage_group, workload.cluster))
    borders = np.where(np.greater(ranks.stage_group.domains(workload.cluster), 1), np.subtract(ranks.pipeline, 1), 0)
    waits = 2 * network.send_wait * (np.minimum(borders, 2) + np.divide(borders, ranks.microbatches))
    exposed = workload.software.exposed
    alone = exposed.pipeline if exposed.one_chunk is None else exposed.one_chunk
    return waits + exposed_time(sent, layer, np.where(np.greater(ranks.interleave, 1), exposed.pipeline, alone))
