"""A vision encoder, a bridge and a language model, each frozen, trained or adapted, as one model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from gpuhours.architecture.bridge import AnyBridge, Bridge, Projector
from gpuhours.architecture.catalogue import fields
from gpuhours.architecture.decoder import Decoder
from gpuhours.architecture.operators import Ends, Model, Stack
from gpuhours.architecture.spec import Spec
from gpuhours.architecture.standard import StandardShape
from gpuhours.architecture.vision import Clip, StandardVision, VisionEncoder
from gpuhours.assumption import Assumption
from gpuhours.data import Data, slices
from gpuhours.errors import EstimateError
from gpuhours.layout import Array


def _known_size(value: Any) -> str:
    """Whether a part is given by its size alone."""
    sized = "params" in value if isinstance(value, Mapping) else hasattr(value, "params")
    return "[size]" if sized else "[shape]"


Vision = Annotated[
    Annotated[VisionEncoder, Tag("[shape]")] | Annotated[StandardVision, Tag("[size]")],
    Discriminator(_known_size),
    BeforeValidator(fields),
]
Language = Annotated[
    Annotated[Decoder, Tag("[shape]")] | Annotated[StandardShape, Tag("[size]")],
    Discriminator(_known_size),
    BeforeValidator(fields),
]


class VideoLanguage(Spec):
    """Frames -> vision encoder -> bridge -> language model.

    A frozen encoder costs its forward pass. A frozen language model behind a trained bridge costs 4 FLOP
    per weight and token, since the gradient passes through it.
    """

    kind: Literal["video-language"] = "video-language"
    vision: Vision
    bridge: AnyBridge = Field(default_factory=Projector)
    language: Language

    @model_validator(mode="after")
    def _something_is_trained(self) -> VideoLanguage:
        if {self.vision.trainable, self.bridge.trainable, self.language.trainable} == {"frozen"}:
            raise ValueError("vision, bridge and language are all frozen: nothing is trained")
        return self

    def build(self, data: Data) -> Model:
        """One sample: its frames through the encoder, its visual and text tokens through the language
        model."""
        vision, bridge, language = self.vision.shape, self._bridge, self.language.shape
        clip, tokens = vision.clip(data), self._stream(data)
        trained_before = vision.trainable != "frozen"
        front = vision.parts(clip, pooled=False)
        middle = bridge.parts(clip, vision, language, tokens, upstream=trained_before)
        upstream = trained_before or bridge.trainable != "frozen"
        behind = language.model(tokens, gradient_upstream=upstream).parts
        parts: tuple[Stack | Ends, ...] = (*front, *middle, *behind)
        return Model(self.name or "video-language model", parts, language.hidden)

    @property
    def _bridge(self) -> Bridge:
        return self.bridge

    def visual_tokens(self, data: Data) -> Array:
        """Visual tokens of one sample behind the bridge: stated per frame, or what the bridge gives."""
        clip = self.vision.shape.clip(data)
        if data.tokens_per_frame is not None:
            return data.tokens_per_frame * clip.frames
        return self.bridge.visual_tokens(clip, self.vision.shape)

    def tokens_per_sample(self, data: Data) -> Array:
        """Tokens of the language model's sequence."""
        return self._stream(data)

    def _stream(self, data: Data) -> Array:
        visual = self.visual_tokens(data) if self.bridge.in_stream() else 0
        tokens = data.language_tokens(visual)
        if tokens is None:
            hint = "Give data.text_tokens or data.seq_len."
            raise EstimateError("The text tokens per sample are not known.", hint, "data.text_tokens")
        return tokens

    def assumptions(self, data: Data) -> tuple[Assumption, ...]:
        """Those of the parts, and the text where none is given."""
        found = [*self.vision.assumptions(data), *_renamed(self.language.assumptions(data))]
        if data.text_tokens is None and data.seq_len is None and data.text_corpus is None:
            reason = "no text per sample is stated: visual tokens alone are counted"
            found.append(Assumption("data.text_tokens", 0, "token", reason))
        return tuple(found)


def _renamed(found: tuple[Assumption, ...]) -> list[Assumption]:
    """The language model's assumptions under the key they have here."""
    return [
        Assumption(
            one.name.replace("model", "model.language", 1), one.value, one.unit, one.reason, one.source
        )
        for one in found
    ]


def tokens_per_frame(model: VideoLanguage, clip: Clip) -> Array:
    """Visual tokens per frame behind the bridge: all of the clip's / frames."""
    vision = model.vision.shape
    return model.bridge.visual_tokens(clip, vision) / np.maximum(slices(clip.frames, 1), 1)
