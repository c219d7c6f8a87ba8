"""A text -> its runs: read in whatever format it has, every figure placed, and each given to the run that it belongs to.

Reading never guesses silently. A figure whose quantity only its unit gave is marked; a second figure for the same quantity is
set aside and shown; figures about fine-tuning or evaluation do not enter the check of the run.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import replace

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.checking.accelerators import by_name, find_accelerator
from gpuhours.questions.checking.claim import ALONE, NAME_OF_CARD, ONE_PASS, Claim, Document, Fact, Paper
from gpuhours.questions.checking.precision import Spread, between, spread
from gpuhours.questions.checking.quantities import DAY, QUANTITIES
from gpuhours.questions.checking.reading.blocks import Cell, Passage, Table, prose_of
from gpuhours.questions.checking.reading.facts import accelerator_name, find_facts, size_in_name
from gpuhours.questions.checking.reading.labels import with_lent_units
from gpuhours.questions.checking.reading.logs import with_pairs
from gpuhours.questions.checking.reading.markup import pieces
from gpuhours.questions.checking.reading.names import mentions
from gpuhours.questions.checking.reading.numbers import scan
from gpuhours.questions.checking.reading.owners import compared_blocks
from gpuhours.questions.checking.reading.parts import CLASHING
from gpuhours.questions.checking.reading.prose import Placed, ReadProse, read_prose
from gpuhours.questions.checking.reading.rates import unit_factor
from gpuhours.questions.checking.reading.run_words import DERIVED, SEVERAL, holds
from gpuhours.questions.checking.reading.runs import TITLE, Division, TextRun, divide
from gpuhours.questions.checking.reading.scopes import FINE_TUNING
from gpuhours.questions.checking.reading.tables import TableReading, read_table
from gpuhours.questions.checking.reading.tokens import Figure

OF_ALL = re.compile(
    r"\b(?:global|total|effective|overall|aggregate|cluster|combined|whole|all|steps?|updates?|iterations?)\b",
    re.IGNORECASE,
)
"""Words that make a batch or a speed that of the whole machine; without one it may be a GPU's."""
LONGEST_DOCUMENT = 2_000_000
DOLLARS = ("$", "US$", "\\$", "USD", "usd", "dollars", "dollar", "us dollars", "US dollars", "")
"""Other currencies are shown and left out: no exchange rate is assumed."""


def read_paper(text: str, name: str = "text", kind: str = "") -> Paper:
    """Everything a text says in figures, by run; ``kind`` is the file's suffix, which decides a format that the text leaves open."""
    if len(text) > LONGEST_DOCUMENT:
        raise EstimateError(f"has {len(text):,} characters", "Check one run's section at a time.", name)
    found = pieces(text, kind)
    total_batch = "total_train_batch_size" in text.lower()
    prose = prose_of(
        [
            replace(p, text=with_lent_units(with_pairs(p.text, total_batch=total_batch)))
            for p in found
            if isinstance(p, Passage)
        ]
    )
    read = read_prose(prose)
    tables = [read_table(table) for table in found if isinstance(table, Table)]
    said = next((" ".join(text.split()) for tag, text in _tagged(read) if tag == "model"), "")
    adapters = any(item.text.lower().startswith(ADAPTERS) for item in read.items)
    scopes = _main_scopes(read, tables, adapters)
    read.placed[:] = [replace(entry, scope="") if entry.scope in scopes else entry for entry in read.placed]
    division = divide(read, tables, said)
    others = {entry.figure.start for entry, why in division.aside if why.startswith("belongs to") and entry.index >= 0}
    facts = find_facts(read.items, prose, read.tagged, compared_blocks(prose), _settings(found, tables), others)
    if division.name and not said:
        line = prose.line(max(prose.text.find(division.name), 0))
        facts = (
            *(fact for fact in facts if fact.name != "model"),
            Fact("model", division.name, division.name, f"line {line}"),
        )
    if not any(fact.name == "accelerator" for fact in facts):
        facts = (*facts, *_device_of_tables(division, tables))
    if len(division.runs) == 1 and not any(fact.name == "model" for fact in facts):
        facts = (
            *facts,
            *_base_of(
                read,
                [
                    cell
                    for piece in found
                    if isinstance(piece, Table)
                    for row in piece.rows[: piece.head]
                    for cell in row
                ],
            ),
        )
    runs = tuple(_document(run, division, facts, name) for run in division.runs)
    aside = tuple(replace(_claim(entry), scope=why) for entry, why in division.aside)
    left = (*read.unplaced, *(number for table in tables for number in table.unplaced))
    if len(runs) == 1 and (read.tagged or _is_alone(prose.text, (*aside, *runs[0].set_aside))):
        runs = (replace(runs[0], facts=(*runs[0].facts, Fact(ALONE, "yes"))),)
    return Paper(name, runs, aside, left)


