"""Readers for mixtures of experts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

from gpuhours.architecture.hugging_face.config import Config, Fields, Reader
from gpuhours.architecture.hugging_face.text import cohere2, llama, mistral, qwen2, qwen3, windows
from gpuhours.inputs.errors import EstimateError


def routed(config: Config) -> Fields:
    """Fields of the routed experts, under the key names of different families."""
    return {
        "count": config.number("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"),
        "top_k": config.number("num_experts_per_tok", "moe_top_k", "num_experts_per_token", "moe_k", "top_k"),
        "width": config.optional("moe_intermediate_size", "expert_ffn_hidden_size"),
    }


def mixtral(config: Config) -> Fields:
    """Mixtral: experts of width ``intermediate_size`` in every layer."""
    return {**mistral(config), "experts": routed(config)}


def phimoe(config: Config) -> Fields:
    """Phi-3.5-MoE: LayerNorm with biases, biases on attention and head."""
    return {
        **mistral(config), "norm": "layer", "experts": routed(config),
        "attention_bias": "all" if config.get("attention_bias") else "none",
        "head_bias": bool(config.get("lm_head_bias", False)),
    }  # fmt: skip


def sparse_steps(config: Config) -> Fields:
    """Layers with experts in Qwen's mixtures: one in ``decoder_sparse_step``, except those listed in ``mlp_only_layers``."""
    if config.get("mlp_only_layers"):
        raise EstimateError("mlp_only_layers is not supported.", "Write out the shape, with layer_groups.")
    return {**routed(config), "every": config.number("decoder_sparse_step", default=1)}


def shared_gate(config: Config) -> Fields:
    """Fields of a shared expert with a gate."""
    return {"shared_width": config.number("shared_expert_intermediate_size"), "shared_gate": True}


def qwen2_moe(config: Config) -> Fields:
    """Qwen1.5-MoE and Qwen2-57B."""
    biased = config.get("qkv_bias", True)
    return {
        **qwen2(config), "attention_bias": "qkv" if biased else "none",
        "experts": {**sparse_steps(config), **shared_gate(config)},
    }  # fmt: skip


def qwen3_moe(config: Config) -> Fields:
    """Qwen3-30B-A3B and 235B."""
    return {**qwen3(config), "experts": sparse_steps(config)}


def olmoe(config: Config) -> Fields:
    """OLMoE: experts in every layer, queries and keys normalised over the full width."""
    return {**llama(config), "qk_norm": "width", "experts": routed(config)}


def flex_olmo(config: Config) -> Fields:
    """FlexOlmo: like OLMoE, with positions rotated in fp32."""
    return {**olmoe(config), "code_steps": ["wide-rotary"]}


def granite_moe(config: Config) -> Fields:
    """Granite's mixtures of experts, some with a shared expert."""
    shared = config.number("shared_intermediate_size", default=0)
    return {**llama(config), "experts": {**routed(config), **({"shared_width": shared} if shared else {})}}


def first_dense(config: Config) -> Fields:
    """Fields that place the experts: the number of leading dense layers, given as a number or by a list of the kinds of all layers, and
    ``moe_layer_freq`` for the rest. Raises ``EstimateError`` if the list has dense layers after the first with experts."""
    kinds = config.listed("mlp_layer_types")
    stated = config.number("first_k_dense_replace", default=0)
    dense = kinds.index("sparse") if "sparse" in kinds else stated
    if kinds and "dense" in kinds[dense:]:
        raise EstimateError(
            "Layers without experts are interleaved with those with.", "Write out the shape, with layer_groups."
        )
    return {"first_dense": dense, "every": config.number("moe_layer_freq", default=1)}


def grouped(config: Config) -> Fields:
    """Fields of DeepSeek's node-limited routing: expert groups, and how many of them a token's experts may come from."""
    groups, chosen = config.optional("n_group"), config.optional("topk_group")
    return {"groups": groups, "top_groups": chosen} if groups and chosen and groups > 1 else {}


def shared_experts(config: Config) -> Fields:
    """Fields of DeepSeek's shared experts: ``n_shared_experts`` of the routed width."""
    count, width = (
        config.number("n_shared_experts", "num_shared_experts", default=0),
        config.optional("moe_intermediate_size"),
    )
    return {"shared_width": count * width} if count and width else {}


def latent(config: Config) -> Fields:
    """Fields of latent attention."""
    return {
        "kv_heads": None,
        "head_dim": None,
        "latent": {
            "kv_rank": config.number("kv_lora_rank"), "query_rank": config.optional("q_lora_rank"),
            "nope_dim": config.number("qk_nope_head_dim"), "rope_dim": config.number("qk_rope_head_dim"),
            "value_dim": config.number("v_head_dim"),
        },
    }  # fmt: skip


