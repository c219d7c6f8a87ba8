r"""LaTeX source and tables: the text between ``\begin{tabular}`` and ``\end{tabular}`` becomes rows of cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from gpuhours.questions.checking.reading.formats.blocks import Cell, Table, cell

_BEGIN = re.compile(r"\\begin\{(tabular\*?|tabularx|tabulary|longtable|array|tabu)\}(?:\[[^\]\n]{0,20}\])?")
_RULES = re.compile(
    r"\\(?:hline|toprule|midrule|bottomrule|cmidrule(?:\([^)]{0,9}\))?\{[^}]{0,20}\}|cline\{[^}]{0,20}\}|addlinespace(?:\[[^\]]{0,20}\])?)"
)
_SPAN = re.compile(r"\\multicolumn\s*\{(\d{1,2})\}\s*\{[^{}]{0,60}\}\s*\{((?:[^{}]|\{[^{}]{0,200}\}){0,400})\}")
_ROWS = re.compile(
    r"\\multirow\s*(?:\[[^\]]{0,20}\])?\{[^{}]{0,10}\}\s*\{[^{}]{0,20}\}\s*\{((?:[^{}]|\{[^{}]{0,200}\}){0,400})\}"
)
_STACKED = re.compile(
    r"\\(?:makecell|thead|shortstack|specialcell|tabincell|pbox|parbox)\*?\s*(?:\[[^\]\n]{0,20}\])?"
    r"(?:\{[lcrtb]{1,2}\}|\{[\d.]{1,6}(?:cm|em|pt|in|mm|\\\w{1,12})\})?\s*\{((?:[^{}]|\{[^{}]{0,100}\}){0,300})\}"
)
"""``\\makecell{GPU power\\\\(W)}``: a cell with several lines."""
_TABLE_IN_CELL = re.compile(
    r"\\begin\{tabular\*?\}(?:\[[^\]\n]{0,20}\])?\{(?:[^{}]|\{[^{}]{0,20}\}){0,60}\}((?:(?!\\begin|\\end).){0,400})\\end\{tabular\*?\}",
    re.DOTALL,
)
"""``\\begin{tabular}[c]{@{}c@{}}GPU\\\\type\\end{tabular}``: the same, as table generators write it."""
_LINE_IN_CELL = re.compile(r"\\\\(?:\[[^\]\n]{0,20}\])?|\\newline\b")
_SECTION = re.compile(
    r"\\(?:chapter|section|subsection|subsubsection|title)\*?\s*\{((?:[^{}\n]|\{[^{}\n]{0,100}\}){0,300})\}"
)


_RUN_IN = re.compile(
    r"\s*(?:\\(?:noindent|smallskip|medskip|bigskip)\s*)*\\(?:sub)?paragraph\*?\s*\{((?:[^{}\n]|\{[^{}\n]{0,100}\}){0,300})\}"
)
"""``\\paragraph{Hardware.} We used ...``: a heading on the first line of its paragraph."""


_COMMENT = re.compile(r"((?<![\d.,\\])(?:\d{1,2}(?:\.\d{1,3})?|100)%)|(?<!\\)%.*")
"""A comment up to the end of its line, or ``33.0%`` in running text, which is a share whose backslash was left out."""


def is_tex(text: str) -> bool:
    """Whether a text is LaTeX source, not Markdown with a formula."""
    return any(
        mark in text
        for mark in (
            "\\documentclass",
            "\\begin{document}",
            "\\section{",
            "\\subsection{",
            "\\section*{",
            "\\paragraph{",
            "\\begin{tabular",
            "\\num{",
            "\\SI{",
            "\\qty{",
            "\\citep{",
            "\\textbf{",
            "\\begin{itemize}",
            "\\begin{table",
        )
    )


def without_tex_frame(text: str) -> str:
    """Removes comments, preamble and environments line by line; sections become headings, and items become bullets."""
    lines = []
    body = "\\begin{document}" not in text
    for line in text.split("\n"):
        body = body or "\\begin{document}" in line
        line = _COMMENT.sub(lambda found: found[1] or "", line) if body else ""
        line = (
            _RUN_IN.sub(lambda found: f"\\textbf{{{found[1].rstrip(' .:')}.}}", line) if "paragraph" in line else line
        )
        line = _SECTION.sub(
            lambda found: f"# {found[1]}" if not found.string[: found.start()].strip() else found[1], line
        )
        line = re.sub(r"\\item(?:\[([^\]\n]{0,100})\])?\s*", lambda found: f"- {found[1] or ''} ", line)
        line = re.sub(
            r"\\(?:begin|end)\{(?!tabular|longtable|tabu|array)[^{}\n]{0,40}\}(?:\[[^\]\n]{0,40}\])?", "", line
        )
        line = re.sub(r"\\caption(?:\[[^\]\n]{0,100}\])?\{", "{", line)
        lines.append(line if not line.startswith("    ") else line.lstrip())
    return "\n".join(lines)


def tabulars(text: str) -> Iterator[tuple[int, int, Callable[[int], Table]]]:
    """The start and end of each table, and a function from its first line number to the table."""
    at = 0
    while found := _BEGIN.search(text, at):
        end = _closing(text, found.end(), found[1])
        if end < 0:
            return
        inner = _after_columns(text, found.end(), end)
        body = text[inner:end]
        offset = text.count("\n", found.start(), inner)
        at = end + len(f"\\end{{{found[1]}}}")
        yield found.start(), at, lambda line, body=body, offset=offset: _table(body, line + offset)  # type: ignore[misc]


def _closing(text: str, at: int, name: str) -> int:
    """Where the environment that opened before ``at`` closes, allowing for nested ones; -1 if it does not close."""
    depth = 1
    for mark in re.compile(rf"\\(begin|end)\{{{re.escape(name)}\}}").finditer(text, at, at + LONGEST):
        depth += 1 if mark[1] == "begin" else -1
        if depth == 0:
            return mark.start()
    return -1


LONGEST = 400_000
"""The longest table, in characters."""


def _after_columns(text: str, at: int, end: int) -> int:
    """Where the body begins after ``{lrr}`` (and after the width before it)."""
    while at < end and text[at] == "{":
        depth = 0
        for position in range(at, min(at + 400, end)):
            depth += {"{": 1, "}": -1}.get(text[position], 0)
            if depth == 0:
                at = position + 1
                break
        else:
            return at
    return at


def _table(body: str, line: int) -> Table:
    rows: list[tuple[Cell, ...]] = []
    head, at = 0, 0
    for stacked in (_TABLE_IN_CELL, _STACKED):
        body = stacked.sub(lambda stack: _LINE_IN_CELL.sub(" ", stack[1]), body)
    for part in re.split(r"\\\\(?:\[[^\]\n]{0,20}\])?", body):
        row_line = line + body.count("\n", 0, at) + (len(part) - len(part.lstrip("\n"))) * (part[:1] == "\n")
        if rows and not head and re.search(r"\\(?:midrule|hline|cmidrule)", part):
            head = len(rows)
        at += len(part) + 2
        shown = _ROWS.sub(r"\1", _RULES.sub("", part))
        if not shown.strip():
            continue
        cells: list[Cell] = []
        for text in re.split(r"(?<!\\)&", shown):
            span = _SPAN.search(text)
            inner = cell(_SPAN.sub(r"\2", text), row_line, latex=True)
            cells += [inner] * (min(int(span[1]), 50) if span else 1)
        rows.append(tuple(cells))
    return Table(tuple(rows), max(head, 1), line)
