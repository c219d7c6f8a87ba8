"""A text -> its runs: read in whatever format it has, every figure placed, and each given to the run that it belongs to.

Reading never guesses silently. A figure whose quantity only its unit gave is marked; a second figure for the same quantity is
set aside and shown; figures about fine-tuning or evaluation do not enter the check of the run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.checking.claim import Claim, Document, Fact, Paper
from gpuhours.questions.checking.precision import Spread, between, spread
from gpuhours.questions.checking.quantities import DAY, QUANTITIES
from gpuhours.questions.checking.reading.blocks import Passage, Table, prose_of
from gpuhours.questions.checking.reading.facts import accelerator_name, find_facts, size_in_name
from gpuhours.questions.checking.reading.labels import with_lent_units
from gpuhours.questions.checking.reading.markup import pieces
from gpuhours.questions.checking.reading.owners import compared_blocks
from gpuhours.questions.checking.reading.prose import Placed, read_prose
from gpuhours.questions.checking.reading.rates import unit_factor
from gpuhours.questions.checking.reading.run_words import DERIVED
from gpuhours.questions.checking.reading.runs import Division, TextRun, divide
from gpuhours.questions.checking.reading.tables import read_table
from gpuhours.questions.checking.reading.tokens import Figure

LONGEST_DOCUMENT = 2_000_000
DOLLARS = ("$", "US$", "\\$", "USD", "usd", "dollars", "dollar", "us dollars", "US dollars", "")
"""Other currencies are shown and left out: no exchange rate is assumed."""


def read_paper(text: str, name: str = "text", kind: str = "") -> Paper:
    """Everything a text says in figures, by run; ``kind`` is the file's suffix, which decides a format that the text leaves open."""
    if len(text) > LONGEST_DOCUMENT:
        raise EstimateError(f"has {len(text):,} characters", "Check one run's section at a time.", name)
    found = pieces(text, kind)
    prose = prose_of([replace(p, text=with_lent_units(p.text)) for p in found if isinstance(p, Passage)])
    read = read_prose(prose)
    tables = [read_table(table) for table in found if isinstance(table, Table)]
    devices = [row.accelerator for table in tables for row in table.rows if row.accelerator]
    facts = find_facts(read.items, prose, read.tagged, devices, compared_blocks(prose))
    said = next((fact.value for fact in facts if fact.name == "model" and fact.place), "")
    division = divide(read, tables, said if any(tag == "model" for tag, *_ in read.tagged) else "")
    if division.name and not any(tag == "model" for tag, *_ in read.tagged):
        line = prose.line(max(prose.text.find(division.name), 0))
        facts = (
            *(fact for fact in facts if fact.name != "model"),
            Fact("model", division.name, division.name, f"line {line}"),
        )
    scopes = _main_scopes([entry for run in division.runs for entry in run.entries] + division.shared)
    runs = tuple(_document(run, division, facts, name, scopes) for run in division.runs)
    aside = tuple(replace(_claim(entry), scope=why) for entry, why in division.aside)
    left = (*read.unplaced, *(number for table in tables for number in table.unplaced))
    return Paper(name, runs, aside, left)


def _document(run: TextRun, division: Division, facts: tuple[Fact, ...], name: str, scopes: frozenset[str]) -> Document:
    """A run with the figures that hold for all, one claim a quantity."""
    several = len(division.runs) > 1
    derived = any(word in run.name.lower() for word in DERIVED)
    shared = [entry for entry in division.shared if not (derived and several and entry.place.quantity in READ)]
    entries = run.entries if run.kind == "total" else [*run.entries, *shared]
    claims = [_claim(entry) for entry in entries]
    own = 0 if not several else len(run.entries)
    claims = [replace(claim, shared=several and n >= own) for n, claim in enumerate(claims)]
    claims = [replace(claim, scope="") if claim.scope in scopes else claim for claim in claims]
    claims = _machines(_corpus_and_seen(claims))
    kept, aside = (claims, []) if run.kind == "total" else _one_each(claims, [entry.tagged for entry in entries])
    if run.accelerator is not None:
        said, line = run.accelerator
        device = Fact("accelerator", accelerator_name(said), said, f"line {line}")
        facts = (*(fact for fact in facts if fact.name != "accelerator" or (not several and fact.quote)), device)
    if several:
        facts = (
            *(fact for fact in facts if fact.name != "model"),
            Fact("model", run.name, run.name, f"line {min((e.line for e in run.entries), default=1)}"),
        )
    kept = kept if run.kind == "total" else _size_from_name(kept, facts)
    return Document(run.name if several else name, tuple(kept), facts, (), tuple(aside), run.kind)


READ = frozenset(["tokens", "dataset_tokens", "samples", "dataset_samples", "epochs"])
BINARY = 0.05
"""80 GiB is what some call the memory of a card that is sold with 80 GB."""
CORPUS_WORDS = frozenset(
    ["corpus", "corpora", "total", "data", "data set", "dataset", "collection", "tokens", "training on"]
)


def _corpus_and_seen(claims: list[Claim]) -> list[Claim]:
    """Tokens that only the corpus was said to have are the data set's, where others were seen or passes are counted."""
    main = [claim for claim in claims if not claim.scope]
    tokens = [claim for claim in main if claim.quantity == "tokens"]
    seen = [claim for claim in tokens if claim.because not in CORPUS_WORDS and claim.because]
    passes = any(claim.quantity == "epochs" and claim.value > 1.02 for claim in main)
    if not tokens or any(claim.quantity == "dataset_tokens" for claim in main) or not (passes or seen):
        return claims
    corpus = [claim for claim in tokens if claim.because in CORPUS_WORDS - {"total", "tokens"}]
    if not corpus or (len(tokens) == 1 and not passes):
        return claims
    first = corpus[0]
    return [replace(claim, quantity="dataset_tokens") if claim is first else claim for claim in claims]


