"""Splits a file into blocks and tables: Markdown (markdown-it-py), HTML (html.parser), LaTeX, PDF (pypdf), or plain lines.

The content decides the format, not the file's name alone: model cards are Markdown with HTML tables, papers are LaTeX, and people paste
either into ``.txt``. Tables keep their rows and header rows; everything else becomes prose.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from gpuhours.questions.checking.reading.formats.blocks import RUN_IN_LEVEL, Cell, Passage, Piece, Table, cell
from gpuhours.questions.checking.reading.formats.columns import aligned, cells_of, ruled_blocks, separated
from gpuhours.questions.checking.reading.formats.digit_groups import without_space_groups
from gpuhours.questions.checking.reading.formats.hypertext import hypertext_pieces
from gpuhours.questions.checking.reading.formats.marks import in_points, plain, without_point_groups
from gpuhours.questions.checking.reading.formats.tex import is_tex, tabulars, without_tex_frame

BULLET = re.compile(r"\s*(?:[•‣▪◦●·–—]|\(?\d{1,2}[.)]|\((?:[ivx]{1,4}|[a-h])\)|[-*+])\s+")
LABELLED = re.compile(
    r"\s*[A-Za-z#][^\s:=|,;.]*(?:\s+[^\s:=|,;.]+){0,6}(?:\s*\([^()\n]{0,120}\))?\s?(?::\s+\S|=\s*\S(?=[^\n]{0,40}$))"
)
"""A line that begins with a label: ``Learning rate: 3e-4``."""
BIG = 20_000
"""A line longer than this many characters is cut: real text has no such line, and it would slow every pass."""


_SHOUTED = re.compile(r"\\[A-Z]{3,20}(?![a-z])(?:\{[A-Z*]{4,12}\})?")
"""A LaTeX command in a text that was converted to capitals."""


_INLINE_BULLET = re.compile(r"(?<=\S)[ \t]+[•▪●◦‣][ \t]+(?=\S)")
"""``• params: 65B   • data: 1.4T tok``: bullets on one line."""


def pieces(text: str, kind: str = "") -> list[Piece]:
    """The blocks and tables of a text; ``kind`` is the file's suffix, if any."""
    text = without_space_groups(without_point_groups(in_points(text.replace("\r\n", "\n").replace("\r", "\n"))))
    text = _INLINE_BULLET.sub("; ", text)
    text = _SHOUTED.sub(lambda command: command[0].lower(), text)
    if kind in (".html", ".htm") or _is_hypertext(text):
        found = list(hypertext_pieces(text))
    else:
        found = list(_mixed(text, latex=kind == ".tex" or is_tex(text)))
    return [piece for piece in found if isinstance(piece, Table) or piece.text.strip()]


def _is_hypertext(text: str) -> bool:
    """Whether the whole text is HTML, not Markdown with a few tags."""
    head = text[:4000].lower()
    if "<html" in head or "<!doctype html" in head:
        return True
    blocks = sum(text.count(tag) for tag in ("<p>", "<li>", "<h1", "<h2", "<h3", "<p ", "<ul>", "<div", "<dd>"))
    marks = sum(text.count(mark) for mark in ("\n# ", "\n## ", "\n- ", "\n* ", "|---", "| ---", "|:-"))
    return blocks > marks and blocks >= 2


def _mixed(text: str, *, latex: bool) -> Iterator[Piece]:
    """Reads Markdown or LaTeX: LaTeX tables are cut out first, and the rest is read as Markdown."""
    if latex:
        text = without_tex_frame(text)
    at, line = 0, 1
    for start, end, table in tabulars(text):
        yield from _markdown(text[at:start], line, latex=latex)
        line += text.count("\n", at, start)
        yield table(line)
        line += text.count("\n", start, end)
        at = end
    yield from _markdown(text[at:], line, latex=latex)


def _markdown(text: str, first: int, *, latex: bool) -> Iterator[Piece]:
    """Markdown blocks, and ruled tables printed by programs among them; lines are counted from ``first``."""
    at = 0
    for start, end, table in ruled_blocks(text):
        yield from _blocks(text[at:start], first + text.count("\n", 0, at), latex=latex)
        rows = tuple(tuple(Cell(c.text, c.line + first - 1) for c in row) for row in table.rows)
        yield Table(rows, table.head, table.line + first - 1)
        at = end
    yield from _blocks(text[at:], first + text.count("\n", 0, at), latex=latex)


