"""Formulas of kernels/ with constants other than 0 and 1 and with unequal sizes, against hand calculations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gpuhours.hardware.kernel_constants import (
    AlignmentConstants,
    ByDimension,
    GemmConstants,
    LinkConstants,
    MemoryConstants,
    UnfusedConstants,
    network_constants,
)
from gpuhours.kernels.attention import attention_time, keys_per_query, unfused_attention_time
from gpuhours.kernels.collectives import all_gather_time, all_reduce_time, all_to_all_time
from gpuhours.kernels.gemm import gemm_time, padding_bytes, passes_times, thin_experts, tile_time
from gpuhours.kernels.memory_bound import memory_time
from gpuhours.layout.groups import Group
from tests.round_machine import CARD, KERNELS, LINK, machine

GEMM = GemmConstants(
    source="by hand", tile_efficiency=0.8, reuse_exponent=1.5, prologue=100, ceiling=0.7, memory_share=0.6, launch=5e-6,
    whole_waves=True, four_bit=0.9,
)  # fmt: skip
ODD, EVEN = ByDimension(n=3, k=5, m=7), ByDimension(n=1.5, k=2.5, m=3.5)
CROOKED = replace(
    CARD, peak={"bf16": 1e15, "fp8": 2e15, "fp4": 4e15, "fp32": 1e14, "tf32": 5e14}, memory_bandwidth=3e12,
    kernels=KERNELS.model_copy(update={
        "gemm": GEMM,
        "memory": MemoryConstants(source="by hand", copy_share=0.8, launch=3e-6),
        "alignment": AlignmentConstants(source="by hand", odd=ODD, even=EVEN),
        "unfused": UnfusedConstants(source="by hand", odd=0.01, even=0.03),
        "links": LinkConstants(
            source="by hand", ring_share=0.8, exchange_share=0.7, copy_bandwidth=4e11, launch=1e-5, step=2e-6, fill=3e-5,
        ),
    }),
)  # fmt: skip
"""3 TB/s; 100 multiprocessors."""


def tiled(m: float, n: float, k: float, count: float = 1, *, prologue: float = 100.0, **constants: Any) -> float:
    chosen = GEMM.model_copy(update=constants)
    return float(tile_time(*(np.asarray(float(size)) for size in (m, n, k, count)), CROOKED, chosen, 1e15, prologue))


def tile(rows: int, columns: int, deep: float) -> float:
    """Return the seconds of a wave of 100 tiles with so many GEMMs along k, at 0.8 of the peak and less by their reuse over 85.3."""
    return 2 * rows * columns * 100 * deep / (1e15 * 0.8 * (rows * columns / (rows + columns) / (256 / 3)) ** 1.5)


@pytest.mark.parametrize(
    ("m", "n", "best"),
    [
        (256 * 100, 128, (256, 128)), (128, 256 * 100, (128, 256)), (128 * 10, 128 * 10, (128, 128)),
        (64 * 10, 128 * 10, (64, 128)), (64 * 10, 64 * 10, (64, 64)),
    ],
)  # fmt: skip
def test_a_hundred_tiles_are_a_wave(m: int, n: int, best: tuple[int, int]) -> None:
    """64 GEMMs along k, and 100 for prologue and epilogue."""
    assert tiled(m, n, 64) == pytest.approx(tile(*best, 64 + 100))


def test_waves_and_splits() -> None:
    """150 tiles are two waves, or 1.5; 10 tiles are split into ten parts, 40 into three of 120; sums of 3.2 bytes at 0.6 of 3 TB/s."""
    assert tiled(256 * 150, 128, 64) == pytest.approx(2 * tile(256, 128, 164))
    assert tiled(256 * 150, 128, 64, whole_waves=False) == pytest.approx(1.5 * tile(256, 128, 164))
    sums = 3.2 * 256 * 10 * 128 / (0.6 * 3e12)
    assert tiled(256 * 10, 128, 2**17) == pytest.approx(tile(256, 128, 2**17 / 10 + 100) + 2.2e-6 + 10 * sums)
    thirds = 1.2 * tile(256, 128, 2**17 / 3 + 100) + 2.2e-6 + 3 * 4 * sums
    assert tiled(256 * 10, 128, 2**17, 4, whole_waves=False) == pytest.approx(thirds)


@pytest.mark.parametrize(
    ("dtype", "peak", "read", "reached"),
    [("bf16", 1e15, 2, 1), ("fp8", 2e15, 1, 1), ("nvfp4", 4e15, 0.5 + 1 / 16, 0.9), ("fp32", 1e14, 4, 1)],
)
def test_a_gemm_by_format(dtype: str, peak: float, read: float, reached: float) -> None:
    """Three GEMMs of 512 x 1,024 over 256: 0.7 of the peak, 0.6 of the bandwidth, 5 us; fp32 alone writes 4 bytes. The tiles' start
    lasts as long in every format."""
    m, n, k, rate = 512, 1024, 256, peak * reached
    tiles = float(
        tile_time(*(np.asarray(float(size)) for size in (m, n, k, 3)), CROOKED, GEMM, rate, 100 * rate / 1e15)
    )
    whole = 2 * 3 * m * n * k / (0.7 * rate)
    moved = 3 * (read * (m * k + k * n) + (4 if dtype == "fp32" else 2) * m * n) / (0.6 * 3e12)
    together = (tiles**8 + whole**8 + moved**8) ** (1 / 8)
    assert gemm_time(m, n, k, CROOKED, dtype, count=3) == pytest.approx(together + 5e-6)
    assert gemm_time(m, n, 0, CROOKED, dtype) == 0


@pytest.mark.parametrize(
    ("m", "n", "k", "weight_gradient", "factor"),
    [
        (511, 1024, 256, False, 1), (512, 1023, 256, False, 3), (512, 1022, 256, False, 1.5), (512, 1024, 255, False, 5),
        (512, 1024, 254, False, 2.5), (511, 1024, 256, True, 7), (510, 1024, 256, True, 3.5), (511, 1023, 255, True, 3),
        (512, 1024, 255, True, 1), (512, 1023, 254, False, 3),
    ],
)  # fmt: skip
def test_strides_that_are_no_multiple_of_16_bytes(m: int, n: int, k: int, weight_gradient: bool, factor: float) -> None:
    """By the side that lies contiguous, outputs first; 8 elements of 2 bytes fill 16; a compiler copies them into aligned ones."""
    smooth = AlignmentConstants(source="by hand", odd=ByDimension(n=1, k=1, m=1), even=ByDimension(n=1, k=1, m=1))
    level = replace(CROOKED, kernels=CROOKED.kernels.model_copy(update={"alignment": smooth}))  # type: ignore[union-attr]
    asked: dict[str, Any] = {"weight_gradient": weight_gradient, "count": 2}
    straight, slow = (float(gemm_time(m, n, k, card, **asked)) for card in (level, CROOKED))
    assert slow == pytest.approx(factor * straight)
    copied = 2 * 2 * float(padding_bytes(m, n, k, 8, weight_gradient)) / (0.8 * 3e12) + 3e-6
    padded = float(gemm_time(m, n, k, CROOKED, pads=True, **asked))
    assert padded == pytest.approx(min(slow, straight + copied) if factor > 1 else straight)
    assert float(gemm_time(m, n, k, CROOKED, "fp32", **asked)) == float(gemm_time(m, n, k, level, "fp32", **asked))


def test_twelve_in_a_row_fill_16_bytes_of_four_but_not_of_eight() -> None:
    assert padding_bytes(16, 12, 8, 4.0, False) == 0
    assert padding_bytes(16, 12, 8, 8.0, False) == 2 * 8 * 12
    assert padding_bytes(16, 12, 12, 8.0, False) == 2 * 12 * (16 + 12)


@pytest.mark.parametrize(
    ("tokens", "count", "factor"), [(256, 2, 1.2), (896, 2, 1.05), (1024, 2, 1), (2048, 2, 1), (64, 1, 1)]
)
def test_few_tokens_for_each_of_several_experts(tokens: int, count: int, factor: float) -> None:
    assert thin_experts(tokens, count) == pytest.approx(factor)


@pytest.mark.parametrize("many", [1, 4097])
def test_three_passes_of_a_gemm(many: int) -> None:
    """Forward [T, n] over k, input gradient [T, k] over n, weight gradient [n, k] over T, in one call or, of many, in three; 1,023 outputs
    are odd for each in its own way."""
    tokens, n, k = np.full(many, 512.0), 1023, 256
    found = passes_times(tokens, n, k, CROOKED, "bf16", 3, count=2, pads=False)
    alone = [
        gemm_time(512, n, k, CROOKED, count=2), gemm_time(512, k, n, CROOKED, count=2),
        gemm_time(n, k, 512, CROOKED, count=2, weight_gradient=True),
    ]  # fmt: skip
    assert [float(each[-1]) for each in found] == pytest.approx([float(each) for each in alone])
    assert len(passes_times(tokens, n, k, CROOKED, "bf16", 1, count=2, pads=False)) == 1


def test_a_copy_at_a_share_of_the_bandwidth() -> None:
    assert memory_time(2.4e9, CROOKED) == pytest.approx(1e-3 + 3e-6)
    assert memory_time(0.0, CROOKED) == 0


def test_unfused_attention_of_unlike_sides() -> None:
    """24 heads, 512 queries and 1,024 keys, head size 64, value size 128: five GEMMs, 9 and 11 bytes per score, and two launches."""
    size = {"problems": 24, "length": 512, "keys": 1024, "head_dim": 64, "value_dim": 128}
    gemm = {shape: float(gemm_time(*shape, CROOKED, count=24)) for shape in (
        (512, 1024, 64), (512, 128, 1024), (512, 1024, 128), (1024, 128, 512), (512, 64, 1024), (1024, 64, 512))}  # fmt: skip
    copies = 24 * 512 * 1024 / (0.8 * 3e12)
    forward = gemm[512, 1024, 64] + gemm[512, 128, 1024] + 9 * copies + 2 * 3e-6
    assert unfused_attention_time("forward", CROOKED, **size) == pytest.approx(forward)
    back = gemm[512, 1024, 128] + gemm[1024, 128, 512] + gemm[512, 64, 1024] + gemm[1024, 64, 512]
    assert unfused_attention_time("backward", CROOKED, **size) == pytest.approx(back + 11 * copies + 2 * 3e-6)
    assert unfused_attention_time("forward", CROOKED, **{**size, "problems": 0}) == 0


@pytest.mark.parametrize(
    ("keys", "head", "value", "unaligned", "share"),
    [
        (1023, 64, 64, None, 0.01), (1022, 64, 64, None, 0.03), (1024, 63, 64, None, 0.01), (1024, 62, 64, None, 0.03),
        (1024, 64, 63, None, 0.01), (1024, 64, 62, None, 0.03), (1022, 64, 64, 0.5, 0.005),
    ],
)  # fmt: skip
def test_unaligned_scores(keys: int, head: int, value: int, unaligned: float | None, share: float) -> None:
    """Tiles of 64 at the share of the peak that applies to odd sizes, even sizes and older libraries."""
    size: dict[str, Any] = {
        "problems": 24,
        "length": 500,
        "keys": keys,
        "head_dim": head,
        "value_dim": value,
        "unaligned": unaligned,
    }
    wide = -(-value // 64) * 64
    slow = 2 * 24 * 512 * (1024 * head + wide * keys) / (share * 1e15)
    copies = 9 * 24 * 500 * keys / (0.8 * 3e12) + 2 * 3e-6
    assert unfused_attention_time("forward", CROOKED, **size) == pytest.approx(slow + copies)


def test_wider_elements_are_taken_as_aligned() -> None:
    """In fp32, 1,022 keys and heads of 62 and 125 run as 1,024, 64 and 128; the number of score rows is unchanged."""
    size = {"problems": 24, "length": 500, "keys": 1022, "head_dim": 62, "value_dim": 125}
    rounded = gemm_time(500, 1024, 64, CROOKED, "fp32", count=24) + gemm_time(500, 128, 1024, CROOKED, "fp32", count=24)
    copies = 9 * 24 * 500 * 1022 / (0.8 * 3e12) + 2 * 3e-6
    assert unfused_attention_time("forward", CROOKED, dtype="fp32", **size) == pytest.approx(rounded + copies)


def test_keys_in_windows_and_blocks() -> None:
    """Blocks of 100 keys, 40 wasted beside the diagonal: never more than all blocks, and never more than without the window."""
    facts = CARD.attention_constants("flash2").forward.model_copy(update={"key_block": 100.0, "diagonal": 40.0})

    def keys(all_keys: float, causal: bool, window: float | None) -> float:
        return float(keys_per_query(np.asarray(1.0), np.asarray(all_keys), causal, window, facts))

    assert keys(950, False, None) == 1000
    assert keys(950, True, None) == (950 + 40) / 2
    assert keys(30, True, None) == (30 + 40) / 2
    assert keys(950, False, 300) == 300 + 100
    assert keys(950, True, 300) == pytest.approx(300 - 300 * 300 / 1900 + 40)
    assert keys(950, False, 5000) == 1000
    assert keys(950, True, 5000) == (950 + 40) / 2


def test_which_kernel_and_whose_format() -> None:
    """Dropout on scores applies the kernel's own factor; 4-byte inputs run in PyTorch's memory-efficient kernel, at the TF32 rate."""
    fused = CROOKED.attention_constants("flash2")
    dropping = fused.model_copy(update={"forward": fused.forward.model_copy(update={"dropout": 1.25})})
    card = replace(CROOKED, kernels=CROOKED.kernels.model_copy(update={"attention": {"flash2": dropping}}))  # type: ignore[union-attr]
    size: dict[str, Any] = {"batch": 3, "heads": 6, "kv_heads": 2, "length": 2048, "head_dim": 128, "causal": False}
    plain = float(attention_time("flash2", "forward", card, **size))
    assert plain == pytest.approx(3 * 6 * 2048 * 2048 * 2 * 256 / 0.5e15)
    assert attention_time("flash2", "forward", card, dropped=True, **size) == pytest.approx(1.25 * plain)
    assert attention_time("flash2", "backward", card, dropped=True, **size) == pytest.approx(2.5 * plain)
    wide = float(attention_time("flash2", "forward", card, dtype="fp32", **size))
    assert wide == float(attention_time("cudnn", "forward", card, dtype="tf32", **size))
    assert wide > 2 * plain
    scores = {"problems": 18, "length": 2048, "keys": 2048, "head_dim": 128, "value_dim": 128}
    assert attention_time("unfused", "forward", card, dropped=True, **size) == unfused_attention_time(
        "forward", card, **scores
    )


NODES = replace(machine(16), accelerator=CROOKED)
NET = network_constants("infiniband")


def chunks(seconds: float, fill: float) -> float:
    return seconds + 2 * (fill * seconds) ** 0.5


def test_collectives_with_shares_latencies_and_copies() -> None:
    """8 GB among eight ranks at 0.8 or 0.7 of 100 GB/s, a share copied at 400 GB/s: 10 us to start, 2 us per step, 30 us to fill."""
    eight, inside = Group(8), NODES
    gather = 8e9 * 7 / 8 / 0.8e11 + 1e9 / 4e11
    assert all_gather_time(8e9, eight, inside) == pytest.approx(1e-5 + 7 * 2e-6 + chunks(gather, 3e-5))
    ring = 2 * 8e9 * 7 / 8 / 0.8e11 + 1e9 / 4e11
    assert all_reduce_time(8e9, eight, inside) == pytest.approx(1e-5 + 14 * 2e-6 + chunks(ring, 3e-5))
    exchange = 8e9 * 7 / 8 / 0.7e11 + 1e9 / 8e11
    assert all_to_all_time(8e9, eight, inside) == pytest.approx(1e-5 + 2e-6 + chunks(exchange, 3e-5))
    assert all_gather_time(8e9, Group(2, 8), inside) == pytest.approx(
        1e-5 + NET.launch + NET.step + NET.ring_step + chunks(8e9 / 2 / (float(NET.typical_share(2)) * 1e10), NET.fill)
    ), "one rank a node uses its own NIC"
    assert LINK == 1e11
    far = replace(inside, node=replace(inside.node, network="efa-p5"))
    efa = network_constants("efa-p5")
    assert min(efa.launch, efa.step, efa.ring_step) > 0
    started = 1e-5 + 14 * 2e-6 + efa.launch + efa.step + 15 * efa.ring_step
    assert float(all_gather_time(16.0, Group(16), far)) == pytest.approx(started, rel=0.05)
