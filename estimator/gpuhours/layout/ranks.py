"""A layout resolved on a cluster: degrees, communication groups, number of micro-batches, weights per rank."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from gpuhours.architecture.operators import Linear, Model, Split
from gpuhours.hardware.clusters import Cluster
from gpuhours.inputs.arrays import Array, some
from gpuhours.inputs.records import dataclass
from gpuhours.layout.choices import VisionPlacement
from gpuhours.layout.groups import Group
from gpuhours.layout.layout import Layout
from gpuhours.layout.schedules import Schedule
from gpuhours.layout.sequence_methods import with_exchange


@dataclass(frozen=True, eq=False)
class Ranks:
    """A layout on a cluster, fully resolved. Every field may be an array with an axis of its own."""

    tensor: Array
    pipeline: Array
    interleave: Array
    spreads: Array
    """Whether embedding and head are split over the stages (``vocabulary_parallel``)."""
    schedule: Array
    """The pipeline schedule (``Schedule``): the layout's, otherwise interleaved if there are several chunks."""
    data: Array
    context: Array
    ulysses: Array
    """Ranks of ``context`` that exchange heads; the remaining factor, ``ring``, exchanges keys and values."""
    method: Array
    """How the ``ring`` ranks exchange keys and values (``SequenceMethod``)."""
    expert: Array
    expert_tensor: Array
    microbatch: Array
    microbatches: Array
    """Number of micro-batches per optimiser step and data-parallel rank."""
    sequence_parallel: Array
    """Tensor ranks that split the operators outside attention and MLP: ``tensor`` with sequence parallelism, otherwise 1."""
    shards: Array
    """Ranks over which one copy of the sharded state is split."""
    vision: Array
    """Where a vision encoder runs (``VisionPlacement``)."""
    vision_gpus: Array
    """Accelerators reserved for the encoder, if any."""

    @cached_property
    def encoding(self) -> Ranks:
        """The degrees that apply to a vision encoder in front of the language model.

            first-stage   unchanged         replicated   tensor 1, b / (t p) samples per rank
            separate      g data-parallel ranks, b d / g samples each

        b microbatch, t tensor, p pipeline, d data, g accelerators reserved for the encoder.
        """
        first = np.equal(self.vision, VisionPlacement.first_stage)
        apart = np.equal(self.vision, VisionPlacement.separate)
        gpus = np.maximum(self.vision_gpus, 1)
        dealt = np.divide(self.microbatch, np.multiply(self.tensor, self.pipeline))
        own = np.where(apart, np.multiply(self.microbatch, self.data) / gpus, dealt)
        whole = np.where(np.equal(self.shards, self.copies), gpus, np.minimum(self.shards, gpus))
        return replace(
            self,
            tensor=np.where(first, self.tensor, 1),
            sequence_parallel=np.where(first, self.sequence_parallel, 1),
            expert_tensor=np.where(first, self.expert_tensor, 1),
            microbatch=np.where(first, self.microbatch, own),
            pipeline=np.where(apart, 1, self.pipeline),
            interleave=np.where(apart, 1, self.interleave),
            context=np.where(apart, 1, self.context),
            ulysses=np.where(apart, 1, self.ulysses),
            data=np.where(apart, gpus, self.data),
            shards=np.where(apart, whole, self.shards),
        )

    @property
    def ring(self) -> Array:
        """r: number of ranks that exchange a sequence's keys and values, context / ulysses."""
        return np.divide(self.context, self.ulysses)

    @property
    def copies(self) -> Array:
        """Ranks with the same weights: data x context."""
        return np.multiply(self.data, self.context)

    @property
    def tensor_group(self) -> Group:
        """Adjacent ranks that split every GEMM."""
        return Group(self.tensor, 1)

    @cached_property
    def gathers_keys(self) -> Array:
        """Whether the ``ring`` ranks all-gather the keys and values of the whole sequence, rather than pass them along a ring."""
        return with_exchange(self.method, lambda exchange: exchange.keys == "all-gather")

    @property
    def ulysses_group(self) -> Group:
        """Ranks that exchange heads, innermost in ``context``."""
        return Group(self.ulysses, self.tensor)

    @property
    def ring_group(self) -> Group:
        """Ranks that exchange keys and values."""
        return Group(self.ring, np.multiply(self.tensor, self.ulysses))

    @property
    def expert_group(self) -> Group:
        """Ranks over which experts are distributed (Megatron's parallel folding: inside tensor x context x data)."""
        return Group(self.expert, self.expert_tensor)

    @property
    def data_group(self) -> Group:
        """Ranks that reduce the gradients of non-expert weights."""
        return Group(self.copies, self.tensor)

    @property
    def shard_group(self) -> Group:
        """Ranks over which one copy of the sharded state is split."""
        return Group(self.shards, self.tensor)

    @property
    def expert_copies(self) -> Array:
        """Ranks with the same experts: data x context x tensor / (expert x expert_tensor), at least 1."""
        inside = np.multiply(self.expert, self.expert_tensor)
        return np.maximum(np.floor_divide(np.multiply(self.copies, self.tensor), inside), 1)

    @property
    def expert_data_group(self) -> Group:
        """Ranks that reduce the gradients of experts."""
        return Group(self.expert_copies, np.multiply(self.expert, self.expert_tensor))

    @property
    def stage_group(self) -> Group:
        """Pipeline stages, outermost in the rank order."""
        return Group(self.pipeline, np.multiply(self.copies, self.tensor))


