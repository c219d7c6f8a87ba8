"""What a step does with weights and gradients: gathers and sums of ZeRO, accumulation, the optimiser's update."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gpuhours.architecture.operators import Ends, Model, Split, Stack, Trainable
from gpuhours.hardware.profiles import Cluster
from gpuhours.inputs.arrays import Array
from gpuhours.kernels.collectives import Group, all_gather_time, all_reduce_time, reduce_scatter_time
from gpuhours.kernels.gemm import memory_time
from gpuhours.layout.layout import Layout, Sharding, VisionPlacement
from gpuhours.layout.ranks import Ranks, has_experts, local_parameters
from gpuhours.step.communication import Site
from gpuhours.step.offload import host_update_time
from gpuhours.step.schedule import Passes, left_over

DATA = "data communication"
BACKWARD = 2 / 3
"""Share of a pass that its backward half takes, by FLOPs. A fixed share, so that a faster card never hides less of the whole."""


@dataclass(frozen=True, eq=False)
class Weights:
    """Parameters on one rank: ``dense`` of every kind, ``experts`` apart since other ranks share them."""

    dense: Array
    experts: Array

    @property
    def all(self) -> Array:
        """Both."""
        return self.dense + self.experts

    def __add__(self, other: Weights) -> Weights:
        return Weights(self.dense + other.dense, self.experts + other.experts)

    def __mul__(self, factor: Array) -> Weights:
        return Weights(self.dense * factor, self.experts * factor)


NOTHING = Weights(0.0, 0.0)


def layer_weights(stack: Stack, ranks: Ranks, *, trained: bool) -> Weights:
    """One layer's parameters on a rank: all that are held, or those that are trained."""
    adapters = sum((local_parameters(linear, ranks) for linear in stack.adapters), start=0.0)
    if trained and stack.trainable is not Trainable.FULL:
        return Weights(adapters, 0.0)
    dense: Array = adapters + sum(
        (np.asarray(operator.parameters, float) for operator in stack.block.elementwise), start=0.0
    )
    experts: Array = 0.0
    for linear in stack.block.linears:
        if has_experts(linear):
            experts = experts + local_parameters(linear, ranks)
        else:
            dense = dense + local_parameters(linear, ranks)
    return Weights(dense, experts)


def end_weights(part: Ends, ranks: Ranks, *, trained: bool) -> Weights:
    """Tables and products of one end on a rank; a tied head on the same stage is the embedding."""
    if trained and part.trainable is not Trainable.FULL:
        return NOTHING
    tables = np.divide(part.tables, ranks.tensor if part.split is Split.VOCABULARY else 1)
    products = sum((local_parameters(linear, ranks) for linear in part.linears), start=0.0)
    held = np.equal(ranks.pipeline, 1) if part.tied else False
    return Weights(tables + np.where(held, 0.0, products), 0.0)


def stage_weights(model: Model, ranks: Ranks, *, trained: bool) -> Weights:
    """The fullest pipeline stage: its share of the layers, and the larger end (both where there is one stage).

    An encoder in front belongs to the first end where it stands there, to every stage where it is replicated."""
    layers, first, last = encoder_weights(model, ranks, VisionPlacement.replicated, trained=trained), NOTHING, NOTHING
    first += encoder_weights(model, ranks, VisionPlacement.first_stage, trained=trained)
    for part in model.parts[len(model.encoder) :]:
        if isinstance(part, Stack):
            layers += layer_weights(part, ranks, trained=trained) * np.divide(part.layers, ranks.pipeline)
        elif part.first:
            first += end_weights(part, ranks, trained=trained)
        else:
            last += end_weights(part, ranks, trained=trained)
    ends = np.where(np.equal(ranks.pipeline, 1), first.dense + last.dense, np.maximum(first.dense, last.dense))
    return layers + Weights(ends, 0.0)


def encoder_weights(model: Model, ranks: Ranks, placement: VisionPlacement, *, trained: bool) -> Weights:
    """A vision encoder's parameters on a rank that holds it, where it stands as ``placement`` says; else none."""
    if not model.encoder:
        return NOTHING
    own, total = ranks.encoding, NOTHING
    for part in model.encoder:
        if isinstance(part, Stack):
            total += layer_weights(part, own, trained=trained) * part.layers
        else:
            total += end_weights(part, own, trained=trained)
    return total * np.where(np.equal(ranks.vision, placement), 1.0, 0.0)


