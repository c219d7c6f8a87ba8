"""The number types of every equation: one value, or an array of them; and how the memory of arrays is used again."""

import ctypes
import functools
import sys
from typing import Any, Final, TypeAlias

import numpy as np

Values: TypeAlias = np.ndarray[Any, np.dtype[Any]]
"""A NumPy array, where one value alone cannot stand."""
Array: TypeAlias = float | Values
"""A float, an int, or a NumPy array of them that broadcasts against the others."""
Mask: TypeAlias = bool | np.ndarray[Any, np.dtype[np.bool_]]
"""True or false, or an array of them."""

KEPT: Final = {-1: 256 << 20, -3: 32 << 20}
"""Parameters of glibc's ``mallopt`` -> bytes: freed memory that is kept (M_TRIM_THRESHOLD), arrays that come from it (M_MMAP_THRESHOLD,
32 MiB being the most it takes)."""


@functools.cache
def keep_freed_memory() -> None:
    """Let arrays that come and go take the same memory again, where the C library is glibc; elsewhere nothing happens.

    It hands the pages of a freed array of half a megabyte back to the system and gets new ones, zeroed, for the next: half of the time
    of a sweep. Set once in a process.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    for parameter, size in KEPT.items() if hasattr(library, "mallopt") else ():
        library.mallopt(parameter, size)  # type: ignore[union-attr]
