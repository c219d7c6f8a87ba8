"""Software profiles: how a training stack runs operators, communicates and steps. A profile has facts about a stack, never about a run.

There is one YAML file per stack in ``software/profiles``; ``like: NAME`` inherits everything that a file does not set itself. Every group
of figures names its source. Bytes are *equivalent* bytes: those that a kernel running at copy speed would move in the measured time.
"""

import functools
import os
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from gpuhours.architecture.operators import Pointwise as Operator
from gpuhours.hardware.accelerators import Generation
from gpuhours.hardware.libraries import Time
from gpuhours.hardware.number_formats import Precision
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.errors import EstimateError, nearest
from gpuhours.inputs.yaml_files import ReadOnce, Section, keyed_by, read_yaml, validated
from gpuhours.software.figures import (
    NOTHING,
    SCORES,
    Accumulation,
    Adapters,
    Casts,
    ChosenDefault,
    Context,
    Defaults,
    Dispatch,
    Exposed,
    Gathering,
    Head,
    Host,
    LearnedMask,
    Masking,
    MeasuredSteps,
    Network,
    NotNegative,
    OptimiserTraffic,
    PointwiseTraffic,
    Positive,
    Selective,
    Share,
    StageEnds,
    Traffic,
)
from gpuhours.software.memory import MemoryFacts

Degree = Literal["tensor", "pipeline", "context", "expert"]
DEGREES: tuple[Degree, ...] = get_args(Degree)
"""The ways to split a model, besides data parallelism."""


