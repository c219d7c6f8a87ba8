"""Readers for vision-language models: vision encoder, bridge and language model, each from its part of the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from gpuhours.architecture.hugging_face.config import Config, Fields, Reader, reader
from gpuhours.architecture.hugging_face.encoders import (
    clip_vision,
    dinov2,
    pooling_weights,
    siglip2_vision,
    siglip_vision,
    tower,
    without_kind,
)
from gpuhours.architecture.hugging_face.hybrids import qwen3_5, qwen3_5_moe
from gpuhours.architecture.hugging_face.mixtures import glm4_moe, qwen3_moe
from gpuhours.architecture.hugging_face.text import glm4, llama, qwen2, qwen3
from gpuhours.inputs.errors import EstimateError


def language(config: Config, text: Config, *, tied: bool | None = None) -> Fields:
    """Fields of the language model in ``text``; whether its embeddings are tied is decided by ``ties``."""
    kind = str(text["model_type"])
    shape = reader(kind)(text)
    if shape.get("kind", "decoder") != "decoder":
        raise EstimateError(f"A language model of type {kind!r} is not supported.")
    shape["tied"] = ties(config, text, bool(shape.get("tied", False)))
    return shape if tied is None else {**shape, "tied": tied}


EITHER = frozenset({"llava", "llava_next_video", "llava_onevision", "qwen2_vl", "qwen2_5_vl", "glm4v", "glm4v_moe"})
"""Model types whose embeddings are tied if either the top level of the file or its language part says so."""


def ties(config: Config, text: Config, own: bool) -> bool:
    """Whether input and output embeddings are tied: as the top level of the file says, otherwise as the language part does (``own``,
    including its default). For Llama 4 only the language part counts."""
    whole, inside = config.get("tie_word_embeddings"), text.get("tie_word_embeddings")
    if config["model_type"] in EITHER:
        return bool(whole or inside)
    return own if whole is None or config["model_type"] == "llama4" else bool(whole)


def encoder(vision: Config) -> Fields:
    """Fields of the vision encoder in a part of the file."""
    kind = str(vision["model_type"])
    ignored(vision)
    if kind not in TOWERS:
        raise EstimateError(
            f"A vision encoder of type {kind!r} is not supported.", f"Supported: {', '.join(sorted(TOWERS))}."
        )
    config = TOWERS[kind](vision)
    return without_kind(config)


def whole(vision: Fields, bridge: Fields, decoder: Fields) -> Fields:
    """Fields of the whole model from those of its three parts."""
    return {
        "kind": "video-language",
        "vision": {**vision, "final_norm": vision.get("final_norm", True)},
        "bridge": bridge,
        "language": decoder,
    }


def ignored(config: Config, *keys: str) -> None:
    """Mark keys that select features or special tokens, and ``keys``, as read."""
    config.without_effect(
        *keys, "vision_feature_layer", "projector_hidden_act", "image_seq_length", "image_grid_pinpoints", "spatial_pool_mode",
        "spatial_pool_stride", "video_seq_length", "vocab_size", "hidden_size", "projection_dim",
    )  # fmt: skip


def idefics_vision(vision: Config) -> Fields:
    """Idefics 2 and 3: SigLIP's vision tower without its pooling head."""
    return {**siglip_vision(vision), "pooling": "none"}


def pixtral(vision: Config) -> Fields:
    """Pixtral: Llama's layers over patches, rotary positions, a norm before the layers."""
    shape = tower(vision)
    vision.get("head_dim")
    return {
        **shape, "norm": "rms", "gated": True, "attention_bias": "none", "mlp_bias": False, "positions": "rotary",
        "class_token": False,
        "pre_norm": True, "final_norm": False, "patch_bias": False,
    }  # fmt: skip


