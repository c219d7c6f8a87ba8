"""Choose the included profile and network that best explain a few measured steps, and how much of their residual to carry over.

The error model is the one for left-out sources. With u the typical error for such runs (``run.conformal``), and r = ln(measured /
predicted) the residuals of K steps of one machine on a candidate stack,

    r_i = b + e_i        b ~ N(0, (SHARED u)^2) common to the machine,  e_i ~ N(0, (OWN u)^2) independent for each step
    ln L = -(NU + K) / 2 ln(1 + Q / NU)        Q = sum (r_i - m)^2 / e^2 + K m^2 / (e^2 + K b^2),  m the mean of r: Student's t, since
                                               some sources are outliers
    choice = the largest ln L - penalty        penalty: 0 for the stated stack, FAMILY for another profile of its family, OTHER for one
                                               of another family (plus NARROW if it was measured on a single system), NETWORK for
                                               another network

The residual is carried over to the extent that the steps agree (empirical Bayes shrinkage), and not at all if noise in K steps can
explain it. An unshrunk factor makes well-predicted sources worse; this one does not. With K < ``FULL`` steps the factor has less weight,
and penalties are multiplied by FULL / K, since one of forty candidates fits a single step by chance.

    v = (PRIOR (OWN u)^2 + sum (r_i - m)^2) / (PRIOR + K - 1)        w = min(1, K / FULL) K b^2 / (v + K b^2)
    ln factor = sign(r~) max(0, w |r~| - THRESHOLD sqrt(v / K))        r~ the median of r
    own = d sqrt(v), shared = d b sqrt(1 - w)        d = max(1, FULL / K)^DOUBT, which keeps the range calibrated for one and two steps

Error (printed by ``tests/benchmarks/calibrate.py``; each open source is left out of all fits and three of its steps are given): over 34
stacks of 22 systems the median of the median errors falls from 8.2 to 6.6 %, and two rise by more than a point. The result is insensitive
to the constants: penalties from 3 to 6, thresholds from 0.5 to 1, shared from 0.3 to 0.8 give nearly the same.
Source: Efron and Morris 1975, Data analysis using Stein's estimator (JASA 70); Donoho and Johnstone 1994, Ideal spatial adaptation by
wavelet shrinkage (Biometrika 81), for the threshold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gpuhours.hardware.kernel_constants import list_networks
from gpuhours.inputs.records import dataclass
from gpuhours.questions.calibrating.observed import Candidate, Observed
from gpuhours.software.profile import list_software, load_software

SHARED, OWN, NU, PRIOR = 0.5, 0.6, 4.0, 2.0
FAMILY, OTHER, NARROW, NETWORK = 4.0, 6.0, 1.0, 4.0
THRESHOLD, FULL, DOUBT = 0.75, 3, 0.25
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class StackChoice:
    """The stack that best explains the steps."""

    stack: Candidate
    residuals: tuple[float, ...]
    """ln(measured / predicted) of every step on this stack."""
    factor: float
    """Factor on predicted step times that is carried over to other runs."""
    own: float
    """Standard deviation of the log error that is independent between steps."""
    shared: float
    """Standard deviation of the log error common to all steps."""
    usual: float
    lead: float
    """ln of the posterior odds of the choice against the stated stack; 0 if the stated stack is chosen."""
    runner_up: tuple[Candidate, float] | None = None
    """The second likeliest stack, and ln of the odds of the choice against it."""


def likelihood(residuals: Floats, usual: float) -> float:
    """ln L of a candidate's residuals, as defined in the module docstring.

    >>> close, far = np.array([0.01, -0.01, 0.0]), np.array([0.3, 0.32, 0.28])
    >>> likelihood(close, 0.07) - likelihood(far, 0.07) > OTHER
    True
    """
    count, mean = len(residuals), float(np.mean(residuals))
    own, shared = (OWN * usual) ** 2, (SHARED * usual) ** 2
    misfit = float(np.sum((residuals - mean) ** 2)) / own + count * mean**2 / (own + count * shared)
    return -(NU + count) / 2 * math.log1p(misfit / NU)


def carried(residuals: Floats, usual: float) -> tuple[float, float, float]:
    """(ln factor, own, shared) for some residuals, as defined in the module docstring.

    >>> round(carried(np.array([0.20, 0.21, 0.19]), 0.07)[0], 2), carried(np.array([0.02, -0.03, 0.04]), 0.07)[0]
    (0.15, 0.0)
    """
    count, middle = len(residuals), float(np.median(residuals))
    scatter = float(np.sum((residuals - np.mean(residuals)) ** 2))
    variance = (PRIOR * (OWN * usual) ** 2 + scatter) / (PRIOR + count - 1)
    shared = (SHARED * usual) ** 2
    weight = min(1.0, count / FULL) * count * shared / (variance + count * shared)
    size = max(0.0, weight * abs(middle) - THRESHOLD * math.sqrt(variance / count))
    doubt = max(1.0, FULL / count) ** DOUBT
    left = math.copysign(size, middle) if size else 0.0
    return left, doubt * math.sqrt(variance), doubt * math.sqrt(shared * (1 - weight))


def candidates(stated: Candidate, crosses: bool) -> Iterator[tuple[Candidate, float]]:
    """Candidate stacks, each with its penalty; the stated one first. Other networks are tried only if
    the steps use one, and only with the stated profile: three steps are too little evidence that both statements are wrong."""
    yield stated, 0.0
    family = load_software(stated.software).family
    for name in list_software():
        if name != stated.software:
            other = load_software(name)
            yield Candidate(name), (FAMILY if other.family == family else OTHER) + NARROW * other.single_system
    for network in list_networks() if crosses else ():
        yield Candidate(stated.software, network), NETWORK


def choose(steps: Sequence[Observed], usual: float) -> StackChoice:
    """The likeliest stack for steps that state the same stack; ``usual`` is the typical log error for such runs."""
    crosses = any(one.crosses for one in steps)
    residuals = {stack: _residuals(steps, stack) for stack, _ in candidates(steps[0].stated, crosses)}
    return chosen(residuals, dict(candidates(steps[0].stated, crosses)), usual)


def chosen(
    residuals: Mapping[Candidate, Floats | None], penalties: Mapping[Candidate, float], usual: float
) -> StackChoice:
    """The likeliest stack for given residuals per candidate, of which the first is the stated stack."""
    scores = {
        stack: likelihood(residual, usual) - penalties[stack] * max(1.0, FULL / len(residual))
        for stack, residual in residuals.items()
        if residual is not None
    }
    ranked = sorted(scores, key=lambda stack: -scores[stack])
    best, stated = ranked[0], next(iter(residuals))
    residual = residuals[best]
    assert residual is not None
    factor, own, shared = carried(residual, usual)
    second = next((stack for stack in ranked[1:] if not _alike(residuals[stack], residual)), None)
    return StackChoice(
        best, tuple(float(one) for one in residual), math.exp(factor), own, shared, usual,
        scores[best] - scores.get(stated, -math.inf), None if second is None else (second, scores[best] - scores[second]),
    )  # fmt: skip


def _alike(one: Floats | None, other: Floats) -> bool:
    return one is not None and bool(np.allclose(one, other, atol=1e-6))


def _residuals(steps: Sequence[Observed], stack: Candidate) -> Floats | None:
    """ln(measured / predicted) of every step; None if one of them cannot run on the stack."""
    residuals = []
    for one in steps:
        predicted = one.predicted(stack)
        if predicted is None or not predicted > 0:
            return None
        residuals.append(math.log(one.seconds / predicted))
    return np.array(residuals)
