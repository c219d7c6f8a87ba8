"""Masked autoencoders for images and video: an encoder over visible patches and a light decoder over all patches."""

from dataclasses import replace
from typing import Literal, Self

import numpy as np
from pydantic import model_validator

from gpuhours.architecture import blocks
from gpuhours.architecture.operators import Ends, Linear, Model, Split, Stack, Trainable
from gpuhours.architecture.spec import Spec
from gpuhours.architecture.vision import AnyVision, VisionEncoder
from gpuhours.data import Data, slices, visible_patches
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.units import Count, Fraction


class MaskedAutoencoder(Spec):
    """MAE (He et al. 2022, arXiv:2111.06377) and VideoMAE (Tong et al. 2022, arXiv:2203.12602).

    A clip has T temporal slices of P patches, of which a share ``mask_ratio`` is masked. The encoder processes the T visible(P) visible
    patches jointly over time, the decoder all T P patches; the pixels of masked patches are predicted.
    """

    kind: Literal["masked-autoencoder"] = "masked-autoencoder"
    encoder: AnyVision
    mask_ratio: Fraction
    decoder_layers: Count
    decoder_hidden: Count = 512
    decoder_heads: Count | None = None
    """Default: as many heads of size 64 as fit the width."""
    decoder_bias: bool = True
    """Whether the linear layer from encoder to decoder has a bias (MAE: yes, VideoMAE: no)."""
    decoder_keeps: Fraction = 1.0
    """Patches that the decoder processes besides the visible ones, as a share of all: VideoMAE V2 masks the decoder too
    (arXiv:2303.16727, section 3.2)."""
    predicts: Literal["hidden", "all"] = "hidden"
    """Patches whose pixels the head predicts: the masked ones or all."""

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if self.decoder_hidden % (64 if self.decoder_heads is None else self.decoder_heads):
            said = "heads of 64" if self.decoder_heads is None else f"{self.decoder_heads} heads"
            raise ValueError(f"decoder_hidden = {self.decoder_hidden} is not divisible by {said}; give decoder_heads")
        if self.encoder.trainable != "full":
            raise ValueError("the encoder of a masked autoencoder is always trained; leave trainable out")
        return self

    @property
    def heads(self) -> int:
        """``decoder_heads``, or decoder width / 64."""
        return self.decoder_hidden // 64 if self.decoder_heads is None else self.decoder_heads

    def build(self, data: Data) -> Model:
        """The computation for one clip: all patches are embedded, the visible ones encoded, and all decoded."""
        encoder = self.encoder.shape
        clip = encoder.clip(data)
        count, times = encoder.patches_per_slice(clip), slices(clip.frames, encoder.tubelet)
        tokens, seen = times * count, times * visible_patches(count, self.mask_ratio)
        decoded = tokens if self.decoder_keeps == 1.0 else seen + np.minimum(tokens * self.decoder_keeps, tokens - seen)
        own = encoder.extra_tokens
        fixed = encoder.positions == "fixed"
        front = replace(encoder.embedding(tokens, Trainable.FULL), tabled=encoder.hidden if fixed else 0)
        layers = encoder.stacks(seen + own, seen + own, times, Trainable.FULL)
        norm = blocks.norm_parameters(encoder.norm, encoder.hidden) if encoder.final_norm else 0
        handed = Linear("to decoder", encoder.hidden, self.decoder_hidden, Split.WHOLE, self.decoder_bias)
        table = self.decoder_hidden * tokens / (seen + own) if fixed else 0
        width = norm + self.decoder_hidden
        between = Ends("encoder end", (handed,), width, seen + own, first=False, tabled=table)
        parts: tuple[Stack | Ends, ...] = (
            front, *layers, between, self._decoder(encoder, decoded + own), self._head(encoder, decoded, seen),
        )  # fmt: skip
        return Model(self.name or "masked autoencoder", parts, encoder.hidden)

    def _decoder(self, encoder: VisionEncoder, tokens: Array) -> Stack:
        """The decoder's layers, built like the encoder's, with an MLP of 4 x the decoder width."""
        shape = {"layers": self.decoder_layers, "hidden": self.decoder_hidden, "heads": self.heads}
        light = encoder.model_copy(update={**shape, "head_dim": None, "ffn_hidden": None})
        return Stack("decoder layers", light.block(), self.decoder_layers, tokens)

    def _head(self, encoder: VisionEncoder, tokens: Array, seen: Array) -> Ends:
        """A norm and a projection [h, channels p^2 tubelet] to the pixels of a patch, for the mean squared
        error."""
        pixels = encoder.channels * encoder.patch**2 * encoder.tubelet
        linear = Linear("pixels", self.decoder_hidden, pixels, Split.WHOLE, bias=True)
        norm = blocks.norm_parameters(encoder.norm, self.decoder_hidden)
        predicted = tokens - seen if self.predicts == "hidden" else tokens
        return Ends("pixel head", (linear,), norm, predicted, first=False)

    @property
    def of_pictures(self) -> bool:
        """Same as its encoder's."""
        return self.encoder.of_pictures

    def tokens_per_sample(self, data: Data) -> Array:
        """All patches of the clip, visible or not."""
        return self.encoder.shape.tokens_per_sample(data)

    def assumptions(self, data: Data) -> tuple[Assumption, ...]:
        """Assumptions of the encoder, and the decoder's width if not given."""
        assumed = list(self.encoder.assumptions(data))
        if "decoder_hidden" not in self.model_fields_set:
            reason, source = (
                "no decoder width is stated: MAE's",
                "He et al. 2022, arXiv:2111.06377, section 4.1",
            )
            assumed.append(Assumption("model.decoder_hidden", self.decoder_hidden, "", reason, source))
        return tuple(assumed)