def internvit(vision: Config) -> Fields:
    """InternViT: BEiT's shape, with biases as configured."""
    shape = tower(vision)
    for key in ("layer_scale_init_value", "use_mask_token", "use_mean_pooling", "projection_dropout", "attention_bias"):
        vision.get(key)
    biased = "all" if vision.get("attention_bias") else "output"
    normed = "width" if vision.get("use_qk_norm") else "none"
    mean, hidden = vision.get("use_mean_pooling", True), shape["hidden"]
    return {
        **shape, "layer_scale": True, "attention_bias": biased, "qk_norm": normed, "final_norm": not mean,
        "norm": "rms" if vision.get("norm_type") == "rms_norm" else "layer",
        "extra_weights": hidden if vision.get("use_mask_token") else 0,
        "positions": "learned" if vision.get("use_absolute_position_embeddings", True) else "fixed",
    }  # fmt: skip


def qwen2_vision(vision: Config) -> Fields:
    """Qwen2-VL: two frames per patch, rotary positions."""
    shape = tower(WithWidths(vision))
    vision.get("hidden_size"), vision.get("in_chans")
    return {**shape, "tubelet": vision.number("temporal_patch_size", default=2), "class_token": False, "positions": "rotary",
            "patch_bias": False, "final_norm": False}  # fmt: skip


def qwen25_vision(vision: Config) -> Fields:
    """Qwen2.5-VL: gated feed-forward with biases, RMSNorm, windows in most layers."""
    for key in ("window_size", "fullatt_block_indexes", "tokens_per_second", "in_chans"):
        vision.get(key)
    return {
        **tower(vision), "tubelet": vision.number("temporal_patch_size", default=2), "class_token": False,
        "positions": "rotary",
        "patch_bias": False, "final_norm": False, "gated": True, "norm": "rms",
    }  # fmt: skip


def qwen3_vision(vision: Config) -> Fields:
    """Qwen3-VL: learned positions in addition to rotary ones, biases."""
    shape, places = tower(vision), vision.number("num_position_embeddings")
    side = round(places**0.5)
    return {
        **shape, "tubelet": vision.number("temporal_patch_size", default=2), "class_token": False,
        "image_size": side * shape["patch"],
        "final_norm": False,
    }  # fmt: skip


class WithWidths(Config):
    """Qwen2-VL's vision part, in which ``embed_dim`` is the encoder's width and ``hidden_size`` the language model's."""

    def __init__(self, vision: Config) -> None:
        keys = {key: value for key, value in vision._keys.items() if key != "hidden_size"}
        super().__init__(keys, vision._where)
        self._read = vision._read


def llava(config: Config) -> Fields:
    """LLaVA 1.5, NeXT, OneVision and models such as Video-LLaVA: an MLP bridge; NeXT and OneVision have a learned line-break embedding."""
    ignored(config)
    biased = config.get("multimodal_projector_bias", True)
    vision, decoder = encoder(config.inside("vision_config")), language(config, config.inside("text_config"))
    lines = decoder["hidden"] if config["model_type"] != "llava" else 0
    config.get("vision_aspect_ratio")
    pooled = {"pool": 2} if config["model_type"] == "llava_onevision" else {}
    return whole(
        {**vision, "pooling": "none"}, {"kind": "mlp", "bias": biased, "extra_weights": lines, **pooled}, decoder
    )


def mistral3(config: Config) -> Fields:
    """Mistral Small 3.1: RMSNorm, a linear layer that merges four patches, an MLP without biases."""
    ignored(config)
    biased = config.get("multimodal_projector_bias", False)
    merge = config.number("spatial_merge_size", default=2)
    bridge = {
        "kind": "mlp", "downsample": merge, "norm": True, "norm_before_merging": True, "norm_kind": "rms",
        "merge_linear": True, "bias": biased,
    }  # fmt: skip
    return whole(encoder(config.inside("vision_config")), bridge, language(config, config.inside("text_config")))


def internvl(config: Config) -> Fields:
    """InternVL: four patches are concatenated to one token, a norm, an MLP."""
    ignored(config)
    ratio = config.get("downsample_ratio", 0.5)
    bridge = {"kind": "mlp", "downsample": round(1 / ratio), "norm": True}
    return whole(encoder(config.inside("vision_config")), bridge, language(config, config.inside("text_config")))


