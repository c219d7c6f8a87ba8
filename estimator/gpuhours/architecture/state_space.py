"""Token mixers that are not attention: state-space layers, gated delta rules, linear attention, short convolutions.

A chunked scan is two kinds of products: inside a chunk of Q tokens a causal attention of width N, between chunks a state [N, P] per
head that every token updates and reads. Both are priced as attention cores: the first with a window of Q, the second over N keys. Their
parameters are exact; their times rest on the attention kernels' constants, since no run of such a layer was measured.
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
    """Widths of a layer that carries a state along the sequence; which of them count depends on the mixer."""

    inner: Count
    """e: width of what is scanned; heads x head size."""
    state: Count = 128
    """N: numbers of state per channel, or the key size of a delta rule."""
    heads: Count = 1
    """H: heads of the state."""
    groups: Count = 1
    """G: heads that share keys and queries (B and C); key heads of a delta rule."""
    kernel: Count = 4
    """k: taps of the short convolution."""
    rank: NotNegative = 0
    """Rank of Mamba's step sizes."""
    chunk: Count = 256
    """Q: tokens of a chunk."""
    conv_bias: bool = True
    bias: bool = False
    """Of the products in and out."""
    output_norm: bool = True
    """A gated norm before the output product."""
    inner_norms: bool = False
    """Norms on step sizes, keys and queries (Jamba)."""


Mixer = Literal["mamba", "mamba2", "delta", "kda", "lightning", "short-conv"]


def mixer(kind: Mixer, hidden: Array, shape: StateSpace) -> Piece:
    """The piece of a layer that mixes tokens."""
    made = {
        "mamba": mamba, "mamba2": mamba2, "delta": gated_delta, "kda": delta_attention, "lightning": lightning,
        "short-conv": short_conv,
    }  # fmt: skip
    return made[kind](hidden, shape)


def scan(shape: StateSpace) -> tuple[AttentionCore, AttentionCore]:
    """Inside chunks, 2 Q (N + P) / 2 FLOPs a token and head; between them 4 N P."""
    heads, size = shape.heads, shape.inner // shape.heads
    inside = AttentionCore(heads, shape.groups, shape.state, size, causal=True, window=shape.chunk)
    between = AttentionCore(heads, heads, size, size, causal=False, keys=shape.state)
    return inside, between


def convolution(channels: Array, shape: StateSpace, *, bias: bool) -> Elementwise:
    """A causal convolution of each channel over ``kernel`` tokens and its activation: k + 1 weights a channel."""
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
    """Mamba-2 (Dao and Gu 2024, arXiv:2405.21060, section 7): z, x, B, C and step sizes in one product.

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
    """Gated delta rule (Yang et al. 2024, arXiv:2412.06464), as Qwen3-Next has it: q, k of G heads of N, v and z of H heads of P.

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
    """Kimi Delta Attention (Kimi Team 2025, arXiv:2510.26692): a delta rule whose decay is a number for each channel; H heads of P.

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
    """Linear attention in chunks with a decay per head and an output gate (MiniMax-01, arXiv:2501.08313, section 2.2).

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
    """A gated short convolution (LFM2): three branches in, one gates before it, one behind.

    in  h -> 3 e;  convolution over e channels;  out  e -> h
    """
    e = shape.inner
    linears = (
        Linear("state in", hidden, 3 * e, Split.COLUMN, shape.bias),
        Linear("state out", e, hidden, Split.ROW, shape.bias),
    )
    gate = Elementwise(Pointwise.SWIGLU, e, sharded=True)
    return Piece(linears, (), (convolution(e, shape, bias=shape.conv_bias), gate), reductions=1)