def sharded_passes(stack: Stack, site: Site, layout: Layout, compute: Passes) -> Passes:
    """ZeRO-3 and FSDP: gather a layer's weights before each pass, scatter the sums of its gradients after the last.

        forward   all-gather 2 P          backward  all-gather 2 P, reduce-scatter of the gradients

    P parameters of the layer on a rank. Prefetched beside the layer before; what that costs its products is ``exposed.shard``
    (measured: products slow down 1.1 to 1.35 times), what finds no room is felt whole. ZeRO-2 only scatters.
    """
    software, ranks = site.machine.software, site.ranks
    sharding = sharding_between_passes(layout, ranks)
    held, trained = layer_weights(stack, ranks, trained=False), layer_weights(stack, ranks, trained=True)
    gather = shard_time(all_gather_time, held, software.network.weight, site)
    scatter = shard_time(reduce_scatter_time, trained, software.network.scattered or software.network.gradient, site)
    exposed = software.exposed.shard
    back = np.where(sharding == Sharding.zero3, gather, 0.0) + scatter
    forward = np.where(sharding == Sharding.zero3, left_over(gather, compute.forward, exposed), 0.0)
    behind = compute.backward + compute.weight
    backward = np.where(sharding >= Sharding.zero2, left_over(back, behind, exposed), 0.0)
    return Passes(forward, 0.0 if stack.trainable is Trainable.FROZEN else backward)


def sharding_between_passes(layout: Layout, ranks: Ranks) -> Array:
    """Which sharding decides what is sent: behind a pipeline, ZeRO-2 and 3 send as ZeRO-1 does, once a step.

    Many micro-batches pass before a gradient is needed, so gathered weights and whole gradients stay until the last one
    (Llama Team 2024, section 3.3.1: no resharding after the forward pass; Liang et al. 2024, torchtitan: the same under pipelines).
    """
    sharding = np.asarray(layout.sharding)
    kept = np.greater(ranks.pipeline, 1) & (sharding >= Sharding.zero2)
    return np.where(kept, int(Sharding.zero1), sharding)


def shard_time(
    collective: Callable[[Array, Group, Cluster], Array], weights: Weights, size: float, site: Site
) -> Array:
    """``collective`` over the shards of dense weights and, in their own group, of experts; ``size`` bytes each."""
    ranks, cluster = site.ranks, site.cluster
    share = site.machine.software.network.zero3_share
    experts = Group(np.minimum(ranks.shards, ranks.expert_copies), ranks.expert_data_group.stride)
    dense = collective(size * weights.dense, ranks.shard_group, cluster)
    return (
        dense + np.where(np.greater(weights.experts, 0), collective(size * weights.experts, experts, cluster), 0.0)
    ) / share


def step_reduction(model: Model, site: Site, layout: Layout, beside: Array) -> Array:
    """Gradients summed and weights gathered once a step, as far as it is felt (ZeRO 0, 1 and 2, and between shard groups).

        none    all-reduce of the gradients                       zero1   reduce-scatter them, all-gather the weights
        zero2   all-gather the weights                            zero3   all-reduce between shard groups, where there are several

    ``beside``  s of a micro-batch's passes on the slowest stage, waiting for host and encoder included. Sums hide behind the last one's
    backward pass, taken as two thirds of it, gathers behind the next step's first forward pass. An encoder on accelerators of its own
    sums its gradients at the same time.
    """
    software, ranks = site.machine.software, site.ranks
    weights = stage_weights(model, ranks, trained=True)
    sums, gathers = sums_and_gathers(weights, site, layout)
    if model.encoder:
        apart = encoder_weights(model, ranks, VisionPlacement.separate, trained=True)
        own_sums, own_gathers = sums_and_gathers(apart, replace(site, ranks=ranks.encoding), layout)
        sums = np.maximum(sums + replica_reduction(model, site), own_sums)
        gathers = np.maximum(gathers, own_gathers)
    exposed, share = software.exposed.data, software.network.data_share
    one = software.network.shard_broadcast * software.network.weight * weights.all / 1e9 + software.network.shard_wait
    zero1 = sharding_between_passes(layout, ranks) == Sharding.zero1
    broadcast = np.where(zero1 & np.greater(ranks.shards, 1), one * ranks.shards, 0.0)
    felt = left_over(sums / share, BACKWARD * beside, exposed)
    return felt + left_over(gathers / share, (1 - BACKWARD) * beside, exposed) + broadcast


