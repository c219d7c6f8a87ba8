"""Launches of plain PyTorch, as counted by the profiler on H200 (``measurements/h200_launches.csv``)."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from gpuhours.hardware.accelerators import load_accelerator
from gpuhours.kernels.attention import attention_time
from gpuhours.run.resolve import resolve
from gpuhours.run.spec import Run
from gpuhours.software.matching import StatedStack, match
from gpuhours.software.profile import load_software
from gpuhours.step.cpu_overhead import layer_kernels

MEASUREMENTS = Path(__file__).parents[1] / "measurements"
GPT2_MEDIUM = {
    "layers": 24, "hidden": 1024, "heads": 16, "ffn_hidden": 4096, "vocab": 50304, "gated": False, "norm": "layer",
    "attention_bias": "all", "mlp_bias": True, "tied": True, "positions": "learned", "max_positions": 1024,
    "code_steps": ["joint-heads"],
}  # fmt: skip
LLAMA_350M = {"layers": 24, "hidden": 1024, "heads": 16, "ffn_hidden": 2816, "vocab": 32000}


def rows(name: str) -> list[dict[str, str]]:
    with (MEASUREMENTS / name).open(encoding="utf-8") as table:
        return list(csv.DictReader(table))


def kernels(model: dict[str, Any], state: str) -> tuple[float, float]:
    run = Run.model_validate({
        "model": model, "data": {"seq_len": 32}, "training": {"global_batch": 1, "state": state},
        "hardware": {"accelerator": "h200-sxm-141gb", "gpus": 1}, "layout": {"microbatch": 1}, "software": "torch-eager",
    })  # fmt: skip
    workload = resolve(run).workload
    forward, backward = layer_kernels(workload.model.stacks[0], workload)
    return float(forward), float(backward)


@pytest.mark.parametrize("state", ["pure", "amp"])
def test_a_gpt_layers_kernels(state: str) -> None:
    counted = next(row for row in rows("h200_launches.csv") if row["name"] == f"tiny-gpt2-m-{state}")
    for mine, phase in zip(kernels(GPT2_MEDIUM, state), ("forward", "backward"), strict=True):
        assert mine == pytest.approx(int(counted[f"{phase}_kernels"]) / 24, rel=0.12)


def test_a_llama_layers_kernels_lie_between_torchs_own_norm_and_one_written_out() -> None:
    own, written = (
        next(row for row in rows("h200_launches.csv") if row["name"] == name)
        for name in ("tiny-llama-350m-nnrms-half-pure", "tiny-llama-350m-pure")
    )
    for mine, phase in zip(kernels(LLAMA_350M, "pure"), ("forward", "backward"), strict=True):
        assert int(own[f"{phase}_kernels"]) / 24 < mine < int(written[f"{phase}_kernels"]) / 24


def test_flash_attention_with_dropout() -> None:
    """Heads of 128, 2,048 to 65,536 tokens: the factors among the constants are the measured ones."""
    both = load_accelerator("h200-sxm-141gb").attention_constants("flash2")
    found = [row for row in rows("h200_flash_attention_dropout.csv") if row["head_dim"] == "128"]
    assert len(found) == 5
    for row in found:
        assert float(row["dropped_forward"]) == pytest.approx(both.forward.dropout, abs=0.03)
        assert float(row["dropped_backward"]) == pytest.approx(both.backward.dropout, abs=0.03)


def test_attention_with_dropout_and_in_fp32() -> None:
    """Kernels of at least 150 us, which are not host-bound: 6.1 % mean error."""
    chip, misses = load_accelerator("h200-sxm-141gb"), []
    for row in rows("h200_attention_masks.csv"):
        if not row["how"].startswith(("drop", "fp32")) or "bool" in row["how"]:
            continue
        heads, length, size = int(row["heads"]), int(row["length"]), int(row["head_dim"])
        for direction in ("forward", "backward"):
            if (measured := float(row[f"{direction}_us"])) >= 150:
                mine = attention_time(
                    "cudnn", direction, chip, batch=int(row["batch"]), heads=heads, kv_heads=heads, length=length, head_dim=size,
                    causal="causal" in row["how"], dtype="fp32" if "fp32" in row["how"] else "bf16", dropped="drop" in row["how"],
                )  # fmt: skip
                misses.append(abs(float(mine) * 1e6 / measured - 1))
    assert len(misses) > 50
    assert sum(misses) / len(misses) < 0.065
    assert max(misses) < 0.35


def test_fsdp2_of_2026_runs_todays_attention() -> None:
    for year, kernel in ((2024, "flash2"), (2026, "cudnn")):
        profile = match(StatedStack(stated="PyTorch FSDP2", year=year)).profile
        assert load_software(profile).attention_kernel("hopper") == kernel


@pytest.mark.parametrize(("linear", "least", "most"), [(12.4e-6, 12e-6, 14e-6), (26e-6, 17e-6, 29e-6)])
def test_a_launch_takes_what_it_took_on_hosts_of_that_pace(linear: float, least: float, most: float) -> None:
    """A small nn.Linear took 12.4 us on one host and 20 to 33 us on another, a kernel 12 to 14 and 17 to 29 us."""
    kernels = load_software("torch-eager").on_host(linear).host.kernels
    assert kernels is not None
    assert least < kernels.each.forward < most
    assert least < kernels.each.backward < most


def test_torchtitan_compiles_its_loss_since_2025() -> None:
    """Eager: fp32 logits, log-softmax and gradient; compiled: the 16-bit logits and their gradient, as under torch.compile."""
    today, compiled = load_software("fsdp-compile"), load_software("torch-compile").memory
    assert today.of_year(2024).memory.logits == 12
    for year in (2025, None):
        found = today.of_year(year).memory
        assert (found.logits, found.logits_forward) == (compiled.logits, compiled.logits_forward)


def test_split_layers_take_the_launches_of_their_collectives() -> None:
    """Four gathers and four scatters of a layer on two H200, of a host at (27 / 21.4)^0.77 of the usual one's time; Megatron-LM's layers
    and those after them are split by the same functions."""
    took = {row["what"]: (float(row["run_1"]) + float(row["run_2"])) / 2 for row in rows("h200_split_launches.csv")}
    more = sum(took[f"split_layer_{way}_ms"] - took[f"layer_{way}_ms"] for way in ("forward", "backward"))
    kernels = load_software("torch-eager").host.kernels
    assert kernels is not None
    assert kernels.linear is not None
    usual = 1e-3 * more * (1e6 * kernels.linear / took["linear_us"]) ** kernels.follows
    for name in ("megatron-2022", "megatron-2023", "deepspeed", "internevo", "bigscience", "burstengine"):
        assert load_software(name).host.tensor == pytest.approx(usual, rel=0.05), name
