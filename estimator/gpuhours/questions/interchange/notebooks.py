"""The code of Jupyter notebooks (nbformat 4, nbformat.readthedocs.io)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from gpuhours.inputs.errors import EstimateError

_COMMAND = re.compile(r"^(\s*)(?:[\w., ]+=\s*)?[!%?].*$|^(\s*)[\w.]+\?+\s*$", re.MULTILINE)
"""A shell command, a magic command or a question for help, which only notebooks understand."""
_OTHER = re.compile(r"^\s*%%(?!capture|time|timeit|prun|debug)\w")
"""The first line of a cell in another language."""
_SHELL = re.compile(r"^\s*%%(?:bash|sh)\b")
_LAUNCH = re.compile(r"\b(?:python3?|torchrun|accelerate|deepspeed)\s+(?!-m\s+pip\b).*--")
SAVE = "Save it again with Jupyter, or as Python: jupyter nbconvert --to script FILE."


def code(text: str, where: str) -> list[str]:
    """The Python of each code cell; lines that only notebooks understand do nothing.

    >>> code('{"cells": [{"cell_type": "code", "source": ["!pip install x\\\\n", "n = 1"]}]}', "a.ipynb")
    ['pass\\nn = 1']
    """
    sources = [source for source in _sources(text, where) if not _OTHER.match(source)]
    return [_COMMAND.sub(r"\1\2pass", re.sub(r"\\\n", " ", source) if "!" in source else source) for source in sources]


def commands(text: str, where: str) -> str:
    """The shell commands that launch a program with arguments, one a line.

    >>> commands('{"cells": [{"cell_type": "code", "source": "!pip install --upgrade x\\\\n!python3 a.py --n 1"}]}', "a.ipynb")
    'python3 a.py --n 1'
    """
    lines = []
    for source in _sources(text, where):
        shell = _SHELL.match(source) is not None
        for line in re.sub(r"\\\n", " ", source).splitlines():
            command = line if shell else line.strip().removeprefix("!") if line.strip().startswith("!") else ""
            if _LAUNCH.search(command):
                lines.append(command)
    return "\n".join(lines)


def _sources(text: str, where: str) -> Iterator[str]:
    """The text of each code cell. Raises ``EstimateError`` for a file that is no notebook."""
    for number, cell in enumerate(_cells(text, where)):
        at = f"{where}: cells[{number}]"
        if not isinstance(cell, Mapping):
            raise EstimateError(f"This cell is {_kind(cell)} instead of an object.", SAVE, at)
        if cell.get("cell_type") != "code":
            continue
        source = cell.get("source")
        lines = [source] if isinstance(source, str) else source
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            raise EstimateError("The cell's source is neither text nor a list of lines.", SAVE, f"{at}.source")
        yield "".join(lines)


def _cells(text: str, where: str) -> list[Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise EstimateError("is not a notebook, since it is not JSON.", SAVE, where) from None
    if isinstance(data, Mapping) and "worksheets" in data:
        raise EstimateError(
            "is a notebook in the format of 2014.", "Convert it: jupyter nbconvert --to notebook FILE.", where
        )
    cells = data.get("cells") if isinstance(data, Mapping) else None
    if not isinstance(cells, list):
        raise EstimateError("is not a notebook: it has no list of cells.", SAVE, where)
    return cells


def _kind(value: Any) -> str:
    """What a JSON value is, in words."""
    return "a list" if isinstance(value, list) else "null" if value is None else repr(value)[:40]
