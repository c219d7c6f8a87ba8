"""Parts of a decoder's shape written as blocks of their own in a run file: latent attention, experts, groups of unlike layers."""

from typing import Annotated, Literal, Self

from pydantic import model_validator

from gpuhours.architecture.blocks import Keys, Piece, latent_attention
from gpuhours.architecture.state_space import Mixer
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.units import Count, whole
from gpuhours.inputs.yaml_files import Section

NotNegative = Annotated[int, whole(least=0)]
ATTENDS = frozenset({"attention", "window", "attention+mamba2"})
"""Mixers that attend to keys."""
MIXED = {"attention": "", "window": ", windowed", "none": ", no mixing"}
FED = {"dense": "", "experts": " with experts", "none": " without feed-forward"}
"""Suffixes for the layers of a group on a screen."""
STATE_SPACE = frozenset({"mamba", "mamba2", "delta", "kda", "lightning", "short-conv", "attention+mamba2"})
"""Mixers with a recurrent state."""


class LatentAttention(Section):
    """Widths of multi-head latent attention (DeepSeek-V2, arXiv:2405.04434)."""

    kv_rank: Count
    query_rank: Count | None = None
    """None: queries are projected straight from the hidden state."""
    nope_dim: Count
    rope_dim: Count
    value_dim: Count
    index_heads: NotNegative = 0
    """Small heads of ``index_dim`` that select the ``index_top`` keys that a query attends to (DeepSeek-V3.2, arXiv:2512.02556)."""
    index_dim: NotNegative = 0
    index_top: Count = 2048

    @model_validator(mode="after")
    def _index_reads_the_queries(self) -> Self:
        if self.index_heads and self.query_rank is None:
            raise ValueError("index_heads use the compressed queries; give query_rank")
        return self

    def piece(self, hidden: Array, heads: Array, *, causal: bool) -> Piece:
        """The attention of a layer with ``heads`` heads on a stream of width ``hidden``."""
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
    """Hidden width of one expert; the model's ``ffn_hidden`` when not given."""
    shared_width: Count | None = None
    """Total width of the experts that process every token."""
    shared_gate: bool = False
    router_bias: bool = False
    """One trained or balancing number per expert in the router (DeepSeek-V3)."""
    first_dense: int = 0
    """Layers at the start with a plain feed-forward layer."""
    every: Count = 1
    """One layer in ``every`` of the rest has experts."""
    bias: bool = False
    """Biases in the experts and their router (gpt-oss)."""
    groups: Count = 1
    """Groups of experts, each on one or more nodes."""
    top_groups: Count = 1
    """Groups from which a token's experts may be chosen: limits it to few nodes (DeepSeek-V3, arXiv:2412.19437, section 2.1.2)."""

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
    """A second embedding of which every layer gets its own part (Gemma 3n and 4): looked up, and computed from the first by a product."""

    width: Count
    """Width of each layer's part."""
    vocab: Count
    """Rows of its table, which has the widths of all layers."""


class Streams(Section):
    """Several parallel residual streams (AltUp, Baykal et al. 2023, arXiv:2301.13310), and a low-rank product parallel to attention
    (LAuReL, Menghani et al. 2024, arXiv:2411.07501), as in Gemma 3n."""

    count: Count
    """Number of parallel streams."""
    laurel_rank: Count
    """Width between the two low-rank products."""


class LayerGroup(Section):
    """Equal layers of a stack with unlike layers: their token mixer and feed-forward layer."""

    layers: Count
    mixer: Literal["attention", "window", "attention+mamba2", "none"] | Mixer = "attention"
    feed_forward: Literal["dense", "experts", "none"] | None = None
    """Experts where the model has any, when not given."""
    heads: Count | None = None
    """If different from the model's, like the next three."""
    kv_heads: Count | None = None
    head_dim: Count | None = None
    ffn_hidden: Count | None = None
    keys: Keys = "own"
    """Keys and values: separate products, one product for both (``values``), or a lower layer's (``borrowed``)."""

    def feeding(self, experts: Experts | None) -> str:
        """``feed_forward``, or the model's default."""
        return self.feed_forward or ("dense" if experts is None else "experts")
