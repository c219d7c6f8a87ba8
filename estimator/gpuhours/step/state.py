"""Time spent on weights and gradients in a step: ZeRO's gathers and reductions, gradient accumulation, the optimiser update."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from gpuhours.architecture.operators import Ends, Stack, Trainable
from gpuhours.hardware.clusters import Cluster
from gpuhours.hardware.optimisers import OPTIMISERS
from gpuhours.inputs.arrays import Array, some
from gpuhours.kernels.collectives import all_gather_time, all_reduce_time, reduce_scatter_time
from gpuhours.kernels.memory_bound import memory_time
from gpuhours.layout.choices import Sharding, VisionPlacement
from gpuhours.layout.groups import Group
from gpuhours.layout.ranks import local_parameters
from gpuhours.layout.weights import Weights, encoder_weights, layer_weights
from gpuhours.step.cpu_overhead import modules
from gpuhours.step.offload import host_update_time
from gpuhours.step.schedule import Passes, exposed_time
from gpuhours.workload import Workload

DATA = "data communication"
BACKWARD = 2 / 3
"""Share of the backward pass in forward plus backward FLOPs. It is a constant: if it varied between cards, a faster card could hide less
in total."""


def sharded_passes(stack: Stack, workload: Workload, compute: Passes) -> Passes:
    """Exposed seconds of ZeRO-3 (FSDP) and ZeRO-2 communication of one layer and micro-batch: all-gather of the layer's weights before each
    pass, reduce-scatter of its gradients after the backward pass.

        forward   all-gather 2 P          backward  all-gather 2 P, reduce-scatter of the gradients

    P parameters of the layer on a rank. Weights are prefetched during the previous layer, whose GEMMs this slows down by the share
    ``exposed.shard`` (measured: 1.1 to 1.35 times slower); the part longer than that layer is fully exposed. ZeRO-2 has only the
    reduce-scatter. A stack that waits for each gather (``gathering.each``) hides nothing.
    """
    software, ranks = workload.software, workload.ranks
    sharding = _sharding_between_passes(workload)
    if not some(sharding >= Sharding.zero2):
        return Passes()
    held, trained = layer_weights(stack, ranks, trained=False), layer_weights(stack, ranks, trained=True)
    scattered = software.network.scattered or software.network.gradient_in(workload.precision.dtype)

    def sent(cluster: Cluster) -> tuple[Array, Array]:
        gather = _shard_time(all_gather_time, held, software.network.weight, workload, cluster)
        scatter = _shard_time(reduce_scatter_time, trained, scattered, workload, cluster)
        return gather, np.where(sharding == Sharding.zero3, gather, 0.0) + scatter

    (there, back), (near, near_back) = sent(workload.cluster), sent(workload.cluster.one_domain)
    exposed = software.exposed.shard
    behind = compute.backward + compute.weight
    copies, parts = gather_copies(held, trained, workload), part_copies(stack, workload)
    ahead, after = exposed_time(there, compute.forward, exposed, near), exposed_time(back, behind, exposed, near_back)
    if parts is not None:
        ahead, after = there + parts, np.where(sharding == Sharding.zero3, back + 2 * parts, after)
    forward = np.where(sharding == Sharding.zero3, ahead, 0.0)
    backward = np.where(sharding >= Sharding.zero2, after, 0.0)
    return Passes(forward + copies, 0.0 if stack.trainable is Trainable.FROZEN else backward + copies)


def part_copies(stack: Stack, workload: Workload) -> Array | None:
    """Host seconds of copying every rank's part of a layer's w weight matrices on its own, in one gather or scatter over n shards; None for
    a stack whose collectives take one tensor.

        t = w n c        c ``gathering.each``; matrices fused as in Megatron-LM; biases and norms are small enough to stay on every rank

    Source: DeepSpeed's ZeRO-3 of 2021 (stage3.py: ``all_gather`` into a list of ``world_size`` tensors, matrix by matrix, and
    ``torch.cuda.synchronize`` after each; ``param_persistence_threshold`` of 1e5 elements) and PyTorch 1.8's ProcessGroupNCCL.cpp, which
    copies each tensor of the list. DeepSpeed gathers into one tensor since partitioned_param_coordinator.py (2022).
    """
    facts = workload.software.gathering
    if facts is None or facts.until is not None or not facts.each:
        return None
    return facts.each * len(stack.block.linears) * workload.ranks.shards


def gather_copies(held: Weights, trained: Weights, workload: Workload) -> Array:
    """Seconds of the copies before and after one all-gather of P weights over n shards; 0 if the stack has no figures for them.

        t = (s P (e_s + e) / n + w 2 P e) / copy speed

    e_s bytes of a stored weight, e of a gathered one (trainable weights in the GEMMs' format, frozen ones as stored), s and w the
    ``shares`` and ``whole`` of the stack's ``gathering``. Source: own measurements on H200, FSDP2's ``foreach_copy`` and
    ``split_with_sizes_copy`` (38.9 and 15.5 ms in two gathers of 7.6e9 parameters over two ranks; this gives 34.7 and 15.5).
    """
    facts, ranks, precision = workload.software.gathering, workload.ranks, workload.precision
    if facts is None:
        return 0.0
    frozen, sent = held.all - trained.all, workload.software.network.weight
    stored = trained.all * precision.weights + frozen * precision.frozen
    gathered = trained.all * sent + frozen * precision.frozen
    moved = facts.shares * (stored + gathered) / ranks.shards + facts.whole * 2 * gathered
    shared = np.greater(ranks.shards, 1) & (_sharding_between_passes(workload) == Sharding.zero3)
    return np.where(shared, memory_time(moved, workload.accelerator), 0.0)


def _sharding_between_passes(workload: Workload) -> Array:
    """The ZeRO level that determines communication: with a pipeline, ZeRO-2 and 3 communicate like ZeRO-1, once per step.

    A pipeline keeps gathered weights and unsharded gradients until the last of its many micro-batches (Llama Team 2024, section 3.3.1: no
    resharding after the forward pass; Liang et al. 2024, torchtitan: the same with pipelines).
    """
    sharding = np.asarray(workload.layout.sharding)
    kept = np.greater(workload.ranks.pipeline, 1) & (sharding >= Sharding.zero2)
    return np.where(kept, int(Sharding.zero1), sharding)


def _shard_time(
    collective: Callable[[Array, Group, Cluster], Array],
    weights: Weights,
    size: float,
    workload: Workload,
    cluster: Cluster,
) -> Array:
    """Seconds of ``collective`` over the shards of dense weights plus, in a group of their own, of experts; ``size`` bytes per weight."""
    ranks, share = workload.ranks, workload.software.network.zero3_share
    experts = Group(np.minimum(ranks.shards, ranks.expert_copies), ranks.expert_data_group.stride)
    dense = collective(size * weights.dense, ranks.shard_group, cluster)
    if not some(weights.experts):
        return dense / share
    return (
        dense + np.where(np.greater(weights.experts, 0), collective(size * weights.experts, experts, cluster), 0.0)
    ) / share


def step_reduction(workload: Workload, beside: Array) -> Array:
    """Exposed seconds of gradient reduction and weight gathering once per step (ZeRO 0, 1 and 2, and between shard groups).

        none    all-reduce of the gradients                       zero1   reduce-scatter them, all-gather the weights
        zero2   all-gather the weights                            zero3   all-reduce between shard groups, if there are several

    ``beside``  s of a micro-batch's passes on the slowest stage, including waits for host and encoder. Reductions overlap with the last
    micro-batch's backward pass, two thirds of ``beside`` (those between shard groups layer by layer, slowing compute by their bytes over
    the scale-up links); gathers overlap with the next step's first forward pass. An encoder on its own accelerators reduces its gradients
    concurrently.
    """
    software, ranks = workload.software, workload.ranks
    weights = workload.trained_weights
    sums, gathers = _reductions_and_gathers(weights, workload)
    if workload.model.encoder:
        apart = encoder_weights(workload.model, ranks, VisionPlacement.separate, trained=True)
        own_sums, own_gathers = _reductions_and_gathers(apart, workload.encoding)
        sums = np.maximum(sums + _replica_reduction(workload), own_sums)
        gathers = np.maximum(gathers, own_gathers)
    sharding, share = _sharding_between_passes(workload), software.network.data_share
    exposed: Array = software.exposed.data
    near = sums
    if software.exposed.replicas is not None:
        exposed = np.where(sharding == Sharding.none, software.exposed.replicas, exposed)
    if some(sharding == Sharding.zero3):
        inside = replace(workload, cluster=workload.cluster.one_domain)
        near = np.where(sharding == Sharding.zero3, _reductions_and_gathers(weights, inside)[0], sums)
    one = software.network.shard_broadcast * software.network.weight * weights.all / 1e9 + software.network.shard_wait
    broadcast = np.where((sharding == Sharding.zero1) & np.greater(ranks.shards, 1), one * ranks.shards, 0.0)
    waited = exposed_time(sums / share, BACKWARD * beside, exposed, near / share)
    return waited + exposed_time(gathers / share, (1 - BACKWARD) * beside, exposed) + broadcast


def _reductions_and_gathers(weights: Weights, workload: Workload) -> tuple[Array, Array]:
    """(s of reductions, s of gathers) of ``step_reduction`` for ``weights``, before overlap."""
    software, ranks = workload.software, workload.ranks
    sharding = _sharding_between_passes(workload)
    sums: Array = 0.0
    gathers: Array = 0.0
    for held, group in ((weights.dense, ranks.data_group), (weights.experts, ranks.expert_data_group)):
        if not some(held):
            continue
        gradients = software.network.gradient_in(workload.precision.dtype) * held
        stored = software.network.weight * held
        between = Group(
            np.maximum(np.floor_divide(group.size, ranks.shards), 1), np.multiply(group.stride, ranks.shards)
        )
        summed: Array = 0.0
        if some(first := sharding == Sharding.zero1):
            summed = np.where(first, reduce_scatter_time(gradients, group, workload.cluster), 0.0)
        if some(whole := sharding == Sharding.none):
            summed = np.where(whole, all_reduce_time(gradients, group, workload.cluster), summed)
        if some(dealt := sharding == Sharding.zero3):
            across = all_reduce_time(np.divide(gradients, ranks.shards), between, workload.cluster)
            summed = np.where(dealt, across, summed)
        sums = sums + np.where(np.greater(held, 0), summed, 0.0)
        if some(inside := first | (sharding == Sharding.zero2)):
            gathered = all_gather_time(stored, group, workload.cluster)
            gathers = gathers + np.where(np.greater(held, 0) & inside, gathered, 0.0)
    return sums, gathers


def _replica_reduction(workload: Workload) -> Array:
    """Seconds of the all-reduces of a trained encoder's gradients over tensor ranks and then over stages, which each have a whole copy
    (``replicated``)."""
    ranks, size = workload.ranks, workload.software.network.gradient_in(workload.precision.dtype)
    everywhere = size * encoder_weights(workload.model, ranks, VisionPlacement.replicated, trained=True).all
    inside = all_reduce_time(everywhere, ranks.tensor_group, workload.cluster)
    return inside + all_reduce_time(everywhere, ranks.stage_group, workload.cluster)


def accumulation_time(weights: Weights, workload: Workload) -> Array:
    """Seconds of gradient accumulation for one micro-batch: the profile's bytes per parameter at copy speed.

        b P / copy speed;   on a single rank that keeps the first gradients, of (m - 1) / m of these bytes

    A single rank may keep the first micro-batch's gradients as they are, which leaves (m - 1) / m of the additions; several ranks copy
    them into buckets.
    """
    software, ranks = workload.software.accumulation, workload.ranks
    kept = np.divide(ranks.microbatches - 1.0, ranks.microbatches)
    share = 1.0 if software.first else np.where(np.less_equal(ranks.data_group.size, 1), kept, 1.0)
    each = software.bytes
    if software.amp is not None and workload.precision.state == "amp":
        each = software.amp
    moved = each * weights.all * share
    return np.where(np.greater(moved, 0), memory_time(moved, workload.accelerator), 0.0)


def blocks_time(part: Ends, workload: Workload) -> Array:
    """Additional seconds per micro-batch if the loss is computed in blocks of tokens: each block's gradient of the head's P weights, tied
    or not, is added to that of the previous blocks.

        (n - 1) 2 e P / copy speed        n blocks, e bytes per element

    No GEMM is recomputed, since each block's gradients are computed
    directly after its loss (Hsu et al. 2024, Liger Kernel, arXiv:2410.10989, section 3.2). Own measurements on H100 with a vocabulary of
    128,256: -1 to 2 ms with 8 blocks and 6 to 16 ms with 32; this gives 3 and 11. Reading the weights for every block is counted in the
    GEMMs' time (``read_again``).
    """
    if part.trainable is not Trainable.FULL:
        return 0.0
    weights = sum((local_parameters(linear, workload.ranks) for linear in part.linears), start=np.asarray(0.0))
    tokens = np.divide(np.multiply(part.tokens, workload.ranks.microbatch), workload.ranks.context)
    again = np.where(np.greater(part.vocabulary, 0), workload.loss_blocks(tokens) - 1.0, 0.0)
    moved = again * 2 * workload.precision.element * weights
    return np.where(np.greater(moved, 0), memory_time(moved, workload.accelerator), 0.0)


def optimiser_time(workload: Workload) -> Array:
    """Seconds of gradient clipping and the optimiser update on the fullest rank, once per step: bytes per parameter that the rank owns at
    copy speed, or the update on the host.

        max( b (P_d / n + P_e / n_e) / copy speed,  s_t tensors ) + Newton-Schulz        1 shard each without ZeRO

    The stack's bytes are those of fused AdamW; another optimiser's traffic relative to AdamW's is in ``OPTIMISERS``, unless the stack has a
    figure of its own. ZeRO shards the dense parameters P_d over n ranks and those of experts P_e over n_e; s_t is the least time per tensor
    of an optimiser that updates them one by one. The fullest rank may be one of an encoder's own accelerators.
    """
    ranks, software = workload.ranks, workload.software
    sharded = np.greater_equal(workload.layout.sharding, Sharding.zero1)
    weights = workload.trained_weights
    experts = np.divide(weights.experts, np.where(sharded, np.minimum(ranks.shards, ranks.expert_copies), 1))
    owned = np.divide(weights.dense, np.where(sharded, ranks.shards, 1)) + experts
    rate = {"amp": software.optimiser.amp, "mixed": software.optimiser.mixed, "pure": software.optimiser.pure}
    if workload.model.encoder:
        apart = encoder_weights(workload.model, ranks, VisionPlacement.separate, trained=True).all
        owned = np.maximum(owned, np.divide(apart, np.where(sharded, ranks.encoding.shards, 1)))
    update = OPTIMISERS[workload.precision.optimizer]
    name = workload.precision.optimizer
    each = software.optimiser.moved.get(name, update.traffic * rate[workload.precision.state])
    seconds = software.optimiser.seconds.get(name)
    here = memory_time(each * owned, workload.accelerator) if seconds is None else seconds * owned
    if name in software.optimiser.tensors:
        here = np.maximum(here, software.optimiser.tensors[name] * trained_tensors(workload))
    if update.iterations:
        here = here + orthogonalisation_time(workload, update.iterations)
    return np.where(workload.layout.offload_optimizer, host_update_time(owned, workload), here)


def trained_tensors(workload: Workload) -> Array:
    """Number of trained weight tensors of the layers on a rank, for optimisers that update them one by one. The ends' tensors are left out.

    sum over fully trained stacks of L M / p        L layers of M modules with weights (``step.cpu_overhead.modules``), p stages
    """
    layers = (one.layers * modules(one, workload) for one in workload.model.stacks if one.trainable is Trainable.FULL)
    return np.divide(sum(layers, start=np.asarray(0.0)), workload.ranks.pipeline)


def orthogonalisation_time(workload: Workload, iterations: int) -> Array:
    """Seconds of Newton-Schulz iterations on every trained matrix [m, n] of the layers on a rank, m the smaller side.

        I sum over matrices of (4 m^2 n + 2 m^3) / (t n_z) / (rho P)

    I iterations, each with the GEMMs X X', its square, and one with X. The matrices are distributed over the t tensor ranks and
    n_z ZeRO shards; rho P is the FLOP/s of large GEMMs. Sources: Jordan et al. 2024, Muon; Liu et al. 2025, arXiv:2502.16982, section 2.3.
    """
    ranks, chip = workload.ranks, workload.accelerator
    flops: Array = 0.0
    for stack in workload.model.stacks:
        if stack.trainable is Trainable.FULL:
            sides = [
                (np.minimum(one.inputs, one.outputs), np.maximum(one.inputs, one.outputs), one.experts)
                for one in stack.block.linears
            ]
            each = sum((count * (4 * m * m * n + 2 * m**3) for m, n, count in sides), start=np.asarray(0.0))
            flops = flops + iterations * each * stack.layers / ranks.pipeline
    sharded = np.greater_equal(workload.layout.sharding, Sharding.zero1)
    share = np.multiply(ranks.tensor, np.where(sharded, ranks.shards, 1))
    return flops / share / (chip.gemm_constants.ceiling * chip.peak_for(workload.wide))
