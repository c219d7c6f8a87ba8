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
from gpuhours.questions.checking.accelerators import CHIP
from gpuhours.questions.checking.claim import ALONE, GIVEN, TAGGED, Claim, Document, Unplaced
from gpuhours.questions.checking.outcome import Cause
from gpuhours.questions.checking.quantities import QUANTITIES
from gpuhours.questions.checking.reconciling.explaining import USUAL
from gpuhours.questions.checking.reconciling.reconcile import Measurement

TOLD = ("belongs to", "counted for", "in ")
"""Prefixes of reasons that say what a figure belongs to: such a figure is not an alternative for another."""
ALIKE = 0.03
FEWEST, MOST = 2, 1000
"""Range of the whole numbers by which a figure may have to be multiplied or divided."""
MOST_GPUS = 500_000
LONGEST = 4e7
"""The longest time in seconds (a year and a quarter) among numbers that were not understood."""
MOST_SWAPS = 64
"""Number of alternative readings tried for one contradiction, not counting multiples."""
MOST_RIVALS = 6
"""Number of other values tried for one figure."""
NO_MISTAKE = {
    "part of the run": "covers the whole run, including stops",
    "downtime": "leaves out stops, restarts and evaluation",
    "other runs in the bill": "is for this run alone",
    "whole node in the energy": "is for the accelerators alone",
    "PUE left out": "is for the whole machine, cooling included",
    "base model's tokens": "is for this run alone",
}
"""Causes that are not mistakes, as the figure is right for something slightly larger or smaller, and what the figure would have to
cover for a contradiction."""
COUNTS_ATTENTION = "attention counted in full or not at all"
OF_STOPS = frozenset(["downtime", "part of the run", "stops left out"])
CONVENTION = 1.2
"""Factor that attention, embeddings and a rounded model size may apply to 6 FLOP per parameter and token."""
GPU_HOURS = frozenset(["gpus", "wall_clock", "gpu_hours"])
OF_HARDWARE = frozenset(["flops_per_second_per_gpu", "flops_per_second"])
"""Rates such as ``150 TFLOP/s``, which may or may not count recomputation. Against hours, which may include stops, they prove nothing."""
STOPPED = 1.6
"""Factor by which the hours of published runs exceed those that their rate implies, at most, due to stops and restarts."""
WORK = frozenset(["steps", "tokens", "samples", "epochs"])
"""Amounts of work that a time can cover: ``5 days (5M steps)`` is the whole time of these steps."""


def missing_condition(
    causes: Sequence[Cause], claims: Sequence[Claim], document: Document, factor: float = 10.0
) -> str:
    """Return what the text would have to say for a misfit to be a contradiction; empty if the text already says it.

    In a text about a single run, all figures belong to that run. In other texts a contradiction needs a mistake as its cause. It is not
    a contradiction if the best cause is a part of the run, stops, other runs in the bill or an unstated convention. A misfit without
    a cause is more likely a figure about something else, unless all its figures are in one row of a table.
    """
    alone = document.fact(ALONE)
    if any(claim.sentence == GIVEN for claim in claims) or alone == TAGGED:
        return ""
    if not causes:
        together = _one_row(claims) or (alone is not None and len({claim.sentence for claim in claims}) == 1)
        return "" if together else "all of these are about one run"
    accused = next((claim for claim in claims if claim.quantity == causes[0].quantity), claims[0])
    condition = _of_any_text(causes[0], accused, claims, document, factor)
    if condition or alone is not None or _more_than_the_clock(causes[0], accused, claims, document):
        return condition
    return _of_several_runs(causes[0], accused, claims, document, factor)


def _more_than_the_clock(cause: Cause, accused: Claim, claims: Sequence[Claim], document: Document) -> bool:
    """Whether stops cannot explain that GPU-hours are not GPUs x time: the text denies them, or one sentence has more hours than passed."""
    if cause.cause not in OF_STOPS or not {claim.quantity for claim in claims} >= GPU_HOURS:
        return False
    more = (
        cause.cause == "downtime" and accused.quantity == "gpu_hours" and len({claim.sentence for claim in claims}) == 1
    )
    return more or document.fact("stops") is not None


