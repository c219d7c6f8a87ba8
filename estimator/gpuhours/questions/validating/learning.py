"""The 80 % ranges of step time and memory, learned on sources that were left out of what predicted them (``run.conformal``)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuhours.inputs.records import dataclass
from gpuhours.questions.validating.report import Judged
from gpuhours.questions.validating.sources import system_of
from gpuhours.run.conformal import Curve
from gpuhours.run.novelty import BESIDES, MIXTURE, TRAITS, Traits, World, features

Floats = NDArray[np.float64]
WANTED = 0.8
"""Share of a left-out source's rows, and of all left-out rows, that should be inside: the mean of both."""
USUAL = 0.2
"""What a new trait adds to the logarithm of the usual error before rows have spoken."""
RIDGE = 0.2
"""How strongly coefficients are held there, in rows' shares of all."""
ROUNDS, RATE = 400, 0.3
HELD = 2
"""Systems whose parent is taken to have been right, beside those that taught what a stack takes that nobody measured."""


@dataclass(frozen=True)
class Sample:
    """One measured row: what it is, and how far off it was predicted without its source."""

    system: str
    traits: Traits
    time: float
    """Predicted s a step."""
    error: float
    """log(measured / predicted), a stack that was not met taken as its parent"""
    unmet: bool = False
    """Its stack is one that no other system ran, and its model has no experts."""


def samples(judged: Sequence[Judged], *, memory: bool = False) -> list[Sample]:
    """The rows that teach: averages of whole runs hold more than steps, and do not."""
    learned = []
    for one in judged:
        if one.case is None or one.average:
            continue
        ratio = one.memory_error if memory else one.error
        if ratio is not None and one.predicted:
            system, slower = system_of(one.row.word("source_title") or ""), one.case.software.unmet
            unmet = slower != 1.0 and one.case.traits.kind != MIXTURE and not memory
            error = float(np.log(slower if unmet else 1.0) - np.log1p(ratio))
            learned.append(Sample(system, one.case.traits, one.predicted, error, unmet))
    return learned


def unmet_stack(rows: Sequence[Sample], out: frozenset[str] = frozenset()) -> float:
    """What ``run.conformal.unmet_stack`` is the exponential of, learned without some systems."""
    ratios: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in rows:
        if one.unmet and one.system not in out:
            ratios[one.system][one.traits.stack].append(one.error)
    systems = [float(np.median([np.median(errors) for errors in stacks.values()])) for stacks in ratios.values()]
    return float(np.median([*systems, *[0.0] * HELD]))


def _beside_unmet(rows: Sequence[Sample], out: str) -> Floats:
    """Every row's error, its stack taken as long as is known without its own system and ``out``."""
    known = {system: unmet_stack(rows, frozenset({system, out})) for system in {one.system for one in rows}}
    return np.array([one.error - known[one.system] * one.unmet for one in rows])


def world_of(rows: Sequence[Sample]) -> World:
    """Which systems' rows have which trait."""
    systems: dict[str, dict[str, set[str]]] = {trait: defaultdict(set) for trait in TRAITS}
    for one in rows:
        for trait, value in one.traits.values().items():
            systems[trait][value].add(one.system)
    return {trait: {v: tuple(sorted(has)) for v, has in sorted(values.items())} for trait, values in systems.items()}


def learn(rows: Sequence[Sample]) -> dict[str, Any]:
    """The range over all systems, one without each, and how often the latter hold their system: nested, so that no range has seen the
    source that it is tried on. The quantile's level is the one at which the mean of coverage by row and by source is ``WANTED``."""
    systems = sorted({one.system for one in rows})
    worlds = _worlds(rows, systems)
    level = min(np.linspace(0.5, 0.99, 99), key=lambda level: abs(_covered(worlds, level)[0] - WANTED))
    _, by_row, by_source, width = _covered(worlds, float(level))
    curves = {out: _curve(one, float(level)) for out, one in worlds.items()}
    return {
        "features": [*TRAITS, *BESIDES], "level": round(float(level), 3),
        "coverage": {"rows": round(by_row, 3), "sources": round(by_source, 3), "median_width": round(width, 3)},
        "unmet": {
            "all": round(unmet_stack(rows), 4),
            "without": {out: round(unmet_stack(rows, frozenset({out})), 4) for out in systems},
        },
        "all": curves[""].to_dict(), "without": {out: curves[out].to_dict() for out in systems},
    }  # fmt: skip


