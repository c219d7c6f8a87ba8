"""Vision transformers in stages of growing width whose patches attend within small windows (Swin)."""

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import model_validator

from gpuhours.architecture import blocks
from gpuhours.architecture.operators import (
    AttentionCore,
    Block,
    Elementwise,
    Ends,
    Linear,
    Model,
    Pointwise,
    Role,
    Split,
    Stack,
)
from gpuhours.architecture.spec import Spec, refuse_uneven_heads
from gpuhours.data import Data
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.units import Count, Fraction, measured_in, whole


class StagedVision(Spec):
    """Swin (Liu et al. 2021, arXiv:2103.14030).

    Stage i has ``stage_layers[i]`` layers of width ``width`` 2^i over a grid of patches whose sides halve from stage to stage: four
    neighbours are concatenated, normed and projected to twice the width. Patches attend within windows of ``window`` x ``window``, which
    shift in every other layer; each layer adds a learned bias per head and distance.
    """

    kind: Literal["staged-vision"] = "staged-vision"
    stage_layers: tuple[Count, ...]
    stage_heads: tuple[Count, ...]
    width: Count
    """Width of the first stage."""
    window: Count = 7
    patch: Count = 4
    image_size: Count = 224
    channels: Count = 3
    ffn_ratio: Annotated[float, measured_in("")] = 4.0
    qkv_bias: bool = True
    layer_drop: Fraction = 0.0
    """Highest probability with which a sample skips a layer's attention (stochastic depth)."""
    places: bool = False
    """Whether a position table is added to the patches."""
    classes: Count | None = None
    extra_weights: Annotated[int, whole(least=0)] = 0
    """Additional parameters (a mask token): counted, not timed."""

    @model_validator(mode="after")
    def _shape_fits_together(self) -> Self:
        if len(self.stage_layers) != len(self.stage_heads) or not self.stage_layers:
            said = f"{len(self.stage_layers)} stages of layers, {len(self.stage_heads)} of heads"
            raise ValueError(f"stage_layers and stage_heads must name the same stages: {said}")
        for stage, heads in enumerate(self.stage_heads):
            refuse_uneven_heads(self.width * 2**stage, heads, f" in stage {stage + 1}")
        return self

    @property
    def hidden(self) -> Array:
        """Width of the last stage."""
        return self.width * 2 ** (len(self.stage_layers) - 1)

    def build(self, data: Data) -> Model:
        """The computation for one sample."""
        pictures = data.clip_frames()
        height, wide = (np.ceil(np.divide(side, self.patch)) for side in data.image(self.image_size))
        parts: list[Stack | Ends] = [self._embedding(pictures * height * wide)]
        for stage, layers in enumerate(self.stage_layers):
            near, far = height, wide
            parts.append(self._stage(stage, layers, pictures, near, far))
            if stage + 1 < len(self.stage_layers):
                height, wide = np.ceil(height / 2), np.ceil(wide / 2)
                parts.append(self._merging(stage, pictures * height * wide))
        parts.append(Ends("vision end", (), 2 * self.hidden, pictures * height * wide, first=False))
        if self.classes is not None:
            classifier = Linear("classifier", self.hidden, self.classes, Split.WHOLE, bias=True)
            parts.append(Ends("vision head", (classifier,), 0, pictures, first=False))
        return Model(self.name or "staged vision encoder", tuple(parts), self.hidden)

    def _embedding(self, patches: Array) -> Ends:
        """The convolution over patches, its norm and, if there is one, the position table."""
        linear = Linear("patch embedding", self.channels * self.patch**2, self.width, Split.WHOLE, bias=True)
        rows = (self.image_size // self.patch) ** 2 + 1 if self.places else 0
        tables = 2 * self.width + rows * self.width + self.extra_weights
        return Ends("patch embedding", (linear,), tables, patches, first=True, from_pixels=True)

    def _stage(self, stage: int, layers: Array, pictures: Array, height: Array, wide: Array) -> Stack:
        """One stage's layers over whole windows: a grid that they do not divide is padded, as the library does."""
        side = np.minimum(self.window, np.minimum(height, wide))
        patches = pictures * np.ceil(height / side) * np.ceil(wide / side) * side**2
        return Stack(f"stage {stage + 1}", self._block(stage), layers, patches, side**2, nested=True)

    def _block(self, stage: int) -> Block:
        """One layer: windows are cut out and put back, two copies, and every other layer shifts them, two more."""
        h, heads = self.width * 2**stage, self.stage_heads[stage]
        piece = blocks.self_attention(
            h, heads, heads, h // heads, causal=False, qkv_bias=self.qkv_bias, output_bias=True
        )
        table = blocks.weights((2 * self.window - 1) ** 2 * heads)
        core = AttentionCore(heads, heads, h // heads, h // heads, causal=False, padded=True, from_table=True)
        copies = Elementwise(Pointwise.ALIGNED, 1.5 * h, sharded=False)
        dropped = (Elementwise(Pointwise.DROP_PATH, h, sharded=False),) if self.layer_drop else ()
        windows = blocks.Piece(elementwise=(copies, *dropped, table))
        mixer = blocks.feed_forward(h, int(self.ffn_ratio * h), gated=False, bias=True)
        glue = blocks.glue(h, "layer", norms=2, residuals=2, dropout=False)
        attention = blocks.Piece(piece.linears, (core,), piece.elementwise, piece.reductions)
        return blocks.block(h, attention, mixer, glue, windows)

    def _merging(self, stage: int, patches: Array) -> Stack:
        """Between two stages: four neighbours put together, a norm over them and a GEMM [4 h, 2 h]."""
        wide = 4 * self.width * 2**stage
        linear = Linear("patch merging", wide, wide // 2, Split.WHOLE, role=Role.OTHER)
        gathered = Elementwise(Pointwise.ALIGNED, wide / 2, sharded=False)
        pieces = blocks.Piece((linear,), (), (blocks.norm("layer", wide), gathered))
        return Stack(f"merging after stage {stage + 1}", blocks.block(wide // 2, pieces), 1, patches)

    @property
    def of_pictures(self) -> bool:
        """A sample is one image if the run states no frames."""
        return True

    def tokens_per_sample(self, data: Data) -> Array:
        """Patches of the first stage."""
        height, wide = (np.ceil(np.divide(side, self.patch)) for side in data.image(self.image_size))
        return data.clip_frames() * height * wide

    def assumptions(self, data: Data) -> tuple[Assumption, ...]:
        """The resolution, if the run does not state it."""
        if data.resolution is not None:
            return ()
        reason = f"no resolution is stated: that of {self.name or 'the encoder'}"
        return (Assumption("data.resolution", self.image_size, "pixel", reason),)
