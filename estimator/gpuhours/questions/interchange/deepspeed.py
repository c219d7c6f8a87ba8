"""DeepSpeed's JSON configuration (www.deepspeed.ai/docs/config-json)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.interchange.keys import ACCUMULATION, ForeignFile, Key, above_one, paired, positive, written

TABLE = (
    Key("training.global_batch", ("train_batch_size",), positive),
    Key("layout.microbatch", ("train_micro_batch_size_per_gpu",), positive),
    Key(ACCUMULATION, ("gradient_accumulation_steps",), positive),
    Key("layout.tensor", ("tensor_parallel.autotp_size",), positive, above_one),
    Key("layout.context", ("sequence_parallel_size",), positive, above_one),
    Key("layout.pipeline", ("pipeline.stages",), positive, above_one),
    Key(
        "layout.shard_group",
        ("zero_optimization.zero_hpz_partition_size", "zero_optimization.mics_shard_size"),
        positive,
        above_one,
    ),
)

_STAGE = re.compile(r"(?<![a-z0-9])(?:zero|z|stage)[-_]?([0-3])(?!\d)")
_OFFLOADED = re.compile(r"(?<!no)(?<!no[-_])offload(?!_param)")
_STAGES = ("none", "zero1", "zero2", "zero3")


def stage_named(config: str) -> dict[str, Any]:
    """The layout that the name of a DeepSpeed file says; its folders say nothing.

    >>> stage_named("examples/deepspeed/ds_z3_offload_config.json")
    {'layout.sharding': 'zero3', 'layout.offload_optimizer': True, 'layout.offload_parameters': True}
    """
    name = re.split(r"[/\\]", config)[-1].lower()
    said, offloaded = _STAGE.search(name), _OFFLOADED.search(name) is not None
    keys: dict[str, Any] = {"layout.sharding": _STAGES[int(said[1])]} if said else {}
    weights = said is not None and said[1] == "3" and (offloaded or "offload_param" in name)
    keys |= {"layout.offload_optimizer": True} if offloaded else {}
    return keys | ({"layout.offload_parameters": True} if weights else {})


def stage_numbered(stage: Any, where: str) -> str:
    """The sharding of a ZeRO stage; raises ``EstimateError`` for one that there is not."""
    if str(stage or 0) not in ("0", "1", "2", "3"):
        raise EstimateError(f"Unknown ZeRO stage {str(stage)[:40]!r}.", "ZeRO has stages 0 to 3.", where)
    return _STAGES[int(stage or 0)]


def read(theirs: ForeignFile) -> dict[str, Any]:
    """Convert a DeepSpeed configuration to the run's keys."""
    keys = paired(theirs, TABLE)
    keys["layout.sharding"] = stage_numbered(theirs.get("zero_optimization.stage"), "zero_optimization.stage")
    device, weights = (
        theirs.get("zero_optimization.offload_optimizer.device"),
        theirs.get("zero_optimization.offload_param.device"),
    )
    for part in (
        "offload_optimizer.pin_memory",
        "offload_param.pin_memory",
        "overlap_comm",
        "reduce_scatter",
        "cpu_offload",
    ):
        theirs.get(f"zero_optimization.{part}")
    if str(weights) in ("cpu", "nvme"):
        keys["layout.offload_parameters"] = True
    if str(device) in ("cpu", "nvme") or theirs.on("zero_optimization.cpu_offload"):
        keys["layout.offload_optimizer"] = True
    if theirs.on("activation_checkpointing.cpu_checkpointing"):
        keys["layout.offload_activations"] = True
    if keys.get("layout.context", 1) > 1:
        keys["layout.sequence_method"] = "ulysses"
    half, brain = theirs.on("fp16.enabled"), theirs.on("bf16.enabled", "bfloat16.enabled")
    automatic = theirs.get("bf16.enabled", "fp16.enabled") is None
    if half or brain or not automatic:
        keys["training.dtype"] = "fp16" if half else "bf16" if brain else "fp32"
    return keys | {"software": "deepspeed"}


def write(values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a run's values to a DeepSpeed configuration."""
    theirs = written(values, TABLE)
    theirs["zero_optimization.stage"] = _STAGES.index(values.get("layout.sharding", "none"))
    if values.get("layout.offload_optimizer"):
        theirs["zero_optimization.offload_optimizer.device"] = "cpu"
    if values.get("layout.offload_parameters"):
        theirs["zero_optimization.offload_param.device"] = "cpu"
    if values.get("layout.offload_activations"):
        theirs["activation_checkpointing.cpu_checkpointing"] = True
    dtype = values.get("training.dtype", "bf16")
    return theirs | {"bf16.enabled": dtype == "bf16", "fp16.enabled": dtype == "fp16"}
