"""Two runs told as two states of one: ``from 16 to 128 GPUs``, ``from 96 hours to 15``.

A text that says how a run became faster tells of two runs. Its figures come in pairs, the earlier state first; what it gives once is the
same in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from gpuhours.questions.checking.reading.figures.tokens import Figure
from gpuhours.questions.checking.reading.naming.cast import Cast, Owner
from gpuhours.questions.checking.reading.runs.jobs import JOB
from gpuhours.questions.checking.reading.runs.parts import CLASHING, alike, value_of
from gpuhours.questions.checking.reading.sentences.placed import ReadProse

PAIRED = CLASHING | {
    "step_time",
    "mfu",
    "nodes",
    "tokens_per_second",
    "tokens_per_second_per_gpu",
    "samples_per_second",
}
"""Quantities that may differ between the states."""
BETWEEN = frozenset(["to", "down", "up", "about", "only", "just"])
"""Words from the figure of one state to that of the other."""
BEFORE = 3
"""The most items from ``from`` to the figure of the first state."""


def by_states(read: ReadProse, owners: list[Owner], cast: Cast) -> list[Owner]:
    """The owners, where the paired figures of a paragraph that tells two states belong to one run each.

    Two of the machine, the time and the GPU-hours must differ, and one of them must be told as ``from`` one value ``to`` another.
    """
    if len(cast.own) > 1:
        return owners
    held: dict[int, list[int]] = {}
    for n, (entry, owner) in enumerate(zip(read.placed, owners, strict=True)):
        if owner.kind in ("", "us", "own") and not entry.scope and not entry.tagged and entry.place.quantity in PAIRED:
            held.setdefault(read.prose.block(entry.figure.start), []).append(n)
    for numbers in held.values():
        pairs = _pairs(read, numbers)
        told = [quantity for quantity in JOB if quantity in pairs]
        changed = next((quantity for quantity in told if _from_to(read, *pairs[quantity])), None)
        if len(told) < 2 or changed is None:
            continue
        names = [_name(read.placed[n].figure) for n in pairs[changed]]
        owners = list(owners)
        for pair in pairs.values():
            for n, name in zip(pair, names, strict=True):
                owners[n] = Owner("own", name)
                read.placed[n] = replace(read.placed[n], figure=replace(read.placed[n].figure, progression=False))
        cast.own += [name for name in names if name not in cast.own]
        break
    return owners


def _pairs(read: ReadProse, numbers: Sequence[int]) -> dict[str, tuple[int, int]]:
    """The two figures of each quantity that has a ``from ... to``, or exactly two values, in the order of the text."""
    found: dict[str, tuple[int, int]] = {}
    told: dict[str, list[int]] = {}
    for n in numbers:
        told.setdefault(read.placed[n].place.quantity, []).append(n)
    for quantity, places in told.items():
        states = [(one, two) for one, two in pairwise(places) if _from_to(read, one, two)]
        if states:
            found[quantity] = states[0]
        elif len(places) == 2 and not alike(value_of(read.placed[places[0]]), value_of(read.placed[places[1]])):
            found[quantity] = (places[0], places[1])
    return found


def _from_to(read: ReadProse, one: int, two: int) -> bool:
    """Whether two figures stand behind ``from`` and ``to``."""
    first, second = read.placed[one], read.placed[two]
    if second.index - first.index > BEFORE:
        return False
    between = {item.text.lower() for item in read.items[first.index + 1 : second.index]}
    before = [item.text.lower() for item in read.items[max(first.index - BEFORE, 0) : first.index]]
    return "from" in before and "to" in between and between <= BETWEEN


def _name(figure: Figure) -> str:
    """A figure with its unit: ``16 GPUs``, ``96 hours``."""
    return figure.text if figure.word.lower() in figure.text.lower() else f"{figure.text} {figure.word}"
