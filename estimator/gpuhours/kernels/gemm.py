"""Times of GEMMs (matrix multiplications) on one accelerator. All floats are SI."""

from __future__ import annotations

import numpy as np

from gpuhours.hardware.accelerators import Accelerator
from gpuhours.hardware.kernel_constants import GemmConstants
from gpuhours.hardware.number_formats import NUMBER_FORMATS
from gpuhours.inputs.arrays import Array, some
from gpuhours.kernels.memory_bound import memory_time

TILES = np.array([(256, 128), (128, 256), (128, 128), (64, 128), (64, 64)], float)
"""Output tiles (rows, columns) that libraries choose from."""
LARGE_TILE_REUSE = 128 * 256 / (128 + 256)
"""Multiply-adds per operand element read in a 128 x 256 tile."""
MOST_SPLITS = 16
SPLIT_COST = 2.2e-6
"""tau, s: cost of the second pass, which sums the parts of a split-k GEMM (fitted on A100 and H200)."""
SPLIT_TRAFFIC = 0.4 * 8
"""sigma x 8 B: exposed memory traffic of a split-k GEMM, per output element and split."""


def gemm_time(
    m: Array,
    n: Array,
    k: Array,
    accelerator: Accelerator,
    dtype: str = "bf16",
    *,
    count: Array = 1,
    weight_gradient: Array = False,
    pads: bool = False,
) -> Array:
    """Estimated time in s of ``count`` equal GEMMs run as one kernel.

        Y [m, n] = X [m, k] @ W [k, n]

        t   = (t_c^8 + t_p^8 + t_m^8)^(1/8) + t0                       a smooth maximum of three limits
        t_c = ``tile_time``                                            tiles on the SMs
        t_p = 2 m n k count / (rho P)                                  power and instruction issue
        t_m = (b_in (m k + k n) + b_out m n) count / (beta B)          memory

    P    dense peak FLOP/s of ``dtype``, in 4 bit times the share that is reached;  B  memory bandwidth, byte/s;  b  bytes per element, b_in
         with an input's share of the scale of its block
    rho beta t0          ``GemmConstants`` of the accelerator;  the time is 0 if any size is 0
    ``weight_gradient``  X is stored [k, m], so that m, not k, is its contiguous dimension
    ``pads``             operands may first be copied into aligned ones, if that is faster (torch.compile's ``shape_padding``)

    A row stride that is not a multiple of 16 bytes multiplies the time on tensor cores by a factor (``AlignmentConstants``: odd, such as an
    unpadded vocabulary of 50257, or even, such as BERT's 30522); plain fp32 is not affected. The formula assumes the best tile, but
    libraries sometimes choose another. Left out: which operand is transposed, which changes the time of a shape by 7-9 % without a clear
    pattern.

    The constants describe back-to-back GEMMs at the power limit (H200: 1590 of 1980 MHz). In a step, lighter kernels let the clock
    rise: GEMMs in twelve profiled steps on H200 took 0.86 to 1.00 of the estimate, 0.753 + 0.33 x with x the share of GEMMs in the
    step. This is applied only for stacks whose profile has a figure for it (``step.compute.clock_factor``), since it does not improve
    predictions of other stacks' whole steps.

    Source: own measurements on H200 (5,957 GEMMs) and a table of 16,200 GEMMs on A100; constants fitted on a random half of each.
    Mean / median error with m, n, k >= 1024, both halves: A100 3.7 / 2.5 %, H200 5.8 / 4.6 % (held-out half alone 5.8 / 4.9 %); all shapes
    5.4 / 3.7 and 6.5 / 5.2 %. A boosted tree on the same H200 shapes, including their layout, reaches 5.4 / 4.5 %: the residual does not
    depend on the shape.
    """
    c, number = accelerator.gemm_constants, NUMBER_FORMATS[dtype]
    reached = c.four_bit if number.input < 1 else 1.0
    P, B = reached * accelerator.peak_for(dtype), accelerator.memory_bandwidth
    b_in, b_out, b_scaled = number.input, number.output, number.input + number.scale
    m, n, k, count = (np.asarray(size, float) for size in (m, n, k, count))
    k0 = c.prologue * P / accelerator.peak.get("bf16", accelerator.peak.get("fp16", P))
    outputs = m * n * count
    t_p = 2 * outputs * k / (c.ceiling * P)
    t_m = (b_scaled * (m + n) * k * count + b_out * outputs) / (c.memory_share * B)
    t_c = tile_time(m, n, k, count, accelerator, c, P, k0)
    t = _root8(_power8(t_c) + _power8(t_p) + _power8(t_m)) + c.launch
    factor = np.asarray(1.0) if dtype == "fp32" else _alignment(m, n, k, 16 / b_in, weight_gradient, accelerator)
    if not pads or not some(factor > 1):
        return np.where(outputs * k > 0, t * factor, 0.0)
    copied = padding_bytes(m, n, k, 16 / b_in, weight_gradient) * b_in * count
    padded = t + memory_time(copied, accelerator)
    return np.where(outputs * k > 0, np.minimum(t * factor, padded), 0.0)


SMALL = 4096
"""Largest array size for which the three passes of a GEMM are computed by one call of ``gemm_time``."""


