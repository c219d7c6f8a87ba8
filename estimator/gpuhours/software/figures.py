"""The groups of figures of a software profile, each with its source: bytes, host times, exposed shares."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field

from gpuhours.architecture.operators import Pointwise as Operator
from gpuhours.hardware.optimisers import OPTIMISERS
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.yaml_files import Section, Sourced, keyed_by

Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Selective = Literal[
    "attention", "all-but-attention", "all-but-half-attention", "attention-block", "mlp", "half-of-products"
]
"""What ``recompute: selective`` recomputes; see ``layout.recompute``."""


@dataclass(frozen=True)
class ChosenDefault:
    """Marks a default that measured runs determined: by their names in ``published/sources.yaml``, and the default without them."""

    on: tuple[str, ...]
    without: float


class Traffic(Section):
    """Equivalent bytes per element, in each direction."""

    forward: NotNegative
    backward: NotNegative


SCORES: Final = ("scores", "biased-scores", "disentangled-scores")
"""Traffic of unfused attention per score: plain, with an added bias, or with two gathered ones (DeBERTa); among the operators of a
profile."""
OPERATOR: Final = "memory-bound operator"
NAMES: Final = tuple(kind.value for kind in Operator)
"""Names of the operators of ``architecture.operators.Pointwise`` in profiles."""
KERNELS: Final = (
    *NAMES,
    "product",
    "expert",
    "unpacked",
    "attention",
    "unfused",
    "disentangled",
    "place-bias",
    "adapter",
)
"""Operators for which a host launches kernels."""
NOTHING: Final = Traffic.model_construct(forward=0.0, backward=0.0)


class PointwiseTraffic(Sourced):
    """Traffic of each memory-bound operator: ``operators`` by the names of ``architecture.operators.Pointwise``, and ``scores``:
    the traffic of unfused attention per score beyond its 16-bit kernels."""

    operators: Annotated[dict[str, Traffic], keyed_by(OPERATOR, [*NAMES, *SCORES])]
    rows: Annotated[dict[str, Traffic], keyed_by(OPERATOR, NAMES)] = Field(
        default_factory=dict, examples=[{"layer-norm": {"forward": 1.0e-9, "backward": 3.5e-9}}]
    )
    """s per token in addition to the bytes, on any card: kernels that reduce row by row."""
    issued: Share = 0.0
    """Share of their time on H100 that is limited by instruction issue and does not shrink with memory bandwidth."""
    issued_of: Annotated[dict[str, Share], keyed_by(OPERATOR, NAMES)] = Field(
        default_factory=dict, examples=[{"rotary": 1.0, "residual": 0.0}]
    )
    """The same of operators whose kernels were timed on both cards; ``issued`` is that of all others."""
    weights: Traffic = NOTHING
    """Per trained parameter of a layer and micro-batch: autocast's casts of weights, and of their gradients back."""


class Masking(Sourced):
    """Time of attention with a padding mask relative to that of all pairs without, in each direction."""

    forward: Positive
    backward: Positive


class Head(Sourced):
    """The softmax loss, per logit."""

    forward: NotNegative
    backward: NotNegative
    narrow: Share = 1.0
    """Share of that which a loss takes that reads logits in their own format, of masked words, where that of next words reads fp32."""


class Casts(Sourced):
    """Quantisation to 8 or 4 bit, per element of a matrix product's input activations."""

    forward: NotNegative
    backward: NotNegative
    weights: NotNegative = 0.0
    """Per weight and micro-batch, if weights are quantised again for each; forward and backward together."""
    blocks: Positive = 1.0
    """Factor for 8-bit formats with one scale per block of elements (mxfp8)."""
    four_bit: Positive = 1.0
    """Factor for nvfp4 (two levels of scales, rotations, both layouts written) and, as an assumption, mxfp4."""


