"""Weighted least squares over all claims, identities and assumptions, in logarithms.

    minimise  sum_claims ((x_q - ln v) / s)^2 + sum_identities ((a.x - ln c) / s)^2 + sum_assumed ((x_q - ln v) / s)^2

x are the logarithms of all quantities, known or unknown. Sums (parameters = language + vision) are linearised and solved
iteratively (Gauss-Newton). A quantity is determined if no direction of the null space changes it; its range is the 10th to 90th
percentile of the fit. Equations that no claim can contradict are removed first and solved afterwards by
substitution. The normalised residual of a claim is its distance from the value given by all the others, in standard deviations:

    z_i = e_i / (s_i sqrt(r_i)),    r_i = 1 - h_ii  (its redundancy);   e_i / r_i is the leave-one-out residual

A claim with r_i = 0 cannot be compared with anything. Source: W. Baarda 1968, A testing procedure for use in geodetic
networks (data snooping).
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.claim import Assumed
from gpuhours.questions.checking.precision import Z
from gpuhours.run.identities import Identity, Sum

LEAST_SIGMA = 0.002
"""Relative s.d. given to exact figures, so that every equation has a finite weight."""
EXACT = 3.5 * LEAST_SIGMA
"""A value with a smaller s.d. follows from exact figures alone and is shown as exact."""
NOTHING = 1e-6


@dataclass(frozen=True)
class Measurement:
    """``quantity = exp(log)`` with s.d. ``sigma`` of the logarithm; ``claim`` is the index of its claim, None for an assumption."""

    quantity: str
    log: float
    sigma: float
    claim: int | None = None


@dataclass(frozen=True)
class Fit:
    """The reconciled run: per quantity its logarithm ``x``, the s.d. of it and whether it is determined, and residuals per measurement."""

    quantities: tuple[str, ...]
    x: NDArray[np.float64]
    sd: NDArray[np.float64]
    determined: NDArray[np.bool_]
    residual: NDArray[np.float64]
    """Normalised residual per measurement; nan if nothing tests the measurement."""
    left_out: NDArray[np.float64]
    """Leave-one-out residual per measurement, in logarithms: stated value minus the value from all the others."""
    redundancy: NDArray[np.float64]
    coupling: NDArray[np.float64]
    """Absolute correlation of residuals between measurements: which claims test each other."""
    gain: NDArray[np.float64]
    """Sensitivity of each quantity to each measurement: d ln x_j / d ln v_i."""
    resolve: NDArray[np.float64]
    """R = 1 - H: sensitivity of the weighted residuals to the weighted measurements."""
    sigma: NDArray[np.float64]
    bent: tuple[str, ...] = ()
    """The members of sums, which make the equations non-linear; as long as none of them changes, ``shifted`` is exact."""

    def is_nonlinear_in(self, at: Iterable[int]) -> bool:
        """Whether changing the measurements ``at`` changes a member of a sum, so that the equations must be solved again."""
        rows = [self.quantities.index(name) for name in self.bent]
        return bool(rows) and bool(np.any(np.abs(self.gain[np.ix_(rows, list(at))]) > NOTHING))

    def shifted(self, at: Iterable[int], log: float) -> Fit:
        """Return the fit with the measurements ``at`` reduced by ``log``: e' = e - R d / s,  x' = x - gain d."""
        d = np.zeros(len(self.sigma))
        d[list(at)] = log
        seen = ~np.isnan(self.residual)
        safe = np.where(seen, self.redundancy, 1.0)
        e = np.where(seen, self.residual, 0.0) * np.sqrt(safe) - self.resolve @ (d / self.sigma)
        z = np.where(seen, e / np.sqrt(safe), np.nan)
        left = np.where(seen, e * self.sigma / safe, np.nan)
        return replace(self, x=self.x - self.gain @ d, residual=z, left_out=left)

    def value(self, quantity: str) -> tuple[float, float, float] | None:
        """Return the reconciled value with its 10th and 90th percentile; None if the quantity is not determined."""
        if quantity not in self.quantities:
            return None
        j = self.quantities.index(quantity)
        if not self.determined[j]:
            return None
        x, sd = float(self.x[j]), float(self.sd[j])
        if abs(x) > 200 or sd > 20:
            return None
        if sd < EXACT:
            return math.exp(x), math.exp(x), math.exp(x)
        return math.exp(x), math.exp(x - Z * sd), math.exp(x + Z * sd)


class Equations(tuple[Identity | Sum, ...]):
    """The identities for one kind of run, compared and hashed by object identity so that their structure can be cached."""

    __slots__ = ()

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


@dataclass(frozen=True)
class Structure:
    """The part of the problem that depends only on the equations and the names of the measured quantities: relevant equations and rows."""

    leaves: Sequence[tuple[Identity | Sum, tuple[str, ...]]]
    names: list[str]
    column: dict[str, int]
    at: NDArray[np.intp]
    """The column of each measurement."""
    products: NDArray[np.float64]
    constants: NDArray[np.float64]
    sums: list[Sum]


def _structure(equations: Sequence[Identity | Sum], measured: tuple[str, ...]) -> Structure:
    core, leaves = _peeled(equations, frozenset(measured))
    names = sorted({*measured, *(name for equation in core for name in _members(equation))})
    column = {name: j for j, name in enumerate(names)}
    products = [equation for equation in core if isinstance(equation, Identity)]
    rows, constants = np.zeros((len(products), len(names))), np.zeros(len(products))
    for i, product in enumerate(products):
        for name, exponent in product.exponents.items():
            rows[i, column[name]] = exponent / product.sigma
        constants[i] = math.log(product.constant) / product.sigma
    at = np.array([column[name] for name in measured], dtype=np.intp)
    return Structure(leaves, names, column, at, rows, constants, [e for e in core if isinstance(e, Sum)])


_structure_of_kind = functools.lru_cache(maxsize=2048)(_structure)
"""``_structure`` for ``Equations``, cached, as the rows of a table usually state the same quantities."""


def reconcile(
    measurements: Sequence[Measurement], equations: Sequence[Identity | Sum], extra: Sequence[Assumed] = ()
) -> Fit:
    """Solve for every quantity in the measurements, equations and assumptions (``extra``), and return the fit."""
    every = [*measurements, *(Measurement(a.quantity, math.log(a.value), a.sigma) for a in extra)]
    measured = tuple(m.quantity for m in every)
    known_kind = isinstance(equations, Equations)
    structure = _structure_of_kind(equations, measured) if known_kind else _structure(equations, measured)
    names, column = structure.names, structure.column
    x = np.zeros(len(names))
    x[structure.at] = [m.log for m in every]
    active: list[Sum] = []
    if structure.sums:
        A, b = _rows(every, structure, [], x)
        x, _, null = _solve(A, b)
        known = {name for name, j in column.items() if not len(null) or np.linalg.norm(null[:, j]) <= NOTHING}
        active = [s for s in structure.sums if _usable(s, known)]
        x = np.where([name in known for name in names], x, 0.0)
    for _ in range(6 if active else 1):
        A, b = _rows(every, structure, active, x)
        solution = _solve(A, b)
        moved = float(np.max(np.abs(solution[0] - x))) if active else 0.0
        x = solution[0]
        if moved < 1e-9:
            break
    bent = tuple(dict.fromkeys(name for one in active for name in _members(one)))
    fit = replace(_fit(names, every, A, b, *solution), bent=bent)
    return _with_leaves(fit, solution[1], structure.leaves)


def _peeled(
    equations: Sequence[Identity | Sum], measured: frozenset[str]
) -> tuple[list[Identity | Sum], list[tuple[Identity | Sum, tuple[str, ...]]]]:
    """Split the equations into those that can contradict a measurement and the leaves, in the order in which these were removed.

    A leaf is an equation with members that are not measured and appear in no other remaining equation; it only determines these members.
    """
    core: list[Identity | Sum] = list(equations)
    leaves: list[tuple[Identity | Sum, tuple[str, ...]]] = []
    counts = Counter(name for equation in core for name in _members(equation))
    changed = True
    while changed:
        changed = False
        for equation in tuple(core):
            free = tuple(name for name in _members(equation) if counts[name] == 1 and name not in measured)
            if free:
                del core[next(i for i, other in enumerate(core) if other is equation)]
                counts.subtract(_members(equation))
                leaves.append((equation, free))
                changed = True
    return core, leaves


def _members(equation: Identity | Sum) -> tuple[str, ...]:
    return tuple(equation.exponents) if isinstance(equation, Identity) else (equation.whole, *equation.parts)


def _usable(equation: Sum, known: set[str]) -> bool:
    """Whether a sum can be linearised: at most one of its members is unknown."""
    return sum(name not in known for name in (equation.whole, *equation.parts)) <= 1


def _with_leaves(
    fit: Fit, covariance: NDArray[np.float64], leaves: Sequence[tuple[Identity | Sum, tuple[str, ...]]]
) -> Fit:
    """Return the fit extended by the quantities of the leaves, solved by substitution in reverse order of removal.

    x_d = (ln c - sum a_i x_i) / a_d,    cov(x_d, .) = -sum a_i cov(x_i, .) / a_d,    var(x_d) the same twice + (s / a_d)^2
    """
    inner = len(fit.quantities)
    outer = [name for _, free in leaves for name in free]
    names = [*fit.quantities, *outer]
    size = len(names)
    x, determined = np.zeros(size), np.zeros(size, dtype=bool)
    x[:inner], determined[:inner] = fit.x, fit.determined
    gain = np.zeros((size, fit.gain.shape[1]))
    gain[:inner] = fit.gain
    spread = np.zeros((size, size))
    spread[:inner, :inner] = covariance
    column = {name: j for j, name in enumerate(names)}
    bent = list(fit.bent)
    for equation, free in reversed(leaves):
        members = [name for name in _members(equation) if name not in free]
        others = [column[name] for name in members]
        if len(free) > 1 or not all(determined[j] for j in others):
            continue
        d = column[free[0]]
        slopes, value, sigma = _leaf(
            equation, free[0], {name: float(x[j]) for name, j in zip(members, others, strict=True)}
        )
        if slopes is None:
            continue
        bent += _members(equation) if isinstance(equation, Sum) else ()
        by = np.array([slopes[name] for name in members])
        x[d], determined[d] = value, True
        gain[d] = by @ gain[others]
        spread[d] = by @ spread[others]
        spread[:, d] = spread[d]
        spread[d, d] = by @ spread[others][:, others] @ by + sigma**2
    sd = np.sqrt(np.clip(np.diag(spread), 0.0, None))
    return replace(fit, quantities=tuple(names), x=x, sd=sd, determined=determined, gain=gain, bent=tuple(bent))


def _leaf(equation: Identity | Sum, name: str, x: dict[str, float]) -> tuple[dict[str, float] | None, float, float]:
    """Solve an equation for ``name``: return its slope to each other member, its logarithm, and the s.d. that the equation adds.

    The slopes are None if a sum leaves nothing positive for the part.
    """
    if isinstance(equation, Identity):
        a = equation.exponents[name]
        slopes = {other: -b / a for other, b in equation.exponents.items() if other != name}
        value = math.log(equation.constant) / a + math.fsum(slope * x[other] for other, slope in slopes.items())
        return slopes, value, equation.sigma / abs(a)
    parts = [part for part in equation.parts if part != name]
    if name == equation.whole:
        amount = math.fsum(math.exp(x[part]) for part in parts)
        return {part: math.exp(x[part]) / amount for part in parts}, math.log(amount), equation.sigma
    total = math.exp(x[equation.whole])
    amount = total - math.fsum(math.exp(x[part]) for part in parts)
    if amount <= 0:
        return None, 0.0, 0.0
    slopes = {equation.whole: total / amount} | {part: -math.exp(x[part]) / amount for part in parts}
    return slopes, math.log(amount), equation.sigma * total / amount


def _rows(
    measurements: Sequence[Measurement], structure: Structure, sums: Sequence[Sum], x: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weighted equations A x = b: measurements first, then identities, then sums linearised at x."""
    n, p = len(measurements), len(structure.constants)
    A = np.zeros((n + p + len(sums), len(structure.names)))
    b = np.zeros(len(A))
    weights = np.array([1 / max(m.sigma, LEAST_SIGMA) for m in measurements])
    A[np.arange(n), structure.at] = weights
    b[:n] = weights * [m.log for m in measurements]
    A[n : n + p], b[n : n + p] = structure.products, structure.constants
    for i, sum_ in enumerate(sums, n + p):
        row, value = _linearised(sum_, structure.column, x)
        A[i] = row / sum_.sigma
        b[i] = value / sum_.sigma
    return A, b


