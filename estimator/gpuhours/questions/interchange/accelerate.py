"""accelerate's YAML: FSDP, DeepSpeed, Megatron-LM or plain data parallel (huggingface.co/docs/accelerate)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpuhours.questions.interchange.keys import ACCUMULATION, Key, Told, paired, truth, whole, written

TABLE = (
    Key("hardware.gpus", ("num_processes",), whole),
    Key(ACCUMULATION, ("gradient_accumulation_steps", "deepspeed_config.gradient_accumulation_steps"), whole),
    Key(
        "layout.tensor",
        ("parallelism_config.parallelism_config_tp_size", "megatron_lm_config.megatron_lm_tp_degree"),
        whole,
    ),
    Key("layout.pipeline", ("megatron_lm_config.megatron_lm_pp_degree",), whole, None),
    Key("layout.context", ("parallelism_config.parallelism_config_cp_size",), whole),
)
STRATEGIES = ("FULL_SHARD", "SHARD_GRAD_OP", "NO_SHARD", "HYBRID_SHARD", "HYBRID_SHARD_ZERO2")
"""By number, from 1."""


def read(told: Told) -> dict[str, Any]:
    """The run's keys in an accelerate configuration."""
    found = paired(told, TABLE)
    kind, precision = str(told.get("distributed_type") or "NO").upper(), told.get("mixed_precision")
    told.get("num_machines")
    if precision is not None:
        found["training.dtype"] = "fp32" if str(precision) in ("no", "False") else str(precision)
    if kind == "FSDP":
        return found | _sharded(told) | {"training.state": "amp", "software": "huggingface-fsdp2"}
    if kind == "DEEPSPEED":
        stage = told.get("deepspeed_config.zero_stage", "deepspeed_config.zero_optimization.stage")
        offloaded = told.get("deepspeed_config.offload_optimizer_device")
        found |= {"layout.sharding": f"zero{stage}" if whole(stage) else "none"} if stage is not None else {}
        found |= {"layout.offload_optimizer": True} if str(offloaded) in ("cpu", "nvme") else {}
        return found | {"software": "huggingface-deepspeed"}
    if kind == "MEGATRON_LM":
        inside = "megatron_lm_config.megatron_lm_"
        found |= {"layout.recompute": "selective"} if told.on(f"{inside}recompute_activations") else {}
        found |= {"layout.sharding": "zero1" if told.on(f"{inside}use_distributed_optimizer") else "none"}
        return found | {"layout.sequence_parallel": told.on(f"{inside}sequence_parallelism"), "software": "megatron-lm"}
    return found | {"layout.sharding": "none", "software": "huggingface"}


def _sharded(told: Told) -> dict[str, Any]:
    """FSDP1 names a strategy, FSDP2 whether weights are given up after the forward pass."""
    inside = "fsdp_config.fsdp_"
    strategy, again = told.get(f"{inside}sharding_strategy"), told.get(f"{inside}reshard_after_forward")
    told.get(f"{inside}version", f"{inside}auto_wrap_policy", f"{inside}transformer_layer_cls_to_wrap")
    number = whole(strategy)
    if number and number <= len(STRATEGIES):
        strategy = STRATEGIES[number - 1]
    if isinstance(again, str) and again.upper() in STRATEGIES:  # accelerate reads a strategy there, too
        strategy = again.upper()
    named = {
        "FULL_SHARD": "zero3",
        "SHARD_GRAD_OP": "zero2",
        "NO_SHARD": "none",
        "HYBRID_SHARD": "zero3",
        "HYBRID_SHARD_ZERO2": "zero2",
    }
    level = named.get(str(strategy).upper()) if strategy else "zero2" if truth(again) is False else "zero3"
    found: dict[str, Any] = {"layout.sharding": level or str(strategy)}
    if str(strategy).upper().startswith("HYBRID"):
        found["layout.shard_group"] = 8
    found |= {"layout.recompute": "full"} if told.on(f"{inside}activation_checkpointing") else {}
    return found | ({"layout.offload_optimizer": True} if told.on(f"{inside}offload_params") else {})


def write(values: Mapping[str, Any]) -> dict[str, Any]:
    """A run's values as an accelerate configuration."""
    told = {"compute_environment": "LOCAL_MACHINE"} | written({**values, ACCUMULATION: values.get(ACCUMULATION)}, TABLE)
    told = {name: value for name, value in told.items() if value != 1 or name == "num_processes"}
    sharding, dtype = values.get("layout.sharding", "none"), values.get("training.dtype", "bf16")
    told["mixed_precision"] = "no" if dtype == "fp32" else dtype
    if str(values.get("software")).endswith("deepspeed"):
        told |= {
            "distributed_type": "DEEPSPEED",
            "deepspeed_config.zero_stage": ("none", "zero1", "zero2", "zero3").index(sharding),
        }
        told |= {"deepspeed_config.offload_optimizer_device": "cpu"} if values.get("layout.offload_optimizer") else {}
    elif sharding == "none":
        told["distributed_type"] = "MULTI_GPU"
    else:
        told |= {"distributed_type": "FSDP", "fsdp_config.fsdp_version": 2}
        told["fsdp_config.fsdp_reshard_after_forward"] = sharding == "zero3"
        told["fsdp_config.fsdp_activation_checkpointing"] = values.get("layout.recompute") == "full"
        told["fsdp_config.fsdp_offload_params"] = bool(values.get("layout.offload_optimizer"))
    return told
