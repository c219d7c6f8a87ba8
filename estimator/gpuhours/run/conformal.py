"""Prediction ranges calibrated for unseen sources: conformal prediction with sources left out.

Sources are exchangeable, but their rows are not: rows of one source have correlated errors. So the scores of all rows are pooled with
equal weight for every source, as in Lee, Barber and Willett 2023 ("Distribution-free inference with hierarchical data",
arXiv:2306.06342) and Dunn, Wasserman and Ramdas 2022 ("Distribution-free prediction sets for two-layer hierarchical models", JASA,
arXiv:1809.07441). A score is the error relative to the typical error of a run of the same novelty (normalised conformal prediction:
Papadopoulos et al. 2002; Lei et al. 2018, "Distribution-free predictive inference for regression", section 5.2):

    e = log(measured / predicted), for a source left out of the prediction
    s = exp(base + sum of coefficient x feature)         typical error of such a run (``run.novelty``); coefficients are non-negative
    score = (e - shift) / s                              shift: median over sources of each source's median error
    range = predicted x exp(shift - below x s) to exp(shift + above x s)

An error has another cause where a run does not say how fast its host launches kernels: the step would take f times as long on a fast host
and F times on a slow one (``step.hosts``, 10th and 90th percentile of hosts). Both causes are independent, so their distances from the
centre add up as squares, and a score is what is left of an error without the host's part:

    range = predicted x exp(shift - sqrt((below x s)^2 + ln^2 f)) to exp(shift + sqrt((above x s)^2 + ln^2 F))
    score = sign(e - shift) sqrt(max(0, (e - shift)^2 - ln^2 f or F)) / s

Facts that a run leaves open (recomputation, kernel, sharding, network, format, schedule) are a third cause: with their usual values the
step would take g times as long at least and G times at most (``step.left_open``). The spread of the predictions of one run is its
difficulty (normalised conformal prediction: Papadopoulos, Gammerman and Vovk 2008, "Normalized nonconformity measures for regression
conformal prediction"), so it adds as squares too, times one coefficient:

    range = predicted x exp(shift - sqrt((below x s)^2 + ln^2 f + (open x ln g)^2)) and so on above

``open`` is learned on published rows in which facts were blanked at random (``validating.blanking``), so that left-out sources of such
rows have the least interval score, which is least in expectation for the true percentiles (Gneiting and Raftery 2007, JASA 102(477)).

``below`` and ``above`` are the magnitudes of the scores' 10th and 90th percentile, times a common factor chosen so that left-out sources
are covered as intended (similar to the correction of quantiles in Romano, Patterson and Candes 2019, arXiv:1905.03222). They differ
because more runs are far slower than predicted than far faster.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from gpuhours.inputs.arrays import Array
from gpuhours.inputs.records import dataclass
from gpuhours.step.hosts import SAME

HostFactors = tuple[float, float]
"""Factors on a step time on a fast and a slow host, the 10th and the 90th percentile of hosts."""


@dataclass(frozen=True)
class Curve:
    """A fitted range: coefficients of the typical error by feature, and the quantiles of the scores."""

    base: float
    coefficients: tuple[float, ...]
    shift: float
    below: float
    above: float
    left_open: float = 0.0
    """Coefficient of the spread over facts that a run leaves open."""

    def limits(
        self, features: Sequence[float], hosts: HostFactors = SAME, left_open: HostFactors = SAME
    ) -> tuple[float, float]:
        """Factors on a prediction, 10th and 90th percentile; 1 is always between them. ``hosts``: factors on a fast and a slow host;
        ``left_open``: factors with the fastest and the slowest usual values of what the run leaves open."""
        usual = self.usual(features)
        fast, slow = explained(hosts, left_open, self.left_open)
        low = self.shift - float(with_hosts(self.below * usual, fast))
        high = self.shift + float(with_hosts(self.above * usual, slow))
        return min(1.0, math.exp(low)), max(1.0, math.exp(high))

    def usual(self, features: Sequence[float]) -> float:
        """The typical error of such a run, |ln(measured / predicted)|: exp(base + coefficients . features)."""
        return float(np.exp(self.base + np.dot(self.coefficients, features)))

    def to_dict(self) -> dict[str, Any]:
        """For ``bands.json``."""
        return {name: _rounded(value) for name, value in asdict(self).items()}


def explained(hosts: Any, left_open: Any, coefficient: float) -> Any:
    """Factors on a fast and a slow host with those of what is left open, whose logs count ``coefficient`` times: independent, so that their
    logs add up as squares.

    >>> fast, slow = explained((1.0, 1.5), (0.5, 1.0), 2.0)
    >>> float(round(fast, 9)), float(round(slow, 9))
    (0.25, 1.5)
    """
    away = np.hypot(np.log(hosts), coefficient * np.log(left_open))
    return np.exp(-away[0]), np.exp(away[1])


def with_hosts(distance: Array, factor: Array) -> Array:
    """Distance in log of a percentile from the centre, with that of a host that takes ``factor`` times as long: the root of the sum of
    both squares."""
    return np.hypot(distance, np.log(factor))


def without_hosts(off: Array, fast: Array, slow: Array) -> Array:
    """What is left of an error (in log, relative to the centre) without the part of a fast or a slow host; inverse of ``with_hosts``.

    >>> without_hosts(np.array([-0.5, 0.1]), 0.741, 1.5).round(2).tolist()  # ln 0.741 = -0.3, ln 1.5 = 0.41
    [-0.4, 0.0]
    """
    own = np.log(np.where(np.less(off, 0), fast, slow))
    return np.sign(off) * np.sqrt(np.maximum(np.square(off) - np.square(own), 0.0))


def _rounded(value: Any) -> Any:
    return [round(float(one), 4) for one in value] if isinstance(value, tuple) else round(float(value), 4)


def table_path() -> Path:
    """Path of the fitted ranges, written by ``gpuhours validate --update``."""
    return Path(str(files("gpuhours"))) / "published" / "bands.json"


@functools.cache
def table() -> Mapping[str, Any]:
    """The contents of ``bands.json``: curves by quantity, and statistics of the measured runs by likeness and by stack."""
    learned: Mapping[str, Any] = json.loads(table_path().read_text(encoding="utf-8"))
    return learned


@functools.cache
def curve(of: str, without: str = "") -> Curve:
    """The range of ``step`` or ``memory`` (factors on seconds or bytes), fitted on all systems, or with the system ``without`` left out."""
    constants = table()[of]
    one = constants["without"].get(without, constants["all"])
    return Curve(one["base"], tuple(one["coefficients"]), one["shift"], one["below"], one["above"], one["left_open"])


def unmeasured_stack(without: str = "") -> float:
    """Factor by which steps of an unmeasured stack take longer than predicted with its stand-in profile.

        exp(median over systems and ``learning.HELD`` zeros of  median log(measured / predicted))

    The medians are over measured stacks that no other system ran, each predicted with its parent's profile (``validating.leaving_out``);
    the system ``without`` is left out of the fit. Each system counts once; the zeros are pseudo-systems whose parent profile is exact.
    """
    factor = table()["step"]["unmeasured"]
    return float(np.exp(factor["without"].get(without, factor["all"])))
