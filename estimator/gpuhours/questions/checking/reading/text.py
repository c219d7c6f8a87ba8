"""Splits a text into runs: reads any of the formats, places every figure, and gives each to its run.

The reader never guesses silently. A figure whose quantity comes from its unit alone is marked; a second figure for a quantity is set aside
and shown; figures about fine-tuning or evaluation are not part of the run's check.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.checking.accelerators import find_accelerator
from gpuhours.questions.checking.claim import ALONE, TAGGED, Claim, Document, Fact, Paper, Unplaced
from gpuhours.questions.checking.quantities import QUANTITIES
from gpuhours.questions.checking.reading.claims.belonging import doubtful_sentences, marked
from gpuhours.questions.checking.reading.claims.energies import before_and_behind
from gpuhours.questions.checking.reading.claims.equations import miscalculated
from gpuhours.questions.checking.reading.claims.facts import accelerator_name, find_facts, with_memory
from gpuhours.questions.checking.reading.claims.ratios import held, misjudged
from gpuhours.questions.checking.reading.claims.settled import in_their_sense, one_each, with_names
from gpuhours.questions.checking.reading.claims.stated import claim_of
from gpuhours.questions.checking.reading.figures.labels import with_lent_units
from gpuhours.questions.checking.reading.figures.numbers import scan
from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.formats.blocks import Cell, Passage, Prose, Table, prose_of
from gpuhours.questions.checking.reading.formats.headings import with_headings
from gpuhours.questions.checking.reading.formats.logs import (
    in_grams,
    with_bars,
    with_mean_time,
    with_pairs,
    without_line_marks,
)
from gpuhours.questions.checking.reading.formats.markup import pieces
from gpuhours.questions.checking.reading.formats.pages import by_pages
from gpuhours.questions.checking.reading.naming.names import mentions
from gpuhours.questions.checking.reading.ownership.sections import about, compared_blocks, side_blocks
from gpuhours.questions.checking.reading.ownership.subject_changes import is_compared
from gpuhours.questions.checking.reading.runs.casting import RUN_QUANTITIES
from gpuhours.questions.checking.reading.runs.division import TITLE, Division, TextRun, divide
from gpuhours.questions.checking.reading.runs.parts import CLASHING
from gpuhours.questions.checking.reading.sentences.placed import Placed, ReadProse, without_tags
from gpuhours.questions.checking.reading.sentences.prose import quote, read_prose
from gpuhours.questions.checking.reading.sentences.questions import without_speakers
from gpuhours.questions.checking.reading.sentences.scopes import FINE_TUNING
from gpuhours.questions.checking.reading.sentences.subjects import with_headings_values
from gpuhours.questions.checking.reading.tables.bills import read_bill
from gpuhours.questions.checking.reading.tables.table_rows import TableReading
from gpuhours.questions.checking.reading.tables.tables import read_table, set_aside
from gpuhours.questions.checking.reading.vocabulary.language import language_of
from gpuhours.questions.checking.reading.vocabulary.run_words import DERIVED, MEASURES, SEVERAL, holds
from gpuhours.questions.checking.reading.vocabulary.side_words import BESIDE_SECTIONS

LONGEST_DOCUMENT = 2_000_000


def _captioned(found: Sequence[Passage | Table]) -> list[Passage | Table]:
    """The pieces of a text, its tables with the caption that stands in the passage before them, or else behind them."""

    def with_caption(piece: Passage | Table, beside: Passage | Table | None) -> Passage | Table:
        captions = isinstance(beside, Passage) and beside.text.startswith("Table")
        if isinstance(piece, Table) and isinstance(beside, Passage) and captions and not piece.caption:
            return replace(piece, caption=beside.text)
        return piece

    found = [with_caption(piece, before) for before, piece in zip([None, *found], found, strict=False)]
    return [with_caption(piece, behind) for piece, behind in zip(found, [*found[1:], None], strict=False)]


def _prose(found: Sequence[Passage | Table], text: str) -> Prose:
    """The passages as prose, with pairs of keys and values and lent units written out."""
    total_batch = any(name in text.lower() for name in TOTAL_BATCHES)
    accumulates = "block_size" in text and "gradient_accumulation_steps" in text
    return prose_of(
        [
            replace(p, text=with_lent_units(with_pairs(p.text, total_batch=total_batch, accumulates=accumulates)))
            for p in found
            if isinstance(p, Passage)
        ]
    )


def read_paper(text: str, name: str = "text", kind: str = "") -> Paper:
    """All figures of a text, by run; ``kind`` is the file's suffix, which decides the format if the text does not."""
    if len(text) > LONGEST_DOCUMENT:
        raise EstimateError(f"has {len(text):,} characters", "Check one run's section at a time.", name)
    found = _captioned(pieces(without_speakers(with_bars(with_mean_time(in_grams(without_line_marks(text))))), kind))
    found, foreign = _in_english(with_headings_values(with_headings(found)))
    prose = _prose(found, text)
    read = read_prose(prose, name)
    tables = _tables(found, read)
    said = next((" ".join(text.split()) for tag, text in _tagged(read) if tag == "model"), "")
    adapters = any(item.text.lower().startswith(ADAPTERS) for item in read.items)
    scopes = _main_scopes(read, tables, adapters)
    read.placed[:] = [replace(entry, scope="") if entry.scope in scopes else entry for entry in read.placed]
    division = divide(read, tables, said)
    others = _of_others(read, division)
    facts = find_facts(read.items, prose, read.tagged, _elsewhere(read, tables), _settings(found, tables), others)
    if division.name and not said:
        line = prose.line(max(prose.text.find(division.name), 0))
        facts = (
            *(fact for fact in facts if fact.name != "model"),
            Fact("model", division.name, division.name, f"line {line}"),
        )
    if not any(fact.name == "accelerator" for fact in facts):
        facts = (*facts, *_device_of_tables(division, tables))
    if len(division.runs) == 1 and not any(fact.name == "model" for fact in facts):
        heads = (row for piece in found if isinstance(piece, Table) for row in piece.rows[: piece.head])
        facts = (*facts, *_base_of(read, [cell for row in heads for cell in row]))
    several = len(division.runs) > 1
    shared = [(entry, replace(claim_of(entry), shared=several)) for entry in division.shared]
    doubtful = doubtful_sentences(read)
    runs = tuple(_document(run, division, shared, facts, name) for run in division.runs)
    runs = tuple(replace(run, claims=tuple(marked(run.claims, run.set_aside, doubtful))) for run in runs)
    aside = tuple(replace(claim_of(entry), scope=why) for entry, why in division.aside)
    left = (*foreign, *read.unplaced, *(number for table in tables for number in table.unplaced))
    if len(runs) == 1 and (read.tagged or _is_alone(prose.text, (*aside, *runs[0].set_aside))):
        runs = (replace(runs[0], facts=(*runs[0].facts, Fact(ALONE, TAGGED if read.tagged else "yes"))),)
    return by_pages(
        Paper(name, runs, aside, left, (*miscalculated(prose), *misjudged(prose)), tuple(held(prose))), text
    )


