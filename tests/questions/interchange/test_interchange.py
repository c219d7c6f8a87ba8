"""Files of other training code, read and written.

The files are written by hand from each project's documentation, and their meaning is derived by hand.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gpuhours.inputs.errors import EstimateError
from gpuhours.layout.choices import Recompute
from gpuhours.questions.estimating.estimating import estimate
from gpuhours.questions.interchange.exporting import export, values_of
from gpuhours.questions.interchange.files import CODES
from gpuhours.questions.interchange.importing import Imported, import_files
from gpuhours.run.evaluate import evaluate
from gpuhours.run.spec import from_dict, load
from tests.conftest import Command

RUN = Path(__file__).parents[2] / "runs" / "gpt-22b.yaml"

MEGATRON = """#!/bin/bash
#SBATCH --nodes=8
#SBATCH --gpus-per-node=8
TP=4; PP=${PP:-2}
MBS=2
MODEL_ARGS=(
    --num-layers 32 --hidden-size 4096   # Llama's
    --ffn-hidden-size 14336
    --num-attention-heads 32
    --group-query-attention --num-query-groups 8
    --swiglu --normalization RMSNorm --disable-bias-linear
    --untie-embeddings-and-output-weights
    --position-embedding-type rope
    --attention-dropout 0.0 --hidden-dropout 0.0
    --seq-length 8192 --vocab-size 128256
)
torchrun --nproc_per_node 8 pretrain_gpt.py ${MODEL_ARGS[@]} \\
    --tensor-model-parallel-size $TP --pipeline-model-parallel-size=2 --sequence-parallel \\
    --num-layers-per-virtual-pipeline-stage 4 \\
    --micro-batch-size ${MBS} --global-batch-size $((16 * 32)) --train-iters 1000 \\
    --recompute-granularity full --recompute-method block --recompute-num-layers 3 \\
    --use-distributed-optimizer --overlap-grad-reduce --bf16 --lr 3e-4 --save /checkpoints \\
    --frobnicate 7
EXTRA+=( "--log-interval 10" )
"""
TITAN = """
[model]
name = "llama3"
flavor = "8B"
converters = ["float8"]
[optimizer]
name = "AdamW"
lr = 3e-4
[training]
local_batch_size = 2
seq_len = 8192
steps = 1000
max_norm = 1.0
[parallelism]
data_parallel_replicate_degree = 2
data_parallel_shard_degree = 16
tensor_parallel_degree = 4
enable_async_tensor_parallel = true
frobnicate = 7
[activation_checkpoint]
mode = "full"
[compile]
enable = true
"""
DEEPSPEED: dict[str, Any] = {
    "train_batch_size": 256, "train_micro_batch_size_per_gpu": 4, "gradient_accumulation_steps": "auto", "gradient_clipping": 1.0,
    "zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu"}, "overlap_comm": True, "frobnicate": 7},
    "bf16": {"enabled": True},
}  # fmt: skip
ACCELERATE = """
compute_environment: LOCAL_MACHINE
distributed_type: FSDP
fsdp_config:
  fsdp_sharding_strategy: SHARD_GRAD_OP
  fsdp_activation_checkpointing: true
  fsdp_state_dict_type: SHARDED_STATE_DICT
  fsdp_frobnicate: 7
machine_rank: 0
mixed_precision: bf16
num_machines: 2
num_processes: 16
gradient_accumulation_steps: 4
"""
NEMO = """
name: a run of ours
trainer: {num_nodes: 16, devices: 8, precision: bf16-mixed, max_steps: 500}
exp_manager: {explicit_log_dir: /logs}
model:
  micro_batch_size: 1
  global_batch_size: 256
  tensor_model_parallel_size: 8
  pipeline_model_parallel_size: 4
  virtual_pipeline_model_parallel_size: 5
  sequence_parallel: true
  encoder_seq_length: 4096
  num_layers: 80
  hidden_size: 8192
  ffn_hidden_size: 28672
  num_attention_heads: 64
  num_query_groups: 8
  normalization: rmsnorm
  position_embedding_type: rope
  activation: fast-swiglu
  bias: false
  hidden_dropout: 0.0
  share_embeddings_and_output_weights: false
  vocab_size: 32000
  activations_checkpoint_granularity: selective
  optim: {name: distributed_fused_adam, lr: 1e-4}
  frobnicate: 7
