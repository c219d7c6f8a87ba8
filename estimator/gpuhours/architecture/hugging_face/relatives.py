"""Readers for dense decoders that differ only slightly from Llama."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gpuhours.architecture.hugging_face.config import Config, Fields, Reader
from gpuhours.architecture.hugging_face.text import BIASED, activation, family, llama


def exaone(config: Config) -> Fields:
    """EXAONE 3 and 3.5: Llama's shape; files older than the library's class give the layers as ``num_layers``."""
    config.without_effect("embed_dropout")
    return {
        **llama(config.renamed({"num_layers": "num_hidden_layers"})),
        "tied": config.get("tie_word_embeddings", False),
    }


def internlm3(config: Config) -> Fields:
    """InternLM 2 and 3: Llama's shape; older files give biases of queries, keys and values separately."""
    everywhere = bool(config.get("bias") or config.get("attention_bias"))
    qkv = bool(config.get("qkv_bias")) or everywhere
    return {**llama(config), "attention_bias": "all" if everywhere else "qkv" if qkv else "none",
            "mlp_bias": bool(config.get("bias") or config.get("mlp_bias"))}  # fmt: skip


def jais2(config: Config) -> Fields:
    """Jais 2: an ungated feed-forward layer with squared ReLU, LayerNorm, biases everywhere."""
    biased = bool(config.get("mlp_bias", True))
    return {**llama(config), "gated": False, "norm": "layer", "mlp_bias": biased,
            "attention_bias": "all" if config.get("attention_bias", True) else "none"}  # fmt: skip


def hyperclovax(config: Config) -> Fields:
    """HyperCLOVA X: Llama's shape, with norms after attention and feed-forward if configured."""
    return {**llama(config), "norms_per_layer": 4 if config.get("use_post_norm", True) else 2}


def granite_swa(config: Config) -> Fields:
    """Granite with attention sinks and some windowed layers."""
    config.without_effect("layer_rope_theta")
    return {**llama(config), "sinks": True, "code_steps": ["written-attention"]}


def biogpt(config: Config) -> Fields:
    """BioGPT: OPT's shape with other key names."""
    config.without_effect("activation_dropout", "layerdrop", "scale_embedding")
    return {
        **llama(config), **BIASED, "gated": False, "positions": "learned", "tied": config.get("tie_word_embeddings", True),
        "max_positions": config.number("max_position_embeddings") + 2, "dropout": True,
        "activation": activation(config, "hidden_act", "gelu"),
    }  # fmt: skip


def baichuan(config: Config) -> Fields:
    """Baichuan 1 and 2: Llama's shape; the head's rows are normalised (Baichuan 2), and the 13B has ALiBi, neither with weights."""
    config.without_effect("z_loss_weight", "model_max_length", "gradient_checkpointing")
    return llama(config)


def chatglm(config: Config) -> Fields:
    """ChatGLM 2 and 3 and GLM-4 with the code beside their weights: Llama's shape under other names, half of a head rotated."""
    config.only(multi_query_attention=True, rmsnorm=True, post_layer_norm=True, add_bias_linear=False)
    config.without_effect("original_rope", "rope_ratio", "seq_length", "fp32_residual_connection", "bias_dropout_fusion",
                          "apply_query_key_layer_scaling", "apply_residual_connection_post_layernorm", "attention_softmax_in_fp32",
                          "interleaved_qkv", "layernorm_epsilon", "quantization_bit", "pre_seq_len", "prefix_projection")  # fmt: skip
    names = {
        "num_layers": "num_hidden_layers", "ffn_hidden_size": "intermediate_size", "multi_query_group_num": "num_key_value_heads",
        "kv_channels": "head_dim",
    }  # fmt: skip
    words = config.number("padded_vocab_size", "vocab_size")
    biased = "qkv" if config.get("add_qkv_bias", False) else "none"
    return {**llama(config.renamed(names).replaced(vocab_size=words)), "attention_bias": biased, "rotary_share": 0.5}


def qwen(config: Config) -> Fields:
    """Qwen 1: Llama's shape with biases of queries, keys and values; ``intermediate_size`` counts gate and up-projection together."""
    config.only(no_bias=True)
    config.without_effect("kv_channels", "use_dynamic_ntk", "use_logn_attn", "use_flash_attn", "rotary_emb_base", "scale_attn_weights",
                          "softmax_in_fp32", "use_cache_quantization", "use_cache_kernel", "fp32", "fp16", "bf16", "onnx_safe",
                          "seq_length", "emb_dropout_prob", "attn_dropout_prob")  # fmt: skip
    shape = llama(config)
    return {**shape, "ffn_hidden": shape["ffn_hidden"] // 2, "attention_bias": "qkv"}


READERS: Mapping[str, Reader] = MappingProxyType({
    "cwm": family(pattern=4), "exaone": exaone, "internlm3": internlm3, "jais2": jais2, "hyperclovax": hyperclovax,
    "granite_swa": granite_swa, "biogpt": biogpt, "internlm2": internlm3, "baichuan": baichuan, "chatglm": chatglm, "qwen": qwen,
    "minicpm": family(defaults={"tied": True}),
})  # fmt: skip
