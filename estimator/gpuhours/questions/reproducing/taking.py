"""Solve for the value of one unstated input at which the blind prediction matches a stated figure. It is only reported, never assumed."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.precision import Spread
from gpuhours.questions.reproducing.blind import MULTIPLES, Blind
from gpuhours.questions.reproducing.document import Solve

GOODPUT = "known.goodput"
POINTS = 6
"""Number of values of a key, from least to most, at which the prediction is computed; interpolated linearly in log between them."""


@dataclass(frozen=True)
class Need:
    """The value of one key at which the prediction would match a stated figure."""

    claim: str
    key: str
    words: str
    value: float | None
    """Where the median of the prediction equals the stated value; None if it never does."""
    held_from: float | None
    """Smallest value for which the predicted range contains the stated value; None if it never does."""
    nearest: float
    """The median closest to the stated value."""
    nearest_high: float
    """The 90th percentile at that point."""
    at: float
    """The key's value at that point."""
    usual: float | None = None
    """The usual value of the key, if known."""
    most: float = math.inf
    """The 90th percentile of the key's assumed range, if there is one."""

    @property
    def reached(self) -> bool:
        """Whether any tried value of the key brings the stated figure into the predicted range."""
        return self.value is not None or self.held_from is not None

    @property
    def plausible(self) -> bool:
        """Whether the needed value is within the key's assumed range."""
        enough = [value for value in (self.value, self.held_from) if value is not None]
        return bool(enough) and min(enough) <= self.most


def solve(task: Solve, stated: Spread, predict: Callable[[float], Blind | None]) -> Need:
    """Scan a key, and find where the median and 90th percentile match the stated value."""
    step = MULTIPLES.get(task.key, 1)
    keys = [max(step, round(at / step) * step) for at in np.geomspace(task.least, task.most, POINTS)]
    solutions = [
        (key, *quantiles)
        for key in keys
        if (blind := predict(key)) is not None and (quantiles := blind.quantiles(task.result)) is not None
    ]
    if not solutions:
        return Need(task.claim, task.key, task.words, None, None, math.nan, math.nan, math.nan)
    best = min(solutions, key=lambda one: abs(math.log(one[2] / stated.centre)))
    medians = [(key, middle) for key, _, middle, _ in solutions]
    highs = [(key, high) for key, _, _, high in solutions]
    held = next((key for key, low, _, high in solutions if low <= stated.high and high >= stated.low), None)
    edge = crossing(highs, stated.low) if held is not None and held != solutions[0][0] else held
    return Need(task.claim, task.key, task.words, crossing(medians, stated.centre), edge, best[2], best[3], best[0])


def crossing(points: list[tuple[float, float]], wanted: float) -> float | None:
    """The first key at which a curve through ``points`` takes a value; None if it never does."""
    for (left, below), (right, above) in pairwise(points):
        if min(below, above) <= wanted <= max(below, above) and below != above:
            share = math.log(wanted / below) / math.log(above / below)
            return left * (right / left) ** share
    return None


def goodput_needed(task: Solve, stated: Spread, blind: Blind) -> Iterator[Need]:
    """For each sampled stack, the goodput needed: GPU-hours of its steps alone over the stated GPU-hours. Above 1 is impossible."""
    stacks = np.array(blind.stack)
    for name in sorted(set(blind.stack)):
        share = float(np.median(blind.steps_alone[stacks == name])) / stated.centre
        value = share if share <= 1 else None
        yield Need(
            task.claim, task.key, f"{task.words} on {name}", value, value, share, share, share, blind.usual_goodput
        )


def varied(data: Mapping[str, Any], key: str, value: float) -> dict[str, Any]:
    """A description with an assumption set to a fixed value."""
    changed = copy.deepcopy(dict(data))
    entry = changed["assumptions"].setdefault(key, {"reason": "solved for"})
    entry.pop("low", None), entry.pop("high", None)
    entry["value"] = value
    return changed
