"""Work that a recomputation policy repeats, by role: FLOPs, time and memory agree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from gpuhours.architecture.decoder import Decoder
from gpuhours.architecture.model_spec import read_model
from gpuhours.architecture.operators import Model, Role, Stack
from gpuhours.data import Data
from gpuhours.flops import attention_flops, gemm_flops, hardware_flops, model_flops
from gpuhours.hardware.clusters import cluster
from gpuhours.hardware.number_formats import Precision
from gpuhours.layout.choices import Module, Recompute
from gpuhours.layout.layout import Layout
from gpuhours.layout.recompute import SELECTIVE, selective_policy
from gpuhours.memory import memory
from gpuhours.software.profile import load_software
from gpuhours.step import step
from gpuhours.step.compute import ATTENTION, GEMMS, layer_compute
from gpuhours.step.recompute import repeated
from gpuhours.workload import Workload

LLAMA = Decoder(layers=32, hidden=4096, heads=32, kv_heads=8, ffn_hidden=14336, vocab=128256)
MIXTURE = read_model("deepseek-v3")


def workload(model: Model, software: str = "megatron-core", **layout: Any) -> Workload:
    machine = cluster("h100-sxm-80gb", gpus=64)
    return Workload(model, 64, Layout(**layout), machine, load_software(software), Precision())


def ratio(software: str, recompute: str, **layout: Any) -> float:
    """HFU / MFU of a step."""
    found = step(workload(LLAMA.model(8192), software, recompute=recompute, **layout))
    return float(found.hfu / found.mfu)


STACK = LLAMA.model(8192).stacks[0]
LINEAR, CORE = float(32 * gemm_flops(STACK.block.linears, 8192)), float(attention_flops(STACK, full=False))
DOWN = 32 * 2 * 14336 * 4096 * 8192
NEEDED = float(model_flops(LLAMA.model(8192)))


@pytest.mark.parametrize(
    ("software", "again"),
    [
        ("megatron-core", CORE),
        ("megatron-2022", CORE),
        ("torch-eager", CORE),
        ("internevo", LINEAR),
        ("burstengine", LINEAR),
        ("fsdp-compile", LINEAR / 2),
        ("jax", LINEAR - DOWN),
    ],
)
def test_hfu_under_selective_is_what_the_stack_repeats(software: str, again: float) -> None:
    """It used to be 1.0417 for every stack."""
    assert ratio(software, "selective") == pytest.approx(1 + again / NEEDED)


@pytest.mark.parametrize(
    ("software", "again"), [("megatron-core", LINEAR + CORE), ("torch-eager", LINEAR + CORE - DOWN)]
)
def test_hfu_under_full_spares_the_last_gemm_where_the_stack_does(software: str, again: float) -> None:
    assert ratio(software, "full") == pytest.approx(1 + again / NEEDED)
    assert ratio(software, "full", recompute_layers=16) == pytest.approx(1 + again / 2 / NEEDED)


@pytest.mark.parametrize(
    "software", ["megatron-core", "internevo", "burstengine", "fsdp-compile", "jax", "torch-eager"]
)
def test_time_and_flops_repeat_the_same_share(software: str) -> None:
    """GEMMs and attention only: the repeated seconds equal the repeated FLOPs, each kind at its own rate."""
    at = workload(LLAMA.model(8192), software, recompute="selective")
    parts = {kind: passes for kind, passes in layer_compute(STACK, at).items() if kind in (GEMMS, ATTENTION)}
    flops = float(hardware_flops(at.model, 1, at.layout, at.software)) - NEEDED
    core = SELECTIVE[at.software.selective].core
    seconds = float(repeated(STACK, at, parts))
    assert seconds == pytest.approx(
        float(parts[GEMMS].forward) * (flops - core * CORE) / LINEAR + core * float(parts[ATTENTION].forward)
    )


def renamed(model: Model) -> Model:
    parts = []
    for part in model.parts:
        if isinstance(part, Stack):
            linears = tuple(replace(linear, name=f"GEMM {place}") for place, linear in enumerate(part.block.linears))
            part = replace(part, block=replace(part.block, linears=linears))
        parts.append(part)
    return replace(model, parts=tuple(parts))


@pytest.mark.parametrize("software", ["megatron-core", "internevo", "torch-eager", "huggingface"])
@pytest.mark.parametrize("model", [LLAMA.model(4096), MIXTURE.build(Data(seq_len=4096))], ids=["dense", "mixture"])
def test_no_arithmetic_reads_a_name(software: str, model: Model) -> None:
    for mode in ("none", "selective", "full"):
        here, there = (workload(one, software, tensor=8, recompute=mode) for one in (model, renamed(model)))
        assert float(step(here).time) == float(step(there).time)
        assert float(step(here).hardware_flops) == float(step(there).hardware_flops)
        assert float(memory(here).total) == float(memory(there).total)


def test_lora_does_not_read_names_either() -> None:
    model = LLAMA.model_copy(update={"trainable": "lora", "targets": ("q", "down")}).model(4096)
    here, there = (workload(one, "torch-eager", recompute="full") for one in (model, renamed(model)))
    assert float(memory(here).total) == float(memory(there).total)
    assert float(step(here).time) == float(step(there).time)


# module by module, as Megatron-Core names them


@pytest.mark.parametrize("module", list(Module), ids=lambda module: module.name)
def test_a_module_costs_no_more_than_a_layer_and_saves_no_more(module: Module) -> None:
    model = MIXTURE.build(Data(seq_len=4096))
    none, some, full = (
        workload(model, tensor=8, expert=8, **layout)
        for layout in ({"recompute": "none"}, {"recompute_modules": [module]}, {"recompute": "full"})
    )
    times = [float(step(one).time) for one in (none, some, full)]
    held = [float(memory(one).parts["activations"]) for one in (none, some, full)]
    assert times[0] <= times[1] < times[2]
    assert held[0] >= held[1] > held[2]
    if module is not Module.core_attn:  # fused, attention keeps its operands and its output in any case
        assert times[0] < times[1]
        assert held[0] > held[1]


def test_modules_add_up() -> None:
    model = MIXTURE.build(Data(seq_len=4096))
    both = selective_policy(
        model.stacks[-1], Layout(recompute_modules=["mla_up_proj", "moe_act"]), load_software("megatron-core")
    )  # type: ignore[arg-type]
    assert both.gemms == {Role.LATENT_UP: 1.0}
    assert both.unkept.heads
    assert Role.MLP_OUT in both.unkept.experts


def test_the_mlp_of_a_dense_layer_by_hand() -> None:
    """Both GEMMs are repeated, and the input of the second (f in 2 bytes) and gate and up (2 f in 2 bytes) are not kept."""
    none, mlp = (workload(LLAMA.model(4096), tensor=1, **layout) for layout in ({}, {"recompute_modules": ["mlp"]}))
    saved = 32 * 4096 * 3 * 14336 * 2
    activations = [float(memory(one).parts["activations"]) for one in (none, mlp)]
    assert activations[0] - activations[1] == pytest.approx(saved, rel=0.05)
    again = float(step(mlp).hardware_flops - step(mlp).model_flops) / 64
    assert again == pytest.approx(32 * 2 * 3 * 4096 * 14336 * 4096)


def test_modules_set_the_mode_that_repeats_them() -> None:
    assert Layout(recompute_modules=["core_attn"]).recompute is Recompute.selective  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="recompute: selective"):
        Layout(recompute_modules=["core_attn"], recompute="full")  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="must be one of core_attn"):
        Layout(recompute_modules=["everything"])  # type: ignore[arg-type]


def test_modes_in_an_array_are_the_modes_one_by_one() -> None:
    model = LLAMA.model(4096)
    together = workload(model, "burstengine").with_layout(Layout().replaced(recompute=np.array([0, 1, 2])))
    alone = [workload(model, "burstengine", recompute=mode) for mode in ("none", "selective", "full")]
    np.testing.assert_allclose(step(together).hardware_flops, [float(step(one).hardware_flops) for one in alone])
    np.testing.assert_allclose(memory(together).total, [float(memory(one).total) for one in alone])