def _is_alone(text: str, aside: Sequence[Claim]) -> bool:
    """Whether a text speaks of one run and of nothing else: no other figure of what a run has once, no word for several."""
    lowered = text.lower()
    return not any(claim.quantity in CLASHING for claim in aside) and not holds(lowered, SEVERAL)


ADAPTERS = ("lora", "qlora", "low-rank", "adapters")
"""Words that say that adapters are trained, which is fine-tuning."""


def _tagged(read: ReadProse) -> list[tuple[str, str]]:
    """What stands between tags, with the tag."""
    return [(tag, read.prose.text[start:end]) for tag, start, end in read.tagged]


def _settings(found: Sequence[Passage | Table], tables: Sequence[TableReading]) -> str:
    """The words of tables whose rows and columns name no runs."""
    nameless = {table.line for table in tables if not any(row.name for row in table.rows)}
    return " ".join(
        cell.text
        for piece in found
        if isinstance(piece, Table) and piece.line in nameless
        for row in piece.rows
        for cell in row
    )


def _base_of(read: ReadProse, heads: Sequence[Cell]) -> list[Fact]:
    """The one model with a size that a text without a model of its own starts from: what is trained has its network."""
    found: dict[float, Fact] = {}
    for sentence in read.sentences:
        for mention in mentions(read.items, sentence.first, sentence.last, ()):
            if mention.size:
                line = read.prose.line(read.items[mention.first].start)
                found.setdefault(mention.size, Fact("model", mention.shown, mention.shown, f"line {line}"))
    for head in heads:
        items = scan(head.text)
        for mention in mentions(items, 0, len(items), ()):
            if mention.size:
                found.setdefault(mention.size, Fact("model", mention.shown, head.text, f"line {head.line}"))
    return list(found.values()) if len(found) == 1 else []


def _device_of_tables(division: Division, tables: Sequence[TableReading]) -> list[Fact]:
    """The accelerator that the first row of the authors' own names, else the first row of all."""
    own = [run.accelerator for run in division.runs if run.accelerator]
    named = own or [row.accelerator for table in tables for row in table.rows if row.accelerator]
    return [Fact("accelerator", accelerator_name(said), said, f"line {line}") for said, line in named[:1]]


def _document(run: TextRun, division: Division, facts: tuple[Fact, ...], name: str) -> Document:
    """A run with the figures that hold for all, one claim a quantity."""
    several = len(division.runs) > 1
    derived = any(word in run.name.lower() for word in DERIVED)
    shared = [entry for entry in division.shared if not (derived and several and entry.place.quantity in READ)]
    entries = run.entries if run.kind == "total" else [*run.entries, *shared]
    claims = [_claim(entry) for entry in entries]
    own = 0 if not several else len(run.entries)
    claims = [replace(claim, shared=several and n >= own) for n, claim in enumerate(claims)]
    claims = _only_said_once(_samples_of_one_pass(_same_devices(_machines(_corpus_and_seen(claims)))), facts)
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
    if several and any(entry.place.quantity in LAYOUT for other in division.runs for entry in other.entries):
        facts = (*facts, Fact("layout", "given for another run"))
    kept = kept if run.kind == "total" else _memory_from_name(_size_from_name(kept, facts), facts)
    return Document(run.name if several else name, tuple(kept), facts, (), tuple(aside), run.kind)


