"""The number type of every equation: one value, or an array of them."""

from typing import Any

Array = Any
"""A float, an int, or a NumPy array of them that broadcasts against the others."""