def sums_and_gathers(weights: Weights, site: Site, layout: Layout) -> tuple[Array, Array]:
    """Seconds of what ``step_reduction`` sums and gathers of ``weights``, were nothing beside it."""
    software, ranks = site.machine.software, site.ranks
    sharding = sharding_between_passes(layout, ranks)
    sums: Array = 0.0
    gathers: Array = 0.0
    for held, group in ((weights.dense, ranks.data_group), (weights.experts, ranks.expert_data_group)):
        gradients, stored = software.network.gradient * held, software.network.weight * held
        between = Group(
            np.maximum(np.floor_divide(group.size, ranks.shards), 1), np.multiply(group.stride, ranks.shards)
        )
        summed = np.where(
            sharding == Sharding.none,
            all_reduce_time(gradients, group, site.cluster),
            np.where(sharding == Sharding.zero1, reduce_scatter_time(gradients, group, site.cluster), 0.0),
        )
        across = all_reduce_time(np.divide(gradients, ranks.shards), between, site.cluster)
        summed = np.where(sharding == Sharding.zero3, across, summed)
        gathered = all_gather_time(stored, group, site.cluster)
        sums = sums + np.where(np.greater(held, 0), summed, 0.0)
        inside = (sharding == Sharding.zero1) | (sharding == Sharding.zero2)
        gathers = gathers + np.where(np.greater(held, 0) & inside, gathered, 0.0)
    return sums, gathers


def replica_reduction(model: Model, site: Site) -> Array:
    """All-reduce of a trained encoder's gradients over the tensor ranks and then the stages that each hold it whole (``replicated``)."""
    ranks, size = site.ranks, site.machine.software.network.gradient
    everywhere = size * encoder_weights(model, ranks, VisionPlacement.replicated, trained=True).all
    inside = all_reduce_time(everywhere, ranks.tensor_group, site.cluster)
    return inside + all_reduce_time(everywhere, ranks.stage_group, site.cluster)


def accumulation_time(weights: Weights, site: Site) -> Array:
    """Adding one micro-batch's weight gradients to the step's: bytes per parameter at copy speed.

    A rank alone may keep the first micro-batch's as they come, (m - 1) / m of the sums are left; more ranks copy them into buckets.
    """
    software, ranks = site.machine.software.accumulation, site.ranks
    wide = software.amp is not None and site.machine.precision.state == "amp"
    kept = np.divide(ranks.microbatches - 1.0, ranks.microbatches)
    share = 1.0 if software.first else np.where(np.less_equal(ranks.data_group.size, 1), kept, 1.0)
    moved = (software.amp if wide else software.bytes) * weights.all * share
    return np.where(np.greater(moved, 0), memory_time(moved, site.machine.accelerator), 0.0)


def blocks_time(part: Ends, layout: Layout, site: Site) -> Array:
    """What a loss by blocks of tokens costs: each block's gradient of the head's P weights, tied or not, is added to that of those before.

    (n - 1) 2 e P bytes at copy speed: n blocks, e bytes of an element. No product is repeated, since each block's gradients are taken as
    soon as its loss is known (Hsu et al. 2024, Liger Kernel, arXiv:2410.10989, section 3.2). Own measurements on H100, 8 and 32
    blocks of 128,256 words: -1 to 2 and 6 to 16 ms, where this gives 3 and 11. Left out: reading the weights for every block, which
    is all that a head without gradients pays.
    """
    if part.trainable is not Trainable.FULL:
        return 0.0
    weights = sum((local_parameters(linear, site.ranks) for linear in part.linears), start=np.asarray(0.0))
    tokens = np.divide(np.multiply(part.tokens, site.ranks.microbatch), site.ranks.context)
    again = np.where(np.greater(part.vocabulary, 0), site.machine.software.memory.blocks(layout, tokens) - 1.0, 0.0)
    moved = again * 2 * site.machine.precision.element * weights
    return np.where(np.greater(moved, 0), memory_time(moved, site.machine.accelerator), 0.0)


def optimiser_time(model: Model, site: Site, layout: Layout) -> Array:
    """Clipping and update of what the fullest rank owns: bytes per parameter at copy speed, or on the host.

    An encoder's own accelerators are among the ranks; ZeRO shares the parameters out.
    """
    ranks, software = site.ranks, site.machine.software
    sharded = np.greater_equal(layout.sharding, Sharding.zero1)
    weights = stage_weights(model, ranks, trained=True)
    experts = np.divide(weights.experts, np.where(sharded, np.minimum(ranks.shards, ranks.expert_copies), 1))
    owned = np.divide(weights.dense, np.where(sharded, ranks.shards, 1)) + experts
    rate = {"amp": software.optimiser.amp, "mixed": software.optimiser.mixed, "pure": software.optimiser.pure}
    if model.encoder:
        apart = encoder_weights(model, ranks, VisionPlacement.separate, trained=True).all
        owned = np.maximum(owned, np.divide(apart, np.where(sharded, ranks.encoding.shards, 1)))
    here = memory_time(rate[site.machine.precision.state] * owned, site.machine.accelerator)
    return np.where(layout.offload_optimizer, host_update_time(owned, site), here)
