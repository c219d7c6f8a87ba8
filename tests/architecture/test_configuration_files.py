"""Models given by the config.json of a Hugging Face model, and files that are none."""

import json
from pathlib import Path

import pytest

from gpuhours.architecture import read_model
from gpuhours.architecture.decoder import Decoder
from gpuhours.data import Data
from gpuhours.flops import model_flops
from gpuhours.inputs.errors import EstimateError

TEXT = Data(seq_len=2048)


def hugging_face(tmp_path: Path, config: dict[str, object]) -> Decoder:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    spec = read_model(str(path))
    assert isinstance(spec, Decoder)
    return spec


LLAMA_KEYS = {
    "num_hidden_layers": "layers",
    "hidden_size": "hidden",
    "num_attention_heads": "heads",
    "num_key_value_heads": "kv_heads",
    "intermediate_size": "ffn_hidden",
    "vocab_size": "vocab",
    "head_dim": "head_dim",
    "tie_word_embeddings": "tied",
}
LIKE_LLAMA = [
    ("llama", "llama-3.1-405b", {}),
    ("llama", "llama-3.2-1b", {}),
    ("mistral", "mistral-7b", {"sliding_window": 4096}),
    ("mixtral", "mixtral-8x7b", {"num_local_experts": 8, "num_experts_per_tok": 2}),
    ("qwen2", "qwen2.5-0.5b", {}),
    ("qwen3", "qwen3-8b", {}),
    (
        "qwen3_moe",
        "qwen3-30b-a3b",
        {"num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768},
    ),
    (
        "qwen2_moe",
        "qwen2-57b-a14b",
        {
            "num_experts": 64,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 2560,
            "shared_expert_intermediate_size": 20480,
        },
    ),
    ("gemma", "gemma-7b", {}),
    ("gemma2", "gemma-2-9b", {"sliding_window": 4096}),
    ("gemma3_text", "gemma-3-1b", {"sliding_window": 512}),
    ("olmo2", "olmo-2-7b", {}),
    ("phi3", "phi-4", {}),
    ("nemotron", "nemotron-4-15b", {}),
    ("starcoder2", "starcoder2-15b", {"tie_word_embeddings": False}),
    ("phi", "phi-2", {}),
    ("gpt_neox", "gpt-neox-20b", {}),
    (
        "deepseek_v3",
        "deepseek-v3",
        {
            "kv_lora_rank": 512,
            "q_lora_rank": 1536,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "v_head_dim": 128,
            "n_routed_experts": 256,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 2048,
            "n_shared_experts": 1,
            "first_k_dense_replace": 3,
        },
    ),
    (
        "deepseek_v2",
        "deepseek-v2-lite",
        {
            "kv_lora_rank": 512,
            "q_lora_rank": None,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "v_head_dim": 128,
            "n_routed_experts": 64,
            "num_experts_per_tok": 6,
            "moe_intermediate_size": 1408,
            "n_shared_experts": 2,
            "first_k_dense_replace": 1,
        },
    ),
]


@pytest.mark.parametrize(("kind", "name", "extra"), LIKE_LLAMA, ids=[row[1] for row in LIKE_LLAMA])
def test_config_files_give_the_named_models(tmp_path: Path, kind: str, name: str, extra: dict[str, object]) -> None:
    named = read_model(name)
    config = {key: getattr(named, field) for key, field in LLAMA_KEYS.items() if getattr(named, field) is not None}
    read = hugging_face(tmp_path, {"model_type": kind, **config, **extra})
    buffers = (
        58 * 256 if kind == "deepseek_v3" else 0
    )  # the library does not count the values that balance routing as parameters
    assert read.build(TEXT).parameters == named.build(TEXT).parameters - buffers
    assert model_flops(read.build(TEXT)) == model_flops(named.build(TEXT))


OLDER = [
    ("gpt2-xl", {"model_type": "gpt2", "n_layer": 48, "n_embd": 1600, "n_head": 25, "vocab_size": 50257}),
    (
        "gpt-j-6b",
        {
            "model_type": "gptj",
            "n_layer": 28,
            "n_embd": 4096,
            "n_head": 16,
            "vocab_size": 50400,
            "n_inner": 16384,
        },
    ),
    (
        "bloom-176b",
        {"model_type": "bloom", "n_layer": 70, "hidden_size": 14336, "n_head": 112, "vocab_size": 250880},
    ),
    (
        "mpt-7b",
        {
            "model_type": "mpt",
            "n_layers": 32,
            "d_model": 4096,
            "n_heads": 32,
            "vocab_size": 50432,
            "no_bias": True,
            "attn_config": {"alibi": True},
        },
    ),
    (
        "opt-6.7b",
        {
            "model_type": "opt",
            "num_hidden_layers": 32,
            "hidden_size": 4096,
            "num_attention_heads": 32,
            "ffn_dim": 16384,
            "vocab_size": 50272,
            "max_position_embeddings": 2048,
        },
    ),
    (
        "falcon-7b",
        {
            "model_type": "falcon",
            "num_hidden_layers": 32,
            "hidden_size": 4544,
            "num_attention_heads": 71,
            "vocab_size": 65024,
            "multi_query": True,
            "parallel_attn": True,
        },
    ),
    (
        "falcon-40b",
        {
            "model_type": "falcon",
            "num_hidden_layers": 60,
            "hidden_size": 8192,
            "num_attention_heads": 128,
            "vocab_size": 65024,
            "new_decoder_architecture": True,
            "num_kv_heads": 8,
        },
    ),
]


@pytest.mark.parametrize(("name", "config"), OLDER, ids=[row[0] for row in OLDER])
def test_older_config_files_too(tmp_path: Path, name: str, config: dict[str, object]) -> None:
    assert hugging_face(tmp_path, config).build(TEXT).parameters == read_model(name).build(TEXT).parameters


def test_cohere_command_r_plus(tmp_path: Path) -> None:
    """CohereForAI/c4ai-command-r-plus: 104 B."""
    config = {
        "model_type": "cohere",
        "num_hidden_layers": 64,
        "hidden_size": 12288,
        "num_attention_heads": 96,
        "num_key_value_heads": 8,
        "intermediate_size": 33792,
        "vocab_size": 256000,
        "use_qk_norm": True,
    }
    assert hugging_face(tmp_path, config).build(TEXT).parameters == pytest.approx(104e9, rel=0.005)


CONFIGS = [
    ({"model_type": "rwkv"}, "'rwkv' is not supported"),
    ({"model_type": "lama"}, "Did you mean 'llama'"),
    ({"model_type": "llama", "hidden_size": 4096}, "'num_hidden_layers' is missing"),
    ({"hidden_size": 4096}, "has no model_type"),
    ([1, 2], "must be a mapping"),
    ({"model_type": "qwen3_moe", "mlp_only_layers": [0]}, "is missing|mlp_only_layers"),
]


@pytest.mark.parametrize(("config", "message"), CONFIGS, ids=[row[1] for row in CONFIGS])
def test_config_files_that_cannot_be_read(tmp_path: Path, config: object, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(EstimateError, match=message) as caught:
        read_model(str(path))
    assert str(path) in str(caught.value)


def test_files_that_are_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(EstimateError, match="cannot be read"):
        read_model(str(tmp_path / "missing.json"))
    broken = tmp_path / "broken.json"
    broken.write_text("{", encoding="utf-8")
    with pytest.raises(EstimateError, match="is not JSON"):
        read_model(str(broken))
