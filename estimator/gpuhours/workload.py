"""The inputs for predicting one step: model, batch, layout, cluster, software and number formats."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from gpuhours.architecture.code_steps import with_all_experts
from gpuhours.architecture.operators import AttentionCore, Model, Stack
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
    """The fully resolved inputs for predicting one optimiser step. Any number may be an array with an axis of its own.

    ``step``, ``memory`` and the functions that they call take a workload.
    """

    model: Model
    global_batch: Array
    """Samples per optimiser step."""
    layout: Layout
    cluster: Cluster
    software: Software
    precision: Precision
    as_encoder: bool = False
    """Whether ``ranks`` are the degrees that apply to a vision encoder in front of the language model."""

    @cached_property
    def ranks(self) -> Ranks:
        """The layout resolved on the cluster."""
        ranks = ranks_of(self.layout, self.cluster, self.global_batch, self.model)
        return ranks.encoding if self.as_encoder else ranks

    @cached_property
    def placement(self) -> Placement:
        """Which layers are on which pipeline stage."""
        return placement_of(self.model, self.layout, self.ranks, self.software)

    @cached_property
    def trained_weights(self) -> Weights:
        """Number of trainable parameters on a rank of the pipeline stage with the most of them."""
        return stage_weights(self.model, self.placement, self.ranks, trained=True)

    @property
    def encoding(self) -> Workload:
        """The same step with the degrees that apply to a vision encoder in front of the language model."""
        return replace(self, as_encoder=True)

    @cached_property
    def accelerator(self) -> Accelerator:
        """The accelerator with the kernel constants of the stack's library versions."""
        return libraries_of(self.software.libraries).on(self.cluster.accelerator)

    @property
    def wide(self) -> str:
        """The number format of unquantised GEMMs (head, attention): 16-bit unless the run uses 32-bit."""
        dtype = "fp32" if self.precision.all_wide else self.precision.gemm
        return "bf16" if NUMBER_FORMATS[dtype].narrow else dtype

    @property
    def attention_kernel(self) -> str:
        """The attention kernel that the stack uses on the accelerator."""
        return self.software.attention_kernel(self.cluster.accelerator.generation)

    def kernel_of(self, core: AttentionCore) -> str:
        """The attention kernel that the stack uses for a core: a separate one for scores with a learned bias, for groups that no fused
        kernel supports, or without a causal mask."""
        software = self.software
        if core.places is not None or self.written_out(core):
            return "unfused"
        if core.biased and software.biased_attention is not None:
            return software.biased_attention
        if self.in_groups(core) and software.grouped_attention is not None:
            return software.grouped_attention
        if self.masked_by_code(core) and software.uncausal_attention is not None:
            return software.uncausal_attention
        return self.attention_kernel

    def in_groups(self, core: AttentionCore) -> bool:
        """Whether query heads share key heads in a way that no fused kernel supports: grouped in fp32 without a padding mask (with one,
        keys are repeated), or one key head broadcast to all."""
        shared = some(np.less(core.kv_heads, core.heads))
        return core.broadcast or (shared and not core.padded and NUMBER_FORMATS[self.wide].input > 2)

    def masked_by_code(self, core: AttentionCore) -> bool:
        """Whether a family's file makes a mask for attention in both directions (``create_bidirectional_mask``), which transformers leaves
        out where nothing is masked, unless it is compiled. A padding mask that the run hands over is another: fused kernels take it."""
        return not core.causal and not core.maskless and not core.padded

    def as_written(self, stack: Stack) -> Stack:
        """The stack of layers with all experts run on every token, if the family's file does so and the stack runs it."""
        return replace(stack, block=with_all_experts(stack.block)) if self.software.model_code else stack

    def written_out(self, core: AttentionCore) -> bool:
        """Whether the stack runs the family's file, which writes attention out."""
        return core.written and self.software.model_code

    def casts_to_fp32(self, core: AttentionCore) -> bool:
        """Whether scores are computed in fp32 because the family's file casts queries and keys; the sum of values, the other half of the
        FLOPs, keeps the run's format, and autocast narrows both."""
        return core.wide and self.written_out(core) and not self.precision.autocast

    def in_fp32(self, core: AttentionCore) -> bool:
        """Whether attention runs on PyTorch's own path, whose GEMMs and softmax are in fp32: for groups without a fused kernel, and for
        compiled attention without a causal mask, except under autocast, which narrows its GEMMs."""
        software = self.software
        grouped = self.in_groups(core) and software.grouped_attention is not None
        written_out = self.masked_by_code(core) and software.uncausal_attention == "unfused"
        return grouped or (written_out and not self.precision.autocast)

    def with_layout(self, layout: Layout) -> Workload:
        """The same step with another layout."""
        return replace(self, layout=layout)

    def loss_blocks(self, tokens: Array) -> Array:
        """Number of token blocks that the head and its loss are split into: the layout's, otherwise the stack's; at most ``tokens``, those
        of a micro-batch on a rank.

        If the stack sizes blocks by width (Liger 0.8, ``fused_linear_cross_entropy``): T / c blocks of c tokens, c = T / ceil(V / h)
        rounded up to a power of two; T tokens, V vocabulary, h width.
        """
        asked, facts = self.layout.loss_blocks, self.software.memory
        most = np.maximum(tokens, 1.0)
        if asked is not None or not facts.loss_by_width:
            return np.minimum(facts.loss_blocks if asked is None else asked, most)
        words = max((np.max(end.vocabulary) for end in self.model.ends), default=1)
        length = 2.0 ** np.ceil(np.log2(np.ceil(most / np.ceil(np.divide(np.maximum(words, 1), self.model.hidden)))))
        return np.ceil(most / length)
