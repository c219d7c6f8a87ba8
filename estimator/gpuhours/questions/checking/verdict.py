"""``gpuhours check``: test whether a document's figures can all be true, and if not, find the likely cause."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gpuhours.questions.checking.accelerators import Named, stated_accelerator
from gpuhours.questions.checking.causes import mistakes
from gpuhours.questions.checking.claim import (
    NAME_OF_CARD,
    Assumed,
    Claim,
    Document,
    Paper,
    Unplaced,
    in_its_other_sense,
)
from gpuhours.questions.checking.file import read_claims
from gpuhours.questions.checking.outcome import Check, Checked, ContradictedClaims
from gpuhours.questions.checking.papers import PaperCheck, sums_of
from gpuhours.questions.checking.precision import Z
from gpuhours.questions.checking.quantities import shown
from gpuhours.questions.checking.reading.files import read_file
from gpuhours.questions.checking.reading.names import coined, family_of
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.reconciling.arithmetic import arithmetic
from gpuhours.questions.checking.reconciling.contradictions import COUPLED, LEVER, WHOLE, Judgement, Search
from gpuhours.questions.checking.reconciling.conventions import equations_of
from gpuhours.questions.checking.reconciling.doubts import Rivals
from gpuhours.questions.checking.reconciling.exactly import computed_by_mistake
from gpuhours.questions.checking.reconciling.implied import implied_values, leaned_on, under_scenario
from gpuhours.questions.checking.reconciling.reconcile import Fit, Measurement, reconcile
from gpuhours.questions.checking.reconciling.witness import predicted_mfu, usual_prediction
from gpuhours.questions.checking.setting import FULL, Setting, assumed, limits, setting
from gpuhours.questions.checking.table import TableCheck, documents, read_rows
from gpuhours.questions.verdicts import AGREES, CONTRADICTED, NOT_DETERMINED

Witness = Callable[[Document], "tuple[float, float, float] | None"]
"""Predicts the MFU of a document's run (value, low, high), or returns None if the document says too little."""


def check(path: Path | str, witness: Witness | None = predicted_mfu) -> PaperCheck | TableCheck:
    """Check a file: YAML is read as claims, CSV as a table of runs, PDF and anything else as text; ``-`` is standard input."""
    path = Path(path)
    kind = path.suffix.lower()
    if kind == ".csv":
        return check_table(read_rows(path), path.name, witness)
    if kind in (".yaml", ".yml"):
        return check_paper(read_claims(path), witness)
    return check_paper(read_paper(read_file(path), path.name, kind), witness)


def check_paper(paper: Paper, witness: Witness | None = None) -> PaperCheck:
    """Check every run of a paper for consistency, and the sum of the runs against the stated totals."""
    families = {
        family for run in paper.runs if run.kind == "own" and (family := family_of(run.name) or coined(run.name))
    }
    meant = SAID_OF_ALL if len(families) < 2 else frozenset()
    nobody = frozenset[str]()

    def said_of(run: Document) -> frozenset[str]:
        """Return the quantities whose figures for all runs apply to this run.

        None do if some runs belong to a model family and this run is a table row that is neither in a family nor a stage.
        """
        row = any(claim.of_row and not claim.shared for claim in run.claims)
        return nobody if families and row and not family_of(run.name) and not _is_stage(run.name) else meant

    elsewhere: tuple[Claim | Unplaced, ...] = (*paper.set_aside, *paper.not_understood)
    runs = tuple(_check_run(run, witness, elsewhere, said_of(run)) for run in paper.runs)
    runs = tuple(_as_all_say(run, runs) for run in runs)
    accused = frozenset(charge.claims[0] for run in runs for charge in run.contradictions)
    return PaperCheck(paper, runs, *sums_of(paper, accused))


def _one_total(claims: Sequence[Claim]) -> Iterator[Claim]:
    """Yield at most one total per quantity.

    A single total is kept. Of several, the largest is kept if the others add up to it, or the first if all are equal; otherwise none.
    """
    for quantity in dict.fromkeys(claim.quantity for claim in claims):
        same = [claim for claim in claims if claim.quantity == quantity]
        largest = max(same, key=lambda claim: claim.value)
        rest = sum(claim.value for claim in same) - largest.value
        if len(same) == 1 or not claims[0].checked or abs(largest.value / rest - 1) < ADDS_UP:
            yield largest
        elif all(abs(claim.value / largest.value - 1) < ADDS_UP for claim in same):
            yield same[0]


