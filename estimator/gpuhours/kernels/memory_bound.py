"""Times of memory-bound operations on one accelerator. All floats are SI."""

from __future__ import annotations

import numpy as np

from gpuhours.hardware.accelerators import Accelerator
from gpuhours.inputs.arrays import Array


def memory_time(bytes: Array, accelerator: Accelerator) -> Array:  # noqa: A002 - the quantity's name
    """Estimate of the time of one memory-bound kernel, s.

        t = bytes / (eta B) + t0

    bytes  equivalent bytes at copy speed (from the software profile, per operator)
    eta    share of the data-sheet bandwidth B that a large copy reaches

    Caches are ignored: on H200 only copies under 34 MB benefited from them.
    """
    c = accelerator.memory_constants
    moved = np.asarray(bytes, float)
    return np.where(moved > 0, moved / (c.copy_share * accelerator.memory_bandwidth) + c.launch, 0.0)
