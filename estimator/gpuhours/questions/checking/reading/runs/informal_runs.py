"""Runs that prose distinguishes informally: ``Phase I ... Phase II``, ``the big Transformer ... the base model``, ``the 3B model``.

They are runs only if two of them give different hours, steps or machines; otherwise they are parts of a description.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from gpuhours.questions.checking.reading.naming.cast import NOBODY, Cast, Owner
from gpuhours.questions.checking.reading.naming.informal_names import InformalName, informal_name_at
from gpuhours.questions.checking.reading.ownership.owners import assign
from gpuhours.questions.checking.reading.ownership.sections import compared_blocks
from gpuhours.questions.checking.reading.runs.parts import CLASHING, alike, value_of
from gpuhours.questions.checking.reading.sentences.placed import ReadProse

MOST = 12
KINDS = ("size", "stage", "part", "variant", "component", "resolution")


def with_informal_runs(read: ReadProse, cast: Cast) -> Iterator[Cast]:
    """The casts wider by the informal names of one kind with different values, if no table names several runs."""
    if read.tagged or len(cast.own) > 1:
        return  # tags are about one run
    for names in _groups_of_informal_names(read, cast):
        wider = replace(
            cast,
            own=[*cast.own, *(name.shown for name in names)],
            informal={(name.kind, name.key): name.shown for name in names},
            sizes={**cast.sizes, **{name.shown: name.size for name in names if name.size}},
        )
        if clash(read, assign(read, wider), [name.shown for name in names]):
            yield wider


def _groups_of_informal_names(read: ReadProse, cast: Cast) -> Iterator[list[InformalName]]:
    """Groups of informal names in the prose: at least two of one kind."""
    kinds: dict[str, dict[str, InformalName]] = {kind: {} for kind in KINDS}
    elsewhere = compared_blocks(read.prose)
    beside = {entry.index for entry in read.placed if entry.scope}
    owners = {entry.index: owner for entry, owner in zip(read.placed, assign(read, cast), strict=True)}
    for index, item in enumerate(read.items):
        found = informal_name_at(read.items, index)
        if (
            found is None
            or read.prose.blocks[block := read.prose.block(item.start)].kind != "text"
            or block in elsewhere
        ):
            continue  # lists and sections are split elsewhere; others' models are not runs
        whose = owners.get(index, NOBODY)
        if found.kind == "resolution" and (index in beside or whose.kind in ("side", "other")):
            continue  # fine-tuning at 384x384
        if found.kind == "size" and whose.kind in ("side", "other") and whose.name not in cast.others:
            continue  # the search was carried out on networks of 86M parameters
        if index and read.items[index - 1].text.lower() in ("earlier", "previous", "older", "old"):
            continue
        named = read.items[index - 2].text if index > 1 and read.items[index - 1].text == "(" else ""
        if found.kind == "size" and named[:1].isupper() and any(c.isdigit() for c in named):
            continue  # from the dense Ouzel-2B (1.9B parameters)
        kinds[found.kind].setdefault(found.key, found)
    kinds["any part"] = {f"{name.kind} {name.key}": name for kind in ("stage", "part") for name in kinds[kind].values()}
    for found_of_kind in kinds.values():
        if 2 <= len(found_of_kind) <= MOST:
            yield list(found_of_kind.values())


def clash(read: ReadProse, owners: Sequence[Owner], names: Sequence[str]) -> bool:
    """Whether two of the named runs give different values for something a run has only once."""
    for quantity in CLASHING:
        first: dict[str, float] = {}
        for entry, owner in zip(read.placed, owners, strict=True):
            if entry.place.quantity == quantity and owner.kind == "own" and owner.name in names:
                first.setdefault(owner.name, value_of(entry))
        values = list(first.values())
        if any(not alike(values[0], value) for value in values[1:]):
            return True
    return False
