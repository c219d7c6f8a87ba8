"""How much a few measured steps improve predictions: each open source is left out, some of its steps are given, the others are judged.

``python -m tests.benchmarks.calibrate [STEPS]`` (about three minutes) prints for each stack of each system the median error before and
after, the worst increase in error, and the share of the judged steps inside the 80 % range, which becomes narrower.
"""

from __future__ import annotations

import math
import random
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gpuhours.questions.calibrating.calibrating import usual_error
from gpuhours.questions.calibrating.choosing import candidates, chosen
from gpuhours.questions.calibrating.observed import ObservedRow, predicted_rows
from gpuhours.questions.validating.case import Case, case_of
from gpuhours.questions.validating.rows import measured_rows
from gpuhours.questions.validating.sources import system_of
from gpuhours.run.conformal import curve, table
from gpuhours.run.novelty import features
from gpuhours.run.site import QUANTILE

GIVEN, MOST, DRAWS = 3, 24, 24
LEAST = 5
"""Least number of steps of a stack on one system for it to be judged."""


@dataclass(frozen=True)
class JudgedStack:
    """Errors and ranges for one stack of one system, before and after some of its steps are given."""

    system: str
    stack: str
    rows: int
    before: float
    """Median error, averaged over the draws."""
    after: float
    inside_before: float
    inside: float
    width_before: float
    width: float
    """Median of high / low."""
    changed: float
    """Share of the draws in which a different stack was chosen."""
    worse: float
    """Share of the draws that increased the error by more than a point."""


def groups() -> Iterator[tuple[str, list[ObservedRow]]]:
    """Yield the steps of each stack of each system, predicted without data of that system."""
    found: dict[tuple[str, str], list[ObservedRow]] = defaultdict(list)
    for row in measured_rows():
        if not row.seconds or row.failed or row.doubted or row.word("outcome") == "average":
            continue
        system = system_of(row.word("source_title") or "")
        case = case_of(row, system)
        if isinstance(case, Case):
            found[system, case.software.name].append(ObservedRow(row, case, system))
    for (system, _), rows in sorted(found.items()):
        if len(rows) >= LEAST:
            yield system, random.Random(0).sample(rows, min(MOST, len(rows)))


def judged(system: str, rows: list[ObservedRow], given: int) -> JudgedStack | None:
    """Judge one group, averaged over ``DRAWS`` random draws of the given steps."""
    crosses = any(one.crosses for one in rows)
    penalties = dict(candidates(rows[0].stated, crosses))
    measured = np.log([one.seconds for one in rows])
    times = {stack: predicted_rows(rows, stack) for stack in penalties}
    logs = {stack: measured - np.log([math.nan if t is None else t for t in found]) for stack, found in times.items()}
    stated = logs[rows[0].stated]
    kept = np.flatnonzero(np.isfinite(stated))
    if len(kept) < max(LEAST, given + 2):
        return None
    limits, usual = [], []
    for place, one in enumerate(rows):
        time = times[rows[0].stated][place] or 1.0
        limits.append(
            np.log(curve("step", system).limits(features(one.traits, time, table()["world"], frozenset({system}))))
        )
        usual.append(usual_error(one.traits, time, system))
    bounds, wide = np.array(limits), np.array(usual)
    generator, figures = np.random.default_rng(0), []
    for _ in range(DRAWS):
        three = generator.choice(kept, given, replace=False)
        rest = np.setdiff1d(kept, three)
        residuals = {
            stack: found[three] if np.all(np.isfinite(found[three])) else None for stack, found in logs.items()
        }
        choice = chosen(residuals, penalties, float(np.mean(wide[three])))
        own = np.where(np.isfinite(logs[choice.stack][rest]), logs[choice.stack][rest], stated[rest]) - math.log(
            choice.factor
        )
        half = QUANTILE * math.hypot(choice.own, choice.shared) * np.maximum(1.0, wide[rest] / choice.usual)
        before = stated[rest]
        figures.append((
            np.median(abs(np.expm1(-before))), np.median(abs(np.expm1(-own))),
            np.mean((bounds[rest, 0] <= before) & (before <= bounds[rest, 1])), np.mean(abs(own) <= half),
            np.exp(np.median(bounds[rest, 1] - bounds[rest, 0])), np.exp(np.median(2 * half)), choice.stack != rows[0].stated,
        ))  # fmt: skip
    table_of = np.array(figures, float)
    means = [float(value) for value in table_of.mean(axis=0)]
    return JudgedStack(
        system, rows[0].stated.software, len(kept), *means, float(np.mean(table_of[:, 1] - table_of[:, 0] > 0.01))
    )


def summary(found: list[JudgedStack]) -> dict[str, float]:
    """Summarise all groups with equal weight."""
    before, after = np.array([one.before for one in found]), np.array([one.after for one in found])
    return {
        "groups": len(found), "systems": len({one.system for one in found}),
        "median before": float(np.median(before)), "median after": float(np.median(after)),
        "mean before": float(np.mean(before)), "mean after": float(np.mean(after)),
        "worst worsening": float(np.max(after - before)), "worse by a point": int(np.sum(after - before > 0.01)),
        "inside before": float(np.mean([one.inside_before for one in found])), "inside": float(np.mean([one.inside for one in found])),
        "width before": float(np.median([one.width_before for one in found])), "width": float(np.median([one.width for one in found])),
        "draws worse by a point": float(np.mean([one.worse for one in found])),
    }  # fmt: skip


def main(given: int = GIVEN) -> None:
    """Print every group and the summary."""
    print(f"{'system':24} {'stack':20} rows  before  after  inside       width        other  worse")
    found = []
    for system, rows in groups():
        one = judged(system, rows, given)
        if one is None:
            continue
        found.append(one)
        shares = f"{one.inside_before:4.0%} {one.inside:4.0%}    {one.width_before:4.2f} {one.width:4.2f}"
        errors = f"{one.system[:24]:24} {one.stack:20} {one.rows:4}  {one.before:6.1%} {one.after:6.1%}"
        print(f"{errors}  {shares}    {one.changed:5.0%} {one.worse:5.0%}", flush=True)
    for name, value in summary(found).items():
        print(f"{name:24} {value:.4g}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else GIVEN)
