"""Check each run of a text for consistency, and the sum of the runs against the totals that the text states."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from gpuhours.inputs.durations import HOUR
from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.claim import GIVEN, Claim, Document, Miscalculation, Paper, Unplaced
from gpuhours.questions.checking.outcome import Cause, Check, ContradictedClaims
from gpuhours.questions.checking.quantities import QUANTITIES, multiple, shown
from gpuhours.questions.checking.reading.runs.division import SUMS
from gpuhours.questions.checking.reading.vocabulary.number_words import spelled
from gpuhours.questions.checking.reconciling.doubts import TOLD
from gpuhours.questions.envelope import envelope
from gpuhours.questions.verdicts import CONSISTENT, CONTRADICTED, of_whole

LOOSE_SUM = 0.02
"""Relative s.d. allowed for a sum of rounded parts, in addition to the rounding of the parts and of the total."""


@dataclass(frozen=True)
class PaperCheck:
    """The result of checking a text: one check per run, and the comparison of totals with the sums of the runs."""

    paper: Paper
    runs: tuple[Check, ...]
    sums: tuple[ContradictedClaims, ...] = ()
    """Stated totals that contradict the sum of the runs."""
    added_up: tuple[str, ...] = ()
    """Stated totals that agree with the sum of the runs, each as a sentence."""

    @property
    def contradictions(self) -> tuple[ContradictedClaims, ...]:
        """All contradictions: those within runs, then those between a total and the sum of the runs."""
        return (*(one for run in self.runs for one in run.contradictions), *self.sums)

    @property
    def verdict(self) -> str:
        """Contradicted if a run or a total is; else consistent if a total adds up; else the combined verdict of the runs."""
        if self.contradictions:
            return CONTRADICTED
        return CONSISTENT if self.added_up else of_whole(run.verdict for run in self.runs)

    @property
    def to_settle(self) -> tuple[str, ...]:
        """At most two questions whose answers would settle the check, first those of contradicted runs."""
        runs = sorted(self.runs, key=lambda run: run.verdict != CONTRADICTED)
        asked = ((run.document.name, question) for run in runs for question in run.to_settle)
        alone = self.only is not None
        return tuple(dict.fromkeys(question if alone else f"{name}: {question}" for name, question in asked))[:2]

    @property
    def claims(self) -> tuple[Any, ...]:
        """The checked claims of all runs."""
        return tuple(claim for run in self.runs for claim in run.claims)

    @property
    def implied(self) -> tuple[Any, ...]:
        """The implied values of all runs."""
        return tuple(entry for run in self.runs for entry in run.implied)

    @property
    def only(self) -> Check | None:
        """The check of the run if the text has exactly one, else None."""
        return self.runs[0] if len(self.runs) == 1 else None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``gpuhours check``: the runs, and merged lists of all their claims, implied values and contradictions."""
        runs = [run.content() for run in self.runs]
        merged = {"claims": [], "implied": [], "contradictions": []} if len(runs) != 1 else {}  # type: ignore[var-annotated]
        for key in merged:
            merged[key] = [{**entry, "run": run["name"]} for run in runs for entry in run[key]]
        first = runs[0] if len(runs) == 1 else {}
        if self.sums:
            merged["contradictions"] = [*(merged or first)["contradictions"], *(one.to_dict() for one in self.sums)]
        content = {
            **first, "name": self.paper.name, "verdict": self.verdict, **merged,
            "runs": runs,
            "sums": list(self.added_up),
            "set_aside": [_aside(claim) for claim in (*self.paper.set_aside, *(c for run in self.paper.runs for c in run.set_aside))],
            "not_understood": [{"text": n.text, "quote": n.quote, "place": n.place, "reason": n.reason} for n in self.paper.not_understood],
        }  # fmt: skip
        return envelope("check", content)


def _aside(claim: Claim) -> dict[str, Any]:
    return {"quantity": claim.quantity, "stated": claim.value, "unit": claim.unit, "text": claim.text, "quote": claim.quote,
            "place": claim.place, "reason": claim.scope}  # fmt: skip


