"""Tables printed by programs: columns aligned with spaces under a ruled header, and lines of comma-separated values.

A broken rule (``-----  ---------``) gives the columns' positions; without one, the gaps between cells do. A row with no first cell
continues the row above.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from gpuhours.questions.checking.reading.formats.blocks import Cell, Table, cell

WIDE = re.compile(r"\t+| {2,}")
WIDEST = 70
"""The longest cell, in characters, in columns with a rule; prose has no rules."""
_RULE = re.compile(r"\s*[-=]{2,}(?:[ \t]+[-=]{2,})*\s*")
_UNDERLINE = re.compile(r"\s*[-=]{2,}(?: +[-=]{2,}){2,}\s*")
LEAST_RULE = 12
"""The fewest dashes in a rule across a table."""


def ruled_blocks(text: str) -> Iterator[tuple[int, int, Table]]:
    """Finds fixed-width tables with a rule: start and end in the text, and the table, with lines counted from 1."""
    lines = text.split("\n")
    at, first = 0, 0
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    while at <= len(lines):
        if at < len(lines) and lines[at].strip() and not lines[at].lstrip().startswith(("|", "```")):
            at += 1
            continue
        block = lines[first:at]
        if any(_is_rule(line) for line in block) and (table := aligned(block, first + 1)) is not None:
            yield starts[first], min(starts[at], len(text)), table
        at += 1
        first = at


def _is_rule(line: str) -> bool:
    """Whether a line is a rule across a table, unbroken or in pieces."""
    across = _RULE.fullmatch(line) is not None and len(line.strip()) >= LEAST_RULE and " " not in line.strip()
    return across or _UNDERLINE.fullmatch(line) is not None


def aligned(lines: Sequence[str], line: int) -> Table | None:
    """Reads columns aligned with tabs or spaces: at least three rows, most with the same number of cells (three or more); else None.

    In a row with missing cells, and in a second header line, each cell goes to the column it is printed under.
    """
    filled = [(offset, text) for offset, text in enumerate(lines) if text.strip()]
    rule = next((n for n, (_, text) in enumerate(filled[:4]) if _UNDERLINE.fullmatch(text)), 0)
    under = filled[rule][1] if rule else ""
    if rule > 1 and len(cells_of(filled[rule - 2][1])) == 1:
        filled = filled[rule - 1 :]  # the command that printed the table stands above its header
    if under and len({len(text.split()) for _, text in filled}) == 1:
        filled = [(offset, "  ".join(text.split())) for offset, text in filled]  # every cell is one word
        under = ""
    split = [(offset, cells_of(text)) for offset, text in filled if not set(text) <= set("-=+_ \t|")]
    ruled = len(split) < len(filled)
    if len(split) < 3 - ruled:
        return None
    counts = Counter(len(cells) for _, cells in split)
    width = max((count for count in counts if counts[count] > 1), default=0, key=lambda count: (counts[count], count))
    longest = max(len(text) for _, cells in split for text, _, _ in cells)
    if width < 3 or longest > (WIDEST if ruled else 44):
        return None
    spans = [found.span() for found in re.finditer(r"[-=]+", under)]
    if not spans and (max(counts) > width or 2 * counts[width] < len(split)):
        return None
    whole = [cells for _, cells in split if len(cells) == width]
    spans = spans or [(min(c[j][1] for c in whole), max(c[j][2] for c in whole)) for j in range(width)]
    rows = [tuple(cell(text, line + offset) for text in _in_columns(cells, spans)) for offset, cells in split]
    rows = _joined(rows) if under else rows
    head = next(
        (n for n, row in enumerate(rows) if any(c.text[:1].isdigit() or c.text[:1] in "$~" for c in row[1:])), 1
    )
    return Table(tuple(rows), min(max(head, 1), 3), line)


def _joined(rows: Sequence[tuple[Cell, ...]]) -> list[tuple[Cell, ...]]:
    """Merges each row that has no first cell and one other cell into the row above."""
    found: list[tuple[Cell, ...]] = []
    for row in rows:
        if len(found) > 1 and not row[0].text and sum(bool(c.text) for c in row) == 1:
            found[-1] = tuple(
                cell(f"{above.text} {below.text}".strip(), above.line)
                for above, below in zip(found[-1], row, strict=True)
            )
        else:
            found.append(row)
    return found


def cells_of(text: str) -> list[tuple[str, int, int]]:
    """The cells of a line, each with its start and end."""
    found, at = [], 0
    for gap in (*WIDE.finditer(text), None):
        end = gap.start() if gap else len(text)
        if text[at:end].strip():
            found.append((text[at:end].strip(), at, end))
        at = gap.end() if gap else end
    return found


def _in_columns(cells: Sequence[tuple[str, int, int]], spans: Sequence[tuple[int, int]]) -> list[str]:
    """The cells of a row, each in the column it is printed under."""
    if len(cells) == len(spans):
        return [text for text, _, _ in cells]
    row = [""] * len(spans)
    for text, start, end in cells:
        free = [j for j in range(len(spans)) if not row[j]]
        if not free:
            row[-1] = f"{row[-1]} {text}"
            continue
        best = max(
            free, key=lambda j: (min(end, spans[j][1]) - max(start, spans[j][0]), -abs(start + end - sum(spans[j])))
        )
        row[best] = text
    return row


_NAME = re.compile(r"[A-Za-z][\w /()%.-]{0,30}")
FEWEST_VALUES = 4
METER = frozenset(["duration", "emissions", "energy_consumed"])
METERED = {"duration": "duration (s)", "emissions": "emissions (kg CO2e)", "energy_consumed": "energy consumed (kWh)"}
"""The columns of CodeCarbon's ``emissions.csv`` and their units; one row of values is enough."""


def separated(lines: Sequence[str], line: int) -> Table | None:
    """Reads comma-separated values under a line of names: at least two rows of equal length, half of the cells numeric; else None."""
    filled = [(offset, [part.strip() for part in text.split(",")]) for offset, text in enumerate(lines) if text.strip()]
    width = len(filled[0][1]) if filled else 0
    meter = set(filled[0][1]) >= METER if filled else False
    if width < FEWEST_VALUES or len(filled) < 3 - meter or any(len(cells) != width for _, cells in filled):
        return None
    if not all(_NAME.fullmatch(name) for name in filled[0][1]):
        return None
    values = [text for _, cells in filled[1:] for text in cells[1:] if text]
    if sum(text[:1].isdigit() for text in values) * 2 < len(values):
        return None
    if meter:
        filled[0] = (filled[0][0], [METERED.get(name, name) for name in filled[0][1]])
    return Table(tuple(tuple(cell(text, line + offset) for text in cells) for offset, cells in filled), 1, line)
