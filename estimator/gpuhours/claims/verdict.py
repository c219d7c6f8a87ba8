"""``gpuhours check``: are a document's figures true together, and if not, what is the likely cause."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gpuhours.claims.accelerators import by_name
from gpuhours.claims.causes import Mistake, mistakes
from gpuhours.claims.claim import Claim, Document
from gpuhours.claims.identities import Assumed, Identity, Limit, Setting, Sum, assumed, identities, limits, setting
from gpuhours.claims.quantities import QUANTITIES, shown
from gpuhours.claims.file import read_claims
from gpuhours.claims.reading import read_text
from gpuhours.claims.reconcile import Fit, Measurement, reconcile
from gpuhours.claims.scenarios import scenario
from gpuhours.claims.table import TableCheck, check_table, read_rows
from gpuhours.errors import EstimateError

CONTRADICTION = 2.6
"""Normalised residual beyond which two figures contradict each other (once in a hundred by chance)."""
LEAST_FACTOR = 1.03
USUAL = (0.08, 0.62)
"""MFU of published runs that nobody doubts."""
WHOLE = ("data_parallel", "gpus_per_node")
COUPLED = 0.2
LEVER = 0.2
"""How far an implied value must follow a claim (both in logarithms) to rest on it."""
EXPLAINED = 0.6
MOST_CONTRADICTIONS = 6

AGREES, CONTRADICTS, UNDETERMINED, NOTED = "agrees", "contradicts", "not determined", "noted"

Witness = Callable[[Document], "tuple[float, float, float] | None"]
"""Predicts the MFU of a document's run (value, low, high), or None where it says too little."""


@dataclass(frozen=True)
class Checked:
    """One claim beside what all the others say."""

    claim: Claim
    reconciled: float | None
    reconciled_low: float | None
    reconciled_high: float | None
    residual: float | None
    """Normalised: beyond 2.6 it contradicts the others."""
    verdict: str
    against: tuple[str, ...] = ()
    """The quantities it was compared with."""

    def to_dict(self) -> dict[str, Any]:
        """One entry of ``claims``."""
        claim = self.claim
        return {
            "quantity": claim.quantity, "unit": claim.unit, "stated": claim.value, "low": claim.spread.low,
            "high": claim.spread.high, "reconciled": self.reconciled, "reconciled_low": self.reconciled_low,
            "reconciled_high": self.reconciled_high, "residual": self.residual, "verdict": self.verdict,
            "against": list(self.against), "text": claim.text, "quote": claim.quote, "place": claim.place,
            "because": claim.because or None, "precision": claim.spread.reason,
        }  # fmt: skip


@dataclass(frozen=True)
class Implied:
    """A quantity nobody stated: what the others make it, or None where they leave it open."""

    quantity: str
    value: float | None
    low: float | None
    high: float | None
    basis: str = "solved"
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """One entry of ``implied``."""
        return {
            "quantity": self.quantity, "value": self.value, "low": self.low, "high": self.high,
            "unit": QUANTITIES[self.quantity].unit if self.quantity in QUANTITIES else "", "basis": self.basis,
            "reason": self.reason or None,
        }  # fmt: skip


@dataclass(frozen=True)
class Cause:
    """A known mistake and how much of the contradiction it explains (0 to 1)."""

    cause: str
    quantity: str
    factor: float
    explains: float
    text: str

    def to_dict(self) -> dict[str, Any]:
        """One entry of ``likely_causes``."""
        return {"cause": self.cause, "quantity": self.quantity, "factor": self.factor, "explains": self.explains, "text": self.text}


@dataclass(frozen=True)
class Contradiction:
    """Claims that cannot be true together."""

    claims: tuple[str, ...]
    factor: float
    statement: str
    likely_causes: tuple[Cause, ...]

    def to_dict(self) -> dict[str, Any]:
        """One entry of ``contradictions``."""
        return {
            "claims": list(self.claims), "factor": self.factor, "statement": self.statement,
            "likely_causes": [cause.to_dict() for cause in self.likely_causes],
            "no_known_cause": not self.likely_causes,
        }  # fmt: skip


