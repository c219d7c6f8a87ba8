"""The flags that each set one key of a run. They are declared once, for the commands and for Python.

The command line reads this table before anything else, so this module imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping

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


def key_of(name: str) -> str:
    """The key that a flag sets, ``gpus`` -> ``hardware.gpus``; any other name is returned unchanged."""
    plain = name.strip().removeprefix("--").replace("-", "_")
    return SHORTCUTS[plain][0] if plain in SHORTCUTS and plain not in ADAPTERS else name
