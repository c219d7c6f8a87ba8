"""Data classes for what a document states: figures as measurements (claims), facts, assumptions, runs."""

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
"""Name of the fact that a text describes a single run and nothing else that its figures could refer to."""
NAME_OF_MODEL = "the model's name"
"""``because`` of a size taken only from the model's name."""
NAME_OF_CARD = "the accelerator's name"
"""``because`` of a memory size taken only from the card's name; such a claim is not tested."""


@dataclass(frozen=True)
class Claim:
    """One stated figure: ``value`` is in the unit of its quantity, ``spread`` is how precise the figure is."""

    quantity: str
    value: float
    spread: Spread
    text: str = ""
    """The figure as written: ``approximately 3 months``."""
    quote: str = ""
    place: str = ""
    because: str = ""
    """The words that identified the quantity; empty if only the unit did."""
    scope: str = ""
    """Empty for the run itself; otherwise what the figure is about (fine-tuning, evaluation ...)."""
    shared: bool = False
    """Whether the text states the figure for all its runs, not specifically for this one."""
    of_row: bool = False
    """Whether the figure is a table cell whose row or column names the run, so that it cannot belong to another run."""
    sentence: int = GIVEN
    """Number of the sentence or row; figures from the same one share it. ``GIVEN`` if no text was read."""
    either: str = ""
    """Another quantity that the words could mean: ``Hours used`` may be GPU-hours or wall-clock hours of the job."""

    part: str = ""
    """What the figure may be about instead of the whole run, such as a later stage; empty if nothing in the text suggests it."""
    stands_for: str = ""
    """The quantity to use in identities if it is only part of the stated one: energy before the losses of the data centre."""

    @property
    def measured(self) -> str:
        """The quantity under which identities use this claim: ``stands_for``, else ``quantity``."""
        return self.stands_for or self.quantity

    @property
    def unit(self) -> str:
        """The unit of ``value``."""
        return QUANTITIES[self.quantity].unit

    @property
    def title(self) -> str:
        """The name of the quantity in words."""
        return QUANTITIES[self.quantity].title

    @property
    def checked(self) -> bool:
        """Whether identities may use this claim: its quantity is a checked one and the figure is about the run itself."""
        return QUANTITIES[self.quantity].checked and not self.scope


SECONDS = {("gpu_hours", "wall_clock"): HOUR}
"""(quantity, other quantity) -> the factor that converts a value to the unit of the other quantity, if the units differ."""


def in_its_other_sense(claim: Claim) -> Claim:
    """Return the claim read as its other possible quantity (``either``), converted to the unit of that quantity."""
    factor = SECONDS.get((claim.quantity, claim.either), 1.0)
    spread = replace(claim.spread, centre=factor * claim.spread.centre)
    return replace(claim, quantity=claim.either, value=factor * claim.value, spread=spread, either="")


@dataclass(frozen=True)
class Fact:
    """A non-numeric statement of a document: model, accelerator, country, sharding."""

    name: str
    value: str
    quote: str = ""
    place: str = ""


@dataclass(frozen=True)
class Assumed:
    """A typical value for a run of this kind, used if the text states none; it has a wide spread and is listed in the output."""

    quantity: str
    value: float
    sigma: float
    reason: str


@dataclass(frozen=True)
class Unplaced:
    """A number that could not be interpreted or was left out, with the reason."""

    text: str
    quote: str
    place: str
    reason: str = ""
    value: float = 0.0
    sentence: int = GIVEN
    """The number of its sentence."""


@dataclass(frozen=True)
class Miscalculation:
    """A sum or product that a text writes out with a wrong result (``12 x 5 x 24 = 14,400``), what is right, and the factor between."""

    text: str
    right: str
    factor: float
    place: str
    cause: str = ""
    """What was miscalculated, if no slip of digits gives the factor; empty for a sum or product."""


@dataclass(frozen=True)
class Document:
    """Everything read about one run of a document."""

    name: str
    claims: tuple[Claim, ...]
    facts: tuple[Fact, ...] = ()
    not_understood: tuple[Unplaced, ...] = ()
    set_aside: tuple[Claim, ...] = field(default=())
    """Claims about something other than the run, or a second figure for the same quantity."""
    kind: str = "own"
    """``own`` for one run; ``total`` for the sum of all runs of a text."""
    assumed: tuple[Assumed, ...] = ()
    """Values that the document's own figures make likely but do not state."""

    def fact(self, name: str) -> str | None:
        """Return the value of the first fact with this name, or None."""
        return next((fact.value for fact in self.facts if fact.name == name), None)

    def claim(self, quantity: str) -> Claim | None:
        """Return the first claim for a quantity (as identities name it), or None."""
        return next((claim for claim in self.claims if claim.measured == quantity), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the facts and the numbers not understood, for the JSON of a check."""
        return {
            "facts": [{"name": f.name, "value": f.value, "quote": f.quote, "place": f.place} for f in self.facts],
            "not_understood": [
                {"text": n.text, "quote": n.quote, "place": n.place, "reason": n.reason} for n in self.not_understood
            ],
        }


@dataclass(frozen=True)
class Paper:
    """A text and the runs it describes."""

    name: str
    runs: tuple[Document, ...]
    """Each run includes the figures stated for all runs; the last entry may be their total."""
    set_aside: tuple[Claim, ...] = ()
    """Figures that belong to none of the runs, such as those of other work; ``scope`` says what they are about."""
    not_understood: tuple[Unplaced, ...] = ()
    miscalculated: tuple[Miscalculation, ...] = ()
    """Sums and products that the text writes out with a wrong result."""
    calculated: tuple[str, ...] = ()
    """Ratios of two figures that the text gives rightly, each as a sentence."""

    @property
    def single(self) -> Document:
        """The first run, with all figures that were set aside or not understood; for a text with one run, its full content."""
        run = self.runs[0]
        return replace(
            run, name=self.name, set_aside=(*run.set_aside, *self.set_aside), not_understood=self.not_understood
        )
