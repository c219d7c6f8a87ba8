"""Transformers whose layers share one set of weights, behind embeddings narrower than the layers (ALBERT)."""

from dataclasses import replace
from typing import Literal

from gpuhours.architecture import blocks
from gpuhours.architecture.decoder import Decoder
from gpuhours.architecture.operators import Ends, Linear, Split, Stack, Trainable
from gpuhours.data import Data
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.units import Count


class SharedLayers(Decoder):
    """ALBERT (Lan et al. 2019, arXiv:1909.11942): every layer runs, but ``weight_sets`` layers' weights are stored.

    Tables and head have ``embedding_width``; a linear layer widens the embeddings to ``hidden``.
    """

    kind: Literal["shared-layers"] = "shared-layers"  # type: ignore[assignment]
    embedding_width: Count
    weight_sets: Count = 1

    @property
    def shape(self) -> "SharedLayers":
        """The model itself, since its shape is fully specified."""
        return self

    def front(self, tokens: Array) -> tuple[Ends, ...]:
        """Token, position and segment tables with their norm, and the linear layer [e, h] behind them."""
        width = self.embedding_width
        narrow = self.model_copy(update={"hidden": width, "head_dim": self.head_width})
        widened = Linear("embedding to hidden", width, self.hidden, Split.WHOLE, bias=True)
        kind = Trainable.FULL if self.trainable == "full" else Trainable.FROZEN
        last = Ends("wider embedding", (widened,), 0, tokens, first=True, trainable=kind)
        return (*super(SharedLayers, narrow).front(tokens), last)

    def stacks(self, tokens: Array, trainable: Trainable = Trainable.FULL) -> tuple[Stack, ...]:
        """The layers, of which each set of weights is stored once."""
        shared = super().stacks(tokens, trainable)
        return tuple(replace(stack, uses=stack.layers / self.weight_sets) for stack in shared)

    def top(self, tokens: Array, trainable: Trainable = Trainable.FULL) -> tuple[Ends, ...]:
        """The pooler, or the masked-word head: a linear layer [h, e], a norm and the words' own table with a bias."""
        if self.head != "masked":
            return super().top(tokens, trainable)
        width = self.embedding_width
        before = Linear("masked head", self.hidden, width, Split.WHOLE, bias=True)
        tables = blocks.norm_parameters(self.norm, width) + (self.vocab if self.tied else 0)
        transform = Ends("masked transform", (before,), tables, tokens, first=False, trainable=trainable)
        narrow = self.model_copy(update={"hidden": width, "head_dim": self.head_width})
        return (transform, narrow.language_head(tokens, trainable))

    def tokens_per_sample(self, data: Data) -> Array | None:
        """``seq_len``."""
        return data.language_tokens()
