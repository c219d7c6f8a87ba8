"""Gives bare numbers the unit that their subject, the opening of their sentence or a sentence before lends them.

``Total GPU hours were 320,256``, ``In GPU-hours, the two amount to 8,000``, ``All costs are in GPU-hours. Tern took 548,864``.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

from gpuhours.questions.checking.reading.figures.tokens import Figure, Item, Unit, tokens_of
from gpuhours.questions.checking.reading.figures.unit_tokens import unit_at
from gpuhours.questions.checking.reading.vocabulary.units import factor

COPULAS = frozenset(["was", "were", "is", "are", "of", "to", "=", ":", "reached", "totaled", "totalled", "equals", "comes", "came",
                     "amounts", "amounted"])  # fmt: skip
LENT = frozenset(["gpu_time", "node_time", "energy", "co2"])
"""Units that a subject gives to the bare number after its verb; for counts, the rules' words decide."""


def with_subjects(items: list[Item]) -> list[Item]:
    """``Total GPU hours were 320,256``: gives the subject's unit to the bare number after the verb."""
    for at, item in enumerate(items):
        if not isinstance(item, Figure) or item.unit or item.sides or item.joined or at < 2 or item.value < 1:
            continue
        verb = at - 1
        while verb > 0 and at - verb < 4 and items[verb].text.lower() in COPULAS | {"a", "total", "about"}:
            verb -= 1
        if verb == at - 1 or items[at - 1].kind == "stop":
            continue
        for first in range(max(verb - 2, 0), verb + 1):
            if any(one.kind in ("figure", "stop", "mark") and one.text not in "-–·" for one in items[first : verb + 1]):
                continue
            words = " ".join(one.text for one in items[first : verb + 1])
            unit = _as_unit(words)
            if unit is not None and unit.kind in LENT:
                items[at] = replace(
                    item, value=item.value * unit.factor, unit=unit.kind, word=unit.word, device=unit.device
                )
                break
    return items


def with_fronted_units(items: list[Item]) -> list[Item]:
    """``In GPU-hours, the two amount to 8,000 and 25,600``: gives the unit that opens a sentence to the bare numbers in it."""
    unit: Unit | None = None
    first = 0
    for at, item in enumerate(items):
        if item.kind == "stop" and item.text != ";":
            unit, first = None, at + 1
        elif item.text == "," and at - first <= LONGEST_FRONT:
            unit = _fronted(items[first:at]) or unit
        elif unit is None and item.text.lower() in ITS_SUBJECTS and 1 < at - first <= LONGEST_FRONT:
            unit = _fronted(items[first:at]) if items[first].text.lower() == "in" else None
        elif (
            unit is not None
            and isinstance(item, Figure)
            and item.text[:1].isdigit()
            and not (item.unit or item.per or item.sides)
        ):
            items[at] = replace(
                item, value=item.value * unit.factor, unit=unit.kind, word=unit.word, device=unit.device
            )
    return items


LONGEST_FRONT = 6
ITS_SUBJECTS = frozenset(["that", "this", "it", "they", "we", "these", "both"])
"""Words that follow such an opening without a comma: ``In chip-hours that is 39.3k``."""


def _fronted(items: list[Item]) -> Unit | None:
    """The unit of ``in GPU-hours`` or ``Expressed in GPU-hours``; None for other openings."""
    words = [item.text.lower() for item in items]
    if "in" not in words or any(isinstance(item, Figure) for item in items):
        return None
    unit = _as_unit(" ".join(item.text for item in items[words.index("in") + 1 :]))
    return unit if unit is not None and unit.kind in LENT else None


@functools.lru_cache(maxsize=4096)
def _as_unit(words: str) -> Unit | None:
    """The unit, if the words are exactly one unit; else None."""
    tokens = tokens_of(words)
    unit, end = unit_at(tokens, 0)
    return unit if unit.kind and end == len(tokens) and not unit.per else None