class Adapters(Sourced):
    """Scaling an adapter's output and adding it to the frozen product's, bytes per element of that output."""

    forward: NotNegative
    backward: NotNegative
    """Its scaled gradient, and the sum of both branches' input gradients."""
    inputs: Traffic = NOTHING
    """Per element of the adapter's input: the cast to the adapter's format, and of its gradient back."""
    autocast: Traffic | None = None
    """Per element of the output under autocast, if different."""
    autocast_inputs: Traffic | None = None
    dtype: Literal["fp32"] | None = None
    """The format of their products, if not the run's (peft keeps adapters in fp32; autocast narrows them)."""
    targets: tuple[str, ...] = ()
    """The products that they are attached to if a run does not say; all products if empty."""


class Accumulation(Sourced):
    """Adding a micro-batch's weight gradients to those of the step."""

    bytes: NotNegative
    """Per parameter and micro-batch."""
    amp: NotNegative | None = None
    """The same under autocast, if different."""
    first: bool = True
    """Whether the first micro-batch's are added too, into an existing buffer; otherwise a single rank keeps them as they are."""


class OptimiserTraffic(Sourced):
    """The update with gradient clipping, equivalent bytes per parameter on the rank, by training state."""

    amp: NotNegative
    mixed: NotNegative
    pure: NotNegative
    moved: Annotated[dict[str, NotNegative], keyed_by("optimiser", OPTIMISERS)] = Field(
        default_factory=dict, examples=[{"adafactor": 160.0}]
    )
    """For optimisers whose code moves other amounts than their states imply, whatever the training state."""
    seconds: Annotated[dict[str, NotNegative], keyed_by("optimiser", OPTIMISERS)] = Field(
        default_factory=dict, examples=[{"adamw-8bit": 3.1e-11}]
    )
    """s per parameter for optimisers whose kernels are not limited by bytes, on any card."""
    tensors: Annotated[dict[str, NotNegative], keyed_by("optimiser", OPTIMISERS)] = Field(
        default_factory=dict, examples=[{"adafactor": 3.9e-4}]
    )
    """s of the host for each tensor of those that update one after another, kernel by kernel: no update is shorter."""


class Gathering(Sourced):
    """Copies around ZeRO-3's gathers of weights, equivalent bytes per byte read or written: not free, since they take bandwidth from
    concurrent work."""

    shares: NotNegative
    """Copying a rank's own share, as stored, into the send buffer, in the products' format."""
    whole: NotNegative
    """Copying the gathered data out of the buffer into weights."""


class Launches(Section):
    """Host time, s, in each direction."""

    forward: NotNegative = 0.0
    backward: NotNegative = 0.0


NO_LAUNCHES: Final = Launches.model_construct()


class Kernels(Sourced):
    """Host time by kernel launches, for stacks whose layers differ too much for one time per layer."""

    operators: Annotated[dict[str, Traffic], keyed_by("operator that a host launches", KERNELS)]
    """Kernels per operator of a layer: ``product`` (each unfused one), ``expert``, ``unpacked`` (a 4-bit weight),
    ``attention``, ``unfused``, ``adapter`` and the names of ``architecture.operators.Pointwise``."""
    experts: Literal["grouped", "looped"] = "grouped"
    """Experts as three tensors per layer (transformers 5), or each with its own modules, run one after another (4)."""
    looped_before: int | None = None
    """``looped`` applies to runs before this year."""
    autocast: Annotated[dict[str, Traffic], keyed_by("operator that a host launches", KERNELS)] = Field(
        default_factory=dict
    )
    """Additional ones under autocast; ``bias`` for every product with a bias."""
    each: Launches
    """s per kernel."""
    layer: Launches
    """s per layer and micro-batch: overhead of its modules, whatever they launch."""
    linear: Positive | None = None
    """s that the measured hosts take to launch a small nn.Linear, the reference for other hosts (``on_host``)."""
    follows: Share = 1.0
    """Exponent of launching times in a host's relative pace (``on_host``)."""
    causal: NotNegative = 0.0
    """s per causal layer and forward pass: passing on masks, cache and positions."""
    recomputed: Launches = NO_LAUNCHES
    """s per recomputed layer: saving state before, and the second graph."""
    gap: NotNegative = 0.0
    """Unavoidable GPU gap between two kernels, s."""
    update: NotNegative = 0.0
    """s per step: clipping and the optimiser."""
    reads_back: bool = False
    """Whether the loss reads back the number of labels: what follows the layers' forward pass is then launched after it, not ahead of
    it."""
    waits: NotNegative = 0.0
    """s per step that nothing hides: a trainer that reads back the loss and gradient norm, and logs."""
    module: NotNegative = 0.0
    """s per module with weights and pass under ZeRO-3: hooks that fetch, release and prefetch."""
    call: Launches = NO_LAUNCHES
    """s per attention call beyond a layer's first: windows and images one by one."""

    def on_host(self, linear: float) -> "Kernels":
        """The same on a host that takes ``linear`` s for a small nn.Linear: all launching times scaled by (linear / usual)^``follows``,
        waits and gaps unchanged; unscaled if the reference is not known.

        The first power by default: own measurements on five hosts of H200, whose mean of 17 to 33 us goes with the time of a kernel; what
        one host reads from minute to minute (15 to 46 us) says little of the step beside it.
        """
        if self.linear is None:
            return self
        pace = (linear / self.linear) ** self.follows

        def slower(one: Launches) -> Launches:
            return Launches(forward=one.forward * pace, backward=one.backward * pace)

        pairs = {name: slower(getattr(self, name)) for name in ("each", "layer", "recomputed", "call")}
        single = {name: getattr(self, name) * pace for name in ("causal", "update", "module")}
        return self.model_copy(update={**pairs, **single, "linear": linear})


