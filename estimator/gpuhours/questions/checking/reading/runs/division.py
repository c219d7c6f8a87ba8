"""Splits a text into runs: table rows, list items that differ, names in prose, lists "in this order"; otherwise one run.

A run is one training whose figures must be consistent. A figure that the text ties to none of several runs applies to all of them (a batch,
a price) or is their sum (hours, energy or cost beside words of a sum). A figure that belongs to someone else, or is not about the run, is
set aside with its owner or the reason.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import field, replace

from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.quantities import HOUR, QUANTITIES
from gpuhours.questions.checking.reading.naming.cast import Cast, Owner
from gpuhours.questions.checking.reading.naming.names import same_name, stem
from gpuhours.questions.checking.reading.ownership.main_model import main_model
from gpuhours.questions.checking.reading.ownership.subject_changes import OF_A_BASE
from gpuhours.questions.checking.reading.runs.casting import (
    RUN_QUANTITIES,
    cast_of,
    titled,
)
from gpuhours.questions.checking.reading.runs.choosing import choose
from gpuhours.questions.checking.reading.runs.nodes import of_the_only_machine
from gpuhours.questions.checking.reading.runs.parts import (
    alike,
    value_of,
    whole_of_a_stage,
    with_later_stages,
)
from gpuhours.questions.checking.reading.sentences.placed import OF_ITS_BASE, Placed, ReadProse
from gpuhours.questions.checking.reading.sentences.scopes import Sentence
from gpuhours.questions.checking.reading.tables.table_rows import TableReading, TableRow
from gpuhours.questions.checking.reading.vocabulary.run_words import is_total
from gpuhours.questions.checking.reading.vocabulary.side_words import OF_MACHINES_ALONE

SUMS = ("gpu_hours", "energy", "carbon", "cost", "wall_clock", "steps", "tokens", "node_hours", "model_flops")
"""Quantities that add up over runs."""
MACHINES = frozenset(
    [
        "gpus",
        "nodes",
        "gpu_hours",
        "node_hours",
        "wall_clock",
        "cost",
        "energy",
        "carbon",
        "memory_per_gpu",
        "power",
        "gpus_per_node",
        "price",
    ]
)
ON_A_MACHINE = frozenset(
    ["microbatch", "accumulation", "tensor", "pipeline", "data_parallel", "step_time", "steps_per_second", "tokens_per_second",
     "samples_per_second", "flops_per_second", "gpu_power"]
)  # fmt: skip
"""How a run is laid out on its machine and how fast it is there; another machine has another layout and speed."""
LAID_OUT = frozenset(["tensor", "pipeline", "microbatch", "accumulation"])
"""How one replica is laid out, which is how the run is."""
OF_ONE_RUN = frozenset(["wall_clock", "gpu_hours", "node_hours", "cost", "energy", "carbon"])
"""Quantities that differ between runs: if no run is named, such a figure belongs to none."""
OF_EACH = frozenset(
    ["tokens", "dataset_tokens", "epochs", "seq_len", "global_batch", "global_batch_tokens", "learning_rate", "weight_decay", "mfu",
     "memory_per_gpu", "vocabulary", "tensor", "pipeline", "warmup_steps", "samples", "dataset_samples"]
)  # fmt: skip
"""Quantities that apply to each of the runs named together; hours and money may be for all of them."""
ENDS = frozenset(["parameters", "tokens", "dataset_tokens", "active_parameters"])
"""For these, the two ends of a wide range belong to different runs."""
TITLE = 90
"""The longest first paragraph, in characters, that may be a title."""
NO_SENTENCE = Sentence(0, 0, "", ())


@dataclass
class TextRun:
    """A run of a text: its name, its figures, and the device that its row names."""

    name: str
    kind: str = "own"
    """``own`` or ``total``"""
    entries: list[Placed] = field(default_factory=list)
    accelerator: tuple[str, int] | None = None


@dataclass
class Division:
    """The runs of a text, the figures that apply to all of them, and the figures set aside, each with the reason."""

    runs: list[TextRun]
    shared: list[Placed]
    aside: list[tuple[Placed, str]]
    name: str = ""


def divide(read: ReadProse, tables: Sequence[TableReading], said: str) -> Division:
    """Assigns every placed figure to a run, to all runs, or to those set aside."""
    titles = [
        block.text
        for n, block in enumerate(read.prose.blocks)
        if block.kind == "heading" or (n == 0 and len(block.text) < TITLE)
    ][:2]
    rows = [row for table in tables for row in table.rows]
    main = main_model(read, titles, said or titled(rows, titles))
    cast, owners = choose(read, cast_of(read, tables, main, titles), main, titles)
    found = Division([], [], [], main)
    runs: dict[str, TextRun] = {}
    for row in rows:
        _take_row(row, cast, runs, found)
    for entry, owner in zip(read.placed, owners, strict=True):
        _take(entry, owner, runs, found)
    for run in [run for run in runs.values() if run.kind == "own" and len(runs) > 1]:
        whole_of_a_stage(run.name, run.entries)
    _settle(runs, found, main)
    return found


def _take_row(row: TableRow, cast: Cast, runs: dict[str, TextRun], found: Division) -> None:
    """Takes the figures of one table row."""
    other = next((name for name in cast.others if same_name(name, row.name)), None) if row.name else None
    name = cast.run(row.name) if row.name and other is None else None
    for order, entry in enumerate(row.entries):
        quote = f"{row.name} · {entry.quote}" if row.name else entry.quote
        placed = Placed(
            -1 - order,
            entry.figure,
            NO_SENTENCE,
            entry.place,
            "",
            False,
            "",
            quote,
            entry.line,
            row.name,
            order,
            entry.text,
        )
        if other is not None or entry.aside:
            found.aside.append((placed, f"belongs to {other}" if other else entry.aside))
        elif (row.total or (not row.name and is_total(entry.label))) and entry.place.quantity in SUMS:
            _run(runs, "total").entries.append(placed)
        elif not row.name and (named := cast.run(entry.label)) is not None:
            _run(runs, named).entries.append(placed)
        elif name is not None:
            _run(runs, name).entries.append(placed)
            _run(runs, name).accelerator = _run(runs, name).accelerator or row.accelerator
        else:
            found.shared.append(placed)


def _run(runs: dict[str, TextRun], name: str) -> TextRun:
    return runs.setdefault(
        name, TextRun(name if name != "total" else "all together", "total" if name == "total" else "own")
    )


def _take(entry: Placed, owner: Owner, runs: dict[str, TextRun], found: Division) -> None:
    """Takes a figure of the prose."""
    if owner.name.startswith(OF_A_BASE) and entry.place.quantity in NETWORK:
        found.shared.append(replace(entry, place=replace(entry.place, because=OF_ITS_BASE)))
    elif owner.kind == "other":
        found.aside.append((entry, f"belongs to {owner.name}"))
    elif entry.figure.progression and entry.place.quantity in MACHINES | ENDS:
        found.aside.append((entry, "one end of a range"))
    elif (
        owner.kind == "side"
        and (owner.name not in OF_MACHINES_ALONE or entry.place.quantity in MACHINES | ON_A_MACHINE)
        and (owner.name != "a part of the machine" or entry.place.quantity not in LAID_OUT)
        and _is_checked(entry)
    ):
        found.aside.append((entry, f"about {owner.name}"))
    elif owner.kind == "own":
        for name in (owner.name, *(owner.also if entry.place.quantity in OF_EACH else ())):
            _run(runs, name).entries.append(entry)
    elif owner.kind == "total":
        _run(runs, "total").entries.append(entry)
    else:
        found.shared.append(entry)


NETWORK = frozenset(["parameters", "active_parameters", "layers", "hidden", "heads", "vocabulary", "experts"])


def _is_checked(entry: Placed) -> bool:
    return QUANTITIES[entry.place.quantity].checked


def _settle(runs: dict[str, TextRun], found: Division, main: str) -> None:
    """Decides between one run and several; names without figures of a run are merged or set aside."""
    own = [run for name, run in runs.items() if name != "total"]
    real = [run for run in own if any(e.place.quantity in RUN_QUANTITIES and not e.scope for e in run.entries)]
    if not real:
        real = _family(own)
    total = runs.get("total")
    if len(real) < 2:
        merged = TextRun(real[0].name if real else main)
        merged.accelerator = real[0].accelerator if real else None
        kept = {id(run) for run in real}
        for run in own:
            if (
                id(run) in kept
                or not real
                or same_name(run.name, merged.name)
                or (_same_family(run, merged) and not _another_size(run, real))
            ):
                merged.entries += run.entries
            else:
                found.aside += [(entry, f"belongs to {run.name}") for entry in run.entries]
        merged.entries += found.shared + (total.entries if total else [])
        merged.entries.sort(key=_place_in_text)
        whole = with_later_stages(merged.entries)
        found.runs, found.shared = [merged, *([TextRun("all together", "total", whole)] if whole else [])], []
        return
    found.runs = real
    for run in own:
        if run not in real:
            found.shared += run.entries
    totals = total.entries if total else []
    totals += _sums_among(real, found)
    totals = [entry for entry in totals if not _is_product(entry, real)]
    found.shared = [entry for entry in found.shared if not _is_product(entry, real)]
    kept_shared: list[Placed] = []
    for entry in found.shared:
        (totals if not entry.scope and _is_sum(entry, real) else kept_shared).append(entry)
    found.shared = kept_shared
    sums = [entry for entry in totals if entry.place.quantity in SUMS]
    found.shared += [entry for entry in totals if entry.place.quantity not in SUMS]
    if sums:
        found.runs.append(TextRun("all together", "total", sums))
    found.shared = _undisputed(found)


def _sums_among(runs: Sequence[TextRun], found: Division) -> list[Placed]:
    """Removes and returns figures that are the sum of the runs' figures for the same quantity: ``The 1,730 steps cost ...``."""
    sums: list[Placed] = []
    parts = {
        quantity: [
            value
            for run in runs
            if (value := next((value_of(e) for e in run.entries if e.place.quantity == quantity and not e.scope), 0.0))
            > 0
        ]
        for quantity in SUMS
    }
    for entries in (*(run.entries for run in runs), found.shared):
        seen: set[str] = set()
        for entry in list(entries):
            quantity = entry.place.quantity
            many = parts.get(quantity, [])
            first = quantity not in seen and entries is not found.shared
            seen.add(quantity)
            if first or len(many) < 2 or entry.index < 0:
                continue
            if abs(value_of(entry) / sum(many) - 1) < ADDS_UP:
                entries.remove(entry)
                sums.append(entry)
    return sums


