"""Tensors that the forward pass saves for the backward pass, operator by operator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from gpuhours.architecture.operators import (
    AttentionCore,
    Block,
    Elementwise,
    Ends,
    Family,
    Linear,
    Pointwise,
    Role,
    Split,
    Stack,
    Trainable,
)
from gpuhours.hardware.number_formats import FP32, Precision
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.records import dataclass
from gpuhours.layout.ranks import Ranks, has_experts
from gpuhours.layout.recompute import Unkept
from gpuhours.software.memory import MemoryFacts


@dataclass(frozen=True, eq=False)
class Saved:
    """Bytes per token that one block saves, by how tensor ranks split them and by what may be recomputed."""

    stream: Array
    """Replicated on each tensor rank, or divided under sequence parallelism."""
    whole: Array
    """Always replicated on each tensor rank."""
    attention: Array
    """Inside attention, divided by the tensor degree."""
    mlp: Array
    """Inside the feed-forward layer, divided by the tensor degree."""
    expert: Array
    """What experts save for the tokens sent to them, divided by the tensor degree inside an expert."""
    scores: Array
    """Attention scores in memory, divided by the tensor degree; zero for fused attention, which never stores them."""
    entry: Array
    """Only the block's input: what full recomputation saves. Split like ``stream``."""
    attended: Array
    """Attention's output and its log-sums, divided by the tensor degree."""
    outputs: Array
    """Outputs of GEMMs, divided by the tensor degree."""
    passing: Array
    """Gradients that exist only during the block's backward pass, divided by the tensor degree: those of the
    widest GEMM's output."""

    def on_rank(self, ranks: Ranks) -> Array:
        """Bytes per token on one rank."""
        split = (self.attention + self.mlp + self.scores) / ranks.tensor
        return self.stream / ranks.sequence_parallel + self.whole + split + self.expert / ranks.expert_tensor

    def left_by(self, unkept: Unkept, ranks: Ranks) -> Array:
        """Bytes per token on one rank under a policy with ``all_but``: the layer's input, and the shares of attention's output and of
        GEMM outputs that are saved."""
        attended, outputs = unkept.all_but or (0.0, 0.0)
        return self.entry / ranks.sequence_parallel + (self.attended * attended + self.outputs * outputs) / ranks.tensor


def _of_operator(operator: Elementwise, *, element: float, heads: float, stream: Array) -> tuple[str, Array]:
    """Where a memory-bound operator's saved tensor lies, and the bytes of each of its elements."""
    if operator.kind.family is Family.ATTENTION:
        return ("attention" if operator.sharded else "stream"), heads
    if operator.sharded:
        return "mlp", element
    return "stream", stream if operator.kind.family is Family.NORM else element


def _scores_saved(stack: Stack, element: float, facts: MemoryFacts, unfused: bool, wide: bool) -> Array:
    """Bytes of the attention scores of a block that are written out, per token; ``wide``: all of them in fp32."""
    length = stack.tokens if stack.sequence is None else stack.sequence
    held = [core for core in stack.block.attention if unfused or (core.biased and facts.biased_scores is not None)]
    known, each = (facts.model_copy(update={"scores": None}), FP32) if wide else (facts, element)
    gathered = _sum(_gathered(core, length, element) for core in held)
    return gathered + _sum(_scores(core, stack.block, each, length, known) for core in held)


def _gathered(core: AttentionCore, length: Array, element: float) -> Array:
    """Bytes per token of DeBERTa's products of content with a table of p positions, in both directions: PyTorch's gather saves what it
    gathers from, p numbers a head and token, and the file copies the table's p keys and queries for every sequence of s tokens.

        2 a p (1 + d / s) bytes per element        a heads of d;  p = min(p, 2 s) and no copies in DeBERTa's first version (``near``)

    Source: ``gather`` in PyTorch's derivatives.yaml; ``disentangled_attention_bias`` in modeling_deberta_v2.py and modeling_deberta.py.
    """
    if core.places is None:
        return 0.0
    tokens = np.asarray(length, dtype=float)
    if core.near:
        return 2 * core.heads * np.minimum(core.places, 2 * tokens) * element
    return 2 * core.heads * core.places * (1 + core.head_dim / tokens) * element


