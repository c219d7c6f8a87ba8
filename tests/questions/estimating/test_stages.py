"""Training in stages: each stage is a whole run, and the totals are sums over stages."""

from __future__ import annotations

import pytest

import gpuhours
from gpuhours.inputs.errors import EstimateError
from gpuhours.run.evaluate import evaluate
from gpuhours.run.overlays import laid_over
from gpuhours.run.spec import Run, from_dict

STAGE_4 = {
    "name": "LongVILA stage 4",
    "model": {"name": "qwen2-7b", "trainable": "lora", "rank": 8, "targets": ["q", "k", "v", "o"]},
    "hardware": {"accelerator": "a100-sxm-80gb", "gpus": 16},
    "layout": {"context": 16, "sequence_method": "zigzag", "sharding": "zero2", "recompute": "full"},
    "software": "longvila",
    "training": {"dtype": "bf16", "state": "mixed"},
    "stages": [
        {"name": "64K", "data": {"seq_len": 131072, "steps": 40}, "training": {"global_batch": 4},
         "hardware": {"gpus": 8}, "layout": {"context": 8}},
        {"name": "256K", "data": {"seq_len": 262144, "steps": 80}, "training": {"global_batch": 16}},
    ],
}  # fmt: skip
"""The released scripts 4_extend_llm_64k.sh and 4_extend_llm_256k.sh (github NVlabs/VILA, longvila)."""


@pytest.fixture(scope="module")
def longvila() -> gpuhours.Estimate:
    return gpuhours.estimate(from_dict(STAGE_4))


def test_a_stage_keeps_what_it_does_not_change() -> None:
    run = from_dict(STAGE_4)
    assert [stage.name for stage in run.stages] == ["64K", "256K"]
    assert [stage.hardware.gpus for stage in run.stages] == [8, 16]
    assert all(stage.hardware.accelerator == "a100-sxm-80gb" and stage.software == "longvila" for stage in run.stages)
    assert [stage.layout.context for stage in run.stages if stage.layout] == [8, 16]


def test_tokens_of_the_released_scripts(longvila: gpuhours.Estimate) -> None:
    """40 x 4 x 131,072 + 80 x 16 x 262,144 tokens."""
    assert longvila.results["tokens"] is not None
    assert longvila.results["tokens"].value == 356_515_840


def test_336_a100_hours_of_context_extension(longvila: gpuhours.Estimate) -> None:
    """LongVILA, section 3.2: "approximately 336 GPU hours" for both lengths; predicted from the scripts alone: 283."""
    hours = longvila.results["gpu_hours"]
    assert hours is not None
    assert hours.low is not None
    assert hours.high is not None
    assert hours.value == pytest.approx(336, rel=0.2)
    assert hours.low < 336 < 1.05 * hours.high  # of steps alone: a whole run takes more


def test_totals_are_sums(longvila: gpuhours.Estimate) -> None:
    for name in ("gpu_hours", "wall_clock", "model_flops", "steps", "cost", "energy"):
        total, each = longvila.results[name], [stage.results[name] for stage in longvila.stages]
        assert total is not None
        assert total.value == pytest.approx(sum(result.value for result in each if result is not None)), name
    assert [stage["name"] for stage in longvila.to_dict()["stages"]] == ["64K", "256K"]


def test_mfu_of_halves_is_that_of_the_whole() -> None:
    """Goodput is lost between steps, so the MFU of a run or its stages is that of its steps."""
    whole = {
        "model": "llama-2-7b", "data": {"seq_len": 4096, "tokens": 1e10}, "layout": {"sharding": "zero3"}, "software": "fsdp-eager",
        "hardware": {"accelerator": "a100-sxm-80gb", "gpus": 8}, "training": {"global_batch": 64}, "known": {"goodput": 0.6},
    }  # fmt: skip
    half = {"data": {"tokens": 5e9}}
    one, two = (gpuhours.estimate(from_dict(run)).results for run in (whole, {**whole, "stages": [half, half]}))
    for name in ("mfu", "gpu_hours", "model_flops"):
        first, second = one[name], two[name]
        assert first is not None
        assert second is not None
        assert second.value == pytest.approx(first.value, rel=1e-9), name


def test_one_stage_too_large_is_the_whole_run_too_large() -> None:
    """A full 7B model with a million tokens does not fit on one accelerator."""
    heavy = {"name": "1M", "data": {"seq_len": 1048576, "steps": 1}, "training": {"global_batch": 1},
             "hardware": {"gpus": 1}, "layout": {"context": 1, "recompute": "none"}}  # fmt: skip
    found = gpuhours.estimate(from_dict({**STAGE_4, "stages": [STAGE_4["stages"][0], heavy]}))
    assert found.stages[0].fits
    assert found.fits is False


def test_an_open_stage_leaves_the_total_open() -> None:
    stages = [{"name": "known", "data": {"tokens": 1e9}}, {"name": "open", "hardware": {"accelerator": None}}]
    run = from_dict({"model": "llama-2-7b", "data": {"seq_len": 4096}, "layout": {"sharding": "zero3"},
                     "hardware": {"accelerator": "a100-sxm-80gb", "gpus": 8}, "training": {"global_batch": 64},
                     "software": "fsdp-eager", "stages": stages})  # fmt: skip
    found = gpuhours.estimate(run)
    assert found.results["gpu_hours"] is None
    assert any("open in open" in warning for warning in found.warnings)


def test_a_model_named_by_a_word_takes_more_keys() -> None:
    merged = laid_over({"model": "qwen2-7b"}, {"model": {"trainable": "lora"}})
    assert merged == {"model": {"name": "qwen2-7b", "trainable": "lora"}}


def test_what_needs_a_single_step_says_so() -> None:
    with pytest.raises(EstimateError, match="no single step"):
        evaluate(from_dict(STAGE_4))


def test_a_stage_that_is_no_mapping() -> None:
    with pytest.raises(EstimateError, match="Stage 1 is 'alignment'"):
        from_dict({"stages": ["alignment"]})


def test_a_run_without_stages_has_none() -> None:
    assert Run().stages == ()
