"""Megatron-LM's arguments, from a shell script or YAML, and NeMo's keys, which have the same names.

Names: megatron/training/arguments.py and megatron/core/transformer/transformer_config.py; NeMo's megatron_gpt_config.yaml.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from gpuhours.architecture.catalogue import known_as, named, names
from gpuhours.architecture.lora import ATTENTION, EVERY
from gpuhours.layout.choices import words as words_of_choice
from gpuhours.layout.sequence_methods import METHODS, SequenceMethod
from gpuhours.questions.interchange import swift
from gpuhours.questions.interchange.keys import (
    ACCUMULATION,
    NODES,
    PER_NODE,
    UNPADDED,
    VOCABULARY,
    ForeignFile,
    Key,
    above_one,
    as_bool,
    below_one,
    paired,
    positive,
    rate,
    written,
)
from gpuhours.questions.interchange.nemo_recipes import model_of_recipe

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
    Key("model.vocab", ("padded_vocab_size", "pad_vocab_size_to"), positive),
    Key("model.max_positions", ("max_position_embeddings",), positive),
    Key("model.window", ("window_size",), positive),
    Key("model.rotary_share", ("rotary_percent", "rotary_percentage"), lambda value: below_one(rate(value, 1))),
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
    Key("data.seq_len", ("seq_length", "encoder_seq_length", "train_ds.max_seq_length"), positive),
    Key("data.steps", ("train_iters", "max_steps"), positive),
    Key("data.samples", ("train_samples",), positive),
    Key(NODES, ("nnodes", "nodes", "num_nodes"), positive),
    Key(PER_NODE, ("nproc_per_node", "gpus_per_node", "devices"), positive),
    Key(ACCUMULATION, ("gradient_accumulation_steps",), positive, None),
)

MARKS = {name for key in (*SHAPE, *LAYOUT) if key.ours not in (NODES, PER_NODE, ACCUMULATION, "data.steps") for name in key.theirs} | {
    "recompute_granularity", "recompute_activations", "use_distributed_optimizer", "sequence_parallel", "use_flash_attn", "swiglu",
    "num_layers_per_virtual_pipeline_stage", "fp8_format", "transformer_impl", "use_mcore_models", "overlap_grad_reduce",
    "checkpoint_activations", "deepspeed_config", "moe_layer_freq", "vocab_size", "model_parallel_size", "optimizer_cpu_offload",
    "use_megatron_fsdp", "use_custom_fsdp", "use_torch_fsdp2",
}  # fmt: skip
"""Arguments that only Megatron-LM and what is built on it have."""


def read(theirs: ForeignFile, software: str = "megatron") -> dict[str, Any]:
    """Convert Megatron's or NeMo's arguments to the run's keys."""
    keys = paired(theirs, SHAPE) | paired(theirs, LAYOUT)
    keys |= model_of_recipe(theirs) | ({} if "model.layers" in keys else {"model.max_positions": None})
    if software != "nemo" and PER_NODE in keys and not theirs.holds("nnodes", "nodes", "num_nodes"):
        keys[NODES] = 1  # torchrun's default
    keys |= _architecture(theirs, keys)
    keys |= _vocabulary(theirs, keys) | _mixture(theirs, keys)
    keys |= _recompute(theirs)
    split = theirs.on("sequence_parallel")
    keys |= {"layout.sequence_parallel": split} if keys.get("layout.tensor", 1) > 1 else {}
    per_stage = theirs.count("num_layers_per_virtual_pipeline_stage")
    layers, stages = keys.get("model.layers"), keys.get("layout.pipeline", 1)
    if per_stage and layers and stages > 1 and "layout.interleave" not in keys:
        keys["layout.interleave"] = layers // (stages * per_stage)
    if keys.get("layout.interleave", 1) > 1:
        keys["layout.schedule"] = "interleaved"
    communication = theirs.get("cp_comm_type")
    if keys.get("layout.context", 1) > 1:
        keys["layout.sequence_method"] = str(communication or "p2p")
    precision = _precision(theirs)
    keys |= _sharding(theirs, str(precision["training.dtype"])) | precision | _adapters(theirs)
    keys |= {"software": _software(theirs, software)}
    return swift.megatron(theirs, keys) if theirs.get(swift.LAUNCHED) else keys


