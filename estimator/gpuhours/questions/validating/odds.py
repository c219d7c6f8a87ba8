"""The probability that a layout fits in memory: for measured stacks fitted on layouts that ran or ran out of memory, for other stacks
from the errors of memory predictions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuhours.inputs.records import dataclass
from gpuhours.memory.odds import chance
from gpuhours.questions.validating.report import Judged
from gpuhours.questions.validating.sources import system_of

Floats = NDArray[np.float64]
CENTRE = (0.0, np.log(12.0))
"""Prior mean of log(half) and log(steepness): half of the layouts fit if the predicted memory equals the capacity, 94 % at 0.8 of it."""
FREE, HELD = 2.0, 0.5
"""Prior standard deviations in log: of the parameters common to measured stacks around ``CENTRE``, and of one stack's around these."""
ENOUGH = 30
"""Minimum number of a stack's layouts that ran, and that failed, for parameters of its own."""
ROUNDS = 200


@dataclass(frozen=True)
class Trial:
    """A layout that was tried."""

    system: str
    stack: str
    filled: float
    ran: bool


@dataclass(frozen=True)
class Error:
    """One measured memory."""

    system: str
    stack: str
    error: float
    """log(measured / predicted), predicted without its system"""


def trials(judged: Sequence[Judged]) -> list[Trial]:
    """Every row that ran or failed and has a predicted memory. Rows that do not state recomputation or sharding are excluded, since the
    predicted layout may differ from the one that ran."""
    tried = []
    for one in judged:
        ran = one.measured is not None or one.memory_measured is not None
        if one.filled is not None and one.case is not None and not one.memory_open and (ran or one.row.failed):
            tried.append(Trial(_system(one), one.case.software.name, one.filled, not one.row.failed))
    return tried


def memory_errors(judged: Sequence[Judged]) -> list[Error]:
    """Memory errors of the rows that state recomputation and sharding."""
    return [
        Error(_system(one), one.case.software.name, -float(np.log1p(one.memory_error)))
        for one in judged
        if one.memory_error is not None and one.case is not None and not one.memory_open
    ]


def _system(one: Judged) -> str:
    return system_of(one.row.word("source_title") or "")


def learn(rows: Sequence[Trial], errors: Sequence[Error]) -> dict[str, Any]:
    """The parameters (log half, log steepness) learned from all systems, and without each. ``rows`` are predicted with all constants, as
    for a new layout of a measured stack; ``errors`` without their system, as for a stack that was never measured."""
    systems = sorted({row.system for row in rows} | {one.system for one in errors})
    without = {out: _learned(rows, errors, out) for out in systems}
    ran_in = {
        stack: sorted({row.system for row in rows if row.stack == stack})
        for stack in sorted({row.stack for row in rows})
    }
    return {"measured_in": ran_in, "all": _learned(rows, errors, ""), "without": without}


def _learned(rows: Sequence[Trial], errors: Sequence[Error], out: str) -> dict[str, Any]:
    """The parameters without one system: ``stacks`` with at least ``ENOUGH`` layouts that ran and that failed have their own, with equal
    weight per layout since a new layout runs the same code; other measured stacks share ``measured``; unmeasured ones have ``unmeasured``,
    from memory errors."""
    kept = [row for row in rows if row.system != out]
    ran, failed = (Counter(row.stack for row in kept if row.ran is what) for what in (True, False))
    frequent = sorted(stack for stack in ran if min(ran[stack], failed[stack]) >= ENOUGH)
    common = _fitted([row for row in kept if row.stack not in frequent], np.array(CENTRE), FREE)
    stacks = {
        stack: _fitted([row for row in kept if row.stack == stack], common, HELD, crowd=0.0) for stack in frequent
    }
    unmeasured, own = _rounded(of_errors(rows, errors, out)), {name: _rounded(one) for name, one in stacks.items()}
    return {"unmeasured": unmeasured, "measured": _rounded(common), "stacks": own}


def of_errors(rows: Sequence[Trial], errors: Sequence[Error], out: str = "") -> Floats:
    """(log half, log steepness) for a stack that was never measured, from memory errors of stacks that only one system ran.

        half = exp(-location),    steepness = 1 / scale

    The location and the scale are those of Student's distribution with two degrees of freedom (``memory.odds.chance``) with the maximum
    posterior probability, with the prior of ``CENTRE`` and ``FREE``: a layout runs if log(filled) + error < 0. Of 1, 2, 3, 4, 6, 10 and
    30 degrees of freedom, two are likeliest on these errors. Each stack of a system has the same weight. Layouts that ran or failed are
    not used, so they can serve as a test.
    """
    systems: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        systems[row.stack].add(row.system)
    kept = [one for one in errors if one.system != out and not systems[one.stack] - {one.system, out}]
    counts = Counter((one.system, one.stack) for one in kept)
    weight = np.array([1.0 / counts[one.system, one.stack] for one in kept])
    off = np.array([one.error for one in kept])

    def loss(at: Floats) -> float:
        density = at[1] - 1.5 * np.log(2.0 + np.square(np.exp(at[1]) * (off + at[0])))
        return float(-np.sum(weight * density) + np.sum(((at - CENTRE) / FREE) ** 2) / 2)

    return _minimise(loss, np.array(CENTRE))


def _rounded(found: Floats) -> dict[str, float]:
    return {"half": round(float(np.exp(found[0])), 4), "steepness": round(float(np.exp(found[1])), 3)}


def _fitted(rows: Sequence[Trial], centre: Floats, held: float, crowd: float = 0.5) -> Floats:
    """(log half, log steepness) of maximum posterior probability, with a prior of standard deviation ``held`` around ``centre``; each of
    the n rows of one stack on one system has weight n^-crowd."""
    if not rows:
        return centre
    counts = Counter((row.system, row.stack) for row in rows)
    filled = np.log([row.filled for row in rows])
    ran = np.array([row.ran for row in rows])
    weight = np.array([counts[row.system, row.stack] ** -crowd for row in rows])

    def loss(at: Floats) -> float:
        if (
            at[0] > 0
        ):  # half <= 1: layouts that failed are seldom published, so the data alone could put half above the capacity
            return np.inf
        x = np.exp(at[1]) * (at[0] - filled)
        deviance = -np.sum(weight * np.log(chance(np.where(ran, x, -x))))
        return float(deviance + np.sum(((at - centre) / held) ** 2) / 2)

    return _minimise(loss, centre)


def _minimise(loss: Any, start: Floats) -> Floats:
    """Minimise a smooth function of two variables by a pattern search with step halving."""
    at, best, step = start.astype(float), loss(start), 0.5
    for _ in range(ROUNDS):
        tried = [
            at + step * np.array(way) for way in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1))
        ]
        values = [loss(one) for one in tried]
        if min(values) < best:
            at, best = tried[int(np.argmin(values))], min(values)
        elif step < 1e-4:
            break
        else:
            step /= 2
    return at
