"""Parts of a decoder's shape that are separate blocks in a run file: latent attention, experts, layer groups and others."""

from typing import Annotated, Literal, Self

from pydantic import model_validator

from gpuhours.architecture.blocks import Keys, Piece, latent_attention
from gpuhours.architecture.state_space import Mixer
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.units import Count, whole
from gpuhours.inputs.yaml_files import Section

NotNegative = Annotated[int, whole(least=0)]
ATTENDS = frozenset({"attention", "window", "attention+mamba2"})
"""Token mixers with softmax attention."""
MIXED = {"attention": "", "window": ", windowed", "none": ", no mixing"}
FED = {"dense": "", "experts": " with experts", "none": " without feed-forward"}
"""Suffixes of a layer group's name in printed output, by feed-forward layer."""
STATE_SPACE = frozenset({"mamba", "mamba2", "delta", "kda", "lightning", "short-conv", "attention+mamba2"})
"""Token mixers with a recurrent state."""


class LatentAttention(Section):
    """Widths of multi-head latent attention (DeepSeek-V2, arXiv:2405.04434)."""

    kv_rank: Count
    query_rank: Count | None = None
    """Width of compressed queries; None: queries are projected directly from the hidden state."""
    nope_dim: Count
    rope_dim: Count
    value_dim: Count
    index_heads: NotNegative = 0
    """Small heads of width ``index_dim`` that select the ``index_top`` keys for each query (DeepSeek-V3.2, arXiv:2512.02556)."""
    index_dim: NotNegative = 0
    index_top: Count = 2048

    @model_validator(mode="after")
    def _index_reads_the_queries(self) -> Self:
        if self.index_heads and self.query_rank is None:
            raise ValueError("index_heads use the compressed queries; give query_rank")
        return self

    def piece(self, hidden: Array, heads: Array, *, causal: bool) -> Piece:
        """Latent attention with ``heads`` heads on a stream of width ``hidden``."""
        return latent_attention(
            hidden,
            heads,
            query_rank=self.query_rank,
            kv_rank=self.kv_rank,
            nope=self.nope_dim,
            rope=self.rope_dim,
            value=self.value_dim,
            causal=causal,
            index=(self.index_heads, self.index_dim, self.index_top),
        )


class Experts(Section):
    """A mixture of experts in place of the feed-forward layer."""

    count: Count
    top_k: Count
    width: Count | None = None
    """Hidden width of one expert; default the model's ``ffn_hidden``."""
    shared_width: Count | None = None
    """Total width of the shared experts, which process every token."""
    shared_gate: bool = False
    router_bias: bool = False
    """Whether the router has one bias per expert, trained or for load balancing (DeepSeek-V3)."""
    first_dense: int = 0
    """Number of leading layers with a dense feed-forward layer."""
    every: Count = 1
    """Of the remaining layers, one in ``every`` has experts."""
    bias: bool = False
    """Whether experts and router have biases (gpt-oss)."""
    groups: Count = 1
    """Number of expert groups, each on one or more nodes."""
    top_groups: Count = 1
    """Number of groups from which a token's experts may be chosen, to limit the nodes it is sent to
    (DeepSeek-V3, arXiv:2412.19437, section 2.1.2)."""

    @model_validator(mode="after")
    def _no_more_used_than_there_are(self) -> Self:
        if self.top_k > self.count:
            raise ValueError(f"top_k = {self.top_k} of only {self.count} experts")
        if self.top_groups > self.groups:
            raise ValueError(f"top_groups = {self.top_groups} of only {self.groups} groups")
        if self.count % self.groups:
            raise ValueError(f"{self.count} experts are not divisible by {self.groups} groups")
        return self


class PerLayerInput(Section):
    """A second embedding with a separate part for every layer (Gemma 3n and 4): a table lookup plus a projection of the first embedding."""

    width: Count
    """Width of each layer's part."""
    vocab: Count
    """Rows of its table, whose width is layers x ``width``."""


class Streams(Section):
    """Several parallel residual streams (AltUp, Baykal et al. 2023, arXiv:2301.13310), and a low-rank branch parallel to attention
    (LAuReL, Menghani et al. 2024, arXiv:2411.07501), as in Gemma 3n."""

    count: Count
    """Number of parallel streams."""
    laurel_rank: Count
    """Rank of that branch."""


class LayerGroup(Section):
    """A group of identical layers in a model whose layers differ: their number, token mixer and feed-forward layer."""

    layers: Count
    mixer: Literal["attention", "window", "attention+mamba2", "none"] | Mixer = "attention"
    feed_forward: Literal["dense", "experts", "none"] | None = None
    """Default: experts if the model has any, otherwise dense."""
    heads: Count | None = None
    """Overrides the model's value, as do the next three fields."""
    kv_heads: Count | None = None
    head_dim: Count | None = None
    ffn_hidden: Count | None = None
    keys: Keys = "own"
    """Source of keys and values: separate projections, one projection for both (``values``), or a lower layer's (``borrowed``)."""

    def feeding(self, experts: Experts | None) -> str:
        """``feed_forward``, or the model's default."""
        return self.feed_forward or ("dense" if experts is None else "experts")
