"""Values that are not understood are listed; none vanishes and none is guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuhours.questions.interchange.importing import Imported, import_files

TUNE = "sft.py --model_name_or_path Qwen/Qwen2.5-7B --bf16 --per_device_train_batch_size 2 --num_train_epochs 1 "


def imported(folder: Path, text: str, name: str = "train.sh", **settings: object) -> Imported:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return import_files([path], {key.replace("__", "."): value for key, value in settings.items()})


@pytest.mark.parametrize("value", ["-4", "x", "2.5", "1e400", "9" * 30, "[1]"])
@pytest.mark.parametrize("name", ["per_device_train_batch_size", "nproc_per_node", "max_length", "lora_r"])
def test_a_count_that_is_none(tmp_path: Path, name: str, value: str) -> None:
    found = imported(tmp_path, f"torchrun train.py --model_name_or_path gpt2 --{name} '{value}'")
    assert found.origins[0].not_understood == (f"{name} = {value}",)


def test_an_argument_without_its_value(tmp_path: Path) -> None:
    found = imported(
        tmp_path, "torchrun train.py --model_name_or_path gpt2 --num_train_epochs '' --deepspeed --max_steps"
    )
    assert found.origins[0].not_understood == ("num_train_epochs = True", "max_steps = True", "deepspeed = True")


@pytest.mark.parametrize("value", ["-1", "0", "-1.0", "null", "None"])
def test_what_means_unset(tmp_path: Path, value: str) -> None:
    found = imported(tmp_path, f"torchrun train.py {TUNE} --max_steps {value}")
    assert found.origins[0].not_understood == ()
    assert "steps" not in found.data["data"]


@pytest.mark.parametrize(
    ("line", "listed", "longest"),
    [
        ("cutoff_len: abc", ("cutoff_len = abc",), None),
        ("cutoff_len: 4096", (), "4,096"),
        ("seed: 1", (), "2,048"),
        ("cutoff_len: $LENGTH", ("cutoff_len = $LENGTH",), None),
        ("lora_target: q_proj,banana", ("lora_target = q_proj,banana",), "2,048"),
    ],
)
def test_a_default_stands_only_for_what_is_not_said(
    tmp_path: Path, line: str, listed: tuple[str, ...], longest: str | None
) -> None:
    found = imported(tmp_path, f"finetuning_type: lora\nmodel_name_or_path: Qwen/Qwen2.5-7B\n{line}\n", "a.yaml")
    assert found.origins[0].not_understood == listed
    cut = [one.split()[4] for one in found.open if "are cut to" in one]
    assert cut == ([] if longest is None else [longest])


@pytest.mark.parametrize(
    ("words", "model"),
    [
        ("--lora_r 16", {"trainable": "lora", "rank": 16}),
        ("--lora_r $RANK", {"trainable": "lora"}),
        ("--lora_r -8", {"trainable": "lora"}),
        ("--lora_enable False --lora_r 64", {}),
        ("--use_peft_lora True", {"trainable": "lora"}),
    ],
)
def test_adapters_of_an_unknown_rank_are_adapters(tmp_path: Path, words: str, model: dict[str, object]) -> None:
    """A program's dumped arguments hold the default rank of adapters that are off."""
    assert imported(tmp_path, f"torchrun {TUNE} {words}").data["model"] == {"name": "qwen2.5-7b"} | model


@pytest.mark.parametrize(
    ("words", "sharding", "listed"),
    [
        ("full_shard auto_wrap", "zero3", False),
        ("shard_grad_op auto_wrap", "zero2", False),
        ("SHARD_GRAD_OP", "zero2", False),
        ("no_shard", "none", False),
        ("True", "zero3", False),
        ("False", None, False),
        ("banana", None, True),
        ("auto_wrap", None, True),
        ("full_shard banana", "zero3", True),
    ],
)
def test_only_known_words_shard(tmp_path: Path, words: str, sharding: str | None, listed: bool) -> None:
    found = imported(tmp_path, f"torchrun --nproc_per_node 4 {TUNE} --fsdp '{words}'\necho done")
    assert found.data["layout"].get("sharding") == sharding
    assert found.origins[0].not_understood == ((f"fsdp = {words}",) if listed else ())


