"""Predictions against measurements: errors over all and by kind, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpuhours.questions.envelope import envelope
from gpuhours.questions.validating.case import Case, case_of
from gpuhours.questions.validating.described import Described, described_runs, predict_described, read_described
from gpuhours.questions.validating.prediction import Prediction, predict
from gpuhours.questions.validating.rows import Row, out_of_memory_runs, published_runs, read_rows
from gpuhours.run.band import KINDS, limits, was_measured
from gpuhours.software.memory import GIB

SHORTEST = 1e-6
"""s that a measured step takes at least."""
AVERAGE = "average"
"""The ``outcome`` of a run of which only the whole is known."""


@dataclass(frozen=True)
class Judged:
    """One row: measured and predicted, or why not."""

    row: Row
    case: Case | Described | None
    measured: float | None
    """s a step."""
    predicted: float | None
    low: float | None
    high: float | None
    memory_measured: float | None
    """Bytes, as the source counts them."""
    memory_predicted: float | None
    fits: bool | None
    parts: Mapping[str, float]
    skipped_because: str | None

    @property
    def foretold_error(self) -> float | None:
        """predicted / measured - 1 of what was predicted before the run was measured, where that was kept."""
        foretold = self.row.positive("foretold_s")
        return None if foretold is None or self.measured is None else foretold / self.measured - 1

    @property
    def error(self) -> float | None:
        """predicted / measured - 1."""
        return None if self.predicted is None or self.measured is None else self.predicted / self.measured - 1

    @property
    def average(self) -> bool:
        """Measured as a whole run's time over its steps."""
        return self.row.word("outcome") == AVERAGE

    @property
    def memory_error(self) -> float | None:
        """predicted / measured - 1 of memory."""
        if self.memory_predicted is None or self.memory_measured is None:
            return None
        return self.memory_predicted / self.memory_measured - 1

    def to_dict(self) -> dict[str, Any]:
        """The row of the JSON document."""
        return {
            "id": self.row.id, "source_title": self.row.word("source_title"), "measured": self.measured,
            "predicted": self.predicted, "low": self.low, "high": self.high, "error": self.error,
            "foretold_error": self.foretold_error,
            "memory_measured": self.memory_measured, "memory_predicted": self.memory_predicted, "fits": self.fits,
            "skipped_because": self.skipped_because, "remarks": list(self.case.remarks) if self.case else [],
            "accelerator": self.case.accelerator if self.case else None,
            "software": self.case.software.name if self.case else None, "parts": dict(self.parts),
        }  # fmt: skip


