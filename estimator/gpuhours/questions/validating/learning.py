"""The 80 % bands, learned so that a source that was left out falls into them as often as it should."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gpuhours.inputs.arrays import Values
from gpuhours.questions.validating.case import Case
from gpuhours.questions.validating.prediction import predict
from gpuhours.questions.validating.report import Judged, Validation
from gpuhours.run.band import KINDS, table_path
from gpuhours.software.profile import load_software, parent_of

FEW = 3
"""Sources below which a kind borrows the spread of all runs."""
WANTED = 0.82
"""Coverage that left-out sources should reach: more than 0.8, since the constants have seen the sources that are left out here."""


def learn(validation: Validation) -> dict[str, Any]:
    """Band per kind, and what was seen.

        low, high = the 10th and 90th percentile of measured / predicted, a source of n runs weighing sqrt(n), widened by a factor
        in logarithms around the median so that sources left out are covered ``WANTED`` of the time

    A kind of fewer than three sources takes the wider of its own percentiles and those of all runs. ``new`` is for sources that are
    not among these: every source counts once as predicted and once with its stack unknown (``strangers``), and the spread of all kinds
    together is the least that is claimed. Whole-run averages are no steps and teach nothing here.
    """
    told = [one for one in validation.judged if one.error is not None and one.case is not None and not one.average]
    ratios = np.log([one.measured / one.predicted for one in told if one.measured and one.predicted])
    sources = np.array([one.row.word("source_title") or "" for one in told])
    kinds = np.array([one.case.kind for one in told if one.case])
    widths = np.linspace(0.6, 3.0, 49)
    covered = [left_out_coverage(ratios, sources, kinds, float(width)) for width in widths]
    width = float(widths[int(np.argmin(abs(np.array(covered) - WANTED)))])
    strange = strangers(told)
    mixed = [np.concatenate(pair) for pair in zip((ratios, sources, kinds), strange, strict=True)]
    least = limits_of(mixed[0], mixed[1], np.zeros(len(mixed[0]), int), 0, width)
    entries = {}
    for code, name in enumerate(KINDS):
        low, high = limits_of(ratios, sources, kinds, code, width)
        outer = limits_of(mixed[0], mixed[1], mixed[2], code, width)
        mine = ratios[kinds == code]
        entries[name] = {
            "low": round(float(np.exp(low)), 4), "high": round(float(np.exp(high)), 4), "runs": len(mine),
            "sources": len(set(sources[kinds == code])),
            "median_error": round(float(np.median(abs(np.exp(-mine) - 1))), 4) if len(mine) else None,
            "new": {
                "low": round(float(np.exp(min(low, outer[0], least[0]))), 4),
                "high": round(float(np.exp(max(high, outer[1], least[1]))), 4),
            },
        }  # fmt: skip
    return {"widened": round(width, 2), "kinds": entries, "seen": _seen(told)}


def strangers(told: Sequence[Judged]) -> tuple[Values, Values, Values]:
    """Log ratios, sources and kinds of the runs as predicted with the parent of their stack's profile: what a stack costs that nobody
    described. Stacks that are nobody's child are left out."""
    known = [(one.case, parent_of(one.case.software.name)) for one in told if isinstance(one.case, Case)]
    cases = [replace(case, software=load_software(parent)) for case, parent in known if parent]
    found = [(case, prediction.time) for case, prediction in zip(cases, predict(cases), strict=True) if prediction.time]
    ratios = np.log([(case.row.seconds or 1.0) / time for case, time in found])
    sources = np.array([f"{case.row.word('source_title')}, stack unknown" for case, _ in found])
    return ratios, sources, np.array([case.kind for case, _ in found])


def update_band(validation: Validation) -> None:
    """Write what was learned beside the measured runs."""
    table_path().write_text(json.dumps(learn(validation), indent=1) + "\n", encoding="utf-8")


def left_out_coverage(ratios: Values, sources: Values, kinds: Values, width: float) -> float:
    """Share of runs inside bands learned without their own source, a source of n runs weighing sqrt(n)."""
    shares, weights = [], []
    for source in set(sources):
        out = sources == source
        inside = []
        for code in set(kinds[out]):
            low, high = limits_of(ratios[~out], sources[~out], kinds[~out], code, width)
            mine = ratios[out & (kinds == code)]
            inside.append((mine >= low) & (mine <= high))
        shares.append(np.mean(np.concatenate(inside)))
        weights.append(np.sqrt(out.sum()))
    return float(np.average(shares, weights=weights))


def limits_of(ratios: Values, sources: Values, kinds: Values, code: int, width: float) -> tuple[float, float]:
    """Log limits of one kind."""
    everything = weighted(ratios, sources)
    mine = kinds == code
    if not mine.any():
        own = everything
        width *= 1.5
    else:
        own = weighted(ratios[mine], sources[mine])
        if len(set(sources[mine])) < FEW:
            own = (min(own[0], everything[0]), own[1], max(own[2], everything[2]))
    middle = np.clip(own[1], own[0], own[2])
    return float(middle + width * (own[0] - middle)), float(middle + width * (own[2] - middle))


def weighted(values: Values, sources: Values) -> tuple[float, float, float]:
    """10th, 50th and 90th percentile where a source of n values weighs sqrt(n)."""
    counts = {source: np.sum(sources == source) for source in set(sources)}
    weight = np.array([1.0 / np.sqrt(counts[source]) for source in sources])
    order = np.argsort(values)
    reached = (np.cumsum(weight[order]) - weight[order] / 2) / weight.sum()
    low, middle, high = np.interp([0.1, 0.5, 0.9], reached, values[order])
    return float(low), float(middle), float(high)


def _seen(told: Sequence[Judged]) -> dict[str, Any]:
    """What the measured runs had."""
    cases = [one.case for one in told if one.case]
    return {
        "accelerator": sorted({case.accelerator for case in cases}), "software": sorted({case.software.name for case in cases}),
        "dtype": sorted({case.precision.dtype for case in cases}), "gpus": max(case.gpus for case in cases),
        "tokens": max(case.tokens for case in cases), "sources": sorted({case.row.word("source_title") or "" for case in cases}),
    }  # fmt: skip
