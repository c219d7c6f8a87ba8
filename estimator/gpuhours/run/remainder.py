"""What remains between the steps of a run with its stops and the GPU-hours that are published: a factor with its spread.

Restarts from the beginning, slow nodes, data, evaluation jobs, runs that were thrown away and hours that were rounded: published hours
hold them, no equation does. Learned on whole runs (``published/run_totals.csv``) by ``gpuhours validate --totals --update-remainder``;
judging a run leaves its organisation out. Runs of one year share more of it than runs of others: stacks and clusters of a year are as
new to all.
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
from gpuhours.inputs.records import dataclass
from gpuhours.run.ranges import median, spread_over

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Remainder:
    """Published over predicted GPU-hours of runs like one: median, 10th and 90th percentile."""

    value: float
    low: float
    high: float
    rows: int = 0
    """Published runs it was learned on."""

    def beside(self, alone: Floats, position: Floats, nodes: Array) -> Floats:
        """The factor of every draw of a sample that takes ``alone`` without it, on ``nodes`` nodes: value^felt x spread.

        It was learned as published hours over the median of a sample, so the median of ``alone`` times the factor is that of ``alone``
        times value^felt. A spread that is wider on one side would move it by as much as a fifth.
        """
        spread = spread_over(self.low / self.value, 1.0, self.high / self.value, np.asarray(position, float))
        centred: Floats = np.power(self.value, felt(nodes)) * spread * (median(alone) / median(alone * spread))
        return centred


@dataclass(frozen=True)
class Likeness:
    """How much of ln published / predicted runs share: standard deviations."""

    kind: float
    """Among runs of one kind."""
    year: float
    """Of what changes from a year to the next: a random walk, so that years to come are as the last that was seen."""
    organisation: float
    """Among an organisation's runs of one kind."""
    run: float
    """Of a single run, alone."""

    def shared(self, some: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> Floats:
        """``[some, others]`` covariance of what is neither an organisation's nor a run's own, were it felt whole."""
        kinds, years = ([np.array([run[key] for run in runs]) for runs in (some, others)] for key in ("kind", "year"))
        walked = np.maximum(np.minimum(years[0][:, None], years[1]) - FIRST, 0.0)
        found: Floats = LEVEL**2 + self.kind**2 * (kinds[0][:, None] == kinds[1]) + self.year**2 * walked
        return found


FIRST = 2015
"""Year from which the walk counts, before all runs."""
LEVEL = 1.0
"""Standard deviation of what all runs share before any was seen: so wide that the runs decide."""
LARGE = 1e10
"""Parameters from which a model is large: a run of one is watched, and spreads less."""
SIZES = ("small", "large")
WHOLE_FROM = 16
"""Nodes from which the factor is felt whole."""


def felt(nodes: Array) -> Array:
    """Share of the factor's logarithm that a run feels: log2(nodes) / log2(16), at most 1, none on a single node.

    Hours of runs on one node are their steps' (llm.c, nanoGPT and nanochat print them so); what is lost beside the steps is lost by many.
    """
    return np.clip(np.log2(np.maximum(nodes, 1.0)) / np.log2(WHOLE_FROM), 0.0, 1.0)


NOTHING = Remainder(1.0, 1.0, 1.0)


@functools.cache
def beyond_a_step() -> Remainder:
    """The factor of a run whose step is known: what of a remainder is neither step nor stops.

        published / predicted hours = (steps as they were / as predicted) x (hours / (steps as they were / goodput))
        remainder                   = wrong about the step                x beyond a step

    A known step leaves the second alone: restarts from the beginning, spells of slow nodes, runs that were thrown away. It is told by
    published runs that say both their hours and the MFU that their steps kept, one to an organisation; least and largest of n of them
    hold (n - 1) / (n + 1) of others like them (Wilks 1941, Annals of Mathematical Statistics 12(1)).
    """
    known = table()["beyond_a_step"]
    return Remainder(known["value"], known["low"], known["high"], len(known["runs"]))


def path() -> Path:
    """Where what was learned is."""
    return Path(str(files("gpuhours"))) / "published" / "remainder.json"


@functools.cache
def table() -> Mapping[str, Any]:
    """What was learned: how alike runs are, how far they spread by kind, and the published runs with what each pulls."""
    found: Mapping[str, Any] = json.loads(path().read_text(encoding="utf-8"))
    return found


def expected(likeness: Likeness, runs: Sequence[Mapping[str, Any]], pulls: Floats, kind: str, year: float) -> float:
    """ln of the median factor of a kind and year: covariance with every run times what the run pulls, felt whole (kriging; Rasmussen
    and Williams 2006, Gaussian Processes for Machine Learning, equation 2.25)."""
    share = np.asarray(felt(np.array([run["nodes"] for run in runs])))
    return float((likeness.shared([{"kind": kind, "year": year}], runs)[0] * share) @ pulls)


@functools.cache
def remainder_of(kind: str, year: int, params: float) -> Remainder:
    """The factor of a run of a model of a kind and size in a year."""
    learned = table()
    runs = learned["runs"]
    pulls = np.array([run["pull"] for run in runs])
    middle = expected(Likeness(**learned["likeness"]), runs, pulls, kind, year)
    below, above = learned["spread"][kind][SIZES[params >= LARGE]]
    value, low, high = (float(np.exp(one)) for one in (middle, middle - below, middle + above))
    return Remainder(value, low, high, len(runs))
