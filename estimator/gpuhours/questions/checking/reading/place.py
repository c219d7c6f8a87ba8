"""Where a figure goes, and whether it can be that at all."""

from __future__ import annotations

from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.quantities import QUANTITIES
from gpuhours.questions.checking.reading.rates import unit_factor
from gpuhours.questions.checking.reading.tokens import Figure


@dataclass(frozen=True)
class Place:
    """Where a figure goes, what said so, and at what distance."""

    quantity: str
    because: str
    cost: float

    @property
    def by_default(self) -> bool:
        """Nothing but the unit spoke for it."""
        return self.because == ""


def plausible(quantity: str, figure: Figure) -> bool:
    """Whether the value of a figure lies where a quantity can."""
    entry = QUANTITIES[quantity]
    value = figure.value * unit_factor(quantity, figure)
    return entry.least <= value <= entry.most and (value == round(value) or not entry.whole)