def sums_of(
    paper: Paper, accused: frozenset[str] = frozenset()
) -> tuple[tuple[ContradictedClaims, ...], tuple[str, ...]]:
    """Compare each total with the sum of the runs; return the contradictions, and a sentence for each total that agrees.

    ``accused`` are quantities already contradicted within a run. A wrong total of such a quantity has the same cause and is not
    reported again.
    """
    wrong, right = [], []
    pairs = list(_comparable(paper))
    of_these = {_said_in(total) for total, parts in pairs if _alike(total, parts)} - {GIVEN}
    for total, parts in pairs:
        added = sum(part.value for part in parts)
        spread = math.hypot(
            total.spread.sigma, sum((p.value * p.spread.sigma) ** 2 for p in parts) ** 0.5 / added, LOOSE_SUM
        )
        factor = total.value / added
        said = " + ".join(shown(part.quantity, part.value) for part in parts[:8]) + (" + ..." if len(parts) > 8 else "")
        title = QUANTITIES[total.quantity].title
        if _said_in(total) not in of_these and (
            _may_be_another(total, parts, added, paper) or _of_unnamed_parts(total, parts, paper)
        ):
            continue  # else another figure of its row or sentence is the sum of these parts: so is it
        if abs(math.log(factor)) > 2.6 * spread:
            if total.quantity in accused:
                continue
            summed = shown(total.quantity, added)
            statement = (
                f"{title} of all runs {shown(total.quantity, total.value)}; the runs add up to {said} = {summed}"
            )
            miscalculated = Cause(
                "sum of the runs miscalculated",
                total.quantity,
                factor,
                1.0,
                "the runs do not add up to it",
                known=False,
            )
            wrong.append(ContradictedClaims((total.quantity,), factor, statement, (miscalculated,)))
        else:
            right.append(
                f"{title}: {said} = {shown(total.quantity, added)}; the text says {shown(total.quantity, total.value)}"
            )
    wrong += [] if wrong or accused else _slips(paper)
    wrong += [_as_contradiction(one) for one in paper.miscalculated]
    right += [] if wrong else [*_implied_sums(paper), *paper.calculated]
    return tuple(wrong), tuple(right)


def _as_contradiction(one: Miscalculation) -> ContradictedClaims:
    """Return a wrong sum or product that the text writes out as a contradiction."""
    off = multiple(one.factor)
    tenfold = abs(abs(math.log10(one.factor)) - round(abs(math.log10(one.factor)))) < DIGITS
    slip = (
        "thousand, million, billion" if round(abs(math.log10(one.factor))) % 3 == 0 else "a digit too many or too few"
    )
    cause = Cause(slip, "", one.factor, 1.0, f"the result is {off} times what its terms give")
    statement = f"“{one.text}” ({one.place}) is miscalculated: the terms give {one.right}"
    other = Cause(
        one.cause or "sum or product miscalculated", "", one.factor, 1.0, f"the terms give {one.right}", known=False
    )
    return ContradictedClaims((), one.factor, statement, (cause,) if tenfold else (other,), one.text)


SAID_TWICE = ("energy", "carbon", "cost", "gpu_hours")
DIGITS = 0.006
"""Relative tolerance of three digits: two totals that agree to this, apart from a factor of 1000, are one figure with a wrong unit."""


def _slips(paper: Paper) -> Iterator[ContradictedClaims]:
    """Yield a contradiction for a total stated twice with a factor of 1000 between: ``21,280 kWh`` in a table and ``21.3 GWh`` below it."""
    for run in paper.runs if len(paper.runs) > 1 else ():
        said = [
            claim for claim in run.claims if run.kind == "total" and claim.quantity in SAID_TWICE and claim.value > 0
        ]
        for one, other in itertools.combinations(said, 2):
            less, more = sorted((one, other), key=lambda claim: claim.value)
            alike = one.quantity == other.quantity and max(one.spread.sigma, other.spread.sigma) < DIGITS
            if alike and abs(more.value / less.value / 1000 - 1) < DIGITS:
                title = QUANTITIES[one.quantity].title
                cause = Cause(
                    "thousand, million, billion",
                    one.quantity,
                    1000.0,
                    1.0,
                    "a slip of three orders of magnitude in the unit",
                )
                statement = f"{title} of all runs is “{less.text}” and “{more.text}”, a thousand times as much"
                yield ContradictedClaims((one.quantity,), more.value / less.value, statement, (cause,))


def _implied_sums(paper: Paper) -> Iterator[str]:
    """Yield totals of GPU-hours that agree with the sum of GPUs x time over the runs, if no run states GPU-hours itself.

    Only agreement is reported: a difference proves nothing, as the runs may have had stops.
    """
    own = [run for run in paper.runs if run.kind != "total"]
    machines = [(run.claim("gpus"), run.claim("wall_clock")) for run in own]
    if len(own) < 2 or any(run.claim("gpu_hours") for run in own) or not all(gpus and time for gpus, time in machines):
        return
    added = sum(gpus.value * time.value for gpus, time in machines if gpus and time) / HOUR
    for total in (claim for run in paper.runs if run.kind == "total" for claim in run.claims):
        if total.quantity == "gpu_hours" and abs(math.log(total.value / added)) < LOOSE_SUM:
            yield f"GPU-hours: GPUs x time of all runs = {shown('gpu_hours', added)}; the text says {shown('gpu_hours', total.value)}"


def _said_in(total: Claim) -> int | str:
    """Return the number of the total's sentence, or ``a table`` for a cell: all totals of a table are over the same runs."""
    return "a table" if total.of_row else total.sentence


