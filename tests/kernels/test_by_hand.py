"""Every formula of kernels/ on a machine with round numbers, against hand calculations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gpuhours.hardware.accelerators import Accelerator
from gpuhours.hardware.kernel_constants import UnfusedConstants
from gpuhours.kernels.attention import attention_time, fused_attention_time, keys_per_query, unfused_attention_time
from gpuhours.kernels.collectives import (
    all_gather_time,
    all_reduce_time,
    all_to_all_time,
    pipelined_time,
    point_to_point_time,
    reduce_scatter_time,
)
from gpuhours.kernels.gemm import gemm_time, padding_bytes, passes_times, thin_experts, tile_time
from gpuhours.kernels.memory_bound import memory_time
from gpuhours.layout.groups import Group
from tests.round_machine import CARD, KERNELS, machine

EIGHT = Group(8)


def test_a_copy() -> None:
    assert memory_time(5e9, CARD) == pytest.approx(5e-3)


def test_a_gemm_is_the_rounded_maximum_of_its_three_limits() -> None:
    tiles = 2 * 4096**3 / 1e15  # 5.12 waves, the last one shared out
    memory = 3 * 2 * 4096**2 / 1e12
    assert gemm_time(4096, 4096, 4096, CARD) == pytest.approx((2 * tiles**8 + memory**8) ** (1 / 8))
    assert gemm_time(4096, 4096, 4096, CARD, count=3) == pytest.approx(3 * (2 * tiles**8 + memory**8) ** (1 / 8))


@pytest.mark.parametrize("many", [1, 5000])
def test_the_passes_of_a_gemm(many: int) -> None:
    """Forward, input gradient and weight gradient are GEMMs of 2 T n k each, in one call or, of many, in three."""
    forward, gradient, weight = passes_times(np.full(many, 4096.0), 4096, 2048, CARD, "bf16", 3, count=2, pads=False)
    tiles, memory = 2 * 4096 * 4096 * 2048 / 1e15, 2 * (4096 * 4096 + 2 * 4096 * 2048) / 1e12
    each = 2 * (2 * tiles**8 + memory**8) ** (1 / 8)
    assert [float(one[-1]) for one in (forward, gradient, weight)] == pytest.approx([each] * 3)
    assert len(passes_times(4096, 4096, 2048, CARD, "bf16", 1, count=1, pads=False)) == 1


@pytest.mark.parametrize(
    ("rows", "columns", "waves"),
    [
        (2560, 2560, 2.0),
        (1280, 2560, 1.0),
        (256, 128, 0.32),
    ],  # 200, 100 and 32 tiles of 256 x 128 or half as large, on 100 SMs
)
def test_tiles_in_waves(rows: int, columns: int, waves: float) -> None:
    """Time by the largest tile; a GEMM of less than a wave is split along k or into smaller tiles, and never beats the full card."""
    gemm = KERNELS.gemm
    assert gemm is not None
    k = 8192
    found = tile_time(*(np.asarray(float(size)) for size in (rows, columns, k, 1)), CARD, gemm, 1e15, 0.0)
    least = 2 * rows * columns * k / 1e15
    largest = max(waves, 1.0) * 2 * 256 * 128 * 100 * k / 1e15
    assert least * (1 - 1e-12) <= found <= largest * (1 + 1e-12)
    if waves >= 1:
        assert found == pytest.approx(least)


@pytest.mark.parametrize(("count", "splits"), [(1, 16), (8, 12), (40, 3), (200, 1)])
def test_gemms_that_do_not_fill_a_wave_are_split(count: int, splits: int) -> None:
    """Tiles of 64 x 64 on 100 SMs: split into parts that fill one wave (at most 16) or three; 3.2 bytes of sums per split and element."""
    gemm = KERNELS.gemm
    assert gemm is not None
    k, waves = 2.0**20, max(1.0, splits * count / 100)
    found = tile_time(*(np.asarray(float(size)) for size in (64, 64, k, count)), CARD, gemm, 1e15, 0.0)
    summing = 2.2e-6 + splits * 3.2 / 1e12 * 64 * 64 * count if splits > 1 else 0.0
    assert found == pytest.approx(waves * 2 * 64 * 64 * 100 / 1e15 * k / splits + summing)


@pytest.mark.parametrize(
    ("m", "n", "k", "weight_gradient", "copied"),
    [
        (64, 64, 64, False, 0),
        (64, 65, 32, False, 2 * 32 * 65),  # the weights
        (64, 48, 33, False, 2 * 33 * (64 + 48)),  # both operands
        (63, 48, 32, True, 2 * 32 * 63),  # the gradient of the output
    ],
)
def test_elements_copied_to_be_aligned(m: int, n: int, k: int, weight_gradient: bool, copied: int) -> None:
    assert padding_bytes(m, n, k, 8.0, weight_gradient) == copied


def test_experts_of_768_tokens_lose_a_tenth() -> None:
    assert thin_experts(768, 8) == pytest.approx(1.1)


def test_fused_attention() -> None:
    """8 heads of 128 over 8,192 tokens, causal: 2 (128 + 128) FLOP for each of 4,096 keys, at half of the peak."""
    size = {"batch": 2, "heads": 8, "kv_heads": 8, "length": 8192, "head_dim": 128}
    forward = 2 * 8 * 8192 * 4096 * 2 * 256 / 0.5e15
    backward = forward * (3 + 2) / 2
    for direction, seconds in (("forward", forward), ("backward", backward)):
        assert attention_time("flash2", direction, CARD, causal=True, **size) == pytest.approx(seconds)
    constants = CARD.attention_constants("flash2").forward
    whole = fused_attention_time(
        constants, "forward", CARD, **size, keys=8192, value_dim=128, causal=False, window=None, dtype="bf16"
    )
    assert whole == pytest.approx(2 * forward)


@pytest.mark.parametrize(
    ("causal", "window", "keys"),
    [
        (False, None, 1024), (True, None, 512),
        (True, 256, 256 - 256 * 256 / 2048), (False, 256, 256 + 128),  # and one block of keys that the window's edge cuts
    ],
)  # fmt: skip
def test_keys_of_a_query(causal: bool, window: int | None, keys: float) -> None:
    constants = CARD.attention_constants("flash2").forward
    assert keys_per_query(np.asarray(1024.0), np.asarray(1024.0), causal, window, constants) == pytest.approx(keys)


def test_unfused_attention_is_its_gemms_and_nine_bytes_a_score() -> None:
    size = {"problems": 16, "length": 1024, "keys": 1024, "head_dim": 64, "value_dim": 64}
    scores = gemm_time(1024, 1024, 64, CARD, count=16)
    sums = gemm_time(1024, 64, 1024, CARD, count=16)
    forward = scores + sums + 16 * 1024 * 1024 * 9 / 1e12
    assert unfused_attention_time("forward", CARD, **size) == pytest.approx(forward)
    backward = scores + 3 * sums + 16 * 1024 * 1024 * 11 / 1e12
    assert unfused_attention_time("backward", CARD, **size) == pytest.approx(backward)


def test_odd_rows_run_at_a_small_share_of_the_peak() -> None:
    """257 tokens (patches and a class token) use tiles of 64, so 320 rows, at 1 % of the peak; 258 tokens run at 2 %."""
    size = {"problems": 160, "length": 257, "keys": 257, "head_dim": 64, "value_dim": 64}
    scores = 160 * 257 * 257 * 9 / 1e12
    slow = 2 * 160 * 320 * 320 * 64 / 0.01e15, 2 * 160 * 320 * 64 * 257 / 0.01e15
    card = replace(
        CARD, kernels=KERNELS.model_copy(update={"unfused": UnfusedConstants(source="by hand", odd=0.01, even=0.02)})
    )
    assert unfused_attention_time("forward", card, **size) == pytest.approx(sum(slow) + scores)
    even = unfused_attention_time("forward", card, problems=160, length=258, keys=258, head_dim=64, value_dim=64)
    assert even == pytest.approx((slow[0] + slow[1] * 258 / 257) / 2 + 160 * 258 * 258 * 9 / 1e12)


def test_a_message_in_chunks() -> None:
    """1 ms of bytes, 40 us to fill: (sqrt(x) + sqrt(f))^2 - f in addition to the latency."""
    assert pipelined_time(1e-3, 5e-6, 4e-5) == pytest.approx(5e-6 + 1e-3 + 2 * 2e-4)


@pytest.mark.parametrize(
    ("collective", "seconds"),
    [
        (all_gather_time, 8e9 * 7 / 8 / 1e11),
        (reduce_scatter_time, 8e9 * 7 / 8 / 1e11),
        (all_reduce_time, 2 * 8e9 * 7 / 8 / 1e11),
        (all_to_all_time, 8e9 * 7 / 8 / 1e11),
        (point_to_point_time, 8e9 / 1e11),
    ],
)
def test_eight_gigabytes_among_eight_ranks_of_a_node(collective: object, seconds: float) -> None:
    assert collective(8e9, EIGHT, machine(8)) == pytest.approx(seconds)  # type: ignore[operator]
    assert collective(8e9, Group(1), machine(8)) == 0  # type: ignore[operator]


LATENT = KERNELS.links.model_copy(update={"launch": 1e-5, "step": 1e-6, "fill": 4e-5}) if KERNELS.links else None
"""10 us to start, 1 us per step, 40 us to fill."""
APART = replace(machine(16), accelerator=replace(CARD, kernels=KERNELS.model_copy(update={"links": LATENT})))
"""Two nodes of eight with a NIC of 10 GB/s per GPU, of which large rings reach 0.94, exchanges 0.85, sends 0.95."""


def filled(seconds: float, fill: float) -> float:
    return seconds + 2 * (fill * seconds) ** 0.5


@pytest.mark.parametrize(
    ("collective", "seconds", "latency"),
    [
        (all_gather_time, 8e9 * 15 / 16 / 8 / 0.94e10, 1e-5 + 14 * 1e-6 + 8e-6 + 1e-5),
        (reduce_scatter_time, 8e9 * 15 / 16 / 8 / 0.94e10, 1e-5 + 14 * 1e-6 + 8e-6 + 1e-5),
        (all_reduce_time, 2 * 8e9 * 15 / 16 / 8 / 0.94e10, 1e-5 + 8e-6 + 2 * 1e-5),
        (all_to_all_time, 8e9 * 8 / 16 / 0.85e10, 1e-5 + 8e-6 + 1e-5 + 8 * 0.5e-6),
        (point_to_point_time, 8e9 / 0.95e10, 1e-5 + 1e-5),
    ],
)
def test_eight_gigabytes_among_sixteen_ranks_of_two_nodes(collective: object, seconds: float, latency: float) -> None:
    """Eight rings or trees side by side; InfiniBand starts in 8 us, steps in 10 and fills in 6."""
    found = collective(8e9, Group(16), APART)  # type: ignore[operator]
    assert found == pytest.approx(latency + filled(seconds, 6e-6), rel=1e-9)


@pytest.mark.parametrize(
    ("collective", "seconds", "latency", "fill"),
    [
        (all_gather_time, 8e9 * 7 / 8 / 1e11, 1e-5 + 7 * 1e-6, 4e-5),
        (all_reduce_time, 2 * 8e9 * 7 / 8 / 1e11, 1e-5 + 14 * 1e-6, 4e-5),
        (all_to_all_time, 8e9 * 7 / 8 / 1e11, 1e-5 + 1e-6, 4e-5),
        (point_to_point_time, 8e9 / 1e11, 1e-5 + 1e-6, 1e-6),
    ],
)
def test_latencies_inside_a_node(collective: object, seconds: float, latency: float, fill: float) -> None:
    assert collective(8e9, EIGHT, APART) == pytest.approx(latency + filled(seconds, fill), rel=1e-9)  # type: ignore[operator]


def test_slow_links_decide_even_where_nodes_are_crossed() -> None:
    """With links at a hundredth of their rate, 16 ranks take as long as eight ranks inside a node."""
    slow = replace(APART, node=replace(APART.node, link_bandwidth=1e9))
    assert all_gather_time(8e9, Group(16), slow) == pytest.approx(42e-6 + filled(8e9 * 15 / 16 / 1e9, 4e-5), rel=1e-9)
    assert all_to_all_time(8e9, Group(16), slow) == pytest.approx(11e-6 + filled(8e9 * 7 / 16 / 1e9, 4e-5), rel=1e-9)
    inside = filled(2 * 8e9 * 15 / 16 / 1e9, 4e-5) + 14e-6
    assert all_reduce_time(8e9, Group(16), slow) == pytest.approx(1e-5 + 8e-6 + 2e-5 + inside, rel=1e-9)


def test_a_rank_without_a_switch_reaches_each_peer_over_one_link() -> None:
    """Four of eight ranks reach three peers, 3 x 10 GB/s; a message to one peer uses one link."""
    meshed = replace(machine(8), accelerator=replace(CARD, pair_bandwidth=1e10))
    assert all_gather_time(8e9, Group(4), meshed) == pytest.approx(8e9 * 3 / 4 / 3e10)
    assert point_to_point_time(8e9, Group(4), meshed) == pytest.approx(8e9 / 1e10)


def test_a_switch_that_adds_up_from_five_ranks() -> None:
    """Half of the message crosses each link again: 2 M 7/8 at twice the rate; four ranks have no gain."""
    switch = KERNELS.links.model_copy(update={"switch_share": 2.0, "switch_fill": 1e-5, "step": 1e-6})  # type: ignore[union-attr]
    sharp = replace(
        machine(8), accelerator=replace(CARD, kernels=KERNELS.model_copy(update={"links": switch})),
        node=replace(machine(8).node, sharp=True),
    )  # fmt: skip
    assert all_reduce_time(8e9, EIGHT, sharp) == pytest.approx(4e-6 + filled(2 * 8e9 * 7 / 8 / 2e11, 1e-5), rel=1e-9)
    assert all_reduce_time(8e9, Group(4), sharp) == pytest.approx(2 * 8e9 * 3 / 4 / 1e11 + 6e-6)
    assert all_reduce_time(8e9, EIGHT, replace(sharp, node=machine(8).node)) == pytest.approx(
        2 * 8e9 * 7 / 8 / 1e11 + 14e-6
    )


def test_a_rank_that_crosses_alone_has_the_nodes_shared_nics() -> None:
    """Four NICs for eight GPUs: two ranks of a node that send in turn have 2 x 5 GB/s, a single one has 5 GB/s."""
    shared = replace(machine(16), node=replace(machine(16).node, nics=4))
    assert point_to_point_time(8e9, Group(4, 4), shared) == pytest.approx(1e-5 + filled(8e9 / 0.95e10, 6e-6), rel=1e-9)
    assert point_to_point_time(8e9, Group(2, 8), shared) == pytest.approx(1e-5 + filled(8e9 / 0.475e10, 6e-6), rel=1e-9)


def fused(direction: str = "forward", *, card: Accelerator = CARD, causal: bool = False, **asked: Any) -> float:
    """Return the time of eight heads, two of keys and values, 1,024 tokens; ``asked`` sets sizes or constants of the kernel."""
    sizes = {"batch": 1, "heads": 8, "kv_heads": 2, "length": 1024, "keys": 1024, "head_dim": 128, "value_dim": 128}
    constants = CARD.attention_constants("flash2").forward.model_copy(
        update={name: value for name, value in asked.items() if name not in sizes}
    )
    chosen = {**sizes, **{name: value for name, value in asked.items() if name in sizes}}
    return float(fused_attention_time(constants, direction, card, causal=causal, window=None, dtype="bf16", **chosen))


PAIRS = 8 * 1024 * 1024
"""Queries by keys, of all heads."""
PLAIN = PAIRS * 2 * 256 / 0.5e15


def test_fused_attention_fact_by_fact() -> None:
    """Half of the peak, varying one constant at a time; with 100 multiprocessors, query blocks are 128 long."""
    assert fused() == pytest.approx(PLAIN)
    assert fused(overhead_keys=16.0) == pytest.approx(PLAIN * 1040 / 1024)
    assert fused(tail=0.5) == pytest.approx(PLAIN * (PAIRS + 0.5 * 128 * 100 * 1024) / PAIRS)
    assert fused(tail=0.5, overhead_keys=16.0, causal=True) == pytest.approx(
        2 * 256 / 0.5e15 * (8 * 1024 * (512 + 16) + 0.5 * 128 * 100 * (1024 + 16))
    )
    assert fused(launch=1e-5) == pytest.approx(PLAIN + 1e-5)
    assert fused(throttle=0.5) == pytest.approx(PLAIN * (1 + 0.5 * PLAIN / (PLAIN + 0.02)))
    assert fused(length=1000) == pytest.approx(PLAIN), "whole query blocks"
    assert fused("backward") == pytest.approx(PLAIN * 5 / 2)
    assert fused(batch=0) == 0


def test_head_sizes_that_a_kernel_pads() -> None:
    """80 runs as 128, all or a quarter of it; 72 at half the rate; 160 as three blocks of 64; keys of 64 and values of 128 between."""
    assert fused(head_dim=80, value_dim=80) == pytest.approx(PLAIN)
    assert fused(head_dim=80, value_dim=80, padded_share=0.25) == pytest.approx(PLAIN * (0.25 * 128 + 0.75 * 80) / 128)
    assert fused(head_dim=72, odd_head=0.5) == pytest.approx(2 * PLAIN)
    assert fused(head_dim=160, value_dim=160) == pytest.approx(PLAIN * 192 / 128)
    two = {"efficiency": {64: 0.4, 128: 0.6}}
    assert fused(**two, head_dim=64) == pytest.approx(PLAIN * 0.5 / 0.5 * (64 + 128) / 256)
    assert fused(**two) == pytest.approx(PLAIN * 0.5 / 0.6)
    slow = PLAIN * 0.5 / 0.4 / 2
    cool = fused(**two, head_dim=64, value_dim=64, throttle=0.5)
    assert cool == pytest.approx(slow * (1 + 0.5 * (0.4 / 0.6) ** 4 * slow / (slow + 0.02))), (
        "what draws less keeps its clock"
    )


def test_attention_no_faster_than_its_bytes() -> None:
    """1 GB/s of memory, of which 0.85 is reached: eight heads of queries and outputs, two of keys and values; 2.25 times that backward."""
    slow = replace(CARD, memory_bandwidth=1e9)
    moved = 2 * (8 + 2) * 1024 * 256 / 0.85e9
    assert fused(card=slow) == pytest.approx(moved)
    assert fused("backward", card=slow) == pytest.approx(2.25 * moved)
    assert fused(card=slow, keys=256) == pytest.approx(2 * (8 * 1024 + 2 * 256) * 256 / 0.85e9)
