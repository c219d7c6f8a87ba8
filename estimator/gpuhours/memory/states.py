"""Parameters on one rank, and the bytes of their weights, gradients and optimiser states."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gpuhours.architecture.operators import Stack
from gpuhours.hardware.number_formats import Precision
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.records import dataclass
from gpuhours.layout.choices import Sharding
from gpuhours.layout.layout import Layout
from gpuhours.layout.placement import StagePart
from gpuhours.layout.ranks import Ranks
from gpuhours.layout.weights import part_weights
from gpuhours.software.memory import MemoryFacts


@dataclass(frozen=True, eq=False)
class Parameters:
    """Parameters on one rank before data-parallel sharding."""

    dense: Array
    """Trainable, replicated on every data-parallel rank."""
    expert: Array
    """Trainable, in experts: distributed over expert-parallel ranks."""
    frozen: Array
    frozen_ends: Array
    """Frozen embedding and head: never stored in 4 bit (Dettmers et al. 2023, QLoRA)."""
    layer: Array
    """The largest block, which ZeRO-3 gathers whole."""
    ends: Array
    """Embedding and head."""
    layer_trained: Array
    """Trainable parameters of the largest block."""
    ends_trained: Array

    @property
    def trained(self) -> Array:
        """Trainable parameters, experts and others."""
        return self.dense + self.expert


def parameters_of(parts: Iterable[StagePart]) -> Parameters:
    """Parameters on one rank of a pipeline stage, from the parts on it."""
    dense: Array = 0.0
    expert: Array = 0.0
    frozen: Array = 0.0
    frozen_ends: Array = 0.0
    layer: Array = 0.0
    ends: Array = 0.0
    layer_trained: Array = 0.0
    ends_trained: Array = 0.0
    for there in parts:
        part, count = there.part, there.count
        held, trained = (part_weights(part, there.ranks, trained=only) for only in (False, True))
        dense, expert = dense + count * trained.dense, expert + count * trained.experts
        if isinstance(part, Stack):
            frozen = frozen + count * (held.all - trained.all)
            layer = np.maximum(layer, np.where(np.greater(count, 0), held.all, 0))
            layer_trained = np.maximum(layer_trained, np.where(np.greater(count, 0), trained.all, 0))
        else:
            frozen_ends = frozen_ends + count * (held.all - trained.all)
            ends = ends + count * held.all
            ends_trained = ends_trained + count * trained.all
    return Parameters(dense, expert, frozen, frozen_ends, layer, ends, layer_trained, ends_trained)


@dataclass(frozen=True, eq=False)
class States:
    """Bytes on one rank that do not depend on the number of tokens."""

    weights: Array
    """Stored weights and quantised copies; shards of them under ZeRO-3."""
    casts: Array
    """Autocast's cache of cast weights."""
    gathered: Array
    """ZeRO-3: gathered layers in use, at most the weights that the rank's shards lack."""
    dropped: Array
    """ZeRO-3: weights that are neither stored nor in use."""
    gradients: Array
    """At the end of the backward pass."""
    early_gradients: Array
    """At the start of the last micro-batch's backward pass."""
    layer_gradients: Array
    """One layer's, unsharded, before their reduction."""
    whole_gradients: Array
    """All gradients, without sharding."""
    optimiser: Array
    update: Array
    """Temporaries of the optimiser's update, and buffers through which updated weights are gathered."""
    host: Array
    """Offloaded to host memory, the rank's own part."""
    bucket: Array
    """Communication buffers for gradients and weights between data-parallel ranks, at most the size of the weights."""


