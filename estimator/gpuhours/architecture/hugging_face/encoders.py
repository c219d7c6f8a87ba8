"""Readers for encoders: BERT and its relatives, vision transformers, contrastive towers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gpuhours.architecture.hugging_face.config import Config, Fields, Reader
from gpuhours.architecture.hugging_face.text import BIASED, activation, llama
from gpuhours.inputs.errors import EstimateError


def bert(config: Config) -> Fields:
    """BERT: learned positions, token types, a norm on the embeddings, biases everywhere; a pooler, or the masked-language-model head if the
    file names that class."""
    masked = any("MaskedLM" in str(name) or "PreTraining" in str(name) for name in config.listed("architectures"))
    config.get("position_embedding_type")
    return {
        "layers": config.number("num_hidden_layers"), "hidden": config.number("hidden_size"),
        "heads": config.number("num_attention_heads"),
        "ffn_hidden": config.number("intermediate_size"), "vocab": config.number("vocab_size"), **BIASED, "gated": False,
        "causal": False,
        "positions": "learned", "max_positions": config.number("max_position_embeddings"),
        "segments": config.number("type_vocab_size", default=2),
        "embedding_norm": True, "final_norm": False, "tied": config.get("tie_word_embeddings", True),
        "dropout": bool(config.get("hidden_dropout_prob", 0.1)),
        **({"head": "masked", "head_bias": True} if masked else {"head": "none", "pooler": True}),
    }  # fmt: skip


def masked_head(config: Config) -> Fields:
    """Fields of BERT's masked-language-model head if the file names that class; otherwise of no head."""
    masked = any("MaskedLM" in str(name) for name in config.listed("architectures"))
    return {"head": "masked", "head_bias": True} if masked else {"head": "none"}


def distilbert(config: Config) -> Fields:
    """DistilBERT: half as many layers as BERT, no token types, no pooler."""
    masked = any("MaskedLM" in str(name) for name in config.listed("architectures"))
    config.without_effect("sinusoidal_pos_embds", "qa_dropout", "seq_classif_dropout")
    return {
        "layers": config.number("n_layers"), "hidden": config.number("dim"), "heads": config.number("n_heads"),
        "ffn_hidden": config.number("hidden_dim"), "vocab": config.number("vocab_size"), **BIASED, "gated": False,
        "causal": False,
        "positions": "learned", "max_positions": config.number("max_position_embeddings"), "embedding_norm": True,
        "final_norm": False,
        "tied": config.get("tie_word_embeddings", True), "dropout": True,
        **({"head": "masked", "head_bias": True} if masked else {"head": "none"}),
    }  # fmt: skip


