"""Measure how well a known mistake explains a misfit: the residual after its correction, and the effect on implied values."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gpuhours.questions.checking.mistake import Mistake
from gpuhours.questions.checking.outcome import Cause
from gpuhours.questions.checking.reconciling.reconcile import Fit, Measurement
from gpuhours.questions.checking.setting import Limit

ROUNDING = 1e-9
"""Relative tolerance for floating-point error: 32 / (4 x 8) must not count as less than 1."""
CONTRADICTION = 2.6
"""Normalised residual beyond which figures contradict each other (happens by chance once in a hundred)."""
LEAST_FACTOR = 1.03
DERIVED = frozenset(
    {"mfu", "hfu", "flops_per_second_per_gpu", "flops_per_second", "model_flops", "cost", "carbon", "energy"}
)
"""Quantities that authors derive from others: if nothing else decides, the mistake is assumed to be in one of them."""
SOURCE = 0.9
"""How much less likely a mistake is in any other figure."""
AT_LEAST = 50.0
"""Divisor of the upper limit that gives the usual lower end of a quantity without a lower limit: nobody shards so far that a card is
only a fiftieth full."""


USUAL = {"mfu": (0.12, 0.60), "hfu": (0.15, 0.7)}
"""Usual ranges of quantities, narrower than the range of possible values."""


def factor_towards_usual(
    fit: Fit, i: int, mistake: Mistake, quantity: str, usual: tuple[float, float]
) -> tuple[float, float] | None:
    """Return the factor within the mistake's range that brings an implied value nearest to its usual range, and a distance (0 is best).

    None if the value is not determined, hardly depends on the claim, or stays 0.35 or more (in logarithms) outside the range.
    """
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


def unusual_mfu(fit: Fit) -> float:
    """Return how far (in logarithms) the MFU lies outside its usual range; 0 inside, or if it is not determined."""
    now = fit.value("mfu")
    if now is None:
        return 0.0
    least, most = USUAL["mfu"]
    return max(0.0, math.log(least / now[0]), math.log(now[0] / most))


def _moved_out(fit: Fit, i: int, log: float, quantity: str) -> float:
    """Return how far (in logarithms) correcting one claim would move an MFU that is in its usual range out of that range, else 0."""
    now = fit.value("mfu")
    least, most = USUAL["mfu"]
    if quantity == "mfu" or now is None or not least <= now[0] <= most:
        return 0.0
    after = math.log(now[0]) - float(fit.gain[fit.quantities.index("mfu"), i]) * log
    return max(0.0, math.log(least) - after, after - math.log(most))


def _newly_contradicting(fit: Fit, i: int, log: float) -> int:
    """Return how many claims contradict others only once a claim is corrected: GPU-hours that agree with GPUs x time are not at fault."""
    if fit.is_nonlinear_in({i}):
        return 0
    again = fit.shifted({i}, log)
    return sum(residual(again, j) > CONTRADICTION >= residual(fit, j) for j in range(len(fit.residual)))


def another_factor(mistake: Mistake, fit: Fit, i: int) -> bool:
    """Whether a mistake with a single fixed factor differs too much from a claim's misfit, however uncertain the other claims are."""
    factor = math.log(mistake.most)
    alone = mistake.least == mistake.most and not mistake.also and abs(factor) < ORDERS
    return alone and abs(float(fit.left_out[i]) - factor) > NEAR


def out_of_reach(mistake: Mistake, fit: Fit, i: int) -> bool:
    """Whether a claim still contradicts the others after a correction; the others' value does not depend on the claim itself."""
    apart = float(fit.left_out[i])
    if mistake.also or not abs(apart) > ROUNDING:
        return False
    log = min(max(apart, math.log(mistake.least)), math.log(mistake.most))
    return residual(fit, i) * abs((apart - log) / apart) >= STILL


STILL = CONTRADICTION + 0.6
"""A mistake is named only if the normalised residual left by its correction is below this."""


NEAR, ORDERS = math.log(1.25), math.log(100.0)
"""Log tolerance for matching a fixed factor (24 for days and hours), and the factor from which the tolerance no longer applies, as slips
by orders of magnitude are recognised without it."""


TO_ITS_DIGITS = 5.0
"""How much more likely a mistake is if an equation between printed figures gives its factor to their digits (1 %): the identities leave
5 to 10 %."""


def evidence(mistake: Mistake, after: float, *, to_its_digits: bool) -> float:
    """Return how well a mistake explains a misfit: its correction leaves the squared normalised residual ``after``.

    e = exp(-after / 8) / (1 + ln(most / least))^0.7      a mistake that foretells its factor explains better than one that allows a range
    """
    width = 1 + abs(math.log(mistake.most / mistake.least))
    return math.exp(-after / 8) / width**0.7 * (TO_ITS_DIGITS if to_its_digits else 1.0)


def cause_of(mistake: Mistake, factor: float, explains: float) -> Cause:
    """Return a mistake as a likely cause, with its best-fitting factor and the share of the misfit that it explains."""
    return Cause(mistake.cause, mistake.quantity, factor, explains, mistake.text, mistake.also)


def ordered(ranked: list[tuple[float, Cause]]) -> list[Cause]:
    """Return up to four causes, best first, each cause once."""
    causes: dict[str, Cause] = {}
    for _, cause in sorted(ranked, key=lambda entry: -entry[0]):
        causes.setdefault(cause.cause, cause)
    return list(causes.values())[:4]


def residual(fit: Fit, i: int) -> float:
    """Return the absolute normalised residual of a claim; 0 if nothing tests it."""
    z = float(fit.residual[i])
    return 0.0 if math.isnan(z) else abs(z)


def worst_misfit(fit: Fit, claims: int) -> int | None:
    """Return the claim with the largest residual if it is a contradiction, else None."""
    beyond = [
        i
        for i in range(claims)
        if residual(fit, i) > CONTRADICTION and abs(float(fit.left_out[i])) > math.log(LEAST_FACTOR)
    ]
    return max(beyond, key=lambda i: (round(residual(fit, i), 3), -i)) if beyond else None


def explanations(
    left: Sequence[Measurement], involved: Sequence[int], limit: Limit, mistakes: Sequence[Mistake], fit: Fit
) -> list[Cause]:
    """Return the known mistakes whose correction brings an impossible value back into its usual range, best first."""
    usual = USUAL.get(limit.quantity, (limit.least or limit.most / AT_LEAST, limit.most))
    ranked = []
    for mistake in mistakes:
        for i in involved:
            if left[i].quantity != mistake.quantity:
                continue
            outcome = factor_towards_usual(fit, i, mistake, limit.quantity, usual)
            if outcome is not None:
                factor, distance = outcome
                width = 1 + abs(math.log(mistake.most / mistake.least))
                explains = round(math.exp(-distance), 3)
                rank = (
                    mistake.prior
                    * math.exp(-distance)
                    / width**0.35
                    * 0.3 ** _newly_contradicting(fit, i, math.log(factor))
                )
                ranked.append(
                    (rank * (1.0 if mistake.quantity in DERIVED else SOURCE), cause_of(mistake, factor, explains))
                )
    return ordered(ranked)
