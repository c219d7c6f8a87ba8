"""torchtitan's TOML (torchtitan/config/job_config.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpuhours.questions.interchange.keys import (
    LOCAL_BATCH,
    RANKS,
    ForeignFile,
    Key,
    above_one,
    paired,
    positive,
    written,
)

FLAVOURS = {
    ("llama3", "8b"): "llama-3.1-8b", ("llama3", "70b"): "llama-3.1-70b", ("llama3", "405b"): "llama-3.1-405b",
    ("deepseek_v3", "671b"): "deepseek-v3", ("deepseek_v3", "16b"): "deepseek-v2-lite",
    **{("qwen3", size): f"qwen3-{size}" for size in ("0.6b", "1.7b", "4b", "8b", "14b", "32b")},
    ("qwen3", "30b-a3b"): "qwen3-30b-a3b", ("qwen3", "235b-a22b"): "qwen3-235b-a22b",
    ("llama4", "17bx16e"): "llama-4-scout", ("llama4", "17bx128e"): "llama-4-maverick",
    ("gpt_oss", "20b"): "gpt-oss-20b", ("gpt_oss", "120b"): "gpt-oss-120b",
}  # fmt: skip
TABLE = (
    Key("data.seq_len", ("training.seq_len",), positive),
    Key("data.steps", ("training.steps",), positive),
    Key("training.global_batch", ("training.global_batch_size",), positive),
    Key(LOCAL_BATCH, ("training.local_batch_size", "training.batch_size"), positive),
    Key("layout.tensor", ("parallelism.tensor_parallel_degree", "training.tensor_parallel_degree"), positive),
    Key("layout.pipeline", ("parallelism.pipeline_parallel_degree", "experimental.pipeline_parallel_degree"), positive),
    Key("layout.context", ("parallelism.context_parallel_degree", "experimental.context_parallel_degree"), positive),
    Key("layout.expert", ("parallelism.expert_parallel_degree",), positive, above_one),
    Key("layout.expert_tensor", ("parallelism.expert_tensor_parallel_degree",), positive),
)
SCHEDULES = {"1f1b": "1f1b", "interleaved1f1b": "interleaved", "gpipe": "gpipe", "interleavedzerobubble": "zb-1p"}
ROTATIONS = {"allgather": "all-gather", "alltoall": "ring"}


def read(theirs: ForeignFile) -> dict[str, Any]:
    """Convert a torchtitan configuration to the run's keys."""
    keys = paired(theirs, TABLE) | _model(theirs)
    stages, local = keys.get("layout.pipeline", 1), keys.get(LOCAL_BATCH)
    split = theirs.count("parallelism.pipeline_parallel_microbatch_size", usual=1)
    if stages > 1 or local is not None:
        keys["layout.microbatch"] = split if stages > 1 else local
    schedule = theirs.get("parallelism.pipeline_parallel_schedule", "experimental.pipeline_parallel_schedule")
    known = SCHEDULES.get(str(schedule or "1f1b").lower())
    if stages > 1 and known is None:
        theirs.leave("parallelism.pipeline_parallel_schedule")
    elif stages > 1:
        keys["layout.schedule"] = known
    rotation = theirs.get("parallelism.context_parallel_rotate_method")
    if keys.get("layout.context", 1) > 1:
        keys["layout.sequence_method"] = ROTATIONS.get(str(rotation or "allgather"), str(rotation))
    return keys | _sharding(theirs, stages) | _recompute(theirs) | _numbers(theirs) | {"software": _software(theirs)}


def _model(theirs: ForeignFile) -> dict[str, Any]:
    """The model, by name and flavour."""
    name, flavour = theirs.get("model.name"), theirs.get("model.flavor")
    known = FLAVOURS.get((str(name), str(flavour).lower()))
    if known is None and (name is not None or flavour is not None):
        theirs.leave("model.name")
        theirs.leave("model.flavor")
    return {"model": known} if known else {}


def _sharding(theirs: ForeignFile, stages: int) -> dict[str, Any]:
    """The sharding keys. By default FSDP2 gathers weights again for the backward pass, except with pipeline parallelism."""
    shards = theirs.count("parallelism.data_parallel_shard_degree", "training.data_parallel_shard_degree")
    copies = theirs.count("parallelism.data_parallel_replicate_degree", "training.data_parallel_replicate_degree") or 1
    again = str(theirs.get("parallelism.fsdp_reshard_after_forward") or "default")
    keys: dict[str, Any] = (
        {"layout.optimizer_in_backward": True} if theirs.on("optimizer.early_step_in_backward") else {}
    )
    theirs.get("optimizer.implementation")
    if shards:
        keys[RANKS] = copies * shards
        keys |= {"layout.shard_group": shards} if copies > 1 and shards > 1 else {}
    gathered = again == "never" or (again == "default" and stages > 1)
    level = "none" if shards == 1 else "zero2" if gathered else "zero3"
    return keys | {"layout.sharding": level}


