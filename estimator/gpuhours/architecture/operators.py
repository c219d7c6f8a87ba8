"""A model as a list of operators, from which parameters, FLOPs, bytes and time are computed.

An architecture is independent of layouts: each operator says how tensor parallelism may split it, and the code that costs it (FLOPs,
memory, step time) divides. Every number may be a float or a NumPy array.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from functools import cached_property

import numpy as np

from gpuhours.inputs.arrays import Array, every
from gpuhours.inputs.records import dataclass


class Split(Enum):
    """How tensor parallelism divides a weight [outputs, inputs] (Shoeybi et al. 2019)."""

    COLUMN = "column"
    """outputs / tensor: qkv, gate and up projections; the output stays split."""
    ROW = "row"
    """inputs / tensor: attention output and down projections; the output is summed."""
    VOCABULARY = "vocabulary"
    """outputs / tensor along the padded vocabulary: embedding and language-model head."""
    WHOLE = "whole"
    """replicated on every tensor rank: routers, small bridges."""


class Role(Enum):
    """The role of a matrix product in its layer, used for recomputation, memory and communication instead of its name."""

    QKV = "qkv"
    """Queries, keys and values of the layer's input, in one product or several."""
    LATENT_DOWN = "latent down"
    """To the compressed queries, keys and values of latent attention."""
    LATENT_UP = "latent up"
    """From these to each head's."""
    ATTENTION_OUTPUT = "attention output"
    MLP_IN = "mlp in"
    """Up, or gate and up; also of experts."""
    MLP_OUT = "mlp out"
    SHARED_IN = "shared in"
    """Of the shared expert."""
    SHARED_OUT = "shared out"
    ROUTER = "router"
    OTHER = "other"
    """Projections, modulation, heads: no role-specific treatment."""


class Trainable(Enum):
    """How training affects a part."""

    FULL = "full"
    """forward, activation and weight gradients: 6 FLOP per weight and token."""
    FROZEN = "frozen"
    """forward only, nothing upstream needs a gradient: 2 FLOP."""
    PASS_THROUGH = "pass-through"
    """weights frozen, gradients flow through to something trainable before it: 4 FLOP."""
    LORA = "lora"
    """PASS_THROUGH plus trained low-rank adapters."""


@dataclass(frozen=True)
class Linear:
    """One matrix product per token: Y [tokens, outputs] = X [tokens, inputs] @ W [inputs, outputs].

    ``outputs`` of products that kernels fuse are added (qkv; gate and up). ``experts`` weights exist, ``active`` of them process each
    token. ``bias`` only counts parameters. Nothing depends on ``name``."""

    name: str
    inputs: Array
    outputs: Array
    split: Split
    bias: bool = False
    experts: Array = 1
    active: Array = 1
    role: Role = Role.OTHER
    fused: int = 1
    """Number of unfused products in modelling files that it represents."""
    groups: Array = 1
    """Groups of experts; all experts of a token are in ``top_groups`` of them."""
    top_groups: Array = 1

    @property
    def parameters(self) -> Array:
        """Weights, and the bias if there is one."""
        return self.experts * (self.inputs * self.outputs + (self.outputs if self.bias else 0))

    @property
    def flops_per_token(self) -> Array:
        """2 x inputs x outputs x experts used: a multiply-add is two FLOP."""
        return 2 * self.inputs * self.outputs * self.active


@dataclass(frozen=True)
class AttentionCore:
    """Scores and weighted sum: softmax(Q K^T) V, per sequence of ``length`` tokens.

    Q [length, heads, head_dim], K [keys, kv_heads, head_dim], V [keys, kv_heads, value_dim]; ``keys`` =
    length for self-attention. Heads are split over tensor ranks. ``window`` limits the keys per query."""

    heads: Array
    kv_heads: Array
    head_dim: Array
    value_dim: Array
    causal: bool
    keys: Array | None = None
    window: Array | None = None
    biased: bool = False
    """Whether scores get a learned bias for the distance (T5)."""
    disentangled: bool = False
    """Whether they get two more products, of content with distances, gathered from a table (DeBERTa)."""
    broadcast: bool = False
    """Whether a single key head is passed to attention, to be broadcast to all query heads (Falcon)."""
    dropped: bool = False
    """Whether dropout is applied to scores."""
    padded: bool = False
    """Whether it gets a mask over all pairs: of its batch's padding, or a bias per pair of positions (BEiT)."""
    from_table: bool = False
    """Whether that mask is computed in each layer from a table of distances."""
    looped: bool = False
    """Whether modelling files call it for one sequence after another (windows and images of different sizes)."""

    def flops(self, length: Array, *, full: bool) -> Array:
        """Forward FLOPs of one sequence: 2 x length x keys x heads x (head_dim + value_dim), halved when
        causal and ``full`` is False (the ``causal`` convention; ``full`` is PaLM's)."""
        keys = length if self.keys is None else self.keys
        triangle = self.causal and not full and self.keys is None
        if self.window is None:
            pairs = (0.5 if triangle else 1.0) * length * keys
        else:
            seen = np.minimum(self.window, keys)
            pairs = length * seen - (0.5 * seen * seen if triangle else 0)
        return 2 * pairs * self.heads * (self.head_dim + self.value_dim)


