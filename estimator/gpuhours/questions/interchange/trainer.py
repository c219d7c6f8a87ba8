"""Arguments of Hugging Face's Trainer and of programs around it (TRL, Alpaca, LLaVA, Unsloth), in a launch command, YAML, JSON or Python.

Names and defaults: transformers/training_args.py, trl/trainer/sft_config.py and model_config.py, peft/tuners/lora/config.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gpuhours.architecture.lora import ALL
from gpuhours.questions.interchange import accelerate, swift
from gpuhours.questions.interchange.accelerate import sharded_as
from gpuhours.questions.interchange.axolotl import model_called, targeted
from gpuhours.questions.interchange.deepspeed import stage_named
from gpuhours.questions.interchange.keys import (
    ACCUMULATION,
    LONGEST,
    NODES,
    PER_NODE,
    REST,
    ForeignFile,
    Key,
    above_zero,
    as_bool,
    paired,
    positive,
    written,
)

BATCH = (
    Key("layout.microbatch", ("per_device_train_batch_size",), positive),
    Key(ACCUMULATION, ("gradient_accumulation_steps",), positive),
    Key("data.epochs", ("num_train_epochs",), above_zero),
    Key("data.steps", ("max_steps",), positive),
)
LAUNCHER = (
    Key(NODES, ("nnodes", "nodes", "num_nodes", "num_machines"), positive, None),
    Key(PER_NODE, ("nproc_per_node", "gpus_per_node", "num_gpus"), positive, None),
    Key("hardware.gpus", ("num_processes", "world_size"), positive),
)
LENGTHS = ("max_length", "max_seq_length", "model_max_length", "max_seq_len")
MICROBATCH, EPOCHS = 8, 3.0
"""Defaults of per_device_train_batch_size and num_train_epochs."""
MARKS = frozenset({"per_device_train_batch_size", "num_train_epochs", "model_name_or_path", "gradient_checkpointing"})
"""Arguments that identify a Trainer's."""


def read(theirs: ForeignFile) -> dict[str, Any]:
    """Convert a Trainer's arguments to the run's keys."""
    keys = paired(theirs, BATCH) | launched(theirs)
    usual = {"layout.microbatch": MICROBATCH, ACCUMULATION: 1} | (
        {} if "data.steps" in keys else {"data.epochs": EPOCHS}
    )
    names = {key.ours: key.theirs for key in BATCH}
    keys |= {key: value for key, value in usual.items() if not theirs.holds(REST, *names[key])}
    for inside in ("", "fsdp_config.", "fsdp_config.fsdp_"):
        theirs.get(f"{inside}transformer_layer_cls_to_wrap")
    theirs.get("fsdp_transformer_layer_cls_to_wrap", "tf32", "do_train", "dataset_name")
    keys |= _length(theirs) | _model(theirs)
    recompute, wrapped = (
        theirs.get("gradient_checkpointing", "grad_checkpoint"),
        str(theirs.get("use_gradient_checkpointing") or ""),
    )
    if recompute is not None or wrapped:
        keys["layout.recompute"] = (
            "full" if theirs.on("gradient_checkpointing", "grad_checkpoint") or wrapped != "" else "none"
        )
    if wrapped == "unsloth":
        keys["layout.offload_activations"] = True
    command = accelerate.launched(theirs)
    keys |= _numbers(theirs, str(keys.get("model.trainable")), command) | _sharding(theirs) | command
    return swift.trainer(theirs, keys) if theirs.get(swift.LAUNCHED) else keys


def launched(theirs: ForeignFile) -> dict[str, Any]:
    """The machines of a launch command; launchers run on one node unless told otherwise."""
    keys = paired(theirs, LAUNCHER)
    alone = PER_NODE in keys and not theirs.holds(*LAUNCHER[0].theirs)
    return keys | ({NODES: 1} if alone else {})


def _length(theirs: ForeignFile) -> dict[str, Any]:
    """The length of samples where they are packed; where they are not, they are only cut to it."""
    block, longest = theirs.count("block_size"), theirs.count(*LENGTHS)
    packed = theirs.on("packing") or block is not None
    if packed:
        return {"data.packed": True, "data.seq_len": block or longest}
    return {LONGEST: longest}


def _model(theirs: ForeignFile) -> dict[str, Any]:
    """The keys of the model and its LoRA adapters."""
    name = theirs.get("model_name_or_path", "model_name")
    known = None if name is None else model_called(str(name))
    if name is not None and known is None:
        theirs.leave("model_name_or_path")
    rank = theirs.count("lora_r", "lora_rank")
    keys: dict[str, Any] = {"model.name": known} if known else {}
    modules = _listed(theirs.get("lora_target_modules"))
    theirs.get("peft_type", "task_type")
    switch = as_bool(theirs.get("use_peft", "lora_enable", "use_lora", "use_peft_lora"))
    if not (theirs.names("lora_r") or theirs.names("lora_rank") if switch is None else switch):
        return keys
    keys |= {"model.trainable": "lora"} | ({"model.rank": rank} if rank else {})
    if modules is not None:
        targets = [ALL] if modules in ("all-linear", ["all-linear"]) else targeted(modules)
        keys |= {"model.targets": targets} if targets else {}
        if not targets or (isinstance(modules, list) and len(targets) < len(modules)):
            theirs.leave("lora_target_modules")
    return keys


