"""What must hold between the results of a run, and between runs that differ in one thing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gpuhours
from gpuhours.run.conformal import unmeasured_stack
from gpuhours.run.ensemble import ensemble
from gpuhours.run.goodput import usual
from gpuhours.run.results import SHARES
from tests.conftest import Command
from tests.questions.estimating.runs import TEXT, value, worked

# --- laws ------------------------------------------------------------------------------------------------------------------


def test_parts_add_up() -> None:
    found = worked()
    assert sum(found.time.values()) == pytest.approx(value(found, "step_time"))
    assert sum(found.memory.values()) == pytest.approx(value(found, "memory_per_gpu"))


def test_doubling_tokens_doubles_the_run() -> None:
    one, two = worked(), worked(data__tokens="2T")
    for name in ("model_flops", "steps"):
        assert value(two, name) == pytest.approx(2 * value(one, name), rel=2e-4)
    for name in ("gpu_hours", "wall_clock", "cost", "energy", "carbon"):
        assert value(two, name) <= 2 * value(one, name) * (1 + 1e-9), "the launch comes once"
    for name in ("mfu", "step_time", "memory_per_gpu"):
        assert value(two, name) == pytest.approx(value(one, name))


def test_a_run_twice_as_long_saves_one_launch() -> None:
    """Twice the time of a run minus the time of a run with twice the tokens is one launch.

    This holds for each run of the sample without its remainder, within the range of known launches on sixteen nodes; the medians
    differ by at most the longest.
    """
    one, two = (ensemble(gpuhours.from_dict(TEXT, settings={"data.tokens": tokens})) for tokens in ("1T", "2T"))
    assert one is not None
    assert two is not None
    alone, twice = one.gpu_time / one.remainder, two.gpu_time / two.remainder
    saved = (2 * alone - twice) / 128
    assert np.all(saved > 0)
    low, high = np.quantile(saved, [0.1, 0.9])
    assert low >= usual().launch_at_scale.low * (1 - 1e-6)
    assert high <= 1.05 * usual().launch_at_scale.high  # stops while a run is launched come on top
    apart = (2 * np.median(alone) - np.median(twice)) / 128
    assert saved.min() <= apart <= saved.max()


def test_money_and_time_follow_from_hours() -> None:
    found = worked()
    assert value(found, "cost") == pytest.approx(2.5 * value(found, "gpu_hours"))
    assert value(found, "gpu_hours") == pytest.approx(128 * value(found, "wall_clock") / 3600)
    assert value(found, "mfu") == pytest.approx(
        value(found, "model_flops_per_step") / (value(found, "step_time") * 128 * 989.4e12)
    )
    assert value(worked(cost__price="5 USD/hour"), "cost") == pytest.approx(2 * value(found, "cost"))


def test_recomputing_costs_time_and_hardware_flops_but_no_model_flops() -> None:
    kept, again = worked(), worked(layout__recompute="full")
    assert value(again, "model_flops") == pytest.approx(value(kept, "model_flops"))
    assert value(again, "hardware_flops_per_step") > 1.25 * value(kept, "hardware_flops_per_step")
    assert value(again, "step_time") > value(kept, "step_time")
    assert value(again, "mfu") < value(kept, "mfu") <= value(kept, "hfu")
    assert value(again, "memory_per_gpu") < value(kept, "memory_per_gpu")


def test_stops_lengthen_the_run_and_nothing_else() -> None:
    whole, stopped = worked(known__goodput=1.0), worked(known__goodput=0.8)
    assert value(stopped, "wall_clock") == pytest.approx(value(whole, "wall_clock") / 0.8)
    assert value(stopped, "cost") == pytest.approx(value(whole, "cost") / 0.8)
    assert value(stopped, "mfu") == pytest.approx(value(whole, "mfu"))


def test_conventions_differ_in_attention_alone() -> None:
    causal, full, plain = (worked(known__days=60, training__convention=name) for name in ("causal", "full", "6nd"))
    assert value(plain, "mfu") < value(causal, "mfu") < value(full, "mfu")
    attention = 6 * 40 * 5120 * 4096 * 1e12
    assert value(full, "model_flops") - value(causal, "model_flops") == pytest.approx(attention, rel=1e-3)


@settings(max_examples=12)
@given(st.floats(0.05, 0.9), st.floats(1e9, 1e14), st.sampled_from([64, 128, 512]), st.floats(0.5, 1.0))
def test_what_is_solved_solves_back(mfu: float, tokens: float, gpus: int, goodput: float) -> None:
    """tokens + MFU + GPUs -> days, and these days as input give the MFU back."""
    there = worked(known__mfu=mfu, data__tokens=tokens, hardware__gpus=gpus, known__goodput=goodput)
    back = worked(
        known__wall_clock=value(there, "wall_clock"), data__tokens=tokens, hardware__gpus=gpus, known__goodput=goodput
    )
    assert value(back, "mfu") == pytest.approx(mfu)
    spent = {"known__gpu_hours": value(there, "gpu_hours"), "known__mfu": mfu, "known__goodput": goodput}
    assert value(worked(**spent, data__tokens=None, hardware__gpus=gpus), "tokens") == pytest.approx(tokens)


def test_ranges_of_assumptions_reach_the_results() -> None:
    ranged = {"data.tokens": {"value": "1T", "low": "500B", "high": "2T", "reason": "not stated"}}
    found = worked(assumptions=ranged, known__mfu="40%")
    hours = found.results["gpu_hours"]
    assert hours is not None
    tokens = found.results["tokens"]
    assert tokens is not None
    assert tokens.basis == "assumed"
    assert (hours.low, hours.high) == pytest.approx((hours.value / 2, hours.value * 2), rel=0.1)
    mfu = found.results["mfu"]
    assert mfu is not None
    assert mfu.low is None


def test_a_measured_network_stands_for_the_data_sheet(gpuhours_command: Command, tmp_path: Path) -> None:
    """An all-reduce at a quarter of the line rate slows the step; giving both rates is refused."""
    run = tmp_path / "run.yaml"
    plain = (
        "model: llama-3-8b\ndata: {seq_len: 8192, tokens: 1T}\ntraining: {global_batch: 128}\nsoftware: fsdp-compile\n"
        "layout: {tensor: 1, pipeline: 1, sharding: zero3, microbatch: 1, recompute: none}\n"
        "hardware: {accelerator: h100-sxm-80gb, gpus: 128%s}\n"
    )
    times = []
    for network in (
        "",
        ", network: {all_reduce: 370 GB/s, ranks: 128}",
        ", network: {all_reduce: 40 GB/s, ranks: 128}",
    ):
        run.write_text(plain % network, encoding="utf-8")
        ran = gpuhours_command("estimate", str(run), "--json")
        assert ran.code in (0, 1), ran.err
        times.append(json.loads(ran.out)["results"]["step_time"]["value"])
    assert times[1] == pytest.approx(times[0], rel=0.02)
    assert times[2] > 1.3 * times[0]
    run.write_text(
        plain % ", internode_bandwidth: 20 GB/s, network: {all_reduce: 90 GB/s, ranks: 128}", encoding="utf-8"
    )
    ran = gpuhours_command("estimate", str(run))
    assert ran.code == 2
    assert "leave one of them out" in ran.err


def test_a_relative_of_a_measured_stack_is_slower_than_it_and_says_so() -> None:
    """MegaScale is read as the related Megatron-Core, so its steps take as long as those of unmeasured stacks; an assumption says so."""
    same = {"layout__recompute": "selective"}  # left open, each run shows the mode of a draw of its own
    known, kin = worked(**same), worked(**same, software="ByteDance MegaScale")
    assert kin.to_dict()["results"]["step_time"]["value"] == pytest.approx(
        unmeasured_stack() * known.to_dict()["results"]["step_time"]["value"]
    )
    assert any(one.name == "software.unmeasured_factor" for one in kin.assumptions)
    assert not any(one.name == "software.unmeasured_factor" for one in known.assumptions)


@pytest.mark.parametrize(("days", "gpus"), [(11, 512), (14, 256)])
def test_a_run_is_sized_on_nodes_that_its_batch_divides_over(days: int, gpus: int) -> None:
    """312 and 248 cards would meet the deadline, but one sequence each does not divide a batch of 1,024; 512 and 256 do."""
    layout = {"tensor": 1, "pipeline": 1, "microbatch": 1, "sharding": "zero3", "recompute": "none"}
    open_to = {key: value for key, value in TEXT.items() if key not in ("software", "cost")}
    machine = {"accelerator": "h100-sxm-80gb"}
    found = gpuhours.estimate(
        gpuhours.from_dict({**open_to, "hardware": machine, "layout": layout, "known": {"days": days}})
    )
    assert found.to_dict()["results"]["gpus"]["value"] == gpus


def test_a_range_holds_the_run_that_is_shown() -> None:
    """DeepSeek-V3 on its own cards: the run nearest to the median GPU-hours has a faster step than nine in ten of the sample."""
    found = gpuhours.estimate(
        gpuhours.from_dict(
            {
                "model": "deepseek-v3",
                "data": {"tokens": "14.8T"},
                "hardware": {"accelerator": "h800-sxm-80gb", "gpus": 2048},
            }
        )
    )
    ranged = {name: one for name, one in found.results.items() if one is not None and one.low is not None}
    assert {"step_time", "mfu", "gpu_hours", "memory_per_gpu"} <= ranged.keys()
    for name, one in ranged.items():
        assert one.low <= one.value <= one.high, name


def test_no_share_passes_one() -> None:
    """If published runs took less time than their predicted steps, draws of goodput exceed one; its range is capped at one."""
    found = gpuhours.estimate(
        gpuhours.from_dict(
            {
                "model": "llama-3-8b",
                "data": {"tokens": "1T", "seq_len": 8192},
                "training": {"global_batch": 512},
                "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 64},
            }
        )
    )
    ranged = {name: found.results[name] for name in SHARES}
    assert all(one is not None and one.high is not None and one.value < one.high <= 1 for one in ranged.values())


def test_adapters_that_do_not_fit_a_card_without_bf16_get_an_answer_and_no_error() -> None:
    """4-bit weights are multiplied in bf16, which a V100 has not: they are no way to fit."""
    found = gpuhours.estimate(
        gpuhours.from_dict(
            {
                "model": {"name": "llama-2-70b", "trainable": "lora", "rank": 8},
                "data": {"tokens": "1B", "seq_len": 4096},
                "training": {"global_batch": 64, "dtype": "fp16"},
                "hardware": {"accelerator": "v100-sxm-16gb", "gpus": 8},
                "layout": {"tensor": 1, "pipeline": 1, "microbatch": 1, "sharding": "none", "recompute": "none"},
                "software": "megatron-core",
            }
        )
    )
    assert not found.fits
    assert not any("4 bit" in way.change or "nf4" in way.change for way in found.advice.ways)
