"""Invalid numbers in files of other training code are reported and cause no internal error."""

import time
from pathlib import Path

import pytest

from tests.conftest import Command


@pytest.mark.parametrize("stage", ["1e308", "7", "-1", '"x"', "[1]"])
def test_a_stage_of_zero_that_there_is_not(gpuhours_command: Command, tmp_path: Path, stage: str) -> None:
    path = tmp_path / "d.json"
    path.write_text(f'{{"train_batch_size": 256, "zero_optimization": {{"stage": {stage}}}}}', encoding="utf-8")
    found = gpuhours_command("import", str(path))
    assert found.code == 2
    assert "ZeRO has stages 0 to 3" in found.err


def test_a_strategy_that_there_is_not(gpuhours_command: Command, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "distributed_type: FSDP\nfsdp_config: {fsdp_sharding_strategy: 99}\nnum_processes: 8\n", encoding="utf-8"
    )
    assert gpuhours_command("import", str(path)).code in (0, 2)


def test_a_name_that_is_too_long(gpuhours_command: Command) -> None:
    found = gpuhours_command("check", "a" * 5000)
    assert found.code == 2
    assert "Traceback" not in found.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = " + "[" * 3000, "nests too deep"),
        ("a" + ".a" * 3000 + " = 1", "nests too deep"),
        ("x = " + "9" * 5000, "thousands of digits"),
        ("x = 2020-99-99", "is not TOML"),
    ],
)
def test_toml_that_cannot_be_read(gpuhours_command: Command, tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "t.toml"
    path.write_text(text, encoding="utf-8")
    found = gpuhours_command("import", str(path))
    assert found.code == 2
    assert said in found.err


@pytest.mark.parametrize(
    "line", ["num_epochs: 1.0eO308", "lora_target_modules: [q_proj, {1: 2}]", "lora_target_modules: 127",
             "lora_target_modules: (.+)+x", "lora_target_modules: .*.*.*.*.*.*.*.*x"],
)  # fmt: skip
def test_adapters_that_cannot_be_read(gpuhours_command: Command, tmp_path: Path, line: str) -> None:
    """An expression that repeats a group takes longer than anyone waits."""
    path = tmp_path / "x.yml"
    path.write_text(
        f"base_model: NousResearch/Meta-Llama-3-8B\nsequence_len: 4096\nadapter: lora\nlora_r: 16\nmicro_batch_size: 2\n{line}\n",
        encoding="utf-8",
    )
    found = gpuhours_command("import", str(path))
    assert (found.code, "epochs" in found.out.partition("not understood")[0]) == (0, False)


@pytest.mark.parametrize(
    "line", ["lora_target_modules: [q_proj, {value: up_proj}]", "lora_target_modules: 127", "lora_target_modules: true",
             "lora_target_modules: {q_proj: 1}", "fsdp: [full_shard, 1, {a: b}]", "deepspeed: [1]", "lora_target_modules: [[q_proj]]"],
)  # fmt: skip
def test_arguments_of_a_trainer_that_cannot_be_read(gpuhours_command: Command, tmp_path: Path, line: str) -> None:
    path = tmp_path / "x.yml"
    path.write_text(
        "model_name_or_path: meta-llama/Meta-Llama-3-8B\nper_device_train_batch_size: 2\ngradient_accumulation_steps: 4\nuse_peft: true\n"
        f"num_train_epochs: 1\nlora_r: 16\n{line}\n",
        encoding="utf-8",
    )
    assert gpuhours_command("import", str(path)).code == 0


@pytest.mark.parametrize("use", ["A=$A$A\n" * 60, "train $A $A\n" * 2000, "if [ $A = $A ]; then\n" * 2000])
def test_variables_that_grow_without_end(gpuhours_command: Command, tmp_path: Path, use: str) -> None:
    """Sixty doublings of two letters came to 10^18; 2,000 uses of a long value are as many copies of it."""
    path = tmp_path / "m.sh"
    path.write_text(f"A={'1' * 1000}\n{use}torchrun pretrain_gpt.py --num-layers $A\n", encoding="utf-8")
    before = time.process_time()
    found = gpuhours_command("import", str(path))
    assert found.code == 2
    assert str(path) in found.err
    assert "characters ($A is one)" in found.err
    assert time.process_time() - before < 10


def test_a_degree_that_is_a_list(gpuhours_command: Command, tmp_path: Path) -> None:
    path = tmp_path / "m.sh"
    path.write_text(
        "torchrun pretrain_gpt.py --num-layers 32 --micro-batch-size 2 --seq-length 4096\n", encoding="utf-8"
    )
    found = gpuhours_command(
        "import", str(path), "--set", "layout.tensor=[1,2]", "--model", "llama-3-8b", "--gpus", "64"
    )
    assert found.code == 2
    assert "Traceback" not in found.err