ADDS_UP = 0.03


def _as_all_say(run: Check, runs: Sequence[Check]) -> Check:
    """Return the check of a run without contradictions between figures stated for all runs, unless every run shows the contradiction.

    If only some runs show it, the figures belong to another run; claims of a dropped contradiction become not determined.
    """
    own = [other for other in runs if other.document.kind == "own"]
    if len(own) < 2 or not run.contradictions:
        return run

    def holds(charge: ContradictedClaims) -> bool:
        claims = [run.document.claim(name) for name in charge.claims]
        if not all(claim is not None and claim.shared for claim in claims):
            return True
        return all(any(set(one.claims) == set(charge.claims) for one in other.contradictions) for other in own)

    kept = tuple(charge for charge in run.contradictions if holds(charge))
    left = {name for charge in run.contradictions if charge not in kept for name in charge.claims}
    claims = tuple(
        replace(claim, verdict=NOT_DETERMINED)
        if claim.claim.quantity in left and claim.verdict == CONTRADICTED
        else claim
        for claim in run.claims
    )
    return run if len(kept) == len(run.contradictions) else replace(run, contradictions=kept, claims=claims)


def _is_stage(name: str) -> bool:
    """Whether a run's name is that of a training stage."""
    return any(
        word in name.lower()
        for word in ("train", "stage", "phase", "tun", "leg", "part", "size", "extension", "anneal")
    )


SAID_OF_ALL = frozenset(["tokens", "parameters", "active_parameters", "price", "gpu_power", "pue", "carbon_intensity"])
"""Quantities that a text may state once and mean for each of its runs, if these belong to one family. A layout or a batch stated once
need not apply to every stage."""


LAYOUT = frozenset(["tensor", "pipeline", "context", "data_parallel", "microbatch"])
"""Quantities that form one layout: if one of them belongs to another run, all of them do."""


def _check_run(
    run: Document, witness: Witness | None, elsewhere: Sequence[Claim | Unplaced], meant: frozenset[str]
) -> Check:
    """Check one run; figures stated for all runs that contradict it are taken to belong to other runs and do not test it.

    ``meant`` are quantities whose figures for all runs apply to each run: once it is given, only refuted figures of other quantities are
    dropped. If it is empty, any refutation drops all figures stated for all runs.
    """
    whole = run
    if run.kind == "total":
        run = replace(run, claims=tuple(_one_total(run.claims)))
    judged = check_document(run, witness, elsewhere)
    whole, run, judged = _in_other_senses(whole, run, judged, witness, elsewhere)
    run, judged = _without_parts(run, judged, witness, elsewhere)
    for _ in range(3):
        refuted = {name for charge in (*judged.contradictions, *judged.doubts) for name in charge.claims}
        refuted -= _said_together(run, judged)
        refuted |= LAYOUT if refuted & LAYOUT else set()
        dropped = [c for c in run.claims if c.shared and refuted and (not meant or c.quantity in refuted - meant)]
        if not dropped:
            break
        gone = set(map(id, dropped))
        run = replace(run, claims=tuple(claim for claim in run.claims if id(claim) not in gone))
        judged = check_document(run, witness, elsewhere)
    kept = set(map(id, run.claims))
    left = [claim for claim in whole.claims if id(claim) not in kept]
    untested = tuple(Checked(claim, None, None, None, None, NOT_DETERMINED) for claim in left)
    return replace(judged, document=whole, claims=(*judged.claims, *untested))


def _without_parts(
    run: Document, judged: Check, witness: Witness | None, elsewhere: Sequence[Claim | Unplaced]
) -> tuple[Document, Check]:
    """Return the run and its check without the figures that may be about a part of it (``Claim.part``), if fewer contradictions remain.

    Contradictions within one such sentence stay: its figures are about one thing, whatever that is.
    """
    for _ in range(3):
        apart = _parts_accused(run, judged)
        if not apart:
            break
        rest = replace(run, claims=tuple(c for c in run.claims if not (c.part and c.breath in apart)))
        again = check_document(rest, witness, elsewhere)
        if (len(again.contradictions), len(again.doubts)) >= (len(judged.contradictions), len(judged.doubts)):
            break
        run, judged = rest, again
    return run, judged