def _may_be_another(total: Claim, parts: list[Claim], added: float, paper: Paper) -> bool:
    """Whether a total that differs from the sum of the parts may cover other runs: some that the text does not list, or only some of them.

    A total above the sum may unless its words count these runs, or it closes a column of stages that has nothing else. A total below
    it may not if total and parts are all table cells. Otherwise it may if it is smaller than the largest part or equals the sum of some of
    the parts.
    """
    if total.value > (1 + LOOSE_SUM) * added:
        return not (_counts(total.quote, len(parts)) or _closes_its_column(total, parts, paper))
    if total.of_row and all(part.of_row for part in parts):
        return False
    if total.value < max(part.value for part in parts):
        return True
    return any(
        _alike(total, list(some))
        for size in range(2, len(parts))
        for some in itertools.islice(itertools.combinations(parts, size), MOST_SUMS)
    )


def _of_its_own_size(run: Document) -> bool:
    size = run.claim("parameters")
    return run.kind == "own" and size is not None and not size.shared


OF_SO_MANY = re.compile(
    r"(?i)\b(?P<count>both|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\d{1,2})(?: \w+)?"
    r" (?:runs|stages|phases|models|sizes|rounds|parts|jobs|legs|variants|checkpoints|trainings|of them|together)\b"
)
"""Words of a total that count what it adds up: ``all three stages together``, ``the four runs``."""


def _counts(quote: str, runs: int) -> bool:
    """Whether the words of a total count as many runs as the text gives figures for."""
    said = [found["count"].lower() for found in OF_SO_MANY.finditer(quote)]
    return bool(said) and all(
        (2 if word == "both" else int(word) if word.isdigit() else spelled(word)) == runs for word in said
    )


def _closes_its_column(total: Claim, parts: Sequence[Claim], paper: Paper) -> bool:
    """Whether a total is the last cell of a table's column whose other cells are these parts, stages of one model, with nothing unread or
    set aside between. The total of a family's sizes may have one that is not released."""
    if not (total.of_row and all(part.of_row for part in parts)) or any(_of_its_own_size(run) for run in paper.runs):
        return False
    rows = {part.sentence for part in parts} | {total.sentence}
    left: tuple[Claim | Unplaced, ...] = (*paper.set_aside, *paper.not_understood)
    return len(rows) == len(parts) + 1 and not any(min(rows) <= one.sentence <= max(rows) for one in left)


def _of_unnamed_parts(total: Claim, parts: list[Claim], paper: Paper) -> bool:
    """Whether a total is the sum of some runs' figures and others of its kind that the text gives to no run: stages without a name."""
    unnamed = [
        claim
        for claim in paper.set_aside
        if claim.quantity == total.quantity and 0 < claim.value < total.value and not claim.scope.startswith(TOLD)
    ]
    figures = [part for part in parts if part.value < total.value] + unnamed[:MOST_UNNAMED]
    exactly = SUMMED + total.spread.sigma
    return bool(unnamed) and any(
        abs(math.fsum(one.value for one in some) / total.value - 1) < exactly
        for size in range(2, len(figures) + 1)
        for some in itertools.islice(itertools.combinations(figures, size), MOST_SUMS)
        if any(one in unnamed for one in some)
    )


MOST_UNNAMED = 8
SUMMED = 0.001
"""Relative error of a sum of figures as printed; looser sums of a few out of many are met by chance."""
MOST_SUMS = 500
"""Number of partial sums tried for each number of parts."""


def _comparable(paper: Paper) -> Iterator[tuple[Claim, list[Claim]]]:
    """Yield each total for which every run states its part, with these parts.

    A run whose figure is itself the sum of the others, or equals the total, is not counted as a part, unless all add up to the total.
    """
    own = [run for run in paper.runs if run.kind != "total"]
    for run in paper.runs:
        for total in run.claims if run.kind == "total" else ():
            parts = [part for document in own if (part := _part(document, total.quantity)) is not None]
            every = len(parts) == len(own)
            if not _alike(total, parts):
                parts = [
                    part
                    for part in parts
                    if not (
                        len(parts) > 2 and (_alike(part, [p for p in parts if p is not part]) or _alike(part, [total]))
                    )
                ]
            parts = _above(total, parts)
            agreed = any(_alike(other, parts) for other in run.claims if other.quantity == total.quantity)
            if agreed and not _alike(total, parts):
                continue  # another total of this quantity is the sum of these parts; this one is a different amount
            if total.quantity in SUMS and every and len(parts) > 1 and total.value > 0:
                yield total, parts


def _above(total: Claim, parts: list[Claim]) -> list[Claim]:
    """The parts of a row of totals: where two rows or more with a part stand above it, those further down are of another table.

    The number of a row's sentence falls from line to line.
    """
    above = [part for part in parts if part.sentence >= total.sentence]
    return above if total.of_row and len(above) > 1 and all(part.of_row for part in parts) else parts


def _alike(total: Claim, parts: list[Claim]) -> bool:
    added = sum(part.value for part in parts)
    return added > 0 and total.value > 0 and abs(math.log(total.value / added)) < 0.02


def _part(document: Document, quantity: str) -> Claim | None:
    claim = document.claim(quantity)
    return claim if claim is not None and claim.value > 0 else None