class StageEnds(Sourced):
    """Where a stack that balances FLOPs ends a pipeline stage."""

    reached: bool = False
    """With the block that reaches its share of the FLOPs; otherwise with the one that exceeds it. They differ only if a share is a
    whole number."""


class Host(Sourced):
    """CPU time of launching kernels; only the part beyond the GPU's own time is exposed."""

    forward: NotNegative
    """s per layer and micro-batch."""
    backward: NotNegative
    kernels: Kernels | None = None
    """If given, it replaces the two above."""
    autocast: Positive = 1.0
    """Factor under autocast."""
    shard: NotNegative = 0.0
    """s per layer and micro-batch, forward and backward, for the hooks of ZeRO-3."""
    tensor: NotNegative = 0.0
    """s per layer and micro-batch, forward and backward, for reductions launched in pieces alongside parts of split products."""
    gap: NotNegative = 0.0
    """s per layer and micro-batch of unavoidable GPU waiting: hooks, random states, synchronisation."""
    step: NotNegative = 0.0
    """s per optimiser step, however short: the next batch, launching the update, norms and logging that wait for the GPU."""


class Exposed(Sourced):
    """Share of each kind of communication that is exposed even if there is enough computation to hide it."""

    tensor: Share
    context: Share
    expert: Share
    data: Share
    """Gradient reduction and weight gathering, once per step (ZeRO 0 to 2)."""
    shard: Share
    """Gathers and reductions of every layer (ZeRO-3): their cost to the matrix products that hide them."""
    pipeline: Share
    one_chunk: Share | None = None
    """The same for stages of one chunk, if different: nothing else can run while a stage waits for its message."""


class Context(Sourced):
    """How ranks that split a sequence pass its keys and values on."""

    ring: Literal["flat", "double"]
    """One ring through all ranks, or rings inside nodes concurrent with rings between them."""
    merge: Traffic
    """Adding a block's partial output to the others', bytes per element of the output."""
    gradient: Positive = 2.0
    """Bytes per element of the gradients of keys and values that are sent."""
    fetched: Share = 1.0
    """Share of the other ranks' blocks that a rank receives with a causal mask: half if fully masked blocks are not sent."""
    backward: Literal["keys", "queries"] = "keys"
    """What is sent in the backward pass: keys and values, or the smaller of these and the queries, with their gradients."""
    balanced: bool = True
    """Whether a causal sequence is distributed so that every rank masks equally; otherwise ranks have consecutive parts and wait for the
    last."""
    helped: bool = False
    """Whether ranks whose block is masked compute one of another rank's instead, whole (DistFlashAttn, arXiv:2310.03294, section 3.2)."""
    hop: Launches = NO_LAUNCHES
    """Host time per block of a ring: its sends, attention and merging."""
    exchange: Launches = NO_LAUNCHES
    """Host time to exchange the heads of a layer, both ways."""
    repeats_keys: bool = False
    """Whether grouped keys are copied for every query head before a ring sends them; with exchanged heads they are not."""


