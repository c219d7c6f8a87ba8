"""Results of a check: a verdict per claim, implied values, contradictions with their causes. Immutable and convertible to JSON."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.accelerators import Named
from gpuhours.questions.checking.claim import Assumed, Claim, Document
from gpuhours.questions.checking.quantities import QUANTITIES
from gpuhours.questions.envelope import envelope
from gpuhours.questions.verdicts import AGREES, CONSISTENT, CONTRADICTED, NOT_DETERMINED

USUAL = (0.08, 0.62)
"""Range of MFU in which published runs are plausible."""


@dataclass(frozen=True)
class Checked:
    """One claim compared with the value that all the claims together give."""

    claim: Claim
    reconciled: float | None
    reconciled_low: float | None
    reconciled_high: float | None
    residual: float | None
    """Normalised residual; beyond 2.6 the claim contradicts the others. None if nothing tests the claim."""
    verdict: str | None
    """None for a figure that no identity uses."""
    against: tuple[str, ...] = ()
    """The quantities that the claim was compared with."""

    def to_dict(self) -> dict[str, Any]:
        """Return one entry of ``claims`` in the JSON."""
        claim = self.claim
        return {
            "quantity": claim.quantity, "unit": claim.unit, "stated": claim.value, "low": claim.spread.low,
            "high": claim.spread.high, "reconciled": self.reconciled, "reconciled_low": self.reconciled_low,
            "reconciled_high": self.reconciled_high, "residual": None if self.residual is None else round(self.residual, 6),
            "verdict": self.verdict,
            "against": list(self.against), "text": claim.text, "quote": claim.quote, "place": claim.place,
            "because": claim.because or None, "precision": claim.spread.reason,
        }  # fmt: skip


ALSO = {"dataset_samples": "samples", "samples": "samples_seen"}
"""Second name for a quantity: samples in the data set are also printed as ``samples``, samples seen in all passes as ``samples_seen``."""


def entries(claims: Iterable[Checked]) -> Iterator[dict[str, Any]]:
    """Yield the JSON entries of claims; claims about samples appear under both of their names (see ``ALSO``)."""
    for claim in claims:
        entry = claim.to_dict()
        yield entry
        if (other := ALSO.get(claim.claim.quantity)) is not None:
            yield {**entry, "quantity": other, "same_as": claim.claim.quantity}


@dataclass(frozen=True)
class Implied:
    """A quantity that the text does not state: the value that the other figures imply, or None if they do not determine it."""

    quantity: str
    value: float | None
    low: float | None
    high: float | None
    basis: str | None = "solved"
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return one entry of ``implied`` in the JSON."""
        return {
            "quantity": self.quantity, "value": self.value, "low": self.low, "high": self.high,
            "unit": QUANTITIES[self.quantity].unit if self.quantity in QUANTITIES else "", "basis": self.basis,
            "reason": self.reason or None,
        }  # fmt: skip


@dataclass(frozen=True)
class Cause:
    """A known mistake and the share of the contradiction that it explains (0 to 1)."""

    cause: str
    quantity: str
    factor: float
    explains: float
    text: str
    also: tuple[str, ...] = ()
    """Other quantities that carry the same mistake, as they were computed from this one."""
    known: bool = True
    """Whether it is a known mistake, or only the equation that the figures miss."""

    def to_dict(self) -> dict[str, Any]:
        """Return one entry of ``likely_causes`` in the JSON."""
        return {
            "cause": self.cause,
            "quantity": self.quantity,
            "factor": self.factor,
            "explains": self.explains,
            "text": self.text,
        }


@dataclass(frozen=True)
class ContradictedClaims:
    """A set of claims that cannot all be true."""

    claims: tuple[str, ...]
    factor: float
    statement: str
    likely_causes: tuple[Cause, ...]
    arithmetic: str = ""
    """The equation that the figures violate, in one line; empty if no single equation shows it."""
    condition: str = ""
    """The condition under which all the claims refer to one run; empty if the text leaves no doubt."""

    @property
    def to_confirm(self) -> str:
        """What to confirm before a doubt is a contradiction, and the contradiction that it would be."""
        return f"confirm that {self.condition}; if so, {self.statement}"

    def to_dict(self) -> dict[str, Any]:
        """Return one entry of ``contradictions`` in the JSON."""
        return {
            "claims": list(self.claims), "factor": self.factor, "statement": self.statement,
            "likely_causes": [cause.to_dict() for cause in self.likely_causes],
            "arithmetic": self.arithmetic or None,
            "no_known_cause": not any(cause.known for cause in self.likely_causes), "if": self.condition or None,
        }  # fmt: skip


@dataclass(frozen=True)
class Check:
    """The result of checking one document."""

    document: Document
    claims: tuple[Checked, ...]
    implied: tuple[Implied, ...]
    contradictions: tuple[ContradictedClaims, ...]
    assumptions: tuple[Assumed, ...]
    accelerator: Named | None = None
    witness: str = ""
    doubts: tuple[ContradictedClaims, ...] = ()
    """Contradictions that hold only if an ambiguous figure was read as intended."""
    ask: Callable[[Document], tuple[str, ...]] = lambda _: ()
    """Finds the questions of ``to_settle`` for all that the document says, when they are wanted."""

    @functools.cached_property
    def to_settle(self) -> tuple[str, ...]:
        """At most two questions to the authors whose answers would settle the check."""
        return self.ask(self.document)

    @property
    def verdict(self) -> str:
        """Verdict on the whole document.

        ``contradicted`` if there is a contradiction; else not determined if there are doubts; else ``consistent`` if a claim agrees
        with others or the implied MFU lies within ``USUAL``; else not determined.
        """
        if self.contradictions:
            return CONTRADICTED
        if self.doubts:
            return NOT_DETERMINED
        if any(
            i.quantity == "mfu" and i.value and i.low and i.high and USUAL[0] < i.low and i.high < USUAL[1]
            for i in self.implied
        ):
            return CONSISTENT
        return CONSISTENT if any(c.verdict == AGREES for c in self.claims) else NOT_DETERMINED

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``gpuhours check``, with its envelope."""
        return envelope("check", self.content())

    def content(self) -> dict[str, Any]:
        """Return the JSON of the check without its envelope."""
        return {
            "name": self.document.name, "verdict": self.verdict,
            "claims": list(entries(self.claims)),
            "implied": [implied.to_dict() for implied in self.implied],
            "contradictions": [contradiction.to_dict() for contradiction in self.contradictions],
            "doubts": [doubt.to_dict() for doubt in self.doubts],
            "assumptions": [
                {"name": a.quantity, "value": a.value, "unit": QUANTITIES[a.quantity].unit if a.quantity in QUANTITIES else "",
                 "reason": a.reason} for a in self.assumptions
            ],
            "accelerator": self.accelerator.to_dict() if self.accelerator else None,
            "witness": self.witness or None,
            "to_settle": list(self.to_settle),
            "set_aside": [
                {"quantity": c.quantity, "stated": c.value, "unit": c.unit, "text": c.text, "quote": c.quote, "place": c.place,
                 "reason": c.scope} for c in self.document.set_aside
            ],
            **self.document.to_dict(),
        }  # fmt: skip
