"""A model as a list of operators, from which parameters, FLOPs, bytes and time are computed.

An architecture does not depend on the layout: each operator states how tensor parallelism may split it, and the cost code (FLOPs,
memory, step time) does the division. Every number may be a float or a NumPy array.
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
    """outputs / tensor per rank: qkv, gate and up projections; the output stays split."""
    ROW = "row"
    """inputs / tensor per rank: attention output and down projections; the output is all-reduced."""
    VOCABULARY = "vocabulary"
    """outputs / tensor per rank along the padded vocabulary: embedding and language-model head."""
    WHOLE = "whole"
    """replicated on every tensor rank: routers, small bridges."""


class Role(Enum):
    """A GEMM's role in its layer; recomputation, memory and communication depend on it, never on its name."""

    QKV = "qkv"
    """Query, key and value projections of the layer's input, fused or separate."""
    LATENT_DOWN = "latent down"
    """Down-projection to the compressed queries, keys and values of latent attention."""
    LATENT_UP = "latent up"
    """Up-projection from these to the queries, keys and values of each head."""
    ATTENTION_OUTPUT = "attention output"
    MLP_IN = "mlp in"
    """Up, or gate and up, projection of a feed-forward layer or of routed experts."""
    MLP_OUT = "mlp out"
    SHARED_IN = "shared in"
    """Input projections of the shared expert."""
    SHARED_OUT = "shared out"
    ROUTER = "router"
    OTHER = "other"
    """Projections, modulation, heads: not treated specially."""


class Trainable(Enum):
    """How training affects a part."""

    FULL = "full"
    """forward, activation gradients and weight gradients: 6 FLOP per weight and token."""
    FROZEN = "frozen"
    """forward only, because nothing upstream needs a gradient: 2 FLOP per weight and token."""
    PASS_THROUGH = "pass-through"
    """frozen weights, with activation gradients for a trainable part upstream: 4 FLOP per weight and token."""
    LORA = "lora"
    """PASS_THROUGH plus trained low-rank adapters."""


@dataclass(frozen=True)
class Linear:
    """One GEMM over all tokens: Y [tokens, outputs] = X [tokens, inputs] @ W [inputs, outputs].

    ``outputs`` is the sum over GEMMs that kernels fuse. Of ``experts`` weights ``active`` process each token."""

    name: str
    inputs: Array
    outputs: Array
    split: Split
    bias: bool = False
    experts: Array = 1
    active: Array = 1
    role: Role = Role.OTHER
    fused: int = 1  # number of separate GEMMs that it stands for in unfused modelling code
    groups: Array = 1
    """Number of expert groups; a token's experts all come from ``top_groups`` of them."""
    top_groups: Array = 1
    everywhere: bool = False  # transformers' file runs all experts on every token (Llama 4)

    @property
    def parameters(self) -> Array:
        """Weights, and the bias if there is one."""
        return self.experts * (self.inputs * self.outputs + (self.outputs if self.bias else 0))

    @property
    def flops_per_token(self) -> Array:
        """Forward FLOPs per token, 2 x inputs x outputs x active experts: a multiply-add is two FLOPs."""
        return 2 * self.inputs * self.outputs * self.active


@dataclass(frozen=True)
class AttentionCore:
    """Scores and weighted sum: softmax(Q K^T) V, per sequence of ``length`` tokens.

    Q [length, heads, head_dim], K [keys, kv_heads, head_dim], V [keys, kv_heads, value_dim]; ``window`` limits the keys per query."""

    heads: Array
    kv_heads: Array
    head_dim: Array
    value_dim: Array
    causal: bool
    keys: Array | None = None
    window: Array | None = None
    biased: bool = False  # a learned relative-position bias is added to the scores (T5)
    places: Array | None = None  # rows of a table, gathered from GEMMs with it (DeBERTa)
    near: bool = False  # it takes the rows within the sequence, uncopied (DeBERTa 1)
    broadcast: bool = False  # a single key head is broadcast to all query heads (Falcon)
    dropped: bool = False  # probabilities are dropped out
    padded: bool = False  # it gets a dense mask over all pairs, for padding or a bias per pair (BEiT)
    from_table: bool = False  # each layer computes that mask from a table of relative positions
    capped: bool = False  # scores are capped where they are written out (Gemma 2)
    written: bool = False  # transformers' file calls no attention kernel (GPT-J, MPT)
    wide: bool = False  # that file casts queries and keys to fp32
    wide_bias: bool = False  # that file adds an fp32 bias to 16-bit scores (MPT)
    sunk: bool = False  # a learned logit stands beside each query's scores (gpt-oss)
    maskless: bool = False  # transformers' file makes no mask for it, even if compiled (DINOv2)
    looped: bool = False  # called once per sequence (windows, and images of different sizes)

    def flops(self, length: Array, *, full: bool) -> Array:
        """Forward FLOPs of one sequence: 2 x length x keys x heads x (head_dim + value_dim), halved if
        causal and ``full`` is False. ``full`` counts masked pairs too, as PaLM does; otherwise the ``causal`` convention."""
        keys = length if self.keys is None else self.keys
        triangle = self.causal and not full and self.keys is None
        if self.window is None:
            pairs = (0.5 if triangle else 1.0) * length * keys
        else:
            seen = np.minimum(self.window, keys)
            pairs = length * seen - (0.5 * seen * seen if triangle else 0)
        return 2 * pairs * self.heads * (self.head_dim + self.value_dim)


