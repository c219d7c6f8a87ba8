"""Times of memory-bound operations on one accelerator. All floats are SI."""

from __future__ import annotations

import numpy as np

from gpuhours.hardware.accelerators import Accelerator
from gpuhours.inputs.arrays import Array

CAPPED = (12.0, 14.0)
"""Bytes to cap a 16-bit logit or score, forward and backward: divided, tanh, multiplied, each read and written; tanh's backward pass reads
its output too."""
WIDE_BIASED = (12.0, 16.0)
"""Bytes more that a 16-bit score moves if an fp32 bias is added to it, as MPT's file does: forward a sum to fp32 (6), a copy and a mask in
place (8 each) instead of a 16-bit sum and the softmax's cast (4 and 6); backward the mask's copy and fill."""


def memory_time(bytes: Array, accelerator: Accelerator) -> Array:  # noqa: A002 - the quantity's name
    """Estimated time in s of one memory-bound kernel; 0 for 0 bytes.

        t = bytes / (eta B) + t0

    bytes  equivalent bytes at copy speed (from the software profile, per operator)
    eta    share of the data-sheet bandwidth B that a large copy reaches
    t0     kernel launch

    Left out: caches, from which only copies under 34 MB benefit on H200.
    """
    c = accelerator.memory_constants
    moved = np.asarray(bytes, float)
    return np.where(moved > 0, moved / (c.copy_share * accelerator.memory_bandwidth) + c.launch, 0.0)
