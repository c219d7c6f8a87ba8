"""The step's time: layers on stages, stages on a schedule, the ends of the step around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gpuhours.architecture.operators import Ends, Model, Stack, Trainable
from gpuhours.flops import hardware_flops, model_flops
from gpuhours.hardware.libraries import libraries_of
from gpuhours.hardware.number_formats import Precision
from gpuhours.hardware.profiles import Cluster
from gpuhours.inputs.arrays import Array
from gpuhours.kernels.collectives import point_to_point_time
from gpuhours.layout.layout import Layout, VisionPlacement
from gpuhours.layout.ranks import ranks_of
from gpuhours.layout.validity import violations
from gpuhours.software.profile import Software
from gpuhours.step.breakdown import PARTS, Step, where_violated
from gpuhours.step.communication import CONTEXT, EXPERT, SENDS, TENSOR, Site, expert_passes, tensor_passes
from gpuhours.step.compute import ATTENTION, OTHER, PRODUCTS, Machine, ends_compute, layer_compute
from gpuhours.step.context import context_passes
from gpuhours.step.contrast import contrast_parts
from gpuhours.step.features import feature_parts
from gpuhours.step.host import host_time, launch_time
from gpuhours.step.offload import activations_time
from gpuhours.step.recompute import repeated
from gpuhours.step.schedule import Passes, left_over, pipeline_time, stages
from gpuhours.step.state import (
    DATA,
    accumulation_time,
    blocks_time,
    end_weights,
    layer_weights,
    optimiser_time,
    sharded_passes,
    step_reduction,
)

RECOMPUTE, BUBBLE, OPTIMISER, HOST = "recompute", "pipeline bubble", "optimiser", "host"
Parts = dict[str, Passes]


@dataclass(frozen=True, eq=False)
class Work:
    """One micro-batch's work by kind: the layers that the pipeline shares out, and what only an end stage does."""

    layers: Array = 0
    """How many layers are shared out."""
    all_layers: Parts = field(default_factory=dict)
    """Of all of them together."""
    first: Parts = field(default_factory=dict)
    last: Parts = field(default_factory=dict)
    apart: Parts = field(default_factory=dict)
    """On accelerators of its own."""


def step(
    model: Model,
    global_batch: Array,
    layout: Layout,
    cluster: Cluster,
    software: Software,
    precision: Precision,
) -> Step:
    """Predict one optimiser step. Any number may be an array with an axis of its own; what does not depend on it keeps its shape.

        time = schedule(stages, micro-batches) + sums of gradients + optimiser + waiting

    A layout that cannot run is marked (``valid``), not raised.
    """
    ranks = ranks_of(layout, cluster, global_batch, model)
    site = Site(Machine(libraries_of(software.libraries).on(cluster.accelerator), software, precision), cluster, ranks)
    work = shared_work(model, layout, site)
    layer = added(work.all_layers) * (1 / np.asarray(work.layers))
    line = stages(layer, work.layers, added(work.first), added(work.last), ranks.pipeline, ranks.interleave)
    sends = send_time(model, site, layer.total)
    passes = pipeline_time(line, ranks.microbatches, ranks.pipeline, ranks.interleave, layout.schedule)
    mean = line.together.total / np.asarray(ranks.pipeline)
    host = host_time(model, layout, site, line.slowest)
    encoding = encoding_time(work, model, layout, site)
    parts = {name: np.multiply(0.0, mean) for name in PARTS}
    for group in (work.all_layers, work.first, work.last):
        for name, one in group.items():
            parts[name] = parts[name] + ranks.microbatches * one.total / np.asarray(ranks.pipeline)
    wait = encoder_wait(encoding, ranks.microbatches, passes + ranks.microbatches * host)
    parts[BUBBLE] = np.maximum(passes - ranks.microbatches * mean, 0.0) + wait
    parts[SENDS] = parts[SENDS] + sends * ranks.microbatches
    parts[HOST] = parts[HOST] + host * ranks.microbatches
    parts[DATA] = parts[DATA] + step_reduction(model, site, layout, np.maximum(line.slowest + host, encoding))
    parts[OPTIMISER] = optimiser_time(model, site, layout)
    time = sum(parts.values())
    waiting = waiting_share(cluster, software) * time
    parts[DATA] = parts[DATA] + waiting
    reasons = violations(model, global_batch, layout, cluster, ranks)
    return Step(
        time=time + waiting,
        parts=parts,
        model_flops=model_flops(model, global_batch),
        hardware_flops=hardware_flops(model, global_batch, layout.recompute, covered(model, layout)),
        peak=cluster.accelerator.peak_for(precision.product) * np.asarray(cluster.gpus),
        valid=np.logical_not(where_violated(reasons)),
        reasons=reasons,
    )


def covered(model: Model, layout: Layout) -> Array:
    """Share of the layers that full recompute covers."""
    if layout.recompute_layers is None:
        return 1.0
    layers = sum(stack.layers for stack in model.stacks)
    return np.minimum(np.divide(np.multiply(layout.recompute_layers, layout.pipeline), layers), 1.0)


def waiting_share(cluster: Cluster, software: Software) -> Array:
    """Share of a step that is waited for the slowest: w = stragglers x log2(nodes), 0 on one node."""
    return software.network.stragglers * np.maximum(np.log2(np.divide(cluster.gpus, cluster.gpus_per_node)), 0.0)


def added(parts: Mapping[str, Passes]) -> Passes:
    """All kinds together."""
    total = Passes()
    for passes in parts.values():
        total += passes
    return total


