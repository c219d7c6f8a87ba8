"""Bytes per parameter, as the sources of the formats count them."""

import json

import pytest

from gpuhours.hardware.accelerators import load_accelerator
from gpuhours.hardware.number_formats import FORMATS, NUMBER_FORMATS, PEAKS, STATES, NumberFormat, Precision
from gpuhours.inputs.errors import EstimateError
from gpuhours.kernels.gemm import gemm_time
from tests.conftest import Command


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


def test_a_new_format_is_one_line(monkeypatch: pytest.MonkeyPatch, gpuhours_command: Command) -> None:
    """Eight bits with a scale per 64 values, at the rate of fp8: runs, validation tables and kernels support it without other changes."""
    line = NumberFormat("hif8", 1, "fp8", scale=1 / 64, copies=2 + 2 / 64, words=("hif8",))
    for table in (FORMATS, NUMBER_FORMATS):
        monkeypatch.setitem(table, line.name, line)
    chip = load_accelerator("h100-sxm-80gb")
    assert chip.peak_for("hif8") == chip.peak_for("fp8")
    assert gemm_time(4096, 4096, 4096, chip, "hif8") <= gemm_time(4096, 4096, 4096, chip, "mxfp8")
    run = (
        "estimate",
        "--model",
        "llama-2-7b",
        "--tokens",
        "1T",
        "--gpu",
        "h100-sxm-80gb",
        "--gpus",
        "64",
        "--batch",
        "512",
    )
    mine, fp8 = (
        json.loads(gpuhours_command(*run, "--precision", name, "--json").out)["results"] for name in ("hif8", "fp8")
    )
    assert mine["mfu"]["value"] == pytest.approx(fp8["mfu"]["value"], rel=0.05)


def test_every_format_has_one_meaning() -> None:
    for name, line in NUMBER_FORMATS.items():
        assert name == line.name
        assert line.peak in PEAKS
        assert line.gemm in ("", *NUMBER_FORMATS)
        assert line.kept <= line.element <= 8 or not line.trains
