"""Two energies of one run that its PUE ties: what its meters read, and what the hall drew for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from gpuhours.questions.checking.claim import Claim

NEAR = 0.012
"""How near the quotient of two energies, both rounded, must come to the PUE."""
LEAST_PUE = 1.03
"""Below this the quotient of two rounded energies says nothing."""
SLIPS = (1.0, 1e3, 1e-3)
"""Factors between the units in which the two may stand, right and mistaken."""


def before_and_behind(kept: Sequence[Claim], aside: Sequence[Claim]) -> tuple[list[Claim], list[Claim]]:
    """The claims of a run with both of its energies where energy = energy before losses x PUE ties them, a slip of the unit apart."""
    energy = next((claim for claim in kept if claim.quantity == "energy" and not claim.scope), None)
    pue = next((claim for claim in kept if claim.quantity == "pue" and claim.value > LEAST_PUE), None)
    if energy is None or pue is None or energy.value <= 0:
        return list(kept), list(aside)
    for other in aside:
        if other.quantity != "energy" or not other.scope.startswith("another figure") or other.value <= 0:
            continue
        for inner, outer in ((energy, other), (other, energy)):
            if any(abs(math.log(outer.value / inner.value / (pue.value * slip))) < NEAR for slip in SLIPS):
                both = [replace(inner, stands_for="it_energy", scope=""), replace(outer, scope="")]
                at = next(i for i, claim in enumerate(kept) if claim is energy)
                return [*kept[:at], *both, *kept[at + 1 :]], [claim for claim in aside if claim is not other]
    return list(kept), list(aside)
