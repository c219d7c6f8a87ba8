"""Numeric types of all equations, scalar or array, and reuse of freed array memory."""

import ctypes
import functools
import sys
from typing import Any, Final, TypeAlias

import numpy as np

Values: TypeAlias = np.ndarray[Any, np.dtype[Any]]
"""A NumPy array, where a scalar is not allowed."""
Array: TypeAlias = float | Values
"""A float, an int, or a NumPy array of them that broadcasts against the others."""
Mask: TypeAlias = bool | np.ndarray[Any, np.dtype[np.bool_]]
"""True or false, or an array of them."""


def some(mask: Array | Mask) -> bool:
    """Whether any element is true. Scalars skip ``np.any``, which takes microseconds and would be called a hundred times per step.

    >>> some(np.asarray([0, 2]) > 1), some(np.asarray(0.0))
    (True, False)
    """
    return bool(mask.any() if getattr(mask, "ndim", 0) else mask)  # type: ignore[union-attr]


def every(mask: Array | Mask) -> bool:
    """Whether all elements are true; scalars skip ``np.all``, as in ``some``.

    >>> every(np.asarray([0, 2]) > 1), every(True)
    (False, True)
    """
    return bool(mask.all() if getattr(mask, "ndim", 0) else mask)  # type: ignore[union-attr]


KEPT: Final = {-1: 256 << 20, -3: 32 << 20}
"""Parameters of glibc's ``mallopt`` -> bytes: how much freed memory is kept (M_TRIM_THRESHOLD), and the largest array that is allocated
from it (M_MMAP_THRESHOLD; 32 MiB is its upper limit)."""


@functools.cache
def keep_freed_memory() -> None:
    """Let arrays reuse freed memory if the C library is glibc; no effect elsewhere.

    By default glibc returns the pages of a freed array of half a megabyte to the system and gets new, zeroed pages for the next array,
    which takes half of a sweep's time. Set once per process.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    for parameter, size in KEPT.items() if hasattr(library, "mallopt") else ():
        library.mallopt(parameter, size)  # type: ignore[union-attr]
