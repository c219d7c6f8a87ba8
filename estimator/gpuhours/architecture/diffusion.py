"""Diffusion transformers over compressed images and video."""

from dataclasses import replace
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from gpuhours.architecture import blocks
from gpuhours.architecture.adapted import Adapted
from gpuhours.architecture.operators import Block, Elementwise, Ends, Linear, Model, Pointwise, Split, Stack
from gpuhours.architecture.spec import refuse_uneven_heads
from gpuhours.data import Data, patches
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.units import Count, whole

NotNegative = Annotated[int, whole(least=0)]


class Latent(Adapted):
    """Base class of diffusion transformers: they denoise the latent into which a frozen autoencoder compresses images or clips.

    The autoencoder shrinks a clip by ``compression`` in space and ``time_compression`` in time (the first frame is kept separate if time is
    compressed); the tokens are patches of the latent.
    """

    NARROW_ADAPTERS: ClassVar[bool] = True

    patch: Count = 2
    time_patch: Count = 1
    latent_channels: Count = 4
    out_channels: Count | None = None
    """Channels predicted; default the input channels (DiT also predicts a variance, so twice as many)."""
    image_size: Count = 256
    compression: Count = 8
    time_compression: Count = 1

    @property
    def of_pictures(self) -> bool:
        """Whether samples are images: neither patches nor compression extend along time."""
        return (
            bool(np.all(np.equal(self.time_patch, 1)) and np.all(np.equal(self.time_compression, 1)))
            and not self.along_time
        )

    @property
    def swaps_blocks(self) -> bool:
        """Block swapping is how trainers of diffusion models fit one card."""
        return self.trainable == "lora"

    @property
    def along_time(self) -> bool:
        """Whether some layers attend over time."""
        return False

    def latent_frames(self, data: Data) -> Array:
        """Frames of the latent: 1 + (frames - 1) / compression if a causal autoencoder
        compresses time."""
        frames = data.clip_frames()
        times = frames if self.time_compression == 1 else 1 + np.ceil((frames - 1) / self.time_compression)
        return np.ceil(np.divide(times, self.time_patch))

    def tokens_per_frame(self, data: Data) -> Array:
        """Patches of one latent frame: (height / c / p) x (width / c / p)."""
        return patches(*data.image(self.image_size), self.compression * self.patch)

    def tokens_per_sample(self, data: Data) -> Array:
        """Latent patches of the clip."""
        return self.latent_frames(data) * self.tokens_per_frame(data)

    def assumptions(self, data: Data) -> tuple[Assumption, ...]:
        """The resolution, if the run does not state it."""
        if data.resolution is not None:
            return ()
        reason = "no resolution is stated: the model's own"
        return (Assumption("data.resolution", self.image_size, "pixel", reason),)


