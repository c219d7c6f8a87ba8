"""Exposed communication time of a rank for one micro-batch of one layer: tensor and expert parallelism."""

from __future__ import annotations

import numpy as np

from gpuhours.architecture.operators import Role, Stack, Trainable
from gpuhours.hardware.clusters import Cluster
from gpuhours.inputs.arrays import Array
from gpuhours.kernels.collectives import (
    all_gather_time,
    all_reduce_time,
    all_to_all_time,
    reduce_scatter_time,
)
from gpuhours.kernels.memory_bound import memory_time
from gpuhours.layout.groups import Group
from gpuhours.layout.ranks import Ranks, has_experts
from gpuhours.step.schedule import Passes, exposed_time
from gpuhours.workload import Workload

TENSOR, CONTEXT, EXPERT = "tensor communication", "context communication", "expert communication"
P2P = "pipeline communication"


def tensor_passes(stack: Stack, workload: Workload, gemms: Passes) -> Passes:
    """Exposed time in s of the tensor-parallel collectives of one layer and micro-batch, after attention and the MLP, forward and backward.

    Each is an all-reduce of 2 T h bytes or, with sequence parallelism, an all-gather and a reduce-scatter of the same size; T tokens on a
    rank, h hidden (Shoeybi et al. 2019; Korthikanti et al. 2022, section 4.2). Experts split over g ranks reduce the T a g / t tokens sent
    to them (a active experts); the exposed share is that of their all-to-alls, since only dense GEMMs overlap with reductions. Unsplit
    experts need no reduction. Collectives across domains are fully exposed (overlap needs access to peers' memory), and so are the copies
    that a stack makes before and after gathering and scattering a split sequence (``sequence_copies``).
    """
    ranks, software = workload.ranks, workload.software
    tokens = np.divide(np.multiply(stack.tokens, ranks.microbatch), ranks.context)
    message = tokens * stack.block.hidden * workload.precision.element
    experts = [linear for linear in stack.block.linears if has_experts(linear)]
    once = _reduction_time(message, ranks.tensor_group, ranks, workload.cluster)
    sums = stack.block.all_reduces - (1 if experts else 0)
    sent = sums * once
    arrived: Array = 0.0
    if experts:
        arriving = message * experts[0].active * np.divide(ranks.expert_tensor, ranks.tensor)
        arrived = software.exposed.expert * _reduction_time(
            arriving, Group(ranks.expert_tensor, 1), ranks, workload.cluster
        )
        if any(linear.role is Role.SHARED_IN for linear in stack.block.linears):
            sent = sent + once
    exposed = np.where(ranks.tensor_group.domains(workload.cluster) > 1, 1.0, software.exposed.tensor)
    copied = np.where(np.greater(ranks.sequence_parallel, 1), software.sequence_copies * message / 2, 0.0)
    beside = arrived + sums * memory_time(copied, workload.accelerator)
    forward = exposed_time(sent, gemms.forward, exposed) + beside
    backward = exposed_time(sent, gemms.backward, exposed) + beside
    return Passes(forward, 0.0 if stack.trainable is Trainable.FROZEN else backward)


def _reduction_time(message: Array, group: Group, ranks: Ranks, cluster: Cluster) -> Array:
    """Seconds of one tensor-parallel reduction: an all-reduce or, with sequence parallelism, an all-gather and a reduce-scatter."""
    split = all_gather_time(message, group, cluster) + reduce_scatter_time(message, group, cluster)
    return np.where(np.greater(ranks.sequence_parallel, 1), split, all_reduce_time(message, group, cluster))


def reached(places: Array, groups: Array, chosen: Array) -> Array:
    """Expected number of places (ranks or domains) that hold at least one of the expert groups chosen for a token.

        n >= G   m n / G
        n < G    n (1 - (1 - g/G) (1 - g/(G-1)) ... (1 - g/(G-m+1)))     g = G / n groups per place

    n places over which G groups are spread, m of them chosen uniformly (DeepSeek-V3, arXiv:2412.19437, section 2.1.2: 4 of 8, one per
    node).

    >>> [float(reached(places, 8, 4)) for places in (16.0, 8.0, 2.0)]
    [8.0, 4.0, 1.9714285714285715]
    """
    held = np.divide(groups, np.maximum(places, 1.0))
    missed: Array = 1.0
    for taken in range(int(np.max(chosen))):
        left = np.maximum(1.0 - held / np.maximum(np.subtract(groups, taken), 1), 0.0)
        missed = missed * np.where(np.less(taken, chosen), left, 1.0)
    spread = np.multiply(places, 1.0 - missed)
    return np.where(np.greater_equal(places, groups), np.multiply(chosen, places) / groups, spread)


def expert_passes(stack: Stack, workload: Workload) -> Passes:
    """Exposed time in s of expert dispatch and combine for one layer and micro-batch: two all-to-alls of 2 T a h / t bytes forward, two
    backward.

    a active experts. A stack that sends a token only once to each rank sends U(n) / a of these bytes; U(n) = n (1 - (1 - 1/n)^a) is the
    expected number of n ranks (across domains: n domains) with at least one of the token's experts. If a token's experts are limited to a
    few groups, n is the number of places with these groups (``reached``). With ``expert`` 1, nothing is sent.
    """
    ranks, dispatch = workload.ranks, workload.software.dispatch
    experts = [linear for linear in stack.block.linears if has_experts(linear)]
    if not experts:
        return Passes()
    tokens = np.divide(np.multiply(stack.tokens, ranks.microbatch), np.multiply(ranks.context, ranks.tensor))
    active = np.asarray(experts[0].active, float)
    copies = active * dispatch.load
    if dispatch.sends == "ranks":
        domains = ranks.expert_group.domains(workload.cluster)
        places = reached(np.where(domains > 1, domains, ranks.expert), experts[0].groups, experts[0].top_groups)
        copies = places * (1 - (1 - 1 / places) ** active)
    message = tokens * copies * stack.block.hidden * workload.precision.element
    once = all_to_all_time(message, ranks.expert_group, workload.cluster)
    there_and_back = 2 * once * workload.software.exposed.expert
    packed = np.where(np.greater(ranks.expert, 1), tokens * active * stack.block.hidden, 0.0)
    chip = workload.cluster.accelerator
    packing = dispatch.packing
    forward = np.where(packed > 0, memory_time(packed * packing.forward, chip), 0.0)
    backward = np.where(packed > 0, memory_time(packed * packing.backward, chip), 0.0)
    return Passes(there_and_back + forward, there_and_back + backward)
