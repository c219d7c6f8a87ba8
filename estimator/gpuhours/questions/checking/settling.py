"""The one or two facts that would settle a check: which of two figures is meant, what a doubt depends on, what would test the rest."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from gpuhours.questions.checking.claim import Assumed, Document
from gpuhours.questions.checking.outcome import ContradictedClaims
from gpuhours.questions.checking.quantities import QUANTITIES, shown
from gpuhours.questions.checking.reconciling.reconcile import Fit, Measurement, reconcile
from gpuhours.questions.checking.reconciling.structure import Equations

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
    """Return the question that a contradiction leaves: ``ask about MFU: 14.6 % or 46.2 %? (another card's peak)``."""
    name = charge.claims[0]
    claim = document.claim(name)
    if claim is None or charge.factor <= 0:
        return ""
    title, stated, other = QUANTITIES[name].title, shown(name, claim.value), shown(name, claim.value / charge.factor)
    cause = f" ({charge.likely_causes[0].cause})" if charge.likely_causes else ""
    return f"ask about {title}: {stated} or {other}?{cause}" if stated != other else ""


def questions(
    document: Document,
    charges: Sequence[ContradictedClaims],
    doubts: Sequence[ContradictedClaims],
    left: Sequence[Measurement],
    fit: Fit,
    equations: Equations,
    extra: Sequence[Assumed],
    whole: Document,
) -> tuple[str, ...]:
    """Return at most two questions to the authors whose answers would settle the check; none for a consistent one.

    ``whole`` also has the figures that the check of ``document`` left out because they may be another run's.
    """
    asked = [
        *(accused(document, charge) for charge in charges),
        *(f"ask whether {doubt.condition}" for doubt in doubts),
    ]
    found = list(dict.fromkeys(question for question in asked if question))[:MOST]
    if not found and left and document.kind != "total" and not _tests(fit, len(left)):
        told = _stated_quantities(whole, fit)
        free = [name for name in ASKED if name not in told]
        found = list(_left_out(whole, document))[:1] or list(_missing(free, left, equations, extra))
    return tuple(found)


def _left_out(whole: Document, document: Document) -> Iterator[str]:
    """Yield a question about each figure said of several runs that this run's check left out, as it contradicts the run's own figures."""
    kept = set(map(id, document.claims))
    for claim in whole.claims:
        if claim.quantity in ASKED and claim.shared and id(claim) not in kept:
            yield f"ask about {claim.title}: is {shown(claim.quantity, claim.value)} the figure of this run?"


def _stated_quantities(document: Document, fit: Fit) -> set[str]:
    """Return the quantities that a text states, also in figures that were set aside, or that follow exactly: GPUs from nodes."""
    named = {name for claim in (*document.claims, *document.set_aside) for name in (claim.quantity, claim.measured)}
    values = {name: fit.value(name) for name in ASKED}
    return named | {name for name, value in values.items() if value is not None and value[1] == value[2]}


def _missing(
    free: Sequence[str], left: Sequence[Measurement], equations: Equations, extra: Sequence[Assumed]
) -> Iterator[str]:
    """Yield the quantity, or else the pair, whose value would let the figures of a text test each other."""
    singles = [(name,) for name in free]
    pairs = list(itertools.combinations(free[:MOST_PAIRED], 2))
    for several in (singles, pairs):
        gained = {names: _gained(names, left, equations, extra) for names in several}
        best = max(gained, key=lambda names: gained[names], default=())
        if best and gained[best]:
            titles = [QUANTITIES[name].title for name in best]
            them = "them" if len(best) > 1 or titles[0].partition(" ")[0].endswith("s") else "it"
            yield f"ask for the {' and the '.join(titles)}: no figure can be tested without {them}"
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
