"""Diffusion transformers whose picture and text have weights of their own and attend to each other: SD3, Flux, HunyuanVideo."""

from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import model_validator

from gpuhours.architecture import blocks
from gpuhours.architecture.diffusion import Latent, biased
from gpuhours.architecture.operators import Block, Elementwise, Ends, Model, Pointwise, Stack
from gpuhours.architecture.spec import refuse_uneven_heads
from gpuhours.data import Data
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.units import Count, whole

NotNegative = Annotated[int, whole(least=0)]


class TwoStream(Latent):
    """MMDiT (Esser et al. 2024, arXiv:2403.03206): ``double_layers`` in which both streams have their own products and one attention;
    then ``single_layers`` over both together, whose attention and feed-forward layer stand beside each other (Flux).
    """

    kind: Literal["two-stream"] = "two-stream"
    double_layers: Count
    single_layers: NotNegative = 0
    hidden: Count
    heads: Count
    ffn_hidden: Count | None = None
    """4 x hidden when not given."""
    qk_norm: blocks.QKNorm = "none"
    text_hidden: Count
    """Width of the text encoder's tokens."""
    text_length: Count = 512
    pooled_hidden: NotNegative = 0
    """Width of a vector of the whole text that joins the time step."""
    guidance: bool = False
    """A third such vector: how strongly the text guides."""
    refiner_layers: NotNegative = 0
    """Layers over the text alone in front (HunyuanVideo)."""
    text_norm: bool = False
    """An RMS norm on the text encoder's tokens (Qwen-Image)."""
    rotated: bool | None = None
    """Positions are rotated into queries and keys; where layers of both streams together follow (Flux), when not given."""
    text_ends_early: bool = False
    """The last double layer only reads the text (SD3)."""
    frequencies: Count = 256

    @model_validator(mode="after")
    def _shape_fits_together(self) -> Self:
        refuse_uneven_heads(self.hidden, self.heads)
        return self

    @property
    def ffn_width(self) -> Array:
        """``ffn_hidden``, or 4 h."""
        return 4 * self.hidden if self.ffn_hidden is None else self.ffn_hidden

    def text_tokens(self, data: Data) -> Array:
        """Text tokens of a sample."""
        return self.text_length if data.text_tokens is None else data.text_tokens

    def build(self, data: Data) -> Model:
        """One denoising step of one sample."""
        picture, text = self.tokens_per_sample(data), self.text_tokens(data)
        parts = (
            *self._front(picture, text),
            *self._double(picture, text),
            *self._single(picture + text),
            *self._end(picture),
        )
        return self.trained(Model(self.name or "two-stream diffusion transformer", parts, self.hidden))

    def _front(self, picture: Array, text: Array) -> tuple[Stack | Ends, ...]:
        """Patches and text in; time step, pooled text and guidance through an MLP each; refining layers."""
        h, pixels = self.hidden, self.latent_channels * self.patch**2 * self.time_patch
        vectors = [
            self.frequencies,
            *([self.pooled_hidden] if self.pooled_hidden else []),
            *([self.frequencies] if self.guidance else []),
        ]
        products = tuple(
            product for width in vectors for product in (biased("condition", width, h), biased("condition 2", h, h))
        )
        return (
            Ends("patch embedding", (biased("patch embedding", pixels, h),), 0, picture, first=True),
            Ends(
                "text embedding",
                (biased("text embedding", self.text_hidden, h),),
                self.text_hidden if self.text_norm else 0,
                text,
                first=True,
            ),
            Ends("conditions", products, 0, 1, first=True),
            *self._refiner(text),
        )

    def _refiner(self, text: Array) -> tuple[Stack | Ends, ...]:
        """Transformer layers over the text, gated by the time step and the mean of the text."""
        if not self.refiner_layers:
            return ()
        h, d = self.hidden, self.hidden // self.heads
        conditions = (
            biased("condition", self.frequencies, h), biased("condition 2", h, h),
            biased("mean text", self.text_hidden, h), biased("mean text 2", h, h),
        )  # fmt: skip
        sees = blocks.self_attention(h, self.heads, self.heads, d, causal=False, qkv_bias=True, output_bias=True)
        mixer = blocks.feed_forward(h, self.ffn_width, gated=False, bias=True)
        layer = blocks.block(h, sees, mixer, blocks.glue(h, "layer", norms=2, residuals=2, dropout=False))
        gates = Block((biased("gates", h, 2 * h),), (), (), h, 0)
        return (
            Ends("text conditions", conditions, 0, 1, first=True),
            Stack("refining layers", layer, self.refiner_layers, text),
            Stack("refining gates", gates, self.refiner_layers, 1),
        )

    def _double(self, picture: Array, text: Array) -> tuple[Stack, ...]:
        """Products of each stream over its own tokens, attention over both together, six vectors of modulation for each."""
        h, layers = self.hidden, self.double_layers
        core = self._attention()
        own = tuple(one for one in core.elementwise if one.kind is not Pointwise.BIAS)
        attention = Block((), core.attention, tuple(replace(one, parameters=2 * one.parameters) for one in own), h, 0)
        side = self._side()
        modulation = Block((biased("modulation", h, 6 * h),), (), (), h, 0)
        early = 1 if self.text_ends_early else 0
        linears = [
            Stack("double layers over the picture", side, layers, picture),
            Stack("double layers over the text", side, layers - early, text),
            Stack("attention over both", attention, layers, picture + text),
            Stack("modulation of both", modulation, 2 * layers - early, 1),
        ]
        if early:
            linears.append(Stack("last layer over the text", self._read_only(), 1, text))
            linears.append(
                Stack("last modulation of the text", Block((biased("modulation", h, 2 * h),), (), (), h, 0), 1, 1)
            )
        return tuple(linears)

    def _attention(self) -> blocks.Piece:
        """Attention of either kind of layer; queries and keys of each stream have norms of their own."""
        h, d = self.hidden, self.hidden // self.heads
        return blocks.self_attention(
            h,
            self.heads,
            self.heads,
            d,
            causal=False,
            qkv_bias=True,
            output_bias=True,
            rotary=self.rotary,
            qk_norm=self.qk_norm,
        )

    @property
    def rotary(self) -> bool:
        """Positions are turned into queries and keys where layers of both streams together follow (Flux, HunyuanVideo)."""
        return bool(self.single_layers) if self.rotated is None else self.rotated

    def _side(self) -> Block:
        """One stream's half of a double layer without its attention."""
        piece = self._attention()
        mixer = blocks.feed_forward(self.hidden, self.ffn_width, gated=False, bias=True)
        glue = blocks.glue(self.hidden, "no-weights", norms=2, residuals=2, dropout=False)
        halves = blocks.Piece(elementwise=(Elementwise(Pointwise.MODULATION, 2 * self.hidden, sharded=False),))
        products = blocks.Piece(piece.linears, (), blocks.biases(piece.linears), reductions=1)
        return blocks.block(self.hidden, products, mixer, glue, halves)

    def _read_only(self) -> Block:
        """The text's half of SD3's last layer: keys, values and queries, nothing behind them."""
        qkv = self._attention().linears[0]
        norm = (blocks.norm("no-weights", self.hidden), *blocks.biases((qkv,)))
        return blocks.block(self.hidden, blocks.Piece((qkv,)), blocks.Piece(elementwise=norm))

    def _single(self, tokens: Array) -> tuple[Stack, ...]:
        """qkv and up [h, 3 h + w] in one reading, [h + w, h] out, three vectors of modulation."""
        if not self.single_layers:
            return ()
        h, w = self.hidden, self.ffn_width
        piece = self._attention()
        up, _ = blocks.feed_forward(h, w, gated=False, bias=True).linears
        out = replace(piece.linears[1], inputs=h + w)
        gelu = Elementwise(Pointwise.GELU, w, sharded=True)
        merged = blocks.Piece((piece.linears[0], up, out), piece.attention, (*piece.elementwise, gelu), reductions=1)
        halves = blocks.Piece(elementwise=(Elementwise(Pointwise.MODULATION, h, sharded=False),))
        layer = blocks.block(h, merged, halves, blocks.glue(h, "no-weights", norms=1, residuals=1, dropout=False))
        return (
            Stack("single layers", layer, self.single_layers, tokens),
            Stack("modulation", Block((biased("modulation", h, 3 * h),), (), (), h, 0), self.single_layers, 1),
        )

    def _end(self, picture: Array) -> tuple[Ends, ...]:
        """The last modulation and the patches out."""
        h = self.hidden
        out = self.latent_channels if self.out_channels is None else self.out_channels
        pixels = biased("pixels", h, out * self.patch**2 * self.time_patch)
        return (
            Ends("last modulation", (biased("last modulation", h, 2 * h),), 0, 1, first=False),
            Ends("pixel head", (pixels,), 0, picture, first=False),
        )
