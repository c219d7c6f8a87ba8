"""Decoder language models, dense or mixture-of-experts: from a shape to a list of operators.

Every number of the shape may be replaced by an array (``model_copy(update=...)``); strings and flags apply to
all elements."""

import itertools
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np
from pydantic import model_validator

from gpuhours.architecture import blocks, lora, side_inputs, state_space
from gpuhours.architecture.code_steps import CodeStep, as_coded
from gpuhours.architecture.decoder_shapes import (
    ATTENDS,
    FED,
    MIXED,
    STATE_SPACE,
    Experts,
    LatentAttention,
    LayerGroup,
    NotNegative,
    PerLayerInput,
    Streams,
)
from gpuhours.architecture.operators import Block, Ends, Linear, Model, Role, Split, Stack, Trainable
from gpuhours.architecture.spec import Spec, Training, refuse_uneven_heads, treatment
from gpuhours.architecture.state_space import StateSpace
from gpuhours.data import Data
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.units import Count, Fraction


class Decoder(Spec):
    """The shape of a decoder-only transformer. Defaults are Llama's: gated feed-forward, RMSNorm, rotary positions, no biases."""

    kind: Literal["decoder"] = "decoder"
    layers: Count
    hidden: Count
    heads: Count
    kv_heads: Count | None = None
    """Key-value heads; default ``heads``."""
    head_dim: Count | None = None
    """Head size; default hidden / heads."""
    ffn_hidden: Count | None = None
    """Width of the feed-forward layer; for the default see ``ffn_width``."""
    gated: bool = True
    activation: blocks.Activation = "gelu"
    """How the activation is implemented if the feed-forward layer is not gated."""
    vocab: Count
    tied: bool = False
    norm: blocks.Norm = "rms"
    norms_per_layer: int = 2
    embedding_norm: bool = False
    attention_bias: Literal["none", "qkv", "output", "all"] = "none"
    mlp_bias: bool = False
    head_bias: bool = False
    positions: Literal["rotary", "learned", "alibi", "disentangled", "none"] = "rotary"
    """``disentangled``: attention also between content and relative positions, in both directions (DeBERTa); the relative-position table
    has ``max_positions`` rows."""
    rotary_share: Fraction = 1.0
    """Share of a head that rotary positions apply to (a quarter in GPT-NeoX); the rest is passed through unchanged."""
    code_steps: tuple[CodeStep, ...] = ()
    """What the model's code does beside its formulas, at a cost in memory traffic (``architecture.code_steps``)."""
    max_positions: Count | None = None
    """Rows of a learned position table; default the number of tokens per sample."""
    qk_norm: blocks.QKNorm = "none"
    """A norm on queries and keys, per head (Qwen3) or over the whole width (OLMo 2)."""
    attention_gate: Literal["none", "width", "head"] = "none"
    """Gate on the attention output, per element (Qwen3-Next) or per head, computed by a wider query projection."""
    sinks: bool = False
    """Whether the softmax has an additional learned logit per head (gpt-oss)."""
    layer_weights: NotNegative = 0
    """Additional parameters per layer outside GEMMs (scales, activation parameters): counted, not timed."""
    extra_weights: NotNegative = 0
    """Additional parameters of the whole model: counted, not timed."""
    segments: NotNegative = 0
    """Rows of the token-type embedding (BERT)."""
    pooler: bool = False
    """Whether a linear layer [h, h] is applied to the first token after the layers, as in BERT and ViT."""
    head: Literal["language", "masked", "none"] = "language"
    """The head: a language model's, a masked-language-model head as in BERT (a linear layer [h, h] and a norm come first), or none."""
    transform_bias: bool = True
    """Whether the linear layer of the masked head has a bias."""
    head_share: Fraction = 1.0
    """Share of the tokens for which head and loss are computed: 0.15 if masked tokens are gathered before the head."""
    final_norm: bool = True
    parallel_residual: bool = False
    """Whether attention and feed-forward read the same input and share one all-reduce (GPT-J, PaLM)."""
    dropout: bool = False
    attention_dropout: bool | None = None
    """Whether there is dropout on attention probabilities; default ``dropout`` (OPT and T5 differ)."""
    broadcast_keys: bool = False
    """Whether attention receives a single key head and broadcasts it (Falcon's modelling file)."""
    causal: bool = True
    """False for a bidirectional encoder such as BERT."""
    window: Count | None = None
    """Keys per query in sliding-window layers."""
    global_every: int = 0
    """With ``window``, one layer in ``global_every`` has full attention (Gemma); 0: none has."""
    layer_groups: tuple[LayerGroup, ...] = ()
    """Groups of different layers, in any order; replaces the layer counts implied by ``window``, ``global_every`` and ``experts``."""
    state_space: StateSpace | None = None
    """Widths of the non-attention mixers in ``layer_groups``."""
    experts: Experts | None = None
    latent: LatentAttention | None = None
    per_layer_input: PerLayerInput | None = None
    streams: Streams | None = None
    trainable: Training = "full"
    rank: Count = 8
    """LoRA rank, if ``trainable: lora``."""
    targets: lora.Targets = lora.ATTENTION
    """Projections that get LoRA adapters; with ``latent``, the default is q, kv_b and o."""

    @model_validator(mode="after")
    def _shape_fits_together(self) -> Self:
        if self.head_dim is None and self.latent is None:
            refuse_uneven_heads(self.hidden, self.heads, "; give head_dim")
        if self.kv_heads is not None and self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} heads cannot share {self.kv_heads} key-value heads evenly")
        if self.layer_groups and sum(group.layers for group in self.layer_groups) != self.layers:
            grouped = sum(group.layers for group in self.layer_groups)
            raise ValueError(f"layer_groups add up to {grouped} layers, but layers = {self.layers}")
        if self.trainable == "lora" and self.rank > self.hidden:
            raise ValueError(
                f"adapters of rank {self.rank:,} are not smaller than the weights they adapt: hidden is {self.hidden:,}"
            )
        if self.state_space is None and any(group.mixer in STATE_SPACE for group in self.layer_groups):
            raise ValueError("layer_groups name a mixer that needs state_space")
        if self.experts is None and any(group.feed_forward == "experts" for group in self.layer_groups):
            raise ValueError("layer_groups name experts, but experts are not given")
        if self.experts is not None and self.layer_groups and (self.experts.first_dense or self.experts.every != 1):
            raise ValueError(
                "layer_groups already say which layers have experts; leave out experts.first_dense and experts.every"
            )
        if self.experts is not None and not self.layer_groups and self.experts.first_dense >= self.layers:
            raise ValueError(f"first_dense = {self.experts.first_dense} leaves no layer of {self.layers} with experts")
        return self

    @property
    def shape(self) -> "Decoder":
        """The decoder itself, since its shape is fully specified."""
        return self

    @property
    def head_width(self) -> Array:
        """``head_dim``, or hidden / heads."""
        return self.hidden // self.heads if self.head_dim is None else self.head_dim

    @property
    def key_heads(self) -> Array:
        """``kv_heads``, or ``heads``."""
        return self.heads if self.kv_heads is None else self.kv_heads

    @property
    def ffn_width(self) -> Array:
        """``ffn_hidden``, or its default: 4 h if plain (Vaswani et al. 2017); if gated, 8/3 h, which gives as many
        weights, rounded up to a multiple of 256 (Touvron et al. 2023)."""
        if self.ffn_hidden is not None:
            return self.ffn_hidden
        return np.ceil(8 * self.hidden / 3 / 256) * 256 if self.gated else 4 * self.hidden

    def assumptions(self, data: Data | None = None) -> tuple[Assumption, ...]:
        """Shape values and adapters' targets that are not given and were set by default rules."""
        usual = self.latent is not None and self.trainable == "lora" and "targets" not in self.model_fields_set
        notes = (lora.latent_note(self.adapted),) if usual else ()
        if self.ffn_hidden is not None or (self.experts and self.experts.width and not self.has_dense_layers):
            return notes
        if self.gated:
            reason = "8/3 of hidden, rounded up to 256: as many weights as a plain layer of four times hidden"
            source = "Touvron et al. 2023, arXiv:2302.13971, section 2.2"
        else:
            reason = "four times hidden, the plain transformer's width"
            source = "Vaswani et al. 2017, arXiv:1706.03762, section 3.3"
        return (*notes, Assumption("model.ffn_hidden", self.ffn_width, "", reason, source))

    @property
    def adapted(self) -> tuple[str, ...]:
        """``targets``, or their default."""
        return lora.LATENT_ATTENTION if self.latent and "targets" not in self.model_fields_set else self.targets

    @property
    def has_dense_layers(self) -> bool:
        """Whether some layers have a plain feed-forward layer."""
        if self.layer_groups:
            return any(group.feeding(self.experts) == "dense" and not group.ffn_hidden for group in self.layer_groups)
        return (
            self.experts is None
            or bool(np.any(self.experts.first_dense))
            or bool(np.any(np.not_equal(self.experts.every, 1)))
        )

    @property
    def expert_layers(self) -> Array:
        """Number of layers with experts, (layers - first_dense) / every."""
        return 0 if self.experts is None else (self.layers - self.experts.first_dense) // self.experts.every

    def build(self, data: Data) -> Model:
        """The computation for one text-only sample."""
        tokens = self.tokens_per_sample(data)
        if tokens is None:
            raise EstimateError("The number of tokens per sample is missing.", "Give data.seq_len.", "data.seq_len")
        return self.model(tokens, padded=data.gets_padding_mask)

    def tokens_per_sample(self, data: Data) -> Array | None:
        """``seq_len``; if only frames and tokens per frame are known, their product plus the text tokens."""
        if data.tokens_per_frame is None:
            return data.language_tokens()
        return data.language_tokens(data.tokens_per_frame * data.clip_frames())

    def sees_frames(self, data: Data) -> bool:
        """Whether the data give a number of tokens per frame."""
        return data.tokens_per_frame is not None

    def effective_tokens(self, data: Data) -> Array | None:
        """Tokens per sample that are not padding."""
        if data.tokens_per_frame is None:
            return data.carrying_tokens()
        each = data.tokens_per_frame
        return data.carrying_tokens(each * data.unpadded.clip_frames(), each * data.clip_frames())

    def model(self, tokens: Array, *, gradient_upstream: bool = False, padded: bool = False) -> Model:
        """The language model's computation for samples of ``tokens`` tokens; ``padded``: attention gets a padding mask."""
        kind = treatment(self.trainable, gradient_upstream=gradient_upstream)
        front, layers = self.front(tokens), self.stacks(tokens, kind)
        layers = tuple(stack.with_mask for stack in layers) if padded else layers
        parts: tuple[Stack | Ends, ...] = (*front, *layers, *self.top(tokens, kind))
        return Model(self.name or "decoder", parts, self.hidden)

    def front(self, tokens: Array) -> tuple[Ends, ...]:
        """Token embedding and, if the model has them, learned positions and a norm on the embeddings (BLOOM)."""
        kind = Trainable.FULL if self.trainable == "full" else Trainable.FROZEN
        rows = self.vocab * self.hidden
        embedding = Ends("embedding", (), rows, tokens, first=True, split=Split.VOCABULARY, trainable=kind)
        learned = self.positions in ("learned", "disentangled")
        places = (tokens if self.max_positions is None else self.max_positions) if learned else 0
        norm = blocks.norm_parameters(self.norm, self.hidden) if self.embedding_norm else 0
        second = side_inputs.front(self.hidden, self.layers, tokens, self.per_layer_input, self.streams, kind)
        if not learned and not self.embedding_norm and not self.segments and not self.extra_weights:
            return (embedding, *second)
        tables = (places + self.segments) * self.hidden + norm + self.extra_weights
        extra = Ends("positions", (), tables, tokens, first=True, trainable=kind)
        return (embedding, extra, *second)

    def top(self, tokens: Array, trainable: Trainable = Trainable.FULL) -> tuple[Ends, ...]:
        """The parts after the layers: final norm, pooler, head."""
        kind = Trainable.PASS_THROUGH if trainable is Trainable.LORA else trainable
        square = Linear("pooler", self.hidden, self.hidden, Split.WHOLE, bias=True)
        pooled = (Ends("pooler", (square,), 0, 1, first=False, trainable=kind),) if self.pooler else ()
        if self.head == "none":
            norm = blocks.norm_parameters(self.norm, self.hidden) if self.final_norm else 0
            return (Ends("end", (), norm, tokens, first=False, trainable=kind), *pooled)
        masked = self.head == "masked"
        tokens = np.multiply(tokens, self.head_share) if np.any(np.not_equal(self.head_share, 1.0)) else tokens
        before = (replace(square, name="masked head", bias=self.transform_bias),) if masked else ()
        tables = blocks.norm_parameters(self.norm, self.hidden) + (self.vocab if self.tied and self.head_bias else 0)
        transform = (Ends("masked transform", before, tables, tokens, first=False, trainable=kind),) if masked else ()
        joined = side_inputs.back(self.hidden, tokens, self.streams, kind)
        return (*joined, *transform, self.language_head(tokens, trainable), *pooled)

    def language_head(self, tokens: Array, trainable: Trainable = Trainable.FULL) -> Ends:
        """Final norm, output projection and softmax over the vocabulary."""
        kind = Trainable.PASS_THROUGH if trainable is Trainable.LORA else trainable
        linear = Linear("head", self.hidden, self.vocab, Split.VOCABULARY, self.head_bias)
        return Ends(
            "head",
            (linear,),
            blocks.norm_parameters(self.norm, self.hidden) if self.final_norm else 0,
            tokens,
            first=False,
            vocabulary=self.vocab,
            tied=self.tied,
            trainable=kind,
            narrow_loss=self.head == "masked" and "wide-loss" not in self.code_steps,
            capped="capped-logits" in self.code_steps,
        )

    def stacks(self, tokens: Array, trainable: Trainable = Trainable.FULL) -> tuple[Stack, ...]:
        """The layers, one stack per kind: dense or experts, with or without a sliding window, or one per entry of ``layer_groups``."""
        groups = []
        for group in self.layer_groups:
            fed = group.feeding(self.experts)
            adapters = self._of(group)._adapters(fed == "experts", group.keys) if group.mixer in ATTENDS else ()
            name = f"layers{FED[fed]}{MIXED.get(group.mixer, f', {group.mixer}')}"
            block = self._grouped(group, fed)
            groups.append(Stack(name, block, group.layers, tokens, None, trainable, adapters))
        if groups:
            return tuple(groups)
        kinds = {False: self.layers - self.expert_layers, True: self.expert_layers}
        present = [is_expert for is_expert in kinds if (self.experts if is_expert else self.has_dense_layers)]
        for is_expert, (windowed, share) in itertools.product(present, self._window_shares()):
            name = "layers" + (" with experts" if is_expert else "") + (", windowed" if windowed else "")
            block, count = self._block(is_expert, windowed), kinds[is_expert] * share
            groups.append(Stack(name, block, count, tokens, None, trainable, self._adapters(is_expert)))
        return tuple(groups)

    def _adapters(self, is_expert: bool, keys: blocks.Keys = "own") -> tuple[Linear, ...]:
        if self.trainable != "lora":
            return ()
        known, missing = self.projections(is_expert), {"own": "", "values": "v", "borrowed": "kv"}[keys]
        named = [lora.LATENT.get(one, one) if self.latent and one not in known else one for one in self.adapted]
        targets = tuple(known) if lora.ALL in self.adapted else tuple(dict.fromkeys(named))
        return lora.adapters(self.rank, [target for target in targets if target not in tuple(missing)], known)

    def _of(self, group: LayerGroup) -> "Decoder":
        """A copy of the model with the heads and widths of one layer group."""
        changed = {name: getattr(group, name) for name in ("heads", "kv_heads", "head_dim", "ffn_hidden")}
        return self.model_copy(update={name: value for name, value in changed.items() if value is not None})

    def _window_shares(self) -> tuple[tuple[bool, float], ...]:
        """Pairs (windowed, share of the layers)."""
        if self.window is None:
            return ((False, 1),)
        if not self.global_every:
            return ((True, 1),)
        seeing_all = (self.layers // self.global_every) / self.layers
        return ((False, seeing_all), (True, 1 - seeing_all))

    def _block(self, is_expert: bool, windowed: bool) -> Block:
        return self._layer((self._attention(windowed),), (self._mixer(is_expert),), self.norms_per_layer)

    def _layer(self, mixing: tuple[blocks.Piece, ...], feeding: tuple[blocks.Piece, ...], norms: int) -> Block:
        """Token mixing and feed-forward with the norms and residuals around them."""
        residuals = (1 if mixing else 0) + (1 if feeding else 0)
        glue = blocks.glue(self.hidden, self.norm, norms=norms, residuals=residuals, dropout=self.dropout)
        scales = blocks.Piece(elementwise=(blocks.weights(self.layer_weights),) if self.layer_weights else ())
        shared = 1 if self.parallel_residual and residuals == 2 else None
        beside = side_inputs.layer(self.hidden, self.per_layer_input, self.streams)
        layer = blocks.block(self.hidden, *mixing, *feeding, glue, scales, *beside, reductions=shared)
        return as_coded(layer, self.code_steps)

    def _grouped(self, group: LayerGroup, fed: str) -> Block:
        """One layer of a group; without a feed-forward or mixing half, the norms of that half are left out too."""
        own = self._of(group)
        mixing: tuple[blocks.Piece, ...] = ()
        if group.mixer in ATTENDS:
            mixing = (own._attention(group.mixer == "window", group.keys),)
        if group.mixer in STATE_SPACE:
            assert self.state_space is not None
            kind: Any = group.mixer.removeprefix("attention+")
            mixing = (*mixing, state_space.mixer(kind, self.hidden, self.state_space))
        feeding = () if fed == "none" else (own._mixer(fed == "experts"),)
        halves = (1 if mixing else 0) + (1 if feeding else 0)
        return own._layer(mixing, feeding, max(1, self.norms_per_layer * halves // 2))

    def _attention(self, windowed: bool, keys: blocks.Keys = "own") -> blocks.Piece:
        if self.latent is not None:
            return self.latent.piece(self.hidden, self.heads, causal=self.causal)
        return blocks.self_attention(
            self.hidden,
            self.heads,
            self.key_heads,
            self.head_width,
            causal=self.causal,
            qk_norm=self.qk_norm,
            gate=self.attention_gate,
            sinks=self.sinks,
            qkv_bias=self.attention_bias in ("qkv", "all"),
            output_bias=self.attention_bias in ("output", "all"),
            rotary=self.rotary_share if self.positions == "rotary" else 0.0,
            window=self.window if windowed else None,
            dropped=self.dropout if self.attention_dropout is None else self.attention_dropout,
            broadcast=self.broadcast_keys,
            places=self.max_positions if self.positions == "disentangled" else None,
            own_keys=keys,
        )

    def _mixer(self, is_expert: bool) -> blocks.Piece:
        if not is_expert or self.experts is None:
            return blocks.feed_forward(
                self.hidden, self.ffn_width, gated=self.gated, bias=self.mlp_bias, activation=self.activation
            )
        width = self.ffn_width if self.experts.width is None else self.experts.width
        return blocks.experts(
            self.hidden,
            width,
            self.experts.count,
            self.experts.top_k,
            gated=self.gated,
            shared=self.experts.shared_width,
            shared_gate=self.experts.shared_gate,
            router_bias=self.experts.router_bias,
            bias=self.experts.bias,
            groups=(self.experts.groups, self.experts.top_groups),
        )

    def projections(self, is_expert: bool = False) -> dict[str, Linear]:
        """The unfused weights of one layer by LoRA target name."""
        if self.latent is not None:
            return {linear.name: linear for linear in self._block(is_expert, False).linears}
        h, q, k = self.hidden, self.heads * self.head_width, self.key_heads * self.head_width
        named = {
            "q": Linear("q", h, q, Split.COLUMN, role=Role.QKV),
            "k": Linear("k", h, k, Split.COLUMN, role=Role.QKV),
            "v": Linear("v", h, k, Split.COLUMN, role=Role.QKV),
            "o": Linear("o", q, h, Split.ROW, role=Role.ATTENTION_OUTPUT),
        }
        for linear in self._mixer(is_expert).linears:
            if linear.role is Role.MLP_IN and self.gated:
                half = replace(linear, name="up", outputs=linear.outputs // 2, fused=1)
                named |= {"gate": half, "up": half}
            elif linear.role in (Role.MLP_IN, Role.MLP_OUT):
                named[linear.name] = linear
        return named
