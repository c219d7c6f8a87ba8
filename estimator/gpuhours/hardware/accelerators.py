"""Accelerators: one GPU as the driver counts, read from YAML profiles, with the measured constants of its kernels."""

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from gpuhours.hardware.figures import (
    BandwidthFigure,
    ClockFigure,
    CountFigure,
    MoneyFigure,
    PowerFigure,
    Profile,
    RateFigure,
    SizeFigure,
    SourcedFigure,
    figures_of,
)
from gpuhours.hardware.kernel_constants import (
    AlignmentConstants,
    AttentionConstants,
    GemmConstants,
    KernelConstants,
    LinkConstants,
    MemoryConstants,
    UnfusedConstants,
    alignment_constants,
    generation_constants,
)
from gpuhours.hardware.number_formats import NUMBER_FORMATS, Dtype
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.profile_folders import find_profile, profile_paths
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.yaml_files import ReadOnce, Section, read_yaml, validated

Generation = Literal[
    "pascal",
    "volta",
    "turing",
    "ampere",
    "ada",
    "hopper",
    "blackwell",
    "blackwell-rtx",
    "cdna2",
    "cdna3",
    "cdna4",
    "tpu",
]


class StepTimes(Section):
    """What the step times predicted for an accelerator rest on."""

    basis: Literal["measured", "scaled", "assumed", "none"]
    """Kernels or whole steps of this very card; another card's constants at this one's peak; a guess; not predicted."""
    source: Annotated[str, Field(min_length=10)]


class AcceleratorProfile(Profile):
    """One file of ``hardware_specs/accelerators``: one GPU as the driver counts, dense, one direction."""

    vendor: str
    generation: Generation
    node: str
    """The node a cluster is made of when nothing else is said: a name, or a path beside this file."""
    step_times: StepTimes = StepTimes.model_construct(
        basis="assumed", source="its profile, which does not say what they rest on"
    )
    peak: dict[Dtype, RateFigure] = Field(min_length=1)
    memory: SizeFigure
    memory_bandwidth: BandwidthFigure
    l2: SizeFigure | None = None
    sms: CountFigure | None = None
    clock: ClockFigure | None = None
    link_bandwidth: BandwidthFigure
    pair_bandwidth: BandwidthFigure | None = None
    pcie_bandwidth: BandwidthFigure
    power: PowerFigure | None = None
    system_power: PowerFigure | None = None
    """Mean draw with its part of the host, as measured while it trained."""
    purchase: MoneyFigure | None = None
    """What one was sold for."""
    kernels: KernelConstants | None = None