def _blocks(text: str, first: int, *, latex: bool) -> Iterator[Piece]:
    """Markdown blocks; lines are counted from ``first``."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")
    tokens: list[Any] = []
    parser.block.parse(text, parser, {}, tokens)
    kind, depth, index, above = "text", 0, 0, ""
    while index < len(tokens):
        token = tokens[index]
        line = first + token.map[0] if token.map else first
        if token.type == "table_open":
            table, index = _markdown_table(tokens, index, first)
            yield table
        elif token.type in ("bullet_list_open", "ordered_list_open"):
            depth += 1
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            depth -= 1
        elif token.type == "heading_open":
            kind = "heading"
        elif token.type in ("paragraph_open", "list_item_open"):
            kind = "item" if depth else "text"
        elif token.type == "inline" and above:
            yield from _paragraph(above + token.content, line - above.count("\n"), kind, depth, latex=latex)
            above = ""
        elif token.type == "code_block" and _heads(tokens, index):
            above = "\n".join(text.split("\n")[token.map[0] : token.map[1]]) + "\n"
        elif token.type == "inline":
            level = int(tokens[index - 1].tag[1:]) if kind == "heading" else depth
            opened = _run_in(token.content) if kind == "text" else None
            if opened is not None:
                yield Passage("heading", plain(opened[0], latex=latex), line, RUN_IN_LEVEL)
            yield from _paragraph(opened[1] if opened else token.content, line, kind, level, latex=latex)
        elif token.type in ("fence", "code_block"):
            yield from _paragraph(token.content, line + (token.type == "fence"), "text", depth, latex=latex)
        elif token.type == "html_block":
            yield from _html_block(token.content, line)
        index += 1


def _heads(tokens: Sequence[Any], index: int) -> bool:
    """Whether an indented line is not code but the header of the aligned columns directly below it."""
    code, behind = tokens[index], tokens[index + 1] if index + 1 < len(tokens) else None
    if (
        behind is None
        or behind.type != "paragraph_open"
        or behind.map[0] != code.map[1]
        or "\n" in code.content.strip()
    ):
        return False
    rows = tokens[index + 2].content.split("\n")
    return len(rows) > 1 and all(re.search(r"\S\s{2,}\S", row) for row in rows)


_RUN_IN = re.compile(
    r"\s*(?:\\(?:noindent|smallskip|medskip|bigskip|textbf|textit|emph|underline|bfseries|item)\b[ {]*)*"
    r"(?:(?P<mark>\*\*\*|\*\*|__|\*|_)(?P<label>[A-Z][^*_\n{}]{2,58}?)(?P<stop>[.]?)(?P=mark)|"
    r"\\(?:textbf|textit|emph|underline)\{[ ]?(?P<tex>[A-Z](?:[^{}\n]|\{[^{}\n]{0,40}\}){2,58}?)(?P<point>[.]?)\})(?P<behind>[.]?)(?=\s+\S)"
)
MOST_IN_HEADING = 8


def _run_in(text: str) -> tuple[str, str] | None:
    """``**Reward model.** We start from ...``: the heading that opens a paragraph, and the rest; None if there is no heading."""
    found = _RUN_IN.match(text)
    if found is None or not (found["stop"] or found["point"] or found["behind"]):
        return None
    label = found["label"] or found["tex"]
    if len(label.split()) > MOST_IN_HEADING or len(text) - found.end() < 2 * len(label):
        return None
    return label, text[found.end() :].lstrip(" ")


def _html_block(text: str, line: int) -> Iterator[Piece]:
    """Reads HTML inside Markdown; tags that are not HTML (``<params>``) are prose."""
    if "<t" in text.lower() and "</t" in text.lower() and re.search(r"<t[drh][\s>]", text, re.IGNORECASE):
        yield from hypertext_pieces(text, line)
    else:
        yield from _paragraph(text, line, "text", 0, latex=False)


def _markdown_table(tokens: Sequence[Any], index: int, first: int) -> tuple[Table, int]:
    """The table that opens at token ``index``, and the index where it closes."""
    rows: list[tuple[Cell, ...]] = []
    row: list[Cell] = []
    start = tokens[index].map[0] + first
    line, head = start, 0
    while tokens[index].type != "table_close":
        token = tokens[index]
        if token.type == "tr_open":
            row, line = [], (token.map[0] + first if token.map else line)
        elif token.type == "tr_close":
            rows.append(tuple(row))
        elif token.type == "thead_close":
            head = len(rows)
        elif token.type == "inline":
            row.append(cell(token.content, line))
        index += 1
    return Table(tuple(rows), head, start), index


METERED_COMMAS = 14
"""A line of names over one line of values has at least this many commas."""


def _paragraph(text: str, line: int, kind: str, depth: int, *, latex: bool) -> Iterator[Piece]:
    """Reads a paragraph, and splits it if it is a list of labelled lines, bullets or aligned columns."""
    shown = plain(text, latex=latex)
    lines = shown.split("\n")
    if (len(lines) >= 3 or shown.count(",") >= METERED_COMMAS) and kind != "heading":
        table = _piped(lines, line) or aligned(lines, line) or separated(lines, line) or _settings(lines, line)
        if table is not None:
            yield table
            return
        if len(lines) > 3 and len(cells_of(lines[0])) == 1 and (table := _settings(lines[1:], line + 1)) is not None:
            yield from _plain_paragraph(lines[:1], line, kind, depth)  # the title of the list
            yield table
            return
        if (cut := _run_together(lines, line)) is not None:
            first, last, table = cut
            yield from _plain_paragraph(lines[:first], line, kind, depth)
            yield table
            yield from _plain_paragraph(lines[last:], line + last, kind, depth)
            return
    yield from _plain_paragraph(lines, line, kind, depth)


def _plain_paragraph(lines: Sequence[str], line: int, kind: str, depth: int) -> Iterator[Piece]:
    """Reads the lines of a paragraph that is not a table."""
    if kind in ("text", "tail") and (parts := _by_stages("\n".join(lines))):
        for offset, part in parts:
            yield Passage("item", part, line + offset, depth)
        return
    start = 0
    for index in range(1, len(lines) + 1):
        if index < len(lines) and not _begins(lines, index):
            continue
        part = "\n".join(lines[start:index])
        bullet = BULLET.match(part)
        inner = "item" if bullet and (start > 0 or kind == "text") and len(lines) > 1 else kind
        body = part[bullet.end() :] if bullet and inner == "item" and kind != "item" else part
        for offset, cut in _cut(body):
            yield Passage(
                inner if start == 0 or bullet or not LABELLED.match(part) else "item", cut, line + start + offset, depth
            )
        start = index


MOST_COLUMNS = 100
"""Most words of a line that are taken for the columns of a table that lost them; spaces count as empty words."""
_NUMERIC = re.compile(r"[~≈$€]?\d[\d.,]*(?:[eE][+-]?\d+)?[kKMBT%]?|[-–—]")


def _run_together(lines: Sequence[str], line: int) -> tuple[int, int, Table] | None:
    """A table that lost its columns in a PDF, a line of words above lines of a name and figures: first line, end and table; or None."""
    split = [_words(text) for text in lines]
    for first in range(len(lines) - 2):
        width, last = len(split[first]), first + 1
        if (
            not 4 <= width <= MOST_COLUMNS
            or any(_NUMERIC.fullmatch(word) for word in split[first])
            or lines[first].rstrip().endswith(".")
        ):
            continue
        while last < len(lines) and _is_row(split[last], width):
            last += 1
        if last - first > 2:
            rows = tuple(tuple(cell(word, line + n) for word in split[n]) for n in range(first, last))
            return first, last, Table(rows, 1, line + first, caption=lines[0] if first else "")
    return None


def _words(text: str) -> list[str]:
    """The words of a line; a bracket belongs to the word before it: ``MFU (%)``."""
    return re.sub(r"(?<!\s)\s+(?=\()", "\u00a0", text).split(" ") if text.strip() else []


def _is_row(words: Sequence[str], width: int) -> bool:
    """Whether a line is a name followed by figures."""
    if len(words) != width or _NUMERIC.fullmatch(words[0]):
        return False
    return sum(_NUMERIC.fullmatch(word) is not None for word in words[1:]) >= width - 2


_STAGE_LABEL = re.compile(
    r"(?:^|(?<=[.;)]\s))(?=[A-Z])(?:[\w-]+ ){0,4}?[\w-]*(?:train|tun|stage|phase|align|anneal|extension|distil|cooldown)[\w-]*"
    r"(?: [\w-]+){0,4}:\s",
    re.IGNORECASE,
)


def _by_stages(text: str) -> list[tuple[int, str]]:
    """Splits a paragraph by its stages (``Pre-training: ... Full training: ...``), each with its line offset; empty if there are none."""
    found = [match.start() for match in _STAGE_LABEL.finditer(text)] if text.count(":") > 1 else []
    if len(found) < 2:
        return []
    cuts = [0, *(at for at in found if at), len(text)]
    return [(text.count("\n", 0, a), text[a:b]) for a, b in pairwise(cuts) if text[a:b].strip()]


def _begins(lines: Sequence[str], index: int) -> bool:
    """Whether a line of a paragraph begins a new part."""
    line = lines[index]
    if line.lstrip().startswith("|"):
        return True
    if re.match(r"\s*(?:[•‣▪◦●]|\((?:[ivx]{1,4}|[a-h]|\d)\))\s", line) or (
        re.match(r"\s*[–—]\s", line) and BULLET.match(lines[index - 1])
    ):
        return True
    labelled = LABELLED.match(line) is not None and len(line) < 160
    return labelled and (LABELLED.match(lines[index - 1]) is not None or len(lines[index - 1].strip()) < 60)


def _cut(text: str) -> Iterator[tuple[int, str]]:
    """A text in parts of bounded length, each with the number of lines before it."""
    for at in range(0, max(len(text), 1), BIG):
        yield text.count("\n", 0, at), text[at : at + BIG]


def _piped(lines: Sequence[str], line: int) -> Table | None:
    """Reads ``Model | GPUs | Days`` without a rule under the header: at least three rows with the same number of cells; else None."""
    filled = [
        (offset, [text.strip() for text in row.strip().strip("|").split("|")])
        for offset, row in enumerate(lines)
        if row.strip()
    ]
    width = len(filled[0][1])
    if width < 3 or len(filled) < 3 or any(len(cells) != width for _, cells in filled) or ":" in "".join(filled[0][1]):
        return None
    if any(len(text) > 60 for _, cells in filled for text in cells) or any(text[:1].isdigit() for text in filled[0][1]):
        return None
    return Table(tuple(tuple(cell(text, line + offset) for text in cells) for offset, cells in filled), 1, line)


def _settings(lines: Sequence[str], line: int) -> Table | None:
    """Reads two columns aligned with spaces, labels and values, as programs and word processors print them; else None."""
    filled = [(offset, text) for offset, text in enumerate(lines) if text.strip() and not set(text) <= set("-=+_ \t")]
    split = [(offset, cells_of(text)) for offset, text in filled]
    if len(split) < 3 or any(len(cells) != 2 for _, cells in split):
        return None
    begins = {cells[1][1] for _, cells in split[1:]}  # leading spaces of the first line were stripped
    labels = sum(cells[0][0][:1].isalpha() for _, cells in split)
    valued = sum(cells[1][0][:1].isdigit() for _, cells in split)
    longest = max(len(text) for _, cells in split for text, _, _ in cells)
    if len(begins) > 1 or labels < len(split) or 2 * valued < len(split) or longest > 44 or _labels_lines(lines):
        return None
    return Table(tuple(tuple(cell(text, line + offset) for text, _, _ in cells) for offset, cells in split), 0, line)


def _labels_lines(lines: Sequence[str]) -> bool:
    """Whether any line is ``Label:  value``, so that the lines are read one by one."""
    return any(LABELLED.match(line) for line in lines)
