"""How well a known mistake explains a misfit: what it would leave, and where it would move what it touches."""

from __future__ import annotations

import math

from gpuhours.questions.checking.causes import Mistake
from gpuhours.questions.checking.outcome import Cause
from gpuhours.questions.checking.reconciling.reconcile import Fit

ROUNDING = 1e-9
"""Of logarithms: 32 / (4 x 8) is one, and not less."""
CONTRADICTION = 2.6
"""Normalised residual beyond which two figures contradict each other (once in a hundred by chance)."""


USUAL = {"mfu": (0.12, 0.60), "hfu": (0.15, 0.7)}
"""Where runs are, beside where they can be."""


def brought_back(
    fit: Fit, i: int, mistake: Mistake, quantity: str, usual: tuple[float, float]
) -> tuple[float, float] | None:
    """The factor within the mistake's range that comes nearest to usual values, and how far off it stays."""
    now = fit.value(quantity)
    slope = float(fit.gain[fit.quantities.index(quantity), i])
    if now is None or abs(slope) < 0.05:
        return None
    least, most = math.log(max(usual[0], 1e-9)), math.log(min(usual[1], 1e9))
    centre = (least + most) / 2
    log = min(max((math.log(now[0]) - centre) / slope, math.log(mistake.least)), math.log(mistake.most))
    reached = math.log(now[0]) - slope * log
    outside = max(0.0, least - reached, reached - most)
    if outside >= 0.35:
        return None
    return math.exp(log), 3 * outside + 0.5 * abs(reached - centre) + 3 * _moved_out(fit, i, log, quantity)


def _moved_out(fit: Fit, i: int, log: float, quantity: str) -> float:
    """How far (in logarithms) a correction of one claim would move a utilisation that is usual out of where runs are."""
    now = fit.value("mfu")
    least, most = USUAL["mfu"]
    if quantity == "mfu" or now is None or not least <= now[0] <= most:
        return 0.0
    after = math.log(now[0]) - float(fit.gain[fit.quantities.index("mfu"), i]) * log
    return max(0.0, math.log(least) - after, after - math.log(most))


def another_factor(mistake: Mistake, fit: Fit, i: int) -> bool:
    """Whether a mistake of one factor alone is too far from a claim's misfit, however widely its neighbours are known."""
    factor = math.log(mistake.most)
    alone = mistake.least == mistake.most and not mistake.also and abs(factor) < ORDERS
    return alone and abs(float(fit.left_out[i]) - factor) > NEAR


def out_of_reach(mistake: Mistake, fit: Fit, i: int) -> bool:
    """Whether a claim corrected by a mistake still contradicts the others: what they say without it, its own value does not move."""
    apart = float(fit.left_out[i])
    if mistake.also or not abs(apart) > ROUNDING:
        return False
    log = min(max(apart, math.log(mistake.least)), math.log(mistake.most))
    return residual(fit, i) * abs((apart - log) / apart) >= STILL


STILL = CONTRADICTION + 0.6
"""Normalised residual that a correction may leave for its mistake to be named."""


NEAR, ORDERS = math.log(1.25), math.log(100.0)
"""Beyond the first a factor of 24 is not that of days and hours; slips of orders of magnitude are told without such nearness."""


def ordered(ranked: list[tuple[float, Cause]]) -> list[Cause]:
    """Best first, one line per cause."""
    causes: dict[str, Cause] = {}
    for _, cause in sorted(ranked, key=lambda entry: -entry[0]):
        causes.setdefault(cause.cause, cause)
    return list(causes.values())[:4]


def residual(fit: Fit, i: int) -> float:
    """The normalised residual of a claim without its sign; 0 where nothing tests it."""
    z = float(fit.residual[i])
    return 0.0 if math.isnan(z) else abs(z)