def _listed(modules: Any) -> Any:
    """A command line's modules, which spaces or commas separate, as a list; a regular expression is returned unchanged."""
    listed = re.split(r"[\s,]+", modules) if isinstance(modules, str) else modules
    return listed if targeted(listed) else modules


def _numbers(theirs: ForeignFile, trainable: str, command: Mapping[str, Any]) -> dict[str, Any]:
    """The precision keys: fp32 unless 16-bit autocast or weights are asked for; ``auto`` is bf16 on today's cards."""
    half, brain = theirs.on("fp16"), theirs.on("bf16") or "bf16" in theirs.automatic() or "training.dtype" in command
    theirs.known("bf16", "fp16")
    undecided = theirs.undecided("bf16", "fp16", "torch_dtype", "dtype", "load_in_4bit", REST)
    narrow = theirs.on("load_in_4bit") or theirs.count("bits") == 4
    weights = str(theirs.get("torch_dtype", "dtype")).rpartition(".")[2]
    named = {"bfloat16": "bf16", "float16": "fp16"}.get(weights)
    theirs.get(
        "attn_implementation", "use_cache", "bnb_4bit_quant_type", "bnb_4bit_compute_dtype", "bnb_4bit_use_double_quant"
    )
    dtype = "nf4" if narrow else "fp16" if half else "bf16" if brain else named or "fp32"
    if undecided and dtype == "fp32":
        return {}
    pure = named is not None and not (half or brain or narrow) and trainable != "lora"
    return {"training.dtype": dtype} | ({"training.state": "pure"} if pure else {})


def _sharding(theirs: ForeignFile) -> dict[str, Any]:
    """The sharding keys, and the stack, which follows from them."""
    config, sharded = str(theirs.get("deepspeed") or ""), str(theirs.get("fsdp") or "False") not in ("False", "false")
    liger, compiled = theirs.on("use_liger_kernel", "use_liger"), theirs.on("torch_compile")
    unsloth = str(theirs.get("use_gradient_checkpointing")) == "unsloth"
    if config:
        keys = {"software": "huggingface-deepspeed", **stage_named(config)}
    elif sharded:
        keys = {"software": "huggingface-fsdp2", **sharded_as(theirs)}
    elif unsloth or liger or compiled:
        keys = {"software": "unsloth" if unsloth else "huggingface-liger" if liger else "huggingface-compile"}
    else:
        keys = {"software": "huggingface-trainer"}
    if config == "True":  # the name of the file is missing
        theirs.leave("deepspeed")
    if liger and keys["software"] != "huggingface-liger":
        theirs.leave("use_liger_kernel")
    if compiled and keys["software"] != "huggingface-compile":
        theirs.leave("torch_compile")
    return keys


def write(values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a run's values to a Trainer's arguments."""
    theirs: dict[str, Any] = {"model_name_or_path": values["model.name"]} if "model.name" in values else {}
    theirs |= written(values, BATCH)
    if values.get("data.seq_len"):
        theirs |= {"max_length": values["data.seq_len"], "packing": True}
    dtype = values.get("training.dtype", "bf16")
    if values.get("training.state") == "pure" and dtype in ("bf16", "fp16"):
        theirs["torch_dtype"] = "bfloat16" if dtype == "bf16" else "float16"
    else:
        theirs |= {"fp16": True} if dtype == "fp16" else {"bf16": True} if dtype in ("bf16", "nf4") else {}
    if values.get("model.trainable") == "lora":
        targets = values.get("model.targets", ())
        said = ["all-linear"] if ALL in targets or not targets else [f"{part}_proj" for part in targets]
        theirs |= {"use_peft": True, "lora_r": values.get("model.rank", 16), "lora_target_modules": said}
        theirs |= {"load_in_4bit": True} if dtype == "nf4" else {}
    theirs["gradient_checkpointing"] = values.get("layout.recompute") == "full"
    sharding, offloaded = values.get("layout.sharding", "none"), values.get("layout.offload_optimizer")
    if str(values.get("software")).endswith("deepspeed"):
        theirs["deepspeed"] = (
            f"ds_zero{sharding[-1] if sharding != 'none' else 0}{'_offload' if offloaded else ''}.json"
        )
    elif sharding != "none":
        words = "shard_grad_op" if sharding == "zero2" else "full_shard"
        theirs["fsdp"] = f"{words} auto_wrap{' offload' if offloaded else ''}"
    optimiser = {"adamw-8bit": "adamw_bnb_8bit", "adafactor": "adafactor"}.get(str(values.get("training.optimizer")))
    return theirs | ({"optim": optimiser} if optimiser else {}) | _launched(values)


def _launched(values: Mapping[str, Any]) -> dict[str, Any]:
    """The launcher's arguments."""
    return {name: values[key] for key, name in ((NODES, "nnodes"), (PER_NODE, "nproc_per_node")) if key in values}
