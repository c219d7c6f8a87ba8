"""Answers to runs with few inputs: a wide but correct range, and probabilities for yes/no questions."""

from __future__ import annotations

import datetime
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

import gpuhours
from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.estimating import chances as asking
from gpuhours.questions.estimating.chances import Chances
from gpuhours.questions.estimating.estimates import Estimate, Result
from gpuhours.questions.estimating.estimating import estimate
from gpuhours.run.ensemble import FACTS, NARROWS
from gpuhours.run.sizing import counts
from tests.conftest import Command

LITTLE = {"model.params": "7B", "data.tokens": "1T", "hardware.accelerator": "a100-sxm-80gb", "year": 2024}


def said(**keys: object) -> Estimate:
    settings = {key.replace("__", "."): value for key, value in keys.items()}
    return estimate(gpuhours.from_dict({}, settings={**LITTLE, **settings}))


def hours(found: Estimate) -> Result:
    result = found.results["gpu_hours"]
    assert result is not None
    return result


def chances(found: Estimate, by: datetime.date, budget: float, today: datetime.date) -> Chances:
    return asking.chances(found.results, found.draws, found.sample, by, budget, today)


def width(found: Estimate) -> float:
    result = hours(found)
    assert result.low is not None
    assert result.high is not None
    return result.high / result.low


def test_parameters_tokens_and_card_are_enough() -> None:
    found = said()
    assert hours(found).low < hours(found).value < hours(found).high  # type: ignore[operator]
    assert [one.gpus for one in found.by_gpus] == [64, 256, 1024]
    days = [one.wall_clock for one in found.by_gpus]
    assert days == sorted(days, reverse=True)
    assert any(one.name == "hardware.gpus" for one in found.assumptions)


def test_the_page_agrees_with_itself() -> None:
    found = said(hardware__gpus=256)
    value = {name: float(result.value) for name, result in found.results.items() if result and result.unit != ""}
    assert value["gpu_hours"] == pytest.approx(256 * value["wall_clock"] / 3600)
    productive = value["steps"] * value["step_time"]
    goodput = found.results["goodput"]
    assert goodput is not None
    assert productive / value["wall_clock"] == pytest.approx(float(goodput.value))
    assert found.sample is not None
    assert hours(found).value == pytest.approx(float(np.median(found.sample.gpu_time)) / 3600, rel=1e-6)


def test_the_same_input_gives_the_same_answer() -> None:
    assert hours(said()) == hours(said())


def test_every_fact_that_is_said_narrows_the_range() -> None:
    whole = {"layout__tensor": 1, "layout__pipeline": 1, "layout__microbatch": 2, "layout__sharding": "zero3"}
    little = said(hardware__gpus=128)
    stack = said(hardware__gpus=128, software="fsdp-eager")
    all_said = said(hardware__gpus=128, software="fsdp-eager", layout__recompute="none", known__goodput=0.95, **whole)
    assert width(all_said) < width(stack) <= width(little) * 1.1
    assert width(all_said) < 1.5 < 2 < width(little)


def test_a_tuned_run_takes_less() -> None:
    run = gpuhours.from_dict({}, settings={**LITTLE, "hardware.gpus": 128})
    tuned = hours(estimate(run, best=True)).value
    assert tuned < hours(estimate(run)).value


def test_what_decides_is_named_and_adds_up() -> None:
    sample = said().sample
    assert sample is not None
    shares = sample.shares()
    assert 0.7 < sum(shares.values()) < 1.3
    assert "padding" not in shares
    assert (
        next(iter(shares)) == "remainder"
    )  # with so few inputs, most of the spread is the time of published runs in addition to their steps


@pytest.mark.parametrize("year", [2020, 2023, 2026])
def test_what_is_to_be_said_can_be_known_before_the_run(year: int) -> None:
    """The fact to ask for contributes to the spread and can be known in advance, so it is never the goodput."""
    sample = said(hardware__gpus=128, year=year).sample
    assert sample is not None
    first = sample.narrowed()
    assert all("known." not in how for how in FACTS.values())
    if first is not None:
        assert sample.shares()[first[0]] >= 1 - (1 - NARROWS) ** 2


