"""Forms found in example files of training code: branches, sums, references, unset variables, old names of keys."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.interchange.importing import Imported, import_files
from gpuhours.questions.interchange.shell import arguments

SCRIPT = """
#SBATCH --nodes=48
#SBATCH --gres=gpu:8
#SBATCH --time=100:00:00
NNODES=$SLURM_NNODES
DENSE=1
MOE=$((12-$DENSE))
KIND="{kind}"
SIZE=1b
case $SIZE in
    7b) HIDDEN=4096 ;;
    1b) HIDDEN=2048 ;;
esac
MODEL_ARGS=(
    --num-layers 12
    --hidden-size $HIDDEN   # it's 2048
    --num-attention-heads 16
#   --num-query-groups 4 \\
    --swiglu
    --seq-length 4096
    --vocab-size 32003
    --num-experts 8
    --moe-router-topk 2
    --moe-layer-freq "([0]*$DENSE+[1]*$MOE)"
    --train-iters $STEPS
)
DTYPE=()
if [[ "$KIND" == "fp8" ]]; then
    DTYPE+=( "--fp8-format hybrid" )
elif [ "$KIND" = half ]; then DTYPE=(--fp16); else
    DTYPE=(--bf16)
fi
if [ -n "$CHEAP" ]; then
    EXTRA="--recompute-granularity full"
fi
cat <<EOT > config.json
{{"zero_optimization": {{"stage": 3}} --tensor-model-parallel-size 64}}
EOT
torchrun --nnodes $NNODES --nproc_per_node 8 pretrain_gpt.py ${{MODEL_ARGS[@]}} ${{DTYPE[@]}} $EXTRA \\
    --tensor-model-parallel-size 2 --micro-batch-size 1 --global-batch-size $((2*(3+1)*24)) 2>&1 | tee log
"""
SHAPE = "--num-layers 4 --hidden-size 512 --num-attention-heads 8 --seq-length 1024 --micro-batch-size 2 --padded-vocab-size 32000 "


def imported(folder: Path, name: str, text: str, **settings: object) -> Imported:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return import_files([path], {key.replace("__", "."): value for key, value in settings.items()})


def unread(found: Imported) -> str:
    return "; ".join(found.origins[-1].not_understood)


@pytest.mark.parametrize(("kind", "dtype"), [("fp8", "fp8"), ("half", "fp16"), ("bf16", "bf16")])
def test_a_script_takes_the_branches_that_its_variables_decide(tmp_path: Path, kind: str, dtype: str) -> None:
    found = imported(tmp_path, "train.sh", SCRIPT.format(kind=kind))
    assert found.data["training"] == {"global_batch": 2 * 4 * 24, "dtype": dtype}
    assert found.data["hardware"] == {"gpus": 48 * 8}
    model = found.data["model"]
    assert (model["hidden"], model["kv_heads"], model["experts"]) == (
        2048,
        16,
        {"count": 8, "top_k": 2, "first_dense": 1},
    )
    assert model["vocab"] == 126 * 256  # 32,003 up to a multiple of 128 x 2 ranks
    assert any("32,003" in one for one in found.open)
    assert found.data["layout"]["tensor"] == 2
    assert "train_iters = $STEPS" in unread(found)
    assert 'if [ -n "$CHEAP" ] = not decided by the file' in unread(found)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("[ 4 -gt 2 ]", True), ("[ $N -le 2 ]", False), ('[[ "$KIND" != "a" ]] && [ $N = 3 ]', True), ('[ -z "" ]', True),
        ('[ $N = 1 ] || [[ "$KIND" == b ]]', True), ('[ -n "" ]', False), ("grep -q x file", None),
    ],
)  # fmt: skip
def test_conditions(condition: str, holds: bool | None) -> None:
    found = arguments(f"N=3\nKIND=b\nif {condition}; then\n    A=--layers=1\nelse\n    B=--heads=2\nfi\n")
    first, second = {"layers": "1"}, {"heads": "2"}
    listed = {f"if {condition}": "not decided by the file, but read: layers, heads"}
    assert found == (first if holds else second if holds is False else {**first, **second, **listed})


@pytest.mark.parametrize(
    ("flags", "key", "value"),
    [
        ("--checkpoint-activations", "layout.recompute", "full"),
        ("--bf16 --deepspeed --zero-stage 0", "layout.sharding", "zero1"),
        ("--fp16 --deepspeed --zero-stage 2 --cpu-optimizer", "layout.sharding", "zero2"),
        ("--deepspeed --zero-stage=3", "software", "megatron-deepspeed"),
        ("--position-embedding-type rope --rotary-percent 0.25", "model.rotary_share", 0.25),
        ("--num-experts 4 --moe-router-topk 1 --moe-layer-freq 2", "model.experts.every", 2),
        ("--num-experts 4 --moe-router-topk 1 --moe-layer-freq [0,1]*2", "model.experts.every", 2),
        ("--moe-router-topk 2", "model.layers", 4),
    ],
)
def test_megatron_flags(tmp_path: Path, flags: str, key: str, value: object) -> None:
    found = imported(tmp_path, "train.sh", f"torchrun --nproc_per_node 8 --nnodes 1 pretrain_gpt.py {SHAPE} {flags}")
    said = functools.reduce(lambda inside, part: inside[part], key.split("."), found.data)
    assert said == value
    assert unread(found) == ""


NEMO = """
trainer: {num_nodes: 2, devices: 8, precision: bf16, max_steps: 10}
model:
  micro_batch_size: 1
  global_batch_size: 32
  tensor_model_parallel_size: 2
  encoder_seq_length: 2048
  max_position_embeddings: ${.encoder_seq_length}
  num_layers: 4
  hidden_size: 512
  ffn_hidden_size: ${multiply:3, ${.hidden_size}}
  num_attention_heads: 8
  tokenizer: {library: sentencepiece, merge_file: null, vocab_file: null}
  peft: {peft_scheme: %s, lora_tuning: {adapter_dim: 16, target_modules: [attention_qkv, mlp_fc2], alpha: 32}}
