"""The parts of a text in any format: paragraphs, headings, list items and tables, each with its first line number."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.reading.formats.marks import plain


@dataclass(frozen=True)
class Passage:
    """A run of prose with its format marks removed."""

    kind: str
    """``text``, ``heading``, ``item``, or ``tail``: text that continues after a heading or table without a paragraph of its own"""
    text: str
    line: int
    depth: int = 0
    """The level of a heading or of a list item."""


NUMBERED_LEVEL = 6
"""Level of a numbered line of a plain text (``3.2 Hardware``): it names a topic, never a run."""
RUN_IN_LEVEL = 7
"""Level of a heading that opens a paragraph (``**Reward model.** We start ...``): below all other headings."""


@dataclass(frozen=True)
class Cell:
    """One cell of a table."""

    text: str
    line: int
    bold: bool = False
    """Whether the whole cell is in bold type."""


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first ``head`` rows are headers, and no more than there are rows."""

    rows: tuple[tuple[Cell, ...], ...]
    head: int
    line: int
    caption: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "head", min(self.head, len(self.rows)))

    @property
    def width(self) -> int:
        """The number of columns in the widest row."""
        return max((len(row) for row in self.rows), default=0)


Piece = Passage | Table


@dataclass(frozen=True)
class Prose:
    """The prose of a text as one string, with the source of each part."""

    text: str
    starts: tuple[int, ...]
    lines: tuple[int, ...]
    blocks: tuple[Passage, ...]

    def line(self, position: int) -> int:
        """The line of the file that contains ``position``."""
        index = bisect_right(self.starts, position) - 1
        if index < 0:
            return 1
        return self.lines[index] + self.text.count("\n", self.starts[index], position)

    def block(self, position: int) -> int:
        """The index of the block that contains ``position``."""
        return max(bisect_right(self.starts, position) - 1, 0)


def prose_of(blocks: Sequence[Passage]) -> Prose:
    """Joins all blocks into one string with an empty line between them."""
    starts, lines, texts, at = [], [], [], 0
    for block in blocks:
        starts.append(at)
        lines.append(block.line)
        texts.append(block.text)
        at += len(block.text) + 2
    return Prose("\n\n".join(texts), tuple(starts), tuple(lines), tuple(blocks))


def cell(text: str, line: int, *, latex: bool = False) -> Cell:
    """A cell with its format marks removed and its whitespace reduced to one line."""
    shown = " ".join(plain(text, latex=latex).split())
    return Cell(
        shown.replace(" ", ",") if _GROUPED.fullmatch(shown) else shown, line, _BOLD.fullmatch(text) is not None
    )


_BOLD = re.compile(
    r"\s*(?:\*\*[^*\n]{1,80}\*\*|__[^_\n]{1,80}__|\\textbf\s?\{[^{}\n]{1,80}\}|<(?:b|strong)>[^<\n]{1,80}</(?:b|strong)>)\s*"
)


_GROUPED = re.compile(r"[1-9]\d{0,2}(?: \d{3}){1,4}")
"""``20 928`` alone in a cell: digits grouped by spaces."""
