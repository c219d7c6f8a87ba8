"""Readers for dense decoders: Llama and many similar models, and the GPT family."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gpuhours.architecture.hugging_face.config import Config, Fields, Reader
from gpuhours.inputs.errors import EstimateError

BIASED: Fields = {"norm": "layer", "attention_bias": "all", "mlp_bias": True}


def llama(config: Config) -> Fields:
    """Llama and many similar models."""
    return {
        "layers": config.number("num_hidden_layers"),
        "hidden": config.number("hidden_size"),
        "heads": config.number("num_attention_heads"),
        "kv_heads": config.optional("num_key_value_heads"),
        "head_dim": config.optional("head_dim") or uneven(config),
        "ffn_hidden": config.number("intermediate_size"),
        "vocab": config.number("vocab_size"),
        "tied": bool(config.get("tie_word_embeddings", False)),
        "attention_bias": "all" if config.get("attention_bias", False) or config.get("use_bias", False) else "none",
        "mlp_bias": bool(config.get("mlp_bias", False) or config.get("use_bias", False)),
        **rotated(config),
        **windows(config),
    }


def rotated(config: Config, default: float = 1.0) -> Fields:
    """The share of a head with rotary positions; empty if that is all of it."""
    inside = config.get("rope_parameters") or {}
    nested = inside.get("partial_rotary_factor") if isinstance(inside, Mapping) else None
    share = config.get("partial_rotary_factor", config.get("rotary_pct", nested or default))
    return {"rotary_share": share} if share < 1 else {}


def uneven(config: Config) -> int | None:
    """The head size if the width is not divisible by the heads, rounded down as in the library; otherwise None."""
    hidden, heads = config.number("hidden_size"), config.number("num_attention_heads")
    return hidden // heads if hidden % heads else None


def windows(config: Config, every: int = 0) -> Fields:
    """The sliding window, and the layers that have one: ``layer_types`` if listed, otherwise one layer in ``every`` has full attention
    (0: none has).

    A window disabled by ``use_sliding_window`` is ignored."""
    window, kinds = config.optional("sliding_window"), config.listed("layer_types")
    first_global = config.number("max_window_layers", default=0)
    pattern = config.get("sliding_window_pattern", every)
    pattern = pattern if isinstance(pattern, int) else every
    if not window or config.get("use_sliding_window") is False:
        return {}
    if kinds:
        sliding = sum("sliding" in str(kind) or "chunked" in str(kind) for kind in kinds)
        groups = ({"layers": len(kinds) - sliding}, {"layers": sliding, "mixer": "window"})
        return {"window": window, "layer_groups": [group for group in groups if group["layers"]]} if sliding else {}
    if config.get("use_sliding_window") and first_global:
        layers = config.number("num_hidden_layers")
        groups = ({"layers": min(first_global, layers)}, {"layers": max(layers - first_global, 0), "mixer": "window"})
        return {"window": window, "layer_groups": [group for group in groups if group["layers"]]}
    return {"window": window, "global_every": pattern} if pattern else {"window": window}


def family(*, pattern: int = 0, defaults: Mapping[str, Any] | None = None, **fields: Any) -> Reader:
    """Make a reader of Llama's keys. ``fields``: values that the family changes; ``defaults``: values of keys that its files omit;
    ``pattern``: the ``every`` of ``windows``."""

    def read(config: Config) -> Fields:
        shape = {**llama(config), **windows(config, pattern)}
        for key, value in (defaults or {}).items():
            if KEYS[key] not in config:
                shape[key] = value
        return {**shape, **fields}

    return read


KEYS: Mapping[str, str] = {"tied": "tie_word_embeddings", "attention_bias": "attention_bias", "mlp_bias": "mlp_bias"}


def helium(config: Config) -> Fields:
    """Helium: Llama's layers, with an attention output projection as wide as the model."""
    shape, size = llama(config), config.optional("head_dim")
    if size and size * config.number("num_attention_heads") != config.number("hidden_size"):
        raise EstimateError("A Helium whose heads do not add up to the model's width (head_dim) is not supported.")
    config.only(attention_bias=False)
    return shape


