"""Hugging Face's Trainer and programs around it: launch commands, YAML, JSON, Python and notebooks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gpuhours.questions.estimating.estimating import estimate
from gpuhours.questions.interchange.importing import Imported, import_files

ALPACA = """
torchrun --nproc_per_node=4 --master_port=1234 train.py \\
    --model_name_or_path huggyllama/llama-7b --data_path ./alpaca_data.json --bf16 True --output_dir ./out \\
    --num_train_epochs 3 --per_device_train_batch_size 4 --per_device_eval_batch_size 4 --gradient_accumulation_steps 8 \\
    --save_strategy "steps" --learning_rate 2e-5 --weight_decay 0. --warmup_ratio 0.03 --lr_scheduler_type "cosine" \\
    --fsdp "full_shard auto_wrap offload" --fsdp_transformer_layer_cls_to_wrap 'LlamaDecoderLayer' --tf32 True
"""
LLAVA = """
deepspeed --num_gpus=8 llava/train/train_mem.py --deepspeed ./scripts/zero2_offload.json --lora_enable True --lora_r 128 \\
    --model_name_or_path lmsys/vicuna-7b-v1.5 --bf16 True --per_device_train_batch_size 16 --model_max_length 2048 \\
    --gradient_checkpointing True --num_train_epochs 1 --vision_tower openai/clip-vit-large-patch14-336
"""
UNSLOTH = """
from unsloth import FastLanguageModel
max_seq_length = 2048
model, tokenizer = FastLanguageModel.from_pretrained(
    model_name = "unsloth/Meta-Llama-3.1-8B", max_seq_length = max_seq_length, dtype = None, load_in_4bit = True)
model = FastLanguageModel.get_peft_model(
    model, r = 16, target_modules = ["q_proj", "v_proj"], lora_alpha = 16, use_gradient_checkpointing = "unsloth", random_state = 1)
trainer = SFTTrainer(model = model, max_seq_length = max_seq_length, packing = True, args = TrainingArguments(
    per_device_train_batch_size = 2, gradient_accumulation_steps = 4, max_steps = 60, bf16 = is_bfloat16_supported(),
    optim = "adamw_8bit", output_dir = "outputs"))
"""


def imported(folder: Path, text: str, name: str = "train.sh", **settings: object) -> Imported:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return import_files([path], {key.replace("__", "."): value for key, value in settings.items()})


def test_a_launch_command_is_a_trainers(tmp_path: Path) -> None:
    """4 samples x 8 passes x 4 cards; FSDP's offloading keeps shards and states in host memory."""
    found = imported(tmp_path, ALPACA)
    assert found.origins[0].code == "Trainer"
    assert found.origins[0].not_understood == ()
    assert found.data == {
        "model": {"name": "llama-7b"}, "data": {"epochs": 3.0}, "training": {"dtype": "bf16", "global_batch": 128},
        "hardware": {"gpus": 4}, "software": "huggingface-fsdp2",
        "layout": {"microbatch": 4, "sharding": "zero3", "offload_optimizer": True, "offload_parameters": True},
    }  # fmt: skip


def test_what_a_trainer_has_no_equivalent_for_is_listed(tmp_path: Path) -> None:
    found = imported(tmp_path, LLAVA)
    assert found.data["model"] == {"name": "llama-7b", "trainable": "lora", "rank": 128}
    assert found.data["layout"] == {
        "microbatch": 16,
        "recompute": "full",
        "sharding": "zero2",
        "offload_optimizer": True,
    }
    assert found.origins[0].not_understood == ("vision_tower = openai/clip-vit-large-patch14-336",)
    assert any("cut to 2,048 tokens" in one for one in found.open)


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        ("--bf16 --packing --max_length 4096", "data.seq_len", 4096),
        ("--bf16 --block_size 1024", "data.seq_len", 1024),
        ("--fp16", "training.dtype", "fp16"),
        ("", "training.dtype", "fp32"),
        ("--torch_dtype bfloat16", "training.state", "pure"),
        ("--bf16 --torch_compile", "software", "huggingface-compile"),
        ("--bf16 --use_liger_kernel", "software", "huggingface-liger"),
        ("--use_peft --lora_target_modules q_proj o_proj --lora_r 4", "model.targets", ("q", "o")),
        ("--use_peft --load_in_4bit", "training.dtype", "nf4"),
        ("--optim adamw_bnb_8bit", "training.optimizer", "adamw-8bit"),
        ("--max_steps 70", "data.steps", 70),
        ("--learning_rate 1e-4", "data.epochs", 3.0),
    ],
)
def test_arguments(tmp_path: Path, words: str, key: str, value: Any) -> None:
    command = "torchrun --nproc_per_node 2 sft.py --model_name_or_path Qwen/Qwen2.5-7B --per_device_train_batch_size 2 "
    found = imported(tmp_path, command + words, data__samples=1000)
    assert found.run.value(key) == value
    assert found.origins[0].not_understood == ()


