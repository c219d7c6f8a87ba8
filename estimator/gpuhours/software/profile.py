"""Software profiles: what a training stack does with an operator, a message and a step. Facts of a stack, never of a run.

One YAML file per stack in ``software/profiles``; ``like: NAME`` takes over everything that a file does not say itself. Every group of
figures names its source. Bytes are *equivalent* bytes: what a kernel at copy speed would move in the measured time.
"""

import functools
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from gpuhours.architecture.operators import Pointwise as Operator
from gpuhours.hardware.libraries import Time
from gpuhours.inputs.errors import EstimateError, nearest
from gpuhours.inputs.yaml_files import Section, Source, Sourced, read_yaml, validated
from gpuhours.software.memory import STANDS_FOR, MemoryFacts

Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Selective = Literal[
    "attention", "all-but-attention", "all-but-half-attention", "attention-block", "mlp", "half-of-products"
]
"""What ``recompute: selective`` computes again; see ``layout.recompute``."""


class Traffic(Section):
    """Equivalent bytes per element, in each direction."""

    forward: NotNegative
    backward: NotNegative


SCORES: Final = ("scores", "biased-scores")
"""What unfused attention moves for every score, plain or with a bias added to it, among the operators of a profile."""
NOTHING: Final = Traffic(forward=0.0, backward=0.0)


class PointwiseTraffic(Sourced):
    """What each memory-bound operator moves: ``operators`` by the names of ``architecture.operators.Pointwise``, and ``scores``:
    what unfused attention moves for every score beyond what its 16-bit kernels do."""

    operators: dict[str, Traffic]
    issued: Share = 0.0
    """Share of their time on H100 that more memory bandwidth does not shorten: multiprocessors issue no faster."""
    weights: Traffic = Traffic(forward=0.0, backward=0.0)
    """Per trained parameter of a layer and micro-batch: autocast's casts of weights, and of their gradients back."""

    @field_validator("operators")
    @classmethod
    def _known(cls, operators: dict[str, Traffic]) -> dict[str, Traffic]:
        """Every name is an operator's: a slip would be free."""
        known = [*(kind.value for kind in Operator), *SCORES]
        for name in operators:
            if name not in known:
                hint = nearest(name, known) or f"Known: {', '.join(known)}."
                raise ValueError(f"{name!r} is no memory-bound operator. {hint}")
        return operators


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
    four_bit: Positive = 1.0
    """Factor for nvfp4: two levels of scales, rotations, both layouts written."""


class Adapters(Sourced):
    """Scaling an adapter's output and adding it to the frozen product's, bytes per element of that output."""

    forward: NotNegative
    backward: NotNegative
    """Its scaled gradient, and the sum of both branches' input gradients."""
    inputs: Traffic = Traffic(forward=0.0, backward=0.0)
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


class Launches(Section):
    """Host time, s, in each direction."""

    forward: NotNegative = 0.0
    backward: NotNegative = 0.0


class Kernels(Sourced):
    """A host's time by the kernels it launches, for stacks whose layers differ too much for one time per layer."""

    operators: dict[str, Traffic]
    """Kernels per operator of a layer: ``product`` (each of the unfused ones), ``attention``, ``unfused``, ``adapter`` and the names of
    ``architecture.operators.Pointwise``."""
    experts: Literal["grouped", "looped"] = "grouped"
    """Experts as three tensors of a layer (transformers 5), or each with modules of its own that are run one after another (4)."""
    autocast: dict[str, Traffic] = Field(default_factory=dict)
    """Further ones under autocast; ``bias`` of every biased product."""
    each: Launches
    """s per kernel."""
    layer: Launches
    """s per layer and micro-batch: its modules, whatever they launch."""
    causal: NotNegative = 0.0
    """s per causal layer and forward pass: masks, cache and positions handed through."""
    recomputed: Launches = Launches()
    """s per layer that is computed again: what is put aside before, and the second graph."""
    gap: NotNegative = 0.0
    """s between two kernels that the GPU waits in any case."""
    update: NotNegative = 0.0
    """s per step: clipping and the optimiser."""
    waits: NotNegative = 0.0
    """s per step that nothing hides: a trainer that reads the loss and the gradients' norm back, and logs."""
    module: NotNegative = 0.0
    """s per module with weights and pass under ZeRO-3: hooks that fetch, release and look ahead."""
    call: Launches = Launches()
    """s per attention call beyond a layer's first: windows and pictures one by one."""


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
    backward: Literal["keys", "queries"] = "keys"
    """What travels in the backward pass: keys and values, or whatever is less, they or queries with their gradients."""
    balanced: bool = True
    """A causal sequence is dealt out so that every rank masks as much; where not, ranks hold consecutive parts and wait for the last."""
    hop: Launches = Launches()
    """What the host needs for a block of a ring: its sends, its attention, its merging."""
    exchange: Launches = Launches()
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
    packing: Traffic = Traffic(forward=0.0, backward=0.0)
    """Further bytes per element of the copies where they go to other ranks (sorted by rank, and again by expert)."""
    slots: Traffic = Traffic(forward=0.0, backward=0.0)
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
    short: Literal["none", "selective", "full"] | None = None
    """What is computed again where ``recompute`` does not fit; nobody knows where this is not said."""
    sharding: Literal["none", "zero1", "zero2", "zero3"]
    state: Literal["amp", "mixed", "pure"]
    interleaved: bool = False
    """Pipelines run interleaved chunks."""


