"""The groups of figures of a software profile, each with its source: bytes, host times, exposed shares."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field

from gpuhours.architecture.operators import Pointwise as Operator
from gpuhours.hardware.number_formats import FORMATS
from gpuhours.hardware.optimisers import OPTIMISERS
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.yaml_files import Section, Sourced, keyed_by

Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Selective = Literal[
    "attention", "all-but-attention", "all-but-half-attention", "attention-block", "mlp", "half-of-gemms"
]
"""What ``recompute: selective`` recomputes; see ``layout.recompute``."""


@dataclass(frozen=True)
class ChosenDefault:
    """A default that was fitted to measured runs: their sources (``published/sources.yaml``), and the default to use without them."""

    on: tuple[str, ...]
    without: float


class Traffic(Section):
    """Equivalent bytes per element, in each direction."""

    forward: NotNegative
    backward: NotNegative


SCORES: Final = ("scores", "biased-scores", "disentangled-scores", "sink-scores")
"""Names in ``operators`` for the traffic of unfused attention per score: plain, with a bias, with two gathered ones (DeBERTa),
beside a learned logit (gpt-oss)."""
OPERATOR: Final = "memory-bound operator"
NAMES: Final = tuple(kind.value for kind in Operator)
"""Names of the operators of ``architecture.operators.Pointwise`` in profiles."""
KERNELS: Final = (
    *NAMES, "gemm", "expert", "unpacked", "attention", "unfused", "disentangled", "place-bias", "cut-rotary", "adapter",
    "narrow-adapter",
)  # fmt: skip
"""Operators for which a host launches kernels."""
NOTHING: Final = Traffic.model_construct(forward=0.0, backward=0.0)


class PointwiseTraffic(Sourced):
    """Traffic of each memory-bound operator: ``operators`` by the names of ``architecture.operators.Pointwise``, and ``scores``:
    the traffic of unfused attention per score beyond its 16-bit kernels."""

    operators: Annotated[dict[str, Traffic], keyed_by(OPERATOR, [*NAMES, *SCORES])]
    rows: Annotated[dict[str, Traffic], keyed_by(OPERATOR, NAMES)] = Field(
        default_factory=dict, examples=[{"layer-norm": {"forward": 1.0e-9, "backward": 3.5e-9}}]
    )
    """Additional time in s per token, the same on any card: for kernels that reduce row by row."""
    issued: Share = 0.0
    """Share of these operators' time on H100 that is limited by instruction issue and does not shrink with memory bandwidth."""
    issued_of: Annotated[dict[str, Share], keyed_by(OPERATOR, NAMES)] = Field(
        default_factory=dict, examples=[{"rotary": 1.0, "residual": 0.0}]
    )
    """``issued`` by operator, for those whose kernels were timed on both cards; ``issued`` applies to all others."""
    weights: Traffic = NOTHING
    """Bytes per trained parameter of a layer and micro-batch: autocast's casts of weights (forward) and of their gradients (backward)."""


class Masking(Sourced):
    """Time of attention with a padding mask, forward and backward, relative to attention over all pairs without a mask."""

    forward: Positive
    backward: Positive


class LearnedMask(Sourced):
    """Shares of peak FLOP/s that attention reaches under a mask that is learned, in whole blocks of 64 tokens and 64 channels."""

    forward: Positive
    backward: Positive


class Head(Sourced):
    """The softmax loss, per logit."""

    forward: NotNegative
    backward: NotNegative
    narrow: Share = 1.0
    """Factor for a masked-word loss, which reads logits in their own format, relative to a next-word loss, which reads them in fp32."""


class Casts(Sourced):
    """Quantisation to 8 or 4 bit, per element of a GEMM's input activations."""

    forward: NotNegative
    backward: NotNegative
    weights: NotNegative = 0.0
    """Bytes per weight and micro-batch, forward and backward together, if weights are quantised again for every micro-batch."""
    blocks: Positive = 1.0
    """Factor for 8-bit formats with one scale per block of elements (mxfp8)."""
    four_bit: Positive = 1.0
    """Factor for nvfp4 (two levels of scales, rotations, both layouts written) and, as an assumption, mxfp4."""


class Adapters(Sourced):
    """Cost of scaling an adapter's output and adding it to the frozen GEMM's output, in bytes per element of that output."""

    forward: NotNegative
    backward: NotNegative
    """For scaling the output gradient, and for summing the input gradients of both branches."""
    inputs: Traffic = NOTHING
    """Bytes per element of the adapter's input: casting it to the adapter's format, and casting its gradient back."""
    autocast: Traffic | None = None
    """Bytes per element of the output under autocast, if different."""
    autocast_inputs: Traffic | None = None
    dtype: Literal["fp32"] | None = None
    """Number format of the adapters' GEMMs, if not the run's (peft keeps adapters in fp32; autocast computes them in 16 bit)."""
    targets: tuple[str, ...] = ()
    """GEMMs that adapters are attached to if a run does not say which; all GEMMs if empty."""


