"""Runs that prose tells apart by words alone: ``Phase I ... Phase II``, ``the big Transformer ... the base model``.

They are runs only where they clash: two of them that give different hours, steps, machines. Else they are parts of a description.
"""

from __future__ import annotations

from collections.abc import Sequence

from gpuhours.questions.checking.reading.owners import Owner
from gpuhours.questions.checking.reading.parts import CLASHING, alike, value_of
from gpuhours.questions.checking.reading.prose import ReadProse
from gpuhours.questions.checking.reading.run_words import ORDINALS, PARTS_OF_TRAINING, STAGES, VARIANTS, VARIED

MOST = 12


def told_runs(read: ReadProse) -> list[str]:
    """The names of stages, or of variants, that the prose speaks of: at least two of one kind, or none."""
    kinds: dict[str, dict[tuple[str, ...], str]] = {"stage": {}, "ordinal": {}, "variant": {}}
    for one, two in zip(read.items, read.items[1:], strict=False):
        if read.prose.blocks[read.prose.block(one.start)].kind != "text":
            continue  # lists and sections divide themselves
        word, behind = one.text.lower(), two.text.lower()
        said = f"{one.text} {two.text}"
        key = (word, behind)
        if one.kind == "word" and STAGES.fullmatch(said):
            kinds["stage"].setdefault(key, said)
        elif word in ORDINALS and behind in PARTS_OF_TRAINING:
            kinds["ordinal"].setdefault(key, said)
        elif word in VARIANTS and behind in VARIED:
            kinds["variant"].setdefault((word,), said)
    for found in kinds.values():
        if 2 <= len(found) <= MOST:
            return list(found.values())
    return []


def clash(read: ReadProse, owners: Sequence[Owner], names: Sequence[str]) -> bool:
    """Whether two of the named runs give different values of what one run has once."""
    for quantity in CLASHING:
        first: dict[str, float] = {}
        for entry, owner in zip(read.placed, owners, strict=True):
            if entry.place.quantity == quantity and owner.kind == "own" and owner.name in names:
                first.setdefault(owner.name, value_of(entry))
        values = list(first.values())
        if any(not alike(values[0], value) for value in values[1:]):
            return True
    return False
