"""Contradictions that depend on an interpretation: replacing one of their figures by another from the text would resolve them.

A contradiction accuses the authors, so its figures must be known to belong to one run. If the text gives two different values for a
quantity and does not say which run each belongs to, either could be the intended one. The contradiction is then shown with its
condition, and the verdict stays open.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.claim import GIVEN, Claim, Document, Unplaced
from gpuhours.questions.checking.quantities import QUANTITIES
from gpuhours.questions.checking.reconciling.bills_told import clause_of
from gpuhours.questions.checking.reconciling.machine_hours import net_of_stops
from gpuhours.questions.checking.reconciling.reconcile import Measurement

TOLD = ("belongs to", "counted for", "in ")
"""Prefixes of reasons that say what a figure belongs to: such a figure is not an alternative for another."""
ALIKE = 0.03
FEWEST, MOST = 2, 1000
"""Range of the whole numbers by which a figure may have to be multiplied or divided."""
MOST_GPUS = 500_000
LONGEST = 4e7
"""The longest time in seconds (a year and a quarter) among numbers that were not understood."""
MOST_RIVALS = 6
"""Number of other values tried for one figure."""
MOST_SWAPS = 64
"""Number of alternative readings tried for one contradiction, not counting multiples."""

_A_TIME = re.compile(r"(?i)\d\s?(?:h|hrs?|hours?|days?|weeks?|months?)\b")
_OF_RUNNING = re.compile(
    r"(?i)\b(?:r[au]n|runs|running|up|uptime|used|(?:pre-?)?train(?:ed|ing|s)?|jobs?)\b"
    r"|\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.? \d|\d (?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
)
"""Words and dates by which a clause tells how long a run took or was up."""


@dataclass(frozen=True)
class Rivals:
    """Figures of a text that could be the intended ones in place of a run's own figures."""

    claims: tuple[Claim, ...]
    loose: tuple[Unplaced, ...] = ()
    """Numbers that were not understood; one of them may be a factor of a figure in the same sentence."""
    others: frozenset[int] = frozenset()
    """The sentences that give figures of other runs or other work."""

    @classmethod
    def of(cls, document: Document, elsewhere: Iterable[Claim | Unplaced]) -> Rivals:
        """Collect the claims set aside for the run, the claims elsewhere in the text, and whole numbers that were not understood."""
        others = [*document.set_aside, *elsewhere]
        return cls(
            tuple(one for one in others if isinstance(one, Claim) and not one.scope.startswith(TOLD)),
            tuple(
                one
                for one in others
                if isinstance(one, Unplaced) and FEWEST <= one.value <= LONGEST and one.value == round(one.value)
            ),
            frozenset(one.sentence for one in others if isinstance(one, Claim) and one.scope.startswith(TOLD)),
        )

    def times(self, claim: Claim) -> list[Unplaced]:
        """Return up to six whole numbers in the claim's sentence that were not understood, as in ``2 racks, 18 nodes``."""
        return (
            []
            if claim.sentence == GIVEN
            else [one for one in self.loose if one.sentence == claim.sentence and one.value <= MOST][:6]
        )

    def durations(self) -> list[Unplaced]:
        """Return up to six times that were not understood, in clauses about a run that is up."""
        times = [one for one in self.loose if one.sentence != GIVEN and _A_TIME.search(one.text)]
        return [one for one in times if _OF_RUNNING.search(clause_of(one.quote, one.text))][:6]

    def of_claim(self, claim: Claim) -> list[Claim]:
        """Return up to six different values for the claim's quantity; for a cell whose row or column names the run, those of that cell."""
        rivals: list[Claim] = []
        for rival in self._that_may_be(claim.quantity):
            if claim.of_row and not (rival.of_row and rival.quote == claim.quote and rival.sentence == claim.sentence):
                continue
            if not any(alike(rival, other) for other in (claim, *rivals)):
                rivals.append(rival)
            if len(rivals) == MOST_RIVALS:
                break
        return rivals

    def _that_may_be(self, quantity: str) -> tuple[Claim, ...]:
        """Return the claims that may be of a quantity; found once, as a search asks for them often."""
        if quantity not in self._by_quantity:
            self._by_quantity[quantity] = tuple(rival for rival in self.claims if _may_be(rival, quantity))
        return self._by_quantity[quantity]

    @functools.cached_property
    def _by_quantity(self) -> dict[str, tuple[Claim, ...]]:
        return {}


def _may_be(rival: Claim, quantity: str) -> bool:
    """Whether a claim is of a quantity, or a second count of something that may as well be this: ``350M parameters, 90B positions``."""
    if rival.quantity == quantity:
        return True
    unsure = rival.scope.startswith("another figure for") and {rival.quantity, quantity} <= COUNTS
    return unsure and _COUNTED.search(f"{rival.text} {_noun_behind(rival)}") is None


def _noun_behind(claim: Claim) -> str:
    """Return the two words behind a figure in its sentence: ``positions in``; empty if the figure is not quoted."""
    _, _, behind = " ".join(claim.quote.split()).partition(" ".join(claim.text.split()))
    return " ".join(behind.split()[:2])


_COUNTED = re.compile(r"(?i)\b(?:param\w*|weights?|models?|tokens?)\b")
"""Nouns that say what a count is of: parameters or the model that has them, or tokens."""


