"""``gpuhours check``: test whether a document's figures can all be true, run by run and in sum, and if not, find the likely cause."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gpuhours.questions.checking.accelerators import Named, stated_accelerator
from gpuhours.questions.checking.bills import rates, with_bills
from gpuhours.questions.checking.claim import (
    Claim,
    Document,
    Paper,
    Unplaced,
    in_its_other_sense,
)
from gpuhours.questions.checking.file import read_claims
from gpuhours.questions.checking.one_run import Witness, check_as, check_document
from gpuhours.questions.checking.outcome import Check, Checked, ContradictedClaims
from gpuhours.questions.checking.papers import PaperCheck, sums_of
from gpuhours.questions.checking.reading.formats.files import read_file
from gpuhours.questions.checking.reading.naming.names import coined, family_of
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.reconciling.witness import predicted_mfu
from gpuhours.questions.checking.setting import setting
from gpuhours.questions.checking.table import TableCheck, documents, read_rows
from gpuhours.questions.verdicts import CONTRADICTED, NOT_DETERMINED


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
    paper = with_bills(paper)
    families = {
        family for run in paper.runs if run.kind == "own" and (family := family_of(run.name) or coined(run.name))
    }
    meant = SAID_OF_ALL if len(families) < 2 else frozenset()
    meant -= WORK if _one_after_the_other(paper) else frozenset()
    meant -= _of_some(paper)
    nobody = frozenset[str]()

    def said_of(run: Document) -> frozenset[str]:
        """Return the quantities whose figures for all runs apply to this run.

        None do if some runs belong to a model family and this run is a table row that is neither in a family nor a stage.
        """
        row = any(claim.of_row and not claim.shared for claim in run.claims)
        return nobody if families and row and not family_of(run.name) and not _is_stage(run.name) else meant

    elsewhere: tuple[Claim | Unplaced, ...] = (*paper.set_aside, *paper.not_understood)
    prices = [claim for run in paper.runs for claim in run.claims if claim.quantity == "price"]
    of_all = (*elsewhere, *prices)  # what the runs paid is what their total was paid at
    runs = tuple(
        _check_run(
            run,
            witness,
            (*(of_all if run.kind == "total" else elsewhere), *_of_others(run, paper)),
            said_of(run),
            tuple(rates(paper)),
        )
        for run in paper.runs
    )
    runs = tuple(_as_all_say(run, runs) for run in runs)
    accused = frozenset(charge.claims[0] for run in runs for charge in run.contradictions)
    return PaperCheck(paper, runs, *sums_of(paper, accused))


def _of_some(paper: Paper) -> frozenset[str]:
    """The quantities of which a run states a figure of its own beside one that is stated for all runs: that one is not of all of them."""
    own = [claim for run in paper.runs if run.kind == "own" for claim in run.claims]
    shared = {claim.quantity for claim in own if claim.shared}
    return frozenset(claim.quantity for claim in own if not claim.shared and claim.quantity in shared)


def _of_others(run: Document, paper: Paper) -> Iterator[Claim]:
    """Yield the figures of the other runs of a text, as belonging to them."""
    for other in paper.runs:
        for claim in other.claims if other is not run else ():
            if not claim.shared and not claim.scope:
                yield replace(claim, scope=f"belongs to {other.name}")


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


WORK = frozenset(["tokens"])
"""What jobs that are run one after the other do together, so that none of them needs to have done it alone."""


def _one_after_the_other(paper: Paper) -> bool:
    """Whether the runs may be jobs of one training: all of one model, whose size and tokens are said once, and their times add up."""
    own = [run for run in paper.runs if run.kind == "own"]
    once = [claim for run in own for name in ("parameters", "tokens") if (claim := run.claim(name)) is not None]
    return len(own) > 1 and bool(once) and all(claim.shared for claim in once) and bool(sums_of(paper)[1])


LAYOUT = frozenset(["tensor", "pipeline", "context", "data_parallel", "microbatch"])
"""Quantities that form one layout: if one of them belongs to another run, all of them do."""


def _check_run(
    run: Document,
    witness: Witness | None,
    elsewhere: Sequence[Claim | Unplaced],
    meant: frozenset[str],
    rates: Sequence[Claim] = (),
) -> Check:
    """Check one run; figures stated for all runs that contradict it are taken to belong to other runs and do not test it.

    ``meant`` are quantities whose figures for all runs apply to each run: once it is given, only refuted figures of other quantities are
    dropped. If it is empty, any refutation drops all figures stated for all runs. A total is checked with the ``rates`` of its runs.
    """
    whole = run
    if run.kind == "total":
        run = replace(run, claims=(*_one_total(run.claims), *rates))
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
        rest = replace(run, claims=tuple(c for c in run.claims if not (c.part and c.sentence in apart)))
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
        if len({claim.sentence for claim in claims}) > 1:
            apart |= {claim.sentence for claim in claims if claim.part}
    return apart


def _said_together(run: Document, judged: Check) -> set[str]:
    """Return the quantities of contradictions whose figures all come from one sentence about all runs.

    These figures contradict each other whichever run the sentence is about.
    """
    together: set[str] = set()
    for charge in (*judged.contradictions, *judged.doubts):
        claims = [run.claim(name) for name in charge.claims]
        breaths = {claim.sentence for claim in claims if claim is not None and claim.shared}
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
            claim.quantity not in ("gpu_hours", "price", "tokens", "samples", "mfu")
            or not claim.either
            or claim.quantity not in charged
            or ((other := run.claim(claim.either)) is not None and other.value != claim.value)
            or (claim.quantity in ("tokens", "samples") and not _passes(run))
            or (claim.quantity == "mfu" and run.fact("recompute") != "full")
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
        checks.append(check_as(document, setting(document, chips[said]), witness))
    return TableCheck(name, tuple(checks))