def mistral(config: Config) -> Fields:
    """Mistral: Llama's shape with the window, if any, in every layer."""
    return llama(config)


def qwen2(config: Config) -> Fields:
    """Qwen 2: biases on queries, keys and values; a window in the last layers if enabled."""
    shape = {**llama(config), "attention_bias": "qkv"}
    if not config.get("use_sliding_window"):
        shape = {key: value for key, value in shape.items() if key not in ("window", "layer_groups", "global_every")}
    return shape


def qwen3(config: Config) -> Fields:
    """Qwen 3: Qwen 2's layers without biases, with per-head QK norms."""
    biased = "all" if config.get("attention_bias") else "none"
    return {**qwen2(config), "attention_bias": biased, "qk_norm": "head"}


def gemma(config: Config) -> Fields:
    """Gemma: Llama's shape with tied embeddings."""
    return {**llama(config), "tied": config.get("tie_word_embeddings", True)}


def gemma2(config: Config) -> Fields:
    """Gemma 2: norms before and after attention and feed-forward, capped logits; full attention in every second layer."""
    return {**gemma(config), "norms_per_layer": 4, "code_steps": ["capped-logits"], **windows(config, 2)}


def gemma3(config: Config) -> Fields:
    """Gemma 3: Gemma 2's layers with QK norms; full attention in one layer of six."""
    return {**gemma(config), "norms_per_layer": 4, "qk_norm": "head", **windows(config, 6)}


def cohere(config: Config) -> Fields:
    """Command R: one norm, attention and feed-forward in parallel; Command R+ also has QK norms."""
    return {
        **llama(config), "tied": config.get("tie_word_embeddings", True), "parallel_residual": True,
        "code_steps": ["wide-rotary", "written-norm"], "norms_per_layer": 1, "norm": "layer-no-bias",
        "qk_norm": "width" if config.get("use_qk_norm") else "none",
    }  # fmt: skip


def cohere2(config: Config) -> Fields:
    """Command R7B and A: three windowed layers for each full-attention layer."""
    return {**cohere(config), **windows(config, 4)}


def phi(config: Config) -> Fields:
    """Phi-1.5 and 2: attention and feed-forward in parallel after one norm."""
    normed = "head-layer" if config.get("qk_layernorm") else "none"
    return {
        **llama(config), **BIASED, "gated": False, "parallel_residual": True, "norms_per_layer": 1,
        "head_bias": True, "qk_norm": normed, "activation": activation(config, "hidden_act", "gelu_new"),
    }  # fmt: skip


def stablelm(config: Config) -> Fields:
    """StableLM: Llama's layer with LayerNorm; some releases have qkv biases, QK norms per head, or parallel attention and feed-forward."""
    parallel = bool(config.get("use_parallel_residual"))
    return {
        **llama(config), "norm": "layer", "attention_bias": "qkv" if config.get("use_qkv_bias") else "none",
        "mlp_bias": False, "parallel_residual": parallel, "norms_per_layer": 1 if parallel else 2,
        "qk_norm": "width" if config.get("qk_layernorm") else "none",
    }  # fmt: skip


def starcoder2(config: Config) -> Fields:
    """StarCoder 2: an ungated feed-forward layer, LayerNorm, biases everywhere, a window."""
    biased = bool(config.get("use_bias", True))
    return {
        **llama(config), "gated": False, "norm": "layer", "tied": config.get("tie_word_embeddings", True),
        "attention_bias": "all" if biased else "none", "mlp_bias": biased,
    }  # fmt: skip


def activation(config: Config, key: str, usual: str) -> str:
    """How the modelling file implements the activation: as several kernels, as ReLU, or (for all other names) as a single GELU kernel."""
    written = {"gelu_new": "written-gelu", "gelu_fast": "written-gelu", "quick_gelu": "quick-gelu", "relu": "relu"}
    return written.get(str(config.get(key, usual)), "gelu")


