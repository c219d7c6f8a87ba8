"""Readers for models whose modelling code ships with their weights, for their texts saved alone, and for relatives with other keys.

Shapes: the files of that code (``modeling_llada.py``, ``modeling_internvl_chat.py``, ...), from general knowledge of them; totals are
checked against published numbers of parameters (``tests/architecture``).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gpuhours.architecture.hugging_face.config import Config, Fields, Reader
from gpuhours.architecture.hugging_face.encoders import bert, clip, clip_vision, masked_head, without_kind
from gpuhours.architecture.hugging_face.mixtures import qwen3_moe
from gpuhours.architecture.hugging_face.multimodal import internvl, kimi
from gpuhours.architecture.hugging_face.relatives import biogpt
from gpuhours.architecture.hugging_face.text import family, llama, qwen2, qwen3
from gpuhours.inputs.errors import EstimateError


def dream(config: Config) -> Fields:
    """Dream: Qwen 2.5 with attention in both directions; it learns to fill in masked tokens."""
    config.without_effect("mask_token_id")
    return {**qwen2(config), "causal": False}


def mimo(config: Config) -> Fields:
    """MiMo: Qwen 2's shape. The layer that predicts one more token is not counted, as for DeepSeek-V3."""
    config.without_effect("num_nextn_predict_layers")
    return {**qwen2(config), "attention_bias": "qkv" if config.get("attention_bias", True) else "none"}


def olmo_keys(config: Config) -> Fields:
    """The keys of OLMo's first code, which LLaDA has taken over: a feed-forward layer whose gate and values are one GEMM
    (``block_type: sequential``, of twice the width) or two (``llama``). LLaDA attends in both directions."""
    config.only(
        alibi=False, rope=True, attention_layer_norm=False, input_emb_norm=False, block_group_size=1, scale_logits=False
    )
    config.without_effect(
        "embedding_dropout", "flash_attention", "rope_full_precision", "activation_type", "mlp_ratio", "vocab_size"
    )
    layered, wide = config.get("block_type", "sequential") == "llama", config.number("mlp_hidden_size")
    diffuses, heads = config["model_type"] == "llada", config.number("n_heads")
    kind, affine = str(config.get("layer_norm_type", "default")), config.get("layer_norm_with_affine", False)
    biased = bool(config.get("include_bias", False))
    config.without_effect("bias_for_layer_norm")
    return {
        "layers": config.number("n_layers"), "hidden": config.number("d_model"), "heads": heads,
        "kv_heads": 1 if config.get("multi_query_attention") else config.number("n_kv_heads", default=heads),
        "ffn_hidden": wide if layered else wide // 2, "vocab": config.number("embedding_size", "vocab_size"),
        "tied": bool(config.get("weight_tying", True)), "causal": not diffuses, "mlp_bias": biased,
        "attention_bias": "all" if biased else "qkv" if config.get("include_qkv_bias", False) else "none",
        "norm": "rms" if kind == "rms" else "layer" if affine else "no-weights",
        "code_steps": [] if diffuses else ["wide-rotary"],
    }  # fmt: skip


def gte(config: Config) -> Fields:
    """GTE (``new`` in its own code): BERT with rotary positions, gated feed-forward layers without a bias before the gate, no pooler."""
    config.without_effect(
        "layer_norm_type", "pack_qkv", "unpad_inputs", "use_memory_efficient_attention", "logn_attention_scale", "logn_attention_clip1",
    )  # fmt: skip
    config.only(position_embedding_type="rope", layer_norm_type="layer_norm")
    shape = {
        **bert(config),
        "positions": "rotary",
        "gated": True,
        "mlp_bias": False,
        **masked_head(config),
        "pooler": False,
    }
    shape["segments"], hidden = config.number("type_vocab_size", default=1), shape["hidden"]
    return {**shape, "layer_weights": hidden}  # the bias of the feed-forward layer's last GEMM


def xglm(config: Config) -> Fields:
    """XGLM: BioGPT's shape with computed positions and keys of its own."""
    keys = {
        "d_model": "hidden_size",
        "num_layers": "num_hidden_layers",
        "attention_heads": "num_attention_heads",
        "ffn_dim": "intermediate_size",
    }
    shape = biogpt(config.renamed({**keys, "activation_function": "hidden_act"}))
    return {**shape, "positions": "none", "max_positions": None, "dropout": bool(config.get("dropout", 0.1))}


def chinese_clip(config: Config) -> Fields:
    """Chinese-CLIP: CLIP's picture tower and BERT, without its pooler, for the text."""
    width, vision, text = (
        config.number("projection_dim", default=512),
        config.inside("vision_config"),
        config.inside("text_config"),
    )
    config.without_effect("logit_scale_init_value")
    tower = {**bert(text), "head": "none", "pooler": False}
    return {
        "kind": "contrastive", "vision": {**without_kind(clip_vision(vision)), "projection": width}, "text": tower,
        "embedding": width, "context": 52, "scales": 1,
    }  # fmt: skip


def internvl_chat(config: Config) -> Fields:
    """InternVL's own code: the library's InternVL with other keys, and InternViT's biases and norms under its own names."""
    part = config["vision_config"]
    dropped = ("use_flash_attn", "dropout", "drop_path_rate", "num_channels", "qk_normalization", "qkv_bias")
    vision = {key: value for key, value in part.items() if key not in dropped}
    vision |= {
        "model_type": "internvl_vision",
        "attention_bias": part.get("qkv_bias", True),
        "use_qk_norm": part.get("qk_normalization", False),
    }
    config.without_effect(
        "llm_config", "dynamic_image_size", "force_image_size", "max_dynamic_patch", "min_dynamic_patch", "select_layer", "template",
        "use_backbone_lora", "use_llm_lora", "use_thumbnail", "ps_version", "pad2square", "image_fold", "system_message",
    )  # fmt: skip
    if config.get("use_backbone_lora") or config.get("use_llm_lora"):
        raise EstimateError("Adapters that the file itself adds (use_llm_lora) are not modelled.", "Give --lora RANK.")
    return internvl(config.replaced(vision_config=vision, text_config=config["llm_config"]))


def kimi_vl(config: Config) -> Fields:
    """Kimi-VL: Kimi K2.5's parts, for pictures alone, with MoonViT's keys without their prefix."""
    part = config["vision_config"]
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    vision = {f"vt_{key}" if key in names else key: value for key, value in part.items()}
    return kimi(config.replaced(vision_config=vision))


READERS: Mapping[str, Reader] = MappingProxyType({
    "Dream": dream, "mimo": mimo, **dict.fromkeys(("hf_olmo", "llada"), olmo_keys), **dict.fromkeys(("gte", "new"), gte), "xglm": xglm,
    **dict.fromkeys(("xverse", "aquila"), llama), "orion": family(norm="layer"), "chinese_clip": chinese_clip, "metaclip_2": clip,
    "internvl_chat": internvl_chat, "kimi_vl": kimi_vl, **dict.fromkeys(("qwen2_vl_text", "qwen2_5_vl_text"), qwen2),
    "qwen3_vl_text": qwen3, "qwen3_vl_moe_text": qwen3_moe,
})  # fmt: skip
