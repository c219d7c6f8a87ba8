"""Megatron-LM's arguments, from a shell script or YAML, and NeMo's, which are named alike.

Names: megatron/training/arguments.py and megatron/core/transformer/transformer_config.py; NeMo's megatron_gpt_config.yaml.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from gpuhours.questions.interchange.keys import (
    ACCUMULATION,
    NODES,
    PER_NODE,
    VOCABULARY,
    ForeignFile,
    Key,
    above_one,
    paired,
    positive,
    rate,
    truth,
    written,
)

FLAG: Any = True
POSITIONS = {"rope": "rotary", "learned_absolute": "learned", "none": "none", "yarn": "rotary", "alibi": "alibi"}
NORMS = {"RMSNorm": "rms", "LayerNorm": "layer", "rmsnorm": "rms", "layernorm": "layer", "layernorm1p": "layer"}
SHAPE = (
    Key("model.layers", ("num_layers",), positive),
    Key("model.hidden", ("hidden_size",), positive),
    Key("model.heads", ("num_attention_heads",), positive),
    Key("model.kv_heads", ("num_query_groups",), positive),
    Key("model.head_dim", ("kv_channels",), positive),
    Key("model.ffn_hidden", ("ffn_hidden_size",), positive),
    Key("model.vocab", ("padded_vocab_size", "vocab_size"), positive),
    Key("model.max_positions", ("max_position_embeddings",), positive),
    Key("model.window", ("window_size",), positive),
    Key("model.experts.count", ("num_experts", "num_moe_experts"), positive),
    Key("model.experts.top_k", ("moe_router_topk",), positive),
    Key("model.experts.width", ("moe_ffn_hidden_size",), positive),
    Key("model.experts.shared_width", ("moe_shared_expert_intermediate_size",), positive),
    Key("model.latent.kv_rank", ("kv_lora_rank",), positive),
    Key("model.latent.query_rank", ("q_lora_rank",), positive),
    Key("model.latent.nope_dim", ("qk_head_dim",), positive),
    Key("model.latent.rope_dim", ("qk_pos_emb_head_dim",), positive),
    Key("model.latent.value_dim", ("v_head_dim",), positive),
)
LAYOUT = (
    Key("layout.tensor", ("tensor_model_parallel_size",), positive),
    Key("layout.pipeline", ("pipeline_model_parallel_size",), positive),
    Key("layout.context", ("context_parallel_size",), positive, above_one),
    Key("layout.expert", ("expert_model_parallel_size",), positive, above_one),
    Key("layout.expert_tensor", ("expert_tensor_parallel_size",), positive),
    Key("layout.microbatch", ("micro_batch_size",), positive),
    Key("training.global_batch", ("global_batch_size",), positive),
    Key(
        "layout.interleave",
        ("num_virtual_stages_per_pipeline_rank", "virtual_pipeline_model_parallel_size"),
        positive,
        above_one,
    ),
    Key("layout.recompute_layers", ("recompute_num_layers", "activations_checkpoint_num_layers"), positive),
    Key("data.seq_len", ("seq_length", "encoder_seq_length"), positive),
    Key("data.steps", ("train_iters", "max_steps"), positive),
    Key("data.samples", ("train_samples",), positive),
    Key(NODES, ("nnodes", "nodes", "num_nodes"), positive),
    Key(PER_NODE, ("nproc_per_node", "gpus_per_node", "devices"), positive),
    Key(ACCUMULATION, ("gradient_accumulation_steps",), positive, None),
)


def read(theirs: ForeignFile, software: str = "megatron") -> dict[str, Any]:
    """The run's keys in Megatron's or NeMo's arguments."""
    keys = paired(theirs, SHAPE) | paired(theirs, LAYOUT)
    keys |= _architecture(theirs, keys)
    keys |= _vocabulary(theirs, keys)
    recompute = theirs.get("recompute_granularity", "activations_checkpoint_granularity")
    theirs.get("recompute_method", "activations_checkpoint_method", "recompute_modules")
    recompute = "selective" if theirs.on("recompute_activations") and recompute is None else recompute
    keys |= {"layout.recompute": str(recompute or "none")}
    split = theirs.on("sequence_parallel")
    keys |= {"layout.sequence_parallel": split} if keys.get("layout.tensor", 1) > 1 else {}
    per_stage = positive(theirs.get("num_layers_per_virtual_pipeline_stage"))
    layers, stages = keys.get("model.layers"), keys.get("layout.pipeline", 1)
    if per_stage and layers and stages > 1 and "layout.interleave" not in keys:
        keys["layout.interleave"] = layers // (stages * per_stage)
    if keys.get("layout.interleave", 1) > 1:
        keys["layout.schedule"] = "interleaved"
    communication = theirs.get("cp_comm_type")
    if keys.get("layout.context", 1) > 1:
        keys["layout.sequence_method"] = str(communication or "p2p")
    return keys | _sharding(theirs) | _precision(theirs) | {"software": _software(theirs, software)}


