"""Readers for Gemma 3 with vision, 3n and 4: layers with different widths and sources of keys, and additional inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from gpuhours.architecture.hugging_face.config import Config, Fields, Reader
from gpuhours.architecture.hugging_face.encoders import pooling_weights, tower, without_kind
from gpuhours.architecture.hugging_face.multimodal import encoder, ignored, language, ties, whole
from gpuhours.architecture.hugging_face.text import gemma
from gpuhours.inputs.errors import EstimateError


def gemma3(config: Config) -> Fields:
    """Gemma 3: SigLIP, average pooling to 256 tokens per image, RMSNorm and a linear layer; SigLIP's head is stored but unused."""
    ignored(config, "mm_tokens_per_image")
    part = config.inside("vision_config")
    vision = encoder(part)
    tokens = config.number("mm_tokens_per_image", default=256)
    side = vision["image_size"] // vision["patch"]
    unused = pooling_weights(vision) if vision.get("pooling") == "attention" else 0
    bridge = {
        "kind": "linear",
        "pool": max(1, round(side / tokens**0.5)),
        "bias": False,
        "extra_weights": vision["hidden"],
    }
    decoder = language(config, config.inside("text_config"))
    return whole({**vision, "pooling": "none", "extra_weights": unused}, bridge, decoder)


def kinds(config: Config, every: int) -> list[bool]:
    """For each layer, whether it has a window: from ``layer_types`` if given, otherwise all but one in ``every``."""
    listed = [str(kind) for kind in config.listed("layer_types")]
    layers = config.number("num_hidden_layers")
    if listed and len(listed) != layers:
        raise EstimateError(f"layer_types lists {len(listed)} layers, but num_hidden_layers is {layers}.")
    return ["sliding" in kind for kind in listed] or [(layer + 1) % every != 0 for layer in range(layers)]


def grouped(layers: Sequence[tuple[tuple[str, object], ...]]) -> list[Fields]:
    """Layer groups: identical layers are counted together."""
    return [{"layers": count, **dict(fields)} for fields, count in Counter(layers).items()]


def second_embedding(config: Config, vocab: int) -> Fields:
    """Fields of the second embedding with a part for every layer; empty if there is none."""
    width = config.number("hidden_size_per_layer_input", default=0 if "unified" in str(config["model_type"]) else 256)
    rows = config.number("vocab_size_per_layer_input", default=vocab)
    return {"per_layer_input": {"width": width, "vocab": rows}} if width else {}


def gemma3n(config: Config) -> Fields:
    """Gemma 3n: four streams, low-rank residuals, a second embedding; the last layers reuse keys and values of lower layers."""
    config.without_effect("altup_active_idx", "altup_coef_clip", "altup_correct_scale", "activation_sparsity_pattern")
    wide = config.get("intermediate_size")
    widths = (
        wide if isinstance(wide, list) else [config.number("intermediate_size")] * config.number("num_hidden_layers")
    )
    windowed, borrowed = kinds(config, 5), config.number("num_kv_shared_layers", default=15)
    own = len(windowed) - borrowed
    layers = [
        (
            ("mixer", "window" if near else "attention"),
            ("ffn_hidden", widths[place]),
            ("keys", "own" if place < own else "borrowed"),
        )
        for place, near in enumerate(windowed)
    ]
    return {
        **gemma(config.replaced(intermediate_size=widths[0])), "norms_per_layer": 4, "qk_norm": "head",
        "window": config.number("sliding_window", default=512), "global_every": 0, "layer_groups": grouped(layers),
        **second_embedding(config, 262144),
        "streams": {
            "count": config.number("altup_num_inputs", default=4), "laurel_rank": config.number("laurel_rank", default=64),
        },
    }  # fmt: skip


def wide_heads(config: Config) -> tuple[int, int | None]:
    """(head size, key-value heads) of the global layers, from their own keys or from ``per_layer_config``."""
    listed = config.get("per_layer_config", {})
    first: Mapping[str, int] = next(iter(listed.values()), {}) if isinstance(listed, Mapping) else {}
    size = config.number("global_head_dim", default=int(first.get("head_dim") or 512))
    shared = config.get("attention_k_eq_v", False)
    heads = config.optional("num_global_key_value_heads") or first.get("num_key_value_heads")
    return size, (int(heads) if heads and shared else None)


def gemma4(config: Config) -> Fields:
    """Gemma 4: global layers have wider heads, whose keys may also be their values; a second embedding; the last layers reuse keys and
    values, and may be twice as wide; experts run parallel to the dense feed-forward layer."""
    config.without_effect("use_bidirectional_attention")
    windowed, borrowed = kinds(config, 6), config.number("num_kv_shared_layers", default=0)
    windowed[-1] = False
    size, heads = wide_heads(config)
    equal, double = config.get("attention_k_eq_v", False), config.get("use_double_wide_mlp", False)
    width, own = config.number("intermediate_size"), len(windowed) - borrowed
    layers: list[tuple[tuple[str, object], ...]] = []
    for place, near in enumerate(windowed):
        made = "own" if place < own else "borrowed"
        keys = "values" if made == "own" and equal and not near else made
        broad: Fields = {} if near else {"head_dim": size, **({"kv_heads": heads} if heads else {})}
        twice: Fields = {"ffn_hidden": 2 * width} if double and made == "borrowed" else {}
        layers.append(tuple({"mixer": "window" if near else "attention", "keys": keys, **broad, **twice}.items()))
    return {
        **gemma(config), "norms_per_layer": 4, "qk_norm": "head", "global_every": 0,
        "window": config.number("sliding_window", default=512), "layer_groups": grouped(layers),
        **second_embedding(config, 262144), **parallel_experts(config, width),
    }  # fmt: skip