class Accumulation(Sourced):
    """Gradient accumulation: adding a micro-batch's weight gradients to those of the step."""

    bytes: NotNegative
    """Equivalent bytes per parameter and micro-batch."""
    amp: NotNegative | None = None
    """The same under autocast, if different."""
    first: bool = True
    """Whether the first micro-batch's gradients are also added to an existing buffer; otherwise a single rank keeps them as they are."""


class OptimiserTraffic(Sourced):
    """Optimiser update including gradient clipping: equivalent bytes per parameter on the rank, by training state."""

    amp: NotNegative
    mixed: NotNegative
    pure: NotNegative
    moved: Annotated[dict[str, NotNegative], keyed_by("optimiser", OPTIMISERS)] = Field(
        default_factory=dict, examples=[{"adafactor": 160.0}]
    )
    """Bytes per parameter by optimiser, for those whose code moves more or fewer bytes than their states imply; for any training state."""
    seconds: Annotated[dict[str, NotNegative], keyed_by("optimiser", OPTIMISERS)] = Field(
        default_factory=dict, examples=[{"adamw-8bit": 3.1e-11}]
    )
    """s per parameter by optimiser, the same on any card, for those whose kernels are not limited by memory bandwidth."""
    tensors: Annotated[dict[str, NotNegative], keyed_by("optimiser", OPTIMISERS)] = Field(
        default_factory=dict, examples=[{"adafactor": 3.9e-4}]
    )
    """Host time in s per tensor, for optimisers that launch separate kernels for every tensor: a lower bound on the update's time."""


class Gathering(Sourced):
    """Copies around ZeRO-3's all-gathers of weights, in equivalent bytes per byte; they take bandwidth from concurrent kernels."""

    shares: NotNegative
    """Copying a rank's own shard from its stored format into the send buffer, in the GEMMs' format."""
    whole: NotNegative
    """Copying the gathered weights out of the receive buffer."""
    each: NotNegative = 0.0
    """s per weight matrix and rank in a gather or scatter that copies every rank's part on its own; nothing overlaps with such."""
    until: int | None = None
    """The last year in which the stack gathered like this; ``Software.of_year`` empties it for a run of such a year, no other pays."""


class Launches(Section):
    """Host time, s, in each direction."""

    forward: NotNegative = 0.0
    backward: NotNegative = 0.0


NO_LAUNCHES: Final = Launches.model_construct()


class Kernels(Sourced):
    """Host time modelled by kernel launches, for stacks whose layers differ too much for a single time per layer."""

    operators: Annotated[dict[str, Traffic], keyed_by("operator that a host launches", KERNELS)]
    """Kernels per operator of a layer: ``gemm`` (each unfused one), ``expert``, ``unpacked`` (a 4-bit weight),
    ``attention``, ``unfused``, ``cut-rotary`` (of a part of each head), ``adapter`` and the names of
    ``architecture.operators.Pointwise``."""
    experts: Literal["grouped", "looped"] = "grouped"
    """``grouped``: a layer's experts are three tensors (transformers 5); ``looped``: each expert has its own modules and they run one after
    another (transformers 4)."""
    looped_before: int | None = None
    """``looped`` applies to runs before this year."""
    autocast: Annotated[dict[str, Traffic], keyed_by("operator that a host launches", KERNELS)] = Field(
        default_factory=dict
    )
    """Additional kernels per operator under autocast; ``bias`` counts once for every GEMM with a bias."""
    each: Launches
    """s per kernel."""
    layer: Launches
    """s per layer and micro-batch: overhead of the layer's modules, independent of the number of kernels."""
    linear: Positive | None = None
    """s that the hosts of these times take to launch a small nn.Linear: the reference for other hosts (``on_host``)."""
    hosts: tuple[Positive, Positive] | None = None
    """10th and 90th percentile of ``linear`` among hosts, s; None if a run states its own."""
    launches_from: str | None = None
    """The profile whose launch times replace the figures in ``fitted`` if the runs that determined them are left out."""
    follows: Share = 1.0
    """Exponent with which launch times scale with a host's relative launch time (``on_host``)."""
    causal: NotNegative = 0.0
    """s per causal layer and forward pass: handing over masks, cache and positions."""
    recomputed: Launches = NO_LAUNCHES
    """s per recomputed layer: saving state in the forward pass, and building the second graph in the backward pass."""
    gap: NotNegative = 0.0
    """Idle GPU time between two kernels that cannot be avoided, s."""
    update: NotNegative = 0.0
    """s per step to launch gradient clipping and the optimiser."""
    reads_back: bool = False
    """Whether the loss reads the number of labels back to the host. The host then waits for the layers' forward pass before it launches
    anything that follows."""
    waits: NotNegative = 0.0
    """s per step, always exposed: the trainer reads back the loss and the gradient norm, and logs."""
    module: NotNegative = 0.0
    """s per pass and module with weights, under ZeRO-3: hooks that fetch, release and prefetch weights."""
    call: Launches = NO_LAUNCHES
    """s per attention call beyond a layer's first, for models that process windows or images one by one."""

    def on_host(self, linear: Array) -> "Kernels":
        """The same figures for a host that takes ``linear`` s to launch a small nn.Linear.

        All launch times are scaled by (linear / reference)^``follows``, if the profile has a reference; waits and gaps are unchanged.
        The default exponent is 1: on five H200 hosts (own measurements) the time per kernel is proportional to the host's mean, 17 to
        33 us. Single readings of one host vary by the minute (15 to 46 us), hardly in step with its launches.
        """
        if self.linear is None:
            return self
        pace = (linear / self.linear) ** self.follows

        def slower(one: Launches) -> Launches:
            return one.model_copy(update={"forward": one.forward * pace, "backward": one.backward * pace})

        pairs = {name: slower(getattr(self, name)) for name in ("each", "layer", "recomputed", "call")}
        single = {name: getattr(self, name) * pace for name in ("causal", "update", "module")}
        return self.model_copy(update={**pairs, **single, "linear": linear, "hosts": None})