class Diffusion(Latent):
    """DiT (Peebles and Xie 2023, arXiv:2212.09748) and its video variants."""

    kind: Literal["diffusion"] = "diffusion"
    layers: Count
    hidden: Count
    heads: Count
    ffn_hidden: Count | None = None
    """Default 4 x hidden."""
    gated: bool = False
    biases: bool = True
    qk_norm: blocks.QKNorm = "none"
    attends: Literal["clip", "alternating", "divided"] = "clip"
    """``clip``: every token attends to the whole clip; ``alternating``: layers alternate between attention within a frame and over time
    (Latte); ``divided``: every layer does both (STDiT)."""
    text_along_time: bool = True
    """Whether layers along time, if layers alternate, read the text too (Open-Sora 1.2: yes; Open-Sora Plan's Latte: no)."""
    modulation: Literal["per-layer", "shared", "none"] = "per-layer"
    """adaLN: ``vectors`` per layer are computed from the time step, by a linear layer in each layer or by one shared by all
    (PixArt)."""
    vectors: Count = 6
    """Modulation vectors per layer; 12 if text tokens in the sequence have their own (CogVideoX)."""
    time_hidden: Count | None = None
    """Width of the time embedding; default the model's width."""
    time_per_layer: bool = False
    """Whether each layer embeds time step and class separately (DiT in the diffusers library)."""
    norm: blocks.Norm = "no-weights"
    text_in_stream: bool = False
    """Whether text tokens are part of the sequence, after one linear layer, instead of being read by cross-attention (CogVideoX)."""
    caption_layers: Literal[0, 1, 2] = 2
    """Number of linear layers that project the text to the model's width."""
    size_frequencies: NotNegative = 0
    """Width of each of the three embeddings of size and aspect ratio that are added to the time embedding (PixArt at 1024 pixels)."""
    classes: Annotated[int, whole(least=0)] = 0
    """Rows of the class embedding; 0: none."""
    text_hidden: Count | None = None
    """Width of the text encoder's output."""
    cross_norm: bool = False
    """Whether cross-attention has a trained norm on its input and norms on its queries and keys (Wan)."""
    cross_qk_norm: bool = False
    """Whether cross-attention has norms on its queries and keys only (LTX-Video)."""
    image_hidden: Count | None = None
    """Width of an image encoder's output, for which each layer has separate key-value projections (Wan 2.1 image-to-video)."""
    image_tokens: Count = 257
    """Tokens from the image encoder: CLIP's ViT-H has 16 x 16 patches and a class token."""
    text_length: Count = 120
    """Text tokens per sample, unless the data give them."""
    frequencies: Count = 256
    """Number of sines and cosines in the time embedding."""

    @model_validator(mode="after")
    def _shape_fits_together(self) -> Self:
        refuse_uneven_heads(self.hidden, self.heads)
        return self

    def build(self, data: Data) -> Model:
        """The computation for one denoising step of one sample."""
        times, places = self.latent_frames(data), self.tokens_per_frame(data)
        tokens = times * places
        front, stacks = self._front(tokens), self._stacks(tokens, times, places, data)
        parts: tuple[Stack | Ends, ...] = (*front, *stacks, *self._end(tokens))
        return self.trained(Model(self.name or "diffusion transformer", parts, self.hidden))

    @property
    def along_time(self) -> bool:
        """Whether some layers attend over time: ``attends`` is alternating (Latte) or divided (STDiT)."""
        return self.attends != "clip"

    @property
    def time_width(self) -> Array:
        """``time_hidden``, or hidden."""
        return self.hidden if self.time_hidden is None else self.time_hidden

    def _front(self, tokens: Array) -> tuple[Ends, ...]:
        """Patch embedding, time-step MLP and class embedding."""
        h, e, pixels = self.hidden, self.time_width, self.latent_channels * self.patch**2 * self.time_patch
        step = [] if self.time_per_layer else [biased("time step", self.frequencies, e), biased("time step 2", e, e)]
        if self.modulation == "shared":
            step.append(biased("modulation", h, self.vectors * h))
        for _ in range(2 if self.size_frequencies else 0):
            step += [
                biased("size", 256, self.size_frequencies),
                biased("size 2", self.size_frequencies, self.size_frequencies),
            ]
        table = 0 if self.time_per_layer else self.classes * h
        patch = Ends("patch embedding", (biased("patch embedding", pixels, h),), 0, tokens, first=True)
        return (patch, Ends("time step", tuple(step), table, 1, first=True))

    def _stacks(self, tokens: Array, times: Array, places: Array, data: Data) -> tuple[Stack, ...]:
        """The layers over latent tokens, their modulation (once per sample), and key-value projections of the text."""
        text = self.text_length if data.text_tokens is None else data.text_tokens
        block = self._block(text)
        tokens = tokens + (text if self.text_in_stream else 0)
        if self.attends == "clip":
            stacks = [Stack("layers", block, self.layers, tokens, tokens)]
        elif self.attends == "divided":
            over_time = blocks.block(
                self.hidden, self._sees(), blocks.glue(self.hidden, self.norm, norms=0, residuals=1, dropout=False)
            )
            stacks = [
                Stack("layers", block, self.layers, tokens, places),
                Stack("attention along time", over_time, self.layers, tokens, times),
            ]
        else:
            over_time = block if self.text_along_time else self._block(text, looks=False)
            stacks = [
                Stack("layers over a frame", block, self.layers - self._along, tokens, places),
                Stack("layers along time", over_time, self._along, tokens, times),
            ]
        if self.modulation == "per-layer":
            stacks.append(Stack("modulation", self._modulation(), self.layers, 1, within=True))
        if self.looks:
            keys = blocks.cross_keys(self.hidden, self.heads, self.hidden // self.heads, bias=self.biases)
            readers = self.layers - (0 if self.text_along_time else self._along)
            stacks.append(Stack("text keys and values", blocks.block(self.hidden, keys), readers, text, within=True))
        if self.image_hidden is not None:
            keys = blocks.cross_keys(self.hidden, self.heads, self.hidden // self.heads, bias=self.biases)
            normed = Elementwise(Pointwise.QK_NORM, self.hidden, sharded=True, parameters=self.hidden)
            of_image = blocks.block(self.hidden, keys, blocks.Piece(elementwise=(normed,) if self.cross_norm else ()))
            stacks.append(Stack("image keys and values", of_image, self.layers, self.image_tokens, within=True))
        return tuple(stacks)

    @property
    def _along(self) -> Array:
        """Layers along time: half of those that alternate, otherwise none by itself."""
        return self.layers // 2 if self.attends == "alternating" else 0

    @property
    def looks(self) -> bool:
        """Whether layers have cross-attention to text."""
        return self.text_hidden is not None and not self.text_in_stream

    def _modulation(self) -> Block:
        """The linear layer that computes one layer's modulation vectors from the time embedding."""
        e, h = self.time_width, self.hidden
        own = (biased("time step", self.frequencies, h), biased("time step 2", h, h)) if self.time_per_layer else ()
        table = (blocks.weights(self.classes * h),) if self.time_per_layer and self.classes else ()
        return Block((*own, biased("modulation", e, self.vectors * h)), (), table, h, 0)

    def _sees(self) -> blocks.Piece:
        """Self-attention."""
        return blocks.self_attention(
            self.hidden, self.heads, self.heads, self.hidden // self.heads, causal=False, qkv_bias=self.biases,
            output_bias=self.biases, qk_norm=self.qk_norm,
        )  # fmt: skip

    def _block(self, text: Array, *, looks: bool = True) -> Block:
        """One layer; without cross-attention if it does not look at the text."""
        reads = self.looks and looks
        h, d = self.hidden, self.hidden // self.heads
        sees = self._sees()
        cross = blocks.cross_attention(h, self.heads, d, text, bias=self.biases)
        width = 4 * h if self.ffn_hidden is None else self.ffn_hidden
        mixer = blocks.feed_forward(h, width, gated=self.gated, bias=self.biases)
        glue = blocks.glue(h, self.norm, norms=2, residuals=3 if reads else 2, dropout=False)
        if not reads:
            return blocks.block(h, sees, mixer, glue, *self._modulated())
        also = self._looks_at_image(cross)
        return blocks.block(h, sees, cross, *also, mixer, glue, *self._modulated(), *self._cross_norms())

    def _looks_at_image(self, looks: blocks.Piece) -> tuple[blocks.Piece, ...]:
        """A second cross-attention core to the image tokens, with the same queries; empty if the model has none."""
        if self.image_hidden is None:
            return ()
        return (blocks.Piece((), tuple(replace(core, keys=self.image_tokens) for core in looks.attention)),)

    def _modulated(self) -> tuple[blocks.Piece, ...]:
        """Shift and scale before attention and MLP, and a gate after each; a table of six vectors per layer if modulation is shared."""
        if self.modulation == "none":
            return ()
        table = self.vectors * self.hidden if self.modulation == "shared" else 0
        halves = Elementwise(Pointwise.MODULATION, 2 * self.hidden, sharded=False, parameters=table)
        return (blocks.Piece(elementwise=(halves,)),)

    def _cross_norms(self) -> tuple[blocks.Piece, ...]:
        """Norms of cross-attention: LayerNorm on its input (2 h parameters), RMSNorm on queries and keys (h each)."""
        on_both = Elementwise(Pointwise.QK_NORM, self.hidden, sharded=True, parameters=2 * self.hidden)
        if self.cross_norm:
            return (blocks.Piece(elementwise=(blocks.norm("layer", self.hidden), on_both)),)
        return (blocks.Piece(elementwise=(on_both,)),) if self.cross_qk_norm else ()

    def _end(self, tokens: Array) -> tuple[Ends, ...]:
        """Caption MLP (once per text token), final modulation, and output projection."""
        h = self.hidden
        out = self.latent_channels if self.out_channels is None else self.out_channels
        linears = []
        if self.text_hidden is not None and self.caption_layers:
            caption = (biased("caption", self.text_hidden, h), biased("caption 2", h, h))[: self.caption_layers]
            linears.append(Ends("caption", caption, 0, self.text_length, first=True))
        if (w := self.image_hidden) is not None:
            image = (biased("image", w, w), biased("image 2", w, h))
            linears.append(Ends("image embedding", image, 2 * w + 2 * h, self.image_tokens, first=True))
        if self.modulation == "per-layer":
            norms = (2 if self.text_in_stream else 0) * blocks.norm_parameters(self.norm, h)
            linears.append(
                Ends("last modulation", (biased("last modulation", self.time_width, 2 * h),), norms, 1, first=False)
            )
        pixels = biased("pixels", h, out * self.patch**2 * self.time_patch)
        table = 2 * h if self.modulation == "shared" else 0
        return (*linears, Ends("pixel head", (pixels,), table, tokens, first=False))


def biased(name: str, inputs: Array, outputs: Array) -> Linear:
    """A linear layer with bias, replicated on every tensor rank."""
    return Linear(name, inputs, outputs, Split.WHOLE, bias=True)