@dataclass(frozen=True)
class Check:
    """The verdict on one document."""

    document: Document
    claims: tuple[Checked, ...]
    implied: tuple[Implied, ...]
    contradictions: tuple[Contradiction, ...]
    assumptions: tuple[Assumed, ...]
    witness: str = ""

    @property
    def verdict(self) -> str:
        """``contradicted``, ``consistent`` (something was compared) or ``underdetermined``."""
        if self.contradictions:
            return "contradicted"
        if any(i.quantity == "mfu" and i.basis == "assumed" and i.value and USUAL[0] < i.value < USUAL[1] for i in self.implied):
            return "consistent"
        return "consistent" if any(c.verdict == AGREES for c in self.claims) else "underdetermined"

    def to_dict(self) -> dict[str, Any]:
        """The JSON of ``gpuhours check``."""
        return {
            "schema": "gpuhours/check/1", "name": self.document.name, "verdict": self.verdict,
            "claims": [claim.to_dict() for claim in self.claims],
            "implied": [implied.to_dict() for implied in self.implied],
            "contradictions": [contradiction.to_dict() for contradiction in self.contradictions],
            "assumptions": [
                {"name": a.quantity, "value": a.value, "unit": QUANTITIES[a.quantity].unit if a.quantity in QUANTITIES else "",
                 "reason": a.reason} for a in self.assumptions
            ],
            "witness": self.witness or None,
            "set_aside": [
                {"quantity": c.quantity, "stated": c.value, "unit": c.unit, "text": c.text, "quote": c.quote, "place": c.place,
                 "reason": c.scope} for c in self.document.set_aside
            ],
            **self.document.to_dict(),
        }  # fmt: skip


def check(path: Path | str, witness: Witness | None = None) -> Check | TableCheck:
    """Check a file: claims in YAML, a table of runs in CSV, or prose in anything else."""
    path = Path(path)
    kind = path.suffix.lower()
    if kind == ".csv":
        return check_table(read_rows(path), path.name)
    if kind == ".pdf":
        raise EstimateError("is a PDF", "Save its text first: pdftotext paper.pdf paper.txt", str(path))
    document = read_claims(path) if kind in (".yaml", ".yml") else read_text(read_prose(path), path.name)
    return check_document(document, witness)


def read_prose(path: Path) -> str:
    """The text of a file; something that is not text is an error."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise EstimateError(f"cannot be read: {error.strerror or error}", where=str(path)) from None
    except UnicodeDecodeError:
        raise EstimateError("is not a text file", "Save its text as UTF-8 first.", str(path)) from None
    if "\0" in text:
        raise EstimateError("is not a text file", "Save its text as UTF-8 first.", str(path))
    if not text.strip():
        raise EstimateError("is empty", "", str(path))
    return text


def check_document(document: Document, witness: Witness | None = None) -> Check:
    """Reconcile a document's claims, name the contradictions and their likely causes."""
    name = document.fact("accelerator")
    run = setting(document, by_name(name) if name else None)
    equations = tuple(identities(run))
    extra = tuple(assumed(run))
    used = [i for i, claim in enumerate(document.claims) if _usable(claim)]
    measurements = [_measurement(document.claims[i], i) for i in used]
    predicted = witness(document) if witness else None
    said = ""
    if predicted is not None:
        value, low, high = predicted
        said = f"the layout predicts {shown('mfu', low)} to {shown('mfu', high)} MFU"
        extra = (*extra, Assumed("mfu", value, math.log(high / low) / 2.5632, said))
    problem = _Problem(document, run, equations, extra, tuple(mistakes(run, document)), tuple(limits(run)))
    contradictions, suspects, fit, full = problem.judge(measurements)
    checked = tuple(_checked(i, claim, full, fit, measurements, suspects) for i, claim in enumerate(document.claims))
    implied = tuple(_implied(document, fit, run))
    if not contradictions:
        implied = (*implied, *_under_scenario(document, run, measurements, equations, extra, implied))
    shown_names = {i.quantity for i in implied if i.value is not None} | {c.claim.quantity for c in checked if c.verdict == AGREES}
    return Check(document, checked, implied, tuple(contradictions), _listed(extra, fit, shown_names), said)