"""
AXOLOTL = """
base_model: NousResearch/Meta-Llama-3-8B
load_in_4bit: true
adapter: qlora
lora_r: 32
lora_alpha: 16
lora_target_linear: true
sequence_len: 4096
sample_packing: true
micro_batch_size: 2
gradient_accumulation_steps: 4
num_epochs: 3
optimizer: paged_adamw_8bit
learning_rate: 0.0002
bf16: auto
gradient_checkpointing: true
deepspeed: deepspeed_configs/zero2.json
frobnicate: 7
"""
FILES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "megatron": ("train.sh", MEGATRON, {
        "layout.tensor": 4, "layout.pipeline": 2, "layout.interleave": 4, "layout.schedule": 1, "layout.microbatch": 2,
        "layout.sharding": 1, "layout.recompute": 2, "layout.recompute_layers": 3, "training.global_batch": 512, "training.dtype": "bf16",
        "data.steps": 1000,
        "hardware.gpus": 64, "data.seq_len": 8192, "software": "megatron-core",
    }),
    "torchtitan": ("llama3.toml", TITAN, {
        "layout.tensor": 4, "layout.sharding": 3, "layout.shard_group": 16, "layout.recompute": 2, "layout.microbatch": 2,
        "hardware.gpus": 128, "training.global_batch": 2 * 32, "training.dtype": "fp8", "model.layers": 32,
        "software": "fsdp-compile-async",
    }),
    "deepspeed": ("ds.json", json.dumps(DEEPSPEED), {
        "layout.sharding": 3, "layout.offload_optimizer": True, "layout.microbatch": 4, "training.global_batch": 256,
        "training.dtype": "bf16",
    }),
    "accelerate": ("fsdp.yaml", ACCELERATE, {
        "layout.sharding": 2, "layout.recompute": 2, "hardware.gpus": 16, "training.global_batch": None,
        "training.dtype": "bf16", "software": "huggingface-fsdp2",
    }),
    "nemo": ("nemo.yaml", NEMO, {
        "layout.tensor": 8, "layout.pipeline": 4, "layout.interleave": 5, "layout.sharding": 1, "layout.recompute": 1, "hardware.gpus": 128,
        "training.global_batch": 256, "training.dtype": "bf16", "data.steps": 500, "data.seq_len": 4096, "model.kv_heads": 8,
    }),
    "axolotl": ("qlora.yml", AXOLOTL, {
        "model.rank": 32, "model.trainable": "lora", "model.targets": ("all-linear",), "training.dtype": "nf4",
        "data.packed": True, "data.seq_len": 4096, "layout.recompute": 2, "layout.sharding": 2, "model.hidden": 4096,
        "software": "huggingface-deepspeed", "training.optimizer": "adamw-8bit",
    }),
}  # fmt: skip


def imported(folder: Path, code: str, settings: dict[str, Any] | None = None) -> Imported:
    name, text, _ = FILES[code]
    (folder / name).write_text(text, encoding="utf-8")
    return import_files([folder / name], settings)


@pytest.mark.parametrize("code", FILES)
def test_a_file_means_what_it_says(tmp_path: Path, code: str) -> None:
    found = imported(tmp_path, code)
    meant = FILES[code][2]
    assert {key: found.run.value(key) for key in meant} == meant


@pytest.mark.parametrize("code", FILES)
def test_what_is_not_understood_is_listed_and_nothing_else(tmp_path: Path, code: str) -> None:
    left = imported(tmp_path, code).origins[0].not_understood
    assert [one for one in left if "frobnicate = 7" not in one and "= auto" not in one] == []
    assert any("frobnicate = 7" in one for one in left)


def test_llama_from_megatrons_arguments_is_exact(tmp_path: Path) -> None:
    """Llama 3 8B: 8,030,261,248 parameters in the published checkpoint, of 128,256 words; Megatron pads both tables to a multiple of 128
    on each of two tensor ranks, 128,512."""
    run = imported(tmp_path, "megatron").run
    assert run.model is not None
    assert run.model.build(run.data).parameters == 8_030_261_248 + 2 * 256 * 4096


def test_quoted_pairs_and_full_shards(tmp_path: Path) -> None:
    """Scripts quote a name together with its value; axolotl's older files write FSDP1's keys with their prefix."""
    (tmp_path / "a.sh").write_text(
        'N=12\nA=( "--num-layers $N" "--fp8-format hybrid" --hidden-size 768 --num-attention-heads 12 )\n'
    )
    (tmp_path / "a.sh").write_text((tmp_path / "a.sh").read_text() + "run --vocab-size 50304 --bf16\n")
    run = import_files([tmp_path / "a.sh"]).run
    assert (run.value("model.layers"), run.training.dtype) == (12, "fp8")
    older = "base_model: someone/llama-3-70b-fp16\nfsdp: [full_shard, auto_wrap]\nfsdp_config: {fsdp_offload_params: true}\n"
    (tmp_path / "a.yaml").write_text(older)
    run = import_files([tmp_path / "a.yaml"]).run
    assert (run.value("model.layers"), run.value("layout.sharding"), run.value("layout.offload_optimizer")) == (
        80,
        3,
        True,
    )


def test_optimisers_by_their_names(tmp_path: Path) -> None:
    for said, meant in (("muon", "muon"), ("paged_adamw_8bit", "adamw-8bit"), ("adamw_torch_fused", "adamw")):
        (tmp_path / "a.yaml").write_text(f"base_model: llama-2-7b\noptimizer: {said}\n")
        assert import_files([tmp_path / "a.yaml"]).run.value("training.optimizer") == meant
    (tmp_path / "a.yaml").write_text("base_model: llama-2-7b\noptimizer: shampoo\n")
    assert import_files([tmp_path / "a.yaml"]).origins[0].not_understood == ("optimizer = shampoo",)


def test_gpus_of_the_command_line_make_the_batch(tmp_path: Path) -> None:
    """axolotl: 2 samples x 4 accumulation steps x 8 GPUs."""
    assert imported(tmp_path, "axolotl").run.training.global_batch is None
    assert imported(tmp_path, "axolotl", {"hardware.gpus": 8}).run.training.global_batch == 64


def test_files_that_belong_together(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({
        "model_type": "llama", "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32, "intermediate_size": 8192,
        "vocab_size": 32000,
    }))  # fmt: skip
    (tmp_path / "accelerate.yaml").write_text("distributed_type: DEEPSPEED\nnum_processes: 8\nmixed_precision: bf16\n")
    (tmp_path / "ds.json").write_text(json.dumps({"zero_optimization": {"stage": 2}, "train_batch_size": 64}))
    found = import_files([tmp_path / name for name in ("accelerate.yaml", "ds.json", "config.json")]).run
    assert found.value("model.layers") == 16
    assert (found.hardware.gpus, found.training.global_batch, found.software) == (8, 64, "huggingface-deepspeed")


ROUND = {
    "plain": {"tensor": 1, "microbatch": 2, "recompute": "full", "sharding": "zero3"},
    "split": {"tensor": 4, "sharding": "zero2", "microbatch": 1},
    "staged": {
        "tensor": 2,
        "pipeline": 4,
        "interleave": 2,
        "schedule": "interleaved",
        "sharding": "zero1",
        "recompute": "selective",
    },
    "long": {
        "tensor": 2,
        "pipeline": 1,
        "context": 4,
        "microbatch": 1,
        "sequence_method": "ulysses",
        "sharding": "zero1",
        "recompute": "none",
    },
}
WHOLE = {"tensor": 1, "pipeline": 1, "context": 1, "microbatch": 1, "sharding": "none", "recompute": "none"}
"""Nothing of a layout left open."""
HOLDS = {
    "megatron": set(ROUND), "nemo": {"staged"}, "torchtitan": {"plain", "split"}, "deepspeed": {"plain", "split"},
    "accelerate": {"plain", "split"}, "axolotl": {"plain", "split"},
    "trainer": {"plain"},
}  # fmt: skip
"""Which of them each file can say whole."""
NOT_HELD = {"accelerate": 2, "deepspeed": 1}
"""Micro-batch and batch stand in a script beside accelerate's file; whether DeepSpeed recomputes, in the model's code."""
COMPARED = (
    "layout.tensor", "layout.pipeline", "layout.context", "layout.microbatch", "layout.sharding", "layout.recompute", "layout.interleave",
    "training.global_batch", "training.dtype",
)  # fmt: skip


@pytest.mark.parametrize(("code", "kind"), [(code, kind) for code in sorted(HOLDS) for kind in sorted(HOLDS[code])])
def test_written_and_read_again_is_the_same_run(tmp_path: Path, code: str, kind: str) -> None:
    run = from_dict({
        "model": "llama-3-8b", "data": {"seq_len": 8192, "steps": 1000}, "training": {"global_batch": 512, "dtype": "bf16"},
        "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 64}, "layout": {**WHOLE, **ROUND[kind]}, "software": "megatron-core",
    })  # fmt: skip
    path = tmp_path / f"again{CODES[code].ending}"
    exported = export(run, code)
    path.write_text(exported.text, encoding="utf-8")
    again = import_files([path], {"hardware.gpus": 64}).run
    held = [key for key in COMPARED if not any(one.startswith(key) for one in exported.not_held)]
    assert {key: again.value(key) for key in held} == {key: run.value(key) for key in held}
    assert len(held) >= len(COMPARED) - NOT_HELD.get(code, 0)
    if code in ("megatron", "nemo"):
        assert again.model is not None
        assert again.model.build(again.data).parameters == 8_030_261_248
    assert import_files([path]).origins[0].not_understood == ()


def test_what_a_file_has_no_place_for_is_said() -> None:
    run = load(RUN).replaced("layout.recompute", Recompute.none)
    assert export(run, "deepspeed").not_held == ("data.seq_len = 2048",)
    assert export(run, "megatron").not_held == ()


def test_the_layout_written_is_the_one_the_screen_shows() -> None:
    """GPT 22B leaves pipeline and micro-batch open; the file contains the values that an estimate uses for them."""
    shown = estimate(load(RUN)).outcome.resolved.layout
    values = dict(values_of(load(RUN)))
    assert shown is not None
    assert {name: values[f"layout.{name}"] for name in ("tensor", "pipeline", "microbatch")} == {
        name: int(getattr(shown, name)) for name in ("tensor", "pipeline", "microbatch")
    }


def test_commands(gpuhours_command: Command, tmp_path: Path) -> None:
    script, run = tmp_path / "train.sh", tmp_path / "run.yaml"
    whole = (
        "--set",
        "layout.pipeline=1",
        "--set",
        "layout.microbatch=1",
        "--set",
        "layout.recompute=none",
        "--set",
        "layout.context=1",
    )
    assert gpuhours_command("export", str(RUN), *whole, "--to", "megatron", "-o", str(script)).code == 0
    assert gpuhours_command("import", str(script), "--gpu", "a100-sxm-80gb", "-o", str(run)).code == 0
    settings = {word.partition("=")[0]: word.partition("=")[2] for word in whole if "=" in word}
    first, second = evaluate(load(RUN, settings)), evaluate(load(run))
    assert first.step is not None
    assert second.step is not None
    assert second.step.time == pytest.approx(first.step.time)
    assert first.memory is not None
    assert second.memory is not None
    assert second.memory.total == pytest.approx(first.memory.total)
    assert gpuhours_command("import", str(script), "-o", str(run)).code == 2
    assert gpuhours_command("export", str(RUN), "--to", "fairseq").code == 2
    document = json.loads(gpuhours_command("import", str(script), "--json").out)
    assert document["run"]["layout"]["tensor"] == 8


@pytest.mark.parametrize("text", ["", "hello world", "a: 1", "[x", "{}"])
def test_a_file_of_nobodys_is_an_error(tmp_path: Path, text: str) -> None:
    for ending in (".sh", ".yaml", ".json", ".toml"):
        path = tmp_path / f"file{ending}"
        path.write_text(text)
        with pytest.raises(EstimateError):
            import_files([path])
