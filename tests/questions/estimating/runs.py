"""A run of a named model, as a file and as flags, for tests of estimate."""

from __future__ import annotations

from typing import Any

import gpuhours
from gpuhours.questions.estimating.estimates import Estimate

TEXT = {
    "model": "llama-2-13b",
    "data": {"seq_len": 4096, "tokens": "1T"},
    "training": {"global_batch": 1024, "dtype": "bf16"},
    "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 128},
    "layout": {"tensor": 2, "pipeline": 2, "microbatch": 1, "sharding": "zero1"},
    "software": "megatron-core",
    "cost": {"price": "2.5 USD/hour", "country": "USA", "year": 2024},
}

OPTIONS = (
    "estimate", "--model", "llama-2-13b", "--seq-len", "4096", "--tokens", "1T", "--batch", "1024", "--precision", "bf16",
    "--gpu", "h100-sxm-80gb", "--gpus", "128", "--tensor", "2", "--pipeline", "2", "--microbatch", "1", "--sharding", "zero1",
    "--software", "megatron-core", "--price", "2.5 USD/hour", "--set", "cost.country=USA", "--set", "cost.year=2024",
)  # fmt: skip


def worked(**keys: Any) -> Estimate:
    """The run with some keys set (``__`` for the dot)."""
    return gpuhours.estimate(
        gpuhours.from_dict(TEXT, settings={key.replace("__", "."): value for key, value in keys.items()})
    )


def value(found: Estimate, name: str) -> float:
    result = found.results[name]
    assert result is not None, name
    return float(result.value)
