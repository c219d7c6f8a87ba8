"""Times of collectives between accelerators, inside and across NVLink domains. All floats are SI.

``bytes`` is the message size as defined by nccl-tests. All-reduce and all-to-all: the buffer of one rank. All-gather and
reduce-scatter: the whole gathered or scattered buffer, of which (n - 1) / n crosses each link.
"""

from __future__ import annotations

import numpy as np

from gpuhours.hardware.clusters import Cluster
from gpuhours.hardware.kernel_constants import LinkConstants, NetworkConstants
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.records import dataclass
from gpuhours.layout.groups import Group

SWITCH_RANKS = 5
"""Smallest number of ranks with which NCCL reduces in the switch (8 x H200 are 1.29 times faster with it, 4 x H200 no faster: AWS
nccl-tests)."""
MESSAGE_COST = 0.5e-6
"""s per remote peer of an all-to-all, which sends it one message through the proxy thread (an assumption)."""


@dataclass(frozen=True, eq=False)
class _Place:
    """A group's placement in its cluster: n ranks, l per domain, d domains, and the bandwidths of a rank's link and NICs in byte/s."""

    n: Array
    local: Array
    domains: Array
    link: Array
    nics: Array
    constants: LinkConstants


def _place(group: Group, cluster: Cluster) -> _Place:
    """The placement of a group. Without a switch, a rank has one link to each of its l - 1 peers (MI300X)."""
    (local, domains), part = group.spread(cluster), cluster.accelerator
    link = np.minimum(cluster.node.link_bandwidth, part.pair_bandwidth * np.maximum(local - 1, 1))
    return _Place(
        n=np.asarray(group.size, float),
        local=local,
        domains=domains,
        link=link,
        nics=cluster.network_bandwidth,
        constants=part.link_constants,
    )


def pipelined_time(x: Array, latency: Array, fill: float) -> Array:
    """Estimated time in s of a message that is cut into chunks and passed from rank to rank.

        t = latency + x + 2 sqrt(f x)

    x   bytes through the slowest link / its bandwidth, s;  f  ``fill``, s

    With chunks of optimal size a message takes (sqrt(f) + sqrt(x))^2, so even messages long enough for latency to be negligible may reach
    only half of the bandwidth. NCCL switches its protocol at 1 to 4 MiB per rank, where the estimate is up to 30 % low.

    Source: fits to collectives on 2, 4 and 8 A100 and H100 and on 2 and 4 H200; median error from 1 MiB 4 %.

    >>> float(pipelined_time(1e-3, 5e-6, 4e-5))    # 1 ms of bytes, 5 us of latency, 40 us to fill
    0.001405
    """
    # groups of an invalid layout may be smaller than one rank: ``layout.validity`` refuses them, here NumPy must only not warn
    return latency + x + 2 * np.sqrt(fill * np.maximum(x, 0))


def all_gather_time(bytes: Array, group: Group, cluster: Cluster) -> Array:  # noqa: A002 - nccl-tests' name
    """Estimated time in s of an all-gather after which every rank holds ``bytes``.

        inside   x = M (n-1)/n / (ring_share link) + M/n / copy     every link carries (n-1)/n of the message
        between  x = M (n-1)/n / l / (share NIC)                    as does each domain's border, over l NICs
        latency  = t0 + (n - d) a, and t0_net + (d - 1) a_net + (n - 1) r where d > 1

    M bytes, n ranks in d domains of l, link and NIC byte/s, a s per step, r s per ring step of a network that delays them. Rings run
    through all ranks, l of them in parallel so that every NIC is used; the time is the larger of ``pipelined_time`` inside and between
    domains. A rank also copies its own share, M/n. A hierarchical algorithm would send only (d-1)/d between domains; NCCL uses rings.
    """
    return _ring_time(bytes, group, cluster)


def reduce_scatter_time(bytes: Array, group: Group, cluster: Cluster) -> Array:  # noqa: A002
    """Estimated time in s of a reduce-scatter of ``bytes`` held by each rank: the same rings as in ``all_gather_time``."""
    return _ring_time(bytes, group, cluster)


def _ring_time(message: Array, group: Group, cluster: Cluster) -> Array:
    """The equation of ``all_gather_time``."""
    p = _place(group, cluster)
    c, net = p.constants, cluster.node.fabric
    crossing = np.asarray(message, float) * (p.n - 1) / p.n
    inside = crossing / (c.ring_share * p.link) + message / p.n / c.copy_bandwidth
    between = crossing / p.local / (net.typical_share(p.domains) * p.nics)
    latency = _latency(p, net)
    t = np.maximum(
        pipelined_time(np.where(p.local > 1, inside, 0.0), latency, c.fill),
        np.where(p.domains > 1, pipelined_time(between, latency, net.fill), 0.0),
    )
    return _unless_alone(t, crossing)