@dataclass(frozen=True)
class Validation:
    """All rows of a table, judged."""

    path: str
    judged: tuple[Judged, ...]

    def summary(self) -> dict[str, Any]:
        """Over all rows."""
        return summary(self.judged)

    def by(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Over the rows of each value of each grouping."""
        return {
            name: {value: summary(group) for value, group in _grouped(self.judged, of).items()}
            for name, of in GROUPS.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """The JSON document."""
        content = {
            "runs": self.path,
            "summary": self.summary(),
            "by": self.by(),
            "units": {
                "measured": "second",
                "predicted": "second",
                "memory_measured": "byte",
                "memory_predicted": "byte",
            },
            "rows": [one.to_dict() for one in self.judged],
        }
        return envelope("validate", content)


def validate(path: Path | str | None = None, *, memory_only: bool = False) -> Validation:
    """Predict every row of a table, or every run of a YAML file (all that are published when None), that has what a prediction needs.

    Memory alone is judged on the layouts that are published as out of memory as well.
    """
    tables = published_runs() if path is None else (Path(path),)
    if tables[0].suffix.lower() in (".yaml", ".yml"):
        return Validation(str(tables[0]), _described(tables, memory_only))
    if memory_only and path is None:
        tables = (*tables, out_of_memory_runs())
    rows = tuple(row for table in tables for row in read_rows(table))
    cases = [case_of(row) for row in rows]
    ready = [case for case in cases if isinstance(case, Case)]
    predicted = iter(predict(ready, step_time=not memory_only))
    judged = tuple(
        judge(row, case, next(predicted) if isinstance(case, Case) else None)
        for row, case in zip(rows, cases, strict=True)
    )
    return Validation(str(tables[0]), judged + (_described(described_runs(), memory_only) if path is None else ()))


def _described(paths: Iterable[Path], memory_only: bool) -> tuple[Judged, ...]:
    """The runs of YAML files, judged."""
    runs = [run for path in paths for run in read_described(path)]
    found = predict_described(runs, step_time=not memory_only)
    return tuple(judge(run.row, run, prediction) for run, prediction in zip(runs, found, strict=True))


def judge(row: Row, case: Case | Described | str, found: Prediction | None) -> Judged:
    """One row with its prediction, or with the reason that there is none."""
    memory = row.positive("mem_gib_per_gpu")
    measured = row.seconds
    if isinstance(case, str) or found is None:
        return Judged(row, None, measured, None, None, None, memory and memory * GIB, None, None, {}, str(case))
    why = found.problem or (None if measured is not None else "no measured step time or rate")
    if measured is not None and measured < SHORTEST:
        measured, why = None, f"a step of {measured:.0e} s is none"
    if row.doubted is not None:
        measured, memory, why = None, None, f"not scored: {row.doubted}"
    if row.failed and not found.problem:
        measured, why = None, None
    low, high = map(float, limits(case.kind, measured=was_measured(row.word("source_title"))))
    time = found.time
    return Judged(
        row, case, measured, time, time and time * low, time and time * high, memory and memory * GIB, found.memory, found.fits,
        found.parts, why,
    )  # fmt: skip


def summary(judged: Iterable[Judged]) -> dict[str, Any]:
    """Errors over some rows; None where there is nothing to take them of."""
    judged = list(judged)
    told = [one for one in judged if one.error is not None]
    errors = np.array([one.error for one in told], float)
    foretold = np.array([one.foretold_error for one in judged if one.foretold_error is not None], float)
    memory = np.array([one.memory_error for one in judged if one.memory_error is not None], float)
    inside = [one.low <= one.measured <= one.high for one in told if one.low and one.high and one.measured]
    ran = [
        one for one in judged if one.fits is not None and (one.measured is not None or one.memory_measured is not None)
    ]
    failed = [one for one in judged if one.fits is not None and one.row.failed]
    return {
        "rows": len(judged), "predicted": len(told), "skipped": sum(one.skipped_because is not None for one in judged),
        "mape": _of(np.mean, abs(errors)), "median_ape": _of(np.median, abs(errors)),
        "p90_ape": _of(lambda values: np.quantile(values, 0.9), abs(errors)), "bias": _of(np.mean, errors),
        "coverage_80": _of(np.mean, np.array(inside, float)), "memory_rows": len(memory),
        "foretold_rows": len(foretold), "foretold_mape": _of(np.mean, abs(foretold)),
        "foretold_median_ape": _of(np.median, abs(foretold)),
        "memory_mape": _of(np.mean, abs(memory)), "memory_median_ape": _of(np.median, abs(memory)),
        "fits_wrong": sum(not one.fits for one in ran) + sum(bool(one.fits) for one in failed),
        "ran_rows": len(ran), "ran_fits": sum(bool(one.fits) for one in ran),
        "out_of_memory_rows": len(failed), "out_of_memory_called": sum(not one.fits for one in failed),
    }  # fmt: skip


def _of(function: Callable[[Any], Any], values: Any) -> float | None:
    return float(function(values)) if len(values) else None


def _grouped(judged: Iterable[Judged], of: Callable[[Judged], str]) -> dict[str, list[Judged]]:
    groups: dict[str, list[Judged]] = {}
    for one in judged:
        groups.setdefault(of(one), []).append(one)
    return dict(sorted(groups.items()))


def parallelism(one: Judged) -> str:
    """Which ways of sharing a model a row uses."""
    if one.case is None:
        return "unknown"
    layout, used = one.case.layout, []
    for name, degree in (
        ("tensor", layout.tensor),
        ("pipeline", layout.pipeline),
        ("context", layout.context),
        ("expert", layout.expert),
    ):
        if degree > 1:
            used.append(name)
    if layout.sharding.name == "zero3":
        used.append("sharded")
    return " + ".join(used) or "data"


def length(one: Judged) -> str:
    """Sequence length in powers of four."""
    tokens = one.row.positive("seq_len")
    if tokens is None:
        return "unknown"
    return next(
        (f"up to {bound // 1024}K" for bound in (2048, 8192, 32768, 131072 - 1) if tokens <= bound), "128K and more"
    )


GROUPS: Mapping[str, Callable[[Judged], str]] = {
    "accelerator": lambda one: one.case.accelerator if one.case else one.row.word("accelerator") or "unknown",
    "source_title": lambda one: one.row.word("source_title") or "unknown",
    "software": lambda one: one.case.software.name if one.case else one.row.word("software") or "unknown",
    "precision": lambda one: one.case.precision.dtype if one.case else one.row.word("dtype") or "unknown",
    "parallelism": parallelism,
    "length": length,
    "kind": lambda one: "whole-run averages" if one.average else KINDS[one.case.kind] if one.case else "unknown",
}
"""What errors are told apart by."""