def test_the_fact_to_say_first_narrows_most() -> None:
    """A stack of 2022 or of 2024, tenfold apart: stating it leaves the spread of the other facts."""
    sample = said(hardware__gpus=8, year=2020).sample
    assert sample is not None
    wide = replace(sample, gpu_time=sample.gpu_time * np.where(sample.at["software"] < 0.5, 1.0, 9.0))
    first = wide.narrowed()
    assert first is not None
    assert first[0] == "software"
    assert first[1].startswith("--")
    low, high = np.quantile(wide.gpu_time, [0.1, 0.9])
    assert low < first[2] < first[3] < high
    narrow = replace(sample, gpu_time=np.full_like(sample.gpu_time, 3600.0) * np.exp(1e-3 * sample.at["step model"]))
    assert narrow.narrowed() is None


def test_the_host_is_to_be_said_first_where_it_bounds_the_step() -> None:
    """A small model in eager PyTorch waits for launches: the range is that of hosts until the host is stated; large ones do not wait.

    Two samples, so that the fastest hosts wait too: with eight, their steps are bound by kernels, which cuts the range off below.
    """

    def asked(model: str, **keys: object) -> Estimate:
        settings = {key.replace("__", "."): value for key, value in keys.items()}
        small = {
            "model.name": model,
            "software": "huggingface",
            "hardware.accelerator": "h100-sxm-80gb",
            "hardware.gpus": 1,
        }
        small |= {"data.steps": 100_000, "data.seq_len": 512, "training.global_batch": 2, "layout.microbatch": 2}
        return estimate(gpuhours.from_dict({}, settings={**small, **settings}))

    opened, stated, large = asked("gpt2-medium"), asked("gpt2-medium", hardware__launch="27us"), asked("llama-3-8b")
    assert opened.sample is not None
    assert stated.sample is not None
    assert large.sample is not None
    first = opened.sample.narrowed()
    assert first is not None
    assert first[:2] == ("CPU launch time", FACTS["host"])
    assert "CPU launch time" not in {**stated.sample.shares(), **large.sample.shares()}
    steps = [one.results["step_time"] for one in (opened, stated)]
    wide, narrow = (one.high / one.low for one in steps if one and one.low and one.high)
    assert wide > 1.4 * narrow
    assert hours(opened).value == pytest.approx(hours(stated).value, rel=0.1)


def test_days_without_gpus_are_solved() -> None:
    found = said(known__days=30)
    days = found.results["wall_clock"]
    gpus = found.results["gpus"]
    assert days is not None
    assert gpus is not None
    assert float(gpus.value) % 8 == 0
    assert 15 * 86400 < float(days.value) <= 30.5 * 86400
    half = said(known__days=15).results["gpus"]
    assert half is not None
    assert float(half.value) > 1.7 * float(gpus.value)


@pytest.mark.parametrize(
    ("stated", "copy"), [({}, 1), ({"layout.tensor": 8}, 8), ({"layout.tensor": 8, "layout.pipeline": 1}, 8)]
)
def test_gpus_for_a_deadline_share_the_stated_batch(stated: dict[str, object], copy: int) -> None:
    """65 days of 70B on 2T tokens: whole nodes with whole replicas, 1,024 samples per step as stated, and in time."""
    asked = {"model": "llama-3-70b", "data.tokens": "2T", "known.days": 65, "training.global_batch": 1024}
    settings = {**asked, "hardware.accelerator": "h100-sxm-80gb", "year": 2025, **stated}
    found = estimate(gpuhours.from_dict({}, settings=settings))
    gpus, days = found.results["gpus"], found.results["wall_clock"]
    assert gpus is not None
    assert days is not None
    assert found.outcome.value("global_batch") == 1024
    assert gpus.value % (8 * copy if copy == 1 else copy) == 0
    assert 30 * 86400 < float(days.value) <= 65 * 86400
    layout = found.outcome.resolved.layout
    assert layout is not None
    assert 1024 % int(layout.data or 1) == 0


