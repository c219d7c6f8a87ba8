"""Gemma 3n and 4: layers that differ in width and keys, and what stands beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

from gpuhours.architecture.hugging_face.config import Config, Fields, Reader
from gpuhours.architecture.hugging_face.text import gemma
from gpuhours.inputs.errors import EstimateError


def kinds(config: Config, every: int) -> list[bool]:
    """Of each layer whether it has a window: as ``layer_types`` lists them, else all but one in ``every``."""
    listed = [str(kind) for kind in config.listed("layer_types")]
    layers = config.number("num_hidden_layers")
    if listed and len(listed) != layers:
        raise EstimateError(f"layer_types holds {len(listed)} layers, num_hidden_layers is {layers}.")
    return ["sliding" in kind for kind in listed] or [(layer + 1) % every != 0 for layer in range(layers)]


def grouped(layers: list[tuple[tuple[str, object], ...]]) -> list[Fields]:
    """Equal layers as groups."""
    return [{"layers": count, **dict(fields)} for fields, count in Counter(layers).items()]


def second_embedding(config: Config, vocab: int) -> Fields:
    """The embedding that every layer gets its part of, where there is one."""
    width = config.number("hidden_size_per_layer_input", default=256)
    rows = config.number("vocab_size_per_layer_input", default=vocab)
    return {"per_layer_input": {"width": width, "vocab": rows}} if width else {}


def gemma3n(config: Config) -> Fields:
    """Gemma 3n: four streams, low-rank residuals, a second embedding; the last layers borrow the keys of layers below."""
    config.without_effect("altup_active_idx", "altup_coef_clip", "altup_correct_scale", "activation_sparsity_pattern")
    wide = config.get("intermediate_size")
    widths = wide if isinstance(wide, list) else [config.number("intermediate_size")] * config.number("num_hidden_layers")
    windowed, borrowed = kinds(config, 5), config.number("num_kv_shared_layers", default=15)
    own = len(windowed) - borrowed
    layers = [
        (("mixer", "window" if near else "attention"), ("ffn_hidden", widths[place]), ("keys", "own" if place < own else "borrowed"))
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
    """Head size and key-value heads of the layers that see everything: by their own keys, or in ``per_layer_config``."""
    listed = config.get("per_layer_config", {})
    first = next(iter(listed.values()), {}) if isinstance(listed, Mapping) else {}
    size = config.number("global_head_dim", default=int(first.get("head_dim") or 512))
    shared = config.get("attention_k_eq_v", False)
    heads = config.optional("num_global_key_value_heads") or first.get("num_key_value_heads")
    return size, (int(heads) if heads and shared else None)


def gemma4(config: Config) -> Fields:
    """Gemma 4: layers that see everything have wider heads, whose keys may be their values; a second embedding; the last layers borrow
    keys, and may be twice as wide; experts beside the dense layer."""
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
        **second_embedding(config, 262144), **experts_beside(config, width),
    }  # fmt: skip


def experts_beside(config: Config, width: int) -> Fields:
    """Experts whose output is added to the dense layer's: that is one which every token sees. Three norms more; a scale for each input and
    output of the router."""
    if not config.get("enable_moe_block", False):
        config.without_effect("num_experts", "top_k_experts", "moe_intermediate_size")
        return {}
    experts = {
        "count": config.number("num_experts"), "top_k": config.number("top_k_experts"),
        "width": config.number("moe_intermediate_size"), "shared_width": width, "router_bias": True,
    }  # fmt: skip
    return {"experts": experts, "norms_per_layer": 7, "layer_weights": config.number("hidden_size")}


READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "gemma3n_text": gemma3n,
        **dict.fromkeys(("gemma4_text", "gemma4_unified_text"), gemma4),
    }
)
