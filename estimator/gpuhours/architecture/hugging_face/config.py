"""Hugging Face ``config.json`` files: the keys of each model type -> the fields of ``Decoder``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gpuhours.inputs.errors import EstimateError, nearest
from gpuhours.inputs.yaml_files import read_text


class Config(dict[str, Any]):
    """The file's keys; one that is missing is an error that names it."""

    def __missing__(self, key: str) -> Any:
        raise EstimateError(f"The key {key!r} is missing for model_type {self.get('model_type')!r}.")


Fields = dict[str, Any]


def read_config(path: Path) -> Fields:
    """A ``config.json`` -> the fields of a decoder."""
    try:
        content = json.loads(read_text(path))
    except ValueError as error:
        raise EstimateError(f"is not JSON: {error}", where=str(path)) from None
    except RecursionError:
        raise EstimateError("nests too much", where=str(path)) from None
    if not isinstance(content, Mapping) or not isinstance(content.get("model_type"), str):
        raise EstimateError("has no model_type.", "A Hugging Face config.json names one.", str(path))
    config = Config(content)
    kind = config["model_type"]
    if kind not in READERS:
        hint = nearest(kind, READERS)
        listed = f"These are read: {', '.join(sorted(READERS))}. Write others out: layers, hidden, heads ..."
        raise EstimateError(f"model_type {kind!r} is not read.", f"{hint} {listed}".strip(), str(path))
    try:
        read = READERS[kind](config)
    except EstimateError as error:
        raise EstimateError(error.problem, error.hint, str(path)) from None
    return {"kind": "decoder", "name": str(config.get("_name_or_path") or path.stem), **read}


def _llama(config: Config) -> Fields:
    """Llama and the many that are shaped like it."""
    return {
        "layers": config["num_hidden_layers"],
        "hidden": config["hidden_size"],
        "heads": config["num_attention_heads"],
        "kv_heads": config.get("num_key_value_heads"),
        "head_dim": config.get("head_dim"),
        "ffn_hidden": config["intermediate_size"],
        "vocab": config["vocab_size"],
        "tied": config.get("tie_word_embeddings", False),
        "attention_bias": "all" if config.get("attention_bias") else "none",
        "mlp_bias": bool(config.get("mlp_bias", False)),
    }


def _mistral(config: Config) -> Fields:
    return {**_llama(config), "window": config.get("sliding_window")}


def _mixtral(config: Config) -> Fields:
    experts = {"count": config["num_local_experts"], "top_k": config["num_experts_per_tok"]}
    return {**_mistral(config), "experts": experts}


def _qwen2(config: Config) -> Fields:
    return {**_llama(config), "attention_bias": "qkv"}


def _qwen3(config: Config) -> Fields:
    return {**_llama(config), "qk_norm": "head"}


def _qwen_experts(config: Config) -> Fields:
    if config.get("mlp_only_layers"):
        raise EstimateError("mlp_only_layers is not read.", "Write the shape out, with experts.first_dense.")
    return {
        "count": config["num_experts"],
        "top_k": config["num_experts_per_tok"],
        "width": config["moe_intermediate_size"],
        "every": config.get("decoder_sparse_step", 1),
    }


def _qwen2_moe(config: Config) -> Fields:
    shared = {"shared_width": config["shared_expert_intermediate_size"], "shared_gate": True}
    return {**_qwen2(config), "experts": {**_qwen_experts(config), **shared}}


def _qwen3_moe(config: Config) -> Fields:
    return {**_qwen3(config), "experts": _qwen_experts(config)}


def _gemma(config: Config) -> Fields:
    return {**_llama(config), "tied": config.get("tie_word_embeddings", True)}


def _gemma2(config: Config) -> Fields:
    local = {"window": config.get("sliding_window"), "global_every": 2}
    return {**_gemma(config), "norms_per_layer": 4, **local}


def _gemma3(config: Config) -> Fields:
    local = {"window": config.get("sliding_window"), "global_every": config.get("sliding_window_pattern", 6)}
    return {**_gemma(config), "norms_per_layer": 4, "qk_norm": "head", **local}


def _olmo2(config: Config) -> Fields:
    return {**_llama(config), "qk_norm": "width"}


def _cohere(config: Config) -> Fields:
    return {
        **_llama(config), "tied": config.get("tie_word_embeddings", True), "parallel_residual": True,
        "norms_per_layer": 1, "norm": "layer-no-bias",
    }  # fmt: skip


def _nemotron(config: Config) -> Fields:
    return {**_llama(config), "gated": False, "norm": "layer"}


def _starcoder2(config: Config) -> Fields:
    biased = bool(config.get("use_bias", True))
    return {
        **_llama(config), "gated": False, "norm": "layer", "tied": config.get("tie_word_embeddings", True),
        "attention_bias": "all" if biased else "none", "mlp_bias": biased,
        "window": config.get("sliding_window"),
    }  # fmt: skip


def _phi(config: Config) -> Fields:
    return {
        **_llama(config), **BIASED, "gated": False, "parallel_residual": True, "norms_per_layer": 1,
        "head_bias": True,
    }  # fmt: skip


def _gpt2(config: Config) -> Fields:
    return {
        "layers": config["n_layer"], "hidden": config["n_embd"], "heads": config["n_head"],
        "ffn_hidden": config.get("n_inner"), "vocab": config["vocab_size"], **BIASED, "gated": False,
        "tied": config.get("tie_word_embeddings", True), "positions": "learned",
        "max_positions": config.get("n_positions", 1024), "dropout": bool(config.get("resid_pdrop", 0.1)),
    }  # fmt: skip