def _in_english(found: list[Passage | Table]) -> tuple[list[Passage | Table], list[Unplaced]]:
    """The pieces that are in English, and the figures of those that are not."""
    words = {id(piece): _words(piece) for piece in found}
    whole = language_of(" ".join(words.values()))
    kept: list[Passage | Table] = []
    left: list[Unplaced] = []
    for piece in found:
        language = language_of(words[id(piece)]) or (whole if isinstance(piece, Table) or _is_short(piece) else "")
        if not language:
            kept.append(piece)
            continue
        reason = f"is in {language}; only English is read"
        for item in scan(words[id(piece)]):
            if isinstance(item, Figure):
                shown = quote(words[id(piece)], item)
                left.append(Unplaced(without_tags(item.text), shown, f"line {piece.line}", reason))
    return kept, left


def _words(piece: Passage | Table) -> str:
    """The text of a piece, with its line breaks."""
    return (
        piece.text if isinstance(piece, Passage) else "\n".join(" | ".join(c.text for c in row) for row in piece.rows)
    )


def _is_short(piece: Passage) -> bool:
    """Whether a passage has too few words to detect its language."""
    return len(piece.text.split()) < SHORTEST


SHORTEST = 12
TOTAL_BATCHES = ("total_train_batch_size", "global batch", "total batch size", "effective batch")
"""Names of a batch over all devices; if one occurs, a plain batch is that of one device."""


def _elsewhere(read: ReadProse, tables: Sequence[TableReading]) -> set[int]:
    """The blocks that say nothing about the run: about other models, use, or what was adapted from it later."""
    trained = _trains(read) or any(_of_training(table) for table in tables)
    return compared_blocks(read.prose) | (side_blocks(read.prose) if trained else set())


def _trains(read: ReadProse) -> bool:
    """Whether the prose gives figures of training outside sections about use or adaptation."""
    beside = side_blocks(read.prose)
    return any(
        entry.place.quantity in RUN_QUANTITIES and read.prose.block(entry.figure.start) not in beside
        for entry in read.placed
    )


