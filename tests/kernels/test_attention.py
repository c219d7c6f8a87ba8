"""Attention kernels against our own measurements, published curves, and laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuhours.hardware.accelerators import load_accelerator
from gpuhours.hardware.libraries import libraries_of
from gpuhours.inputs.errors import EstimateError
from gpuhours.kernels.attention import AttentionKernel, attention_time
from tests.benchmarks.kernels import own_attention

OWN = {row.title: row for row in own_attention()}
H200, H100, A100 = (load_accelerator(name) for name in ("h200-sxm-141gb", "h100-sxm-80gb", "a100-sxm-80gb"))


@pytest.mark.parametrize("title", OWN)
def test_kernels_on_h200(title: str) -> None:
    row = OWN[title]
    error = np.abs(row.predicted / row.measured - 1)
    assert error.mean() < 0.045
    assert np.median(error) < 0.03
    assert np.quantile(error, 0.9) < 0.10


FLASH2_A100: dict[tuple[int, bool], dict[int, float]] = {
    (64, False): {512: 132, 2048: 162, 4096: 171, 8192: 175, 16384: 176},
    (128, False): {2048: 187, 4096: 196, 8192: 201, 16384: 203},
    (64, True): {512: 88, 1024: 119, 2048: 140, 4096: 156, 8192: 165, 16384: 171},
    (128, True): {512: 99, 1024: 133, 2048: 155, 4096: 173, 8192: 182, 16384: 189},
}
FLASH2_H100: dict[tuple[int, bool], dict[int, float]] = {
    (64, False): {512: 215, 1024: 254, 2048: 274, 4096: 288, 8192: 294, 16384: 296},
    (128, False): {512: 248, 1024: 294, 2048: 320, 4096: 326, 8192: 335, 16384: 338},
    (64, True): {512: 141, 1024: 192, 2048: 232, 4096: 257, 8192: 273, 16384: 284},
    (128, True): {512: 163, 1024: 221, 2048: 265, 4096: 294, 8192: 308, 16384: 328},
}
FLASH3_H100: dict[tuple[int, bool], dict[int, float]] = {
    (64, False): {512: 333, 1024: 392, 2048: 460, 4096: 476, 8192: 496, 16384: 497},
    (128, False): {512: 467, 1024: 565, 2048: 625, 4096: 638, 8192: 646, 16384: 648},
    (128, True): {512: 292, 1024: 423, 2048: 521, 4096: 579, 8192: 602, 16384: 616},
    (256, True): {512: 286, 1024: 427, 2048: 537, 4096: 612, 8192: 628, 16384: 642},
}
CUDNN_H100: dict[tuple[int, bool], dict[int, float]] = {
    (128, True): {512: 315, 1024: 410, 2048: 484, 4096: 518, 8192: 529, 16384: 539}
}


def tflops(kernel: str, card: Any, head_dim: int, causal: bool, length: int, directions: tuple[str, ...]) -> float:
    """Return TFLOP/s as the papers count: 16384 tokens, width 2048, causal FLOPs halved, backward 2.5 times forward."""
    batch, heads = 16384 // length, 2048 // head_dim
    shape = {"batch": batch, "heads": heads, "kv_heads": heads, "length": length, "head_dim": head_dim}
    time = sum(attention_time(kernel, direction, card, causal=causal, **shape) for direction in directions)
    flop = 4 * batch * heads * length**2 * head_dim * (0.5 if causal else 1.0)
    return flop * (3.5 if len(directions) == 2 else 1.0) / time / 1e12


@pytest.mark.parametrize(
    ("kernel", "card", "published", "directions", "mean", "worst"),
    [
        ("flash2", A100, FLASH2_A100, ("forward", "backward"), 0.015, 0.04),
        ("flash2", H100, FLASH2_H100, ("forward", "backward"), 0.035, 0.07),
        ("flash3", H100, FLASH3_H100, ("forward",), 0.035, 0.12),
        ("cudnn", libraries_of("2024").on(H100), CUDNN_H100, ("forward",), 0.035, 0.06),
    ],
    ids=["flash2 A100", "flash2 H100", "flash3 H100", "cuDNN H100"],
)
def test_published_curves(
    kernel: str,
    card: Any,
    published: dict[tuple[int, bool], dict[int, float]],
    directions: tuple[str, ...],
    mean: float,
    worst: float,
) -> None:
    """Dao 2023 (FlashAttention-2, figures 4 and 7); Shah et al. 2024 (FlashAttention-3, figure 5)."""
    errors = [
        abs(tflops(kernel, card, head_dim, causal, length, directions) / reached - 1)
        for (head_dim, causal), curve in published.items()
        for length, reached in curve.items()
    ]
    assert np.mean(errors) < mean
    assert max(errors) < worst


def price(kernel: str = "cudnn", direction: str = "forward", card: Any = H200, **shape: Any) -> Any:
    usual: dict[str, Any] = {
        "batch": 2, "heads": 32, "kv_heads": 8, "length": 4096, "head_dim": 128, "causal": True,
    }  # fmt: skip
    return attention_time(kernel, direction, card, **(usual | shape))


def test_flash_is_not_a_kernel_but_three() -> None:
    """On H100, the first FlashAttention (in Triton) takes 1.8 times as long as the second, and the second twice as long as the third."""
    times = [price(kernel, card=H100) for kernel in ("flash3", "flash2", "flash1")]
    assert times[0] * 1.4 < times[1] < times[2] / 1.4


@pytest.mark.parametrize("kernel", [kernel.value for kernel in AttentionKernel])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_no_kernel_beats_peak(kernel: str, direction: str) -> None:
    flop = 4 * 2 * 32 * 4096**2 * 128 / 2 * (1 if direction == "forward" else 2.5)
    assert price(kernel, direction, H100) > flop / H100.peak_for("bf16")


def test_causal_costs_between_half_and_all() -> None:
    causal, full = price(length=16384), price(length=16384, causal=False)
    assert 0.5 < causal / full < 0.6


@given(length=st.integers(256, 65536), window=st.integers(128, 65536))
def test_a_window_never_costs_more_than_no_window(length: int, window: int) -> None:
    assert price(length=length, window=window) <= price(length=length) * 1.001


def test_a_window_makes_time_linear_in_length() -> None:
    long, twice = price(length=65536, window=4096), price(length=131072, window=4096)
    assert 1.9 < twice / long < 2.1


def test_cross_attention_counts_queries_times_keys() -> None:
    few = price(length=4096, keys=256, causal=False)
    many = price(length=4096, keys=4096, causal=False)
    assert few < many / 4
    assert price(length=256, keys=4096, causal=False) < many / 4


def test_heads_are_padded_to_what_the_kernel_has() -> None:
    narrow, whole = price(head_dim=104), price(head_dim=128)
    assert 0.9 < narrow / whole < 1.1
    assert price(head_dim=64) < 0.75 * whole


def test_latent_attention_pays_for_both_sizes() -> None:
    """DeepSeek's heads have size 192 for scores and 128 for values."""
    latent = price("flash3", card=H100, head_dim=192, value_dim=128)
    assert price("flash3", card=H100, head_dim=128) < latent < price("flash3", card=H100, head_dim=192)


