"""Readers for state-space models, linear attention, and hybrids with attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from types import MappingProxyType

from gpuhours.architecture.hugging_face.config import Config, Fields, Reader
from gpuhours.architecture.hugging_face.mixtures import first_dense, latent, routed, shared_gate
from gpuhours.architecture.hugging_face.text import llama, qwen3
from gpuhours.inputs.errors import EstimateError


def groups(layers: Sequence[tuple[str, str]]) -> list[Fields]:
    """Layer groups: layers with the same (mixer, feed-forward layer) are counted together."""
    return [
        {"layers": len(list(equal)), "mixer": mixed, "feed_forward": fed}
        for (mixed, fed), equal in groupby(sorted(layers))
    ]


def attends(kind: object) -> bool:
    """Whether an entry of ``layer_types`` means softmax attention: ``attention`` or ``full_attention``, not ``linear_attention``."""
    return str(kind) in ("attention", "full_attention", "sliding_attention")


def pure(config: Config, kind: str, state: Fields) -> Fields:
    """A model with only state-space layers: one norm per layer, no feed-forward layer."""
    layers = config.number("num_hidden_layers", "n_layer")
    return {
        "layers": layers, "hidden": config.number("hidden_size", "d_model"), "heads": 1, "vocab": config.number("vocab_size"),
        "ffn_hidden": 1, "tied": bool(config.get("tie_word_embeddings", True)), "positions": "none", "state_space": state,
        "layer_groups": [{"layers": layers, "mixer": kind, "feed_forward": "none"}],
    }  # fmt: skip


def mamba(config: Config) -> Fields:
    """Mamba and Falcon-Mamba."""
    hidden = config.number("hidden_size")
    rank = config.get("time_step_rank", "auto")
    state = {
        "inner": config.number("intermediate_size", default=int(config.get("expand", 2) * hidden)),
        "state": config.number("state_size", default=16), "kernel": config.number("conv_kernel", default=4),
        "rank": -(-hidden // 16) if rank == "auto" else int(rank), "conv_bias": bool(config.get("use_conv_bias", True)),
        "bias": bool(config.get("use_bias", False)), "output_norm": False,
    }  # fmt: skip
    config.get("expand"), config.get("time_step_scale"), config.get("use_mambapy"), config.get("use_falcon_mambapy")
    config.get("use_associative_scan"), config.get("mixer_rms_eps")
    return pure(config, "mamba", state)


def mamba2(config: Config) -> Fields:
    """Mamba-2."""
    hidden = config.number("hidden_size")
    state = {
        "inner": int(config.get("expand", 2) * hidden), "state": config.number("state_size", default=128),
        "heads": config.number("num_heads"), "groups": config.number("n_groups", default=1),
        "kernel": config.number("conv_kernel", default=4), "chunk": config.number("chunk_size", default=256),
        "conv_bias": bool(config.get("use_conv_bias", True)), "bias": bool(config.get("use_bias", False)),
        "output_norm": bool(config.get("rms_norm", True)),
    }  # fmt: skip
    (
        config.get("head_dim"),
        config.get("time_step_rank"),
        config.get("norm_before_gate"),
        config.get("use_associative_scan"),
    )
    return pure(config, "mamba2", state)


def mamba2_widths(config: Config, *, norm: bool = True) -> Fields:
    """Widths of a hybrid's Mamba-2 layers, under the key names that hybrids use."""
    heads, hidden = config.number("mamba_n_heads", "mamba_num_heads"), config.number("hidden_size")
    size = config.get("mamba_d_head", config.get("mamba_head_dim", "auto"))
    expand = config.get("mamba_expand", config.get("expand", 2))
    inner = config.number("mamba_d_ssm", default=int(expand * hidden) if size == "auto" else int(size) * heads)
    return {
        "inner": inner, "state": config.number("mamba_d_state", "ssm_state_size"), "heads": heads,
        "groups": config.number("mamba_n_groups", "n_groups", default=1),
        "kernel": config.number("mamba_d_conv", "conv_kernel", default=4),
        "chunk": config.number("mamba_chunk_size", "chunk_size", default=256),
        "conv_bias": bool(config.get("mamba_conv_bias", config.get("use_conv_bias", True))),
        "bias": bool(config.get("mamba_proj_bias", config.get("mamba_use_bias", False))), "output_norm": norm,
    }  # fmt: skip


def bamba(config: Config) -> Fields:
    """Bamba: attention in the listed layers, Mamba-2 in the rest."""
    listed = set(config.listed("attn_layer_indices"))
    layers = [
        ("attention" if layer in listed else "mamba2", "dense") for layer in range(config.number("num_hidden_layers"))
    ]
    return {**llama(config), "state_space": mamba2_widths(config), "layer_groups": groups(layers)}


