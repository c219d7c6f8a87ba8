"""Contrastive image-text models with two towers: CLIP, SigLIP, and their video variants."""

from typing import Literal

from gpuhours.architecture.decoder import Decoder
from gpuhours.architecture.operators import Ends, Linear, Model, Split, Stack, Trainable
from gpuhours.architecture.spec import Spec
from gpuhours.architecture.vision import AnyVision
from gpuhours.data import Data
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.units import Count


class Contrastive(Spec):
    """CLIP (Radford et al. 2021, arXiv:2103.00020) and SigLIP (Zhai et al. 2023, arXiv:2303.15343).

    ``vision`` pools and projects to ``embedding``; ``text`` is a transformer without a language-model
    head, whose last or pooled token is also projected. The loss compares every image with every text of the batch: it costs
    FLOPs on features but has no weights.
    """

    kind: Literal["contrastive"] = "contrastive"
    vision: AnyVision
    text: Decoder
    embedding: Count
    """Width of the joint embedding that both towers project to."""
    context: Count = 77
    """Text tokens per sample."""
    text_projection_bias: bool = False
    scales: int = 1
    """Learned scalars of the loss: a temperature, and SigLIP's bias."""

    def build(self, data: Data) -> Model:
        """The computation for one image-text or video-text pair."""
        vision = self.vision.shape
        seen = vision.parts(vision.clip(data), pooled=True)
        parts: tuple[Stack | Ends, ...] = (*seen, *self._text_tower(self._text_tokens(data)))
        return Model(self.name or "contrastive model", parts, vision.hidden)

    def _text_tokens(self, data: Data) -> Array:
        return self.context if data.text_tokens is None else data.text_tokens

    def _text_tower(self, tokens: Array) -> tuple[Stack | Ends, ...]:
        """Token and position embeddings, layers, and the projection of one token per text."""
        text = self.text
        biased = self.text_projection_bias
        linear = Linear("text projection", text.hidden, self.embedding, Split.WHOLE, biased)
        norm = text.language_head(tokens).tables + self.scales
        end = Ends("text head", (linear,), norm, 1, first=False, compared=self.embedding)
        return (*text.front(tokens), *text.stacks(tokens, Trainable.FULL), end)

    @property
    def of_pictures(self) -> bool:
        """Same as its vision tower's."""
        return self.vision.of_pictures

    def tokens_per_sample(self, data: Data) -> Array:
        """Patches plus text tokens."""
        return self.vision.shape.tokens_per_sample(data) + self._text_tokens(data)

    def assumptions(self, data: Data) -> tuple[Assumption, ...]:
        """Assumptions of the vision tower."""
        return self.vision.assumptions(data)