def modernbert(config: Config) -> Fields:
    """ModernBERT: gated, rotary, two windowed layers for each full-attention layer; the first layer uses the embedding's norm."""
    kinds, every = config.listed("layer_types"), config.number("global_attn_every_n_layers", default=3)
    layers = config.number("num_hidden_layers")
    full = sum("full" in str(kind) for kind in kinds) if kinds else -(-layers // every)
    window = config.number("local_attention", "sliding_window", default=128)
    masked = any("MaskedLM" in str(name) for name in config.listed("architectures"))
    bias = config.get("norm_bias", False)
    for key in (
        "classifier_pooling",
        "classifier_bias",
        "decoder_bias",
        "deterministic_flash_attn",
        "embedding_dropout",
        "mlp_dropout",
        "sparse_prediction",
        "sparse_pred_ignore_index",
        "reference_compile",
        "repad_logits_with_grad",
        "global_rope_theta",
        "local_rope_theta",
        "initializer_cutoff_factor",
        "classifier_activation",
        "classifier_dropout",
        "local_attention",
    ):
        config.get(key)  # fmt: skip
    groups: list[Fields] = [{"layers": full}, {"layers": layers - full, "mixer": "window"}]
    hidden = config.number("hidden_size")
    return {
        "layers": layers, "hidden": hidden, "heads": config.number("num_attention_heads"),
        "ffn_hidden": config.number("intermediate_size"), "vocab": config.number("vocab_size"), "causal": False,
        "tied": config.get("tie_word_embeddings", True), "norm": "layer" if bias else "layer-no-bias", "window": window,
        "layer_groups": [group for group in groups if group["layers"]],
        "code_steps": ["wide-rotary", "split-gate", "sliced-heads", "wide-loss"],
        "mlp_bias": bool(config.get("mlp_bias", False)), "attention_bias": "all" if config.get("attention_bias") else "none",
        **({"head": "masked", **modern_head(config)} if masked else {"head": "none"}),
    }  # fmt: skip


def modern_head(config: Config) -> Fields:
    """Fields for the biases of the two linear layers in ModernBERT's masked-language-model head."""
    return {"head_bias": config.get("decoder_bias", True), "transform_bias": config.get("classifier_bias", False)}


def modernbert_decoder(config: Config) -> Fields:
    """ModernBERT's layers with a causal mask, and its head."""
    shape = modernbert(config)
    config.without_effect("sliding_window")
    return {**shape, "causal": True, "head": "masked", "window": shape["window"] // 2, **modern_head(config)}


def tower(config: Config) -> Fields:
    """Fields from the keys that vision transformers have in common."""
    hidden = config.number("hidden_size", "embed_dim")
    sized = next((name for name in ("image_size", "crop_size") if name in config), "image_size")
    size = config.get(sized, 224)
    patch = config.get("patch_size", 16)
    return {
        "kind": "vision", "layers": config.number("num_hidden_layers", "depth"), "hidden": hidden,
        "heads": config.number("num_attention_heads", "num_heads"),
        "image_size": size[0] if isinstance(size, list) else config.number(sized, default=224),
        "patch": patch[0] if isinstance(patch, list) else config.number("patch_size", default=16),
        "channels": config.number("num_channels", "in_channels", "in_chans", default=3),
        "ffn_hidden": config.optional("intermediate_size") or int(config.get("mlp_ratio", 4) * hidden), "pre_norm": False,
        "patch_bias": True, "activation": activation(config, "hidden_act", "gelu"),
    }  # fmt: skip


def biases(config: Config) -> str:
    """``attention_bias``: the output projection always has a bias; queries, keys and values do if ``qkv_bias`` is set."""
    return "all" if config.get("qkv_bias", True) else "output"


def vit(config: Config) -> Fields:
    """ViT with its pooler, or with a classifier instead if the file names that class."""
    config.without_effect("encoder_stride", "pooler_act", "pooler_output_size")
    top = (
        {"classes": labels(config)}
        if classifies(config)
        else {"pooling": "dense", "pooler_width": config.optional("pooler_output_size")}
    )
    return {**tower(config), **top, "attention_bias": biases(config)}


def classifies(config: Config) -> bool:
    """Whether the file names a class with a classifier on top."""
    return any("ForImageClassification" in str(name) for name in config.listed("architectures"))


def labels(config: Config) -> int:
    """Number of classes: that of the names in the file, otherwise the stated number, otherwise the library's default of two."""
    return len(config.get("id2label") or ()) or config.number("num_labels", default=2)


def vit_msn(config: Config) -> Fields:
    """MSN's ViT: a mask token, no pooler."""
    return {**tower(config), "attention_bias": biases(config)}


def ijepa(config: Config) -> Fields:
    """I-JEPA's encoder: no class token, no pooler unless configured."""
    config.without_effect("pooler_output_size", "pooler_act")
    return {**tower(config), "class_token": False, "attention_bias": biases(config)}


def deit(config: Config) -> Fields:
    """DeiT: an additional distillation token with a position."""
    shape = vit(config)
    return {**shape, "registers": 1, "extra_weights": shape["hidden"]}


def vit_mae(config: Config) -> Fields:
    """MAE's encoder; with its decoder if the file names the pre-training class. Its fixed positions are stored with the weights."""
    keys = (
        "decoder_num_attention_heads",
        "decoder_hidden_size",
        "decoder_num_hidden_layers",
        "decoder_intermediate_size",
    )
    heads, width, layers, _ = (config.number(key) for key in keys)
    config.get("norm_pix_loss")
    ratio, encoder = config.get("mask_ratio", 0.75), {**tower(config), "attention_bias": biases(config)}
    if not _pretrains(config):
        return encoder
    return {
        "kind": "masked-autoencoder", "encoder": without_kind(encoder), "mask_ratio": ratio, "decoder_layers": layers,
        "decoder_hidden": width, "decoder_heads": heads,
    }  # fmt: skip


def beit(config: Config) -> Fields:
    """BEiT: no bias on keys, LayerScale, position table only if enabled in the file."""
    absolute = config.get("use_absolute_position_embeddings", False)
    own, shared = (
        config.get(key, False) for key in ("use_relative_position_bias", "use_shared_relative_position_bias")
    )
    config.without_effect(*BEIT_ENDS)
    return {
        **tower(config), "attention_bias": "no-key", "layer_scale": float(config.get("layer_scale_init_value", 0.1)) > 0,
        "positions": "learned" if absolute else "fixed", "place_bias": "layer" if own else "shared" if shared else "none",
        "extra_weights": tower(config)["hidden"] if config.get("use_mask_token") else 0,
        "drop_path": float(config.get("drop_path_rate", 0.1)) > 0, **({"classes": labels(config)} if classifies(config) else {}),
    }  # fmt: skip


BEIT_ENDS = (
    "use_mean_pooling", "out_features", "out_indices", "stage_names", "add_fpn", "reshape_hidden_states",
    "pool_scales", "use_auxiliary_head", "auxiliary_loss_weight", "auxiliary_channels", "auxiliary_num_convs",
    "auxiliary_concat_input", "semantic_loss_ignore_index", "vocab_size",
)  # fmt: skip
"""Keys of the heads after BEiT's layers, and of its dropout."""


def dinov2(config: Config) -> Fields:
    """DINOv2: LayerScale, a mask token; the giant model is gated."""
    config.only(use_mask_token=True)
    shape = tower(config)
    width, gated = shape["ffn_hidden"], bool(config.get("use_swiglu_ffn", False))
    registers = config.number("num_register_tokens", default=0)
    for key in (
        "layerscale_value",
        "drop_path_rate",
        "out_features",
        "out_indices",
        "stage_names",
        "apply_layernorm",
        "reshape_hidden_states",
        "use_mask_token",
    ):
        config.get(key)  # fmt: skip
    if gated:
        width = (int(width * 2 / 3) + 7) // 8 * 8
    return {
        **shape, "layer_scale": True, "gated": gated, "ffn_hidden": width, "registers": registers, "mask_made": False,
        "extra_weights": shape["hidden"],
        "attention_bias": biases(config),
    }  # fmt: skip


def dinov3(config: Config) -> Fields:
    """DINOv3: rotary positions, registers, LayerScale, no bias on keys."""
    config.only(query_bias=True, value_bias=True, proj_bias=True, mlp_bias=True, key_bias=False)
    shape = tower(config)
    gated = bool(config.get("use_gated_mlp", False))
    for key in (
        "layerscale_value",
        "drop_path_rate",
        "pos_embed_shift",
        "pos_embed_jitter",
        "pos_embed_rescale",
        "query_bias",
        "value_bias",
        "proj_bias",
        "key_bias",
        "mlp_bias",
        "out_features",
        "out_indices",
        "stage_names",
        "apply_layernorm",
        "reshape_hidden_states",
    ):
        config.get(key)  # fmt: skip
    return {
        **shape, "layer_scale": True, "gated": gated, "positions": "rotary", "extra_weights": shape["hidden"], "mask_made": False,
        "registers": config.number("num_register_tokens", default=0),
        "attention_bias": "all" if config.get("key_bias") else "no-key",
    }  # fmt: skip


def clip_vision(config: Config) -> Fields:
    """CLIP's vision tower: a norm before the layers, no bias in the patch embedding."""
    config.get("projection_dim")
    return {**tower(config), "pre_norm": True, "patch_bias": False, "mask_made": False}


def siglip_vision(config: Config) -> Fields:
    """SigLIP's vision tower: no class token, attention pooling with a learned query."""
    pooled = config.get("vision_use_head", True)
    return {**tower(config), "class_token": False, "pooling": "attention" if pooled else "none"}


def pooling_weights(vision: Fields) -> int:
    """Parameters of SigLIP's pooling head: query, attention, norm, MLP."""
    h, w = int(vision["hidden"]), int(vision["ffn_hidden"])
    return h + 4 * (h * h + h) + 2 * h + (h * w + w) + (w * h + h)


def siglip2_vision(config: Config) -> Fields:
    """SigLIP 2's vision tower for any aspect ratio: ``num_patches`` positions."""
    places = config.number("num_patches", default=256)
    side = round(places**0.5)
    shape = siglip_vision(config)
    return {**shape, "image_size": side * shape["patch"]}


def videomae(config: Config) -> Fields:
    """VideoMAE's encoder: full attention over the tubelets of a clip, fixed positions; with its decoder if the file names the
    pre-training class, whose mask ratio it does not state (0.9, arXiv:2203.12602)."""
    config.without_effect("decoder_intermediate_size", "use_mean_pooling", "norm_pix_loss", "num_frames")
    decoder = [config.optional(f"decoder_{key}") for key in ("num_hidden_layers", "hidden_size", "num_attention_heads")]
    mean, pretrained = config.get("use_mean_pooling", True), _pretrains(config)
    encoder = {
        **tower(config), "class_token": False, "positions": "fixed", "tubelet": config.number("tubelet_size", default=2),
        "attends": "clip", "mask_made": False,
        "final_norm": not mean, "attention_bias": biases(config),
    }  # fmt: skip
    if not pretrained:
        return encoder
    layers, width, heads = decoder
    return {
        "kind": "masked-autoencoder", "encoder": without_kind(encoder), "mask_ratio": 0.9, "decoder_layers": layers,
        "decoder_hidden": width, "decoder_heads": heads, "decoder_bias": False,
    }  # fmt: skip


def _pretrains(config: Config) -> bool:
    """Whether the file names the class that is pre-trained with a decoder."""
    return any("PreTraining" in str(name) for name in config.listed("architectures"))


def vjepa2(config: Config) -> Fields:
    """V-JEPA 2's encoder: rotary positions, full attention over the tubelets of a clip. Its predictor is counted, not timed."""
    shape = tower(config)
    config.only(qkv_bias=True)
    h, p, layers = shape["hidden"], config.number("pred_hidden_size"), config.number("pred_num_hidden_layers")
    wide = int(config.get("pred_mlp_ratio", 4) * p)
    layer = 4 * (p * p + p) + (p * wide + wide) + (wide * p + p) + 4 * p
    predictor = (h * p + p) + config.number("pred_num_mask_tokens") * p + layers * layer + 2 * p + (p * h + h)
    config.get("pred_num_attention_heads"), config.get("pred_zero_init_mask_tokens")
    config.without_effect(
        "frames_per_clip", "drop_path_rate", "attention_dropout", "num_pooler_layers", "use_SiLU", "wide_SiLU"
    )
    return {
        **shape, "class_token": False, "positions": "axis-rotary", "tubelet": config.number("tubelet_size", default=2),
        "attends": "clip",
        "extra_weights": predictor, "attention_bias": biases(config),
    }  # fmt: skip


def timesformer(config: Config) -> Fields:
    """TimeSformer: each layer attends over time, followed by a linear layer, and then within a frame."""
    if config.get("attention_type", "divided_space_time") != "divided_space_time":
        raise EstimateError("Only divided attention (attention_type: divided_space_time) is read.")
    config.get("drop_path_rate")
    return {
        **tower(config),
        "attention_bias": biases(config),
        "attends": "divided",
        "time_linear": True,
        "time_places": config.number("num_frames", default=8),
    }


def clip_text(config: Config) -> Fields:
    """CLIP's text tower."""
    config.get("projection_dim"), config.get("projection_size")
    return {
        "layers": config.number("num_hidden_layers"), "hidden": config.number("hidden_size"),
        "heads": config.number("num_attention_heads"),
        "ffn_hidden": config.number("intermediate_size"), "vocab": config.number("vocab_size"), **BIASED, "gated": False,
        "positions": "learned", "max_positions": config.number("max_position_embeddings"), "head": "none",
    }  # fmt: skip


def without_kind(fields: Fields) -> Fields:
    """The fields without ``kind``, for a part of a larger model."""
    return {key: value for key, value in fields.items() if key != "kind"}


def clip(config: Config) -> Fields:
    """CLIP: two towers and a learned temperature."""
    width = config.number("projection_dim", default=512)
    config.get("logit_scale_init_value")
    vision, text = config.inside("vision_config"), config.inside("text_config")
    context = text.number("max_position_embeddings")
    return {
        "kind": "contrastive", "vision": {**without_kind(clip_vision(vision)), "projection": width}, "text": clip_text(text),
        "embedding": width, "context": context, "scales": 1,
    }  # fmt: skip


def siglip(config: Config) -> Fields:
    """SigLIP: two towers, a learned temperature and a learned bias."""
    vision, text = config.inside("vision_config"), config.inside("text_config")
    named = siglip2_vision if "num_patches" in vision else siglip_vision
    seen, read = named(vision), clip_text(text)
    return {
        "kind": "contrastive", "vision": without_kind(seen), "text": {**read, "causal": False}, "embedding": seen["hidden"],
        "context": text.number("max_position_embeddings"), "text_projection_bias": True, "scales": 2,
    }  # fmt: skip


def eurobert(config: Config) -> Fields:
    """EuroBERT: Llama's layers without a causal mask."""
    config.without_effect("classifier_pooling", "mask_token_id")
    return {**llama(config), "causal": False, "head_bias": bool(config.get("mlp_bias", False))}


READERS: Mapping[str, Reader] = MappingProxyType({
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "camembert", "electra-base", "data2vec-text"), bert),
    "distilbert": distilbert, "modernbert": modernbert, "modernbert-decoder": modernbert_decoder, "eurobert": eurobert,
    "vit_msn": vit_msn, "ijepa": ijepa,
    "vit": vit, "deit": deit, "vit_mae": vit_mae, "beit": beit, "dinov3_vit": dinov3,
    **dict.fromkeys(("dinov2", "dinov2_with_registers"), dinov2), "clip_vision_model": clip_vision,
    "siglip_vision_model": siglip_vision,
    "siglip2_vision_model": siglip2_vision, "videomae": videomae, "timesformer": timesformer, "vjepa2": vjepa2,
    "clip_text_model": clip_text, **dict.fromkeys(("clip",), clip), **dict.fromkeys(("siglip", "siglip2"), siglip),
})  # fmt: skip
