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


def test_shares_fall_with_nodes_and_stay_within_what_was_met() -> None:
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
    """2.5 GB over 512 ranks at 13.4 GB/s: 2.5e9 / 512 / 13.4e9 = 0.364 ms per step.

    With fewer ranks, or if slower, the value typical of all such runs is used.
    """
    rates = ((13.4, 512), (26.5, 256), (50, 128), (95, 64), (330, 16), (17, 128))
    found = [implied_network(efa(), rate * GB, ranks) for rate, ranks in rates]
    assert found[0][1] == pytest.approx(0.364e-3, rel=0.01)
    assert all(delay == pytest.approx(0.37e-3, rel=0.02) for _, delay in found)
    assert all(bandwidth == efa().network_bandwidth for bandwidth, _ in found)


def test_inside_a_node_a_rate_says_nothing_of_the_network() -> None:
    assert implied_network(efa(), 45 * GB, 8) == (efa().network_bandwidth, 0.0)


def test_the_rate_is_predicted_as_it_was_met() -> None:
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
    """nanotron's bench over 16 to 512 ranks with slow steps: medians of 10.5, 15.8, 24.3 and 53 ms a layer of tensor 2 to 16, for widths of
    2,048 to 4,096; by hand 0.4 + 0.8 + 3.2 + 8 x 4 x 0.37 = 16.2 ms for tensor 4, and 0.83 of 8 steps through a switch."""
    _, delay = implied_network(efa(), 50 * GB, 128)
    for tensor, measured in ((2, 10.5e-3), (4, 15.8e-3), (8, 24.3e-3), (16, 53e-3)):
        each = [layer_time(hidden, tensor, delay) for hidden in (2048, 4096)]
        assert each[0] == pytest.approx(each[1], rel=0.05)
        assert each[0] == pytest.approx(measured, rel=0.05)
    assert layer_time(2048, 4, delay) == pytest.approx(4.4e-3 + 8 * 4 * 0.37e-3, rel=0.01)


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
