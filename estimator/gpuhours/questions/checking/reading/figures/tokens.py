"""Named runs of characters from the lexer of ``numbers.lark``, and the types that figures are made of."""

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
    """A word, mark, stop, device or figure, with its position in the text."""

    kind: str
    """``word``, ``mark``, ``stop``, ``device`` or ``figure``"""
    text: str
    start: int
    end: int

    @functools.cached_property
    def words(self) -> tuple[str, ...]:
        """The words in lower case; for a figure, those of its unit."""
        return tuple(self.text.lower().replace("’", "'").split())


@dataclass(frozen=True)
class Figure(Item):
    """A number with its unit: ``value`` in the base of ``unit`` (seconds, FLOP, bytes, Wh, tonnes, fractions, counts)."""

    value: float = math.nan
    until: float | None = None
    """The upper end of a range."""
    digits: str = ""
    hedges: tuple[str, ...] = ()
    unit: str = ""
    """time, gpu_time, byte, bit/s, byte/s, flop, flop/s, energy, power, co2, money, percent, pixel, rate, gpu, dates, or a noun."""
    per: tuple[str, ...] = ()
    scale: str = ""
    word: str = ""
    """The unit as written: weeks, TFLOPS, GPU-hours."""
    device: str = ""
    joined: bool = False
    """Written as an adjective: ``16-frame``, ``8-GPU``."""
    sides: tuple[int, ...] = ()
    """The sides of ``224 x 224``."""
    currency: str = ""
    progression: bool = False
    """One end of ``from 8 to 128``, which are too far apart to be a range for one value."""
    refines: bool = False
    """Repeats the figure before it more exactly: ``fifteen days (15.5)``."""

    @functools.cached_property
    def words(self) -> tuple[str, ...]:
        """``#``, and the words of its unit."""
        return ("#", *self.word.lower().split(), *(("per", *self.per) if self.per else ()))


class Token(NamedTuple):
    """A run of characters that matches one terminal of the grammar."""

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
    """The lexer, built once; lark is imported only when prose is read."""
    from lark import Lark

    grammar = (files("gpuhours.questions.checking.reading.figures") / "numbers.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser=None, lexer="basic", maybe_placeholders=False)


def tokens_of(text: str) -> list[Token]:
    """Every run of characters with its terminal, without white space and tags.

    Very long digit strings become a word, because otherwise each digit is tried as the start of a number. ``lex`` uses the cached lexer;
    with ``dont_ignore`` it would build a new one for every text.
    """
    lexed = _ENDLESS.sub(lambda match: "x" * len(match[0]), text)
    return [Token(t.type, text[t.start_pos : t.end_pos], t.start_pos, t.end_pos) for t in _lexer().lex(lexed)]


_TAG = re.compile(r"<(/?)([A-Za-z_]{1,40})>")
"""The same as the terminal in the grammar, which the lexer ignores."""


def tags(text: str) -> dict[str, list[tuple[int, int]]]:
    """The positions of the text between ``<params>`` and ``</params>``, by tag."""
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
