"""Readers for encoders that shorten their input on the way: Swin's stages, the convolutions of wav2vec 2.0 and HuBERT."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gpuhours.architecture.hugging_face.config import Config, Fields, Reader
from gpuhours.architecture.hugging_face.encoders import classifies, labels
from gpuhours.inputs.errors import EstimateError


def swin(config: Config) -> Fields:
    """Swin: with a classifier if the file names that class, otherwise without a head."""
    config.without_effect("encoder_stride", "out_features", "out_indices", "stage_names", "hidden_size", "num_layers")
    config.without_effect("path_norm")
    size, patch = config.get("image_size", 224), config.get("patch_size", 4)
    masked = any("MaskedImageModeling" in str(name) for name in config.listed("architectures"))
    if masked:
        raise EstimateError("Swin's head for masked images is a convolution, which is not modelled.")
    return {
        "kind": "staged-vision", "stage_layers": config.get("depths", [2, 2, 6, 2]),
        "stage_heads": config.get("num_heads", [3, 6, 12, 24]), "width": config.number("embed_dim", default=96),
        "window": config.number("window_size", default=7), "image_size": _one(size), "patch": _one(patch),
        "channels": config.number("num_channels", default=3), "ffn_ratio": float(config.get("mlp_ratio", 4.0)),
        "qkv_bias": config.get("qkv_bias", True), "layer_drop": float(config.get("drop_path_rate", 0.1)),
        "places": config.get("use_absolute_embeddings", False),
        **({"classes": labels(config)} if classifies(config) else {}),
    }  # fmt: skip


def _one(size: Any) -> Any:
    """A side given alone or as two equal ones."""
    return size[0] if isinstance(size, list) else size


def wav2vec2(config: Config) -> Fields:
    """wav2vec 2.0 and HuBERT: with letters if the file names the class with that loss, otherwise without a head."""
    config.without_effect(*NO_COST)
    config.only(add_adapter=False, use_weighted_layer_sum=False, adapter_attn_dim=None, conv_pos_batch_norm=False)
    names = [str(name) for name in config.listed("architectures")]
    if not all(name.endswith(("ForCTC", "Model")) for name in names):
        raise EstimateError(f"{names[0]} is not supported: of these classes only ForCTC and the plain model are.")
    masks = float(config.get("mask_time_prob", 0.05)) > 0 or float(config.get("mask_feature_prob", 0.0)) > 0
    hidden, large = config.number("hidden_size", default=768), config.get("feat_extract_norm", "group") == "layer"
    return {
        "kind": "sound", "layers": config.number("num_hidden_layers", default=12), "hidden": hidden,
        "heads": config.number("num_attention_heads", default=12),
        "ffn_hidden": config.number("intermediate_size", default=3072),
        **{key: config.get(name, usual) for key, (name, usual) in CONVOLUTIONS.items()},
        "convolution_bias": config.get("conv_bias", False), "convolution_norms": "all" if large else "first",
        "projection_norm": config.get("feat_proj_layer_norm", True),
        "position_kernel": config.number("num_conv_pos_embeddings", default=128),
        "position_groups": config.number("num_conv_pos_embedding_groups", default=16),
        "layer_skip": float(config.get("layerdrop", 0.1)), "dropout": bool(config.get("hidden_dropout", 0.1)),
        "extra_weights": hidden if masks else 0,
        **({"classes": config.number("vocab_size", default=32)} if any(name.endswith("ForCTC") for name in names) else {}),
    }  # fmt: skip


CONVOLUTIONS: Mapping[str, tuple[str, list[int]]] = MappingProxyType({
    "channels": ("conv_dim", [512] * 7), "kernels": ("conv_kernel", [10, 3, 3, 3, 3, 2, 2]),
    "strides": ("conv_stride", [5, 2, 2, 2, 2, 2, 2]),
})  # fmt: skip
"""Fields of the convolutions: their key in the file, and the library's default."""

NO_COST = (
    "activation_dropout", "feat_proj_dropout", "feat_quantizer_dropout", "final_dropout", "feat_extract_activation", "feat_extract_dropout",
    "do_stable_layer_norm", "apply_spec_augment", "mask_time_length", "mask_time_min_masks", "mask_feature_length",
    "mask_feature_min_masks", "num_codevectors_per_group", "num_codevector_groups", "contrastive_logits_temperature", "num_negatives",
    "codevector_dim", "proj_codevector_dim", "diversity_loss_weight", "ctc_loss_reduction", "ctc_zero_infinity", "classifier_proj_size",
    "tdnn_dim", "tdnn_kernel", "tdnn_dilation", "xvector_output_dim", "adapter_kernel_size", "adapter_stride", "num_adapter_layers",
    "output_hidden_size", "num_feat_extract_layers", "vocab_size", "gradient_checkpointing", "freeze_feat_extract_train",
    "mask_channel_length", "mask_channel_min_space", "mask_channel_other", "mask_channel_prob", "mask_channel_selection",
    "mask_time_min_space", "mask_time_other", "mask_time_selection", "no_mask_channel_overlap", "no_mask_time_overlap",
    "tokenizer_class",
)  # fmt: skip
"""Keys of other classes, masks and losses."""

READERS: Mapping[str, Reader] = MappingProxyType({"swin": swin, **dict.fromkeys(("wav2vec2", "hubert"), wav2vec2)})