class Family(Enum):
    """Groups of memory-bound operators, used for recomputation and memory."""

    NORM = "norm"
    """Its input is the residual stream, in the stream's format."""
    ACTIVATION = "activation"
    """Between the products of a feed-forward layer."""
    ATTENTION = "attention"
    """On queries and keys, inside attention where it is split."""
    OTHER = "other"


class Pointwise(Enum):
    """The memory-bound operators; the software profile gives each one's traffic. To add one, add a line.

    ``saved``    elements that autograd saves per element if nothing is fused, unless a stack's ``memory.saved`` says
                 otherwise; None: those of the operator it is like
    ``family``   its group
    ``like``     the operator whose figures are used in a stack that has none for it (and runs it as one kernel)
    """

    _value_: str
    saved: float | None
    family: Family
    like: str

    def __new__(cls, name: str, saved: float | None = None, family: Family = Family.OTHER, like: str = "") -> Pointwise:
        """A member, with its name in profiles as value."""
        member = object.__new__(cls)
        member._value_, member.saved, member.family, member.like = name, saved, family, like or name
        return member

    RMS_NORM = "rms-norm", 1, Family.NORM  # saves its input
    LAYER_NORM = "layer-norm", 1, Family.NORM
    RESIDUAL = "residual", 0
    ROTARY = "rotary", 1, Family.ATTENTION  # a rotated copy besides the projection, whose storage the values keep alive
    GELU = "gelu", 1, Family.ACTIVATION  # its input; its output is saved by the product that reads it
    WRITTEN_GELU = "written-gelu", None, Family.ACTIVATION, "gelu"
    """Unfused GELU with powers and tanh, as in GPT-2's modelling files."""
    ERF_GELU = "erf-gelu", None, Family.ACTIVATION, "gelu"
    """Unfused GELU with erf, as in ESM's modelling file."""
    QUICK_GELU = "quick-gelu", None, Family.ACTIVATION, "gelu"
    """x sigmoid(1.702 x), OpenAI's CLIP."""
    RELU = "relu", 0, Family.ACTIVATION, "gelu"  # its output, which is saved by the product that reads it
    SWIGLU = "swiglu", 3, Family.ACTIVATION  # gate, up and silu(gate), per element of their product
    EXPERT_SWIGLU = "expert-swiglu", None, Family.ACTIVATION, "swiglu"
    """On the concatenated outputs of routed experts."""
    DROPOUT = "dropout", 0.5  # the mask, one byte
    BIAS = "bias", 0
    SCALE = "layer-scale", None, Family.OTHER, "residual"
    """A learned factor per element of the width (LayerScale), after one half of a block."""
    TURNED = "turned-stream", 0
    """What it costs a block that its stream lies channels first, as a convolution left it: norms copy it, and sums read it out of order."""
    ROUTER = "router", 2  # probabilities in fp32
    PERMUTE = "permute", 2  # expert outputs and their products with the router's weights
    """Tokens copied to and from expert order."""
    QK_NORM = "qk-norm", 1, Family.ATTENTION
    MODULATION = "modulation", 2  # the norm's output, and what is gated
    """Shift and scale after a norm, and the gate before the residual (adaLN), of one half of a block."""

    @classmethod
    def of(cls, family: Family) -> tuple[Pointwise, ...]:
        """The operators of a family."""
        return tuple(kind for kind in cls if kind.family is family)


@dataclass(frozen=True)
class Elementwise:
    """``width`` elements per token pass through a memory-bound operator.

    ``sharded``: the elements are split over tensor ranks (inside attention or the MLP); else they are whole
    on each rank unless sequence parallelism splits them."""

    kind: Pointwise
    width: Array
    sharded: bool
    parameters: Array = 0
    worked: Array = 1.0
    """Share of the width that it is done to; where it is not all, the tensor is cut in two and joined again."""


@dataclass(frozen=True)
class Block:
    """One layer: what it computes for each token of its stream, and its attention."""

    linears: tuple[Linear, ...]
    attention: tuple[AttentionCore, ...]
    elementwise: tuple[Elementwise, ...]
    hidden: Array
    all_reduces: int = 2
    """Tensor-parallel reductions per forward pass: one after attention, one after the MLP."""

    @property
    def parameters(self) -> Array:
        """Everything the block stores."""
        return sum(part.parameters for part in self.linears) + sum(part.parameters for part in self.elementwise)

    @property
    def active_parameters(self) -> Array:
        """What one token meets: ``active`` of the experts."""
        idle = sum((part.experts - part.active) * part.inputs * part.outputs for part in self.linears)
        return self.parameters - idle


