"""What a software stack keeps in memory: the ``memory:`` block of a software profile."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

SAVED: Final[dict[str, float]] = {
    "rms-norm": 2.0,  # its input
    "layer-norm": 2.0,
    "qk-norm": 2.0,
    "rotary": 2.0,  # a rotated copy beside the projection, whose storage the values keep alive
    "gelu": 2.0,  # its input; the output is the next product's
    "swiglu": 6.0,  # gate, up and silu(gate), per element of the product
    "dropout": 1.0,  # the mask
    "bias": 0.0,
    "residual": 0.0,
    "router": 4.0,  # fp32 probabilities
    "permute": 0.0,
}
"""Bytes autograd keeps per element of each memory-bound operator when nothing is fused, at 2 bytes an element."""


class MemoryFacts(BaseModel):
    """Bytes a stack holds that follow from how it is written, with PyTorch's own behaviour as the default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    saved: dict[str, float] = Field(default_factory=dict)
    """Bytes kept per element by operator kind, where a fused kernel differs from ``SAVED``."""
