"""A layer's GEMMs in 8 and 4 bit relative to bf16, against Transformer Engine's own table.

Source: Transformer Engine documentation, "GEMM Speedups Across Precisions": B300, a width of 4,096 and 16,384, 31 samples of 512 tokens.
"""

from __future__ import annotations

import pytest

from gpuhours.hardware.accelerators import load_accelerator
from gpuhours.hardware.number_formats import NUMBER_FORMATS
from gpuhours.kernels.gemm import gemm_time
from gpuhours.kernels.memory_bound import memory_time
from gpuhours.software.profile import load_software

TOKENS, WIDTH, INNER = 31 * 512, 4096, 16384
GEMMS = ((WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, INNER), (INNER, WIDTH))
CARD = load_accelerator("b300-sxm")


def gemms(dtype: str) -> float:
    """Seconds of all three passes."""
    return sum(
        float(gemm_time(TOKENS, wide, deep, CARD, dtype))
        + float(gemm_time(TOKENS, deep, wide, CARD, dtype))
        + float(gemm_time(deep, wide, TOKENS, CARD, dtype, weight_gradient=True))
        for deep, wide in GEMMS
    )


def with_casts(dtype: str) -> float:
    """Return the same times after quantising inputs and output gradients."""
    casts = load_software("megatron-core").casts
    factor = {"plain": 1.0, "blocks": casts.blocks, "four_bit": casts.four_bit}[NUMBER_FORMATS[dtype].casts]
    moved = sum(casts.forward * deep + casts.backward * wide for deep, wide in GEMMS)
    return gemms(dtype) + float(memory_time(factor * moved * TOKENS, CARD))


@pytest.mark.parametrize(("dtype", "faster"), [("fp8", 1.61), ("mxfp8", 1.44), ("nvfp4", 2.03)])
def test_a_layer_with_its_casts_is_as_much_faster_as_its_maker_prints(dtype: str, faster: float) -> None:
    assert gemms("bf16") / with_casts(dtype) == pytest.approx(faster, rel=0.04)


def test_gemms_alone_in_four_bit() -> None:
    assert gemms("bf16") / gemms("nvfp4") == pytest.approx(3.55, rel=0.03)