def _of_any_text(cause: Cause, accused: Claim, claims: Sequence[Claim], document: Document, factor: float) -> str:
    """``missing_condition`` that holds even in a text about a single run: what the accused figure counts."""
    said = f"“{accused.text}” "
    by_name = {claim.quantity: claim for claim in claims}
    if cause.cause == "another card's peak" and (card := _named_with_it(cause, document)):
        return f"the run's accelerators are not the {card} that its figures are told with"
    if cause.cause == COUNTS_ATTENTION and accused.quantity == "mfu":
        return said + "counts 6 FLOP per parameter and token, and no attention"
    if cause.cause in ("per GPU for all", "accumulation forgotten") and accused.either:
        return said + "is for all GPUs together"
    if cause.cause == "HFU as MFU" and accused.quantity in OF_HARDWARE and _by_hours_alone(document):
        return said + "counts no recomputation, and the hours no stops"
    if cause.cause == "downtime" and factor < STOPPED and not by_name.keys() >= GPU_HOURS:
        return said + NO_MISTAKE[cause.cause]
    if (money := _money_apart(claims)) is not None:
        return f"“{money.text}” is what these hours cost"
    metered = {"energy", "gpu_power"} <= by_name.keys() and "pue" not in by_name and document.claim("it_energy") is None
    if metered and cause.cause in AT_THE_WALL and accused.quantity != "gpu_power":
        return f"“{by_name['energy'].text}” is for the accelerators alone"
    return ""


def _of_several_runs(cause: Cause, accused: Claim, claims: Sequence[Claim], document: Document, factor: float) -> str:
    """``missing_condition`` of a text that may be about several runs: what else the accused figure could cover."""
    said = f"“{accused.text}” "
    apart = not _one_row(claims) and not 1 / FAR < factor < FAR and _alone_in_its_sentence(accused, claims)
    if apart and cause.cause not in OF_ITS_OWN_TIME:
        return said + "is about this run"
    if not _one_row(claims) and _in_a_unit_unsaid(cause, document):
        return said + "is about this run"
    if any(claim.quantity == "parameters" for claim in claims) and 1 / CONVENTION < factor < CONVENTION:
        return "6 FLOP per parameter and token were counted, and no more"
    counted = any(
        claim.quantity in WORK and claim.sentence == accused.sentence for claim in claims if claim is not accused
    )
    if cause.cause in NO_MISTAKE and not counted:
        return said + NO_MISTAKE[cause.cause]
    if cause.cause == "total parameters for active ones" and document.claim("active_parameters") is None:
        return "all parameters are active for every token"
    if cause.cause == "epochs forgotten" and document.claim("epochs") is None:
        return said + "counts every pass"
    return ""


def _named_with_it(cause: Cause, document: Document) -> str:
    """The name of the card whose peak would make all figures agree, if one of the run's own figures is quoted with it; empty otherwise."""
    chip = CHIP.search(cause.text)
    return chip[0] if chip and any(chip[0] in claim.quote for claim in document.claims) else ""


_OF_FLOPS = re.compile(r"(?i)\bmfu\b|flop|peak|model|theor")
"""Words by which a utilisation is known to be one of FLOP/s."""
LEAST_BUSY = 0.7
"""The least share of the time in which the GPUs of a run are busy: they wait for data and for each other, but not a third of the time."""


def of_time_busy(mfu: Claim, implied: float) -> str:
    """Return the condition that a utilisation is one of FLOP/s and not the share of time in which kernels ran, as monitors report it.

    Empty if nothing is left open: its clause says of what it is a share, it is too low for a share of time, or the MFU ``implied`` by the
    other figures is itself unusual.
    """
    least, most = USUAL["mfu"]
    said = f"{mfu.because} {_clause(mfu.quote, mfu.text)}"
    busy = "utili" in mfu.because.lower() and mfu.value >= LEAST_BUSY and _OF_FLOPS.search(said) is None
    if not busy or not least <= implied <= most:
        return ""
    return f"“{mfu.text}” is a share of the peak FLOP/s, not of the time that the GPUs were busy"