class Family(Enum):
    """Groups of memory-bound operators, for recomputation and memory."""

    NORM = "norm"
    """Norms: the input is the residual stream, in the stream's format."""
    ACTIVATION = "activation"
    """Between the GEMMs of a feed-forward layer."""
    ATTENTION = "attention"
    """On queries and keys, where attention is split over tensor ranks."""
    OTHER = "other"


class Pointwise(Enum):
    """The memory-bound operators; the software profile gives the memory traffic of each. To add an operator, add a line.

    ``saved``    elements that autograd saves per element if nothing is fused; overridden by a stack's ``memory.saved``.
                 None: as for ``like``
    ``family``   its group
    ``like``     the operator whose figures are used if a stack has none for this one (and runs it as one kernel)
    """

    _value_: str
    saved: float | None
    family: Family
    like: str

    def __new__(cls, name: str, saved: float | None = None, family: Family = Family.OTHER, like: str = "") -> Pointwise:
        """Create a member whose value is its name in profiles."""
        member = object.__new__(cls)
        member._value_, member.saved, member.family, member.like = name, saved, family, like or name
        return member

    RMS_NORM = "rms-norm", 1, Family.NORM  # saves its input
    LAYER_NORM = "layer-norm", 1, Family.NORM
    RESIDUAL = "residual", 0
    DROP_PATH = "drop-path", 0, Family.OTHER, "residual"  # a half of a block dropped for some samples, the rest scaled
    ROTARY = "rotary", 1, Family.ATTENTION  # a rotated copy besides the projection, whose storage the values keep alive
    WIDE_ROTARY = "wide-rotary", None, Family.ATTENTION, "rotary"  # in fp32: ModernBERT, ESM
    AXIS_ROTARY = (
        "axis-rotary",
        None,
        Family.ATTENTION,
        "rotary",
    )  # thirds of each head by time, row and column in turn: V-JEPA 2
    SCALED = "scaled-queries", 0, Family.ATTENTION, "residual"  # by a number, before attention
    ALIGNED = "aligned-heads", 0, Family.ATTENTION, "residual"  # copied into another order: Whisper's ``contiguous``
    SLICED = "sliced-heads", 0, Family.ATTENTION, "bias"  # slices of one GEMM's output: Phi-3
    GELU = "gelu", 1, Family.ACTIVATION  # its input; its output is saved by the GEMM that reads it
    WRITTEN_GELU = "written-gelu", None, Family.ACTIVATION, "gelu"  # tanh, unfused: GPT-2
    ERF_GELU = "erf-gelu", None, Family.ACTIVATION, "gelu"  # unfused: ESM
    QUICK_GELU = "quick-gelu", None, Family.ACTIVATION, "gelu"  # x sigmoid(1.702 x), unfused: OpenAI's CLIP
    BLOOM_GELU = "bloom-gelu", None, Family.ACTIVATION, "gelu"  # tanh, unfused; saves its input alone
    XIELU = "xielu", None, Family.ACTIVATION, "gelu"  # two branches, with two learned factors, unfused: Apertus
    RELU = "relu", 0, Family.ACTIVATION, "gelu"  # its output, which is saved by the GEMM that reads it
    SWIGLU = "swiglu", 3, Family.ACTIVATION  # gate, up and silu(gate), per element of gate times up
    SPLIT_SWIGLU = "split-swiglu", None, Family.ACTIVATION, "swiglu"  # on halves of one GEMM's output: Phi-3
    EXPERT_SWIGLU = "expert-swiglu", None, Family.ACTIVATION, "swiglu"  # on the concatenated outputs of routed experts
    DROPOUT = "dropout", 0.5  # the mask, one byte
    BIAS = "bias", 0
    SCALE = "layer-scale", None, Family.OTHER, "residual"  # a learned factor per channel after either half of a block
    CHANNELS_FIRST = "channels-first-stream", 0  # norms copy what a convolution put out, additions read it strided
    ROUTER = "router", 2  # probabilities in fp32
    PERMUTE = "permute", 2  # tokens into expert order and back: saves experts' outputs, and those times weights
    ALL_EXPERTS = "all-experts", 1, Family.OTHER, "permute"  # scaled copies, and their sum: Llama 4
    QK_NORM = "qk-norm", 1, Family.ATTENTION
    WRITTEN_NORM = "written-norm", None, Family.NORM, "layer-norm"  # in fp32, unfused: DeBERTa's first version
    MODULATION = "modulation", 2  # the norm's output, and what is gated
    """adaLN in one half of a block: shift and scale after the norm, and the gate before the residual addition."""

    @classmethod
    def of(cls, family: Family) -> tuple[Pointwise, ...]:
        """The operators of a family."""
        return tuple(kind for kind in cls if kind.family is family)


