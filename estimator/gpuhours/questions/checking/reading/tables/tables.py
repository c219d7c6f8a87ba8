"""Reads tables into placed figures: which cells are labels, the direction of the table, and the run of each figure.

Every figure is read as the sentence ``label: cell``, once with the column header and once with the row's first cell as the label; the
direction in which more figures are understood is used. A two-column table is a list of settings unless its header counts something. The
other side of the table names the runs; a sum row is the total of all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from gpuhours.questions.checking.accelerators import find_accelerator
from gpuhours.questions.checking.claim import Unplaced
from gpuhours.questions.checking.reading.figures.labels import is_unit, lent, with_lent_units
from gpuhours.questions.checking.reading.figures.numbers import scan
from gpuhours.questions.checking.reading.figures.tokens import Figure
from gpuhours.questions.checking.reading.formats.blocks import Cell, Table
from gpuhours.questions.checking.reading.formats.logs import with_allocation
from gpuhours.questions.checking.reading.formats.marks import in_words
from gpuhours.questions.checking.reading.naming.names import size_of
from gpuhours.questions.checking.reading.quantities.place import Place
from gpuhours.questions.checking.reading.quantities.rates import by_rate
from gpuhours.questions.checking.reading.sentences.pairs import place_pair
from gpuhours.questions.checking.reading.tables.table_forms import (
    BARE_SIZE,
    amount,
    begins_with_number,
    joined,
    label_columns,
    slashed,
    under_sizes,
    unit_of_caption,
    with_own_row,
    with_subheads,
)
from gpuhours.questions.checking.reading.tables.table_rows import (
    LONGEST_NAME,
    Entry,
    TableReading,
    TableRow,
    Understood,
    counts_something,
    name_rows,
    names_rows,
    note_accelerator,
    rows_of_two,
)
from gpuhours.questions.checking.reading.vocabulary.run_words import (
    DATA_HEADS,
    GENERIC_HEADS,
    MACHINE_HEADS,
    about_something_else,
    is_total,
)

MEMORY = re.compile(r"(?:\(\s?|\b[AHBV]\d{2,3}[- ])(\d{2,3}\s?Gi?B)\s?\)?")
COUNT_HEADS = frozenset(["number", "count", "#", "qty", "quantity", "n", "no", "num", "amount", "how many", "units"])


def read_table(table: Table) -> TableReading:
    """The figures in a table and the run of each."""
    table = under_sizes(slashed(with_subheads(with_own_row(table))))
    width = table.width
    rows = [tuple(row) + (Cell("", table.line),) * (width - len(row)) for row in table.rows]
    head = [joined([row[j] for row in rows[: table.head]]) for j in range(width)]
    names = ["" if name.lower().strip(" :") in GENERIC_HEADS else name for name in head]
    body = [row for row in rows[table.head :] if any(cell.text for cell in row)]
    names = [_counted_devices(names, head, body, j) for j in range(width)]
    units = [is_unit(name) or name.lower().strip(" :") in SHARES for name in head]
    if (
        width > 1
        and not head[0].strip(" :#")
        and 0 < sum(map(is_unit, head[1:])) <= ONE_UNIT
        and all(units[j] or not names[j] for j in range(1, width))
    ):
        return _units_above(table, head, body)
    names = [unit_of_caption(name, table.caption) for name in names]
    body = [(replace(row[0], text=unit_of_caption(row[0].text, table.caption)), *row[1:]) for row in body]
    headers = [name or head[j] * (head[j].lower().strip(" :") == "data") for j, name in enumerate(names)]
    down = [(i, j, headers[j], row[j]) for i, row in enumerate(body) for j in range(width)]
    labels = label_columns(head, body)
    across = [
        (i, j, " ".join(dict.fromkeys(cell.text for cell in row[:labels] if cell.text)), row[j])
        for i, row in enumerate([*_heading_pair(rows, table.head), *body])
        for j in range(labels, width)
    ]
    by_column, by_row = _understood(down), _understood(across)
    sized = width > 2 and not head[0] and all(BARE_SIZE.fullmatch(name) for name in head[1:])
    if (
        sized
        or len(by_row) > len(by_column)
        or (width == 2 and len(by_row) == len(by_column) and not counts_something(head[1]))
    ):
        found = _rows_across(by_row, across, head, width)
        seen = {(cell.line, cell.text) for *_, cell in across}
    else:
        found = _rows_down(by_column, body, head)
        seen = {(cell.line, cell.text) for *_, cell in down}
    found += _in_headers(table, head)
    placed = {(entry.line, entry.figure.text) for row in found for entry in row.entries}
    named = next((head[j] for j in range(len(head)) if names_rows(body, j, head[j])), "").lower().strip(" :")
    return TableReading(
        tuple(row for row in found if row.entries), tuple(_left_over(seen, placed, found)), table.line, named
    )


def set_aside(table: TableReading, why: str) -> TableReading:
    """The table with every figure excluded from the runs, and the reason."""
    rows = tuple(
        replace(row, entries=[replace(entry, aside=entry.aside or why) for entry in row.entries]) for row in table.rows
    )
    return replace(table, rows=rows)


def _in_headers(table: Table, head: Sequence[str]) -> list[TableRow]:
    """The memory of the device that a header names: ``V100 (32 GB)``; empty unless there is exactly one."""
    found: dict[float, Entry] = {}
    for label in dict.fromkeys(head):
        if find_accelerator(label) is None:
            continue
        said = MEMORY.search(label)
        for figure, place in place_pair("GPU memory", said[1]) if said else ():
            if place.quantity == "memory_per_gpu":
                found.setdefault(figure.value, Entry(figure, place, figure.text, label, table.line))
    return [TableRow("", entries=list(found.values()))] if len(found) == 1 else []


ONE_UNIT = 1
"""More units above a list, beside shares, are the figures of runs."""
SHARES = frozenset(["share", "%", "percent", "fraction"])


def _units_above(table: Table, head: Sequence[str], body: Sequence[tuple[Cell, ...]]) -> TableReading:
    """Reads a list of settings whose columns are units: ``| | hours | share |`` above ``| Productive | 693.6 | 93.2% |``."""
    cells = [
        (i, j, row[0].text, Cell(lent(head[j], row[j].text) if is_unit(head[j]) else row[j].text, row[j].line))
        for i, row in enumerate(body)
        for j in range(1, len(head))
    ]
    row = TableRow("", entries=[entry for entries in _understood(cells).values() for entry in entries])
    return TableReading((row,) if row.entries else (), (), table.line)


def _counted_devices(names: Sequence[str], head: Sequence[str], body: Sequence[tuple[Cell, ...]], j: int) -> str:
    """The name of a column; ``number`` or ``#`` beside a column of accelerators becomes ``GPUs``."""
    if head[j].lower().strip(" :.") not in COUNT_HEADS:
        return names[j]
    beside = [row[at].text for row in body for at in (j - 1, j + 1) if 0 <= at < len(row)]
    return "GPUs" if sum(find_accelerator(text) is not None for text in beside) * 2 >= len(body) > 0 else names[j]


