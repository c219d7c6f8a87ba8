"""Invoices: tables with the columns ``description, quantity, unit price, amount`` and one row for each item paid for.

Rows for accelerators belong to the run: hours, price and amount. Other items, and the total of a bill that has other items, do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gpuhours.questions.checking.accelerators import find_accelerator
from gpuhours.questions.checking.reading.figures.numbers import scan
from gpuhours.questions.checking.reading.figures.tokens import Figure
from gpuhours.questions.checking.reading.formats.blocks import Cell, Table
from gpuhours.questions.checking.reading.quantities.place import Place
from gpuhours.questions.checking.reading.tables.table_rows import Entry, TableReading, TableRow, note_accelerator
from gpuhours.questions.checking.reading.vocabulary.run_words import is_total

HEADS = {
    "quantity": re.compile(r"(?:qty|quantity|usage|units?|hours|hrs)\b", re.IGNORECASE),
    "price": re.compile(r"(?:unit price|price|rate|unit cost|price per|cost per)\b", re.IGNORECASE),
    "amount": re.compile(r"(?:amount|total|charges?|cost|subtotal|line total|sum)\b", re.IGNORECASE),
}
"""Patterns for the start of an invoice's column headers."""
WORK = {"node_time": ("node_hours", "node_price"), "gpu_time": ("gpu_hours", "price")}
"""By the unit of a row's quantity: which quantity it is, and which quantity its unit price is."""
ANOTHER_LINE, WHOLE_BILL = "another line of the bill", "the whole bill"


def read_bill(table: Table) -> TableReading | None:
    """Reads a table as an invoice; None if it is not one or has no row for accelerator hours."""
    if table.head != 1 or not table.rows:
        return None
    head = [cell.text for cell in table.rows[0]]
    at = {name: next((j for j, text in enumerate(head) if j and said.match(text)), 0) for name, said in HEADS.items()}
    if len(set(at.values()) - {0}) < len(HEADS):
        return None
    body = [row for row in table.rows[1:] if len(row) == len(head)]
    rows = [_line(row, at) for row in body]
    own = [row for row in rows if row.entries and not row.entries[0].aside]
    if not own:
        return None
    for row in rows:
        row.name = row.name if len(own) > 1 and row in own else ""
    return TableReading(tuple(row for row in rows if row.entries), (), table.line)


def _line(row: Sequence[Cell], at: dict[str, int]) -> TableRow:
    """Reads one row of an invoice; an amount that is not for accelerator hours is set aside with a reason."""
    told = row[0].text
    quantity, price, amount = (_figure(row[at[name]]) for name in ("quantity", "price", "amount"))
    work = WORK.get(quantity.unit) if quantity is not None else None
    if quantity is None or work is None or find_accelerator(told) is None:
        why = WHOLE_BILL if is_total(told) else ANOTHER_LINE
        return TableRow(told, entries=list(_entries(row, [("cost", amount)], why)))
    devices = [item for item in scan(told) if isinstance(item, Figure) and item.unit == "gpu"]
    each = "gpus_per_node" if quantity.unit == "node_time" else "gpus"
    figures = [(each, devices[0] if devices else None), (work[0], quantity), (work[1], price), ("cost", amount)]
    found = TableRow(told, entries=list(_entries(row, figures, "")))
    note_accelerator(found, devices, row[0].line)
    return found


def _figure(cell: Cell) -> Figure | None:
    return next((item for item in scan(cell.text) if isinstance(item, Figure)), None)


def _entries(row: Sequence[Cell], figures: Sequence[tuple[str, Figure | None]], why: str) -> Iterator[Entry]:
    said = " | ".join(cell.text for cell in row)
    for quantity, figure in figures:
        if figure is not None:
            place = Place(quantity, "a line of a bill", 0.0)
            yield Entry(figure, place, figure.text, said, row[0].line, row[0].text, why)
