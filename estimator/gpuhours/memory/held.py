"""Memory of the fullest rank at its peak, and whether it fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from functools import cached_property, reduce
from typing import Any, Final

import numpy as np

from gpuhours.inputs.arrays import Array, Mask
from gpuhours.inputs.records import dataclass
from gpuhours.memory.odds import ENOUGH, SAFE, Odds

Parts = Mapping[str, Array]
STATES: Final = ("weights", "gradients", "optimiser")
PARTS: Final = (
    "weights", "gradients", "optimiser", "activations", "logits", "communication buffers", "context",
    "fragmentation",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Memory:
    """Bytes on the fullest rank at its peak; every field may be an array."""

    allocated: Array
    """Memory of tensors: ``torch.cuda.max_memory_allocated``."""
    fragmentation: Array
    """Memory that the allocator reserves beyond the tensors."""
    context: Array
    """CUDA context, libraries and communicators."""
    capacity: Array
    """Memory of the accelerator, as shown by the driver."""
    least: Array
    """Memory that the allocator reserves beyond the tensors even when memory is short."""
    odds: Odds = field(repr=False)
    """The probability that a layout of this stack fits, as a function of ``filled``."""
    host_per_node: Array
    """Host memory used by one node's ranks: offloaded states and weights."""
    host_capacity: float | None
    """Host memory of a node; None if its profile does not give it."""
    moments: tuple[tuple[Parts, Array], ...] = field(repr=False)
    """(parts without fragmentation and context, pipeline stage or -1) of every moment that may be the peak."""

    @cached_property
    def reserved(self) -> Array:
        """Bytes reserved by the allocator: ``torch.cuda.max_memory_reserved``."""
        return self.allocated + self.fragmentation

    @cached_property
    def total(self) -> Array:
        """Bytes in use according to the driver."""
        return self.reserved + self.context

    @property
    def margin(self) -> Array:
        """Free bytes: capacity - total; negative if the total exceeds the capacity."""
        return self.capacity - self.total

    @property
    def needed(self) -> Array:
        """Bytes that the run needs after the allocator has released all cached blocks that it can."""
        return self.allocated + self.context + self.least

    @cached_property
    def filled(self) -> Array:
        """Minimum share of the accelerator's memory that the run needs: needed / capacity."""
        return np.divide(self.needed, self.capacity)

    @property
    def fits_probability(self) -> Array:
        """Probability that the run fits, fitted to published layouts of the same or similar stacks."""
        return self.odds.probability(self.filled)

    @property
    def fits(self) -> Mask:
        """Whether the run is more likely to fit than not, and its host memory fits."""
        return np.less_equal(self.filled, self.odds.most(ENOUGH)) & self.fits_host

    @property
    def safe(self) -> Mask:
        """Whether the run fits with the probability required for automatically chosen layouts."""
        return np.less_equal(self.filled, self.odds.most(SAFE)) & self.fits_host

    @property
    def fits_host(self) -> Mask:
        """Whether a node's host memory suffices for its ranks; True if its size is not known."""
        return np.less_equal(self.host_per_node, np.inf if self.host_capacity is None else self.host_capacity)

    @cached_property
    def _peak_moment(self) -> tuple[Parts, Array]:
        return reduce(_larger_moment, self.moments)

    @property
    def parts(self) -> Parts:
        """Bytes by ``PARTS`` at the peak; they add up to ``total``."""
        return {**self._peak_moment[0], "context": self.context, "fragmentation": self.fragmentation}

    @property
    def stage(self) -> Array:
        """The fullest pipeline stage, from 0; -1 if the encoder's own accelerators are fuller."""
        return self._peak_moment[1]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, in bytes."""
        fields = ("total", "allocated", "reserved", "capacity", "margin", "fits", "stage")
        plain = {name: np.asarray(getattr(self, name)).tolist() for name in fields}
        return {**plain, "parts": {name: np.asarray(value).tolist() for name, value in self.parts.items()}}


def _sum_of(parts: Parts) -> Array:
    """The sum of the parts."""
    return reduce(np.add, parts.values())


def _larger_moment(one: tuple[Parts, Array], other: tuple[Parts, Array]) -> tuple[Parts, Array]:
    first = _sum_of(one[0]) >= _sum_of(other[0])
    parts = {name: np.where(first, one[0][name], other[0][name]) for name in one[0]}
    return parts, np.where(first, one[1], other[1])
