"""Decide conventions that a text leaves unstated from its own figures: whether its energy includes the losses of the data centre."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

from gpuhours.questions.checking.claim import Document
from gpuhours.questions.checking.reconciling.structure import Equations
from gpuhours.questions.checking.setting import Setting, identities
from gpuhours.run.identities import Identity, Sum


def equations_of(run: Setting, document: Document) -> Equations:
    """Return the identities for this kind of run under the document's conventions; the same object for runs of the same kind."""
    fixed, loose = (tuple(sorted(constants.items())) for constants in (run.fixed, run.loose))
    return _of_kind(run.holds, fixed, loose, _energy_without_losses(document))


@functools.lru_cache(maxsize=512)
def _of_kind(
    holds: frozenset[str], fixed: tuple[tuple[str, float], ...], loose: tuple[tuple[str, float], ...], apart: bool
) -> Equations:
    return Equations(as_counted(identities(holds, dict(fixed), dict(loose)), apart=apart))


def as_counted(equations: Iterable[Identity | Sum], *, apart: bool) -> Iterator[Identity | Sum]:
    """Yield the identities with the PUE in the equation where the text applies it.

    Usually energy = GPU-hours x power x PUE and carbon = energy x intensity. If the energy is for the accelerators alone (``apart``),
    energy = GPU-hours x power and carbon = energy x PUE x intensity.
    """
    for equation in equations:
        if apart and isinstance(equation, Identity) and "energy" in equation.exponents:
            exponents = dict(equation.exponents)
            if "pue" in exponents:
                del exponents["pue"]
            elif "carbon_intensity" in exponents:
                exponents["pue"] = -1.0
            yield replace(equation, exponents=exponents, text=f"{equation.text} (energy of the accelerators alone)")
        else:
            yield equation


def _energy_without_losses(document: Document) -> bool:
    """Whether carbon = energy x PUE x intensity fits and carbon = energy x intensity does not."""
    claims = [document.claim(name) for name in ("carbon", "energy", "carbon_intensity", "pue")]
    if any(claim is None or claim.value <= 0 for claim in claims):
        return False
    carbon, energy, intensity, pue = (claim.value for claim in claims if claim is not None)
    ratio = math.log(carbon / (energy * intensity * 1e-6))
    hours, power = document.claim("gpu_hours"), document.claim("gpu_power")
    if hours is not None and power is not None and hours.value > 0 and power.value > 0:
        drawn = math.log(energy / (hours.value * power.value))
        if abs(drawn - math.log(pue)) < abs(drawn):
            return False  # the energy contains the losses already
    return abs(ratio - math.log(pue)) < 0.04 < abs(ratio)
