"""A measured step compared with the predicted one: factors by part, and the interpretation that explains the difference."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import gpuhours
from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.calibrating.explaining import explained
from gpuhours.questions.calibrating.logs import read_log
from tests.conftest import Command

WORDS = {
    "model": "llama-2-7b", "tokens": "10B", "gpu": "a100-sxm-80gb", "gpus": "16", "batch": "128", "seq_len": "4096", "tensor": "2",
    "pipeline": "1", "microbatch": "1", "sharding": "zero1", "recompute": "none", "software": "megatron-core",
}  # fmt: skip
FLAGS = tuple(word for name, value in WORDS.items() for word in (f"--{name.replace('_', '-')}", value))


def base(**changes: str) -> gpuhours.Estimate:
    return gpuhours.estimate(**{**WORDS, **changes})


def time(found: gpuhours.Estimate) -> float:
    assert found.outcome.step is not None
    return float(found.outcome.step.time)


def test_each_parts_factor_makes_the_step_what_was_measured() -> None:
    found = base()
    measured = 1.3 * time(found)
    told = explained(found, f"step_time={measured}s").observed
    assert told is not None
    for part in told.parts:
        if part.factor is not None:
            assert time(found) + (part.factor - 1) * part.seconds == pytest.approx(measured)
    assert told.residual == pytest.approx(measured - time(found))
    assert not told.inside


def test_a_part_that_is_smaller_than_what_is_missing_cannot_explain_it() -> None:
    found = base()
    told = explained(found, f"step_time={0.8 * time(found)}s").observed
    assert told is not None
    small = [part for part in told.parts if part.seconds < 0.2 * time(found)]
    assert small
    assert all(part.factor is None for part in small)


@pytest.mark.parametrize(
    ("key", "of"),
    [
        ("steps_per_second", lambda seconds, tokens, gpus: 1 / seconds),
        ("tokens_per_second", lambda seconds, tokens, gpus: tokens / seconds),
        ("tokens_per_second_per_gpu", lambda seconds, tokens, gpus: tokens / seconds / gpus),
        ("samples_per_second", lambda seconds, tokens, gpus: 128 / seconds),
    ],
)
def test_rates_come_to_the_same_step(key: str, of: object) -> None:
    found = base()
    rate = of(2.5, 128 * 4096, 16)  # type: ignore[operator]
    told = explained(found, f"{key}={rate!r}").observed
    assert told is not None
    assert told.measured == pytest.approx(2.5)


def test_the_mfu_that_is_predicted_is_the_step_that_is_predicted() -> None:
    found = base()
    assert found.outcome.step is not None
    told = explained(found, f"mfu={float(found.outcome.step.mfu)!r}").observed
    assert told is not None
    assert told.measured == pytest.approx(time(found))
    assert told.inside


def test_recomputation_that_is_not_said_is_found() -> None:
    """A step that takes as long as with full recomputation, in a run that does not mention it."""
    words = {key: value for key, value in WORDS.items() if key != "recompute"}
    full = gpuhours.estimate(**{**WORDS, "recompute": "full"})
    found = gpuhours.estimate(**words)
    told = explained(found, f"step_time={time(full)!r}s").observed
    assert told is not None
    hypothesis = next(one for one in told.hypotheses if one.what == "recompute full")
    assert hypothesis.odds > 1
    assert hypothesis.seconds == pytest.approx(time(full), rel=0.02)
    said = explained(base(), f"step_time={time(full)!r}s").observed
    assert said is not None
    assert not [one for one in said.hypotheses if one.what.startswith("recompute")]


@pytest.mark.parametrize("text", ["step_time", "step_tme=1s", "step_time=5 GB", "step_time=0s", "mfu=140%"])
def test_what_cannot_be_observed_is_bad_input(gpuhours_command: Command, text: str) -> None:
    ran = gpuhours_command("estimate", *FLAGS, "--observed", text)
    assert ran.code == 2
    assert "--observed" in ran.err


def test_the_document_holds_it(gpuhours_command: Command) -> None:
    found = json.loads(gpuhours_command("estimate", *FLAGS, "--observed", "step_time=5s", "--json").out)["observed"]
    assert found["measured"] == 5.0
    assert found["unit"] == "second"
    assert {"part", "seconds", "factor"} == set(found["parts"][0])
    assert json.loads(gpuhours_command("estimate", *FLAGS, "--json").out)["observed"] is None


def test_without_a_predicted_step_there_is_nothing_to_hold_it_against() -> None:
    found = base()
    with pytest.raises(EstimateError, match="no predicted step"):
        explained(replace(found, outcome=replace(found.outcome, step=None)), "step_time=1s")


@pytest.mark.parametrize(
    ("printed", "gpus", "told"),
    [
        (1.0, 1, False),
        (4 / 3, 1, False),
        (1.6, 1, True),
        (0.7, 1, True),
        (1.0, 2, True),
    ],
)
def test_a_log_whose_flops_are_of_another_run_is_told(printed: float, gpus: int, told: bool, tmp_path: Path) -> None:
    """6 N D with the mask ignored, at 128 x 4,096 tokens on 16 accelerators: what Megatron-LM prints for this model, times ``printed``."""
    parameters, tokens = 6.74e9, 128 * 4096
    flops = 6 * parameters * tokens + 12 * 32 * 4096 * 4096 * tokens
    rate = printed * flops / 16 / 6.0
    log = tmp_path / "train.log"
    line = " iteration {}/ 500 | elapsed time per iteration (ms): 6000.0 | throughput per GPU (TFLOP/s/GPU): {:.1f} |"
    log.write_text("\n".join(line.format(number, rate / 1e12) for number in range(1, 9)), encoding="utf-8")
    found = explained(base(gpus=str(16 * gpus)), log=read_log(log)).observed
    assert found is not None
    assert any("PFLOP per step" in remark for remark in found.remarks) is told
