"""Compare default layouts, and NVIDIA's tuned recipes, with the best layout of ``plan``.

    python -m tests.benchmarks.plans [models|recipes|all]

``models``: twelve dense and mixture-of-experts models from 1B to 1T. Prints the step time of ``tuned`` (``estimate --best``) and ``usual``
(the run of the sample that ``estimate`` shows) over the planned step time with the same stack, and whether the planned step is in the range
of the estimate. ``recipes``: the predicted step time of the layouts in NVIDIA's open recipes over that of ``plan`` for the same run, and
how likely the planned layout is really faster, of ``MOST`` of them; ``all``: of every recipe (some ten minutes).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import gpuhours
from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.estimating.estimating import estimate
from gpuhours.questions.planning import plan
from gpuhours.questions.planning.answer import choice
from gpuhours.questions.validating.case import Case, case_of
from gpuhours.questions.validating.rows import measured_rows
from gpuhours.run.spec import Run

MODELS: tuple[tuple[str, int, int, int, str], ...] = (
    ("llama-3.2-1b", 16, 256, 4096, "megatron-core-2024"),
    ("qwen2.5-3b", 32, 256, 4096, "megatron-core-2024"),
    ("llama-3-8b", 64, 512, 8192, "megatron-core-2024"),
    ("llama-2-13b", 64, 1024, 4096, "megatron-core-2024"),
    ("qwen2.5-32b", 128, 512, 4096, "megatron-core-2024"),
    ("llama-3-70b", 512, 1024, 8192, "megatron-core-2024"),
    ("gpt-3-175b", 512, 1536, 2048, "megatron-core-2024"),
    ("megatron-1t", 3072, 3072, 2048, "megatron-core-2024"),
    ("mixtral-8x7b", 64, 256, 4096, "megatron-core"),
    ("qwen3-30b-a3b", 64, 1024, 4096, "megatron-core"),
    ("deepseek-v3", 1024, 8192, 4096, "megatron-core"),
    ("kimi-k2", 2048, 8192, 4096, "megatron-core"),
)
"""Model, number of H100s, samples per step, tokens per sample, stack."""
RECIPES = ("DGX Cloud benchmarking recipes", "Megatron-Bridge performance summary")
"""Words in the names of the sources whose layouts NVIDIA tuned."""
NEAR = 0.05
MOST = 40
"""Number of recipes tried, sampled evenly from all."""


@dataclass(frozen=True)
class Behind:
    """The step time of a layout compared with the planned one."""

    name: str
    planned: float
    """Seconds."""
    tuned: float
    usual: float = 1.0
    inside: bool = True
    odds: float | None = None
    """Probability that the planned layout is really faster."""


def run_of(model: str, gpus: int, batch: int, length: int, stack: str) -> Run:
    """Return a run with everything stated except its layout."""
    keys: dict[str, Any] = {
        "model": model, "data.tokens": "1T", "data.seq_len": length, "training.global_batch": batch,
        "hardware.accelerator": "h100-sxm-80gb", "hardware.gpus": gpus, "hardware.network.share": 0.8, "software": stack, "year": 2025,
    }  # fmt: skip
    return gpuhours.from_dict({}, model, settings=keys)


def models() -> Iterator[Behind]:
    """Yield the step times of default layouts over the planned ones."""
    for one in MODELS:
        run = run_of(*one)
        planned = plan(run, top=1).best[0].value("step_time")
        tuned = estimate(run, best=True).results["step_time"]
        usual = estimate(run).results["step_time"]
        assert tuned is not None
        assert usual is not None
        inside = usual.low is not None and usual.high is not None and usual.low <= planned <= usual.high
        yield Behind(one[0], planned, float(tuned.value) / planned, float(usual.value) / planned, inside)


def tuned_cases() -> Iterator[Case]:
    """Return one case for each model, machine, batch, length and number format in NVIDIA's recipes."""
    seen = set()
    for row in measured_rows():
        if not any(word in (row.word("source_title") or "") for word in RECIPES) or not row.seconds or row.failed:
            continue
        case = case_of(row)
        if isinstance(case, str):
            continue
        key = (str(case.decoder), case.accelerator, case.gpus, case.global_batch, case.tokens, case.precision.dtype)
        if key not in seen:
            seen.add(key)
            yield case


def recipes(most: int) -> Iterator[Behind]:
    """Yield the predicted step times of tuned layouts over the planned ones, of at most about ``most`` recipes."""
    cases = list(tuned_cases())
    for case in cases[:: max(1, len(cases) // most)]:
        keys: dict[str, Any] = {
            "model": "llama-3-8b", "data.tokens": "1T", "data.seq_len": case.tokens, "training.global_batch": case.global_batch,
            "training.dtype": case.precision.dtype, "hardware.accelerator": case.accelerator, "hardware.gpus": case.gpus,
            "hardware.network.share": 0.8, "software": case.software.name,
        }  # fmt: skip
        run = gpuhours.from_dict({}, case.row.id, settings=keys).replaced("model", case.decoder)
        try:
            own = run.replaced("layout", case.layout)
            theirs = estimate(own).results["step_time"]
            planned = plan(run, top=1)
        except EstimateError as error:
            print(f"{case.row.id}: {error}", file=sys.stderr)
            continue
        if theirs is not None and planned.best:
            best = planned.best[0].value("step_time")
            yield Behind(case.row.id, best, float(theirs.value) / best, odds=planned.odds(choice(own)))


def main(what: str = "models") -> None:
    """Print one of the two tables."""
    found = []
    for one in models() if what == "models" else recipes(sys.maxsize if what == "all" else MOST):
        found.append(one)
        sure = "" if one.odds is None else f"   really faster with {one.odds:.0%}"
        beside = f"   usual x {one.usual:.3f}  {'inside' if one.inside else 'OUTSIDE'}" if what == "models" else sure
        print(f"{one.name:28s} planned {one.planned:8.3f} s   tuned x {one.tuned:.3f}{beside}", flush=True)
    near = sum(one.tuned <= 1 + NEAR for one in found)
    print(
        f"{near} of {len(found)} within {NEAR:.0%} of the plan; in the median x {median(one.tuned for one in found):.3f}"
    )
    sure = [one.odds for one in found if one.odds is not None]
    if sure:
        shares = ", ".join(
            f"{sum(odds >= least for odds in sure)} with {least:.0%} or more" for least in (0.5, 0.8, 0.9)
        )
        print(f"planned layout really faster: {shares}, of {len(sure)}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
