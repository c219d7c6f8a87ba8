"""The rows of a table: their names, the devices they name, and rows of two-column tables that are runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import field

from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.accelerators import find_accelerator
from gpuhours.questions.checking.claim import Unplaced
from gpuhours.questions.checking.reading.figures.labels import lent, unit_of
from gpuhours.questions.checking.reading.figures.tokens import Figure
from gpuhours.questions.checking.reading.formats.blocks import Cell
from gpuhours.questions.checking.reading.quantities.place import Place
from gpuhours.questions.checking.reading.sentences.pairs import place_pair
from gpuhours.questions.checking.reading.tables.table_forms import (
    begins_with_number,
    numbered_names,
)
from gpuhours.questions.checking.reading.vocabulary.run_words import (
    GENERIC_HEADS,
    is_total,
)

LONGEST_NAME = 60


@dataclass(frozen=True)
class Entry:
    """A figure of a table, its place, and where it is written."""

    figure: Figure
    place: Place
    text: str
    quote: str
    line: int
    label: str = ""
    aside: str = ""
    """Why the figure is not the run's: for example, its column counts something else."""


@dataclass
class TableRow:
    """What a table says about one run; the name is empty if the table is a list of settings."""

    name: str
    total: bool = False
    entries: list[Entry] = field(default_factory=list)
    accelerator: tuple[str, int] | None = None


@dataclass(frozen=True)
class TableReading:
    """The runs of one table, and the numbers that no label explains."""

    rows: tuple[TableRow, ...]
    unplaced: tuple[Unplaced, ...]
    line: int
    names: str = ""
    """The header over the names of the runs."""


Understood = dict[tuple[int, int], list[Entry]]


def counts_something(label: str) -> bool:
    """Whether a label alone says what the numbers under it are."""
    return bool(lent(label, "7") != "7" or place_pair(label, "7"))


AMOUNTS_OF_RUNS = frozenset(["gpu_hours", "node_hours", "wall_clock", "steps", "tokens", "gpus"])


def rows_of_two(found: Understood, cells: Sequence[tuple[int, int, str, Cell]], settings: TableRow) -> list[TableRow]:
    """Makes rows runs if each says what a run took: ``| v0.19 | 500 GPU hours, $400 |`` above ``| v1.0 | 500 GPU hours, $600 |``."""
    labels = {(i, j): label for i, j, label, _ in cells}
    amounts = {
        at: entries
        for at, entries in found.items()
        if len(entries) > 1
        and any(entry.place.quantity in AMOUNTS_OF_RUNS and entry.figure.unit for entry in entries)
        and not unit_of(labels[at])[1]
    }
    told = [{entry.place.quantity for entry in entries} & AMOUNTS_OF_RUNS for entries in amounts.values()]
    if len(amounts) < 2 or not set.intersection(*told):
        return [settings]
    rows = []
    for at, entries in amounts.items():
        row = TableRow(labels[at], is_total(labels[at]), list(entries))
        note_accelerator(row, [entry.figure for entry in entries], entries[0].line)
        rows.append(row)
    kept = {id(entry) for row in rows for entry in row.entries}
    settings.entries = [entry for entry in settings.entries if id(entry) not in kept]
    return [settings, *rows]


def note_accelerator(row: TableRow, figures: Sequence[Figure], line: int) -> None:
    """Records the first known device among a row's figures, if the row has no device yet."""
    named = next((figure.device for figure in figures if figure.device and find_accelerator(figure.device)), None)
    if named and row.accelerator is None:
        row.accelerator = (named, line)


def name_rows(found: Understood, body: Sequence[tuple[Cell, ...]], head: Sequence[str]) -> list[str]:
    """The name of each row: its first cell with words, plus what distinguishes it from rows with the same name."""
    column = next((j for j in range(len(head)) if names_rows(body, j, head[j])), None)
    if column is None:
        return [f"{cells[0].text} {head[0]}".strip() for cells in body]
    names, last = [], ""
    for cells in body:
        summed = not cells[column].text and is_total(cells[0].text)
        last = cells[column].text or last
        names.append(cells[0].text if summed else last[:LONGEST_NAME])
    counts = Counter(names)
    for name in [name for name, count in counts.items() if count > 1]:
        same = [i for i, other in enumerate(names) if other == name]
        apart = [j for j in range(len(head)) if j != column and len({body[i][j].text for i in same}) == len(same)]
        worded = [j for j in apart if (same[0], j) not in found] or apart
        sized = [j for j in apart if any(entry.place.quantity == "parameters" for entry in found.get((same[0], j), []))]
        for number, i in enumerate(same, 1):
            tail = body[i][(sized or worded)[0]].text if apart else f"({number})"
            tail = tail.split(" (")[0] if sized else tail
            names[i] = f"{name} {tail}".strip()
    return names


def names_rows(body: Sequence[tuple[Cell, ...]], j: int, head: str) -> bool:
    """Whether a column holds names: most cells begin with a word, or are model sizes under a header that counts nothing."""
    filled = [cells[j].text for cells in body if cells[j].text]
    if (
        not filled
        or counts_something(head)
        or (head.strip(" $") in ("N", "D", "C") and all(map(begins_with_number, filled)))
    ):
        return False
    if numbered_names(head, filled):
        return True
    words = sum(
        not begins_with_number(text)
        or not head
        or head.lower().strip() in GENERIC_HEADS | {"model", "models", "name", "size"}
        for text in filled
    )
    return 2 * words > len(filled)