def granite_hybrid(config: Config) -> Fields:
    """Granite 4: Mamba-2 and attention layers, a shared expert, and routed experts if there are any."""
    kinds = (
        config.listed("layer_types")
        or config.listed("layers_block_type")
        or ["mamba"] * config.number("num_hidden_layers")
    )
    sparse = config.number("num_local_experts", default=0)
    shared = config.number("shared_intermediate_size")
    fed = "experts" if sparse else "dense"
    layers = [("attention" if attends(kind) else "mamba2", fed) for kind in kinds]
    shape = {
        **llama(config),
        "ffn_hidden": shared,
        "state_space": mamba2_widths(config),
        "layer_groups": groups(layers),
    }
    config.get("position_embedding_type"), config.get("num_experts_per_tok"), config.get("intermediate_size")
    if not sparse:
        return shape
    width = config.number("intermediate_size")
    return {**shape, "experts": {**routed(config), "width": width, "shared_width": shared}}


def falcon_h1(config: Config) -> Fields:
    """Falcon-H1: attention and Mamba-2 in parallel in every layer."""
    config.only(projectors_bias=False, mamba_proj_bias=False)
    count = config.number("num_hidden_layers")
    for key in (
        "attention_in_multiplier",
        "attention_out_multiplier",
        "key_multiplier",
        "lm_head_multiplier",
        "mlp_multipliers",
        "ssm_in_multiplier",
        "ssm_multipliers",
        "ssm_out_multiplier",
        "mamba_norm_before_gate",
        "mamba_use_mlp",
        "projectors_bias",
    ):
        config.get(key)  # fmt: skip
    state = mamba2_widths(config, norm=bool(config.get("mamba_rms_norm", False)))
    return {**llama(config), "state_space": state, "layer_groups": [{"layers": count, "mixer": "attention+mamba2"}]}


def nemotron_h(config: Config) -> Fields:
    """Nemotron-H and Nemotron 3: each layer is only Mamba-2 (M), attention (*), feed-forward (-) or experts (E)."""
    config.only(use_bias=False, mlp_bias=False, mamba_proj_bias=False, attention_bias=False, tie_word_embeddings=False)
    pattern = config.get("hybrid_override_pattern")
    kinds = config.listed("layers_block_type") or [
        PATTERN[letter] for letter in str(pattern or "") if letter in PATTERN
    ]
    layers = [HALVES[str(kind)] for kind in kinds if str(kind) in HALVES]
    config.optional("num_hidden_layers"), config.get("mtp_layers_block_type"), config.get("moe_shared_expert_overlap")
    config.without_effect(
        "mamba_hidden_act", "mamba_ssm_cache_dtype", "mamba_dt_init_floor", "mlp_hidden_act", "mamba_dt_limit"
    )
    shape = {
        **llama(config.supplied({"num_hidden_layers": len(layers)})), "layers": len(layers), "gated": False,
        "norms_per_layer": 2, "positions": "none",
        "state_space": mamba2_widths(config), "layer_groups": groups(layers),
    }  # fmt: skip
    if ("none", "experts") not in layers:
        config.without_effect(
            "n_routed_experts", "n_shared_experts", "moe_intermediate_size", "moe_shared_expert_intermediate_size", "num_experts_per_tok"
        )  # fmt: skip
        return shape
    shared = config.number("moe_shared_expert_intermediate_size") * config.number("n_shared_experts", default=1)
    return {**shape, "experts": {**routed(config), "shared_width": shared}}


HALVES = {
    **dict.fromkeys(("mamba", "linear_attention"), ("mamba2", "none")),
    **dict.fromkeys(("attention", "full_attention"), ("attention", "none")),
    "mlp": ("none", "dense"), "moe": ("none", "experts"),
}  # fmt: skip
"""Layer name -> (mixer, feed-forward layer)."""
PATTERN = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}


