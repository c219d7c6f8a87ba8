"""Kernel libraries by year: their speed relative to the libraries with which an accelerator's constants were measured."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gpuhours.hardware.accelerators import Accelerator, Generation
from gpuhours.hardware.kernel_constants import (
    AttentionConstants,
    KernelConstants,
    generation_constants,
)
from gpuhours.inputs.yaml_files import Section, Sourced, read_yaml, validated

Share = Annotated[float, Field(gt=0, le=1)]
Time = Literal["today", "2024", "2022"]


class Libraries(Sourced):
    """Rates of older kernels as shares of today's rates. Rates that a user measured on a card count as today's."""

    gemms: Mapping[Generation, Share] = Field(default_factory=dict)
    """Generation -> share, for GEMMs."""
    cudnn: Mapping[Generation, Share] = Field(default_factory=dict)
    """Generation -> share, for cuDNN attention."""
    unaligned: Share | None = None
    """Rate of unfused attention's GEMMs with rows that are not aligned to 16 bytes, odd or even, relative to today's rate for odd rows on
    the same card; None: as today."""

    def on(self, accelerator: Accelerator) -> Accelerator:
        """The accelerator with kernels at the speed of these libraries."""
        gemms, cudnn = (shares.get(accelerator.generation, 1.0) for shares in (self.gemms, self.cudnn))
        return accelerator if gemms == cudnn == 1 else _slowed(accelerator, gemms, cudnn)


class _Sets(Section):
    """``hardware_specs/libraries.yaml``."""

    today: Libraries
    of_2024: Libraries = Field(alias="2024")
    of_2022: Libraries = Field(alias="2022")


def libraries_of(time: Time) -> Libraries:
    """The libraries with which stacks of that time were built."""
    return _of_all_times()[time]


@cache
def _of_all_times() -> Mapping[Time, Libraries]:
    sets = validated(_Sets, read_yaml(Path(str(files("hardware_specs"))) / "libraries.yaml"))
    return {"today": sets.today, "2024": sets.of_2024, "2022": sets.of_2022}


@lru_cache(maxsize=256)
def _slowed(accelerator: Accelerator, gemms: float, cudnn: float) -> Accelerator:
    """The accelerator with E and rho of GEMMs scaled by ``gemms``, and E of cuDNN attention by ``cudnn``."""
    gemm, own = accelerator.gemm_constants, accelerator.kernels or KernelConstants.model_construct()
    slower = gemm.model_copy(update={"tile_efficiency": gemm.tile_efficiency * gemms, "ceiling": gemm.ceiling * gemms})
    attention = dict(own.attention or {})
    if "cudnn" in generation_constants(accelerator.generation).attention:
        attention["cudnn"] = _slower(accelerator.attention_constants("cudnn"), cudnn)
    return replace(accelerator, kernels=own.model_copy(update={"gemm": slower, "attention": attention}))


def _slower(constants: AttentionConstants, share: float) -> AttentionConstants:
    both = {
        name: one.model_copy(update={"efficiency": {size: share * each for size, each in one.efficiency.items()}})
        for name, one in (("forward", constants.forward), ("backward", constants.backward))
    }
    return constants.model_copy(update=both)