def _recompute(theirs: ForeignFile) -> dict[str, Any]:
    """The recomputation keys. In files that know no granularity, which is of 2022, a method recomputes whole layers. Only ``block``
    recomputes a number of layers per stage; under ``uniform`` that number is how many layers share one stored input."""
    granularities = "recompute_granularity", "activations_checkpoint_granularity"
    granularity, method = theirs.get(*granularities), theirs.get("recompute_method", "activations_checkpoint_method")
    theirs.get("recompute_modules")
    whole = theirs.on("checkpoint_activations", "deepspeed_activation_checkpointing")
    whole = whole or (method is not None and not theirs.holds(*granularities))
    some = theirs.on("recompute_activations")
    mode = str(granularity or ("selective" if some else "full" if whole else "none"))
    if theirs.count("checkpoint_num_layers") not in (None, 1):
        theirs.leave("checkpoint_num_layers")
    if mode == "full" and method == "block":
        numbers = "recompute_num_layers", "activations_checkpoint_num_layers"
        none = any(str(theirs.get(one)) == "0" for one in numbers)  # the first 0 layers of a stage
        return {"layout.recompute": "none"} if none else {"layout.recompute": mode}
    return {"layout.recompute": mode, "layout.recompute_layers": None}


GPT2_WORDS, PADDED_TO = 50_257, 128
"""GPT-2's vocabulary size, and the multiple, times the tensor degree, to which Megatron pads (make-vocab-size-divisible-by)."""