"""


def test_references_and_adapters_of_nemo(tmp_path: Path) -> None:
    found = imported(tmp_path, "nemo.yaml", NEMO % "lora", model__vocab=32000)
    assert (found.data["model"]["ffn_hidden"], found.data["model"]["max_positions"]) == (1536, 2048)
    assert {"trainable": "lora", "rank": 16, "targets": ["q", "k", "v", "down"]}.items() <= found.data["model"].items()
    assert unread(found) == ""
    assert (
        unread(imported(tmp_path, "nemo.yaml", NEMO % "adapter", model__vocab=32000))
        == "model.peft.peft_scheme = adapter"
    )
    with pytest.raises(EstimateError, match="vocabulary size is missing"):  # no merges are named: it is not GPT-2's
        imported(tmp_path, "nemo.yaml", NEMO % "lora")


TITAN = """
[model]
name = "qwen3"
flavor = "%s"
[training]
local_batch_size = 2
seq_len = 4096
dtype = "%s"
[parallelism]
data_parallel_shard_degree = 8
[compile]
enable = true
components = [%s]
[optimizer]
name = "AdamW"
early_step_in_backward = true
"""


def test_torchtitan_compiles_what_it_says(tmp_path: Path) -> None:
    whole = imported(tmp_path, "t.toml", TITAN % ("8B", "float32", '"model", "loss"'))
    assert (whole.data["model"], whole.data["software"], whole.data["training"]["state"]) == (
        "qwen3-8b",
        "fsdp-compile",
        "amp",
    )
    assert whole.data["layout"]["optimizer_in_backward"] is True
    loss = imported(tmp_path, "t.toml", TITAN % ("debugmodel", "bfloat16", '"loss"'))
    assert (loss.data["software"], loss.data["training"]["state"]) == ("fsdp2-eager", "pure")
    assert unread(loss) == "model.name = qwen3; model.flavor = debugmodel"


AXOLOTL = """
base_model: NousResearch/Meta-Llama-3-8B
load_in_8bit: true
adapter: lora
lora_r: 4
lora_target_modules: 'model.layers.[\\d]+.(mlp|self_attn).(down|q|v)_proj'
sequence_len: 4096
micro_batch_size: 1
gradient_checkpointing: false
activation_offloading: true
bf16: auto
fsdp: [full_shard, auto_wrap]
fsdp_config: {fsdp_activation_checkpointing: true, fsdp_limit_all_gathers: true, fsdp_sharding_strategy: FULL_SHARD}
"""


def test_adapters_and_checkpoints_of_axolotl(tmp_path: Path) -> None:
    found = imported(tmp_path, "a.yaml", AXOLOTL)
    assert found.data["model"]["targets"] == ["q", "v", "down"]
    assert found.data["layout"] == {
        "microbatch": 1,
        "recompute": "full",
        "offload_activations": True,
        "sharding": "zero3",
    }
    assert unread(found) == "load_in_8bit = True"


def test_deepspeeds_file_beside_accelerates(tmp_path: Path) -> None:
    text = "distributed_type: DEEPSPEED\nnum_processes: 4\ndeepspeed_config: {deepspeed_config_file: zero.json}\n"
    alone = imported(tmp_path, "a.yaml", text)
    assert unread(alone) == "deepspeed_config.deepspeed_config_file = zero.json"
    (tmp_path / "zero.json").write_text(
        '{"zero_optimization": {"stage": 3, "offload_param": {"device": "cpu"}}, "train_micro_batch_size_per_gpu": "auto"}'
    )
    both = imported(tmp_path, "a.yaml", text)
    assert both.data["layout"] == {"sharding": "zero3", "offload_parameters": True}
    assert (both.data["software"], len(both.origins)) == ("huggingface-deepspeed", 2)
    assert unread(both) == "train_micro_batch_size_per_gpu = auto: decided by the trainer"


NANOTRON = """
model:
  dtype: bfloat16
  make_vocab_size_divisible_by: 1
  model_config: {is_llama_config: true, hidden_size: 2048, intermediate_size: 8192, num_attention_heads: 32, num_hidden_layers: 16,
                 num_key_value_heads: 8, tie_word_embeddings: true, vocab_size: 128256}
