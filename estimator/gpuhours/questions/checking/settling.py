"""The one or two facts that would settle a check: which of two figures is meant, what a doubt depends on, what would test the rest."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from gpuhours.questions.checking.claim import Assumed, Document
from gpuhours.questions.checking.outcome import ContradictedClaims
from gpuhours.questions.checking.quantities import QUANTITIES, shown
from gpuhours.questions.checking.reconciling.reconcile import Equations, Fit, Measurement, reconcile

MOST = 2
MOST_PAIRED = 5
"""Number of unstated quantities that are tried in pairs."""
ASKED = (
    "gpu_hours",
    "mfu",
    "tokens",
    "gpus",
    "wall_clock",
    "parameters",
    "tokens_per_second",
    "step_time",
    "global_batch_tokens",
)
"""Quantities that authors know and that test most others."""


def accused(document: Document, charge: ContradictedClaims) -> str:
    """Return the question that a contradiction leaves: ``MFU: 14.6 % or 46.2 %? (another card's peak)``."""
    name = charge.claims[0]
    claim = document.claim(name)
    if claim is None or charge.factor <= 0:
        return ""
    title, stated, other = QUANTITIES[name].title, shown(name, claim.value), shown(name, claim.value / charge.factor)
    cause = f" ({charge.likely_causes[0].cause})" if charge.likely_causes else ""
    return f"{title}: {stated} or {other}?{cause}" if stated != other else ""


def questions(
    document: Document,
    charges: Sequence[ContradictedClaims],
    doubts: Sequence[ContradictedClaims],
    left: Sequence[Measurement],
    fit: Fit,
    equations: Equations,
    extra: Sequence[Assumed],
) -> tuple[str, ...]:
    """Return at most two questions to the authors whose answers would settle the check; none for a consistent one."""
    asked = [*(accused(document, charge) for charge in charges), *(f"whether {doubt.condition}" for doubt in doubts)]
    found = list(dict.fromkeys(question for question in asked if question))[:MOST]
    if not found and left and not _tests(fit, len(left)):
        found = list(_missing(document, left, equations, extra))
    return tuple(found)


def _missing(
    document: Document, left: Sequence[Measurement], equations: Equations, extra: Sequence[Assumed]
) -> Iterator[str]:
    """Yield the quantity, or else the pair, whose value would let the figures of a text test each other."""
    stated = {claim.measured for claim in document.claims}
    free = [name for name in ASKED if name not in stated]
    singles = [(name,) for name in free]
    pairs = list(itertools.combinations(free[:MOST_PAIRED], 2))
    for several in (singles, pairs):
        gained = {names: _gained(names, left, equations, extra) for names in several}
        best = max(gained, key=lambda names: gained[names], default=())
        if best and gained[best]:
            yield f"the {' and the '.join(QUANTITIES[name].title for name in best)}, without which nothing tests the figures"
            return


def _gained(names: Sequence[str], left: Sequence[Measurement], equations: Equations, extra: Sequence[Assumed]) -> int:
    """Return how many of the figures would be tested if the text stated these quantities as well."""
    more = [Measurement(name, math.log(_TYPICAL), 0.02, None) for name in names]
    return _tests(reconcile([*left, *more], equations, extra), len(left))


_TYPICAL = 1e6
"""A stand-in for the unknown value: in logarithms it moves no answer to what tests what."""


def _tests(fit: Fit, claims: int) -> int:
    """Return how many of the claims are tested by others."""
    return sum(not math.isnan(float(fit.residual[i])) for i in range(claims))