class Dispatch(Sourced):
    """Dispatch of tokens to the experts of a mixture, and back."""

    sends: Literal["copies", "ranks"]
    """One message per copy of a token, or one per rank (across nodes: per node) with some of its experts."""
    folded: bool = True
    """Whether experts are not split over tensor ranks by default (Megatron's parallel folding)."""
    load: Positive = 1.0
    """Tokens on the busiest rank relative to the mean: 1 if routing is forced to balance, the capacity if slots are padded."""
    packing: Traffic = NOTHING
    """Additional bytes per element of the copies if they go to other ranks (sorted by rank, and again by expert)."""
    slots: Traffic = NOTHING
    """The same if every expert has a fixed number of slots, filled by one-hot masks (GShard's capacity, DeepSpeed-MoE)."""
    host: Mapping[str, NotNegative]
    """s per such layer and micro-batch, forward and backward, in addition to ``Host``: accelerator (or ``default``) -> time."""

    def host_time(self, accelerator: str) -> float:
        """Host time on the host of an accelerator."""
        return self.host.get(accelerator, self.host["default"])


class Network(Sourced):
    """How the stack uses the network."""

    sends: Literal["sharded", "whole"]
    """Pipeline messages split over tensor ranks, or sent whole by each of them."""
    gradient: Positive
    """Bytes per parameter in a gradient reduction."""
    scattered: Positive | None = None
    """The same for ZeRO-3's per-layer reduce-scatter, if different."""
    weight: Positive = 2.0
    """Bytes per parameter in a weight gather."""
    shard_broadcast: NotNegative = 0.0
    """s per GB of weights and shard, if every shard broadcasts its part separately."""
    shard_wait: NotNegative = 0.0
    """s per such broadcast, whatever its size."""
    stragglers: NotNegative = 0.0
    """Slow-down per doubling of GPUs beyond one node."""
    send_wait: NotNegative = 0.0
    """s per message between stages on different nodes, in addition to its bytes."""
    data_share: Positive = 1.0
    """Share of the network's rate that data-parallel collectives reach between nodes."""
    zero3_share: Positive = 1.0
    """The same for the gathers of ZeRO-3."""


class Defaults(Sourced):
    """The stack's defaults for what a run does not state."""

    recompute: Literal["none", "selective", "full"]
    documented: Literal["none", "selective", "full"] | None = None
    """The documented default, if measured runs determined another ``recompute``: used when these are left out."""
    adapters: Literal["none", "selective", "full"] = "none"
    """Recomputation when adapters are trained with frozen weights."""
    quantised: Literal["none", "selective", "full"] | None = None
    """The same with 4-bit weights; as with other weights if not given."""
    short: Literal["none", "selective", "full"] | None = None
    """Recomputation if ``recompute`` does not fit; unknown if not given."""
    sharding: Literal["none", "zero1", "zero2", "zero3"]
    state: Literal["amp", "mixed", "pure"]
    interleaved: bool = False
    """Whether pipelines run interleaved chunks by default."""
    dropout: Literal["none", "ulysses", "all"] = "none"
    """Which steps of a table that does not say are assumed to use dropout on scores and hidden states: none, those that exchange heads
    (``ulysses``), or all; a run's own model states it itself."""

    def recomputed(self, *, adapters: bool, narrow: bool) -> str:
        """The default recomputation: for trained weights, for adapters, for adapters on 4-bit weights."""
        if not adapters:
            return self.recompute
        return self.quantised if narrow and self.quantised is not None else self.adapters


class Met(Section):
    """Measured runs that a profile was compared with."""

    source: str
    """Its name in ``published``."""
    steps: Annotated[int, Field(ge=1)]
    years: tuple[int, ...]
    releases: tuple[str, ...] = ()
    system: str = ""
    """Machine or code, if the source is about one."""
