"""LLaMA-Factory's files, vocabularies determined by a tokenizer, and two files that state different shapes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.interchange.exporting import export
from gpuhours.questions.interchange.importing import Imported, import_files
from gpuhours.run.spec import from_dict

SHARED = """
stage: sft
do_train: true
template: llama3
dataset: one,two
cutoff_len: 1024
max_samples: 1000
overwrite_cache: true
preprocessing_num_workers: 16
output_dir: out
logging_steps: 10
plot_loss: true
per_device_train_batch_size: 2
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
val_size: 0.1
eval_strategy: steps
ddp_timeout: 180000000
"""
ADAPTERS = (
    SHARED
    + """
model_name_or_path: meta-llama/Meta-Llama-3-8B-Instruct
quantization_bit: 4
finetuning_type: lora
lora_target: q_proj,v_proj
lora_rank: 16
fp16: true
"""
)
WHOLE = (
    SHARED
    + """
model_name_or_path: Qwen/Qwen2.5-7B
finetuning_type: full
deepspeed: examples/deepspeed/ds_z3_offload_config.json
bf16: true
disable_gradient_checkpointing: true
"""
)
MEGATRON = """
MODEL_ARGS=( --num-layers 96 --hidden-size 12288 --num-attention-heads 96 --seq-length 2048 --max-position-embeddings 2048 )
torchrun --nproc_per_node 8 --nnodes 16 pretrain_gpt.py ${MODEL_ARGS[@]} --micro-batch-size 1 --global-batch-size 1536 \\
    --train-iters 1000 --fp16 --tensor-model-parallel-size 8 --pipeline-model-parallel-size 16
"""
MERGES = MEGATRON.replace("--fp16", "--fp16 --vocab-file $VOCAB_FILE --merge-file $MERGE_FILE")


def imported(folder: Path, name: str, text: str, **settings: object) -> Imported:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return import_files([path], {key.replace("__", "."): value for key, value in settings.items()})


def test_adapters_of_llama_factory(tmp_path: Path) -> None:
    found = imported(tmp_path, "sft.yaml", ADAPTERS, hardware__gpus=2)
    assert found.data["model"] == {"name": "llama-3-8b", "trainable": "lora", "rank": 16, "targets": ["q", "v"]}
    assert found.data["training"] == {"dtype": "nf4", "global_batch": 2 * 8 * 2}
    assert found.data["layout"] == {"microbatch": 2, "recompute": "full"}
    assert (found.data["software"], found.data["data"]) == ("huggingface-trainer", {"epochs": 3.0})
    assert any("cut to 1,024 tokens" in one for one in found.open)  # they are as long as they are, unless packed
    assert any("cut to 2,000 samples in all: --samples 2000" in one for one in found.open)
    assert found.origins[0].not_understood == ()


def test_a_whole_model_under_its_deepspeed_file(tmp_path: Path) -> None:
    found = imported(tmp_path, "sft.yaml", WHOLE)
    assert found.data["model"] == {"name": "qwen2.5-7b"}
    assert found.data["layout"] == {
        "microbatch": 2, "recompute": "none", "sharding": "zero3", "offload_optimizer": True, "offload_parameters": True,
    }  # fmt: skip


def test_what_is_left_out_is_its_default(tmp_path: Path) -> None:
    """Rank 8 on every product, samples cut to 2,048 tokens, checkpointed; pre-training packs them."""
    found = imported(
        tmp_path, "sft.yaml", "model_name_or_path: google/gemma-2-9b-it\nfinetuning_type: lora\nbf16: true\n"
    )
    assert found.data["model"] == {"name": "gemma-2-9b", "trainable": "lora", "rank": 8, "targets": ["all-linear"]}
    assert ("data" in found.data, found.data["layout"]) == (False, {"recompute": "full"})
    assert any("cut to 2,048 tokens" in one for one in found.open)
    stage = imported(tmp_path, "pt.yaml", "model_name_or_path: google/gemma-2-9b\nstage: pt\nfinetuning_type: full\n")
    assert stage.data["data"] == {"seq_len": 2048, "packed": True}


def test_a_model_that_nobody_knows_is_named(tmp_path: Path) -> None:
    found = imported(tmp_path, "sft.yaml", ADAPTERS.replace("meta-llama/Meta-Llama-3-8B-Instruct", "me/my-own"))
    assert "model_name_or_path = me/my-own" in found.origins[0].not_understood


def test_written_and_read_again(tmp_path: Path) -> None:
    run = from_dict({
        "model": {"name": "llama-3-8b", "trainable": "lora", "rank": 16, "targets": ["q", "v"]}, "software": "llama-factory",
        "data": {"seq_len": 4096, "steps": 100}, "training": {"global_batch": 32, "dtype": "nf4"},
        "hardware": {"accelerator": "rtx-4090", "gpus": 2}, "layout": {"microbatch": 2, "recompute": "full", "sharding": "zero2"},
    })  # fmt: skip
    again = imported(tmp_path, "again.yaml", export(run, "llama-factory").text, hardware__gpus=2).run
    for key in (
        "data.seq_len",
        "training.global_batch",
        "training.dtype",
        "layout.microbatch",
        "layout.recompute",
        "layout.sharding",
    ):
        assert again.value(key) == run.value(key), key
    assert again.model == run.model


def test_a_vocabulary_is_its_tokenizers(tmp_path: Path) -> None:
    """Megatron's GPT-3 example uses the merges of GPT-2: 50,257 words, padded to a multiple of 128 x 8."""
    found = imported(tmp_path, "train.sh", MERGES)
    assert found.data["model"]["vocab"] == 51_200
    assert any("51,200" in one for one in found.open)
    with pytest.raises(EstimateError, match="vocabulary size is missing"):
        imported(tmp_path, "train.sh", MEGATRON)
    assert imported(tmp_path, "train.sh", MEGATRON, model__vocab=50_304).data["model"]["vocab"] == 50_304


def test_two_files_that_say_two_shapes_are_said(tmp_path: Path) -> None:
    script, config = tmp_path / "train.sh", tmp_path / "config.json"
    script.write_text(MERGES, encoding="utf-8")
    shape = {
        "model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 96, "intermediate_size": 11008,
        "vocab_size": 32000,
    }  # fmt: skip
    config.write_text(json.dumps(shape), encoding="utf-8")
    (said,) = (one for one in import_files([script, config]).open if "another shape" in one)
    assert "layers 96 for 32" in said
    assert "hidden 12288 for 4096" in said
    assert "heads" not in said


@pytest.mark.parametrize(
    ("tokenizer", "tensor", "words"),
    [
        ("--tokenizer-model meta-llama/Meta-Llama-3-8B", 8, 129_024),  # 128,256 to a multiple of 1,024
        ("--tokenizer-model meta-llama/Llama-2-7b-hf", 1, 32_000),
        ("--tokenizer-type GPT2BPETokenizer", 2, 50_432),  # 50,257 to a multiple of 256
    ],
)  # fmt: skip
def test_a_named_tokenizers_vocabulary_is_that_of_its_model(
    tmp_path: Path, tokenizer: str, tensor: int, words: int
) -> None:
    shape = "--num-layers 32 --hidden-size 4096 --num-attention-heads 32 --seq-length 4096 --bf16"
    found = imported(
        tmp_path, "train.sh", f"python pretrain_gpt.py {shape} --tensor-model-parallel-size {tensor} {tokenizer}\n"
    )
    assert found.data["model"]["vocab"] == words
    assert any(f"vocabulary {words:,}" in one for one in found.open)