@pytest.mark.parametrize(
    "text", ["fsdp_sharding_strategy: BANANA", "fsdp_sharding_strategy: 9", "fsdp_reshard_after_forward: x"]
)
def test_a_strategy_that_there_is_not_is_listed(tmp_path: Path, text: str) -> None:
    found = imported(tmp_path, f"distributed_type: FSDP\nnum_processes: 8\nfsdp_config: {{{text}}}\n", "a.yaml")
    assert found.origins[0].not_understood == (f"fsdp_config.{text.replace(': ', ' = ')}",)
    assert "layout" not in found.data


@pytest.mark.parametrize(
    ("launcher", "settings", "group"),
    [
        ("torchrun --nproc_per_node 4", {}, 4),
        ("torchrun --nnodes 2 --nproc_per_node 8", {}, 8),
        ("accelerate launch --num_machines 4 --num_processes 16", {}, 4),
        ("accelerate launch --num_processes 16", {}, None),
        ("accelerate launch --num_processes 16", {"hardware__accelerator": "h100-sxm-80gb"}, 8),
        ("accelerate launch --num_processes 4", {"hardware__accelerator": "h100-sxm-80gb"}, 4),
        ("torchrun --nproc_per_node 8", {"layout__shard_group": 2}, 2),
    ],
)
def test_hybrid_shards_lie_within_a_node(
    tmp_path: Path, launcher: str, settings: dict[str, object], group: int | None
) -> None:
    found = imported(tmp_path, f"{launcher} {TUNE} --fsdp 'hybrid_shard auto_wrap'", **settings)
    assert found.data["layout"].get("shard_group") == group
    assert any("layout.shard_group=N" in one for one in found.open) == (group is None)


def test_accelerates_hybrid_shards_lie_within_a_machine(tmp_path: Path) -> None:
    text = "distributed_type: FSDP\nnum_machines: 4\nnum_processes: 16\nfsdp_config: {fsdp_sharding_strategy: HYBRID_SHARD}\n"
    assert imported(tmp_path, text, "a.yaml").data["layout"] == {"sharding": "zero3", "shard_group": 4}


@pytest.mark.parametrize(
    ("config", "layout"),
    [
        ("/home/viz2/ds.json", {}),
        ("zero3/ds.json", {}),
        ("viz2.json", {}),
        ("configs/ds_config_zero2.json", {"sharding": "zero2"}),
        ("z1/ZeRO-3.json", {"sharding": "zero3"}),
        ("stage0.json", {"sharding": "none"}),
        ("offload/zero2.json", {"sharding": "zero2"}),
        ("stage3_no_offloading.json", {"sharding": "zero3"}),
        ("zero3_offload_param.json", {"sharding": "zero3", "offload_parameters": True}),
    ],
)
def test_only_the_files_name_says_the_stage(tmp_path: Path, config: str, layout: dict[str, object]) -> None:
    found = imported(tmp_path, f"deepspeed --num_gpus 8 {TUNE} --deepspeed '{config}'")
    assert found.data["layout"] == {"microbatch": 2} | layout
    assert found.origins[0].not_understood == (() if layout else (f"deepspeed = {config}",))


def test_a_number_that_toml_reads_as_infinite_is_listed_without_it(tmp_path: Path) -> None:
    found = imported(
        tmp_path, "[parallelism]\npipeline_parallel_degree = 1e999\n[training]\nseq_len = 2048\n", "t.toml"
    )
    assert "parallelism.pipeline_parallel_degree = no finite number" in found.origins[0].not_understood


def test_a_name_of_a_file_that_is_too_long_for_any_is_listed(tmp_path: Path) -> None:
    name = "9" * 400 + "/settings.json"
    found = imported(tmp_path, f"base_model: gpt2\nmicro_batch_size: 1\nsequence_len: 64\ndeepspeed: {name}\n", "x.yml")
    assert found.origins[0].not_understood == (f"deepspeed = {name[:57]}...",)