def _machines(claims: list[Claim]) -> list[Claim]:
    """GPUs of one node are the run's where no other machine is counted."""
    main = {claim.quantity for claim in claims if not claim.scope}
    if not main & {"gpus", "nodes"}:
        claims = [
            replace(claim, quantity="gpus") if claim.quantity == "gpus_per_node" and claim.because == "node" else claim
            for claim in claims
        ]
    return claims


def _claim(entry: Placed) -> Claim:
    figure, quantity = entry.figure, QUANTITIES[entry.place.quantity]
    factor = unit_factor(quantity.name, figure)
    value = figure.value * factor
    said = figure_spread(quantity.name, figure, value, factor)
    value = said.centre if figure.unit == "dates" else value
    if quantity.name in ("cost", "price") and figure.currency not in DOLLARS:
        return Claim(
            quantity.name,
            value,
            said,
            entry.text,
            entry.quote,
            f"line {entry.line}",
            entry.place.because,
            f"in {figure.currency}, not dollars",
        )
    return Claim(
        quantity.name, value, said, entry.text, entry.quote, f"line {entry.line}", entry.place.because, entry.scope
    )


def figure_spread(name: str, figure: Figure, value: float, factor: float = 1.0) -> Spread:
    """How exactly a figure is meant: its digits, its words, and whether its quantity is a setting."""
    quantity = QUANTITIES[name]
    if figure.until is not None:
        return between(value, figure.until * factor)
    if name == "memory_per_gpu" and "i" in figure.word[1:2]:
        return Spread(value, BINARY, "GiB, as cards are named by either")
    hedges = tuple(word for word in figure.hedges if not (word in ("over", "under", "below") and _throughout(figure)))
    exact = quantity.exact and (not figure.scale or figure.scale in ("hundred", "dozen"))
    return spread(
        value, figure.digits, hedges,
        exact=exact, duration=figure.unit in ("time", "gpu_time") and value < 400 * DAY and name != "gpu_hours",
        nominal=name.endswith("parameters"),
    )  # fmt: skip


def _throughout(figure: Figure) -> bool:
    """``over 300 epochs`` and ``over 21 days`` mean during, not more than."""
    return figure.unit in ("time", "epoch", "step", "layer", "node", "gpu", "percent", "pod")


def _main_scopes(placed: Sequence[Placed]) -> frozenset[str]:
    """The scopes that are the run: pre-training or unnamed; fine-tuning too where the run is one."""
    telling = {"gpus", "nodes", "wall_clock", "gpu_hours", "tokens", "steps"}
    counted = [p for p in placed if p.place.quantity in telling]
    tagged = [p for p in counted if p.tagged and p.place.quantity in ("gpus", "wall_clock", "gpu_hours")]
    if any(p.said == "fine-tuning" for p in tagged):
        return frozenset({"", "fine-tuning"})
    plain = any(p.scope == "" for p in counted)
    tuned = any(p.scope == "fine-tuning" for p in counted)
    return frozenset({"", "fine-tuning"}) if tuned and not plain else frozenset({""})


def _one_each(claims: Sequence[Claim], tagged: Sequence[bool]) -> tuple[list[Claim], list[Claim]]:
    """One claim for each quantity that identities use: tagged before told before assumed, first before later."""
    order = sorted(
        range(len(claims)),
        key=lambda i: (
            not tagged[i],
            claims[i].shared,
            claims[i].because == "",
            claims[i].quantity == "parameters" and i,
            i,
        ),
    )
    best: dict[str, int] = {}
    for index in order:
        claim = claims[index]
        if claim.scope:
            continue
        first = best.setdefault(claim.quantity, index)
        if claim.spread.sigma < claims[first].spread.sigma and _same(claim, claims[first]):
            best[claim.quantity] = index
    kept, aside = [], []
    scheduled = _schedules([claim for claim in claims if not claim.scope])
    for index, claim in enumerate(claims):
        if claim.scope:
            aside.append(claim)
        elif best[claim.quantity] == index or not QUANTITIES[claim.quantity].checked:
            kept.append(replace(claim, spread=scheduled.get(claim.quantity, claim.spread)))
        else:
            if not _same(claim, claims[best[claim.quantity]]):
                aside.append(replace(claim, scope=f"another figure for {claim.title}"))
    return kept, aside


def _same(claim: Claim, other: Claim) -> bool:
    """Whether two figures say the same within their digits: ``4k (4096 tokens)``."""
    if claim.value <= 0 or other.value <= 0:
        return claim.value == other.value
    apart = abs(math.log(claim.value / other.value))
    return apart < max(0.02, 2 * math.hypot(claim.spread.sigma, other.spread.sigma))


def _schedules(claims: Sequence[Claim]) -> dict[str, Spread]:
    """A batch or length that grows during the run is known only to lie between its ends."""
    spreads = {}
    for name in ("global_batch", "global_batch_tokens", "seq_len"):
        same = [claim for claim in claims if claim.quantity == name]
        values = [claim.value for claim in same]
        if any(not _same(claim, same[0]) for claim in same):
            spreads[name] = between(min(values), max(values))
    return spreads


def _size_from_name(claims: list[Claim], facts: Sequence[object]) -> list[Claim]:
    """A model's size from its name, where the text gives no other: ``LongVILA-7B``."""
    if any(claim.quantity == "parameters" for claim in claims):
        return claims
    found = size_in_name(facts)
    return [*claims, found] if found else claims
