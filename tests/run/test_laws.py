"""Laws that every run must obey, on random valid runs; ``.ci/run`` tries hundreds, ``python -m tests.benchmarks.laws`` thousands."""

import random
from collections.abc import Iterator

import numpy as np
import pytest

import gpuhours
from gpuhours.run.evaluate import evaluate
from gpuhours.run.spec import from_dict
from tests.benchmarks.laws import LAWS, Tried, tally
from tests.benchmarks.random_runs import random_run

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def test_random_runs_obey_every_law() -> None:
    found = tally(16, "one", thin=3)
    assert not [line for one in found.values() for line in one.first]
    assert all(one.tried for name, one in found.items() if name != "plan")


WHOLE = {"tensor": 1, "pipeline": 1, "context": 1, "microbatch": 1, "sharding": "none", "recompute": "none"}
FIXED = {"known": {"goodput": 1.0}, "cost": {"price": "2 USD/hour"}}
LAGS = FIXED | {
    "model": {"name": "gemma-2b", "trainable": "lora", "rank": 8}, "data": {"seq_len": 512, "tokens": 3e11},
    "training": {"global_batch": 1536, "dtype": "bf16", "optimizer": "adamw-8bit"},
    "hardware": {"accelerator": "rtx-pro-6000", "gpus": 192},
    "layout": WHOLE | {"tensor": 2, "pipeline": 4, "context": 8, "microbatch": 8, "sharding": "zero3", "loss_blocks": 8},
    "software": "unsloth",
}  # fmt: skip
ONCE_BROKEN = {
    "sends hide behind what the host holds up": ("better parts", FIXED | {
        "model": "videomae-h", "data": {"frames": 1, "text_tokens": 256, "dataset_samples": 1.5e8},
        "training": {"global_batch": 3072, "dtype": "fp16"}, "hardware": {"accelerator": "h200-sxm-141gb", "gpus": 192},
        "layout": {"tensor": 1, "pipeline": 8, "context": 2, "microbatch": 4, "sharding": "zero2", "recompute": "none", "interleave": 2},
        "software": "megatron-core",
    }),
    "a NIC is shared by no more ranks than it has": ("better parts", FIXED | {
        "model": "vit-22b", "data": {"frames": 16, "text_tokens": 256, "dataset_samples": 3e6},
        "training": {"global_batch": 8, "dtype": "bf16"}, "hardware": {"accelerator": "mi250x", "gpus": 16},
        "layout": WHOLE | {"pipeline": 16}, "software": "fsdp-compile-async",
    }),
    "layers of full recomputation in a sweep of modes": ("rows", FIXED | {
        "model": "llama-3-8b", "data": {"seq_len": 4096, "tokens": 1e10}, "training": {"global_batch": 512, "dtype": "bf16"},
        "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 64},
        "layout": WHOLE | {"recompute": "full", "recompute_layers": 1},
        "software": "torch-compile",
    }),
    "a host that lags on the stage with the most layers": ("better parts", LAGS),
    "recomputation while the host lags": ("work takes time", LAGS),
    "half of a product that full recomputation skips": ("work takes time", FIXED | {
        "model": {"vision": {"name": "vit-l-14", "trainable": "frozen"}, "bridge": {"kind": "resampler", "queries": 64},
                  "language": "tinyllama-1.1b"},
        "data": {"frames": 64, "text_tokens": 64, "dataset_samples": 1e5}, "training": {"global_batch": 64, "dtype": "fp8"},
        "hardware": {"accelerator": "gb200", "gpus": 8}, "layout": WHOLE | {"pipeline": 2, "context": 2, "microbatch": 4},
        "software": "fsdp2-today",
    }),
    "fragments of the stage that drops most": ("more cards", FIXED | {
        "model": {"name": "starcoder2-3b", "trainable": "lora", "rank": 64}, "data": {"seq_len": 4096, "tokens": 1.5e13},
        "training": {"global_batch": 4096, "dtype": "bf16", "state": "amp", "optimizer": "adafactor"},
        "hardware": {"accelerator": "gb300", "gpus": 512},
        "layout": WHOLE | {"tensor": 8, "pipeline": 8, "microbatch": 8, "sharding": "zero3", "recompute": "selective"},
        "software": "huggingface-trainer",
    }),
}  # fmt: skip


@pytest.mark.parametrize("case", ONCE_BROKEN)
def test_runs_that_broke_a_law_keep_it(case: str) -> None:
    name, described = ONCE_BROKEN[case]
    outcome = evaluate(from_dict(described))
    for seed in range(4):
        assert not list(LAWS[name][0](Tried(described, outcome, random.Random(seed))))


def test_a_broken_law_is_told() -> None:
    def none_is_large(tried: Tried) -> Iterator[str]:
        if float(np.max(tried.outcome.value("gpus"))) > 8:
            yield "large"

    found = tally(10, "one", {"size": (none_is_large, 1)})["size"]
    assert found.tried == 10
    assert 0 < found.broken < 10
    assert "large" in found.first[0]


def test_random_runs_are_of_many_kinds() -> None:
    drawn = [random_run(random.Random(f"kinds-{number}")) for number in range(60)]
    assert len({described["hardware"]["accelerator"] for described, _ in drawn}) > 10
    assert len({described["software"] for described, _ in drawn}) > 8
    assert {described["layout"]["recompute"] for described, _ in drawn} == {"none", "selective", "full"}
    assert any(isinstance(described["model"], dict) and "vision" in described["model"] for described, _ in drawn)
    assert set(LAWS) >= {
        "numbers",
        "better parts",
        "memory",
        "less is kept",
        "parts",
        "scaling",
        "spelling",
        "rows",
        "plan",
    }


@pytest.mark.parametrize(
    ("model", "accelerators", "per_parameter"),
    [
        ("llama-3.1-8b", 8, (0.05, 0.08, 0.11, 0.2, 0.5, 0.8, 0.98, 1.01, 1.2, 1.39, 1.41, 2.0)),
        ("llama-3.1-70b", 16, (0.08, 0.11, 0.4, 0.86, 0.99, 1.01, 1.13, 1.39, 1.41)),
    ],
)
def test_more_tokens_never_cost_fewer_hours(model: str, accelerators: int, per_parameter: tuple[float, ...]) -> None:
    """From tuning a trained model to training one: the stacks that are drawn change with the tokens per parameter, but more slowly."""
    billion = float(model.rpartition("-")[2].removesuffix("b"))
    hours = [
        gpuhours.estimate(
            model=model, gpu="h100-sxm-80gb", gpus=accelerators, tokens=f"{ratio * billion}B", year="2026"
        )
        .results["gpu_hours"]
        .value
        for ratio in per_parameter
    ]
    assert hours == sorted(hours)


def test_a_run_of_which_few_would_not_fit_is_shown_as_it_fits() -> None:
    """70B on 16 cards: sharded states fit with FSDP2 and Megatron, in none of the trainers that tune, which are a share of such runs."""
    cards = {"model": "llama-3.1-70b", "gpu": "h100-sxm-80gb", "gpus": 16, "year": "2026"}
    for tokens in ("80B", "100B"):
        assert gpuhours.estimate(**cards, tokens=tokens).outcome.memory.fits