COUNTS = frozenset(["parameters", "tokens", "samples"])
"""Counts in millions and billions that only the noun behind them tells apart."""


def alike(one: Claim, other: Claim) -> bool:
    """Whether two claims have the same value to within ``ALIKE``; also true if one of them is not positive."""
    if one.value <= 0 or other.value <= 0:
        return True
    return abs(math.log(one.value / other.value)) < ALIKE


def readings(
    left: Sequence[Measurement], involved: Sequence[int], claims: Sequence[Claim], rivals: Rivals
) -> Iterable[tuple[list[Measurement], str]]:
    """Yield alternative readings of the measurements, each with the condition that a contradiction would then have.

    One or two of the involved measurements are replaced by rivals, or all that another sentence also gives by that sentence's, or one is
    multiplied or divided by one or two numbers from its sentence: ``55 games and 5 seeds``.
    """
    for swapped, taken in itertools.chain(
        swaps(left, involved, claims, rivals), sentences(left, involved, claims, rivals)
    ):
        longer = any(claim.quantity == "wall_clock" and rival.value > claim.value for claim, rival in taken)
        if not (longer and net_of_stops(claims[m.claim] for m in left if m.claim is not None)):
            yield swapped, " and ".join(instead(claim, rival) for claim, rival in taken)
    yield from _at_other_times(left, claims, rivals)
    for position in involved:
        if (index := left[position].claim) is None:
            continue
        times = rivals.times(claims[index])
        for several in (*((one,) for one in times), *itertools.combinations(times, 2)):
            log = math.fsum(math.log(one.value) for one in several)
            said = " and ".join(f"“{one.text}”" for one in several)
            for sign in (1, -1):
                swapped = list(left)
                swapped[position] = replace(left[position], log=left[position].log + sign * log)
                yield swapped, f"{said} {'has' if len(several) == 1 else 'have'} no part in “{claims[index].text}”"


OF_TIME = frozenset(["wall_clock", "gpu_hours", "node_hours"])


def _at_other_times(
    left: Sequence[Measurement], claims: Sequence[Claim], rivals: Rivals
) -> Iterable[tuple[list[Measurement], str]]:
    """Yield the measurements with a time that was not understood for the run's, and the hours of its machines in proportion: those that
    were reserved, where the run was up for fewer."""
    times = [claims[m.claim] for m in left if m.quantity == "wall_clock" and m.claim is not None]
    for time in times[:1]:
        for one in rivals.durations():
            log = math.log(one.value / time.value)
            if abs(log) > ALIKE:
                shifted = [replace(m, log=m.log + log) if m.quantity in OF_TIME else m for m in left]
                yield shifted, f"“{time.text}”, not “{one.text}”, is the run's {time.title}"


def swaps(
    left: Sequence[Measurement], involved: Sequence[int], claims: Sequence[Claim], rivals: Rivals
) -> Iterable[tuple[list[Measurement], list[tuple[Claim, Claim]]]]:
    """Yield the measurements with one or two of the involved ones replaced by rivals, and the pairs of claim and rival."""
    options: list[tuple[int, Claim, Claim]] = []
    for position in involved:
        index = left[position].claim
        if index is not None:
            options += [(position, claims[index], rival) for rival in rivals.of_claim(claims[index])]
    singles = [(option,) for option in options]
    pairs = [(a, b) for a, b in itertools.combinations(options, 2) if a[0] != b[0]]
    for chosen in [*singles, *pairs][:MOST_SWAPS]:
        yield _swapped(left, chosen), [(claim, rival) for _, claim, rival in chosen]


def sentences(
    left: Sequence[Measurement], involved: Sequence[int], claims: Sequence[Claim], rivals: Rivals
) -> Iterable[tuple[list[Measurement], list[tuple[Claim, Claim]]]]:
    """Yield the measurements with the figures of another sentence in place of all that it gives too, one of them involved: the machine,
    hours and GPU-hours of a job that were taken to be another's."""
    by_sentence: dict[int, list[tuple[int, Claim, Claim]]] = {}
    for position, measurement in enumerate(left):
        if measurement.claim is not None:
            claim = claims[measurement.claim]
            for rival in rivals.of_claim(claim):
                if rival.sentence not in (GIVEN, claim.sentence):
                    by_sentence.setdefault(rival.sentence, []).append((position, claim, rival))
    for taken in by_sentence.values():
        places = [position for position, _, _ in taken]
        if len(set(places)) == len(places) > 2 and set(places) & set(involved):
            yield _swapped(left, taken), [(claim, rival) for position, claim, rival in taken if position in involved]


def _swapped(left: Sequence[Measurement], taken: Iterable[tuple[int, Claim, Claim]]) -> list[Measurement]:
    """The measurements with rivals in place of claims, by position."""
    swapped = list(left)
    for position, _, rival in taken:
        swapped[position] = replace(
            left[position], log=math.log(rival.spread.centre), sigma=max(rival.spread.sigma, left[position].sigma)
        )
    return swapped


def instead(right: Claim, wrong: Claim) -> str:
    """Return which of two figures is the run's, in words."""
    return f"“{right.text}”, not “{wrong.text}”, is the run's {QUANTITIES[right.quantity].title}"
