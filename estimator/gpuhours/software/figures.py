"""The groups of figures that a software profile is made of, each with its source: bytes, host times, shares that nothing hides."""

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
"""What ``recompute: selective`` computes again; see ``layout.recompute``."""


@dataclass(frozen=True)
class ChosenDefault:
    """Beside a default that measured runs chose: by their names in ``published/sources.yaml``, and what the default is without them."""

    on: tuple[str, ...]
    without: float


class Traffic(Section):
    """Equivalent bytes per element, in each direction."""

    forward: NotNegative
    backward: NotNegative


SCORES: Final = ("scores", "biased-scores", "disentangled-scores")
"""What unfused attention moves for every score, plain, with a bias added to it or with two gathered (DeBERTa), among the operators of a
profile."""
OPERATOR: Final = "memory-bound operator"
NAMES: Final = tuple(kind.value for kind in Operator)
"""What profiles call the operators of ``architecture.operators.Pointwise``."""
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
"""What a host launches kernels for."""
NOTHING: Final = Traffic.model_construct(forward=0.0, backward=0.0)


class PointwiseTraffic(Sourced):
    """What each memory-bound operator moves: ``operators`` by the names of ``architecture.operators.Pointwise``, and ``scores``:
    what unfused attention moves for every score beyond what its 16-bit kernels do."""

    operators: Annotated[dict[str, Traffic], keyed_by(OPERATOR, [*NAMES, *SCORES])]
    rows: Annotated[dict[str, Traffic], keyed_by(OPERATOR, NAMES)] = Field(
        default_factory=dict, examples=[{"layer-norm": {"forward": 1.0e-9, "backward": 3.5e-9}}]
    )
    """s a token beside the bytes, on any card: kernels that reduce row by row."""
    issued: Share = 0.0
    """Share of their time on H100 that more memory bandwidth does not shorten: multiprocessors issue no faster."""
    weights: Traffic = NOTHING
    """Per trained parameter of a layer and micro-batch: autocast's casts of weights, and of their gradients back."""


class Masking(Sourced):
    """Time of attention that is handed a mask of padding, over that of all pairs without, in each direction."""

    forward: Positive
    backward: Positive


class Head(Sourced):
    """The softmax loss, per logit."""

    forward: NotNegative
    backward: NotNegative


class Casts(Sourced):
    """Quantisation to 8 or 4 bit, per element of a matrix product's input activations."""

    forward: NotNegative
    backward: NotNegative
    weights: NotNegative = 0.0
    """Per weight and micro-batch, where weights are quantised again for each; forward and backward together."""
    blocks: Positive = 1.0
    """Factor for 8-bit formats with a scale for each block of elements (mxfp8)."""
    four_bit: Positive = 1.0
    """Factor for nvfp4 (two levels of scales, rotations, both layouts written) and, an assumption, mxfp4."""


class Adapters(Sourced):
    """Scaling an adapter's output and adding it to the frozen product's, bytes per element of that output."""

    forward: NotNegative
    backward: NotNegative
    """Its scaled gradient, and the sum of both branches' input gradients."""
    inputs: Traffic = NOTHING
    """Per element of the adapter's input: its cast to the adapter's format, and its gradient's back."""
    autocast: Traffic | None = None
    """Per element of the output under autocast, where it differs."""
    autocast_inputs: Traffic | None = None
    dtype: Literal["fp32"] | None = None
    """The format of their products where it is not the run's (peft keeps adapters in fp32; autocast narrows them)."""
    targets: tuple[str, ...] = ()
    """What they stand beside where a run does not say; all products where this is empty."""


class Accumulation(Sourced):
    """Adding a micro-batch's weight gradients to those of the step."""

    bytes: NotNegative
    """Per parameter and micro-batch."""
    amp: NotNegative | None = None
    """The same under autocast, where it differs."""
    first: bool = True
    """The first micro-batch's are added too, into a buffer that is there; where not, a rank alone keeps them as they come."""


class OptimiserTraffic(Sourced):
    """The update with gradient clipping, equivalent bytes per parameter on the rank, by training state."""

    amp: NotNegative
    mixed: NotNegative
    pure: NotNegative
    moved: Annotated[dict[str, NotNegative], keyed_by("optimiser", OPTIMISERS)] = Field(
        default_factory=dict, examples=[{"adafactor": 160.0}]
    )
    """Of optimisers whose code moves other than their states tell, whatever the training state."""
    seconds: Annotated[dict[str, NotNegative], keyed_by("optimiser", OPTIMISERS)] = Field(
        default_factory=dict, examples=[{"adamw-8bit": 3.1e-11}]
    )
    """s a parameter of those whose kernels no bytes bound, on any card."""


class Gathering(Sourced):
    """Copies around a gather of ZeRO-3's weights, equivalent bytes for each byte that is read or written: none is free, since they take
    bandwidth from what runs beside them."""

    shares: NotNegative
    """Of a rank's own share, as stored, into the buffer that is sent, in the format of products."""
    whole: NotNegative
    """Of what was gathered, out of the buffer into weights."""