@dataclass(frozen=True)
class Elementwise:
    """A memory-bound operator applied to ``width`` elements per token.

    ``sharded``: the elements are split over tensor ranks; otherwise only sequence parallelism splits them."""

    kind: Pointwise
    width: Array
    sharded: bool
    parameters: Array = 0
    worked: Array = 1.0
    """Share of the width that the operator is applied to; below 1, the tensor is split and concatenated again."""


@dataclass(frozen=True)
class Block:
    """One layer: its operators per token of its stream, and its attention cores."""

    linears: tuple[Linear, ...]
    attention: tuple[AttentionCore, ...]
    elementwise: tuple[Elementwise, ...]
    hidden: Array
    all_reduces: int = 2
    """Tensor-parallel all-reduces per forward pass: one after attention, one after the MLP."""

    @property
    def parameters(self) -> Array:
        """All parameters of the block."""
        return sum(part.parameters for part in self.linears) + sum(part.parameters for part in self.elementwise)

    @property
    def active_parameters(self) -> Array:
        """Parameters used per token: those of ``active`` experts instead of all."""
        idle = sum((part.experts - part.active) * part.inputs * part.outputs for part in self.linears)
        return self.parameters - idle


@dataclass(frozen=True)
class Stack:
    """``layers`` identical blocks over one stream of tokens.

    ``tokens``     tokens of this stream per sample (an encoder's patches, a language model's text and visual tokens, visible tubelets)
    ``sequence``   tokens that attend to each other (one frame's patches); ``tokens`` when None
    ``trainable``  how the blocks are trained; ``adapters``: LoRA weights per block
    ``nested``     whether transformers' file checkpoints these layers within a checkpointed stage, so that full recomputation repeats
                   their forward pass twice (Swin)
    ``narrow_adapters``  whether adapters are kept in the run's format, as diffusers adds them, where peft keeps its models' in fp32
    ``uses``       layers that run one and the same weights (ALBERT);  ``within``: parts of another stack's layers, in the same module
    """

    name: str
    block: Block
    layers: Array
    tokens: Array
    sequence: Array | None = None
    trainable: Trainable = Trainable.FULL
    adapters: tuple[Linear, ...] = ()
    uses: Array = 1
    within: bool = False
    nested: bool = False
    narrow_adapters: bool = False

    @property
    def with_mask(self) -> Stack:
        """The same stack with a padding mask passed to its attention."""
        cores = tuple(replace(core, padded=True) for core in self.block.attention)
        return replace(self, block=replace(self.block, attention=cores))

    @property
    def parameters(self) -> Array:
        """Parameters of all blocks and adapters."""
        return self.layers / self.uses * self.block.parameters + self.adapter_parameters

    @property
    def adapter_parameters(self) -> Array:
        """LoRA parameters of all layers."""
        return self.layers * sum(adapter.parameters for adapter in self.adapters)

    @property
    def trainable_parameters(self) -> Array:
        """All parameters if fully trained, otherwise those of the adapters (0 if there are none)."""
        return self.parameters if self.trainable is Trainable.FULL else self.adapter_parameters

    @property
    def active_parameters(self) -> Array:
        """Parameters used per token: inactive experts are not counted."""
        return self.layers / self.uses * self.block.active_parameters + self.adapter_parameters


