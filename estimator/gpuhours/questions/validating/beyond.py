"""The ratio of published GPU-hours to those of a known step, learned from runs that state both GPU-hours and MFU or FLOP/s."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.validating.rows import Row
from gpuhours.questions.validating.totals_rows import described, organisation
from gpuhours.run.evaluate import evaluate
from gpuhours.run.goodput import POSITIONS, checkpoint_of, goodput

REPEATED = 6 / 8
"""Model FLOPs over hardware FLOPs under full recomputation (6 N D of 8 N D), for stated rates that count the recomputation."""
APART = 2.0
"""Factor beyond which hours and a stated rate contradict each other: stops and rounding explain half as much."""
FROM_STEPS = ("gpu_hours=tokens/", "gpu_hours=samples/")
"""Derivations of hours from the step rate alone, which include no stops."""


def paces(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """For every run that states its hours and its rate: ln of its hours over those of its steps with typical stops."""
    return [found for row in rows if (found := log_hours_over_steps_of(row)) is not None]


def log_hours_over_steps_of(row: Row) -> dict[str, Any] | None:
    """The same for one run; None if it does not state both, or they contradict each other."""
    hours, mfu, rate = (row.positive(name) for name in ("gpu_hours", "mfu_pct", "tflops_per_gpu"))
    counted = mfu is not None or (rate is not None and row.word("recompute") is not None)
    from_steps = any(words in (row.word("derived_fields") or "").replace(" ", "") for words in FROM_STEPS)
    if hours is None or row.positive("tokens_b") is None or not counted or from_steps:
        return None
    try:
        run = described(row, "usual")
        share = (mfu or 0.0) / 100 or (rate or 0.0) * 1e12 * REPEATED / evaluate(run).resolved.peak
        outcome = evaluate(run.replaced("known.mfu", share))
    except EstimateError:
        return None
    asked, steps, seconds = outcome.resolved, outcome.value("steps"), outcome.value("step_time")
    if asked.model is None or asked.cluster is None or steps is None or seconds is None:
        return None
    ratio = hours / float(outcome.value("gpu_hours"))
    if not 1 / APART < ratio < APART:
        return None
    cluster = asked.cluster
    running = goodput(
        run.operation, dict.fromkeys(POSITIONS, 0.5), gpus=cluster.gpus, nodes=cluster.nodes,
        size=checkpoint_of(asked.model, asked.precision), step_time=seconds, productive=steps * seconds,
    )  # fmt: skip
    residual = float(np.log(ratio * running))
    return {"id": row.id, "organisation": organisation(row), "residual": round(residual, 4)}


def beyond(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The stored factor beyond a step: median, smallest and largest over organisations, each by the median of its runs."""
    owners: dict[str, list[float]] = {}
    for run in runs:
        owners.setdefault(run["organisation"], []).append(run["residual"])
    middles = np.array([np.median(residuals) for residuals in owners.values()])
    value, low, high = (round(float(np.exp(one)), 4) for one in (np.median(middles), middles.min(), middles.max()))
    return {"value": value, "low": low, "high": high, "runs": list(runs)}