LAYOUT = ("tensor", "pipeline", "context")
READ = frozenset(["tokens", "dataset_tokens", "samples", "dataset_samples", "epochs"])
BINARY = 0.05
"""80 GiB is what some call the memory of a card that is sold with 80 GB."""
PARTS = ("encoder", "decoder", "backbone")
"""Words that make a size that of a part, where another is that of the whole."""
PASSES = 0.06
"""How near data set x passes must come to the tokens seen."""
CORPUS_WORDS = frozenset(
    ["corpus", "corpora", "total", "data", "data set", "dataset", "collection", "tokens", "training on"]
)


def _corpus_and_seen(claims: list[Claim]) -> list[Claim]:
    """Tokens that only the corpus was said to have are the data set's, where others were seen or passes are counted."""
    main = [claim for claim in claims if not claim.scope]
    tokens = [claim for claim in main if claim.quantity == "tokens"]
    epochs = {claim.value for claim in main if claim.quantity == "epochs" and claim.value > 1.02}
    read = [c for c in main if c.quantity in ("tokens", "dataset_tokens")]
    for one, all_ in itertools.permutations(read[:8], 2):
        if any(abs(all_.value / (one.value * passes) - 1) < PASSES for passes in epochs):
            meant = {id(one): "dataset_tokens", id(all_): "tokens"}
            return [replace(claim, quantity=meant.get(id(claim), claim.quantity)) for claim in claims]
    seen = [claim for claim in tokens if claim.because not in CORPUS_WORDS and claim.because]
    passes = any(claim.quantity == "epochs" and claim.value > 1.02 for claim in main)
    if not tokens or any(claim.quantity == "dataset_tokens" for claim in main) or not (passes or seen):
        return claims
    corpus = [claim for claim in tokens if claim.because in CORPUS_WORDS - {"total", "tokens"}]
    if not corpus or (len(tokens) == 1 and not passes):
        return claims
    first = corpus[0]
    return [replace(claim, quantity="dataset_tokens") if claim is first else claim for claim in claims]


def _samples_of_one_pass(claims: list[Claim]) -> list[Claim]:
    """The samples of a data set are those seen where no more than one pass is counted; they are at least that many."""
    main = [claim for claim in claims if not claim.scope]
    passes = any(claim.quantity == "epochs" and claim.value > 1.02 for claim in main)
    if passes or any(claim.quantity == "samples" for claim in main):
        return claims
    return [
        replace(claim, quantity="samples", because=f"{claim.because}, {ONE_PASS}".removeprefix(", "))
        if claim.quantity == "dataset_samples"
        else claim
        for claim in claims
    ]


def _machines(claims: list[Claim]) -> list[Claim]:
    """GPUs of one node are the run's where no other machine is counted."""
    main = {claim.quantity for claim in claims if not claim.scope}
    if not main & {"gpus", "nodes"}:
        return [replace(c, quantity="gpus") if c.quantity == "gpus_per_node" and not c.scope else c for c in claims]
    nodes = [claim for claim in claims if claim.quantity == "nodes" and not claim.scope]
    if "gpus" not in main and nodes and all(claim.value == 1 for claim in nodes):
        return [replace(c, quantity="gpus") if c.quantity == "gpus_per_node" and not c.scope else c for c in claims]
    return claims


def _same_devices(claims: list[Claim]) -> list[Claim]:
    """Modules of two dies counted by die in one figure are counted so in all: 128 nodes of 4 MI250X are 1,024 GCDs."""
    dies = any(claim.quantity == "gpus" and DIES.search(claim.text) for claim in claims if not claim.scope)
    return [
        replace(claim, value=2 * claim.value, spread=replace(claim.spread, centre=2 * claim.spread.centre))
        if dies and claim.quantity == "gpus_per_node" and not DIES.search(claim.text)
        else claim
        for claim in claims
    ]


DIES = re.compile(r"\bgcds?\b", re.IGNORECASE)