def _usable(claim: Claim) -> bool:
    return (claim.checked or claim.quantity == "peak_flops") and not claim.scope and claim.value > 0


def _measurement(claim: Claim, index: int) -> Measurement:
    return Measurement(claim.quantity, math.log(claim.spread.centre), claim.spread.sigma, index)


@dataclass(frozen=True)
class _Problem:
    """Everything the search for contradictions needs."""

    document: Document
    run: Setting
    equations: tuple[Identity | Sum, ...]
    extra: tuple[Assumed, ...]
    mistakes: tuple[Mistake, ...]
    limits: tuple[Limit, ...]

    def judge(
        self, measurements: Sequence[Measurement]
    ) -> tuple[list[Contradiction], dict[int, tuple[str, ...]], Fit, Fit]:
        """Find the worst misfit, explain it, leave its claim out, and look again."""
        left = list(measurements)
        full = fit = reconcile(left, self.equations, self.extra)
        found: list[Contradiction] = []
        suspects: dict[int, tuple[str, ...]] = {}
        while len(found) < MOST_CONTRADICTIONS:
            worst = _worst(fit, len(left))
            if worst is not None:
                contradiction, involved, removed = self._misfit(left, fit, worst)
            else:
                beyond = self._beyond(left, fit)
                if beyond is None:
                    break
                contradiction, involved, removed = beyond
            found.append(contradiction)
            for index in involved:
                suspects.setdefault(index, contradiction.claims)
            left = [m for m in left if m is not removed]
            fit = reconcile(left, self.equations, self.extra)
        for contradiction, involved in self._undivided(left, fit):
            found.append(contradiction)
            for index in involved:
                suspects.setdefault(index, contradiction.claims)
        return found, suspects, fit, full

    def _undivided(self, left: list[Measurement], fit: Fit) -> Iterator[tuple[Contradiction, list[int]]]:
        """Exact counts that must divide: GPUs by nodes, GPUs by the model-parallel degrees."""
        for name in WHOLE:
            value = fit.value(name)
            if value is None or value[1] != value[2] or any(m.quantity == name for m in left):
                continue
            involved = [i for i in self._lever(left, fit, name) if left[i].claim is not None]
            if abs(value[0] - round(value[0])) <= 0.01 * value[0] or len(involved) < 2:
                continue
            names = tuple(left[i].quantity for i in involved)
            said = ", ".join(self._says(left[i]) for i in involved)
            statement = f"{said} do not divide: {_title(name)} would be {value[0]:.3g}"
            indices = [index for i in involved if (index := left[i].claim) is not None]
            yield Contradiction(names, value[0] / max(round(value[0]), 1), statement, ()), indices

    def _misfit(
        self, left: list[Measurement], fit: Fit, worst: int
    ) -> tuple[Contradiction, list[int], Measurement]:
        """A redundant claim that the others contradict."""
        loop = [i for i in range(len(left)) if fit.coupling[worst, i] > COUPLED and _residual(fit, i) > 0.5 * _residual(fit, worst)]
        involved = sorted({worst, *loop})
        causes = self._explain(left, involved, fit)
        accused = self._accused(left, involved, causes, fit)
        names = tuple(dict.fromkeys(left[i].quantity for i in (accused, *(i for i in involved if i != accused))))
        factor = math.exp(float(fit.left_out[accused]))
        statement = self._statement(left[accused], factor, [left[i] for i in involved if i != accused])
        indices = [index for i in involved if (index := left[i].claim) is not None]
        return Contradiction(names, factor, statement, tuple(causes)), indices, left[accused]

    def _accused(self, left: list[Measurement], involved: list[int], causes: list[Cause], fit: Fit) -> int:
        """The claim to leave out: the one a known mistake names, else the one without which most is well again."""
        for i in involved:
            if causes and left[i].quantity == causes[0].quantity:
                return i

        def without(i: int) -> tuple[int, float, float]:
            rest = [*left[:i], *left[i + 1 :]]
            again = reconcile(rest, self.equations, self.extra)
            return self._troubles(rest, again), -round(_residual(fit, i), 1), -left[i].sigma

        return min((i for i in involved if left[i].claim is not None), key=without)

    def _troubles(self, left: list[Measurement], fit: Fit) -> int:
        """How many claims and implied values are still impossible."""
        claims = sum(_residual(fit, i) > CONTRADICTION for i in range(len(left)))
        return claims + sum(self._outside(left, fit, limit) is not None for limit in self.limits)

    def _outside(self, left: list[Measurement], fit: Fit, limit: Limit) -> tuple[float, float, float] | None:
        """The implied value, if it lies beyond a limit."""
        value = fit.value(limit.quantity)
        if value is None or any(m.quantity == limit.quantity for m in left):
            return None
        return None if value[1] <= limit.most and value[2] >= limit.least else value

    def _says(self, m: Measurement) -> str:
        """``GPU-hours 336``: a claim as stated."""
        stated = self.document.claims[m.claim].value if m.claim is not None else math.exp(m.log)
        return f"{QUANTITIES[m.quantity].title} {shown(m.quantity, stated)}"

    def _statement(self, accused: Measurement, factor: float, others: list[Measurement]) -> str:
        expected = shown(accused.quantity, math.exp(accused.log) / factor)
        return f"{self._says(accused)} contradicts {', '.join(map(self._says, others))}, which make it {expected}"

    def _beyond(
        self, left: list[Measurement], fit: Fit
    ) -> tuple[Contradiction, list[int], Measurement] | None:
        """An implied value that cannot be."""
        for limit in sorted(self.limits, key=lambda entry: not entry.hard):
            value = self._outside(left, fit, limit)
            if value is None:
                continue
            middle, low, _ = value
            involved = [i for i in self._lever(left, fit, limit.quantity) if left[i].claim is not None]
            if not involved:
                continue
            bound = limit.most if low > limit.most else limit.least
            causes = self._explain_limit(left, involved, limit)
            named = [i for i in involved if causes and left[i].quantity == causes[0].quantity]
            accused = named[0] if named else max(involved, key=lambda i: left[i].sigma)
            names = tuple(left[i].quantity for i in (accused, *(i for i in involved if i != accused)))
            listed = ", ".join(self._says(left[i]) for i in involved)
            statement = f"{listed} together imply {_title(limit.quantity)} {shown(limit.quantity, middle)}; {limit.why}"
            indices = [index for i in involved if (index := left[i].claim) is not None]
            return Contradiction(names, middle / bound, statement, tuple(causes)), indices, left[accused]
        return None

    def _lever(self, left: list[Measurement], fit: Fit, quantity: str) -> list[int]:
        """The measurements that move an implied value."""
        gain = fit.gain[fit.quantities.index(quantity)]
        return [i for i in range(len(left)) if abs(gain[i]) > LEVER]

    def _explain(self, left: list[Measurement], involved: list[int], fit: Fit) -> list[Cause]:
        """Known mistakes in the figures involved, by how much of the misfit each removes."""
        before = max(_residual(fit, i) for i in involved) ** 2
        ranked: list[tuple[float, Cause]] = []
        for mistake in self.mistakes:
            for i in involved:
                if left[i].quantity != mistake.quantity or left[i].claim is None:
                    continue
                best_factor, after, troubles = self._best(left, i, mistake, fit)
                explains = max(0.0, 1 - after / before)
                if explains >= EXPLAINED and after < (CONTRADICTION + 0.6) ** 2:
                    width = 1 + abs(math.log(mistake.most / mistake.least))
                    rank = mistake.habit * math.exp(-after / 8) / width**0.7 * 0.3**troubles
                    ranked.append((rank, Cause(mistake.cause, mistake.quantity, best_factor, round(explains, 3), mistake.text)))
        return _ordered(ranked)

    def _best(self, left: list[Measurement], i: int, mistake: Mistake, fit: Fit) -> tuple[float, float, int]:
        """The factor of a mistake that fits best, the largest squared residual left in its loop, and what else stays wrong."""
        wanted = float(fit.left_out[i])
        log = min(max(wanted, math.log(mistake.least)), math.log(mistake.most))
        corrected = [*left[:i], replace(left[i], log=left[i].log - log), *left[i + 1 :]]
        again = reconcile(corrected, self.equations, self.extra)
        coupled = [j for j in range(len(left)) if again.coupling[i, j] > COUPLED or j == i]
        return math.exp(log), max(_residual(again, j) for j in coupled) ** 2, self._troubles(corrected, again)

    def _explain_limit(self, left: list[Measurement], involved: list[int], limit: Limit) -> list[Cause]:
        """Known mistakes that bring an impossible value back to where runs are."""
        usual = {"mfu": (0.12, 0.60), "hfu": (0.15, 0.7)}.get(limit.quantity, (limit.least, limit.most))
        ranked = []
        for mistake in self.mistakes:
            for i in involved:
                if left[i].quantity != mistake.quantity:
                    continue
                outcome = self._brought_back(left, i, mistake, limit.quantity, usual)
                if outcome is not None:
                    factor, distance = outcome
                    width = 1 + abs(math.log(mistake.most / mistake.least))
                    rank = mistake.habit * math.exp(-distance) / width**0.35
                    ranked.append((rank, Cause(mistake.cause, mistake.quantity, factor, round(math.exp(-distance), 3), mistake.text)))
        return _ordered(ranked)

    def _brought_back(
        self, left: list[Measurement], i: int, mistake: Mistake, quantity: str, usual: tuple[float, float]
    ) -> tuple[float, float] | None:
        """The factor within the mistake's range that comes nearest to usual values, and how far off it stays."""
        fit = reconcile(left, self.equations, self.extra)
        now = fit.value(quantity)
        nudged = [*left[:i], replace(left[i], log=left[i].log - 0.1), *left[i + 1 :]]
        moved = reconcile(nudged, self.equations, self.extra).value(quantity)
        if now is None or moved is None:
            return None
        slope = math.log(moved[0] / now[0]) / -0.1
        if abs(slope) < 0.05:
            return None
        centre = math.sqrt(max(usual[0], 1e-9) * min(usual[1], 1e9))
        wanted = math.log(now[0] / centre) / slope
        log = min(max(wanted, math.log(mistake.least)), math.log(mistake.most))
        reached = math.log(now[0]) - slope * log
        outside = max(0.0, math.log(max(usual[0], 1e-9)) - reached, reached - math.log(usual[1]))
        return (math.exp(log), 3 * outside + 0.5 * abs(reached - math.log(centre))) if outside < 0.35 else None