optimizer: {zero_stage: 1, optimizer_factory: {name: adamW}}
parallelism: {dp: 8, tp: 2, pp: 2, pp_engine: 1f1b, tp_mode: REDUCE_SCATTER, recompute_layer: true}
tokens: {micro_batch_size: 2, batch_accumulation_per_replica: 4, sequence_length: 4096, train_steps: 100}
"""


def test_nanotron(tmp_path: Path) -> None:
    """Llama 3.2 1B: 1,235,814,400 parameters in the published checkpoint."""
    found = imported(tmp_path, "n.yaml", NANOTRON)
    assert found.run.model is not None
    assert found.run.model.build(found.run.data).parameters == 1_235_814_400
    assert (found.data["hardware"], found.data["training"]["global_batch"]) == ({"gpus": 32}, 2 * 4 * 8)
    assert (found.data["layout"]["sharding"], found.data["layout"]["recompute"], found.data["software"]) == (
        "zero1",
        "full",
        "nanotron",
    )
    assert unread(found) == ""


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("GPT-NeoX", '{"pipe-parallel-size": 1, "num-layers": 2, "train_micro_batch_size_per_gpu": 1}'),
        ("OLMo", "model: {d_model: 4096, mlp_hidden_size: 22016}\ndevice_train_microbatch_size: 2"),
        ("MaxText", "modules: {pre_trainer: {overrides: {ici_fsdp_parallelism: 8, per_device_batch_size: 7}}}"),
        ("llm-foundry or OLMo", "device_train_microbatch_size: 8\nfsdp_config: {sharding_strategy: FULL_SHARD}"),
        ("torchtune", "model: {_component_: torchtune.models.llama3_1.lora_llama3_1_70b}\nbatch_size: 2"),
    ],
)
def test_another_codes_file_is_not_taken_for_one_that_is_read(tmp_path: Path, code: str, text: str) -> None:
    with pytest.raises(EstimateError, match=f"is a file of {code}, which is not supported"):
        imported(tmp_path, "x.yaml", text)


def test_toml_of_something_else_is_not_torchtitans(tmp_path: Path) -> None:
    with pytest.raises(EstimateError, match="no known arguments or keys"):
        imported(tmp_path, "pyproject.toml", '[project]\nname = "x"\n')
