"""Prepares the forms of tables that authors use, to get one figure per cell: units in captions, headers in two rows, slashes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from gpuhours.questions.checking.reading.figures.numbers import scan
from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.formats.blocks import Cell, Table
from gpuhours.questions.checking.reading.naming.names import stem
from gpuhours.questions.checking.reading.vocabulary.chips import MODEL_NUMBER
from gpuhours.questions.checking.reading.vocabulary.run_words import is_total

_TIMES_IN = re.compile(
    r"\b(?:times?|durations?)\s+(?:are\s+|is\s+|given\s+)?in\s+"
    rf"((?:{MODEL_NUMBER}|[GT]PU|node|card|chip)?[ -]?(?:days|hours|weeks|minutes))\b",
    re.IGNORECASE,
)


_GIVEN_IN = re.compile(
    r"\b(parameters?|params|sizes?|tokens|energy|compute|costs?|memory|emissions?|carbon|power|times?|durations?|lengths?|samples|images|steps)"
    r"\s+(?:are\s+|is\s+|given\s+)?in\s+"
    r"((?:thousands|millions|billions|trillions)(?:\s+of\s+[A-Z\w-]+(?:[ -]hours|[ -]days)?)?|[kMGTP]?Wh|[kMG]?W|USD"
    rf"|(?:GPU|TPU|{MODEL_NUMBER})[ -](?:hours|days)"
    r"|days|hours|weeks|minutes|GB|tonnes|tCO2e?q?)\b",
    re.IGNORECASE,
)
"""``Parameters in billions, energy in MWh, compute in thousands of A100-hours``: units given in a caption."""


def unit_of_caption(label: str, caption: str) -> str:
    """A label with the unit from the caption added: ``time`` under the caption ``times in days``; unchanged if there is none."""
    bare = label.lower().strip(" :#.")
    for said in _GIVEN_IN.finditer(caption) if bare and "(" not in label and "[" not in label else ():
        if bare.removeprefix("training ").startswith(said[1].lower().rstrip("s")[:5]) and len(bare.split()) < 4:
            return f"{label} ({said[2]})"
    said = _TIMES_IN.search(caption)  # type: ignore[assignment]
    return (
        f"{label} ({said[1]})"
        if said and label.lower().strip(" :").endswith(("time", "duration", "wall-clock", "wall clock"))
        else label
    )


def with_subheads(table: Table) -> Table:
    """The table with a second header row if that row names columns under the names of their groups."""
    if table.head != 1 or len(table.rows) < 3:
        return table
    first, second = table.rows[0], table.rows[1]
    grouped = sum(not cell.text for cell in first) > 0 and len(first) > 3
    words = [cell.text for cell in second]
    names = not words[:1] or not words[0] or words[0] == first[0].text
    if (
        grouped
        and names
        and sum(bool(text) for text in words) > 1
        and not any(c.isdigit() for text in words for c in text)
    ):
        return replace(table, head=2)
    return table


_SLASH = re.compile(r"\s+/\s+")


_ANY_SLASH = re.compile(r"\s*/\s*")
_OF_WHICH = re.compile(
    r"(?:act(?:\.|ive|ivated)?|active params?)\s*/\s*(?:tot(?:\.|al)?|total params?)(?:\s|$)", re.IGNORECASE
)
"""``Act./Tot.``: the active and total sizes of a mixture in one column."""


def _with_noun(label: str) -> str:
    """``Routed / shared experts``: gives every part the noun of the last."""
    parts = _SLASH.split(label)
    noun = parts[-1].split()[-1:] if len(parts) > 1 and len(parts[-1].split()) == 2 else []
    if not noun or not noun[0].isalpha() or any(len(part.split()) != 1 for part in parts[:-1]):
        return label
    return " / ".join([*(f"{part} {noun[0]}" for part in parts[:-1]), parts[-1]])


def slashed(table: Table) -> Table:
    """Splits a column ``S / M / L`` with cells ``0.6B / 2.1B / 7.4B`` into separate columns."""
    rows: list[tuple[Cell, ...]] = list(table.rows)
    if table.head:
        rows[0] = tuple(replace(cell, text=_with_noun(cell.text)) for cell in rows[0])
    for j in range(table.width - 1, 0, -1):
        sizes = bool(table.head) and j < len(rows[0]) and _OF_WHICH.match(rows[0][j].text)
        if sizes:
            rows[0] = (*rows[0][:j], Cell("Active parameters / total parameters", rows[0][j].line), *rows[0][j + 1 :])
        slash = _ANY_SLASH if sizes else _SLASH
        parts = [slash.split(row[j].text) if j < len(row) else [""] for row in rows]
        many = len(parts[0]) if parts else 1
        filled = [part for part in parts[table.head :] if part != [""]]
        if many < 2 or not filled or not table.head or sum(len(part) == many for part in filled) * 2 <= len(filled):
            continue
        for i, row in enumerate(rows):
            if j < len(row):
                split = (
                    parts[i]
                    if len(parts[i]) == many
                    else parts[i] * many
                    if len(parts[i]) == 1
                    else [row[j].text, *[""] * (many - 1)]
                )
                rows[i] = (*row[:j], *(Cell(text, row[j].line) for text in split), *row[j + 1 :])
    return replace(table, rows=tuple(part for row in rows for part in _slashed_row(row)))


def _slashed_row(row: tuple[Cell, ...]) -> list[tuple[Cell, ...]]:
    """Splits a row ``Layers / heads`` with cells ``32 / 16`` into separate rows."""
    parts = [_SLASH.split(cell.text) for cell in row]
    many = len(parts[0]) if parts else 1
    if many < 2 or len(row) < 2 or any(len(part) != many for part in parts[1:] if part != [""]):
        return [row]
    if not any(begins_with_number(text) for part in parts[1:] for text in part):
        return [row]
    if {name.strip().lower() for name in parts[0]} <= DEGREES:
        parts[0] = [f"{name.strip()} parallel" for name in parts[0]]
    return [
        tuple(Cell(part[n] if len(part) == many else "", cell.line) for part, cell in zip(parts, row, strict=True))
        for n in range(many)
    ]


DEGREES = frozenset(["tensor", "pipeline", "data", "context", "expert", "sequence"])
"""Words that name a degree of parallelism beside another one: ``Tensor / pipeline``."""


def begins_with_number(text: str) -> bool:
    """Whether a cell starts with a figure."""
    items: list[Item] = scan(text[:60])
    return bool(items) and isinstance(items[0], Figure)


NUMBERED = frozenset(["stage", "phase", "part", "leg", "run", "training stage"])
"""Headers over names that begin with a number."""
_NUMBERED_NAME = re.compile(r"\d{1,2}[.:)]?(?:\s+[^\W\d]|$)")


def numbered_names(head: str, cells: Sequence[str]) -> bool:
    """Whether cells under ``Stage`` are names, such as ``1 Align`` and ``2 Pre-train``."""
    under = head.lower().strip(" :") in NUMBERED
    return under and all(_NUMBERED_NAME.match(text) or not text[:1].isdigit() for text in cells)


AMOUNTS = frozenset(["token", "sample", "step", "epoch", "sequence"])


def label_columns(head: Sequence[str], body: Sequence[tuple[Cell, ...]]) -> int:
    """The number of label columns on the left: two if the second contains words and has no header, otherwise one."""
    if len(head) < 4 or head[1].strip() or not body:
        return 1
    words = sum(bool(row[1].text) and not begins_with_number(row[1].text) for row in body)
    return 2 if 2 * words > len(body) else 1


BARE_SIZE = re.compile(r"~?\d[\d.]{0,5}\s?[BM]")


def under_sizes(table: Table) -> Table:
    """Gives the rows of a table whose headers are all model sizes (``125M | 350M``) a column of labels, from the caption or a time."""
    heads = [one.text for one in table.rows[0]] if table.head == 1 and table.rows else []
    body = table.rows[1:]
    if len(heads) < 2 or len(body) > MOST_UNDER_SIZES or not all(BARE_SIZE.fullmatch(name) for name in heads):
        return table
    rows = [(Cell("", table.line), *table.rows[0])]
    rows += [(Cell("Training", row[0].line), *row) for row in body if row]
    return Table(tuple(rows), 1, table.line, table.caption)


MOST_UNDER_SIZES = 2


def joined(cells: Sequence[Cell]) -> str:
    """The header of a column, joined from its header rows."""
    return " ".join(dict.fromkeys(cell.text for cell in cells if cell.text))


def amount(label: str) -> str:
    """Why a label such as ``GPU hours on 300B tokens`` does not count the whole run; empty if it may."""
    if _GRANTED.search(label):
        return "about an allocation"
    told = [item for item in scan(label) if isinstance(item, Figure) and item.unit in AMOUNTS and item.value >= 1000]
    return f"counted for {told[0].text} alone" if told else ""


_GRANTED = re.compile(
    r"(?i)\b(?:allocat(?:ed|ion)|granted|requested|awarded|approved|budget(?:ed)?|planned|quota|remaining|reserved)\b.*(?:hours?|credits?)\b"
)
"""Headers of what was allocated, not of what was used."""


def with_own_row(table: Table) -> Table:
    """Marks the row of the authors' own model, if its name alone is in bold type among the names of other models."""
    body = [row for row in table.rows[table.head :] if row and row[0].text and not is_total(row[0].text)]
    own = [row[0] for row in body if row[0].bold]
    others = [row[0].text for row in body if not row[0].bold]
    if len(own) != 1 or len(others) < 2 or not stem(own[0].text):
        return table
    if any(stem(name) in ("", stem(own[0].text)) or not re.search(r"\d", name) for name in others):
        return table
    marked = replace(own[0], text=f"{own[0].text} (ours)")
    return replace(table, rows=tuple((marked, *row[1:]) if row[:1] == (own[0],) else row for row in table.rows))