def _title(quantity: str) -> str:
    return QUANTITIES[quantity].title if quantity in QUANTITIES else quantity.replace("_", " ")


def _ordered(ranked: list[tuple[float, Cause]]) -> list[Cause]:
    """Best first, one line per cause."""
    causes: dict[str, Cause] = {}
    for _, cause in sorted(ranked, key=lambda entry: -entry[0]):
        causes.setdefault(cause.cause, cause)
    return list(causes.values())[:4]


def _residual(fit: Fit, i: int) -> float:
    z = float(fit.residual[i])
    return 0.0 if math.isnan(z) else abs(z)


def _worst(fit: Fit, claims: int) -> int | None:
    """The claim with the largest residual, if that is a contradiction."""
    beyond = [
        i for i in range(claims) if _residual(fit, i) > CONTRADICTION and abs(float(fit.left_out[i])) > math.log(LEAST_FACTOR)
    ]
    return max(beyond, key=lambda i: (round(_residual(fit, i), 3), -i)) if beyond else None


def _checked(
    index: int, claim: Claim, full: Fit, fit: Fit, measurements: Sequence[Measurement], suspects: dict[int, tuple[str, ...]]
) -> Checked:
    position = next((j for j, m in enumerate(measurements) if m.claim == index), None)
    if position is None:
        return Checked(claim, None, None, None, None, NOTED if not claim.scope else UNDETERMINED)
    value = fit.value(claim.quantity)
    z = float(full.residual[position])
    residual = None if math.isnan(z) or full.redundancy[position] < 1e-4 else z
    against = suspects.get(index)
    if against is not None:
        verdict, others = CONTRADICTS, tuple(name for name in against if name != claim.quantity)
    else:
        others = tuple(
            dict.fromkeys(
                m.quantity for j, m in enumerate(measurements)
                if residual is not None and j != position and full.coupling[position, j] > COUPLED and m.quantity != claim.quantity
            )
        )  # fmt: skip
        others = others or _divides_with(fit, measurements, position) or (("accelerator",) if residual is not None else ())
        verdict = AGREES if others else UNDETERMINED
    middle, low, high = value if value else (None, None, None)
    return Checked(claim, middle, low, high, residual, verdict, others)


