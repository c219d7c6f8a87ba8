"""Prediction errors for measured steps whose stack is not named: the published rows without the columns that name the stack, predicted
without anything calibrated on their system.

    python -m tests.benchmarks.unnamed              # the stack is not stated
    python -m tests.benchmarks.unnamed abacus       # the stack has an unknown name
"""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import replace

import numpy as np

from gpuhours.questions.validating.case import Case, case_of
from gpuhours.questions.validating.prediction import predict
from gpuhours.questions.validating.report import Judged, judge
from gpuhours.questions.validating.rows import Row, measured_rows
from gpuhours.questions.validating.sources import system_of

SAID = ("software", "framework", "method", "release", "notes")
"""Columns that identify the stack."""


def unnamed(row: Row, name: str = "") -> Row:
    """Return the row without the columns that identify its stack, or with another name instead."""
    return replace(row, cells={**row.cells, **dict.fromkeys(SAID, ""), "software": name})


def judged(name: str = "") -> list[Judged]:
    """Return every published step that can be predicted in this way."""
    rows = [row for row in measured_rows() if row.seconds and not row.failed]
    said = [unnamed(row, name) for row in rows]
    cases = [case_of(bare, system_of(row.word("source_title") or "")) for row, bare in zip(rows, said, strict=True)]
    found = iter(predict([case for case in cases if isinstance(case, Case)]))
    outcomes = [next(found) if isinstance(case, Case) else None for case in cases]
    return [judge(*one, left_out=True) for one in zip(said, cases, outcomes, strict=True)]


def main() -> None:
    """Print error, bias and coverage for every source and overall."""
    by_source: dict[str, list[Judged]] = defaultdict(list)
    for one in judged(sys.argv[1] if len(sys.argv) > 1 else ""):
        if one.error is not None:
            by_source[one.row.word("source_title") or ""].append(one)
    errors, shares = [], []
    for title, rows in sorted(by_source.items(), key=lambda item: -len(item[1])):
        off = np.array([one.error for one in rows], float)
        inside = np.mean([(one.low or 0) <= (one.measured or 0) <= (one.high or 0) for one in rows])
        width = np.median([(one.high or 0) / (one.low or 1) for one in rows])
        errors.append(float(abs(off).mean()))
        shares.append(float(inside))
        print(
            f"{title[:48]:48} {len(off):4} mean {abs(off).mean():6.1%} bias {off.mean():+6.1%} in {inside:4.0%} x{width:.2f}"
        )
    print(
        f"{len(errors)} sources weighing the same: mean {np.mean(errors):.1%}, {np.mean(shares):.0%} of a source in range"
    )


if __name__ == "__main__":
    main()
