"""A text's runs, each tested against itself, and their sum against what the text says of all together."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

from gpuhours.inputs.durations import HOUR
from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.claim import GIVEN, Claim, Document, Paper
from gpuhours.questions.checking.outcome import Cause, Check, ContradictedClaims
from gpuhours.questions.checking.quantities import QUANTITIES, shown
from gpuhours.questions.checking.reading.runs import SUMS
from gpuhours.questions.envelope import envelope
from gpuhours.questions.verdicts import CONSISTENT, CONTRADICTED, of_whole

LOOSE_SUM = 0.02
"""Sums of rounded parts may be off by this much beside their own rounding."""


@dataclass(frozen=True)
class PaperCheck:
    """The verdict on a text: each of its runs, then the whole."""

    paper: Paper
    runs: tuple[Check, ...]
    sums: tuple[ContradictedClaims, ...] = ()
    """What the text says of all runs together against the sum of what it says of each."""
    added_up: tuple[str, ...] = ()
    """Sums that agree, in words."""

    @property
    def contradictions(self) -> tuple[ContradictedClaims, ...]:
        """All contradictions, of the runs and of their sum."""
        return (*(one for run in self.runs for one in run.contradictions), *self.sums)

    @property
    def verdict(self) -> str:
        """Contradicted where one run or the sum is; consistent where something was compared; else not determined."""
        if self.contradictions:
            return CONTRADICTED
        return CONSISTENT if self.added_up else of_whole(run.verdict for run in self.runs)

    @property
    def claims(self) -> tuple[Any, ...]:
        """The checked claims of all runs."""
        return tuple(claim for run in self.runs for claim in run.claims)

    @property
    def implied(self) -> tuple[Any, ...]:
        """What is implied, of all runs."""
        return tuple(entry for run in self.runs for entry in run.implied)

    @property
    def only(self) -> Check | None:
        """The one run of a text that has one."""
        return self.runs[0] if len(self.runs) == 1 else None

    def to_dict(self) -> dict[str, Any]:
        """The JSON of ``gpuhours check``: the runs, and what all say in one list each."""
        runs = [run.content() for run in self.runs]
        merged = {"claims": [], "implied": [], "contradictions": []} if len(runs) != 1 else {}  # type: ignore[var-annotated]
        for key in merged:
            merged[key] = [{**entry, "run": run["name"]} for run in runs for entry in run[key]]
        if merged:
            merged["contradictions"] += [one.to_dict() for one in self.sums]
        first = runs[0] if len(runs) == 1 else {}
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
    """Totals beside the sum of the runs: contradictions, and those that agree in words.

    ``accused`` are quantities that are wrong in a run: their sum is then wrong for the same reason, and is no further mistake.
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
        if _said_in(total) not in of_these and _may_be_another(total, parts, added):
            continue  # else another figure of its row or sentence is the sum of these parts: so is it
        if abs(math.log(factor)) > 2.6 * spread:
            if total.quantity in accused:
                continue
            summed = shown(total.quantity, added)
            statement = (
                f"{title} of all runs {shown(total.quantity, total.value)}; the runs add up to {said} = {summed}"
            )
            wrong.append(ContradictedClaims((total.quantity,), factor, statement, ()))
        else:
            right.append(
                f"{title}: {said} = {shown(total.quantity, added)}; the text says {shown(total.quantity, total.value)}"
            )
    wrong += [] if wrong or accused else _slips(paper)
    right += [] if wrong else _implied_sums(paper)
    return tuple(wrong), tuple(right)


SAID_TWICE = ("energy", "carbon", "cost", "gpu_hours")
DIGITS = 0.006
"""Three digits: two totals that share these a thousand apart are one figure and a slip of its unit."""


def _slips(paper: Paper) -> Iterator[ContradictedClaims]:
    """One total said twice, a thousand apart: ``21,280 kWh`` in the table and ``21.3 GWh`` below it."""
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
    """Totals of GPU-hours that no run states and that their GPUs x time add up to: agreement alone, as the runs may have stopped."""
    own = [run for run in paper.runs if run.kind != "total"]
    machines = [(run.claim("gpus"), run.claim("wall_clock")) for run in own]
    if len(own) < 2 or any(run.claim("gpu_hours") for run in own) or not all(gpus and time for gpus, time in machines):
        return
    added = sum(gpus.value * time.value for gpus, time in machines if gpus and time) / HOUR
    for total in (claim for run in paper.runs if run.kind == "total" for claim in run.claims):
        if total.quantity == "gpu_hours" and abs(math.log(total.value / added)) < LOOSE_SUM:
            yield f"GPU-hours: GPUs x time of all runs = {shown('gpu_hours', added)}; the text says {shown('gpu_hours', total.value)}"


def _said_in(total: Claim) -> int | str:
    """The sentence of a total, or that it is a cell: the totals of a table are of the same runs."""
    return "a table" if total.of_row else total.breath


def _may_be_another(total: Claim, parts: list[Claim], added: float) -> bool:
    """Whether a total that is not the sum of the parts need not be: it may hold runs that the text does not list, or not hold some.

    It may always be more. In one table with its parts it is no less than their sum; beside prose it may be the sum of some of them, but
    not less than one.
    """
    if total.value > (1 + LOOSE_SUM) * added:
        return True
    if total.of_row and all(part.of_row for part in parts):
        return False
    if total.value < max(part.value for part in parts):
        return True
    return any(
        _alike(total, list(some))
        for size in range(2, len(parts))
        for some in itertools.islice(itertools.combinations(parts, size), MOST_SUMS)
    )


MOST_SUMS = 500
"""Sums of some of the parts that are tried for each number of them."""


def _comparable(paper: Paper) -> Iterator[tuple[Claim, list[Claim]]]:
    """Totals for which every run states its part; a run that is itself the sum of the others is the whole under its own name."""
    own = [run for run in paper.runs if run.kind != "total"]
    for run in paper.runs:
        for total in run.claims if run.kind == "total" else ():
            parts = [part for document in own if (part := _part(document, total.quantity)) is not None]
            every = len(parts) == len(own)
            parts = [
                part
                for part in parts
                if not (len(parts) > 2 and (_alike(part, [p for p in parts if p is not part]) or _alike(part, [total])))
            ]
            agreed = any(_alike(other, parts) for other in run.claims if other.quantity == total.quantity)
            if agreed and not _alike(total, parts):
                continue  # another column, or another amount; one of the totals is that of these parts
            if total.quantity in SUMS and every and len(parts) > 1 and total.value > 0:
                yield total, parts


def _alike(total: Claim, parts: list[Claim]) -> bool:
    added = sum(part.value for part in parts)
    return added > 0 and total.value > 0 and abs(math.log(total.value / added)) < 0.02


def _part(document: Document, quantity: str) -> Claim | None:
    claim = document.claim(quantity)
    return claim if claim is not None and claim.value > 0 else None