@dataclass(frozen=True)
class Stack:
    """``layers`` equal blocks over one stream of tokens.

    ``tokens``     tokens of this stream per training sample (patches for an encoder, text and visual tokens
                   for the language model, visible tubelets for a masked encoder)
    ``sequence``   tokens that attend to each other (one frame's patches); ``tokens`` when None
    ``trainable``  what training does to the blocks; ``adapters``: LoRA weights per block
    """

    name: str
    block: Block
    layers: Array
    tokens: Array
    sequence: Array | None = None
    trainable: Trainable = Trainable.FULL
    adapters: tuple[Linear, ...] = ()

    @property
    def with_mask(self) -> Stack:
        """The same with a mask of padding handed to its attention."""
        cores = tuple(replace(core, padded=True) for core in self.block.attention)
        return replace(self, block=replace(self.block, attention=cores))

    @property
    def parameters(self) -> Array:
        """Blocks and adapters."""
        return self.layers * self.block.parameters + self.adapter_parameters

    @property
    def adapter_parameters(self) -> Array:
        """LoRA weights of all layers."""
        return self.layers * sum(adapter.parameters for adapter in self.adapters)

    @property
    def trainable_parameters(self) -> Array:
        """Everything, the adapters alone, or nothing."""
        return self.parameters if self.trainable is Trainable.FULL else self.adapter_parameters

    @property
    def active_parameters(self) -> Array:
        """Parameters less the experts that a token does not meet."""
        return self.layers * self.block.active_parameters + self.adapter_parameters


@dataclass(frozen=True)
class Ends:
    """Operators before and after the stacks of one stream: embeddings, final norms, heads, patch embedding.

    ``linears`` are products (head, patch embedding, projections); ``tables`` parameters that are looked up
    or added."""

    name: str
    linears: tuple[Linear, ...]
    tables: Array
    tokens: Array
    first: bool
    """On the first pipeline stage (embeddings) or the last (heads)."""
    vocabulary: Array = 0
    """Classes of a softmax loss over the outputs; 0 where there is none."""
    compared: Array = 0
    """Width of features that a contrastive loss compares with those of every sample of the batch; 0 where none does."""
    tied: bool = False
    """The head's weight is the embedding's: counted once, multiplied all the same."""
    from_pixels: bool = False
    """The product is a convolution over pixels that do not overlap."""
    narrow_loss: bool = False
    """Its loss reads logits in their own format, as of masked words."""
    tabled: Array = 0
    """Elements per token of a fixed table of positions that is added."""
    split: Split = Split.WHOLE
    """How tensor parallelism divides ``tables``: VOCABULARY deals out the rows of a token embedding."""
    trainable: Trainable = Trainable.FULL

    @property
    def parameters(self) -> Array:
        """Tables and products; a tied head's weight is already in the table."""
        products = sum(part.parameters for part in self.linears)
        return self.tables + (0 if self.tied else products)

    @property
    def trainable_parameters(self) -> Array:
        """Everything or nothing."""
        return self.parameters if self.trainable is Trainable.FULL else 0

    @property
    def active_parameters(self) -> Array:
        """Everything: ends have no experts."""
        return self.parameters


@dataclass(frozen=True)
class Model:
    """A whole training sample's computation, in the order data flows through it."""

    name: str
    parts: tuple[Stack | Ends, ...]
    hidden: Array
    """Width of the stream that pipeline stages hand on."""

    @property
    def parameters(self) -> Array:
        """Every weight, trained or not."""
        return sum(part.parameters for part in self.parts)

    @cached_property
    def stacks(self) -> tuple[Stack, ...]:
        """The repeated blocks."""
        return tuple(part for part in self.parts if isinstance(part, Stack))

    @cached_property
    def ends(self) -> tuple[Ends, ...]:
        """Operators at the two ends."""
        return tuple(part for part in self.parts if isinstance(part, Ends))

    @cached_property
    def encoder(self) -> tuple[Stack | Ends, ...]:
        """The leading parts up to the last stack that is not on the pipeline's own stream: a vision
        encoder, a resampler.

        Of another width than ``hidden``, or frozen; a model of one stack, or whose first stack is on the
        stream, has none."""
        leading = 0
        for place, part in enumerate(self.parts):
            if isinstance(part, Stack) and self.on_stream(part):
                return self.parts[:leading]
            leading = place + 1 if isinstance(part, Stack) else leading
        return ()

    def on_stream(self, stack: Stack) -> bool:
        """Whether a stack's layers are shared out over pipeline stages."""
        if len(self.stacks) == 1 or stack.trainable is Trainable.FROZEN:
            return len(self.stacks) == 1
        return every(np.equal(stack.block.hidden, self.hidden))

    @property
    def masked(self) -> bool:
        """Whether some of its attention sees only what came before, which conventions count differently."""
        return any(core.causal for stack in self.stacks for core in stack.block.attention)

    @property
    def trainable_parameters(self) -> Array:
        """What the optimiser updates: all of a fully trained part, of one with adapters these."""
        return sum(part.trainable_parameters for part in self.parts)

    @property
    def active_parameters(self) -> Array:
        """What one token meets: a mixture's idle experts are left out."""
        return sum(part.active_parameters for part in self.parts)
