"""Vision-language models: a vision encoder, a bridge and a language model, each frozen, fully trained or with LoRA."""

from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from gpuhours.architecture.bridge import AnyBridge, Projector
from gpuhours.architecture.catalogue import fields
from gpuhours.architecture.decoder import Decoder
from gpuhours.architecture.operators import Ends, Model, Stack
from gpuhours.architecture.spec import Spec
from gpuhours.architecture.standard import StandardShape
from gpuhours.architecture.vision import AnyVision, Clip, known_by
from gpuhours.data import Data
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.units import measured_in

Language = Annotated[
    Annotated[Decoder, Tag("[shape]")] | Annotated[StandardShape, Tag("[size]")],
    Discriminator(known_by),
    BeforeValidator(fields),
]


TEXT_OF_PAIR = 300.0
"""Tokens of question and answer with an image or a clip: our judgement for tuning on visual instructions, whose samples go from one
question with a short answer to several turns; no source that we read states it. A run that knows its own gives ``data.text_tokens``."""
CAPTION = 30.0
"""Tokens of a caption: CC12M's have 20 words on average (arXiv:2102.08981, table 1), those for aligning LLaVA's connector about as many;
alt texts from the web are not longer."""


class VideoLanguage(Spec):
    """Frames -> vision encoder -> bridge -> language model.

    A frozen encoder costs only its forward pass. A frozen language model after a trained bridge costs 4 FLOP
    per weight and token, since gradients pass through it.
    """

    kind: Literal["video-language"] = "video-language"
    params: Annotated[float, measured_in("parameter")] | None = None
    """Total parameters, if no language model is given: its size is then the total minus encoder and bridge."""
    vision: AnyVision
    bridge: AnyBridge = Field(default_factory=Projector)
    language: Language | None = None

    @model_validator(mode="after")
    def _parts_fit_together(self) -> "VideoLanguage":
        if (self.params is None) == (self.language is None):
            raise ValueError("give either the language model or params of the whole, not both")
        if self.language is None and self._left_for_language() <= 0:
            raise ValueError("encoder and bridge alone exceed params")
        trained = {self.vision.trainable, self.bridge.trainable, self._language.trainable}
        if trained == {"frozen"}:
            raise ValueError("vision, bridge and language are all frozen: nothing is trained")
        return self

    @property
    def _language(self) -> Decoder | StandardShape:
        """The language model; if none is given, a standard one of the remaining size."""
        if self.language is not None:
            return self.language
        return ANY_SIZE.model_copy(update={"params": self._left_for_language()})

    def _left_for_language(self) -> Array:
        """Parameters of the language model, params - encoder - bridge. The bridge's size depends on it, so it is found by
        fixed-point iteration: P <- params - encoder - bridge(P)."""
        vision = self.vision.shape
        encoder = _parameters(vision.parts(STILL, pooled=False))
        params = np.asarray(self.params, float)
        left: Array = params - encoder
        for _ in range(6):
            language = ANY_SIZE.model_copy(update={"params": np.maximum(left, 1e6)}).shape
            bridge = self.bridge.parts(STILL, vision, language, 1, upstream=False)
            left = params - encoder - _parameters(bridge)
        return left

    def build(self, data: Data) -> Model:
        """The computation for one sample: frames through the encoder and bridge, visual and text tokens through the language
        model."""
        vision, bridge, language = self.vision.shape, self.bridge, self._language.shape
        clip, tokens = vision.clip(data), self._stream(data)
        trained_before = vision.trainable != "frozen"
        front = vision.parts(clip, pooled=False)
        middle = bridge.parts(clip, vision, language, tokens, upstream=trained_before)
        upstream = trained_before or bridge.trainable != "frozen"
        behind = language.model(tokens, gradient_upstream=upstream, padded=data.gets_padding_mask).parts
        parts: tuple[Stack | Ends, ...] = (*front, *middle, *behind)
        return Model(self.name or "video-language model", parts, language.hidden)

    def visual_tokens(self, data: Data) -> Array:
        """Visual tokens per sample after the bridge: from the given tokens per frame, otherwise computed by the bridge."""
        clip = self.vision.shape.clip(data)
        if data.tokens_per_frame is not None:
            return data.tokens_per_frame * clip.frames
        return self.bridge.visual_tokens(clip, self.vision.shape)

    def tokens_per_sample(self, data: Data) -> Array:
        """Tokens per sample in the language model's sequence."""
        return self._stream(data)

    def effective_tokens(self, data: Data) -> Array | None:
        """Tokens per sample without the padding of text and clips."""
        data = self._with_text(data)
        if not self.bridge.in_stream():
            return data.carrying_tokens()
        return data.carrying_tokens(self.visual_tokens(data.unpadded), self.visual_tokens(data))

    def _stream(self, data: Data) -> Array:
        visual = self.visual_tokens(data) if self.bridge.in_stream() else 0
        tokens = self._with_text(data).language_tokens(visual)
        assert tokens is not None, "a text is always known or assumed"
        return tokens

    def _with_text(self, data: Data) -> Data:
        """The data, with a usual text per sample if nothing about text is stated: a model of language always learns from some."""
        if data.text_tokens is not None or data.seq_len is not None or data.text_corpus is not None:
            return data
        frozen = self._language.trainable == "frozen"
        return data.model_copy(update={"text_tokens": CAPTION if frozen else TEXT_OF_PAIR})

    def assumptions(self, data: Data) -> tuple[Assumption, ...]:
        """Assumptions of the parts, and the text length if none is given."""
        assumed = [*self.vision.assumptions(data), *_renamed(self._language.assumptions(data))]
        usual = self._with_text(data)
        if usual is not data:
            like = (
                "captions, while the language model is frozen"
                if usual.text_tokens == CAPTION
                else "a question and its answer"
            )
            source = "CC12M (arXiv:2102.08981)" if usual.text_tokens == CAPTION else "LLaVA-1.5 (arXiv:2310.03744)"
            reason = f"no text per sample is stated: {like}"
            assumed.append(Assumption("data.text_tokens", usual.text_tokens, "token", reason, source))
        return tuple(assumed)


def _renamed(found: tuple[Assumption, ...]) -> list[Assumption]:
    """The language model's assumptions, with keys as they appear in this model's block."""
    return [
        Assumption(one.name.replace("model", "model.language", 1), one.value, one.unit, one.reason, one.source)
        for one in found
    ]


def _parameters(parts: tuple[Stack | Ends, ...]) -> Array:
    return sum(part.parameters for part in parts)


ANY_SIZE = StandardShape(params=1e9)
STILL = Clip(1, 224, 224)
"""An arbitrary clip for counting parameters, which do not depend on it."""