class Launches(Section):
    """Host time, s, in each direction."""

    forward: NotNegative = 0.0
    backward: NotNegative = 0.0


NO_LAUNCHES: Final = Launches.model_construct()


class Kernels(Sourced):
    """A host's time by the kernels it launches, for stacks whose layers differ too much for one time per layer."""

    operators: Annotated[dict[str, Traffic], keyed_by("operator that a host launches", KERNELS)]
    """Kernels per operator of a layer: ``product`` (each of the unfused ones), ``expert``, ``unpacked`` (a 4-bit weight),
    ``attention``, ``unfused``, ``adapter`` and the names of ``architecture.operators.Pointwise``."""
    experts: Literal["grouped", "looped"] = "grouped"
    """Experts as three tensors of a layer (transformers 5), or each with modules of its own that are run one after another (4)."""
    looped_before: int | None = None
    """They are ``looped`` in runs of the years before."""
    autocast: Annotated[dict[str, Traffic], keyed_by("operator that a host launches", KERNELS)] = Field(
        default_factory=dict
    )
    """Further ones under autocast; ``bias`` of every biased product."""
    each: Launches
    """s per kernel."""
    layer: Launches
    """s per layer and micro-batch: its modules, whatever they launch."""
    linear: Positive | None = None
    """s that hosts like those that were measured take to launch a small nn.Linear, which tells their pace (``on_host``)."""
    follows: Annotated[Share, ChosenDefault(("hugging-face",), without=1.0)] = 0.5
    """Power of a host's pace that launching times go with (``on_host``)."""
    causal: NotNegative = 0.0
    """s per causal layer and forward pass: masks, cache and positions handed through."""
    recomputed: Launches = NO_LAUNCHES
    """s per layer that is computed again: what is put aside before, and the second graph."""
    gap: NotNegative = 0.0
    """s between two kernels that the GPU waits in any case."""
    update: NotNegative = 0.0
    """s per step: clipping and the optimiser."""
    reads_back: bool = False
    """The loss reads back how many labels count: what is behind the layers' forward pass is launched when that is over, not ahead of it."""
    waits: NotNegative = 0.0
    """s per step that nothing hides: a trainer that reads the loss and the gradients' norm back, and logs."""
    module: NotNegative = 0.0
    """s per module with weights and pass under ZeRO-3: hooks that fetch, release and look ahead."""
    call: Launches = NO_LAUNCHES
    """s per attention call beyond a layer's first: windows and pictures one by one."""

    def on_host(self, linear: float) -> "Kernels":
        """The same on a host that takes ``linear`` s for a small nn.Linear: all launching times (linear / usual)^``follows``, waits and
        gaps as they are; unchanged where no usual one is known.

        Half a power by default, since modules and autograd's bookkeeping vary less than the driver: own measurements on H200, 98 steps of
        Hugging Face models beside 15 to 46 us: the 37 that the host bounds are 12.0 % off in the mean without, 9.8 with it.
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
    """With the block that reaches its share of the FLOPs; else with the one that takes it past its share. Of one mind unless a share is
    whole."""


class Host(Sourced):
    """Time of the CPU that launches kernels; only what exceeds the GPU's own time is felt."""

    forward: NotNegative
    """s per layer and micro-batch."""
    backward: NotNegative
    kernels: Kernels | None = None
    """Where given, it stands for the two above."""
    autocast: Positive = 1.0
    """Factor under autocast."""
    shard: NotNegative = 0.0
    """s per layer and micro-batch, forward and backward, for the hooks of ZeRO-3."""
    tensor: NotNegative = 0.0
    """s per layer and micro-batch, forward and backward, for sums that are launched in pieces beside parts of split products."""
    gap: NotNegative = 0.0
    """s per layer and micro-batch that the GPU waits in any case: hooks, random states, synchronisation."""
    step: NotNegative = 0.0
    """s per optimiser step, however short: the next batch, the update's launches, norms and logging that wait for the GPU."""


class Exposed(Sourced):
    """Share of each kind of communication that no computation hides, however much there is to hide behind."""

    tensor: Share
    context: Share
    expert: Share
    data: Share
    """Reduction of gradients and gathering of weights, once a step (ZeRO 0 to 2)."""
    shard: Share
    """Gathers and reductions of every layer (ZeRO-3): what they cost the matrix products that hide them."""
    pipeline: Share
    one_chunk: Share | None = None
    """The same for stages of one chunk, where it differs: nothing else can run while a stage waits for its message."""


