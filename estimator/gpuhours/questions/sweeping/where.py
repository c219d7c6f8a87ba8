"""Conditions over inputs and results: ``fits and mfu > 40% and wall_clock < 30 days``. A small language of its own.

    condition   = both { "or" both }         both = negated { "and" negated }        negated = [ "not" ] compared
    compared    = sum [ ( < <= > >= == != ) sum { ... } ]
    sum         = product { (+ -) product }  product = signed { (* /) signed }       signed = [ - ] power
    power       = atom [ "**" signed ]       atom = number [unit] | name | 'word' | ( condition )

Numbers with a unit are converted to the unit of the other operand; a bare number is in that unit already.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gpuhours.inputs.errors import EstimateError, UnitError, nearest
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.units import parse

LONGEST = 2000
DEEPEST = 40
KEYWORDS = {"and", "or", "not"}
COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    **COMPARED, "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "**": operator.pow,
    "and": np.logical_and, "or": np.logical_or,
}  # fmt: skip
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?(?:[kKMBT](?=\s+(?!(?:and|or|not)\b)[A-Za-z]))?)"
    r"(?:\s*(?P<unit>%|(?!(?:and|or|not)\b)[A-Za-z][\w/-]*))?"
    r"|(?P<name>[A-Za-z_][\w.]*)|(?P<quote>['\"])(?P<word>[^'\"]{0,200})(?P=quote)|(?P<sign><=|>=|==|!=|\*\*|[-<>+*/()=]))"
)

Node = tuple[Any, ...]
"""("number", x) | ("column", name) | ("word", text) | ("not", node) | (operator, node, node)"""


@dataclass(frozen=True)
class Where:
    """A condition, ready to be evaluated on arrays."""

    text: str
    tree: Node

    def __call__(self, column: Callable[[str], Any]) -> Any:
        """True where it holds; unknown values (NaN) never satisfy it."""
        try:
            with np.errstate(all="ignore"):
                return np.asarray(_evaluate(self.tree, column), bool)
        except TypeError:
            raise EstimateError("Text cannot be used in arithmetic.", "", f"--where {self.text[:80]!r}") from None

    @property
    def names(self) -> frozenset[str]:
        """The columns that it refers to."""
        return frozenset(_names(self.tree))


def _evaluate(node: Node, column: Callable[[str], Any]) -> Any:
    kind = node[0]
    if kind == "number":
        return np.float64(node[1])  # a NumPy scalar, which divides by zero and overflows as columns do
    if kind == "word":
        return node[1]
    if kind == "column":
        return column(node[1])
    if kind == "not":
        return np.logical_not(_evaluate(node[1], column))
    return OPERATORS[kind](_evaluate(node[1], column), _evaluate(node[2], column))


def _names(node: Node) -> list[str]:
    if node[0] == "column":
        return [node[1]]
    return [name for part in node[1:] if isinstance(part, tuple) for name in _names(part)]


def where(text: str, units: Mapping[str, str | None]) -> Where:
    """Parse a condition; ``units`` maps every allowed column to its unit, "" for a plain number, None for text."""
    if len(text) > LONGEST:
        raise EstimateError(f"A condition of {len(text):,} characters is too long.", "", "--where")
    reader = _Reader(text, _tokens(text), units)
    tree, kind = reader.condition(0)
    if reader.here is not None:
        raise reader.error(f"{reader.here[1]!r} is not expected here")
    if kind is not TRUTH:
        raise reader.error("this is a number, not a condition")
    return Where(text, tree)


def _tokens(text: str) -> list[tuple[str, str, str]]:
    """(kind, text, unit) of each token."""
    tokens, position = [], 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            raise EstimateError(f"{text[position:].strip()[:20]!r} cannot be read.", EXAMPLE, f"--where {text!r}")
        kind = match.lastgroup or ""
        kind = "number" if match["number"] else "word" if match["quote"] else kind
        if kind == "name" and match["name"] in KEYWORDS:
            kind = "sign"
        tokens.append(
            (kind, match[kind if kind in ("number", "word") else match.lastgroup or "sign"], match["unit"] or "")
        )
        position = match.end()
    return tokens


EXAMPLE = "For example: --where 'fits and mfu > 40% and wall_clock < 30 days'"
TRUTH, WORD, BARE = object(), object(), object()
"""Kinds of values other than a unit's name: a condition, a text, a number without a unit."""


