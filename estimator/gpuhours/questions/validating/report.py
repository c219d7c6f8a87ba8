"""Predictions against measurements: errors overall and by kind, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gpuhours.inputs.records import dataclass
from gpuhours.memory.odds import ENOUGH, UNMEASURED, odds_of
from gpuhours.questions.envelope import envelope
from gpuhours.questions.validating.at_site import at_pace, at_site
from gpuhours.questions.validating.averages import BEYOND, REMARK, averaged, widened
from gpuhours.questions.validating.case import Case, case_of
from gpuhours.questions.validating.described import Described, known_without, predict_described, read_described
from gpuhours.questions.validating.prediction import Prediction, predict
from gpuhours.questions.validating.rows import (
    Row,
    described_runs,
    measured_rows,
    out_of_memory_runs,
    published_runs,
    read_rows,
    unread_columns,
)
from gpuhours.questions.validating.sources import system_of
from gpuhours.run.conformal import HostFactors, curve, table
from gpuhours.run.digest import digest
from gpuhours.run.novelty import features
from gpuhours.run.ranges import share_limits
from gpuhours.run.site import Site, StackCalibration
from gpuhours.software.memory import GIB
from gpuhours.step.hosts import SAME
from gpuhours.step.predict import CPU

SHORTEST = 1e-6
"""Shortest plausible measured step, s."""
AVERAGE = "average"
"""The ``outcome`` of a row whose step time is the run's total time over its number of steps."""


@dataclass(frozen=True)
class Judged:
    """One row: measured and predicted, or why not."""

    row: Row
    case: Case | Described | None
    measured: float | None
    """s per step."""
    predicted: float | None
    low: float | None
    high: float | None
    memory_measured: float | None
    """Bytes, as counted by the source."""
    memory_predicted: float | None
    memory_low: float | None
    memory_high: float | None
    hosts: HostFactors
    """Step time on a fast and a slow host, relative to ``predicted``; 1 if the row says how fast its host is."""
    left_open: HostFactors
    """Step time with the fastest and slowest usual values of what the row does not state, relative to ``predicted``."""
    fits_probability: float | None
    filled: float | None
    """The minimum memory needed, relative to the accelerator's."""
    memory_open: bool
    """Whether the row does not state recomputation or sharding."""
    parts: Mapping[str, float]
    skipped_because: str | None

    @property
    def blind_error(self) -> float | None:
        """predicted / measured - 1 of a prediction made before the run was measured, if one was recorded."""
        blind = self.row.positive("predicted_blind_s")
        return None if blind is None or self.measured is None else blind / self.measured - 1

    @property
    def error(self) -> float | None:
        """predicted / measured - 1."""
        return None if self.predicted is None or self.measured is None else self.predicted / self.measured - 1

    @property
    def fits(self) -> bool | None:
        """Whether it is more likely to fit than not."""
        return None if self.fits_probability is None else self.fits_probability >= ENOUGH

    @property
    def average(self) -> bool:
        """Whether measured as a whole run's time divided by its steps."""
        return self.row.word("outcome") == AVERAGE

    @property
    def remarks(self) -> list[str]:
        """What the row does not state and what was assumed instead."""
        return [*(self.case.remarks if self.case else ()), *([REMARK] if self.average and self.predicted else [])]

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
            "blind_error": self.blind_error,
            "memory_measured": self.memory_measured, "memory_predicted": self.memory_predicted, "memory_low": self.memory_low,
            "memory_high": self.memory_high, "fits": self.fits, "fits_probability": self.fits_probability,
            "skipped_because": self.skipped_because, "remarks": self.remarks,
            "accelerator": self.case.accelerator if self.case else None,
            "software": self.case.software.name if self.case else None, "parts": dict(self.parts),
            "leave_out": list(self.case.left_out) if self.case else [],
        }  # fmt: skip


