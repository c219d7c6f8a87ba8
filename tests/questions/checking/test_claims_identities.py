"""``check`` and ``estimate`` must use the same equations: a run's own results satisfy both."""

from __future__ import annotations

import math

import pytest

from gpuhours.questions.checking.claim import Document
from gpuhours.questions.checking.setting import identities, setting
from gpuhours.questions.estimating.estimating import estimate
from gpuhours.run.identities import Identity
from gpuhours.run.spec import from_dict

RUN = {
    "model": "llama-2-13b",
    "data": {"seq_len": 4096, "tokens": "2T"},
    "training": {"global_batch": 1024, "dtype": "bf16"},
    "hardware": {"accelerator": "a100-sxm-80gb", "gpus": 256},
    "layout": {"tensor": 4, "pipeline": 2, "microbatch": 1, "sharding": "zero1"},
    "software": "megatron-core",
    "known": {"goodput": 0.9},
    "cost": {
        "price": "2 USD/GPU-hour",
        "country": "United States",
        "year": 2023,
        "pue": 1.1,
        "power": 340,
        "boundary": "accelerators",
    },
}


def figures() -> dict[str, float]:
    """Return the run's results as claims, in their units and under their names."""
    found = estimate(from_dict(RUN))
    total = found.outcome.totals.value
    same = (
        *("tokens", "steps", "global_batch", "tokens_per_sample", "gpus", "wall_clock", "step_time"),
        *("goodput", "mfu", "hfu", "model_flops", "tokens_per_second_per_gpu"),
    )
    named = {name: float(total(name)) for name in same}
    bill = {name: float(found.results[name].value) for name in ("cost", "energy", "carbon")}  # type: ignore[union-attr]
    return {
        **named,
        "samples": float(total("samples")),
        "gpu_hours": float(total("gpu_hours")),
        "productive_time": float(total("productive_time")),
        "seq_len": 4096.0,
        "nodes": 32.0,
        "gpus_per_node": 8.0,
        "tensor": 4.0,
        "pipeline": 2.0,
        "context": 1.0,
        "data_parallel": 32.0,
        "global_batch_tokens": 1024.0 * 4096,
        "flops_per_second_per_gpu": named["mfu"] * 312e12,
        "flops_per_second": named["mfu"] * 312e12 * 256,
        "tokens_per_second": named["tokens_per_second_per_gpu"] * 256,
        "recompute_ratio": named["hfu"] / named["mfu"],
        "parameters": 13.016e9,
        "active_parameters": 13.016e9,
        "cost": bill["cost"],
        "price": 2.0,
        "energy": bill["energy"],
        "gpu_power": 340.0,
        "pue": 1.1,
        "carbon": bill["carbon"],
    }


FIGURES = figures()
RUN = setting(Document("a run", ()), None)
HELD = [
    held
    for held in identities(RUN.holds, RUN.fixed)
    if isinstance(held, Identity) and all(name in FIGURES for name in held.exponents)
]


def test_enough_identities_are_tried() -> None:
    assert len(HELD) >= 12


@pytest.mark.parametrize("held", HELD, ids=lambda held: held.text)
def test_an_estimate_satisfies_what_a_text_is_held_to(held: Identity) -> None:
    product = sum(power * math.log(FIGURES[name]) for name, power in held.exponents.items())
    assert product == pytest.approx(math.log(held.constant), abs=max(3 * held.sigma, 1e-6))
