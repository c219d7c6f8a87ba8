"""HTML tables for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def html_table(
    head: Sequence[str], rows: Iterable[Sequence[Any]], *, caption: str = "", notes: Sequence[str] = ()
) -> str:
    """An HTML table with a caption above and notes below; floats have four digits. A line break in a heading separates name and unit."""
    from html import escape  # no command needs it

    def heading(word: str) -> str:
        name, _, unit = escape(word).partition("\n")
        return f"<th>{name}<br><small>{unit}</small></th>" if unit else f"<th>{name}</th>"

    names = "".join(heading(word) for word in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell(one))}</td>" for one in row) + "</tr>" for row in rows)
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    listed = "".join(f"<li>{escape(note)}</li>" for note in notes)
    below = f"<ul>{listed}</ul>" if listed else ""
    return f"<table>{title}<thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>{below}"


def cell(value: Any) -> str:
    """The text of a cell: a float with four significant digits, an int with all its digits, "" for None, anything else as ``str``."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else four_digits(value) if isinstance(value, float) else str(value)


def four_digits(value: float) -> str:
    """``44,160``, ``0.4179``, ``7.2e+22``: four significant digits, with an exponent from 1e15 and for very small numbers.

    >>> four_digits(44164.3), four_digits(0.41789), four_digits(7.2049e22)
    ('44,160', '0.4179', '7.205e+22')
    """
    rounded = float(f"{value:.4g}")
    return f"{rounded:,.0f}" if 1e3 <= abs(rounded) < 1e15 else f"{rounded:.4g}"