def _parts_accused(run: Document, judged: Check) -> set[int]:
    """Return the sentences whose figures may be about a part of the run and contradict figures of other sentences."""
    apart: set[int] = set()
    for charge in (*judged.contradictions, *judged.doubts):
        claims = [claim for name in charge.claims if (claim := run.claim(name)) is not None]
        if len({claim.breath for claim in claims}) > 1:
            apart |= {claim.breath for claim in claims if claim.part}
    return apart


def _said_together(run: Document, judged: Check) -> set[str]:
    """Return the quantities of contradictions whose figures all come from one sentence about all runs.

    These figures contradict each other whichever run the sentence is about.
    """
    together: set[str] = set()
    for charge in (*judged.contradictions, *judged.doubts):
        claims = [run.claim(name) for name in charge.claims]
        breaths = {claim.breath for claim in claims if claim is not None and claim.shared}
        if len(breaths) == 1 and all(claim is not None and claim.shared for claim in claims):
            together |= set(charge.claims)
    return together


def _in_other_senses(
    whole: Document, run: Document, judged: Check, witness: Witness | None, elsewhere: Sequence[Claim | Unplaced]
) -> tuple[Document, Document, Check]:
    """Try the other quantity for each contradicted figure whose wording allows two.

    Returns the whole document, the run and its check with the figure changed if that removes all contradictions and doubts, else the
    arguments unchanged.
    """
    charged = {name for charge in (*judged.contradictions, *judged.doubts) for name in charge.claims}
    for claim in run.claims:
        if (
            claim.quantity not in ("gpu_hours", "price", "tokens", "samples")
            or not claim.either
            or claim.quantity not in charged
            or ((other := run.claim(claim.either)) is not None and other.value != claim.value)
            or (claim.quantity in ("tokens", "samples") and not _passes(run))
        ):
            continue
        other = in_its_other_sense(claim)
        changed = [
            replace(document, claims=tuple(other if c is claim else c for c in document.claims))
            for document in (whole, run)
        ]
        again = check_document(changed[1], witness, elsewhere)
        if not again.contradictions and not again.doubts:
            return changed[0], changed[1], again
    return whole, run, judged


def _passes(run: Document) -> bool:
    """Whether a run states more than one epoch."""
    passes = run.claim("epochs")
    return passes is not None and passes.value > 1


def check_table(rows: Sequence[Mapping[str, str]], name: str, witness: Witness | None = None) -> TableCheck:
    """Check every row of a table as a text with the same figures would be checked."""
    chips: dict[tuple[str, str], Named | None] = {}
    checks = []
    for document in documents(rows):
        said = next(((fact.quote, fact.value) for fact in document.facts if fact.name == "accelerator"), ("", ""))
        if said not in chips:
            chips[said] = stated_accelerator(document)
        checks.append(_check_as(document, setting(document, chips[said]), witness))
    return TableCheck(name, tuple(checks))


def check_document(
    document: Document, witness: Witness | None = None, elsewhere: Sequence[Claim | Unplaced] = ()
) -> Check:
    """Reconcile a document's claims and return the check with the contradictions and their likely causes.

    ``elsewhere`` are figures of the same text that belong to no run or to another run, or that were not understood. A contradiction that
    one of them would resolve is reported as a doubt.
    """
    return _check_as(document, setting(document, stated_accelerator(document)), witness, elsewhere)


def _check_as(
    document: Document, run: Setting, witness: Witness | None, elsewhere: Sequence[Claim | Unplaced] = ()
) -> Check:
    """Check a document as this kind of run; if there are contradictions or doubts, also try other conventions that its words allow.

    Returns the check with no contradictions and no more doubts if there is one, else the one with the fewest contradictions or doubts.
    """
    judged = _judged(document, run, witness, elsewhere)
    if not judged.contradictions and not judged.doubts:
        return judged
    for other in _other_conventions(document, run):
        again = _judged(*other, witness, elsewhere)
        if not again.contradictions and len(again.doubts) <= len(judged.doubts):
            return again
        if other[0] is document and len(again.contradictions) < len(judged.contradictions):
            judged = again
        elif len(again.contradictions) == len(judged.contradictions) and len(again.doubts) < len(judged.doubts):
            judged = again  # the reading that leaves the fewest doubts
    return judged