class StageEnds(Sourced):
    """Where a stack that balances FLOPs ends a pipeline stage."""

    reached: bool = False
    """Whether the last block is the one that reaches the stage's share of the FLOPs, not the one that exceeds it (if both exist)."""


class Host(Sourced):
    """CPU time of launching kernels; only the part beyond the GPU's own time is exposed."""

    forward: NotNegative
    """s per layer and micro-batch."""
    backward: NotNegative
    kernels: Kernels | None = None
    """Host time by kernel launches; if given, it replaces ``forward`` and ``backward``."""
    autocast: Positive = 1.0
    """Factor on these times under autocast."""
    shard: NotNegative = 0.0
    """s per layer and micro-batch, forward and backward, for the hooks of ZeRO-3."""
    tensor: NotNegative = 0.0
    """s per layer and micro-batch, forward and backward, under tensor parallelism: reductions launched in pieces that overlap with parts of
    the GEMMs."""
    gap: NotNegative = 0.0
    """s per layer and micro-batch of GPU idle time that cannot be hidden: hooks, random states, synchronisation."""
    step: NotNegative = 0.0
    """s per optimiser step, always exposed: loading the next batch, launching the update, norms and logging that wait for the GPU."""


class Exposed(Sourced):
    """Share of each kind of communication that is exposed even if there is enough compute to hide it."""

    tensor: Share
    context: Share
    expert: Share
    data: Share
    """Gradient reduction and weight gathering, once per step (ZeRO 0 to 2)."""
    replicas: Share | None = None
    """Gradient reduction between unsharded replicas, if different from ``data``."""
    shard: Share
    """All-gathers and reduce-scatters of every layer (ZeRO-3): how much they slow the concurrent GEMMs."""
    pipeline: Share
    one_chunk: Share | None = None
    """The same for stages of one chunk, if different: such a stage has nothing else to run while it waits for a message."""


class Context(Sourced):
    """Context parallelism: how ranks that split a sequence exchange keys and values."""

    ring: Literal["flat", "double"]
    """One ring through all ranks, or rings inside nodes concurrent with rings between them."""
    merge: Traffic
    """Rescaling and adding a block's partial output, in bytes per element of the output."""
    gradient: Positive = 2.0
    """Bytes per element of the gradients of keys and values that are sent."""
    fetched: Share = 1.0
    """Share of the other ranks' blocks that a rank receives with a causal mask: half if fully masked blocks are not sent."""
    backward: Literal["keys", "queries"] = "keys"
    """What is sent in the backward pass: keys and values, or the smaller of these and the queries, with their gradients."""
    balanced: bool = True
    """Whether a causal sequence is distributed so that the mask leaves every rank equal work; otherwise each rank has one contiguous part
    and all wait for the last."""
    helped: bool = False
    """Whether a rank whose block is fully masked computes a whole block of another rank instead (DistFlashAttn, arXiv:2310.03294, section
    3.2)."""
    hop: Launches = NO_LAUNCHES
    """Host time per block of a ring: launching its sends, attention and merging."""
    exchange: Launches = NO_LAUNCHES
    """Host time to exchange the heads of a layer, both ways."""
    repeats_keys: bool = False
    """Whether a ring sends grouped keys repeated for every query head; not the case if ranks also exchange heads."""


