"""The probability that a run fits, meets its deadline and stays within its budget, and the unknowns that matter most."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import numpy as np

from gpuhours.inputs.records import dataclass
from gpuhours.run.ensemble import Ensemble
from gpuhours.run.ranges import quantiles

DECIDING = 3
"""Number of unknowns listed."""


@dataclass(frozen=True)
class Chances:
    """Probabilities between 0 and 1; None if the run does not determine one, or it was not requested."""

    fits: float | None
    in_time: float | None
    within_budget: float | None
    together: float | None
    """The probability that all requested limits are met."""
    decide: tuple[str, ...]
    """The unknowns with the largest shares of the spread."""
    by: str | None = None
    budget: float | None = None
    affordable: tuple[float, float, float] | None = None
    """Share of the run that the budget pays for: median, 10th and 90th percentile."""

    @property
    def likely(self) -> bool:
        """Whether it is at least as likely as not that all that is asked holds together: three probabilities of 70 % may make 35 %."""
        return self.together is None or self.together >= 0.5

    @property
    def unknown(self) -> tuple[str, ...]:
        """The requested limits whose probability is not determined, by their flags."""
        asked = (("--by", self.by, self.in_time), ("--budget", self.budget, self.within_budget))
        return tuple(flag for flag, limit, chance in asked if limit is not None and chance is None)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object under ``chances``."""
        share = self.affordable
        return {
            "fits": self.fits, "in_time": self.in_time, "within_budget": self.within_budget, "together": self.together,
            "decide": list(self.decide), "by": self.by, "budget": self.budget,
            "affordable_share": None if share is None else {"value": share[0], "low": share[1], "high": share[2]},
        }  # fmt: skip


def chances(
    results: Mapping[str, Any],
    draws: Mapping[str, Any],
    sample: Ensemble | None,
    by: datetime.date | None,
    budget: float | None,
    today: datetime.date | None = None,
) -> Chances:
    """The probabilities of one estimate. The run is assumed to start ``today``; ``by`` is its deadline.

    For time and cost it is the share of draws within the limit, for memory the result ``fits_probability``.
    """
    time, money = draws.get("wall_clock"), draws.get("cost")
    left = None if by is None else (by - (today or datetime.date.today())).total_seconds()
    in_time = None if left is None or time is None else float(np.mean(time <= left))
    within = None if budget is None or money is None else float(np.mean(money <= budget))
    stated = results.get("fits_probability")
    fit = None if stated is None else float(stated.value)
    both = [
        mask
        for mask in (
            None if left is None or time is None else time <= left,
            None if budget is None or money is None else money <= budget,
        )
        if mask is not None
    ]
    together = (
        None
        if fit is None and not both
        else (1.0 if fit is None else fit) * float(np.mean(np.all(both, axis=0)) if both else 1.0)
    )
    decide = () if sample is None else tuple(sample.shares())[:DECIDING]
    bought = None
    if budget is not None and money is not None:
        share = np.minimum(budget / money, 1.0)
        low, middle, high = quantiles(share, [0.1, 0.5, 0.9])
        bought = (middle, low, high)
    return Chances(fit, in_time, within, together, decide, None if by is None else by.isoformat(), budget, bought)