class _Reader:
    """Recursive descent over the tokens; every method returns a node and its kind (a unit's name, or one of the above)."""

    def __init__(self, text: str, tokens: list[tuple[str, str, str]], units: Mapping[str, str | None]) -> None:
        self.text, self.tokens, self.units, self.position = text, tokens, units, 0

    @property
    def here(self) -> tuple[str, str, str] | None:
        return self.tokens[self.position] if self.position < len(self.tokens) else None

    def error(self, problem: str) -> EstimateError:
        return EstimateError(problem[0].upper() + problem[1:] + ".", EXAMPLE, f"--where {self.text!r}")

    def took(self, *signs: str) -> str | None:
        """Consume and return the next operator if it is one of these."""
        if self.here is None or self.here[0] != "sign" or self.here[1] not in signs:
            return None
        self.position += 1
        return self.tokens[self.position - 1][1]

    def condition(self, depth: int) -> tuple[Node, Any]:
        return self.joined(depth, "or", lambda below: self.joined(below, "and", self.negated))

    def joined(self, depth: int, sign: str, below: Callable[[int], tuple[Node, Any]]) -> tuple[Node, Any]:
        left, kind = below(depth)
        while self.took(sign):
            right, other = below(depth)
            if kind is not TRUTH or other is not TRUTH:
                raise self.error(f"{sign!r} joins conditions, and one side is not one")
            left = (sign, left, right)
        return left, kind

    def negated(self, depth: int) -> tuple[Node, Any]:
        if self.took("not"):
            node, kind = self.negated(self.deeper(depth))
            if kind is not TRUTH:
                raise self.error("'not' goes before a condition")
            return ("not", node), TRUTH
        return self.compared(depth)

    def deeper(self, depth: int) -> int:
        if depth >= DEEPEST:
            raise self.error("this nests too deep")
        return depth + 1

    def compared(self, depth: int) -> tuple[Node, Any]:
        left, kind = self.sum(depth)
        node: Node | None = None
        while sign := self.took(*COMPARED, "="):
            sign = "==" if sign == "=" else sign
            right, other = self.sum(depth)
            first, second = self.alike((left, kind), (right, other), sign)
            node = (sign, first, second) if node is None else ("and", node, (sign, first, second))
            left, kind = right, other
        return (left, kind) if node is None else (node, TRUTH)

    def sum(self, depth: int) -> tuple[Node, Any]:
        left, kind = self.product(depth)
        while sign := self.took("+", "-"):
            right, other = self.product(depth)
            first, second = self.alike((left, kind), (right, other), sign)
            left, kind = (sign, first, second), kind if kind is not BARE else other
        return left, kind

    def product(self, depth: int) -> tuple[Node, Any]:
        left, kind = self.signed(depth)
        while sign := self.took("*", "/"):
            right, other = self.signed(depth)
            if {kind, other} & {TRUTH, WORD}:
                raise self.error(f"{sign!r} needs numbers on both sides")
            left, kind = (sign, left, right), _unit_of_product(kind, other, sign)
        return left, kind

    def signed(self, depth: int) -> tuple[Node, Any]:
        if self.took("-"):
            node, kind = self.signed(self.deeper(depth))
            return ("-", ("number", 0.0), node), kind
        base, kind = self.atom(depth)
        if self.took("**"):
            power, other = self.signed(self.deeper(depth))
            if other is not BARE or kind not in (BARE, ""):
                raise self.error("'**' needs plain numbers on both sides")
            return ("**", base, power), kind
        return base, kind

    def atom(self, depth: int) -> tuple[Node, Any]:
        if self.took("("):
            node, kind = self.condition(self.deeper(depth))
            if not self.took(")"):
                raise self.error("a bracket is not closed")
            return node, kind
        if self.here is None or self.here[0] == "sign":
            raise self.error(
                f"a value is missing before {self.here[1]!r}" if self.here else "a value is missing at the end"
            )
        kind, text, unit = self.here
        self.position += 1
        if kind == "number":
            return self.number(text, unit)
        if kind == "word":
            return ("word", text), WORD
        return self.name(text)

    def number(self, text: str, unit: str) -> tuple[Node, Any]:
        """``70 GB`` keeps its unit until the other operand is known; ``30B`` and ``40%`` are plain."""
        try:
            return ("number", parse(f"{text}{unit}")), BARE
        except UnitError:
            pass
        try:
            parse(f"1 {unit}", unit)
            return ("number", parse(text)), unit
        except UnitError as problem:
            raise self.error(str(problem)) from None

    def name(self, text: str) -> tuple[Node, Any]:
        if text not in self.units:
            previous = self.tokens[self.position - 2] if self.position > 1 else ("", "", "")
            if previous[1] in ("==", "!=", "="):
                return ("word", text), WORD
            hint = nearest(text, self.units) or f"Known: {', '.join(self.units)}."
            raise EstimateError(f"No input or result {text!r}.", hint, f"--where {self.text!r}")
        unit = self.units[text]
        if unit == "condition":
            return ("column", text), TRUTH
        return ("column", text), WORD if unit is None else unit

    def alike(self, left: tuple[Node, Any], right: tuple[Node, Any], sign: str) -> tuple[Node, Node]:
        """Both sides in the unit of the left; a bare number takes the other's unit."""
        (first, kind), (second, other) = left, right
        if (kind is WORD) != (other is WORD) or (kind is TRUTH) != (other is TRUTH):
            raise self.error(f"{sign!r} cannot compare a text or condition with a number")
        if kind in (WORD, TRUTH):
            if sign not in ("==", "!="):
                raise self.error(f"{sign!r} needs numbers")
            return first, second
        if kind is BARE or other is BARE or kind == other:
            return first, second
        try:
            factor = parse(f"1 {other}" if other else 1, kind)
        except UnitError:
            raise self.error(f"{other or 'a plain number'} is compared with {kind or 'a plain number'}") from None
        return first, ("*", second, ("number", factor))


def _unit_of_product(kind: Any, other: Any, sign: str) -> Any:
    """The unit's name of a product or quotient."""
    if other is BARE or other == "":
        return kind
    if kind is BARE or kind == "":
        return other if sign == "*" else f"1/({other})"
    return f"({kind})*({other})" if sign == "*" else f"({kind})/({other})"
