"""Collectives against our own measurements, other people's nccl-tests, and laws."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuhours.hardware.clusters import Cluster, cluster
from gpuhours.hardware.kernel_constants import network_constants
from gpuhours.inputs.errors import EstimateError
from gpuhours.kernels.collectives import (
    Group,
    all_gather_time,
    all_reduce_time,
    all_to_all_time,
    point_to_point_time,
    reduce_scatter_time,
)
from gpuhours.software.profile import load_software
from tests.benchmarks.kernels import OWN as OWN_FILES
from tests.benchmarks.kernels import own_collectives, read

GB, MiB, GiB = 1e9, 2**20, 2**30
EVERY: list[Callable[..., Any]] = [
    all_gather_time, reduce_scatter_time, all_reduce_time, all_to_all_time, point_to_point_time,
]  # fmt: skip
H100 = cluster("h100-sxm-80gb", "hgx-h100", 1024)
OWN = {row.title: row for row in own_collectives()}


@pytest.mark.parametrize("title", OWN)
def test_collectives_on_h200(title: str) -> None:
    row = OWN[title]
    error = np.abs(row.predicted / row.measured - 1)
    assert np.median(error) < 0.06
    assert error.mean() < 0.10


NCCL_TESTS = [
    (cluster("h200-sxm-141gb", "aws-p5en", 8), 8, 16 * GiB, 482.26, 0.08, "8 H200, NVLink SHARP"),
    (cluster("h200-sxm-141gb", "aws-p5en", 8), 8, GiB, 463.58, 0.05, "8 H200, NVLink SHARP"),
    (cluster("h200-sxm-141gb", "aws-p5en", 8), 4, 8 * GiB, 363.3, 0.05, "4 H200: no NVLink SHARP below 5"),
    (cluster("b200-sxm", "aws-p6-b200", 8), 8, 8 * GiB, 839.07, 0.05, "8 B200"),
    (cluster("b200-sxm", "aws-p6-b200", 8), 8, 256 * MiB, 646.11, 0.05, "8 B200"),
    (cluster("b200-sxm", "aws-p6-b200", 32), 32, 16 * GiB, 381.8, 0.06, "4 nodes of 8 B200, EFA v4"),
    (cluster("b200-sxm", "aws-p6-b200", 32), 32, MiB, 5.37, 0.10, "4 nodes of 8 B200, EFA v4"),
    (cluster("b200-sxm", "aws-p6-b200", 32), 32, 64 * MiB, 156.74, 0.10, "4 nodes of 8 B200, EFA v4"),
    (H100, 64, 8 * GiB, 386.6, 0.08, "8 nodes of H100, InfiniBand NDR (CoreWeave)"),
    (cluster("gb200", "gb200-nvl72", 72), 72, 8 * GiB, 834.6, 0.05, "GB200 NVL72, one rack (CoreWeave)"),
    (cluster("gb200", "gb200-nvl72", 144), 144, 8 * GiB, 793.1, 0.10, "GB200 NVL72, two racks (CoreWeave)"),
    (cluster("a100-sxm-80gb", gpus=8), 8, 4 * GiB, 233.88, 0.06, "8 A100"),
    (cluster("mi300x", gpus=8), 8, 4 * GiB, 312.9, 0.05, "8 MI300X"),
    (cluster("mi300x", gpus=8), 2, 4 * GiB, 47.7, 0.08, "2 MI300X: one link"),
]
"""All-reduce bus bandwidths, GB/s, as collected in ml-engineering and CoreWeave's nccl-tests (2026-08)."""


@pytest.mark.parametrize(("here", "n", "size", "busbw", "within", "what"), NCCL_TESTS)
def test_other_peoples_nccl_tests(here: Cluster, n: int, size: float, busbw: float, within: float, what: str) -> None:
    reached = 2 * (n - 1) / n * size / all_reduce_time(size, Group(n), here) / GB
    assert reached == pytest.approx(busbw, rel=within), what


def test_fsdp_traffic_stays_on_the_ring() -> None:
    """8 H200, 16 GiB: all-gather 361, reduce-scatter 363; NVLink SHARP lifts all-reduce to 482 GB/s."""
    here, size = cluster("h200-sxm-141gb", "aws-p5en", 8), 16 * GiB
    for time, busbw in ((all_gather_time, 361.4), (reduce_scatter_time, 362.9)):
        assert 7 / 8 * size / time(size, Group(8), here) / GB == pytest.approx(busbw, rel=0.10)


@pytest.mark.parametrize("time", EVERY)
def test_nobody_to_talk_to_takes_no_time(time: Callable[..., Any]) -> None:
    assert time(GiB, Group(1), H100) == 0.0
    assert time(0.0, Group(8), H100) == 0.0


@pytest.mark.parametrize("time", EVERY)
@given(
    size=st.floats(1e3, 1e11),
    n=st.sampled_from([2, 4, 8, 16, 64, 1024]),
    stride=st.sampled_from([1, 2, 4, 8, 16]),
)
def test_more_bandwidth_is_never_slower_and_more_bytes_never_faster(
    time: Callable[..., Any], size: float, n: int, stride: int
) -> None:
    group = Group(n, stride)
    t = time(size, group, H100)
    wider = dataclasses.replace(H100, internode_bandwidth=2 * H100.network_bandwidth)
    faster = dataclasses.replace(H100, node=dataclasses.replace(H100.node, link_bandwidth=900e9))
    assert time(size, group, wider) <= t
    assert time(size, group, faster) <= t
    assert time(2 * size, group, H100) > t > 0


