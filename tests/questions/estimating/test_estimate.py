"""The interface of ``gpuhours estimate`` for programs and people: names, units, bases, ranges, exit codes, and laws of a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gpuhours
from gpuhours_cli.output import finite
from tests.conftest import Command
from tests.questions.estimating.runs import OPTIONS, TEXT, value, worked

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
    """``--model NAME --vision NAME --frames N``: parameters and tokens of both models, 256 a frame and 300 of text."""
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
    assert results["tokens"]["value"] == pytest.approx(10e6 * (16 * 256 + 300))
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
    ("mfu", ["MFU = model FLOPs per step / (step time x", "peak", "data sheet", "dense", "causal", "GEMMs"]),
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
