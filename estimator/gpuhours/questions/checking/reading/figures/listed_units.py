"""Gives the unit of another figure to bare numbers: ``60.1, 50.2 and 44.4 seconds``, ``90 GPU-hours, of which it used 71``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.vocabulary.units import SCALES, factor

LONGEST = 12
"""The most bare numbers in a list."""
ALIKE = 60
"""The largest ratio between a bare number, with the unit, and the figure that gives it."""
OWN_NAMES = frozenset(["pipeline", "tensor", "batch", "batches", "pue", "effectiveness", "factor", "ratio", "size", "degree", "mfu",
                       "epoch", "rank"])  # fmt: skip
"""Words that say what a bare number is, so that it is not part of the list after it (``a PUE of 1.1 and 0.32 kg per kWh``)."""
CONJUNCTIONS = frozenset(["and", "or", "+"])
SEPARATORS = CONJUNCTIONS | {","}


def with_listed_units(items: list[Item]) -> list[Item]:
    """The items, with the last figure's unit on every number of its list."""
    for end, last in enumerate(items):
        if not isinstance(last, Figure) or not _ends_a_list(items, end, last):
            continue
        scale = SCALES.get(last.scale, 1.0)
        size = factor(last.unit, last.word)
        for index, bare in _bare_before(items, end, last):
            value = bare.value * size * (scale if last.scale and not bare.scale else 1.0)
            if last.value and value and 1 / ALIKE < value / last.value < ALIKE:
                items[index] = replace(
                    bare,
                    value=value,
                    unit=last.unit,
                    per=last.per,
                    word=last.word,
                    device=last.device,
                    scale=last.scale,
                )
    return items


def _ends_a_list(items: Sequence[Item], end: int, last: Figure) -> bool:
    """Whether a figure with a unit stands after a conjunction."""
    whole = bool(last.unit) and not last.joined and last.until is None
    return whole and items[end - 1].text.lower() in CONJUNCTIONS


def _bare_before(items: Sequence[Item], end: int, last: Figure) -> list[tuple[int, Figure]]:
    """The bare numbers of the list that ends at ``end``, from right to left, with their positions."""
    bare: list[tuple[int, Figure]] = []
    at = end - 1
    while at >= 1 and len(bare) < LONGEST:
        while at >= 0 and items[at].text.lower() in SEPARATORS:
            at -= 1
        item = items[at] if at >= 0 else None
        if not isinstance(item, Figure) or at == end - 1 or not _is_bare(item, last):
            break
        if any(one.text.lower() in OWN_NAMES for one in items[max(at - 3, 0) : at]):
            break
        bare.append((at, item))
        if items[at - 1].text.lower() not in SEPARATORS:
            break
        at -= 1
    return bare


def _is_bare(item: Figure, last: Figure) -> bool:
    """Whether a number has no unit of its own and is not a year."""
    year = len(item.text) == 4 and 1950 <= item.value <= 2040 and last.value < 1000
    return not (year or item.unit or item.per or item.sides) and item.scale in ("", last.scale)


OF_THE_SAME = frozenset(
    [",", "(", "or", "i.e", "i.e.", "–", "—", "-", "=", "and", "about", "roughly", "that", "is", "thus", "hence", "so"]
)
"""What stands between a rate and the same rate of one device."""
BACK_TO_A_RATE = 4
DIVISORS = frozenset(["per", "/", "each"])
BEHIND_A_DEVICE = 3
"""The items in which ``and step`` may follow, of what each device has in a step."""


def with_rates_of_one(items: list[Item]) -> list[Item]:
    """``1M tokens per second, 7.8k per GPU``: the items, with the unit of a machine's rate on the bare number per device behind it."""
    for at in range(2, len(items) - 2):
        bare, divisor, device = items[at : at + 3]
        if not isinstance(bare, Figure) or bare.unit or bare.per or bare.sides:
            continue
        in_a_step = any(item.text.lower() == "step" for item in items[at + 3 : at + 3 + BEHIND_A_DEVICE])
        if device.kind != "device" or divisor.text.lower().strip() not in DIVISORS or in_a_step:
            continue
        before = range(at - 1, max(at - 1 - BACK_TO_A_RATE, -1), -1)
        rate = next((items[n] for n in before if items[n].text.lower().strip() not in OF_THE_SAME), None)
        if not isinstance(rate, Figure) or rate.unit not in ("token", "sample", "sequence") or "second" not in rate.per:
            continue
        if "gpu" not in rate.per and bare.value < rate.value:
            items[at] = replace(bare, unit=rate.unit, per=("second", "gpu"), word=rate.word)
    return items


SPENT = frozenset(["used", "uses", "consumed", "took", "needed", "spent", "required"])
OF_A_SHARE = frozenset(["gpu_time", "node_time", "energy"])
"""Units of what can be granted and used."""
THESE = frozenset(["these", "those", "them", "this", "that"])
"""``250,000 GPU-hours were granted. Of these, 193,536 were spent``: pronouns for the whole."""
FAR_BACK = 14
"""The most items from such a share back to its whole."""
REACH = 8
"""The most words between an amount, ``of which`` and the share of it."""


def with_the_unit_of_the_whole(items: list[Item]) -> list[Item]:
    """``90,000 GPU hours, of which the run used 71,000``: the items, with the unit of the whole on the bare number of its share."""
    for at, item in enumerate(items):
        if not isinstance(item, Figure) or item.unit or item.per or item.sides or at < 2:
            continue
        whole = _whole_of(items, at)
        if whole is None:
            continue
        value = item.value * factor(whole.unit, whole.word)
        if 0 < value <= whole.value:
            items[at] = replace(item, value=value, unit=whole.unit, word=whole.word, device=whole.device)
    return items


def _whole_of(items: Sequence[Item], at: int) -> Figure | None:
    """The amount that a bare number is a share of: the figure before ``of which ... used``; None if there is no such phrase."""
    opening = [one.text.lower() for one in items[max(at - 3, 0) : at] if one.text != ","]
    behind = [one.text.lower() for one in items[at + 1 : at + 3]]
    if opening[-2:-1] == ["of"] and opening[-1] in THESE and behind[:1] in (["were"], ["was"], ["have"], ["went"]):
        granted = next((one for one in reversed(items[max(at - FAR_BACK, 0) : at]) if isinstance(one, Figure)), None)
        return granted if granted is not None and granted.unit in OF_A_SHARE and not granted.per else None
    if items[at - 1].text.lower() not in SPENT:
        return None
    for which in range(at - 2, max(at - 2 - REACH, 0), -1):
        if isinstance(items[which], Figure) or items[which].kind == "stop":
            return None
        if items[which].text.lower() == "which" and items[which - 1].text.lower() == "of":
            before = items[max(which - 1 - REACH, 0) : which - 1]
            at = max((n for n, one in enumerate(before) if isinstance(one, Figure) or one.kind == "stop"), default=-1)
            whole = before[at] if at >= 0 else None
            return whole if isinstance(whole, Figure) and whole.unit in OF_A_SHARE and not whole.per else None
    return None