ADDS_UP = 0.003


def _is_product(entry: Placed, runs: Sequence[TextRun]) -> bool:
    """Gives GPU-hours to the one run without any whose GPUs x time match (``8 x 24 = 192 GPU hours for us``); returns whether one does."""
    if entry.place.quantity != "gpu_hours":
        return False
    makers = []
    for run in runs:
        held = {e.place.quantity: value_of(e) for e in reversed(run.entries) if not e.scope}
        hours = held.get("gpus", 0.0) * held.get("wall_clock", 0.0) / HOUR
        if "gpu_hours" not in held and abs(value_of(entry) / (hours or math.inf) - 1) < ADDS_UP:
            makers.append(run)
    if len(makers) == 1:
        makers[0].entries.append(entry)
    return len(makers) == 1


def _family(own: Sequence[TextRun]) -> list[TextRun]:
    """The members of a family that a text lists only by size; empty unless at least two have different sizes."""
    size = ("parameters", "vision_parameters")
    sized = [run for run in own if any(e.place.quantity in size for e in run.entries)]
    values = [next(value_of(e) for e in run.entries if e.place.quantity in size) for run in sized]
    return sized if len(sized) > 1 and any(not alike(values[0], value) for value in values) else []


def _undisputed(found: Division) -> list[Placed]:
    """The figures for all runs; those that one run cannot share, or machines that differ, are set aside, since no run is named."""
    kept = []
    first: dict[str, float] = {}
    disputed: set[str] = set()
    for entry in found.shared:
        if not entry.scope and not alike(first.setdefault(entry.place.quantity, value_of(entry)), value_of(entry)):
            disputed.add(entry.place.quantity)
    sure = of_the_only_machine(found.shared, [run.entries for run in found.runs if run.kind == "own"])
    for entry in found.shared:
        if id(entry) not in sure and entry.place.quantity in OF_ONE_RUN | (MACHINES & disputed):
            found.aside.append((entry, "no run is named"))
        else:
            kept.append(entry)
    return kept


def _same_family(run: TextRun, other: TextRun) -> bool:
    return stem(run.name) == stem(other.name)


def _another_size(run: TextRun, real: Sequence[TextRun]) -> bool:
    """Whether a sibling has its own parameter count, as in a list of a family's sizes."""
    return bool(real) and any(entry.place.quantity == "parameters" for entry in run.entries)


def _place_in_text(entry: Placed) -> tuple[int, int]:
    return entry.line, max(entry.index, entry.order)


def _is_sum(entry: Placed, runs: Sequence[TextRun]) -> bool:
    """Whether an amount without a name is the sum of the runs: it is larger than every run's, or no run has one."""
    if entry.place.quantity not in ("gpu_hours", "energy", "carbon", "cost", "node_hours", "model_flops"):
        return False
    parts = [value_of(e) for run in runs for e in run.entries if e.place.quantity == entry.place.quantity]
    alone = not parts and entry.place.quantity != "model_flops"  # FLOPs given once may be those of each run
    return alone or (len(parts) >= 2 and value_of(entry) > 1.02 * max(parts))
