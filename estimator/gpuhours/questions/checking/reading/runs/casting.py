"""Finds the runs and models that tables, titles and lists name, and which of them are the authors' own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.naming.cast import Cast, sized
from gpuhours.questions.checking.reading.naming.names import same_name, size_of, stem, words_of
from gpuhours.questions.checking.reading.runs.coordination import lists_in_order
from gpuhours.questions.checking.reading.sentences.placed import ReadProse
from gpuhours.questions.checking.reading.tables.table_rows import TableReading, TableRow
from gpuhours.questions.checking.reading.vocabulary.run_words import OURS_IN_NAMES, holds

RUN_QUANTITIES = frozenset(
    ["gpu_hours", "wall_clock", "gpus", "nodes", "steps", "tokens", "energy", "carbon", "cost", "samples", "model_flops", "mfu",
     "node_hours",
     "flops_per_second_per_gpu", "tokens_per_second", "tokens_per_second_per_gpu", "step_time", "dataset_tokens"]
)  # fmt: skip
"""A row or item with one of these quantities is a run."""


def with_sizes_in_order(read: ReadProse, cast: Cast) -> Cast:
    """Adds the sizes of ``models with 650M, 3B and 15B parameters ... for 8, 30 and 60 days, respectively`` to the cast."""
    if cast.own or read.tagged:
        return cast
    for sizes in lists_in_order(read):
        if all(entry.place.quantity == "parameters" for entry in sizes):
            names = {f"{e.figure.digits}{e.figure.scale[:1].upper()}": e.figure.value for e in sizes}
            return replace(cast, own=list(names), sizes=names) if len(names) == len(sizes) else cast
    return cast


MANY = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
SORTS = (
    "size", "model", "variant", "version", "checkpoint", "scale", "flavour", "flavor", "encoder", "network", "decoder", "transformer",
)  # fmt: skip
"""Prefixes of nouns that a count of a family's members stands before."""


def with_sizes_counted(read: ReadProse, cast: Cast) -> Cast:
    """Adds the sizes of ``in two sizes, 8B and 70B`` and ``three models, of 35 million, 150 million and 2.5 billion`` to the cast."""
    if cast.own or read.tagged:
        return cast
    items = read.items
    for at in range(len(items) - 2):
        many = _members_counted(items, at)
        if not many:
            continue
        listed: list[Figure] = []
        for item in items[at + 1 : at + 3 + 6 * many]:
            if isinstance(item, Figure) and item.scale:
                if item.scale not in SCALES_OF_SIZES or item.unit not in ("", "parameter", "model"):
                    break
                listed.append(item)
            elif item.kind == "stop" and item.text != ";":
                break
        if len(listed) == many and len({figure.value for figure in listed}) == many:
            names = {f"{figure.digits}{figure.scale[0].upper()}": figure.value for figure in listed}
            return replace(cast, own=list(names), sizes=names)
    return cast


def _members_counted(items: Sequence[Item], at: int) -> int:
    """How many members of a family are counted at ``at``: ``two sizes``, ``Three models``; 0 if none are."""
    item = items[at]
    words = [*f"{item.text} {items[at + 1].text}".lower().split(), "", ""]
    many = MANY.get(words[0], int(words[0]) if words[0] in FEW else 0)
    return many if many and words[1].startswith(SORTS) else 0


FEW = frozenset("23456")
SCALES_OF_SIZES = ("b", "m", "t", "billion", "million", "trillion")


def titled(rows: Sequence[TableRow], titles: Sequence[str]) -> str:
    """The name of the first row that has a size and whose stem is in a title of the text; empty if there is none."""
    words = {word for title in titles for word in words_of(title)}
    return next((row.name for row in rows if size_of(row.name) and stem(row.name) in words), "")


