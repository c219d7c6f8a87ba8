"""Memory for communication: message buffers and communicators."""

from __future__ import annotations

import numpy as np

from gpuhours.architecture.operators import Model
from gpuhours.hardware.number_formats import FP32, Precision
from gpuhours.inputs.arrays import Array
from gpuhours.layout.ranks import Ranks


def pipeline_buffers(model: Model, tokens: Array, ranks: Ranks, precision: Precision) -> Array:
    """Bytes of P2P buffers for activations and gradients, sent and received: 4 T h e / t; 0 without a pipeline.

    T tokens of a micro-batch on the rank, h width passed between stages, e bytes per element, t tensor degree with sequence parallelism,
    otherwise 1."""
    return np.where(
        np.greater(ranks.pipeline, 1), 4 * tokens * model.hidden * precision.element / ranks.sequence_parallel, 0
    )


def context_buffers(model: Model, tokens: Array, ranks: Ranks, precision: Precision) -> Array:
    """Bytes that attention over c context ranks needs in addition to its own Q, K, V, for the current layer.

        ring       two K, V blocks in flight, fp32 accumulators of dK, dV and of the output:  (2 + 2 + ..) of T rows
        all-gather K, V of the whole sequence and their gradients:                    4 c T k d
        Ulysses    sent and received Q, K, V and output, one direction at a time:     T (a + 2 k + a) d

    Hybrid: the sum of ring and Ulysses. T tokens on the rank, a heads, k key-value heads, d head size, c context. Sources: Liu et al. 2023
    (Ring Attention); Jacobs et al. 2023 (DeepSpeed-Ulysses); Megatron-Core's context parallelism."""
    cores = [core for stack in model.stacks for core in stack.block.attention if core.keys is None]
    queries = max((core.heads * core.value_dim for core in cores), key=np.max, default=0.0)
    keys = max((core.kv_heads * (core.head_dim + core.value_dim) for core in cores), key=np.max, default=0.0)
    element = precision.element
    ring = 2 * keys * element + keys * FP32 + queries * FP32
    gathered = 2 * keys * ranks.context * element
    exchanged = (2 * queries + keys) * element
    among_ring = np.where(np.greater(ranks.ring, 1), np.where(ranks.gathers_keys, gathered, ring), 0)
    among_heads = np.where(np.greater(ranks.ulysses, 1), exchanged, 0)
    return tokens * (among_ring + among_heads) / ranks.tensor


def communicators(ranks: Ranks) -> Array:
    """Number of communicators (groups of more than one rank) that a rank belongs to, each with its own buffers."""
    degrees = (ranks.tensor, ranks.pipeline, ranks.context, ranks.copies, ranks.expert)
    return sum((np.where(np.greater(degree, 1), 1.0, 0.0) for degree in degrees), 0.0)
