"""Derived figures that follow to the last digit from the printed ones by a mistaken formula.

Least squares allows for what the words leave open: ``20 days`` may be 18, attention may count or not. A derived figure was computed from
the figures as they are printed, though. If it misses the right formula and meets a mistaken one within its own digits, as 57.4 % meets
8 N D / (GPUs x time x peak) where all activations are recomputed, that formula is how it was computed.

    |ln(stated / right) - ln(factor of the mistake)| < 1.8 s + 0.0015,    s: relative s.d. of the stated figure's digits
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.accelerators import Named
from gpuhours.questions.checking.claim import ALONE, Claim, Document
from gpuhours.questions.checking.mistake import Mistake
from gpuhours.questions.checking.outcome import Cause, ContradictedClaims
from gpuhours.questions.checking.quantities import QUANTITIES, shown
from gpuhours.questions.checking.reconciling.arithmetic import EQUATIONS, arithmetic, figures_of, value_of

MOST_SIGMA = 0.003
"""Largest relative s.d. of a figure that is given to three digits; a hedged one is less exact."""
MOST_DIGITS = 0.006
"""The same for showing a factor: beyond it, a hedged or rounded figure is met by chance."""
FORMULA = 0.0015
"""Relative difference that constants such as 312 or 311.9 TFLOP/s leave."""
NEAR = 0.02
"""A figure this close (in logarithms) to a right formula was computed by it."""
APART = 0.15
"""Least distance (in logarithms) of a mistaken formula from the right one; attention may explain a smaller one."""
DERIVED = ("mfu", "flops_per_second_per_gpu", "model_flops")
OF_RECOMPUTATION = ("HFU as MFU", "8ND for 6ND")
"""Mistakes that need the text to say that all activations are recomputed: stops alone may make 4/3 as well."""


@dataclass(frozen=True)
class Printed:
    """Misfits of the figures of a run in the equations of ``EQUATIONS``, as they are printed."""

    misfits: Mapping[str, tuple[tuple[float, float], ...]]
    """Quantity -> ln(stated / right) by each equation that it is in, with the relative s.d. of the digits of that equation's result."""

    def gives(self, mistake: Mistake) -> bool:
        """Whether a printed equation shows the factor of a mistake to its digits."""
        if mistake.least != mistake.most and mistake.nominal is None:
            return False
        factor = math.log(mistake.nominal or mistake.least)
        misfits = self.misfits.get(mistake.quantity, ())
        return any(abs(ratio - factor) <= FORMULA + 1.8 * min(digits, MOST_DIGITS) for ratio, digits in misfits)


NOTHING_PRINTED = Printed({})


def as_printed(document: Document, accelerator: Named | None) -> Printed:
    """Return by how much each figure of a run misses each equation between printed figures."""
    stated = figures_of(document, accelerator)
    found: dict[str, list[tuple[float, float]]] = {}
    for result, terms, front in EQUATIONS:
        claim = document.claim(result)
        if claim is None or result not in stated or not terms.keys() <= stated.keys():
            continue
        ratio = math.log(stated[result] / value_of(result, terms, front, stated))
        if abs(ratio) < NEAR:
            continue
        found.setdefault(result, []).append((ratio, claim.spread.sigma))
        for name, power in terms.items():
            found.setdefault(name, []).append((-ratio / power, claim.spread.sigma))
    return Printed({name: tuple(misfits) for name, misfits in found.items()})


def computed_by_mistake(
    document: Document, accelerator: Named | None, recompute: str | None, mistakes: Iterable[Mistake]
) -> Iterator[ContradictedClaims]:
    """Yield a contradiction for each derived figure of a run that only a mistaken formula gives to its digits."""
    stated = figures_of(document, accelerator)
    known = tuple(mistakes)
    for result in DERIVED:
        claim = document.claim(result)
        if claim is None or not _is_sharp(claim):
            continue
        usable = [
            (terms, front) for name, terms, front in EQUATIONS if name == result and terms.keys() <= stated.keys()
        ]
        ratios = [math.log(stated[result] / value_of(result, terms, front, stated)) for terms, front in usable]
        if any(abs(ratio) < NEAR for ratio in ratios):
            continue
        for (terms, _), ratio in zip(usable, ratios, strict=True):
            claims = [claim, *(one for name in terms if (one := document.claim(name)) is not None)]
            cause = _met(result, ratio, claim, known, recompute)
            if cause is not None and _of_one_run(claims, document):
                names = tuple(one.measured for one in claims)
                yield ContradictedClaims(
                    names,
                    math.exp(ratio),
                    _statement(claims, ratio),
                    (cause,),
                    arithmetic(names, document, accelerator),
                )
                break


def _is_sharp(claim: Claim) -> bool:
    return claim.spread.sigma < MOST_SIGMA and not claim.part and not claim.scope


def _met(result: str, ratio: float, claim: Claim, mistakes: Iterable[Mistake], recompute: str | None) -> Cause | None:
    """Return the mistake whose factor a ratio meets within the digits of the claim, the most common one if there are several."""
    near = 1.8 * claim.spread.sigma + FORMULA
    found = []
    for mistake in mistakes:
        factor = math.log(mistake.nominal or mistake.least)
        fixed = mistake.nominal is not None or mistake.least == mistake.most or mistake.cause == "another card's peak"
        if mistake.quantity != result or not fixed or abs(factor) < APART or abs(ratio - factor) > near:
            continue
        if mistake.cause not in OF_RECOMPUTATION or recompute == "full":
            found.append(mistake)
    if not found:
        return None
    first = max(found, key=lambda mistake: mistake.prior)
    return Cause(first.cause, result, math.exp(ratio), 1.0, first.text)


def _of_one_run(claims: Iterable[Claim], document: Document) -> bool:
    """Whether a text is about a single run, or all claims are cells of one."""
    claims = tuple(claims)
    return document.fact(ALONE) is not None or all(claim.of_row for claim in claims)


def _statement(claims: list[Claim], ratio: float) -> str:
    first, *others = claims
    said = ", ".join(f"{QUANTITIES[one.measured].title} {shown(one.measured, one.value)}" for one in others)
    right = shown(first.measured, first.value / math.exp(ratio))
    title = QUANTITIES[first.measured].title
    return f"{title} {shown(first.measured, first.value)} contradicts {said}, which as printed make it {right}"