def gpt2(config: Config) -> Fields:
    """GPT-2 and its relatives."""
    return {
        "layers": config.number("n_layer"), "hidden": config.number("n_embd"), "heads": config.number("n_head"),
        "ffn_hidden": config.number("n_inner", default=4 * config.number("n_embd")), "vocab": config.number("vocab_size"),
        **BIASED, "gated": False, "tied": config.get("tie_word_embeddings", True), "positions": "learned",
        "max_positions": config.number("n_positions", default=1024), "dropout": bool(config.get("resid_pdrop", 0.1)),
        "activation": activation(config, "activation_function", "gelu_new"), "code_steps": ["joint-heads"],
    }  # fmt: skip


def bigcode(config: Config) -> Fields:
    """StarCoder: GPT-2 with one key-value head."""
    config.only(num_key_value_heads=1)
    return {**gpt2(config), "kv_heads": 1 if config.get("multi_query", True) else None}


def openai_gpt(config: Config) -> Fields:
    """GPT: norms after attention and feed-forward, no final norm."""
    return {**gpt2(config), "final_norm": False, "code_steps": ["joint-heads", "written-attention"]}


def gptj(config: Config) -> Fields:
    """GPT-J."""
    hidden, heads = config.number("n_embd"), config.number("n_head")
    rotated = config.number("rotary_dim", default=64) / (hidden // heads)
    return {
        **({"rotary_share": rotated} if rotated < 1 else {}),
        "layers": config.number("n_layer"), "hidden": hidden, "heads": heads,
        "ffn_hidden": config.number("n_inner", default=4 * hidden), "vocab": config.number("vocab_size"),
        "gated": False, "norm": "layer", "norms_per_layer": 1, "parallel_residual": True, "mlp_bias": True, "head_bias": True,
        "tied": bool(config.get("tie_word_embeddings", False)), "activation": activation(config, "activation_function", "gelu_new"),
        "code_steps": ["written-attention", "wide-scores"],
    }  # fmt: skip


def codegen(config: Config) -> Fields:
    """CodeGen: GPT-J with one GEMM for queries, keys and values."""
    return {**gptj(config), "code_steps": ["joint-heads", "written-attention", "wide-scores"]}


def gpt_neo(config: Config) -> Fields:
    """GPT-Neo: learned positions, windowed layers alternating with full-attention layers."""
    kinds = [kind for kinds, times in config.listed("attention_types") for kind in kinds * times]
    local = sum(kind == "local" for kind in kinds)
    layers = config.number("num_layers")
    window = config.number("window_size", default=256)
    groups = [{"layers": layers - local}, {"layers": local, "mixer": "window"}]
    return {
        "layers": layers, "hidden": config.number("hidden_size"), "heads": config.number("num_heads"),
        "ffn_hidden": config.number("intermediate_size", default=4 * config.number("hidden_size")),
        "vocab": config.number("vocab_size"), "tied": config.get("tie_word_embeddings", True), "norm": "layer",
        "gated": False, "mlp_bias": True, "attention_bias": "output", "positions": "learned",
        "max_positions": config.number("max_position_embeddings"), "window": window,
        "activation": activation(config, "activation_function", "gelu_new"), "code_steps": ["written-attention", "wide-scores"],
        **({"layer_groups": [group for group in groups if group["layers"]]} if local else {}),
    }  # fmt: skip


def gpt_neox(config: Config) -> Fields:
    """GPT-NeoX and Pythia."""
    return {
        **llama(config), **rotated(config, 0.25), **BIASED, "gated": False,
        "parallel_residual": config.get("use_parallel_residual", True),
        "attention_bias": "all" if config.get("attention_bias", True) else "none", "code_steps": ["joint-heads"],
    }  # fmt: skip


def opt(config: Config) -> Fields:
    """OPT: learned positions with two unused rows."""
    hidden = config.number("hidden_size")
    if config.number("word_embed_proj_dim", default=hidden) != hidden:
        raise EstimateError("A projected embedding (word_embed_proj_dim, OPT-350m's) is not modelled.")
    biased = config.get("enable_bias", True)
    config.only(layer_norm_elementwise_affine=True)
    return {
        "layers": config.number("num_hidden_layers"), "hidden": hidden,
        "heads": config.number("num_attention_heads"), "ffn_hidden": config.number("ffn_dim"),
        "vocab": config.number("vocab_size"), **(BIASED if biased else {"norm": "layer"}), "gated": False,
        "positions": "learned", "tied": config.get("tie_word_embeddings", True),
        "max_positions": config.number("max_position_embeddings") + 2, "dropout": bool(config.get("dropout", 0.1)),
        "attention_dropout": bool(config.get("attention_dropout", 0.0)),
        "final_norm": bool(config.get("do_layer_norm_before", True)) and not config.get("_remove_final_layer_norm"),
        "activation": activation(config, "activation_function", "relu"),
    }  # fmt: skip


def bloom(config: Config) -> Fields:
    """BLOOM: a norm on the embeddings, ALiBi."""
    hidden = config.number("hidden_size", "n_embed")
    return {
        "layers": config.number("n_layer", "num_hidden_layers"), "hidden": hidden,
        "heads": config.number("n_head", "num_attention_heads"), "vocab": config.number("vocab_size"),
        "ffn_hidden": 4 * hidden, **BIASED, "gated": False, "tied": config.get("tie_word_embeddings", True),
        "positions": "alibi", "embedding_norm": True, "activation": "bloom-gelu",
        "code_steps": ["sliced-heads", "written-attention"],
    }  # fmt: skip


def mpt(config: Config) -> Fields:
    """MPT as built by llm-foundry: no biases, ALiBi or learned positions (the library has ALiBi, a feed-forward width of 4 x hidden and
    as many key as query heads, whatever the file says)."""
    attention = config.inside("attn_config", required=False)
    learned = config.get("learned_pos_emb", True) and not attention.get("alibi")
    table = {"positions": "learned", "max_positions": config.optional("max_seq_len")}
    config.only(no_bias=True)
    attention.only(attn_type="multihead_attention", qk_ln=False)
    attention.without_effect("alibi_bias_max", "clip_qkv")
    return {
        "layers": config.number("n_layers"), "hidden": config.number("d_model"), "heads": config.number("n_heads"),
        "kv_heads": attention.optional("kv_n_heads"), "vocab": config.number("vocab_size"), "gated": False,
        "tied": config.get("tie_word_embeddings", True),
        "ffn_hidden": int(config.get("expansion_ratio", 4) * config.number("d_model")),
        "norm": "layer-no-bias", **(table if learned else {"positions": "alibi"}),
        "code_steps": ["joint-heads", "written-attention", *([] if learned else ["wide-bias"])],
    }  # fmt: skip


def falcon(config: Config) -> Fields:
    """Falcon: one or several key-value heads, attention and feed-forward in parallel."""
    new = config.get("new_decoder_architecture", False)
    parallel = config.get("parallel_attn", True) or new
    heads = config.number("num_attention_heads", "n_head")
    kv_heads = (
        config.number("num_kv_heads", "n_head_kv", default=heads)
        if new
        else 1
        if config.get("multi_query", True)
        else heads
    )
    config.without_effect("num_kv_heads", "n_head_kv")  # except in the newer layout
    biased = config.get("bias", False)
    single = config.number("num_ln_in_parallel_attn", default=2) == 1
    hidden = config.number("hidden_size")
    return {
        "layers": config.number("num_hidden_layers", "n_layer"), "hidden": hidden, "heads": heads,
        "kv_heads": kv_heads, "broadcast_keys": kv_heads == 1, "vocab": config.number("vocab_size"), "gated": False, "norm": "layer",
        "ffn_hidden": config.number("ffn_hidden_size", default=4 * hidden),
        "norms_per_layer": 2 if (new and not single) or not parallel else 1, "parallel_residual": parallel,
        "tied": config.get("tie_word_embeddings", True), "attention_bias": "all" if biased else "none",
        "mlp_bias": biased, "positions": "alibi" if config.get("alibi") else "rotary", "code_steps": ["sliced-heads", "made-mask"],
    }  # fmt: skip


def apertus(config: Config) -> Fields:
    """Apertus: per-head QK norms, and an ungated feed-forward layer whose activation has two parameters."""
    return {**llama(config), "gated": False, "qk_norm": "head", "layer_weights": 2, "activation": "xielu"}


def exaone4(config: Config) -> Fields:
    """EXAONE 4: norms after attention and feed-forward, per-head QK norms, three windowed layers for each full-attention layer."""
    return {**llama(config), "qk_norm": "head", **windows(config, 4)}


def persimmon(config: Config) -> Fields:
    """Persimmon: biases everywhere, per-head QK LayerNorm with biases."""
    normed = "head-layer" if config.get("qk_layernorm", True) else "none"
    return {**llama(config), **BIASED, "gated": False, "qk_norm": normed, "code_steps": ["sliced-heads"]}


def seed_oss(config: Config) -> Fields:
    """Seed-OSS: biases as configured."""
    qkv, out = config.get("attention_bias", True), config.get("attention_out_bias", False)
    return {
        **llama(config),
        "attention_bias": {(1, 1): "all", (1, 0): "qkv", (0, 1): "output"}.get((int(qkv), int(out)), "none"),
    }


def phi3(config: Config) -> Fields:
    """Phi-3 and Phi-4: one GEMM for queries, keys and values, and one for gate and up."""
    return {**llama(config), "code_steps": ["sliced-heads", "split-gate"]}


def glm(config: Config) -> Fields:
    """GLM-4: biases on queries, keys and values, Phi-3's feed-forward layer."""
    biased = "qkv" if config.get("attention_bias", True) else "none"
    return {**llama(config), "attention_bias": biased, "code_steps": ["split-gate"]}


def glm4(config: Config) -> Fields:
    """GLM-4-0414: norms before and after attention and feed-forward."""
    return {**glm(config), "norms_per_layer": 4}


def bitnet(config: Config) -> Fields:
    """BitNet: an additional norm inside attention and inside the feed-forward layer."""
    inner = config.number("hidden_size") + config.number("intermediate_size")
    return {**llama(config), "layer_weights": inner}


def hunyuan(config: Config) -> Fields:
    """Hunyuan: per-head QK norms."""
    return {**llama(config), "qk_norm": "head" if config.get("use_qk_norm", True) else "none"}


READERS: Mapping[str, Reader] = MappingProxyType({
    **dict.fromkeys(("llama", "granite", "smollm3", "ministral", "ministral3", "solar", "yi", "iquestcoder"), llama),
    "phi3": phi3,
    "mistral": mistral, "qwen2": qwen2, "qwen3": qwen3, "gemma": gemma, "vaultgemma": gemma, "gemma2": gemma2, "gemma3_text": gemma3,
    "olmo": family(norm="no-weights", code_steps=["wide-rotary"]),
    "olmo2": family(qk_norm="width", code_steps=["wide-rotary"]),
    "olmo3": family(qk_norm="width", pattern=4, code_steps=["wide-rotary"]),
    "cohere": cohere, "cohere2": cohere2, "nemotron": family(gated=False, norm="layer"),
    "arcee": family(gated=False), "starcoder2": starcoder2, "phi": phi, "stablelm": stablelm, "persimmon": persimmon,
    "gpt2": gpt2, "gpt-sw3": gpt2, "gpt_bigcode": bigcode, "openai-gpt": openai_gpt, "gptj": gptj, "codegen": codegen,
    "gpt_neo": gpt_neo, "gpt_neox": gpt_neox, "opt": opt, "bloom": bloom, "mpt": mpt, "falcon": falcon,
    "glm": glm, "glm4": glm4,
    "helium": helium, "ernie4_5": family(defaults={"tied": True}, code_steps=["wide-rotary"]), "exaone4": exaone4, "apertus": apertus,
    "seed_oss": seed_oss, "bitnet": bitnet, "hunyuan_v1_dense": hunyuan,
    "nanochat": family(gated=False, norm="no-weights", qk_norm="no-weights"),
})  # fmt: skip