def test_defaults_are_the_trainers_unless_the_program_decides(tmp_path: Path) -> None:
    """8 samples a device, one pass."""
    given = imported(tmp_path, '{"num_train_epochs": 1, "bf16": true, "world_size": 2}', "args.json")
    assert given.data["training"]["global_batch"] == 8 * 2
    decided = imported(
        tmp_path, "a = SFTConfig(per_device_train_batch_size=args.batch, num_train_epochs=n)", "train.py"
    )
    assert "layout" not in decided.data
    assert any("per_device_train_batch_size" in one for one in decided.origins[0].not_understood)


@pytest.mark.parametrize("ending", ["py", "ipynb"])
def test_python_is_read_and_not_run(tmp_path: Path, ending: str) -> None:
    cells = {"cells": [{"cell_type": "code", "source": ["!pip install unsloth\n", UNSLOTH]}]}
    found = imported(tmp_path, UNSLOTH if ending == "py" else json.dumps(cells), f"tune.{ending}", hardware__gpus=1)
    assert found.origins[0].not_understood == ()
    assert found.data == {
        "model": {"name": "llama-3.1-8b", "trainable": "lora", "rank": 16, "targets": ["q", "v"]},
        "data": {"steps": 60, "packed": True, "seq_len": 2048}, "hardware": {"gpus": 1}, "software": "unsloth",
        "training": {"dtype": "nf4", "optimizer": "adamw-8bit", "global_batch": 8},
        "layout": {"microbatch": 2, "recompute": "full", "offload_activations": True},
    }  # fmt: skip


def test_a_command_overrides_the_file_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "zero3.yaml").write_text(
        "distributed_type: DEEPSPEED\nnum_processes: 32\nmixed_precision: bf16\n"
        "deepspeed_config: {zero_stage: 3, gradient_accumulation_steps: 4, offload_param_device: none}\n"
    )
    words = (
        "--model_name_or_path Qwen/Qwen2.5-7B --per_device_train_batch_size 2 --gradient_accumulation_steps 8 --bf16"
    )
    found = imported(tmp_path, f"accelerate launch --config_file zero3.yaml --num_processes 8 sft.py {words}")
    assert found.data["training"]["global_batch"] == 2 * 8 * 8
    assert (found.data["hardware"], found.data["layout"]["sharding"]) == ({"gpus": 8}, "zero3")
    assert (found.data["software"], [one.not_understood for one in found.origins]) == (
        "huggingface-deepspeed",
        [(), ()],
    )


@pytest.mark.parametrize(
    ("lines", "key", "value"),
    [
        ("sample_packing: true\npad_to_sequence_len: true", "data.seq_len", 8192),
        ("pad_to_sequence_len: true", "data.seq_len", 8192),
        ("sample_packing: false", "data.seq_len", None),
        ("plugins: [axolotl.integrations.liger.LigerPlugin]\nliger_rms_norm: true", "software", "huggingface-liger"),
        ("deepspeed: deepspeed_configs/zero3_bf16_cpuoffload_params.json", "layout.offload_parameters", True),
    ],
)
def test_axolotl_packs_pads_or_cuts(tmp_path: Path, lines: str, key: str, value: Any) -> None:
    found = imported(tmp_path, f"base_model: mistralai/Mistral-7B-v0.1\nsequence_len: 8192\n{lines}\n", "a.yml")
    assert found.run.value(key) == value
    assert any("cut to 8,192 tokens" in one for one in found.open) == (found.run.data.seq_len is None)


@pytest.mark.parametrize(
    ("words", "recompute", "layers"),
    [
        ("--recompute-granularity full --recompute-method uniform --recompute-num-layers 1", "full", None),
        ("--recompute-granularity full --recompute-method block --recompute-num-layers 3", "full", 3),
        ("--activations-checkpoint-method uniform", "full", None),
        ("--recompute-activations", "selective", None),
        ("--seed 1", "none", None),
    ],
)
def test_megatron_recomputes(tmp_path: Path, words: str, recompute: str, layers: int | None) -> None:
    """``uniform`` recomputes every layer, whatever the number that share one stored input."""
    shape = "--num-layers 8 --hidden-size 512 --num-attention-heads 8 --seq-length 1024 --padded-vocab-size 32000"
    found = imported(tmp_path, f"torchrun --nproc_per_node 8 pretrain_gpt.py {shape} --micro-batch-size 1 {words}")
    layout = found.data["layout"]
    assert (layout["recompute"], layout.get("recompute_layers")) == (recompute, layers)
    assert found.data["hardware"] == {"gpus": 8}  # torchrun's one node


def test_parts_of_a_model_that_sees(tmp_path: Path) -> None:
    """LLaMA-Factory freezes encoder and projector unless told otherwise: of 8,292,166,656 parameters, Qwen2.5-7B's 7,615,616,512 train."""
    text = "model_name_or_path: Qwen/Qwen2.5-VL-7B-Instruct\nfinetuning_type: full\ncutoff_len: 2048\nbf16: true\n"
    free = "freeze_vision_tower: false\nfreeze_multi_modal_projector: false\n"
    trained = []
    for name, lines in (("a.yaml", text), ("b.yaml", text + free)):
        found = imported(tmp_path, lines, name, hardware__gpus=8, hardware__accelerator="h100-sxm-80gb", data__frames=1)
        assert any("data.text_tokens=N" in one for one in found.open)
        trained.append(estimate(found.run).results["trainable_parameters"].value)
    assert trained == [7_615_616_512, 8_292_166_656]
