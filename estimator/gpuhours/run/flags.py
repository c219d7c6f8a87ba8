"""The flags that each set one key of a run. They are declared once, for the commands and for Python.

The command line reads this table before anything else, so this module imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

SHORTCUTS: Mapping[str, tuple[str, str]] = {
    "params": ("model.params", "Parameters: 30B."),
    "active": ("model.active", "Active parameters of a mixture of experts: 3B."),
    "model": ("model", "A known model, or a config.json."),
    "vision": ("model.vision.name", "A vision encoder in front of the language model."),
    "lora": ("model.rank", "Train LoRA adapters of this rank; the model is frozen."),
    "qlora": ("model.rank", "The same with the frozen weights in 4 bits (nf4)."),
    "tokens": ("data.tokens", "Tokens to train on: 500B."),
    "samples": ("data.dataset_samples", "Samples of the data set: 150M."),
    "epochs": ("data.epochs", "Passes over the data."),
    "steps": ("data.steps", "Optimiser steps."),
    "batch": ("training.global_batch", "Samples per step, or '4M tokens'."),
    "seq_len": ("data.seq_len", "Tokens per sample."),
    "frames": ("data.frames", "Frames per clip."),
    "resolution": ("data.resolution", "Pixels on a side of a picture or frame."),
    "tokens_per_frame": ("data.tokens_per_frame", "Tokens per frame."),
    "gpu": ("hardware.accelerator", "The accelerator, or a cloud instance."),
    "gpus": ("hardware.gpus", "Number of accelerators."),
    "precision": ("training.dtype", "bf16, fp8, ..."),
    "optimizer": ("training.optimizer", "The optimiser: adamw, adamw-8bit, muon, ..."),
    "tensor": ("layout.tensor", "Tensor-parallel degree."),
    "pipeline": ("layout.pipeline", "Pipeline stages."),
    "context": ("layout.context", "Context-parallel degree."),
    "expert": ("layout.expert", "Expert-parallel degree."),
    "microbatch": ("layout.microbatch", "Samples per rank and forward pass."),
    "sharding": ("layout.sharding", "none, zero1, zero2, zero3."),
    "recompute": ("layout.recompute", "none, selective, full."),
    "software": ("software", "The training stack."),
    "site": ("site", "A calibration of your own steps, from `gpuhours calibrate`."),
    "mfu": ("known.mfu", "Solve from this MFU: 44.5%."),
    "gpu_hours": ("known.gpu_hours", "Solve from these GPU-hours: 1.8M."),
    "days": ("known.days", "Solve from this duration in days."),
    "year": ("year", "The year of the run; sets its defaults."),
    "price": ("cost.price", "Price per GPU-hour: 2.5 USD/hour."),
    "country": ("cost.country", "Country of the electricity grid: France."),
}
"""Name of the option -> (the key it sets, its help text)."""

ADAPTERS = ("lora", "qlora")
"""Shortcuts that set more than their own key."""


OTHER_NAMES: Mapping[str, tuple[str, ...]] = {
    "params": ("parameters", "n_params", "num_params", "model_size"),
    "active": ("active_params",),
    "model": ("base_model", "model_name", "model_name_or_path"),
    "vision": ("vision_encoder", "encoder"),
    "lora": ("lora_rank", "lora_r"),
    "samples": ("examples", "images", "videos", "clips", "num_samples"),
    "epochs": ("epoch", "num_epochs", "num_train_epochs", "max_epochs"),
    "steps": ("max_steps", "num_steps", "train_steps", "max_train_steps", "train_iters", "iterations"),
    "batch": ("gbs", "global_batch", "global_batch_size"),
    "seq_len": ("seq", "seq_length", "sequence_length", "sequence_len", "ctx", "context_length", "block_size"),
    "frames": ("num_frames",),
    "resolution": ("image_size", "img_size"),
    "gpu": ("gpu_type", "accelerator", "card", "device", "instance", "hardware"),
    "gpus": ("num_gpus", "n_gpus", "ngpus", "gpu_count", "world_size"),
    "precision": ("dtype", "torch_dtype"),
    "optimizer": ("optimiser", "optim"),
    "tensor": ("tp", "tensor_parallel", "tensor_parallel_size", "tensor_model_parallel_size"),
    "pipeline": ("pp", "pipeline_parallel", "pipeline_parallel_size", "pipeline_model_parallel_size"),
    "context": ("cp", "context_parallel", "context_parallel_size"),
    "expert": ("ep", "expert_parallel", "expert_parallel_size", "expert_model_parallel_size"),
    "microbatch": ("mbs", "micro_batch", "micro_batch_size", "per_device_batch_size", "per_device_train_batch_size"),
    "software": ("framework", "stack", "trainer"),
    "price": ("gpu_price",),
}  # fmt: skip
"""Name of the option -> what else people call it. A name that programs use in more than one meaning is not here but in ``ELSEWHERE``."""

WITHOUT_EFFECT = "It does not change what a step costs: leave it out."
RECOMPUTE = "--recompute full repeats the forward pass (gradient checkpointing), selective a part of it, none nothing."
ONE_GPU_HOUR = "--price is the price of one GPU-hour: divide an instance's price by its number of GPUs."
ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(
        ("batch_size", "bs", "train_batch_size"),
        "--batch counts the samples per step of all accelerators together, --microbatch those of one accelerator per forward pass.",
    ),
    **dict.fromkeys(
        ("max_length", "max_seq_len", "max_seq_length", "cutoff_len"),
        "--seq-len is the mean length of the samples, not the longest allowed; packed or cut to equal length, the two are the same.",
    ),
    "max_samples": "--samples is the number of samples trained on, not the most allowed.",
    "dataset_size": "--samples counts the samples of the data set, --tokens the tokens to train on.",
    "size": "--params is the size of the model; --samples or --tokens that of the data.",
    "rank": "--lora RANK and --qlora RANK train adapters of that rank; --gpus is the number of processes.",
    "mixed_precision": "--precision bf16 is the format of the GEMMs; --set training.state=amp autocasts weights of fp32.",
    "backend": "--software names the training stack; `gpuhours software list`.",
    **dict.fromkeys(("region", "location"), "--country names the electricity grid; --price sets the price of one GPU-hour."),
    "date": "--year sets the defaults of the run; --by 2027-03-01 is a deadline.",
    **dict.fromkeys(("price_per_hour", "hourly_price"), ONE_GPU_HOUR),
    **dict.fromkeys(("nodes", "num_nodes", "nnodes"), "Count accelerators, not nodes: --gpus 16 for two nodes of eight."),
    **dict.fromkeys(("gpus_per_node", "nproc_per_node"), "--set hardware.node=NODE says which server; `gpuhours hardware list`."),
    **dict.fromkeys(("dp", "data_parallel", "data_parallel_size"), "It follows: --gpus divided by --tensor x --pipeline x --context."),
    **dict.fromkeys(
        ("grad_accum", "gradient_accumulation", "gradient_accumulation_steps", "accumulation", "ga"),
        "It follows: --batch (samples per step, all accelerators together) over --microbatch x data-parallel ranks.",
    ),
    **dict.fromkeys(("zero", "zero_stage"), "--sharding zero1, zero2 or zero3."),
    **dict.fromkeys(("fsdp", "fsdp2"), "--sharding zero3 shards all; --software fsdp2 names the stack."),
    "ddp": "--sharding none: every rank has the whole model.",
    "deepspeed": "--software deepspeed, and --sharding zero1, zero2 or zero3.",
    **dict.fromkeys(("bf16", "fp16", "fp8", "fp32", "tf32"), "--precision takes the format: --precision bf16."),
    **dict.fromkeys(("load_in_4bit", "4bit", "nf4"), "--qlora RANK trains adapters on weights of 4 bits."),
    **dict.fromkeys(("peft", "adapter"), "--lora RANK trains adapters, --qlora RANK on weights of 4 bits."),
    **dict.fromkeys(("gradient_checkpointing", "activation_checkpointing", "checkpointing"), RECOMPUTE),
    **dict.fromkeys(
        ("flash_attention", "flash_attn", "attn_implementation"),
        "The stack decides it: --software; `gpuhours software list`.",
    ),
    **dict.fromkeys(("packing", "sample_packing"), "--set data.packed=true: short samples share a sequence, without padding."),
    "dropout": "--set model.dropout=true: its masks take time and memory.",
    "compile": "--software torch-compile or fsdp-compile; `gpuhours software list`.",
    **dict.fromkeys(("cpu_offload", "offload"), "--set layout.offload_optimizer=true; `gpuhours schema run` lists what else."),
    **dict.fromkeys(("hours", "time", "duration"), "--days takes a duration that is known: --days 0.5; --by DATE asks whether it is met."),
    "deadline": "--by 2027-03-01.",
    **dict.fromkeys(("cost", "money"), '--budget "50k USD" asks whether it suffices; --price sets the price of one GPU-hour.'),
    **dict.fromkeys(("provider", "cloud", "spot"), "--gpu p5.48xlarge is an instance, --price is for one GPU-hour; `gpuhours prices`."),
    **dict.fromkeys(("lr", "learning_rate", "warmup", "warmup_ratio", "weight_decay", "seed", "lora_alpha"), WITHOUT_EFFECT),
}  # fmt: skip
"""What people say that is no option, and what to say instead."""


def flag_named(name: str) -> str:
    """The option that a name stands for: ``batch_size`` -> ``batch``; any other name is returned unchanged."""
    plain = name.replace("-", "_")
    return next((flag for flag, others in OTHER_NAMES.items() if plain in others), name)


def named_once(given: Iterable[str]) -> dict[str, str]:
    """Each name of a shortcut that is given -> the shortcut, other names unchanged. Raises ``EstimateError`` if two are the same one."""
    options: dict[str, str] = {}
    for name in given:
        flag = name if name in SHORTCUTS else flag_named(name)
        if (other := next((one for one, known in options.items() if known == flag), name)) != name:
            from gpuhours.inputs.errors import EstimateError

            both = " and ".join(f"--{one.replace('_', '-')}" for one in (other, name))
            raise EstimateError(f"Both {both} are given.", f"They are the same: keep --{flag.replace('_', '-')}.")
        options[name] = flag
    return options


def key_of(name: str) -> str:
    """The key that a flag sets, ``gpus`` -> ``hardware.gpus``; any other name is returned unchanged."""
    plain = flag_named(name.strip().removeprefix("--")).replace("-", "_")
    return SHORTCUTS[plain][0] if plain in SHORTCUTS and plain not in ADAPTERS else name