def test_numbers_of_gpus_that_people_rent() -> None:
    """Not 149 nodes: at most an eighth more than the minimum, or a part of one node if that is enough."""
    offered = list(counts(8))
    assert offered[:4] == [1, 2, 4, 8]
    assert all(later <= earlier * 1.125 for earlier, later in itertools.pairwise(offered) if earlier >= 64)
    assert 1192 not in offered
    assert 1280 in offered


@pytest.mark.parametrize("model", ["llama-2-7b", "dit-xl-2"])
def test_what_a_week_allows_takes_a_week(model: str) -> None:
    """The number of steps solved for a time takes that time when it is stated."""
    machine = {"model": model, "hardware.accelerator": "h100-sxm-80gb", "hardware.gpus": 64, "year": 2025}
    week = estimate(gpuhours.from_dict({}, settings={**machine, "known.days": 7}))
    steps = week.results["steps"]
    assert steps is not None
    back = estimate(gpuhours.from_dict({}, settings={**machine, "data.steps": float(steps.value)}))
    for found in (week, back):
        days = found.results["wall_clock"]
        assert days is not None
        assert float(days.value) == pytest.approx(7 * 86400, rel=0.02)
    with pytest.raises(EstimateError, match="takes no step"):
        estimate(gpuhours.from_dict({}, settings={**machine, "known.days": 0.001}))


def test_a_time_in_which_no_number_finishes_is_refused() -> None:
    with pytest.raises(EstimateError, match=r"in 0\.1 days"):
        said(known__days=0.1)


def test_an_accelerator_without_speed_gets_a_share_of_its_peak_and_no_stack(gpuhours_command: Command) -> None:
    page = gpuhours_command("estimate", "--params", "7B", "--tokens", "1T", "--gpu", "tpu-v4", "--gpus", "256").out
    assert "GPU-hours" in page
    assert "--mfu narrows them" in " ".join(page.split())
    assert "megatron" not in page


def test_a_batch_in_tokens_and_one_that_does_not_divide() -> None:
    tokens = said(hardware__gpus=128, training__global_batch="4M tokens", data__seq_len=2048)
    assert float(tokens.outcome.value("global_batch")) == pytest.approx(1953, rel=0.05)
    uneven = said(hardware__gpus=128, training__global_batch=1953, data__seq_len=2048)
    assert float(uneven.outcome.value("global_batch")) == 1920
    huge = said(hardware__gpus=10**9, training__global_batch=8193, data__seq_len=2048)
    assert float(huge.outcome.value("global_batch")) == 13 * 640, "640: the largest divisor of 1e9 up to 8193 / 12"
    assert hours(uneven).value == pytest.approx(hours(tokens).value, rel=0.05)
    with pytest.raises(EstimateError, match="same"):
        said(training__global_batch="4M tokens", training__batch_tokens="4M")
    assert float(said(hardware__gpus=128, training__global_batch="2048 samples").outcome.value("global_batch")) == 2048
    with pytest.raises(EstimateError, match="whole number"):
        said(training__global_batch="2.5 samples")


def test_few_steps_are_remarked_on() -> None:
    found = said(hardware__gpus=64, training__global_batch=4_000_000, data__tokens="10B")
    assert any("optimiser steps" in warning for warning in found.warnings)
    assert not any("optimiser steps" in warning for warning in said(hardware__gpus=64).warnings)


def test_naming_one_degree_completes_the_rest() -> None:
    named = said(model__params="70B", hardware__gpus=256, layout__tensor=4).outcome
    layout = named.resolved.layout
    assert layout is not None
    assert layout.tensor == 4
    assert named.memory is not None
    assert bool(named.memory.fits)