def _other_conventions(document: Document, run: Setting) -> Iterator[tuple[Document, Setting]]:
    """Yield the document and setting under other conventions that its words allow.

    Two dies counted as one GPU; an MFU relative to the BF16 peak; the FP8 peak if a stated peak is for FP8; full training if adapters are
    mentioned without a rank or a number of trained parameters.
    """
    if run.accelerator is not None and "MI250" in run.accelerator.name:
        yield _by_module(document, run)
    if run.accelerator is not None and run.peak is not None and run.peak > run.accelerator.peak:
        yield document, replace(run, peak=run.accelerator.peak)
    if run.accelerator is not None and any(
        "fp8" in claim.quote.lower() for claim in document.claims if claim.quantity == "peak_flops"
    ):
        yield document, replace(run, peak=2 * run.accelerator.peak)
    told = {claim.quantity for claim in document.claims} & {"lora_rank", "trainable_parameters", "trainable_share"}
    if run.flops_per_parameter < FULL and not told:
        yield document, replace(run, flops_per_parameter=FULL)


def _judged(document: Document, run: Setting, witness: Witness | None, elsewhere: Sequence[Claim | Unplaced]) -> Check:
    """Check a document as this kind of run, under one set of conventions."""
    equations = equations_of(run, document)
    extra = (*assumed(run), *document.assumed)
    used = [i for i, claim in enumerate(document.claims) if _usable(claim)]
    measurements = [_measurement(document.claims[i], i) for i in used]
    first = reconcile(measurements, equations, extra)
    said, heard = _testimony(document, witness, first)
    extra = (*extra, *heard)
    said = said or (usual_prediction(document) if witness is not None else "")
    bounds = tuple(limits(run))
    search = Search(document, equations, extra, lambda: mistakes(run, document), bounds, Rivals.of(document, elsewhere))
    judged = search.judge(measurements, None if heard else first)
    contradictions, doubts = (
        tuple(replace(c, arithmetic=arithmetic(c.claims, document, run.accelerator)) for c in charges)
        for charges in (judged.contradictions, judged.doubts)
    )
    if not contradictions and not doubts and _counts_six(run):
        contradictions = tuple(computed_by_mistake(document, run.accelerator, run.recompute, mistakes(run, document)))
        judged = replace(judged, suspects=_suspects(document, contradictions))
    fit = judged.fit
    checked = tuple(_checked(i, claim, fit, measurements, judged) for i, claim in enumerate(document.claims))
    implied = tuple(implied_values(document, fit, run))
    if not contradictions:
        implied = (*implied, *under_scenario(document, run, measurements, equations, extra, implied))
    shown_names = {i.quantity for i in implied if i.value is not None} | {
        c.claim.quantity for c in checked if c.verdict == AGREES
    }
    leaned = leaned_on(extra, fit, shown_names)
    return Check(document, checked, implied, contradictions, (*leaned, *judged.counted), run.accelerator, said, doubts)


def _counts_six(run: Setting) -> bool:
    """Whether 6 N D are the FLOPs of a run: one of a text model that is trained in full on the accelerator's 16-bit peak."""
    other = run.video or run.masked or run.frozen or (run.experts and "active_parameters" not in run.claimed)
    sixteen_bit = run.accelerator is not None and run.peak == run.accelerator.peak
    return run.flops_per_parameter == FULL and not other and sixteen_bit


def _suspects(document: Document, contradictions: Sequence[ContradictedClaims]) -> dict[int, tuple[str, ...]]:
    """Return the index of each claim in a contradiction, with the quantities of that contradiction."""
    return {
        index: charge.claims
        for charge in contradictions
        for index, claim in enumerate(document.claims)
        if claim.measured in charge.claims and not claim.scope
    }


def _by_module(document: Document, run: Setting) -> tuple[Document, Setting]:
    """Return the document and setting with two dies counted as one GPU (MI250, MI250X); texts count them either way."""
    stated = {claim.quantity: claim.value for claim in document.claims if not claim.scope}
    dies = stated.get("gpus", 0.0) == 2 * stated.get("nodes", 0.0) * stated.get("gpus_per_node", 0.0) > 0
    halved = tuple(
        replace(claim, spread=replace(claim.spread, centre=claim.spread.centre / 2))
        if dies and claim.quantity == "gpus"
        else claim
        for claim in document.claims
        if claim.quantity != "data_parallel" or not dies
    )
    return replace(document, claims=halved), replace(run, peak=2 * run.peak if run.peak else None)


