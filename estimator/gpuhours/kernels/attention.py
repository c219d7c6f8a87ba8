"""Times of attention kernels, fused and unfused, forward and backward. All floats are SI."""

from __future__ import annotations

from enum import Enum

import numpy as np

from gpuhours.hardware.accelerators import Accelerator
from gpuhours.hardware.kernel_constants import AttentionPass, memory_efficient
from gpuhours.hardware.number_formats import NUMBER_FORMATS
from gpuhours.inputs.arrays import Array, Values
from gpuhours.kernels.gemm import gemm_time

SCORE_BYTES = {"forward": 9.0, "backward": 11.0}
"""Bytes moved between the GEMMs per element of the score matrix, for 2-byte scores with Megatron-LM's fused kernels: forward 4 for
scale, mask and softmax, 5 for dropout with its mask; backward 5 for dropout, 6 for softmax."""
UNALIGNED_TILE = 64.0
"""Side of the output tiles of GEMMs whose rows are not aligned to 16 bytes."""
THROTTLE_AFTER = 20e-3
"""s: duration of a kernel at which half of the eventual loss of clock at the power limit is reached (H200, cuDNN: kernels of 80 ms and more
are 11 to 18 % slower than extrapolated from short ones; FlashAttention-2, at half the FLOP/s, hardly slows down)."""


class AttentionKernel(Enum):
    """The attention implementation. The name "flash" alone is ambiguous: the three versions differ by a factor of two."""

    UNFUSED = "unfused"
    """Two batched GEMMs with the scores in memory."""
    FLASH1 = "flash1"
    """FlashAttention-1 in Triton (2022-23)."""
    FLASH2 = "flash2"
    FLASH3 = "flash3"
    CUDNN = "cudnn"


def attention_time(
    kernel: AttentionKernel | str,
    direction: str,
    accelerator: Accelerator,
    *,
    batch: Array,
    heads: Array,
    kv_heads: Array,
    length: Array,
    keys: Array | None = None,
    head_dim: Array,
    value_dim: Array | None = None,
    causal: bool,
    window: Array | None = None,
    dtype: str = "bf16",
    unaligned: float | None = None,
    dropped: bool = False,
) -> Array:
    """Estimated time in s of one layer's attention core on one accelerator, in one direction.

    ``direction``  "forward" or "backward"
    ``batch``      number of sequences, each of ``length`` queries that attend to ``keys`` keys (``length`` by default)
    ``causal``     masks the half above the diagonal;  ``window`` limits the number of keys per query
    ``unaligned``  ``Libraries.unaligned``, for unfused attention
    ``dropped``    whether dropout is applied to the scores; no effect on unfused attention, whose traffic includes it

    16-bit fused kernels support no wider inputs: fp32 and TF32 use PyTorch's memory-efficient kernel (``memory_efficient``).
    """
    kernel = AttentionKernel(kernel)
    keys = length if keys is None else keys
    value_dim = head_dim if value_dim is None else value_dim
    if kernel is AttentionKernel.UNFUSED:
        return unfused_attention_time(
            direction, accelerator, problems=np.multiply(batch, heads), length=length, keys=keys,
            head_dim=head_dim, value_dim=value_dim, dtype=dtype, unaligned=unaligned,
        )  # fmt: skip
    wide = NUMBER_FORMATS[dtype].input > 2 and "tf32" in accelerator.peak
    both = memory_efficient() if wide else accelerator.attention_constants(kernel.value)
    constants = both.forward if direction == "forward" else both.backward
    return fused_attention_time(
        constants, direction, accelerator,
        batch=batch, heads=heads, kv_heads=kv_heads, length=length, keys=keys,
        head_dim=head_dim, value_dim=value_dim, causal=causal, window=window, dtype="tf32" if wide else dtype,
    ) * (constants.dropout if dropped else 1.0)  # fmt: skip


def unfused_attention_time(
    direction: str,
    accelerator: Accelerator,
    *,
    problems: Array,
    length: Array,
    keys: Array,
    head_dim: Array,
    value_dim: Array,
    dtype: str = "bf16",
    unaligned: float | None = None,
) -> Array:
    """Estimated time in s of attention that writes its scores to memory (Megatron-LM before FlashAttention).

        forward    t = gemm(s, j, d) + gemm(s, v, j) + 9 p s j / copy speed + 2 t0
        backward   t = gemm(s, j, v) + gemm(j, v, s) + gemm(s, d, j) + gemm(j, d, s) + 11 p s j / copy speed + 2 t0

    p  problems (sequences x heads);  s  queries;  j  keys;  d, v  head and value size;  t0  launch of a memory-bound kernel;
    gemm(m, n, k) of all problems: scores, output; gradients of probabilities, values, queries, keys
    A causal mask saves nothing: the GEMMs compute the masked half too. If j, d or v is not a multiple of 8 (2-byte elements; wider ones
    are treated as aligned), rows are not aligned to 16 bytes, and the library uses kernels with tiles of 64 at a small share u of peak, but
    never faster than aligned GEMMs (u from ``UnfusedConstants`` for odd and even sizes; for older libraries, ``unaligned`` times the
    share of odd sizes, whether the size is even or odd):

        2 p ceil64(m) ceil64(n) k / (u P)

    Source: today's shares are measured on H100; the older ones are fitted to BigScience's published steps (2022).
    """
    p, s, j = (np.asarray(size, float) for size in (problems, length, keys))
    d, v = np.asarray(head_dim, float), np.asarray(value_dim, float)
    c = accelerator.unfused_constants
    narrow = NUMBER_FORMATS[dtype].input <= 2
    strided = (np.maximum(np.maximum(d % 8, v % 8), j % 8) > 0) & narrow
    odd = np.maximum(np.maximum(d % 2, v % 2), j % 2) > 0
    share = np.where(odd, c.odd, c.even) if unaligned is None else unaligned * c.odd

    def gemm(m: Array, n: Array, k: Array) -> Array:
        aligned = gemm_time(m, np.ceil(n / 8) * 8, np.ceil(k / 8) * 8, accelerator, dtype, count=p)
        rows, columns = (np.ceil(size / UNALIGNED_TILE) * UNALIGNED_TILE for size in (m, n))
        slow = 2 * p * rows * columns * k / (share * accelerator.peak_for(dtype))
        return np.where(strided, np.maximum(slow, aligned), aligned)

    shapes = ((s, j, d), (s, v, j)) if direction == "forward" else ((s, j, v), (j, v, s), (s, d, j), (j, d, s))
    gemms = sum((gemm(*shape) for shape in shapes), start=np.asarray(0.0))
    copy = accelerator.memory_constants
    traffic = SCORE_BYTES[direction] * p * s * j / (copy.copy_share * accelerator.memory_bandwidth)
    return gemms + np.where(traffic > 0, traffic + 2 * copy.launch, 0.0)