def _recompute(theirs: ForeignFile) -> dict[str, Any]:
    """The recomputation keys. ``selective`` saves the outputs of GEMMs; with every n-th layer, it is ``full`` for a share of the layers
    that depends on the model's depth."""
    mode, option = theirs.get("activation_checkpoint.mode"), theirs.get("activation_checkpoint.selective_ac_option")
    if mode == "selective" and positive(option):
        return {"recompute.every": int(option)}
    return {"layout.recompute": str(mode or "none")}


def _numbers(theirs: ForeignFile) -> dict[str, Any]:
    """The precision keys. FSDP2 casts the weights, which are fp32 unless ``training.dtype`` makes them and the optimiser states 16-bit.
    float8 GEMMs are enabled by a model converter or a quantisation section."""
    converters = theirs.get("model.converters") or []
    weights, wide = theirs.get("training.dtype"), theirs.get("training.mixed_precision_param")
    eight = "float8" in str(converters) or theirs.on("float8.enable_float8_linear", "quantize.linear.float8.enable")
    micro = "mx" in str(converters)
    dtype = "mxfp8" if micro else "fp8" if eight else "fp32" if str(wide) == "float32" else "bf16"
    state = "pure" if str(weights) in ("bfloat16", "float16") and dtype == "bf16" else "amp"
    return {"training.dtype": dtype, "training.state": state}


def _software(theirs: ForeignFile) -> str:
    """The software stack: the compiled one only if the model is compiled, not just the loss."""
    parts = theirs.get("compile.components")
    compiled = theirs.on("compile.enable", "training.compile") and (not isinstance(parts, list) or "model" in parts)
    at_once = theirs.on("parallelism.enable_async_tensor_parallel", "experimental.enable_async_tensor_parallel")
    return "fsdp-compile-async" if compiled and at_once else "fsdp-compile" if compiled else "fsdp2-eager"


def write(values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a run's values to a torchtitan configuration."""
    theirs = written(values, TABLE)
    stages, sharding = values.get("layout.pipeline", 1), values.get("layout.sharding", "none")
    model = str(values.get("model.name", ""))
    for (name, flavour), ours in FLAVOURS.items():
        if model in (ours, ours.replace("3.1", "3")):
            theirs |= {"model.name": name, "model.flavor": flavour.upper()}
    ranks, group = values.get("layout.data"), values.get("layout.shard_group")
    shard = 1 if sharding == "none" else group or -1
    theirs["parallelism.data_parallel_shard_degree"] = shard
    if ranks and (sharding == "none" or group):
        theirs["parallelism.data_parallel_replicate_degree"] = ranks // shard
    if sharding != "none":
        theirs["parallelism.fsdp_reshard_after_forward"] = "always" if sharding == "zero3" else "never"
    microbatch = values.get("layout.microbatch", 1)
    theirs["training.local_batch_size"] = microbatch
    if stages > 1:
        theirs["parallelism.pipeline_parallel_microbatch_size"] = microbatch
        theirs["training.local_batch_size"] = values["training.global_batch"] // ranks if ranks else microbatch
        theirs["parallelism.pipeline_parallel_schedule"] = {
            "interleaved": "Interleaved1F1B",
            "gpipe": "GPipe",
            "zb-1p": "InterleavedZeroBubble",
        }.get(str(values.get("layout.schedule")), "1F1B")
    if values.get("layout.context", 1) > 1:
        theirs["parallelism.context_parallel_rotate_method"] = (
            "allgather" if values["layout.sequence_method"] == "all-gather" else "alltoall"
        )
    theirs["activation_checkpoint.mode"] = values.get("layout.recompute", "none")
    if values.get("layout.recompute") == "selective":
        theirs["activation_checkpoint.selective_ac_option"] = "op"
    if values.get("training.dtype") in ("fp8", "mxfp8"):
        theirs["model.converters"] = ["float8" if values["training.dtype"] == "fp8" else "mx"]
    if values.get("training.state") == "pure":
        theirs["training.dtype"] = "bfloat16"
    if values.get("layout.optimizer_in_backward"):
        theirs["optimizer.early_step_in_backward"] = True
    software = str(values.get("software", ""))
    theirs["compile.enable"] = software.startswith("fsdp-compile")
    if software == "fsdp-compile-async":
        theirs["parallelism.enable_async_tensor_parallel"] = True
    return {name: theirs[name] for name in sorted(theirs)}
