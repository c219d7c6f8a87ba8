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
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.claim import Assumed
from gpuhours.questions.checking.precision import Z
from gpuhours.questions.checking.reconciling.structure import (
    Equations,
    Leaf,
    Structure,
    members_of,
    structure_of,
    structure_of_kind,
)  # fmt: skip
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


@dataclass(frozen=True, eq=False)
class Factors:
    """What a fit takes from the equations and the s.d. of the measurements alone: the same whatever values are measured."""

    solver: NDArray[np.float64]
    """x = solver b."""
    covariance: NDArray[np.float64]
    determined: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    """Whether anything tests a measurement."""
    redundancy: NDArray[np.float64]
    coupling: NDArray[np.float64]
    resolve: NDArray[np.float64]
    gain: NDArray[np.float64]
    sigma: NDArray[np.float64]


def _factors(A: NDArray[np.float64], sigmas: tuple[float, ...]) -> Factors:
    """Factor the equations A x = b, whose first rows are the measurements."""
    n = len(sigmas)
    solver, covariance, null = _solve(A)
    size = np.linalg.norm(null, axis=0) if len(null) else np.zeros(A.shape[1])
    measured, sigma = A[:n], np.array(sigmas)
    R = np.eye(n) - measured @ covariance @ measured.T
    r = np.clip(np.diag(R), 0.0, 1.0)
    seen = r > NOTHING
    safe = np.where(seen, r, 1.0)
    coupling = np.abs(R) / np.sqrt(np.outer(safe, safe))
    coupling[~seen, :] = coupling[:, ~seen] = 0.0
    gain = covariance @ measured.T / sigma
    return Factors(solver, covariance, size <= NOTHING, seen, r, coupling, R, gain, sigma)


@dataclass(frozen=True, eq=False)
class Unfolded:
    """All quantities as linear functions of those of the core: x = rows x_core + offset, with the leaves' own errors added."""

    rows: NDArray[np.float64]
    offset: NDArray[np.float64]
    determined: NDArray[np.bool_]
    sd: NDArray[np.float64]
    gain: NDArray[np.float64]
    bent: tuple[str, ...]


def _unfold(structure: Structure, factors: Factors, x: NDArray[np.float64] | None = None) -> Unfolded | None:
    """Solve the leaves by substitution, in reverse order of removal; None if a sum is among them and ``x`` of the core is not given.

    x_d = (ln c - sum a_i x_i) / a_d,    var(x_d) = g cov g + sum of (s / a)^2,  g the slopes to the core
    """
    inner = len(structure.names)
    rows = np.zeros((len(structure.column), inner + len(structure.leaves)))
    rows[:inner, :inner] = np.eye(inner)
    offset, known = np.zeros(len(rows)), np.zeros(len(rows), dtype=bool)
    known[:inner] = factors.determined
    bent: list[str] = []
    for k, leaf in enumerate(structure.leaves):
        if not known[leaf.of].all():
            continue
        if isinstance(leaf.equation, Sum):
            if x is None:
                return None
            by, value, sigma = _of_sum(leaf, rows[leaf.of, :inner] @ x + offset[leaf.of])
            if by is None:
                continue
            rows[leaf.at] = by @ rows[leaf.of]
            offset[leaf.at] = value - rows[leaf.at, :inner] @ x
            bent += members_of(leaf.equation)
        else:
            a = leaf.equation.exponents[leaf.name]
            by = np.array([-leaf.equation.exponents[name] / a for name in leaf.members])
            rows[leaf.at] = by @ rows[leaf.of]
            offset[leaf.at] = math.log(leaf.equation.constant) / a + by @ offset[leaf.of]
            sigma = leaf.equation.sigma / abs(a)
        rows[leaf.at, inner + k] = sigma
        known[leaf.at] = True
    core, own = rows[:, :inner], rows[:, inner:]
    variance = np.sum((core @ factors.covariance) * core, axis=1) + np.sum(own**2, axis=1)
    return Unfolded(core, offset, known, np.sqrt(np.clip(variance, 0.0, None)), core @ factors.gain, tuple(bent))


def _linear(structure: Structure, sigmas: tuple[float, ...]) -> tuple[Factors, Unfolded | None]:
    """The factors and the leaves of a problem without sums in its core."""
    factors = _factors(_rows(sigmas, structure, [], np.zeros(0))[0], sigmas)
    return factors, _unfold(structure, factors)


_linear_of_kind = functools.lru_cache(maxsize=256)(_linear)
"""``_linear`` for the structure of ``Equations``, cached: a search tries many values of the same quantities."""


