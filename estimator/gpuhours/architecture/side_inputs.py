"""Additions of Gemma 3n and 4 to a decoder: a second embedding per layer, several residual streams, low-rank residual branches."""

from __future__ import annotations

from gpuhours.architecture import blocks
from gpuhours.architecture.decoder_shapes import PerLayerInput, Streams
from gpuhours.architecture.operators import Elementwise, Ends, Linear, Pointwise, Split, Trainable
from gpuhours.inputs.arrays import Array


def linear(name: str, inputs: Array, outputs: Array) -> Linear:
    """A narrow linear layer without bias, replicated on every tensor rank."""
    return Linear(name, inputs, outputs, Split.WHOLE)


def front(
    hidden: Array, layers: Array, tokens: Array, second: PerLayerInput | None, streams: Streams | None, kind: Trainable
) -> tuple[Ends, ...]:
    """The second embedding's table [vocab, layers p] and projection [h, layers p] with a norm over p; a linear layer [h, h] for each
    additional stream. Source: transformers, models/gemma3n/modeling_gemma3n.py."""
    ends = []
    if second is not None:
        every = layers * second.width
        made = (linear("per-layer projection", hidden, every),)
        table = second.vocab * every + second.width
        ends.append(Ends("per-layer embedding", made, table, tokens, first=True, trainable=kind))
    if streams is not None:
        several = (linear("stream", hidden, hidden),) * (streams.count - 1)
        ends.append(Ends("streams", several, 0, tokens, first=True, trainable=kind))
    return tuple(ends)


def back(hidden: Array, tokens: Array, streams: Streams | None, kind: Trainable) -> tuple[Ends, ...]:
    """A linear layer [h, h] for each additional stream, before the streams are merged."""
    if streams is None:
        return ()
    made = (linear("stream", hidden, hidden),) * (streams.count - 1)
    return (Ends("streams joined", made, 0, tokens, first=False, trainable=kind),)


def layer(hidden: Array, second: PerLayerInput | None, streams: Streams | None) -> tuple[blocks.Piece, ...]:
    """Operators that these extras add to each layer.

    second embedding    gate [h, p], elementwise product with the layer's part, up [p, h], a norm over h, a residual addition
    n streams           a norm and a router [h, n]; n^2 and n coefficients of its n outputs [n, n^2], [n, n]; the streams are mixed
                        before the layer and corrected after it, with a scale of h
    low-rank residual   [h, r], [r, h], a norm over h, an addition
    """
    pieces = []
    if second is not None:
        p = second.width
        gated = (Elementwise(Pointwise.SWIGLU, p, sharded=False), blocks.norm("rms", hidden), added(hidden))
        pieces.append(blocks.Piece((linear("per-layer gate", hidden, p), linear("per-layer up", p, hidden)), (), gated))
    if streams is not None:
        n, r = streams.count, streams.laurel_rank
        mixed = (linear("stream router", hidden, n), linear("predicted", n, n * n), linear("corrected", n, n))
        moved = (blocks.norm("rms", hidden), added(n * hidden), added(n * hidden), blocks.weights(hidden))
        low = (linear("low-rank down", hidden, r), linear("low-rank up", r, hidden))
        pieces.append(blocks.Piece((*mixed, *low), (), (*moved, blocks.norm("rms", hidden), added(hidden))))
    return tuple(pieces)


def added(width: Array) -> Elementwise:
    """An addition to the residual stream."""
    return Elementwise(Pointwise.RESIDUAL, width, sharded=False)
