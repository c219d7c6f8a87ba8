"""Find contradictions one at a time, worst first, and explain each by the known mistake that removes most of it.

If one claim of a redundant set must be wrong, all of them have the same normalised residual, so arithmetic alone cannot say which. A
known mistake in one of them can; otherwise the claim whose removal resolves most other problems is left out.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.claim import Assumed, Claim, Document
from gpuhours.questions.checking.mistake import Mistake, carried
from gpuhours.questions.checking.outcome import Cause, ContradictedClaims
from gpuhours.questions.checking.quantities import QUANTITIES, shown
from gpuhours.questions.checking.reconciling.bills_told import calculated
from gpuhours.questions.checking.reconciling.conditions import (
    NO_MISTAKE,
    missing_condition,
    of_each_card,
    of_its_experts,
    of_time_busy,
)
from gpuhours.questions.checking.reconciling.counts import ADOPTED_BY, MOST_COUNTED, adopted, counts, meets
from gpuhours.questions.checking.reconciling.doubts import Rivals, readings
from gpuhours.questions.checking.reconciling.exactly import NOTHING_PRINTED, Printed
from gpuhours.questions.checking.reconciling.explaining import (
    CONTRADICTION,
    DERIVED,
    ROUNDING,
    STILL,
    another_factor,
    cause_of,
    evidence,
    explanations,
    ordered,
    out_of_reach,
    residual,
    unusual_mfu,
    worst_misfit,
)
from gpuhours.questions.checking.reconciling.judgement import Findings, Judgement
from gpuhours.questions.checking.reconciling.machine_hours import misses_at_once
from gpuhours.questions.checking.reconciling.reconcile import Fit, Measurement, reconcile
from gpuhours.questions.checking.setting import Limit
from gpuhours.run.identities import Identity, Sum

UNUSUAL = 0.4
"""Distance of an MFU from its usual range (in logarithms) that makes a correction e^0.5 times less likely."""
WHOLE = ("data_parallel", "gpus_per_node")
"""Implied counts that must be whole numbers."""
COUPLED = 0.2
"""Correlation of residuals above which two claims are taken to be in the same equation."""
LEVER = 0.2
"""An implied value depends on a claim if its derivative with respect to the claim (both in logarithms) exceeds this."""
EXPLAINED = 0.6
"""Share of the squared misfit that a mistake must remove to be named as a cause."""
MOST_CONTRADICTIONS = 6
VARIANT = math.log(1.15)
"""Log difference beyond which a memory size belongs to another variant of the card or to none; GB for GiB is 7 %."""
BINARY_GIGABYTE, NEARLY = math.log(1.024**3), 0.01
"""Log ratio of 16 GiB to 16 GB, and the tolerance for recognising it."""


NO_RIVALS = Rivals(())
SLIPPED, SHARP_ENOUGH = 0.02, 0.06
"""Largest log difference between a misfit and the factor of a slip, and largest relative s.d. of the value that the other figures give, for
the accused figure to be known by its digits."""


@dataclass(frozen=True)
class Search:
    """A search for contradictions, given claims, identities, assumptions, known mistakes and limits."""

    document: Document
    equations: tuple[Identity | Sum, ...]
    extra: tuple[Assumed, ...]
    known_mistakes: Callable[[], Iterable[Mistake]]
    limits: tuple[Limit, ...]
    rivals: Rivals = NO_RIVALS
    """Other figures of the text that could be the intended ones."""
    printed: Printed = NOTHING_PRINTED
    """By how much the figures miss the equations that they satisfy as they are printed."""

    @functools.cached_property
    def mistakes(self) -> tuple[Mistake, ...]:
        """The known mistakes, computed when a contradiction is first explained."""
        return tuple(self.known_mistakes())

    @functools.cached_property
    def mistakes_and_carried(self) -> tuple[Mistake, ...]:
        """The known mistakes, also as carried on into the figures that the text computes from the wrong one."""
        stated = {claim.measured for claim in self.document.claims if not claim.scope}
        return (*self.mistakes, *carried(self.mistakes, stated))

    def judge(self, measurements: Sequence[Measurement], first: Fit | None = None) -> Judgement:
        """Repeatedly find the worst misfit, explain it and leave out the accused claim; return what was found.

        ``first`` is the fit of all measurements if it was already computed.
        """
        left = rows = list(measurements)
        full = fit = first or reconcile(left, self.equations, self.extra)
        findings = Findings()
        while len(findings) < MOST_CONTRADICTIONS:
            worst = worst_misfit(fit, len(left))
            found = self._beyond(left, fit) if worst is None else self._misfit(left, fit, worst)
            if found is None:
                break
            contradiction, involved, removed = found
            read = self._read_otherwise(left, fit, involved, removed, findings)
            if read is not None:
                left = rows = read
                full = fit = reconcile(left, self.equations, self.extra)
                continue
            findings.add(contradiction, involved, self._condition(left, fit, contradiction, involved))
            left = [m for m in left if m not in removed]
            fit = reconcile(left, self.equations, self.extra)
        for contradiction, involved in self._undivided(left, fit):
            claims = [self.document.claims[index] for index in involved]
            if not any(map(self.rivals.of_claim, claims)) and not missing_condition(
                (), claims, self.document, others=self.rivals.others
            ):
                findings.add(contradiction, involved)
        charges = tuple(findings.contradictions), tuple(findings.doubts)
        return Judgement(
            *charges, findings.suspects, findings.doubtful, full, fit, tuple(rows), tuple(findings.counted)
        )

    def _read_otherwise(
        self,
        left: list[Measurement],
        fit: Fit,
        involved: Sequence[int],
        removed: Sequence[Measurement],
        findings: Findings,
    ) -> list[Measurement] | None:
        """Return the measurements under a reading of the text that leaves no contradiction (its counts are added to ``findings``), or
        without a memory size that is a card's as it is sold; None if there is no such reading."""
        if len(findings.counted) < MOST_COUNTED and (summed := self._counted(left, fit, involved)) is not None:
            changed, said = summed
            findings.count(said, [m.claim for m in left if m.claim is not None and m not in changed])
            return changed
        return [m for m in left if m not in removed] if self._as_sold(left, fit, involved) else None

    def _counted(
        self, left: list[Measurement], fit: Fit, involved: Sequence[int]
    ) -> tuple[list[Measurement], Assumed] | None:
        """Return the measurements under a reading of the text that resolves a contradiction (see ``counts``), and what it assumes."""
        claims, before = self.document.claims, self._count_problems(left, fit)
        for changed, said in counts(left, fit, [claims[index] for index in involved], claims, self.rivals):
            again = reconcile(changed, self.equations, self.extra)
            well = all(residual(again, i) < 1 for i, m in enumerate(changed) if m.claim in involved)
            if well and self._count_problems(changed, again) < before:
                return changed, said
        for changed, said in adopted(left, involved, claims, self.rivals):
            again = reconcile(changed, self.equations, self.extra)
            tested = [residual(again, i) for i in range(len(changed)) if not math.isnan(float(again.residual[i]))]
            sharp = all(meets(again, i) for i, m in enumerate(changed) if m not in left)
            if sharp and len(tested) >= ADOPTED_BY and max(tested) < 1 and not self._count_problems(changed, again):
                return changed, said
        return None

    def _condition(
        self, left: list[Measurement], fit: Fit, contradiction: ContradictedClaims, involved: Sequence[int]
    ) -> str:
        """Return the unstated condition on which a contradiction depends; empty if there is none."""
        claims = [self.document.claims[index] for index in involved]
        missing = self._time_busy(left, involved) or missing_condition(
            contradiction.likely_causes, claims, self.document, contradiction.factor,
            to_its_digits=self._to_its_digits(left, fit, contradiction), others=self._others(claims),
        )  # fmt: skip
        sentences = {claim.sentence for claim in claims}
        cause = next(iter(contradiction.likely_causes), None)
        if not missing and cause is not None and of_its_experts(cause, contradiction.factor, self.document):
            return ""  # whatever else the text counts
        if not missing and len(sentences) == 1 and misses_at_once(claims) and not sentences & self._others(claims):
            return ""  # whichever run the sentence is about
        return missing or self._another_meaning(left, fit, involved, contradiction) or contradiction.condition

    def _others(self, claims: Sequence[Claim]) -> frozenset[int]:
        """The sentences that give figures of other runs, or other figures for the quantities of these claims."""
        return self.rivals.others | {rival.sentence for claim in claims for rival in self.rivals.of_claim(claim)}

    def _to_its_digits(self, left: list[Measurement], fit: Fit, contradiction: ContradictedClaims) -> bool:
        """Whether the accused figure is off by exactly the one factor of its cause, and the others give a sharp value for it."""
        cause = next(iter(contradiction.likely_causes), None)
        position = next((i for i, m in enumerate(left) if cause and m.quantity == cause.quantity), None)
        if cause is None or position is None or abs(math.log(contradiction.factor / cause.factor)) > SLIPPED:
            return False
        fixed = any(
            mistake.cause == cause.cause and mistake.quantity == cause.quantity and mistake.least == mistake.most
            for mistake in self.mistakes
        )
        redundancy = float(fit.redundancy[position])
        return fixed and redundancy > 0 and float(fit.sigma[position]) / math.sqrt(redundancy) <= SHARP_ENOUGH

    def _time_busy(self, left: list[Measurement], involved: Sequence[int]) -> str:
        """Return the condition that an involved MFU is no share of busy time; empty unless the other figures agree on a usual MFU."""
        mfu = next((m for m in left if m.quantity == "mfu" and m.claim in involved), None)
        if mfu is None or mfu.claim is None:
            return ""
        rest = [m for m in left if m is not mfu]
        again = reconcile(rest, self.equations, self.extra)
        implied = again.value("mfu")
        if implied is None or worst_misfit(again, len(rest)) is not None:
            return ""
        return of_time_busy(self.document.claims[mfu.claim], implied[0])

    def _another_meaning(
        self, left: list[Measurement], fit: Fit, involved: Sequence[int], contradiction: ContradictedClaims
    ) -> str:
        """Return the condition that a figure means what the text leaves open; empty if no other meaning removes the contradiction."""
        claims = self.document.claims
        read = [claims[index] for index in involved if claims[index].quote and claims[index].because != "given"]
        variant = [claim.quantity for claim in read] == ["memory_per_gpu"] and self._another_variant(
            left, fit, involved[0]
        )
        if variant and not (contradiction.likely_causes and of_each_card(read[0])):
            return f"“{read[0].text}” is the memory of the accelerator"
        positions = [i for i, m in enumerate(left) if m.claim in involved]
        before = self._count_problems(left, fit)
        beyond = self._impossible(left, fit)
        misfit = any(residual(fit, i) > CONTRADICTION for i in positions)
        for swapped, condition in readings(left, positions, claims, self.rivals):
            again = reconcile(swapped, self.equations, self.extra)
            well = all(residual(again, i) <= CONTRADICTION for i in positions)
            still = self._impossible(swapped, again)
            apart = misfit and still <= beyond  # values that were already beyond a limit are a separate problem
            if well and self._count_problems(swapped, again) < before and (apart or not still & beyond):
                return condition
        return ""

    def _impossible(self, left: list[Measurement], fit: Fit) -> set[str]:
        """Return the implied quantities that are beyond a limit."""
        return {limit.quantity for limit in self.limits if self._outside(left, fit, limit) is not None}

    def _as_sold(self, left: list[Measurement], fit: Fit, involved: Sequence[int]) -> bool:
        """Whether only a memory size is off, by the ratio of GiB to GB: a card with 16 GiB is sold as ``16 GB``."""
        claims = [self.document.claims[index] for index in involved]
        if [claim.quantity for claim in claims] != ["memory_per_gpu"]:
            return False
        position = next(i for i, m in enumerate(left) if m.claim == involved[0])
        return abs(float(fit.left_out[position]) + BINARY_GIGABYTE) < NEARLY

    def _another_variant(self, left: list[Measurement], fit: Fit, claim: int) -> bool:
        """Whether a memory size differs too much from the card's to be a figure for this card."""
        position = next(i for i, m in enumerate(left) if m.claim == claim)
        return abs(float(fit.left_out[position])) > VARIANT

    def _undivided(self, left: list[Measurement], fit: Fit) -> Iterator[tuple[ContradictedClaims, list[int]]]:
        """Yield contradictions between exact counts that must divide evenly: GPUs by nodes, GPUs by the model-parallel degrees.

        Each comes with the indices of the claims involved.
        """
        for name in WHOLE:
            value = fit.value(name)
            if value is None or value[1] != value[2] or any(m.quantity == name for m in left):
                continue
            involved = [i for i in self._dependencies(left, fit, name) if left[i].claim is not None]
            if abs(value[0] - round(value[0])) <= 0.01 * value[0] or len(involved) < 2:
                continue
            names = tuple(left[i].quantity for i in involved)
            said = ", ".join(self._says(left[i]) for i in involved)
            statement = f"{said} do not divide evenly: {_title(name)} would be {value[0]:.3g}"
            indices = [index for i in involved if (index := left[i].claim) is not None]
            yield ContradictedClaims(names, value[0] / max(round(value[0]), 1), statement, ()), indices

    def _misfit(
        self, left: list[Measurement], fit: Fit, worst: int
    ) -> tuple[ContradictedClaims, list[int], list[Measurement]]:
        """Return the contradiction around the claim with the worst residual, the indices of the claims involved, and the accused ones."""
        loop = [
            i
            for i in range(len(left))
            if fit.coupling[worst, i] > COUPLED and residual(fit, i) > 0.5 * residual(fit, worst)
        ]
        involved = sorted({worst, *loop})
        # figures that share a mistake agree with each other and can lie nearer to the fit than the correct claim
        wider = [i for i in range(len(left)) if fit.coupling[worst, i] > COUPLED or i == worst]
        causes = self._explain(left, wider, fit)
        if calculated([self.document.claims[at] for i in involved if (at := left[i].claim) is not None]):
            causes = [cause for cause in causes if cause.cause not in NO_MISTAKE]
        involved = sorted({*involved, *(i for i in wider if causes and left[i].quantity == causes[0].quantity)})
        accused = self._accused(left, involved, causes, fit)
        derived = [
            i
            for i, m in enumerate(left)
            if causes and i != accused and m.quantity in causes[0].also and m.claim is not None
        ]
        rest = [m for i, m in enumerate(left) if i not in derived]
        if derived:  # computed from the accused figure: what makes that figure wrong makes them wrong as well
            fit = reconcile(rest, self.equations, self.extra)
            involved = sorted({*involved, *derived})
        names = tuple(dict.fromkeys(left[i].quantity for i in (accused, *(i for i in involved if i != accused))))
        factor = math.exp(float(fit.left_out[rest.index(left[accused])]))
        others = [left[i] for i in involved if i not in (accused, *derived)]
        statement = self._statement(left[accused], factor, others)
        indices = [index for i in involved if (index := left[i].claim) is not None]
        removed = [left[i] for i in (accused, *derived)]
        return ContradictedClaims(names, factor, statement, tuple(causes)), indices, removed

    def _accused(self, left: list[Measurement], involved: list[int], causes: list[Cause], fit: Fit) -> int:
        """Return the claim to leave out: the one named by the best cause, else the one whose removal leaves the fewest problems."""
        for i in involved:
            if causes and left[i].quantity == causes[0].quantity:
                return i

        def without(i: int) -> tuple[int, float, bool, float]:
            rest = [*left[:i], *left[i + 1 :]]
            again = reconcile(rest, self.equations, self.extra)
            return (
                self._count_problems(rest, again),
                -round(residual(fit, i), 1),
                left[i].quantity not in DERIVED,
                -left[i].sigma,
            )

        return min((i for i in involved if left[i].claim is not None), key=without)

    def _count_problems(self, left: list[Measurement], fit: Fit) -> int:
        """Count the claims that contradict others and the implied values beyond a limit."""
        claims = sum(residual(fit, i) > CONTRADICTION for i in range(len(left)))
        return claims + sum(self._outside(left, fit, limit) is not None for limit in self.limits)

    def _outside(self, left: list[Measurement], fit: Fit, limit: Limit) -> tuple[float, float, float] | None:
        """Return the implied value with its range if it is beyond a limit, else None."""
        value = fit.value(limit.quantity)
        if value is None or any(m.quantity == limit.quantity for m in left):
            return None
        inside = value[1] <= limit.most * (1 + ROUNDING) and value[2] >= limit.least * (1 - ROUNDING)
        return None if inside else value

    def _says(self, m: Measurement) -> str:
        """Return a claim as stated, such as ``GPU-hours 336``."""
        if m.claim is None:
            return f"a predicted {QUANTITIES[m.quantity].title} of {shown(m.quantity, math.exp(m.log))}"
        stated = self.document.claims[m.claim].value
        return f"{QUANTITIES[m.quantity].title} {shown(m.quantity, stated)}"

    def _statement(self, accused: Measurement, factor: float, others: list[Measurement]) -> str:
        expected = shown(accused.quantity, math.exp(accused.log) / factor)
        against = ", ".join(map(self._says, others)) or "the accelerator's profile"
        return (
            f"{self._says(accused)} contradicts {against}, which {'make' if len(others) > 1 else 'makes'} it {expected}"
        )

    def _beyond(
        self, left: list[Measurement], fit: Fit
    ) -> tuple[ContradictedClaims, list[int], list[Measurement]] | None:
        """Return a contradiction for an implied value beyond a limit, the indices of the claims involved, and the accused one.

        Hard limits come first. Returns None if no implied value that depends on a claim is beyond its limit.
        """
        for limit in sorted(self.limits, key=lambda entry: not entry.hard):
            value = self._outside(left, fit, limit)
            if value is None:
                continue
            middle, low, _ = value
            involved = [i for i in self._dependencies(left, fit, limit.quantity) if left[i].claim is not None]
            if not involved:
                continue
            bound = limit.most if low > limit.most else limit.least
            causes = explanations(left, involved, limit, self.mistakes, reconcile(left, self.equations, self.extra))
            named = [i for i in involved if causes and left[i].quantity == causes[0].quantity]
            accused = named[0] if named else max(involved, key=lambda i: left[i].sigma)
            names = tuple(left[i].quantity for i in (accused, *(i for i in involved if i != accused)))
            listed = ", ".join(self._says(left[i]) for i in involved)
            statement = f"{listed} together imply {_title(limit.quantity)} {shown(limit.quantity, middle)}; {limit.why}"
            indices = [index for i in involved if (index := left[i].claim) is not None]
            condition = limit.condition or _of_one_job(limit.quantity, names, above=low > limit.most)
            charge = ContradictedClaims(names, middle / bound, statement, tuple(causes), condition=condition)
            return charge, indices, [left[accused]]
        return None

    def _dependencies(self, left: list[Measurement], fit: Fit, quantity: str) -> list[int]:
        """Return the positions of the measurements on which an implied value depends."""
        gain = fit.gain[fit.quantities.index(quantity)]
        return [i for i in range(len(left)) if abs(gain[i]) > LEVER]

    def _explain(self, left: list[Measurement], involved: list[int], fit: Fit) -> list[Cause]:
        """Return the known mistakes in the figures involved that explain the misfit, best first."""
        before = max(residual(fit, i) for i in involved) ** 2
        ranked: list[tuple[float, Cause]] = []
        for mistake in self.mistakes_and_carried:
            for i in involved:
                if left[i].quantity != mistake.quantity or left[i].claim is None:
                    continue
                if another_factor(mistake, fit, i) or out_of_reach(mistake, fit, i):
                    continue
                best_factor, after, troubles, unusual = self._best(left, i, mistake, fit)
                explains = max(0.0, 1 - after / before)
                if explains >= EXPLAINED and after < STILL**2:
                    off = math.log(best_factor / mistake.nominal) / 0.03 if mistake.nominal else 0.0
                    rank = mistake.prior * evidence(mistake, after, to_its_digits=self.printed.gives(mistake))
                    rank *= 0.3**troubles * math.exp(-(off**2) / 2 - ((unusual / UNUSUAL) ** 2) / 2)
                    ranked.append((rank, cause_of(mistake, best_factor, round(explains, 3))))
        return ordered(ranked)

    def _best(self, left: list[Measurement], i: int, mistake: Mistake, fit: Fit) -> tuple[float, float, int, float]:
        """Return the best-fitting factor of a mistake and what its correction leaves.

        These are the largest squared residual among coupled claims, ``_count_problems``, and how unusual the MFU is (see ``unusual_mfu``).
        """
        least, most = math.log(mistake.least), math.log(mistake.most)
        touched = {i} | {j for j, m in enumerate(left) if m.quantity in mistake.also and m.claim is not None}
        tried = []
        for wanted in {float(fit.left_out[i]), (least + most) / 2} if len(touched) > 1 else {float(fit.left_out[i])}:
            log = min(max(wanted, least), most)
            corrected = [replace(m, log=m.log - log) if j in touched else m for j, m in enumerate(left)]
            again = (
                reconcile(corrected, self.equations, self.extra)
                if fit.is_nonlinear_in(touched)
                else fit.shifted(touched, log)
            )
            coupled = [j for j in range(len(left)) if again.coupling[i, j] > COUPLED or j == i]
            worst = max(residual(again, j) for j in coupled) ** 2
            tried.append((worst, math.exp(log), self._count_problems(corrected, again), unusual_mfu(again)))
        worst, factor, troubles, unusual = min(tried)
        return factor, worst, troubles, unusual


def _of_one_job(quantity: str, names: tuple[str, ...], *, above: bool) -> str:
    """Return the condition for hours that exceed those of the counted nodes, where no GPUs are counted: many such jobs may have run."""
    summed = above and quantity == "gpus_per_node" and "gpu_hours" in names and "gpus" not in names
    return "all of the hours belong to one job" if summed else ""


def _title(quantity: str) -> str:
    return QUANTITIES[quantity].title if quantity in QUANTITIES else quantity.replace("_", " ")