def shared_work(model: Model, layout: Layout, site: Site) -> Work:
    """Everything one micro-batch meets: the stacks on the pipeline's own stream are shared out over its stages, an encoder in front
    stands where ``layout.vision`` says, any other stack on the last stage."""
    encoder = model.encoder
    work = encoder_work(encoder, layout, site) if encoder else Work()
    seen = False
    for part in model.parts[len(encoder) :]:
        found = part_work(part, layout, site)
        if isinstance(part, Ends):
            work = placed(work, found, first=part.first)
        elif model.on_stream(part):
            seen = True
            work = replace(work, layers=work.layers + part.layers, all_layers=joined(work.all_layers, found))
        else:
            work = placed(work, found, first=not seen)
    return work if seen else Work(1, joined(work.first, work.last))


def part_work(part: Stack | Ends, layout: Layout, site: Site) -> Parts:
    """One micro-batch of all layers of a stack, or of an end."""
    if isinstance(part, Ends):
        return end_parts(part, layout, site)
    return {name: passes * part.layers for name, passes in layer_parts(part, layout, site).items()}


def encoder_work(encoder: Sequence[Stack | Ends], layout: Layout, site: Site) -> Work:
    """An encoder's part of a micro-batch: on the first stage, on all of them alike, or apart."""
    own = replace(site, ranks=site.ranks.encoding)
    found: Parts = {}
    for part in encoder:
        found = joined(found, part_work(part, layout, own))
    found = joined(found, feature_parts(encoder, site))
    where, pipeline = np.asarray(site.ranks.vision), np.asarray(site.ranks.pipeline)
    if np.all(where == VisionPlacement.first_stage):
        return Work(first=found)

    def share(placement: VisionPlacement, times: Array = 1.0) -> Parts:
        return {name: passes * np.where(where == placement, times, 0.0) for name, passes in found.items()}

    return Work(
        first=share(VisionPlacement.first_stage),
        all_layers=share(VisionPlacement.replicated, pipeline),
        apart=share(VisionPlacement.separate),
    )


def encoding_time(work: Work, model: Model, layout: Layout, site: Site) -> Array:
    """One micro-batch on an encoder's own accelerators: its computing or the host's launching, whichever takes longer, and gaps."""
    if not work.apart:
        return 0.0
    own = replace(site, ranks=site.ranks.encoding)
    launching, gaps = launch_time(model.encoder, layout, own)
    apart = np.equal(site.ranks.vision, VisionPlacement.separate)
    return np.where(apart, np.maximum(added(work.apart).total, launching) + gaps, 0.0)


def encoder_wait(each: Array, microbatches: Array, passes: Array) -> Array:
    """Time that the language model waits for an encoder on accelerators of its own, which works a micro-batch ahead.

    wait = e + max(0, m e - t)        e encoding of a micro-batch, m micro-batches, t the pipeline's passes over all, as the host lets it
    """
    return each + np.maximum(microbatches * each - passes, 0.0)


def placed(work: Work, found: Parts, *, first: bool) -> Work:
    """``found`` added to the first or the last stage."""
    if first:
        return replace(work, first=joined(work.first, found))
    return replace(work, last=joined(work.last, found))


def joined(one: Parts, other: Parts) -> Parts:
    """Both, kind by kind."""
    return {name: one.get(name, Passes()) + other.get(name, Passes()) for name in {**one, **other}}


def layer_parts(stack: Stack, layout: Layout, site: Site) -> Parts:
    """One layer on one micro-batch: computing, talking, computing again."""
    parts = layer_compute(stack, site.ranks, site.machine)
    products, attention = parts[PRODUCTS], parts[ATTENTION]
    parts[TENSOR] = tensor_passes(stack, site, products)
    parts[CONTEXT] = context_passes(stack, site, attention)
    parts[EXPERT] = expert_passes(stack, site)
    if stack.trainable is not Trainable.FROZEN:
        parts[RECOMPUTE] = Passes(0.0, repeated(stack, layout, site, parts))
    weights = layer_weights(stack, site.ranks, trained=True)
    parts[OTHER] += Passes(0.0, 0.0, accumulation_time(weights, site))
    parts[DATA] = sharded_passes(stack, site, layout, added(parts))
    parts[HOST] = Passes(0.0, activations_time(stack, layout, site, added(parts).total))
    return parts


def end_parts(part: Ends, layout: Layout, site: Site) -> Parts:
    """Embeddings, heads and losses on one micro-batch, with the tensor ranks' sum of the embedding or the head's input."""
    parts = ends_compute(part, site.ranks, site.machine)
    if np.any(part.compared):
        parts = joined(parts, contrast_parts(part, site))
    weights = end_weights(part, site.ranks, trained=True)
    parts[OTHER] += Passes(0.0, blocks_time(part, layout, site), accumulation_time(weights, site))
    return parts


def send_time(model: Model, site: Site, layer: Array) -> Array:
    """Activations to the next stage and gradients back, per micro-batch: 2 v messages of 2 b s h / c bytes, as far as they are felt.

    Split over tensor ranks where the stack does so (Narayanan et al. 2021, section 4.1).
    """
    ranks, network = site.ranks, site.machine.software.network
    stream = next((stack for stack in reversed(model.stacks)), None)
    tokens = stream.tokens if stream is not None else 0
    split = ranks.tensor if network.sends == "sharded" else 1
    message = (
        np.multiply(tokens, ranks.microbatch)
        * model.hidden
        * site.machine.precision.element
        / np.multiply(ranks.context, split)
    )
    sent = 2 * np.multiply(ranks.interleave, point_to_point_time(message, ranks.stage_group, site.cluster))
    exposed = site.machine.software.exposed
    alone = exposed.pipeline if exposed.one_chunk is None else exposed.one_chunk
    return left_over(sent, layer, np.where(np.greater(ranks.interleave, 1), exposed.pipeline, alone))
