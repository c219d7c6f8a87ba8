"""The probability that a layout fits in memory. Memory predictions have errors, so a yes or no alone would overstate their certainty.

For stacks without another source, the probability is fitted to the errors of memory predictions; for the others, to layouts that ran and
layouts published as out of memory (``questions.validating.odds``).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from gpuhours.inputs.arrays import Array
from gpuhours.inputs.records import dataclass

UNMEASURED = ""
"""Name under which ``odds_of`` is called for an unmeasured stack, whatever its stand-in profile."""
ENOUGH = 0.5
"""Lowest probability at which a run is reported to fit."""
SAFE = 0.9
"""Lowest probability of fitting required for automatically chosen layouts."""
LEAST = 1e-9
"""Smallest distinguished fill; the largest is its inverse."""


def odds_path() -> Path:
    """The file with the fitted odds."""
    return Path(str(files("gpuhours"))) / "published" / "memory_odds.json"


@functools.cache
def odds() -> Mapping[str, Any]:
    """The fitted odds. ``all``: from all systems; ``without``: leaving out one system, by its name; each has the odds of measured stacks,
    unmeasured stacks and single stacks. ``measured_in``: stack -> systems that ran it."""
    learned: Mapping[str, Any] = json.loads(odds_path().read_text(encoding="utf-8"))
    return learned


@dataclass(frozen=True)
class Odds:
    """The fitted probability that layouts of a stack fit, as a function of how much of the accelerator's memory they need."""

    half: float
    """The predicted fill of the accelerator at which half of the layouts ran."""
    steepness: float

    def probability(self, filled: Array) -> Array:
        """Probability that a layout runs if it needs ``filled`` times the accelerator's memory.

            x = steepness ln(half / filled),    P = (1 + x / sqrt(2 + x^2)) / 2

        This is Student's distribution with two degrees of freedom, which memory errors follow (``questions.validating.odds``): most
        predictions are near, a few are far off.

        >>> round(float(Odds(half=0.9, steepness=10).probability(0.9)), 9)
        0.5
        """
        return chance(self.steepness * np.log(np.divide(self.half, np.clip(filled, LEAST, 1 / LEAST))))

    def most(self, probability: float) -> float:
        """The fill at which a layout runs with a given probability: the inverse.

            u = 2 P - 1,    filled = half exp(-u sqrt(2 / (1 - u^2)) / steepness)

        >>> Odds(half=0.9, steepness=10).most(0.5)
        0.9
        """
        apart = 2.0 * probability - 1.0
        return float(self.half * np.exp(-apart * np.sqrt(2.0 / (1.0 - apart**2)) / self.steepness))


def chance(x: Array) -> Array:
    """Distribution function of Student's t with two degrees of freedom, (1 + x / r) / 2 with r = sqrt(2 + x^2), written as
    1 / (r (r + |x|)) below zero, where it would cancel.

    >>> round(float(chance(np.array(2.0))), 4)  # (1 + 2 / sqrt(6)) / 2
    0.9082
    """
    away = np.sqrt(2.0 + np.square(x))
    tail = 1.0 / (away * (away + np.abs(x)))
    return np.where(np.less(x, 0.0), tail, 1.0 - tail)


@functools.cache
def odds_of(stack: str, without: str = "") -> Odds:
    """The odds of a stack: its own if enough of its layouts ran and failed; otherwise those of all measured stacks if it is one of them;
    otherwise those of unmeasured stacks. ``without`` names a system whose layouts are left out."""
    known, ran_in = odds()["without"].get(without, odds()["all"]), odds()["measured_in"].get(stack, [])
    common = known["measured"] if any(system != without for system in ran_in) else known["unmeasured"]
    constants = known["stacks"].get(stack, common)
    return Odds(constants["half"], constants["steepness"])
