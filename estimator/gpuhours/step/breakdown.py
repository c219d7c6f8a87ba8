"""A predicted step: its time, the parts that add up to it, and the way from peak to MFU."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gpuhours.inputs.arrays import Array, Mask
from gpuhours.inputs.records import dataclass

PARTS = (
    "matrix products",
    "attention",
    "other kernels",
    "tensor communication",
    "context communication",
    "expert communication",
    "data communication",
    "pipeline communication",
    "pipeline bubble",
    "recompute",
    "optimiser",
    "host",
)
"""What a step's seconds are spent on, in the order of the waterfall."""


@dataclass(frozen=True, eq=False)
class Step:
    """One optimiser step. Arrays keep the axes of the inputs they depend on.

    ``parts``   seconds by name, adding up to ``time``; means over the ranks, idle time is the pipeline bubble
    ``valid``   the layout can run at all; ``reasons`` say where not: text -> where it is violated
    """

    time: Array
    parts: Mapping[str, Array]
    model_flops: Array
    """Of the whole step, all accelerators, causal convention."""
    hardware_flops: Array
    """The same with what is computed twice."""
    peak: Array
    """FLOP/s of all accelerators, in the format of the products."""
    valid: Mask
    reasons: Mapping[str, Mask]

    @property
    def mfu(self) -> Array:
        """Model FLOPs utilisation, a share of the dense peak: model_flops / (time x peak)."""
        return self.model_flops / (self.time * self.peak)

    @property
    def hfu(self) -> Array:
        """Hardware FLOPs utilisation, a share of the dense peak: hardware_flops / (time x peak), what is computed again counted."""
        return self.hardware_flops / (self.time * self.peak)

    def waterfall(self) -> tuple[tuple[str, Array], ...]:
        """(name, share of the step's peak FLOPs): from 1 down to MFU; the shares add up to 1.

        The first is MFU itself; "matrix products" and "attention" are what these lose against peak, everything else its whole time.
        """
        spent = {name: seconds / self.time for name, seconds in self.parts.items()}
        useful = self.mfu
        busy = spent["matrix products"] + spent["attention"]
        others = tuple((name, spent[name]) for name in PARTS if name not in ("matrix products", "attention"))
        return (("mfu", useful), ("below peak", busy - useful), *others)


def where_violated(reasons: Mapping[str, Mask]) -> Mask:
    """True where any reason holds."""
    violated: Mask = False
    for broken in reasons.values():
        violated = np.logical_or(violated, broken)
    return violated
