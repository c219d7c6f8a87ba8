"""The 80 % ranges of step time and memory, learned on sources that were left out of what predicted them (``run.conformal``)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuhours.questions.validating.report import Judged
from gpuhours.questions.validating.sources import system_of
from gpuhours.run.conformal import Curve
from gpuhours.run.novelty import BESIDES, TRAITS, Traits, World, features

Floats = NDArray[np.float64]
WANTED = 0.8
"""Share of a left-out source's rows, and of all left-out rows, that should be inside: the mean of both."""
USUAL = 0.2
"""What a new trait adds to the logarithm of the usual error before rows have spoken."""
RIDGE = 0.2
"""How strongly coefficients are held there, in rows' shares of all."""
ROUNDS, RATE = 400, 0.3


@dataclass(frozen=True)
class Sample:
    """One measured row: what it is, and how far off it was predicted without its source."""

    system: str
    traits: Traits
    time: float
    """Predicted s a step."""
    error: float
    """log(measured / predicted)"""


def samples(judged: Sequence[Judged], *, memory: bool = False) -> list[Sample]:
    """The rows that teach: averages of whole runs hold more than steps, and do not."""
    found = []
    for one in judged:
        if one.case is None or one.average:
            continue
        ratio = one.memory_error if memory else one.error
        if ratio is not None and one.predicted:
            system = system_of(one.row.word("source_title") or "")
            found.append(Sample(system, one.case.traits, one.predicted, -float(np.log1p(ratio))))
    return found


def world_of(rows: Sequence[Sample]) -> World:
    """Which systems' rows have which trait."""
    found: dict[str, dict[str, set[str]]] = {trait: defaultdict(set) for trait in TRAITS}
    for one in rows:
        for trait, value in one.traits.values().items():
            found[trait][value].add(one.system)
    return {trait: {v: tuple(sorted(has)) for v, has in sorted(values.items())} for trait, values in found.items()}


def learn(rows: Sequence[Sample]) -> dict[str, Any]:
    """The range over all systems, one without each, and how often the latter hold their system: nested, so that no range has seen the
    source that it is tried on. The quantile's level is the one at which the mean of coverage by row and by source is ``WANTED``."""
    world, systems = world_of(rows), sorted({one.system for one in rows})
    owners = np.array([one.system for one in rows])
    errors = np.array([one.error for one in rows])
    seen = {out: _features(rows, world, out) for out in ("", *systems)}
    fits = {out: _usual(seen[out][owners != out], errors[owners != out], owners[owners != out]) for out in seen}
    level = min(
        np.linspace(0.5, 0.99, 99), key=lambda level: abs(_covered(fits, seen, errors, owners, level)[0] - WANTED)
    )
    _, by_row, by_source, width = _covered(fits, seen, errors, owners, float(level))
    curves = {out: _curve(fits[out], seen[out], errors, owners, float(level), out) for out in seen}
    return {
        "features": [*TRAITS, *BESIDES], "level": round(float(level), 3),
        "coverage": {"rows": round(by_row, 3), "sources": round(by_source, 3), "median_width": round(width, 3)},
        "all": curves[""].to_dict(), "without": {out: curves[out].to_dict() for out in systems},
    }  # fmt: skip


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


def _curve(
    fit: tuple[float, Floats, float], found: Floats, errors: Floats, owners: NDArray[np.str_], level: float, out: str
) -> Curve:
    """The range without a system: the level's quantile of the others' scores."""
    base, coefficients, shift = fit
    kept = owners != out
    scores = abs(errors - shift)[kept] / np.exp(base + found[kept] @ coefficients)
    order, weight = np.argsort(scores), _weights(owners[kept])
    at = min(len(scores) - 1, int(np.searchsorted(np.cumsum(weight[order]), level)))
    return Curve(base, tuple(coefficients), shift, float(scores[order][at]))


def _covered(
    fits: dict[str, tuple[float, Floats, float]],
    seen: dict[str, Floats],
    errors: Floats,
    owners: NDArray[np.str_],
    level: float,
) -> tuple[float, float, float, float]:
    """(mean of the next two, share of rows inside, mean share over systems, median high / low), each system by a range without it."""
    inside, widths = np.zeros(len(errors)), np.zeros(len(errors))
    for out in set(owners):
        mine = owners == out
        base, coefficients, shift = fits[out]
        quantile = _curve(fits[out], seen[out], errors, owners, level, str(out)).quantile
        half = quantile * np.exp(base + seen[out][mine] @ coefficients)
        inside[mine], widths[mine] = abs(errors[mine] - shift) <= half, 2 * half
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
