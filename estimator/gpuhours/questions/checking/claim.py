"""One figure that a document states, as a measurement."""

from __future__ import annotations

from dataclasses import field, replace
from typing import Any

from gpuhours.inputs.durations import HOUR
from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.precision import Spread
from gpuhours.questions.checking.quantities import QUANTITIES

GIVEN = -1
TAGGED = "tagged"
ALONE = "alone"
"""The fact that a text speaks of one run and of nothing else that could be meant."""
NAME_OF_CARD = "the accelerator's name"
"""The reason for a memory that only the card's name says: it tests nothing."""


@dataclass(frozen=True)
class Claim:
    """``value`` as stated, in the unit of its quantity; ``spread`` how exactly it is meant."""

    quantity: str
    value: float
    spread: Spread
    text: str = ""
    """The figure as written: ``approximately 3 months``."""
    quote: str = ""
    place: str = ""
    because: str = ""
    """The words that decided the quantity; empty where only the unit did."""
    scope: str = ""
    """Empty for the run itself; fine-tuning, evaluation ... for figures about something else."""
    shared: bool = False
    """Said of all runs of a text, not of this one."""
    of_row: bool = False
    """A cell of a table whose row or column names the run: nobody else's figure."""
    breath: int = GIVEN
    """Figures of one sentence or one row have the same number; ``GIVEN`` where no text was read."""
    either: str = ""
    """Another quantity that the words leave open: ``Hours used`` may be those of all devices or of the job."""

    stands_for: str = ""
    """The quantity that identities know it by, where that is a part of its own: energy before the losses of the hall."""

    @property
    def measured(self) -> str:
        """The quantity that identities know it by."""
        return self.stands_for or self.quantity

    @property
    def unit(self) -> str:
        """The unit of ``value``."""
        return QUANTITIES[self.quantity].unit

    @property
    def title(self) -> str:
        """The quantity in words."""
        return QUANTITIES[self.quantity].title

    @property
    def checked(self) -> bool:
        """Whether identities may use it."""
        return QUANTITIES[self.quantity].checked and not self.scope


SECONDS = {("gpu_hours", "wall_clock"): HOUR}
"""What a figure is multiplied by where its other quantity has another unit."""


def in_its_other_sense(claim: Claim) -> Claim:
    """The same figure as the other quantity that its words leave open."""
    factor = SECONDS.get((claim.quantity, claim.either), 1.0)
    spread = replace(claim.spread, centre=factor * claim.spread.centre)
    return replace(claim, quantity=claim.either, value=factor * claim.value, spread=spread, either="")


@dataclass(frozen=True)
class Fact:
    """Something a document says in words: model, accelerator, country, sharding."""

    name: str
    value: str
    quote: str = ""
    place: str = ""


@dataclass(frozen=True)
class Assumed:
    """A value nobody stated and that a run of this kind has: mild, and listed."""

    quantity: str
    value: float
    sigma: float
    reason: str


@dataclass(frozen=True)
class Unplaced:
    """A number nobody could say the meaning of, or that was left aside, and why."""

    text: str
    quote: str
    place: str
    reason: str = ""
    value: float = 0.0
    breath: int = GIVEN
    """The number of its sentence, as claims have it."""


@dataclass(frozen=True)
class Document:
    """Everything read from one document."""

    name: str
    claims: tuple[Claim, ...]
    facts: tuple[Fact, ...] = ()
    not_understood: tuple[Unplaced, ...] = ()
    set_aside: tuple[Claim, ...] = field(default=())
    """Claims about something else than the run, or a second figure for the same quantity."""
    kind: str = "own"
    """own, or total: the sum of all runs of a text"""
    assumed: tuple[Assumed, ...] = ()
    """What its own figures make likely without stating it."""

    def fact(self, name: str) -> str | None:
        """The value of a fact, or None."""
        return next((fact.value for fact in self.facts if fact.name == name), None)

    def claim(self, quantity: str) -> Claim | None:
        """The claim for a quantity, or None."""
        return next((claim for claim in self.claims if claim.measured == quantity), None)

    def to_dict(self) -> dict[str, Any]:
        """Facts and numbers not understood, for the JSON of a check."""
        return {
            "facts": [{"name": f.name, "value": f.value, "quote": f.quote, "place": f.place} for f in self.facts],
            "not_understood": [
                {"text": n.text, "quote": n.quote, "place": n.place, "reason": n.reason} for n in self.not_understood
            ],
        }


@dataclass(frozen=True)
class Paper:
    """A text with its runs."""

    name: str
    runs: tuple[Document, ...]
    """Each with the figures that hold for all; the last may be their total."""
    set_aside: tuple[Claim, ...] = ()
    """Figures of no run: somebody else's, or beside the runs; ``scope`` says whose."""
    not_understood: tuple[Unplaced, ...] = ()

    @property
    def single(self) -> Document:
        """The one run with everything that the text says; the first one where there are more."""
        run = self.runs[0]
        return replace(
            run, name=self.name, set_aside=(*run.set_aside, *self.set_aside), not_understood=self.not_understood
        )
