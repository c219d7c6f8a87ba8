"""Readings of a text that resolve a contradiction exactly: a figure for one of several runs, and a machine that changed during the run.

540 GPU-hours      = 60 runs x 9 hours                       a count that the text leaves to the reader
192,000 GPU-hours  = 256 GPUs x 12.5 days + 512 GPUs x 9.4 days      two machines, each with its own time
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from gpuhours.inputs.durations import DAY, HOUR
from gpuhours.questions.checking.claim import GIVEN, Assumed, Claim
from gpuhours.questions.checking.quantities import shown
from gpuhours.questions.checking.reconciling.doubts import MOST_GPUS, Rivals, instead, swaps
from gpuhours.questions.checking.reconciling.reconcile import Fit, Measurement

MOST_COUNTED = 2
COUNTED_EXACTLY = 0.01
"""Largest relative error of a product or a sum that the text leaves to the reader: 60 runs of 9 hours are 540 GPU-hours."""
COUNTED = re.compile(
    r"(?i)\b(?:runs?|seeds?|folds?|sites?|islands?|racks?|jobs?|repetitions?|trials?|experiments?|replicas?)\b"
)
"""Words for things that a text counts, such as runs or seeds, while giving a figure for one of them."""


def counts(
    left: Sequence[Measurement], fit: Fit, involved: Sequence[Claim], claims: Sequence[Claim], rivals: Rivals
) -> Iterator[tuple[list[Measurement], Assumed]]:
    """Yield the measurements under each such reading, with the count or the second machine as an assumption."""
    for claim in involved:
        yield from _several(left, fit, claim, claims, rivals)
    yield from _one_after_the_other(left, involved, claims, rivals)
    yield from _without_stops(left, fit, involved, claims, rivals)


ADOPTED_BY = 4
"""Number of figures that must agree before another figure of the text is taken to be the run's."""


def adopted(
    left: Sequence[Measurement], involved: Sequence[int], claims: Sequence[Claim], rivals: Rivals
) -> Iterator[tuple[list[Measurement], Assumed]]:
    """Yield the measurements with one or two involved figures replaced by others of the text for the same quantity."""
    positions = [i for i, m in enumerate(left) if m.claim in involved]
    for swapped, taken in swaps(left, positions, claims, rivals):
        said = " and ".join(instead(rival, claim) for claim, rival in taken)
        yield swapped, Assumed(taken[0][1].quantity, taken[0][1].value, 0.0, said)


SHARP = 0.03
"""Largest relative s.d. of a value from all other figures that can decide which figure is meant: 16 GPUs x 61 hours, not an MFU."""


def meets(fit: Fit, i: int) -> bool:
    """Whether a figure meets the value that all the others give, and that value is a sharp one: s / sqrt(r), r: its redundancy."""
    if math.isnan(float(fit.residual[i])) or fit.redundancy[i] <= 0:
        return False
    sharp = float(fit.sigma[i]) / math.sqrt(float(fit.redundancy[i])) <= SHARP
    return sharp and abs(float(fit.left_out[i])) <= COUNTED_EXACTLY


def _several(
    left: Sequence[Measurement], fit: Fit, claim: Claim, claims: Sequence[Claim], rivals: Rivals
) -> Iterator[tuple[list[Measurement], Assumed]]:
    """Yield the measurements with a figure multiplied or divided by a number of runs or sites from its sentence."""
    for position, measurement in enumerate(left):
        if measurement.claim is None or claims[measurement.claim] is not claim:
            continue
        for one in rivals.times(claim):
            for sign in (1, -1) if COUNTED.search(one.text) else ():
                if abs(float(fit.left_out[position]) + sign * math.log(one.value)) <= COUNTED_EXACTLY:
                    swapped = list(left)
                    swapped[position] = replace(measurement, log=measurement.log + sign * math.log(one.value))
                    yield swapped, Assumed(claim.quantity, one.value, 0.0, f"“{one.text}” in “{claim.text}”")


