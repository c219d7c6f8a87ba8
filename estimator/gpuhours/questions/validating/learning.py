"""Learn the 80 % ranges of step time and memory (``run.conformal``) from rows predicted without their source."""

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
from gpuhours.run.conformal import Curve, HostFactors, explained, with_hosts, without_hosts
from gpuhours.run.novelty import BESIDES, MIXTURE, TRAITS, Traits, World, features
from gpuhours.run.ranges import HIGH, LOW
from gpuhours.step.hosts import SAME
from gpuhours.step.predict import CPU

Floats = NDArray[np.float64]
WANTED = 0.8
"""Target coverage: the mean of coverage over all left-out rows and mean coverage over left-out sources."""
USUAL = 0.2
"""Prior mean of what an unmeasured trait adds to the log of the typical error."""
RIDGE = 0.2
"""Strength of that prior, as a share of all rows."""
ROUNDS, RATE = 400, 0.3
WITHOUT_EFFECT: Mapping[str, frozenset[str]] = {
    "step": frozenset({"scale", "length"}),
    "memory": frozenset({"host on stack"}),
}
"""Traits excluded as features because they do not predict the size of errors: without them the interval score (``interval_score``) of
left-out systems is no worse and the range is narrower. For memory every trait is used, but a host needs none."""
FACTORS = np.exp(np.linspace(-0.7, 0.9, 161))
"""Candidate factors on the distance of both percentiles from the centre."""
OPEN = (0.0, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
"""Candidate coefficients of what is left open."""
HELD = 2
"""Number of pseudo-systems with a factor of 1, added to those from which the slowdown of unmeasured stacks is learned."""


@dataclass(frozen=True)
class Sample:
    """One measured row: its traits, and its error when predicted without its source."""

    system: str
    traits: Traits
    time: float
    """Predicted s per step."""
    error: float
    """log(measured / predicted), without the slowdown of unmeasured stacks in the prediction."""
    unmeasured: bool = False
    """Whether its stack is unmeasured without its system, and its model has no experts."""
    hosts: HostFactors = SAME
    """Step time on a fast and a slow host, relative to ``time``, if it does not say how fast its host is."""
    left_open: HostFactors = SAME
    """Step time with the fastest and slowest usual values of what it does not state, relative to ``time``."""
    waits: float = 0.0
    """s of the step that are exposed CPU overhead."""


def samples(judged: Sequence[Judged], *, memory: bool = False) -> list[Sample]:
    """The rows to learn from; step times averaged over a whole run are excluded, since they include more than steps."""
    learned = []
    for one in judged:
        if one.case is None or one.average:
            continue
        ratio = one.memory_error if memory else one.error
        if ratio is not None and one.predicted:
            system, software = system_of(one.row.word("source_title") or ""), one.case.software
            factor = None if one.case.traits.kind == MIXTURE or memory else software.unmeasured_factor
            error = float(np.log(1.0 if factor is None else factor) - np.log1p(ratio))
            hosts, left_open = (SAME, SAME) if memory else (one.hosts, one.left_open)
            waits = one.parts.get(CPU, 0.0)
            learned.append(
                Sample(system, one.case.traits, one.predicted, error, factor is not None, hosts, left_open, waits)
            )
    return learned


def unmeasured_stack(rows: Sequence[Sample], out: frozenset[str] = frozenset()) -> float:
    """Log of the slowdown of unmeasured stacks (``run.conformal.unmeasured_stack``), learned without the systems in ``out``: the median
    over systems, each by the median over its stacks."""
    ratios: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in rows:
        if one.unmeasured and one.system not in out:
            ratios[one.system][one.traits.stack].append(one.error)
    systems = [float(np.median([np.median(errors) for errors in stacks.values()])) for stacks in ratios.values()]
    return float(np.median([*systems, *[0.0] * HELD]))


def _errors_without_slowdown(rows: Sequence[Sample], measured: Sequence[Sample], out: str) -> Floats:
    """Every row's error, with the slowdown of unmeasured stacks learned on ``measured`` without the row's system and ``out``."""
    known = {system: unmeasured_stack(measured, frozenset({system, out})) for system in {one.system for one in rows}}
    return np.array([one.error - known[one.system] * one.unmeasured for one in rows])


def systems_by_trait(rows: Sequence[Sample]) -> World:
    """Trait -> value -> systems that have rows with it."""
    systems: dict[str, dict[str, set[str]]] = {trait: defaultdict(set) for trait in TRAITS}
    for one in rows:
        for trait, value in one.traits.values().items():
            systems[trait][value].add(one.system)
    return {trait: {v: tuple(sorted(has)) for v, has in sorted(values.items())} for trait, values in systems.items()}


def learn(
    rows: Sequence[Sample], ignored: frozenset[str] = frozenset(), blanked: Sequence[Sample] = ()
) -> dict[str, Any]:
    """The range learned from all systems, one learned without each system, and their coverage.

    Coverage is nested: a system's rows are tested with the range learned without it. The factor on the 10th and 90th percentiles of the
    scores is chosen so that the mean of coverage by row and by source is closest to ``WANTED``. The coefficient of what is left open
    (``run.conformal``) has the least interval score on rows in which facts were ``blanked``; it is 0 without such rows. ``ignored``:
    features with a coefficient of 0.
    """
    counts = np.array([name not in ignored for name in (*TRAITS, *BESIDES)], float)
    tried = _tried(rows, blanked)
    left_open = _coefficient(tried, counts) if blanked else 0.0
    worlds, factor = _fitted(tried, counts, left_open)
    curves = {out: _curve(one, factor) for out, one in worlds.items()}
    systems = sorted({one.system for one in rows})
    return {
        "features": [*TRAITS, *BESIDES], "factor": round(factor, 3), "left_open": round(left_open, 3),
        "coverage": _rounded(_coverage(worlds, factor, tried.whole)),
        "blanked": _rounded(_coverage(worlds, factor, ~tried.whole)) if blanked else None,
        "unmeasured": {
            "all": round(unmeasured_stack(rows), 4),
            "without": {out: round(unmeasured_stack(rows, frozenset({out})), 4) for out in systems},
        },
        "all": curves[""].to_dict(), "without": {out: curves[out].to_dict() for out in systems},
    }  # fmt: skip


def _rounded(coverage: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in coverage.items() if name != "mean"}


@dataclass(frozen=True)
class _Tried:
    """Whole rows and blanked ones, as they are without each system."""

    owners: NDArray[np.str_]
    whole: NDArray[np.bool_]
    """Whether nothing was blanked; only these are learned from."""
    hosts: Floats
    left_open: Floats
    """Factors on the step time, at least and at most."""
    without: Mapping[str, tuple[Floats, Floats]]
    """System left out ("" for none) -> features and errors of every row."""


def _tried(rows: Sequence[Sample], blanked: Sequence[Sample]) -> _Tried:
    world, tried = systems_by_trait(rows), [*rows, *blanked]
    return _Tried(
        np.array([one.system for one in tried]),
        np.arange(len(tried)) < len(rows),
        np.array([one.hosts for one in tried]).T,
        np.array([one.left_open for one in tried]).T,
        {
            out: (_features(tried, world, out), _errors_without_slowdown(tried, rows, out))
            for out in ("", *sorted({one.system for one in rows}))
        },
    )


def _coefficient(tried: _Tried, counts: Floats) -> float:
    """The coefficient of what is left open with the least interval score over left-out systems of blanked rows."""

    def score(left_open: float) -> float:
        return _coverage(*_fitted(tried, counts, left_open), ~tried.whole)["interval_score"]

    return min(OPEN, key=score)


def _fitted(tried: _Tried, counts: Floats, left_open: float) -> tuple[dict[str, _World], float]:
    """System left out -> what is learned without it, "" for all systems; and the common factor on the scores' percentiles. ``counts`` is 0
    for unused features, otherwise 1."""
    known, worlds = np.array(explained(tried.hosts, tried.left_open, left_open)), {}
    for out, (seen, errors) in tried.without.items():
        kept = (tried.owners != out) & tried.whole
        found = _fit_scale(seen[kept], errors[kept], tried.owners[kept], counts, known[:, kept])
        worlds[out] = _World(kept, tried.owners, seen, errors, *found, known, left_open)
    return worlds, float(min(FACTORS, key=lambda factor: abs(_coverage(worlds, factor, tried.whole)["mean"] - WANTED)))


@dataclass(frozen=True)
class _World:
    """What is learned without a system, evaluated for all rows: features, errors and typical errors."""

    kept: NDArray[np.bool_]
    """Which rows it was learned on."""
    owners: NDArray[np.str_]
    seen: Floats
    errors: Floats
    base: float
    coefficients: Floats
    shift: float
    known: Floats
    """Factors on the step time by causes other than the model, at least and at most (``explained``)."""
    left_open: float

    @cached_property
    def usual(self) -> Floats:
        """The typical error of every row."""
        return np.exp(self.base + self.seen @ self.coefficients)

    @cached_property
    def edges(self) -> tuple[float, float]:
        """The 10th and 90th percentile of the other systems' scores: errors (less ``shift``) over typical errors."""
        scores = (without_hosts(self.errors - self.shift, *self.known) / self.usual)[self.kept]
        weight = _weights(self.owners[self.kept])
        order = np.argsort(scores)
        reached = np.cumsum(weight[order])
        low, high = (
            float(scores[order][min(len(scores) - 1, int(np.searchsorted(reached, at)))]) for at in (LOW, HIGH)
        )
        return low, high


def _features(rows: Sequence[Sample], world: World, out: str) -> Floats:
    """The features of every row, relative to what is known without its own system and ``out``."""
    return np.array(
        [features(one.traits, one.time, world, frozenset({one.system, out}), one.waits) for one in rows], float
    )


def _weights(owners: NDArray[np.str_]) -> Floats:
    """Weights that are equal for every system."""
    _, place, counts = np.unique(owners, return_inverse=True, return_counts=True)
    weight = (1.0 / counts)[place]
    return weight / weight.sum()


def _fit_scale(
    found: Floats, errors: Floats, owners: NDArray[np.str_], counts: Floats, known: Floats
) -> tuple[float, Floats, float]:
    """(base, coefficients, shift) with the maximum Laplace likelihood of errors, less what is ``known`` of other causes, of scale
    exp(base + coefficients x features), with non-negative coefficients and a prior at ``USUAL``. Convex; solved by projected gradient
    descent."""
    weight = _weights(owners)
    shift = float(np.median([np.median(errors[owners == system]) for system in set(owners)]))
    size: Floats = np.abs(without_hosts(errors - shift, *known))
    base, coefficients = float(np.log(weight @ size)), USUAL * counts
    for _ in range(ROUNDS):
        slope = weight * (1 - size * np.exp(-base - found @ coefficients))
        base -= RATE * float(slope.sum())
        step = RATE * (found.T @ slope + RIDGE * (coefficients - USUAL))
        coefficients = counts * np.maximum(0.0, coefficients - step)
    return base, coefficients, shift


def _curve(one: _World, factor: float) -> Curve:
    """The range without a system: the ``edges`` of the other systems' scores times ``factor``, separately below and above the centre.
    A common factor uses all systems, whereas more extreme percentiles would depend on two or three of them."""
    low, high = one.edges
    below, above = factor * max(0.0, -low), factor * max(0.0, high)
    return Curve(one.base, tuple(one.coefficients), one.shift, below, above, one.left_open)


def _coverage(worlds: dict[str, _World], factor: float, tested: NDArray[np.bool_]) -> dict[str, float]:
    """Coverage over all ``tested`` ``rows``, mean coverage over ``sources``, the ``mean`` of both, the median of high / low, and the mean
    interval score over sources; each system is tested with the range learned without it."""
    owners = worlds[""].owners
    inside, widths, scores = (np.zeros(len(owners)) for _ in range(3))
    for out in set(owners[tested]):
        mine, one = (owners == out) & tested, worlds[str(out)]
        curve, usual, off = _curve(one, factor), one.usual[mine], one.errors[mine] - one.shift
        low = -np.asarray(with_hosts(curve.below * usual, one.known[0, mine]))
        high = np.asarray(with_hosts(curve.above * usual, one.known[1, mine]))
        inside[mine] = (off >= low) & (off <= high)
        widths[mine] = high - low
        scores[mine] = interval_score(low, high, off)
    weight = _weights(owners[tested])
    by_row, by_source, score = float(inside[tested].mean()), *(float(weight @ one[tested]) for one in (inside, scores))
    median_width = float(np.exp(np.median(widths[tested])))
    return {
        "mean": (by_row + by_source) / 2, "rows": by_row, "sources": by_source, "median_width": median_width,
        "interval_score": score,
    }  # fmt: skip


def interval_score(low: Floats, high: Floats, value: Floats) -> Floats:
    """The interval score of an 80 % range: its width, plus 10 times the distance of a value outside (Winkler 1972, JASA 67(337)); smaller
    is better, and the expectation is smallest for the true 10th and 90th percentile.

    >>> interval_score(np.array([0.0]), np.array([1.0]), np.array([1.25])).tolist()
    [3.5]
    """
    outside = np.maximum(low - value, 0.0) + np.maximum(value - high, 0.0)
    return high - low + outside / LOW


def errors_by(judged: Sequence[Judged], of: Callable[[Traits], str]) -> dict[str, Any]:
    """Value of a trait -> number of measured runs and of sources with it, and the median absolute error of these runs when left out."""
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