def cast_of(read: ReadProse, tables: Sequence[TableReading], main: str, titles: Sequence[str]) -> Cast:
    """Builds the cast from the tables: which row names are the authors' runs, which are others', and the authors' stems."""
    rows = [row for table in tables for row in table.rows]
    named = [
        row
        for row in rows
        if row.name and not row.total and any(e.place.quantity in RUN_QUANTITIES and not e.aside for e in row.entries)
    ]
    if not named:
        named = [
            row
            for row in rows
            if row.name and not row.total and any(e.place.quantity == "parameters" for e in row.entries)
        ]
    names: list[str] = []
    first = next((table for table in tables if any(row in table.rows for row in named)), None)
    columns = {row.name for row in first.rows} if first else set()
    for row in named:
        if row.name not in names and (row.name in columns or not any(same_name(name, row.name) for name in names)):
            names.append(row.name)
    ours = _our_stems(read)
    marked = [name for name in _beside_ours(tables) if stem(name) not in ours]
    parts = any(table.names in PARTS_HEADS for table in tables if any(row in table.rows for row in named))
    others = marked or _other_models(tables, main)
    if not others and not parts:
        others = _others(read, names, [row.name for row in rows if row.name], main, titles)
    own = [name for name in names if name not in others]
    cast = Cast(own, others)
    cast.sizes = sized(own)
    for row in named:
        size = next((e.figure.value for e in row.entries if e.place.quantity == "parameters"), None)
        run = cast.run(row.name)
        if size and run:
            cast.sizes[run] = size
    cast.main = main
    cast.stems = {stem(name) for name in [*own, main] if stem(name)}
    return cast


def _beside_ours(tables: Sequence[TableReading]) -> list[str]:
    """The other rows of each table in which some row is marked as the authors' own."""
    found = []
    for table in tables:
        if all(entry.aside for row in table.rows for entry in row.entries):
            continue  # parts of the data, not runs
        ours = [row.name for row in table.rows if holds(row.name.lower(), OURS_IN_NAMES)]
        found += [row.name for row in table.rows if ours and row.name and row.name not in ours and not row.total]
    return found


def _others(read: ReadProse, names: Sequence[str], every: Sequence[str], main: str, titles: Sequence[str]) -> list[str]:
    """The rows of other people's models: model names in tables where other rows have the authors' own name or size."""
    models = [name for name in dict.fromkeys([*names, *every]) if size_of(name) or re.search(r"[A-Za-z]{2,}-\d", name)]
    told = {word for title in titles for word in words_of(title)} | {stem(main)}
    sizes = _our_sizes(read)
    first = words_of(read.prose.blocks[0].text if read.prose.blocks else "")
    stems = Counter(stem(name) for name in models)
    most, many = stems.most_common(1)[0] if stems else ("", 0)
    for mine in (
        [name for name in models if stem(name) in told],
        [name for name in models if size_of(name) in sizes],
        [name for name in models if stem(name) in first],
        [name for name in models if stem(name) == most and most and many > 1 and len(models) - many < many],
    ):
        if mine and len(mine) < len(models):
            return [name for name in models if name not in mine]
    return []


PARTS_HEADS = frozenset(
    ["module", "component", "part", "stage", "phase", "network", "step", "training stage", "submodel"]
)
"""Headers of columns that list the parts of one training run."""
MODELS_HEADS = frozenset(["model", "models", "method", "methods", "system", "approach", "work", "paper"])


def _other_models(tables: Sequence[TableReading], main: str) -> list[str]:
    """The other rows of a table of models, where one row has the name of the text's own model and most rows do not."""
    found = []
    for table in tables:
        names = [row.name for row in table.rows if row.name and not row.total]
        mine = [name for name in names if stem(main) and stem(name) == stem(main)]
        if table.names in MODELS_HEADS and mine and size_of(mine[0]) and len(names) > 2 * len(mine):
            found += [name for name in names if name not in mine]
    return found


def _our_stems(read: ReadProse) -> set[str]:
    """The stems of names in sentences where the authors say what they train."""
    found: set[str] = set()
    for sentence in read.sentences:
        words = [item.text for item in read.items[sentence.first : sentence.last] if item.kind == "word"]
        lowered = {word.lower() for word in words}
        if lowered & {"we", "our"} and any(word.startswith(("train", "pretrain", "pre-train")) for word in lowered):
            found |= {stem(word) for word in words if word[:1].isupper() and len(stem(word)) > 3}
    return found


def _our_sizes(read: ReadProse) -> set[float]:
    """``our two 7B runs``: the sizes that directly follow ``our`` or ``ours``."""
    found = set()
    for index, item in enumerate(read.items):
        if item.text.lower() in ("our", "ours"):
            near = read.items[index + 1 : index + 5]
            found |= {
                i.value for i in near if isinstance(i, Figure) and i.scale in ("b", "m", "t", "billion", "million")
            }
    return found
