"""Arithmetic of plain numbers in scripts: parsed, bounded, and never run as code."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Number: TypeAlias = int | float
Operators: TypeAlias = Mapping[type[ast.operator], Callable[[Any, Any], Number]]
LARGEST = 10**18
"""The largest number that an expression may contain or give."""


def power(base: Number, exponent: Number) -> Number:
    """``base ** exponent``, for small whole exponents; raises ``ValueError`` for others, which may take long to compute."""
    if not isinstance(exponent, int) or not 0 <= exponent < LARGEST.bit_length() or abs(base) > LARGEST:
        raise ValueError(exponent)
    product: Number = 1
    for _ in range(exponent):
        product = _within(product * base)
    return product


PYTHON: Operators = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv, ast.Mod: operator.mod, ast.Pow: power,
}  # fmt: skip
SHELL: Operators = {**PYTHON, ast.Div: operator.floordiv}


def value_of_expression(node: ast.expr, operators: Operators, named: Callable[[str], Any]) -> Number:
    """The value of an expression of numbers; ``named`` gives the values of variables. Raises ``ValueError`` for anything else.

    >>> value_of_expression(ast.parse("n * 2**10 / 8", mode="eval").body, PYTHON, {"n": 4}.get)
    512.0
    """
    if isinstance(node, ast.BinOp) and type(node.op) in operators:
        left, right = (value_of_expression(side, operators, named) for side in (node.left, node.right))
        try:
            return _within(operators[type(node.op)](left, right))
        except (ZeroDivisionError, OverflowError):
            raise ValueError(node) from None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -value_of_expression(node.operand, operators, named)
    value = node.value if isinstance(node, ast.Constant) else named(node.id) if isinstance(node, ast.Name) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(node)
    return _within(value)


def _within(value: Number) -> Number:
    if not -LARGEST <= value <= LARGEST:  # also excludes nan
        raise ValueError(value)
    return value
