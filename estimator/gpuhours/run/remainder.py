"""What remains between the steps of a run with its stops and the GPU-hours that are published: one factor by kind, with its spread.

Restarts from the beginning, slow nodes, data, evaluation jobs, runs that were thrown away and hours that were rounded: published hours
hold them, no equation does. Learned on whole runs (``published/run_totals.csv``) by ``gpuhours validate --totals --update-remainder``;
judging a run leaves its organisation out.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from gpuhours.inputs.arrays import Array
from gpuhours.run.ranges import spread_over


@dataclass(frozen=True)
class Remainder:
    """Published over predicted GPU-hours of a kind of run: median, 10th and 90th percentile."""

    value: float
    low: float
    high: float
    rows: int = 0
    """Published runs it was learned on."""

    def draw(self, position: Array, nodes: Array) -> Array:
        """The factor at a position of its distribution, for a run on ``nodes`` nodes: value^felt x spread."""
        spread = spread_over(self.low / self.value, 1.0, self.high / self.value, np.asarray(position, float))
        return np.power(self.value, felt(nodes)) * spread


WHOLE_FROM = 16
"""Nodes from which the factor is felt whole."""


def felt(nodes: Array) -> Array:
    """Share of the factor's logarithm that a run feels: log2(nodes) / log2(16), at most 1, none on a single node.

    Hours of runs on one node are their steps' (llm.c, nanoGPT and nanochat print them so); what is lost beside the steps is lost by many.
    """
    return np.clip(np.log2(np.maximum(nodes, 1.0)) / np.log2(WHOLE_FROM), 0.0, 1.0)


NOTHING = Remainder(1.0, 1.0, 1.0)


def path() -> Path:
    """Where the learned factors are."""
    return Path(str(files("gpuhours"))) / "published" / "remainder.json"


@functools.cache
def table() -> Mapping[str, Any]:
    """The learned factors by kind, and the published runs behind them."""
    found: Mapping[str, Any] = json.loads(path().read_text(encoding="utf-8"))
    return found


def remainder_of(kind: str) -> Remainder:
    """The factor of a kind of run."""
    return Remainder(**table()["kinds"][kind])
