"""If a run leaves its layout open, degrees that the stack cannot use for the model are not tried."""

from __future__ import annotations

import pytest

import gpuhours
from gpuhours.run.spec import Run
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