def _heading_pair(rows: Sequence[tuple[Cell, ...]], head: int) -> list[tuple[Cell, ...]]:
    """The header row, if it is a label and a value like the other rows (``| GPUs | 512 |`` above the line)."""
    return [
        row
        for row in rows[:head]
        if len(row) == 2 and row[0].text and any(isinstance(item, Figure) for item in scan(row[1].text))
    ]


def _understood(cells: Sequence[tuple[int, int, str, Cell]]) -> Understood:
    """The figures of cells that their labels explain, by row and column."""
    found: Understood = {}
    for i, j, label, cell in cells:
        if not label or not cell.text or not (any(c.isdigit() for c in cell.text) or SPELLED.match(cell.text)):
            continue
        value = with_lent_units(lent(label, in_words(label, with_allocation(cell.text))))
        entries = [
            Entry(
                figure, place, _as_written(figure, cell.text), f"{label}: {cell.text}", cell.line, label, amount(label)
            )
            for figure, place in place_pair(label, value)
            if place.because
            or value != cell.text
            or figure.unit
            or (place.quantity in ("tokens", "dataset_tokens") and len(cell.text) > len(figure.text) + 2)
        ]
        entries += _prices_in(label, cell.line)
        if entries:
            found[i, j] = entries
    return found


SPELLED = re.compile(
    r"(?:about |around |~ ?)?(?:a|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|half)\b", re.IGNORECASE
)
"""``one week``: a cell that begins with a number in words."""


