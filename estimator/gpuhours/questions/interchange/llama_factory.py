"""LLaMA-Factory's YAML (llamafactory.readthedocs.io, hparams)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpuhours.architecture.catalogue import named
from gpuhours.architecture.lora import ALL
from gpuhours.questions.interchange.accelerate import sharded_as
from gpuhours.questions.interchange.axolotl import PROJECTIONS, model_called
from gpuhours.questions.interchange.deepspeed import stage_named
from gpuhours.questions.interchange.keys import LONGEST, MOST_SAMPLES, ForeignFile, as_bool, paired, written
from gpuhours.questions.interchange.trainer import BATCH, launched

RANK, LENGTH = 8, 2048
"""Defaults of lora_rank and cutoff_len."""


def read(theirs: ForeignFile) -> dict[str, Any]:
    """Convert a LLaMA-Factory configuration to the run's keys. Defaults: full activation checkpointing, and adapters on every linear
    layer."""
    keys = paired(theirs, BATCH) | launched(theirs) | _length(theirs)
    if (each := theirs.count("max_samples")) is not None:
        sets = [one for one in str(theirs.get("dataset") or "").split(",") if one.strip()]
        keys[MOST_SAMPLES] = each * max(1, len(sets))
    theirs.get("do_train", "template", "flash_attn", "pure_bf16", "lora_alpha", "lora_dropout")
    name = theirs.get("model_name_or_path")
    known = None if name is None else model_called(str(name))
    if known:
        keys["model.name"] = known
    elif name is not None:
        theirs.leave("model_name_or_path")
    if theirs.on("pure_bf16"):
        keys["training.state"] = "pure"
    if str(theirs.get("finetuning_type") or "lora") == "lora":
        keys |= _adapters(theirs)
    elif theirs.get("finetuning_type") != "full":
        theirs.leave("finetuning_type")
    keys |= _frozen(theirs, known, alone=theirs.get("finetuning_type") == "full")
    half = theirs.on("fp16")
    theirs.get("bf16")
    narrow = theirs.count("quantization_bit")
    theirs.get("fp8_backend", "fp8_enable_fsdp_float8_all_gather")
    keys["training.dtype"] = "nf4" if narrow == 4 else "fp8" if theirs.on("fp8") else "fp16" if half else "bf16"
    if narrow not in (None, 4):
        theirs.leave("quantization_bit")
    keys["layout.recompute"] = "none" if theirs.on("disable_gradient_checkpointing") else "full"
    config = str(theirs.get("deepspeed") or "")
    theirs.get("fsdp_transformer_layer_cls_to_wrap")
    sharded = as_bool(theirs.get("fsdp")) is not None and theirs.get("fsdp") is not False
    keys |= sharded_as(theirs) if sharded else stage_named(config)
    if theirs.on("use_galore"):
        keys["training.optimizer"] = "galore"
        theirs.get("galore_layerwise", "galore_target", "galore_rank", "galore_scale", "galore_update_interval")
    return keys | {"software": "huggingface-fsdp2" if sharded else "llama-factory" if config else "huggingface-trainer"}


def _frozen(theirs: ForeignFile, model: str | None, *, alone: bool) -> dict[str, Any]:
    """The frozen parts of a model that sees, ``alone`` without adapters: by default its encoder and its projector."""
    switches = {
        "vision": "freeze_vision_tower",
        "bridge": "freeze_multi_modal_projector",
        "language": "freeze_language_model",
    }
    said = {part: as_bool(theirs.get(switch)) for part, switch in switches.items()}
    if model is None or not alone or named(model).kind != "video-language":
        return {}
    frozen = (part for part, value in said.items() if (part != "language" if value is None else value))
    return {f"model.{part}.trainable": "frozen" for part in frozen}


def _length(theirs: ForeignFile) -> dict[str, Any]:
    """``cutoff_len`` is the length of every sample where they are packed, as they are in pre-training; otherwise longer ones are cut to
    it."""
    length, said = theirs.count("cutoff_len", usual=LENGTH), as_bool(theirs.get("packing"))
    neat, pretrained = theirs.on("neat_packing"), str(theirs.get("stage")) == "pt"
    packed = neat or (pretrained if said is None else said)
    return {"data.seq_len": length, "data.packed": True} if packed else {LONGEST: length}


def _adapters(theirs: ForeignFile) -> dict[str, Any]:
    """Rank and targets of LoRA adapters."""
    said = str(theirs.get("lora_target") or "all")
    words = [one.strip() for one in said.split(",")]
    named = [PROJECTIONS[one] for one in words if one in PROJECTIONS]
    if said != "all" and len(named) < len(words):
        theirs.leave("lora_target")
    keys = {"model.trainable": "lora", "model.rank": theirs.count("lora_rank", usual=RANK)}
    return keys | {"model.targets": named if named and said != "all" else [ALL]}


def write(values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a run's values to a LLaMA-Factory configuration."""
    theirs: dict[str, Any] = {"model_name_or_path": values["model.name"]} if "model.name" in values else {}
    theirs |= {"stage": "sft", "do_train": True} | written(values, BATCH)
    theirs |= {"cutoff_len": values["data.seq_len"], "packing": True} if values.get("data.seq_len") else {}
    dtype = values.get("training.dtype", "bf16")
    if values.get("model.trainable") == "lora":
        targets = values.get("model.targets", ())
        said = "all" if ALL in targets else ",".join(f"{part}_proj" for part in targets)
        theirs |= {"finetuning_type": "lora", "lora_rank": values.get("model.rank", RANK), "lora_target": said or "all"}
    else:
        theirs["finetuning_type"] = "full"
    theirs |= {"quantization_bit": 4} if dtype == "nf4" else {}
    theirs |= {"fp16": True} if dtype == "fp16" else {"bf16": True} if dtype in ("bf16", "nf4") else {}
    theirs |= {} if values.get("layout.recompute") == "full" else {"disable_gradient_checkpointing": True}
    theirs |= {"pure_bf16": True} if values.get("training.state") == "pure" else {}
    sharding = values.get("layout.sharding", "none")
    offloaded = "_offload" if values.get("layout.offload_optimizer") else ""
    return theirs | (
        {} if sharding == "none" else {"deepspeed": f"examples/deepspeed/ds_z{sharding[-1]}{offloaded}_config.json"}
    )