def _divides_with(fit: Fit, measurements: Sequence[Measurement], position: int) -> tuple[str, ...]:
    """The exact counts a claim divides evenly with; agreement of a kind that no least squares sees."""
    if fit.gain.shape[1] < len(measurements):
        return ()
    for name in WHOLE:
        value = fit.value(name)
        if value is None or value[1] != value[2] or value[0] < 1 or any(m.quantity == name for m in measurements):
            continue
        row = fit.gain[fit.quantities.index(name)]
        involved = [i for i in range(len(measurements)) if abs(row[i]) > LEVER]
        if position in involved and len(involved) > 1:
            return tuple(measurements[i].quantity for i in involved if i != position)
    return ()


ASKED = (
    "gpus", "nodes", "gpu_hours", "wall_clock", "tokens", "samples", "samples_seen", "steps", "epochs", "step_time", "global_batch_tokens",
    "tokens_per_sample", "tokens_per_frame", "data_parallel", "microbatch", "model_flops", "flops_per_second_per_gpu", "mfu", "hfu",
    "tokens_per_second", "tokens_per_second_per_gpu", "checkpoint_time", "energy", "gpu_power", "carbon", "carbon_intensity", "cost", "price",
    "dataset_tokens", "visual_tokens", "language_parameters", "vision_parameters", "goodput", "clip_seconds", "gpus_per_node",
)  # fmt: skip
ALWAYS = frozenset({"gpus", "gpu_hours", "wall_clock", "tokens", "steps", "epochs", "step_time", "model_flops", "mfu"})


