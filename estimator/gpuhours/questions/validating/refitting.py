"""Constants of a system refitted on the other systems' rows: one factor per group.

``gpuhours validate --refit`` writes ``published/refits.json``; validation only reads it, to stay fast.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gpuhours.hardware.kernel_constants import KernelConstants
from gpuhours.inputs.records import dataclass
from gpuhours.questions.validating.case import Case, case_of
from gpuhours.questions.validating.leaving_out import elsewhere, owner_of, refits_path, scaled
from gpuhours.questions.validating.prediction import predict
from gpuhours.questions.validating.rows import measured_rows
from gpuhours.questions.validating.sources import system_of, systems_of
from gpuhours.software.profile import Software

STEP = 0.1
"""Change of a group's figures, in log, used for the finite difference."""
NOISE = 0.08
"""Unexplained error of one row, in log."""
PRIOR = 0.5
"""Prior standard deviation, in log, of a group's factor, around the factor that gives its parent's value."""
MOST = np.log(4.0)
NOT_TIME = frozenset({"memory", "defaults"})
"""Groups that do not affect step time."""


@dataclass(frozen=True)
class Effect:
    """The effect of a group of constants on the step times of all rows."""

    key: str
    systems: frozenset[str]
    slope: NDArray[np.float64]
    """d log(step time) / d log(figures), row by row."""
    centre: float
    """Log of the parent's figures over the group's own."""


def refit() -> dict[str, dict[str, float]]:
    """System -> group -> factor.

        min over theta of   sum over other systems' rows of w Huber((log(measured / predicted) - D theta) / NOISE)
                            + sum over groups of ((theta - centre) / PRIOR)^2

    ``D`` holds the slopes at the current constants; the n rows of a source have a total weight of sqrt(n). A group that the other rows
    determine less well than the prior has no factor: its parent's figures replace it.
    """
    cases = [case for row in measured_rows() if row.seconds and isinstance(case := case_of(row), Case)]
    times = [prediction.time for prediction in predict(cases)]
    cases = [case for case, time in zip(cases, times, strict=True) if time]
    base = np.log([time for time in times if time])
    residual = np.log([case.row.seconds or 1.0 for case in cases]) - base
    titles = np.array([case.row.word("source_title") or "" for case in cases])
    systems = np.array([system_of(title) for title in titles])
    weight = np.array([1 / np.sqrt(np.sum(titles == title)) for title in titles]) / NOISE**2
    effects = [*_of_software(cases, base), *_of_gemms(cases, base)]
    left_out = {}
    for system in sorted({system for effect in effects for system in effect.systems}):
        mine = [effect for effect in effects if system in effect.systems]
        others = systems != system
        design = np.stack([effect.slope[others] for effect in mine], axis=1)
        centre = np.array([effect.centre for effect in mine])
        theta = _robust(design, residual[others], weight[others], centre)
        informed = PRIOR**2 * np.sum(weight[others, None] * design**2, axis=0) > 1
        left_out[system] = {
            e.key: round(float(np.exp(t)), 3) for e, t, of_it in zip(mine, theta, informed, strict=True) if of_it
        }
    return {system: factors for system, factors in left_out.items() if factors}


def update_refits() -> None:
    """Compute and store the factors."""
    refits_path().write_text(json.dumps({"factors": refit()}, indent=1) + "\n", encoding="utf-8")


def _robust(
    design: NDArray[np.float64], residual: NDArray[np.float64], weight: NDArray[np.float64], centre: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The minimum, by iteratively reweighted least squares."""
    theta: NDArray[np.float64] = centre
    for _ in range(20):
        left = abs(residual - design @ theta) / NOISE
        w = weight * np.minimum(1.0, 1.345 / np.maximum(left, 1e-9))
        normal = design.T @ (design * w[:, None]) + np.eye(len(centre)) / PRIOR**2
        theta = np.asarray(np.linalg.solve(normal, design.T @ (w * residual) + centre / PRIOR**2), float)
    return np.clip(theta, -MOST, MOST)


def _of_software(cases: Sequence[Case], base: NDArray[np.float64]) -> list[Effect]:
    """The effect of every profile group that measured runs determined."""
    owners: dict[str, list[int]] = {}
    for at, case in enumerate(cases):
        for group in Software.model_fields:
            found_on: tuple[str, ...] = getattr(getattr(case.software, group), "fitted_on", ())
            if group not in NOT_TIME and found_on:
                owners.setdefault(f"{owner_of(case.software, group)}.{group}", []).append(at)
    effects = []
    for key, members in owners.items():
        group = key.split(".")[1]
        own = getattr(cases[members[0]].software, group)
        changed = [
            replace(case, software=case.software.model_copy(update={group: scaled(own, np.exp(STEP))}))
            for case in (cases[at] for at in members)
        ]
        effects.append(
            Effect(key, systems_of(own.fitted_on), _slope(changed, members, base), elsewhere(*key.split(".")))
        )
    return effects


def _of_gemms(cases: Sequence[Case], base: NDArray[np.float64]) -> list[Effect]:
    """The effect of the level of GEMM rates, if measured runs determined it."""
    places: dict[str, list[int]] = {}
    for at, case in enumerate(cases):
        if case.chip.gemm_constants.fitted_on:
            own = case.chip.kernels is not None and case.chip.kernels.gemm is not None
            places.setdefault(case.accelerator if own else case.chip.generation, []).append(at)
    effects = []
    for place, members in places.items():
        gemm = cases[members[0]].chip.gemm_constants
        changed = []
        for case in (cases[at] for at in members):
            kernels = (case.chip.kernels or KernelConstants()).model_copy(update={"gemm": scaled(gemm, np.exp(STEP))})
            changed.append(replace(case, chip=replace(case.chip, kernels=kernels)))
        effects.append(Effect(f"{place}.gemm", systems_of(gemm.fitted_on), _slope(changed, members, base), 0.0))
    return effects


def _slope(changed: Sequence[Case], members: Sequence[int], base: NDArray[np.float64]) -> NDArray[np.float64]:
    """The effect of a change on all rows."""
    slope = np.zeros(len(base))
    for at, prediction in zip(members, predict(changed), strict=True):
        if prediction.time:
            slope[at] = (np.log(prediction.time) - base[at]) / STEP
    return slope