def deepseek(config: Config) -> Fields:
    """DeepSeek-V2 and V3, Kimi K2 and similar models: latent attention, shared and routed experts.

    V3's load-balancing bias per expert is a buffer in the library, so it does not count as a parameter."""
    config.get("ep_size")
    experts = {**routed(config), **first_dense(config), **shared_experts(config), **grouped(config)}
    shape = {**llama(config), "attention_bias": "none", **latent(config)}
    inside = shape["latent"]
    biased = (inside["query_rank"] or 0) + inside["kv_rank"] + inside["rope_dim"] + shape["hidden"]
    return {**shape, "experts": experts, "layer_weights": biased if config.get("attention_bias") else 0}


def deepseek_moe(config: Config) -> Fields:
    """DeepSeekMoE 16B (2024): Llama's attention, shared and routed experts."""
    return {
        **llama(config),
        "experts": {**routed(config), **first_dense(config), **shared_experts(config), **grouped(config)},
    }


def bailing(config: Config) -> Fields:
    """Ling and Ring (``bailing_moe``): Llama's attention, with per-head QK norms in their second version, and DeepSeek's experts."""
    config.only(use_bias=False, use_qkv_bias=False)
    config.without_effect("norm_head", "norm_softmax", "router_type", "moe_router_enable_expert_bias", "embedding_dropout",
                          "output_dropout", "score_function", "router_dtype", "mtp_loss_scaling_factor", "max_window_layers")  # fmt: skip
    shape = deepseek_moe(config.renamed({"num_shared_experts": "n_shared_experts"}))
    return {**shape, "qk_norm": "head" if config.get("use_qk_norm", False) else "none"}


def deepseek_v32(config: Config) -> Fields:
    """DeepSeek-V3.2: additional small heads select the keys for each query."""
    shape = deepseek(config)
    index = {
        "index_heads": config.number("index_n_heads"), "index_dim": config.number("index_head_dim"),
        "index_top": config.number("index_topk"),
    }  # fmt: skip
    return {**shape, "latent": {**shape["latent"], **index}}


def glm4_moe(config: Config) -> Fields:
    """GLM-4.5: grouped-query attention with biases, DeepSeek's experts."""
    normed = "head" if config.get("use_qk_norm") else "none"
    biased = "qkv" if config.get("attention_bias") else "none"
    experts = {**routed(config), **first_dense(config), **shared_experts(config), **grouped(config)}
    return {**llama(config), "attention_bias": biased, "qk_norm": normed, "experts": experts}


def dots1(config: Config) -> Fields:
    """dots.llm1: per-head QK norms, DeepSeek's experts."""
    experts = {**routed(config), **first_dense(config), **shared_experts(config), **grouped(config)}
    return {**llama(config), "qk_norm": "head", "experts": experts}


def ernie(config: Config) -> Fields:
    """ERNIE 4.5: experts in a range of layers, a load-balancing bias per expert, a shared expert of several times the routed width."""
    layers = config.number("num_hidden_layers")
    start = config.number("moe_layer_start_index", default=0)
    last = config.number("moe_layer_end_index", default=-1)
    last = layers - 1 if last < 0 else last
    every = config.number("moe_layer_interval", default=1)
    sparse = sum(1 for layer in range(layers) if (layer + 1) % every == 0 and start <= layer <= last)
    count, width = config.number("moe_num_shared_experts", default=0), config.number("moe_intermediate_size")
    shared = {"shared_width": count * width} if count else {}
    groups = [{"layers": layers - sparse, "feed_forward": "dense"}, {"layers": sparse, "feed_forward": "experts"}]
    return {
        **llama(config), "tied": config.get("tie_word_embeddings", True), "code_steps": ["wide-rotary"],
        "layer_groups": [group for group in groups if group["layers"]],
        "experts": {**routed(config), **shared, "router_bias": True},
    }  # fmt: skip


def gpt_oss(config: Config) -> Fields:
    """gpt-oss: attention sinks, biases everywhere but in the head, a window in every second layer."""
    biased = "all" if config.get("attention_bias", True) else "none"
    shape = {**llama(config), "attention_bias": biased, "sinks": True, "experts": {**routed(config), "bias": True}}
    return {**shape, **(windows(config, 2)), "code_steps": ["written-attention"]}


