"""accelerate's YAML: FSDP, DeepSpeed, Megatron-LM or plain data parallel (huggingface.co/docs/accelerate)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gpuhours.questions.interchange.deepspeed import stage_named, stage_numbered
from gpuhours.questions.interchange.keys import (
    ACCUMULATION,
    IN_NODE,
    NODES,
    RANKS,
    ForeignFile,
    Key,
    as_bool,
    paired,
    positive,
    written,
)

TABLE = (
    Key("hardware.gpus", ("num_processes",), positive),
    Key(NODES, ("num_machines",), positive, None),
    Key(ACCUMULATION, ("gradient_accumulation_steps", "deepspeed_config.gradient_accumulation_steps"), positive),
    Key(
        "layout.tensor",
        ("parallelism_config.parallelism_config_tp_size", "megatron_lm_config.megatron_lm_tp_degree"),
        positive,
    ),
    Key("layout.pipeline", ("megatron_lm_config.megatron_lm_pp_degree",), positive, None),
    Key("layout.context", ("parallelism_config.parallelism_config_cp_size",), positive),
)
STRATEGIES: Mapping[str, dict[str, Any]] = {
    "full_shard": {"layout.sharding": "zero3"}, "shard_grad_op": {"layout.sharding": "zero2"}, "no_shard": {"layout.sharding": "none"},
    "hybrid_shard": {"layout.sharding": "zero3", IN_NODE: True}, "hybrid_shard_zero2": {"layout.sharding": "zero2", IN_NODE: True},
}  # fmt: skip
"""FSDP sharding strategies in the order of accelerate's numbers, which start at 1."""

OFFLOADED = {"layout.offload_optimizer": True, "layout.offload_parameters": True}
"""What FSDP's ``offload_params`` keeps in host memory: the shards, and with them their optimiser states."""


def sharded_as(theirs: ForeignFile) -> dict[str, Any]:
    """The layout of Trainer's ``fsdp``: ``full_shard auto_wrap offload``. Other words are listed as not understood."""
    said = theirs.get("fsdp")
    words = " ".join(map(str, said)) if isinstance(said, list) else str(said or "")
    keys: dict[str, Any] = {}
    listed = re.split(r"[\s,]+", words.strip().lower().replace("true", "full_shard"))
    for word in listed:
        keys |= STRATEGIES.get(word, {}) | (OFFLOADED if word == "offload" else {})
    if not set(listed) & STRATEGIES.keys() or set(listed) - {*STRATEGIES, "offload", "auto_wrap"}:
        theirs.leave("fsdp")
    return keys


def strategy_called(name: Any) -> dict[str, Any]:
    """The layout of an FSDP sharding strategy, by its name or accelerate's number; empty if there is none.

    >>> strategy_called("SHARD_GRAD_OP"), strategy_called(3), strategy_called("banana")
    ({'layout.sharding': 'zero2'}, {'layout.sharding': 'none'}, {})
    """
    number = positive(name)
    if number is not None:
        return dict(list(STRATEGIES.values())[number - 1]) if number <= len(STRATEGIES) else {}
    return dict(STRATEGIES.get(str(name).lower().removeprefix("shardingstrategy."), {}))


def read(theirs: ForeignFile) -> dict[str, Any]:
    """Convert an accelerate configuration to the run's keys."""
    keys = paired(theirs, TABLE) | _copies(theirs)
    kind, precision = str(theirs.get("distributed_type") or "NO").upper(), theirs.get("mixed_precision")
    if precision is not None:
        keys["training.dtype"] = "fp32" if str(precision) in ("no", "False") else str(precision)
    if kind == "FSDP":
        return keys | _sharded(theirs) | {"training.state": "amp", "software": "huggingface-fsdp2"}
    if kind == "DEEPSPEED":
        stages = "deepspeed_config.zero_stage", "deepspeed_config.zero_optimization.stage"
        stage = theirs.get(*stages)
        inside = "deepspeed_config."
        theirs.get(
            f"{inside}zero3_init_flag", f"{inside}zero3_save_16bit_model", f"{inside}deepspeed_multinode_launcher"
        )
        offloaded, weights = (theirs.get(f"{inside}offload_{part}_device") for part in ("optimizer", "param"))
        if stage is not None:
            keys["layout.sharding"] = stage_numbered(stage, stages[0])
        keys |= {"layout.offload_optimizer": True} if str(offloaded) in ("cpu", "nvme") else {}
        keys |= {"layout.offload_parameters": True} if str(weights) in ("cpu", "nvme") else {}
        return keys | {"software": "huggingface-deepspeed"}
    if kind == "MEGATRON_LM":
        inside = "megatron_lm_config.megatron_lm_"
        keys |= {"layout.recompute": "selective"} if theirs.on(f"{inside}recompute_activations") else {}
        keys |= {"layout.sharding": "zero1" if theirs.on(f"{inside}use_distributed_optimizer") else "none"}
        return keys | {
            "layout.sequence_parallel": theirs.on(f"{inside}sequence_parallelism"),
            "software": "megatron-lm",
        }
    return keys | {"layout.sharding": "none", "software": "huggingface"}