def fused_attention_time(
    c: AttentionPass,
    direction: str,
    accelerator: Accelerator,
    *,
    batch: Array,
    heads: Array,
    kv_heads: Array,
    length: Array,
    keys: Array,
    head_dim: Array,
    value_dim: Array,
    causal: bool,
    window: Array | None,
    dtype: str,
) -> Array:
    """Estimated time in s of fused attention, which keeps scores on chip (FlashAttention, cuDNN).

        t = u (1 + h u / (u + 20 ms)) + t0
        u = max( w [ b h R (J + s0) + lambda Bq S (K + s0) ] / (E P) , bytes / (0.85 B) )
        w = 2 (D + V) forward,  2 (3 D + 2 V) backward                    FLOP per query and key
        R = s rounded up to query blocks;  J = keys per query row including the waste of partly masked blocks
        bytes = e b (h s + k K) (D + V), 2.25 times as many backward

    b batch, h heads, k key-value heads, s queries, K keys (K in the second term: at most 2 J under a window), Bq query block, e bytes per
    element;  D, V  head and value size, mostly as padded by the kernel
    P peak FLOP/s, S SMs, B byte/s;  E s0 delta lambda t0  ``AttentionPass``
    h (in t)  ``throttle`` x (E / best E)^4: kernels that draw less power keep their clock

    s0 is the work per query row that does not depend on the number of keys, in keys (softmax start and end, row sums, dQ); lambda accounts
    for the last blocks, which leave SMs idle. Sources and errors are in the constants' notes.
    """
    b, h, kv, s, K = (np.asarray(size, float) for size in (batch, heads, kv_heads, length, keys))
    sizes = np.array(sorted(c.efficiency), float)
    D, V = _padded_head_size(head_dim, sizes), _padded_head_size(value_dim, sizes)
    E = np.interp((D + V) / 2, sizes, [c.efficiency[int(size)] for size in sizes])
    E = np.where(np.asarray(head_dim) % 16 > 0, c.odd_head * E, E)
    power = (E / max(c.efficiency.values())) ** 4
    D, V = _effective_head_size(D, head_dim, c), _effective_head_size(V, value_dim, c)
    w = 2 * (D + V) if direction == "forward" else 2 * (3 * D + 2 * V)
    R = np.ceil(s / c.query_block) * c.query_block
    J = keys_per_query(s, K, causal, window, c)
    longest = np.minimum(2 * J, K) if causal else J
    last = c.tail * c.query_block * accelerator.multiprocessors * (longest + c.overhead_keys)
    work = w * (b * h * R * (J + c.overhead_keys) + last)
    moved = NUMBER_FORMATS[dtype].input * b * (h * s + kv * K) * (D + V) * (1.0 if direction == "forward" else 2.25)
    busy = np.maximum(work / (E * accelerator.peak_for(dtype)), moved / (0.85 * accelerator.memory_bandwidth))
    t = busy * (1 + c.throttle * power * busy / (busy + THROTTLE_AFTER)) + c.launch
    return np.where(b * h * s * K > 0, t, 0.0)


def keys_per_query(s: Array, K: Array, causal: bool, window: Array | None, c: AttentionPass) -> Array:
    """Mean number of keys multiplied with a query row, including the masked pairs of partly masked blocks.

    (K + delta) / 2 causal,  K (rounded up to key blocks) otherwise
    with a window of W < K keys:  W - W^2 / (2 K) + delta causal,  W + Bk otherwise; Bk keys per block
    """
    whole = np.ceil(K / c.key_block) * c.key_block
    unwindowed = np.minimum((K + c.diagonal) / 2, whole) if causal else whole
    if window is None:
        return unwindowed
    seen = np.minimum(np.asarray(window, float), K)
    inside = seen - seen * seen / (2 * K) if causal else seen
    return np.minimum(inside + (c.diagonal if causal else c.key_block), unwindowed)


def _effective_head_size(padded: Array, size: Array, c: AttentionPass) -> Array:
    """Effective head size: the mean of the padded size and the true size rounded up to 16, weighted by ``padded_share``."""
    return c.padded_share * padded + (1 - c.padded_share) * np.ceil(np.asarray(size, float) / 16) * 16


def _padded_head_size(size: Array, sizes: Values) -> Array:
    """The smallest supported head size that is not below ``size``; beyond the largest, the next multiple of 64."""
    size = np.asarray(size, float)
    index = np.minimum(np.searchsorted(sizes, size), len(sizes) - 1)
    return np.where(size <= sizes[-1], sizes[index], np.ceil(size / 64) * 64)
