"""Times of single kernels on one accelerator: matrix products and memory-bound operations. All floats are SI."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuhours.errors import EstimateError, nearest
from gpuhours.kernel_constants import GemmConstants, KernelConstants, gemm_constants, memory_constants
from gpuhours.layout import Array

if TYPE_CHECKING:
    from gpuhours.hardware import Accelerator

__all__ = ["KernelConstants", "gemm_time", "memory_time", "power_level"]

TILES = np.array([(256, 128), (128, 256), (128, 128), (128, 64), (64, 128), (64, 64)], float)
"""Output tiles (rows, columns) that libraries choose from."""
SPLITS = np.array([1, 2, 3, 4, 6, 8, 12, 16], float)
"""Parts that the products along k may be split into."""
LARGE_TILE_REUSE = 128 * 256 / (128 + 256)
"""Products per operand element read, in a 128 x 256 tile."""
SPLIT_COST = 2.2e-6
"""tau, s: the second pass that sums a split product (fit on A100 and H200 tables)."""
SPLIT_TRAFFIC = 0.4 * 8
"""sigma x 8 B: traffic per output element and part of a split product, share that is not hidden."""

OPERAND_BYTES = {"fp64": 8.0, "fp32": 4.0, "tf32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0, "mxfp8": 1.0 + 1 / 32,
                 "fp4": 0.5, "nvfp4": 0.5 + 1 / 16}  # fmt: skip
"""Bytes per input element with its block scales (mxfp8: one byte for 32, nvfp4: one for 16)."""
OUTPUT_BYTES = {"fp64": 8.0, "fp32": 4.0, "tf32": 4.0}
"""Bytes per output element; 2 where not named."""

UNALIGNED = {"n": 7.3, "k": 5.1, "m": 4.6}
"""Time factor where a row stride is not a multiple of 16 bytes, by the dimension that lies contiguous in memory."""


def gemm_time(
    m: Array,
    n: Array,
    k: Array,
    accelerator: Accelerator,
    dtype: str = "bf16",
    *,
    count: Array = 1,
    weight_gradient: Array = False,
) -> Array:
    """Estimate of the time of ``count`` matrix products run as one kernel.

        Y [m, n] = X [m, k] @ W [k, n]

        t   = (t_c^8 + t_p^8 + t_m^8)^(1/8) + t0                       a rounded maximum of three limits
        t_c = min over tiles (tm, tn) and splits s of
              W(w) 2 tm tn (k/s + k0) S / (P E (I / 85.3)^g)  [+ tau + sigma 8 s m n / (beta B)  where s > 1]
              w = s count ceil(m/tm) ceil(n/tn) / S            waves over the SMs;  I = tm tn / (tm + tn)
              W(w) = ceil(w), or max(w, 1) where the last wave is shared out
        t_p = 2 m n k count / (rho P)
        t_m = (b_in (m k + k n) + b_out m n) count / (beta B)

    P        peak FLOP/s of ``dtype``, dense;  S  SMs;  B  memory bandwidth, byte/s
    E g k0 rho beta t0   ``GemmConstants`` of the accelerator; k0 is a time, so it grows with P / P_bf16
    b_in b_out           bytes per element
    ``weight_gradient``  X is stored [k, m], so that m, not k, is its contiguous dimension

    A row stride that is not a multiple of 16 bytes multiplies the time (``UNALIGNED``, measured on H200 with a vocabulary of
    50257). The formula takes the best tile; a library sometimes does not. Layouts (NN, NT, TN) differ by 7-9 % with
    little system and are ignored.

    Source: own measurements on H200 (5,957 products); shape constants checked on A100 and H100 tables. Mean error on held-out
    shapes with m, n, k >= 1024: 3.6 % A100, 5.8 % H200.
    """
    c = gemm_constants(accelerator)
    P, B = accelerator.peak_for(dtype), accelerator.memory_bandwidth
    if dtype not in OPERAND_BYTES:
        raise EstimateError(f"unknown dtype {dtype!r}", nearest(dtype, OPERAND_BYTES))
    b_in, b_out = OPERAND_BYTES[dtype], OUTPUT_BYTES.get(dtype, 2.0)
    m, n, k, count = (np.asarray(size, float) for size in (m, n, k, count))
    t_p = 2 * m * n * k * count / (c.ceiling * P)
    t_m = (b_in * (m + n) * k + b_out * m * n) * count / (c.memory_share * B)
    t_c = tile_time(m, n, k, count, accelerator, c, P)
    return (_root8(_power8(t_c) + _power8(t_p) + _power8(t_m)) + c.launch) * _alignment(m, n, k, b_in, b_out, weight_gradient)


def tile_time(m: Array, n: Array, k: Array, count: Array, accelerator: Accelerator, c: GemmConstants, P: float) -> Array:
    """t_c of ``gemm_time``: the best tile and split; both stand on leading axes of one array."""
    S = accelerator.sms
    axes = (1,) * np.broadcast(m, n, k, count).ndim
    tm, tn = TILES.T.reshape(2, 1, -1, *axes)
    s = SPLITS.reshape(-1, 1, *axes)
    reuse = (tm * tn / (tm + tn) / LARGE_TILE_REUSE) ** c.reuse_exponent
    per_k = 2 * tm * tn * S / (P * c.tile_efficiency * reuse)
    waves = np.ceil(m / tm) * np.ceil(n / tn) * count / S * s
    waves = np.ceil(waves) if c.whole_waves else np.maximum(waves, 1.0)
    k0 = c.prologue * P / accelerator.peak.get("bf16", P)
    summing = SPLIT_COST + SPLIT_TRAFFIC * s * (m * n * count) / (c.memory_share * accelerator.memory_bandwidth)
    times = waves * per_k * (k / s + k0) + np.where(s > 1, summing, 0.0)
    return times.min(axis=(0, 1))


def _alignment(m: Array, n: Array, k: Array, b_in: float, b_out: float, weight_gradient: Array) -> Array:
    """The largest of the factors of ``UNALIGNED`` that apply."""
    odd_n = np.maximum((n * b_out) % 16, (n * b_in) % 16) > 0
    inner, factor = np.where(weight_gradient, m, k), np.where(weight_gradient, UNALIGNED["m"], UNALIGNED["k"])
    return np.where(odd_n, UNALIGNED["n"], np.where((inner * b_in) % 16 > 0, factor, 1.0))


def power_level(gemm_share: Array) -> Array:
    """Factor on a matrix product's time inside a training step: lighter kernels in between let the clock rise.

        f = 0.753 + 0.33 x,  at most 1

    x  share of the step's GPU time that is matrix products. The tables behind ``gemm_time`` were taken with nothing else
    running, at the power limit (H200: 1590 of 1980 MHz). Fitted on twelve profiled H200 steps (2.0 % mean error, 2.5 %
    leaving one model out); not known for other cards.
    """
    return np.minimum(0.753 + 0.33 * np.asarray(gemm_share, float), 1.0)


def memory_time(bytes: Array, accelerator: Accelerator) -> Array:  # noqa: A002 - the quantity's name
    """Estimate of the time of one memory-bound kernel.

        t = bytes / (eta B) + t0

    bytes  what a kernel at copy speed would move in that time (the software profile knows, per operator)
    eta    share of the data-sheet bandwidth B that a large copy reaches

    The caches are ignored: on H200 only copies under 34 MB gained from them.
    """
    c = memory_constants(accelerator)
    return np.asarray(bytes, float) / (c.copy_share * accelerator.memory_bandwidth) + c.launch


def _power8(x: Array) -> Array:
    x = x * x
    x = x * x
    return x * x


def _root8(x: Array) -> Array:
    return np.sqrt(np.sqrt(np.sqrt(x)))