def all_reduce_time(bytes: Array, group: Group, cluster: Cluster) -> Array:  # noqa: A002
    """Estimated time in s of an all-reduce of ``bytes`` held by each rank: ring or switch inside a domain, double tree between domains.

        inside   x = 2 M (n-1)/n / (ring_share link) + M/n / copy        ring
                 x = 2 M (n-1)/n / (switch_share link)                   switch, from 5 ranks per domain
        between  x = 2 M (n-1)/n / l / (share NIC)                       the same for ring and double binary tree
        latency  = t0 + 2 (l - 1) a, by switch t0 + 4 a, and t0_net + 2 log2(d) a_net where d > 1

    M bytes, n ranks in d domains of l, link and NIC byte/s, a s per step.
    Double binary trees (Sanders, Speck, Träff 2009; in NCCL since 2.4) have logarithmic latency and the bandwidth of a ring.
    """
    p = _place(group, cluster)
    c, net = p.constants, cluster.node.fabric
    message = np.asarray(bytes, float)
    crossing = 2 * message * (p.n - 1) / p.n
    trees = np.where(p.domains > 1, net.launch + 2 * np.log2(p.domains) * net.step, 0.0)
    ring = crossing / (c.ring_share * p.link) + message / p.n / c.copy_bandwidth
    inside = pipelined_time(ring, 2 * (p.local - 1) * c.step, c.fill)
    if c.switch_share is not None and c.switch_fill is not None and cluster.node.sharp:
        switched = pipelined_time(crossing / (c.switch_share * p.link), 4 * c.step, c.switch_fill)
        inside = np.where(p.local >= SWITCH_RANKS, np.minimum(switched, inside), inside)
    between = pipelined_time(crossing / p.local / (net.typical_share(p.domains) * p.nics), 0.0, net.fill)
    t = np.maximum(np.where(p.local > 1, inside, 0.0), np.where(p.domains > 1, between, 0.0))
    return _unless_alone(c.launch + trees + t, crossing)


def all_to_all_time(bytes: Array, group: Group, cluster: Cluster) -> Array:  # noqa: A002
    """Estimated time in s of an all-to-all of ``bytes`` held by each rank: M / n to each peer, over links inside the domain and NICs
    outside.

        inside   x = M (l-1)/n / (exchange_share link) + M/n / (2 copy)
        between  x = M (n-l)/n / (exchange_share NIC)
        latency  = t0 + a inside, t0 + t0_net + a_net + (n - l) ``MESSAGE_COST`` between

    Both run concurrently; the time is that of the slower.
    """
    p = _place(group, cluster)
    c, net = p.constants, cluster.node.fabric
    message = np.asarray(bytes, float)
    own = message / p.n / (2 * c.copy_bandwidth)
    inside = message * (p.local - 1) / p.n / (c.exchange_share * p.link) + own
    between = message * (p.n - p.local) / p.n / (net.exchange_share * p.nics)
    remote = c.launch + net.launch + net.step + (p.n - p.local) * MESSAGE_COST
    t = np.maximum(
        pipelined_time(inside, c.launch + c.step, c.fill),
        np.where(p.domains > 1, pipelined_time(between, remote, net.fill), 0.0),
    )
    return _unless_alone(t, message * (p.n - 1))


def point_to_point_time(bytes: Array, group: Group, cluster: Cluster) -> Array:  # noqa: A002
    """Estimated time in s of a point-to-point (P2P) send of ``bytes`` from one rank to the next of its group, as between pipeline stages.

    x = M / (exchange_share link) inside a domain, M / (send_share NIC) if the group spans several. If accelerators share NICs, a rank
    uses the share of all ranks of its group in the domain, since these do not send concurrently, up to the one NIC nearest to it (NCCL's
    ``ncclTopoGetLocalNet``); otherwise only its own.
    """
    p = _place(group, cluster)
    c, net = p.constants, cluster.node.fabric
    message = np.asarray(bytes, float)
    link = np.minimum(p.link, cluster.accelerator.pair_bandwidth)
    inside = pipelined_time(message / (c.exchange_share * link), c.launch + c.step, c.step)
    sharing = np.maximum(cluster.node.gpus / cluster.node.nics, 1.0)
    own = p.nics * np.minimum(p.local, sharing)
    between = pipelined_time(message / (net.send_share * own), c.launch + net.step, net.fill)
    return _unless_alone(np.where(p.domains > 1, between, inside), message * (p.n - 1))


def _latency(p: _Place, net: NetworkConstants) -> Array:
    """Latency of a ring in s: t0 + (n - d) a; if it spans several domains, plus t0_net + (d - 1) a_net + (n - 1) ``ring_step``."""
    outside = net.launch + (p.domains - 1) * net.step + (p.n - 1) * net.ring_step
    return p.constants.launch + (p.n - p.domains) * p.constants.step + np.where(p.domains > 1, outside, 0.0)


def _unless_alone(time: Array, crossing: Array) -> Array:
    """``time``, or 0 if there is nothing to send or no peer."""
    return np.where(crossing > 0, time, 0.0)
