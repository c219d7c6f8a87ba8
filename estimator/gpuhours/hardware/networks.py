"""Network bandwidth derived from a collective that was timed in a run, instead of from the data sheet."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gpuhours.hardware.clusters import Cluster
from gpuhours.hardware.kernel_constants import network_constants
from gpuhours.hardware.nodes import Node

MESSAGE: Final = 2.5e9
"""Size in bytes of the all-reduce that a training run times by itself: that of nanotron's start-up test (inferred: from 32 to 512 GPUs its
time in slow runs is 0.36 ms per ring step)."""
SLOW: Final = 0.85
"""Share of the typical rate below which a run's collectives are limited by time per ring step, not by bytes."""
STEP: Final = 0.35e-3
"""CPU overhead in s per ring step of such latency-limited collectives: derived from the times of those runs' layers on the
fullest stage (0.33 to 0.37 ms); their all-reduces over 128 and more ranks take 0.36 to 0.39 (with fewer ranks bytes dominate)."""


def implied_bandwidth(node: Node, rate: float, ranks: int) -> float:
    """Bandwidth between nodes, B/s per GPU, implied by a large all-reduce over ``ranks`` with bus bandwidth ``rate`` (as in nccl-tests).

    The bandwidth is r / g / typical share for this number of nodes, r = ``rate``, g GPUs per node. For ranks inside one node, which do not
    use the network, it is that of the NICs.
    """
    nodes = -(-ranks // node.gpus)
    if nodes <= 1:
        return float(node.network_bandwidth)
    return rate / node.gpus / float(node.fabric.typical_share(nodes))


def implied_network(node: Node, rate: float, ranks: int) -> tuple[float, float]:
    """(B/s per GPU between nodes, CPU overhead in s per ring step) implied by an all-reduce that a run timed.

        usual = typical share x line        line rate of a node's NICs, share as measured over this number of nodes
        r >= 0.85 usual    bandwidth from r (``implied_bandwidth``), no delay
        r <  0.85 usual    the NICs' bandwidth, and  delay = min(0.35 ms, M / (n r))

    r rate, n ranks, M ``MESSAGE``; no delay inside one node. A rate that falls as 1 / n indicates a fixed time per ring step, regardless of
    bytes; an even lower rate was temporary and did not apply to the run's layers.
    Checked on nanotron's benchmark (H100, EFA): in runs that measured between 13 GB/s over 512 ranks and 335 over 16, layers split over
    t = 4, 8, 16, 32 and 128 ranks take 13.2, 21.5, 46.4, 94.9 and 359 ms per micro-batch (medians of 32, 69, 55, 8 and 2 runs, by the
    layers of the fullest stage), whatever their width, their pipeline and the measured rate: eight collectives of t - 1 ring steps of
    0.35 ms, in addition to the typical 4.4 ms. The delay also occurs inside nodes, is the same for 30 to 540 MB, and overlaps with
    compute instead of following it: so it is CPU overhead. In all other runs it is below 0.05 ms.
    """
    line, nodes = float(node.network_bandwidth) * node.gpus, -(-ranks // node.gpus)
    usual = float(node.fabric.typical_share(nodes)) * line
    if nodes <= 1 or rate >= SLOW * usual:
        return implied_bandwidth(node, rate, ranks), 0.0
    return float(node.network_bandwidth), min(STEP, MESSAGE / (ranks * rate))


def on_network(machine: Cluster, network: str) -> Cluster:
    """The same machine with another kind of network between nodes, at the same line rate."""
    network_constants(network)  # refuse an unknown network here rather than within a step
    return replace(machine, node=replace(machine.node, network=network))
