"""Edge cases: the first rank, domain or row at which a kernel's time changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gpuhours.hardware.clusters import cluster
from gpuhours.hardware.kernel_constants import network_constants
from gpuhours.kernels.attention import attention_time, unfused_attention_time
from gpuhours.kernels.collectives import _unless_alone, all_gather_time, all_to_all_time
from gpuhours.kernels.gemm import gemm_time, padding_bytes
from gpuhours.kernels.memory_bound import memory_time
from gpuhours.layout.groups import Group
from tests.round_machine import CARD, KERNELS, LINK, NODE, machine


def test_two_domains_are_met_with_the_networks_latency() -> None:
    """A ring over two nodes of eight: its launch, one step between nodes and fifteen steps of the ring, plus the time of a byte."""
    net = network_constants(NODE.network)
    inside = float(all_gather_time(16.0, Group(8, 1), machine(8)))
    across = float(all_gather_time(16.0, Group(16, 1), machine(16)))
    assert inside == pytest.approx(0.0, abs=1e-9)
    assert across == pytest.approx(net.launch + net.step + 15 * net.ring_step, rel=0.01)


def test_nothing_to_send_takes_no_time_and_one_byte_does() -> None:
    assert _unless_alone(np.asarray(2.0), np.asarray([0.0, 1.0, 2.0])).tolist() == [0.0, 2.0, 2.0]


def test_an_exchange_copies_its_own_share_there_and_back() -> None:
    """M / n at twice the copy bandwidth: 8 GB among 8 ranks at 1 TB/s, in addition to 7/8 of it over the links."""
    links = KERNELS.links.model_copy(update={"copy_bandwidth": 1e12})
    card = replace(CARD, kernels=KERNELS.model_copy(update={"links": links}))
    machines = replace(machine(8), accelerator=card)
    assert float(all_to_all_time(8e9, Group(8, 1), machines)) == pytest.approx(7e9 / LINK + 1e9 / 2e12)


@pytest.mark.parametrize(("head", "value"), [(64, 60), (60, 64), (60, 60)])
def test_one_odd_width_is_enough_to_be_read_unaligned(head: int, value: int) -> None:
    """If a width is not a multiple of 8, GEMMs run on tiles of 64 at 1 % of the peak: both take 2 p s s 64 of it."""
    slow = KERNELS.unfused.model_copy(update={"even": 0.01})
    card = replace(CARD, kernels=KERNELS.model_copy(update={"unfused": slow}))
    found, aligned = (
        float(
            unfused_attention_time("forward", one, problems=64, length=4096, keys=4096, head_dim=head, value_dim=value)
        )
        for one in (card, CARD)
    )
    assert found > 1.5 * aligned
    assert found > 2 * 2 * 64 * 4096**2 * 56 / (0.01 * 1e15)


@pytest.mark.parametrize("pads", [False, True])
def test_the_smallest_gemm_takes_time_and_none_takes_none(pads: bool) -> None:
    """One multiply-add; no rows, no columns or nothing to sum over; each at its place in an array."""
    for card in (CARD, cluster("h100-sxm-80gb", gpus=1).accelerator):
        found = gemm_time(np.asarray([1, 0, 1, 1]), np.asarray([1, 1, 0, 1]), np.asarray([1, 1, 1, 0]), card, pads=pads)
        assert np.greater(found, 0).tolist() == [True, False, False, False]
        assert float(gemm_time(1, 1, 1, card, count=0, pads=pads)) == 0


def test_one_element_over_a_multiple_is_unaligned() -> None:
    """A vocabulary of 4,097, a head of 113, one byte: the first element or byte over a multiple already makes it unaligned."""
    card = cluster("h100-sxm-80gb", gpus=1).accelerator
    odd = card.alignment_constants.odd
    times = {size: float(gemm_time(4096, size, 4096, card)) for size in (4096, 4097, 4104)}
    assert times[4104] < 1.1 * times[4096]
    assert times[4097] > 0.9 * odd.n * times[4096] > times[4096]
    inner = {size: float(gemm_time(4096, 4096, size, card)) for size in (4096, 4097)}
    assert inner[4097] > 0.9 * odd.k * inner[4096]
    assert [int(padding_bytes(8, n, k, 8, False)) for n, k in ((8, 8), (9, 8), (8, 9))] == [0, 2 * 8 * 9, 2 * 9 * 16]
    assert [float(memory_time(moved, CARD)) for moved in (0, 1)] == [0.0, pytest.approx(1e-12, abs=0)]
    shape = {"batch": 1, "heads": 1, "kv_heads": 1, "causal": False}
    assert float(attention_time("flash2", "forward", CARD, length=1, head_dim=16, **shape)) > 0
    assert float(attention_time("flash2", "forward", CARD, length=0, head_dim=16, **shape)) == 0
    slow = KERNELS.attention["flash2"].forward.model_copy(update={"odd_head": 0.5})
    slower = KERNELS.attention["flash2"].model_copy(update={"forward": slow})
    halved = replace(CARD, kernels=KERNELS.model_copy(update={"attention": {"flash2": slower}}))
    for head, times_as_long in ((112, 1), (113, 2), (128, 1)):
        usual, found = (
            float(attention_time("flash2", "forward", one, length=4096, head_dim=head, **shape))
            for one in (CARD, halved)
        )
        assert found == pytest.approx(times_as_long * usual)
