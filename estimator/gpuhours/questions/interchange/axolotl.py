"""axolotl's YAML (docs.axolotl.ai/docs/config-reference.html)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gpuhours.architecture.catalogue import known_as, names
from gpuhours.architecture.lora import ALL, ATTENTION, EVERY
from gpuhours.questions.interchange.accelerate import OFFLOADED, sharded_as, strategy_called
from gpuhours.questions.interchange.deepspeed import stage_named
from gpuhours.questions.interchange.keys import (
    ACCUMULATION,
    LONGEST,
    RANKS,
    ForeignFile,
    Key,
    above_one,
    above_zero,
    paired,
    positive,
    written,
)

TABLE = (
    Key("layout.microbatch", ("micro_batch_size",), positive),
    Key(ACCUMULATION, ("gradient_accumulation_steps",), positive),
    Key("data.epochs", ("num_epochs",), above_zero),
    Key("data.steps", ("max_steps",), positive),
    Key("layout.tensor", ("tensor_parallel_size",), positive, above_one),
    Key("layout.context", ("context_parallel_size", "sequence_parallel_degree"), positive, above_one),
    Key("layout.expert", ("expert_parallel_size",), positive, above_one),
)
MOST_REPETITIONS = 5
PROJECTIONS = {f"{part}_proj": part for part in EVERY}


def model_called(name: str) -> str | None:
    """The known model for a hub repository, None if there is none: ``NousResearch/Meta-Llama-3-8B-Instruct`` -> ``llama-3-8b``."""
    known = known_as(name if "/" in name else f"/{name}")
    return known if known in names() else None


def targeted(modules: Any) -> list[str]:
    """LoRA targets for PEFT's ``target_modules``, a list or a regular expression that matches a module's full name; none for an expression
    that may take long to match: one that repeats a group, or with many repetitions.

    >>> targeted(r"model.layers.[\\d]+.(mlp|self_attn).(down|q|v)_proj")
    ['q', 'v', 'down']
    """
    if isinstance(modules, str):
        if re.search(r"\)[*+{]", modules) or sum(map(modules.count, "*+{")) > MOST_REPETITIONS:
            return []
        try:
            fits = re.compile(modules)
        except re.error:
            return []
        inside = {part: "self_attn" if part in ATTENTION else "mlp" for part in EVERY}
        return [part for part in EVERY if fits.fullmatch(f"model.layers.0.{inside[part]}.{part}_proj")]
    named = modules if isinstance(modules, list) else []
    return [PROJECTIONS[one] for one in named if isinstance(one, str) and one in PROJECTIONS]


def read(theirs: ForeignFile) -> dict[str, Any]:
    """Convert an axolotl configuration to the run's keys."""
    keys = paired(theirs, TABLE) | _model(theirs) | _length(theirs)
    theirs.get("flash_attention", "model_type", "is_qwen_derived_model", "is_llama_derived_model")
    half, brain = theirs.on("fp16", "float16"), theirs.get("bf16", "bfloat16")
    theirs.known("bf16", "bfloat16")  # auto: true if the GPU supports it
    theirs.get("attn_implementation", "tf32", "gradient_checkpointing_kwargs")
    keys.setdefault("training.dtype", "fp16" if half else "fp32" if brain is False else "bf16")
    recompute, again = theirs.get("gradient_checkpointing"), "fsdp_config.fsdp_activation_checkpointing"
    recompute = True if theirs.on(again, "fsdp_config.activation_checkpointing") else recompute
    offloaded = theirs.get("activation_offloading")
    if recompute in ("offload", "offload_disk") or offloaded in (True, "true", "legacy", "disk"):
        keys |= {"layout.recompute": "full", "layout.offload_activations": True}
    elif recompute is not None:
        keys["layout.recompute"] = "full" if recompute is True or str(recompute) in ("true", "unsloth") else "none"
    config = str(theirs.get("deepspeed") or "")
    inside, older = "fsdp_config.", "fsdp_config.fsdp_"
    again = theirs.get(f"{inside}reshard_after_forward", f"{older}reshard_after_forward")
    strategy = str(theirs.get(f"{inside}sharding_strategy", f"{older}sharding_strategy") or "")
    words = theirs.get("fsdp")
    versions = theirs.get("fsdp_version", f"{inside}fsdp_version")
    sharded = words is not None or versions is not None or again is not None or bool(strategy)
    for part in ("transformer_layer_cls_to_wrap", "auto_wrap_policy", "limit_all_gathers"):
        theirs.get(f"{inside}{part}", f"{older}{part}")
    keys |= stage_named(config)
    if sharded:
        keys["layout.sharding"] = "zero2" if again is False else "zero3"
        keys |= (sharded_as(theirs) if words else {}) | strategy_called(strategy)
        if strategy and not strategy_called(strategy):
            theirs.leave(
                f"{inside}sharding_strategy"
                if theirs.holds(f"{inside}sharding_strategy")
                else f"{older}sharding_strategy"
            )
        keys |= OFFLOADED if theirs.on(f"{inside}offload_params", f"{older}offload_params") else {}
    keys |= _ranks(theirs, keys)
    software = "huggingface-deepspeed" if config else "huggingface-fsdp2" if sharded else None
    return keys | {"software": software or ("huggingface-liger" if _fused(theirs) else "huggingface-trainer")}


