"""Readers for encoder-decoders: T5 and its relatives, BART, Whisper."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gpuhours.architecture.hugging_face.config import Config, Fields, Reader
from gpuhours.architecture.hugging_face.text import gemma2
from gpuhours.inputs.errors import EstimateError


def t5(config: Config) -> Fields:
    """T5, mT5, UMT5, Flan-T5."""
    act = str(config.get("feed_forward_proj", "relu"))
    config.without_effect(
        "dense_act_fn",
        "is_gated_act",
        "dropout_rate",
        "relative_attention_max_distance",
        "classifier_dropout",
    )
    return {
        "kind": "encoder-decoder", "encoder_layers": config.number("num_layers"),
        "decoder_layers": config.number("num_decoder_layers", default=config.number("num_layers")),
        "hidden": config.number("d_model"), "heads": config.number("num_heads"), "head_dim": config.number("d_kv"),
        "ffn_hidden": config.number("d_ff"), "gated": act.startswith("gated"),
        **({"activation": "written-gelu"} if act == "gated-gelu" else {}), "vocab": config.number("vocab_size"),
        "tied": bool(config.get("tie_word_embeddings", True)),
        "position_buckets": config.number("relative_attention_num_buckets", default=32),
        "dropout": bool(config.get("dropout_rate", 0.1)),
    }  # fmt: skip


def umt5(config: Config) -> Fields:
    """UMT5: every layer has its own relative-position table."""
    shape = t5(config)
    if shape["encoder_layers"] != shape["decoder_layers"]:
        raise EstimateError("A UMT5 with another depth on either side is not supported.", "No published one has.")
    return {**shape, "position_buckets": shape["encoder_layers"] * shape["position_buckets"]}


def common_fields(config: Config) -> Fields:
    """Fields common to BART, Whisper and similar models: LayerNorm, biases, learned positions in encoder and decoder."""
    config.without_effect(
        "encoder_layerdrop",
        "decoder_layerdrop",
        "scale_embedding",
        "activation_dropout",
        "num_hidden_layers",
        "classifier_dropout",
    )
    heads, hidden = config.number("encoder_attention_heads"), config.number("d_model")
    if config.number("decoder_attention_heads") != heads:
        raise EstimateError(
            f"{heads} encoder_attention_heads and {config['decoder_attention_heads']} decoder_attention_heads are not supported.",
            "No published one differs.",
        )
    return {
        "kind": "encoder-decoder", "encoder_layers": config.number("encoder_layers"),
        "decoder_layers": config.number("decoder_layers"),
        "hidden": hidden, "heads": heads, "head_dim": hidden // heads, "ffn_hidden": config.number("encoder_ffn_dim"),
        "decoder_heads": config.number("decoder_attention_heads"), "decoder_ffn_hidden": config.number("decoder_ffn_dim"),
        "vocab": config.number("vocab_size"), "tied": config.get("tie_word_embeddings", True), "norm": "layer", "biases": True,
        "position_buckets": 0,
        "dropout": bool(config.get("dropout", 0.1)),
    }  # fmt: skip


def whisper(config: Config) -> Fields:
    """Whisper: audio input, sinusoidal encoder positions stored with the weights, no bias on keys."""
    for key in (
        "apply_spec_augment",
        "mask_time_prob",
        "mask_time_length",
        "mask_time_min_masks",
        "mask_feature_prob",
        "mask_feature_length",
        "mask_feature_min_masks",
        "median_filter_width",
        "use_weighted_layer_sum",
        "classifier_proj_size",
    ):
        config.get(key)  # fmt: skip
    return {
        **common_fields(config), "key_bias": False, "sound_channels": config.number("num_mel_bins"),
        "encoder_positions": config.number("max_source_positions"), "decoder_positions": config.number("max_target_positions"),
        "target_tokens": config.number("max_target_positions"),
    }  # fmt: skip


def bart(config: Config) -> Fields:
    """BART and mBART: two unused position rows, a norm on the embeddings; mBART also has final norms."""
    places = config.number("max_position_embeddings") + 2
    if not config.get("use_prompt", False):
        config.without_effect("prompt_length", "prompt_mid_dim")
    ends = config["model_type"] == "mbart"
    return {
        **common_fields(config),
        "encoder_positions": places,
        "decoder_positions": places,
        "embedding_norm": True,
        "final_norm": ends,
    }


def m2m(config: Config) -> Fields:
    """M2M-100 and NLLB: norms as in mBART, sinusoidal positions."""
    config.without_effect("activation_dropout")
    return {**common_fields(config), "final_norm": True}


def pegasus(config: Config) -> Fields:
    """Pegasus, Blenderbot and Marian: like mBART without a norm on the embeddings; the positions of Pegasus and Marian are sinusoids,
    which the library stores with the weights."""
    places, fixed = config.number("max_position_embeddings"), config["model_type"] == "marian"
    config.without_effect(
        "extra_pos_embeddings", "encoder_no_repeat_ngram_size", "share_encoder_decoder_embeddings", "decoder_vocab_size"
    )
    if config.get("share_encoder_decoder_embeddings", True) is False:
        raise EstimateError("A Marian with a table of tokens for each side is not supported.", "Most share it.")
    return {**common_fields(config), "encoder_positions": places, "decoder_positions": places, "final_norm": not fixed}


def t5gemma(config: Config) -> Fields:
    """T5Gemma: Gemma 2's layers in encoder and decoder, each with a token embedding."""
    encoder, decoder = config.inside("encoder"), config.inside("decoder")
    one, other = gemma2(encoder), gemma2(decoder)
    config.without_effect("dropout_rate", "classifier_dropout_rate", "vocab_size")
    for part in (encoder, decoder):
        part.without_effect("sliding_window", "layer_types", "cross_attention_hidden_size", "tie_word_embeddings")
    if differing := [key for key in ("hidden", "heads", "kv_heads", "head_dim") if one[key] != other[key]]:
        raise EstimateError(
            f"A T5Gemma whose sides differ in {', '.join(differing)} is not supported.", "Its balanced sizes are."
        )
    return {
        "kind": "encoder-decoder", "encoder_layers": one["layers"], "decoder_layers": other["layers"], "hidden": one["hidden"],
        "heads": one["heads"], "kv_heads": one["kv_heads"], "head_dim": one["head_dim"], "ffn_hidden": one["ffn_hidden"],
        "decoder_ffn_hidden": other["ffn_hidden"], "gated": True, "vocab": one["vocab"], "token_tables": 2, "norms_per_half": 2,
        "tied": config.get("tie_word_embeddings", True), "position_buckets": 0, "wide_loss": True,
    }  # fmt: skip


READERS: Mapping[str, Reader] = MappingProxyType({
    **dict.fromkeys(("t5", "mt5"), t5), "umt5": umt5, "m2m_100": m2m, "whisper": whisper, "t5gemma": t5gemma,
    **dict.fromkeys(("bart", "mbart", "plbart", "mvp"), bart), **dict.fromkeys(("pegasus", "marian", "blenderbot"), pegasus),
})  # fmt: skip
