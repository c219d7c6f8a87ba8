"""What a figure would take: one open thing is varied until the blind prediction holds what the text states. Solved for, never assumed."""

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
"""Values of a key from least to most at which the prediction is worked out; between them it is read off a line in logarithms."""


@dataclass(frozen=True)
class Need:
    """What one key must be for a figure to be as stated."""

    claim: str
    key: str
    words: str
    value: float | None
    """Where the median of the prediction is what is stated; None where it never is."""
    held_from: float | None
    """The least from which the range of the prediction holds what is stated; None where it never does."""
    nearest: float
    """The median that comes nearest to what is stated."""
    nearest_high: float
    """The 90th percentile there."""
    at: float
    """The key there."""
    usual: float | None = None
    """What is usual for the key, where that is known."""
    most: float = math.inf
    """The 90th percentile of what is assumed at the key, where a range is."""

    @property
    def reached(self) -> bool:
        """Whether something between least and most brings the stated figure into the range."""
        return self.value is not None or self.held_from is not None

    @property
    def plausible(self) -> bool:
        """Whether what is assumed at the key reaches so far."""
        enough = [value for value in (self.value, self.held_from) if value is not None]
        return bool(enough) and min(enough) <= self.most


def solve(task: Solve, stated: Spread, predict: Callable[[float], Blind | None]) -> Need:
    """Scan a key, and read off where median and 90th percentile meet what is stated."""
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
    """The first key at which a curve through ``points`` takes a value; None where it never does."""
    for (left, below), (right, above) in pairwise(points):
        if min(below, above) <= wanted <= max(below, above) and below != above:
            share = math.log(wanted / below) / math.log(above / below)
            return left * (right / left) ** share
    return None


def goodput_needed(task: Solve, stated: Spread, blind: Blind) -> Iterator[Need]:
    """For each stack that was drawn: the share of the stated GPU-hours that its steps alone take. Above 1 it cannot be."""
    stacks = np.array(blind.stack)
    for name in sorted(set(blind.stack)):
        share = float(np.median(blind.steps_alone[stacks == name])) / stated.centre
        value = share if share <= 1 else None
        yield Need(
            task.claim, task.key, f"{task.words} on {name}", value, value, share, share, share, blind.usual_goodput
        )


def varied(data: Mapping[str, Any], key: str, value: float) -> dict[str, Any]:
    """A description with a key at a value, and no range there."""
    changed = copy.deepcopy(dict(data))
    entry = changed["assumptions"].setdefault(key, {"reason": "solved for"})
    entry.pop("low", None), entry.pop("high", None)
    entry["value"] = value
    return changed
