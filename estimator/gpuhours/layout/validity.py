"""Which layouts can run at all: divisions that must come out even."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gpuhours.architecture.operators import Model
from gpuhours.hardware.clusters import Cluster
from gpuhours.inputs.arrays import Array, Mask
from gpuhours.layout.layout import Layout, Sharding, VisionPlacement
from gpuhours.layout.ranks import Ranks, has_experts


def violations(model: Model, global_batch: Array, layout: Layout, cluster: Cluster, ranks: Ranks) -> Mapping[str, Mask]:
    """What a layout breaks: reason -> where. Nothing is raised, so that a sweep may hold such layouts.

    An encoder's heads may be uneven: its ranks have some more than others.
    """
    degrees = np.multiply(layout.model_parallel, ranks.data) + layout.apart
    layers = sum(stack.layers for stack in model.stacks)
    found = {
        "tensor x pipeline x context x data is not the number of accelerators": np.not_equal(degrees, cluster.gpus),
        "data x microbatch does not divide the global batch": _uneven(
            global_batch, np.multiply(ranks.data, ranks.microbatch)
        ),
        "there are fewer layers than pipeline chunks": np.less(layers, np.multiply(ranks.pipeline, ranks.interleave)),
        "interleaving needs a pipeline": np.greater(ranks.interleave, 1) & np.equal(ranks.pipeline, 1),
        "expert x expert_tensor does not divide tensor x context x data": _uneven(
            np.multiply(ranks.copies, ranks.tensor), np.multiply(ranks.expert, ranks.expert_tensor)
        ),
        "ulysses does not divide context": _uneven(ranks.context, ranks.ulysses),
        "vision stands separate without vision_gpus": np.equal(layout.vision, VisionPlacement.separate)
        & np.equal(layout.vision_gpus, 0),
        "vision stands separate, but no encoder stands in front of a language model": np.equal(
            layout.vision, VisionPlacement.separate
        )
        & (not model.encoder),
    }
    heads = "tensor x ulysses does not divide the attention heads"
    for stack in model.stacks:
        split = np.multiply(ranks.tensor, ranks.ulysses)
        for core in () if any(stack is part for part in model.encoder) else stack.block.attention:
            found[heads] = np.logical_or(found.get(heads, False), _uneven(core.heads, split))
        experts = [linear.experts for linear in stack.block.linears if has_experts(linear)]
        if experts:
            found["expert does not divide the experts"] = _uneven(experts[0], ranks.expert)
    return found


def _uneven(whole: Array, part: Array) -> Mask:
    return np.not_equal(np.remainder(whole, part), 0)


def offered(layout: Layout) -> Mask:
    """Where a stack offers a layout at all: ZeRO-2 and ZeRO-3 would scatter or gather with every micro-batch of a pipeline, so
    DeepSpeed refuses them beside pipeline parallelism and Megatron-Core has only ZeRO-1 there."""
    return np.less_equal(layout.sharding, int(Sharding.zero1)) | np.equal(layout.pipeline, 1)
