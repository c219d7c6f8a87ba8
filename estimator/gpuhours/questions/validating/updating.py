"""Recompute everything learned from the published runs: ``gpuhours validate --update``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from gpuhours.memory.odds import odds, odds_of, odds_path
from gpuhours.questions.validating.blanking import blanked
from gpuhours.questions.validating.case import Case, case_of
from gpuhours.questions.validating.learning import WITHOUT_EFFECT, errors_by, learn, samples, systems_by_trait
from gpuhours.questions.validating.leaving_out import accelerator_without, refits, software_without
from gpuhours.questions.validating.odds import learn as learn_odds
from gpuhours.questions.validating.odds import memory_errors, trials
from gpuhours.questions.validating.prediction import predict
from gpuhours.questions.validating.refitting import update_refits
from gpuhours.questions.validating.report import Judged, Validation, judge, validate
from gpuhours.questions.validating.rows import measured_rows
from gpuhours.questions.validating.sources import system_of
from gpuhours.run.conformal import curve, table, table_path
from gpuhours.run.digest import digest


def learned(found: Validation) -> dict[str, Any]:
    """The content of ``bands.json``: ranges, what they were learned on, and which measured runs are similar."""
    rows, less = samples(found.judged), samples(judged_blanked())
    cases = [one.case for one in found.judged if one.case is not None and one.error is not None and not one.average]
    return {
        "step": learn(rows, WITHOUT_EFFECT["step"], less),
        "memory": learn(samples(found.judged, memory=True), WITHOUT_EFFECT["memory"]),
        "world": systems_by_trait(rows),
        "dtypes": sorted({case.precision.dtype for case in cases}),
        "most": {"gpus": max(case.gpus for case in cases), "tokens": max(case.tokens for case in cases)},
        "like": errors_by(found.judged, lambda traits: traits.likeness),
        "stacks": errors_by(found.judged, lambda traits: traits.stack),
    }  # fmt: skip


def judged_blanked() -> list[Judged]:
    """The measured rows with facts blanked at random (``blanking``), each predicted without its system."""
    rows = list(blanked(row for row in measured_rows() if row.seconds and not row.failed))
    cases = [case_of(row, system_of(row.word("source_title") or "")) for row in rows]
    found = iter(predict([case for case in cases if isinstance(case, Case)]))
    outcomes = (next(found) if isinstance(case, Case) else None for case in cases)
    return [judge(*one, left_out=True) for one in zip(rows, cases, outcomes, strict=True)]


def update(*, refit: bool = False) -> Validation:
    """Learn the ranges with sources left out (``refit``: after refitting each source's constants), store them, and validate again."""
    if refit:
        update_refits()
        for known in (refits, software_without, accelerator_without):
            known.cache_clear()
    tried, unseen = (validate(memory_only=True, in_sample=known).judged for known in (True, False))
    _store(odds_path(), learn_odds(trials(tried), memory_errors(unseen)))
    _store(table_path(), learned(validate()))
    for kept in (table, curve, digest, odds, odds_of):
        kept.cache_clear()
    report = validate()
    _store(errors_path(), errors(report))
    return report


def errors_path() -> Path:
    """The file of stored errors by source."""
    return Path(str(files("gpuhours"))) / "published" / "errors.json"


def errors(found: Validation) -> dict[str, Any]:
    """The reference against which changes are compared: leave-one-out errors and coverage, over all rows and for every source."""
    kept = ("predicted", "mape", "median_ape", "bias", "coverage_80", "median_width", "memory_mape")
    by = found.by()["source_title"]
    titled = {
        "all": found.summary(),
        **{title: one for title, one in by.items() if one["predicted"] or one["memory_rows"]},
    }
    return {title: {name: _rounded(one[name]) for name in kept} for title, one in titled.items()}


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def _store(path: Path, found: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
