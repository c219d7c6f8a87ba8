"""Software profiles: what a training stack does with an operator, a message and a step. Facts of a stack, never of a run.

One YAML file per stack in ``software/profiles``; ``like: NAME`` takes over everything that a file does not say itself. Every group of
figures names its source. Bytes are *equivalent* bytes: what a kernel at copy speed would move in the measured time.
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
from gpuhours.inputs.errors import EstimateError, nearest
from gpuhours.inputs.yaml_files import ReadOnce, Section, Source, keyed_by, read_yaml, validated
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
    Masking,
    Met,
    Network,
    NotNegative,
    OptimiserTraffic,
    PointwiseTraffic,
    Positive,
    Selective,
    StageEnds,
    Traffic,
)
from gpuhours.software.memory import MemoryFacts

Degree = Literal["tensor", "pipeline", "context", "expert"]
DEGREES: tuple[Degree, ...] = get_args(Degree)
"""What a model is split by, beside data parallelism."""


def _operators(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(Operator(name).value for name in names)


class Software(Section):
    """One stack: everything that a step's time needs to know about it."""

    name: str = ""
    title: str
    note: str = ""
    family: str
    """Whose code it is built on."""
    stand_in: tuple[str, ...] = ()
    """Profiles that speak for a group where all that settled it is left out and no parent has it, nearest first."""
    aliases: tuple[str, ...] = ()
    """Other names for it; words of a framework's own description included."""
    met: tuple[Met, ...] = ()
    """Where it was tried."""
    named: tuple[Literal["attention", "libraries"], ...] = ()
    """What its own name or its code says, so that no run had to tell."""
    narrow: bool = False
    """It is one system's, met in one source at most: only that system's own name reaches it."""
    unmet: Positive = 1.0
    """Step time over what the rest says, where this only stands for a stack that nobody measured (``run.conformal.unmet_stack``)."""
    attention: Annotated[dict[str, str], keyed_by("generation of accelerators", ("default", *get_args(Generation)))]
    """Generation (or ``default``) -> attention kernel."""
    uncausal_attention: str | None = None
    """The kernel where every token sees all others; None: the same."""
    biased_attention: str | None = None
    """The kernel where scores get a learned bias; None: the same."""
    biased_products: Literal["fp32"] | None = None
    """The format of its products there, where it is not the run's (PyTorch's own path for a bias that is learned works in fp32)."""
    grouped_attention: str | None = None
    """The kernel of keys in groups where heads are of 4 bytes, and of one key head that is broadcast to all, in ``biased_products``: of
    PyTorch's kernels FlashAttention and cuDNN alone take groups, in 16 bit; None: the same as others."""
    casts_layers: bool = False
    """Weights are gathered in the products' format and inputs cast once for all layers (FSDP's mixed precision): no autocast inside."""
    works_wide: Annotated[tuple[str, ...], AfterValidator(_operators)] = ()
    """Operators that compute in fp32 whatever goes through them, as the loss then does: with a stream of 4 bytes they move no more."""
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
    padding_mask: Masking | None = None
    """What a mask of padding costs; None: its kernels know where sequences end."""
    rotary_cut: Annotated[NotNegative, ChosenDefault(("hugging-face",), without=0.0)] = 0.2
    """What cutting a tensor in two and joining it again moves where a part of each head is rotated, over rotating all of it kernel by
    kernel: 5 B forward and some 20 backward (zeros, two copies, a sum) of 44 and 75."""
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
    degrees: tuple[Degree, ...] = DEGREES
    """Those that it has; of the others nothing is tried where a run leaves its layout open."""
    zero3: bool = True
    """It can share weights out over data-parallel ranks (ZeRO-3, FSDP); nothing of that is tried where it cannot."""
    sequence_parallel: bool
    """Norms and residuals are split over tensor ranks where a run does not say."""
    sequence_copies: NotNegative = 0.0
    """Bytes per 2-byte element of a split sequence that are copied around one gather and one scatter of it: 8 where both work on the
    outermost dimension and the sequence is the second (PyTorch's functional collectives)."""
    early_stop: bool
    """Full recompute stops after the last activation that is needed: the block's last product is not repeated (unless an adapter
    or the weights of experts need its output)."""
    pads_products: bool = False
    """A compiler copies operands whose rows do not start at multiples of 16 bytes into aligned ones (torch.compile)."""
    balances: Literal["layers", "flops"] = "layers"
    """What a pipeline's stages have in equal parts where a layout does not say: layers, or FLOPs with the head's among them."""
    stages: StageEnds = StageEnds(source="nanotron's code")
    """Where a pipeline's stages end, where it ``balances`` FLOPs."""
    pointwise: PointwiseTraffic
    autocast: PointwiseTraffic | None = None
    """What autocast adds."""
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
    """Copies around ZeRO-3's gathers, where they were measured apart from what else is exposed of these."""
    dispatch: Dispatch
    context: Context
    network: Network
    defaults: Defaults
    memory: MemoryFacts = MemoryFacts.model_construct()
    pace: Positive = 1.0
    """Step time over what all other figures make of it, as a site's own steps met it (``run.site``)."""

    @model_validator(mode="after")
    def _complete(self) -> "Software":
        """Every operator that an architecture can ask for has a figure, here or in what the profile is like."""
        own = self.pointwise.operators
        missing = [kind.value for kind in Operator if not {kind.value, kind.like} & own.keys()]
        if missing:
            raise ValueError(
                f"pointwise.operators lacks {', '.join(missing)}: give each its bytes, or name a profile to be `like`"
            )
        return self

    def as_run(self, precision: Precision) -> Precision:
        """Number formats as the stack runs them: cast at use or before, and the stream in fp32 between quantised products where it keeps
        what is not quantised in fp32, since these put out what they were given."""
        wide = self.memory.wide_ends and precision.format.unpacked
        return replace(precision, casts_at_use=not self.casts_layers, wide_stream=wide)

    def attention_kernel(self, generation: str) -> str:
        """The attention kernel that runs on an accelerator's generation, or on the one whose kernels it runs."""
        asked = generation if generation in self.attention else RUNS_KERNELS_OF.get(generation, generation)
        return self.attention.get(asked, self.attention["default"])

    def flash_kernel(self, year: float | None) -> str:
        """What "flash attention" without a version means in a year; today's where none is known."""
        earlier = (kernel for until, kernel in sorted(self.flash_before.items()) if year is not None and year < until)
        return next(earlier, self.flash)

    def of_year(self, year: float | None) -> "Software":
        """The stack as it was in a year: experts one after another before its libraries grouped them; today's where none is known."""
        kernels = self.host.kernels
        if kernels is None or kernels.looped_before is None or year is None or year >= kernels.looped_before:
            return self
        looped = self.host.model_copy(update={"kernels": kernels.model_copy(update={"experts": "looped"})})
        return self.model_copy(update={"host": looped})

    def row_time(self, kind: str) -> Traffic:
        """s a token of one memory-bound operator beside its bytes, forward and backward."""
        return self.pointwise.rows.get(kind, NOTHING)

    def on_host(self, launch: float | None) -> "Software":
        """The stack on a host that takes ``launch`` s for a small nn.Linear, where its times depend on that (``idle_keys`` tells where
        not)."""
        kernels = self.host.kernels
        if launch is None or kernels is None or kernels.linear is None:
            return self
        return self.model_copy(update={"host": self.host.model_copy(update={"kernels": kernels.on_host(launch)})})

    def traffic(self, kind: str, *, autocast: bool) -> tuple[float, float]:
        """Equivalent bytes per element of one memory-bound operator, forward and backward."""
        usual = kind if kind in SCORES else Operator(kind).like
        own = self.pointwise.operators
        found = [own.get(kind, NOTHING) if kind in SCORES else own[kind if kind in own else usual]]
        if autocast and self.autocast is not None:
            found.append(self.autocast.operators.get(kind, self.autocast.operators.get(usual, NOTHING)))
        return sum(one.forward for one in found), sum(one.backward for one in found)


