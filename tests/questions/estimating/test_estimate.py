"""The interface of ``gpuhours estimate`` for programs and people: names, units, bases, ranges, exit codes, and laws of a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gpuhours
from gpuhours.questions.estimating.estimates import Estimate
from gpuhours.run.conformal import unmet_stack
from gpuhours.run.ensemble import ensemble
from gpuhours.run.goodput import usual
from gpuhours.run.results import SHARES
from gpuhours_cli.output import finite
from tests.conftest import Command

TEXT = {
    "model": "llama-2-13b",
    "data": {"seq_len": 4096, "tokens": "1T"},
    "training": {"global_batch": 1024, "dtype": "bf16"},
    "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 128},
    "layout": {"tensor": 2, "pipeline": 2, "microbatch": 1, "sharding": "zero1"},
    "software": "megatron-core",
    "cost": {"price": "2.5 USD/hour", "country": "USA", "year": 2024},
}

OPTIONS = (
    "estimate", "--model", "llama-2-13b", "--seq-len", "4096", "--tokens", "1T", "--batch", "1024", "--precision", "bf16",
    "--gpu", "h100-sxm-80gb", "--gpus", "128", "--tensor", "2", "--pipeline", "2", "--microbatch", "1", "--sharding", "zero1",
    "--software", "megatron-core", "--price", "2.5 USD/hour", "--set", "cost.country=USA", "--set", "cost.year=2024",
)  # fmt: skip


def worked(**keys: Any) -> Estimate:
    """The run with some keys set (``__`` for the dot)."""
    return gpuhours.estimate(
        gpuhours.from_dict(TEXT, settings={key.replace("__", "."): value for key, value in keys.items()})
    )


def value(found: Estimate, name: str) -> float:
    result = found.results[name]
    assert result is not None, name
    return float(result.value)


# --- what a script relies on ---------------------------------------------------------------------------------------------

UNITS = {
    "parameters": "parameter", "trainable_parameters": "parameter", "tokens": "token", "steps": "step",
    "model_flops_per_step": "FLOP", "hardware_flops_per_step": "FLOP", "model_flops": "FLOP", "step_time": "second",
    "tokens_per_second_per_gpu": "token/second/GPU", "mfu": "", "hfu": "", "memory_per_gpu": "byte", "fits": "", "gpus": "GPU",
    "wall_clock": "second", "gpu_hours": "GPU*hour", "goodput": "", "cost": "USD", "energy": "Wh", "carbon": "tCO2e",
    "samples": "sample", "productive_time": "second", "checkpoint_bytes": "byte",
}  # fmt: skip
BASES = {"given", "predicted", "solved", "assumed"}
RUNS = [
    pytest.param(OPTIONS, 0, id="a whole run"),
    pytest.param((*OPTIONS, "--mfu", "40%"), 0, id="a given MFU"),
    pytest.param((*OPTIONS, "--tensor", "1", "--pipeline", "1", "--sharding", "none"), 1, id="one that does not fit"),
    pytest.param(("estimate", "--params", "30B"), 0, id="a size alone"),
    pytest.param(("estimate", "--gpus", "512", "--days", "45"), 0, id="no model"),
    pytest.param(("estimate", "--params", "7B", "--gpu", "tpu-v4", "--gpus", "64"), 0, id="an accelerator of unknown speed"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "code"), RUNS)
def test_json_is_the_contract(gpuhours_command: Command, options: tuple[str, ...], code: int) -> None:
    ran = gpuhours_command(*options, "--json")
    assert (ran.code, ran.err) == (code, "")
    found = json.loads(ran.out)
    assert {"schema", "inputs", "assumptions", "results", "time", "memory", "warnings"} <= found.keys()
    assert UNITS.keys() <= found["results"].keys()
    for name, result in found["results"].items():
        if result is None:
            assert any(name in warning for warning in found["warnings"]), name
            continue
        assert {"value", "unit", "low", "high", "basis"} <= result.keys()
        assert result["basis"] in BASES
        assert result["unit"] == UNITS.get(name, result["unit"])
        assert (result["low"] is None) == (result["high"] is None)
        assert result["low"] is None or result["low"] <= result["value"] <= result["high"], name
    for assumption in found["assumptions"]:
        assert assumption.keys() == {"name", "value", "unit", "reason", "source"}
        assert assumption["reason"]
    assert all(part.keys() == {"part", "seconds"} and part["seconds"] >= 0 for part in found["time"])
    assert all(part.keys() == {"part", "bytes"} and part["bytes"] >= 0 for part in found["memory"])


def test_options_and_python_say_the_same(gpuhours_command: Command) -> None:
    from_options = json.loads(gpuhours_command(*OPTIONS, "--json").out)
    assert from_options == json.loads(json.dumps(finite(worked().to_dict())))


def test_a_file_and_its_settings_say_the_same(gpuhours_command: Command, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(json.dumps(TEXT), encoding="utf-8")
    one = json.loads(gpuhours_command("estimate", str(path), "--set", "hardware.gpus=256", "--json").out)
    other = json.loads(gpuhours_command(*OPTIONS, "--gpus", "256", "--json").out)
    assert one["results"] == other["results"]


def test_an_encoder_in_front_of_a_named_model(gpuhours_command: Command) -> None:
    """``--model NAME --vision NAME --frames N``: parameters and tokens of both models."""
    video = (
        "--model",
        "llama-2-7b",
        "--vision",
        "vit-l-14",
        "--frames",
        "16",
        "--samples",
        "10M",
        "--epochs",
        "1",
        "--batch",
        "512",
    )
    ran = gpuhours_command("estimate", *video, "--gpu", "h100-sxm-80gb", "--gpus", "64", "--json")
    results = json.loads(ran.out)["results"]
    assert results["parameters"]["value"] > 6_738_415_616 + 300e6
    assert results["tokens"]["value"] == pytest.approx(10e6 * 16 * 256)
    assert results["steps"]["value"] == pytest.approx(10e6 / 512)


BASIS = [
    ({}, {"mfu": "predicted", "step_time": "predicted", "wall_clock": "solved", "tokens": "given", "gpus": "given", "goodput": "assumed"}),
    ({"known__mfu": "40%"}, {"mfu": "given", "step_time": "solved", "wall_clock": "solved"}),
    ({"known__days": 30}, {"mfu": "solved", "step_time": "solved", "wall_clock": "given", "gpu_hours": "solved"}),
    ({"known__gpu_hours": "200k"}, {"mfu": "solved", "wall_clock": "solved", "gpu_hours": "given"}),
    ({"known__goodput": 0.9}, {"mfu": "predicted", "goodput": "given"}),
    ({"known__goodput": 0.9, "known__days": 30}, {"mfu": "solved", "goodput": "given"}),
    ({"known__mfu": "40%", "known__days": 30}, {"goodput": "solved", "mfu": "given"}),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "bases"), BASIS)
def test_how_a_result_came_about(keys: dict[str, Any], bases: dict[str, str]) -> None:
    found = worked(**keys)
    said = {name: result.basis for name in bases if (result := found.results[name]) is not None}
    assert said == bases


def test_values_by_hand() -> None:
    """Llama 2 13B, 1T tokens: 6 x 13.0B matrix parameters x 1T and causal attention 6 L H S x 1T, at 40 % of the peak of 128 H100."""
    found = worked(known__mfu="40%")
    matrices = 13_015_864_320 - 32_000 * 5120 - (2 * 40 + 1) * 5120
    flops = (6 * matrices + 6 * 40 * 5120 * 4096) * 1e12
    assert value(found, "parameters") == 13_015_864_320
    assert value(found, "model_flops") == pytest.approx(flops, rel=1e-3)
    seconds = flops / (0.4 * 128 * 989.4e12)
    assert value(found, "wall_clock") == pytest.approx(seconds, rel=2e-3)
    assert value(found, "gpu_hours") == pytest.approx(128 * seconds / 3600, rel=2e-3)
    assert value(found, "steps") == pytest.approx(1e12 / (1024 * 4096))
    assert value(found, "step_time") == pytest.approx(seconds / (1e12 / (1024 * 4096)), rel=2e-3)
    assert value(found, "cost") == pytest.approx(128 * seconds / 3600 * 2.5, rel=2e-3)
    assert value(found, "tokens_per_second_per_gpu") == pytest.approx(1e12 / seconds / 128, rel=2e-3)


# --- what a person sees ----------------------------------------------------------------------------------------------------


def test_quiet_is_one_line(gpuhours_command: Command) -> None:
    ran = gpuhours_command(*OPTIONS, "--quiet")
    assert ran.code == 0
    assert len(ran.out.splitlines()) == 1
    assert "GPU-hours" in ran.out
    assert "% MFU" in ran.out


@pytest.mark.parametrize("columns", [80, 120])
def test_a_screen_fits(gpuhours_command: Command, columns: int) -> None:
    ran = gpuhours_command(*OPTIONS, columns=columns)
    assert "\x1b" not in ran.out
    assert max(map(len, ran.out.splitlines())) <= columns
    assert len(ran.out.splitlines()) < 40


def test_a_pipe_gets_no_colour() -> None:
    code = "import sys; sys.argv = ['gpuhours', *sys.argv[1:]]; from gpuhours_cli.app import main; main()"
    environment = {key: text for key, text in os.environ.items() if key not in {"NO_COLOR", "COLUMNS"}}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    ran = subprocess.run(
        [sys.executable, "-c", code, *OPTIONS], capture_output=True, text=True, check=False, env=environment
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "\x1b" not in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= 80


PIPES = [
    pytest.param(f"{OPTIONS[0]} --params 7B", "| true", 0, id="a reader that leaves"),
    pytest.param(f"{OPTIONS[0]} --params 7B --json", "| true", 0, id="a reader of JSON that leaves"),
    pytest.param(" ".join(OPTIONS[:5]) + " --gpu a100-sxm-40gb --gpus 1 --batch 8", "| true", 1, id="one that does not fit"),
    pytest.param("hardware list", "> /dev/null", 0, id="a terminal of ASCII"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "pipe", "code"), PIPES)
def test_the_exit_code_is_the_answers(command: str, pipe: str, code: int) -> None:
    program = f"{sys.executable} -c 'from gpuhours_cli.app import main; main()' {command}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "ascii"}
    script = f"{program} {pipe}; exit ${{PIPESTATUS[0]}}"
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert (ran.returncode, ran.stderr) == (code, "")


def test_explained_json_is_the_same_document(gpuhours_command: Command) -> None:
    found = json.loads(gpuhours_command(*OPTIONS, "--explain", "mfu", "--json").out)
    assert found["results"]["mfu"]["equation"].startswith("MFU = ")
    assert "step_time" in found["results"]["mfu"]["inputs"]


@pytest.mark.parametrize("name", [*UNITS, "epochs"])
def test_every_result_can_be_explained(gpuhours_command: Command, name: str) -> None:
    ran = gpuhours_command(*OPTIONS, "--explain", name)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(name)


EXPLAINED = [
    ("mfu", ["MFU = model FLOPs per step / (step time x", "peak", "data sheet", "dense", "causal", "matrix products"]),
    ("gpu_hours", ["GPU-hours = model FLOPs / (MFU x peak x", "tokens", "given", "goodput", "assumed"]),
    ("cost", ["2.5 USD/(GPU*hour)", "given"]),
    ("energy", ["PUE", "W", "cost.power_share"]),
    ("carbon", ["gCO2e", "grid"]),
    ("memory_per_gpu", ["activations", "optimiser", "weights"]),
    ("epochs", ["not determined", "data.epochs"]),
]


@pytest.mark.parametrize(("name", "said"), EXPLAINED)
def test_an_explanation_has_equation_inputs_and_sources(gpuhours_command: Command, name: str, said: list[str]) -> None:
    shown = " ".join(gpuhours_command(*OPTIONS, "--explain", name, columns=120).out.split())
    for words in said:
        assert words in shown


def test_a_given_mfu_is_held_against_the_prediction() -> None:
    predicted = value(worked(known__goodput=1.0), "mfu")
    (warning,) = [text for text in worked(known__mfu="20%").warnings if "is predicted to take" in text]
    assert f"{predicted:.1%}" in warning
    assert not any("is predicted to take" in text for text in worked().warnings)


def test_solved_gpus_and_goodput_are_on_the_screen(gpuhours_command: Command) -> None:
    assert "GPUs         833" in gpuhours_command("estimate", "--gpu-hours", "1.8M", "--days", "90").out
    assert "goodput" in gpuhours_command(*OPTIONS, "--mfu", "40%", "--days", "60").out
    assert "goodput  " not in gpuhours_command(*OPTIONS).out


# --- nothing silently ----------------------------------------------------------------------------------------------------


def test_what_is_not_said_is_assumed_aloud() -> None:
    hardware = {"accelerator": "h100-sxm-80gb", "gpus": 128}
    bare = gpuhours.from_dict({"model": {"params": "13B"}, "data": {"tokens": "1T"}, "hardware": hardware})
    names = {assumption.name for assumption in gpuhours.estimate(bare).assumptions}
    assert {"model", "data.seq_len", "training.global_batch", "training.dtype", "software"} <= names
    assert any(name.startswith("layout.") for name in names)
    assert {"hardware.node", "known.goodput"} <= names


def test_an_accelerator_without_bf16_takes_fp16() -> None:
    found = gpuhours.estimate(
        gpuhours.from_dict({"model": "gpt2", "hardware": {"accelerator": "v100-sxm-32gb", "gpus": 8}})
    )
    (dtype,) = [one for one in found.assumptions if one.name == "training.dtype"]
    assert dtype.value == "fp16"
    assert "no bf16" in dtype.reason


def test_what_is_said_is_not_assumed() -> None:
    said = {
        assumption.name
        for assumption in worked(hardware__node="dgx-h100", known__goodput=0.95, layout__recompute="none").assumptions
    }
    assert said <= {"cost.power_share", "cost.host_share", "cost.pue", "cost.lifetime"}


def test_a_layout_says_what_it_leaves_open() -> None:
    (drawn,) = [one for one in worked().assumptions if one.name == "layout.recompute (drawn)"]
    assert "none" in drawn.value
    assert len(drawn.source) > 20
    tuned = worked(known__goodput=1.0, layout__recompute="full")
    assert not [one for one in tuned.assumptions if one.name.startswith("layout")]


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

    This holds for each run of the sample without its remainder, within the range of known launches; the medians differ by at most the
    longest.
    """
    one, two = (ensemble(gpuhours.from_dict(TEXT, settings={"data.tokens": tokens})) for tokens in ("1T", "2T"))
    assert one is not None
    assert two is not None
    alone, twice = one.gpu_time / one.remainder, two.gpu_time / two.remainder
    saved = (2 * alone - twice) / 128
    assert np.all(saved > 0)
    low, high = np.quantile(saved, [0.1, 0.9])
    assert low >= usual().launch.low * (1 - 1e-6)
    assert high <= 1.05 * usual().launch.high  # stops while a run is launched come on top
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
    known, kin = worked(), worked(software="ByteDance MegaScale")
    assert kin.to_dict()["results"]["step_time"]["value"] == pytest.approx(
        unmet_stack() * known.to_dict()["results"]["step_time"]["value"]
    )
    assert any(one.name == "software.unmet" for one in kin.assumptions)
    assert not any(one.name == "software.unmet" for one in known.assumptions)


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