def saved(
    stack: Stack,
    precision: Precision,
    facts: MemoryFacts,
    *,
    stream: Array,
    unfused: bool,
    wide_attention: bool = False,
    unkept: Unkept = Unkept(),  # noqa: B008 - frozen
) -> Saved:
    """Bytes that one block of a stack saves per token, without the tensors that a recompute policy drops (``unkept``).

    A GEMM saves its input; attention saves Q, K, V, its output and an fp32 number per head (flash) or the scores (unfused); a norm
    saves its input; an activation saves what its derivative needs. A tensor saved by two operators is counted once. ``stream`` is the
    bytes per element of the residual stream. ``wide_attention``: attention is unfused and all of it is in fp32, with keys
    repeated for every head (``Workload.in_fp32``). Left out: the statistics of norms, 8 B per token.

    Source: Korthikanti et al. 2022, arXiv:2205.05198, section 4.1 (34 s b h + 5 a s^2 b for the unfused GPT
    layer)."""
    element, block = precision.element, stack.block
    heads = precision.operand if precision.wide_stream and precision.autocast else element  # cast for attention
    shared: dict[str, Array] = dict.fromkeys(("stream", "whole", "attention", "mlp", "expert", "nowhere"), 0.0)
    for operator in _saving_operators(block):
        if operator.kind not in unkept.operators:
            place, each = _of_operator(operator, element=element, heads=heads, stream=stream)
            shared[place] = shared[place] + _elements_saved(operator.kind, precision, facts) * each * operator.width
    for place, size in _inputs_of_gemms(stack, precision, facts, unkept):
        shared[place] += size
    wide = FP32 if wide_attention else heads
    if not unkept.heads:
        shared["attention"] += _sum(_operands(core, wide, unfused, repeated=wide_attention) for core in block.attention)
    scores = 0.0 if unkept.scores else _scores_saved(stack, element, facts, unfused, wide_attention)
    attended = _sum(core.heads * (core.value_dim * element + FP32) for core in block.attention)
    outputs = [element * linear.outputs * linear.active for linear in block.linears]
    del shared["nowhere"]
    return Saved(
        **shared,
        scores=scores,
        entry=block.hidden * stream,
        attended=attended,
        outputs=_sum(outputs),
        passing=_largest([*outputs, *([2 * scores] if wide_attention else [])]),
    )


def _inputs_of_gemms(
    stack: Stack, precision: Precision, facts: MemoryFacts, unkept: Unkept
) -> Iterator[tuple[str, Array]]:
    """The inputs that a block's GEMMs save, B/token, each with the group that it counts in: its adapters' inputs alone where these save
    their own (``MemoryFacts.adapter_inputs``)."""
    operand = FP32 if precision.all_wide else precision.operand
    uncast = stack.narrow_adapters and not precision.autocast
    if facts.adapter_inputs and stack.trainable is Trainable.LORA and not precision.all_wide and not uncast:
        each = precision.operand if precision.autocast else facts.adapter_inputs
        yield from (("stream", each * adapter.active * adapter.inputs) for adapter in stack.adapters[::2])
        return
    for linear, width in _inputs_saved(stack):
        if linear.role in (unkept.experts if has_experts(linear) else unkept.inputs):
            continue
        yield _group_of_input(linear, stack.block, precision, facts), width * operand
        if facts.casts_each and precision.autocast and not has_experts(linear):
            yield "stream", (linear.fused - 1) * width * precision.operand


def _saving_operators(block: Block) -> Iterator[Elementwise]:
    """The memory-bound operators whose saved tensors are counted.

    Rotary embeddings are skipped in blocks that also norm queries and keys: only one copy of these is then saved between GEMM and
    attention."""
    normed = any(operator.kind is Pointwise.QK_NORM for operator in block.elementwise)
    for operator in block.elementwise:
        if not (normed and operator.kind is Pointwise.ROTARY):
            yield operator


def _elements_saved(kind: Pointwise, precision: Precision, facts: MemoryFacts) -> float:
    """Saved elements per element of an operator: the stack's figure for it or for the operator it resembles, otherwise what autograd saves.
    In an fp32 stream, the fp32 copy that an unfused norm saves counts as one element, not as two 16-bit elements."""
    like = Pointwise(kind.like)
    usual = facts.saved.get(like.value, like.saved or 0.0) if kind.saved is None else kind.saved
    usual = facts.saved.get(kind.value, usual)
    if precision.all_wide and kind.family is Family.NORM and usual > 2:
        usual -= 1
    return facts.saved_autocast.get(kind.value, usual) if precision.autocast else usual


def _sum(values: Iterable[Array]) -> Array:
    return sum(values, 0.0)


def _largest(values: Iterable[Array]) -> Array:
    """The elementwise maximum; 0 if empty."""
    most: Array = 0.0
    for value in values:
        most = np.maximum(most, value)
    return most


