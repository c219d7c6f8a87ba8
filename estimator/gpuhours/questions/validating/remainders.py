"""The remainder (published hours over predicted steps), learned from whole runs: covariances, median and spread."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import lgamma
from typing import Any

import numpy as np

from gpuhours.inputs.records import dataclass
from gpuhours.questions.validating.beyond import beyond
from gpuhours.run.remainder import (
    LARGE,
    NOTHING,
    SIZES,
    Floats,
    Likeness,
    Remainder,
    applied_shares,
    expected,
    path,
    table,
)

Runs = Sequence[Mapping[str, Any]]
INSIDE = 0.8
"""Share of the runs of other organisations that the range contains."""
FEWEST = 8
"""Minimum number of organisations for which a spread is learned; smaller groups use that of a larger group. Split conformal prediction
needs four on either side for an 80 % range: ceil(0.8 (n + 1)) <= n."""
HUBER = 1.345
"""Standard deviations beyond which a run is down-weighted: 95 % efficient on normal errors (Huber 1981, Robust Statistics, section 1.4)."""
ROUNDS = 20
SETTLED = 1e-6
"""Relative change of the down-weighting below which it has converged."""
DEGREES = 4
"""Degrees of freedom of the Student t distribution used to compare covariances, since published hours have long tails."""
TRIED: Mapping[str, tuple[float, ...]] = {
    "kind": (0.15,), "year": (0.0, 0.1, 0.2, 0.3, 0.4), "organisation": (0.0, 0.1, 0.2), "run": (0.2, 0.3, 0.4),
    "exempt": (0.0, 0.5, 1.0),
}  # fmt: skip
"""Standard deviations, and ``exempt`` shares of expensive runs, over which the covariance is averaged: evenly spaced
on both sides of the likeliest ones. The one for kinds is a prior: there are too few kinds, and too few runs of kinds other than text, to
determine it, and it does not change the likelihood of the runs."""


@dataclass(frozen=True)
class Learned:
    """The remainder as learned from some runs."""

    runs: Runs
    likeness: Likeness
    pulls: Floats
    """Inverse covariance times residuals, one value per run."""
    off: Floats
    """Each run's residual minus its prediction without its organisation."""
    variance: Floats
    """Expected variance of that difference."""

    def remainder(self, kind: str, year: float, params: float) -> Remainder:
        """The factor for a model of a given kind and size in a given year.

        Its 10th and 90th percentile are chosen so that, with the spread of each run's own sample added in quadrature, 80 % of the runs on
        either side of the median are inside, each predicted without its organisation: split conformal prediction with normalised
        residuals (Lei et al. 2018, JASA 113(523)).
        """
        if not self.runs:
            return NOTHING
        middle = expected(self.likeness, self.runs, self.pulls, kind, year)
        below, above = self.spread(kind, large=params >= LARGE)
        value, low, high = (float(np.exp(one)) for one in (middle, middle - below, middle + above))
        return Remainder(value, low, high, len(self.runs), self.likeness.exempt)

    def spread(self, kind: str, *, large: bool) -> tuple[float, float]:
        """How far the range extends below and above the median, in log.

        It is learned from runs of the same kind and size, from all of the kind if fewer than ``FEWEST`` organisations have such runs, and
        from all runs if that is still too few (Mondrian conformal prediction: Vovk et al. 2005, Algorithmic Learning in a Random World,
        section 4.5). Size matters since expensive runs are tuned, whereas the cost of small ones varies between organisations.

        The quantile over n organisations is taken at 0.8 (1 + 1/n): runs of one organisation are similar, and the run to predict is from
        another one (Lei et al. 2018, as in ``remainder``).
        """
        owners = np.array([run["organisation"] for run in self.runs])
        alike = np.array([run["kind"] == kind for run in self.runs])
        sized = alike & np.array([(run["params"] >= LARGE) == large for run in self.runs])
        groups = (sized, alike, np.ones(len(self.runs), bool))
        kept = next((one for one in groups if len(set(owners[one])) >= FEWEST), groups[-1])
        beside = np.where(self.off < 0, *([run[side] for run in self.runs] for side in ("below", "above")))
        more, weight = np.sqrt(np.maximum(self.off**2 - beside**2, 0.0)), weights_of(self.runs)
        at = min(INSIDE * (1 + 1 / len(set(owners[kept]))), 1.0)
        sides = (kept & (self.off < 0), kept & (self.off >= 0))
        below, above = (weighted_quantile(more[side], weight[side], at) if np.any(side) else 0.0 for side in sides)
        return below, above


