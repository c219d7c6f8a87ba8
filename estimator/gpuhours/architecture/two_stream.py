"""Diffusion transformers whose image and text streams have separate weights and joint attention: SD3, Flux, FLUX.2, AuraFlow, Chroma,
HunyuanVideo."""

from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import model_validator

from gpuhours.architecture import blocks
from gpuhours.architecture.diffusion import Latent, biased
from gpuhours.architecture.operators import Block, Elementwise, Ends, Linear, Model, Pointwise, Split, Stack
from gpuhours.architecture.spec import refuse_uneven_heads
from gpuhours.data import Data
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.units import Count, whole
from gpuhours.inputs.yaml_files import Section

NotNegative = Annotated[int, whole(least=0)]


class Approximator(Section):
    """A network that computes the modulation of all layers from the time step, replacing the linear layer in each (Chroma)."""

    channels: Count
    """Number of sines and cosines in its input, per modulation vector."""
    hidden: Count
    layers: Count


class TwoStream(Latent):
    """MMDiT (Esser et al. 2024, arXiv:2403.03206): ``double_layers`` in which image and text have separate weights and joint attention;
    then ``single_layers`` over the concatenated streams, with attention and feed-forward in parallel (Flux).
    """

    kind: Literal["two-stream"] = "two-stream"
    double_layers: Count
    single_layers: NotNegative = 0
    hidden: Count
    heads: Count
    ffn_hidden: Count | None = None
    """Default 4 x hidden."""
    gated: bool = False
    """Whether feed-forward layers are gated (FLUX.2, AuraFlow)."""
    biases: bool = True
    modulation: Literal["per-layer", "shared"] = "per-layer"
    """Whether a linear layer in each layer computes shift, scale and gate, or one shared by all layers of a kind (FLUX.2)."""
    approximator: Approximator | None = None
    """A small network that computes the modulation of all layers (Chroma); None if there is none."""
    single: Literal["parallel", "serial"] = "parallel"
    """Attention and feed-forward of a single layer: in parallel (Flux), or in series (AuraFlow)."""
    qk_norm: blocks.QKNorm = "none"
    text_hidden: Count
    """Width of the text encoder's output."""
    text_length: Count = 512
    pooled_hidden: NotNegative = 0
    """Width of a pooled text embedding that is added to the time embedding; 0: none."""
    guidance: bool = False
    """Whether an embedding of the guidance scale is also added to it."""
    refiner_layers: NotNegative = 0
    """Number of initial layers over the text alone (HunyuanVideo)."""
    text_norm: bool = False
    """Whether there is an RMSNorm on the text encoder's output (Qwen-Image)."""
    text_2_hidden: NotNegative = 0
    """Width of the output of a second text encoder, whose tokens are appended to the first's (HunyuanVideo 1.5); 0: none."""
    text_2_width: Count = 2048
    """Width of the linear layers that embed the second encoder's tokens."""
    text_2_length: Count = 256
    """Number of tokens from the second encoder."""
    image_hidden: NotNegative = 0
    """Width of the output of an image encoder, whose tokens are also appended (HunyuanVideo 1.5); 0: none."""
    image_tokens: Count = 729
    """Number of tokens from the image encoder."""
    extra_weights: NotNegative = 0
    """Additional parameters outside GEMMs (a position table, registers): counted, not timed."""
    rotated: bool | None = None
    """Whether rotary positions are applied; default: if the model has single layers (Flux)."""
    text_ends_early: bool = False
    """Whether the last double layer reads the text without updating it (SD3)."""
    dual_layers: NotNegative = 0
    """Number of double layers with a second attention, over the image alone, and three modulation vectors for it (SD3.5 medium)."""
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
        """Tokens per sample that join the image's in attention: from the text encoder, second text encoder and image encoder."""
        return (self.text_length if data.text_tokens is None else data.text_tokens) + self._further_tokens

    @property
    def _further_tokens(self) -> int:
        """Tokens of the second text encoder and the image encoder; 0 for those that the model lacks."""
        return (self.text_2_length if self.text_2_hidden else 0) + (self.image_tokens if self.image_hidden else 0)

    def linear(self, name: str, inputs: Array, outputs: Array) -> Linear:
        """A linear layer replicated on every tensor rank, with a bias if the model has biases."""
        return Linear(name, inputs, outputs, Split.WHOLE, bias=self.biases)

    def build(self, data: Data) -> Model:
        """The computation for one denoising step of one sample."""
        picture, text = self.tokens_per_sample(data), self.text_tokens(data)
        parts = (
            *self._front(picture, text),
            *self._double(picture, text),
            *self._single(picture + text),
            *self._end(picture),
        )
        return self.trained(Model(self.name or "two-stream diffusion transformer", parts, self.hidden))

    def _front(self, picture: Array, text: Array) -> tuple[Stack | Ends, ...]:
        """Patch and text embedding; one MLP each for time step, pooled text and guidance; refiner layers."""
        h, pixels = self.hidden, self.latent_channels * self.patch**2 * self.time_patch
        vectors = [
            self.frequencies,
            *([self.pooled_hidden] if self.pooled_hidden else []),
            *([self.frequencies] if self.guidance else []),
        ]
        linears = tuple(
            one for width in vectors for one in (self.linear("condition", width, h), self.linear("condition 2", h, h))
        )
        if self.modulation == "shared":
            linears = (*linears, *self._shared_modulation())
        conditions = (
            Ends("conditions", linears, 0, 1, first=True) if self.approximator is None else self._approximated()
        )
        embedded, normed = (
            self.linear("text embedding", self.text_hidden, h),
            self.text_hidden if self.text_norm else 0,
        )
        own = text - self._further_tokens
        return (
            Ends(
                "patch embedding",
                (self.linear("patch embedding", pixels, h),),
                self.extra_weights,
                picture,
                first=True,
            ),
            Ends("text embedding", (embedded,), normed, own, first=True),
            *self._further_embeddings(),
            conditions,
            *self._refiner(own),
        )

    def _further_embeddings(self) -> tuple[Ends, ...]:
        """A norm and three linear layers for the second text encoder's tokens; two norms and two linear layers for the image encoder's;
        a token-type embedding."""
        h, t, w, i = self.hidden, self.text_2_hidden, self.text_2_width, self.image_hidden
        ends = []
        if t:
            second = (biased("second text", t, w), biased("second text 2", w, w), biased("second text 3", w, h))
            ends.append(Ends("second text embedding", second, 2 * t, self.text_2_length, first=True))
        if i:
            image = (biased("image", i, i), biased("image 2", i, h))
            ends.append(Ends("image embedding", image, 2 * i + 2 * h + 3 * h, self.image_tokens, first=True))
        return tuple(ends)

    def _shared_modulation(self) -> tuple[Linear, ...]:
        """Shared modulation, computed once per step: six vectors each for image and text in double layers, three in single layers."""
        both = (self.linear("modulation", self.hidden, 6 * self.hidden),) * 2
        return (*both, self.linear("single modulation", self.hidden, 3 * self.hidden)) if self.single_layers else both

    def _approximated(self) -> Ends:
        """The approximator, c -> n -> ... -> h, with one token per modulation vector: twelve per double layer, three per single layer,
        two at the end."""
        assert self.approximator is not None
        c, n, layers = self.approximator.channels, self.approximator.hidden, self.approximator.layers
        inner = (biased("approximator", n, n), biased("approximator 2", n, n)) * layers
        linears = (biased("approximator in", c, n), *inner, biased("approximator out", n, self.hidden))
        vectors = 12 * self.double_layers + 3 * self.single_layers + 2
        return Ends("approximator", linears, layers * n, vectors, first=True)

    def _refiner(self, text: Array) -> tuple[Stack | Ends, ...]:
        """Transformer layers over the text with an MLP of 4 x hidden, gated by the time step and the mean of the text."""
        if not self.refiner_layers:
            return ()
        h, d = self.hidden, self.hidden // self.heads
        conditions = (
            biased("condition", self.frequencies, h), biased("condition 2", h, h),
            biased("mean text", self.text_hidden, h), biased("mean text 2", h, h),
        )  # fmt: skip
        sees = blocks.self_attention(h, self.heads, self.heads, d, causal=False, qkv_bias=True, output_bias=True)
        mixer = blocks.feed_forward(h, 4 * h, gated=False, bias=True)
        layer = blocks.block(h, sees, mixer, blocks.glue(h, "layer", norms=2, residuals=2, dropout=False))
        gates = Block((biased("gates", h, 2 * h),), (), (), h, 0)
        return (
            Ends("text conditions", conditions, 0, 1, first=True),
            Stack("refining layers", layer, self.refiner_layers, text),
            Stack("refining gates", gates, self.refiner_layers, 1, within=True),
        )

    def _double(self, picture: Array, text: Array) -> tuple[Stack, ...]:
        """The double layers: the GEMMs of each stream over its own tokens, joint attention, and six modulation vectors per stream."""
        h, layers = self.hidden, self.double_layers
        core = self._attention()
        own = tuple(one for one in core.elementwise if one.kind is not Pointwise.BIAS)
        attention = Block((), core.attention, tuple(replace(one, parameters=2 * one.parameters) for one in own), h, 0)
        side = self._side()
        early = 1 if self.text_ends_early else 0
        stacks = [
            Stack("double layers over the picture", side, layers, picture, within=True),
            Stack("double layers over the text", side, layers - early, text, within=True),
            Stack("attention over both", attention, layers, picture + text),
            *self._modulating("modulation of both", 6, 2 * layers - early),
        ]
        if self.dual_layers:
            alone = blocks.block(h, core, blocks.Piece(), self._glue(1), self._halves(1))
            stacks.append(Stack("second attention over the picture", alone, self.dual_layers, picture, within=True))
            stacks += self._modulating("modulation of the second attention", 3, self.dual_layers)
        if early:
            stacks.append(Stack("last layer over the text", self._read_only(), 1, text, within=True))
            stacks += self._modulating("last modulation of the text", 2, 1)
        return tuple(stacks)

    def _modulating(self, name: str, vectors: int, layers: Array) -> tuple[Stack, ...]:
        """The linear layers that compute ``vectors`` modulation vectors per layer from the time embedding; empty if layers have none."""
        if self.modulation == "shared" or self.approximator is not None:
            return ()
        one = Block((self.linear("modulation", self.hidden, vectors * self.hidden),), (), (), self.hidden, 0)
        return (Stack(name, one, layers, 1, within=True),)

    def _attention(self) -> blocks.Piece:
        """Attention of a double or single layer; the queries and keys of each stream have separate norms."""
        h, d = self.hidden, self.hidden // self.heads
        return blocks.self_attention(
            h,
            self.heads,
            self.heads,
            d,
            causal=False,
            qkv_bias=self.biases,
            output_bias=self.biases,
            rotary=self.rotary,
            qk_norm=self.qk_norm,
        )

    @property
    def rotary(self) -> bool:
        """Whether rotary positions are applied: ``rotated``, by default if the model has single layers (Flux, HunyuanVideo)."""
        return bool(self.single_layers) if self.rotated is None else self.rotated

    def _side(self) -> Block:
        """One stream's part of a double layer, without the attention core."""
        piece = self._attention()
        mixer, glue, halves = self._mixer(), self._glue(2), self._halves(2)
        linears = blocks.Piece(piece.linears, (), blocks.biases(piece.linears), reductions=1)
        return blocks.block(self.hidden, linears, mixer, glue, halves)

    def _mixer(self) -> blocks.Piece:
        """The feed-forward layer of a double or single layer."""
        return blocks.feed_forward(self.hidden, self.ffn_width, gated=self.gated, bias=self.biases)

    def _glue(self, halves: int) -> blocks.Piece:
        """A norm without weights before each half and a residual addition after it."""
        return blocks.glue(self.hidden, "no-weights", norms=halves, residuals=halves, dropout=False)

    def _halves(self, halves: int) -> blocks.Piece:
        """Shift and scale before each half, a gate after it."""
        return blocks.Piece(elementwise=(Elementwise(Pointwise.MODULATION, halves * self.hidden, sharded=False),))

    def _read_only(self) -> Block:
        """The text's part of SD3's last layer: only the query, key and value projections."""
        qkv = self._attention().linears[0]
        norm = (blocks.norm("no-weights", self.hidden), *blocks.biases((qkv,)))
        return blocks.block(self.hidden, blocks.Piece((qkv,)), blocks.Piece(elementwise=norm))

    def _single(self, tokens: Array) -> tuple[Stack, ...]:
        """The single layers. Parallel: one GEMM [h, 3 h + w] for qkv and up, one [h + w, h] for the output, three modulation vectors.
        Serial: a standard layer with six modulation vectors."""
        if not self.single_layers:
            return ()
        h, w, piece, mixer = self.hidden, self.ffn_width, self._attention(), self._mixer()
        if self.single == "serial":
            layer = blocks.block(h, piece, mixer, self._glue(2), self._halves(2))
            vectors = 6
        else:
            out = replace(piece.linears[1], inputs=h + w)
            activation = Elementwise(Pointwise.SWIGLU if self.gated else Pointwise.GELU, w, sharded=True)
            linears, operators = (piece.linears[0], mixer.linears[0], out), (*piece.elementwise, activation)
            merged = blocks.Piece(linears, piece.attention, operators, reductions=1)
            layer = blocks.block(h, merged, self._halves(1), self._glue(1))
            vectors = 3
        return (
            Stack("single layers", layer, self.single_layers, tokens),
            *self._modulating("modulation", vectors, self.single_layers),
        )

    def _end(self, picture: Array) -> tuple[Ends, ...]:
        """Final modulation and output projection."""
        h = self.hidden
        out = self.latent_channels if self.out_channels is None else self.out_channels
        pixels = self.linear("pixels", h, out * self.patch**2 * self.time_patch)
        last = () if self.approximator is not None else (self.linear("last modulation", h, 2 * h),)
        return (
            Ends("last modulation", last, 0, 1, first=False),
            Ends("pixel head", (pixels,), 0, picture, first=False),
        )
