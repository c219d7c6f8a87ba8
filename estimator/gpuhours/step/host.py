"""Waiting for the host: what it takes to launch a step's kernels, as far as it exceeds the accelerator's own time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gpuhours.architecture.operators import Block, Ends, Pointwise, Stack, Trainable
from gpuhours.inputs.arrays import Array
from gpuhours.layout.layout import Recompute, SequenceMethod, Sharding, VisionPlacement
from gpuhours.layout.ranks import has_experts
from gpuhours.step.context import shared_out_whole
from gpuhours.workload import Workload

LLAMA_LAUNCHES = 14
"""Of a block with four products, attention, two norms, two residuals, rotary positions and SwiGLU."""


def host_time(workload: Workload, busy: Array) -> Array:
    """Waiting for the host on the slowest stage, per micro-batch: its time beyond the accelerator's, and gaps that come in any case.

    max(0, H / p + E - busy) + gaps     H launching all layers, E an encoder in front, whole on a stage; ``busy`` s of computing
    """
    front, rest = workload.model.encoder, workload.model.parts[len(workload.model.encoder) :]
    launching, gaps = launch_time(rest, workload)
    launching, gaps = launching / workload.ranks.pipeline, gaps / workload.ranks.pipeline
    if front:
        here = np.where(np.equal(workload.ranks.vision, VisionPlacement.separate), 0.0, 1.0)
        encoding, between = launch_time(front, workload)
        launching, gaps = launching + here * encoding, gaps + here * between
    return np.maximum(launching - busy, 0.0) + gaps


def launch_time(parts: Sequence[Stack | Ends], workload: Workload) -> tuple[Array, Array]:
    """(s that the host takes to launch one micro-batch of all layers among ``parts``, s of gaps between them).

    A layer whose sequence is shared is launched block by block (``sharing_time``). A frozen stack is launched forward only; a block of
    fewer operators than the measured one takes its share (``launches``).
    """
    host = workload.software.host
    again = np.where(np.asarray(workload.layout.recompute) == Recompute.full, host.forward, 0.0)
    hooks = np.where(np.asarray(workload.layout.sharding) == Sharding.zero3, host.shard, 0.0)
    dispatching = np.where(
        np.greater(workload.ranks.expert, 1),
        workload.software.dispatch.host_time(workload.cluster.accelerator.name),
        0.0,
    )
    unfused = workload.attention_kernel == "unfused"
    launching: Array = 0.0
    layers: Array = 0.0
    for stack in (part for part in parts if isinstance(part, Stack)):
        back = 0.0 if stack.trainable is Trainable.FROZEN else host.backward + again
        shared = sharing_time(stack, workload)
        launching = launching + stack.layers * (
            launches(stack.block, unfused=unfused) * (host.forward + back) + hooks + shared
        )
        if any(has_experts(linear) for linear in stack.block.linears):
            launching = launching + stack.layers * dispatching
        layers = layers + stack.layers
    return launching * (host.autocast if workload.precision.autocast else 1.0), layers * host.gap


def sharing_time(stack: Stack, workload: Workload) -> Array:
    """What the host launches for one layer whose sequence several ranks share, in each direction that is run.

    r x hop of a ring of r > 1 ranks  +  one exchange where u > 1 ranks exchange heads
    """
    facts, ranks = workload.software.context, workload.ranks
    if all(shared_out_whole(stack, core) for core in stack.block.attention):
        return 0.0
    rings = np.greater(ranks.ring, 1) & np.not_equal(ranks.method, SequenceMethod.allgather)
    hops = np.where(rings, ranks.ring, 0.0)
    exchanges = np.where(np.greater(ranks.ulysses, 1), 1.0, 0.0)
    forward = hops * facts.hop.forward + exchanges * facts.exchange.forward
    if stack.trainable is Trainable.FROZEN:
        return forward
    again = np.where(np.asarray(workload.layout.recompute) == Recompute.full, forward, 0.0)
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