def states(weights: Parameters, ranks: Ranks, layout: Layout, precision: Precision, facts: MemoryFacts) -> States:
    """Bytes of P parameters sharded over n ranks.

        weights    P w / n                     ZeRO-3
        gradients  P g / n                     ZeRO-2 and 3
        optimiser  P (master + moments + own) / n    ZeRO-1 to 3; own: the stack's ``partition``

    w, g bytes of a weight and a gradient. A single rank owns all states at any ZeRO level, and its optimiser is the sharded one's
    (InternEvo's and BigScience's runs with one replica). Experts have fewer replicas, n t / (e t_e). Under ZeRO-3, ``gathered_layers``
    layers and the ends are unsharded while they run (frozen 4-bit weights as stored), at most the weights that the rank's shards lack. One
    layer's trainable gradients exist unsharded, in the stored format and, if there are ranks to reduce them with, also in the reduction's.
    With the optimiser on the host, sharded gradients are moved there as well (Ren et al. 2021, ZeRO-Offload). Source: Rajbhandari et al.
    2020, figure 1."""
    level = np.asarray(layout.sharding)
    zero3 = level == Sharding.zero3

    def sharded_from(least: Sharding) -> Array:
        """Parameters per rank of a state that ZeRO shards from level ``least`` on."""
        n, e = (np.where(level >= least, copies, 1) for copies in (ranks.shards, _expert_shards(ranks)))
        return weights.dense / n + weights.expert / e

    each = facts.gradients.get(precision.dtype, precision.gradients)
    alone = np.equal(ranks.copies, 1)
    own = np.where((level >= Sharding.zero1) | alone, facts.partition.get(precision.dtype, 0.0), 0.0)
    frozen = weights.frozen * precision.frozen + weights.frozen_ends * precision.element
    whole = weights.trained * facts.weights.get(precision.dtype, precision.weights + precision.copies) + frozen
    each_weight = facts.weights.get(precision.dtype, precision.weights + np.where(zero3, 0, precision.copies))
    stored = sharded_from(Sharding.zero3) * each_weight + frozen / np.where(zero3, ranks.shards, 1)
    on_host = (level >= Sharding.zero2) & layout.offload_optimizer
    gradients, early = _gradients(weights, ranks, layout, facts, each, sharded_from(Sharding.zero2))
    states = sharded_from(Sharding.zero1) * (precision.optimiser + own)
    states = np.where(alone, states, np.minimum(states, weights.trained * precision.optimiser))
    unit = np.maximum(weights.layer_trained * np.minimum(facts.gathered_layers, 1), weights.ends_trained / 2)
    temporary = facts.update * (precision.master > 0) * sharded_from(Sharding.zero1)
    flat = facts.flat_gather * _regathered(weights, ranks, level)
    lacking = np.where(zero3 & np.greater(ranks.shards, 1), np.maximum(whole - stored, 0), 0)
    gathered = _gathered(weights, layout, precision, facts, lacking)
    return States(
        weights=np.where(layout.offload_parameters, 0, stored),
        casts=np.where(zero3, 0, weights.trained * precision.casts),
        gathered=gathered,
        dropped=np.where(lacking > 0, lacking - gathered, 0),
        gradients=gradients,
        early_gradients=early,
        layer_gradients=unit * (each + np.where(np.greater(ranks.copies, 1), precision.element, 0)),
        whole_gradients=np.where(layout.optimizer_in_backward, gradients, each * weights.trained),
        optimiser=np.where(layout.offload_optimizer, 0, states),
        update=np.minimum(temporary, facts.update_most) + flat,
        bucket=np.minimum(facts.bucket, weights.trained * precision.weights) * np.greater(ranks.copies, 1),
        host=np.where(layout.offload_optimizer, states + np.where(on_host, each * sharded_from(Sharding.zero2), 0), 0)
        + np.where(layout.offload_parameters, stored, 0),
    )


def _gathered(weights: Parameters, layout: Layout, precision: Precision, facts: MemoryFacts, lacking: Array) -> Array:
    """Bytes of weights all-gathered while ``gathered_layers`` layers and the ends run, at most those that the rank's shards lack; with
    weights on the host and none sharded, those of the layers fetched from it."""
    used = precision.frozen_layer(weights.layer, weights.layer_trained) * facts.gathered_layers
    fetched = np.where(layout.offload_parameters, used, 0)
    return np.where(lacking > 0, np.minimum(used + weights.ends * precision.element, lacking), fetched)


def _gradients(
    weights: Parameters, ranks: Ranks, layout: Layout, facts: MemoryFacts, each: float, sharded: Array
) -> tuple[Array, Array]:
    """Bytes of gradients on a rank, ``each`` per parameter: at the end of the backward pass, and at the start of the last micro-batch's.

    ``sharded`` is the number of parameters whose gradients the rank owns (ZeRO-2 shards them). A DDP replica has buckets in addition. A
    pipeline reduces after its last micro-batch, so that gradients are whole until then. Where buffers exist through the whole step
    (``gradients_live``) they stay whole, as under ZeRO-1: Megatron-Core's distributed optimizer keeps a whole gradient buffer, and
    DeepSpeed refuses ZeRO-2 and 3 with pipelines.
    """
    level = np.asarray(layout.sharding)
    wrapped = (level == Sharding.none) & np.greater(ranks.copies, 1) & np.equal(ranks.pipeline, 1)
    buckets = np.where(wrapped, facts.replica_gradients * weights.dense, 0)
    on_host = (level >= Sharding.zero2) & layout.offload_optimizer
    gradients = each * np.where(on_host, 0, sharded + buckets)
    gradients = np.where(layout.optimizer_in_backward, each * weights.layer_trained, gradients)
    piped = np.greater(ranks.pipeline, 1)
    if facts.gradients_live:
        buffer = np.where((level >= Sharding.zero2) & piped, each * weights.trained, gradients)
        return buffer, buffer
    whole = np.where((level >= Sharding.zero2) & (facts.accumulates_whole | piped), each * weights.trained, gradients)
    held = each * buckets if facts.gradients_dropped else gradients
    return gradients, np.where(np.greater(ranks.microbatches, 1), whole, np.where(buckets > 0, held, 0))


def _regathered(weights: Parameters, ranks: Ranks, level: Array) -> Array:
    """Parameters of the whole weights and of the rank's shards through which ZeRO-1 and 2 gather updated weights, p (1 + 1/n) over n > 1
    ranks; experts without replicas are not gathered."""
    gathers = np.isin(level, (Sharding.zero1, Sharding.zero2))

    def through(held: Array, shards: Array) -> Array:
        return np.where(gathers & np.greater(shards, 1), held * (1 + 1 / np.asarray(shards)), 0.0)

    return through(weights.dense, ranks.shards) + through(weights.expert, _expert_shards(ranks))


def _expert_shards(ranks: Ranks) -> Array:
    """Number of ranks over which the states of experts are sharded, at most all of their replicas."""
    return np.minimum(ranks.expert_copies, ranks.shards)