def paligemma(config: Config) -> Fields:
    """PaliGemma: SigLIP without its pooling head, and one linear layer."""
    ignored(config)
    vision = encoder(config.inside("vision_config"))
    text = config.inside("text_config")
    text.get("num_image_tokens"), text.get("use_bidirectional_attention")
    return whole(
        {**vision, "pooling": "none"},
        {"kind": "linear", "out": config.optional("projection_dim")},
        language(config, text),
    )


def qwen_vl(config: Config) -> Fields:
    """Qwen2-VL to Qwen3-VL: a norm, patches merged two by two, an MLP of the merged width; Qwen3 also projects intermediate layers."""
    part = config.inside("vision_config")
    text = config.inside("text_config") if "text_config" in config else Plain(config)
    vision = without_kind(QWEN[str(config["model_type"])](part))
    merge = part.number("spatial_merge_size", default=2)
    out = part.optional("out_hidden_size")
    if config["model_type"] == "qwen2_vl":
        out = part.optional("hidden_size")
    deeper = len(part.listed("deepstack_visual_indexes"))
    decoder = TEXTS[str(config["model_type"])](text)
    tied = ties(config, text, bool(text.get("tie_word_embeddings", False)))
    bridge = {
        "kind": "mlp", "downsample": merge, "norm": True, "norm_before_merging": True, "norm_kind": vision.get("norm", "layer"),
        "middle": merge**2 * vision["hidden"], "out": out, "levels": 1 + deeper,
    }  # fmt: skip
    return whole(vision, bridge, {**decoder, "tied": bool(tied)})


class Plain(Config):
    """The language model's keys in an older file format that has them at the top level, next to the vision part."""

    def __init__(self, config: Config) -> None:
        super().__init__({key: value for key, value in config._keys.items() if key != "vision_config"}, config._where)
        self._read = config._read


def idefics3(config: Config) -> Fields:
    """Idefics 3 and SmolVLM: one linear layer maps a square of patches to one token."""
    ignored(config, "pixel_shuffle_factor")
    factor = config.number("scale_factor", default=2)
    bridge = {"kind": "linear", "downsample": factor, "bias": False}
    vision, decoder = encoder(config.inside("vision_config")), language(config, config.inside("text_config"))
    return whole({**vision, "pooling": "none"}, bridge, decoder)


def vipllava(config: Config) -> Fields:
    """ViP-LLaVA: concatenated features of several layers, a norm, an MLP."""
    config.without_effect("projector_layernorm_eps")
    levels = config.get("vision_feature_layer", 1)
    ignored(config, "vision_feature_layers")
    vision, decoder = encoder(config.inside("vision_config")), language(config, config.inside("text_config"))
    wide = (len(levels) if isinstance(levels, list) else 1) * vision["hidden"]
    bridge = {"kind": "mlp", "inputs": wide, "extra_weights": 2 * wide}
    return whole({**vision, "pooling": "none"}, bridge, decoder)


def cohere_vision(config: Config) -> Fields:
    """Command A Vision and Aya Vision: four patches concatenated to one token, a gated MLP of ``alignment_intermediate_size``;
    SigLIP's pooling head is stored but unused. Aya has a norm on the merged patches."""
    normed = config["model_type"] == "aya_vision"
    config.without_effect("adapter_layer_norm_eps", "vision_feature_select_strategy")
    ignored(config)
    part = config.inside("vision_config")
    vision, decoder = encoder(part), language(config, config.inside("text_config"))
    merge, middle = (
        config.number("downsample_factor", default=2),
        config.optional("alignment_intermediate_size") or decoder["hidden"],
    )
    unused = pooling_weights(vision) if vision.get("pooling") == "attention" else 0
    bridge = {"kind": "mlp", "downsample": merge, "norm": normed, "middle": middle, "gated": True}
    return whole({**vision, "pooling": "none", "extra_weights": unused}, bridge, decoder)