def _one_after_the_other(
    left: Sequence[Measurement], involved: Sequence[Claim], claims: Sequence[Claim], rivals: Rivals
) -> Iterator[tuple[list[Measurement], Assumed]]:
    """Yield the measurements without GPUs and time if two numbers of GPUs with a time each give the GPU-hours."""
    by_name = {claim.quantity: claim for claim in claims if not claim.scope}
    if not {"gpus", "wall_clock", "gpu_hours"} <= by_name.keys():
        return
    if not {"gpus", "wall_clock", "gpu_hours"} & {claim.quantity for claim in involved}:
        return
    gpus, time, hours = (by_name[name] for name in ("gpus", "wall_clock", "gpu_hours"))
    rest = [m for m in left if m.claim is None or claims[m.claim] not in (gpus, time)]
    machines, times = _machines(gpus, time, rivals), _times(time, claims, rivals)
    for other in machines:
        for before, after in itertools.permutations(times, 2):
            added = (gpus.value * before + other * after) / HOUR
            if min(gpus.value * before, other * after) / HOUR < LEAST_PART * added:
                continue
            if abs(math.log(added / hours.value)) <= max(COUNTED_EXACTLY, hours.spread.sigma):
                parts = [(gpus.value, before), (other, after)]
                said = " + ".join(f"{shown('gpus', n)} GPUs x {shown('wall_clock', t)}" for n, t in parts)
                yield rest, Assumed("gpu_hours", added, 0.0, said)


def _machines(gpus: Claim, time: Claim, rivals: Rivals) -> list[float]:
    """Return other numbers of GPUs: those that the text gives, and numbers without a noun in the sentences of the GPUs or the time."""
    near = (gpus.sentence, time.sentence)
    bare = [
        one.value for one in rivals.loose if one.sentence in near and one.sentence != GIVEN and one.value <= MOST_GPUS
    ]
    return list(dict.fromkeys([*(one.value for one in rivals.of_claim(gpus)), *bare]))[:MOST_PARTS]


def _times(time: Claim, claims: Sequence[Claim], rivals: Rivals) -> list[float]:
    """Return the times of the text in seconds: the wall-clock time, others like it, and those of parts of the run."""
    parts = [claim.value for claim in claims if claim.quantity in OF_PARTS and claim.value > HOUR and not claim.scope]
    return list(dict.fromkeys([time.value, *(one.value for one in rivals.of_claim(time)), *parts]))[:MOST_PARTS]


def _without_stops(
    left: Sequence[Measurement], fit: Fit, involved: Sequence[Claim], claims: Sequence[Claim], rivals: Rivals
) -> Iterator[tuple[list[Measurement], Assumed]]:
    """Yield the measurements with the time less a time lost that the text gives, if the others give just that: 30 days, 6 of them lost."""
    for position, measurement in enumerate(left):
        claim = claims[measurement.claim] if measurement.claim is not None else None
        if claim is None or claim.quantity != "wall_clock" or claim not in involved:
            continue
        whole, worked = math.exp(measurement.log), math.exp(measurement.log - float(fit.left_out[position]))
        for lost, said in _times_lost(claims, rivals):
            if abs(whole - lost - worked) <= LOST_EXACTLY * worked and lost > COUNTED_EXACTLY * whole:
                changed = list(left)
                changed[position] = replace(measurement, log=math.log(worked))
                yield changed, Assumed("downtime", lost, 0.0, f"“{said}” are no part of the hours")


def _times_lost(claims: Sequence[Claim], rivals: Rivals) -> Iterator[tuple[float, str]]:
    """Yield the times lost that a text gives, in seconds: downtime, and numbers of days or hours beside words for stops."""
    yield from ((claim.value, claim.text) for claim in claims if claim.quantity == "downtime" and claim.value > 0)
    for one in rivals.loose:
        if STOPS.search(one.quote):
            timed = any(word in one.text for word in ("day", "hour", "week", "min"))
            yield from ((one.value * unit, one.text) for unit in ((1.0,) if timed else (DAY, HOUR)))


STOPS = re.compile(
    r"(?i)\b(?:maintenance|down|downtime|lost|outages?|stops?|stopped|idle|failures?|repairs?|interrupt\w*|paused?|queued?|apart from)\b"
)
"""Words for time in which a machine did no work."""
LOST_EXACTLY = 0.025
"""Largest relative error of the time left: dates are exact to a day."""
OF_PARTS = frozenset(["count", "partial"])
"""Quantities under which a text's times of parts of a run are read, such as "for the first six days"."""
MOST_PARTS = 8
LEAST_PART = 0.05
"""Least share of the GPU-hours of either machine: a smaller part explains no contradiction."""
