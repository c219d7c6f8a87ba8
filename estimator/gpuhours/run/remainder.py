"""The remainder: the ratio of published GPU-hours to those predicted from a run's steps and stops, with its spread.

Published hours include restarts from scratch, slow nodes, data, evaluation jobs, discarded runs and rounding, which no equation covers.
The remainder is fitted to whole runs (``published/run_totals.csv``) by ``gpuhours validate --totals --update-remainder``; validating a run
leaves its organisation out. The remainders of runs of the same year are more alike than those of different years, because all use
stacks and clusters that are new in that year.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuhours.inputs.arrays import Array
from gpuhours.inputs.durations import HOUR
from gpuhours.inputs.records import dataclass
from gpuhours.run.ranges import median, spread_over

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Remainder:
    """Published / predicted GPU-hours of similar runs: median, 10th and 90th percentile."""

    value: float
    low: float
    high: float
    rows: int = 0
    """Number of published runs it was fitted to."""
    exempt: float = 0.0
    """Share of the remainder's logarithm that does not apply to the most expensive runs."""

    def factors(self, alone: Floats, position: Floats, nodes: Array) -> Floats:
        """The factor on each draw of a sample on ``nodes`` nodes: value^share x spread. ``alone``: GPU s of each draw without the factor;
        ``position``: quantiles of the spread.

        The remainder was fitted as published hours over a sample's median, so the factors are scaled such that the median of ``alone`` x
        factor equals the median of ``alone`` x value^share. Without this, a skewed spread would shift the median by up to a fifth.
        """
        spread = spread_over(self.low / self.value, 1.0, self.high / self.value, np.asarray(position, float))
        share = applied_share(nodes, median(alone) / HOUR, self.exempt)
        centred: Floats = np.power(self.value, share) * spread * (median(alone) / median(alone * spread))
        return centred


@dataclass(frozen=True)
class Likeness:
    """Covariance of ln(published / predicted) between runs: standard deviations of its components."""

    kind: float
    """Component common to runs of one kind."""
    year: float
    """Change from one year to the next: a random walk, so that future years are predicted like the last year with data."""
    organisation: float
    """Component common to an organisation's runs of one kind."""
    run: float
    """Component of a single run."""
    exempt: float = 0.0
    """Share of the common component that does not apply to the most expensive runs (not a standard deviation)."""

    def shared(self, some: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> Floats:
        """Covariance matrix ``[some, others]`` of the components that are not specific to an organisation or a run, at full effect."""
        kinds, years = ([np.array([run[key] for run in runs]) for runs in (some, others)] for key in ("kind", "year"))
        walked = np.maximum(np.minimum(years[0][:, None], years[1]) - FIRST, 0.0)
        found: Floats = LEVEL**2 + self.kind**2 * (kinds[0][:, None] == kinds[1]) + self.year**2 * walked
        return found


FIRST = 2015
"""Starting year of the random walk, before all runs."""
LEVEL = 1.0
"""Prior standard deviation of the component common to all runs: wide enough that the data determine it."""
LARGE = 1e10
"""Number of parameters from which a model counts as large: its runs are monitored more closely, so their remainders vary less."""
SIZES = ("small", "large")
WHOLE_FROM = 16
"""Number of nodes from which the factor applies in full."""
EXPENSIVE = (1e5, 1e7)
"""GPU-hours from which a run counts as partly expensive, and from which as fully expensive."""


def applied_share(nodes: Array, hours: Array, exempt: float) -> Array:
    """Share of the factor's logarithm that applies to a run.

        min(1, log2(nodes) / log2(16)) x (1 - exempt x log(hours / 1e5) / log(1e7 / 1e5)), the second between 1 and 1 - exempt

    Published hours of single-node runs are those of their steps (as printed by llm.c, nanoGPT and nanochat); other losses occur at scale.
    Expensive runs are tuned before they start, and monitored: only the part that is not step-time error remains
    (``remainder_of_known_step``).

    >>> [round(float(applied_share(nodes, hours, 0.5)), 3) for nodes, hours in ((1, 1e3), (4, 1e4), (64, 1e5), (256, 1e6), (2048, 3e7))]
    [0.0, 0.5, 1.0, 0.75, 0.5]
    """
    many = np.clip(np.log2(np.maximum(nodes, 1.0)) / np.log2(WHOLE_FROM), 0.0, 1.0)
    expensive = np.clip(np.log(np.maximum(hours, 1.0) / EXPENSIVE[0]) / np.log(EXPENSIVE[1] / EXPENSIVE[0]), 0.0, 1.0)
    share: Array = many * (1.0 - exempt * expensive)
    return share


def applied_shares(runs: Sequence[Mapping[str, Any]], exempt: float) -> Floats:
    """``applied_share`` for each of the published runs."""
    nodes, hours = (np.array([run[key] for run in runs], float) for key in ("nodes", "hours"))
    return np.asarray(applied_share(nodes, hours, exempt))


NOTHING = Remainder(1.0, 1.0, 1.0)


@functools.cache
def remainder_of_known_step() -> Remainder:
    """The remainder of a run whose step time is known: the part due neither to step-time error nor to stops.

        published / predicted hours = (actual / predicted step time)  x (hours / (steps x actual step time / goodput))
        remainder                   = error of the predicted step     x beyond a step

    If the step time is known, only the second factor remains: restarts from scratch, periods of slow nodes, discarded runs. It is estimated
    from published runs that state both their hours and the MFU of their steps, one per organisation. The smallest and largest of n such
    values cover (n - 1) / (n + 1) of similar runs (Wilks 1941, Annals of Mathematical Statistics 12(1)).
    """
    known = table()["beyond_a_step"]
    return Remainder(known["value"], known["low"], known["high"], len(known["runs"]))


def path() -> Path:
    """Path of the file with the fitted remainder."""
    return Path(str(files("gpuhours"))) / "published" / "remainder.json"


@functools.cache
def table() -> Mapping[str, Any]:
    """The fitted remainder: covariances, spread by kind and size, and the published runs with their weights."""
    found: Mapping[str, Any] = json.loads(path().read_text(encoding="utf-8"))
    return found


def expected(likeness: Likeness, runs: Sequence[Mapping[str, Any]], pulls: Floats, kind: str, year: float) -> float:
    """ln of the median factor of a kind and year at full effect: the sum over published runs of their covariance times their weight
    ``pulls`` (kriging; Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, equation 2.25)."""
    share = applied_shares(runs, likeness.exempt)
    return float((likeness.shared([{"kind": kind, "year": year}], runs)[0] * share) @ pulls)


@functools.cache
def remainder_of(kind: str, year: int, params: float) -> Remainder:
    """The remainder of a run, by kind, year and number of parameters of its model."""
    learned = table()
    runs = learned["runs"]
    pulls = np.array([run["pull"] for run in runs])
    likeness = Likeness(**learned["likeness"])
    middle = expected(likeness, runs, pulls, kind, year)
    below, above = learned["spread"][kind][SIZES[params >= LARGE]]
    value, low, high = (float(np.exp(one)) for one in (middle, middle - below, middle + above))
    return Remainder(value, low, high, len(runs), likeness.exempt)