def lfm2_vl(config: Config) -> Fields:
    """LFM2-VL: SigLIP 2, four patches concatenated to one token, a norm, an MLP."""
    ignored(config, "encoder_patch_size", "max_image_tokens", "min_image_tokens", "do_image_splitting")
    part = config.inside("vision_config")
    vision, decoder = without_kind(siglip2_vision(part)), language(config, config.inside("text_config"))
    ignored(part)
    unused = pooling_weights(vision) if vision.get("pooling") == "attention" else 0
    normed, biased = config.get("projector_use_layernorm", True), config.get("projector_bias", True)
    bridge = {
        "kind": "mlp", "downsample": config.number("downsample_factor", default=2), "norm": bool(normed),
        "middle": config.number("projector_hidden_size"), "bias": bool(biased),
    }  # fmt: skip
    return whole({**vision, "pooling": "none", "extra_weights": unused}, bridge, decoder)


def glm_vl(config: Config) -> Fields:
    """GLM-4.1V, 4.5V and 4.6V: gated vision layers whose feed-forward width is the language model's width, a linear layer that merges four
    patches, then a linear layer with a norm, and a gated MLP."""
    part, text = config.inside("vision_config"), config.inside("text_config")
    shape, out = tower(part), part.number("out_hidden_size")
    vision = {
        **shape, "tubelet": part.number("temporal_patch_size", default=2), "class_token": False, "gated": True, "norm": "rms",
        "attention_bias": "qkv" if part.get("attention_bias") else "none", "mlp_bias": False, "pre_norm": True, "ffn_hidden": out,
    }  # fmt: skip
    bridge = {
        "kind": "mlp", "downsample": part.number("spatial_merge_size", default=2), "merge_linear": True, "inputs": out,
        "middle": 2 * part.number("intermediate_size"), "gated": True, "out": out, "then": out, "bias": False, "extra_weights": 3 * out,
    }  # fmt: skip
    config.without_effect("image_start_token_id", "image_end_token_id", "video_start_token_id", "video_end_token_id")
    kind = str(text.get("model_type", "glm4v_text"))
    reader = {"glm4v_text": glm4, "glm4v_moe_text": glm4_moe}.get(kind)
    if reader is None:
        raise EstimateError(f"A language model of type {kind!r} is not supported.")
    tied = ties(config, text, bool(text.get("tie_word_embeddings", False)))
    return whole(without_kind(vision), bridge, {**reader(text), "tied": bool(tied)})


def kimi(config: Config) -> Fields:
    """Kimi K2.5: MoonViT (keys that start with ``vt_``), a norm, four patches merged, an MLP of the merged width, and DeepSeek's language
    model. Attention within clips of four frames, and pooling such a clip to one image, are not modelled: both keys are reported."""
    config.without_effect("media_placeholder_token_id", "use_unified_vision_chunk", "video_placeholder")
    part, text = config.inside("vision_config"), config.inside("text_config")
    ignored(part, "init_pos_emb_time", "projector_ln_eps", "text_hidden_size", "mm_hidden_size")
    part.only(
        video_attn_type="spatial", merge_type="sd2", mm_projector_type="patchmerger", pos_emb_type="divided_fixed"
    )
    side, merge = part.number("init_pos_emb_height", default=64), part.get("merge_kernel_size", [2, 2])
    part.only(init_pos_emb_width=side, merge_kernel_size=[merge[0], merge[0]])
    patch, hidden = part.number("patch_size", default=14), part.number("vt_hidden_size")
    vision = {
        "layers": part.number("vt_num_hidden_layers"), "hidden": hidden, "heads": part.number("vt_num_attention_heads"), "patch": patch,
        "ffn_hidden": part.number("vt_intermediate_size"), "image_size": side * patch, "class_token": False,
        "patch_bias": True, "pre_norm": False,
    }  # fmt: skip
    bridge = {"kind": "mlp", "downsample": merge[0], "norm": True, "norm_before_merging": True}
    bridge["middle"] = merge[0] ** 2 * hidden
    return whole(vision, bridge, language(config, text))


