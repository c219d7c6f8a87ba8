"""Check the figures of one run: reconcile them by least squares, and judge each."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from gpuhours.questions.checking.accelerators import stated_accelerator
from gpuhours.questions.checking.causes import mistakes
from gpuhours.questions.checking.claim import (
    GIVEN,
    NAME_OF_CARD,
    Assumed,
    Claim,
    Document,
    Unplaced,
)
from gpuhours.questions.checking.outcome import Check, Checked, ContradictedClaims
from gpuhours.questions.checking.precision import Z
from gpuhours.questions.checking.quantities import shown
from gpuhours.questions.checking.reconciling.arithmetic import arithmetic, miscalculated
from gpuhours.questions.checking.reconciling.contradictions import COUPLED, LEVER, WHOLE, Search
from gpuhours.questions.checking.reconciling.conventions import equations_of
from gpuhours.questions.checking.reconciling.doubts import Rivals
from gpuhours.questions.checking.reconciling.exactly import as_printed, computed_by_mistake
from gpuhours.questions.checking.reconciling.implied import implied_values, needed_assumptions, under_scenario
from gpuhours.questions.checking.reconciling.judgement import Judgement
from gpuhours.questions.checking.reconciling.machine_hours import net_of_stops
from gpuhours.questions.checking.reconciling.reconcile import Fit, Measurement, reconcile
from gpuhours.questions.checking.reconciling.witness import usual_prediction
from gpuhours.questions.checking.setting import FULL, Setting, assumed, limits, setting
from gpuhours.questions.checking.settling import questions
from gpuhours.questions.verdicts import AGREES, CONTRADICTED, NOT_DETERMINED

Witness = Callable[[Document], "tuple[float, float, float] | None"]
"""Predicts the MFU of a document's run (value, low, high), or returns None if the document says too little."""


def check_document(
    document: Document, witness: Witness | None = None, elsewhere: Sequence[Claim | Unplaced] = ()
) -> Check:
    """Reconcile a document's claims and return the check with the contradictions and their likely causes.

    ``elsewhere`` are figures of the same text that belong to no run or to another run, or that were not understood. A contradiction that
    one of them would resolve is reported as a doubt.
    """
    return check_as(document, setting(document, stated_accelerator(document)), witness, elsewhere)


def check_as(
    document: Document, run: Setting, witness: Witness | None, elsewhere: Sequence[Claim | Unplaced] = ()
) -> Check:
    """Check a document as this kind of run; if there are contradictions or doubts, also try other conventions that its words allow.

    Returns the check with no contradictions and no more doubts if there is one, else the one with the fewest contradictions or doubts.
    """
    document = _computing(document)
    judged = _judged(document, run, witness, elsewhere)
    if not judged.contradictions and not judged.doubts:
        return judged
    for other in _other_conventions(document, run):
        again = _judged(*other, witness, elsewhere)
        if not again.contradictions and len(again.doubts) <= len(judged.doubts):
            return again
        fewer = len(again.contradictions) < len(judged.contradictions)
        if fewer and (other[0] is document or len(again.doubts) <= len(judged.doubts)):
            judged = again
        elif len(again.contradictions) == len(judged.contradictions) and len(again.doubts) < len(judged.doubts):
            judged = again  # the reading that leaves the fewest doubts
    return judged


def _computing(document: Document) -> Document:
    """Return the document with the shorter of its times for the longer one if its GPU-hours leave out the time without power, repairs
    and the like: ``24 days went by, of which the machine computed for 18``."""
    time = document.claim("wall_clock")
    if time is None or not net_of_stops(document.claims):
        return document
    shorter = [
        c
        for c in document.set_aside
        if c.quantity == "wall_clock" and c.scope.startswith("another") and c.value < time.value
    ]
    if not shorter or shorter[0].value < LEAST_COMPUTING * time.value:
        return document
    claims = tuple(replace(shorter[0], scope="", part="") if claim is time else claim for claim in document.claims)
    return replace(document, claims=claims, set_aside=(*document.set_aside, replace(time, scope=shorter[0].scope)))


LEAST_COMPUTING = 0.4
"""The least share of its time in which a machine computes."""


