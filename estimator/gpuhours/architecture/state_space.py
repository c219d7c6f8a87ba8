"""Token mixers that are not attention: state-space layers, gated delta rules, linear attention, short convolutions.

A chunked scan has two kinds of GEMMs: causal attention of width N inside a chunk of Q tokens, and between chunks a state [N, P] per
head that every token updates and reads. Both are costed as attention cores: the first with a window of Q, the second over N keys.
Parameter counts are exact; times use the constants of attention kernels, since no run with such layers was measured.
"""

from __future__ import annotations

from typing import Annotated, Literal

from gpuhours.architecture import blocks
from gpuhours.architecture.blocks import Piece
from gpuhours.architecture.operators import AttentionCore, Elementwise, Linear, Pointwise, Split
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.units import Count, whole
from gpuhours.inputs.yaml_files import Section

NotNegative = Annotated[int, whole(least=0)]


class StateSpace(Section):
    """Widths of a layer with a recurrent state; which of them are used depends on the mixer."""

    inner: Count
    """e: width of the scanned input, heads x head size."""
    state: Count = 128
    """N: state size per channel, or the key size of a delta rule."""
    heads: Count = 1
    """H: number of heads of the state."""
    groups: Count = 1
    """G: groups of heads that share keys and queries (B and C); number of key heads of a delta rule."""
    kernel: Count = 4
    """k: width of the short convolution in tokens."""
    rank: NotNegative = 0
    """r: rank of the projection to Mamba's step sizes."""
    chunk: Count = 256
    """Q: tokens per chunk."""
    conv_bias: bool = True
    bias: bool = False
    """Whether the input and output projections have biases."""
    output_norm: bool = True
    """Whether there is a gated norm before the output projection."""
    inner_norms: bool = False
    """Whether step sizes, keys and queries are normalised (Jamba)."""


Mixer = Literal["mamba", "mamba2", "delta", "kda", "lightning", "short-conv"]


def mixer(kind: Mixer, hidden: Array, shape: StateSpace) -> Piece:
    """The token mixer of a layer, by its kind."""
    made = {
        "mamba": mamba, "mamba2": mamba2, "delta": gated_delta, "kda": delta_attention, "lightning": lightning,
        "short-conv": short_conv,
    }  # fmt: skip
    return made[kind](hidden, shape)


def scan(shape: StateSpace) -> tuple[AttentionCore, AttentionCore]:
    """Attention cores of a chunked scan: 2 Q (N + P) / 2 FLOPs per token and head inside chunks, 4 N P between them."""
    heads, size = shape.heads, shape.inner // shape.heads
    inside = AttentionCore(heads, shape.groups, shape.state, size, causal=True, window=shape.chunk)
    between = AttentionCore(heads, heads, size, size, causal=False, keys=shape.state)
    return inside, between


def convolution(channels: Array, shape: StateSpace, *, bias: bool) -> Elementwise:
    """A causal depthwise convolution over ``kernel`` tokens and its activation: k + 1 weights per channel, with bias."""
    return Elementwise(
        Pointwise.GELU, channels, sharded=True, parameters=channels * (shape.kernel + (1 if bias else 0))
    )


