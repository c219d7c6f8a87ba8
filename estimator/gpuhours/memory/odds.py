"""The probability that a layout fits in memory: a yes or no would be right only if predictions were exact.

Learned from memory errors for stacks that no other source ran, and for others from layouts that ran and layouts published as out of memory
(``questions.validating.odds``).
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

UNMET = ""
"""Group name of an unmeasured stack, whatever its stand-in profile."""
ENOUGH = 0.5
"""Probability from which a run is reported to fit."""
SAFE = 0.9
"""Probability required of automatic layouts."""


def odds_path() -> Path:
    """The file of the learned odds."""
    return Path(str(files("gpuhours"))) / "published" / "memory_odds.json"


@functools.cache
def odds() -> Mapping[str, Any]:
    """``all`` systems, and ``without`` each: odds of measured and unmeasured stacks and of single stacks. ``met_in``: stack -> systems."""
    learned: Mapping[str, Any] = json.loads(odds_path().read_text(encoding="utf-8"))
    return learned


@dataclass(frozen=True)
class Odds:
    """The odds of a stack."""

    half: float
    """The predicted fill of the accelerator at which half of the layouts ran."""
    steepness: float
    lapse: float
    """Share of layouts that need almost nothing but did not run, and of those far beyond the accelerator that did: a figure was misread
    in these."""

    def probability(self, filled: Array) -> Array:
        """Probability that a layout runs if it needs ``filled`` times the accelerator's memory.

        P = lapse + (1 - 2 lapse) / (1 + (filled / half)^steepness)

        >>> float(Odds(half=0.9, steepness=10, lapse=0.0).probability(0.9))
        0.5
        """
        return self.lapse + (1.0 - 2.0 * self.lapse) / (1.0 + np.power(np.divide(filled, self.half), self.steepness))

    def most(self, probability: float) -> float:
        """The fill at which a layout runs with a given probability: the inverse.

            filled = half ((1 - 2 lapse) / (P - lapse) - 1)^(1 / steepness)

        >>> Odds(half=0.9, steepness=10, lapse=0.0).most(0.5)
        0.9
        """
        odds = (1.0 - 2.0 * self.lapse) / (probability - self.lapse) - 1.0
        return float(self.half * odds ** (1.0 / self.steepness))


@functools.cache
def odds_of(stack: str, without: str = "") -> Odds:
    """The odds of a stack: its own if enough of its layouts ran and failed, otherwise those of all measured stacks, otherwise those of an
    unmeasured stack; excluding a system's layouts if one is named."""
    known, ran_in = odds()["without"].get(without, odds()["all"]), odds()["met_in"].get(stack, [])
    common = known["met"] if any(system != without for system in ran_in) else known["unmet"]
    constants = known["stacks"].get(stack, common)
    return Odds(constants["half"], constants["steepness"], constants["lapse"])