def llama4(config: Config) -> Fields:
    """Llama 4: one shared and one routed expert of the same width per token, in every layer or alternating with wider dense layers;
    chunked attention is treated as a window."""
    layers, every = config.number("num_hidden_layers"), config.number("interleave_moe_layer_step", default=1)
    listed = config.listed("moe_layers")
    sparse = len(listed) if listed else layers // every
    width = config.number("intermediate_size")
    kinds = config.listed("layer_types")
    chunk = config.optional("attention_chunk_size")
    config.get("no_rope_layers"), config.get("no_rope_layer_interval"), config.get("attn_temperature_tuning")
    config.get("attn_scale"), config.get("floor_scale"), config.get("for_llm_compressor"), config.get("use_qk_norm")
    chunked = sum("chunked" in str(kind) for kind in kinds) if kinds else layers - layers // 4
    groups = crossed(layers, sparse, chunked if chunk else 0)
    return {
        **llama(config), "ffn_hidden": config.number("intermediate_size_mlp", default=width), "window": chunk,
        "layer_groups": groups, "code_steps": ["all-experts"],
        "experts": {**routed(config), "width": width, "shared_width": width},
    }  # fmt: skip


def crossed(layers: int, sparse: int, windowed: int) -> list[Fields]:
    """Layer groups by feed-forward type and window, assuming that the two patterns overlap evenly; counts are whole numbers."""
    both = round(sparse * windowed / layers)
    counts = {
        ("experts", "window"): both, ("experts", "attention"): sparse - both, ("dense", "window"): windowed - both,
        ("dense", "attention"): layers - sparse - windowed + both,
    }  # fmt: skip
    return [
        {"layers": count, "feed_forward": fed, "mixer": mixed} for (fed, mixed), count in counts.items() if count > 0
    ]


def minimax_m2(config: Config) -> Fields:
    """MiniMax-M2: queries and keys normalised over the full width, a load-balancing bias per expert."""
    return {**llama(config), "qk_norm": "width", "experts": routed(config)}


def dbrx(config: Config) -> Fields:
    """DBRX: LayerNorm without biases, grouped-query attention, experts in every layer."""
    attention, feed = config.inside("attn_config"), config.inside("ffn_config")
    for inner, keys in (
        (attention, ("clip_qkv", "attn_pdrop", "rope_theta")),
        (feed, ("ffn_act_fn", "moe_loss_weight")),
    ):
        for key in keys:
            inner.get(key)
    (
        feed.get("moe_normalize_expert_weights"),
        feed.get("hidden_size"),
        config.get("emb_pdrop"),
        config.get("num_key_value_heads"),
    )
    experts = {"count": feed.number("moe_num_experts"), "top_k": feed.number("moe_top_k")}
    return {
        "layers": config.number("n_layers"), "hidden": config.number("d_model"), "heads": config.number("n_heads"),
        "kv_heads": attention.optional("kv_n_heads"), "vocab": config.number("vocab_size"), "norm": "layer-no-bias",
        "ffn_hidden": feed.number("ffn_hidden_size"), "tied": bool(config.get("tie_word_embeddings", False)),
        "experts": experts,
    }  # fmt: skip


def sparse_windows(config: Config, dense: int, every: int = 0) -> Fields:
    """The window, and layer groups for a model with windows in some layers and no experts in the first ``dense``. One layer in ``every``
    has full attention if the file does not list the kinds."""
    layers, window = config.number("num_hidden_layers"), config.optional("sliding_window")
    kinds = [str(kind) for kind in config.listed("layer_types")]
    config.get("sliding_window_pattern")
    if not kinds:
        kinds = ["full" if every and (layer + 1) % every == 0 else "sliding" for layer in range(layers)]
    pairs = Counter(
        ("dense" if layer < dense else "experts", "window" if window and "sliding" in kind else "attention")
        for layer, kind in enumerate(kinds[:layers])
    )
    groups = [{"layers": count, "feed_forward": fed, "mixer": mixed} for (fed, mixed), count in pairs.items()]
    return {"layer_groups": groups, **({"window": window} if any(mixed == "window" for _, mixed in pairs) else {})}


def unplaced(experts: Fields) -> tuple[Fields, int]:
    """(fields of experts without their placement, which layer groups give; number of leading dense layers)."""
    return {key: value for key, value in experts.items() if key not in ("first_dense", "every")}, experts.get(
        "first_dense", 0
    )


def hy3(config: Config) -> Fields:
    """Hunyuan 3: per-head QK norms, DeepSeek's experts."""
    config.without_effect("router_scaling_factor", "enable_moe_fp32_combine")
    return dots1(config)


def solar_open(config: Config) -> Fields:
    """Solar Open: GLM-4.5's layers, with experts in all of them."""
    width = config.number("moe_intermediate_size")
    return glm4_moe(config.supplied({"intermediate_size": width}))


def mellum(config: Config) -> Fields:
    """Mellum 2: like Qwen3's mixtures of experts, with windows in some layers."""
    config.without_effect("num_nextn_predict_layers", "mtp_layer_types", "mtp_mlp_layer_types")
    experts, dense = unplaced({**routed(config), **first_dense(config)})
    return {**qwen3(config), **sparse_windows(config, dense), "experts": experts}


