"""Accelerators, nodes and clusters, read from YAML profiles in which each figure has a unit and a source."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from gpuhours.hardware.kernel_constants import KernelConstants
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.profile_folders import find_profile, profile_paths
from gpuhours.inputs.units import Bandwidth, Bytes, Count, Rate, Watts, measured_in, parse
from gpuhours.inputs.yaml_files import read_yaml, validated

Dtype = Literal["fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "int8", "fp4"]
Generation = Literal["volta", "ampere", "ada", "hopper", "blackwell", "cdna2", "cdna3", "tpu"]
STORED_AS: Mapping[str, Dtype] = {"mxfp8": "fp8", "nvfp4": "fp4", "mxfp4": "fp4"}
"""Number formats with a scale per block of values: their products run at the rate of the plain format."""


class Figure(BaseModel):
    """One number of a profile: its value in SI units, who says so, and what must be known to read it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    unit: ClassVar[str] = ""

    value: float
    source: Annotated[str, Field(min_length=4)]
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Value, unit, source and note."""
        return {"value": self.value, "unit": self.unit, "source": self.source, "note": self.note}


class RateFigure(Figure):
    """FLOP/s, dense."""

    unit: ClassVar[str] = "FLOP/s"
    value: Rate


class SizeFigure(Figure):
    """Bytes."""

    unit: ClassVar[str] = "byte"
    value: Bytes


class BandwidthFigure(Figure):
    """Bytes per second, one direction."""

    unit: ClassVar[str] = "byte/s"
    value: Bandwidth


class PowerFigure(Figure):
    """Watts."""

    unit: ClassVar[str] = "W"
    value: Watts


class ClockFigure(Figure):
    """Cycles per second."""

    unit: ClassVar[str] = "Hz"
    value: Annotated[float, measured_in("Hz")]


class CountFigure(Figure):
    """A whole number of things."""

    value: Count


class Profile(BaseModel):
    """What both kinds of hardware profile say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    note: str = ""


class AcceleratorProfile(Profile):
    """One file of ``hardware_specs/accelerators``: one GPU as the driver counts, dense, one direction."""

    vendor: str
    generation: Generation
    node: str
    """The node a cluster is made of when nothing else is said: a name, or a path beside this file."""
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
    kernels: KernelConstants | None = None