@dataclass(frozen=True, eq=False)
class Accelerator:
    """One accelerator, in SI units; ``figures`` says where each number comes from."""

    name: str
    title: str
    vendor: str
    generation: Generation
    node: str
    peak: Mapping[Dtype, float]
    """FLOP/s by number format: dense, matrix products, fp32 accumulation."""
    memory: float
    """Bytes the driver shows."""
    memory_bandwidth: float
    """B/s, as the data sheet has it."""
    l2: float | None
    sms: int | None
    """Streaming multiprocessors (NVIDIA) or compute units (AMD)."""
    clock: float | None
    """Hz at which the peaks are stated."""
    link_bandwidth: float
    """B/s to all others of the node together, one direction."""
    pair_bandwidth: float
    """B/s to one other GPU, one direction: less than ``link_bandwidth`` where there is no switch."""
    pcie_bandwidth: float
    power: float | None
    """W, the limit it is sold with."""
    kernels: KernelConstants | None = None
    """Measured constants of its kernels; None where nobody measured."""
    step_times: StepTimes | None = None
    embodied: float | None = None
    """gCO2e of making it."""
    figures: Mapping[str, SourcedFigure] = field(default_factory=dict)
    path: Path | None = None

    def peak_for(self, dtype: str) -> float:
        """Dense FLOP/s of matrix products whose inputs are ``dtype``."""
        known = NUMBER_FORMATS.get(dtype)
        rate = self.peak.get(dtype if known is None else known.peak)
        if rate is not None:
            return rate
        raise EstimateError(
            f"{self.title} multiplies no {dtype!r} matrices.",
            f"It has {', '.join(self.peak)}.",
            f"dtype = {dtype!r}",
        )

    def to_dict(self) -> dict[str, Any]:
        """The profile as JSON: every figure with unit, source and note."""
        return {
            "kind": "accelerator", "name": self.name, "title": self.title, "vendor": self.vendor,
            "generation": self.generation, "node": self.node, "path": str(self.path),
            "step_times": None if self.step_times is None else self.step_times.model_dump(),
            "figures": {key: figure.to_dict() for key, figure in self.figures.items()},
        }  # fmt: skip

    @property
    def gemm_constants(self) -> GemmConstants:
        """Its own, else its generation's."""
        own = self.kernels
        return own.gemm if own and own.gemm else generation_constants(self.generation).gemm

    @property
    def memory_constants(self) -> MemoryConstants:
        """Its own, else its generation's."""
        own = self.kernels
        return own.memory if own and own.memory else generation_constants(self.generation).memory

    @property
    def unfused_constants(self) -> UnfusedConstants:
        """Its own, else its generation's."""
        own = self.kernels
        return own.unfused if own and own.unfused else generation_constants(self.generation).unfused

    @property
    def alignment_constants(self) -> AlignmentConstants:
        """Its own, else those of every card."""
        own = self.kernels
        return own.alignment if own and own.alignment else alignment_constants()

    @property
    def link_constants(self) -> LinkConstants:
        """Its own, else its generation's."""
        own = self.kernels
        return own.links if own and own.links else generation_constants(self.generation).links

    def attention_constants(self, kernel: str) -> AttentionConstants:
        """Its own of this kernel, else its generation's; ``EstimateError`` where the kernel does not run."""
        own = self.kernels
        measured = own.attention if own and own.attention else {}
        if kernel in measured:
            return measured[kernel]
        known = generation_constants(self.generation).attention
        if kernel not in known:
            raise EstimateError(
                f"the attention kernel {kernel!r} is not known on {self.name} ({self.generation})",
                f"Known there: {', '.join(['unfused', *known])}.",
            )
        return known[kernel]

    @property
    def multiprocessors(self) -> int:
        """S; ``EstimateError`` where the profile does not say, since tiles are counted in waves over them."""
        if self.sms is None:
            raise EstimateError(
                f"The profile of {self.name} does not say how many multiprocessors it has.",
                "Give it `sms: {value: ..., source: ...}`: tiles are counted in waves over them.",
            )
        return self.sms


def list_accelerators() -> list[str]:
    """The names ``load_accelerator`` knows."""
    return list(profile_paths("accelerators"))


def load_accelerator(name: str) -> Accelerator:
    """``load_accelerator("h100-sxm-80gb")``, or a path to a YAML file of your own."""
    return _read_accelerator(find_profile("accelerators", name))


@ReadOnce
def _read_accelerator(path: Path) -> Accelerator:
    profile = validated(AcceleratorProfile, read_yaml(path))
    figures = {f"peak.{dtype}": figure for dtype, figure in profile.peak.items()} | figures_of(profile)
    return Accelerator(
        name=path.stem,
        title=profile.title,
        vendor=profile.vendor,
        generation=profile.generation,
        node=profile.node,
        peak={dtype: figure.value for dtype, figure in profile.peak.items()},
        memory=profile.memory.value,
        memory_bandwidth=profile.memory_bandwidth.value,
        l2=profile.l2.value if profile.l2 else None,
        sms=profile.sms.value if profile.sms else None,
        clock=profile.clock.value if profile.clock else None,
        link_bandwidth=profile.link_bandwidth.value,
        pair_bandwidth=(profile.pair_bandwidth or profile.link_bandwidth).value,
        pcie_bandwidth=profile.pcie_bandwidth.value,
        power=profile.power.value if profile.power else None,
        kernels=profile.kernels,
        step_times=profile.step_times,
        embodied=profile.embodied.value if profile.embodied else None,
        figures=figures,
        path=path,
    )
