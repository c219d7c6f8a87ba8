"""``gpuhours reproduce TEXT``: each figure of any text against the value implied by the others. Reading and verdicts are those of
``check``."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.checking.one_run import check_document
from gpuhours.questions.checking.outcome import Check, Checked, Implied
from gpuhours.questions.checking.papers import PaperCheck
from gpuhours.questions.checking.quantities import QUANTITIES
from gpuhours.questions.checking.verdict import check
from gpuhours.questions.reproducing.findings import Finding, Reproduction
from gpuhours.questions.verdicts import AGREES, CONTRADICTED, NOT_DETERMINED


def reproduce_text(path: Path) -> list[Reproduction]:
    """For each run of a text: its figures with ``check``'s verdicts, and the values implied by the run's other figures alone."""
    checked = check(path)
    if not isinstance(checked, PaperCheck):
        raise EstimateError("A table of runs is not a document.", "Use gpuhours check.", str(path))
    return [_reproduced(one, path) for one in checked.runs]


def _reproduced(found: Check, path: Path) -> Reproduction:
    """One run of a text."""
    stated = tuple(_figure(found, one) for one in found.claims)
    implied = tuple(_open(one) for one in found.implied)
    supplied = tuple(
        Assumption(
            one.quantity, one.value, QUANTITIES[one.quantity].unit if one.quantity in QUANTITIES else "", one.reason
        )
        for one in found.assumptions
    )
    return Reproduction(
        found.document.name, found.witness, path.name, (*stated, *implied), supplied, whole=found.verdict
    )  # fmt: skip


def _figure(found: Check, one: Checked) -> Finding:
    """A claim and the value that the other claims imply without it."""
    claim = one.claim
    others = without(found, one) if one.against else None
    alone = others is not None or one.verdict != AGREES
    if not alone:  # not determined by the others: use the value reconciled from all figures, including this one
        others = Implied(claim.quantity, one.reconciled, one.reconciled_low, one.reconciled_high)
    value = None if others is None else others.value
    error = value / claim.value - 1 if value is not None and claim.value else None
    because = next((entry.statement for entry in found.contradictions if claim.quantity in entry.claims), "")
    because = because or next((doubt.to_confirm for doubt in found.doubts if claim.quantity in doubt.claims), "")
    return Finding(
        claim.title, claim.value, claim.unit, value, others.low if others else None, others.high if others else None, error,
        one.verdict, because or ("" if one.against else "nothing else in the text tests it"),
        stated_low=claim.spread.low, stated_high=claim.spread.high, depends_on=one.against,
        basis="computed" if alone else "reconciled", quantity=claim.quantity,
    )  # fmt: skip


def without(found: Check, one: Checked) -> Implied | None:
    """The value that the other figures imply for a claim; None if they do not determine it.

    A figure that agrees is compared as ``check`` does, with those that agree: without it, those that ``check`` holds to be wrong would no
    longer be outvoted.
    """
    document = found.document
    wrong = [other.claim for other in found.claims if one.verdict == AGREES and other.verdict == CONTRADICTED]
    doubted = {quantity for doubt in found.doubts for quantity in doubt.claims}
    wrong += [other.claim for other in found.claims if one.verdict == AGREES and _is_doubted(other, doubted)]
    dropped = {id(claim) for claim in (*wrong, one.claim)}
    rest = replace(document, claims=tuple(claim for claim in document.claims if id(claim) not in dropped))
    implied = check_document(rest).implied
    return next((entry for entry in implied if entry.quantity == one.claim.quantity and entry.value is not None), None)


def _is_doubted(one: Checked, doubted: Collection[str]) -> bool:
    """Whether a figure is left out of the comparison because another reading of it may hold."""
    return one.verdict == NOT_DETERMINED and one.claim.quantity in doubted


def _open(one: Implied) -> Finding:
    """A quantity that the text does not state."""
    title = QUANTITIES[one.quantity].title if one.quantity in QUANTITIES else one.quantity
    unit = QUANTITIES[one.quantity].unit if one.quantity in QUANTITIES else ""
    return Finding(title, None, unit, one.value, one.low, one.high, None, None, one.reason, quantity=one.quantity)
