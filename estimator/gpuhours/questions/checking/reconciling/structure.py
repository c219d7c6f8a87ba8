"""The structure of a least-squares problem: which equations can contradict a measurement, and which only determine further quantities."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gpuhours.inputs.records import dataclass
from gpuhours.run.identities import Identity, Sum


class Equations(tuple[Identity | Sum, ...]):
    """The identities for one kind of run, compared and hashed by object identity so that their structure can be cached."""

    __slots__ = ()

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


@dataclass(frozen=True)
class Leaf:
    """An equation that only determines ``name`` (column ``at``), from quantities that are solved before it, in columns ``of``."""

    equation: Identity | Sum
    name: str
    at: int
    members: tuple[str, ...]
    of: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Structure:
    """The part of the problem that depends only on the equations and the names of the measured quantities: relevant equations and rows."""

    leaves: tuple[Leaf, ...]
    """In the order in which they can be solved."""
    names: tuple[str, ...]
    outer: tuple[str, ...]
    """The quantities of the leaves; their columns follow those of ``names``."""
    at: NDArray[np.intp]
    """The column of each measurement."""
    products: NDArray[np.float64]
    constants: NDArray[np.float64]
    sums: list[Sum]

    @functools.cached_property
    def column(self) -> dict[str, int]:
        """The column of each quantity."""
        return {name: j for j, name in enumerate((*self.names, *self.outer))}


def structure_of(equations: Sequence[Identity | Sum], measured: tuple[str, ...]) -> Structure:
    """Separate the leaves, and write the other identities as rows."""
    core, peeled = _peeled(equations, frozenset(measured))
    names = tuple(sorted({*measured, *(name for equation in core for name in members_of(equation))}))
    outer = tuple(name for _, free in peeled for name in free)
    column = {name: j for j, name in enumerate((*names, *outer))}
    products = [equation for equation in core if isinstance(equation, Identity)]
    rows, constants = np.zeros((len(products), len(names))), np.zeros(len(products))
    for i, product in enumerate(products):
        for name, exponent in product.exponents.items():
            rows[i, column[name]] = exponent / product.sigma
        constants[i] = math.log(product.constant) / product.sigma
    leaves = []
    for equation, free in reversed(peeled):
        if len(free) == 1:
            members = tuple(name for name in members_of(equation) if name not in free)
            of = np.array([column[name] for name in members], dtype=np.intp)
            leaves.append(Leaf(equation, free[0], column[free[0]], members, of))
    at = np.array([column[name] for name in measured], dtype=np.intp)
    return Structure(tuple(leaves), names, outer, at, rows, constants, [e for e in core if isinstance(e, Sum)])


structure_of_kind = functools.lru_cache(maxsize=2048)(structure_of)
"""``structure_of`` for ``Equations``, cached, as the rows of a table usually state the same quantities."""


def _peeled(
    equations: Sequence[Identity | Sum], measured: frozenset[str]
) -> tuple[list[Identity | Sum], list[tuple[Identity | Sum, tuple[str, ...]]]]:
    """Split the equations into those that can contradict a measurement and the leaves, in the order in which these were removed.

    A leaf is an equation with members that are not measured and appear in no other remaining equation; it only determines these members.
    """
    core: list[Identity | Sum] = list(equations)
    leaves: list[tuple[Identity | Sum, tuple[str, ...]]] = []
    counts = Counter(name for equation in core for name in members_of(equation))
    changed = True
    while changed:
        changed = False
        for equation in tuple(core):
            free = tuple(name for name in members_of(equation) if counts[name] == 1 and name not in measured)
            if free:
                del core[next(i for i, other in enumerate(core) if other is equation)]
                counts.subtract(members_of(equation))
                leaves.append((equation, free))
                changed = True
    return core, leaves


def members_of(equation: Identity | Sum) -> tuple[str, ...]:
    """The quantities of an equation."""
    return tuple(equation.exponents) if isinstance(equation, Identity) else (equation.whole, *equation.parts)