def passing_through(stack: Stack, ranks: Ranks, precision: Precision) -> Array:
    """Temporary bytes per token of a frozen block's forward pass: the residual stream, its norm and their sum, and the widest GEMM's
    output and what is computed from it.

        e (3 h / q + 2 w / t)

    e bytes per element, h hidden, w widest output, t tensor, q the ranks that split the stream (``sequence_parallel``). Checked on H200
    with forward-only ViT-L and ViT-g: measured 23.2 and 24.8 B per token and unit of width; this gives 22.0 and 23.5, without the pixels.
    """
    widest = _largest(linear.outputs * linear.active for linear in stack.block.linears)
    return precision.element * (3 * stack.block.hidden / ranks.sequence_parallel + 2 * widest / ranks.tensor)


def ends_saved(part: Ends, precision: Precision, *, stream: Array) -> Array:
    """Bytes that an end saves per token, split like the residual stream: the inputs of its GEMMs, and the input of the norm before a
    head, or the fp32 input (pixels) of the first end, which is kept even if that end is frozen."""
    if part.trainable is not Trainable.FULL:
        return _sum(FP32 * linear.inputs for linear in part.linears) if part.first else 0.0
    before = FP32 if part.first else stream
    return _sum(linear.inputs * (precision.operand + before) for linear in part.linears)


def _inputs_saved(stack: Stack) -> list[tuple[Linear, Array]]:
    """(GEMM, width of its input) for every distinct input that a weight gradient needs.

    GEMMs that read the same tensor share one saved input (router and shared expert; query and key-value down-projections; all GEMMs
    of a parallel block). GEMMs of equal input width with no row-split GEMM between them are taken to read the same tensor. Frozen
    weights need no input; adapters need the inputs of the GEMMs that they are attached to."""
    if stack.trainable in (Trainable.FROZEN, Trainable.PASS_THROUGH):
        return []
    kept: list[tuple[Linear, Array]] = []
    read: list[Array] = []
    for linear in stack.block.linears:
        if stack.trainable is Trainable.LORA and not _is_adapted(linear, stack):
            continue
        if has_experts(linear):
            kept.append((linear, linear.inputs * linear.active))
        elif linear.split is Split.ROW:
            kept.append((linear, linear.inputs))
            read = read if stack.block.all_reduces == 1 else []
        elif not any(np.array_equal(linear.inputs, width) for width in read):
            kept.append((linear, linear.inputs))
            read.append(linear.inputs)
    return kept


def _is_adapted(linear: Linear, stack: Stack) -> bool:
    """Whether an adapter is attached to the GEMM, so that it reads the GEMM's input."""
    beside = (adapter for adapter in stack.adapters if adapter.role is linear.role)
    return any(np.array_equal(adapter.inputs, linear.inputs) for adapter in beside)


def _group_of_input(linear: Linear, block: Block, precision: Precision, facts: MemoryFacts) -> str:
    """The field of ``Saved`` that a GEMM's input is added to; "nowhere" for attention's output, which attention already saves, unless
    the GEMM saves a narrower copy of its own."""
    if has_experts(linear):
        return "expert"
    if linear.split is not Split.ROW:
        return "whole" if facts.gathered_inputs and linear.split is Split.COLUMN else "stream"
    follows = any(np.array_equal(linear.inputs, core.heads * core.value_dim) for core in block.attention)
    if follows and linear.role is Role.ATTENTION_OUTPUT:
        return "nowhere" if precision.operand == precision.element or precision.all_wide else "attention"
    return "mlp"


def _operands(core: AttentionCore, element: float, unfused: bool, *, repeated: bool = False) -> Array:
    """Bytes per token of Q, K, V and the output; flash also saves one fp32 log-sum per head (Dao 2023, FlashAttention-2, section 3.1).
    Keys of another stream are counted there; with ``repeated``, keys are copied for every head."""
    keys = (core.heads if repeated else core.kv_heads) if core.keys is None else 0
    width = (core.heads + keys) * (core.head_dim + core.value_dim)
    copies = core.wide * (core.heads + keys) * core.head_dim * FP32 if unfused else 0
    return width * element + (copies if unfused else core.heads * FP32)


def _scores(core: AttentionCore, block: Block, element: float, length: Array, facts: MemoryFacts) -> Array:
    """Bytes per token of the softmax over all keys, plus, with dropout, of the dropout mask and the dropped copy (5 a s in all)."""
    dropout = any(operator.kind is Pointwise.DROPOUT for operator in block.elementwise)
    stated = facts.biased_scores if core.biased and facts.biased_scores is not None else facts.scores
    if (
        stated is not None and core.sunk and core.written
    ):  # the softmax and what the GEMM reads, both as narrow as the run
        stated = 2 * element
    each = element + dropout * (1 + element) if stated is None else stated
    return core.heads * (length if core.keys is None else core.keys) * each
