"""The step's time: layers on stages, stages on a schedule, the ends of the step around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gpuhours.architecture.operators import Block, Ends, Model, Pointwise, Stack, Trainable
from gpuhours.collectives import Group, all_gather_time, point_to_point_time, reduce_scatter_time
from gpuhours.flops import hardware_flops, model_flops
from gpuhours.hardware import Cluster
from gpuhours.layout import Array, Layout, Recompute, Sharding, VisionPlacement
from gpuhours.precision import Precision
from gpuhours.schedule import Passes, left_over, pipeline_time, stages
from gpuhours.software import Software
from gpuhours.step.breakdown import PARTS, Step, where_violated
from gpuhours.step.communication import (
    CONTEXT,
    EXPERT,
    TENSOR,
    Site,
    expert_passes,
    tensor_passes,
)
from gpuhours.step.compute import ATTENTION, OTHER, PRODUCTS, Machine, ends_compute, layer_compute
from gpuhours.step.context import context_passes, shared_out_whole
from gpuhours.step.contrast import contrast_parts
from gpuhours.step.offload import activations_time
from gpuhours.step.ranks import Ranks, has_experts, ranks_of
from gpuhours.step.recompute import repeated
from gpuhours.step.state import (
    DATA,
    accumulation_time,
    end_weights,
    layer_weights,
    optimiser_time,
    sharded_passes,
    step_reduction,
)
from gpuhours.step.validity import violations

RECOMPUTE, SENDS, BUBBLE, OPTIMISER, HOST = (
    "recompute",
    "pipeline communication",
    "pipeline bubble",
    "optimiser",
    "host",
)
Parts = dict[str, Passes]
LLAMA_LAUNCHES = 14
"""Of a block with four products, attention, two norms, two residuals, rotary positions and SwiGLU."""


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
    site = Site(Machine(software.libraries.on(cluster.accelerator), software, precision), cluster, ranks)
    work = shared_work(model, layout, site)
    layer = added(work.all_layers) * (1 / np.asarray(work.layers))
    line = stages(layer, work.layers, added(work.first), added(work.last), ranks.pipeline, ranks.interleave)
    sends = send_time(model, site, layer.total)
    passes = pipeline_time(line, ranks.microbatches, ranks.pipeline, ranks.interleave, layout.schedule)
    mean = line.together.total / np.asarray(ranks.pipeline)
    host = host_time(model, layout, site, mean)
    parts = {name: np.multiply(0.0, mean) for name in PARTS}
    for group in (work.all_layers, work.first, work.last):
        for name, one in group.items():
            parts[name] = parts[name] + ranks.microbatches * one.total / np.asarray(ranks.pipeline)
    parts[BUBBLE] = np.maximum(passes - ranks.microbatches * mean, 0.0) + encoder_wait(work, ranks, passes)
    parts[SENDS] = sends * ranks.microbatches
    parts[HOST] = parts[HOST] + host * ranks.microbatches
    parts[DATA] = parts[DATA] + step_reduction(model, site, layout, mean + host)
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


def feature_parts(encoder: Sequence[Stack | Ends], site: Site) -> Parts:
    """Features of a micro-batch on their way from the ranks that encoded its frames to those that read them; nothing hides it.

        first stage   all-gather over the ranks that share a sequence (frames are dealt out, then tokens)
        replicated    all-gather over all ranks that share a sample
        separate      sent by the encoder's accelerators, 1 / t of them to each tensor rank

    M = T b h e bytes, T tokens of a sample that leave the encoder, b samples, h its width, e bytes of an element; gradients the same
    way back where the encoder trains. Source: LongVILA, arXiv:2408.10188, section 3.3 (two-stage sharding).
    """
    ranks, stack = site.ranks, [part for part in encoder if isinstance(part, Stack)][-1]
    message = np.multiply(stack.tokens, ranks.microbatch) * stack.block.hidden * site.machine.precision.element
    trained = stack.trainable is not Trainable.FROZEN

    def dealt(group: Group, where: Array) -> Passes:
        there = all_gather_time(message, group, site.cluster)
        back = reduce_scatter_time(message, group, site.cluster) if trained else 0.0
        return Passes(there, back) * np.where(where, 1.0, 0.0)

    placement = np.asarray(ranks.vision)
    sharing = Group(ranks.context, ranks.tensor)
    whole = Group(np.multiply(np.multiply(ranks.tensor, ranks.context), ranks.pipeline), 1)
    sent = point_to_point_time(message / ranks.tensor, Group(2, site.cluster.gpus_per_domain), site.cluster)
    apart = Passes(sent, sent if trained else 0.0) * np.where(placement == VisionPlacement.separate, 1.0, 0.0)
    return {
        CONTEXT: dealt(sharing, placement == VisionPlacement.first_stage),
        SENDS: dealt(whole, placement == VisionPlacement.replicated) + apart,
    }


def encoder_wait(work: Work, ranks: Ranks, passes: Array) -> Array:
    """Time that the language model waits for an encoder on accelerators of its own, which works a micro-batch ahead.

    wait = e + max(0, m e - t)        e encoding of a micro-batch, m micro-batches, t the pipeline's passes over all of them
    """
    each = added(work.apart).total
    return each + np.maximum(ranks.microbatches * each - passes, 0.0)


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
    parts[OTHER] += Passes(0.0, 0.0, accumulation_time(weights, site))
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


def host_time(model: Model, layout: Layout, site: Site, busy: Array) -> Array:
    """Waiting for the host, per micro-batch and stage: its time beyond the accelerator's, and gaps that come in any case.

    A layer whose sequence is shared is launched block by block (``sharing_time``). A frozen stack is launched forward only; a block of
    fewer operators than the measured one takes its share (``launches``).
    """
    host = site.machine.software.host
    again = np.where(np.asarray(layout.recompute) == Recompute.full, host.forward, 0.0)
    hooks = np.where(np.asarray(layout.sharding) == Sharding.zero3, host.shard, 0.0)
    dispatching = np.where(
        np.greater(site.ranks.expert, 1), site.machine.software.dispatch.host_time(site.cluster.accelerator.name), 0.0
    )
    unfused = site.machine.software.attention_kernel(site.machine.accelerator.generation) == "unfused"
    launching: Array = 0.0
    layers: Array = 0.0
    for stack in model.stacks:
        back = 0.0 if stack.trainable is Trainable.FROZEN else host.backward + again
        shared = sharing_time(stack, layout, site)
        launching = launching + stack.layers * (
            launches(stack.block, unfused=unfused) * (host.forward + back) + hooks + shared
        )
        if any(has_experts(linear) for linear in stack.block.linears):
            launching = launching + stack.layers * dispatching
        layers = layers + stack.layers
    launching = launching * (host.autocast if site.machine.precision.autocast else 1.0)
    return np.maximum(launching / site.ranks.pipeline - busy, 0.0) + layers * host.gap / site.ranks.pipeline


def sharing_time(stack: Stack, layout: Layout, site: Site) -> Array:
    """What the host launches for one layer whose sequence several ranks share, in each direction that is run.

    r x hop of a ring of r > 1 ranks  +  one exchange where u > 1 ranks exchange heads
    """
    facts, ranks = site.machine.software.context, site.ranks
    if all(shared_out_whole(stack, core) for core in stack.block.attention):
        return 0.0
    hops = np.where(np.greater(ranks.ring, 1), ranks.ring, 0.0)
    exchanges = np.where(np.greater(ranks.ulysses, 1), 1.0, 0.0)
    forward = hops * facts.hop.forward + exchanges * facts.exchange.forward
    if stack.trainable is Trainable.FROZEN:
        return forward
    again = np.where(np.asarray(layout.recompute) == Recompute.full, forward, 0.0)
    return forward + again + hops * facts.hop.backward + exchanges * facts.exchange.backward


def launches(block: Block, *, unfused: bool = False) -> float:
    """Operators a host launches for a block, as a share of the llama block that hosts were timed on.

        (products + attention cores + memory-bound operators, biases none, rotary as the four it is made of) / 14

    Unfused attention is six: two products, scale, softmax, mask or dropout, a copy. Checked on H200: ViT blocks take 0.70 of a llama
    block's host time without gradients, 0.77 and 0.68 forward and backward with.
    """
    weight = {Pointwise.BIAS: 0, Pointwise.ROTARY: 4}
    pointwise = sum(weight.get(operator.kind, 1) for operator in block.elementwise)
    return (len(block.linears) + len(block.attention) * (6 if unfused else 1) + pointwise) / LLAMA_LAUNCHES
