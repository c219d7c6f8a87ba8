"""Hours in addition to a known step, and which practice is excluded when an organisation's runs are judged."""

from __future__ import annotations

import math

import numpy as np
import pytest

import gpuhours
from gpuhours.questions.validating.beyond import beyond, log_hours_over_steps_of, paces
from gpuhours.questions.validating.practice import concerned, practice_without, systems_measured_by
from gpuhours.questions.validating.totals import published_totals, read_totals
from gpuhours.questions.validating.totals_rows import described, organisation, owner
from gpuhours.run.ensemble import ensemble
from gpuhours.run.evaluate import evaluate
from gpuhours.run.remainder import NOTHING, SIZES, remainder_of_known_step, table
from gpuhours.run.typical import first, typical
from gpuhours.software.profile import load_software
from tests.questions.validating.test_totals import row

SEVENTY = {
    "model": "llama-3-70b", "data.tokens": "15T", "data.seq_len": 8192, "hardware.accelerator": "h100-sxm-80gb",
    "hardware.gpus": 1024, "training.global_batch": 2048, "year": 2025,
}  # fmt: skip


def test_beyond_by_hand() -> None:
    """The median of the runs of each organisation: 0, 0.2 and 0.1, and of these the median, the minimum and the maximum."""
    seen = [
        {"organisation": who, "residual": value}
        for who, value in zip("aabccc", (-0.1, 0.1, 0.2, 0.0, 0.1, 0.9), strict=True)
    ]
    found = beyond(seen)
    assert (found["low"], found["value"], found["high"]) == pytest.approx((1.0, math.exp(0.1), math.exp(0.2)), abs=1e-4)


def test_a_pace_by_hand() -> None:
    """6 N D / (MFU x peak) are the hours of the steps; twice as many hours are refused, a quarter more are reported apart from stops."""
    plain = row(mfu_pct="40", gpu_hours="1")
    steps = evaluate(described(plain, "usual").replaced("known.mfu", 0.4)).value("gpu_hours")
    found = log_hours_over_steps_of(row(mfu_pct="40", gpu_hours=str(1.25 * steps)))
    assert found is not None
    assert math.log(1.25) - 0.06 < found["residual"] < math.log(1.25), (
        "stops of 256 accelerators take a few percent of it"
    )
    assert log_hours_over_steps_of(row(mfu_pct="40", gpu_hours=str(2.1 * steps))) is None
    assert log_hours_over_steps_of(row(mfu_pct="")) is None
    assert (
        log_hours_over_steps_of(row(mfu_pct="40", gpu_hours=str(steps), derived_fields="gpu_hours=tokens/rate")) is None
    )


def test_a_rate_counts_repeated_passes_where_it_says_so() -> None:
    given = {"mfu_pct": "", "tflops_per_gpu": "160", "gpu_hours": "120000"}
    counted, known = (
        log_hours_over_steps_of(row(**given, recompute="full")),
        log_hours_over_steps_of(row(gpu_hours="120000", mfu_pct=str(160 * 0.75 / 3.12))),
    )
    assert counted is not None
    assert known is not None
    assert counted["residual"] == pytest.approx(known["residual"], abs=1e-3)
    assert log_hours_over_steps_of(row(**given, recompute="")) is None


def test_what_is_stored_is_what_the_published_runs_say() -> None:
    found = beyond(paces(read_totals(published_totals())))
    stored = remainder_of_known_step()
    assert (found["value"], found["low"], found["high"]) == (stored.value, stored.low, stored.high)
    assert len({run["organisation"] for run in found["runs"]}) >= 8


