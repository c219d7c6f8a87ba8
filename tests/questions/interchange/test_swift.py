"""ms-swift's launch commands, here-documents, usages that a script shows, and axolotl's groups of ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpuhours.questions.interchange.importing import Imported, import_files

MEGATRON = """
PYTORCH_CUDA_ALLOC_CONF='expandable_segments:True' \\
NPROC_PER_NODE=8 \\
megatron sft \\
    --model Qwen/Qwen3-32B \\
    --dataset my-set \\
    --tensor_model_parallel_size 4 \\
    --micro_batch_size 2 \\
    --packing true \\
    --max_position_embeddings 4096 \\
    --max_length 4096 {more}
"""
PLAIN = "NPROC_PER_NODE=4 swift sft --model Qwen/Qwen2.5-7B --torch_dtype bfloat16 --max_length 2048 {more}"
WRAPPED = """
usage() {{
    echo "  --micro_batch_size <int>   samples at once (now: ${{MICRO}})"
    printf "  --tensor_model_parallel_size <int>\\n"
}}
MICRO=2
launch() {{
    cat << EOF
{first}
NPROC_PER_NODE=8 megatron sft \\\\
    --model Qwen/Qwen3-32B \\\\
    --micro_batch_size ${{MICRO}} \\\\
    --tensor_model_parallel_size 4
EOF
}}
"""
AXOLOTL = """
base_model: meta-llama/Llama-3.1-8B
micro_batch_size: 1
gradient_accumulation_steps: 2
sequence_len: 2048
sample_packing: true
fsdp_version: 2
"""


def _imported(folder: Path, text: str, name: str = "launch.sh") -> Imported:
    file = folder / name
    file.write_text(text)
    return import_files([file])


def test_defaults_of_megatron_swift(tmp_path: Path) -> None:
    """Unlike Megatron-LM's own: bf16, a sharded optimiser, attention recomputed, and a global batch of 16."""
    run = _imported(tmp_path, MEGATRON.format(more=""))
    assert run.data["model"] == {"name": "qwen3-32b"}
    assert run.data["training"] == {"global_batch": 16, "dtype": "bf16"}
    assert run.data["layout"]["sharding"] == "zero1"
    assert run.data["layout"]["recompute"] == "selective"
    assert run.data["data"] == {"packed": True, "seq_len": 4096}
    assert run.data["hardware"] == {"gpus": 8}
    assert run.origins[0].not_understood == ()


@pytest.mark.parametrize(
    ("more", "part", "expected"),
    [
        ("--use_distributed_optimizer false", "layout.sharding", "none"),
        ("--recompute_granularity full --recompute_method uniform", "layout.recompute", "full"),
        ("--recompute_granularity none", "layout.recompute", "none"),
        ("--torch_dtype float16", "training.dtype", "fp16"),
        ("--fp8_format hybrid --fp8_recipe blockwise", "training.dtype", "fp8"),
        ("--global_batch_size 64", "training.global_batch", 64),
        ("--tuner_type lora --lora_rank 16 --target_modules all-linear", "model.rank", 16),
        ("--train_type lora --target_modules q_proj v_proj", "model.targets", ["q", "v"]),
    ],
)
def test_what_a_megatron_swift_command_states(tmp_path: Path, more: str, part: str, expected: Any) -> None:
    section, key = part.split(".")
    assert _imported(tmp_path, MEGATRON.format(more=more)).data[section][key] == expected


def test_defaults_of_swift(tmp_path: Path) -> None:
    """Adapters of rank 8 on every matrix, one sample at a time, 16 samples a step over all GPUs."""
    run = _imported(tmp_path, PLAIN.format(more="")).data
    assert run["model"] == {"name": "qwen2.5-7b", "trainable": "lora", "rank": 8, "targets": ["all-linear"]}
    assert (run["layout"]["microbatch"], run["training"]["global_batch"], run["hardware"]["gpus"]) == (1, 16, 4)
    assert (run["training"]["dtype"], run["layout"]["recompute"]) == ("bf16", "full")


