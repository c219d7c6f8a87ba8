"""Finds sums and products that a text writes out with their result: ``12 configurations x 5 seeds x 24 GPU-hours = 1,440``.

Their arithmetic can be checked whatever the figures are about. A line that mixes operators, or has a number that is no term, is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.claim import Miscalculation
from gpuhours.questions.checking.reading.figures.numbers import scan
from gpuhours.questions.checking.reading.figures.tokens import Figure
from gpuhours.questions.checking.reading.formats.blocks import Prose
from gpuhours.questions.checking.reading.vocabulary.units import SCALES, factor

TERM = 60
"""The most characters of one term, with its words."""
_EQUALS = re.compile(r"(?:=|≈|\b(?:equals|makes|gives|comes to|amounts to|is|are)(?= (?:about |some |~ ?)?[$€£]?\d))")
_OPERATOR = re.compile(r"\s[x×*·]\s|\s\+\s|\s÷\s|[×÷]")
_NO_TERM = re.compile(r"[\^/|√<>{}\[\]\\]|\b(?:sqrt|log|per|of)\b")
"""What makes a term more than a number with its unit."""
_BREAKS = re.compile(r"[;:\n]|,(?!\d)|\.(?!\d)|\((?!\d)")
OPERATIONS = {"+": "+", "x": "x", "×": "x", "*": "x", "·": "x", "÷": "÷"}


@dataclass(frozen=True)
class Equation:
    """A calculation as a text writes it: the terms, the operation between them (``+``, ``x`` or ``÷``), and the result."""

    terms: tuple[Figure, ...]
    operation: str
    result: Figure
    text: str
    line: int

    def of(self, values: Sequence[float]) -> float:
        """What the operation gives for values of the terms."""
        if self.operation == "+":
            return math.fsum(values)
        return math.prod(values) if self.operation == "x" else values[0] / math.prod(values[1:])

    @property
    def in_units(self) -> bool:
        """``512 GiB + 512 GiB = 1 TiB``: whether this is a sum of one kind of unit in words of different size."""
        figures = (*self.terms, self.result)
        of_one_kind = self.operation == "+" and len({figure.unit for figure in figures}) == 1
        return of_one_kind and len({_unit(figure) for figure in figures}) > 1

    @property
    def stated(self) -> float:
        """The result as written, without its unit."""
        return _plain(self.result)


def _plain(figure: Figure) -> float:
    """The number of a figure with its scale, without its unit: ``9 days`` is 9, ``1.2 million hours`` 1,200,000."""
    return figure.value / _unit(figure)


def _unit(figure: Figure) -> float:
    """The size of the unit of a figure in the base unit of its kind; 1 for counts and money."""
    return factor(figure.unit, figure.word)


def equations(prose: Prose) -> Iterator[Equation]:
    """Every calculation with its result, in the order of the text."""
    text = prose.text
    for sign in _EQUALS.finditer(text):
        terms = _terms(text[max(sign.start() - 4 * TERM, 0) : sign.start()])
        result = _result(text[sign.end() : sign.end() + TERM])
        if terms is None or result is None:
            continue
        figures, operation, begun = terms
        if _of_experts(figures) or (operation == "+" and len({f.unit for f in figures} - {""}) > 1):
            continue
        said = text[sign.start() - begun : sign.end() + result.end].strip()
        yield Equation(tuple(figures), operation, result, " ".join(said.split()), prose.line(sign.start()))


def _terms(before: str) -> tuple[list[Figure], str, int] | None:
    """The terms before an equals sign, their operation, and how many characters they take; None if that is no plain calculation."""
    cut = max((m.end() for m in _EQUALS.finditer(before)), default=0)
    cut = max([cut, *(m.end() for m in _BREAKS.finditer(before))])
    written = before[cut:]
    signs = {OPERATIONS[sign[0].strip()] for sign in _OPERATOR.finditer(written)}
    if len(signs) != 1:
        return None
    parts = _OPERATOR.split(written)
    figures = [_only_figure(part, first=n == 0) for n, part in enumerate(parts)]
    if any(figure is None for figure in figures) or any(len(part) > TERM for part in parts[1:]):
        return None
    found = [figure for figure in figures if figure is not None]
    return found, signs.pop(), len(written) - found[0].start


def _only_figure(part: str, *, first: bool) -> Figure | None:
    """The figure of a term; None if there is no number or more than one. The first term may have other words and numbers before it."""
    figures = [item for item in scan(part) if isinstance(item, Figure)]
    if not figures or (len(figures) > 1 and not first):
        return None
    figure = figures[-1]
    if figure.until is not None or figure.sides or figure.per or _NO_TERM.search(part[figure.start :]):
        return None
    words = part[figure.end :].split()
    return figure if len(words) <= MOST_WORDS and (first or len(part[: figure.start].split()) <= MOST_WORDS) else None


MOST_WORDS = 3
"""The most words beside a number in one term."""


def _result(behind: str) -> Figure | None:
    """The figure directly behind an equals sign; None if there is none or if the calculation goes on."""
    items = scan(behind)
    figure = items[0] if items else None
    if not isinstance(figure, Figure) or figure.until is not None or figure.sides or figure.per:
        return None
    rest = behind[figure.end : figure.end + 24]
    goes_on = _OPERATOR.search(re.split(r"[=,;.\n]", rest)[0]) or rest.lstrip()[:1] in ("/", "^", "(", "-", "%")
    return None if goes_on and not rest.lstrip().startswith("(") else figure


def _of_experts(figures: Sequence[Figure]) -> bool:
    """``8 x 7B = 47B``: whether the terms are a number of experts and a size, whose product is not the size of the model."""
    return len(figures) == 2 and figures[1].scale in ("b", "m") and not figures[1].unit


CONVERSIONS = {
    "time": (7, 12, 24, 30, 60, 168, 365, 720, 1440, 3600, 8760, 86_400),
    "prefix": (1e3, 1e6, 1e9, 1e12),
    "byte": (1e3, 1e6, 1e9, 1e12, 2**10, 2**20, 2**30, 2**40),
    "percent": (100,),
}
"""Factors between units that a calculation leaves out: ``256 GPUs x 26 days = 159,744 GPU-hours`` has 24 hours a day."""
KINDS = {"time": "time", "gpu_time": "time", "node_time": "time", "energy": "prefix", "power": "prefix", "co2": "prefix", "money": "prefix",
         "byte": "byte", "flop": "prefix", "flop/s": "prefix", "percent": "percent"}  # fmt: skip
WRONG, HEDGED = 0.01, 0.1
"""Relative error beyond the digits from which a result is wrong, and from which one with ``about`` is; also the most that the digits of a
term allow, since a term of one digit is often exact."""
TWO_DIGITS = 0.01
"""Zeros at the end of a whole number may be digits or not: at least two digits are taken to be meant."""
BINARY = {"k": 1.024, "m": 1.024**2}
"""The size of scales that may count in powers of two, relative to those of ten: 4M tokens may be 4 x 2^20."""


def misfit(one: Equation) -> float:
    """The factor by which the stated result differs from the right one, beyond units and rounding; 1 if it may be right."""
    apart = [(math.log(one.stated / right), allowed) for right, allowed in _possible(one) if right > 0 < one.stated]
    if not apart or any(abs(off) <= allowed for off, allowed in apart):
        return 1.0
    return math.exp(min((off for off, _ in apart), key=abs))


def _possible(one: Equation) -> Iterator[tuple[float, float]]:
    """The results that the terms may give, in the unit of the stated one, and the relative error that rounding allows each."""
    hedged = any(figure.hedges for figure in (*one.terms, one.result)) or "≈" in one.text
    allowed = (HEDGED if hedged else WRONG) + 1.2 * _half_a_digit(one.result)
    of_result = BINARY.get(one.result.scale, 1.0)
    for values in _values(one):
        right = one.of(values)
        if not right > 0:
            continue
        rounded = [min(_half_a_digit(term), HEDGED) for term in one.terms]
        if one.operation == "+":
            rounded = [part * abs(value) / right for part, value in zip(rounded, values, strict=True)]
        for factor_ in _left_out(one):
            for binary in {1.0, 1.0 / of_result}:
                yield right * factor_ * binary, allowed + 1.2 * sum(rounded)


def _values(one: Equation) -> Iterator[list[float]]:
    """The numbers that the terms may stand for: as written, in powers of two, or in a sum in the scale of its result."""
    if one.in_units:
        yield [term.value / _unit(one.result) for term in one.terms]
        return
    yield [_plain(term) for term in one.terms]
    if any(term.scale in BINARY for term in one.terms):
        yield [_plain(term) * BINARY.get(term.scale, 1.0) for term in one.terms]
    if one.operation == "+" and one.result.scale:
        scale = SCALES[one.result.scale]
        yield [_plain(term) * (1.0 if term.scale else scale) for term in one.terms]


def _left_out(one: Equation) -> set[float]:
    """The factors between units by which a result may differ from its terms: any two of those of their kinds, or their inverses."""
    kinds = {KINDS[figure.unit] for figure in (*one.terms, one.result) if figure.unit in KINDS}
    kinds -= {"time"} if _in_one_unit_of_time(one) else set()
    if one.operation == "+":
        return {1.0, 1.024, 1.024**2, 1.024**3, 1.024**4} if one.in_units and "byte" in kinds else {1.0}
    left_out = [1.0, *(float(factor) for kind in kinds for factor in CONVERSIONS[kind])]
    products = {a * b for a in left_out for b in left_out}
    return products | {1 / product for product in products}


def _in_one_unit_of_time(one: Equation) -> bool:
    """``5 seeds x 24 GPU-hours = 120 GPU-hours``: whether one term and the result share a unit of time, so that none is converted."""
    timed = [f for f in (*one.terms, one.result) if KINDS.get(f.unit) == "time" or f.unit == "energy"]
    return len(timed) == 2 and timed[-1] is one.result and len({_size(figure) for figure in timed}) == 1


def _size(figure: Figure) -> float:
    """The seconds in the unit of time of a figure; energy is in watt-hours."""
    if figure.unit == "energy":
        return 3600.0
    return factor(figure.unit, figure.word) * (3600.0 if figure.unit in ("gpu_time", "node_time") else 1.0)


def _half_a_digit(figure: Figure) -> float:
    """Half of the last digit that is written, relative to the number: 4M is 3.5 to 4.5M. A bare whole number of at most three digits is a
    count, and exact, as terms of a written calculation are; the figure of a run may be rounded at its zeros (``precision.rounding``)."""
    mantissa, power, _ = figure.digits.lower().partition("e")
    number = float(mantissa or 0)
    scaled = bool(figure.scale or power)
    if not number or (number == int(number) and number < 1000 and not scaled):
        return 0.0
    whole, _, decimals = mantissa.partition(".")
    zeros = 10.0 ** (len(whole) - len(whole.rstrip("0"))) / number
    if decimals:
        return float(10.0 ** -len(decimals) / number / 2)
    return float(max(min(zeros, TWO_DIGITS), 1 / number if scaled else 0.0) / 2)


def miscalculated(prose: Prose) -> Iterator[Miscalculation]:
    """Every calculation of a text whose result is wrong."""
    for one in equations(prose):
        if (off := misfit(one)) != 1.0:
            yield Miscalculation(one.text, f"{one.stated / off:,.4g}", off, f"line {one.line}")