def test_a_known_step_leaves_stops_and_what_is_beyond_it() -> None:
    """Independent spreads add in squares: stops and what is beyond a step make the range of a run whose step is known, and together with
    the range of the predicted step no more than that of a run whose step is not known."""
    run = gpuhours.from_dict({}, "x", settings=SEVENTY)
    predicted, known = gpuhours.estimate(run), gpuhours.estimate(run.replaced("known.step_time", 19.6))
    step, hours, open_hours = known.results["step_time"], known.results["gpu_hours"], predicted.results["gpu_hours"]
    assert step is not None
    assert hours is not None
    assert open_hours is not None
    assert (step.value, step.low) == (19.6, None)
    assert known.sample is not None
    assert known.sample.drawn == {"goodput", "remainder"}
    steps = known.results["steps"]
    assert steps is not None
    alone = steps.value * 19.6 * 1024 / 3600
    assert alone < hours.low < hours.value < hours.high
    assert hours.value / alone == pytest.approx(remainder_of_known_step().value / 0.96, rel=0.02)
    stops = ensemble(run.replaced("known.step_time", 19.6), NOTHING)
    assert stops is not None
    shortest, longest = np.quantile(stops.gpu_time, [0.1, 0.9])
    beyond_it = math.log(remainder_of_known_step().high / remainder_of_known_step().low)
    known_range, open_range = (math.log(one.high / one.low) for one in (hours, open_hours))
    assert math.exp(known_range) == pytest.approx(
        math.exp(math.hypot(beyond_it, math.log(longest / shortest))), rel=0.02
    )
    open_step = predicted.results["step_time"]
    assert open_step is not None
    assert math.hypot(known_range, math.log(open_step.high / open_step.low)) < open_range
    stated = gpuhours.estimate(run.replaced("known.step_time", 19.6).replaced("known.goodput", 0.9)).results[
        "gpu_hours"
    ]
    assert stated is not None
    assert stated.value == pytest.approx(alone / 0.9)


def test_a_line_is_not_there_for_those_whose_hours_it_was_added_with() -> None:
    for line in (*typical().stacks, *typical().recompute, *typical().layout):
        for who in line.fitted_on:
            assert line not in practice_without(who).table.stacks
    of_2019 = first(practice_without("Meta").table.stacks, "text", 2019, 1024, 3e8, mixture=False, adapters=False)
    assert of_2019 != first(typical().stacks, "text", 2019, 1024, 3e8, mixture=False, adapters=False)
    published = {organisation(one) for one in read_totals(published_totals())}
    named = {owner(model) for model in ("OLMo 2 32B", "Apertus 70B")}  # no hours of theirs are published
    assert {who for line in typical().stacks for who in line.fitted_on} <= published | named


@pytest.mark.parametrize("model", ["Nemotron-H 56B", "OLMo 2 32B", "Apertus 70B"])
def test_large_runs_since_2025_are_judged_without_the_line_that_rests_on_them(model: str) -> None:
    who = owner(model)
    assert who is not None
    known, without = (
        first(table.stacks, "text", 2025, 2048, 5e10, mixture=False, adapters=False)
        for table in (typical(), practice_without(who).table)
    )
    assert model.split()[0].split("-")[0] in known.source
    assert without.since == 2023


def test_constants_of_stacks_are_without_the_steps_that_an_organisation_measured() -> None:
    assert systems_measured_by("MosaicML") == {"llm-foundry"}
    assert practice_without("MosaicML").software("fsdp-eager") != load_software("fsdp-eager")
    assert practice_without("TII").software("fsdp-eager") == load_software("fsdp-eager")
    assert owner("BloombergGPT 50.6B") == "Bloomberg"
    assert owner("BLOOM 176B") == "BigScience"


def test_judging_goes_without_and_says_so() -> None:
    mixture = described(row(model="A mixture", params_b="600", active_params_b="30", gpus="2048", gpu="H800"), "usual")
    assert concerned(mixture, practice_without("DeepSeek"))
    assert not concerned(mixture, practice_without("Apple"))
    known, without = (ensemble(mixture, NOTHING, practice=one) for one in (None, practice_without("DeepSeek")))
    assert known is not None
    assert without is not None
    assert "megatron-core-2026" in known.stack
    assert "megatron-core-2026" not in without.stack


def test_every_size_of_every_kind_has_a_spread() -> None:
    assert {kind: tuple(sides) for kind, sides in table()["spread"].items()} == dict.fromkeys(
        ("text", "vision", "video"), SIZES
    )
