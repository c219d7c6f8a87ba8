"""Vision transformers over images and video frames, from patches to features."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Discriminator, Tag, model_validator

from gpuhours.architecture import blocks, lora, standard
from gpuhours.architecture.catalogue import fields
from gpuhours.architecture.code_steps import CodeStep, as_coded
from gpuhours.architecture.operators import (
    Block,
    Elementwise,
    Ends,
    Linear,
    Model,
    Pointwise,
    Split,
    Stack,
    Trainable,
)
from gpuhours.architecture.spec import Spec, Training, refuse_uneven_heads, treatment
from gpuhours.data import Data, patches, slices
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.units import Count, measured_in, whole


@dataclass(frozen=True)
class Clip:
    """Number and size in pixels of the frames of one sample."""

    frames: Array
    height: Array
    width: Array


class VisionEncoder(Spec):
    """A vision transformer (Dosovitskiy et al. 2021, arXiv:2010.11929).

    Defaults are those of CLIP: class token, learned positions, biases. Frames are processed independently unless
    ``attends`` says otherwise.
    """

    kind: Literal["vision"] = "vision"
    layers: Count
    hidden: Count
    heads: Count
    head_dim: Count | None = None
    ffn_hidden: Count | None = None
    """Default 4 x hidden."""
    gated: bool = False
    activation: blocks.Activation = "gelu"
    """How the activation is implemented if the feed-forward layer is not gated."""
    patch: Count
    tubelet: Count = 1
    """Frames per patch (temporal patch size)."""
    image_size: Count = 224
    """Side in pixels of the images that the position table is sized for."""
    channels: Count = 3
    class_token: bool = True
    registers: Annotated[int, whole(least=0)] = 0
    positions: Literal["learned", "fixed", "rotary", "axis-rotary"] = "learned"
    """``axis-rotary``: thirds of each head are rotated by time, row and column in turn, by angles made in every layer (V-JEPA 2)."""
    place_bias: Literal["none", "layer", "shared"] = "none"
    """Learned relative-position bias of attention scores, with a table per layer or one shared by all (BEiT)."""
    patch_bias: bool = False
    pre_norm: bool = True
    """Whether there is a norm between the embeddings and the first layer, as in CLIP."""
    final_norm: bool = True
    norm: blocks.Norm = "layer"
    norms_per_layer: Count = 2
    attention_bias: Literal["none", "qkv", "output", "all", "no-key"] = "all"
    """Which attention projections have biases; ``no-key``: all but the key projection, as in BEiT and VideoMAE."""
    mlp_bias: bool = True
    qk_norm: blocks.QKNorm = "none"
    layer_scale: bool = False
    mask_made: bool = True
    """Whether transformers' file makes a mask of all patches, which attention is given if the model is compiled: ViT's, BEiT's and SigLIP's
    do; DINOv2's, CLIP's and VideoMAE's do not."""
    mask_given: bool = False
    """Whether transformers' file gives attention a mask of all pairs of patches in any case (Llama 3.2 Vision, for padded tiles)."""
    drop_path: bool = False
    """Whether samples skip halves of layers at random (stochastic depth), as BEiT's do in fine-tuning."""
    attends: Literal["frame", "clip", "divided"] = "frame"
    """Which tokens attend to each other: those of a frame, those of the clip, or (``divided``) in turn those of a frame and those at one
    position over time."""
    window: Count | None = None
    """Patches that attend to each other in windowed layers; see ``windowed`` for the default."""
    global_every: Annotated[int, whole(least=1)] = 8
    """With windows, one layer in ``global_every`` attends to the whole image."""
    time_linear: bool = False
    """Whether a linear layer [h, h] follows attention over time (TimeSformer)."""
    pooling: Literal["none", "attention", "dense"] = "none"
    """How an image is pooled to one vector: by a query that attends to the patches (SigLIP), or a linear layer on the class token (ViT)."""
    pooler_width: Count | None = None
    """Output width of that linear layer; default the encoder's width."""
    time_places: Annotated[int, whole(least=0)] = 0
    """Rows of a learned table of temporal positions (TimeSformer)."""
    extra_weights: Annotated[int, whole(least=0)] = 0
    """Additional parameters outside GEMMs (mask tokens, an unused head): counted, not timed."""
    projection: Count | None = None
    """Width to which the pooled feature is projected; None: no projection."""
    classes: Count | None = None
    trainable: Training = "full"
    rank: Count = 8
    """LoRA rank, if ``trainable: lora``."""
    targets: lora.Targets = lora.ATTENTION
    """Projections that get LoRA adapters: q, k, v, o, up, gate, down, or all-linear."""

    @model_validator(mode="after")
    def _shape_fits_together(self) -> Self:
        if self.head_dim is None:
            refuse_uneven_heads(self.hidden, self.heads, "; give head_dim")
        if self.patch > self.image_size:
            raise ValueError(f"a patch of {self.patch} is larger than the image of {self.image_size}")
        return self

    @property
    def shape(self) -> "VisionEncoder":
        """The encoder itself, since its shape is fully specified."""
        return self

    @property
    def ffn_width(self) -> Array:
        """``ffn_hidden``, or 4 h (Dosovitskiy et al. 2021, table 1)."""
        return 4 * self.hidden if self.ffn_hidden is None else self.ffn_hidden

    @property
    def extra_tokens(self) -> Array:
        """Tokens per image besides patches: class token and registers."""
        return self.registers + (1 if self.class_token else 0)

    def clip(self, data: Data) -> Clip:
        """The frames of one sample, at the encoder's ``image_size`` if the data give no resolution."""
        return Clip(data.clip_frames(), *data.image(self.image_size))

    def patches_per_slice(self, clip: Clip) -> Array:
        """Patches per temporal slice."""
        return patches(clip.height, clip.width, self.patch)

    def patches_per_sample(self, clip: Clip) -> Array:
        """Patches (or tubelets) of the whole clip."""
        return slices(clip.frames, self.tubelet) * self.patches_per_slice(clip)

    def build(self, data: Data) -> Model:
        """The computation of the encoder alone for one sample, as in supervised training."""
        return Model(self.name or "vision encoder", self.parts(self.clip(data), pooled=True), self.hidden)

    @property
    def of_pictures(self) -> bool:
        """Whether samples are images by default: no patch spans several frames."""
        return not np.any(np.greater(self.tubelet, 1))

    def tokens_per_sample(self, data: Data) -> Array:
        """Patches of the clip."""
        return self.patches_per_sample(self.clip(data))

    def assumptions(self, data: Data) -> tuple[Assumption, ...]:
        """The resolution, if the run does not state it."""
        if data.resolution is not None:
            return ()
        reason = f"no resolution is stated: that of {self.name or 'the encoder'}"
        return (Assumption("data.resolution", self.image_size, "pixel", reason),)

    def parts(self, clip: Clip, *, pooled: bool) -> tuple[Stack | Ends, ...]:
        """Patch embedding, layers and, if ``pooled``, the pooling to one feature per image."""
        adapts = self.trainable == "lora"
        kind = treatment("full" if adapts else self.trainable, gradient_upstream=False)
        count, times = self.patches_per_slice(clip), slices(clip.frames, self.tubelet)
        tokens = times * count
        sequence = tokens if self.attends == "clip" else count
        pictures = 1 if self.attends == "clip" else times
        embedding = self.embedding(tokens, kind)
        extra = self.extra_tokens
        layers = self.stacks(tokens + pictures * extra, sequence + extra, times, kind)
        layers = self.in_windows(layers[0], sequence) if self.own_sizes or self.window is not None else layers
        norm = blocks.norm_parameters(self.norm, self.hidden) if self.final_norm else 0
        end = Ends("vision end", (), norm, tokens, first=False, trainable=kind)
        found: tuple[Stack | Ends, ...] = (
            embedding,
            *layers,
            *(self.pooled(tokens, pictures, kind) if pooled else (end,)),
        )
        return lora.adapted_parts(found, self.rank, self.targets) if adapts else found

    def embedding(self, tokens: Array, kind: Trainable) -> Ends:
        """Patch embedding [channels p^2 tubelet, h], class token, registers, position table and first norm."""
        pixels = self.channels * self.patch**2 * self.tubelet
        linear = Linear("patch embedding", pixels, self.hidden, Split.WHOLE, self.patch_bias)
        places = patches(self.image_size, self.image_size, self.patch) + (1 if self.class_token else 0)
        tables = self.extra_tokens * self.hidden + (places * self.hidden if self.positions == "learned" else 0)
        tables = tables + self.time_places * self.hidden + self.extra_weights
        tables = tables + (self.place_table if self.place_bias == "shared" else 0)
        if self.pre_norm:
            tables = tables + blocks.norm_parameters(self.norm, self.hidden)
        return Ends("patch embedding", (linear,), tables, tokens, first=True, trainable=kind, from_pixels=True)

    def stacks(self, tokens: Array, sequence: Array, times: Array, kind: Trainable) -> tuple[Stack, ...]:
        """The layers; with divided attention, also a second stack that attends over time (Bertasius et al. 2021)."""
        layers = Stack("vision layers", self.block(), self.layers, tokens, sequence, kind)
        if self.attends != "divided":
            return (layers,)
        glue = blocks.glue(self.hidden, self.norm, norms=1, residuals=1, dropout=False)
        square = (
            (Linear("temporal projection", self.hidden, self.hidden, Split.WHOLE, bias=True),)
            if self.time_linear
            else ()
        )
        along = blocks.block(self.hidden, self._attention(), blocks.Piece(square), glue)
        return (layers, Stack("attention along time", along, self.layers, tokens, times, kind, within=True))

    @property
    def own_sizes(self) -> bool:
        """Whether images keep their own sizes, so that attention runs image by image. Assumed for encoders that attend within frames, with
        several frames per patch and no class token (Qwen2-VL, arXiv:2409.12191)."""
        return bool(np.all(np.greater(self.tubelet, 1))) and not self.class_token and self.attends == "frame"

    @property
    def windowed(self) -> Array | None:
        """``window``; by default 8 x 8 patches if gated and ``own_sizes`` (Qwen2.5-VL, arXiv:2502.13923, section 2.1.1), else None."""
        return 64 if self.window is None and self.own_sizes and self.gated else self.window

    def in_windows(self, layers: Stack, sequence: Array) -> tuple[Stack, ...]:
        """Split layers that attend image by image into those with windows, if the encoder has any, and those with full attention."""
        cores = tuple(replace(core, looped=self.own_sizes) for core in layers.block.attention)
        unwindowed = replace(layers, block=replace(layers.block, attention=cores))
        if self.windowed is None:
            return (unwindowed,)
        seeing_all = self.layers / self.global_every
        near = np.minimum(self.windowed, sequence)
        windowed = replace(unwindowed, name="windowed vision layers", layers=self.layers - seeing_all, sequence=near)
        return (windowed, replace(unwindowed, layers=seeing_all))

    def block(self) -> Block:
        """One layer."""
        mixer = blocks.feed_forward(
            self.hidden, self.ffn_width, gated=self.gated, bias=self.mlp_bias, activation=self.activation
        )
        glue = blocks.glue(self.hidden, self.norm, norms=self.norms_per_layer, residuals=2, dropout=False)
        scale = (Elementwise(Pointwise.SCALE, self.hidden, sharded=False, parameters=self.hidden),) * 2
        scaled = blocks.Piece(elementwise=scale if self.layer_scale else ())
        strided = (Elementwise(Pointwise.CHANNELS_FIRST, self.hidden, sharded=False),) if self.channels_first else ()
        skipped = (Elementwise(Pointwise.DROP_PATH, self.hidden, sharded=False),) * (2 if self.drop_path else 0)
        layer = blocks.block(
            self.hidden, self._attention(), mixer, glue, scaled, blocks.Piece(elementwise=(*strided, *skipped))
        )
        by_axes: tuple[CodeStep, ...] = ("axis-rotary",) if self.positions == "axis-rotary" else ()
        return as_coded(layer, ("split-gate", *by_axes) if self.gated and self.layer_scale else by_axes)

    @property
    def channels_first(self) -> bool:
        """Whether the stream keeps the channels-first layout of the patch-embedding convolution; prepending a class
        token copies it to the usual layout."""
        return not self.class_token and self.positions == "learned" and bool(np.all(np.equal(self.tubelet, 1)))

    def _attention(self) -> blocks.Piece:
        width = self.hidden // self.heads if self.head_dim is None else self.head_dim
        keyless = self.attention_bias == "no-key"
        piece = blocks.self_attention(
            self.hidden,
            self.heads,
            self.heads,
            width,
            causal=False,
            qkv_bias=self.attention_bias in ("qkv", "all"),
            output_bias=self.attention_bias in ("all", "no-key", "output"),
            rotary=self.positions in ("rotary", "axis-rotary"),
            qk_norm=self.qk_norm,
        )
        if not self.mask_made:
            piece = replace(piece, attention=tuple(replace(core, maskless=True) for core in piece.attention))
        if self.mask_given:
            piece = replace(piece, attention=tuple(replace(core, padded=True) for core in piece.attention))
        if self.place_bias != "none":
            table = (blocks.weights(self.place_table),) if self.place_bias == "layer" else ()
            cores = tuple(replace(core, padded=True, from_table=self.place_bias == "layer") for core in piece.attention)
            piece = blocks.Piece(piece.linears, cores, (*piece.elementwise, *table), piece.reductions)
        if not keyless:
            return piece
        biased = 2 * self.heads * width
        bias = Elementwise(Pointwise.BIAS, biased, sharded=True, parameters=biased)
        return blocks.Piece(piece.linears, piece.attention, (*piece.elementwise, bias), piece.reductions)

    @property
    def place_table(self) -> Array:
        """Parameters of a relative-position bias table: per head, one for every 2-D offset, and three for the class token."""
        return ((2 * self.image_size // self.patch - 1) ** 2 + 3) * self.heads

    def pooled(self, tokens: Array, pictures: Array, kind: Trainable) -> tuple[Ends, ...]:
        """The final norm and the pooling of each image to one vector: attention pooling, projection,
        classifier."""
        h = self.hidden
        norm = blocks.norm_parameters(self.norm, h) if self.final_norm else 0
        ends: list[Ends] = []
        linears: list[Linear] = []
        if self.pooling == "attention":
            key_value = Linear("pooling key-value", h, 2 * h, Split.WHOLE, bias=True)
            ends.append(Ends("pooling keys", (key_value,), h, tokens, first=False, trainable=kind))
            linears += [
                Linear("pooling query", h, h, Split.WHOLE, bias=True),
                Linear("pooling output", h, h, Split.WHOLE, bias=True),
                Linear("pooling up", h, self.ffn_width, Split.WHOLE, bias=True),
                Linear("pooling down", self.ffn_width, h, Split.WHOLE, bias=True),
            ]
            norm = norm + blocks.norm_parameters(self.norm, h)
        if self.pooling == "dense":
            linears.append(Linear("pooler", h, self.pooler_width or h, Split.WHOLE, bias=True))
        if self.projection is not None:
            linears.append(Linear("projection", h, self.projection, Split.WHOLE))
        if self.classes is not None:
            linears.append(Linear("classifier", h, self.classes, Split.WHOLE, bias=True))
        return (*ends, Ends("vision head", tuple(linears), norm, pictures, first=False, trainable=kind))


class StandardVision(Spec):
    """A vision transformer of which only the size is known."""

    kind: Literal["standard-vision"] = "standard-vision"
    params: Annotated[float, measured_in("parameter")]
    patch: Count = 14
    image_size: Count = 224
    attends: Literal["frame", "clip", "divided"] = "frame"
    trainable: Training = "full"

    @property
    def shape(self) -> VisionEncoder:
        """The assumed encoder."""
        shape = standard.plain(standard.encoder_shape(self.params))
        fields = ("name", "patch", "image_size", "attends", "trainable")
        return SMALLEST.model_copy(update={**shape, **{field: getattr(self, field) for field in fields}})

    def build(self, data: Data) -> Model:
        """The assumed encoder alone."""
        return self.shape.build(data)

    @property
    def of_pictures(self) -> bool:
        """Same as the assumed encoder's."""
        return self.shape.of_pictures

    def tokens_per_sample(self, data: Data) -> Array:
        """Patches of the clip."""
        return self.shape.tokens_per_sample(data)

    def assumptions(self, data: Data) -> tuple[Assumption, ...]:
        """The assumed shape, and the assumptions of the encoder with that shape."""
        shape = self.shape
        said = f"{shape.layers} layers of {shape.hidden}, feed-forward {shape.ffn_hidden}, patch {shape.patch}"
        said = "one shape per size" if np.ndim(self.params) else said
        reason = "only the size is known: depth and width between public vision transformers"
        source = "open_clip model configurations; ViT-22B, arXiv:2302.05442"
        return (Assumption("model.vision", said, "", reason, source), *shape.assumptions(data))


SMALLEST = VisionEncoder(layers=1, hidden=64, heads=1, patch=14)


def known_by(value: Any) -> str:
    """The discriminator of ``AnyVision``: whether an encoder is given by its size or its shape."""
    sized = "params" in value if isinstance(value, Mapping) else hasattr(value, "params")
    return "[size]" if sized else "[shape]"


AnyVision = Annotated[
    Annotated[VisionEncoder, Tag("[shape]")] | Annotated[StandardVision, Tag("[size]")],
    Discriminator(known_by),
    BeforeValidator(fields),
]
"""A vision encoder, given by name, shape or size."""
