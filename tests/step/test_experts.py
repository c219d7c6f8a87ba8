"""Layers of experts on one accelerator against our own H200 measurements: grouped GEMMs, routing, activation."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpuhours.architecture.decoder import Decoder
from gpuhours.architecture.decoder_shapes import Experts
from gpuhours.architecture.operators import Model, Pointwise, Stack
from gpuhours.hardware.clusters import cluster
from gpuhours.hardware.number_formats import Precision
from gpuhours.layout.layout import Layout
from gpuhours.run.resolve import resolve
from gpuhours.run.spec import Run
from gpuhours.software.profile import list_software, load_software
from gpuhours.step.compute import elementwise_passes, gemm_passes
from gpuhours.step.predict import step
from gpuhours.step.schedule import Passes
from gpuhours.workload import Workload

TABLE = Path(__file__).parents[1] / "measurements" / "h200_experts.csv"
INSIDE = (Pointwise.EXPERT_SWIGLU, Pointwise.ROUTER, Pointwise.PERMUTE)


def experts_alone(row: dict[str, str]) -> Stack:
    """Return the layer without attention, norms and residuals, as measured."""
    width = int(row["width"])
    chosen = Experts(count=int(row["experts"]), top_k=int(row["top_k"]), width=width)
    shape = {
        "layers": 1,
        "hidden": int(row["hidden"]),
        "heads": 16,
        "kv_heads": 16,
        "ffn_hidden": width,
        "vocab": 32000,
    }
    stack = Decoder(**shape, gated=True, experts=chosen).model(int(row["tokens"])).stacks[0]
    linears = tuple(one for one in stack.block.linears if one.name not in ("qkv", "attention output"))
    elementwise = tuple(one for one in stack.block.elementwise if one.kind in INSIDE)
    return replace(stack, block=replace(stack.block, linears=linears, attention=(), elementwise=elementwise))


def test_layers_of_experts() -> None:
    """8 x top 2, 64 x top 6 and 128 x top 8 at 4K to 32K tokens, forward and backward, with a random router."""
    one = cluster("h200-sxm-141gb", gpus=1)
    errors: dict[str, list[float]] = {"gemms": [], "torch-eager": [], "torch-compile": []}
    with TABLE.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            stack, tokens = experts_alone(row), int(row["tokens"])
            stack_name = "torch-compile" if row["compiled"] == "1" else "torch-eager"
            model, software = Model("experts", (stack,), stack.block.hidden), load_software(stack_name)
            workload = Workload(model, 1, Layout(microbatch=1), one, software, Precision("bf16", "pure"))
            each = (gemm_passes(linear, tokens, workload, stack.trainable) for linear in stack.block.linears)
            gemms = sum(each, start=Passes())
            time = gemms.total + elementwise_passes(stack, tokens, workload).total
            errors["gemms"].append(float(gemms.total) * 1e3 / float(row["gemms_ms"]) - 1)
            errors[stack_name].append(float(time) * 1e3 / float(row["forward_backward_ms"]) - 1)
    assert np.median(np.abs(errors["gemms"])) < 0.05
    assert np.median(np.abs(errors["torch-compile"])) < 0.03
    assert np.median(np.abs(errors["torch-eager"])) < 0.09


@pytest.mark.parametrize("name", list_software())
def test_a_mixture_is_never_faster_than_its_dense_part(name: str) -> None:
    """Compared with attention, norms and both ends, with almost no feed-forward layer, on the same accelerators."""

    def seconds(gpus: int, feed_forward: dict[str, Any], layout: dict[str, Any]) -> float:
        run = Run.model_validate({
            "model": {"layers": 16, "hidden": 2048, "heads": 16, "kv_heads": 4, "vocab": 32000, **feed_forward},
            "data": {"seq_len": 4096}, "training": {"global_batch": gpus, "dtype": "bf16"},
            "hardware": {"accelerator": "h100-sxm-80gb", "gpus": gpus}, "software": name,
            "layout": {"microbatch": 1, "tensor": 1, "recompute": "full", "sharding": "zero1", **layout},
        })  # fmt: skip
        return float(step(resolve(run).workload).time)

    for gpus, expert in ((8, 1), (32, 16)):
        mixture = seconds(gpus, {"ffn_hidden": 768, "experts": {"count": 64, "top_k": 4}}, {"expert": expert})
        assert mixture > seconds(gpus, {"ffn_hidden": 64}, {})