def test_unfused_attention_pays_for_the_masked_half_and_for_odd_heads() -> None:
    assert price("unfused", causal=True) == price("unfused", causal=False)
    assert price("unfused", card=A100, head_dim=108, unaligned=1 / 3) > 4 * price("unfused", card=A100, head_dim=112)
    assert price("unfused", card=A100) > 2 * price("flash2", card=A100)


def test_gemms_of_odd_lengths_as_measured() -> None:
    """H100, cuBLAS 13, fp16, 1,024 problems of 64 wide: one class token beside 196 or 256 patches costs 1.9 to 3 times as much.

    Two GEMMs forward, microseconds: 197 tokens 252, 257 tokens 473, 256 tokens 146."""
    shape = {"batch": 64, "heads": 16, "kv_heads": 16, "head_dim": 64, "causal": False, "dtype": "fp16"}
    measured = {197: 252e-6, 257: 473e-6, 256: 146e-6}
    scores = {length: 9.0 * 1024 * length**2 / (0.9 * H100.memory_bandwidth) + 3e-6 for length in measured}
    for length, seconds in measured.items():
        gemms = price("unfused", card=H100, length=length, **shape) - scores[length]
        assert gemms == pytest.approx(seconds, rel=0.25), length


def test_encoders_of_short_sequences() -> None:
    """Measured on H200, cuDNN: 257 patches of 16 heads of 64, 128 images: 155 TFLOP/s forward."""
    time = price(batch=128, heads=16, kv_heads=16, length=257, head_dim=64, causal=False)
    assert 4 * 128 * 16 * 257**2 * 64 / time / 1e12 == pytest.approx(155, rel=0.12)


def test_kernels_that_last_lose_clock() -> None:
    """Measured on H200, cuDNN, causal, 8 heads of 128: 65,536 tokens in 14.0 ms, 131,072 in 62.6 (not 56)."""
    shape = {"batch": 1, "heads": 8, "kv_heads": 2}
    assert price(length=65536, **shape) == pytest.approx(14.0e-3, rel=0.05)
    assert price(length=131072, **shape) == pytest.approx(62.6e-3, rel=0.15)
    assert price(length=131072, **shape) > 4.02 * price(length=65536, **shape)


def test_arrays_broadcast() -> None:
    lengths, heads = np.array([[1024.0], [8192.0]]), np.array([8.0, 16.0, 64.0])
    together = price(length=lengths, heads=heads, kv_heads=8)
    assert together.shape == (2, 3)
    assert together[1, 2] == pytest.approx(price(length=8192, heads=64, kv_heads=8), rel=1e-12)


@pytest.mark.parametrize("kernel", ["unfused", "cudnn"])
def test_nothing_to_attend_to_takes_no_time(kernel: str) -> None:
    assert price(kernel, length=0, causal=False) == 0.0
    assert price(kernel, batch=0) == 0.0


def test_a_kernel_that_does_not_run_there_is_an_error() -> None:
    with pytest.raises(EstimateError, match="flash3"):
        price("flash3", card=A100)


@given(
    problems=st.sampled_from([1, 16, 128, 1024]),
    length=st.integers(8, 2048),
    beyond=st.integers(1, 7),
    head_dim=st.sampled_from([64, 80, 108, 128]),
    direction=st.sampled_from(["forward", "backward"]),
    card=st.sampled_from(["h200-sxm-141gb", "a100-sxm-80gb"]),
    libraries=st.sampled_from(["today", "2022"]),
)
def test_unaligned_rows_are_never_faster(
    problems: int, length: int, beyond: int, head_dim: int, direction: str, card: str, libraries: str
) -> None:
    """Not faster than the next lower multiple of 8 in the same library; and current libraries are never slower than older ones."""

    def time(size: int, time_of: str) -> float:
        shape = {"batch": 1, "heads": problems, "kv_heads": problems, "length": size, "head_dim": head_dim}
        unaligned = libraries_of(time_of).unaligned  # type: ignore[arg-type]
        return float(
            attention_time("unfused", direction, load_accelerator(card), causal=False, unaligned=unaligned, **shape)
        )

    below = 8 * (length // 8)
    assert time(below + beyond, libraries) >= time(below, libraries) * (1 - 1e-9)
    assert time(below + beyond, "2022") >= time(below + beyond, "today") * (1 - 1e-9)
