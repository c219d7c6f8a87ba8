"""Hours of machines beside the machines and their time: where the two may differ without a mistake, by the words of the text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from gpuhours.inputs.durations import HOUR
from gpuhours.questions.checking.claim import Claim

GPU_HOURS = frozenset(["gpus", "wall_clock", "gpu_hours"])
NET = re.compile(
    r"(?i)\b(?:stand-?stills?|stops?|down-?time|outages?|idle \w+|pauses?|interruptions?|repairs?|restarts?)(?:,| is| are| was| were)? "
    r"(?:taken out|left out|excluded|subtracted|deducted|removed|not (?:counted|included))"
    r"|\b(?:without|excluding|net of|not counting|minus|leaving out) (?:the |any |all |its |these )?"
    r"(?:stand-?stills?|stops?|down-?time|outages?|idle|pauses?|interruptions?|repairs?|restarts?)"
    r"|\b(?:pure|productive|effective|net) (?:\w+ )?(?:time|hours|GPU-hours)"
)
"""Words by which hours leave out the time in which the machine stood still."""


def net_of_stops(claims: Iterable[Claim]) -> bool:
    """Whether the text says of its GPU-hours that they leave out the time in which the machine stood still."""
    return any(claim.quantity in ("gpu_hours", "node_hours") and NET.search(claim.quote) for claim in claims)


SEVERAL = re.compile(
    r"(?i)\bper (?:model|run|seed|trial|experiment|job|stage|fold|size|configuration|language|task|variant)\b"
    r"|\b(?:both|seeds|data ?sets|respectively|in turn)\b|\ball (?:two|three|four|five|six|seven|eight|nine|ten|of them)\b"
    r"|\bthe (?:second|other|third) (?:for |took |needed |\w* ?\d)"
    r"|\b(?:pods?|slices|clusters|sites|partitions|islands|halls|groups|runs|trials|jobs|models) of\b"
    r"|\b(?:half|halves|thirds?|quarters?|fractions?|parts?|some) of (?:them|these|those|it|the|our|its)\b"
    r"|\(\d{1,3} ?%\) (?:went|were|was|is|are|for)\b"  # 3.3M (80%) went into pre-training
    r"|\bthe (?:rest|remainder|remaining)\b"
    r"|\b(?:reserved|booked|allocated|proper|up to|at (?:its|the|their) peak|at most|varying|on average|between \d+ and \d+)\b"
)
"""Words by which hours are those of several machines or runs, or of a part of the machine or the time."""


NEXT = 12
"""The most items from the beginning of one clause of a sentence to that of the next, behind a semicolon."""


def of_several_or_a_part(claims: Sequence[Claim]) -> str:
    """The condition that hours are those of these machines for this time, where their sentence speaks of several runs or machines, or of a
    part: ``128 GPUs for 6 days per model, 55,296 GPU-hours for all three``; empty if it does not."""
    hours = next((claim for claim in claims if claim.quantity in ("gpu_hours", "node_hours")), None)
    told = {
        claim.quantity: claim for claim in claims if hours is not None and abs(claim.sentence - hours.sentence) <= NEXT
    }
    if hours is None or hours.of_row or "wall_clock" not in told or not told.keys() & {"gpus", "nodes"}:
        return ""
    if not any(SEVERAL.search(claim.quote) for claim in told.values()):
        return ""
    return f"“{hours.text}” is for these machines alone, and for all of their time"


NOW_AND_THEN = re.compile(
    r"(?i)\b(?:(?:at|by|only|every|each|per|a|all|over|during) (?:the )?(?:nights?|weekends?|evenings?)|nights|overnight|weekends"
    r"|part[- ]time|half[- ]time|off[- ]peak|spot|pre-?empt\w*|time[- ]shar\w*|hours (?:a|per|each) (?:day|night|week)"
    r"|when (?:free|idle|nobody))\b"
)
"""Words by which a machine was had for some hours of a day only, or shared with others."""


def now_and_then(claims: Sequence[Claim]) -> str:
    """The time in which a machine was had only now and then, as it is written; empty if no sentence of the figures says so."""
    said = any(NOW_AND_THEN.search(claim.quote) for claim in claims)
    return next((claim.text for claim in claims if said and claim.quantity == "wall_clock"), "")


def misses_at_once(claims: Sequence[Claim]) -> bool:
    """Whether one sentence gives GPUs, time and GPU-hours that do not agree, whatever other sentences are about."""
    clock = {claim.quantity: claim for claim in claims if claim.quantity in GPU_HOURS}
    if len(clock) < len(GPU_HOURS) or len({claim.sentence for claim in clock.values()}) > 1:
        return False
    hours = clock["gpus"].value * clock["wall_clock"].value / HOUR
    return abs(math.log(hours / clock["gpu_hours"].value)) > APART


APART = 0.1
"""Log difference beyond which hours are not those of GPUs x time, whatever the digits of the time."""
