"""The building blocks of transformer layers: norms, attention, feed-forward layers, experts."""

from __future__ import annotations

from typing import Literal

from gpuhours.architecture.operators import AttentionCore, Block, Elementwise, Linear, Pointwise, Role, Split
from gpuhours.inputs.arrays import Array, some
from gpuhours.inputs.records import dataclass

Norm = Literal["rms", "layer", "layer-no-bias", "no-weights"]
Activation = Literal["gelu", "written-gelu", "erf-gelu", "quick-gelu", "bloom-gelu", "xielu", "relu"]
"""How the activation of an ungated feed-forward layer is implemented."""
WRITTEN_OUT = ("written-gelu", "erf-gelu", "quick-gelu", "bloom-gelu", "xielu")
"""Activations that run as several unfused kernels."""
QKNorm = Literal["none", "head", "head-layer", "width", "no-weights"]
"""Norm on queries and keys: RMSNorm per head, LayerNorm with bias per head, RMSNorm over the whole width, or a norm without weights."""
Keys = Literal["own", "values", "borrowed"]
"""Source of a layer's keys and values: separate projections, one projection for both (Gemma 4), or reused from a lower layer (Gemma 3n).
"""


@dataclass(frozen=True)
class Piece:
    """Part of a layer: its GEMMs, attention cores and memory-bound operators, each in execution order."""

    linears: tuple[Linear, ...] = ()
    attention: tuple[AttentionCore, ...] = ()
    elementwise: tuple[Elementwise, ...] = ()
    reductions: int = 0
    """Tensor-parallel all-reduces needed after its last GEMM."""


def block(hidden: Array, *pieces: Piece, reductions: int | None = None) -> Block:
    """Combine ``pieces`` into one layer. ``reductions`` overrides the sum of their all-reduces, for parallel branches that share one."""
    return Block(
        linears=tuple(linear for piece in pieces for linear in piece.linears),
        attention=tuple(core for piece in pieces for core in piece.attention),
        elementwise=tuple(operator for piece in pieces for operator in piece.elementwise),
        hidden=hidden,
        all_reduces=sum(piece.reductions for piece in pieces) if reductions is None else reductions,
    )


def norm_parameters(kind: Norm, width: Array) -> Array:
    """Parameters of one norm: ``width`` for RMSNorm and bias-free LayerNorm, 2 ``width`` for LayerNorm, 0 without weights."""
    return {"rms": 1, "layer": 2, "layer-no-bias": 1, "no-weights": 0}[kind] * width


def norm(kind: Norm, width: Array, *, sharded: bool = False) -> Elementwise:
    """One normalisation over ``width`` elements per token."""
    operator = Pointwise.RMS_NORM if kind == "rms" else Pointwise.LAYER_NORM
    return Elementwise(operator, width, sharded, norm_parameters(kind, width))


def weights(count: Array) -> Elementwise:
    """``count`` parameters (scales, gates and similar) that are counted but cause no memory traffic and take no time."""
    return Elementwise(Pointwise.BIAS, 0, sharded=False, parameters=count)


def glue(hidden: Array, kind: Norm, *, norms: int, residuals: int, dropout: bool) -> Piece:
    """Memory-bound operators between the GEMMs of a layer: norms, residual additions, and one dropout per residual if ``dropout``."""
    operators = [norm(kind, hidden)] * norms
    operators += [Elementwise(Pointwise.RESIDUAL, hidden, sharded=False)] * residuals
    if dropout:
        operators += [Elementwise(Pointwise.DROPOUT, hidden, sharded=False)] * residuals
    return Piece(elementwise=tuple(operators))