def _only_said_once(claims: list[Claim], facts: tuple[Fact, ...]) -> list[Claim]:
    """What a word makes a part, where the text has nothing that it could be a part of.

    An encoder of a text without pictures is the model; ``after 420 iterations`` is how many there were where no other count stands;
    tokens that are exactly batch x length are those of a batch.
    """
    main = {claim.quantity: claim for claim in reversed(claims) if not claim.scope}
    said = next((fact for fact in facts if fact.name == "accelerator"), None)
    chip = (find_accelerator(said.quote) or by_name(said.value)) if said else None
    peak, power = (chip.peak, chip.power) if chip else (None, None)
    found = []
    for claim in claims:
        quantity = claim.quantity
        if quantity == "vision_parameters" and claim.because in ("encoder", "tower", "vit"):
            whole = not main.keys() & {"parameters", "language_parameters", "trainable_parameters"}
            quantity = "parameters" if whole else quantity
        elif quantity == "decoder_layers" and "encoder_layers" not in main and "layers" not in main:
            quantity = "layers"
        elif (
            quantity in ("flops_per_second_per_gpu", "flops_per_second")
            and peak
            and abs(claim.value / peak - 1) < AS_SOLD
        ):
            quantity = "peak_flops"
        elif (
            quantity == "gpu_power"
            and power
            and claim is not main["gpu_power"]
            and abs(claim.value / power - 1) < AS_SOLD
        ):
            quantity = "tdp"
        elif quantity == "partial" and "steps" not in main and claim.because == "after" and STEPS.search(claim.text):
            quantity = "steps"
        elif quantity in ("tokens", "dataset_tokens", "seq_len") and {"global_batch", "seq_len"} <= main.keys():
            batch = main["global_batch"].value * main["seq_len"].value
            rounded = claim.value < LARGEST_BATCH and (quantity != "seq_len" or claim.value > 8 * main["seq_len"].value)
            quantity = (
                "global_batch_tokens" if abs(claim.value / batch - 1) < (ROUNDED if rounded else EXACTLY) else quantity
            )
        found.append(claim if quantity == claim.quantity else replace(claim, quantity=quantity))
    return found


AS_SOLD = 0.01
"""How near a figure must be to the data sheet's to be quoted from it."""
STEPS = re.compile(r"(?:steps?|iterations?|updates?)\b", re.IGNORECASE)
EXACTLY, ROUNDED, LARGEST_BATCH = 1e-4, 0.06, 1e9
"""Batch x length is the tokens of a batch: to the digit, or roughly where no run has so few tokens."""


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
            breath=_breath(entry),
        )
    return Claim(
        quantity.name,
        value,
        said,
        entry.text,
        entry.quote,
        f"line {entry.line}",
        entry.place.because,
        entry.scope,
        of_row=entry.index < 0 and bool(entry.owner),
        breath=_breath(entry),
        either=_either(quantity.name, entry),
    )


OPEN = {
    "gpu_hours": (
        "wall_clock",
        re.compile(r"^[^:]{0,8}\b(?:hours used|compute hours|training hours)\b", re.IGNORECASE),
        None,
    ),
    "global_batch": ("microbatch", None, OF_ALL),
    "tokens_per_second": ("tokens_per_second_per_gpu", None, OF_ALL),
}


def _either(name: str, entry: Placed) -> str:
    """The other quantity that the words around a figure leave open."""
    other, open_where, closed_where = OPEN.get(name, ("", None, None))
    if open_where is not None:
        return (
            other if open_where.search(entry.quote.strip()) and "gpu" not in entry.quote.lower().split(":")[0] else ""
        )
    return other if closed_where is not None and not closed_where.search(f"{entry.quote} {entry.place.because}") else ""


def _breath(entry: Placed) -> int:
    """The number of a figure's sentence; rows of tables are counted below zero."""
    return -2 - entry.line if entry.index < 0 else entry.sentence.first


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


