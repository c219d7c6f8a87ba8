"""The number types of every equation: one value, or an array of them."""

from typing import Any, TypeAlias

import numpy as np

Values: TypeAlias = np.ndarray[Any, np.dtype[Any]]
"""A NumPy array, where one value alone cannot stand."""
Array: TypeAlias = float | Values
"""A float, an int, or a NumPy array of them that broadcasts against the others."""
Mask: TypeAlias = bool | np.ndarray[Any, np.dtype[np.bool_]]
"""True or false, or an array of them."""
