"""What the training of adapters gets where a description says little: a card or a node, trainers of Hugging Face models, no stages."""

from __future__ import annotations

from typing import Any

import pytest

import gpuhours
from gpuhours.inputs.errors import EstimateError
from gpuhours.layout.choices import Sharding
from gpuhours.memory.odds import SAFE
from gpuhours.questions.estimating.estimates import Estimate
from gpuhours.run.typical import typical
from gpuhours_cli.render.estimate import layout_words

FITS_ON_ONE = (
    {"model": "llama-3.1-8b", "lora": "16", "gpu": "rtx-4090", "tokens": "10M"},
    {"model": "llama-3.1-8b", "qlora": "16", "gpu": "rtx-4090", "samples": "50k", "epochs": "3"},
    {"model": "flux.1-dev", "qlora": "16", "gpu": "rtx-4090", "samples": "2000", "epochs": "1"},
    {"model": "flux.1-dev", "lora": "16", "gpu": "rtx-4090", "steps": "1000"},
)


def estimate(**shortcuts: Any) -> Estimate:
    return gpuhours.estimate(**shortcuts)


@pytest.mark.parametrize("shortcuts", FITS_ON_ONE, ids=lambda said: f"{said['model']} {said['gpu']}")
def test_adapters_that_fit_on_one_card_and_train_within_a_day_get_one(shortcuts: dict[str, str]) -> None:
    found = estimate(**shortcuts)
    resolved, held = found.outcome.resolved, found.outcome.memory
    assert resolved.gpus == 1
    assert resolved.layout is not None
    assert (resolved.layout.sharding, resolved.layout.pipeline, resolved.layout.tensor) == (Sharding.none, 1, 1)
    assert held is not None
    assert held.fits_probability >= SAFE


@pytest.mark.parametrize("model", ["llama-3.1-70b", "mixtral-8x7b", "qwen3-30b-a3b", "flux.1-dev"])
@pytest.mark.parametrize("card", ["h100-sxm-80gb", "rtx-4090"])
def test_no_adapters_are_trained_in_stages_or_on_a_pretraining_stack(model: str, card: str) -> None:
    found = estimate(model=model, lora="16", gpu=card, samples="10k", epochs="3")
    layout, sample = found.outcome.resolved.layout, found.sample
    assert layout is not None
    assert sample is not None
    assert (layout.tensor, layout.pipeline, layout.interleave) == (1, 1, 1)
    assert all(name.startswith(("huggingface", "unsloth", "llama-factory", "torch-eager")) for name in sample.stack)


def test_a_weight_of_the_table_has_a_source_for_adapters_of_each_kind() -> None:
    table = typical()
    for kind in ("text", "vision", "video"):
        line = next(one for one in table.stacks if one.holds(kind, 2026, 1, 1e7, mixture=False, adapters=True))
        assert line.adapters
        assert line.source


def test_one_card_shards_nothing_whatever_is_trained() -> None:
    for model in ("llama-3.2-1b", "gpt2"):
        layout = estimate(model=model, tokens="1B", gpu="h100-sxm-80gb", gpus="1").outcome.resolved.layout
        assert layout is not None
        assert layout.sharding == Sharding.none


def test_samples_without_epochs_have_a_step_and_memory() -> None:
    found = estimate(model="flux.1-dev", lora="16", samples="2000", gpu="rtx-4090")
    assert found.results["step_time"] is not None
    assert found.results["memory_per_gpu"] is not None
    assert found.results["gpu_hours"] is None


@pytest.mark.parametrize(("samples", "more"), [("50k", "--gpus 16"), ("1k", "--gpus 16 --batch 16")])
def test_what_does_not_fit_is_offered_4_bits_and_more_cards(samples: str, more: str) -> None:
    asked = {"model": "llama-3.1-405b", "lora": "16", "gpu": "h100-sxm-80gb", "samples": samples, "epochs": "1"}
    ways = estimate(**asked, gpus="8").advice.ways
    assert [way.change for way in ways] == ["--qlora", f"{more} with ZeRO-3"]
    assert all(way.fits for way in ways)
    assert estimate(**asked, gpus="16").fits