def _tables(found: Sequence[Passage | Table], read: ReadProse) -> list[TableReading]:
    """The tables of a text; those under a heading about use or adaptation are set aside if the rest is about training."""
    tables: list[tuple[TableReading, str]] = []
    under = ""
    before = ""
    for piece in found:
        if isinstance(piece, Table):
            beside = (
                under or about(piece.caption.split(".")[0]).name or (SHORT_RUNS if _tells_of_short_runs(before) else "")
            )
            tables.append((read_bill(piece) or read_table(piece), beside))
        elif piece.kind == "heading":
            under = about(piece.text).name
        before = piece.text if isinstance(piece, Passage) else ""
    trained = _trains(read) or any(not under and _of_training(table) for table, under in tables)
    return [set_aside(table, f"about {under}") if under in LEFT_OUT and trained else table for table, under in tables]


SHORT_RUNS = "short measurements"
MEASURED_ONLY = (
    "short measurement*", "short run*", "short benchmark*", "iterations each", "steps each", "measured over", "averaged over",
    "strong scaling", "weak scaling", "scaling test*", "scaling run*", "micro-benchmark*", "microbenchmark*",
)  # fmt: skip
"""Phrases of a line above a table of speeds that were measured apart from any run."""
LONGEST_LINE = 140


def _tells_of_short_runs(text: str) -> bool:
    """``Short measurements, 200 iterations each:``: whether the line above a table says that its rows are measurements and no runs."""
    line = text.strip()
    return len(line) <= LONGEST_LINE and line.endswith(":") and holds(line.lower(), MEASURED_ONLY)


LEFT_OUT = (SHORT_RUNS, *BESIDE_SECTIONS, "experiments beside the run", "a hypothetical case")
"""Headings whose tables give no run."""


def _of_training(table: TableReading) -> bool:
    return any(
        entry.place.quantity in RUN_QUANTITIES and not entry.aside for row in table.rows for entry in row.entries
    )


def _is_alone(text: str, aside: Sequence[Claim]) -> bool:
    """Whether a text is about one run only: no second figure for what a run has once, and no word for several runs."""
    lowered = text.lower()
    rivals = [claim for claim in aside if claim.quantity in CLASHING and not claim.scope.startswith("belongs to")]
    return not rivals and not holds(lowered, SEVERAL)


ADAPTERS = ("lora", "qlora", "low-rank")
"""Words for training adapters, which is fine-tuning."""


def _tagged(read: ReadProse) -> list[tuple[str, str]]:
    """The text between tags, with the tag."""
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
    """The only sized model in a text that does not name its own: the trained model has its network. Empty unless there is exactly one."""
    found: dict[float, Fact] = {}
    for sentence in read.sentences:
        for mention in mentions(read.items, sentence.first, sentence.last, ()):
            if mention.size and not is_compared(read.items, mention.first, sentence, MEASURES):
                line = read.prose.line(read.items[mention.first].start)
                found.setdefault(mention.size, Fact("model", mention.shown, mention.shown, f"line {line}"))
    for head in heads:
        items = scan(head.text)
        for mention in mentions(items, 0, len(items), ()):
            if mention.size:
                found.setdefault(mention.size, Fact("model", mention.shown, head.text, f"line {head.line}"))
    return list(found.values()) if len(found) == 1 else []


def _of_others(read: ReadProse, division: Division) -> set[int]:
    """Positions of figures set aside, and of all words in sentences where every figure is: their devices are not the run's."""
    aside = {entry.index: why for entry, why in division.aside if entry.index >= 0}
    whole: dict[int, bool] = {}
    for entry in read.placed:
        whole[id(entry.sentence)] = whole.get(id(entry.sentence), True) and entry.index in aside
    found = {read.items[index].start for index, why in aside.items() if why.startswith(("belongs to", "about "))}
    trained = any(entry.place.quantity in ("gpus", "nodes", "gpu_hours") and not entry.scope for entry in read.placed)
    if any(entry.place.quantity == "gpus" and not entry.scope for entry in read.placed):
        found |= {entry.figure.start for entry in read.placed if entry.scope == "evaluation"}
    for sentence in read.sentences if trained else ():
        devices = (n for n in range(sentence.first, sentence.last) if read.items[n].kind == "device")
        found |= {read.items[n].start for n in devices if sentence.scope_at(n) == "evaluation"}
    for sentence in {id(entry.sentence): entry.sentence for entry in read.placed if whole[id(entry.sentence)]}.values():
        found |= {item.start for item in read.items[sentence.first : sentence.last]}
    return found