def _main_scopes(read: ReadProse, tables: Sequence[TableReading], adapters: bool) -> frozenset[str]:
    """The scopes that are the run: pre-training or unnamed; fine-tuning too where the run is one."""
    telling = frozenset(["wall_clock", "gpu_hours", "tokens", "steps", "epochs"])
    placed, both = read.placed, frozenset({"", "fine-tuning"})
    if any(
        p.said == "fine-tuning" and p.tagged and p.place.quantity in ("gpus", "wall_clock", "gpu_hours") for p in placed
    ):
        return both
    title = read.prose.blocks[0].text.lower() if read.prose.blocks else ""
    if len(title) < TITLE and any(word in title for word in FINE_TUNING):
        return both
    plain = any(p.scope == "" and p.place.quantity in telling for p in placed)
    plain = plain or any(
        entry.place.quantity in telling for table in tables for row in table.rows for entry in row.entries
    )
    counted = telling | {"gpus", "nodes"}
    tuned = any(p.scope == "fine-tuning" and (adapters or p.place.quantity in counted) for p in placed)
    return both if tuned and not plain else frozenset({""})


def _one_each(claims: Sequence[Claim], tagged: Sequence[bool]) -> tuple[list[Claim], list[Claim]]:
    """One claim for each quantity that identities use: tagged before told before assumed, first before later."""
    order = sorted(
        range(len(claims)),
        key=lambda i: (
            not tagged[i],
            claims[i].shared,
            claims[i].spread.reason == "range" and claims[i].quantity == "wall_clock",
            claims[i].because in ("", *PARTS),
            claims[i].quantity == "parameters" and i,
            i,
        ),
    )
    order = _last_of_counters(claims, order)
    best: dict[str, int] = {}
    for index in order:
        claim = claims[index]
        if claim.scope:
            continue
        first = best.setdefault(claim.quantity, index)
        if claim.spread.sigma < claims[first].spread.sigma and _same(claim, claims[first]):
            best[claim.quantity] = index
    rates = {claim.value for claim in claims if claim.quantity == "learning_rate" and not claim.scope}
    peak_rate = max(rates) if len(rates) > 2 else 0.0
    kept, aside = [], []
    scheduled = _schedules([claim for claim in claims if not claim.scope])
    for index, claim in enumerate(claims):
        if claim.scope:
            aside.append(claim)
        elif claim.quantity == "learning_rate" and claim.value < peak_rate:
            aside.append(replace(claim, scope="on the way down"))
        elif best[claim.quantity] == index or not QUANTITIES[claim.quantity].checked:
            kept.append(replace(claim, spread=scheduled.get(claim.quantity, claim.spread)))
        else:
            if not _same(claim, claims[best[claim.quantity]]):
                aside.append(replace(claim, scope=f"another figure for {claim.title}"))
    return kept, aside


COUNTERS = frozenset(["tokens", "steps", "samples"])


def _last_of_counters(claims: Sequence[Claim], order: list[int]) -> list[int]:
    """Of a counter that a log prints again and again, growing, the last is the run's."""
    for name in COUNTERS:
        seen = [n for n, claim in enumerate(claims) if claim.quantity == name and not claim.scope]
        values = [claims[n].value for n in seen]
        if len(set(values)) >= 3 and values == sorted(values):
            order = [seen[-1], *(n for n in order if n != seen[-1])]
    return order


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


def _memory_from_name(claims: list[Claim], facts: Sequence[Fact]) -> list[Claim]:
    """The memory that the accelerator is named with, where the text gives no other: ``A100-80GB``."""
    said = next((fact for fact in facts if fact.name == "accelerator"), None)
    found = MEMORY_IN_NAME.search(said.quote) if said is not None else None
    if said is None or found is None or any(claim.quantity == "memory_per_gpu" for claim in claims):
        return claims
    value = 1e9 * float(found[1])
    spread_ = Spread(value, BINARY, "as the card is named")
    return [*claims, Claim("memory_per_gpu", value, spread_, found[0], said.quote, said.place, NAME_OF_CARD)]


MEMORY_IN_NAME = re.compile(r"(?<!\d)(16|24|32|40|48|64|80|94|96|128|141|180|192|256|288)[ -]?Gi?B?\b", re.IGNORECASE)


def _size_from_name(claims: list[Claim], facts: Sequence[object]) -> list[Claim]:
    """A model's size from its name, where the text gives no other: ``LongVILA-7B``."""
    if any(claim.quantity == "parameters" for claim in claims):
        return claims
    found = size_in_name(facts)
    return [*claims, found] if found else claims