def _operators(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(Operator(name).value for name in names)


class Software(Section):
    """One stack: everything needed to predict its step time."""

    name: str = ""
    title: str
    note: str = ""
    family: str
    """The code base that the stack builds on."""
    stand_in: tuple[str, ...] = ()
    """Profiles, nearest first, from which a group is taken if all sources that determined it are left out and no parent has it."""
    aliases: tuple[str, ...] = ()
    """Other names for it, including words from a framework's own description."""
    measured_on: tuple[MeasuredSteps, ...] = ()
    """The measured runs that the profile was compared with."""
    named: tuple[Literal["attention", "libraries"], ...] = ()
    """Groups that follow from the stack's name or code, so that no measured run was needed to determine them."""
    single_system: bool = False
    """Whether the profile describes a single system, measured in at most one source, so that only that system's name matches it."""
    unmeasured_factor: Positive | None = Field(None, examples=[1.09])
    """Factor on the step time where the profile stands in for an unmeasured stack (``run.conformal.unmeasured_stack``); else None."""
    attention: Annotated[dict[str, str], keyed_by("generation of accelerators", ("default", *get_args(Generation)))]
    """Generation (or ``default``) -> attention kernel."""
    uncausal_attention: str | None = None
    """The kernel for attention without a causal mask; None: the same as with one."""
    biased_attention: str | None = None
    """The kernel for attention with a learned bias on its scores; None: the same as without."""
    biased_gemms: Literal["fp32"] | None = None
    """The format of attention's GEMMs with a learned bias, if not the run's (PyTorch's path for a learned bias uses fp32)."""
    model_code: bool = False
    """Whether models run as transformers' files write them, so that attention without a call of a kernel there is unfused."""
    grouped_attention: str | None = None
    """The kernel for grouped-query attention in fp32, and for multi-query attention with its single key head broadcast to all heads; their
    GEMMs use ``biased_gemms``. Of PyTorch's kernels only FlashAttention and cuDNN support groups, in 16 bit. None: the same kernel
    as without groups."""
    casts_layers: bool = False
    """Whether weights are gathered in the GEMMs' format and inputs are cast once for all layers (FSDP's mixed precision), so that
    layers run without autocast."""
    works_wide: Annotated[tuple[str, ...], AfterValidator(_operators)] = ()
    """Operators that always compute in fp32, so that an fp32 residual stream does not increase their traffic; the loss is then treated the
    same way."""
    convolution: Traffic | None = None
    """Shares of peak FLOP/s that patch-embedding convolutions (forward) and their weight gradients (backward) reach; None: patches are
    embedded by a GEMM."""
    grouped_convolution: tuple[NotNegative, NotNegative] | None = None
    """Shares of peak FLOP/s of convolutions in groups of fewer than 64 channels, and of wider groups; None: as GEMMs."""
    frozen_carry_gradients: bool = False
    """Whether under full recomputation gradients are passed through frozen parts too (``enable_input_require_grads``)."""
    unpacking: NotNegative = 2.6
    """Bytes per 4-bit weight (nf4) to dequantise it to 16 bit before each GEMM (QLoRA, arXiv:2305.14314, equation 5)."""
    clock_gain: Share = 0.0
    """Share of a 16-bit GEMM's time that is saved if all other work is light, compared with back-to-back GEMMs, which run at the
    power limit (``step.compute.clock_factor``). 0 for stacks whose other constants already include this effect."""
    wide_experts: bool = False
    """Whether experts' grouped GEMMs run in the format of their weights: in fp32 under autocast, which does not cover grouped
    GEMMs."""
    masked: bool = False
    """Whether causal attention is called with an explicit mask as well."""
    window_mask: Positive | None = None
    """For sliding windows implemented as a mask over all pairs, of which kernels skip none: time of attention relative to attention over
    all pairs without a mask."""
    padding_mask: Masking | None = None
    """The cost of a padding mask; None if the kernels are given sequence lengths instead."""
    learned_mask: LearnedMask | None = None
    """Attention whose mask is a bias from a table with gradients (BEiT, Swin); None: as with a padding mask."""
    rotary_cut: Annotated[NotNegative, ChosenDefault(("hugging-face",), without=0.0)] = 0.2
    """Traffic of splitting heads and concatenating them again if only part of each head is rotated, relative to the traffic of rotating
    whole heads with separate kernels: 5 of 44 B forward and about 20 of 75 B backward (zeros, two copies, a sum)."""
    pageable: NotNegative = 0.0
    """B/s at which fp32 tables in the host's pageable memory are copied to the accelerator in every step; 0 if they are stored on the
    accelerator."""
    flash: str
    """The kernel meant by "flash attention" without a version."""
    flash_before: dict[int, str] = Field(default_factory=dict)
    """Year -> ``flash`` for runs before that year, when only an earlier version existed."""
    vocabulary_multiple: Annotated[int, Field(ge=1)]
    """The vocabulary is padded to a multiple of this times the tensor degree."""
    libraries: Time = "today"
    """The year of the stack's kernel libraries (``hardware_specs/libraries.yaml``)."""
    selective: Selective
    schedules: tuple[str, ...] = ("1f1b", "interleaved", "gpipe")
    """Pipeline schedules that it supports; a plan offers no others."""
    degrees: tuple[Degree, ...] = DEGREES
    """Kinds of parallelism that the stack supports; a layout search tries no others."""
    zero3: bool = True
    """Whether the stack can shard weights over data-parallel ranks (ZeRO-3, FSDP); a layout search does not try it otherwise."""
    sequence_parallel: bool
    """Whether norms and residuals are split over tensor ranks by default."""
    sequence_copies: NotNegative = 0.0
    """Sequence parallelism: bytes copied before and after one all-gather and one reduce-scatter, per 2-byte element. 8 if collectives work
    on the outermost dimension but the sequence is the second (PyTorch's functional collectives)."""
    early_stop: bool
    """Whether full recomputation stops after the last activation needed: the block's last GEMM is not repeated (unless an adapter
    or the weights of experts need its output)."""
    pads_gemms: bool = False
    """Whether a compiler copies operands whose rows are not aligned to 16 bytes into aligned ones (torch.compile)."""
    balances: Literal["layers", "flops"] = "layers"
    """What pipeline stages balance by default: the number of layers, or FLOPs including the head's."""
    stages: StageEnds = StageEnds(source="nanotron's code")
    """Where pipeline stages end, if ``balances`` is ``flops``."""
    pointwise: PointwiseTraffic
    autocast: PointwiseTraffic | None = None
    """Additional traffic under autocast."""
    head: Head
    casts: Casts
    adapters: Adapters = Adapters.model_construct(
        source="own measurements on H200, eager adapters of llama models", forward=10.0, backward=6.0
    )
    accumulation: Accumulation
    optimiser: OptimiserTraffic
    host: Host
    exposed: Exposed
    gathering: Gathering | None = None
    """Copies around ZeRO-3's gathers, if measured separately from their other exposed time."""
    dispatch: Dispatch
    context: Context
    network: Network
    defaults: Defaults
    memory: MemoryFacts = MemoryFacts.model_construct()
    pace: Positive = 1.0
    """Measured step time relative to the prediction from all other figures, fitted to a site's own steps (``run.site``)."""

    @model_validator(mode="after")
    def _complete(self) -> "Software":
        """Check that every operator of an architecture has a figure, here or in the parent profile."""
        own = self.pointwise.operators
        needed = (kind for kind in Operator if kind is not Operator.CHANNELS_FIRST)
        missing = [kind.value for kind in needed if not {kind.value, kind.like} & own.keys()]
        if missing:
            raise ValueError(
                f"pointwise.operators lacks {', '.join(missing)}: give each its bytes, or name a profile to be `like`"
            )
        return self

    def as_run(self, precision: Precision) -> Precision:
        """Number formats as the stack uses them: weights cast at use (autocast) or beforehand, and an fp32 residual stream between
        quantised GEMMs if unquantised values are kept in fp32, since these GEMMs return their input's format."""
        wide = self.memory.wide_ends and precision.format.unpacked
        return replace(precision, casts_at_use=not self.casts_layers, wide_stream=wide)

    def attention_kernel(self, generation: str) -> str:
        """The attention kernel for an accelerator's generation, or for the generation whose kernels it uses (``RUNS_KERNELS_OF``)."""
        asked = generation if generation in self.attention else RUNS_KERNELS_OF.get(generation, generation)
        return self.attention.get(asked, self.attention["default"])

    def flash_kernel(self, year: float | None) -> str:
        """What "flash attention" without a version means in a given year; today's if the year is not known."""
        earlier = (kernel for until, kernel in sorted(self.flash_before.items()) if year is not None and year < until)
        return next(earlier, self.flash)

    def of_year(self, year: float | None) -> "Software":
        """The stack as it was in a given year: experts are looped over before its libraries grouped them, the loss is compiled only since
        it has been (``memory.compiled_loss``), and weights are gathered as they were until then (``gathering.until``); today's if the year
        is None."""
        kernels, memory, gathering = self.host.kernels, self.memory.of_year(year), self.gathering
        if gathering is not None and gathering.until is not None:
            applies = year is not None and year <= gathering.until
            gathering = gathering.model_copy(update={"until": None}) if applies else None
        same = memory is self.memory and gathering is self.gathering
        stack = self if same else self.model_copy(update={"memory": memory, "gathering": gathering})
        if kernels is None or kernels.looped_before is None or year is None or year >= kernels.looped_before:
            return stack
        looped = self.host.model_copy(update={"kernels": kernels.model_copy(update={"experts": "looped"})})
        return stack.model_copy(update={"host": looped})

    def row_time(self, kind: str) -> Traffic:
        """Time in s per token that one memory-bound operator takes in addition to its traffic, forward and backward."""
        return self.pointwise.rows.get(kind, NOTHING)

    def on_host(self, launch: Array | None) -> "Software":
        """The stack on a host that takes ``launch`` s to launch a small nn.Linear; unchanged if its times do not depend on that (see
        ``idle_keys``)."""
        kernels = self.host.kernels
        if launch is None or kernels is None or kernels.linear is None:
            return self
        return self.model_copy(update={"host": self.host.model_copy(update={"kernels": kernels.on_host(launch)})})

    @property
    def launch(self) -> float | None:
        """What its host takes to launch a small nn.Linear, s; None if its times do not depend on that."""
        return None if self.host.kernels is None else self.host.kernels.linear

    @property
    def states_launch_time(self) -> bool:
        """Whether its launch times are those of one host, or do not depend on hosts."""
        return self.host.kernels is None or self.host.kernels.hosts is None

    def standing_in(self, factor: float) -> "Software":
        """The profile where it stands in for an unmeasured stack, whose steps take ``factor`` times as long."""
        return self.model_copy(update={"unmeasured_factor": factor})

    @property
    def is_stand_in(self) -> bool:
        """Whether the profile only stands in for an unmeasured stack."""
        return self.unmeasured_factor not in (None, 1.0)

    def traffic(self, kind: str, *, autocast: bool) -> tuple[float, float]:
        """Equivalent bytes per element of one memory-bound operator, forward and backward.

        Under autocast positions are rotated in fp32 whatever the code, since cosines and sines take the stream's format. The figures for
        autocast hold that, so fp32 by choice adds nothing."""
        kind = Operator.ROTARY.value if autocast and kind == Operator.WIDE_ROTARY.value else kind
        usual = kind if kind in SCORES else Operator(kind).like
        own = self.pointwise.operators
        free = kind in SCORES or Operator(kind) in OF_CODE  # no traffic if the profile has no figure for these
        found = [own.get(kind, NOTHING) if free else own[kind if kind in own else usual]]
        if autocast and self.autocast is not None:
            found.append(self.autocast.operators.get(kind, self.autocast.operators.get(usual, NOTHING)))
        return sum(one.forward for one in found), sum(one.backward for one in found)


OF_CODE: Final = frozenset({Operator.CHANNELS_FIRST, Operator.SCALED, Operator.ALIGNED, Operator.SLICED})
"""Operators that one library's code adds; other stacks have none of them."""
RUNS_KERNELS_OF: Final = {"pascal": "volta", "turing": "volta", "blackwell-rtx": "ada", "cdna4": "cdna3"}
"""Generations that use another's attention kernels: FlashAttention-2 requires Ampere, B200's kernel requires B200's tensor memory."""

DEFAULT: Final = "megatron-core"
"""The profile used if a run names no software."""
OWN: Final = ("title", "note", "aliases", "measured_on", "named", "single_system")
"""Keys that a profile does not inherit from its parent."""


@functools.cache
def _folder() -> Path:
    return Path(str(files("gpuhours.software"))) / "profiles"


@functools.cache
def list_software() -> tuple[str, ...]:
    """The names that ``load_software`` accepts."""
    return tuple(sorted(path.stem for path in _folder().glob("*.yaml")))


def load_software(name: str) -> Software:
    """``load_software("megatron-core")``, by name or alias, or a path to a user's YAML file."""
    return _read(Path(name).expanduser()) if name.endswith((".yaml", ".yml")) else _shipped_profile(name)


@functools.cache
def _shipped_profile(name: str) -> Software:
    own = known_as(name)
    if own is not None:
        return _read(_folder() / f"{own}.yaml")
    hint = nearest(name, known_names()) or f"Known: {', '.join(list_software())}."
    raise EstimateError("No such software profile.", hint, f"software = {name!r}")


def known_as(name: str) -> str | None:
    """The profile for a name or an alias; None if it is neither."""
    plain = name.strip().lower().replace("_", "-").replace(" ", "-")
    return plain if plain in list_software() else _aliases().get(plain)


def known_names() -> tuple[str, ...]:
    """The names and aliases of all profiles, with which a misspelt one is compared."""
    return (*list_software(), *_aliases())


@functools.cache
def _aliases() -> dict[str, str]:
    """Alias -> profile."""
    own = ((name, _source(_folder() / f"{name}.yaml").data) for name in list_software())
    return {alias: name for name, data in own for alias in data.get("aliases", ())}


_source = ReadOnce(read_yaml)
"""A profile's file as written, cached since other profiles inherit from it (``like``)."""


@ReadOnce
def _read(path: Path) -> Software:
    source = _source(path)
    merged = _merged(source.data if isinstance(source.data, dict) else {}, path)
    texts = (
        [_source(_folder() / f"{name}.yaml").included for name in _taken_from(source.data)] if source.included else []
    )
    included = b"".join([source.included, *texts])
    return validated(Software, replace(source, data={"name": path.stem, **merged}, included=included))


@functools.cache
def parent_of(name: str) -> str | None:
    """The parent of a profile (its ``like``), which would stand in for the stack if the stack were unmeasured."""
    parent = _source(_folder() / f"{name}.yaml").data.get("like")
    return None if parent is None else str(parent)


def ancestors(name: str) -> tuple[str, ...]:
    """The ancestors of a profile, nearest first."""
    parent = parent_of(name)
    return () if parent is None else (parent, *ancestors(parent))


def _taken_from(data: Any) -> tuple[str, ...]:
    """Every included profile that one takes something from: its parent, those that its groups are ``like``, and theirs."""
    named = [one["like"] for one in (data, *data.values()) if isinstance(one, dict) and one.get("like")]
    return (*named, *(one for name in named for one in _taken_from(_source(_folder() / f"{name}.yaml").data)))


def _merged(data: dict[Any, Any], path: Path, below: tuple[Path, ...] = ()) -> dict[Any, Any]:
    """``data`` merged over the profile named by its ``like``: groups (with a ``source``) figure by figure, everything else whole. A group
    may be ``like`` that of another profile.

    ``below`` are the profiles derived from this one.
    """
    here = (path, *below)
    own = {key: _of_another(key, value, here) for key, value in data.items() if key != "like"}
    if data.get("like") is None:
        return own
    inherited = _merged_parent(data["like"], here, "like")
    kept = {key: value for key, value in inherited.items() if key not in OWN}
    return {**kept, **{key: _laid_over(kept.get(key), value) for key, value in own.items()}}


def _merged_parent(name: Any, here: tuple[Path, ...], key: str) -> dict[Any, Any]:
    """The profile that ``key`` names, beside this file or included; ``here`` are this file and those derived from it."""
    beside, ours = here[0].parent / f"{name}.yaml", _folder() / f"{name}.yaml"
    parent = beside if os.path.isfile(beside) else ours
    if parent in here or not os.path.isfile(parent):
        hint = nearest(str(name), list_software())
        raise EstimateError(f"{name!r} is not a profile, neither here nor included.", hint, f"{here[0]}  {key}")
    above = _source(parent).data
    return _merged(above if isinstance(above, dict) else {}, parent, here)


def _of_another(key: str, value: Any, here: tuple[Path, ...]) -> Any:
    """A group as written; if it is ``like`` a profile's, that profile's group with the figures written here in their places."""
    if not isinstance(value, dict) or "like" not in value:
        return value
    group = _merged_parent(value["like"], here, f"{key}.like").get(key)
    if not isinstance(group, dict):
        raise EstimateError(
            f"{value['like']!r} has no such group.", "Write its figures here.", f"{here[0]}  {key}.like"
        )
    return {**group, **{name: figure for name, figure in value.items() if name != "like"}}


def _laid_over(inherited: Any, own: Any) -> Any:
    """A child's group keeps its parent's figures unless it sets them."""
    both = isinstance(own, dict) and isinstance(inherited, dict) and "source" in own
    return {**inherited, **{key: _laid_over(inherited.get(key), value) for key, value in own.items()}} if both else own
