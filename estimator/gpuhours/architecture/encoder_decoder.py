"""Encoder-decoder transformers: T5 and its relatives."""

from typing import Literal

from gpuhours.architecture import blocks
from gpuhours.architecture.operators import Block, Ends, Linear, Model, Split, Stack
from gpuhours.architecture.spec import Spec
from gpuhours.data import Data
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.units import Count


class EncoderDecoder(Spec):
    """T5 (Raffel et al. 2020, arXiv:1910.10683): RMS norms, no biases, relative positions shared by the
    layers.

    ``data.seq_len`` is the encoder's length, ``target_tokens`` the decoder's.
    """

    kind: Literal["encoder-decoder"] = "encoder-decoder"
    encoder_layers: Count
    decoder_layers: Count
    hidden: Count
    heads: Count
    head_dim: Count = 64
    ffn_hidden: Count
    gated: bool = False
    vocab: Count
    tied: bool = True
    position_buckets: Count = 32
    target_tokens: Count = 114
    """T5's span corruption leaves 114 of 512 tokens (section 3.1.4)."""
    dropout: bool = False

    def build(self, data: Data) -> Model:
        """One pair of input and target."""
        read, written = self._read(data), self.target_tokens
        words = self.vocab * self.hidden
        norm = blocks.norm_parameters("rms", self.hidden)
        places = self.position_buckets * self.heads
        keys = blocks.block(self.hidden, blocks.cross_keys(self.hidden, self.heads, self.head_dim))
        head = Linear("head", self.hidden, self.vocab, Split.VOCABULARY)
        parts: tuple[Stack | Ends, ...] = (
            Ends("embedding", (), words, read, first=True, split=Split.VOCABULARY),
            Stack("encoder layers", self._block(None), self.encoder_layers, read),
            Ends("encoder end", (), norm + places, read, first=True),
            Stack("encoder keys and values", keys, self.decoder_layers, read),
            Stack("decoder layers", self._block(read), self.decoder_layers, written),
            Ends("head", (head,), norm + places, written, first=False, vocabulary=self.vocab, tied=self.tied),
        )
        return Model(self.name or "encoder-decoder", parts, self.hidden)

    def _block(self, read: Array | None) -> Block:
        """An encoder layer; with ``read`` tokens to look at, a decoder layer."""
        h, a, d = self.hidden, self.heads, self.head_dim
        decodes = read is not None
        sees = blocks.self_attention(h, a, a, d, causal=decodes, qkv_bias=False, output_bias=False)
        looks = () if read is None else (blocks.cross_attention(h, a, d, read),)
        mixer = blocks.feed_forward(h, self.ffn_hidden, gated=self.gated, bias=False)
        count = 3 if decodes else 2
        glue = blocks.glue(h, "rms", norms=count, residuals=count, dropout=self.dropout)
        return blocks.block(h, sees, *looks, mixer, glue)

    def _read(self, data: Data) -> Array:
        tokens = data.language_tokens()
        if tokens is None:
            raise EstimateError("The input tokens per sample are not known.", "Give data.seq_len.", "data.seq_len")
        return tokens

    def tokens_per_sample(self, data: Data) -> Array:
        """Input and target."""
        return self._read(data) + self.target_tokens

    def effective_tokens(self, data: Data) -> Array | None:
        """The same without padding of the input."""
        read = data.carrying_tokens()
        return None if read is None else read + self.target_tokens