def _prices_in(label: str, line: int) -> list[Entry]:
    """``At $2.40 per GPU-hour``: the rate in a label, besides the amount under it."""
    if "$" not in label and "per" not in label.lower() and "/" not in label:
        return []
    return [
        Entry(item, Place(told, item.text, 0.0), item.text, label, line, label)
        for item in scan(label)
        if isinstance(item, Figure) and (told := by_rate(item)) in ("price", "node_price", "carbon_intensity")
    ]


def _as_written(figure: Figure, cell: str) -> str:
    """The cell's text without the unit that its label added; the figure's own text if the cell contains it or is long."""
    return figure.text if figure.text in cell or len(cell) > LONGEST_NAME else cell


def _rows_across(
    found: Understood, cells: Sequence[tuple[int, int, str, Cell]], head: Sequence[str], width: int
) -> list[TableRow]:
    """Reads a table with labels in the first column: each further column is a run, or all are settings of one run."""
    enumerated = all(_ENUMERATED.match(name) for name in head[1:])
    apart = width > 2 and enumerated and len(set(head[1:])) == width - 1  # (a) image, (b) video
    columns = [
        TableRow(
            "" if head[j].lower().strip(" :") in GENERIC_HEADS or (counts_something(head[j]) and not apart) else head[j]
        )
        for j in range(width)
    ]
    if width == 2 and len(head[1]) > LONGEST_NAME:
        columns[1].name = ""
    for row in columns:
        row.total = is_total(row.name)
    beside = {at for at, entries in found.items() if about_something_else(entries[0].label)}
    for at, entries in found.items() if len(beside) < len(found) else ():
        if at in beside:  # | Inference speed | 2,950 tokens/s on one A10, batch 32 |
            entries[:] = [replace(entry, aside=entry.aside or f"about {entry.label.lower()}") for entry in entries]
    for at, entries in found.items():
        j = at[1]
        columns[j].entries += entries
        if at in beside:
            continue
        if find_accelerator(entries[0].label) and any(entry.place.quantity == "gpus" for entry in entries):
            columns[j].accelerator = columns[j].accelerator or (entries[0].label, entries[0].line)
        note_accelerator(columns[j], [entry.figure for entry in entries], entries[0].line)
    for _, j, label, cell in cells:
        if columns[j].accelerator is None and _of_machines(label) and find_accelerator(cell.text):
            columns[j].accelerator = (cell.text, cell.line)
    return rows_of_two(found, cells, columns[1]) if width == 2 and not columns[1].name else columns


_ENUMERATED = re.compile(r"\s*(?:\(?[a-h1-9ivx]{1,4}[).:]|[A-Z][.:])\s*\S|(?:stage|phase)\b", re.IGNORECASE)
"""``(a) image``: a header that is a numbered name."""


def _of_machines(label: str) -> bool:
    """Whether a label says that the cells under it are machines."""
    return any(word in label.lower() for word in MACHINE_HEADS)