def _clause(quote: str, text: str) -> str:
    """Return the clause of a quote that a figure stands in; the whole quote if the figure is not in it."""
    quote = " ".join(quote.split())
    at = quote.find(" ".join(text.split()))
    if at < 0:
        return quote
    begins = max((found.end() for found in _CLAUSE_ENDS.finditer(quote, 0, at)), default=0)
    ends = _CLAUSE_ENDS.search(quote, at + len(text))
    return quote[begins : ends.start() if ends else None]


_CLAUSE_ENDS = re.compile(r"[.,;!?](?=\s|$)| [-*•] ")


UNITS_OF_DATA = {
    "bytes read as tokens": re.compile(r"(?i)\b(?:bytes?|characters?|chars)\b"),
    "words read as tokens": re.compile(r"(?i)(?<!other )(?<!few )\bwords\b"),
}
"""Causes by which an amount of data is in another unit -> words by which a text speaks of that unit."""


OF_ITS_OWN_TIME = frozenset(["wall-clock for aggregate hours"])
"""Causes by which a figure repeats the run's own time: it is about this run, however far off."""
FAR = 10.0
"""Factor beyond which a figure that stands in a sentence of its own is more likely another run's than wrong."""


def _alone_in_its_sentence(accused: Claim, claims: Sequence[Claim]) -> bool:
    """Whether none of the other figures of a misfit stands in the accused one's sentence."""
    return all(claim is accused or claim.sentence != accused.sentence for claim in claims)


def _in_a_unit_unsaid(cause: Cause, document: Document) -> bool:
    """Whether a cause takes an amount of data to be in a unit that the text nowhere speaks of."""
    unit = UNITS_OF_DATA.get(cause.cause)
    said = (*document.claims, *document.set_aside)
    return unit is not None and not any(c.quantity == "dataset_bytes" or unit.search(c.quote) for c in said)


def _by_hours_alone(document: Document) -> bool:
    """Whether a text gives the duration of a run but none of the rates in ``TIMED``."""
    hours = document.claim("gpu_hours") or document.claim("wall_clock")
    return hours is not None and all(document.claim(name) is None for name in TIMED)


TIMED = ("step_time", "steps_per_second", "tokens_per_second", "tokens_per_second_per_gpu", "samples_per_second", "mfu")
AT_THE_WALL = frozenset(["TDP for measured power", "whole node in the energy", "PUE left out"])
"""Causes that also fit an energy metered together with hosts, fans and cooling."""
HOURS = frozenset(["gpu_hours", "gpus", "nodes", "wall_clock", "node_hours", "price", "energy"])


def _money_apart(claims: Sequence[Claim]) -> Claim | None:
    """Return a cost compared with hours or machines that no common sentence connects it to; None if there is no such cost."""
    money = next((claim for claim in claims if claim.quantity == "cost"), None)
    if money is None or any(claim.quantity in ("price", "node_price") for claim in claims):
        return None
    return None if any(claim.sentence == money.sentence and claim.quantity in HOURS for claim in claims) else money


def _one_row(claims: Sequence[Claim]) -> bool:
    """Whether at least three claims are all table cells whose row or column names the run; two conflict only through an assumption."""
    return len(claims) > 2 and all(claim.of_row for claim in claims)


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
        return [one for one in times if _OF_RUNNING.search(_clause(one.quote, one.text))][:6]

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
    multiplied or divided by a number from its sentence.
    """
    for swapped, taken in itertools.chain(
        swaps(left, involved, claims, rivals), sentences(left, involved, claims, rivals)
    ):
        yield swapped, " and ".join(instead(claim, rival) for claim, rival in taken)
    yield from _at_other_times(left, claims, rivals)
    for position in involved:
        if (index := left[position].claim) is None:
            continue
        for one in rivals.times(claims[index]):
            for sign in (1, -1):
                swapped = list(left)
                swapped[position] = replace(left[position], log=left[position].log + sign * math.log(one.value))
                yield swapped, f"“{one.text}” has no part in “{claims[index].text}”"


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
