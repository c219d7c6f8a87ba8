"""A run that is quickly worked out, for tests of how rows are made, kept and joined."""

from __future__ import annotations

from typing import Any

RUN: dict[str, Any] = {
    "name": "a decoder",
    "model": {"layers": 24, "hidden": 2048, "heads": 16, "vocab": 51200},
    "data": {"seq_len": 2048, "tokens": "100B"},
    "training": {"global_batch": 512, "dtype": "bf16"},
    "hardware": {"accelerator": "a100-sxm-80gb", "gpus": 64},
    "software": "megatron-core",
}
