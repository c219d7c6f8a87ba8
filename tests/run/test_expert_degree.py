"""The expert degree of a layout that states everything else: the stack's usual one."""

from __future__ import annotations

from typing import Any

import pytest

import gpuhours
from gpuhours.run.default_layout import usual_expert_degree
from gpuhours.run.resolve import resolve

MIXTURE = {
    "model": "gpt-oss-120b", "data.tokens": "1B", "data.seq_len": 4096, "training.global_batch": 512,
    "hardware.accelerator": "h100-sxm-80gb", "hardware.gpus": 64, "layout.tensor": 1, "layout.pipeline": 1, "layout.microbatch": 2,
    "layout.sharding": "zero3", "layout.recompute": "full",
}  # fmt: skip


@pytest.mark.parametrize(
    ("software", "said", "expert"),
    [
        ("nemo-automodel", {}, 64),
        ("nemo-automodel", {"layout.expert": 1}, 1),
        ("nemo-automodel", {"layout.pipeline": 4}, 16),  # 16 ranks hold a stage
        ("nemo-automodel", {"model": "llama-3-8b"}, 1),
        ("fsdp2-eager", {}, 1),
    ],
)
def test_the_stacks_usual_degree_unless_one_is_stated(software: str, said: dict[str, Any], expert: int) -> None:
    found = resolve(gpuhours.from_dict({}, settings={**MIXTURE, "software": software, **said}))
    assert found.layout is not None
    assert found.layout.expert == expert
    assert any(one.name == "layout.expert" for one in found.assumptions) is (expert > 1)


def test_sampled_and_single_estimates_agree_on_it() -> None:
    left, stated = (
        gpuhours.estimate(gpuhours.from_dict({}, settings={**MIXTURE, "software": "nemo-automodel", **said}))
        for said in ({}, {"layout.expert": 64})
    )
    assert left.results["step_time"].value == stated.results["step_time"].value


@pytest.mark.parametrize(
    ("most", "ranks", "experts", "degree"), [(64, 96, 128, 32), (64, 256, 256, 64), (1, 8, 8, 1), (64, 7, 60, 1)]
)
def test_the_degree_divides_ranks_and_experts(most: int, ranks: int, experts: int, degree: int) -> None:
    assert usual_expert_degree(most, ranks, experts) == degree