@dataclass(frozen=True)
class Validation:
    """All rows of a table, scored."""

    path: str
    judged: tuple[Judged, ...]
    in_sample: bool = False
    """Whether predicted with all constants, including those determined on these rows."""
    site: str | None = None
    """The calibration file used to predict."""
    unread: tuple[str, ...] = ()
    """Columns of the user's table with content that is not used."""

    def summary(self) -> dict[str, Any]:
        """Summary over all rows."""
        return summary(self.judged)

    def by(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Summaries over the rows of each value of each grouping."""
        return self._summaries

    def ranges(self) -> dict[str, Any] | None:
        """Coverage, width and interval score of the published rows' ranges, with all facts and with half of them blanked at random, each
        source left out: as ``--update`` learned them. None for other rows."""
        ours = self.path == str(published_runs()[0]) and not self.in_sample and self.site is None
        if not ours or all(one.error is None for one in self.judged):
            return None
        return {"as_published": table()["step"]["coverage"], "half_blanked": table()["step"]["blanked"]}

    @cached_property
    def _summaries(self) -> dict[str, dict[str, dict[str, Any]]]:
        return {
            name: {value: summary(group) for value, group in _grouped(self.judged, of).items()}
            for name, of in GROUPS.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """The JSON document."""
        content = {
            "runs": self.path,
            "digest": digest(),
            "in_sample": self.in_sample,
            "site": self.site,
            "columns_not_read": list(self.unread),
            "summary": self.summary(),
            "ranges": self.ranges(),
            "by": self.by(),
            "units": {
                **dict.fromkeys(("measured", "predicted"), "second"),
                **dict.fromkeys(("memory_measured", "memory_predicted", "memory_low", "memory_high"), "byte"),
            },
            "rows": [one.to_dict() for one in self.judged],
        }
        return envelope("validate", content)


def validate(
    path: Path | str | None = None, *, memory_only: bool = False, in_sample: bool = False, site: Site | None = None
) -> Validation:
    """Predict every row of a table, or every run of a YAML file (all published ones if None), that states what a prediction needs.

    Rows published here are predicted without their source (``leaving_out``), unless ``in_sample``; other rows with all constants. Memory
    alone is also scored on layouts published as out of memory. ``site``: rows of its stacks are predicted with its calibration
    (``at_site``).
    """
    tables = published_runs() if path is None else (Path(path),)
    if tables[0].suffix.lower() in (".yaml", ".yml"):
        return Validation(str(tables[0]), _described(tables, memory_only, in_sample), in_sample)
    failed = read_rows(out_of_memory_runs()) if memory_only and path is None else ()
    rows = (*(measured_rows() if path is None else read_rows(path)), *failed)
    ours = {_name(row) for row in (*measured_rows(), *failed)}
    cases = [case_of(row, _system(row) if _name(row) in ours and not in_sample else "") for row in rows]
    calibrations: list[StackCalibration | None] = [None] * len(rows)
    if site is not None:
        cases, calibrations = map(list, zip(*at_site(rows, cases, site), strict=True))
    ready = [case for case in cases if isinstance(case, Case)]
    predicted = iter(predict(ready, step_time=not memory_only))
    judged = tuple(
        judge(row, case, next(predicted) if isinstance(case, Case) else None, _name(row) in ours and not in_sample, one)
        for row, case, one in zip(rows, cases, calibrations, strict=True)
    )
    described = _described(described_runs(), memory_only, in_sample) if path is None else ()
    return Validation(
        str(tables[0]),
        judged + described,
        in_sample,
        None if site is None else Path(site.name).name,
        () if path is None else unread_columns(rows),
    )


def _name(row: Row) -> tuple[str, str]:
    return row.word("source_title") or "", row.id


def _system(row: Row) -> str:
    return system_of(row.word("source_title") or "")


def _described(paths: Iterable[Path], memory_only: bool, in_sample: bool) -> tuple[Judged, ...]:
    """The runs of YAML files, scored; those included in gpuhours without their system."""
    runs, left = [], []
    for path in paths:
        out = path in described_runs() and not in_sample
        for run in read_described(path):
            runs.append(known_without(run, _system(run.row)) if out else run)
            left.append(out)
    outcomes = predict_described(runs, step_time=not memory_only)
    return tuple(judge(run.row, run, one, out) for run, one, out in zip(runs, outcomes, left, strict=True))


def judge(
    row: Row,
    case: Case | Described | str,
    found: Prediction | None,
    left_out: bool = False,
    calibration: StackCalibration | None = None,
) -> Judged:
    """One row with its prediction, or with the reason that there is none; its ranges exclude its system if ``left_out``.

    ``calibration`` is the site's calibration of the row's stack.
    """
    if isinstance(case, str) or found is None:
        return _skipped(row, str(case))
    memory = row.positive("mem_gib_per_gpu")
    measured = row.seconds
    why = found.problem or (None if measured is not None else "no measured step time or rate")
    if measured is not None and measured < SHORTEST:
        measured, why = None, f"a step of {measured:.0e} s is not plausible"
    if row.doubted is not None:
        measured, memory, why = None, None, f"not scored: {row.doubted}"
    if row.failed and not found.problem:
        measured, why = None, None
    found = at_pace(found, calibration)
    time, held, system = found.time, found.memory, _system(row) if left_out else ""
    new = features(case.traits, time or 1.0, table()["world"], frozenset({system}), found.parts.get(CPU, 0.0))
    ours = curve("step", system).limits(new, found.hosts, found.left_open)
    low, high = ours if calibration is None else calibration.limits(curve("step").usual(new))
    parts = found.parts
    if time is not None and row.word("outcome") == AVERAGE:
        step, time, (low, high) = time, averaged(time, case), widened(low, high)
        parts = {**parts, BEYOND: time - step}
    least, most = curve("memory", system).limits(new)
    odds = odds_of(UNMEASURED if case.traits.stands_in else case.software.name, system)
    chance = None if found.filled is None else float(odds.probability(found.filled))
    return Judged(
        row, case, measured, time, time and time * low, time and time * high, memory and memory * GIB, held, held and held * least,
        held and held * most, found.hosts, found.left_open, chance, found.filled, found.open, parts, why,
    )  # fmt: skip


def _skipped(row: Row, why: str) -> Judged:
    """One row without a prediction, with the reason."""
    unknown: tuple[None, None, None] = (None, None, None)
    memory = row.positive("mem_gib_per_gpu")
    return Judged(
        row, None, row.seconds, *unknown, memory and memory * GIB, *unknown, SAME, SAME, None, None, False, {}, why,
    )  # fmt: skip


def summary(judged: Iterable[Judged]) -> dict[str, Any]:
    """Error statistics over some rows; None where there are no rows."""
    judged = list(judged)
    scored = [one for one in judged if one.error is not None]
    errors = np.array([one.error for one in scored], float)
    blind = np.array([one.blind_error for one in judged if one.blind_error is not None], float)
    memory = np.array([one.memory_error for one in judged if one.memory_error is not None], float)
    inside = [one.low <= one.measured <= one.high for one in scored if one.low and one.high and one.measured]
    widths = [one.high / one.low for one in scored if one.low and one.high]
    ran = [
        one
        for one in judged
        if one.fits is not None and not one.row.failed and (one.measured is not None or one.memory_measured is not None)
    ]
    failed = [one for one in judged if one.fits is not None and one.row.failed]
    by_source = [
        np.array([abs(one.error or 0.0) for one in rows])
        for rows in _grouped(scored, lambda one: one.row.word("source_title") or "").values()
    ]
    return {
        "rows": len(judged), "predicted": len(scored), "skipped": sum(one.skipped_because is not None for one in judged),
        "mape": _of(np.mean, abs(errors)), "median_ape": _of(np.median, abs(errors)),
        "p90_ape": _of(lambda values: np.quantile(values, 0.9), abs(errors)), "bias": _of(np.mean, errors),
        "sources": len(by_source), "sources_median_ape": _of(np.median, [np.median(errors) for errors in by_source]),
        "sources_mape": _of(np.mean, [errors.mean() for errors in by_source]),
        "coverage_80": _of(np.mean, np.array(inside, float)), "median_width": _of(np.median, widths), "memory_rows": len(memory),
        "blind_rows": len(blind), "blind_mape": _of(np.mean, abs(blind)),
        "blind_median_ape": _of(np.median, abs(blind)),
        "memory_mape": _of(np.mean, abs(memory)), "memory_median_ape": _of(np.median, abs(memory)),
        "fits_wrong": sum(not one.fits for one in ran) + sum(bool(one.fits) for one in failed),
        "ran_rows": len(ran), "ran_fits": sum(bool(one.fits) for one in ran),
        "out_of_memory_rows": len(failed), "out_of_memory_called": sum(not one.fits for one in failed),
        "fits_calibration": calibration([one for one in (*ran, *failed) if not one.memory_open]),
        "leave_out": sorted({f"{one.case.without}: {what}" for one in judged if one.case for what in one.case.left_out}),
    }  # fmt: skip


def calibration(tried: Iterable[Judged]) -> list[dict[str, Any]]:
    """Calibration of the predicted probability of fitting, over layouts that ran or failed: for each tenth, how many, the mean
    prediction, the share that ran, and its 95 % interval (``share_limits``). Rows that do not state recomputation or sharding are left
    out, since the predicted layout may differ from the one that ran."""
    tenths: dict[int, list[Judged]] = {}
    for one in tried:
        tenths.setdefault(min(9, int(10 * (one.fits_probability or 0.0))), []).append(one)
    found = []
    for tenth, group in sorted(tenths.items()):
        ran = sum(not one.row.failed for one in group)
        low, high = share_limits(ran, len(group))
        predicted = float(np.mean([one.fits_probability for one in group]))
        found.append(
            {
                "from": tenth / 10,
                "rows": len(group),
                "predicted": predicted,
                "ran": ran / len(group),
                "low": low,
                "high": high,
            }
        )
    return found


def _of(function: Callable[[Any], Any], values: Any) -> float | None:
    return float(function(values)) if len(values) else None


def _grouped(judged: Iterable[Judged], of: Callable[[Judged], str]) -> dict[str, list[Judged]]:
    groups: dict[str, list[Judged]] = {}
    for one in judged:
        groups.setdefault(of(one), []).append(one)
    return dict(sorted(groups.items()))


def parallelism(one: Judged) -> str:
    """The kinds of parallelism that a row uses."""
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
    "kind": lambda one: "whole-run averages" if one.average else one.case.traits.kind if one.case else "unknown",
}
"""Groupings of the errors."""
