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
    """InternLM3: Llama's shape; older files give biases of queries, keys and values separately."""
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


READERS: Mapping[str, Reader] = MappingProxyType({
    "cwm": family(pattern=4), "exaone": exaone, "internlm3": internlm3, "jais2": jais2, "hyperclovax": hyperclovax,
    "granite_swa": granite_swa, "biogpt": biogpt,
})  # fmt: skip
