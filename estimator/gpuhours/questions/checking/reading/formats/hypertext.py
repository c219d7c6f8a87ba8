"""Turns HTML into blocks and tables with the standard library's parser; the next tag closes an unclosed one, as in browsers."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

from gpuhours.questions.checking.reading.formats.blocks import Cell, Passage, Piece, Table, cell
from gpuhours.questions.checking.reading.formats.marks import plain

BLOCKS = frozenset(
    [
        "p",
        "div",
        "ul",
        "ol",
        "section",
        "article",
        "blockquote",
        "pre",
        "body",
        "dl",
        "dt",
        "dd",
        "tr",
        "figure",
        "caption",
    ]
)
HEADINGS = frozenset(["h1", "h2", "h3", "h4", "h5", "h6"])
UNSEEN = frozenset(["script", "style", "head", "noscript", "template"])
INLINE = frozenset(
    [
        "b",
        "i",
        "u",
        "em",
        "strong",
        "code",
        "small",
        "span",
        "a",
        "sub",
        "sup",
        "font",
        "tt",
        "mark",
        "br",
        "img",
        "abbr",
        "s",
        "q",
        "cite",
        "wbr",
    ]
)


class _Reader(HTMLParser):
    """Collects blocks and tables while the parser reads the text."""

    def __init__(self, first: int) -> None:
        super().__init__(convert_charrefs=True)
        self.first = first
        self.found: list[Piece] = []
        self.kind, self.depth, self.buffer, self.begun = "text", 0, "", first
        self.rows: list[list[Cell]] | None = None
        self.cell: str | None = None
        self.heads, self.head, self.start, self.span, self.unseen = 0, True, first, 1, 0
        self.caption = ""
        self.down = 1
        self.hanging: dict[int, tuple[Cell, int]] = {}
        self.later: dict[int, tuple[Cell, int]] = {}

    def here(self) -> int:
        """The current line of the file."""
        return self.first + self.getpos()[0] - 1

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Handle an opening tag."""
        if tag in UNSEEN:
            self.unseen += 1
        elif tag == "table":
            self.flush()
            self.rows, self.heads, self.head, self.start, self.caption = [], 0, True, self.here(), ""
        elif tag == "tr" and self.rows is not None:
            self.close_cell()
            self.hanging |= self.later
            self.later = {}
            self.rows.append([])
            self.fill()
        elif tag in ("td", "th") and self.rows is not None:
            self.close_cell()
            self.rows = self.rows or [[]]
            self.cell = ""
            self.head = self.head and tag == "th"
            self.span, self.down = (_number(dict(attrs).get(name)) for name in ("colspan", "rowspan"))
        elif tag == "dd" and self.kind == "item" and self.buffer.strip():
            self.take(
                "" if self.buffer.rstrip().endswith(":") else ": "
            )  # the term and what is said of it are one item
        elif tag in HEADINGS or tag in ("li", "dt") or tag in BLOCKS:
            self.flush()
            self.kind = "heading" if tag in HEADINGS else "item" if tag in ("li", "dt") else "text"
            self.depth = int(tag[1]) if tag in HEADINGS else self.depth
        else:
            self.take("\n" if tag == "br" else f"<{tag}>" if tag in ("sup", "sub") or tag not in INLINE else "")

    def handle_endtag(self, tag: str) -> None:
        """Handle a closing tag."""
        if tag in UNSEEN:
            self.unseen = max(self.unseen - 1, 0)
        elif tag == "tr" and self.rows is not None:
            self.close_cell()
            if self.head and self.rows and self.rows[-1]:
                self.heads = len(self.rows)
        elif tag in ("td", "th"):
            self.close_cell()
        elif tag == "table" and self.rows is not None:
            self.close_cell()
            rows = tuple(tuple(row) for row in self.rows if row)
            self.rows = None
            if rows:
                self.found.append(Table(rows, max(self.heads, 1), self.start, self.caption))
        elif tag == "dt" and self.buffer.strip():
            pass  # its description follows
        elif tag in HEADINGS or tag == "li" or tag in BLOCKS:
            self.flush()
            self.kind = "text"
        elif tag in ("sup", "sub") or tag not in INLINE:
            self.take(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        """Handle text between tags."""
        if not self.unseen:
            self.take(data)

    def take(self, data: str) -> None:
        """Add text to the open cell or paragraph."""
        if self.cell is not None:
            self.cell += data
            return
        if not self.buffer.strip() and data.strip():
            self.begun = self.here() + len(data[: len(data) - len(data.lstrip())].splitlines()) - (data[:1] == "\n")
            data = data.lstrip()
            self.buffer = ""
        self.buffer += data

    def close_cell(self) -> None:
        """Close the open cell, if there is one."""
        if self.cell is not None and self.rows:
            done = cell(self.cell, self.here())
            for column in range(len(self.rows[-1]), len(self.rows[-1]) + self.span):
                if self.down > 1:
                    self.later[column] = (done, self.down - 1)
            self.rows[-1].extend([done] * self.span)
            self.fill()
        self.cell = None

    def fill(self) -> None:
        """Copy cells from the rows above that span into this row."""
        if not self.rows:
            return
        while (column := len(self.rows[-1])) in self.hanging:
            above, left = self.hanging.pop(column)
            self.rows[-1].append(above)
            if left > 1:
                self.later[column] = (above, left - 1)

    def flush(self) -> None:
        """Close the open paragraph, if there is one."""
        if self.cell is None and self.buffer.strip():
            shown = plain(self.buffer.strip("\n "))
            if self.rows is None:
                self.found.append(Passage(self.kind, shown, self.begun, self.depth))
            else:
                self.caption = shown
        if self.cell is None:
            self.buffer = ""


def _number(span: str | None) -> int:
    """How many columns or rows a cell spans (1 to 50)."""
    digits = (span or "").lstrip("0")[:3]  # a longer number is more than 50, and may have too many digits to convert
    return min(int(digits), 50) if digits.isdecimal() else 1


def hypertext_pieces(text: str, first: int = 1) -> Iterator[Piece]:
    """The blocks and tables of an HTML text that starts on line ``first``."""
    reader = _Reader(first)
    reader.feed(text)
    reader.close()
    if reader.rows is not None:
        reader.handle_endtag("table")
    reader.flush()
    yield from reader.found
