"""Encoders of raw sound: strided convolutions over samples, then transformer layers (wav2vec 2.0, HuBERT)."""

from typing import Annotated, Literal, Self

from pydantic import model_validator

from gpuhours.architecture import blocks
from gpuhours.architecture.operators import Block, Elementwise, Ends, Linear, Model, Pointwise, Split, Stack
from gpuhours.architecture.spec import Spec, refuse_uneven_heads
from gpuhours.data import Data
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.units import Count, Fraction, whole


class SoundEncoder(Spec):
    """wav2vec 2.0 (Baevski et al. 2020, arXiv:2006.11477) and HuBERT (Hsu et al. 2021, arXiv:2106.07447).

    ``data.seq_len`` counts the steps that the layers see, 50 in a second of 16 kHz sound; convolution k runs on as many more as the
    strides behind it multiply to. Steps that a convolution's width takes off the ends (one of 500) are left out.
    """

    kind: Literal["sound"] = "sound"
    layers: Count
    hidden: Count
    heads: Count
    ffn_hidden: Count
    channels: tuple[Count, ...] = (512,) * 7
    kernels: tuple[Count, ...] = (10, 3, 3, 3, 3, 2, 2)
    strides: tuple[Count, ...] = (5, 2, 2, 2, 2, 2, 2)
    convolution_bias: bool = False
    convolution_norms: Literal["first", "all"] = "first"
    """A norm per channel after the first convolution (base sizes), or over the channels after each (large ones)."""
    projection_norm: bool = True
    position_kernel: Count = 128
    position_groups: Count = 16
    layer_skip: Fraction = 0.0
    """Share of the layers that a step skips (LayerDrop)."""
    dropout: bool = True
    classes: Count | None = None
    """Letters of a loss by connectionist temporal classification; None: no head."""
    extra_weights: Annotated[int, whole(least=0)] = 0
    """Additional parameters outside GEMMs (the embedding of masked steps): counted, not timed."""

    @model_validator(mode="after")
    def _shape_fits_together(self) -> Self:
        refuse_uneven_heads(self.hidden, self.heads)
        if not len(self.channels) == len(self.kernels) == len(self.strides):
            raise ValueError("channels, kernels and strides must describe the same convolutions")
        if self.hidden % self.position_groups:
            raise ValueError(f"hidden = {self.hidden} is not divisible by {self.position_groups} position_groups")
        return self

    def build(self, data: Data) -> Model:
        """The computation for one sample."""
        steps = self.tokens_per_sample(data)
        if steps is None:
            raise EstimateError("The length of a sample is missing.", "Give data.seq_len: 50 a second.", "data.seq_len")
        run = 1 - self.layer_skip
        layers = Stack("layers", self._block(), self.layers * run, steps, uses=run)
        end = Ends("end", (), 2 * self.hidden + self.extra_weights, steps, first=False)
        head = () if self.classes is None else (self._head(steps),)
        parts = (*self._convolutions(steps), *self._front(steps), layers, end, *head)
        return Model(self.name or "sound encoder", parts, self.hidden)

    def _convolutions(self, steps: Array) -> tuple[Stack, ...]:
        """Each convolution [k c, c'] with its norm and activation, on the steps that it leaves. cuDNN copies its input and output to and
        from channels-last order; norms over channels turn them again, and the activation reads them turned."""
        parts: list[Stack] = []
        before, left = 1, steps * self._shortening
        for place, (wide, kernel, stride) in enumerate(zip(self.channels, self.kernels, self.strides, strict=True)):
            left = left / stride
            linear = Linear("convolution", kernel * before, wide, Split.WHOLE, self.convolution_bias)
            normed = self.convolution_norms == "all" or place == 0
            norms = (blocks.norm("layer", wide),) if normed else ()
            strided = (Elementwise(Pointwise.CHANNELS_FIRST, wide, sharded=False),) * (
                2 if self.convolution_norms == "all" else 0
            )
            laid_out = Elementwise(Pointwise.ALIGNED, wide, sharded=False)
            operators = (*norms, *strided, laid_out, Elementwise(Pointwise.GELU, wide, sharded=False))
            piece = blocks.Piece((linear,), (), (*operators, *blocks.biases((linear,))))
            parts.append(Stack(f"convolution {place + 1}", blocks.block(wide, piece), 1, left))
            before = wide
        return tuple(parts)

    @property
    def _shortening(self) -> int:
        """Samples to a step of the layers: the product of all strides."""
        product = 1
        for stride in self.strides:
            product *= stride
        return product

    def _front(self, steps: Array) -> tuple[Ends | Stack, ...]:
        """A norm and a GEMM to the layers' width, and positions: a convolution in groups over neighbouring steps, whose weight is stored
        as direction and length."""
        wide, h = self.channels[-1], self.hidden
        projection = Linear("sound to hidden", wide, h, Split.WHOLE, bias=True)
        norm = blocks.norm_parameters("layer", wide) if self.projection_norm else 0
        near = Linear("positions", self.position_kernel * h // self.position_groups, h, Split.WHOLE, bias=True)
        return (
            Ends("projection", (projection,), norm, steps, first=True),
            Ends("positions", (near,), self.position_kernel, steps, first=True, grouped=h // self.position_groups),
        )

    def _block(self) -> Block:
        """One layer, before or after whose halves norms run: as many either way."""
        h, heads = self.hidden, self.heads
        attention = blocks.self_attention(
            h, heads, heads, h // heads, causal=False, qkv_bias=True, output_bias=True, dropped=self.dropout
        )
        mixer = blocks.feed_forward(h, self.ffn_hidden, gated=False, bias=True)
        inner = (Elementwise(Pointwise.DROPOUT, self.ffn_hidden, sharded=True),) if self.dropout else ()
        glue = blocks.glue(h, "layer", norms=2, residuals=2, dropout=self.dropout)
        return blocks.block(h, attention, mixer, glue, blocks.Piece(elementwise=inner))

    def _head(self, steps: Array) -> Ends:
        """The GEMM to letters and its loss."""
        assert self.classes is not None
        linear = Linear("letters", self.hidden, self.classes, Split.WHOLE, bias=True)
        return Ends("head", (linear,), 0, steps, first=False, vocabulary=self.classes)

    def tokens_per_sample(self, data: Data) -> Array | None:
        """``seq_len``: steps of the layers."""
        return data.language_tokens()

    def sees_frames(self, data: Data) -> bool:
        """Sound has no frames."""
        return False