def test_advice_offers_no_degree_that_the_stack_lacks() -> None:
    found = estimate(model="llama-3.1-8b", lora="16", gpu="rtx-3060", gpus="2", tokens="1M", software="trl")
    said = " ".join([way.change for way in found.advice.ways] + [one.words for one in found.advice.faster])
    assert "tensor" not in said
    assert "pipeline" not in said


def test_other_numbers_of_cards_are_those_on_which_it_fits() -> None:
    found = estimate(model="llama-3.1-70b", lora="16", gpu="h100-sxm-80gb", samples="10k", epochs="3")
    assert found.outcome.resolved.gpus == 4
    assert all(one.gpus >= 4 for one in found.by_gpus)


def test_a_stated_duration_uses_the_usual_stack_of_adapters() -> None:
    found = estimate(model="flux.1-dev", lora="16", samples="2000", epochs="1", gpu="rtx-4090", gpus="1", days="1")
    assert found.outcome.resolved.software.name == "huggingface"


def test_adapters_of_a_vision_language_model_leave_its_encoder_frozen() -> None:
    """LLaMA-Factory's ``freeze_vision_tower`` and ``freeze_multi_modal_projector`` are true where a run does not say."""
    found = estimate(model="qwen2.5-vl-7b", lora="16", gpu="rtx-4090", samples="1k", epochs="1")
    model = found.outcome.resolved.model
    assert model is not None
    assert float(model.trainable_parameters) < 0.01 * float(model.parameters)
    assert found.outcome.resolved.gpus == 1


def test_a_language_model_that_also_comes_with_an_encoder_is_told_by_that_name() -> None:
    with pytest.raises(EstimateError) as refused:
        estimate(model="gemma-3-4b", lora="16", gpu="l4", samples="1k", epochs="1", frames="1")
    assert "name gemma-3-4b-vision." in refused.value.hint


def test_one_replica_is_not_said_to_be_sharded() -> None:
    found = estimate(model="llama-3.1-8b", gpu="a10g", gpus="8", samples="50k", epochs="1", tensor="4", pipeline="2")
    assert layout_words(found).startswith("tensor 4 · pipeline 2")
    assert "zero" not in layout_words(found)


def test_diffusion_models_swap_blocks_where_one_card_cannot_hold_them() -> None:
    """23.8 GB of 16-bit weights beside 25.4 GB: on the host, listed, and at the price of copying them; not where they fit or are narrow."""
    asked = {"model": "flux.1-dev", "gpu": "rtx-4090", "steps": "1000"}
    swapped = estimate(lora="16", **asked)
    layout, held = swapped.outcome.resolved.layout, swapped.outcome.memory
    assert layout is not None
    assert held is not None
    assert layout.offload_parameters
    assert float(held.host_per_node) >= 2 * 11.9e9
    assert any(one.name == "layout.offload_parameters" for one in swapped.assumptions)
    assert "weights on the host" in layout_words(swapped)
    for other in (
        estimate(qlora="16", **asked),
        estimate(lora="16", **{**asked, "gpu": "h100-sxm-80gb"}),
        estimate(lora="16", gpus="2", **asked),
        estimate(lora="16", model="llama-2-13b", gpu="rtx-4090", tokens="10M"),
    ):
        assert other.outcome.resolved.layout is not None
        assert not other.outcome.resolved.layout.offload_parameters


@pytest.mark.parametrize(
    ("tokens", "splits"), [("20M", False), ("700M", False), ("200B", True)], ids=["0.002 a parameter", "0.09", "25"]
)
def test_far_fewer_tokens_than_parameters_are_a_tuning(tokens: str, splits: bool) -> None:
    """Whole models tuned on one or two nodes run on Hugging Face's trainers, which split none; 20M tokens drew Megatron's tensor ranks."""
    found = estimate(model="llama-3.1-8b", gpu="a10g", gpus="8", tokens=tokens)
    stacks = next(one for one in found.assumptions if one.name.startswith("software"))
    assert ("megatron" in stacks.source.lower() + stacks.reason.lower() + str(found.to_dict()).lower()) is splits
    if not splits:
        assert "tensor" not in layout_words(found)
        assert "pipeline" not in layout_words(found)