def self_attention(
    hidden: Array,
    heads: Array,
    kv_heads: Array,
    head_dim: Array,
    *,
    causal: bool,
    qkv_bias: bool,
    output_bias: bool,
    rotary: Array = 0.0,
    qk_norm: QKNorm = "none",
    gate: Literal["none", "width", "head"] = "none",
    sinks: bool = False,
    window: Array | None = None,
    dropped: bool = False,
    broadcast: bool = False,
    places: Array | None = None,
    own_keys: Keys = "own",
) -> Piece:
    """Grouped-query self-attention.

        qkv  [h, (a + 2 k) d + gate]    scores and sum over a heads of d    output  [a d, h]

    rotary    share of a head that rotary positions apply to
    own_keys  the qkv projection has a + k heads if keys are also the values, a if keys and values are reused
    gate      a d (``width``) or a (``head``) numbers per token that multiply the output
    sinks     a learned logits;  places: rows of a table of relative positions with which content is multiplied (DeBERTa)

    a heads, k key-value heads, d head_dim, h hidden. Source: Ainslie et al. 2023 (GQA); k = a is Vaswani et
    al. 2017."""
    queries, keys = heads * head_dim, kv_heads * head_dim
    gates = {"none": 0, "width": queries, "head": heads}[gate]
    made = {"own": 2, "values": 1, "borrowed": 0}[own_keys]
    linears = (
        Linear("qkv", hidden, queries + made * keys + gates, Split.COLUMN, qkv_bias, role=Role.QKV, fused=1 + made),
        Linear("attention output", queries, hidden, Split.ROW, output_bias, role=Role.ATTENTION_OUTPUT),
    )
    operators = []
    if gate != "none" or sinks:
        gated = queries if gate != "none" else 0
        operators.append(Elementwise(Pointwise.SWIGLU, gated, sharded=True, parameters=heads if sinks else 0))
    rotated = queries + (keys if made else 0)
    if some(rotary):
        operators.append(Elementwise(Pointwise.ROTARY, rotated, sharded=True, worked=rotary))
    if qk_norm != "none":
        each = head_dim * (2 if made else 1)
        weights = {"head": each, "head-layer": 2 * each, "width": rotated, "no-weights": 0}[qk_norm]
        operators.append(Elementwise(Pointwise.QK_NORM, rotated, sharded=True, parameters=weights))
    core = AttentionCore(
        heads, kv_heads, head_dim, head_dim, causal, window=window, dropped=dropped, broadcast=broadcast, places=places,
        sunk=sinks,
    )  # fmt: skip
    return Piece(linears, (core,), (*operators, *biases(linears)), reductions=1)


def latent_attention(
    hidden: Array,
    heads: Array,
    *,
    query_rank: Array | None,
    kv_rank: Array,
    nope: Array,
    rope: Array,
    value: Array,
    causal: bool = True,
    index: tuple[Array, Array, Array] = (0, 0, 0),
) -> Piece:
    """Multi-head latent attention (DeepSeek-AI 2024, arXiv:2405.04434, section 2.1), in its training form: keys
    and values are expanded per head.

        q     h -> q_rank -> a (nope + rope)        (h -> a (nope + rope) if there is no q_rank)
        k, v  h -> kv_rank + rope;  kv_rank -> a (nope + value)
        out   a value -> h
        index ``index[0]`` heads of width ``index[1]``: queries from q_rank, one key head from h, a weight per head. They score every
              key, and each query attends to the ``index[2]`` best
    """
    expanded = heads * (nope + rope)
    query_input = hidden if query_rank is None else query_rank
    linears = [
        Linear("query up", query_input, expanded, Split.COLUMN, role=Role.QKV if query_rank is None else Role.LATENT_UP)
    ]
    norms = [norm("rms", kv_rank)]
    if query_rank is not None:
        linears.insert(0, Linear("query down", hidden, query_rank, Split.WHOLE, role=Role.LATENT_DOWN))
        norms.insert(0, norm("rms", query_rank))
    linears += [
        Linear("key-value down", hidden, kv_rank + rope, Split.WHOLE, role=Role.LATENT_DOWN),
        Linear("key-value up", kv_rank, heads * (nope + value), Split.COLUMN, role=Role.LATENT_UP),
        Linear("attention output", heads * value, hidden, Split.ROW, role=Role.ATTENTION_OUTPUT),
    ]
    rotary = Elementwise(Pointwise.ROTARY, (heads + 1) * rope, sharded=True)
    scoring, width, top = index
    if not scoring:
        core = AttentionCore(heads, heads, nope + rope, value, causal)
        return Piece(tuple(linears), (core,), (*norms, rotary), reductions=1)
    core = AttentionCore(heads, heads, nope + rope, value, causal, window=top)
    index_linears, index_core = _indexer(hidden, query_input, scoring, width, causal=causal)
    return Piece((*linears, *index_linears), (core, index_core), (*norms, norm("layer", width), rotary), reductions=1)


def _indexer(
    hidden: Array, query_input: Array, heads: Array, width: Array, *, causal: bool
) -> tuple[tuple[Linear, ...], AttentionCore]:
    """The GEMMs and the scores of the indexer that chooses the keys of sparse attention: ``heads`` queries of ``width`` on one key head,
    and a weight per head. Source: DeepSeek-V3.2-Exp 2025, section 2.1 (lightning indexer)."""
    linears = (
        Linear("index query", query_input, heads * width, Split.WHOLE),
        Linear("index key", hidden, width, Split.WHOLE),
        Linear("index weights", hidden, heads, Split.WHOLE),
    )
    return linears, AttentionCore(heads, 1, width, 0, causal)