@given(size=st.floats(1e6, 1e11), n=st.sampled_from([2, 4, 8, 32, 256]), stride=st.sampled_from([1, 8]))
def test_all_reduce_is_at_most_scatter_and_gather(size: float, n: int, stride: int) -> None:
    group = Group(n, stride)
    parts = all_gather_time(size, group, H100) + reduce_scatter_time(size, group, H100)
    assert all_reduce_time(size, group, H100) <= 1.1 * parts


def test_who_shares_a_node_and_the_nics() -> None:
    """Tensor ranks are neighbours; data-parallel ranks at tensor degree 8 communicate only over the network."""
    assert Group(8).per_domain(H100) == 8
    assert Group(8, 8).per_domain(H100) == 1
    assert Group(8, 2).per_domain(H100) == 4
    assert Group(64, 2).domains(H100) == 16
    groups = Group(8), Group(16), Group(16, 8)
    inside, across, alone = (all_gather_time(GiB, group, H100) for group in groups)
    assert inside < across < alone / 4


def test_a_rack_is_one_domain() -> None:
    rack = cluster("gb200", "gb200-nvl72", 576)
    assert Group(72).domains(rack) == 1
    assert Group(144).domains(rack) == 2
    assert all_to_all_time(GiB, Group(64), rack) < all_to_all_time(GiB, Group(64), H100) / 5


def test_a_slower_network_shows_only_between_nodes() -> None:
    slow = dataclasses.replace(H100, internode_bandwidth=H100.network_bandwidth / 10)
    assert all_reduce_time(GiB, Group(8), slow) == all_reduce_time(GiB, Group(8), H100)
    assert all_reduce_time(GiB, Group(64), slow) > 5 * all_reduce_time(GiB, Group(64), H100)
    assert point_to_point_time(GiB, Group(2, 8), slow) > 5 * point_to_point_time(GiB, Group(2, 8), H100)


def test_many_small_messages_lose_to_one_large() -> None:
    """8 H200, 1000 all-reduces of 4 MB compared with one of 4 GB: 0.31 of the rate (ml-engineering)."""
    here = cluster("h200-sxm-141gb", "aws-p5en", 8)
    small, large = 1000 * all_reduce_time(4e6, Group(8), here), all_reduce_time(4e9, Group(8), here)
    assert 0.3 < large / small < 0.7


def test_arrays_broadcast_over_groups_and_sizes() -> None:
    sizes, group = np.array([[1e6], [1e9]]), Group(np.array([1, 8, 64]), np.array([1, 1, 8]))
    for time in EVERY:
        t = time(sizes, group, H100)
        assert t.shape == (2, 3)
        assert (t[:, 0] == 0).all()
        assert t[1, 2] == pytest.approx(time(1e9, Group(64, 8), H100), rel=1e-12)


def test_networks_are_named() -> None:
    for network in ("infiniband", "efa", "ethernet", "omni-path"):
        assert 0.3 < network_constants(network).share < 1
    with pytest.raises(EstimateError, match="token-ring"):
        network_constants("token-ring")


def test_what_hiding_a_collective_costs() -> None:
    """A collective that overlaps GEMMs slows them, on H200 by 0.2 to 0.6 of its own time, more with small GEMMs.

    The stacks' share for layer-wise sharding, which is hidden behind GEMMs, must lie in that range.
    """
    t = read(OWN_FILES / "h200_overlap.csv")
    large = t["comm_bytes"] >= 64 * MiB
    lost = t["comm_with_gemm_us"] * (1 - t["gemm_alone_us"] / t["gemm_with_comm_us"])
    cost = (lost / t["comm_alone_us"])[large]
    assert 0.2 < np.quantile(cost, 0.1) < np.quantile(cost, 0.9) < 0.65
    assert cost.min() < load_software("torch-eager").exposed.shard < cost.max()


def test_a_rank_that_crosses_alone_has_the_network_card_nearest_to_it() -> None:
    """aws-p4d has four network cards for eight GPUs: one ring over two nodes crosses with one rank of eight, over one card; eight rings
    share the four."""
    machine = cluster("a100-sxm-40gb", "aws-p4d", 16)
    message = 1e9
    alone, eight = (float(point_to_point_time(message, group, machine)) for group in (Group(16, 1), Group(2, 8)))
    net = network_constants(machine.node.network)
    card = machine.node.nic_bandwidth * net.send_share
    assert alone == pytest.approx(message / card, rel=0.05)
    assert eight == pytest.approx(8 * message / (4 * card), rel=0.05)
    own = cluster("h100-sxm-80gb", "dgx-h100", 16)
    assert float(point_to_point_time(message, Group(16, 1), own)) == float(
        point_to_point_time(message, Group(2, 8), own)
    )


@pytest.mark.parametrize("group", [Group(16, 1), Group(2, 8), Group(4, 4)])
def test_a_further_network_card_never_slows_a_send(group: Group) -> None:
    machine = cluster("a100-sxm-40gb", "aws-p4d", 16)
    cards = [
        dataclasses.replace(machine, node=dataclasses.replace(machine.node, nics=number))
        for number in (1, 2, 3, 4, 7, 8, 9, 16)
    ]
    times = [float(point_to_point_time(1e8, group, one)) for one in cards]
    assert times == sorted(times, reverse=True)
    assert times[0] > times[-1]
