"""The bridge between a vision encoder and a language model, and the number of tokens that it outputs.

A projector keeps one token per patch (or per merged square of patches); a resampler outputs a fixed number of queries; cross-attention
layers keep visual tokens out of the language model's sequence altogether.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypeAlias

import numpy as np
from pydantic import BeforeValidator, Discriminator, Tag, model_validator

from gpuhours.architecture import blocks
from gpuhours.architecture.decoder import Decoder
from gpuhours.architecture.operators import Elementwise, Ends, Linear, Pointwise, Split, Stack, Trainable
from gpuhours.architecture.spec import Spec, Training, treatment
from gpuhours.architecture.vision import Clip, VisionEncoder
from gpuhours.data import merged_patches, slices
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.units import Count, whole

NotNegative = Annotated[int, whole(least=0)]
Parts: TypeAlias = tuple[Stack | Ends, ...]


class Bridge(Spec):
    """Base class of all bridges."""

    trainable: Training = "full"

    def visual_tokens(self, clip: Clip, vision: VisionEncoder) -> Array:
        """Tokens that the bridge outputs for one sample."""
        raise NotImplementedError

    def parts(self, clip: Clip, vision: VisionEncoder, language: Decoder, text: Array, *, upstream: bool) -> Parts:
        """The bridge's operators for one sample. ``text``: text tokens per sample; ``upstream``: whether the vision encoder is
        trained."""
        raise NotImplementedError

    def in_stream(self) -> bool:
        """Whether visual tokens are part of the language model's sequence."""
        return True

    def treated(self, upstream: bool) -> Trainable:
        """Whether the bridge is trained, frozen, or frozen with gradients passing through to a trained encoder (``upstream``)."""
        return treatment(self.trainable, gradient_upstream=upstream)


