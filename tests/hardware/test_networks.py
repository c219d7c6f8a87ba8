"""A measured all-reduce used instead of the data sheet, and the share of their rate that networks usually reach."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gpuhours.architecture.decoder import Decoder
from gpuhours.hardware.clusters import cluster
from gpuhours.hardware.kernel_constants import network_constants
from gpuhours.hardware.networks import implied_bandwidth, implied_network
from gpuhours.hardware.nodes import Node, load_node
from gpuhours.hardware.number_formats import Precision
from gpuhours.kernels.collectives import Group, all_gather_time, all_reduce_time
from gpuhours.layout.layout import Layout
from gpuhours.software.profile import load_software
from gpuhours.step import step
from gpuhours.workload import Workload

GB = 1e9


def efa() -> Node:
    """Eight H100 with 400 GB/s of EFA."""
    return replace(load_node("hgx-h100"), network="efa-p5")


def test_shares_fall_with_nodes_and_stay_within_what_wimplied_network() -> None:
    constants = network_constants("efa-p5")
    shares = [float(constants.typical_share(nodes)) for nodes in (2, 4, 8, 64)]
    assert shares[0] > 2 * shares[-1]
    assert all(one.low <= one.share <= one.high for one in constants.typical)
    assert float(constants.typical_share(3)) == pytest.approx(shares[0] + (shares[1] - shares[0]) * np.log2(1.5))
    plain = network_constants("infiniband")
    assert float(plain.typical_share(64)) == plain.share


def test_a_usual_rate_is_bandwidth() -> None:
    """178 GB/s over 64 nodes, at the usual 0.44 of 400 Gbit/s: 178 / 8 / 0.44 = 50.6 GB/s per GPU, and no time per step."""
    bandwidth, delay = implied_network(efa(), 178 * GB, 512)
    assert bandwidth == pytest.approx(178 * GB / 8 / 0.44)
    assert delay == 0


def test_a_rate_that_falls_with_ranks_is_steps() -> None:
    """2.5 GB over 512 ranks at 20 GB/s: 2.5e9 / 512 / 20e9 = 0.244 ms per step.

    With fewer ranks, or if slower, the value typical of all such runs is used: at 13.4 GB/s it would be 0.364 ms.
    """
    assert implied_network(efa(), 20 * GB, 512)[1] == pytest.approx(0.244e-3, rel=0.01)
    rates = ((13.4, 512), (26.5, 256), (50, 128), (95, 64), (330, 16), (17, 128))
    found = [implied_network(efa(), rate * GB, ranks) for rate, ranks in rates]
    assert all(delay == pytest.approx(0.364e-3, rel=0.05) for _, delay in found)
    assert all(bandwidth == efa().network_bandwidth for bandwidth, _ in found)


def test_inside_a_node_a_rate_says_nothing_of_the_network() -> None:
    assert implied_network(efa(), 45 * GB, 8) == (efa().network_bandwidth, 0.0)


def test_the_rate_is_predicted_as_it_wimplied_network() -> None:
    """The given rate is reproduced: an all-reduce of 8 GB over 512 ranks at 178 GB/s."""
    bandwidth = implied_bandwidth(efa(), 178 * GB, 512)
    machine = replace(cluster("h100-sxm-80gb", "hgx-h100", 512), node=efa(), internode_bandwidth=bandwidth)
    time = float(all_reduce_time(8e9, Group(512), machine))
    assert 2 * 8e9 * 511 / 512 / time == pytest.approx(178 * GB, rel=0.05)


def test_rings_of_large_messages_step_through_every_rank_of_efa() -> None:
    """nanotron's bench: 33 MB over 16 ranks take about a millisecond, over 32 about two."""
    machine = replace(cluster("h100-sxm-80gb", "hgx-h100", 512), node=efa())
    times = [float(all_gather_time(33.5e6, Group(ranks), machine)) for ranks in (16, 32)]
    assert times[0] == pytest.approx(0.95e-3, rel=0.2)
    assert times[1] == pytest.approx(1.85e-3, rel=0.2)


def test_split_layers_of_slow_steps_are_bound_by_the_host_whatever_their_width() -> None:
    """nanotron's bench over 16 to 512 ranks with slow steps: medians of 13.2, 21.5, 46.4 and 94.9 ms a layer of the fullest stage for
    tensor 4 to 32, whatever their width; by hand 0.4 + 0.8 + 3.2 + 8 x 3 x 0.35 = 12.8 ms for tensor 4, and 0.87 of 7 steps through a
    switch."""
    _, delay = implied_network(efa(), 50 * GB, 128)
    for tensor, measured in ((4, 13.2e-3), (8, 21.5e-3), (16, 46.4e-3), (32, 94.9e-3)):
        each = [layer_time(hidden, tensor, delay) for hidden in (2048, 4096)]
        assert each[0] == pytest.approx(each[1], rel=0.05)
        assert each[0] == pytest.approx(measured, rel=0.05)
    assert layer_time(2048, 4, delay) == pytest.approx(4.4e-3 + 8 * 3 * 0.35e-3, rel=0.01)


def layer_time(hidden: int, tensor: int, delay: float) -> float:
    """Return the time of one micro-batch of 4,096 tokens through one additional layer."""
    times = []
    for layers in (8, 16):
        model = Decoder(
            layers=layers, hidden=hidden, heads=32, kv_heads=32, ffn_hidden=4 * hidden, gated=True, vocab=1024
        )
        machine = replace(cluster("h100-sxm-80gb", "hgx-h100", 128), node=efa(), delay=delay)
        layout = Layout(tensor=tensor, microbatch=1, sequence_parallel=True)
        work = Workload(
            model.model(4096), 128 // tensor, layout, machine, load_software("nanotron"), Precision("bf16", "mixed")
        )
        times.append(
            float(step(work).time)
            - float(step(work).parts["data communication"])
            - float(step(work).parts["optimiser"])
        )
    return (times[1] - times[0]) / 8