def parallel_experts(config: Config, width: int) -> Fields:
    """Experts whose output is added to that of the dense layer, which acts as a shared expert. There are three additional norms, and a
    scale for each input and output of the router."""
    if not config.get("enable_moe_block", False):
        config.without_effect("num_experts", "top_k_experts", "moe_intermediate_size")
        return {}
    experts = {
        "count": config.number("num_experts"), "top_k": config.number("top_k_experts"),
        "width": config.number("moe_intermediate_size"), "shared_width": width, "router_bias": True,
    }  # fmt: skip
    return {"experts": experts, "norms_per_layer": 7, "layer_weights": config.number("hidden_size")}


def conformer(audio: Config, kernel: int, mels: int, channels: list[int]) -> int:
    """Parameters of Gemma's audio encoder: two strided 3 x 3 convolutions over mel bands, then layers of two feed-forward halves, attention
    with a projection for relative positions, and a gated depthwise convolution."""
    h, layers = audio.number("hidden_size"), audio.number("conf_num_hidden_layers", "num_hidden_layers")
    per_head = h // audio.number("conf_num_attention_heads", "num_attention_heads")
    first, second = channels
    front = 9 * first + first + 9 * first * second + second + h * second * (mels // 4)
    feeding, looking, moving = 2 * (8 * h * h + 2 * h), 5 * h * h + 2 * h + per_head, 3 * h * h + (2 + kernel) * h
    return front + layers * (feeding + looking + moving + h)


MOBILENET = 294_126_912
"""Parameters of timm's mobilenetv5_300m_enc, Gemma 3n's vision encoder."""


def gemma3n_whole(config: Config) -> Fields:
    """Gemma 3n trained on text: vision and audio encoders are counted but frozen, and listed because their time is not modelled."""
    config.without_effect("audio_soft_tokens_per_image", "vision_soft_tokens_per_image")
    text = config.inside("text_config")
    shape, h = gemma3n(text), text.number("hidden_size")
    vision, audio = config.get("vision_config") or {}, config.get("audio_config") or {}
    config.only(vision_config=None, audio_config=None)
    if vision.get("architecture", "mobilenetv5_300m_enc") != "mobilenetv5_300m_enc":
        raise EstimateError("A vision encoder of Gemma 3n other than mobilenetv5_300m_enc is not supported.")
    heard = Config(audio, "audio_config.")
    kernel, channels = (
        heard.number("conf_conv_kernel_size", default=5),
        heard.listed("sscp_conv_channel_size") or [128, 32],
    )
    beside = MOBILENET + conformer(heard, kernel, heard.number("input_feat_size", default=128), channels)
    for part in (vision, audio):
        width = int(part["hidden_size"])
        beside += int(part["vocab_size"]) * width + 2 * width + width * h
    return {**shape, "tied": ties(config, text, shape["tied"]), "extra_weights": beside}


def gemma4_vision(vision: Config) -> Fields:
    """Gemma 4's vision tower: Gemma's layers, rotary positions and a position table per image dimension."""
    vision.without_effect("pooling_kernel_size", "standardize", "use_clipped_linears", "num_key_value_heads")
    vision.only(attention_bias=False)
    shape = tower(vision)
    heads = vision.optional("head_dim")
    return {
        **shape, "norm": "rms", "norms_per_layer": 4, "gated": True, "attention_bias": "none", "mlp_bias": False, "qk_norm": "head",
        "positions": "rotary", "class_token": False, "patch_bias": False, "final_norm": False, "image_size": 768, "head_dim": heads,
        "extra_weights": 2 * vision.number("position_embedding_size", default=10240) * shape["hidden"],
    }  # fmt: skip


def gemma4_whole(config: Config) -> Fields:
    """Gemma 4: vision tower, 3 x 3 average pooling of patches, one linear layer; the audio encoder is counted but frozen, and listed."""
    config.without_effect("vision_soft_tokens_per_image")
    text = config.inside("text_config")
    decoder, h = gemma4(text), text.number("hidden_size")
    decoder["tied"] = ties(config, text, decoder["tied"])
    if "audio_config" in config:
        audio = Config(config["audio_config"], "audio_config.")
        channels, out = (
            audio.listed("subsampling_conv_channels") or [128, 32],
            audio.number("output_proj_dims", default=1536),
        )
        weights = conformer(audio, audio.number("conv_kernel_size", default=5), 128, channels)
        decoder["extra_weights"] = weights + out * audio.number("hidden_size") + out + out * h
        config.only(audio_config=None)
    if "vision_config" not in config:
        return decoder
    vision = config.inside("vision_config")
    seen = without_kind(gemma4_vision(vision))
    bridge = {"kind": "linear", "pool": vision.number("pooling_kernel_size", default=3), "bias": False}
    return {"kind": "video-language", "vision": seen, "bridge": bridge, "language": decoder}


READERS: Mapping[str, Reader] = MappingProxyType(
    {
        **dict.fromkeys(("gemma3", "shieldgemma2"), gemma3),
        "gemma3n_text": gemma3n,
        "gemma3n": gemma3n_whole,
        "gemma4": gemma4_whole,
        **dict.fromkeys(("gemma4_text", "gemma4_unified_text"), gemma4),
    }
)