class Met(Section):
    """Measured runs that a profile was tried on."""

    source: str
    """As ``published`` calls it."""
    steps: Annotated[int, Field(ge=1)]
    years: tuple[int, ...]
    releases: tuple[str, ...] = ()
    system: str = ""
    """Machine or code, where the source is about one."""


class Software(Section):
    """One stack: everything that a step's time needs to know about it."""

    name: str = ""
    title: str
    note: str = ""
    family: str
    """Stacks that handle memory alike; what fits is learned by it (``memory.odds``)."""
    stand_in: tuple[str, ...] = ()
    """Profiles that speak for a group where all that settled it is left out and no parent has it, nearest first."""
    aliases: tuple[str, ...] = ()
    """Other names for it; words of a framework's own description included."""
    met: tuple[Met, ...] = ()
    """Where it was tried."""
    narrow: bool = False
    """It is one system's, met in one source at most: only that system's own name reaches it."""
    attention: dict[str, str]
    """Generation (or ``default``) -> attention kernel."""
    biased_attention: str | None = None
    """The kernel where scores get a learned bias; None: the same."""
    convolution: Traffic | None = None
    """Shares of peak at which convolutions embed patches, and sum their weights' gradients; None: as products do."""
    frozen_carry_gradients: bool = False
    """Under full recompute gradients are carried through frozen parts too (``enable_input_require_grads``)."""
    unpacking: NotNegative = 2.6
    """Bytes per 4-bit weight (nf4) that is read and written out in 16 bit before each product (QLoRA, arXiv:2305.14314, equation 5)."""
    masked: bool = False
    """Causal attention is called with a mask too."""
    window_mask: Positive | None = None
    """Sliding windows are masks over all pairs, which no kernel skips: time of attention with a mask over that of all pairs without."""
    pageable: NotNegative = 0.0
    """B/s at which tables that are kept on the host, in fp32, are copied over for every step; 0: they lie on the accelerator."""
    flash: str
    """The kernel meant by "flash attention" without a version."""
    flash_before: dict[int, str] = Field(default_factory=dict)
    """The same in runs of the years before, where an earlier one was all there was."""
    vocabulary_multiple: Annotated[int, Field(ge=1)]
    """The vocabulary is padded to a multiple of this times the tensor degree."""
    libraries: Time = "today"
    """When its kernel libraries are from (``hardware_specs/libraries.yaml``)."""
    selective: Selective
    schedules: tuple[str, ...] = ("1f1b", "interleaved", "gpipe")
    """Pipeline schedules that it has; a plan offers no other."""
    sequence_parallel: bool
    """Norms and residuals are split over tensor ranks where a run does not say."""
    early_stop: bool
    """Full recompute stops after the last activation that is needed: the block's last product is not repeated (unless an adapter
    or the weights of experts need its output)."""
    pads_products: bool = False
    """A compiler copies operands whose rows do not start at multiples of 16 bytes into aligned ones (torch.compile)."""
    balances: Literal["layers", "flops"] = "layers"
    """What a pipeline's stages have in equal parts where a layout does not say: layers, or FLOPs with the head's among them."""
    pointwise: PointwiseTraffic
    autocast: PointwiseTraffic | None = None
    """What autocast adds."""
    head: Head
    casts: Casts
    adapters: Adapters = Adapters(
        source="own measurements on H200, eager adapters of llama models", forward=10.0, backward=6.0
    )
    accumulation: Accumulation
    optimiser: OptimiserTraffic
    host: Host
    exposed: Exposed
    dispatch: Dispatch
    context: Context
    network: Network
    defaults: Defaults
    memory: MemoryFacts = MemoryFacts()

    @model_validator(mode="after")
    def _complete(self) -> "Software":
        """Every operator that an architecture can ask for has a figure, here or in what the profile is like."""
        own = self.pointwise.operators
        missing = [kind.value for kind in Operator if not {kind.value, STANDS_FOR.get(kind.value)} & own.keys()]
        if missing:
            raise ValueError(
                f"pointwise.operators lacks {', '.join(missing)}: give each its bytes, or name a profile to be `like`"
            )
        return self

    def attention_kernel(self, generation: str) -> str:
        """The attention kernel that runs on an accelerator's generation, or on the one whose kernels it runs."""
        asked = generation if generation in self.attention else RUNS_KERNELS_OF.get(generation, generation)
        return self.attention.get(asked, self.attention["default"])

    def flash_kernel(self, year: float | None) -> str:
        """What "flash attention" without a version means in a year; today's where none is known."""
        earlier = (kernel for until, kernel in sorted(self.flash_before.items()) if year is not None and year < until)
        return next(earlier, self.flash)

    def traffic(self, kind: str, *, autocast: bool) -> tuple[float, float]:
        """Equivalent bytes per element of one memory-bound operator, forward and backward."""
        usual = STANDS_FOR.get(kind, kind)
        own = self.pointwise.operators
        found = [own.get(kind, NOTHING) if kind in SCORES else own[kind if kind in own else usual]]
        if autocast and self.autocast is not None:
            found.append(self.autocast.operators.get(kind, self.autocast.operators.get(usual, NOTHING)))
        return sum(one.forward for one in found), sum(one.backward for one in found)


