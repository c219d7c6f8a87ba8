"""torchtitan's TOML (torchtitan/config/job_config.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpuhours.questions.interchange.keys import LOCAL_BATCH, RANKS, Key, Told, above_one, paired, whole, written

FLAVOURS = {
    ("llama3", "8b"): "llama-3.1-8b", ("llama3", "70b"): "llama-3.1-70b", ("llama3", "405b"): "llama-3.1-405b",
    ("deepseek_v3", "671b"): "deepseek-v3",
}  # fmt: skip
TABLE = (
    Key("data.seq_len", ("training.seq_len",), whole),
    Key("data.steps", ("training.steps",), whole),
    Key("training.global_batch", ("training.global_batch_size",), whole),
    Key(LOCAL_BATCH, ("training.local_batch_size", "training.batch_size"), whole),
    Key("layout.tensor", ("parallelism.tensor_parallel_degree", "training.tensor_parallel_degree"), whole),
    Key("layout.pipeline", ("parallelism.pipeline_parallel_degree", "experimental.pipeline_parallel_degree"), whole),
    Key("layout.context", ("parallelism.context_parallel_degree", "experimental.context_parallel_degree"), whole),
    Key("layout.expert", ("parallelism.expert_parallel_degree",), whole, above_one),
    Key("layout.expert_tensor", ("parallelism.expert_tensor_parallel_degree",), whole),
)
SCHEDULES = {"1f1b": "1f1b", "interleaved1f1b": "interleaved", "gpipe": "gpipe", "interleavedzerobubble": "zb-1p"}
ROTATIONS = {"allgather": "all-gather", "alltoall": "ring"}


def read(told: Told) -> dict[str, Any]:
    """The run's keys in a torchtitan file."""
    found = paired(told, TABLE)
    name, flavour = told.get("model.name"), told.get("model.flavor")
    if (str(name), str(flavour).lower()) in FLAVOURS:
        found["model"] = FLAVOURS[(str(name), str(flavour).lower())]
    stages, local = found.get("layout.pipeline", 1), found.get(LOCAL_BATCH)
    split = whole(told.get("parallelism.pipeline_parallel_microbatch_size")) or 1
    if stages > 1 or local is not None:
        found["layout.microbatch"] = split if stages > 1 else local
    schedule = told.get("parallelism.pipeline_parallel_schedule", "experimental.pipeline_parallel_schedule")
    if stages > 1:
        found["layout.schedule"] = SCHEDULES.get(str(schedule or "1f1b").lower(), str(schedule))
    rotation = told.get("parallelism.context_parallel_rotate_method")
    if found.get("layout.context", 1) > 1:
        found["layout.sequence_method"] = ROTATIONS.get(str(rotation or "allgather"), str(rotation))
    return found | _sharding(told, stages) | _recompute(told) | _numbers(told) | {"software": _software(told)}


def _sharding(told: Told, stages: int) -> dict[str, Any]:
    """FSDP2 gathers weights again for the backward pass, but for pipelines, unless it is told otherwise."""
    shards = told.get("parallelism.data_parallel_shard_degree", "training.data_parallel_shard_degree")
    copies = (
        whole(told.get("parallelism.data_parallel_replicate_degree", "training.data_parallel_replicate_degree")) or 1
    )
    again = str(told.get("parallelism.fsdp_reshard_after_forward") or "default")
    found: dict[str, Any] = {}
    if whole(shards):
        found[RANKS] = copies * int(shards)
        found |= {"layout.shard_group": int(shards)} if copies > 1 and int(shards) > 1 else {}
    gathered = again == "never" or (again == "default" and stages > 1)
    level = "none" if str(shards) == "1" else "zero2" if gathered else "zero3"
    return found | {"layout.sharding": level}


def _recompute(told: Told) -> dict[str, Any]:
    """``selective`` keeps the outputs of products; every n-th layer is ``full`` for a share of them, which only the model's depth tells."""
    mode, option = told.get("activation_checkpoint.mode"), told.get("activation_checkpoint.selective_ac_option")
    if mode == "selective" and whole(option):
        return {"recompute.every": int(option)}
    return {"layout.recompute": str(mode or "none")}


def _numbers(told: Told) -> dict[str, Any]:
    """FSDP2 casts fp32 weights; float8 products are a converter or a quantisation."""
    converters = told.get("model.converters") or []
    wide = told.get("training.dtype", "training.mixed_precision_param")
    eight = "float8" in str(converters) or told.on("float8.enable_float8_linear", "quantize.linear.float8.enable")
    micro = "mx" in str(converters)
    dtype = "mxfp8" if micro else "fp8" if eight else "fp32" if str(wide) == "float32" else "bf16"
    return {"training.dtype": dtype, "training.state": "amp"}


def _software(told: Told) -> str:
    compiled = told.on("compile.enable", "training.compile")
    at_once = told.on("parallelism.enable_async_tensor_parallel", "experimental.enable_async_tensor_parallel")
    told.get("compile.components")
    return "fsdp-compile-async" if compiled and at_once else "fsdp-compile" if compiled else "fsdp2-eager"


def write(values: Mapping[str, Any]) -> dict[str, Any]:
    """A run's values as a torchtitan file."""
    told = written(values, TABLE)
    stages, sharding = values.get("layout.pipeline", 1), values.get("layout.sharding", "none")
    model = str(values.get("model.name", ""))
    for (name, flavour), ours in FLAVOURS.items():
        if model in (ours, ours.replace("3.1", "3")):
            told |= {"model.name": name, "model.flavor": flavour.upper()}
    ranks, group = values.get("layout.data"), values.get("layout.shard_group")
    shard = 1 if sharding == "none" else group or -1
    told["parallelism.data_parallel_shard_degree"] = shard
    if ranks and (sharding == "none" or group):
        told["parallelism.data_parallel_replicate_degree"] = ranks // shard
    if sharding != "none":
        told["parallelism.fsdp_reshard_after_forward"] = "always" if sharding == "zero3" else "never"
    microbatch = values.get("layout.microbatch", 1)
    told["training.local_batch_size"] = microbatch
    if stages > 1:
        told["parallelism.pipeline_parallel_microbatch_size"] = microbatch
        told["training.local_batch_size"] = values["training.global_batch"] // ranks if ranks else microbatch
        told["parallelism.pipeline_parallel_schedule"] = {
            "interleaved": "Interleaved1F1B",
            "gpipe": "GPipe",
            "zb-1p": "InterleavedZeroBubble",
        }.get(str(values.get("layout.schedule")), "1F1B")
    if values.get("layout.context", 1) > 1:
        told["parallelism.context_parallel_rotate_method"] = (
            "allgather" if values["layout.sequence_method"] == "all-gather" else "alltoall"
        )
    told["activation_checkpoint.mode"] = values.get("layout.recompute", "none")
    if values.get("layout.recompute") == "selective":
        told["activation_checkpoint.selective_ac_option"] = "op"
    if values.get("training.dtype") in ("fp8", "mxfp8"):
        told["model.converters"] = ["float8" if values["training.dtype"] == "fp8" else "mx"]
    software = str(values.get("software", ""))
    told["compile.enable"] = software.startswith("fsdp-compile")
    if software == "fsdp-compile-async":
        told["parallelism.enable_async_tensor_parallel"] = True
    return {name: told[name] for name in sorted(told)}