def with_units_of_states(items: list[Item]) -> list[Item]:
    """``from 96 hours to 15``: the items, with the unit of the first state on the bare number of the second."""
    for at in range(3, len(items)):
        bare, first = items[at], items[at - 2]
        if items[at - 1].text.lower() != "to" or items[at - 3].text.lower() != "from":
            continue
        if not isinstance(bare, Figure) or not isinstance(first, Figure) or first.per:
            continue
        told = None if first.unit else _unit_that_changed(items, at - 4)
        if told is not None:
            items[at - 2] = first = replace(
                first, value=first.value * told.factor, unit=told.kind, word=told.word, device=told.device
            )
        if not first.unit:
            continue
        behind = items[at + 1] if at + 1 < len(items) else None
        ends = behind is None or behind.kind in ("stop", "mark") or behind.text.lower() in BEHIND_A_STATE
        if bare.unit or bare.per or bare.sides or not ends:
            continue
        value = bare.value * factor(first.unit, first.word)
        items[at] = replace(bare, value=value, unit=first.unit, per=first.per, word=first.word, device=first.device)
    return items


BEHIND_A_STATE = frozenset(["and", "on", "with", "at", "for", "in", "by", "while", "or", "when", "per"])
"""Words that may follow such a number; any other word is what it counts."""


CHANGED = frozenset(
    ["rose", "fell", "went", "grew", "dropped", "increased", "decreased", "climbed", "shrank", "rises", "falls", "goes"]
)
"""Verbs before ``from one value to another``."""


def _unit_that_changed(items: Sequence[Item], verb: int) -> Unit | None:
    """``GPU-hours rose from 9,216 to 12,288``: the unit before a verb of change at ``verb``; None without one."""
    verb -= items[verb].text.lower() in ("up", "down")
    if verb < 1:
        return None
    verb += items[verb].text.lower() not in CHANGED  # and GPU-hours from 3,840 to 4,608
    units = (_as_unit(" ".join(item.text for item in items[max(verb - many, 0) : verb])) for many in (3, 2, 1))
    return next((unit for unit in units if unit is not None and unit.kind in LENT), None)


DECLARES = frozenset(
    ["are", "is", "in", "report", "reports", "count", "counts", "give", "given", "state", "use", "the", "as"]
)
"""Words before a unit that ends a sentence without figures: ``All costs are in GPU-hours.``"""
SPENDS = frozenset(["took", "takes", "needed", "needs", "consumed", "consumes", "used", "uses", "cost", "costs", "spent", "required", "got",
                    ":"])  # fmt: skip
"""What stands before an amount of that unit."""
FAR_FROM_ITS_UNIT = 60
FEWEST_LENT = 50.0
"""The smallest number that gets such a unit; smaller ones count other things."""


def with_units_told_before(items: list[Item]) -> list[Item]:
    """``All costs are in GPU-hours. Tern took 548,864``: the items, with the unit of such a sentence on the bare amounts behind it."""
    unit: Unit | None = None
    told = first = 0
    for at, item in enumerate(items):
        if item.kind == "stop":
            said = _declared(items[first:at])
            unit, told = (said, at) if said is not None else (unit, told)
            unit = None if item.text.startswith("\n") or "|" in item.text else unit
            first = at + 1
        elif (
            unit is not None
            and at - told < FAR_FROM_ITS_UNIT
            and isinstance(item, Figure)
            and not (item.unit or item.per or item.sides or item.joined)
            and item.value >= FEWEST_LENT
            and items[at - 1].text.lower() in SPENDS
            and (
                at + 1 == len(items)
                or items[at + 1].kind in ("stop", "mark")
                or items[at + 1].text.lower() in ("of", "and", "for", "on")
            )
        ):
            items[at] = replace(
                item, value=item.value * unit.factor, unit=unit.kind, word=unit.word, device=unit.device
            )
    return items


def _declared(items: Sequence[Item]) -> Unit | None:
    """The unit with which a sentence without figures ends; None for any other sentence."""
    if not 2 < len(items) <= LONGEST_DECLARATION or any(isinstance(item, Figure) for item in items):
        return None
    for many in (3, 2, 1):
        before = items[-many - 1].text.lower() if len(items) > many else ""
        unit = _as_unit(" ".join(item.text for item in items[-many:])) if before in DECLARES else None
        if unit is not None and unit.kind in LENT:
            return unit
    return None


LONGEST_DECLARATION = 12
