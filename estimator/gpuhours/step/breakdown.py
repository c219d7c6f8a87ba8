"""A predicted step: its time, the parts that add up to it, and the waterfall from peak to MFU."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gpuhours.inputs.arrays import Array, Mask
from gpuhours.inputs.records import dataclass

PARTS = (
    "GEMMs",
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
    "offload transfers",
    "CPU overhead",
)
"""The parts of a step's time, in the order of the waterfall."""


@dataclass(frozen=True, eq=False)
class Step:
    """One optimiser step. Arrays keep the axes of the inputs they depend on.

    ``parts``   seconds by name, adding up to ``time``; means over the ranks, with idle time as the pipeline bubble
    ``valid``   whether the layout is valid; ``reasons`` give the violated rules: text -> mask
    """

    time: Array
    parts: Mapping[str, Array]
    model_flops: Array
    """Model FLOPs of the whole step on all accelerators, causal convention."""
    hardware_flops: Array
    """Model FLOPs plus recomputation."""
    peak: Array
    """Peak FLOP/s of all accelerators together, in the GEMMs' format."""
    valid: Mask
    reasons: Mapping[str, Mask]

    @property
    def mfu(self) -> Array:
        """Model FLOPs utilisation, a share of the dense peak: model_flops / (time x peak)."""
        return self.model_flops / (self.time * self.peak)

    @property
    def hfu(self) -> Array:
        """Hardware FLOPs utilisation, a share of the dense peak, including recomputation: hardware_flops / (time x peak)."""
        return self.hardware_flops / (self.time * self.peak)

    def waterfall(self) -> tuple[tuple[str, Array], ...]:
        """(name, share of the step's time) for MFU and every loss against peak; the shares add up to 1.

        The first is "mfu"; "below peak" is the time of GEMMs and attention beyond what their model FLOPs need at peak; every
        other part is its whole time.
        """
        spent = {name: seconds / self.time for name, seconds in self.parts.items()}
        useful = self.mfu
        busy = spent["GEMMs"] + spent["attention"]
        others = tuple((name, spent[name]) for name in PARTS if name not in ("GEMMs", "attention"))
        return (("mfu", useful), ("below peak", busy - useful), *others)


def where_violated(reasons: Mapping[str, Mask]) -> Mask:
    """True where any reason applies."""
    violated: Mask = False
    for broken in reasons.values():
        violated = np.logical_or(violated, broken)
    return violated