@dataclass(frozen=True)
class _World:
    """What is known without a system, of all rows: their features and errors, and what is usual for such."""

    out: str
    owners: NDArray[np.str_]
    seen: Floats
    errors: Floats
    base: float
    coefficients: Floats
    shift: float

    @property
    def usual(self) -> Floats:
        """The usual error of every row."""
        return np.exp(self.base + self.seen @ self.coefficients)


def _worlds(rows: Sequence[Sample], systems: Sequence[str]) -> dict[str, _World]:
    """The world with every system, and one without each."""
    world, owners = world_of(rows), np.array([one.system for one in rows])
    worlds = {}
    for out in ("", *systems):
        seen, errors, kept = _features(rows, world, out), _beside_unmet(rows, out), owners != out
        worlds[out] = _World(out, owners, seen, errors, *_usual(seen[kept], errors[kept], owners[kept]))
    return worlds


def _features(rows: Sequence[Sample], world: World, out: str) -> Floats:
    """How new every row is to what is known without its own system and ``out``."""
    return np.array([features(one.traits, one.time, world, frozenset({one.system, out})) for one in rows], float)


def _weights(owners: NDArray[np.str_]) -> Floats:
    """Every system weighs the same."""
    counts = {system: np.sum(owners == system) for system in set(owners)}
    weight = np.array([1.0 / counts[owner] for owner in owners])
    return weight / weight.sum()


def _usual(found: Floats, errors: Floats, owners: NDArray[np.str_]) -> tuple[float, Floats, float]:
    """(base, coefficients, shift): the maximum of the Laplace likelihood of errors of scale exp(base + coefficients x features), with
    coefficients of at least 0 that are held near ``USUAL``. Convex; by projected gradients."""
    weight = _weights(owners)
    shift = float(np.median([np.median(errors[owners == system]) for system in set(owners)]))
    size = abs(errors - shift)
    base, coefficients = float(np.log(weight @ size)), np.full(found.shape[1], USUAL)
    for _ in range(ROUNDS):
        slope = weight * (1 - size * np.exp(-base - found @ coefficients))
        base -= RATE * float(slope.sum())
        coefficients = np.maximum(0.0, coefficients - RATE * (found.T @ slope + RIDGE * (coefficients - USUAL)))
    return base, coefficients, shift


def _curve(one: _World, level: float) -> Curve:
    """The range without a system: the level's quantiles of the others' scores, those below the middle and those above it apart, each
    side holding half of what it may miss."""
    kept = one.owners != one.out
    scores, weight = ((one.errors - one.shift) / one.usual)[kept], _weights(one.owners[kept])
    order = np.argsort(scores)
    reached = np.cumsum(weight[order])
    low, high = (
        scores[order][min(len(scores) - 1, int(np.searchsorted(reached, at)))]
        for at in ((1 - level) / 2, (1 + level) / 2)
    )
    return Curve(one.base, tuple(one.coefficients), one.shift, max(0.0, -float(low)), max(0.0, float(high)))


def _covered(worlds: dict[str, _World], level: float) -> tuple[float, float, float, float]:
    """(mean of the next two, share of rows inside, mean share over systems, median high / low), each system by a range without it."""
    owners = worlds[""].owners
    inside, widths = np.zeros(len(owners)), np.zeros(len(owners))
    for out in set(owners):
        mine, one = owners == out, worlds[str(out)]
        curve, usual, off = _curve(one, level), one.usual[mine], one.errors[mine] - one.shift
        inside[mine] = (off >= -curve.below * usual) & (off <= curve.above * usual)
        widths[mine] = (curve.below + curve.above) * usual
    by_row, by_source = float(inside.mean()), float(_weights(owners) @ inside)
    return (by_row + by_source) / 2, by_row, by_source, float(np.exp(np.median(widths)))


def errors_by(judged: Sequence[Judged], of: Callable[[Traits], str]) -> dict[str, Any]:
    """What runs share -> how many measured runs do, of how many sources, and their median error left out."""
    groups: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        if one.error is not None and one.case is not None and not one.average:
            groups[of(one.case.traits)].append(one)
    return {
        name: {
            "runs": len(group), "sources": len({one.row.word("source_title") for one in group}),
            "median_error": round(float(np.median([abs(one.error or 0.0) for one in group])), 4),
        }
        for name, group in sorted(groups.items())
    }  # fmt: skip