@dataclass(frozen=True)
class Ends:
    """Operators before and after the stacks of one stream: embeddings, final norms, heads, patch embedding.

    ``linears`` are GEMMs (head, projections); ``tables`` is the number of parameters that are looked up or added."""

    name: str
    linears: tuple[Linear, ...]
    tables: Array
    tokens: Array
    first: bool
    """Whether it is on the first pipeline stage (embeddings) rather than the last (heads)."""
    vocabulary: Array = 0
    """Number of classes of a softmax loss over the outputs, if any."""
    compared: Array = 0
    """Width of the features that a contrastive loss compares across all samples of the batch; 0 if there is no such loss."""
    tied: bool = False
    """Whether the head shares the embedding's weight: its parameters are counted once, its GEMM still runs."""
    from_pixels: bool = False
    """Whether the GEMM is a convolution over non-overlapping patches of pixels."""
    grouped: Array = 0
    """Channels to a group of a convolution in groups over neighbouring steps; 0: it is none."""
    narrow_loss: bool = False
    """Whether the loss reads logits in their own number format without casting them, as for masked words."""
    capped: bool = False
    """Whether logits are capped (Gemma 2)."""
    tabled: Array = 0
    """Elements per token of a fixed position table that is added to the embedding."""
    split: Split = Split.WHOLE
    """How tensor parallelism divides ``tables``: VOCABULARY splits the rows of a token embedding."""
    trainable: Trainable = Trainable.FULL

    @property
    def parameters(self) -> Array:
        """Parameters of tables and GEMMs; the weight of a tied head is only counted in its table."""
        return self.tables + (0 if self.tied else sum(part.parameters for part in self.linears))

    @property
    def trainable_parameters(self) -> Array:
        """All parameters if fully trained, otherwise 0."""
        return self.parameters if self.trainable is Trainable.FULL else 0

    @property
    def active_parameters(self) -> Array:
        """All parameters: ends have no experts."""
        return self.parameters


@dataclass(frozen=True)
class Model:
    """The computation for one training sample, with parts in the order of data flow."""

    name: str
    parts: tuple[Stack | Ends, ...]
    hidden: Array
    """Width of the activations sent between pipeline stages."""

    @property
    def parameters(self) -> Array:
        """All parameters, trained or frozen."""
        return sum(part.parameters for part in self.parts)

    @cached_property
    def stacks(self) -> tuple[Stack, ...]:
        """The parts that are stacks of repeated blocks."""
        return tuple(part for part in self.parts if isinstance(part, Stack))

    @property
    def trains_adapters(self) -> bool:
        """Whether adapters are trained, beside frozen weights."""
        return any(stack.adapters for stack in self.stacks)

    @cached_property
    def ends(self) -> tuple[Ends, ...]:
        """The parts that are embeddings, heads and similar."""
        return tuple(part for part in self.parts if isinstance(part, Ends))

    @cached_property
    def encoder(self) -> tuple[Stack | Ends, ...]:
        """The leading parts that are not divided over pipeline stages, such as a vision encoder or a resampler.

        They end with the last stack before the first one on the pipeline's stream (``on_stream``). Empty if the model has one stack, if
        its first stack is on the stream, or if none is."""
        leading = 0
        for place, part in enumerate(self.parts):
            if isinstance(part, Stack) and self.on_stream(part):
                return self.parts[:leading]
            leading = place + 1 if isinstance(part, Stack) else leading
        return ()

    def on_stream(self, stack: Stack) -> bool:
        """Whether a stack's layers are divided over pipeline stages: it is the only stack, or it has width ``hidden`` and is not frozen."""
        if len(self.stacks) == 1 or stack.trainable is Trainable.FROZEN:
            return len(self.stacks) == 1
        return every(np.equal(stack.block.hidden, self.hidden))

    @property
    def masked(self) -> bool:
        """Whether any attention is causal; FLOP-counting conventions differ for it."""
        return any(core.causal for stack in self.stacks for core in stack.block.attention)

    @property
    def trainable_parameters(self) -> Array:
        """Parameters that the optimiser updates: all of a fully trained part, only the adapters of a part with adapters."""
        return sum(part.trainable_parameters for part in self.parts)

    @property
    def active_parameters(self) -> Array:
        """Parameters used per token: inactive experts are not counted."""
        return sum(part.active_parameters for part in self.parts)
