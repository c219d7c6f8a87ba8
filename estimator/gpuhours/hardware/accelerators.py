"""Accelerators: one per device as shown by the driver, read from YAML profiles with the measured constants of their kernels."""

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
    """The basis of an accelerator's predicted step times."""

    basis: Literal["measured", "scaled", "assumed", "none"]
    """measured: kernels or whole steps measured on this card; scaled: another card's constants scaled to this card's peak; assumed: a
    guess; none: not predicted."""
    source: Annotated[str, Field(min_length=10)]


class AcceleratorProfile(Profile):
    """One file of ``hardware_specs/accelerators``: one device as shown by the driver, with dense peaks and one-direction bandwidths."""

    vendor: str
    generation: Generation
    node: str
    """The default node of a cluster: a name, or a path relative to this file."""
    step_times: StepTimes = StepTimes.model_construct(
        basis="assumed", source="its profile, which does not say what they are based on"
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
    """Mean power of one accelerator and its share of the host, measured during training."""
    purchase: MoneyFigure | None = None
    """Purchase price of one."""
    kernels: KernelConstants | None = None


@dataclass(frozen=True, eq=False)
class Accelerator:
    """One accelerator, in SI units; ``figures`` gives the source of each number."""

    name: str
    title: str
    vendor: str
    generation: Generation
    node: str
    peak: Mapping[Dtype, float]
    """FLOP/s by number format: dense, GEMMs, fp32 accumulation."""
    memory: float
    """Bytes, as shown by the driver."""
    memory_bandwidth: float
    """B/s, from the data sheet."""
    l2: float | None
    sms: int | None
    """Streaming multiprocessors (NVIDIA) or compute units (AMD)."""
    clock: float | None
    """Hz at which the peaks are specified."""
    link_bandwidth: float
    """B/s to all other GPUs of the node together, one direction."""
    pair_bandwidth: float
    """B/s to one other GPU, one direction: less than ``link_bandwidth`` if there is no switch."""
    pcie_bandwidth: float
    power: float | None
    """W, rated limit."""
    kernels: KernelConstants | None = None
    """Measured constants of its kernels; None if not measured."""
    step_times: StepTimes | None = None
    embodied: float | None = None
    """gCO2e of manufacturing."""
    figures: Mapping[str, SourcedFigure] = field(default_factory=dict)
    path: Path | None = None

    def peak_for(self, dtype: str) -> float:
        """Dense FLOP/s of GEMMs with inputs in ``dtype``; raises ``EstimateError`` if the accelerator has no rate for it."""
        known = NUMBER_FORMATS.get(dtype)
        rate = self.peak.get(dtype if known is None else known.peak)
        if rate is not None:
            return rate
        raise EstimateError(
            f"{self.title} has no matrix rate for {dtype!r}.",
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
        """Constants of GEMMs: the accelerator's own, otherwise its generation's."""
        own = self.kernels
        return own.gemm if own and own.gemm else generation_constants(self.generation).gemm

    @property
    def memory_constants(self) -> MemoryConstants:
        """Constants of memory-bound kernels: the accelerator's own, otherwise its generation's."""
        own = self.kernels
        return own.memory if own and own.memory else generation_constants(self.generation).memory

    @property
    def unfused_constants(self) -> UnfusedConstants:
        """Constants of unfused attention: the accelerator's own, otherwise its generation's."""
        own = self.kernels
        return own.unfused if own and own.unfused else generation_constants(self.generation).unfused

    @property
    def alignment_constants(self) -> AlignmentConstants:
        """Constants of unaligned GEMMs: the accelerator's own, otherwise those common to all accelerators."""
        own = self.kernels
        return own.alignment if own and own.alignment else alignment_constants()

    @property
    def link_constants(self) -> LinkConstants:
        """Constants of collectives over scale-up links: the accelerator's own, otherwise its generation's."""
        own = self.kernels
        return own.links if own and own.links else generation_constants(self.generation).links

    def attention_constants(self, kernel: str) -> AttentionConstants:
        """Constants of an attention kernel: the accelerator's own, otherwise its generation's; raises ``EstimateError`` if the kernel is
        not known on it."""
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
        """Number of SMs, S; raises ``EstimateError`` if the profile does not give it, since tiles are counted in waves over the SMs."""
        if self.sms is None:
            raise EstimateError(
                f"The profile of {self.name} does not say how many multiprocessors it has.",
                "Give it `sms: {value: ..., source: ...}`: tiles are counted in waves over them.",
            )
        return self.sms


def list_accelerators() -> list[str]:
    """The names that ``load_accelerator`` accepts."""
    return list(profile_paths("accelerators"))


def load_accelerator(name: str) -> Accelerator:
    """Load an accelerator by name, ``load_accelerator("h100-sxm-80gb")``, or from the path of a user's YAML file."""
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