def jamba(config: Config) -> Fields:
    """Jamba: attention every ``attn_layer_period``, experts every ``expert_layer_period``, Mamba with inner norms in the other layers."""
    count, hidden = config.number("num_hidden_layers"), config.number("hidden_size")
    attends = (config.number("attn_layer_period"), config.number("attn_layer_offset"))
    sparse = (config.number("expert_layer_period"), config.number("expert_layer_offset"))
    many = config.number("num_experts", default=1) > 1
    layers = [
        (
            "attention" if layer % attends[0] == attends[1] else "mamba",
            "experts" if many and layer % sparse[0] == sparse[1] else "dense",
        )
        for layer in range(count)
    ]
    rank = config.get("mamba_dt_rank", "auto")
    state = {
        "inner": int(config.get("mamba_expand", 2) * hidden), "state": config.number("mamba_d_state"),
        "kernel": config.number("mamba_d_conv"), "rank": -(-hidden // 16) if rank == "auto" else int(rank), "inner_norms": True,
        "conv_bias": bool(config.get("mamba_conv_bias", True)), "bias": bool(config.get("mamba_proj_bias", False)),
    }  # fmt: skip
    shape = {**llama(config), "positions": "none", "state_space": state, "layer_groups": groups(layers)}
    return {**shape, "experts": routed(config)} if many else shape


def minimax(config: Config) -> Fields:
    """MiniMax-01: linear attention, with softmax attention in one layer of eight; experts in every layer."""
    count = config.number("num_hidden_layers")
    kinds = config.listed("layer_types") or [
        "full_attention" if layer % 2 else "linear_attention" for layer in range(count)
    ]
    layers = [("lightning" if "linear" in str(kind) else "attention", "experts") for kind in kinds]
    heads, hidden = config.number("num_attention_heads"), config.number("hidden_size")
    size = config.number("head_dim", default=hidden // heads)
    for key in (
        "full_attn_alpha_factor",
        "full_attn_beta_factor",
        "linear_attn_alpha_factor",
        "linear_attn_beta_factor",
        "mlp_alpha_factor",
        "mlp_beta_factor",
    ):
        config.get(key)  # fmt: skip
    state = {
        "inner": heads * size,
        "state": size,
        "heads": heads,
        "groups": heads,
        "chunk": config.number("block_size", default=256),
    }
    return {**llama(config), "experts": routed(config), "state_space": state, "layer_groups": groups(layers)}


def lfm2(config: Config) -> Fields:
    """LFM2: layers of gated short convolutions and of grouped-query attention; a feed-forward width reduced and rounded if configured."""
    hidden, width = config.number("hidden_size"), config.number("intermediate_size", "block_ff_dim")
    if config.get("block_auto_adjust_ff_dim", True):
        width = int(2 * width / 3)
        factor, multiple = config.get("block_ffn_dim_multiplier", 1.0), config.number("block_multiple_of", default=256)
        width = multiple * -(-int(factor * width) // multiple)
    count = config.number("num_hidden_layers")
    kinds = config.listed("layer_types")
    listed = config.listed("full_attn_idxs")
    if not kinds:
        kinds = ["full_attention" if not listed or layer in listed else "conv" for layer in range(count)]
    layers = [("attention" if attends(kind) else "short-conv", "dense") for kind in kinds]
    biased = bool(config.get("conv_bias", False))
    (
        config.get("block_use_swiglu"),
        config.get("block_dim"),
        config.get("conv_dim"),
        config.get("conv_dim_out"),
        config.get("use_pos_enc"),
    )
    (
        config.get("block_mlp_init_scale"),
        config.get("block_out_init_scale"),
        config.get("block_use_xavier_init"),
        config.get("num_heads"),
    )
    state = {"inner": hidden, "kernel": config.number("conv_L_cache", default=3), "conv_bias": biased, "bias": biased}
    return {
        **llama(config.supplied({"intermediate_size": width})), "ffn_hidden": width,
        "tied": bool(config.get("tie_word_embeddings", config.get("tie_embedding", True))),
        "qk_norm": "head", "state_space": state, "layer_groups": groups(layers),
    }  # fmt: skip


def lfm2_moe(config: Config) -> Fields:
    """LFM2's mixtures: its mixers, with dense feed-forward layers first and experts in the others; the bias per expert is a buffer."""
    shape, dense = (
        lfm2(config.supplied({"block_auto_adjust_ff_dim": False})),
        config.number("num_dense_layers", default=2),
    )
    pairs = [
        ("attention" if attends(kind) else "short-conv", "dense" if place < dense else "experts")
        for place, kind in enumerate(config.listed("layer_types"))
    ]
    config.without_effect("use_expert_bias")
    return {**shape, "layer_groups": groups(pairs), "experts": routed(config)}


def delta_layers(config: Config, fed: str) -> tuple[Fields, list[Fields]]:
    """(widths of the gated delta rule, layer groups): three layers with it for each layer with gated attention."""
    count = config.number("num_hidden_layers")
    every = config.number("full_attention_interval", default=4)
    kinds = config.listed("layer_types") or ["linear" if (layer + 1) % every else "full" for layer in range(count)]
    heads, size = config.number("linear_num_value_heads"), config.number("linear_value_head_dim")
    state = {
        "inner": heads * size, "heads": heads, "groups": config.number("linear_num_key_heads"),
        "state": config.number("linear_key_head_dim"), "kernel": config.number("linear_conv_kernel_dim", default=4),
    }  # fmt: skip
    return state, groups([("delta" if "linear" in str(kind) else "attention", fed) for kind in kinds])


def qwen3_next(config: Config) -> Fields:
    """Qwen3-Next: gated delta rule and gated attention, experts with a shared one."""
    if config.get("mlp_only_layers") or config.number("decoder_sparse_step", default=1) != 1:
        raise EstimateError("Layers without experts are not supported.", "Write out the shape, with layer_groups.")
    state, layers = delta_layers(config, "experts")
    config.get("intermediate_size")
    return {
        **qwen3(config), "attention_gate": "width", "experts": {**routed(config), **shared_gate(config)},
        "state_space": state, "layer_groups": layers,
    }  # fmt: skip


def qwen3_5(config: Config) -> Fields:
    """Qwen3.5: Qwen3-Next's mixers with dense feed-forward layers."""
    state, layers = delta_layers(config, "dense")
    return {**qwen3(config), "attention_gate": "width", "state_space": state, "layer_groups": layers}


def qwen3_5_moe(config: Config) -> Fields:
    """Qwen3.5's mixtures of experts: experts in every layer."""
    state, layers = delta_layers(config, "experts")
    width = config.number("moe_intermediate_size")
    shape = {
        **qwen3(config.supplied({"intermediate_size": width})),
        "attention_gate": "width",
        "state_space": state,
        "layer_groups": layers,
    }
    return {**shape, "experts": {**routed(config), **shared_gate(config)}}


def olmo_hybrid(config: Config) -> Fields:
    """OLMo Hybrid: OLMo 2's attention in one layer of four, a gated delta rule in the others."""
    config.without_effect(
        "linear_a_log_min",
        "linear_a_log_max",
        "linear_dt_min",
        "linear_dt_max",
        "linear_dt_init_floor",
        "linear_allow_neg_eigval",
    )
    state, layers = delta_layers(config, "dense")
    return {**llama(config), "qk_norm": "width", "state_space": state, "layer_groups": layers}


def kimi_linear(config: Config) -> Fields:
    """Kimi Linear: three layers of delta attention for each of latent attention, DeepSeek's experts after a dense layer."""
    config.without_effect("moe_renormalize", "num_expert_group", "use_grouped_topk", "head_dim")
    linear = config.inside("linear_attn_config", required=False)
    linear.without_effect("kda_layers")
    config = config.supplied({
        "linear_num_heads": linear.number("num_heads", default=32), "linear_head_dim": linear.number("head_dim", default=128),
        "linear_conv_kernel_dim": linear.number("short_conv_kernel_size", default=4), "first_k_dense_replace": 1,
    })  # fmt: skip
    heads, size = config.number("linear_num_heads"), config.number("linear_head_dim")
    count, dense = config.number("num_hidden_layers"), first_dense(config)["first_dense"]
    full = linear.listed("full_attn_layers") or range(5, count + 1, 4)
    kinds = config.listed("layer_types") or ["full_attention" if at + 1 in full else "linear" for at in range(count)]
    pairs = [
        ("attention" if attends(kind) else "kda", "dense" if place < dense else "experts")
        for place, kind in enumerate(kinds)
    ]
    shared = config.number("num_shared_experts", default=0) * config.number("moe_intermediate_size")
    state = {
        "inner": heads * size, "heads": heads, "groups": heads, "state": size,
        "kernel": config.number("linear_conv_kernel_dim", default=4),
    }  # fmt: skip
    return {
        **llama(config), "tied": False, "head_dim": None, **latent(config), "state_space": state, "layer_groups": groups(pairs),
        "experts": {**routed(config), **({"shared_width": shared} if shared else {})},
    }  # fmt: skip


READERS: Mapping[str, Reader] = MappingProxyType({
    **dict.fromkeys(("mamba", "falcon_mamba"), mamba), "mamba2": mamba2, "bamba": bamba, "granitemoehybrid": granite_hybrid,
    "falcon_h1": falcon_h1, "nemotron_h": nemotron_h, "jamba": jamba, "minimax": minimax, "lfm2": lfm2, "lfm2_moe": lfm2_moe,
    "qwen3_next": qwen3_next,
    "qwen3_5_text": qwen3_5, "qwen3_5_moe_text": qwen3_5_moe,
    "olmo_hybrid": olmo_hybrid, "kimi_linear": kimi_linear,
})  # fmt: skip