def test_what_a_swift_command_states(tmp_path: Path) -> None:
    more = "--train_type full --per_device_train_batch_size 2 --gradient_accumulation_steps 8 --gradient_checkpointing false"
    run = _imported(tmp_path, PLAIN.format(more=f"{more} --deepspeed zero3")).data
    assert run["model"] == {"name": "qwen2.5-7b"}
    assert run["training"]["global_batch"] == 2 * 8 * 4
    assert (run["layout"]["sharding"], run["layout"]["recompute"]) == ("zero3", "none")


def test_a_tuner_that_is_unknown_is_listed(tmp_path: Path) -> None:
    assert (
        "train_type = llamapro"
        in _imported(tmp_path, PLAIN.format(more="--train_type llamapro")).origins[0].not_understood
    )


def test_a_usage_that_a_script_shows_states_nothing(tmp_path: Path) -> None:
    """The script's values are in a here-document that is a script; the usage only names the arguments."""
    layout = _imported(tmp_path, WRAPPED.format(first="#!/bin/bash")).data["layout"]
    assert (layout["microbatch"], layout["tensor"]) == (2, 4)


def test_a_default_of_a_script(tmp_path: Path) -> None:
    """An argument that replaces a default is not in the file."""
    text = """
MICRO=8
while [[ $# -gt 0 ]]; do
case $1 in
--micro)
MICRO="$2"
shift 2
;;
esac
done
train --bf16 --micro-batch-size $MICRO
"""
    assert _imported(tmp_path, text).data["layout"]["microbatch"] == 8


def test_nodes_that_a_script_counts(tmp_path: Path) -> None:
    """A number of nodes that only running the script gives is not one node."""
    text = "NNODES=${#HOSTS[@]}\n" + MEGATRON.format(more="").replace("PYTORCH", "NNODES=$NNODES PYTORCH")
    assert "hardware" not in _imported(tmp_path, text).data


def test_a_here_document_that_is_no_script_states_nothing(tmp_path: Path) -> None:
    text = (
        WRAPPED.format(first="Usage:")
        + "torchrun --nproc_per_node 8 pretrain.py --bf16 --micro-batch-size 4 --global-batch-size 32\n"
    )
    assert _imported(tmp_path, text).data["layout"]["microbatch"] == 4


def test_slurm_runs_a_here_document(tmp_path: Path) -> None:
    text = "sbatch <<EOF\n#SBATCH --nodes=2\n#SBATCH --gres=gpu:4\nsrun python pretrain.py --micro-batch-size 1 --bf16\nEOF\n"
    assert _imported(tmp_path, text).data["hardware"]["gpus"] == 8


@pytest.mark.parametrize(
    ("more", "gpus", "batch", "group"),
    [
        ("dp_shard_size: 4\ndp_replicate_size: 2\ntensor_parallel_size: 2", 16, 16, 4),
        ("dp_shard_size: 8", 8, 16, None),
        ("dp_shard_size: 2\ndp_replicate_size: 2\ncontext_parallel_size: 2", 8, 8, 2),
    ],
)
def test_groups_of_axolotl(tmp_path: Path, more: str, gpus: int, batch: int, group: int | None) -> None:
    """GPUs: copies x shards x tensor x context; a step: 1 sample x 2 passes x copies x shards."""
    run = _imported(tmp_path, AXOLOTL + more, "axolotl.yaml").data
    assert (run["hardware"]["gpus"], run["training"]["global_batch"]) == (gpus, batch)
    assert run["layout"].get("shard_group") == group


def test_experts_of_axolotl(tmp_path: Path) -> None:
    text = (
        AXOLOTL.replace("meta-llama/Llama-3.1-8B", "Qwen/Qwen3-30B-A3B") + "expert_parallel_size: 2\ndp_shard_size: 2"
    )
    run = _imported(tmp_path, text, "axolotl.yaml").data
    assert (run["layout"]["expert"], run["hardware"]["gpus"]) == (2, 4)


@pytest.mark.parametrize(("layers", "mode"), [(0, "none"), (3, "full")])
def test_recomputing_the_first_layers_of_a_stage(tmp_path: Path, layers: int, mode: str) -> None:
    """``block`` recomputes the first layers of every stage: the first 0 are none."""
    text = f"train --micro-batch-size 1 --recompute-granularity full --recompute-method block --recompute-num-layers {layers}"
    assert _imported(tmp_path, text).data["layout"]["recompute"] == mode
