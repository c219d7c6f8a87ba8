"""The kernel libraries that a stack was built with: how they compare with those an accelerator's constants were measured with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from gpuhours.kernel_constants import (
    AttentionConstants,
    KernelConstants,
    attention_constants,
    gemm_constants,
    generation_constants,
)
from gpuhours.sources import Sourced

if TYPE_CHECKING:
    from gpuhours.hardware import Accelerator

Share = Annotated[float, Field(gt=0, le=1)]


class Libraries(Sourced):
    """Rates of older kernels, as shares of today's (November 2026: cuBLAS 13, cuDNN 9.19)."""

    source: str = "today's libraries"
    products: Mapping[str, Share] = Field(default_factory=dict)
    """Generation -> share, of matrix products."""
    cudnn: Mapping[str, Share] = Field(default_factory=dict)
    """The same of cuDNN's attention."""
    unaligned: Share = 1.0
    """Of unfused attention's products without 16-byte rows, odd or even, of what odd ones reach today on the same card."""

    def on(self, accelerator: Accelerator) -> Accelerator:
        """The accelerator with its kernels as these libraries run them."""
        generation = accelerator.generation
        return _slowed(accelerator, self.products.get(generation, 1.0), self.cudnn.get(generation, 1.0))


@lru_cache(maxsize=256)
def _slowed(accelerator: Accelerator, products: float, cudnn: float) -> Accelerator:
    """E and rho of products times ``products``, E of cuDNN's attention times ``cudnn``."""
    if products == cudnn == 1:
        return accelerator
    gemm, own = gemm_constants(accelerator), accelerator.kernels or KernelConstants()
    slower = gemm.model_copy(
        update={"tile_efficiency": gemm.tile_efficiency * products, "ceiling": gemm.ceiling * products}
    )
    attention = dict(own.attention or {})
    if "cudnn" in generation_constants(accelerator.generation).attention:
        attention["cudnn"] = _slower(attention_constants(accelerator, "cudnn"), cudnn)
    return replace(accelerator, kernels=own.model_copy(update={"gemm": slower, "attention": attention}))


def _slower(constants: AttentionConstants, share: float) -> AttentionConstants:
    both = {
        name: one.model_copy(update={"efficiency": {size: share * each for size, each in one.efficiency.items()}})
        for name, one in (("forward", constants.forward), ("backward", constants.backward))
    }
    return constants.model_copy(update=both)