def cross_attention(
    hidden: Array,
    heads: Array,
    head_dim: Array,
    keys: Array,
    *,
    key_heads: Array | None = None,
    bias: bool = False,
) -> Piece:
    """Query and output projections and attention core of cross-attention to ``keys`` tokens; ``cross_keys`` gives the keys and values.

    query [h, a d]; output [a d, h]; a heads of d over ``keys`` keys, never causal.
    """
    width = heads * head_dim
    linears = (
        Linear("cross query", hidden, width, Split.COLUMN, bias, role=Role.QKV),
        Linear("cross output", width, hidden, Split.ROW, bias, role=Role.ATTENTION_OUTPUT),
    )
    core = AttentionCore(heads, heads if key_heads is None else key_heads, head_dim, head_dim, causal=False, keys=keys)
    return Piece(linears, (core,), biases(linears), reductions=1)


def cross_keys(source: Array, heads: Array, head_dim: Array, *, bias: bool = False) -> Piece:
    """Key-value projection [source, 2 k d] of a cross-attention layer, applied to each token that it attends to."""
    linears = (Linear("cross key-value", source, 2 * heads * head_dim, Split.COLUMN, bias, role=Role.QKV),)
    return Piece(linears, (), biases(linears))


def feed_forward(
    hidden: Array,
    width: Array,
    *,
    gated: bool,
    bias: bool,
    output: Array | None = None,
    activation: Activation = "gelu",
) -> Piece:
    """A feed-forward layer. Plain: h -> w -> h with an activation between. Gated (Shazeer 2020): gate and up [h, 2 w], their
    elementwise product, down [w, h].

    The activation's ``width`` is that of its output; a gated one reads twice as much. With an unfused activation, the gate's
    multiplication and the activation run as separate operators.
    """
    name, fused = ("gate and up", 2) if gated else ("up", 1)
    linears = (
        Linear(name, hidden, fused * width, Split.COLUMN, bias, role=Role.MLP_IN, fused=fused),
        Linear("down", width, hidden if output is None else output, Split.ROW, bias, role=Role.MLP_OUT),
    )
    kinds = (Pointwise.SWIGLU,) if gated else ()
    if not gated or activation in WRITTEN_OUT:
        kinds = (*kinds, Pointwise(activation))
    operators = tuple(Elementwise(kind, width, sharded=True) for kind in kinds)
    return Piece(linears, (), (*operators, *biases(linears)), reductions=1)


def experts(
    hidden: Array,
    width: Array,
    count: Array,
    top_k: Array,
    *,
    gated: bool,
    shared: Array | None = None,
    shared_gate: bool = False,
    router_bias: bool = False,
    bias: bool = False,
    groups: tuple[Array, Array] = (1, 1),
) -> Piece:
    """A mixture of experts: a router [h, E] sends each token to ``top_k`` of E feed-forward layers of
    ``width``. ``shared`` is the width of the shared expert; ``groups`` is (number of expert groups, number of
    groups that a token's experts may come from). Source: Fedus et al. 2021; DeepSeekMoE 2024 (shared)."""
    outputs = (2 if gated else 1) * width
    linears = [
        Linear("router", hidden, count, Split.WHOLE, bias, role=Role.ROUTER),
        Linear(
            "gate and up" if gated else "up",
            hidden,
            outputs,
            Split.COLUMN,
            bias,
            experts=count,
            active=top_k,
            role=Role.MLP_IN,
            fused=2 if gated else 1,
            groups=groups[0],
            top_groups=groups[1],
        ),
        Linear("down", width, hidden, Split.ROW, bias, experts=count, active=top_k, role=Role.MLP_OUT),
    ]
    activated = top_k * width
    if shared is not None:
        linears += _shared_expert(hidden, shared, gated=gated, gate=shared_gate)
        activated = activated + shared
    operators = (
        Elementwise(Pointwise.ROUTER, count, sharded=False, parameters=count if router_bias else 0),
        Elementwise(Pointwise.PERMUTE, top_k * hidden, sharded=False),
        Elementwise(Pointwise.EXPERT_SWIGLU if gated else Pointwise.GELU, activated, sharded=True),
    )
    return Piece(tuple(linears), (), operators, reductions=1)


def _shared_expert(hidden: Array, width: Array, *, gated: bool, gate: bool) -> list[Linear]:
    """The GEMMs of the expert that every token visits; ``gate``: its output is scaled by one number per token (Qwen2-MoE)."""
    linears = feed_forward(hidden, width, gated=gated, bias=False).linears
    both = zip(linears, (Role.SHARED_IN, Role.SHARED_OUT), strict=True)
    found = [Linear(f"shared {one.name}", one.inputs, one.outputs, one.split, role=role) for one, role in both]
    return [*found, Linear("shared gate", hidden, 1, Split.WHOLE)] if gate else found


def biases(linears: tuple[Linear, ...]) -> tuple[Elementwise, ...]:
    """Bias additions, one per GEMM with a bias; free in software that fuses them into the GEMM's epilogue."""
    return tuple(
        Elementwise(Pointwise.BIAS, linear.outputs, sharded=linear.split is Split.COLUMN)
        for linear in linears
        if linear.bias
    )
