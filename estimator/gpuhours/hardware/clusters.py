"""Clusters: accelerators in nodes."""

from dataclasses import replace
from functools import cached_property

import numpy as np

from gpuhours.hardware.accelerators import Accelerator, load_accelerator
from gpuhours.hardware.nodes import Node, find_instance, load_node
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.units import parse

ENDLESS = 1 << 30
"""GPUs of an unlimited domain."""


@dataclass(frozen=True, eq=False)
class Cluster:
    """Accelerators in nodes. ``gpus`` and ``internode_bandwidth`` may be arrays."""

    accelerator: Accelerator
    node: Node
    gpus: Array
    internode_bandwidth: Array | None = None
    """B/s per GPU out of a node, one direction, if it differs from the bandwidth of the node's NICs."""
    delay: Array = 0.0
    """CPU overhead in s per ring step, if a measured rate implies one (``hardware.networks.implied_network``)."""

    @property
    def gpus_per_node(self) -> int:
        """GPUs of one node."""
        return self.node.gpus

    @property
    def gpus_per_domain(self) -> int:
        """GPUs connected by scale-up links."""
        return self.node.link_domain

    @property
    def network_bandwidth(self) -> Array:
        """B/s per GPU between nodes, one direction."""
        return self.node.network_bandwidth if self.internode_bandwidth is None else self.internode_bandwidth

    @cached_property
    def one_domain(self) -> "Cluster":
        """The same accelerators, all connected by scale-up links."""
        return replace(self, node=replace(self.node, link_domain=ENDLESS))

    @property
    def nodes(self) -> Array:
        """Nodes; a partly used node counts as whole."""
        return np.ceil(np.divide(self.gpus, self.node.gpus))


def cluster(
    accelerator: str | Accelerator,
    node: str | Node | None = None,
    gpus: Array = 1,
    *,
    internode_bandwidth: Array | str | None = None,
) -> Cluster:
    """A cluster of ``gpus`` accelerators, in their default node unless ``node`` is given: ``cluster("h100-sxm-80gb", gpus=512)``.

    A cloud instance instead of the accelerator (``p5.48xlarge``) sets both. Raises ``EstimateError`` for a node that does not hold this
    accelerator, or that is given with an instance.
    """
    if isinstance(accelerator, str) and (rented := find_instance(accelerator)) is not None:
        if node is not None:
            raise EstimateError(f"{rented.title} already is a node.", "Leave out the node.", f"node = {node!r}")
        accelerator, node = rented.accelerator, rented
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
