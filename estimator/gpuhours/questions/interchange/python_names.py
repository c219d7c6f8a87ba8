"""What names stand for in Python that is read, not run: a value that is assigned once, in the same function or in the module."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from gpuhours.questions.interchange.arithmetic import PYTHON, value_of_expression
from gpuhours.questions.interchange.keys import Undecided

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_BF16 = re.compile(r"bf(?:loat)?16\w*_(?:supported|available)$")
"""A question whether the GPU supports bf16, which the trainer's ``auto`` asks too."""
DEEPEST, MOST_STEPS, LONGEST = 50, 100_000, 36
"""Limits of nested values, of all values of a file, and of an expression's text in messages."""


class Scope:
    """A module, class or function, with its own statements and the values of the names that they assign."""

    def __init__(self, body: list[ast.AST], around: Scope | None = None, *, of_class: bool = False) -> None:
        self.around, self.of_class = around, of_class
        self._steps: Iterator[int] = iter(range(MOST_STEPS)) if around is None else around._steps
        self.nodes: list[ast.AST] = []
        self.inner: list[Scope] = []
        self._assigned: dict[str, list[ast.expr | None]] = {}
        self._collect(body)

    def every(self) -> Iterator[Scope]:
        """This scope and all inside it."""
        waiting = [self]
        while waiting:
            scope = waiting.pop(0)
            yield scope
            waiting += scope.inner

    def value(self, node: ast.expr, depth: int = 0) -> Any:
        """The value of an expression of constants, or ``Undecided``."""
        if depth > DEEPEST or next(self._steps, None) is None:
            return _computed(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float | None):
            return node.value
        if isinstance(node, ast.Name):
            return self._named(node, depth)
        if isinstance(node, ast.Attribute) and name_of(node.value) == "torch":
            return node.attr
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            items = [self.value(one, depth + 1) for one in node.elts]
            return _computed(node) if any(isinstance(one, Undecided) for one in items) else items
        if isinstance(node, ast.Dict) and all(isinstance(key, ast.Constant) for key in node.keys):
            pairs = zip(node.keys, node.values, strict=True)
            return {str(getattr(key, "value", "")): self.value(one, depth + 1) for key, one in pairs}
        if isinstance(node, ast.Call) and name_of(node.func) == "dict" and not node.args:
            return {str(one.arg): self.value(one.value, depth + 1) for one in node.keywords}
        asked = node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not) else node
        if isinstance(asked, ast.Call) and _BF16.search(name_of(asked.func)):
            return "auto"
        try:
            return value_of_expression(node, PYTHON, lambda name: self._named(ast.Name(name), depth))
        except (ValueError, RecursionError):
            return _computed(node)

    def _named(self, node: ast.Name, depth: int) -> Any:
        scope: Scope | None = self
        while scope is not None:
            said = scope._assigned.get(node.id)
            if said is not None and len(said) > 1:
                return Undecided(f"{_short(node.id)}: assigned more than once")
            if said is not None:
                return _computed(node) if said[0] is None else scope.value(said[0], depth + 1)
            scope = scope.around
        return _computed(node)

    def _collect(self, body: list[ast.AST]) -> None:
        """Note the statements, the assignments and the inner scopes, in the order of the text."""
        waiting = list(reversed(body))
        while waiting:
            node = waiting.pop()
            self.nodes.append(node)
            self._note(node)
            if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
                self._enter(node)
                continue
            parts: list[ast.AST] = list(ast.iter_child_nodes(node))
            if isinstance(node, ast.If) and isinstance(node.test, ast.Constant) and not node.test.value:
                parts = list(node.orelse)  # `if False:` turns a part of a notebook off
            waiting += reversed(parts)

    def _enter(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef) -> None:
        """Open the scope of a function or class; names that a class assigns are not visible in its functions."""
        inside: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else list(node.body)
        if not isinstance(node, ast.ClassDef):
            inside = [*(one for one in ast.walk(node.args) if isinstance(one, ast.arg)), *inside]
        self.inner.append(
            Scope(inside, self.around if self.of_class else self, of_class=isinstance(node, ast.ClassDef))
        )

    def _note(self, node: ast.AST) -> None:
        """Note what a statement assigns: the value of ``name = value``, None for any other way."""
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets if node.value is not None else ():
                for name, value in _paired(target, node.value):
                    self._assigned.setdefault(name, []).append(value)
        elif isinstance(node, ast.AugAssign | ast.NamedExpr | ast.For | ast.comprehension):
            self._note_unknown(node.target)
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            self._note_unknown(node.optional_vars)
        elif (bound := _bound(node)) is not None:
            self._assigned.setdefault(bound, []).append(None)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            for name in node.names:
                scope: Scope | None = self
                while scope is not None:
                    scope._assigned.setdefault(name, []).append(None)
                    scope = scope.around

    def _note_unknown(self, target: ast.expr) -> None:
        for name, _ in _paired(target, None):
            self._assigned.setdefault(name, []).append(None)


def name_of(node: ast.expr) -> str:
    """The last part of a dotted name."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _bound(node: ast.AST) -> str | None:
    """The name that a parameter, import, definition, handler, pattern or deletion binds; None for anything else."""
    if isinstance(node, ast.arg):
        return node.arg
    if isinstance(node, ast.alias):
        return node.asname or node.name.partition(".")[0]
    if isinstance(node, ast.Name):
        return node.id if isinstance(node.ctx, ast.Del) else None
    if isinstance(node, ast.MatchMapping):
        return node.rest
    named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler | ast.MatchAs | ast.MatchStar
    return node.name if isinstance(node, named) else None


def _paired(target: ast.expr, value: ast.expr | None) -> Iterator[tuple[str, ast.expr | None]]:
    """(name, value) for every name that an assignment sets: ``a, b = 1, 2``."""
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Starred):
        yield from _paired(target.value, None)
    elif isinstance(target, ast.Tuple | ast.List):
        alike = isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts)
        values = value.elts if alike and isinstance(value, ast.Tuple | ast.List) else [None] * len(target.elts)
        for one, its in zip(target.elts, values, strict=True):
            yield from _paired(one, its)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _computed(node: ast.expr) -> Undecided:
    try:
        text = " ".join(ast.unparse(node).split())
    except RecursionError:
        text = "a long expression"
    return Undecided(f"{_short(text)}: computed in the script")