def _device_of_tables(division: Division, tables: Sequence[TableReading]) -> list[Fact]:
    """The accelerator of the first own run that has one, else of the first table row; empty if there is none."""
    own = [run.accelerator for run in division.runs if run.accelerator]
    named = own or [row.accelerator for table in tables for row in table.rows if row.accelerator]
    return [Fact("accelerator", accelerator_name(said), said, f"line {line}") for said, line in named[:1]]


def _document(
    run: TextRun, division: Division, shared: Sequence[tuple[Placed, Claim]], facts: tuple[Fact, ...], name: str
) -> Document:
    """A run with the figures that apply to all runs, one claim per quantity."""
    several = len(division.runs) > 1
    derived = any(word in run.name.lower() for word in DERIVED)
    of_all = (
        []
        if run.kind == "total"
        else [(entry, claim) for entry, claim in shared if not (derived and several and entry.place.quantity in READ)]
    )
    claims = [*(claim_of(entry) for entry in run.entries), *(claim for _, claim in of_all)]
    tagged = [entry.tagged for entry in (*run.entries, *(entry for entry, _ in of_all))]
    claims = in_their_sense(claims, facts)
    kept, aside = (claims, []) if run.kind == "total" else before_and_behind(*one_each(claims, tagged))
    if (named := run.accelerator or (_own_device(run) if several else None)) is not None:
        said, line = named
        spoken = [Item("device", fact.quote, 0, 0) for fact in facts if fact.name == "accelerator"]
        said = exact.text if (exact := with_memory(said, spoken)) else said
        device = Fact("accelerator", accelerator_name(said), said, f"line {line}")
        facts = (*(fact for fact in facts if fact.name != "accelerator" or (not several and fact.quote)), device)
    if several:
        facts = (
            *(fact for fact in facts if fact.name != "model"),
            Fact("model", run.name, run.name, f"line {min((e.line for e in run.entries), default=1)}"),
        )
    if several and any(entry.place.quantity in LAYOUT for other in division.runs for entry in other.entries):
        facts = (*facts, Fact("layout", "given for another run"))
    kept = kept if run.kind == "total" else with_names(kept, facts)
    return Document(run.name if several else name, tuple(kept), facts, (), tuple(aside), run.kind)


def _own_device(run: TextRun) -> tuple[str, int] | None:
    """The device that the prose counts for this run, since runs may differ; None if there is none."""
    told = [
        (entry.figure.device, entry.line)
        for entry in run.entries
        if entry.place.quantity in ("gpus", "gpu_hours", "gpus_per_node") and find_accelerator(entry.figure.device)
    ]
    return told[0] if told else None


CHECKED = frozenset(name for name, quantity in QUANTITIES.items() if quantity.checked) - {"parameters"}
FROM_SCRATCH = ("from scratch", "then fine-tun", "then finetun", "before fine-tun", "afterwards")
"""Words of a text in which something else was trained first."""
LAYOUT = ("tensor", "pipeline", "context")
READ = frozenset(["tokens", "dataset_tokens", "samples", "dataset_samples", "epochs"])


def _main_scopes(read: ReadProse, tables: Sequence[TableReading], adapters: bool) -> frozenset[str]:
    """The scopes that are the run: pre-training or unnamed, and also fine-tuning if that is the run."""
    telling = frozenset(["wall_clock", "gpu_hours", "tokens", "steps", "epochs"])
    placed, both = read.placed, frozenset({"", "fine-tuning"})
    if any(
        p.said == "fine-tuning" and p.tagged and p.place.quantity in ("gpus", "wall_clock", "gpu_hours") for p in placed
    ):
        return both
    title = read.prose.blocks[0].text.lower() if read.prose.blocks else ""
    if len(title) < TITLE and any(word in title for word in FINE_TUNING):
        return both
    lowered = read.prose.text.lower()
    said = {scope: {p.place.quantity for p in placed if p.scope == scope} for scope in both}
    scopes = {scope: quantities & CLASHING for scope, quantities in said.items()}
    if (
        "pretrain" not in lowered
        and "pre-train" not in lowered
        and said["fine-tuning"] - {"parameters"}
        and not (said[""] & said["fine-tuning"] & CHECKED)
        and not (scopes[""] and any(word in lowered for word in FROM_SCRATCH))
    ):
        return both  # nothing else is trained
    plain = any(p.scope == "" and p.place.quantity in telling for p in placed)
    plain = plain or any(
        entry.place.quantity in telling for table in tables for row in table.rows for entry in row.entries
    )
    counted = telling | {"gpus", "nodes"}
    tuned = any(p.scope == "fine-tuning" and (adapters or p.place.quantity in counted) for p in placed)
    return both if tuned and not plain else frozenset({""})
