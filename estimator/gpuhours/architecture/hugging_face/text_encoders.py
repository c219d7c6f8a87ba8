"""Readers for text encoders that differ more from BERT: ESM, ELECTRA, DeBERTa, MPNet, Nomic and similar ones."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gpuhours.architecture.hugging_face.config import Config, Fields, Reader
from gpuhours.architecture.hugging_face.encoders import bert, masked_head
from gpuhours.architecture.hugging_face.text import activation
from gpuhours.inputs.errors import EstimateError


def esm(config: Config) -> Fields:
    """ESM-2: pre-norm layers and a final norm, rotary positions, unfused erf-GELU; a regression on the attention maps of all heads."""
    if config.get("is_folding_model"):
        raise EstimateError(
            "ESMFold is not supported: its trunk folds over pairs of places.", "Use the language model alone."
        )
    config.without_effect("token_dropout", "vocab_list", "esmfold_config")
    shape, head = bert(config), masked_head(config)
    rotary = config.get("position_embedding_type", "absolute") == "rotary"
    return {
        **shape, **head, "positions": "rotary" if rotary else "learned", "segments": 0, "final_norm": True,
        "code_steps": ["wide-rotary", "scaled-queries"] if rotary else [],
        "pooler": head["head"] == "none", "activation": "erf-gelu",
        "embedding_norm": bool(config.get("emb_layer_norm_before")), "extra_weights": shape["layers"] * shape["heads"] + 1,
    }  # fmt: skip


def electra(config: Config) -> Fields:
    """ELECTRA with embeddings as wide as its layers: BERT without a pooler."""
    wide, hidden = config.number("embedding_size"), config.number("hidden_size")
    if wide != hidden:
        hint = "Write it out: layers, hidden, heads ..."
        raise EstimateError(
            f"Embeddings with a width ({wide}) other than the layers' ({hidden}) are not supported.", hint
        )
    config.without_effect("summary_last_dropout")
    return {**bert(config), "pooler": False, "final_norm": False, **masked_head(config)}


def deberta_v2(config: Config) -> Fields:
    """DeBERTa 2 and 3: attention between content and relative positions, whose table has a norm; no token types, no pooler."""
    config.without_effect("pooler_dropout", "pooler_hidden_act", "pooler_hidden_size", "legacy")
    head = masked_head(config)
    shape = {**bert(config), "pooler": False, **head}
    shape["segments"] = config.number("type_vocab_size", default=0)
    if not config.get("relative_attention", False):
        return shape
    if config.get("position_biased_input", True):
        raise EstimateError(
            "Relative distances together with a position table (position_biased_input) are not modelled."
        )
    buckets, most = config.get("position_buckets", -1), config.get("max_relative_positions", -1)
    span = buckets if buckets > 0 else most if most > 0 else config.number("max_position_embeddings")
    hidden, named = shape["hidden"], "layer_norm" in str(config.get("norm_rel_ebd", "none"))
    kinds = config.listed("pos_att_type")
    own = 0 if config.get("share_att_key") else sum(str(kind) in ("c2p", "p2c") for kind in kinds)
    return {
        **shape, "positions": "disentangled", "max_positions": 2 * span, "extra_weights": 2 * hidden if named else 0,
        "layer_weights": own * (hidden * hidden + hidden),
    }  # fmt: skip


def deberta(config: Config) -> Fields:
    """DeBERTa's first version: queries, keys and values by one GEMM, biases on queries and values alone, norms written out in fp32."""
    config.without_effect("pooler_dropout", "pooler_hidden_act", "pooler_hidden_size", "legacy", "talking_head")
    config.only(talking_head=False)
    shape = {**bert(config), "pooler": False, **masked_head(config), "attention_bias": "output"}
    shape |= {"segments": config.number("type_vocab_size", default=0), "code_steps": ["written-norm", "near-places"]}
    hidden, places = shape["hidden"], shape["max_positions"]
    biased = config.get("position_biased_input", True)
    if not config.get("relative_attention", False):
        return {**shape, "layer_weights": 2 * hidden, "positions": "learned" if biased else "none"}
    if biased:
        raise EstimateError(
            "Relative distances together with a position table (position_biased_input) are not modelled."
        )
    most, kinds = config.get("max_relative_positions", -1), str(config.get("pos_att_type", ""))
    content, query = ("c2p" in kinds) * hidden**2, ("p2c" in kinds) * (hidden**2 + hidden)
    return {
        **shape, "positions": "disentangled", "max_positions": 2 * (most if most > 0 else places),
        "layer_weights": 2 * hidden + content + query,
    }  # fmt: skip


def albert(config: Config) -> Fields:
    """ALBERT: BERT's layers with one set of weights, or a set per group, and narrower embeddings."""
    config.without_effect("inner_group_num", "classifier_dropout_prob", "down_scale_factor", "net_structure_type")
    config.without_effect("gap_size", "num_memory_blocks")
    config.only(inner_group_num=1)
    shape = topped(config, bert(config.supplied({"max_position_embeddings": 512})))
    return {
        **shape, "kind": "shared-layers", "embedding_width": config.number("embedding_size", default=128),
        "weight_sets": config.number("num_hidden_groups", default=1), "dropout": bool(config.get("hidden_dropout_prob", 0.0)),
        "activation": activation(config, "hidden_act", "gelu_new"),
    }  # fmt: skip


def topped(config: Config, shape: Fields, *, pooled: bool = True) -> Fields:
    """``shape`` with BERT's masked-language-model head if the file names that class, otherwise with a pooler if the family has one."""
    head = masked_head(config)
    return {**shape, **head, "pooler": pooled and head["head"] == "none"}


def mpnet(config: Config) -> Fields:
    """MPNet: one relative-position table for all layers, no token types."""
    rows = config.number("relative_attention_num_buckets", default=32)
    shape = {**bert(config), "segments": 0, "extra_weights": rows * config.number("num_attention_heads")}
    shape["code_steps"] = ["written-attention"]
    return topped(config, shape)


def megatron_bert(config: Config) -> Fields:
    """Megatron's BERT, whose file writes attention out."""
    return {**bert(config), "code_steps": ["written-attention"]}


def pre_normed(config: Config) -> Fields:
    """RoBERTa with pre-norm layers and a final norm; XLM-R XL has no norm on the embeddings."""
    return topped(
        config, {**bert(config), "final_norm": True, "embedding_norm": config["model_type"] != "xlm-roberta-xl"}
    )


def ernie(config: Config) -> Fields:
    """ERNIE: BERT with a task-type table if enabled in the file."""
    shape = topped(config, bert(config))
    rows = config.number("task_type_vocab_size", default=3) if config.get("use_task_id", False) else 0
    config.without_effect("task_type_vocab_size")
    return {**shape, "segments": shape["segments"] + rows}


def nomic_bert(config: Config) -> Fields:
    """Nomic's BERT: rotary positions, gated, no biases."""
    shape = {**bert(config), "positions": "rotary", "gated": True, "attention_bias": "none", "mlp_bias": False}
    config.without_effect("head_dim")
    return topped(config, shape, pooled=False)


READERS: Mapping[str, Reader] = MappingProxyType({
    "esm": esm, "electra": electra, "deberta": deberta, "deberta-v2": deberta_v2, "albert": albert,
    "mpnet": mpnet, "megatron-bert": megatron_bert, "ernie": ernie, "nomic_bert": nomic_bert,
    **dict.fromkeys(("roberta-prelayernorm", "xlm-roberta-xl"), pre_normed),
})  # fmt: skip
