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

UNMET = ""
"""Name under which ``odds_of`` is called for an unmeasured stack, whatever its stand-in profile."""
ENOUGH = 0.5
"""Lowest probability at which a run is reported to fit."""
SAFE = 0.9
"""Lowest probability of fitting required for automatically chosen layouts."""


def odds_path() -> Path:
    """The file with the fitted odds."""
    return Path(str(files("gpuhours"))) / "published" / "memory_odds.json"


@functools.cache
def odds() -> Mapping[str, Any]:
    """The fitted odds. ``all``: from all systems; ``without``: leaving out one system, by its name; each has the odds of measured stacks,
    unmeasured stacks and single stacks. ``met_in``: stack -> systems that ran it."""
    learned: Mapping[str, Any] = json.loads(odds_path().read_text(encoding="utf-8"))
    return learned


@dataclass(frozen=True)
class Odds:
    """The fitted probability that layouts of a stack fit, as a function of how much of the accelerator's memory they need."""

    half: float
    """The predicted fill of the accelerator at which half of the layouts ran."""
    steepness: float
    lapse: float
    """Error rate of the published outcomes: the share of layouts that need almost no memory but did not run, and of layouts far beyond the
    accelerator's memory that did."""

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
    """The odds of a stack: its own if enough of its layouts ran and failed; otherwise those of all measured stacks if it is one of them;
    otherwise those of unmeasured stacks. ``without`` names a system whose layouts are left out."""
    known, ran_in = odds()["without"].get(without, odds()["all"]), odds()["met_in"].get(stack, [])
    common = known["met"] if any(system != without for system in ran_in) else known["unmet"]
    constants = known["stacks"].get(stack, common)
    return Odds(constants["half"], constants["steepness"], constants["lapse"])
