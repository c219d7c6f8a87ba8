"""The quantity of a figure, and whether its value is plausible for it."""

from __future__ import annotations

from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.quantities import QUANTITIES
from gpuhours.questions.checking.reading.figures.tokens import Figure
from gpuhours.questions.checking.reading.quantities.rates import unit_factor


@dataclass(frozen=True)
class Place:
    """The quantity of a figure, the words that decided it, and their distance."""

    quantity: str
    because: str
    cost: float

    @property
    def by_default(self) -> bool:
        """Whether only the unit decided the quantity."""
        return self.because == ""


def plausible(quantity: str, figure: Figure) -> bool:
    """Whether the value of a figure is in the quantity's range."""
    entry = QUANTITIES[quantity]
    value = figure.value * unit_factor(quantity, figure)
    return entry.least <= value <= entry.most and (value == round(value) or not entry.whole)
