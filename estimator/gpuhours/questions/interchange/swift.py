"""ms-swift's launch commands: ``megatron sft`` takes Megatron-LM's arguments and ``swift sft`` those of the Trainer, with other defaults.

Names and defaults: swift.readthedocs.io, Instruction/Command-line-parameters and Megatron-SWIFT/Command-line-parameters.
"""

from __future__ import annotations

import re
from typing import Any

from gpuhours.architecture.lora import ALL
from gpuhours.questions.interchange.axolotl import model_called, targeted
from gpuhours.questions.interchange.keys import ACCUMULATION, LONGEST, ForeignFile, as_bool

LAUNCH = re.compile(r"(?:^|[\s/'\"])(megatron|swift)\s+(sft|pt|rlhf)\b", re.MULTILINE)
"""The commands that train."""
LAUNCHED = "ms_swift"
"""Key for the command that a script launches; its arguments do not tell it from Megatron-LM's or the Trainer's own."""
TUNERS = ("tuner_type", "train_type", "sft_type")
RANK = 8
MEGATRON_BATCH = {"layout.microbatch": 1, "training.global_batch": 16}
DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "bf16": "bf16", "fp16": "fp16", "fp32": "fp32"}


def megatron(theirs: ForeignFile, keys: dict[str, Any]) -> dict[str, Any]:
    """What ``megatron sft`` sets apart from Megatron-LM: an optimiser that is sharded and attention that is recomputed unless told
    otherwise, and the weights' own precision."""
    said = MEGATRON_BATCH | {key: value for key, value in keys.items() if value is not None}
    said.pop("model.max_positions", None)  # the shape is that of the weights
    if as_bool(theirs.get("use_distributed_optimizer")) is not False and said.get("layout.sharding") == "none":
        said["layout.sharding"] = "zero1"
    if theirs.get("recompute_granularity") is None:
        said["layout.recompute"] = "selective"
    theirs.get(
        "finetune", "load", "moe_permute_fusion", "cross_entropy_loss_fusion", "load_safetensors", "save_safetensors"
    )
    epochs = theirs.count("num_train_epochs", "max_epochs")
    said |= {"data.epochs": epochs} if epochs else {}
    return said | _shared(theirs, said, tuner="full") | {"software": "megatron-core"}


def trainer(theirs: ForeignFile, keys: dict[str, Any]) -> dict[str, Any]:
    """What ``swift sft`` sets apart from the Trainer: one sample at a time, whole layers recomputed, and adapters unless told
    otherwise. Without a stated number of passes they fill a batch of 16 over all GPUs."""
    said = dict(keys)
    if not theirs.holds("per_device_train_batch_size"):
        said["layout.microbatch"] = 1
    if not theirs.holds("gradient_accumulation_steps"):
        said[ACCUMULATION] = None
        said["training.global_batch"] = 16
    if not theirs.holds("gradient_checkpointing"):
        said["layout.recompute"] = "full"
    return said | _shared(theirs, said, tuner="full" if "pt" in str(theirs.get(LAUNCHED)) else "lora")


def _shared(theirs: ForeignFile, keys: dict[str, Any], tuner: str) -> dict[str, Any]:
    """The model, its adapters, the length of samples and the precision."""
    name, length = theirs.get("model"), theirs.count("packing_length", "max_length")
    known = None if name is None else model_called(str(name))
    if name is not None and known is None:
        theirs.leave("model")
    said: dict[str, Any] = {"model.name": known} if known else {}
    said |= {"data.packed": True, "data.seq_len": length} if theirs.on("packing") else {LONGEST: length}
    kind = str(theirs.get(*TUNERS) or tuner)
    if kind == "lora":
        modules = theirs.get("target_modules")
        listed = re.split(r"[\s,]+", modules) if isinstance(modules, str) else modules
        targets = [ALL] if modules in (None, "all-linear") else targeted(listed)
        said |= {"model.trainable": "lora", "model.rank": theirs.count("lora_rank") or RANK}
        said |= {"model.targets": targets} if targets else {}
        if not targets:
            theirs.leave("target_modules")
    elif kind != "full":
        theirs.leave(next(one for one in TUNERS if theirs.holds(one)))
    weights = str(theirs.get("torch_dtype")).rpartition(".")[2]
    if keys.get("training.dtype") in (None, "fp32"):
        said["training.dtype"] = DTYPES.get(weights, "bf16")
    return said
