"""Rows that are chosen: the syntax of --where, the best rows and those that none surpasses."""

from __future__ import annotations

import numpy as np
import pytest

import gpuhours
from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.sweeping.pareto import front
from gpuhours.questions.sweeping.where import where
from tests.questions.sweeping.several_runs import CASES, GPT, run_of

COLUMNS = {
    "mfu": np.array([0.3, 0.5, np.nan]), "wall_clock": np.array([10, 40, 1]) * 86400.0, "fits": np.array([True, True, False]),
    "gpu_hours": np.array([1e3, 1e6, 2.0]), "memory_per_gpu": np.array([60e9, 70e9, 90e9]), "cost": np.array([1.0, 2e6, 3.0]),
    "layout.recompute": np.array(["full", "none", "none"]), "layout.tensor": np.array([1.0, 2.0, 4.0]),
}  # fmt: skip
UNITS = {
    "mfu": "", "wall_clock": "s", "fits": "condition", "gpu_hours": "GPU*hour", "memory_per_gpu": "byte", "cost": "USD",
    "layout.recompute": None, "layout.tensor": "",
}  # fmt: skip


@pytest.mark.parametrize(("text", "rows"), [
    ("fits and mfu > 40%", [1]),
    ("wall_clock < 30 days", [0, 2]),
    ("gpu_hours > 2k", [1]),
    ("gpu_hours > 0.5M GPU-hours", [1]),
    ("memory_per_gpu < 64 GiB or not fits", [0, 2]),
    ("layout.recompute == full", [0]),
    ("layout.recompute != 'none'", [0]),
    ("cost / gpu_hours < 1.6 USD/GPU-hours", [0, 2]),
    ("layout.tensor * 2 > 3", [1, 2]),
    ("0.2 < mfu < 0.4", [0]),
    ("mfu + 0.1 > 0.5", [1]),
    ("-mfu < -0.4", [1]),
    ("not (mfu > 0.4 or fits)", [2]),
    ("layout.tensor ** 2 == 4", [1]),
])  # fmt: skip
def test_where(text: str, rows: list[int]) -> None:
    assert np.flatnonzero(where(text, UNITS)(COLUMNS.__getitem__)).tolist() == rows


@pytest.mark.parametrize("text", [
    "", "mfu", "mfu >", "(mfu > 1", "foo > 1", "wall_clock < memory_per_gpu", "mfu > 3 days", "fits == 1", "mfu and fits",
    "__import__('os').system('true')", "mfu > 1; fits", "mfu.__class__ == 1", "lambda: 1", "(" * 500 + "mfu", "mfu ** 9e9 ** 9e9 > cost",
    "not " * 500 + "fits", "1" * 5000, "layout.recompute > full", "mfu > 'high'", "fits + fits > 1",
])  # fmt: skip
def test_hostile_where(text: str) -> None:
    with pytest.raises(EstimateError):
        where(text, UNITS)


def test_where_keeps_the_rows_it_says() -> None:
    data, vary = CASES["layout"]
    whole = gpuhours.sweep(run_of(data), vary).table.to_pylist()
    kept = gpuhours.sweep(
        run_of(data),
        vary,
        where="fits and mfu > 30% and layout.recompute != full and hardware.gpus == 64",
        block_rows=300,
    )
    expected = [
        row for row in whole if row["valid"] and row["fits"] and row["mfu"] > 0.3 and row["layout.recompute"] != "full"
    ]
    assert expected
    assert [row["step_time"] for row in kept.table.to_pylist()] == pytest.approx(
        [row["step_time"] for row in expected], rel=1e-12
    )


def test_where_knows_the_inputs_that_stay_the_same() -> None:
    run, vary = run_of({**GPT, "layout": {"tensor": 2, "recompute": "full"}}), {"layout.pipeline": [1, 2]}
    for text, kept in (
        ("layout.recompute == full", 2),
        ("layout.recompute == none", 0),
        ("hardware.accelerator == 'a100-sxm-80gb' and layout.sequence_parallel", 2),
        ("training.global_batch >= 512 and layout.pipeline * layout.tensor == 4", 1),
    ):
        assert gpuhours.sweep(run, vary, where=text).kept == kept, text


def test_best_rows_are_the_best() -> None:
    data, vary = CASES["layout"]
    whole = [row for row in gpuhours.sweep(run_of(data), vary).table.to_pylist() if row["valid"]]
    least = gpuhours.sweep(run_of(data), vary, minimise="step_time", top=7, block_rows=900).table.to_pylist()
    assert [row["step_time"] for row in least] == pytest.approx(
        sorted(row["step_time"] for row in whole)[:7], rel=1e-12
    )
    most = gpuhours.sweep(run_of(data), vary, maximise="mfu", top=3).table.to_pylist()
    assert [row["mfu"] for row in most] == pytest.approx(
        sorted((row["mfu"] for row in whole), reverse=True)[:3], rel=1e-12
    )
    kept = gpuhours.sweep(run_of(data), vary, pareto=["step_time", "memory_per_gpu"], block_rows=900).table.to_pylist()
    points = {(row["step_time"], row["memory_per_gpu"]) for row in whole}
    expected = sorted(p for p in points if not any(q[0] <= p[0] and q[1] <= p[1] and q != p for q in points))
    assert np.allclose([(row["step_time"], row["memory_per_gpu"]) for row in kept], expected, rtol=1e-12)


def test_pareto_front_against_the_definition() -> None:
    rng = np.random.default_rng(5)
    for size in (0, 1, 2, 50):
        first, second = rng.integers(0, 12, (2, size)).astype(float)
        found = {(first[i], second[i]) for i in front(first, second)}
        points = set(zip(first, second, strict=True))
        assert found == {p for p in points if not any(q[0] <= p[0] and q[1] <= p[1] and q != p for q in points)}
