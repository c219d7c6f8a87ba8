"""Degrees that the stack cannot use are not tried where a run leaves its layout open; stacks that lack a stated degree are not drawn where
it leaves its stack open."""

from __future__ import annotations

from typing import Any

import pytest

import gpuhours
from gpuhours.run.samplable import described, usual_practice
from gpuhours.run.spec import Run, from_dict
from gpuhours.run.typical import blended
from gpuhours.software.profile import DEGREES, load_software


def tuned(software: str, **layout: str) -> Run:
    """Return a 70B fine-tuned on two 40 GB cards as in PEFT's documentation: 4-bit weights, rank 8, 2 per card, checkpointing."""
    return gpuhours.from_dict({
        "model": {"name": "llama-2-70b", "trainable": "lora", "rank": 8, "targets": ["q", "k", "v", "o", "gate", "up", "down"]},
        "data": {"seq_len": 2048, "steps": 100}, "training": {"global_batch": 8, "dtype": "nf4"},
        "hardware": {"accelerator": "a100-sxm-40gb", "gpus": 2}, "software": software,
        "layout": {"microbatch": 2, "sharding": "zero3", "recompute": "full", **layout},
    })  # fmt: skip


@pytest.mark.parametrize("software", ["huggingface", "huggingface-fsdp2", "huggingface-deepspeed", "llama-factory"])
def test_transformers_models_are_not_split(software: str) -> None:
    layout = gpuhours.estimate(tuned(software)).outcome.resolved.layout
    assert layout is not None
    assert [int(getattr(layout, name)) for name in DEGREES] == [1, 1, 1, 1]


def test_a_degree_that_is_stated_stays() -> None:
    layout = gpuhours.estimate(tuned("huggingface-fsdp2", tensor="2")).outcome.resolved.layout
    assert layout is not None
    assert layout.tensor == 2


@pytest.mark.parametrize(("software", "gigabytes"), [("huggingface-fsdp2", 35.6), ("huggingface-deepspeed", 36.6)])
def test_memory_of_qlora_over_two_cards(software: str, gigabytes: float) -> None:
    """Hugging Face PEFT, documentation on FSDP and DeepSpeed with QLoRA: memory per card (26.2 when two cards still split the GEMMs)."""
    found = gpuhours.estimate(tuned(software)).results["memory_per_gpu"]
    assert found is not None
    assert found.value / 1e9 == pytest.approx(gigabytes, rel=0.1)


def test_a_plan_offers_what_the_stack_has() -> None:
    run = tuned("huggingface-fsdp2").replaced("layout", None)
    for candidate in gpuhours.plan(run, gpus="2", top=5).best:
        assert [int(getattr(candidate.layout, name)) for name in DEGREES] == [1, 1, 1, 1]


def test_stacks_that_split_do() -> None:
    assert load_software("megatron-core").degrees == DEGREES
    assert load_software("huggingface-trainer").degrees == ()


EIGHT: dict[str, Any] = {
    "model": "llama-2-7b",
    "data": {"seq_len": 4096, "tokens": "1B"},
    "training": {"global_batch": 64},
    "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 8},
}


def names(layout: dict[str, int] | None) -> set[str]:
    run = from_dict(EIGHT if layout is None else {**EIGHT, "layout": layout})
    asked = described(run, usual_practice())
    assert asked is not None
    assert sum(share for share, _ in asked.stacks) == pytest.approx(1.0)
    return set(asked.names)


@pytest.mark.parametrize("layout", [{"tensor": 2}, {"pipeline": 4}, {"tensor": 2, "pipeline": 4}])
def test_a_stack_that_cannot_split_a_model_so_is_not_drawn(layout: dict[str, int]) -> None:
    """torch.compile under DDP was drawn for four pipeline stages of two tensor ranks."""
    assert names(layout)
    assert all(set(layout) <= set(load_software(name).degrees) for name in names(layout))
    assert "torch-compile" in names(None)


def test_a_degree_of_one_excludes_no_stack() -> None:
    assert names({"tensor": 1, "microbatch": 1}) == names(None)


def test_names_say_nothing_about_a_degree() -> None:
    """TinyLlama ran on FSDP2, but not with tensor ranks: where these are stated, stacks that have them weigh as judged, 25 : 20 : 15."""
    asked = described(from_dict({**EIGHT, "layout": {"tensor": 2}}), usual_practice())
    assert asked is not None
    for _, line in asked.stacks:
        assert not line.counted
        ratios = {line.weights[name] / judged for name, judged in line.judged.items()}
        assert max(ratios) == pytest.approx(min(ratios))
    shares = blended(asked.stacks).weights
    assert shares["megatron-core-2024"] > shares["fsdp2-eager"] > shares["deepspeed"] > 0