class Context(Sourced):
    """How ranks that share a sequence pass its keys and values on."""

    ring: Literal["flat", "double"]
    """One ring through all ranks, or rings inside nodes beside rings between them."""
    merge: Traffic
    """Adding a block's partial output to the others', bytes per element of the output."""
    gradient: Positive = 2.0
    """Bytes per element of the gradients of keys and values that travel."""
    fetched: Share = 1.0
    """Share of the other ranks' blocks that a rank is sent where the mask is causal: half where nothing is that it masks whole."""
    backward: Literal["keys", "queries"] = "keys"
    """What travels in the backward pass: keys and values, or whatever is less, they or queries with their gradients."""
    balanced: bool = True
    """A causal sequence is dealt out so that every rank masks as much; where not, ranks hold consecutive parts and wait for the last."""
    helped: bool = False
    """Ranks that mask a block compute one of another rank's instead, whole (DistFlashAttn, arXiv:2310.03294, section 3.2)."""
    hop: Launches = NO_LAUNCHES
    """What the host needs for a block of a ring: its sends, its attention, its merging."""
    exchange: Launches = NO_LAUNCHES
    """What it needs to exchange the heads of a layer, there and back."""
    repeats_keys: bool = False
    """Grouped keys are copied for every query head before a ring sends them; with exchanged heads they are not."""


class Dispatch(Sourced):
    """How tokens reach the experts of a mixture, and come back."""

    sends: Literal["copies", "ranks"]
    """Every copy of a token is a message, or one for each rank (across nodes: each node) that holds some of its experts."""
    folded: bool = True
    """Experts are not split over tensor ranks where a run does not say (Megatron's parallel folding)."""
    load: Positive = 1.0
    """Tokens that the busiest rank computes, of the mean: 1 where routing is forced to balance, the capacity where slots are padded."""
    packing: Traffic = NOTHING
    """Further bytes per element of the copies where they go to other ranks (sorted by rank, and again by expert)."""
    slots: Traffic = NOTHING
    """The same where every expert has a fixed number of slots, filled by one-hot masks (GShard's capacity, DeepSpeed-MoE)."""
    host: Mapping[str, NotNegative]
    """s per such layer and micro-batch, forward and backward, on top of ``Host``: accelerator (or ``default``) -> time."""

    def host_time(self, accelerator: str) -> float:
        """What the host of an accelerator needs."""
        return self.host.get(accelerator, self.host["default"])


class Network(Sourced):
    """What the stack makes of the network."""

    sends: Literal["sharded", "whole"]
    """Pipeline messages split over tensor ranks, or sent whole by each of them."""
    gradient: Positive
    """Bytes per parameter in a gradient reduction."""
    scattered: Positive | None = None
    """The same where ZeRO-3 scatters every layer's, where it differs."""
    weight: Positive = 2.0
    """Bytes per parameter in a weight gather."""
    shard_broadcast: NotNegative = 0.0
    """s per GB of weights and shard, where every shard broadcasts its part on its own."""
    shard_wait: NotNegative = 0.0
    """s per such broadcast, however little it carries."""
    stragglers: NotNegative = 0.0
    """Slow-down per doubling of GPUs beyond one node."""
    send_wait: NotNegative = 0.0
    """s per message between stages on different nodes, on top of its bytes."""
    data_share: Positive = 1.0
    """Share of the network's rate that data-parallel collectives reach between nodes."""
    zero3_share: Positive = 1.0
    """The same for the gathers of ZeRO-3."""


class Defaults(Sourced):
    """What the stack does where a run does not say."""

    recompute: Literal["none", "selective", "full"]
    documented: Literal["none", "selective", "full"] | None = None
    """What its configuration documents, where measured runs settled another ``recompute``: what is known without them."""
    adapters: Literal["none", "selective", "full"] = "none"
    """What is computed again where adapters train beside frozen weights."""
    quantised: Literal["none", "selective", "full"] | None = None
    """The same beside weights of 4 bit; as beside others where this is not said."""
    short: Literal["none", "selective", "full"] | None = None
    """What is computed again where ``recompute`` does not fit; nobody knows where this is not said."""
    sharding: Literal["none", "zero1", "zero2", "zero3"]
    state: Literal["amp", "mixed", "pure"]
    interleaved: bool = False
    """Pipelines run interleaved chunks."""
    dropout: Literal["none", "ulysses", "all"] = "none"
    """Which steps of a table that does not say are taken to drop out scores and hidden states: none, those whose ranks exchange heads
    (``ulysses``), or all; a run's own model says so itself."""

    def recomputed(self, *, adapters: bool, narrow: bool) -> str:
        """What is computed again: beside trained weights, beside adapters, beside adapters on weights of 4 bit."""
        if not adapters:
            return self.recompute
        return self.quantised if narrow and self.quantised is not None else self.adapters


class Met(Section):
    """Measured runs that a profile was tried on."""

    source: str
    """As ``published`` calls it."""
    steps: Annotated[int, Field(ge=1)]
    years: tuple[int, ...]
    releases: tuple[str, ...] = ()
    system: str = ""
    """Machine or code, where the source is about one."""
