"""The inputs of one step's prediction: model, batch, layout on a machine, stack and number formats."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from gpuhours.architecture.operators import AttentionCore, Model
from gpuhours.hardware.accelerators import Accelerator
from gpuhours.hardware.clusters import Cluster
from gpuhours.hardware.libraries import libraries_of
from gpuhours.hardware.number_formats import NUMBER_FORMATS, Precision
from gpuhours.inputs.arrays import Array, some
from gpuhours.inputs.records import dataclass
from gpuhours.layout.layout import Layout
from gpuhours.layout.placement import Placement, placement_of
from gpuhours.layout.ranks import Ranks, ranks_of
from gpuhours.layout.weights import Weights, stage_weights
from gpuhours.software.profile import Software


@dataclass(frozen=True, eq=False)
class Workload:
    """One optimiser step to be predicted. Any number in it may be an array with an axis of its own.

    ``step``, ``memory`` and all their functions take one of these; it is fully resolved.
    """

    model: Model
    global_batch: Array
    """Samples per optimiser step."""
    layout: Layout
    cluster: Cluster
    software: Software
    precision: Precision
    as_encoder: bool = False
    """Whether ``ranks`` are those seen by a vision encoder in front of the language model."""

    @cached_property
    def ranks(self) -> Ranks:
        """The layout, fully resolved."""
        ranks = ranks_of(self.layout, self.cluster, self.global_batch, self.model)
        return ranks.encoding if self.as_encoder else ranks

    @cached_property
    def placement(self) -> Placement:
        """Which layers are on which pipeline stage."""
        return placement_of(self.model, self.layout, self.ranks, self.software)

    @cached_property
    def trained_weights(self) -> Weights:
        """Trainable parameters on a rank of the stage that has most of them."""
        return stage_weights(self.model, self.placement, self.ranks, trained=True)

    @property
    def encoding(self) -> Workload:
        """The same step as seen by a vision encoder in front of the language model."""
        return replace(self, as_encoder=True)

    @cached_property
    def accelerator(self) -> Accelerator:
        """The accelerator with its kernels at the speed of the stack's libraries."""
        return libraries_of(self.software.libraries).on(self.cluster.accelerator)

    @property
    def wide(self) -> str:
        """The format of unquantised products (head, attention): 16-bit unless the run uses 32-bit."""
        dtype = "fp32" if self.precision.all_wide else self.precision.product
        return "bf16" if NUMBER_FORMATS[dtype].narrow else dtype

    @property
    def attention_kernel(self) -> str:
        """The attention kernel that the stack uses on the accelerator."""
        return self.software.attention_kernel(self.cluster.accelerator.generation)

    def kernel_of(self, core: AttentionCore) -> str:
        """The attention kernel that the stack uses for a core: a separate one for scores with a learned bias, for groups that no fused
        kernel supports, or without a causal mask."""
        software = self.software
        if core.disentangled:
            return "unfused"
        if core.biased and software.biased_attention is not None:
            return software.biased_attention
        if self.in_groups(core) and software.grouped_attention is not None:
            return software.grouped_attention
        if not core.causal and software.uncausal_attention is not None:
            return software.uncausal_attention
        return self.attention_kernel

    def in_groups(self, core: AttentionCore) -> bool:
        """Whether queries share keys in a way that no fused kernel supports: in fp32 without a mask (with one, keys are repeated), or with
        one key broadcast to all."""
        shared = some(np.less(core.kv_heads, core.heads))
        return core.broadcast or (shared and not core.padded and NUMBER_FORMATS[self.wide].input > 2)

    def with_layout(self, layout: Layout) -> Workload:
        """The same step with another layout."""
        return replace(self, layout=layout)

    def loss_blocks(self, tokens: Array) -> Array:
        """Number of blocks that the head and its loss are split into: the layout's, otherwise the stack's; at most a rank's ``tokens``.

        By width (Liger 0.8, ``fused_linear_cross_entropy``): T / c,  c = T / ceil(V / h) rounded up to a power of two; T tokens, V
        vocabulary, h width
        """
        asked, facts = self.layout.loss_blocks, self.software.memory
        most = np.maximum(tokens, 1.0)
        if asked is not None or not facts.loss_by_width:
            return np.minimum(facts.loss_blocks if asked is None else asked, most)
        words = max((np.max(end.vocabulary) for end in self.model.ends), default=1)
        length = 2.0 ** np.ceil(np.log2(np.ceil(most / np.ceil(np.divide(np.maximum(words, 1), self.model.hidden)))))
        return np.ceil(most / length)