def _vocabulary(theirs: ForeignFile, found: Mapping[str, Any]) -> dict[str, Any]:
    """The vocabulary size with Megatron's padding; if no size is given, that of the model whose tokenizer is named, or GPT-2's if its
    byte-pair merges are named."""
    merges = theirs.names("merge_file") or theirs.get("tokenizer_type") == "GPT2BPETokenizer"
    said, each = theirs.count("vocab_size"), theirs.count("make_vocab_size_divisible_by") or PADDED_TO
    if "model.layers" not in found or "model.vocab" in found:
        return {}
    whose, words = ("", said) if said else ("gpt2", GPT2_WORDS) if merges else _words_of(theirs)
    if not words:
        return {}
    multiple = each * int(found.get("layout.tensor", 1))
    padded = -(-words // multiple) * multiple
    return {"model.vocab": padded, UNPADDED: said} if said else {VOCABULARY: (padded, whose)}


def _words_of(theirs: ForeignFile) -> tuple[str, int | None]:
    """The known model whose tokenizer is named (``meta-llama/Meta-Llama-3-8B``), and its vocabulary; None if it is not known."""
    name = str(theirs.get("tokenizer_model", "tokenizer_name_or_path") or "")
    if not name or known_as(name) not in names():
        return "", None
    words = named(known_as(name)).shape.get("vocab")
    return known_as(name), None if words is None else int(words)


def _mixture(theirs: ForeignFile, found: Mapping[str, Any]) -> dict[str, Any]:
    """The keys for layers with experts, from one in N or a list of ones and zeros (``([0]*3+[1]*58)``); empty for a dense model."""
    frequency = theirs.get("moe_layer_freq")
    if "model.experts.count" not in found:
        return {f"model.experts.{part}": None for part in ("top_k", "width", "shared_width")}
    if frequency is None:
        return {}
    layers, every = int(found.get("model.layers", 0)), positive(frequency)
    if every:
        return {"model.experts.every": above_one(every)}
    pattern = ones_and_zeros(str(frequency))
    starts = range(pattern.index(1) + 1 if 1 in pattern else 0)
    for first, step in itertools.product(starts, range(1, layers + 1)):
        places = [0] * first + [int((layer + 1) % step == 0) for layer in range(layers - first)]
        if len(pattern) == layers and pattern == places:
            return {"model.experts.first_dense": first or None, "model.experts.every": above_one(step)}
    theirs.leave("moe_layer_freq")
    return {}


def ones_and_zeros(text: str) -> list[int]:
    """Evaluate a Python expression of list additions and multiplications; an empty list for anything else.

    >>> ones_and_zeros("([0]*2+[1]*3)")
    [0, 0, 1, 1, 1]
    """
    layers: list[int] = []
    bare = text.replace(" ", "").strip("()'\"")
    if not re.fullmatch(r"(\[[01](,[01])*\](\*\d{1,4})?\+?)+", bare):
        return []
    for ones, times in re.findall(r"\[([01,]+)\](?:\*(\d+))?", bare):
        layers += [int(one) for one in ones.split(",")] * int(times or 1)
    return layers


def _adapters(theirs: ForeignFile) -> dict[str, Any]:
    """NeMo's LoRA, if the file trains one."""
    scheme = theirs.get("peft.peft_scheme")
    for part in ("adapter_tuning", "lora_tuning", "p_tuning", "ia3_tuning", "selective_tuning"):
        theirs.irrelevant(part)
    if scheme != "lora":
        if scheme not in (None, "none"):
            theirs.leave("peft.peft_scheme")
        return {}
    parts = {
        "attention_qkv": ("q", "k", "v"), "attention_dense": ("o",), "mlp_fc1": ("gate", "up"), "mlp_fc2": ("down",),
        "attention": ATTENTION, "mlp": ("gate", "up", "down"), "all": EVERY,
    }  # fmt: skip
    named = theirs.get("lora_tuning.target_modules") or ["attention_qkv"]
    targets = [part for one in named for part in parts.get(str(one), ())]
    rank = theirs.count("lora_tuning.adapter_dim", usual=32)
    return {"model.trainable": "lora", "model.rank": rank, "model.targets": targets}


def _architecture(theirs: ForeignFile, found: Mapping[str, Any]) -> dict[str, Any]:
    """Switches of the model's shape. Those that are not set have Megatron's defaults, which are those of GPT-2."""
    grouped = theirs.get("group_query_attention")
    gated = theirs.on("swiglu", "gated_linear_unit") or str(theirs.get("activation")) in {
        "swiglu",
        "fast-swiglu",
        "geglu",
    }
    norm, positions = theirs.get("normalization"), theirs.get("position_embedding_type")
    positions = "rope" if theirs.on("use_rotary_position_embeddings") else positions
    positions = "none" if theirs.on("no_position_embedding") and positions is None else positions
    untied, shared = theirs.on("untie_embeddings_and_output_weights"), theirs.get("share_embeddings_and_output_weights")
    plain, only_qkv = (
        theirs.on("disable_bias_linear") or as_bool(theirs.get("bias", "add_bias_linear")) is False,
        theirs.on("add_qkv_bias"),
    )
    kept = theirs.get("hidden_dropout")
    theirs.get("attention_dropout", "ffn_dropout")
    if "model.layers" not in found:
        return {}
    tied = as_bool(shared) if shared is not None else not untied
    kind = POSITIONS.get(str(positions), "learned")
    shape: dict[str, Any] = {
        "model.gated": gated, "model.norm": NORMS.get(str(norm), "layer"), "model.positions": kind, "model.tied": tied,
        "model.mlp_bias": not plain, "model.attention_bias": "qkv" if only_qkv and plain else "none" if plain else "all",
    }  # fmt: skip
    if as_bool(grouped) is False or (grouped is None and "model.kv_heads" not in found):
        shape["model.kv_heads"] = found.get("model.heads")
    shape["model.dropout"] = rate(kept, 0.1) > 0
    if theirs.on("qk_layernorm"):
        shape["model.qk_norm"] = "head"
    if not theirs.on("multi_latent_attention"):
        shape |= {
            f"model.latent.{part}": None for part in ("kv_rank", "query_rank", "nope_dim", "rope_dim", "value_dim")
        }
    return shape | ({} if kind == "learned" else {"model.max_positions": None})


def _sharding(theirs: ForeignFile, dtype: str) -> dict[str, Any]:
    """The sharding keys. The distributed optimiser is ZeRO-1; Megatron's FSDP, and DeepSpeed around Megatron-LM, state their level.
    DeepSpeed's bf16 optimiser shards its states even at stage 0."""
    level = theirs.get("data_parallel_sharding_strategy")
    if theirs.on("deepspeed"):
        stage = theirs.count("zero_stage") or (1 if dtype == "bf16" else 0)
        offloaded = {"layout.offload_optimizer": True} if theirs.on("cpu_optimizer") else {}
        theirs.get("deepspeed_config", "no_pipeline_parallel")
        return {"layout.sharding": f"zero{stage}" if stage else "none", **offloaded}
    if theirs.on("fsdp"):  # NeMo's switch for PyTorch's FSDP
        levels = {"grad": "zero2", "hybrid": "zero3", "full": "zero3"}
        level = levels.get(str(theirs.get("fsdp_sharding_strategy") or "full"))
        if level is None:
            theirs.leave("fsdp_sharding_strategy")
        return {"layout.sharding": level}
    theirs.get("fsdp_sharding_strategy", "fsdp_grad_reduce_dtype")
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
    """The precision keys: fp4, then fp8, take precedence over 16-bit formats; NeMo's trainer states ``bf16-mixed`` or 16."""
    eight, recipe = theirs.get("fp8_format", "fp8"), str(theirs.get("fp8_recipe"))
    half, brain, trainer = theirs.on("fp16"), theirs.on("bf16"), theirs.get("precision")
    if theirs.on("fp4", "fp4_format"):
        return {"training.dtype": "nvfp4"}
    if eight in ("hybrid", "e4m3") or as_bool(eight):
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
    if theirs.on("deepspeed"):
        return "megatron-deepspeed"
    for name in (
        "use_flash_attn",
        "transformer_impl",
        "use_mcore_models",
        "moe_grouped_gemm",
        "moe_token_dispatcher_type",
        "attention_backend",
    ):
        theirs.get(name)
    return "megatron-core" if overlapped or software == "nemo" else "megatron-lm"


def write(values: Mapping[str, Any], software: str = "megatron") -> dict[str, Any]:
    """Convert a run's values to Megatron's or NeMo's arguments."""
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
    """Switches for writing, in Megatron's or NeMo's spelling."""
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
            METHODS[SequenceMethod(words_of_choice(SequenceMethod)[values["layout.sequence_method"]])].megatron,
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
