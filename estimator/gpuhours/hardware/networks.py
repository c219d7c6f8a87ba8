"""Network speed as measured in a run: one timed collective instead of the data sheet."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gpuhours.hardware.clusters import Cluster
from gpuhours.hardware.kernel_constants import network_constants
from gpuhours.hardware.nodes import Node

MESSAGE: Final = 2.5e9
"""Bytes of the all-reduce that a training run times on its own: that of nanotron's start-up test (inferred: from 32 to 512 GPUs its
time in slow runs is 0.36 ms per ring step)."""
SLOW: Final = 0.85
"""Share of the typical rate below which a run's collectives are limited by time per ring step, not by bytes."""
STEP: Final = 0.37e-3
"""Host time in s per ring step of collectives limited by step: derived from such runs' own all-reduces over 128 and more ranks (0.36 to
0.39 ms; with fewer ranks bytes dominate), and from their layers."""


def bandwidth_met(node: Node, rate: float, ranks: int) -> float:
    """Bandwidth between nodes, B/s per GPU, implied by a large all-reduce over ``ranks`` with bus bandwidth ``rate`` (as in nccl-tests).

    r / g / typical share for this number of nodes, g GPUs per node; inside one node, where no network is used, the NICs' bandwidth
    """
    nodes = -(-ranks // node.gpus)
    if nodes <= 1:
        return float(node.network_bandwidth)
    return rate / node.gpus / float(node.fabric.typical_share(nodes))


def as_met(node: Node, rate: float, ranks: int) -> tuple[float, float]:
    """(B/s per GPU between nodes, host time per ring step) implied by the all-reduce that a run timed.

        usual = typical share x line        line rate of a node's NICs, share as measured over this number of nodes
        r >= 0.85 usual    bandwidth r, no delay
        r <  0.85 usual    usual bandwidth, and  delay = min(0.37 ms, M / (n r))

    r rate, n ranks, M ``MESSAGE``; no delay inside one node. A rate that falls as 1 / n indicates a fixed time per step, regardless of
    bytes; an even lower one was temporary and did not apply to the run's layers.
    Checked on nanotron's benchmark (H100, EFA): in runs that measured 13 GB/s over 512 ranks to 335 over 16, layers split over 2, 4, 8,
    16, 32 and 128 ranks take 10, 16, 25, 53, 93 and 338 ms per micro-batch, whatever their width and the measured rate: eight
    collectives of t steps of 0.37 ms, beyond the typical 4.4; also inside nodes, equally for 30 to 540 MB, and concurrently with the
    compute, not after it: this is host time. In all other runs it is below 0.05 ms.
    """
    line, nodes = float(node.network_bandwidth) * node.gpus, -(-ranks // node.gpus)
    usual = float(node.fabric.typical_share(nodes)) * line
    if nodes <= 1 or rate >= SLOW * usual:
        return bandwidth_met(node, rate, ranks), 0.0
    return float(node.network_bandwidth), min(STEP, MESSAGE / (ranks * rate))


def on_network(machine: Cluster, network: str) -> Cluster:
    """The same machine with another kind of network between nodes, at the same line rate."""
    network_constants(network)  # refuse an unknown network here rather than within a step
    return replace(machine, node=replace(machine.node, network=network))
