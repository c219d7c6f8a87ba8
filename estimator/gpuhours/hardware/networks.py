"""A network as a run met it: one measured collective in place of the data sheet."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gpuhours.hardware.clusters import Cluster
from gpuhours.hardware.kernel_constants import network_constants
from gpuhours.hardware.nodes import Node

MESSAGE: Final = 2.5e9
"""Bytes of the all-reduce that a training run times on its own: that of nanotron's test at its start (inferred: from 32 to 512 GPUs the
time of its slow runs is 0.36 ms a step)."""
SLOW: Final = 0.85
"""Share of the usual rate below which a run's collectives are slow in their steps, not in their bytes."""
STEP: Final = 0.37e-3
"""s of the host that a ring's step takes where collectives are slow in their steps: what such runs' own all-reduces come to over 128
ranks and more (0.36 to 0.39 ms; bytes count among fewer), and their layers."""


def bandwidth_met(node: Node, rate: float, ranks: int) -> float:
    """B/s per GPU between nodes that an all-reduce of gigabytes over ``ranks`` comes to, bus ``rate`` as nccl-tests print it.

    r / g / share of so many nodes, g GPUs of a node; what the node's NICs give inside one, where the network takes no part
    """
    nodes = -(-ranks // node.gpus)
    if nodes <= 1:
        return float(node.network_bandwidth)
    return rate / node.gpus / float(network_constants(node.network).typical_share(nodes))


def as_met(node: Node, rate: float, ranks: int) -> tuple[float, float]:
    """(B/s per GPU between nodes, host time of each step of a ring) that the all-reduce which a run timed comes to.

        usual = typical share x line        line rate of a node's NICs, share as measured over so many nodes
        r >= 0.85 usual    bandwidth r, no delay
        r <  0.85 usual    usual bandwidth, and  delay = min(0.37 ms, M / (n r))

    r rate, n ranks, M ``MESSAGE``; nothing inside one node. A rate that falls as 1 / n is one of steps, whatever the bytes; one that is
    lower still was a moment's and is not what the run's layers met.
    Checked on nanotron's bench (H100, EFA): in runs that met 13 GB/s over 512 ranks to 335 over 16, layers split over 2, 4, 8, 16, 32 and
    128 ranks take 10, 16, 25, 53, 93 and 338 ms a micro-batch, whatever their width and the rate met: eight collectives of t steps of
    0.37 ms on top of the usual 4.4, inside nodes too, for 30 to 540 MB alike and beside the computing, not after it: the host's time. In
    all other runs under 0.05 ms.
    """
    line, nodes = float(node.network_bandwidth) * node.gpus, -(-ranks // node.gpus)
    usual = float(network_constants(node.network).typical_share(nodes)) * line
    if nodes <= 1 or rate >= SLOW * usual:
        return bandwidth_met(node, rate, ranks), 0.0
    return float(node.network_bandwidth), min(STEP, MESSAGE / (ranks * rate))


def on_network(machine: Cluster, network: str) -> Cluster:
    """The same machine with its nodes joined by another kind of network, at the line rate that it has."""
    network_constants(network)  # one that is not known is refused here, not in the middle of a step
    return replace(machine, node=replace(machine.node, network=network))