class NodeProfile(Profile):
    """One file of ``hardware_specs/nodes``."""

    accelerators: tuple[str, ...] = ()
    """The accelerators it is sold with; any where none is named."""
    gpus: CountFigure
    link_domain: CountFigure | None = None
    """GPUs that reach each other at ``link_bandwidth``; those of one node when not given."""
    link_bandwidth: BandwidthFigure
    nics: CountFigure
    nic_bandwidth: BandwidthFigure
    sharp: bool = False
    """Whether the switch inside the node adds up an all-reduce (NVLink SHARP)."""
    network: str = "infiniband"
    """What joins the nodes: a file of ``hardware_specs/networks``."""
    pcie_bandwidth: BandwidthFigure
    power: PowerFigure | None = None
    cpu_cores: CountFigure | None = None
    host_memory: SizeFigure | None = None


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
    figures: Mapping[str, Figure] = field(default_factory=dict)
    path: Path | None = None

    def peak_for(self, dtype: str) -> float:
        """Dense FLOP/s of matrix products whose inputs are ``dtype``."""
        stored = STORED_AS.get(dtype, dtype)
        for known, value in self.peak.items():
            if known == stored:
                return value
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
            "figures": {key: figure.to_dict() for key, figure in self.figures.items()},
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Node:
    """One server or tray, in SI units."""

    name: str
    title: str
    accelerators: tuple[str, ...]
    gpus: int
    link_domain: int
    """GPUs that reach each other over NVLink or its like: 8 in a DGX, 72 in a rack of GB200."""
    link_bandwidth: float
    """B/s per GPU, one direction."""
    nics: int
    nic_bandwidth: float
    """B/s per NIC, one direction."""
    sharp: bool
    network: str
    """A file of ``hardware_specs/networks``."""
    pcie_bandwidth: float
    power: float | None
    """W of the whole node at its rating."""
    cpu_cores: int | None
    host_memory: float | None
    figures: Mapping[str, Figure] = field(default_factory=dict)
    path: Path | None = None

    @property
    def accelerator(self) -> str:
        """The accelerator it is usually sold with, or nothing for a node that takes any."""
        return self.accelerators[0] if self.accelerators else ""

    @property
    def network_bandwidth(self) -> float:
        """B/s out of the node per GPU, one direction: NICs x rate of one / GPUs."""
        return self.nics * self.nic_bandwidth / self.gpus

    def to_dict(self) -> dict[str, Any]:
        """The profile as JSON: every figure with unit, source and note."""
        return {
            "kind": "node", "name": self.name, "title": self.title, "accelerators": list(self.accelerators),
            "sharp": self.sharp, "network": self.network, "path": str(self.path),
            "network_bandwidth_per_gpu": {"value": self.network_bandwidth, "unit": "byte/s"},
            "figures": {key: figure.to_dict() for key, figure in self.figures.items()},
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Cluster:
    """Accelerators in nodes. ``gpus`` and ``internode_bandwidth`` may be arrays."""

    accelerator: Accelerator
    node: Node
    gpus: Array
    internode_bandwidth: Array | None = None
    """B/s per GPU out of a node, one direction, where it is not what the node's NICs give."""

    @property
    def gpus_per_node(self) -> int:
        """GPUs of one node."""
        return self.node.gpus

    @property
    def gpus_per_domain(self) -> int:
        """GPUs that reach each other over the scale-up links."""
        return self.node.link_domain

    @property
    def network_bandwidth(self) -> Array:
        """B/s per GPU between nodes, one direction."""
        return self.node.network_bandwidth if self.internode_bandwidth is None else self.internode_bandwidth

    @property
    def nodes(self) -> Array:
        """Nodes, counting one that is used in part as whole."""
        return np.ceil(np.divide(self.gpus, self.node.gpus))


def list_accelerators() -> list[str]:
    """The names ``load_accelerator`` knows."""
    return list(profile_paths("accelerators"))


def list_nodes() -> list[str]:
    """The names ``load_node`` knows."""
    return list(profile_paths("nodes"))


def load_accelerator(name: str) -> Accelerator:
    """``load_accelerator("h100-sxm-80gb")``, or a path to a YAML file of your own."""
    return _read_accelerator(find_profile("accelerators", name))


@functools.cache
def _read_accelerator(path: Path) -> Accelerator:
    profile = validated(AcceleratorProfile, read_yaml(path))
    figures = {f"peak.{dtype}": figure for dtype, figure in profile.peak.items()} | _figures(profile)
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
        figures=figures,
        path=path,
    )


def load_node(name: str, beside: Path | None = None) -> Node:
    """``load_node("dgx-h100")``, or a path to a YAML file of your own (relative to ``beside``)."""
    return _read_node(find_profile("nodes", name, beside))


@functools.cache
def _read_node(path: Path) -> Node:
    profile = validated(NodeProfile, read_yaml(path))
    return Node(
        name=path.stem,
        title=profile.title,
        accelerators=profile.accelerators,
        gpus=profile.gpus.value,
        link_domain=(profile.link_domain or profile.gpus).value,
        link_bandwidth=profile.link_bandwidth.value,
        nics=profile.nics.value,
        nic_bandwidth=profile.nic_bandwidth.value,
        sharp=profile.sharp,
        network=profile.network,
        pcie_bandwidth=profile.pcie_bandwidth.value,
        power=profile.power.value if profile.power else None,
        cpu_cores=profile.cpu_cores.value if profile.cpu_cores else None,
        host_memory=profile.host_memory.value if profile.host_memory else None,
        figures=_figures(profile),
        path=path,
    )


def _figures(profile: Profile) -> dict[str, Figure]:
    """The figures a profile holds, by key."""
    return {key: value for key, value in profile if isinstance(value, Figure)}


def cluster(
    accelerator: str | Accelerator,
    node: str | Node | None = None,
    gpus: Array = 1,
    *,
    internode_bandwidth: Array | str | None = None,
) -> Cluster:
    """``cluster("h100-sxm-80gb", gpus=512)``: in its usual node unless ``node`` says otherwise."""
    part = load_accelerator(accelerator) if isinstance(accelerator, str) else accelerator
    if node is None:
        node = load_node(part.node, part.path)
    elif isinstance(node, str):
        node = load_node(node)
    if node.accelerators and part.name not in node.accelerators and part.node != node.name:
        raise EstimateError(
            f"{node.title} holds {' or '.join(node.accelerators)}, not {part.name}.",
            f"The usual node of {part.name} is {part.node!r}.",
            f"node = {node.name!r}",
        )
    if isinstance(internode_bandwidth, str):
        internode_bandwidth = parse(internode_bandwidth, "byte/s")
    return Cluster(part, node, gpus, internode_bandwidth)