def mllama(config: Config) -> Fields:
    """Llama 3.2 Vision: a gated cross-attention layer after every few layers of Llama's, over patches of tiles with features of several
    encoder layers concatenated."""
    part, text = config.inside("vision_config"), config.inside("text_config")
    ignored(config)
    total, own = text.number("num_hidden_layers"), len(text.listed("cross_attention_layers"))
    decoder = {**llama(text), "layers": total - own, "tied": False}
    tiles, levels = len(part.listed("supported_aspect_ratios")) + 1, part.number("vision_output_dim")
    part.get("intermediate_layers_indices")
    hidden, most = part.number("hidden_size"), part.number("max_num_tiles", default=4)
    side = part.number("image_size") // part.number("patch_size")
    layers, deep = part.number("num_hidden_layers"), part.number("num_global_layers")
    tables = tiles * most * (side**2 + 1) * hidden + 2 * tiles * most * hidden + 3 + 2 * deep
    vision = {
        "layers": layers + deep, "hidden": hidden, "heads": part.number("attention_heads", "num_attention_heads"),
        "ffn_hidden": part.number("intermediate_size"), "patch": part.number("patch_size"),
        "image_size": part.number("image_size"),
        "attention_bias": "none", "mask_given": True, "extra_weights": tables,
    }  # fmt: skip
    part.get("num_channels")
    spare = 8 * decoder["hidden"]
    projector = {"kind": "linear", "inputs": levels, "extra_weights": spare}
    bridge = {"kind": "cross-attention", "every": (total - own) // own, "qk_norm": True, "projector": projector}
    return whole(vision, bridge, decoder)


def llama4(config: Config) -> Fields:
    """Llama 4: four patches concatenated to one token, an MLP without biases, a linear layer to the language model's width."""
    ignored(config)
    part, text = config.inside("vision_config"), config.inside("text_config")
    ignored(part, "vision_output_dim", "multi_modal_projector_bias", "projector_dropout")
    vision = {**tower(part), "patch_bias": False, "pre_norm": True}
    bridge = {
        "kind": "mlp", "downsample": round(1 / part.get("pixel_shuffle_ratio", 0.5)), "bias": False,
        "inputs": part.number("intermediate_size"),
        "middle": part.number("projector_input_dim"), "out": part.number("projector_output_dim"),
        "then": part.number("vision_output_dim"),
    }  # fmt: skip
    return whole(without_kind(vision), bridge, language(config, text))


TOWERS: Mapping[str, Callable[[Config], Fields]] = MappingProxyType({
    "clip_vision_model": clip_vision, "siglip_vision_model": siglip_vision, "dinov2": dinov2, "pixtral": pixtral,
    "internvl_vision": internvit,
    **dict.fromkeys(("idefics2_vision", "idefics3_vision", "idefics3", "smolvlm_vision"), idefics_vision),
})  # fmt: skip
QWEN: Mapping[str, Callable[[Config], Fields]] = MappingProxyType({
    "qwen2_vl": qwen2_vision, "qwen2_5_vl": qwen25_vision, "qwen3_vl": qwen3_vision, "qwen3_vl_moe": qwen3_vision,
    "qwen3_5": qwen3_vision, "qwen3_5_moe": qwen3_vision,
})  # fmt: skip
TEXTS: Mapping[str, Reader] = MappingProxyType({
    "qwen2_vl": qwen2, "qwen2_5_vl": qwen2, "qwen3_vl": qwen3, "qwen3_vl_moe": qwen3_moe,
    "qwen3_5": qwen3_5, "qwen3_5_moe": qwen3_5_moe,
})  # fmt: skip

READERS: Mapping[str, Reader] = MappingProxyType({
    **dict.fromkeys(("llava", "llava_next", "llava_next_video", "llava_onevision"), llava),
    "vipllava": vipllava, **dict.fromkeys(("cohere2_vision", "aya_vision"), cohere_vision), "lfm2_vl": lfm2_vl,
    **dict.fromkeys(("glm4v", "glm46v", "glm4v_moe"), glm_vl),
    **dict.fromkeys(("mistral3", "lighton_ocr"), mistral3), "internvl": internvl, "paligemma": paligemma,
    **dict.fromkeys(QWEN, qwen_vl), **dict.fromkeys(("idefics3", "smolvlm"), idefics3), "pixtral": pixtral, "mllama": mllama,
    "llama4": llama4, "kimi_k25": kimi,
})  # fmt: skip