def _other_conventions(document: Document, run: Setting) -> Iterator[tuple[Document, Setting]]:
    """Yield the document and setting under other conventions that its words allow.

    Two dies counted as one GPU; an MFU relative to the BF16 peak; the FP8 peak if a stated peak is for FP8; full training if adapters are
    mentioned without a rank or a number of trained parameters; half of an encoder-decoder per token; a rate that the HFU was computed from.
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
    if run.kind == "encoder-decoder" and run.flops_per_parameter == FULL:
        yield document, replace(run, flops_per_parameter=FULL / 2)  # each token passes through one of the halves
    if (counted := _of_useful_work(document, run)) is not None:
        yield counted, run
    if (unpaid := _without_loose_money(document)) is not None:
        yield unpaid, run


def _without_loose_money(document: Document) -> Document | None:
    """Return the document without a cost that no words say is one and that stands in a sentence without hours, machines or energy: the
    price of a part that broke; None if there is none."""
    money = document.claim("cost")
    if money is None or money.of_row or money.sentence == GIVEN or OF_COST.search(money.quote):
        return None
    paid = any(claim.sentence == money.sentence and claim.quantity in PAID_FOR for claim in document.claims)
    return None if paid else replace(document, claims=tuple(c for c in document.claims if c is not money))


OF_COST = re.compile(
    r"(?i)\b(?:costs?|costing|prices?|paid|pay(?:s|ing)?|spen[dt]\w*|bills?|billed|invoices?|budgets?|charge[ds]?|expens\w+|worth|USD)\b"
)
"""Words by which an amount of money is a cost."""
PAID_FOR = frozenset(
    ["gpu_hours", "node_hours", "gpus", "nodes", "wall_clock", "price", "node_price", "energy", "carbon"]
)


def _of_useful_work(document: Document, run: Setting) -> Document | None:
    """Return the document with its FLOP/s per GPU reduced to useful work, if the stated HFU is these FLOP/s over the peak; else None."""
    rate, hfu, mfu = (document.claim(name) for name in ("flops_per_second_per_gpu", "hfu", "mfu"))
    if rate is None or hfu is None or mfu is None or run.peak is None or not rate.value > 0 < hfu.value * mfu.value:
        return None
    if abs(math.log(rate.value / run.peak / hfu.value)) > ROUNDED_SHARE:
        return None
    spread = replace(rate.spread, centre=rate.spread.centre * mfu.value / hfu.value)
    useful = replace(rate, spread=spread, part="work with recomputation")
    return replace(document, claims=tuple(useful if claim is rate else claim for claim in document.claims))


ROUNDED_SHARE = 0.03
"""Largest log difference between an HFU of two digits and the rate that it was computed from."""


def _judged(document: Document, run: Setting, witness: Witness | None, elsewhere: Sequence[Claim | Unplaced]) -> Check:
    """Check a document as this kind of run, under one set of conventions."""
    equations = equations_of(run, document)
    extra = (*assumed(run), *document.assumed)
    used = [i for i, claim in enumerate(document.claims) if _usable(claim)]
    measurements = [_measurement(document.claims[i], i) for i in used]
    first = reconcile(measurements, equations, extra)
    said, heard = _prediction_as_assumption(document, witness, first)
    extra = (*extra, *heard)
    priced = any(isinstance(one, Claim) and one.quantity == "price" for one in elsewhere)
    bounds = tuple(
        limit for limit in limits(run) if not (priced and limit.quantity == "price")
    )  # the text's own price, not today's
    printed = as_printed(document, run.accelerator)
    rivals = Rivals.of(document, elsewhere)
    search = Search(document, equations, extra, lambda: mistakes(run, document), bounds, rivals, printed)
    judged = search.judge(measurements, None if heard else first)
    contradictions, doubts = (
        tuple(_shown(charge, document, run) for charge in charges) for charges in (judged.contradictions, judged.doubts)
    )
    if not contradictions and not doubts and _counts_six(run):
        contradictions = tuple(computed_by_mistake(document, run.accelerator, run.recompute, mistakes(run, document)))
        judged = replace(judged, suspects=_suspects(document, contradictions))
    fit = judged.fit
    checked = tuple(_checked(i, claim, fit, judged) for i, claim in enumerate(document.claims))
    implied = tuple(implied_values(document, fit, run))
    if not contradictions:
        implied = (*implied, *under_scenario(document, run, measurements, equations, extra, implied))
    shown_names = {i.quantity for i in implied if i.value is not None} | {
        c.claim.quantity for c in checked if c.verdict == AGREES
    }
    leaned = needed_assumptions(extra, fit, shown_names)
    said = said or (usual_prediction(document, {charge.claims[0] for charge in contradictions}) if witness else "")
    ask = functools.partial(questions, document, contradictions, doubts, judged.rows, judged.full, equations, extra)
    counted = (*leaned, *judged.counted)
    return Check(document, checked, implied, contradictions, counted, run.accelerator, said, doubts, ask)


def _shown(charge: ContradictedClaims, document: Document, run: Setting) -> ContradictedClaims:
    """Return a contradiction with its arithmetic, and with the equation it misses as its cause if no known mistake explains it."""
    causes = charge.likely_causes
    if not causes and (missed := miscalculated(charge.claims, document, run.accelerator)) is not None:
        causes = (missed,)
    return replace(charge, arithmetic=arithmetic(charge.claims, document, run.accelerator), likely_causes=causes)


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
    gpus, degrees = stated.get("gpus", 0.0), [stated.get(name, 1.0) for name in ("tensor", "pipeline", "context")]
    dies = gpus == 2 * stated.get("nodes", 0.0) * stated.get("gpus_per_node", 0.0) > 0
    ranks = dies or stated.get("data_parallel", 0.0) * math.prod(degrees) == 2 * gpus > 0
    halved = tuple(
        replace(claim, spread=replace(claim.spread, centre=claim.spread.centre / 2))
        if dies and claim.quantity == "gpus"
        else claim
        for claim in document.claims
        if claim.quantity != "data_parallel" or not ranks  # a rank is a die
    )
    return replace(document, claims=halved), replace(run, peak=2 * run.peak if run.peak else None)


def _prediction_as_assumption(document: Document, witness: Witness | None, fit: Fit) -> tuple[str, tuple[Assumed, ...]]:
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
    if _grows(claim) or (claim.quantity == "peak_flops" and "spars" in claim.quote.lower()):
        return False  # a peak that the text itself calls the sparse one is not taken for the dense one
    tests = claim.because != NAME_OF_CARD and (claim.checked or claim.quantity == "peak_flops")
    return tests and not claim.scope and claim.value > 0


def _measurement(claim: Claim, index: int) -> Measurement:
    """Return the claim as a measurement for the fit."""
    return Measurement(claim.measured, math.log(claim.spread.centre), claim.spread.sigma, index)


def _checked(index: int, claim: Claim, fit: Fit, judged: Judgement) -> Checked:
    full, measurements = judged.full, judged.rows
    position = next((j for j, m in enumerate(measurements) if m.claim == index), None)
    if position is None:
        used = claim.scope or _usable(claim)
        return Checked(claim, None, None, None, None, NOT_DETERMINED if used else None)
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
