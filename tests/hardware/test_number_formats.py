"""Bytes per parameter, as their sources count them."""

import pytest

from gpuhours.hardware.number_formats import FORMATS, STATES, Precision
from gpuhours.inputs.errors import EstimateError


@pytest.mark.parametrize(
    ("dtype", "state", "total", "source"),
    [
        ("fp16", "mixed", 16, "Rajbhandari et al. 2020, ZeRO, section 3.1: 2 + 2 + 12"),
        ("bf16", "amp", 16, "own measurements on H200: static 12 B and gradients 4 B"),
        ("bf16", "mixed", 16, "own measurements on H200: static 14 B and gradients 2 B"),
        ("bf16", "pure", 8, "own measurements on H200: static 6 B and gradients 2 B"),
        ("fp32", "mixed", 16, "four fp32 numbers"),
    ],
)
def test_bytes_per_parameter(dtype: str, state: str, total: float, source: str) -> None:
    held = Precision(dtype, state)
    assert held.weights + held.optimiser + held.gradients == total, source


def test_qlora_weights_take_half_a_byte() -> None:
    """Dettmers et al. 2023, section 3: double quantisation saves 0.373 of 0.5 bit overhead."""
    assert Precision("nf4", "mixed").frozen == pytest.approx(0.516, abs=1e-3)


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("state", STATES)
def test_pure_never_needs_more(dtype: str, state: str) -> None:
    held, pure = Precision(dtype, state), Precision(dtype, "pure")
    assert pure.weights + pure.optimiser + pure.gradients <= held.weights + held.optimiser + held.gradients
    assert held.operand <= held.element <= 4


@pytest.mark.parametrize(("dtype", "state"), [("bf61", "mixed"), ("bf16", "mixt")])
def test_unknown_words_say_what_is_known(dtype: str, state: str) -> None:
    with pytest.raises(EstimateError, match="Did you mean"):
        Precision(dtype, state)