GPT2_WORDS, PADDED_TO = 50_257, 128
"""GPT-2's vocabulary, and what Megatron pads one to a multiple of on each tensor rank (make-vocab-size-divisible-by)."""


def _vocabulary(theirs: ForeignFile, found: Mapping[str, Any]) -> dict[str, Any]:
    """GPT-2's padded vocabulary where its byte-pair merges are what the tokenizer is made of, and no size is said."""
    merges = theirs.names("merge_file") or theirs.get("tokenizer_type") == "GPT2BPETokenizer"
    if not merges or "model.layers" not in found or "model.vocab" in found:
        return {}
    multiple = (positive(theirs.get("make_vocab_size_divisible_by")) or PADDED_TO) * int(found.get("layout.tensor", 1))
    return {VOCABULARY: -(-GPT2_WORDS // multiple) * multiple}


def _architecture(theirs: ForeignFile, found: Mapping[str, Any]) -> dict[str, Any]:
    """Switches of the shape; Megatron's defaults are GPT-2's, so that they count where nothing is said and a shape is."""
    grouped = theirs.get("group_query_attention")
    gated = theirs.on("swiglu", "gated_linear_unit") or str(theirs.get("activation")) in {
        "swiglu",
        "fast-swiglu",
        "geglu",
    }
    norm, positions = theirs.get("normalization"), theirs.get("position_embedding_type")
    positions = "rope" if theirs.on("use_rotary_position_embeddings") else positions
    untied, shared = theirs.on("untie_embeddings_and_output_weights"), theirs.get("share_embeddings_and_output_weights")
    plain, only_qkv = (
        theirs.on("disable_bias_linear") or truth(theirs.get("bias", "add_bias_linear")) is False,
        theirs.on("add_qkv_bias"),
    )
    if "model.layers" not in found:
        return {}
    tied = truth(shared) if shared is not None else not untied
    kind = POSITIONS.get(str(positions), "learned")
    shape: dict[str, Any] = {
        "model.gated": gated, "model.norm": NORMS.get(str(norm), "layer"), "model.positions": kind, "model.tied": tied,
        "model.mlp_bias": not plain, "model.attention_bias": "qkv" if only_qkv and plain else "none" if plain else "all",
    }  # fmt: skip
    if truth(grouped) is False or (grouped is None and "model.kv_heads" not in found):
        shape["model.kv_heads"] = found.get("model.heads")
    kept = theirs.get("hidden_dropout")
    theirs.get("attention_dropout", "ffn_dropout")
    shape["model.dropout"] = rate(kept, 0.1) > 0
    if theirs.on("qk_layernorm"):
        shape["model.qk_norm"] = "head"
    if not theirs.on("multi_latent_attention"):
        shape |= {
            f"model.latent.{part}": None for part in ("kv_rank", "query_rank", "nope_dim", "rope_dim", "value_dim")
        }
    return shape | ({} if kind == "learned" else {"model.max_positions": None})


def _sharding(theirs: ForeignFile) -> dict[str, Any]:
    """The distributed optimiser is ZeRO-1; Megatron's FSDP says its own level."""
    level = theirs.get("data_parallel_sharding_strategy")
    if theirs.on("use_megatron_fsdp", "use_custom_fsdp", "use_torch_fsdp2"):
        levels = {"optim": "zero1", "optim_grads": "zero2", "optim_grads_params": "zero3", "no_shard": "none"}
        return {"layout.sharding": levels.get(str(level), "zero3")}
    distributed = theirs.on("use_distributed_optimizer") or str(theirs.get("optim.name")) in {
        "distributed_fused_adam", "mcore_distributed_optim",
    }  # fmt: skip
    return {"layout.sharding": "zero1" if distributed else "none"} | (
        {"layout.offload_optimizer": True} if theirs.on("optimizer_cpu_offload") else {}
    )


def _precision(theirs: ForeignFile) -> dict[str, Any]:
    """fp8 over 16 bit; NeMo's trainer says ``bf16-mixed`` or 16."""
    eight, recipe = theirs.get("fp8_format", "fp8"), str(theirs.get("fp8_recipe"))
    half, brain, trainer = theirs.on("fp16"), theirs.on("bf16"), theirs.get("precision")
    if theirs.on("fp4", "fp4_format"):
        return {"training.dtype": "nvfp4"}
    if eight in ("hybrid", "e4m3") or truth(eight):
        return {"training.dtype": "mxfp8" if recipe == "mxfp8" else "fp8"}
    if trainer is not None and not (half or brain):
        named = {
            "16": "fp16",
            "32": "fp32",
            "16-mixed": "fp16",
            "bf16-mixed": "bf16",
            "bf16": "bf16",
            "32-true": "fp32",
        }
        return {"training.dtype": named.get(str(trainer), str(trainer))}
    return {"training.dtype": "bf16" if brain else "fp16" if half else "fp32"}


def _software(theirs: ForeignFile, software: str) -> str:
    overlapped = theirs.on("overlap_grad_reduce", "overlap_param_gather", "tp_comm_overlap")
    for name in (
        "use_flash_attn",
        "transformer_impl",
        "use_mcore_models",
        "moe_grouped_gemm",
        "moe_token_dispatcher_type",
    ):
        theirs.get(name)
    return "megatron-core" if overlapped or software == "nemo" else "megatron-lm"


def write(values: Mapping[str, Any], software: str = "megatron") -> dict[str, Any]:
    """A run's values as Megatron's or NeMo's arguments."""
    theirs = written(values, SHAPE) | written(values, LAYOUT)
    nemo = software == "nemo"
    if nemo:
        names = {
            "num_virtual_stages_per_pipeline_rank": "virtual_pipeline_model_parallel_size", "seq_length": "encoder_seq_length",
            "recompute_num_layers": "activations_checkpoint_num_layers", "nnodes": "num_nodes", "nproc_per_node": "devices",
            "train_iters": "max_steps", "num_experts": "num_moe_experts",
        }  # fmt: skip
        theirs = {names.get(name, name): value for name, value in theirs.items()}
    return theirs | dict(_switches(values, nemo))


def _switches(values: Mapping[str, Any], nemo: bool) -> Iterator[tuple[str, Any]]:
    """Switches, each as the two write it."""
    recompute, dtype = values.get("layout.recompute", "none"), values.get("training.dtype", "bf16")
    if recompute != "none":
        yield ("activations_checkpoint_granularity" if nemo else "recompute_granularity"), recompute
    if recompute == "full":
        yield (
            ("activations_checkpoint_method" if nemo else "recompute_method"),
            "block" if "layout.recompute_layers" in values else "uniform",
        )
        if "layout.recompute_layers" not in values and not nemo:
            yield "recompute_num_layers", 1
    if values.get("layout.tensor", 1) > 1 and values.get("layout.sequence_parallel", True):
        yield "sequence_parallel", FLAG
    if values.get("layout.context", 1) > 1:
        yield (
            "cp_comm_type",
            {"all-gather": "all_gather", "ulysses": "a2a", "hybrid": "a2a+p2p"}.get(
                values["layout.sequence_method"], "p2p"
            ),
        )
    level = values.get("layout.sharding", "none")
    if nemo:
        yield "name", "distributed_fused_adam" if level != "none" else "fused_adam"
    elif level == "zero1":
        yield "use_distributed_optimizer", FLAG
    elif level != "none":
        yield from (
            ("use_megatron_fsdp", FLAG),
            ("data_parallel_sharding_strategy", "optim_grads_params" if level == "zero3" else "optim_grads"),
        )
    if values.get("layout.offload_optimizer"):
        yield "optimizer_cpu_offload", FLAG
    if dtype in ("fp8", "mxfp8"):
        yield from (("bf16", FLAG), ("fp8" if nemo else "fp8_format", True if nemo else "hybrid"))
        if dtype == "mxfp8":
            yield "fp8_recipe", "mxfp8"
    elif dtype in ("bf16", "fp16"):
        yield dtype, FLAG
    if not nemo and str(values.get("software")).startswith("megatron-core"):
        yield from (("overlap_grad_reduce", FLAG), ("overlap_param_gather", FLAG))
    if "model.layers" in values:
        yield from _shape_switches(values)


def _shape_switches(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if values.get("model.kv_heads", values["model.heads"]) != values["model.heads"]:
        yield "group_query_attention", FLAG
    if values.get("model.gated"):
        yield from (("swiglu", FLAG), ("activation", "swiglu"))
    yield "normalization", "RMSNorm" if values.get("model.norm") == "rms" else "LayerNorm"
    yield (
        "position_embedding_type",
        {"rotary": "rope", "learned": "learned_absolute"}.get(str(values.get("model.positions")), "none"),
    )
    if not values.get("model.tied"):
        yield "untie_embeddings_and_output_weights", FLAG
        yield "share_embeddings_and_output_weights", False
    if not values.get("model.mlp_bias"):
        yield from (("disable_bias_linear", FLAG), ("bias", False))
    if values.get("model.attention_bias") == "qkv":
        yield "add_qkv_bias", FLAG
    if not values.get("model.dropout"):
        yield from (("hidden_dropout", 0.0), ("attention_dropout", 0.0))
    if values.get("model.qk_norm") == "head":
        yield "qk_layernorm", FLAG
    if "model.latent.kv_rank" in values:
        yield "multi_latent_attention", FLAG


_SET = re.compile(r"^(?:export\s+|local\s+)?([A-Za-z_]\w*)=(.*)$")
_USED = re.compile(r"\$\{(\w+)(?::?-([^}]*))?\}|\$(\w+)")
_SUM = re.compile(r"\$\(\(([\w\s*/+$(){}-]+)\)\)")


def arguments(text: str) -> dict[str, Any]:
    """``--name value`` of a shell script, whatever the order, with variables that the script sets put in.

    >>> arguments("TP=4\\ntorchrun --nproc_per_node=8 pretrain.py --tensor-model-parallel-size $TP --bf16")
    {'nproc_per_node': '8', 'tensor_model_parallel_size': '4', 'bf16': True}
    """
    lines = [line.removeprefix("#SBATCH").strip() if line.startswith("#SBATCH") else line for line in text.splitlines()]
    joined = re.sub(r"\\\s*\n", " ", "\n".join(lines))
    known: dict[str, str] = {}
    values: dict[str, Any] = {}
    name = None
    for line in joined.splitlines():
        for word in _words(_SUM.sub(lambda match: _filled(match[0], known), line)):
            assigned = _SET.match(word)
            if assigned and not word.startswith("-"):
                known[assigned[1]] = _filled(assigned[2].lstrip("(").rstrip(";"), known)
                inner = _words(known[assigned[1]]) if "--" in known[assigned[1]] else []
            else:
                inner = _filled(word, known).split() if word.startswith("--") else _words(_filled(word, known))
            for part in inner:
                name = _taken(part, name, values)
    return values


def _taken(word: str, name: str | None, found: dict[str, Any]) -> str | None:
    """Put one word where it belongs: a name, or the value of the name before it."""
    if word.startswith("--"):
        name, equals, value = word[2:].rstrip(")").partition("=")
        name = name.replace("-", "_")
        found[name] = value if equals else True
        return None if equals else name
    if name is not None and found.get(name) is True and word.strip(")\"' "):
        found[name] = word.strip(")\"' ")
    return None


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # a quote over several lines
        return line.replace('"', " ").replace("'", " ").split()


LONGEST_COUNT = 20
"""Digits of a number that counts something."""


def _filled(text: str, known: Mapping[str, str]) -> str:
    """Variables and products of whole numbers put in."""

    def sum_of(match: re.Match[str]) -> str:
        inner = re.sub(r"[A-Za-z_]\w*", lambda name: known.get(name[0], name[0]), _filled(match[1], known))
        factors = inner.replace(" ", "").split("*")
        if not all(factor.isascii() and factor.isdigit() and len(factor) < LONGEST_COUNT for factor in factors):
            return match[0]
        product = 1
        for factor in factors:
            product *= int(factor)
        return str(product)

    text = _SUM.sub(sum_of, text)
    return _USED.sub(lambda use: known.get(use[1] or use[3]) or use[2] or use[0], text)