class Projector(Bridge):
    """One linear layer (``linear``, LLaVA) or two with a GELU between (``mlp``, LLaVA-1.5), after merging patches.

    ``downsample`` concatenates the channels of n x n neighbours (VILA, InternVL): with n = 2, 4 tokens become one of four
    times the width.
    ``pool`` averages n x n neighbours after projection. ``norm``: LayerNorm before it (VILA).
    """

    kind: Literal["linear", "mlp"] = "mlp"
    downsample: Count = 1
    pool: Count = 1
    norm: bool = False
    norm_before_merging: bool = False
    """Whether the norm is applied before patches are merged (Qwen-VL) rather than after."""
    norm_kind: blocks.Norm = "layer"
    middle: Count | None = None
    """Hidden width of the MLP; the language model's width by default."""
    out: Count | None = None
    """Output width of the projector; the language model's width by default."""
    inputs: Count | None = None
    """Input width, if it is not that of merged patches: features of several layers concatenated (Llama 3.2 Vision)."""
    then: Count | None = None
    """Input width of a final bias-free linear layer to the language model's width, if there is one (Llama 4)."""
    bias: bool = True
    gated: bool = False
    """Whether half of ``middle`` gates the other half (SwiGLU; Aya Vision)."""
    merge_linear: bool = False
    """Whether a linear layer first reduces merged patches to the width of one patch (Mistral 3)."""
    levels: Count = 1
    """Number of encoder layers that are projected, each by its own projector (Qwen3-VL's deepstack)."""
    extra_weights: NotNegative = 0
    """Parameters outside GEMMs: a final norm, a line-break embedding."""

    def visual_tokens(self, clip: Clip, vision: VisionEncoder) -> Array:
        """Temporal slices x ceil(rows / n) x ceil(columns / n), n = ``downsample`` x ``pool``."""
        merged = merged_patches(clip.height, clip.width, vision.patch, self.downsample * self.pool)
        return slices(clip.frames, vision.tubelet) * merged

    def parts(self, clip: Clip, vision: VisionEncoder, language: Decoder, text: Array, *, upstream: bool) -> Parts:
        """One weight [n^2 h_v, h] and, for an MLP, a second [h, h], applied to every merged token."""
        times = slices(clip.frames, vision.tubelet)
        tokens = times * merged_patches(clip.height, clip.width, vision.patch, self.downsample)
        merged, out = self.downsample**2 * vision.hidden, language.hidden if self.out is None else self.out
        inputs = self.inputs or (vision.hidden if self.merge_linear else merged)
        middle = out if self.middle is None else self.middle
        linears = [Linear("merging", merged, inputs, Split.WHOLE)] if self.merge_linear else []
        linears.append(Linear("projector", inputs, middle if self.kind == "mlp" else out, Split.WHOLE, self.bias))
        if self.kind == "mlp":
            linears.append(Linear("projector 2", middle // 2 if self.gated else middle, out, Split.WHOLE, self.bias))
        if self.then is not None:
            linears.append(Linear("projector to the language model", self.then, language.hidden, Split.WHOLE))
        width = vision.hidden if self.norm_before_merging else merged
        norm = blocks.norm_parameters(self.norm_kind, width) if self.norm else 0
        part = Ends(
            "projector",
            tuple(linears),
            norm + self.extra_weights,
            tokens,
            first=True,
            trainable=self.treated(upstream),
        )
        if self.levels == 1:
            return (part,)
        deeper = blocks.norm_parameters(self.norm_kind, merged) if self.norm else 0
        level = Ends(
            "projector of a deeper layer", tuple(linears), deeper, tokens, first=True, trainable=self.treated(upstream)
        )
        return (part, *(level,) * (int(self.levels) - 1))


class Resampler(Bridge):
    """A fixed number of learned queries that attend to the frames: Flamingo's perceiver resampler (``resampler``) or BLIP-2's
    ``q-former``, whose queries also attend to each other, and to the frames only in every second layer.

    Defaults: resampler 6 layers of the encoder's width, head size 64 (Alayrac et al. 2022, table 2);
    q-former 12 layers of 768, 12 heads (Li et al. 2023, section 3.1).
    """

    kind: Literal["resampler", "q-former"] = "resampler"
    queries: Count
    per: Literal["frame", "clip"] = "clip"
    """Whether there are ``queries`` per frame, or per clip."""
    layers: Count | None = None
    hidden: Count | None = None
    heads: Count | None = None
    project: bool = True
    """Whether it ends with a linear layer to the language model's width."""

    @model_validator(mode="after")
    def _looks_at_the_frames(self) -> Self:
        if self.kind == "q-former" and self.layers == 1:
            raise ValueError("a q-former attends to the frames in every second layer; give at least 2 layers")
        return self

    @property
    def depth(self) -> Array:
        """``layers``, or the default of the kind: 6 for a resampler, 12 for a q-former."""
        return self.layers if self.layers is not None else 6 if self.kind == "resampler" else 12

    def width(self, vision: VisionEncoder) -> Array:
        """``hidden``, or the default of the kind: the encoder's width for a resampler, 768 for a q-former."""
        return self.hidden if self.hidden is not None else vision.hidden if self.kind == "resampler" else 768

    def heads_of(self, hidden: Array) -> Array:
        """``heads``, or hidden / 64. Raises ``EstimateError`` if the width is not divisible."""
        if np.any(np.remainder(hidden, 64 if self.heads is None else self.heads)):
            said = "heads of 64" if self.heads is None else f"{self.heads} heads"
            raise EstimateError(f"A width of {hidden} is not divisible by {said}.", "Give heads.", "model.bridge")
        return np.floor_divide(hidden, 64) if self.heads is None else self.heads

    def pictures(self, clip: Clip, vision: VisionEncoder) -> Array:
        """Number of times that the queries are applied per sample: once per temporal slice, or 1."""
        return slices(clip.frames, vision.tubelet) if self.per == "frame" else 1

    def visual_tokens(self, clip: Clip, vision: VisionEncoder) -> Array:
        """Output tokens per sample: queries x ``pictures``."""
        return self.queries * self.pictures(clip, vision)

    def parts(self, clip: Clip, vision: VisionEncoder, language: Decoder, text: Array, *, upstream: bool) -> Parts:
        """Layers applied to the queries, key-value projections applied to the patches, and the output projection."""
        kind, hidden = self.treated(upstream), self.width(vision)
        tokens, seen = self.visual_tokens(clip, vision), vision.patches_per_sample(clip)
        queries = Ends("queries", (), self.queries * hidden, tokens, first=True, trainable=kind)
        stacks = self._stacks(tokens, seen, self.pictures(clip, vision), hidden, vision.hidden, kind)
        if not self.project:
            return (queries, *stacks)
        linear = Linear("projector", hidden, language.hidden, Split.WHOLE, bias=True)
        return (queries, *stacks, Ends("projector", (linear,), 0, tokens, first=True, trainable=kind))

    def _stacks(
        self, tokens: Array, seen: Array, pictures: Array, hidden: Array, source: Array, kind: Trainable
    ) -> tuple[Stack, ...]:
        heads = self.heads_of(hidden)
        former = self.kind == "q-former"
        keys = seen / pictures + (0 if former else self.queries)
        looks = blocks.cross_attention(hidden, heads, hidden // heads, keys, bias=former)
        mixer = blocks.feed_forward(hidden, 4 * hidden, gated=False, bias=former)
        sees = blocks.self_attention(
            hidden, heads, heads, hidden // heads, causal=False, qkv_bias=True, output_bias=True
        )
        count = 3 if former else 2
        glue = blocks.glue(hidden, "layer", norms=count, residuals=count, dropout=False)
        both = blocks.block(hidden, *((sees, looks) if former else (looks,)), mixer, glue)
        asked = blocks.block(hidden, blocks.cross_keys(source, heads, hidden // heads, bias=former))
        looking = self.depth // 2 if former else self.depth
        read = seen + (0 if former else tokens)
        stacks = [
            Stack("resampler keys and values", asked, looking, read, None, kind, within=True),
            Stack("resampler layers", both, looking, tokens, tokens / pictures, kind),
        ]
        if former:
            plain = blocks.glue(hidden, "layer", norms=2, residuals=2, dropout=False)
            rest = blocks.block(hidden, sees, mixer, plain)
            stacks.append(Stack("q-former layers", rest, self.depth - looking, tokens, tokens / pictures, kind))
        return tuple(stacks)


class CrossAttention(Bridge):
    """Layers added to the language model that attend to the visual tokens (Flamingo; Llama 3.2 Vision).

    One gated layer is added after every ``every`` layers: cross-attention and, with ``feed_forward``, a feed-forward layer like the
    language model's. With ``resampler`` these layers attend to its queries, otherwise to every patch, projected to the model's width.
    """

    kind: Literal["cross-attention"] = "cross-attention"
    every: Count = 4
    feed_forward: bool = True
    qk_norm: bool = False
    """Whether queries and keys are normalised per head."""
    projector: Projector = Projector()
    """Applied to patches if there is no resampler."""
    resampler: Resampler | None = None

    def in_stream(self) -> bool:
        """False: the sequence holds only text, and visual tokens are read by cross-attention."""
        return False

    def visual_tokens(self, clip: Clip, vision: VisionEncoder) -> Array:
        """Visual tokens per sample that every added layer attends to."""
        return vision.patches_per_sample(clip) if self.resampler is None else self.resampler.visual_tokens(clip, vision)

    def parts(self, clip: Clip, vision: VisionEncoder, language: Decoder, text: Array, *, upstream: bool) -> Parts:
        """Resampler or projector, key-value projections of the added layers, and the added layers over the text tokens."""
        source = self.projector if self.resampler is None else self.resampler
        before = source.model_copy(update={"trainable": self.trainable})
        front = before.parts(clip, vision, language, text, upstream=upstream)
        keys, kind = self.visual_tokens(clip, vision), self.treated(True)
        return (*front, *self.layers(language, text, keys, kind))

    def layers(self, language: Decoder, text: Array, keys: Array, kind: Trainable) -> tuple[Stack, Stack]:
        """Two stacks: key-value projections, once per added layer and visual token; the layers themselves, per text token.
        Raises ``EstimateError`` if no layer would be added."""
        h, d, kv = language.hidden, language.head_width, language.key_heads
        count = np.floor_divide(language.layers, self.every)
        if np.any(np.less(count, 1)):
            problem = f"With one layer after every {self.every} of {language.layers}, none is added."
            raise EstimateError(problem, "Lower every.", "model.bridge.every")
        looks = blocks.cross_attention(h, language.heads, d, keys, key_heads=kv)
        mixer = blocks.feed_forward(h, language.ffn_width, gated=language.gated, bias=False)
        steps = 2 if self.feed_forward else 1
        glue = blocks.glue(h, language.norm, norms=steps, residuals=steps, dropout=False)
        gates = blocks.Piece(elementwise=(Elementwise(Pointwise.RESIDUAL, 0, sharded=False, parameters=steps),))
        normed = Elementwise(Pointwise.QK_NORM, language.heads * d, sharded=True, parameters=2 * d)
        norms = blocks.Piece(elementwise=(normed,) if self.qk_norm else ())
        layer = blocks.block(h, looks, *((mixer,) if self.feed_forward else ()), glue, gates, norms)
        asked = blocks.block(h, blocks.cross_keys(h, kv, d))
        return (
            Stack("cross-attention keys and values", asked, count, keys, None, kind, within=True),
            Stack("cross-attention layers", layer, count, text, None, kind),
        )


TYPES = {
    "linear": "[projector]",
    "mlp": "[projector]",
    "resampler": "[resampler]",
    "q-former": "[resampler]",
    "cross-attention": "[cross-attention]",
}


def kind(value: object) -> str:
    """The tag in ``TYPES`` for the ``kind`` of a bridge block; a block without ``kind`` is ``mlp``."""
    named = value.get("kind", "mlp") if isinstance(value, Mapping) else getattr(value, "kind", "mlp")
    return TYPES.get(str(named), str(named))


def known_kind(value: object) -> object:
    """The block unchanged; raises ``ValueError`` for an unknown kind."""
    if kind(value) not in TYPES.values():
        raise ValueError(f"{kind(value)!r} is not a kind of bridge; known kinds: {', '.join(TYPES)}")
    return value


AnyBridge: TypeAlias = Annotated[
    Annotated[Projector, Tag("[projector]")]
    | Annotated[Resampler, Tag("[resampler]")]
    | Annotated[CrossAttention, Tag("[cross-attention]")],
    Discriminator(kind),
    BeforeValidator(known_kind),
]
