"""Launch commands, NeMo 2's recipes, variables of the environment, and scripts of programs that are not supported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.interchange.exporting import export
from gpuhours.questions.interchange.importing import Imported, import_files
from gpuhours.run.spec import from_dict

TUNE = "train.py --model_name_or_path meta-llama/Llama-3.1-8B --per_device_train_batch_size 1 --gradient_accumulation_steps 2"
RECIPE = """
import nemo_run as run
from nemo.collections import llm

def configure():
    recipe = llm.llama31_70b.pretrain_recipe(name="x", dir="/ckpt", num_nodes=8, num_gpus_per_node=8)
    recipe.trainer.strategy.tensor_model_parallel_size = 4
    recipe.trainer.strategy.pipeline_model_parallel_size = 2 * 2
    recipe.trainer.strategy.virtual_pipeline_model_parallel_size = 5
    recipe.trainer.max_steps = 1000
    recipe.data.micro_batch_size = 1
    recipe.data.global_batch_size = 128
    recipe.data.seq_length = 8192
    return recipe
"""
STRATEGY = """
strategy = run.Config(nl.MegatronStrategy, tensor_model_parallel_size=2, sequence_parallel=True)
data = run.Config(MockDataModule, seq_length=4096, global_batch_size=64, micro_batch_size=2)
trainer = run.Config(nl.Trainer, devices=8, num_nodes=2, max_steps=50, precision="bf16-mixed")
"""


def imported(tmp_path: Path, name: str, text: str, **settings: Any) -> Imported:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return import_files([path], {key.replace("__", "."): value for key, value in settings.items()})


@pytest.mark.parametrize(
    ("options", "layout", "dtype", "software"),
    [
        (
            "--mixed_precision bf16 --num_processes 8 --use_deepspeed --deepspeed_config_file ds_configs/stage3_no_offloading.conf",
            {"sharding": "zero3"},
            "bf16",
            "huggingface-deepspeed",
        ),
        (
            "--mixed_precision fp16 --num_processes 8 --use_deepspeed --zero_stage 2",
            {"sharding": "zero2"},
            "fp16",
            "huggingface-deepspeed",
        ),
        (
            "--num_processes 8 --use_fsdp --fsdp_sharding_strategy SHARD_GRAD_OP",
            {"sharding": "zero2"},
            "fp32",
            "huggingface-fsdp2",
        ),
        ("--mixed_precision bf16 --num_processes 8", {}, "bf16", "huggingface-trainer"),
    ],
)
def test_what_accelerate_launch_is_told_counts(
    tmp_path: Path, options: str, layout: dict[str, Any], dtype: str, software: str
) -> None:
    """A command with bf16 was read as fp32, and its DeepSpeed not at all."""
    found = imported(tmp_path, "tune.sh", f"accelerate launch {options} {TUNE}").data
    assert found["training"] == {"dtype": dtype, "global_batch": 16}
    assert found["layout"] == {"microbatch": 1, **layout}
    assert (found["software"], found["hardware"]) == (software, {"gpus": 8})


def test_sruns_gpus_are_counted(tmp_path: Path) -> None:
    text = f"GPUS=256\nsrun --gres=gpu:8 --nodes=$((GPUS/8)) --ntasks=${{GPUS}} --ntasks-per-node=8 python -u {TUNE}"
    found = imported(tmp_path, "tune.sh", text)
    assert found.data["hardware"] == {"gpus": 256}
    assert found.origins[0].not_understood == ()


def test_copies_of_shards_are_a_shard_group(tmp_path: Path) -> None:
    text = (
        "distributed_type: FSDP\nmixed_precision: bf16\nfsdp_config: {fsdp_version: 2}\n"
        "parallelism_config: {parallelism_config_dp_replicate_size: 2, parallelism_config_dp_shard_size: 4, "
        "parallelism_config_tp_size: 2}\n"
    )
    found = imported(tmp_path, "fsdp.yaml", text)
    assert found.data["layout"] == {"tensor": 2, "shard_group": 4, "sharding": "zero3"}
    assert found.data["hardware"] == {"gpus": 16}
    assert found.origins[0].not_understood == ()


def test_a_nemo_2_recipe_is_read(tmp_path: Path) -> None:
    found = imported(tmp_path, "run.py", RECIPE)
    assert found.data["model"] == {"name": "llama-3.1-70b"}
    assert found.data["hardware"] == {"gpus": 64}
    layout = found.data["layout"]
    assert (layout["tensor"], layout["pipeline"], layout["interleave"], layout["sharding"]) == (4, 4, 5, "zero1")
    assert found.data["training"] == {"global_batch": 128, "dtype": "bf16", "optimizer": "adamw"}
    assert found.data["data"] == {"seq_len": 8192, "steps": 1000}
    assert found.origins[0].not_understood == ("not read = what the recipe of llama31_70b sets itself",)


def test_the_parts_of_a_nemo_2_run_are_read(tmp_path: Path) -> None:
    found = imported(tmp_path, "run.py", STRATEGY, model="llama-3-8b").data
    assert (found["layout"]["tensor"], found["layout"]["microbatch"]) == (2, 2)
    assert (found["hardware"], found["data"]) == ({"gpus": 16}, {"seq_len": 4096, "steps": 50})
    assert found["training"]["dtype"] == "bf16"


def test_a_variable_of_the_environment_has_its_default(tmp_path: Path) -> None:
    text = "overrides: {micro_batch_size: 2, tensor_model_parallel_size: '${TP:4}', seq_length: '${oc.env:SEQ,4096}'}"
    found = imported(tmp_path, "x.yaml", text).data
    assert (found["layout"]["tensor"], found["data"]["seq_len"]) == (4, 4096)


@pytest.mark.parametrize(
    "text",
    [
        "torchrun --standalone --nproc_per_node=8 -m verl.trainer.fsdp_sft_trainer data.train_batch_size=256 model.lora_rank=32",
        "deepspeed --module openrlhf.cli.train_sft --max_len 2048 --train_batch_size 256 --micro_train_batch_size 2 --bf16 --zero_stage 2",
    ],
)
def test_a_script_of_another_program_is_not_taken_for_megatrons(tmp_path: Path, text: str) -> None:
    """They were read as Megatron-LM in fp32, with nothing said of their own arguments."""
    with pytest.raises(EstimateError, match="contains no known arguments"):
        imported(tmp_path, "x.sh", text)


PURE = {
    "model": "llama-3-8b",
    "data": {"seq_len": 8192, "steps": 100},
    "training": {"global_batch": 64, "dtype": "bf16", "state": "pure"},
    "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 8},
    "layout": {
        "tensor": 1,
        "pipeline": 1,
        "microbatch": 8,
        "sharding": "zero3",
        "recompute": "full",
        "optimizer_in_backward": True,
    },
    "software": "fsdp2-eager",
}


def test_states_of_16_bits_are_exported_or_said_to_be_lost(tmp_path: Path) -> None:
    """They were left out without a word, and so was an optimiser in the backward pass where the format has one."""
    titan = export(from_dict(PURE), "torchtitan")
    assert titan.not_held == ()
    (tmp_path / "run.toml").write_text(titan.text, encoding="utf-8")
    again = import_files([tmp_path / "run.toml"]).run
    assert (again.training.state, again.value("layout.optimizer_in_backward")) == ("pure", True)
    for code in ("trainer", "llama-factory"):
        assert export(from_dict(PURE), code).not_held == ("layout.optimizer_in_backward = True",)
    assert "training.state = pure" in export(from_dict(PURE), "megatron").not_held