class Dispatch(Sourced):
    """Dispatch of tokens to experts and combination of their outputs."""

    sends: Literal["copies", "ranks"]
    """``copies``: a token is sent once per expert; ``ranks``: once per rank (across nodes: per node) that has at least one of its
    experts."""
    folded: bool = True
    """Whether experts are not split over tensor ranks by default (Megatron's parallel folding)."""
    load: Positive = 1.0
    """Tokens on the busiest rank relative to the mean: 1 if routing is forced to balance, the capacity if slots are padded."""
    packing: Traffic = NOTHING
    """Additional bytes per element of the token copies if they are sent to other ranks (sorted by rank, then by expert)."""
    slots: Traffic = NOTHING
    """The same if every expert has a fixed number of slots, filled by one-hot masks (GShard's capacity, DeepSpeed-MoE)."""
    most_ranks: Annotated[int, Field(ge=1)] = 1
    """Ranks over which a layer's experts are spread at most if a run does not state its expert degree."""
    host: Mapping[str, NotNegative]
    """s per layer with experts and micro-batch, forward and backward, in addition to ``Host``: accelerator (or ``default``) -> time."""

    def host_time(self, accelerator: str) -> float:
        """Host time in s for a host with this accelerator, or the default."""
        return self.host.get(accelerator, self.host["default"])


class Network(Sourced):
    """How the stack uses the network."""

    sends: Literal["sharded", "whole"]
    """Pipeline messages split over tensor ranks, or sent whole by each of them."""
    gradient: Positive
    """Bytes per parameter in a gradient reduction."""
    gradients: Annotated[dict[str, Positive], keyed_by("number format", FORMATS)] = Field(default_factory=dict)
    """The same by number format, where it differs."""
    scattered: Positive | None = None
    """The same for ZeRO-3's per-layer reduce-scatter, if different."""
    weight: Positive = 2.0
    """Bytes per parameter in a weight gather."""
    shard_broadcast: NotNegative = 0.0
    """s per GB of weights and per shard, if every shard broadcasts its part separately."""
    shard_wait: NotNegative = 0.0
    """s per such broadcast, independent of its size."""
    stragglers: NotNegative = 0.0
    """Relative slow-down of a step per doubling of the number of GPUs beyond one node."""
    send_wait: NotNegative = 0.0
    """Wait in s per message between stages on different nodes, in addition to the transfer time."""
    data_share: Positive = 1.0
    """Share of the network's collective bandwidth that data-parallel collectives between nodes reach."""
    zero3_share: Positive = 1.0
    """The same for the gathers of ZeRO-3."""

    def gradient_in(self, dtype: str) -> float:
        """Bytes per parameter in a gradient reduction of a run in this number format."""
        return self.gradients.get(dtype, self.gradient)


class Defaults(Sourced):
    """The stack's defaults for what a run does not state."""

    recompute: Literal["none", "selective", "full"]
    documented: Literal["none", "selective", "full"] | None = None
    """The documented default, if ``recompute`` was fitted to measured runs and differs from it: used when those runs are left out."""
    adapters: Literal["none", "selective", "full"] = "none"
    """Recomputation when adapters are trained with frozen weights."""
    quantised: Literal["none", "selective", "full"] | None = None
    """The same with 4-bit weights; as with other weights if not given."""
    short: Literal["none", "selective", "full"] | None = None
    """Recomputation mode if a run does not fit in memory with ``recompute``; None if unknown."""
    sharding: Literal["none", "zero1", "zero2", "zero3"]
    state: Literal["amp", "mixed", "pure"]
    interleaved: bool = False
    """Whether pipelines run interleaved chunks by default."""
    dropout: Literal["none", "ulysses", "all"] = "none"
    """Which published steps are assumed to use dropout on scores and hidden states if their source does not say: none, those that exchange
    heads (``ulysses``), or all. A run file states dropout in its model."""

    def recomputed(self, *, adapters: bool, narrow: bool) -> str:
        """The default recomputation: for trained weights, for adapters, for adapters on 4-bit weights."""
        if not adapters:
            return self.recompute
        return self.quantised if narrow and self.quantised is not None else self.adapters


class MeasuredSteps(Section):
    """Measured runs that a profile was compared with."""

    source: str
    """Its name in ``published``."""
    steps: Annotated[int, Field(ge=1)]
    years: tuple[int, ...]
    releases: tuple[str, ...] = ()
    system: str = ""
    """Machine or code, if the source covers only one."""
