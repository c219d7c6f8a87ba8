"""Two energies of one run related by its PUE: what the meters read, and what the data centre drew for it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace

from gpuhours.questions.checking.claim import Claim

NEAR = 0.012
"""The largest log ratio between the PUE and the quotient of the two rounded energies."""
LEAST_PUE = 1.03
"""Below this PUE, the quotient of two rounded energies proves nothing."""
SLIPS = (1.0, 1e3, 1e-3)
"""Factors between the units of the two energies: the same unit, or one that is wrong by 1,000."""


BEFORE = re.compile(
    r"(?i)\b(?:accelerators?|gpus?|cards?|boards?|chips?) (?:alone|only)\b|\bbefore (?:the )?(?:PUE|cooling|losses|overheads?)\b"
    r"|\b(?-i:IT) (?:energy|load|equipment)\b|\b(?:without|excluding|not counting) (?:the )?(?:PUE|cooling|losses|overheads?)\b"
)
"""Words by which an energy is that of the accelerators, before the losses of the data centre."""


def _by_words(kept: Sequence[Claim], aside: Sequence[Claim]) -> tuple[list[Claim], list[Claim]]:
    """Marks an energy that is told to be the accelerators' alone, and keeps that of the whole machine with it."""
    told = [
        c for c in (*kept, *aside) if c.quantity == "energy" and (not c.scope or c.scope.startswith("another figure"))
    ]
    inner = [claim for claim in told if BEFORE.search(claim.quote)]
    outer = [claim for claim in told if claim not in inner]
    if len(inner) != 1 or len(outer) > 1 or any(claim.of_row for claim in told):
        return list(kept), list(aside)
    both = [replace(inner[0], stands_for="it_energy", scope=""), *(replace(claim, scope="") for claim in outer)]
    rest = [claim for claim in kept if claim not in told]
    return [*rest, *both], [claim for claim in aside if claim not in told]


def before_and_behind(kept: Sequence[Claim], aside: Sequence[Claim]) -> tuple[list[Claim], list[Claim]]:
    """Keeps both energies of a run if energy = energy before losses x PUE, allowing one unit error; else returns the claims unchanged."""
    kept, aside = _by_words(kept, aside)
    energy = next(
        (claim for claim in kept if claim.quantity == "energy" and not claim.stands_for and not claim.scope), None
    )
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
