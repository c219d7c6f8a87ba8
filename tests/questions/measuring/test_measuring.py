"""Constants fitted to known times, and the message on a machine without a GPU."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from gpuhours.hardware.accelerators import load_accelerator
from gpuhours.inputs.errors import EstimateError
from gpuhours.kernels.attention import attention_time
from gpuhours.kernels.gemm import gemm_time
from gpuhours.questions.measuring.gpu_benchmark import (
    HIDDEN,
    LENGTHS,
    TOKENS,
    Attention,
    Device,
    Gemm,
    KernelTimings,
)
from gpuhours.questions.measuring.measuring import fitted, measure, recognised, write
from tests.benchmarks.kernels import OWN, read

H200 = load_accelerator("h200-sxm-141gb")
HERE = Device("NVIDIA H200", 150e9, 132, "2.11.0")


def slower(by: float) -> KernelTimings:
    """Return a card on which everything takes ``by`` times as long as according to the H200 profile."""
    shapes = [(m, n, k) for m in TOKENS for h in HIDDEN for n, k in ((h, h), (4 * h, h), (h, 4 * h))]
    cores = [(16384 // length, 32, length, 128) for length in LENGTHS]

    def core(direction: str, shape: tuple[int, ...]) -> float:
        batch, heads, length, width = shape
        found = attention_time(
            "cudnn",
            direction,
            H200,
            batch=batch,
            heads=heads,
            kv_heads=heads,
            length=length,
            head_dim=width,
            causal=True,
        )
        return by * float(found)

    return KernelTimings(
        device=HERE,
        dtype="bf16",
        copy_bandwidth=4.3e12 / by,
        launch=1e-6,
        gemms=tuple(Gemm(m, n, k, by * float(gemm_time(m, n, k, H200))) for m, n, k in shapes),
        kernel="cudnn",
        attention=tuple(Attention(*shape, core("forward", shape), core("backward", shape)) for shape in cores),
    )


@pytest.mark.parametrize("by", [0.9, 1.0, 1.25])
def test_a_level_is_found_again(by: float) -> None:
    levels = {level.kernel: level for level in fitted(slower(by), H200).levels}
    for kernel in ("GEMMs", "attention forward (cudnn)", "attention backward (cudnn)"):
        assert levels[kernel].factor == pytest.approx(1 / by, rel=0.02)
        assert levels[kernel].error < 0.02


def test_our_own_gemms_ask_for_the_profiles_level() -> None:
    t = read(OWN / "h200_gemm.csv")
    rows = (t["kind"] == "single") & (t["dtype"] == "bf16") & (t["pass"] == "fwd") & (t["m"] >= 1024) & (t["n"] >= 2048)
    rows &= (t["k"] >= 2048) & (t["n"] % 8 == 0)
    found = zip(*(t[name][rows] for name in ("m", "n", "k", "time_us")), strict=True)
    gemms = tuple(Gemm(int(m), int(n), int(k), us * 1e-6) for m, n, k, us in found)
    level = fitted(replace(slower(1.0), gemms=gemms), H200).levels[0]
    assert level.factor == pytest.approx(1.0, abs=0.04)


def test_the_profile_loads_and_carries_the_level(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    write(fitted(slower(1.25), H200), path)
    mine = load_accelerator(str(path))
    shape = (8192, 8192, 8192)
    assert float(gemm_time(*shape, mine)) == pytest.approx(1.25 * float(gemm_time(*shape, H200)), rel=0.02)
    assert mine.peak == H200.peak
    assert mine.node == H200.node


@pytest.mark.parametrize(
    ("name", "memory", "multiprocessors", "profile"),
    [
        ("NVIDIA H200", 150e9, 132, "h200-sxm-141gb"),
        ("NVIDIA H100 80GB HBM3", 85e9, 132, "h100-sxm-80gb"),
        ("NVIDIA H100 PCIe", 85e9, 114, "h100-pcie-80gb"),
        ("NVIDIA A100-SXM4-40GB", 42.3e9, 108, "a100-sxm-40gb"),
        ("NVIDIA A100 80GB PCIe", 85e9, 108, "a100-pcie-80gb"),
        ("Tesla V100-SXM2-32GB", 34e9, 80, "v100-sxm-32gb"),
    ],
)
def test_devices_are_recognised(name: str, memory: float, multiprocessors: int, profile: str) -> None:
    assert recognised(Device(name, memory, multiprocessors, "2.11.0")) == profile


def test_an_unknown_device_asks_for_its_profile() -> None:
    with pytest.raises(EstimateError, match="No profile is known for 'Quadro 600'"):
        recognised(Device("Quadro 600", 1e9, 2, "2.11.0"))


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="PyTorch is installed here")
def test_without_pytorch_it_says_so() -> None:
    with pytest.raises(EstimateError, match="needs PyTorch"):
        measure()