RUNS_KERNELS_OF: Final = {"pascal": "volta", "turing": "volta", "blackwell-rtx": "ada", "cdna4": "cdna3"}
"""Generations that run another's attention kernels: FlashAttention-2 needs Ampere, B200's needs its tensor memory."""

DEFAULT: Final = "megatron-core"
"""The profile where a run names none."""
OWN: Final = ("title", "note", "aliases", "met", "narrow")
"""Keys that no profile takes over from the one that it is like."""


def _folder() -> Path:
    return Path(str(files("gpuhours.software"))) / "profiles"


@functools.cache
def list_software() -> tuple[str, ...]:
    """The names ``load_software`` knows."""
    return tuple(sorted(path.stem for path in _folder().glob("*.yaml")))


@functools.cache
def load_software(name: str) -> Software:
    """``load_software("megatron-core")``, by name or alias, or a path to a YAML file of your own."""
    if name.endswith((".yaml", ".yml")):
        return _read(Path(name).expanduser())
    own = known_as(name)
    if own is not None:
        return _read(_folder() / f"{own}.yaml")
    known_names = list_software()
    hint = nearest(_plain(name), known_names) or f"Known: {', '.join(known_names)}."
    raise EstimateError("No such software profile.", hint, f"software = {name!r}")


def known_as(name: str) -> str | None:
    """The profile of ours that a name or an alias is; None where it is neither."""
    plain = _plain(name)
    return plain if plain in list_software() else _aliases().get(plain)


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "-").replace(" ", "-")


@functools.cache
def _aliases() -> dict[str, str]:
    """Alias -> profile."""
    own = ((name, read_yaml(_folder() / f"{name}.yaml").data) for name in list_software())
    return {alias: name for name, data in own for alias in data.get("aliases", ())}


@functools.cache
def _read(path: Path) -> Software:
    source = read_yaml(path)
    merged = _merged(source.data if isinstance(source.data, dict) else {}, path)
    return validated(Software, Source(source.name, {"name": path.stem, **merged}, source.places))


@functools.cache
def parent_of(name: str) -> str | None:
    """The profile that ours of this name is written as ``like``: what would stand in for a stack that nobody described."""
    parent = read_yaml(_folder() / f"{name}.yaml").data.get("like")
    return None if parent is None else str(parent)


def ancestors(name: str) -> tuple[str, ...]:
    """The profiles that one of ours is ``like``, nearest first."""
    parent = parent_of(name)
    return () if parent is None else (parent, *ancestors(parent))


def _merged(data: dict[Any, Any], path: Path) -> dict[Any, Any]:
    """``data`` over what the profile named by its ``like`` says: a group (what has a ``source``) figure by figure, all else whole."""
    base = data.get("like")
    own = {key: value for key, value in data.items() if key != "like"}
    if base is None:
        return own
    beside, ours = path.parent / f"{base}.yaml", _folder() / f"{base}.yaml"
    parent = beside if beside.is_file() else ours
    if parent == path or not parent.is_file():
        raise EstimateError(
            f"{base!r} is no profile, here or of ours.", nearest(str(base), list_software()), f"{path}  like"
        )
    inherited = _merged(read_yaml(parent).data, parent)
    kept = {key: value for key, value in inherited.items() if key not in OWN}
    return {**kept, **{key: _laid_over(kept.get(key), value) for key, value in own.items()}}


def _laid_over(inherited: Any, own: Any) -> Any:
    """A group that a child writes keeps the figures of its parent's that it does not write itself."""
    both = isinstance(own, dict) and isinstance(inherited, dict) and "source" in own
    return {**inherited, **{key: _laid_over(inherited.get(key), value) for key, value in own.items()}} if both else own