def ranks_of(layout: Layout, cluster: Cluster, global_batch: Array, model: Model | None = None) -> Ranks:
    """Resolve a layout on a cluster, with defaults for what it does not give.

        data = gpus / (tensor pipeline context)        microbatches = global_batch / (data microbatch), at least 1

    Under ``hybrid``, if ``ulysses`` is not given, the context ranks inside a node exchange heads (their number is halved until it divides
    the model's heads), and keys and values are passed between nodes.
    """
    data = solved_data(layout, cluster)
    samples = np.multiply(data, layout.microbatch)
    in_node = np.minimum(np.maximum(np.floor_divide(cluster.gpus_per_domain, layout.tensor), 1), layout.context)
    given = dividing_heads(in_node, layout.tensor, model) if layout.ulysses is None else layout.ulysses
    method = np.asarray(layout.sequence_method)
    all_heads = with_exchange(method, lambda exchange: exchange.heads == "all")
    some_heads = with_exchange(method, lambda exchange: exchange.heads == "some")
    copies = np.multiply(data, layout.context)
    return Ranks(
        tensor=layout.tensor,
        pipeline=layout.pipeline,
        interleave=layout.interleave,
        spreads=layout.vocabulary_parallel,
        schedule=schedule_of(layout),
        data=data,
        context=layout.context,
        ulysses=np.where(all_heads, layout.context, np.where(some_heads, given, 1)),
        method=method,
        expert=layout.expert,
        expert_tensor=layout.tensor if layout.expert_tensor is None else layout.expert_tensor,
        microbatch=layout.microbatch,
        microbatches=np.maximum(np.ceil(np.divide(global_batch, samples)), 1),
        sequence_parallel=np.where(layout.sequence_parallel, layout.tensor, 1),
        vision=layout.vision,
        vision_gpus=layout.encoder_gpus,
        shards=copies if layout.shard_group is None else np.minimum(layout.shard_group, copies),
    )


def dividing_heads(most: Array, tensor: Array, model: Model | None) -> Array:
    """The largest number of ranks out of most, most / 2, most / 4 and most / 8 that divides the heads on a tensor rank; 1 if none does.
    ``most`` if there is no model or its last stack has no attention."""
    cores = [] if model is None or not model.stacks else model.stacks[-1].block.attention
    if not cores:
        return most
    largest: Array = 1
    for halvings in (8, 4, 2, 1):
        ranks = np.maximum(np.floor_divide(most, halvings), 1)
        largest = np.where(np.equal(np.remainder(cores[0].heads, np.multiply(tensor, ranks)), 0), ranks, largest)
    return largest


def schedule_of(layout: Layout) -> Array:
    """The layout's schedule; if not given, interleaved for several chunks."""
    if "schedule" in layout.model_fields_set:
        return layout.schedule
    return np.where(np.greater(layout.interleave, 1), int(Schedule.interleaved), layout.schedule)


def solved_data(layout: Layout, cluster: Cluster) -> Array:
    """``data`` as given, otherwise gpus / (tensor x pipeline x context), at least 1, without the encoder's own accelerators."""
    if layout.data is not None:
        return layout.data
    return np.maximum(np.floor_divide(np.subtract(cluster.gpus, layout.encoder_gpus), layout.model_parallel), 1)


def degree(linear: Linear, ranks: Ranks) -> Array:
    """Number of tensor ranks that split a GEMM's weight; 1 if it is not split."""
    if linear.split is Split.WHOLE:
        return 1
    return ranks.expert_tensor if has_experts(linear) else ranks.tensor


def has_experts(linear: Linear) -> bool:
    """Whether the GEMM has several experts."""
    many = linear.experts
    return many > 1 if isinstance(many, int) else some(np.greater(many, 1))


def local_parameters(linear: Linear, ranks: Ranks) -> Array:
    """Number of parameters of one GEMM on a rank, split over tensor ranks; experts are distributed over expert ranks."""
    return np.divide(linear.parameters, np.multiply(degree(linear, ranks), ranks.expert if has_experts(linear) else 1))