def passes_times(
    tokens: Array, n: Array, k: Array, accelerator: Accelerator, dtype: str, passes: int, *, count: Array, pads: bool
) -> list[Array]:
    """``gemm_time`` in s of the first ``passes`` of: forward [T, n] over k, input gradient [T, k] over n, weight gradient [n, k] over T.

    Small arrays are computed in one call, which takes no longer for three GEMMs than for one: the overhead of its sixty NumPy operations
    dominates.
    """
    T, N, K, each = np.broadcast_arrays(*(np.asarray(size, float) for size in (tokens, n, k, count)))
    shapes = [(T, N, K), (T, K, N), (N, K, T)][:passes]
    if T.size > SMALL:
        return [
            gemm_time(rows, columns, inner, accelerator, dtype, count=each, weight_gradient=number == 2, pads=pads)
            for number, (rows, columns, inner) in enumerate(shapes)
        ]
    rows, columns, inner = (np.array(side) for side in zip(*shapes, strict=True))
    last = np.arange(passes).reshape(-1, *(1,) * T.ndim) == 2
    return list(
        np.asarray(gemm_time(rows, columns, inner, accelerator, dtype, count=each, weight_gradient=last, pads=pads))
    )


def tile_time(
    m: Array, n: Array, k: Array, count: Array, part: Accelerator, c: GemmConstants, P: float, k0: float
) -> Array:
    """t_c of ``gemm_time`` in s: the minimum over a few tile shapes, each unsplit or split along k.

        t_c = min over (tm, tn), s of   W(w) 2 tm tn (k/s + k0) S / (P E (I / 85.3)^g)
                                        [ + tau + sigma 8 s m n count / (beta B)   if s > 1 ]
        w   = s count ceil(m/tm) ceil(n/tn) / S        waves over the SMs;  I = tm tn / (tm + tn)
        W   = ceil(w), or max(w, 1) if the last wave is split evenly

    P  FLOP/s;  S  SMs;  k0  start and end of a tile, expressed as a length along k (a constant time, so k0 grows with P / P_bf16)
    E g beta  ``GemmConstants``;  tau sigma  ``SPLIT_COST``, ``SPLIT_TRAFFIC``

    Splits tried are 1, 3 and the number that fills one wave, at most 16. Trying all from 1 to 16 would reduce the error on A100 by 0.1
    points.
    """
    S = part.multiprocessors
    tm, tn = TILES.T.reshape(2, -1, *(1,) * np.broadcast(m, n, k, count).ndim)
    reuse = (tm * tn / (tm + tn) / LARGE_TILE_REUSE) ** c.reuse_exponent
    per_k = 2 * tm * tn * S / (P * c.tile_efficiency * reuse)
    w = np.ceil(m / tm) * np.ceil(n / tn) * (count / S)
    summing = SPLIT_TRAFFIC / (c.memory_share * part.memory_bandwidth) * (m * n * count)

    def in_waves(waves: Array) -> Array:
        return np.ceil(waves) if c.whole_waves else np.maximum(waves, 1.0)

    filling = np.minimum(np.maximum(np.floor(1 / np.maximum(w, 1 / MOST_SPLITS)), 1.0), MOST_SPLITS)
    whole = in_waves(w) * (per_k * (k + k0))
    by_three = in_waves(3 * w) * (per_k * (k / 3 + k0)) + (SPLIT_COST + 3 * summing)
    by_wave = in_waves(filling * w) * (per_k * (k / filling + k0)) + (SPLIT_COST + filling * summing)
    return np.minimum(np.minimum(whole, by_three), by_wave).min(axis=0)


def thin_experts(tokens: Array, count: Array) -> Array:
    """Factor on the time of a grouped GEMM over several experts with few ``tokens`` each.

    1.2 up to 512 tokens, 1 from 1,024 on, linear in between; 1 for a single expert

    Source: own measurements on H200 (``torch._grouped_mm``, forward): 1.15 to 1.22 times ``gemm_time`` with
    64 to 256 experts of 64 to 512 tokens, 0.92 to 1.09 with 8 of 1,024 to 2,048. Load imbalance is not included.

    >>> thin_experts([64, 768, 4096], 8).tolist()
    [1.2, 1.1, 1.0]
    """
    loss = 0.2 * np.clip((1024 - np.asarray(tokens, float)) / 512, 0.0, 1.0)
    return 1.0 + np.where(np.greater(count, 1), loss, 0.0)


def padding_bytes(m: Array, n: Array, k: Array, elements: float, weight_gradient: Array) -> Array:
    """Elements read and written to copy operands into aligned ones; ``elements`` fill 16 bytes. Multiply by the bytes per element.

    2 k n if n is unaligned (the weights; the output's padding is a view), 2 k (m + n) if k is; 2 k m if m is, for a weight gradient

    >>> int(padding_bytes(4096, 50257, 768, 8, False))    # the weights of an unpadded vocabulary
    77194752
    """
    odd_n, odd_k, odd_m = (np.mod(size, elements) > 0 for size in (n, k, m))
    inner = np.where(weight_gradient, odd_m * k * m, odd_k * k * (m + n))
    return 2 * np.maximum(odd_n * k * n, inner)


def _alignment(
    m: Array, n: Array, k: Array, elements: float, weight_gradient: Array, accelerator: Accelerator
) -> Array:
    """Factor on the time if a row stride is not a multiple of 16 bytes (``AlignmentConstants``), else 1; ``elements`` fill 16 bytes."""
    if not any(some(np.mod(size, elements) > 0) for size in (m, n, k)):
        return np.asarray(1.0)
    c = accelerator.alignment_constants

    def factor(size: Array, name: str) -> Array:
        slow = np.where(np.mod(size, 2) > 0, getattr(c.odd, name), getattr(c.even, name))
        return np.where(np.mod(size, elements) > 0, slow, 1.0)

    inner = np.where(weight_gradient, factor(m, "m"), factor(k, "k"))
    return np.where(np.mod(n, elements) > 0, factor(n, "n"), inner)


def _power8(x: Array) -> Array:
    """x^8 by three multiplications; NumPy's power is ten times slower."""
    square = x * x
    fourth = square * square
    return fourth * fourth


def _root8(x: Array) -> Array:
    return np.sqrt(np.sqrt(np.sqrt(x)))
