"""The 80 % ranges of step time and memory, learned on sources that were left out of what predicted them (``run.conformal``)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuhours.inputs.records import dataclass
from gpuhours.questions.validating.report import Judged
from gpuhours.questions.validating.sources import system_of
from gpuhours.run.conformal import Curve
from gpuhours.run.novelty import BESIDES, MIXTURE, TRAITS, Traits, World, features
from gpuhours.run.ranges import HIGH, LOW

Floats = NDArray[np.float64]
WANTED = 0.8
"""Share of a left-out source's rows, and of all left-out rows, that should be inside: the mean of both."""
USUAL = 0.2
"""What a new trait adds to the logarithm of the usual error before rows have spoken."""
RIDGE = 0.2
"""How strongly coefficients are held there, in rows' shares of all."""
ROUNDS, RATE = 400, 0.3
SPARED: Mapping[str, frozenset[str]] = {"step": frozenset({"scale", "length"}), "memory": frozenset()}
"""Traits that say nothing of how far off a prediction is: without them the interval score (``interval_score``) of systems left out is no
worse and the range narrower. Of memory each says something."""
FACTORS = np.exp(np.linspace(-0.7, 0.9, 161))
"""Tried on the distance of both percentiles from the middle."""
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


def learn(rows: Sequence[Sample], spared: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The range over all systems, one without each, and how often the latter hold their system: nested, so that no range has seen the
    source that it is tried on. The factor on the 10th and 90th percentiles of the scores is the one at which the mean of coverage by row
    and by source is ``WANTED``. ``spared``: features whose coefficient is 0."""
    systems = sorted({one.system for one in rows})
    worlds = _worlds(rows, systems, np.array([name not in spared for name in (*TRAITS, *BESIDES)], float))
    factor = float(min(FACTORS, key=lambda factor: abs(_covered(worlds, factor)["mean"] - WANTED)))
    found = _covered(worlds, factor)
    curves = {out: _curve(one, factor) for out, one in worlds.items()}
    return {
        "features": [*TRAITS, *BESIDES], "factor": round(factor, 3),
        "coverage": {name: round(value, 3) for name, value in found.items() if name != "mean"},
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

    @cached_property
    def usual(self) -> Floats:
        """The usual error of every row."""
        return np.exp(self.base + self.seen @ self.coefficients)

    @cached_property
    def edges(self) -> tuple[float, float]:
        """The 10th and 90th percentile of the others' scores, errors over what is usual."""
        kept = self.owners != self.out
        scores, weight = ((self.errors - self.shift) / self.usual)[kept], _weights(self.owners[kept])
        order = np.argsort(scores)
        reached = np.cumsum(weight[order])
        low, high = (
            float(scores[order][min(len(scores) - 1, int(np.searchsorted(reached, at)))]) for at in (LOW, HIGH)
        )
        return low, high


def _worlds(rows: Sequence[Sample], systems: Sequence[str], counts: Floats) -> dict[str, _World]:
    """The world with every system, and one without each; ``counts`` is 0 where a feature does not."""
    world, owners = world_of(rows), np.array([one.system for one in rows])
    worlds = {}
    for out in ("", *systems):
        seen, errors, kept = _features(rows, world, out), _beside_unmet(rows, out), owners != out
        worlds[out] = _World(out, owners, seen, errors, *_usual(seen[kept], errors[kept], owners[kept], counts))
    return worlds


def _features(rows: Sequence[Sample], world: World, out: str) -> Floats:
    """How new every row is to what is known without its own system and ``out``."""
    return np.array([features(one.traits, one.time, world, frozenset({one.system, out})) for one in rows], float)


def _weights(owners: NDArray[np.str_]) -> Floats:
    """Every system weighs the same."""
    _, place, counts = np.unique(owners, return_inverse=True, return_counts=True)
    weight = (1.0 / counts)[place]
    return weight / weight.sum()


def _usual(found: Floats, errors: Floats, owners: NDArray[np.str_], counts: Floats) -> tuple[float, Floats, float]:
    """(base, coefficients, shift): the maximum of the Laplace likelihood of errors of scale exp(base + coefficients x features), with
    coefficients of at least 0 that are held near ``USUAL``. Convex; by projected gradients."""
    weight = _weights(owners)
    shift = float(np.median([np.median(errors[owners == system]) for system in set(owners)]))
    size = abs(errors - shift)
    base, coefficients = float(np.log(weight @ size)), USUAL * counts
    for _ in range(ROUNDS):
        slope = weight * (1 - size * np.exp(-base - found @ coefficients))
        base -= RATE * float(slope.sum())
        step = RATE * (found.T @ slope + RIDGE * (coefficients - USUAL))
        coefficients = counts * np.maximum(0.0, coefficients - step)
    return base, coefficients, shift


def _curve(one: _World, factor: float) -> Curve:
    """The range without a system: the ``edges`` of the others' scores times ``factor``, those below the middle and those
    above it apart. Deeper percentiles would be those of two or three systems; a factor moves both by what all of them ask for."""
    low, high = one.edges
    below, above = factor * max(0.0, -low), factor * max(0.0, high)
    return Curve(one.base, tuple(one.coefficients), one.shift, below, above)


def _covered(worlds: dict[str, _World], factor: float) -> dict[str, float]:
    """Share of ``rows`` inside, mean share over ``sources``, the ``mean`` of both, median high / low and the mean interval score over
    sources, each system by a range without it."""
    owners = worlds[""].owners
    inside, widths, scores = (np.zeros(len(owners)) for _ in range(3))
    for out in set(owners):
        mine, one = owners == out, worlds[str(out)]
        curve, usual, off = _curve(one, factor), one.usual[mine], one.errors[mine] - one.shift
        low, high = -curve.below * usual, curve.above * usual
        inside[mine] = (off >= low) & (off <= high)
        widths[mine] = high - low
        scores[mine] = interval_score(low, high, off)
    by_row, by_source, score = float(inside.mean()), float(_weights(owners) @ inside), float(_weights(owners) @ scores)
    median_width = float(np.exp(np.median(widths)))
    return {
        "mean": (by_row + by_source) / 2, "rows": by_row, "sources": by_source, "median_width": median_width,
        "interval_score": score,
    }  # fmt: skip


def interval_score(low: Floats, high: Floats, value: Floats) -> Floats:
    """What an 80 % range costs: its width, and 10 times what a value is outside by (Winkler 1972, JASA 67(337)); the smaller the better,
    and smallest in the mean for the true 10th and 90th percentile.

    >>> interval_score(np.array([0.0]), np.array([1.0]), np.array([1.25])).tolist()
    [3.5]
    """
    outside = np.maximum(low - value, 0.0) + np.maximum(value - high, 0.0)
    return high - low + outside / LOW


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
