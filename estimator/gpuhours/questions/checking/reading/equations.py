"""Finds sums and products that a text writes out with their result: ``12 configurations x 5 seeds x 24 GPU-hours = 1,440``.

Their arithmetic can be checked whatever the figures are about. A line that mixes operators, or has a number that is no term, is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.claim import Miscalculation
from gpuhours.questions.checking.reading.blocks import Prose
from gpuhours.questions.checking.reading.numbers import scan
from gpuhours.questions.checking.reading.tokens import Figure
from gpuhours.questions.checking.reading.units import factor

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

    @property
    def right(self) -> float:
        """What the terms give, in the unit of the result for a sum and in the units of the terms for a product."""
        values = [_plain(term) for term in self.terms]
        if self.operation == "+":
            return math.fsum(values)
        return math.prod(values) if self.operation == "x" else values[0] / math.prod(values[1:])

    @property
    def stated(self) -> float:
        """The result as written, without its unit."""
        return _plain(self.result)


def _plain(figure: Figure) -> float:
    """The number of a figure with its scale, without its unit: ``9 days`` is 9, ``1.2 million hours`` 1,200,000."""
    return figure.value / (factor(figure.unit, figure.word) if figure.unit not in ("", "gpu", "node", "money") else 1.0)


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
    "percent": (100,),
}
"""Factors between units that a calculation leaves out: ``256 GPUs x 26 days = 159,744 GPU-hours`` has 24 hours a day."""
KINDS = {"time": "time", "gpu_time": "time", "node_time": "time", "energy": "prefix", "power": "prefix", "co2": "prefix", "money": "prefix",
         "byte": "prefix", "flop": "prefix", "flop/s": "prefix", "percent": "percent"}  # fmt: skip
WRONG, HEDGED = 0.01, 0.1
"""Relative error beyond the digits from which a result is wrong, and from which one with ``about`` is."""


TWO_DIGITS = 0.01
"""Zeros at the end of a whole number may be digits or not: at least two digits are taken to be meant."""


def misfit(one: Equation) -> float:
    """The factor by which the stated result differs from the right one, beyond units and rounding; 1 if it may be right."""
    right, stated = one.right, one.stated
    if not (right > 0 and stated > 0):
        return 1.0
    figures = (*one.terms, one.result)
    kinds = {KINDS[figure.unit] for figure in figures if figure.unit in KINDS}
    kinds -= {"time"} if _in_one_unit_of_time(one) else set()
    left_out = [1.0, *(float(factor) for kind in kinds for factor in CONVERSIONS[kind])]
    possible = {a * b for a in left_out for b in left_out} if one.operation != "+" else {1.0}
    hedged = any(figure.hedges for figure in figures) or "≈" in one.text
    allowed = (HEDGED if hedged else WRONG) + 1.2 * sum(map(_half_a_digit, figures))
    apart = min((math.log(stated / right * sign) for factor in possible for sign in (factor, 1 / factor)), key=abs)
    return math.exp(apart) if abs(apart) > allowed else 1.0


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
    """Half of the last digit that is written, relative to the number; a whole number of at most three digits is a count."""
    digits = figure.digits.lower().partition("e")[0]
    number = float(digits or 0)
    if not number or (
        number == int(number) and number < 1000 and not figure.scale and "e" not in figure.digits.lower()
    ):
        return 0.0
    decimals = len(digits.partition(".")[2])
    whole = digits.partition(".")[0]
    last = 10.0**-decimals if decimals else 10.0 ** (len(whole) - len(whole.rstrip("0")))
    return float(min(last / number, TWO_DIGITS) / 2)


def miscalculated(prose: Prose) -> Iterator[Miscalculation]:
    """Every calculation of a text whose result is wrong."""
    for one in equations(prose):
        if (off := misfit(one)) != 1.0:
            yield Miscalculation(one.text, f"{one.stated / off:,.4g}", off, f"line {one.line}")