def _copies(theirs: ForeignFile) -> dict[str, Any]:
    """Ranks that share one copy of the weights, and the number of data-parallel ranks, as ``parallelism_config`` states them."""
    inside = "parallelism_config.parallelism_config_dp_"
    copies, shards = theirs.count(f"{inside}replicate_size") or 1, theirs.count(f"{inside}shard_size")
    if shards is None:
        return {}
    return {RANKS: copies * shards} | ({"layout.shard_group": shards} if copies > 1 and shards > 1 else {})


def launched(theirs: ForeignFile) -> dict[str, Any]:
    """What ``accelerate launch`` is told on its command line: the precision, and DeepSpeed or FSDP around the program."""
    precision = str(theirs.get("mixed_precision") or "no")
    keys: dict[str, Any] = {} if precision == "no" else {"training.dtype": precision}
    theirs.get("deepspeed_multinode_launcher", "multi_gpu", "use_flash_attn")
    config, stage = str(theirs.get("deepspeed_config_file") or ""), theirs.get("zero_stage")
    if theirs.on("use_deepspeed") or config or stage is not None:
        level = {} if stage is None else {"layout.sharding": stage_numbered(stage, "zero_stage")}
        return keys | stage_named(config) | level | {"software": "huggingface-deepspeed"}
    if theirs.on("use_fsdp"):
        strategy = theirs.get("fsdp_sharding_strategy")
        return keys | strategy_called(strategy or "full_shard") | {"software": "huggingface-fsdp2"}
    return keys


def _sharded(theirs: ForeignFile) -> dict[str, Any]:
    """FSDP's keys. FSDP1 names a sharding strategy; FSDP2 states whether weights are resharded after the forward pass."""
    inside = "fsdp_config.fsdp_"
    strategy, again = theirs.get(f"{inside}sharding_strategy"), theirs.get(f"{inside}reshard_after_forward")
    theirs.get(f"{inside}version", f"{inside}auto_wrap_policy", f"{inside}transformer_layer_cls_to_wrap")
    keys: dict[str, Any] = {"layout.sharding": "zero2" if as_bool(again) is False else "zero3"}
    if strategy is not None:
        keys = strategy_called(strategy)
        if not keys:
            theirs.leave(f"{inside}sharding_strategy")
    elif strategy_called(again):  # accelerate also accepts a strategy here
        keys = strategy_called(again)
    elif again is not None and str(again).lower() not in ("true", "false"):
        keys = {}
        theirs.leave(f"{inside}reshard_after_forward")
    keys |= {"layout.recompute": "full"} if theirs.on(f"{inside}activation_checkpointing") else {}
    return keys | (OFFLOADED if theirs.on(f"{inside}offload_params") else {})


def write(values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a run's values to an accelerate configuration."""
    theirs = {"compute_environment": "LOCAL_MACHINE"} | written(
        {**values, ACCUMULATION: values.get(ACCUMULATION)}, TABLE
    )
    theirs = {name: value for name, value in theirs.items() if value != 1 or name == "num_processes"}
    sharding, dtype = values.get("layout.sharding", "none"), values.get("training.dtype", "bf16")
    theirs["mixed_precision"] = "no" if dtype == "fp32" else dtype
    if str(values.get("software")).endswith("deepspeed"):
        theirs |= {
            "distributed_type": "DEEPSPEED",
            "deepspeed_config.zero_stage": ("none", "zero1", "zero2", "zero3").index(sharding),
        }
        theirs |= {"deepspeed_config.offload_optimizer_device": "cpu"} if values.get("layout.offload_optimizer") else {}
    elif sharding == "none":
        theirs["distributed_type"] = "MULTI_GPU"
    else:
        theirs |= {"distributed_type": "FSDP", "fsdp_config.fsdp_version": 2}
        theirs["fsdp_config.fsdp_reshard_after_forward"] = sharding == "zero3"
        theirs["fsdp_config.fsdp_activation_checkpointing"] = values.get("layout.recompute") == "full"
        theirs["fsdp_config.fsdp_offload_params"] = bool(values.get("layout.offload_optimizer"))
    return theirs