def mamba(hidden: Array, shape: StateSpace) -> Piece:
    """Mamba (Gu and Dao 2023, arXiv:2312.00752, section 3.4).

    in  h -> 2 e;  steps and B, C  e -> r + 2 N;  steps  r -> e;  out  e -> h;  A [e, N], D [e]
    """
    e, n, r = shape.inner, shape.state, shape.rank
    linears = (
        Linear("state in", hidden, 2 * e, Split.COLUMN, shape.bias),
        Linear("state steps and keys", e, r + 2 * n, Split.ROW),
        Linear("state steps", r, e, Split.COLUMN, bias=True),
        Linear("state out", e, hidden, Split.ROW, shape.bias),
    )
    core = AttentionCore(e // 64, e // 64, 64, 64, causal=False, keys=n)
    gate = Elementwise(Pointwise.SWIGLU, e, sharded=True, parameters=e * n + e)
    norms = (blocks.norm("rms", r), blocks.norm("rms", n), blocks.norm("rms", n)) if shape.inner_norms else ()
    return Piece(linears, (core,), (convolution(e, shape, bias=shape.conv_bias), gate, *norms), reductions=1)


def mamba2(hidden: Array, shape: StateSpace) -> Piece:
    """Mamba-2 (Dao and Gu 2024, arXiv:2405.21060, section 7): z, x, B, C and step sizes come from one projection.

    in  h -> 2 e + 2 G N + H;  convolution over e + 2 G N channels;  A, D, step bias [H];  out  e -> h
    """
    e, shared = shape.inner, 2 * shape.groups * shape.state
    linears = (
        Linear("state in", hidden, 2 * e + shared + shape.heads, Split.COLUMN, shape.bias),
        Linear("state out", e, hidden, Split.ROW, shape.bias),
    )
    gate = Elementwise(Pointwise.SWIGLU, e, sharded=True, parameters=3 * shape.heads)
    norm = (blocks.norm("rms", e, sharded=True),) if shape.output_norm else ()
    conv = convolution(e + shared, shape, bias=shape.conv_bias)
    return Piece(linears, scan(shape), (conv, gate, *norm), reductions=1)


def gated_delta(hidden: Array, shape: StateSpace) -> Piece:
    """Gated delta rule (Yang et al. 2024, arXiv:2412.06464), as in Qwen3-Next: q, k with G heads of size N; v, z with H heads of size P.

    in  h -> 2 G N + 2 e + 2 H;  convolution over 2 G N + e channels;  A, step bias [H];  norm [P];  out  e -> h
    """
    e, keys = shape.inner, 2 * shape.groups * shape.state
    linears = (
        Linear("state in", hidden, keys + 2 * e + 2 * shape.heads, Split.COLUMN, shape.bias),
        Linear("state out", e, hidden, Split.ROW, shape.bias),
    )
    gate = Elementwise(Pointwise.SWIGLU, e, sharded=True, parameters=2 * shape.heads)
    norm = Elementwise(Pointwise.QK_NORM, e, sharded=True, parameters=e // shape.heads)
    conv = convolution(keys + e, shape, bias=False)
    return Piece(linears, scan(shape), (conv, gate, norm), reductions=1)


def delta_attention(hidden: Array, shape: StateSpace) -> Piece:
    """Kimi Delta Attention (Kimi Team 2025, arXiv:2510.26692): a delta rule with a separate decay per channel; H heads of size P.

    qkv  h -> 3 e;  decay  h -> P -> e, step bias [e], A [H];  write  h -> H;  gate  h -> P -> e;  convolution over 3 e channels;
    norm [P];  out  e -> h
    """
    e, size = shape.inner, shape.inner // shape.heads
    linears = (
        Linear("state in", hidden, 3 * e + shape.heads, Split.COLUMN),
        Linear("decay down", hidden, size, Split.WHOLE),
        Linear("decay up", size, e, Split.COLUMN),
        Linear("gate down", hidden, size, Split.WHOLE),
        Linear("gate up", size, e, Split.COLUMN),
        Linear("state out", e, hidden, Split.ROW),
    )
    gate = Elementwise(Pointwise.SWIGLU, e, sharded=True, parameters=e + shape.heads)
    norm = Elementwise(Pointwise.QK_NORM, e, sharded=True, parameters=size)
    return Piece(linears, scan(shape), (convolution(3 * e, shape, bias=False), gate, norm), reductions=1)


def lightning(hidden: Array, shape: StateSpace) -> Piece:
    """Chunked linear attention with a decay per head and an output gate (MiniMax-01, arXiv:2501.08313, section 2.2).

    qkv  h -> 3 e;  gate  h -> e;  norm [e];  out  e -> h
    """
    e = shape.inner
    linears = (
        Linear("state in", hidden, 3 * e, Split.COLUMN),
        Linear("state gate", hidden, e, Split.COLUMN),
        Linear("state out", e, hidden, Split.ROW),
    )
    gate = Elementwise(Pointwise.SWIGLU, e, sharded=True)
    return Piece(linears, scan(shape), (gate, blocks.norm("rms", e, sharded=True)), reductions=1)


def short_conv(hidden: Array, shape: StateSpace) -> Piece:
    """A gated short convolution (LFM2): of three input branches, one is convolved, one gates its input and one its output.

    in  h -> 3 e;  convolution over e channels;  out  e -> h
    """
    e = shape.inner
    linears = (
        Linear("state in", hidden, 3 * e, Split.COLUMN, shape.bias),
        Linear("state out", e, hidden, Split.ROW, shape.bias),
    )
    gate = Elementwise(Pointwise.SWIGLU, e, sharded=True)
    return Piece(linears, (), (convolution(e, shape, bias=shape.conv_bias), gate), reductions=1)
