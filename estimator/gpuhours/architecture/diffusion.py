"""Diffusion transformers over compressed images and video."""

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import model_validator

from gpuhours.architecture import blocks
from gpuhours.architecture.operators import Block, Elementwise, Ends, Linear, Model, Pointwise, Split, Stack
from gpuhours.architecture.spec import Spec
from gpuhours.data import Data, patches
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.units import Count, whole


class Diffusion(Spec):
    """DiT (Peebles and Xie 2023, arXiv:2212.09748) and its video forms.

    The autoencoder, which is not trained here, shrinks a clip by ``compression`` in space and
    ``time_compression`` in time (the first frame on its own where time is compressed); patches of the
    latent are the tokens.
    """

    kind: Literal["diffusion"] = "diffusion"
    layers: Count
    hidden: Count
    heads: Count
    ffn_hidden: Count | None = None
    """4 x hidden when not given."""
    gated: bool = False
    biases: bool = True
    qk_norm: blocks.QKNorm = "none"
    patch: Count = 2
    time_patch: Count = 1
    latent_channels: Count = 4
    out_channels: Count | None = None
    """Channels predicted; as many as go in when not given (DiT predicts a variance too: twice as many)."""
    image_size: Count = 256
    compression: Count = 8
    time_compression: Count = 1
    attends: Literal["clip", "alternating"] = "clip"
    """Every token sees the whole clip, or layers in turn see one frame and one place over time (Latte)."""
    modulation: Literal["per-layer", "shared", "none"] = "per-layer"
    """adaLN: six vectors per layer from the time step, by a product in each layer or by one for all
    (PixArt)."""
    classes: Annotated[int, whole(least=0)] = 0
    """Rows of a class-label table."""
    text_hidden: Count | None = None
    """Width of a text encoder's tokens that cross-attention looks at."""
    cross_norm: bool = False
    """A trained norm before cross-attention, and on its queries and keys (Wan)."""
    text_length: Count = 120
    """Text tokens that are looked at, unless the data say."""
    frequencies: Count = 256
    """Sines and cosines the time step is embedded with."""

    @model_validator(mode="after")
    def _shape_fits_together(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"hidden = {self.hidden} does not divide into {self.heads} heads")
        return self

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

    def build(self, data: Data) -> Model:
        """One denoising step of one sample."""
        times, places = self.latent_frames(data), self.tokens_per_frame(data)
        tokens = times * places
        front, stacks = self._front(tokens), self._stacks(tokens, times, places, data)
        parts: tuple[Stack | Ends, ...] = (*front, *stacks, *self._end(tokens))
        return Model(self.name or "diffusion transformer", parts, self.hidden)

    def _front(self, tokens: Array) -> tuple[Ends, ...]:
        """Patches in; the time step through an MLP; a table of classes."""
        h, pixels = self.hidden, self.latent_channels * self.patch**2 * self.time_patch
        step = [_biased("time step", self.frequencies, h), _biased("time step 2", h, h)]
        if self.modulation == "shared":
            step.append(_biased("modulation", h, 6 * h))
        patch = Ends("patch embedding", (_biased("patch embedding", pixels, h),), 0, tokens, first=True)
        return (patch, Ends("time step", tuple(step), self.classes * h, 1, first=True))

    def _stacks(self, tokens: Array, times: Array, places: Array, data: Data) -> tuple[Stack, ...]:
        """Layers over the latent, what modulates them (once per sample), and keys of the text."""
        text = self.text_length if data.text_tokens is None else data.text_tokens
        block = self._block(text)
        if self.attends == "clip":
            found = [Stack("layers", block, self.layers, tokens, tokens)]
        else:
            along = self.layers // 2
            found = [
                Stack("layers over a frame", block, self.layers - along, tokens, places),
                Stack("layers along time", block, along, tokens, times),
            ]
        if self.modulation == "per-layer":
            product = _biased("modulation", self.hidden, 6 * self.hidden)
            found.append(Stack("modulation", Block((product,), (), (), self.hidden, 0), self.layers, 1))
        if self.text_hidden is not None:
            keys = blocks.cross_keys(self.hidden, self.heads, self.hidden // self.heads, bias=self.biases)
            found.append(Stack("text keys and values", blocks.block(self.hidden, keys), self.layers, text))
        return tuple(found)

    def _block(self, text: Array) -> Block:
        h, d = self.hidden, self.hidden // self.heads
        sees = blocks.self_attention(
            h, self.heads, self.heads, d, causal=False, qkv_bias=self.biases, output_bias=self.biases,
            qk_norm=self.qk_norm,
        )  # fmt: skip
        looks = blocks.cross_attention(h, self.heads, d, text, bias=self.biases)
        width = 4 * h if self.ffn_hidden is None else self.ffn_hidden
        mixer = blocks.feed_forward(h, width, gated=self.gated, bias=self.biases)
        count = 2 if self.text_hidden is None else 3
        glue = blocks.glue(h, "no-weights", norms=2, residuals=count, dropout=False)
        if self.text_hidden is None:
            return blocks.block(h, sees, mixer, glue, *self._modulated())
        return blocks.block(h, sees, looks, mixer, glue, *self._modulated(), *self._cross_norms())

    def _modulated(self) -> tuple[blocks.Piece, ...]:
        """Attention and MLP each behind a shift and a scale and before a gate; a table of six vectors where layers share a product."""
        if self.modulation == "none":
            return ()
        table = 6 * self.hidden if self.modulation == "shared" else 0
        halves = Elementwise(Pointwise.MODULATION, 2 * self.hidden, sharded=False, parameters=table)
        return (blocks.Piece(elementwise=(halves,)),)

    def _cross_norms(self) -> tuple[blocks.Piece, ...]:
        """LayerNorm in front (2 h), RMS norms on queries and keys (h each)."""
        if not self.cross_norm:
            return ()
        on_both = (Elementwise(Pointwise.QK_NORM, self.hidden, sharded=True, parameters=2 * self.hidden),)
        return (blocks.Piece(elementwise=(blocks.norm("layer", self.hidden), *on_both)),)

    def _end(self, tokens: Array) -> tuple[Ends, ...]:
        """The caption's MLP, which runs once per text token; the last modulation; the patches out."""
        h = self.hidden
        out = self.latent_channels if self.out_channels is None else self.out_channels
        found = []
        if self.text_hidden is not None:
            caption = (_biased("caption", self.text_hidden, h), _biased("caption 2", h, h))
            found.append(Ends("caption", caption, 0, self.text_length, first=True))
        if self.modulation == "per-layer":
            found.append(Ends("last modulation", (_biased("last modulation", h, 2 * h),), 0, 1, first=False))
        pixels = _biased("pixels", h, out * self.patch**2 * self.time_patch)
        table = 2 * h if self.modulation == "shared" else 0
        return (*found, Ends("pixel head", (pixels,), table, tokens, first=False))

    def assumptions(self, data: Data) -> tuple[Assumption, ...]:
        """The resolution, where the run does not say."""
        if data.resolution is not None:
            return ()
        reason = "no resolution is stated: what the model was made for"
        return (Assumption("data.resolution", self.image_size, "pixel", reason),)


def _biased(name: str, inputs: Array, outputs: Array) -> Linear:
    return Linear(name, inputs, outputs, Split.WHOLE, bias=True)
