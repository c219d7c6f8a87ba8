"""Encoder-decoder transformers: T5, BART, Whisper and their relatives."""

from dataclasses import replace
from typing import Annotated, Literal

from gpuhours.architecture import blocks
from gpuhours.architecture.adapted import Adapted
from gpuhours.architecture.code_steps import as_coded
from gpuhours.architecture.operators import Block, Elementwise, Ends, Linear, Model, Pointwise, Split, Stack
from gpuhours.data import Data
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.units import Count, whole

NotNegative = Annotated[int, whole(least=0)]


class EncoderDecoder(Adapted):
    """T5 (Raffel et al. 2020, arXiv:1910.10683): RMSNorm, no biases, relative positions shared by all
    layers; also BART, Whisper and similar models, with LayerNorm, biases and position tables.

    ``data.seq_len`` is the encoder's length, ``target_tokens`` the decoder's.
    """

    kind: Literal["encoder-decoder"] = "encoder-decoder"
    encoder_layers: Count
    decoder_layers: Count
    hidden: Count
    heads: Count
    kv_heads: Count | None = None
    head_dim: Count = 64
    ffn_hidden: Count
    decoder_heads: Count | None = None
    """Default: the encoder's; so is the next field's."""
    decoder_ffn_hidden: Count | None = None
    gated: bool = False
    activation: blocks.Activation = "gelu"
    """How the activation is implemented, also if gated: T5's gated variant is unfused."""
    vocab: Count
    tied: bool = True
    token_tables: Literal[1, 2] = 1
    """1: encoder and decoder share a token embedding; 2: each has its own."""
    norm: blocks.Norm = "rms"
    norms_per_half: Count = 1
    """Norms per attention or feed-forward half of a layer: 2 if there is one before and one after (T5Gemma)."""
    final_norm: bool = True
    embedding_norm: bool = False
    biases: bool = False
    key_bias: bool = True
    """Whether keys also have a bias if the model has biases (they do not in Whisper)."""
    position_buckets: NotNegative = 32
    """Rows of a relative-position table with one number per head, one table each for encoder and decoder; 0: none."""
    encoder_positions: NotNegative = 0
    """Rows of a position table for the encoder."""
    decoder_positions: NotNegative = 0
    sound_channels: NotNegative = 0
    """Channels of audio input, read by two convolutions of width three, the second with stride two (Whisper); 0: the input is text."""
    target_tokens: Count = 114
    """Decoder tokens per sample; default 114, since T5's span corruption gives 114 targets for 512 tokens (section 3.1.4)."""
    dropout: bool = False
    wide_loss: bool = False
    """Whether transformers' file casts the logits to fp32 before the loss (T5Gemma's); T5's, BART's, M2M-100's and Whisper's do not."""

    def build(self, data: Data) -> Model:
        """The computation for one pair of input and target."""
        read, written = self._read(data), self._target(data)
        heads, width = self.decoder_heads or self.heads, self.decoder_ffn_hidden or self.ffn_hidden
        keys = blocks.block(self.hidden, *self._cross_keys(heads), self._copied_keys(heads))
        head = Linear("head", self.hidden, self.vocab, Split.VOCABULARY)
        words = self.vocab * self.hidden
        parts: tuple[Stack | Ends, ...] = (
            *self._front(read, words),
            Stack("encoder layers", self._block(self.heads, self.ffn_hidden, None), self.encoder_layers, read),
            Ends("encoder end", (), self._end(self.heads, self.encoder_positions), read, first=True),
            Stack("encoder keys and values", keys, self.decoder_layers, read),
            *self._written(written, words),
            Stack("decoder layers", self._block(heads, width, read), self.decoder_layers, written),
            Ends(
                "head",
                (head,),
                self._end(heads, self.decoder_positions),
                written,
                first=False,
                vocabulary=self.vocab,
                tied=self.tied,
                narrow_loss=not self.wide_loss,
            ),
        )
        return self.trained(Model(self.name or "encoder-decoder", parts, self.hidden))

    def _front(self, read: Array, words: Array) -> tuple[Ends, ...]:
        """The encoder's input: a token embedding, or for audio two convolutions, [3 c, h] and, with stride two, [3 h, h]."""
        if not self.sound_channels:
            return (Ends("embedding", (), words, read, first=True, split=Split.VOCABULARY),)
        c, h = self.sound_channels, self.hidden
        first = Linear("first convolution", 3 * c, h, Split.WHOLE, bias=True)
        second = Linear("second convolution", 3 * h, h, Split.WHOLE, bias=True)
        return (
            Ends("sound", (first,), 0, 2 * read, first=True),
            Ends("sound, half the steps", (second,), 0, read, first=True),
        )

    def _written(self, written: Array, words: Array) -> tuple[Ends, ...]:
        """The decoder's token embedding if not shared with the encoder; otherwise empty."""
        if self.token_tables == 1 and not self.sound_channels:
            return ()
        return (Ends("decoder embedding", (), words, written, first=False, split=Split.VOCABULARY),)

    def _end(self, heads: Array, positions: Array) -> Array:
        """Parameters of the norms and position tables of the encoder or decoder."""
        norms = (1 if self.final_norm else 0) + (1 if self.embedding_norm else 0)
        tables = self.position_buckets * heads + positions * self.hidden
        return norms * blocks.norm_parameters(self.norm, self.hidden) + tables

    def _cross_keys(self, heads: Array) -> tuple[blocks.Piece, ...]:
        """Key-value projections applied to the encoder's output in every decoder layer."""
        kv = heads if self.kv_heads is None else self.kv_heads
        piece = blocks.cross_keys(self.hidden, kv, self.head_dim, bias=self.biases)
        return (piece, self._no_key_bias(kv))

    def _copied_keys(self, heads: Array) -> blocks.Piece:
        """Whisper's copies of the keys and values of the encoder's output."""
        copied = Elementwise(Pointwise.ALIGNED, 2 * heads * self.head_dim, sharded=True)
        return blocks.Piece(elementwise=(copied,) if self.sound_channels else ())

    def _no_key_bias(self, kv: Array) -> blocks.Piece:
        """A correction that subtracts the key bias from the parameter count, if values have a bias and keys do not."""
        missing = kv * self.head_dim if self.biases and not self.key_bias else 0
        return blocks.Piece(elementwise=(blocks.weights(-missing),) if missing else ())

    def _block(self, heads: Array, width: Array, read: Array | None) -> Block:
        """An encoder layer, or a decoder layer if ``read``, the number of encoder tokens for cross-attention, is given."""
        h, d, decodes = self.hidden, self.head_dim, read is not None
        kv = heads if self.kv_heads is None else self.kv_heads
        plain = blocks.self_attention(h, heads, kv, d, causal=decodes, qkv_bias=self.biases, output_bias=self.biases)
        relative = bool(self.position_buckets)
        sees = replace(plain, attention=tuple(replace(core, biased=relative) for core in plain.attention))
        looks = () if read is None else (blocks.cross_attention(h, heads, d, read, key_heads=kv, bias=self.biases),)
        mixer = blocks.feed_forward(h, width, gated=self.gated, bias=self.biases, activation=self.activation)
        halves = 3 if decodes else 2
        glue = blocks.glue(h, self.norm, norms=halves * self.norms_per_half, residuals=halves, dropout=self.dropout)
        strided = (
            (Elementwise(Pointwise.CHANNELS_FIRST, h, sharded=False),) if self.sound_channels and not decodes else ()
        )
        layer = blocks.block(h, sees, *looks, mixer, glue, self._no_key_bias(kv), blocks.Piece(elementwise=strided))
        return as_coded(layer, ("scaled-queries", "aligned-heads") if self.sound_channels else ())

    def _target(self, data: Data) -> Array:
        """Decoder tokens: ``data.text_tokens`` if the input's length is also given, otherwise ``target_tokens``."""
        both = data.seq_len is not None and data.text_tokens is not None
        return data.text_tokens if both and data.text_tokens is not None else self.target_tokens

    def _read(self, data: Data) -> Array:
        tokens = data.language_tokens() if data.seq_len is None else data.seq_len
        if tokens is None:
            raise EstimateError(
                "The number of input tokens per sample is missing.", "Give data.seq_len.", "data.seq_len"
            )
        return tokens

    def tokens_per_sample(self, data: Data) -> Array | None:
        """Input and target; None if the input's length is open."""
        read = data.language_tokens() if data.seq_len is None else data.seq_len
        return None if read is None else read + self._target(data)

    @property
    def padded_to(self) -> int | None:
        """All positions of an audio encoder, since Whisper pads audio to 30 s (Radford et al. 2022, arXiv:2212.04356, section 2.2)."""
        return int(self.encoder_positions) or None if self.sound_channels else None

    def sees_frames(self, data: Data) -> bool:
        """Whether the data give a number of tokens per frame."""
        return False

    def effective_tokens(self, data: Data) -> Array | None:
        """Tokens per sample without the padding of the input."""
        read = data.carrying_tokens()
        return None if read is None else read + self._target(data)
