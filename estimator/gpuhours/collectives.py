"""Times of collectives between accelerators, inside and across NVLink domains. All floats are SI.

``bytes`` is the message as nccl-tests count it: all-reduce, broadcast, all-to-all: what one rank holds; all-gather and
reduce-scatter: the whole that is gathered or scattered (so ``(n - 1) / n`` of it crosses each link).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuhours.kernel_constants import LinkConstants, link_constants
from gpuhours.layout import Array

if TYPE_CHECKING:
    from gpuhours.hardware import Cluster

NETWORK_SHARE = 0.80
"""Share of the NICs' line rate that a large collective reaches across nodes."""
NETWORK_STEP = 12e-6
"""s: latency of one step between nodes, network and proxy thread."""
NETWORK_FILL = 60e-6
"""s: like ``LinkConstants.fill``, across nodes."""


@dataclass(frozen=True)
class Group:
    """``size`` ranks that communicate, ``stride`` apart in the cluster's order (Megatron: tensor innermost, stride 1).

    All ``stride`` such groups of a node communicate at the same time, so each rank has its own share of the NICs.
    """

    size: Array
    stride: Array = 1

    def per_domain(self, cluster: Cluster) -> Array:
        """Ranks of one group that share a domain of scale-up links."""
        return np.clip(np.floor_divide(cluster.gpus_per_domain, self.stride), 1, self.size)

    def domains(self, cluster: Cluster) -> Array:
        """Domains the group spans."""
        return np.ceil(np.divide(self.size, self.per_domain(cluster)))


def ring_time(crossing: Array, bandwidth: Array, steps: Array, launch: Array, step: Array, fill: Array) -> Array:
    """Estimate for a pipelined ring.

        t = t0 + steps a + x + 2 sqrt(f x),    x = crossing / bandwidth

    crossing   bytes through each rank's link;  steps  hops that follow each other;  a  latency of a hop, s
    f          pipeline latency: with chunks of the best size a message takes (sqrt(f) + sqrt(x))^2, so half the bandwidth is
               reached well after latency has stopped to matter

    A message of nothing, or in a group of one, takes no time (the callers see to it).
    """
    x = crossing / bandwidth
    return launch + steps * step + x + 2 * np.sqrt(fill * x)


def all_gather_time(bytes: Array, group: Group, cluster: Cluster) -> Array:  # noqa: A002 - nccl-tests' name
    """All-gather of ``bytes`` in all: the ring carries (n - 1) / n of them over each link."""
    return _staged(bytes, group, cluster, rounds=1)


def reduce_scatter_time(bytes: Array, group: Group, cluster: Cluster) -> Array:  # noqa: A002
    """Reduce-scatter of ``bytes`` on each rank: the ring carries (n - 1) / n of them over each link."""
    return _staged(bytes, group, cluster, rounds=1)


def all_reduce_time(bytes: Array, group: Group, cluster: Cluster) -> Array:  # noqa: A002
    """All-reduce: a reduce-scatter and an all-gather, 2 (n - 1) / n over each link; less where the switch adds up."""
    return _staged(bytes, group, cluster, rounds=2)


def _staged(message: Array, group: Group, cluster: Cluster, rounds: int) -> Array:
    """Inside the domains on the links, between them on the NICs, the two overlapped: the slower decides.

        inside   rounds (l - 1) / l M over the links
        between  rounds (d - 1) / d M / l over each rank's share of the NICs

    l  ranks per domain, d  domains, M  message
    """
    c = link_constants(cluster.accelerator)
    n, local, domains = np.asarray(group.size, float), group.per_domain(cluster), group.domains(cluster)
    inside = link_time(message, local, cluster, c, rounds)
    between = ring_time(
        rounds * (domains - 1) / domains * message / local, NETWORK_SHARE * cluster.network_bandwidth,
        rounds * np.log2(np.maximum(domains, 1)), c.launch, NETWORK_STEP, NETWORK_FILL,
    )  # fmt: skip
    return np.where(n * message > message, np.maximum(inside, np.where(domains > 1, between, 0.0)), 0.0)


def link_time(message: Array, local: Array, cluster: Cluster, c: LinkConstants, rounds: int) -> Array:
    """The part inside one domain: a ring, or for all-reduces on more than four ranks the switch where it can."""
    link = cluster.node.link_bandwidth
    ring = ring_time(
        rounds * (local - 1) / local * message, c.bandwidth_share * link, rounds * (local - 1), c.launch, c.step, c.fill
    )
    if rounds == 1 or c.switch_share is None or not cluster.node.sharp:
        return ring
    switched = ring_time(rounds * (local - 1) / local * message, c.switch_share * link, 2, c.launch, c.step, c.fill)
    return np.where(local > 4, np.minimum(switched, ring), ring)


def all_to_all_time(bytes: Array, group: Group, cluster: Cluster) -> Array:  # noqa: A002
    """All-to-all: each rank sends bytes / n to each other, (l - 1) / n inside its domain and the rest over its NICs."""
    c = link_constants(cluster.accelerator)
    n, local = np.asarray(group.size, float), group.per_domain(cluster)
    inside = ring_time((local - 1) / n * bytes, c.bandwidth_share * cluster.node.link_bandwidth, 1, c.launch, c.step, c.fill)
    between = ring_time(
        (n - local) / n * bytes, NETWORK_SHARE * cluster.network_bandwidth, 1, c.launch, NETWORK_STEP, NETWORK_FILL
    )
    return np.where(n * bytes > bytes, np.maximum(inside, np.where(n > local, between, 0.0)), 0.0)


def point_to_point_time(bytes: Array, group: Group, cluster: Cluster) -> Array:  # noqa: A002
    """One rank sends ``bytes`` to the next of the group (a pipeline stage hands on): over links inside a domain, else the NIC."""
    c = link_constants(cluster.accelerator)
    inside = ring_time(bytes, c.bandwidth_share * cluster.node.link_bandwidth, 1, c.launch, c.step, c.fill)
    between = ring_time(bytes, NETWORK_SHARE * cluster.network_bandwidth, 1, c.launch, NETWORK_STEP, NETWORK_FILL)
    n = np.asarray(group.size)
    return np.where((n > 1) & (np.asarray(bytes) > 0), np.where(group.domains(cluster) > 1, between, inside), 0.0)


def broadcast_time(bytes: Array, group: Group, cluster: Cluster) -> Array:  # noqa: A002
    """One rank's ``bytes`` to all others, pipelined along the ring: each link carries them once."""
    c = link_constants(cluster.accelerator)
    n, local, domains = np.asarray(group.size, float), group.per_domain(cluster), group.domains(cluster)
    inside = ring_time(bytes, c.bandwidth_share * cluster.node.link_bandwidth, local - 1, c.launch, c.step, c.fill)
    between = ring_time(
        bytes / local, NETWORK_SHARE * cluster.network_bandwidth, domains - 1, c.launch, NETWORK_STEP, NETWORK_FILL
    )
    return np.where(n * bytes > bytes, np.maximum(inside, np.where(domains > 1, between, 0.0)), 0.0)