def _implied(document: Document, fit: Fit, run: Setting) -> list[Implied]:
    """Quantities nobody stated: solved, or not determined with what is missing."""
    found = []
    for name in ASKED:
        if document.claim(name) is not None:
            continue
        value = fit.value(name)
        wide = value is not None and value[2] > 50 * value[1]
        if value is not None and not wide and not _only_assumed(name, run):
            found.append(Implied(name, *value))
        elif name in ALWAYS:
            found.append(Implied(name, None, None, None, "", "not determined by the text"))
    return found


def _only_assumed(name: str, run: Setting) -> bool:
    """Goodput and the like are shown only where the text fixes them better than the assumption does."""
    return name == "goodput" and not {"steps", "step_time"} <= run.claimed


def _under_scenario(
    document: Document, run: Setting, measurements: Sequence[Measurement], equations: Sequence[Identity | Sum],
    extra: Sequence[Assumed], implied: Sequence[Implied],
) -> list[Implied]:
    """What becomes determined when the run does the usual thing where its text is silent."""
    usual = scenario(document, run)
    if usual is None:
        return []
    fit = reconcile(measurements, [*equations, *usual.identities], [*extra, *usual.assumptions])
    why = "if " + "; ".join(a.reason for a in usual.assumptions)
    known = {entry.quantity for entry in implied if entry.value is not None} | {a.quantity for a in usual.assumptions}
    found = []
    for name in ("tokens", "visual_tokens", "steps", "step_time", "model_flops", "mfu", "checkpoint_time"):
        value = fit.value(name)
        if value is not None and name not in known and document.claim(name) is None:
            found.append(Implied(name, *value, "assumed", why))
    return found


def _listed(extra: Sequence[Assumed], fit: Fit, names: set[str]) -> tuple[Assumed, ...]:
    """The assumptions that some value on the page rests on."""
    rows = [j for j, name in enumerate(fit.quantities) if name in names and fit.determined[j]]
    offset = fit.gain.shape[1] - len(extra)
    return tuple(
        assumption for k, assumption in enumerate(extra)
        if any(abs(fit.gain[j, offset + k]) > 0.1 for j in rows) and assumption.quantity not in ("context", "tensor", "pipeline")
    )  # fmt: skip