def _ranks(theirs: ForeignFile, keys: Mapping[str, Any]) -> dict[str, Any]:
    """The data-parallel ranks: copies x shards x experts' groups (docs.axolotl.ai/docs/nd_parallelism.html), each group of
    ``dp_shard_size`` holding all weights where there are copies."""
    shards, copies = theirs.count("dp_shard_size"), theirs.count("dp_replicate_size") or 1
    if shards is None:
        return {}
    ranks = {RANKS: copies * shards * int(keys.get("layout.expert") or 1)}
    return ranks | ({"layout.shard_group": shards} if copies > 1 and shards > 1 else {})


def _fused(theirs: ForeignFile) -> bool:
    """Whether Liger's kernels are on, for a run that neither DeepSpeed nor FSDP shards (their stacks are measured without)."""
    switches = ("liger_rope", "liger_rms_norm", "liger_glu_activation", "liger_fused_linear_cross_entropy")
    plugins = theirs.get("plugins")
    if any(theirs.on(one) for one in switches) and "liger" in str(plugins).lower():
        return True
    if plugins is not None:
        theirs.leave("plugins")
    return False


def _length(theirs: ForeignFile) -> dict[str, Any]:
    """``sequence_len`` is the length of every sample where they are packed or padded to it; otherwise longer ones are cut to it."""
    length, packed = theirs.count("sequence_len"), theirs.on("sample_packing")
    padded = theirs.on("pad_to_sequence_len")
    return {"data.seq_len" if packed or padded else LONGEST: length} | ({"data.packed": True} if packed else {})


def _model(theirs: ForeignFile) -> dict[str, Any]:
    """The keys of the model and its LoRA adapters."""
    name, adapter, narrow = theirs.get("base_model"), theirs.get("adapter"), theirs.on("load_in_4bit")
    known = None if name is None else model_called(str(name))
    keys: dict[str, Any] = {"model.name": known} if known else {}
    if name is not None and known is None:
        theirs.leave("base_model")
    rank, modules, linear = (
        theirs.count("lora_r"),
        theirs.get("lora_target_modules"),
        theirs.on("lora_target_linear"),
    )
    if adapter in ("lora", "qlora"):
        keys |= {"model.trainable": "lora"} | ({"model.rank": rank} if rank else {})
        targets = [ALL] if linear else targeted(modules)
        keys |= {"model.targets": targets} if targets else {}
        named = len(modules) if isinstance(modules, list) else 1
        if not linear and modules is not None and len(targets) < named:
            theirs.leave("lora_target_modules")
    if narrow or adapter == "qlora":
        keys["training.dtype"] = "nf4"
    return keys


def write(values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a run's values to an axolotl configuration."""
    theirs = {"base_model": values["model.name"]} if "model.name" in values else {}
    theirs |= written(values, TABLE)
    dtype = values.get("training.dtype", "bf16")
    if values.get("model.trainable") == "lora":
        theirs |= {"adapter": "qlora" if dtype == "nf4" else "lora", "lora_r": values.get("model.rank", 8)}
        theirs["lora_target_modules"] = [f"{part}_proj" for part in values.get("model.targets", ())]
        theirs |= {"load_in_4bit": True} if dtype == "nf4" else {}
    theirs |= {"optimizer": "adamw_bnb_8bit"} if values.get("training.optimizer") == "adamw-8bit" else {}
    theirs |= {"fp16": True} if dtype == "fp16" else {"bf16": dtype in ("bf16", "nf4")}
    if values.get("data.seq_len"):
        theirs |= {"sequence_len": values["data.seq_len"]}
        theirs |= {"sample_packing" if values.get("data.packed") else "pad_to_sequence_len": True}
    theirs["gradient_checkpointing"] = (
        "offload" if values.get("layout.offload_activations") else values.get("layout.recompute") == "full"
    )
    sharding = values.get("layout.sharding", "none")
    if sharding in ("zero2", "zero3") and not str(values.get("software")).endswith("deepspeed"):
        theirs |= {"fsdp_version": 2, "fsdp_config.reshard_after_forward": sharding == "zero3"}
    elif sharding != "none":
        theirs["deepspeed"] = f"deepspeed_configs/{sharding}.json"
    return theirs
