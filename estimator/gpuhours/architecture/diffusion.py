"""Diffusion transformers over compressed images and video."""

from dataclasses import replace
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import model_validator

from gpuhours.architecture import blocks, lora
from gpuhours.architecture.operators import Block, Elementwise, Ends, Linear, Model, Pointwise, Split, Stack
from gpuhours.architecture.spec import Spec, refuse_uneven_heads
from gpuhours.data import Data, patches
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.units import Count, whole

NotNegative = Annotated[int, whole(least=0)]


class Latent(Spec):
    """What is denoised: patches of a latent that an autoencoder, which is not trained here, makes of pictures or clips.

    It shrinks a clip by ``compression`` in space and ``time_compression`` in time (the first frame on its own where time is
    compressed); patches of the latent are the tokens.
    """

    patch: Count = 2
    time_patch: Count = 1
    latent_channels: Count = 4
    out_channels: Count | None = None
    """Channels predicted; as many as go in when not given (DiT predicts a variance too: twice as many)."""
    image_size: Count = 256
    compression: Count = 8
    time_compression: Count = 1
    trainable: Literal["full", "lora"] = "full"
    rank: Count = 8
    """Rank of the adapters that ``trainable: lora`` trains."""
    targets: tuple[str, ...] = lora.ATTENTION
    """The projections that get adapters: q, k, v, o (of cross-attention too), up, gate, down, or all-linear."""

    @property
    def of_pictures(self) -> bool:
        """Without a patch or a compression along time: it was made for pictures."""
        return (
            bool(np.all(np.equal(self.time_patch, 1)) and np.all(np.equal(self.time_compression, 1)))
            and not self.along_time
        )

    @property
    def along_time(self) -> bool:
        """Whether some layers attend along time."""
        return False

    def trained(self, model: Model) -> Model:
        """The model as ``trainable`` says."""
        return model if self.trainable == "full" else lora.adapted(model, self.rank, self.targets)

    def latent_frames(self, data: Data) -> Array:
        """Frames of the latent: 1 + (frames - 1) / compression where time is compressed by a causal
        autoencoder."""
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
        """The resolution, where the run does not say."""
        if data.resolution is not None:
            return ()
        reason = "no resolution is stated: what the model was made for"
        return (Assumption("data.resolution", self.image_size, "pixel", reason),)


