"""Runs of characters with their names: the lexer of ``numbers.lark``, and what figures are made of."""

from __future__ import annotations

import functools
import math
import re
from importlib.resources import files
from typing import Any, NamedTuple

from gpuhours.inputs.records import dataclass

DEVICE = ("VENDOR", "CHIP", "FORM", "MEMORY", "GPU_WORD")
"""Terminals that name accelerators."""


@dataclass(frozen=True)
class Item:
    """A word, a mark, a stop, a device or a figure, and where it stands in the text."""

    kind: str
    """word, mark, stop, device, figure"""
    text: str
    start: int
    end: int

    @functools.cached_property
    def words(self) -> tuple[str, ...]:
        """Lower-case; of a figure those of its unit."""
        return tuple(self.text.lower().replace("’", "'").split())


@dataclass(frozen=True)
class Figure(Item):
    """A number with its unit: ``value`` in the base of ``unit`` (seconds, FLOP, bytes, Wh, tonnes, fractions, counts)."""

    value: float = math.nan
    until: float | None = None
    """The other end of a range."""
    digits: str = ""
    hedges: tuple[str, ...] = ()
    unit: str = ""
    """time, gpu_time, byte, bit/s, byte/s, flop, flop/s, energy, power, co2, money, percent, pixel, rate, gpu, dates, or a noun."""
    per: tuple[str, ...] = ()
    scale: str = ""
    word: str = ""
    """The unit as it is written: weeks, TFLOPS, GPU-hours."""
    device: str = ""
    joined: bool = False
    """Written as one adjective: ``16-frame``, ``8-GPU``."""
    sides: tuple[int, ...] = ()
    """224 x 224."""
    currency: str = ""
    progression: bool = False
    """One end of ``from 8 to 128``, too far apart to be a range of one value."""
    refines: bool = False
    """Says the figure before it more exactly: ``fifteen days (15.5)``."""

    @functools.cached_property
    def words(self) -> tuple[str, ...]:
        """``#``, and the words of its unit."""
        return ("#", *self.word.lower().split(), *(("per", *self.per) if self.per else ()))


class Token(NamedTuple):
    """A run of characters that one terminal of the grammar names."""

    type: str
    text: str
    start: int
    end: int


class Unit(NamedTuple):
    """A unit without its number."""

    kind: str = ""
    word: str = ""
    factor: float = 1.0
    per: tuple[str, ...] = ()
    device: str = ""
    joined: bool = False


_ENDLESS = re.compile(r"\d{60,}")
"""More digits in a row than any figure has."""


@functools.cache
def _lexer() -> Any:
    """The lexer, built once; lark is imported only where prose is read."""
    from lark import Lark

    grammar = (files("gpuhours.questions.checking.reading") / "numbers.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser=None, lexer="basic", maybe_placeholders=False)


def tokens_of(text: str) -> list[Token]:
    """Every run of characters with its name; white space and tags are none.

    Digits without end are a word: else each of them is tried as the beginning of a number. ``lex`` takes the lexer that was built once;
    with ``dont_ignore`` it would build one anew for every text.
    """
    lexed = _ENDLESS.sub(lambda match: "x" * len(match[0]), text)
    return [Token(t.type, text[t.start_pos : t.end_pos], t.start_pos, t.end_pos) for t in _lexer().lex(lexed)]


_TAG = re.compile(r"<(/?)([A-Za-z_]{1,40})>")
"""As the terminal of the grammar, which the lexer leaves out."""


def tags(text: str) -> dict[str, list[tuple[int, int]]]:
    """What stands between ``<params>`` and ``</params>``, by tag, as places in the text."""
    found: dict[str, list[tuple[int, int]]] = {}
    opened: dict[str, int] = {}
    if "<" not in text:
        return found
    for tag in _TAG.finditer(text):
        name = tag[2].lower()
        if not tag[1]:
            opened[name] = tag.end()
        elif name in opened:
            found.setdefault(name, []).append((opened.pop(name), tag.start()))
    return found
