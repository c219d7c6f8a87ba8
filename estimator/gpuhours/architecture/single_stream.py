"""Diffusion transformers with one stack of layers over image and text jointly, after a few separate layers for each: Lumina-Image 2,
Z-Image."""

from typing import Annotated, Literal, Self

from pydantic import model_validator

from gpuhours.architecture import blocks
from gpuhours.architecture.diffusion import Latent, biased
from gpuhours.architecture.operators import Block, Elementwise, Ends, Model, Pointwise, Stack
from gpuhours.architecture.spec import refuse_uneven_heads
from gpuhours.data import Data
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.units import Count, whole


class SingleStream(Latent):
    """The unified transformer of Lumina-Image 2.0 (Qin et al. 2025, arXiv:2503.21758): Llama's layers with norms before and after both
    halves, and scales and gates computed from the time step; before them, ``refiner_layers`` such layers each over image and text.
    """

    kind: Literal["single-stream"] = "single-stream"
    layers: Count
    refiner_layers: Annotated[int, whole(least=0)] = 2
    """Number of initial layers over the image alone, and of those over the text alone."""
    hidden: Count
    heads: Count
    kv_heads: Count | None = None
    """Key-value heads; default ``heads``."""
    ffn_hidden: Count
    qk_norm: blocks.QKNorm = "head"
    text_hidden: Count
    """Width of the text encoder's output."""
    text_length: Count = 256
    time_hidden: Count
    """Hidden width of the time-step MLP."""
    time_width: Count
    """Output width of the time-step MLP, the input of each layer's modulation."""
    frequencies: Count = 256
    extra_weights: Annotated[int, whole(least=0)] = 0
    """Additional parameters outside GEMMs (padding tokens): counted, not timed."""

    @model_validator(mode="after")
    def _shape_fits_together(self) -> Self:
        refuse_uneven_heads(self.hidden, self.heads)
        if self.kv_heads is not None and self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} heads cannot share {self.kv_heads} key-value heads evenly")
        return self

    def build(self, data: Data) -> Model:
        """The computation for one denoising step of one sample."""
        picture = self.tokens_per_sample(data)
        text = self.text_length if data.text_tokens is None else data.text_tokens
        h, few, modulated = self.hidden, self.refiner_layers, self._layer(modulated=True)
        refining = (
            Stack("refining layers over the picture", modulated, few, picture),
            Stack("refining layers over the text", self._layer(modulated=False), few, text),
        )
        modulation = Block((biased("modulation", self.time_width, 4 * h),), (), (), h, 0)
        parts: tuple[Stack | Ends, ...] = (
            *self._front(picture, text),
            *(refining if few else ()),
            Stack("layers", modulated, self.layers, picture + text),
            Stack("modulation", modulation, self.layers + few, 1, within=True),
            *self._end(picture),
        )
        return self.trained(Model(self.name or "single-stream diffusion transformer", parts, h))

    def _front(self, picture: Array, text: Array) -> tuple[Ends, ...]:
        """Patch embedding, text embedding after an RMSNorm, and time-step MLP."""
        h, pixels = self.hidden, self.latent_channels * self.patch**2 * self.time_patch
        step = (
            biased("time step", self.frequencies, self.time_hidden),
            biased("time step 2", self.time_hidden, self.time_width),
        )
        words = biased("text embedding", self.text_hidden, h)
        return (
            Ends("patch embedding", (biased("patch embedding", pixels, h),), self.extra_weights, picture, first=True),
            Ends("text embedding", (words,), self.text_hidden, text, first=True),
            Ends("time step", step, 0, 1, first=True),
        )

    def _layer(self, *, modulated: bool) -> Block:
        """One layer with four norms and, if ``modulated``, a scale and a gate for each half."""
        h, keys = self.hidden, self.heads if self.kv_heads is None else self.kv_heads
        sees = blocks.self_attention(
            h, self.heads, keys, h // self.heads, causal=False, qkv_bias=False, output_bias=False, rotary=1.0, qk_norm=self.qk_norm
        )  # fmt: skip
        mixer = blocks.feed_forward(h, self.ffn_hidden, gated=True, bias=False)
        glue = blocks.glue(h, "rms", norms=4, residuals=2, dropout=False)
        halves = blocks.Piece(elementwise=(Elementwise(Pointwise.MODULATION, 2 * h, sharded=False),))
        return blocks.block(h, sees, mixer, glue, *((halves,) if modulated else ()))

    def _end(self, picture: Array) -> tuple[Ends, ...]:
        """The final scale and the output projection."""
        out = self.latent_channels if self.out_channels is None else self.out_channels
        pixels = biased("pixels", self.hidden, out * self.patch**2 * self.time_patch)
        last = biased("last modulation", self.time_width, self.hidden)
        return (
            Ends("last modulation", (last,), 0, 1, first=False),
            Ends("pixel head", (pixels,), 0, picture, first=False),
        )