def reconcile(
    measurements: Sequence[Measurement], equations: Sequence[Identity | Sum], extra: Sequence[Assumed] = ()
) -> Fit:
    """Solve for every quantity in the measurements, equations and assumptions (``extra``), and return the fit."""
    every = [*measurements, *(Measurement(a.quantity, math.log(a.value), a.sigma) for a in extra)]
    measured, logs = tuple(m.quantity for m in every), np.array([m.log for m in every])
    sigmas = tuple(max(m.sigma, LEAST_SIGMA) for m in every)
    known_kind = isinstance(equations, Equations)
    structure = structure_of_kind(equations, measured) if known_kind else structure_of(equations, measured)
    bent: tuple[str, ...] = ()
    if structure.sums:
        factors, b, bent = _curved(structure, sigmas, logs)
        unfolded = None
    else:
        factors, unfolded = (_linear_of_kind if known_kind else _linear)(structure, sigmas)
        b = np.concatenate((logs / factors.sigma, structure.constants))
    x = factors.solver @ b
    unfolded = unfolded or _unfold(structure, factors, x)
    assert unfolded is not None
    seen, safe = factors.seen, np.where(factors.seen, factors.redundancy, 1.0)
    e = b[: len(logs)] - x[structure.at] / factors.sigma
    return Fit(
        (*structure.names, *structure.outer), unfolded.rows @ x + unfolded.offset, unfolded.sd, unfolded.determined,
        np.where(seen, e / np.sqrt(safe), np.nan), np.where(seen, e * factors.sigma / safe, np.nan), factors.redundancy,
        factors.coupling, unfolded.gain, factors.resolve, factors.sigma, bent + unfolded.bent,
    )  # fmt: skip


def _curved(
    structure: Structure, sigmas: tuple[float, ...], logs: NDArray[np.float64]
) -> tuple[Factors, NDArray[np.float64], tuple[str, ...]]:
    """The factors and right-hand side of a problem with sums in its core, linearised at its solution, and the members of these sums."""
    names = structure.names
    x = np.zeros(len(names))
    x[structure.at] = logs
    A, b = _rows(sigmas, structure, [], x, logs)
    solver, _, null = _solve(A)
    x = solver @ b
    known = {name for j, name in enumerate(names) if not len(null) or np.linalg.norm(null[:, j]) <= NOTHING}
    active = [s for s in structure.sums if _usable(s, known)]
    x = np.where([name in known for name in names], x, 0.0)
    for _ in range(6 if active else 1):
        A, b = _rows(sigmas, structure, active, x, logs)
        solved = _solve(A)[0] @ b
        moved = float(np.max(np.abs(solved - x))) if active else 0.0
        x = solved
        if moved < 1e-9:
            break
    return _factors(A, sigmas), b, tuple(dict.fromkeys(name for one in active for name in members_of(one)))


def _usable(equation: Sum, known: set[str]) -> bool:
    """Whether a sum can be linearised: at most one of its members is unknown."""
    return sum(name not in known for name in (equation.whole, *equation.parts)) <= 1


def _of_sum(leaf: Leaf, x: NDArray[np.float64]) -> tuple[NDArray[np.float64] | None, float, float]:
    """Solve a sum for its leaf: return the slopes to its other members, its logarithm, and the s.d. that the equation adds.

    ``x`` are the logarithms of the other members. The slopes are None if the sum leaves nothing positive for the part.
    """
    equation = leaf.equation
    assert isinstance(equation, Sum)
    values = np.exp(x)
    if leaf.name == equation.whole:
        amount = math.fsum(values)
        return values / amount, math.log(amount), equation.sigma
    whole = np.array([name == equation.whole for name in leaf.members])
    total = float(values[whole][0])
    amount = total - math.fsum(values[~whole])
    if amount <= 0:
        return None, 0.0, 0.0
    return np.where(whole, values, -values) / amount, math.log(amount), equation.sigma * total / amount


def _rows(
    sigmas: tuple[float, ...],
    structure: Structure,
    sums: Sequence[Sum],
    x: NDArray[np.float64],
    logs: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weighted equations A x = b: measurements first, then identities, then sums linearised at x."""
    n, p = len(sigmas), len(structure.constants)
    A = np.zeros((n + p + len(sums), len(structure.names)))
    b = np.zeros(len(A))
    weights = 1 / np.array(sigmas)
    A[np.arange(n), structure.at] = weights
    b[:n] = weights * (0.0 if logs is None else logs)
    A[n : n + p], b[n : n + p] = structure.products, structure.constants
    for i, sum_ in enumerate(sums, n + p):
        row, value = _linearised(sum_, structure.column, x)
        A[i] = row[: len(structure.names)] / sum_.sigma
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


def _solve(A: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the matrix S of the minimum-norm solution x = S b, the covariance and the null space, from one singular value
    decomposition."""
    rows, columns = A.shape
    if columns > rows:  # add rows of zeros, so that the reduced decomposition includes all directions
        A = np.vstack((A, np.zeros((columns - rows, columns))))
    U, singular, directions = np.linalg.svd(A, full_matrices=False)
    rank = int(np.sum(singular > 1e-9 * singular[0]))
    basis, null = directions[:rank].T, directions[rank:]
    solver = (basis / singular[:rank]) @ U[:rows, :rank].T
    return solver, (basis / singular[:rank] ** 2) @ basis.T, null
