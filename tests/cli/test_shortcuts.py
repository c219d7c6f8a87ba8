"""Every command that evaluates a run takes the same options and understands the names that people use."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

import gpuhours
from gpuhours.inputs.errors import EstimateError
from gpuhours.run.flags import SHORTCUTS
from gpuhours.run.shortcuts import keys
from gpuhours.run.spec import from_dict
from tests.conftest import LLAMA, Command

RUN = Path(__file__).parents[1] / "runs" / "gpt-22b.yaml"
ONE_OFF = (
    *LLAMA,
    "--seq-len",
    "8192",
    "--batch",
    "512",
)


@pytest.mark.parametrize("command", ["estimate", "sweep", "plan", "compare"])
def test_every_shortcut_stands_in_the_help(gpuhours_command: Command, command: str) -> None:
    shown = gpuhours_command(command, "--help").out
    assert [name for name in SHORTCUTS if f"--{name.replace('_', '-')} " not in shown] == []


def test_a_sweep_needs_no_file(gpuhours_command: Command) -> None:
    swept = gpuhours_command("sweep", *ONE_OFF, "--vary", "layout.tensor=1,2", "--json")
    alone = gpuhours_command("estimate", *ONE_OFF, "--tensor", "2", "--json")
    row = json.loads(swept.out)["rows"][1]
    assert row["gpu_hours"] == pytest.approx(json.loads(alone.out)["results"]["gpu_hours"]["value"])


def test_a_plan_needs_no_file(gpuhours_command: Command) -> None:
    planned = gpuhours_command("plan", *ONE_OFF, "--json")
    assert planned.code == 0
    assert json.loads(planned.out)["best"]


def test_compare_puts_shortcuts_over_the_one_file(gpuhours_command: Command) -> None:
    found = json.loads(gpuhours_command("compare", str(RUN), "--gpu", "h100-sxm-80gb", "--json").out)
    assert found["inputs"] == [{"key": "hardware.accelerator", "a": "a100-sxm-80gb", "b": "h100-sxm-80gb"}]
    assert gpuhours_command("compare", str(RUN)).code == 2


def test_a_dash_is_standard_input(gpuhours_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(RUN.read_bytes())))
    piped = gpuhours_command("estimate", "-", "--json")
    assert (
        json.loads(piped.out)["results"] == json.loads(gpuhours_command("estimate", str(RUN), "--json").out)["results"]
    )


def test_adapters_train_what_they_should() -> None:
    """2 x 32 layers x 4 linear layers of rank x (4096 + 4096), as Llama 2 has as many key as query heads: 16.8 M at rank 16."""
    run = from_dict({}, settings=keys({"model": "llama-2-7b", "lora": "16", "seq_len": "2048"}, {}))
    assert run.model is not None
    assert run.model.build(run.data).trainable_parameters == 32 * 4 * 16 * (4096 + 4096)


def test_qlora_is_four_bits_and_every_linear_layer() -> None:
    """Seven linear layers of Llama 2 7B: q, k, v, o are 4096 x 4096, gate, up and down 4096 x 11008."""
    run = from_dict({}, settings=keys({"model": "llama-2-7b", "qlora": "8", "seq_len": "2048"}, {}))
    assert run.model is not None
    assert run.training.dtype == "nf4"
    assert run.model.build(run.data).trainable_parameters == 32 * 8 * (4 * 8192 + 3 * (4096 + 11008))


def test_adapters_behind_an_encoder_are_the_language_models() -> None:
    for given, data in (
        ({"lora": "8"}, {"model": "llava-1.5-7b"}),
        ({"lora": "8"}, {"model": {"vision": {"name": "vit-l-14"}, "language": "llama-2-7b"}}),
        ({"lora": "8", "model": "llama-2-7b", "vision": "vit-l-14"}, {}),
    ):
        run = from_dict(data, settings=keys(given, data))
        assert run.value("model.language.trainable") == "lora"
        assert run.value("model.language.rank") == 8
        assert run.value("model.language.hidden") == 4096


@pytest.mark.parametrize(
    "given", [{"lora": "8", "qlora": "8", "params": "7B"}, {"params": "7B", "model": "llama-2-7b"}, {"lora": "8"}]
)
def test_shortcuts_that_do_not_go_together(given: dict[str, str]) -> None:
    with pytest.raises(EstimateError):
        keys(given, {})


@pytest.mark.parametrize(
    ("key", "said", "meant"),
    [
        ("layout.sharding", "FULL_SHARD", 3),
        ("layout.sharding", "SHARD_GRAD_OP", 2),
        ("layout.sharding", "zero-3", 3),
        ("layout.sharding", "ZeRO_1", 1),
        ("layout.sharding", 2, 2),
        ("layout.recompute", True, 2),
        ("layout.schedule", "1F1B", 0),
        ("layout.sequence_method", "p2p", 2),
        ("training.dtype", "BF16", "bf16"),
        ("training.dtype", "torch.float16", "fp16"),
        ("model.params", "10b", 10e9),
        ("data.tokens", "1.5t", 1.5e12),
    ],
)
def test_names_as_people_say_them(key: str, said: object, meant: object) -> None:
    assert from_dict({"model": {"params": "7B"}, "layout": {}}, settings={key: said}).value(key) == meant


def test_a_name_of_several_meanings_lists_the_choices(gpuhours_command: Command) -> None:
    ran = gpuhours_command("estimate", "--params", "7B", "--sharding", "HYBRID_SHARD")
    assert ran.code == 2
    assert "none, zero1, zero2, zero3; HYBRID_SHARD is zero3 with layout.shard_group" in ran.err
    with pytest.raises(EstimateError, match="Known: fp32"):
        from_dict({"training": {"dtype": "int3"}}).training.precision  # noqa: B018


@pytest.mark.parametrize("words", ["GPU-hours", "gpu_hours", "gpu hours", "step", "USD", "model FLOPs"])
def test_explain_takes_the_words_of_the_screen(gpuhours_command: Command, words: str) -> None:
    ran = gpuhours_command("estimate", str(RUN), "--explain", words)
    assert ran.code == 0
    assert ran.out.split(" = ")[0] in {"gpu_hours", "step_time", "cost", "model_flops"}


def test_a_path_in_a_run_file_is_read_from_its_folder(
    gpuhours_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For any command and from any working directory."""
    (tmp_path / "runs").mkdir()
    shape = {"model_type": "llama", "hidden_size": 1024, "num_hidden_layers": 8, "num_attention_heads": 8, "intermediate_size": 4096,
             "vocab_size": 32000}  # fmt: skip
    (tmp_path / "runs" / "config.json").write_text(json.dumps(shape), encoding="utf-8")
    path = tmp_path / "runs" / "run.yaml"
    path.write_text(
        "model: config.json\ndata: {tokens: 1B, seq_len: 1024}\nhardware: {accelerator: a100-sxm-80gb, gpus: 8}\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    assert gpuhours.estimate("runs/run.yaml").results["parameters"] is not None
    assert gpuhours_command("estimate", "runs/run.yaml").code == 0
    assert gpuhours_command("compare", "runs/run.yaml", "--gpu", "h100-sxm-80gb").code == 0


@pytest.mark.parametrize("command", ["estimate", "trace"])
def test_a_layout_that_cannot_run_is_placed_in_its_file(
    command: str, gpuhours_command: Command, tmp_path: Path
) -> None:
    run = tmp_path / "run.yaml"
    run.write_text(
        "model: llama-2-7b\ntraining: {global_batch: 256}\nhardware: {accelerator: h100-sxm-80gb, gpus: 8}\n"
        "layout: {tensor: 2, pipeline: 4, microbatch: 3, sharding: none, recompute: none}\n",
        encoding="utf-8",
    )
    output = ("-o", str(tmp_path / "step.json")) if command == "trace" else ()
    ran = gpuhours_command(command, str(run), *output)
    assert ran.code == 2
    assert f"{run}:4:9  layout: tensor 2" in ran.err


TWO_BY_FOUR = (
    "model: llama-2-7b\ntraining: {global_batch: 256}\nhardware: {accelerator: h100-sxm-80gb, gpus: 8}\n"
    "layout: {tensor: 2, pipeline: 4, microbatch: 1, sharding: none, recompute: none}\n"
)


@pytest.mark.parametrize(
    ("command", "options", "typed"),
    [
        ("estimate", ("--tensor", "3"), "--tensor 3  layout"),
        ("estimate", ("--set", "layout.tensor=3"), "--set layout.tensor=3  layout"),
        ("compare", ("--tensor", "16"), "--tensor 16  layout"),
    ],
)
def test_a_layout_that_an_option_breaks_is_not_blamed_on_the_file(
    command: str, options: tuple[str, ...], typed: str, gpuhours_command: Command, tmp_path: Path
) -> None:
    run = tmp_path / "run.yaml"
    run.write_text(TWO_BY_FOUR, encoding="utf-8")
    ran = gpuhours_command(command, str(run), *options)
    assert ran.code == 2
    assert typed in ran.err
    assert f"{run}:4" not in ran.err


@pytest.mark.parametrize("options", [(), ("--tensor", "2")])
def test_a_layout_of_a_stage_that_cannot_run_is_placed_in_its_file(
    options: tuple[str, ...], gpuhours_command: Command, tmp_path: Path
) -> None:
    """The option sets what stages have in common; the second stage has its own."""
    run = tmp_path / "run.yaml"
    run.write_text(
        TWO_BY_FOUR + "data: {tokens: 1B}\nstages:\n- name: first\n- layout: {tensor: 3}\n", encoding="utf-8"
    )
    ran = gpuhours_command("estimate", str(run), *options)
    assert ran.code == 2
    assert f"{run}:8:11  stages.1.layout" in ran.err
    assert "--tensor" not in ran.err


def test_the_file_of_a_comparison_is_named_for_what_it_says(gpuhours_command: Command, tmp_path: Path) -> None:
    run = tmp_path / "run.yaml"
    run.write_text(TWO_BY_FOUR.replace("tensor: 2", "tensor: 3"), encoding="utf-8")
    ran = gpuhours_command("compare", str(run), "--gpu", "a100-sxm-80gb")
    assert ran.code == 2
    assert f"{run}:4:9  layout" in ran.err


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (("compare", "good.yaml", "bad.yaml"), "bad.yaml:4:9  layout"),
        (("compare", "bad.yaml", "good.yaml", "--seq-len", "4096"), "bad.yaml:4:9  layout"),
        (("compare", "good.yaml", "good.yaml", "--tensor", "3"), "--tensor 3  layout"),
        (("estimate", "--params", "7B", "--gpu", "h200", "--gpus", "8", "--tensor", "3"), "--tensor 3  layout"),
        (("estimate", "good.yaml", "--gpu", "h100"), "--gpu  hardware.accelerator = 'h100'"),
        (("estimate", "good.yaml", "--set", "layout.tensor=two"), "--set  layout.tensor = 'two'"),
        (("sweep", "good.yaml", "--vary", "layout.tensor=1,2", "--params", "7x"), "--params  model.params = '7x'"),
        (("estimate", "--params", "7B", "--gpus", "eight"), "--gpus  hardware.gpus = 'eight'"),
    ],
)
def test_an_error_names_the_file_or_the_option_it_comes_from(
    words: tuple[str, ...], where: str, gpuhours_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("good.yaml").write_text(TWO_BY_FOUR, encoding="utf-8")
    Path("bad.yaml").write_text(TWO_BY_FOUR.replace("tensor: 2", "tensor: 3"), encoding="utf-8")
    ran = gpuhours_command(*words)
    assert ran.code == 2
    assert ran.err.startswith(f"error: {where}\n")


@pytest.mark.parametrize("batch", ["256 samples", "256 sequences", "256 clips", "256 Sequences"])
def test_a_batch_is_counted_in_samples_whatever_they_are_called(batch: str) -> None:
    stated = from_dict({"model": "llama-2-7b", "training": {"global_batch": batch}})
    assert stated.training.global_batch == 256


@pytest.mark.parametrize("batch", ["samples", "0 samples", "-5 samples", "2.5 clips"])
def test_a_batch_that_is_none_is_named_as_written(batch: str) -> None:
    with pytest.raises(EstimateError) as error:
        from_dict({"model": "llama-2-7b", "training": {"global_batch": batch}})
    assert error.value.where == f"the run  training.global_batch = {batch!r}"