def learn(runs: Runs, likeness: Likeness) -> Learned:
    """The best linear unbiased prediction of the residuals, with those beyond ``HUBER`` down-weighted.

    For a run without its organisation B: residual minus (C^-1 r)_B / (C^-1)_BB (Rasmussen and Williams 2006, equation 5.12, for blocks).
    """
    residual = np.array([run["residual"] for run in runs], float)
    if not len(runs):
        return Learned(runs, likeness, residual, residual, residual)
    owners = np.array([f"{run['organisation']}/{run['kind']}" for run in runs])
    share = applied_shares(runs, likeness.exempt)
    common = likeness.shared(runs, runs) * np.outer(share, share)
    common += likeness.organisation**2 * (owners[:, None] == owners)
    own = np.full(len(runs), likeness.run**2)
    for _ in range(ROUNDS):
        inverse = np.linalg.inv(common + np.diag(own))
        pulls = inverse @ residual
        far = np.abs(own * pulls) / likeness.run
        before, own = own, likeness.run**2 * np.maximum(far / HUBER, 1.0)
        if np.allclose(own, before, rtol=SETTLED, atol=0.0):
            break
    off, variance = np.zeros(len(runs)), np.zeros(len(runs))
    organisations = np.array([run["organisation"] for run in runs])
    for out in set(organisations):
        mine = np.flatnonzero(organisations == out)
        block = np.linalg.inv(inverse[np.ix_(mine, mine)])
        off[mine] = block @ pulls[mine]
        variance[mine] = np.diag(block) - own[mine] + likeness.run**2
    return Learned(runs, likeness, pulls, off, variance)


def mean_log_loss(found: Learned) -> float:
    """Mean negative log density of the runs, each with its organisation left out, since remainders are used to predict runs of new
    organisations. An organisation with n runs of a kind has weight sqrt(n)."""
    half, scaled = (DEGREES + 1) / 2, found.off**2 / found.variance / DEGREES
    constant = lgamma(half) - lgamma(DEGREES / 2) - np.log(DEGREES * np.pi) / 2
    density = constant - np.log(found.variance) / 2 - half * np.log1p(scaled)
    return -float(np.average(density, weights=weights_of(found.runs)))


def likely(runs: Runs) -> Likeness:
    """The mean of all ``TRIED`` covariance parameters, each set with a weight proportional to the density of the runs, exp(-n loss),
    where n is the number of runs and loss their ``mean_log_loss``, both weighted as there.

    Several sets explain the runs about equally well. Choosing one would let a single run decide between them, and change all predictions
    of an organisation by about 7 %; their mean moves only as far as the runs' densities do. Source: pseudo-Bayesian model averaging (Yao
    et al. 2018, Bayesian Analysis 13(3), section 3.4).
    """
    tried = np.array(list(itertools.product(*TRIED.values())))
    losses = np.array([mean_log_loss(learn(runs, Likeness(*values))) for values in tried])
    density = np.exp((losses.min() - losses) * weights_of(runs).sum())
    mean = density @ tried / density.sum()
    return Likeness(*(round(float(value), 4) for value in mean))


def weights_of(runs: Runs) -> Floats:
    """Weight of each run: an organisation with n runs of one kind has sqrt(n) in total."""
    owners = [(run["organisation"], run["kind"]) for run in runs]
    return np.array([owners.count(owner) ** -0.5 for owner in owners])


def weighted_quantile(values: Any, weights: Any, at: float) -> float:
    """The value below which a share ``at`` of the weights lies, interpolated linearly between the midpoints of the weights."""
    order = np.argsort(values)
    ends = np.cumsum(weights[order])
    return float(np.interp(at, (ends - weights[order] / 2) / ends[-1], values[order]))


def without(organisation: str, runs: Runs | None = None) -> Learned:
    """The remainder learned from other organisations' runs, with covariances fitted on those; from the stored runs if none are given."""
    stored = table()
    known = stored["without"].get(organisation, stored["likeness"])
    shown = stored["runs"] if runs is None else runs
    return learn([run for run in shown if run["organisation"] != organisation], Likeness(**known))


def store(runs: Runs, paces: Runs, fleets: Mapping[str, float]) -> None:
    """Store what was learned: covariance parameters (from all runs, and without each organisation where that changes them), spread by kind
    and size, runs with their pulls, the factor beyond a step, and the typical number of accelerators without each organisation."""
    found = learn(runs, likely(runs))
    organisations = sorted({run["organisation"] for run in runs})
    apart = {out: likely([run for run in runs if run["organisation"] != out]) for out in organisations}
    content = {
        "likeness": asdict(found.likeness),
        "without": {out: asdict(one) for out, one in apart.items() if one != found.likeness},
        "beyond_a_step": beyond(paces),
        "accelerators": dict(fleets),
        "spread": {
            kind: {size: [round(side, 4) for side in found.spread(kind, large=size == "large")] for size in SIZES}
            for kind in ("text", "vision", "video")
        },
        "runs": [{**run, "pull": round(float(pull), 5)} for run, pull in zip(runs, found.pulls, strict=True)],
    }  # fmt: skip
    path().write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    table.cache_clear()
