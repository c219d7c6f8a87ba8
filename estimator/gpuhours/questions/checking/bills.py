"""Gives costs, energies and emissions of all runs to their total, and finds the rates at which all runs were paid and powered."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

from gpuhours.questions.checking.claim import GIVEN, Claim, Paper


def with_bills(paper: Paper) -> Paper:
    """Return the paper with every cost, energy and carbon that is of all runs given to their total: by its sentence, or by arithmetic."""
    return _told_with_the_total(_equal_to_all(paper))


OF_ALL_RUNS = "of all runs"
TO_ITS_DIGITS = 0.015
"""Relative tolerance for a bill to be hours x rate of all runs, and not of one."""


def _equal_to_all(paper: Paper) -> Paper:
    """Return the paper without the bills of single runs that are those of all: ``340 W per card over both jobs. The cards drew 792 kWh``.

    Such a figure is the hours of all runs x one rate of the text to its digits, and not the run's own hours x that rate. It goes to the
    total; in a text without a total it is set aside.
    """
    own = [run for run in paper.runs if run.kind == "own"]
    hours = [claim.value if (claim := run.claim("gpu_hours")) is not None else math.nan for run in own]
    if len(own) < 2 or not math.fsum(hours) > 0:
        return paper
    per_hour = dict(_per_hour(paper))
    moved = {
        run.name: [c for c in run.claims if _is_of_all(c, one, math.fsum(hours), per_hour.get(c.quantity, ()))]
        for run, one in zip(own, hours, strict=True)
    }
    if not any(moved.values()):
        return paper
    every = tuple(itertools.chain.from_iterable(moved.values()))
    runs = [replace(run, claims=tuple(c for c in run.claims if c not in moved.get(run.name, ()))) for run in paper.runs]
    if any(run.kind == "total" for run in runs):
        runs = [replace(run, claims=(*run.claims, *every)) if run.kind == "total" else run for run in runs]
        return replace(paper, runs=tuple(runs))
    aside = tuple(replace(claim, scope=OF_ALL_RUNS) for claim in every)
    return replace(paper, runs=tuple(runs), set_aside=(*paper.set_aside, *aside))


def _is_of_all(claim: Claim, own: float, every: float, per_hour: tuple[float, ...]) -> bool:
    """Whether a bill of a run is that of ``every`` GPU-hour of the text at one of the rates, and not of the run's ``own`` hours."""
    if claim.shared or claim.of_row or claim.sentence == GIVEN:
        return False
    near = [abs(math.log(claim.value / (hours * rate))) < TO_ITS_DIGITS for hours in (own, every) for rate in per_hour]
    return not any(near[: len(per_hour)]) and any(near[len(per_hour) :])


def _per_hour(paper: Paper) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Yield each kind of bill with its amounts per GPU-hour at the one rate that a text gives: in USD, Wh (before and after the PUE), t."""
    said = {claim.quantity: claim.value for claim in rates(paper)}
    power, pue, intensity = said.get("gpu_power"), said.get("pue"), said.get("carbon_intensity")
    if "price" in said:
        yield "cost", (said["price"],)
    if power is not None:
        energy = (power, power * pue) if pue is not None else (power,)
        yield "energy", energy
        if intensity is not None:
            yield "carbon", tuple(1e-6 * wh * intensity for wh in energy)


BILLED = ("cost", "energy", "carbon")
"""What a total of GPU-hours is charged with."""


def _told_with_the_total(paper: Paper) -> Paper:
    """Return the paper with a cost, energy or carbon given to its total if the sentence has the total's GPU-hours and not the run's: ``in
    total 4,416 GPU-hours, and the invoice for both reads $13,690``."""
    totals = [run for run in paper.runs if run.kind == "total"]
    hours = totals[0].claim("gpu_hours") if len(totals) == 1 else None
    if hours is None or hours.sentence == GIVEN:
        return paper
    moved: list[Claim] = []
    runs = []
    for run in paper.runs:
        mine = run.claim("gpu_hours")
        apart = run.kind == "own" and (mine is None or mine.sentence != hours.sentence)
        billed = [
            c for c in run.claims if apart and c.quantity in BILLED and c.sentence == hours.sentence and not c.of_row
        ]
        moved += [c for c in billed if not c.shared and totals[0].claim(c.quantity) is None]
        runs.append(replace(run, claims=tuple(c for c in run.claims if not any(c is one for one in moved))))
    given = [replace(run, claims=(*run.claims, *moved)) if run.kind == "total" else run for run in runs]
    return replace(paper, runs=tuple(given)) if moved else paper


RATES = ("price", "pue", "carbon_intensity", "gpu_power")
"""Rates at which all runs of a text were paid and powered, if it gives one of each."""


def rates(paper: Paper) -> Iterator[Claim]:
    """Yield the rates of which a text gives one value, to any run or to all: those of its totals as well."""
    for name in RATES:
        said = [c for run in paper.runs for c in (*run.claims, *run.set_aside) if c.quantity == name]
        said += [claim for claim in paper.set_aside if claim.quantity == name]
        if said and not said[0].scope and all(claim.value == said[0].value for claim in said):
            yield replace(said[0], shared=True)