def _rows_down(found: Understood, body: Sequence[tuple[Cell, ...]], head: Sequence[str]) -> list[TableRow]:
    """Reads a table with labels in the header: each row is a run."""
    called = name_rows(found, body, head)
    apart = (
        next((head[j] for j in range(len(head)) if names_rows(body, j, head[j])), "").lower().strip(" :") in DATA_HEADS
    )
    machines = {entry.place.quantity for entries in found.values() for entry in entries} & MACHINES_TOLD
    apart = apart and not (machines and any(word in " ".join(head).lower() for word in MAY_BE_RUNS))
    printed = _is_printed(found, body, head)
    rows = []
    for i, cells in enumerate(body):
        row = TableRow("" if printed else called[i], not printed and is_total(called[i]))
        for j in range(len(cells)):
            row.entries += found.get((i, j), [])
        named = [cell for j, cell in enumerate(cells) if _of_machines(head[j]) and find_accelerator(cell.text)]
        if named:  # the system and its accelerators: take the more specific one
            best = max(named, key=lambda cell: "GB" in cell.text)
            row.accelerator = (best.text, best.line)
        if row.accelerator is None:
            note_accelerator(row, [entry.figure for entry in row.entries], cells[0].line)
        if not any(entry.place.quantity == "parameters" for entry in row.entries) and row.entries:
            row.entries += _size_of_base(cells, head)
        if i < len(body) - 1 and printed:
            row.entries = [replace(entry, aside=entry.aside or "on the way, in a log") for entry in row.entries]
        if any(_STATE.match(head[j]) and _FAILED.search(cell.text) for j, cell in enumerate(cells) if j < len(head)):
            row.entries = [replace(entry, aside=entry.aside or "about a job that failed") for entry in row.entries]
        if about_something_else(row.name):
            row.entries = [replace(entry, aside=entry.aside or f"about {row.name.lower()}") for entry in row.entries]
        if apart:
            row.entries = [replace(entry, aside=entry.aside or f"about {row.name}, no run") for entry in row.entries]
        rows.append(row)
    return rows


_STATE = re.compile(r"(?:state|status|result|outcome|remark|note|comment)s?\b", re.IGNORECASE)
_FAILED = re.compile(
    r"\b(?:failed|fail|diverged|thrown away|discarded|cancelled|canceled|aborted|crashed|oom|killed|abandoned)\b",
    re.IGNORECASE,
)
"""Words in a table of jobs for those whose work was lost."""
MAY_BE_RUNS = ("variant", "experiment", "task", "category")
"""Headers of data parts or ablations that may also head a list of runs, if the table counts machines."""
MACHINES_TOLD = frozenset(["gpus", "nodes", "gpu_hours", "node_hours"])
COUNTERS = frozenset(["steps", "epochs", "partial"])


def _is_printed(found: Understood, body: Sequence[tuple[Cell, ...]], head: Sequence[str]) -> bool:
    """Whether the rows are a program's progress: a column of steps that grows from row to row, and a loss."""
    if len(body) < 2 or not any("loss" in name.lower() for name in head):
        return False
    for j in range(len(head)):
        values = [
            entry.figure.value
            for i in range(len(body))
            for entry in found.get((i, j), ())[:1]
            if entry.place.quantity in COUNTERS
        ]
        if len(values) >= len(body) - 1 and len(values) > 1 and values == sorted(set(values)):
            return True
    return False


BASE_HEADS = ("base", "backbone", "initialised from", "initialized from", "starting point", "checkpoint")


def _size_of_base(cells: Sequence[Cell], head: Sequence[str]) -> list[Entry]:
    """The size in the name of the model that a row starts from, as the trained model has the same network; empty if there is none."""
    for name, cell in zip(head, cells, strict=False):
        if any(word in name.lower() for word in BASE_HEADS) and size_of(cell.text):
            sizes = [
                item
                for item in scan(cell.text.replace("-", " "))
                if isinstance(item, Figure) and item.scale in ("b", "m", "t")
            ]
            return (
                [
                    Entry(
                        sizes[0],
                        Place("parameters", "the base model's name", 0.0),
                        cell.text,
                        f"{name}: {cell.text}",
                        cell.line,
                        name,
                    )
                ]
                if sizes
                else []
            )
    return []


def _left_over(
    seen: set[tuple[int, str]], placed: set[tuple[int, str]], rows: Sequence[TableRow]
) -> Iterator[Unplaced]:
    """The numbers in cells that nothing explains."""
    names = {row.name for row in rows}
    known = {line: " ".join(text for at, text in placed if at == line) for line, _ in placed}
    for line, text in sorted(seen):
        if text in names or not begins_with_number(text) or text.split()[0] in known.get(line, ""):
            continue
        yield Unplaced(text[:LONGEST_NAME], text[:LONGEST_NAME], f"line {line}", "no label says what it counts")