def exaone_moe(config: Config) -> Fields:
    """K-EXAONE: per-head QK norms, DeepSeek's experts, three windowed layers for each full-attention layer."""
    shape = dots1(config)
    experts, dense = unplaced(shape["experts"])
    return {**shape, **sparse_windows(config, dense, 4), "experts": experts}


def afmoe(config: Config) -> Fields:
    """Trinity: gated attention, norms before and after both halves, DeepSeek's experts after some dense layers; its load-balancing biases
    are parameters in the library."""
    config.without_effect("route_scale", "route_norm", "score_func", "mup_enabled", "load_balance_coeff")
    config.only(attention_bias=False)
    dense, every = config.number("num_dense_layers", default=1), config.number("global_attn_every_n_layers", default=4)
    return {
        **llama(config), **sparse_windows(config, dense, every), "qk_norm": "head", "attention_gate": "width", "norms_per_layer": 4,
        "experts": {**routed(config), **shared_experts(config), "router_bias": True},
    }  # fmt: skip


def granite_moe_swa(config: Config) -> Fields:
    """Granite's mixtures of experts with attention sinks and windows."""
    config.without_effect("layer_rope_theta")
    return {**granite_moe(config), "sinks": True, "code_steps": ["written-attention"]}


def cohere2_moe(config: Config) -> Fields:
    """Command A's mixtures of experts: one norm, attention and feed-forward in parallel."""
    config.without_effect(
        "expert_selection_fn", "shared_expert_combination_strategy", "prefix_dense_sliding_window_pattern"
    )
    dense = any("sparse" not in str(kind) for kind in config.listed("mlp_layer_types"))
    if dense or config.number("num_shared_experts", default=0) or config.get("prefix_dense_intermediate_size"):
        raise EstimateError(
            "Shared experts and a dense start of cohere2_moe are not supported.",
            "Write out the shape, with layer_groups.",
        )
    return {**cohere2(config), "experts": routed(config)}


def hunyuan_moe(config: Config) -> Fields:
    """Hunyuan's mixtures of experts: routed experts and a shared expert of the dense width."""
    width = config["intermediate_size"]
    routed_width = config.get("moe_intermediate_size")
    own = routed_width[0] if isinstance(routed_width, list) else routed_width
    top, shared = config["moe_topk"], config.get("num_shared_expert", 1)
    if any(one != 1 for one in (shared if isinstance(shared, list) else [shared])):
        raise EstimateError("More or fewer shared experts than one a layer (num_shared_expert) are not modelled.")
    config.without_effect("attention_head_dim", "use_mixed_mlp_moe", "cla_share_factor", "moe_layer_num_skipped")
    config.only(use_cla=False, moe_layer_num_skipped=0)
    return {
        **llama(config), "qk_norm": "head" if config.get("use_qk_norm", True) else "none",
        "experts": {
            "count": config.number("num_experts"), "top_k": top[0] if isinstance(top, list) else top, "width": own or width,
            "shared_width": own or width,
        },
    }  # fmt: skip


def minicpm3(config: Config) -> Fields:
    """MiniCPM3: latent attention with a dense feed-forward layer."""
    config.get("scale_emb"), config.get("dim_model_base"), config.get("scale_depth")
    config.only(attention_bias=False)
    return {**llama(config), **latent(config)}


READERS: Mapping[str, Reader] = MappingProxyType({
    "mixtral": mixtral, "phimoe": phimoe, "qwen2_moe": qwen2_moe, "qwen3_moe": qwen3_moe, "olmoe": olmoe, "flex_olmo": flex_olmo,
    **dict.fromkeys(("granitemoe", "granitemoeshared"), granite_moe),
    **dict.fromkeys(("deepseek_v2", "deepseek_v3", "kimi_k2", "glm4_moe_lite", "mistral4", "sarvam_mla"), deepseek),
    "deepseek": deepseek_moe, **dict.fromkeys(("bailing_moe", "bailing_moe_v2"), bailing),
    **dict.fromkeys(("deepseek_v32", "glm_moe_dsa"), deepseek_v32),
    **dict.fromkeys(("glm4_moe", "sarvam_moe"), glm4_moe), "dots1": dots1, "ernie4_5_moe": ernie,
    "gpt_oss": gpt_oss, "llama4_text": llama4, "minimax_m2": minimax_m2, "dbrx": dbrx, "hunyuan_v1_moe": hunyuan_moe,
    "hy_v3": hy3, "solar_open": solar_open, "mellum": mellum, "exaone_moe": exaone_moe, "afmoe": afmoe,
    "granitemoe_swa": granite_moe_swa, "cohere2_moe": cohere2_moe,
    **dict.fromkeys(("minicpm3", "youtu"), minicpm3),
})  # fmt: skip