RUNS_KERNELS_OF: Final = {"pascal": "volta", "turing": "volta", "blackwell-rtx": "ada", "cdna4": "cdna3"}
"""Generations that run another's attention kernels: FlashAttention-2 needs Ampere, B200's needs its tensor memory."""

DEFAULT: Final = "megatron-core"
"""The profile where a run names none."""
OWN: Final = ("title", "note", "aliases", "met", "named", "narrow")
"""Keys that no profile takes over from the one that it is like."""


def _folder() -> Path:
    return Path(str(files("gpuhours.software"))) / "profiles"


@functools.cache
def list_software() -> tuple[str, ...]:
    """The names ``load_software`` knows."""
    return tuple(sorted(path.stem for path in _folder().glob("*.yaml")))


def load_software(name: str) -> Software:
    """``load_software("megatron-core")``, by name or alias, or a path to a YAML file of your own."""
    return _read(Path(name).expanduser()) if name.endswith((".yaml", ".yml")) else _ours(name)


@functools.cache
def _ours(name: str) -> Software:
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
    own = ((name, _source(_folder() / f"{name}.yaml").data) for name in list_software())
    return {alias: name for name, data in own for alias in data.get("aliases", ())}


_source = ReadOnce(read_yaml)
"""A profile's file as it is written: others are ``like`` it."""


@ReadOnce
def _read(path: Path) -> Software:
    source = _source(path)
    merged = _merged(source.data if isinstance(source.data, dict) else {}, path)
    return validated(Software, Source(source.name, {"name": path.stem, **merged}, source.places))


@functools.cache
def parent_of(name: str) -> str | None:
    """The profile that ours of this name is written as ``like``: what would stand in for a stack that nobody described."""
    parent = _source(_folder() / f"{name}.yaml").data.get("like")
    return None if parent is None else str(parent)


def ancestors(name: str) -> tuple[str, ...]:
    """The profiles that one of ours is ``like``, nearest first."""
    parent = parent_of(name)
    return () if parent is None else (parent, *ancestors(parent))


def _merged(data: dict[Any, Any], path: Path, below: tuple[Path, ...] = ()) -> dict[Any, Any]:
    """``data`` over what the profile named by its ``like`` says: a group (what has a ``source``) figure by figure, all else whole.

    ``below`` are the profiles that are like this one.
    """
    base = data.get("like")
    own = {key: value for key, value in data.items() if key != "like"}
    if base is None:
        return own
    beside, ours = path.parent / f"{base}.yaml", _folder() / f"{base}.yaml"
    parent = beside if os.path.isfile(beside) else ours
    if parent in (path, *below) or not os.path.isfile(parent):
        raise EstimateError(
            f"{base!r} is no profile, here or of ours.", nearest(str(base), list_software()), f"{path}  like"
        )
    above = _source(parent).data
    inherited = _merged(above if isinstance(above, dict) else {}, parent, (path, *below))
    kept = {key: value for key, value in inherited.items() if key not in OWN}
    return {**kept, **{key: _laid_over(kept.get(key), value) for key, value in own.items()}}


def _laid_over(inherited: Any, own: Any) -> Any:
    """A group that a child writes keeps the figures of its parent's that it does not write itself."""
    both = isinstance(own, dict) and isinstance(inherited, dict) and "source" in own
    return {**inherited, **{key: _laid_over(inherited.get(key), value) for key, value in own.items()}} if both else own