def _testimony(document: Document, witness: Witness | None, fit: Fit) -> tuple[str, tuple[Assumed, ...]]:
    """Return the witness's prediction as a sentence, and as an assumption on the MFU for the fit.

    Both are empty without a prediction. There is no assumption if the MFU is not determined or below the prediction: a run slower than
    its layout allows is common and not a contradiction, whereas a faster one is.
    """
    predicted = witness(document) if witness else None
    if predicted is None:
        return "", ()
    value, low, high = predicted
    said = f"the stated layout predicts {shown('mfu', low)} to {shown('mfu', high)} MFU"
    fitted = fit.value("mfu")
    if fitted is None:
        return said, ()
    if fitted[2] < low:
        return f"{said}; {shown('mfu', fitted[0])} is below it: slower than this layout allows, which is possible", ()
    return said, (Assumed("mfu", value, math.log(high / low) / (2 * Z), said),)


RAMP = re.compile(
    r"ramp|\d\s?[km]?\s?(?:→|⟶|->|-->|\\to\b|\\rightarrow)|batch\W[^.;|]{0,40}\b(?:grow|grew|increas|warm|rais|doubl)",
    re.IGNORECASE,
)
"""Words and arrows that describe a batch size that grows during the run."""
BETWEEN = 0.1
"""Least relative s.d. of a batch read as a range from its two ends."""


def _grows(claim: Claim) -> bool:
    """Whether a claim is one end of a batch-size ramp whose other end was not read, so that it is not the batch of every step."""
    batch = claim.quantity in ("global_batch", "global_batch_tokens")
    return batch and claim.spread.sigma < BETWEEN and RAMP.search(claim.quote) is not None


def _usable(claim: Claim) -> bool:
    if _grows(claim):
        return False
    tests = claim.because != NAME_OF_CARD and (claim.checked or claim.quantity == "peak_flops")
    return tests and not claim.scope and claim.value > 0


def _measurement(claim: Claim, index: int) -> Measurement:
    """Return the claim as a measurement for the fit."""
    return Measurement(claim.measured, math.log(claim.spread.centre), claim.spread.sigma, index)


def _checked(index: int, claim: Claim, fit: Fit, measurements: Sequence[Measurement], judged: Judgement) -> Checked:
    full = judged.full
    position = next((j for j, m in enumerate(measurements) if m.claim == index), None)
    if position is None:
        return Checked(claim, None, None, None, None, None if not claim.scope else NOT_DETERMINED)
    value = fit.value(claim.measured)
    z = float(full.residual[position])
    residual = None if math.isnan(z) or full.redundancy[position] < 1e-4 else z
    accused, doubted = judged.suspects.get(index), judged.doubtful.get(index)
    if (against := accused or doubted) is not None:
        verdict = CONTRADICTED if accused is not None else NOT_DETERMINED
        others = tuple(name for name in against if name != claim.measured)
    else:
        others = tuple(
            dict.fromkeys(
                m.quantity for j, m in enumerate(measurements)
                if residual is not None and j != position and full.coupling[position, j] > COUPLED and m.quantity != claim.measured
            )
        )  # fmt: skip
        others = (
            others or _divides_with(full, measurements, position) or (("accelerator",) if residual is not None else ())
        )
        verdict = AGREES if others else NOT_DETERMINED
    middle, low, high = value if value else (None, None, None)
    return Checked(claim, middle, low, high, residual, verdict, others)


def _divides_with(fit: Fit, measurements: Sequence[Measurement], position: int) -> tuple[str, ...]:
    """Return the quantities that give a whole count together with this claim: an agreement that least squares cannot detect."""
    for name in WHOLE:
        value = fit.value(name)
        if value is None or value[1] != value[2] or value[0] < 1 or any(m.quantity == name for m in measurements):
            continue
        row = fit.gain[fit.quantities.index(name)]
        involved = [i for i in range(len(measurements)) if abs(row[i]) > LEVER]
        if position in involved and len(involved) > 1:
            return tuple(measurements[i].quantity for i in involved if i != position)
    return ()
