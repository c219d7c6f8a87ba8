"""Chooses who is in a text: of several readings of its runs, that in which the fewest figures collide.

A run has one machine, one time, one count of GPU-hours. A reading that gives it two, or that leaves such a figure to none of its runs, has
missed a run. The readings differ in what they take for the runs: names, sizes, stages, or the sections and sentences that give a machine
and a time. Only collisions count, never whether the figures agree: a reading must not be chosen because it hides a mistake.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from gpuhours.questions.checking.reading.naming.cast import Cast, Owner
from gpuhours.questions.checking.reading.ownership.clauses import SEVERAL_RUNS
from gpuhours.questions.checking.reading.ownership.owners import assign
from gpuhours.questions.checking.reading.runs.casting import RUN_QUANTITIES, with_sizes_counted, with_sizes_in_order
from gpuhours.questions.checking.reading.runs.coordination import by_coordination
from gpuhours.questions.checking.reading.runs.informal_runs import with_informal_runs
from gpuhours.questions.checking.reading.runs.introduced import with_names
from gpuhours.questions.checking.reading.runs.jobs import by_sentences
from gpuhours.questions.checking.reading.runs.leftover import by_empty_places
from gpuhours.questions.checking.reading.runs.parts import CLASHING, alike, by_items, value_of
from gpuhours.questions.checking.reading.runs.products import by_products
from gpuhours.questions.checking.reading.runs.states import by_states
from gpuhours.questions.checking.reading.sentences.placed import ReadProse
from gpuhours.questions.checking.reading.vocabulary.run_words import holds

ADAPTATION = "adaptation"
ONCE = CLASHING | {"parameters"}
"""Quantities of which a run has one value."""


def choose(read: ReadProse, cast: Cast, main: str, titles: Sequence[str]) -> tuple[Cast, list[Owner]]:
    """The cast and the owner of each placed figure in the reading with the fewest collisions, the first of those."""
    best: tuple[int, ReadProse, Cast, list[Owner]] | None = None
    for wider in _readings(read, cast, main, titles):
        its_read, its_cast = replace(read, placed=list(read.placed)), replace(wider, own=list(wider.own))
        owners = _owners(its_read, its_cast)
        collisions = _collisions(its_read, owners)
        if best is None or collisions < best[0]:
            best = collisions, its_read, its_cast, owners
        if not collisions:
            break
    assert best is not None
    read.placed[:] = best[1].placed
    return best[2], best[3]


def _readings(read: ReadProse, cast: Cast, main: str, titles: Sequence[str]) -> Iterator[Cast]:
    """The casts that a text may have: by its names and sizes, and, if no table names its runs, with none."""
    wider = with_names(read, cast, main, titles) if not cast.own and not read.tagged else cast
    wider = with_sizes_counted(read, with_sizes_in_order(read, wider))
    informal = list(with_informal_runs(read, wider))
    yield from informal or [wider]
    if not cast.own and (wider.own or informal):
        yield cast


def _owners(read: ReadProse, cast: Cast) -> list[Owner]:
    owners = by_coordination(read, by_items(read, _assigned(read, cast), cast), cast)
    owners = by_states(read, owners, cast)
    owners = by_sentences(read, by_products(read, owners, cast), cast)
    return by_empty_places(read, owners, cast)


def _collisions(read: ReadProse, owners: Sequence[Owner]) -> int:
    """How many figures a run has twice, with another value, and how many belong to no run beside runs that have such a figure."""
    held: dict[tuple[str, str], list[float]] = {}
    for entry, owner in zip(read.placed, owners, strict=True):
        if entry.place.quantity in ONCE and owner.kind in ("", "own") and not entry.scope:
            values = held.setdefault((entry.place.quantity, owner.name), [])
            if not any(alike(value, value_of(entry)) for value in values):
                values.append(value_of(entry))
    named = {quantity for quantity, name in held if name}
    return sum(len(values) - bool(name or quantity not in named) for (quantity, name), values in held.items())


AMOUNTS = frozenset(["cost", "gpu_hours", "energy", "carbon"])
"""Quantities that are never equal to the digit in two runs."""


def _repeated(read: ReadProse, owners: list[Owner]) -> list[Owner]:
    """``That is $615,000. We do not have $615,000``: an amount of others is theirs again where it is repeated without an owner."""
    theirs = {
        (entry.place.quantity, entry.figure.text): owner
        for owner, entry in zip(owners, read.placed, strict=True)
        if owner.kind == "other" and entry.place.quantity in AMOUNTS
    }
    if not theirs:
        return owners
    return [
        theirs.get((entry.place.quantity, entry.figure.text), owner) if owner.kind == "" else owner
        for owner, entry in zip(owners, read.placed, strict=True)
    ]


WORK = frozenset(["gpu_hours", "wall_clock", "node_hours"])
PLANS = (
    "we plan",
    "is planned",
    "are planned",
    "will be trained",
    "will train",
    "will take",
    "will need",
    "we intend to",
)
"""Phrases of a plan, unlike what would have happened."""
MAY_BE_ALL = frozenset([SEVERAL_RUNS, "a hypothetical case", "an allocation"])
"""Reasons that set figures aside beside a run, but not in a text (a plan, a proposal) that tells of no other work."""


def _assigned(read: ReadProse, cast: Cast) -> list[Owner]:
    """The owner of each figure; if the text is only about something that usually is not the run, that becomes the run."""
    owners = _repeated(read, assign(read, cast))
    counted = [
        (owner, entry)
        for owner, entry in zip(owners, read.placed, strict=True)
        if entry.place.quantity in RUN_QUANTITIES
    ]
    beside = sum(owner.kind == "side" and owner.name == ADAPTATION for owner, _ in counted)
    main = sum(owner.kind in ("", "own") and not entry.scope for owner, entry in counted)
    if beside > main:
        return assign(read, cast, but=ADAPTATION)
    if not any(
        owner.kind in ("", "own", "total") and entry.place.quantity in WORK
        for owner, entry in zip(owners, read.placed, strict=True)
    ):
        planned = holds(read.prose.text.lower(), PLANS)
        reachable = MAY_BE_ALL if planned else MAY_BE_ALL - {"a hypothetical case"}
        reasons = [
            owner.name
            for owner, entry in zip(owners, read.placed, strict=True)
            if owner.kind == "side" and owner.name in reachable and entry.place.quantity in WORK
        ]
        if reasons:
            return assign(read, cast, but=reasons[0])
    return owners
