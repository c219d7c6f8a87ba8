"""Two towers, for images and text, trained to agree: CLIP, SigLIP, and their video descendants."""

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
    head, whose last or pooled token is projected too. The loss compares every pair of the batch:
    features, not parameters.
    """

    kind: Literal["contrastive"] = "contrastive"
    vision: AnyVision
    text: Decoder
    embedding: Count
    """Width that both towers project to."""
    context: Count = 77
    """Text tokens per sample."""
    text_projection_bias: bool = False
    scales: int = 1
    """Learned scalars of the loss: a temperature, and SigLIP's bias."""

    def build(self, data: Data) -> Model:
        """One pair: the frames and the text."""
        vision = self.vision.shape
        seen = vision.parts(vision.clip(data), pooled=True)
        parts: tuple[Stack | Ends, ...] = (*seen, *self._text_tower(self._text_tokens(data)))
        return Model(self.name or "contrastive model", parts, vision.hidden)

    def _text_tokens(self, data: Data) -> Array:
        return self.context if data.text_tokens is None else data.text_tokens

    def _text_tower(self, tokens: Array) -> tuple[Stack | Ends, ...]:
        """Embeddings, layers, and a projection of one token."""
        text = self.text
        biased = self.text_projection_bias
        product = Linear("text projection", text.hidden, self.embedding, Split.WHOLE, biased)
        norm = text.language_head(tokens).tables + self.scales
        end = Ends("text head", (product,), norm, 1, first=False, compared=self.embedding)
        return (*text.front(tokens), *text.stacks(tokens, Trainable.FULL), end)

    @property
    def of_pictures(self) -> bool:
        """As for its encoder."""
        return self.vision.of_pictures

    def tokens_per_sample(self, data: Data) -> Array:
        """Patches and text tokens."""
        return self.vision.shape.tokens_per_sample(data) + self._text_tokens(data)

    def assumptions(self, data: Data) -> tuple[Assumption, ...]:
        """Those of the vision tower."""
        return self.vision.assumptions(data)