def _linearised(equation: Sum, column: dict[str, int], x: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Linearise ln(sum of parts) - ln(whole) = 0 at x; return the row and the right-hand side.

    An unknown part is first set, also in x, to the whole minus the other parts (at least 1 % of the whole).
    """
    row = np.zeros(len(column))
    values = {name: math.exp(min(x[column[name]], 300.0)) for name in (equation.whole, *equation.parts)}
    unknown = [name for name in equation.parts if values[name] <= 1.0]
    if unknown and values[equation.whole] > 1.0:
        rest = values[equation.whole] - math.fsum(values[name] for name in equation.parts if name not in unknown)
        values[unknown[0]] = max(rest, 0.01 * values[equation.whole])
        x[column[unknown[0]]] = math.log(values[unknown[0]])
    total = math.fsum(values[name] for name in equation.parts)
    constant = math.log(total)
    for name in equation.parts:
        row[column[name]] += values[name] / total
        constant -= values[name] / total * math.log(values[name])
    row[column[equation.whole]] -= 1.0
    return row, -constant


def _solve(
    A: NDArray[np.float64], b: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the minimum-norm solution, the covariance and the null space, from one singular value decomposition."""
    missing = A.shape[1] - A.shape[0]
    if missing > 0:  # add rows of zeros, so that the reduced decomposition includes all directions
        A, b = np.vstack((A, np.zeros((missing, A.shape[1])))), np.concatenate((b, np.zeros(missing)))
    U, singular, directions = np.linalg.svd(A, full_matrices=False)
    rank = int(np.sum(singular > 1e-9 * singular[0]))
    basis, null = directions[:rank].T, directions[rank:]
    x = basis @ ((U.T @ b)[:rank] / singular[:rank])
    covariance = (basis / singular[:rank] ** 2) @ basis.T
    return x, covariance, null


def _fit(
    names: list[str],
    measurements: Sequence[Measurement],
    A: NDArray[np.float64],
    b: NDArray[np.float64],
    x: NDArray[np.float64],
    covariance: NDArray[np.float64],
    null: NDArray[np.float64],
) -> Fit:
    n = len(measurements)
    size = np.linalg.norm(null, axis=0) if len(null) else np.zeros(len(names))
    determined = size <= NOTHING
    measured = A[:n]
    hat = measured @ covariance @ measured.T
    e = b[:n] - measured @ x
    R = np.eye(n) - hat
    r = np.clip(np.diag(R), 0.0, 1.0)
    sigma = np.array([max(m.sigma, LEAST_SIGMA) for m in measurements])
    seen = r > NOTHING
    safe = np.where(seen, r, 1.0)
    z = np.where(seen, e / np.sqrt(safe), np.nan)
    left = np.where(seen, e * sigma / safe, np.nan)
    coupling = np.abs(R) / np.sqrt(np.outer(safe, safe))
    coupling[~seen, :] = coupling[:, ~seen] = 0.0
    gain = covariance @ measured.T / sigma
    sd = np.sqrt(np.clip(np.diag(covariance), 0.0, None))
    return Fit(tuple(names), x, sd, determined, z, left, r, coupling, gain, R, sigma)