def test_chances_count_the_draws() -> None:
    found = said(hardware__gpus=32, cost__price="2 USD/hour")  # months: the day that dates are whole by is little of it
    days = found.results["wall_clock"]
    assert days is not None
    today = datetime.date(2026, 1, 1)
    median = today + datetime.timedelta(seconds=float(days.value))
    cost = found.results["cost"]
    assert cost is not None
    asked = chances(found, median, float(cost.value), today)
    assert asked.in_time == pytest.approx(0.5, abs=0.05)
    assert asked.within_budget == pytest.approx(0.5, abs=0.01)
    assert asked.together is not None
    assert 0 < asked.together <= 0.5
    assert asked.fits is not None
    assert asked.fits > 0.9
    assert chances(found, today + datetime.timedelta(days=10_000), 1e12, today).likely
    never = chances(found, today + datetime.timedelta(days=1), 1.0, today)
    assert not never.likely
    assert never.affordable is not None
    assert never.affordable[0] < 0.01


def test_commands(gpuhours_command: Command) -> None:
    little = ("estimate", "--params", "7B", "--tokens", "1T", "--gpu", "a100-sxm-80gb")
    ran = gpuhours_command(*little, "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["by_gpus"][0]["gpus"] == 64
    assert gpuhours_command(*little, "--budget", "50k USD").code == 1
    assert gpuhours_command(*little, "--budget", "50M USD").code == 0
    assert gpuhours_command(*little, "--by", "2099-01-01").code == 0
    soon = (datetime.date.today() + datetime.timedelta(days=1)).isoformat()
    assert gpuhours_command(*little, "--by", soon).code == 1
    for wrong in (
        ("--by", "2001-01-01"),
        ("--by", "2999-01-01"),
        ("--by", "soon"),
        ("--budget", "-5 USD"),
        ("--budget", "12 GB"),
    ):
        assert gpuhours_command(*little, *wrong).code == 2


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            "--model clip-l-14 --samples 2B --gpu h100-sxm-80gb --gpus 64",
            "say --epochs (1 for one pass over the samples, ",
        ),
        ("--params 7B --gpu h100-sxm-80gb", "say --tokens, --steps, or --samples with --epochs"),
        ("--params 7B --tokens 1T", "say --gpu, such as h100-sxm-80gb"),
    ],
)
def test_a_quiet_answer_without_hours_says_what_they_need(gpuhours_command: Command, flags: str, said: str) -> None:
    ran = gpuhours_command("estimate", *flags.split(), "--quiet")
    assert "GPU-hours not determined: " + said in ran.out


def test_an_instance_of_one_accelerator_on_ethernet_stays_alone() -> None:
    """Nobody who names g5.xlarge trains one model over four of them, joined at 2.5 Gbit/s."""
    keys = {"model.params": "124M", "data.tokens": "1B", "hardware.accelerator": "g5.xlarge"}
    assert estimate(gpuhours.from_dict({}, settings=keys)).outcome.value("gpus") == 1
    assert estimate(gpuhours.from_dict({}, settings={**keys, "hardware.gpus": 4})).outcome.value("gpus") == 4


def test_all_that_is_asked_has_to_hold_together() -> None:
    """Two limits that are each met more often than not may both be met in fewer than half of the draws: the answer is no."""
    assert not Chances(0.9, 0.7, 0.7, 0.49, (), "2027-03-01", 1e6).likely
    assert Chances(0.9, 0.7, 0.7, 0.51, (), "2027-03-01", 1e6).likely
    today = datetime.date(2026, 1, 1)
    found = said(hardware__gpus=256)
    late, dear = (np.quantile(found.draws[name], 0.6) for name in ("wall_clock", "cost"))
    asked = chances(found, today + datetime.timedelta(seconds=float(late)), float(dear), today)
    assert asked.in_time is not None
    assert asked.within_budget is not None
    assert min(asked.in_time, asked.within_budget) > 0.5
    assert asked.likely == (asked.together is not None and asked.together >= 0.5)


def test_a_limit_that_nothing_can_be_said_of_is_named() -> None:
    """Without tokens there is no time and no cost."""
    found = estimate(gpuhours.from_dict({}, settings={"model.params": 7e9, "hardware.accelerator": "h100-sxm-80gb"}))
    asked = chances(found, datetime.date(2027, 1, 1), 1e6, datetime.date(2026, 1, 1))
    assert asked.unknown == ("--by", "--budget")
