"""Nodes: one server or tray, read from YAML profiles."""

import functools
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from gpuhours.hardware.figures import (
    BandwidthFigure,
    CountFigure,
    PowerFigure,
    Profile,
    SizeFigure,
    SourcedFigure,
    figures_of,
)
from gpuhours.hardware.kernel_constants import NetworkConstants, network_constants
from gpuhours.inputs.profile_folders import (
    also,
    find_profile,
    is_path,
    plain_name,
    profile_folders,
    profile_paths,
    shipped_profiles,
    suggestion,
)
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.yaml_files import ReadOnce, read_yaml, validated


class NodeProfile(Profile):
    """One file of ``hardware_specs/nodes``."""

    provider: str = ""
    """The cloud that rents it out, as named in price lists."""
    instance: str = ""
    """The cloud instance of this node: ``p5.48xlarge``."""
    accelerators: tuple[str, ...] = ()
    """The accelerators that it is sold with; empty means any."""
    gpus: CountFigure
    link_domain: CountFigure | None = None
    """GPUs connected at ``link_bandwidth``; those of one node by default."""
    link_bandwidth: BandwidthFigure
    nics: CountFigure
    nic_bandwidth: BandwidthFigure
    sharp: bool = False
    """Whether the switch inside the node performs the reduction of an all-reduce (NVLink SHARP)."""
    network: str = "infiniband"
    """The network between nodes: a file of ``hardware_specs/networks``."""
    pcie_bandwidth: BandwidthFigure
    power: PowerFigure | None = None
    cpu_cores: CountFigure | None = None
    host_memory: SizeFigure | None = None


@dataclass(frozen=True, eq=False)
class Node:
    """One server or tray, in SI units."""

    name: str
    title: str
    accelerators: tuple[str, ...]
    gpus: int
    link_domain: int
    """GPUs connected by NVLink or similar: 8 in a DGX, 72 in a rack of GB200."""
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
    """W, rating of the whole node."""
    cpu_cores: int | None
    host_memory: float | None
    embodied: float | None = None
    """gCO2e of manufacturing, without its accelerators."""
    provider: str = ""
    instance: str = ""
    figures: Mapping[str, SourcedFigure] = field(default_factory=dict)
    path: Path | None = None
    constants: NetworkConstants | None = None
    """Constants of its network, if they differ from those of the file."""

    @property
    def fabric(self) -> NetworkConstants:
        """The constants of the network between nodes."""
        return self.constants or network_constants(self.network)

    @property
    def accelerator(self) -> str:
        """The accelerator that it is usually sold with; empty for a node that takes any."""
        return self.accelerators[0] if self.accelerators else ""

    @property
    def network_bandwidth(self) -> float:
        """B/s per GPU out of the node, one direction: NICs x bandwidth of one NIC / GPUs."""
        return self.nics * self.nic_bandwidth / self.gpus

    def to_dict(self) -> dict[str, Any]:
        """The profile as JSON: every figure with unit, source and note."""
        return {
            "kind": "node", "name": self.name, "title": self.title, "accelerators": list(self.accelerators),
            "provider": self.provider, "instance": self.instance, "sharp": self.sharp, "network": self.network, "path": str(self.path),
            "network_bandwidth_per_gpu": {"value": self.network_bandwidth, "unit": "byte/s"},
            "figures": {key: figure.to_dict() for key, figure in self.figures.items()},
        }  # fmt: skip


def list_nodes() -> list[str]:
    """The names that ``load_node`` accepts."""
    return list(profile_paths("nodes"))


def list_instances() -> list[str]:
    """The cloud instances that ``find_instance`` accepts."""
    return sorted(_instances())


def load_node(name: str, beside: Path | None = None) -> Node:
    """Load a node by name, ``load_node("dgx-h100")``, or from the path of a user's YAML file (relative to the folder of ``beside``)."""
    return _read_node(find_profile("nodes", name, beside))


def find_instance(name: str) -> Node | None:
    """The node of a cloud instance (``p5.48xlarge``); None if the name is not an instance."""
    plain = plain_name(name)
    if is_path(name) or plain in shipped_profiles("accelerators"):  # the usual case, for which no node's names are read
        return None
    path = _instances().get(plain)
    return None if path is None else load_node(str(path))


def instance_hint(name: str) -> str:
    """The nearest known instances, for an error message."""
    return suggestion(plain_name(name), list(_instances()))


def _instances() -> dict[str, Path]:
    """Instance -> the file of its node. Only the names in each file are read; the included files are read once."""
    return _shipped_instances() if len(profile_folders()) == 1 else _read_instances()


def _read_instances() -> dict[str, Path]:
    return {name: path for path in profile_paths("nodes").values() for name in also(path)}


_shipped_instances = functools.cache(_read_instances)


@ReadOnce
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
        embodied=profile.embodied.value if profile.embodied else None,
        provider=profile.provider,
        instance=profile.instance,
        figures=figures_of(profile),
        path=path,
    )
