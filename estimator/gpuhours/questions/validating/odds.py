"""The odds of running in memory, learned on layouts that ran and layouts that did not, each predicted without its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuhours.inputs.records import dataclass
from gpuhours.questions.validating.report import Judged
from gpuhours.questions.validating.sources import system_of

Floats = NDArray[np.float64]
OTHER = "other"
"""The family of stacks of which no layout is known to have failed."""
CENTRE = (0.0, np.log(12.0))
"""log(half), log(steepness) before any row has spoken: half of them fail where the prediction fills the card, 0.8 of it fits to 94 %."""
HELD = 0.5
"""How far, in logarithms, a family may stand from all families before its rows have to insist."""
SPOKEN = 30
"""Layouts of a stack that ran, and as many that failed, from which it has odds of its own."""
LAPSE = 0.005
ROUNDS = 200


@dataclass(frozen=True)
class Trial:
    """A layout that was tried."""

    system: str
    family: str
    stack: str
    filled: float
    ran: bool


def trials(judged: Sequence[Judged]) -> list[Trial]:
    """Every row that ran or failed, as far as its memory was predicted. Rows that leave recomputation or sharding open teach nothing:
    what was predicted need not be what ran."""
    tried = []
    for one in judged:
        ran = one.measured is not None or one.memory_measured is not None
        if one.filled is not None and one.case is not None and not one.memory_open and (ran or one.row.failed):
            system = system_of(one.row.word("source_title") or "")
            software = one.case.software
            tried.append(Trial(system, software.family, software.name, one.filled, not one.row.failed))
    return tried


def learn(rows: Sequence[Trial]) -> dict[str, Any]:
    """Constants by family and stack over all systems and without each."""
    systems = sorted({row.system for row in rows})
    return {"lapse": LAPSE, "all": _learned(rows, ""), "without": {out: _learned(rows, out) for out in systems}}


def _learned(rows: Sequence[Trial], out: str) -> dict[str, dict[str, dict[str, float]]]:
    """Families are held near all of them, a stack near its family: there every layout speaks for itself, since the next is of the same
    code; in a family a system does."""
    kept = [row for row in rows if row.system != out]
    common = _fitted(kept, np.array(CENTRE), 2.0)
    families, stacks = {OTHER: common}, {}
    for family in sorted({row.family for row in kept}):
        mine = [row for row in kept if row.family == family]
        if any(not row.ran for row in mine):
            families[family] = _fitted(mine, common, HELD)
    for stack in sorted({row.stack for row in kept}):
        mine = [row for row in kept if row.stack == stack]
        if min(sum(row.ran for row in mine), sum(not row.ran for row in mine)) >= SPOKEN:
            stacks[stack] = _fitted(mine, families[mine[0].family], HELD, crowd=0.0)
    return {"families": _rounded(families), "stacks": _rounded(stacks)}


def _rounded(found: Mapping[str, Floats]) -> dict[str, dict[str, float]]:
    return {
        name: {"half": round(float(np.exp(a)), 4), "steepness": round(float(np.exp(b)), 3), "lapse": LAPSE}
        for name, (a, b) in found.items()
    }


def _fitted(rows: Sequence[Trial], centre: Floats, held: float, crowd: float = 0.5) -> Floats:
    """(log half, log steepness): the maximum of the likelihood, each of a system's n rows weighing n^-crowd, held near ``centre``."""
    if not rows:
        return centre
    counts = {row.system: sum(one.system == row.system for one in rows) for row in rows}
    filled = np.log([row.filled for row in rows])
    ran = np.array([row.ran for row in rows])
    weight = np.array([counts[row.system] ** -crowd for row in rows])

    def loss(at: Floats) -> float:
        if (
            at[0] > 0
        ):  # runs that ran are published, those that failed seldom: what needs more than there is does not run
            return np.inf
        chance = np.clip((1 - LAPSE) / (1 + np.exp(np.clip(np.exp(at[1]) * (filled - at[0]), -60, 60))), 1e-9, 1 - 1e-9)
        deviance = -np.sum(weight * np.where(ran, np.log(chance), np.log1p(-chance)))
        return float(deviance + np.sum(((at - centre) / held) ** 2) / 2)

    return _lowest(loss, centre)


def _lowest(loss: Any, start: Floats) -> Floats:
    """The minimum of a smooth function of two numbers, by a pattern search that halves its step."""
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
