"""Reads a number from tokens: digits or words, a power of ten, a scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from gpuhours.questions.checking.reading.figures.tokens import Token
from gpuhours.questions.checking.reading.vocabulary.number_words import spelled
from gpuhours.questions.checking.reading.vocabulary.units import SCALES

SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹−⁻–", "0123456789---")
NUMBERS = ("NUMBER", "SPELLED")
LARGEST_POWER = 40
LARGEST = 1e40
"""No figure about training is larger; a longer string of digits is not a number."""


def type_at(tokens: Sequence[Token], at: int) -> str:
    """The token's terminal; empty outside the text."""
    return tokens[at].type if 0 <= at < len(tokens) else ""


class ReadNumber(NamedTuple):
    """A number as written, and the index of the token after it."""

    value: float
    digits: str
    scale: str
    end: int


def number_at(tokens: Sequence[Token], at: int) -> ReadNumber | None:
    """The number that begins at a token (digits or words, a power of ten, a scale); None if there is none or it is too large."""
    if type_at(tokens, at) not in NUMBERS:
        return None
    token = tokens[at]
    if token.type == "NUMBER":
        digits = token.text.replace("{,}", "").replace(",", "").rstrip("+").translate(SUPERSCRIPTS).replace(" ", "")
        base, raised, power = digits.partition("^")
        exponent = float(power.strip("{}") or 0) if raised else 0.0
        if abs(exponent) > LARGEST_POWER or len(base.partition("e")[2].lstrip("+-")) > 2:
            return None
        digits = digits.replace("+", "e+") if _lost_e(digits) else digits
        if raised and exponent < 0 and float(base) == 0:
            return None
        if raised and float(base) > 0 and abs(exponent * math.log10(float(base))) > 300:
            return None
        value = float(base) ** exponent if raised else float(digits)
        digits = f"{value:.12g}" if raised else digits
        if (part := _and_a_part(tokens, at + 1)) and "." not in digits and not raised:
            value += part
            return ReadNumber(value, f"{value:g}", "", at + 4)
    else:
        value = spelled(token.text)
        digits = f"{value:g}"
    at += 1
    if type_at(tokens, at) == "POWER":
        power = tokens[at].text.translate(SUPERSCRIPTS).partition("10")[2]
        exponent = int("".join(c for c in power if c.isdigit() or c == "-") or 0)
        if abs(exponent) > LARGEST_POWER:
            return None
        value *= 10.0**exponent
        at += 1
    scale = ""
    while type_at(tokens, at) == "SCALE":
        scale = tokens[at].text.strip(" -").lower().replace("ions", "ion").replace("thousands", "thousand")
        value *= SCALES.get(scale, 1.0)
        at += 1
    return ReadNumber(value, digits, scale, at) if value < LARGEST else None


PARTS = {"half": 0.5, "quarter": 0.25, "third": 1 / 3}


def _and_a_part(tokens: Sequence[Token], at: int) -> float:
    """``2 and a half weeks``: the fraction in words after the digits; 0 if there is none."""
    said = [token.text.lower().strip() for token in tokens[at : at + 3]]
    return PARTS.get(said[2], 0.0) if said[:2] == ["and", "a"] and len(said) == 3 else 0.0


def _lost_e(digits: str) -> bool:
    """``3.14+23``: whether the E of the exponent is missing."""
    return "+" in digits and "e" not in digits.lower()