class Diffusion(Latent):
    """DiT (Peebles and Xie 2023, arXiv:2212.09748) and its video forms."""

    kind: Literal["diffusion"] = "diffusion"
    layers: Count
    hidden: Count
    heads: Count
    ffn_hidden: Count | None = None
    """4 x hidden when not given."""
    gated: bool = False
    biases: bool = True
    qk_norm: blocks.QKNorm = "none"
    attends: Literal["clip", "alternating", "divided"] = "clip"
    """Every token sees the whole clip, layers in turn see one frame and one place over time (Latte), or each layer does both (STDiT)."""
    modulation: Literal["per-layer", "shared", "none"] = "per-layer"
    """adaLN: ``vectors`` per layer from the time step, by a product in each layer or by one for all
    (PixArt)."""
    vectors: Count = 6
    """12 where text in the stream has its own (CogVideoX)."""
    time_hidden: Count | None = None
    """Width of the time step's vector; the model's when not given."""
    time_per_layer: bool = False
    """Each layer embeds time step and class on its own (DiT as the diffusers library has it)."""
    norm: blocks.Norm = "no-weights"
    text_in_stream: bool = False
    """Text tokens stand in the sequence, projected by one product, in place of cross-attention (CogVideoX)."""
    caption_products: Literal[0, 1, 2] = 2
    """Products that bring the text to the model's width."""
    size_frequencies: NotNegative = 0
    """Width of each of the three vectors of size and shape that join the time step (PixArt at 1024 pixels)."""
    classes: Annotated[int, whole(least=0)] = 0
    """Rows of a class-label table."""
    text_hidden: Count | None = None
    """Width of a text encoder's tokens that cross-attention looks at."""
    cross_norm: bool = False
    """A trained norm before cross-attention, and on its queries and keys (Wan)."""
    cross_qk_norm: bool = False
    """Norms on its queries and keys alone (LTX-Video)."""
    image_hidden: Count | None = None
    """Width of an image encoder's tokens whose keys and values stand beside the text's, each layer's own (Wan 2.1 from a picture)."""
    image_tokens: Count = 257
    """Those tokens: CLIP's ViT-H has 16 x 16 patches and a class token."""
    text_length: Count = 120
    """Text tokens that are looked at, unless the data say."""
    frequencies: Count = 256
    """Sines and cosines the time step is embedded with."""

    @model_validator(mode="after")
    def _shape_fits_together(self) -> Self:
        refuse_uneven_heads(self.hidden, self.heads)
        return self

    def build(self, data: Data) -> Model:
        """One denoising step of one sample."""
        times, places = self.latent_frames(data), self.tokens_per_frame(data)
        tokens = times * places
        front, stacks = self._front(tokens), self._stacks(tokens, times, places, data)
        parts: tuple[Stack | Ends, ...] = (*front, *stacks, *self._end(tokens))
        return self.trained(Model(self.name or "diffusion transformer", parts, self.hidden))

    @property
    def along_time(self) -> bool:
        """Latte's layers in turn, STDiT's each."""
        return self.attends != "clip"

    @property
    def time_width(self) -> Array:
        """``time_hidden``, or hidden."""
        return self.hidden if self.time_hidden is None else self.time_hidden

    def _front(self, tokens: Array) -> tuple[Ends, ...]:
        """Patches in; the time step through an MLP; a table of classes."""
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
        """Layers over the latent, what modulates them (once per sample), and keys of the text."""
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
            along = self.layers // 2
            stacks = [
                Stack("layers over a frame", block, self.layers - along, tokens, places),
                Stack("layers along time", block, along, tokens, times),
            ]
        if self.modulation == "per-layer":
            stacks.append(Stack("modulation", self._modulation(), self.layers, 1))
        if self.looks:
            keys = blocks.cross_keys(self.hidden, self.heads, self.hidden // self.heads, bias=self.biases)
            stacks.append(Stack("text keys and values", blocks.block(self.hidden, keys), self.layers, text))
        if self.image_hidden is not None:
            keys = blocks.cross_keys(self.hidden, self.heads, self.hidden // self.heads, bias=self.biases)
            normed = Elementwise(Pointwise.QK_NORM, self.hidden, sharded=True, parameters=self.hidden)
            of_image = blocks.block(self.hidden, keys, blocks.Piece(elementwise=(normed,) if self.cross_norm else ()))
            stacks.append(Stack("image keys and values", of_image, self.layers, self.image_tokens))
        return tuple(stacks)

    @property
    def looks(self) -> bool:
        """Whether layers have cross-attention to a text."""
        return self.text_hidden is not None and not self.text_in_stream

    def _modulation(self) -> Block:
        """One layer's vectors from the time step."""
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

    def _block(self, text: Array) -> Block:
        h, d = self.hidden, self.hidden // self.heads
        sees = self._sees()
        looks = blocks.cross_attention(h, self.heads, d, text, bias=self.biases)
        width = 4 * h if self.ffn_hidden is None else self.ffn_hidden
        mixer = blocks.feed_forward(h, width, gated=self.gated, bias=self.biases)
        glue = blocks.glue(h, self.norm, norms=2, residuals=3 if self.looks else 2, dropout=False)
        if not self.looks:
            return blocks.block(h, sees, mixer, glue, *self._modulated())
        also = self._looks_at_image(looks)
        return blocks.block(h, sees, looks, *also, mixer, glue, *self._modulated(), *self._cross_norms())

    def _looks_at_image(self, looks: blocks.Piece) -> tuple[blocks.Piece, ...]:
        """A second attention of the same queries, to the image's keys."""
        if self.image_hidden is None:
            return ()
        return (blocks.Piece((), tuple(replace(core, keys=self.image_tokens) for core in looks.attention)),)

    def _modulated(self) -> tuple[blocks.Piece, ...]:
        """Attention and MLP each behind a shift and a scale and before a gate; a table of six vectors where layers share a product."""
        if self.modulation == "none":
            return ()
        table = self.vectors * self.hidden if self.modulation == "shared" else 0
        halves = Elementwise(Pointwise.MODULATION, 2 * self.hidden, sharded=False, parameters=table)
        return (blocks.Piece(elementwise=(halves,)),)

    def _cross_norms(self) -> tuple[blocks.Piece, ...]:
        """LayerNorm in front (2 h), RMS norms on queries and keys (h each)."""
        on_both = Elementwise(Pointwise.QK_NORM, self.hidden, sharded=True, parameters=2 * self.hidden)
        if self.cross_norm:
            return (blocks.Piece(elementwise=(blocks.norm("layer", self.hidden), on_both)),)
        return (blocks.Piece(elementwise=(on_both,)),) if self.cross_qk_norm else ()

    def _end(self, tokens: Array) -> tuple[Ends, ...]:
        """The caption's MLP, which runs once per text token; the last modulation; the patches out."""
        h = self.hidden
        out = self.latent_channels if self.out_channels is None else self.out_channels
        linears = []
        if self.text_hidden is not None and self.caption_products:
            caption = (biased("caption", self.text_hidden, h), biased("caption 2", h, h))[: self.caption_products]
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
    """A product with a bias that every tensor rank holds whole."""
    return Linear(name, inputs, outputs, Split.WHOLE, bias=True)
