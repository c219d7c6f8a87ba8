"""Tensors that the forward pass leaves for the backward pass, operator by operator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Final

import numpy as np

from gpuhours.architecture.operators import AttentionCore, Block, Linear, Pointwise, Split, Stack, Trainable
from gpuhours.layout import Array
from gpuhours.memory.facts import SAVED, MemoryFacts
from gpuhours.precision import FP32, Precision
from gpuhours.step.ranks import Ranks, has_experts

NORMS: Final = (Pointwise.RMS_NORM, Pointwise.LAYER_NORM)
ADAPTED: Final = {"qkv": {"q", "k", "v"}, "attention output": {"o"}, "gate and up": {"gate", "up"}}
"""Products of a block and the names that adapters of their parts go by."""


@dataclass(frozen=True)
class Saved:
    """Bytes per token that one block keeps, by how tensor ranks share them."""

    stream: Array
    """Whole on each tensor rank, divided under sequence parallelism."""
    whole: Array
    """Whole on each tensor rank, always."""
    split: Array
    """Divided by the tensor degree."""
    expert: Array
    """What experts keep of their copies of tokens, divided by the tensor degree inside an expert."""
    scores: Array
    """Attention scores in HBM, divided by the tensor degree; zero where they never are there."""
    entry: Array
    """The block's input alone: what full recompute keeps. Shared as ``stream``."""
    attended: Array
    """Attention's output and its log-sums, divided by the tensor degree."""
    passing: Array
    """Gradients that exist only while the block's backward pass runs, divided by the tensor degree: of the
    widest product's output."""

    def on_rank(self, ranks: Ranks, *, scores: Array = 1) -> Array:
        """Bytes per token on one rank."""
        shared = (self.split + scores * self.scores) / ranks.tensor
        return self.stream / ranks.whole + self.whole + shared + self.expert / ranks.expert_tensor


def saved(stack: Stack, precision: Precision, facts: MemoryFacts, *, stream: Array, unfused: bool) -> Saved:
    """What one block of a stack keeps per token.

    A product keeps its input; attention Q, K, V, its output and an fp32 number per head (flash) or the scores
    (unfused); a norm its input; an activation what its derivative needs. A tensor that two operators keep is
    counted once. ``stream`` is the bytes of an element of the residual stream. Leaves out the statistics of
    norms, 8 B per token.

    Source: Korthikanti et al. 2022, arXiv:2205.05198, section 4.1 (34 s b h + 5 a s^2 b for the unfused GPT
    layer)."""
    element, block = precision.element, stack.block
    keeps = SAVED | facts.saved
    shared, whole, split, expert = 0.0, 0.0, 0.0, 0.0
    for operator in block.elementwise:
        each = stream if operator.kind in NORMS and not operator.sharded else element
        kept = keeps[operator.kind.value] * each * operator.width
        shared, split = shared + (0 if operator.sharded else kept), split + (kept if operator.sharded else 0)
    for linear, width in inputs_kept(stack):
        if has_experts(linear):
            expert = expert + width * precision.operand
        elif linear.split is Split.ROW:
            split = split + width * (
                0.0 if _kept_by_attention(linear, block, precision) else precision.operand
            )
        elif facts.gathered_inputs and linear.split is Split.COLUMN:
            whole = whole + width * precision.operand
        else:
            shared = shared + width * precision.operand
    split = split + sum((_operands(core, element, unfused) for core in block.attention), 0.0)
    length = stack.tokens if stack.sequence is None else stack.sequence
    scores = (
        sum((_scores(core, block, element, length, facts) for core in block.attention), 0.0)
        if unfused
        else 0.0
    )
    attended = sum((core.heads * (core.value_dim * element + FP32) for core in block.attention), 0.0)
    outputs = [linear.outputs * linear.active for linear in block.linears if linear.split is Split.COLUMN]
    widest = element * reduce(np.maximum, outputs, 0.0)
    return Saved(shared, whole, split, expert, scores, block.hidden * stream, attended, widest)


def inputs_kept(stack: Stack) -> list[tuple[Linear, Array]]:
    """(product, width of its input) for every distinct input that a weight gradient needs.

    Products that read the same tensor share it (router and shared expert; query and key-value down; all of a
    parallel block): those of equal width with no row-split product between. Frozen weights need none;
    adapters need the inputs of the weights they stand beside."""
    if stack.trainable in (Trainable.FROZEN, Trainable.PASS_THROUGH):
        return []
    targets = {adapter.name.removesuffix(" A") for adapter in stack.adapters}
    found: list[tuple[Linear, Array]] = []
    read: list[Array] = []
    for linear in stack.block.linears:
        if (
            stack.trainable is Trainable.LORA
            and not ({linear.name} | ADAPTED.get(linear.name, set())) & targets
        ):
            continue
        if has_experts(linear):
            found.append((linear, linear.inputs * linear.active))
        elif linear.split is Split.ROW:
            found.append((linear, linear.inputs))
            read = read if stack.block.all_reduces == 1 else []
        elif not any(np.array_equal(linear.inputs, width) for width in read):
            found.append((linear, linear.inputs))
            read.append(linear.inputs)
    return found


def _kept_by_attention(linear: Linear, block: Block, precision: Precision) -> bool:
    """Attention's output is kept by attention already, unless the product keeps a narrower copy of its
    own."""
    follows = any(np.array_equal(linear.inputs, core.heads * core.value_dim) for core in block.attention)
    return follows and "output" in linear.name and precision.operand == precision.element


def _operands(core: AttentionCore, element: float, unfused: bool) -> Array:
    """Q, K, V and the output; flash keeps one fp32 log-sum per head (Dao 2023, FlashAttention-2, section
    3.1). Keys of another stream are kept there."""
    keys = core.kv_heads if core.keys is None else 0
    width = (core.heads + keys) * (core.head_dim + core.value_dim)
    return width * element + (0 if unfused else core.heads * FP32)


def _scores(core: AttentionCore, block: Block, element: float, length: Array, facts: MemoryFacts) -> Array:
    """Bytes per token of the softmax over all keys, and with dropout of its mask and the dropped copy (5 a
    s)."""
    dropout = any(operator.kind is Pointwise.DROPOUT for operator in block.elementwise)
    each = element + dropout * (1 + element) if facts.scores is None else facts.scores
    return core.heads * (length if core.keys is None else core.keys) * each