def _gptj(config: Config) -> Fields:
    return {
        "layers": config["n_layer"], "hidden": config["n_embd"], "heads": config["n_head"],
        "ffn_hidden": config.get("n_inner"), "vocab": config["vocab_size"], "gated": False, "norm": "layer",
        "norms_per_layer": 1, "parallel_residual": True, "mlp_bias": True, "head_bias": True,
    }  # fmt: skip


def _gpt_neox(config: Config) -> Fields:
    return {
        **_llama(config), **BIASED, "gated": False,
        "parallel_residual": config.get("use_parallel_residual", True),
        "attention_bias": "all" if config.get("attention_bias", True) else "none",
    }  # fmt: skip


def _opt(config: Config) -> Fields:
    if config.get("word_embed_proj_dim", config["hidden_size"]) != config["hidden_size"]:
        raise EstimateError("A projected embedding (word_embed_proj_dim, OPT-350m's) is not modelled.")
    return {
        "layers": config["num_hidden_layers"], "hidden": config["hidden_size"],
        "heads": config["num_attention_heads"], "ffn_hidden": config["ffn_dim"],
        "vocab": config["vocab_size"], **BIASED, "gated": False, "positions": "learned",
        "tied": config.get("tie_word_embeddings", True),
        "max_positions": config["max_position_embeddings"] + 2,
        "dropout": bool(config.get("dropout", 0.1)),
    }  # fmt: skip


def _bloom(config: Config) -> Fields:
    hidden = config["hidden_size"] if "hidden_size" in config else config["n_embed"]
    return {
        "layers": config["n_layer"], "hidden": hidden, "heads": config["n_head"],
        "vocab": config["vocab_size"],
        "ffn_hidden": 4 * hidden, **BIASED, "gated": False, "tied": True, "positions": "alibi",
        "embedding_norm": True,
    }  # fmt: skip


def _mpt(config: Config) -> Fields:
    attention = config.get("attn_config") or {}
    bare = config.get("no_bias", True)
    learned = config.get("learned_pos_emb", True) and not attention.get("alibi")
    table = {"positions": "learned", "max_positions": config.get("max_seq_len")}
    return {
        "layers": config["n_layers"], "hidden": config["d_model"], "heads": config["n_heads"],
        "kv_heads": attention.get("kv_n_heads"), "vocab": config["vocab_size"], "gated": False, "tied": True,
        "ffn_hidden": int(config.get("expansion_ratio", 4) * config["d_model"]),
        **({"norm": "layer-no-bias"} if bare else BIASED),
        **(table if learned else {"positions": "alibi"}),
    }  # fmt: skip


def _falcon(config: Config) -> Fields:
    new = config.get("new_decoder_architecture", False)
    parallel = config.get("parallel_attn", True) or new
    heads = config["num_attention_heads"]
    kv_heads = config.get("num_kv_heads", heads) if new else 1 if config.get("multi_query", True) else heads
    biased = config.get("bias", False)
    return {
        "layers": config["num_hidden_layers"], "hidden": config["hidden_size"], "heads": heads,
        "kv_heads": kv_heads, "vocab": config["vocab_size"], "gated": False, "norm": "layer",
        "ffn_hidden": config.get("ffn_hidden_size", 4 * config["hidden_size"]),
        "norms_per_layer": 2 if new or not parallel else 1, "parallel_residual": parallel,
        "tied": config.get("tie_word_embeddings", True), "attention_bias": "all" if biased else "none",
        "mlp_bias": biased, "positions": "alibi" if config.get("alibi") else "rotary",
    }  # fmt: skip


def _deepseek(config: Config) -> Fields:
    """DeepSeek-V2 and V3: latent attention, shared and routed experts."""
    latent = {
        "kv_rank": config["kv_lora_rank"], "query_rank": config.get("q_lora_rank"),
        "nope_dim": config["qk_nope_head_dim"], "rope_dim": config["qk_rope_head_dim"],
        "value_dim": config["v_head_dim"],
    }  # fmt: skip
    experts = {
        "count": config["n_routed_experts"], "top_k": config["num_experts_per_tok"],
        "width": config["moe_intermediate_size"],
        "shared_width": config["n_shared_experts"] * config["moe_intermediate_size"],
        "first_dense": config.get("first_k_dense_replace", 0), "every": config.get("moe_layer_freq", 1),
        "router_bias": config["model_type"] == "deepseek_v3",
    }  # fmt: skip
    return {**_llama(config), "kv_heads": None, "head_dim": None, "latent": latent, "experts": experts}


BIASED: Fields = {"norm": "layer", "attention_bias": "all", "mlp_bias": True}

READERS: Mapping[str, Callable[[Config], Fields]] = MappingProxyType({
    **dict.fromkeys(("llama", "granite", "smollm3", "phi3"), _llama),
    "mistral": _mistral, "mixtral": _mixtral, "qwen2": _qwen2, "qwen3": _qwen3, "qwen2_moe": _qwen2_moe,
    "qwen3_moe": _qwen3_moe, "gemma": _gemma, "gemma2": _gemma2, "gemma3_text": _gemma3, "olmo2": _olmo2,
    "cohere": _cohere, "nemotron": _nemotron, "starcoder2": _starcoder2, "phi": _phi, "gpt2": _gpt2,
    "gptj": _gptj, "gpt_neox": _gpt_neox, "opt": _opt, "bloom": _bloom, "mpt": _mpt, "falcon": _falcon,
    "deepseek_v2": _deepseek, "deepseek_v3": _deepseek,
})  # fmt: skip
