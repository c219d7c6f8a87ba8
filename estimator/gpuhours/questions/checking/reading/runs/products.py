"""Finds several runs in prose that names none of them, by arithmetic: GPUs x time = GPU-hours holds for each run's own figures.

``18 days on 256 H100s, 110,592 GPU-hours ... 10 days on the other 256, so 61,440``: two counts of GPU-hours that are each the product of a
machine and a time are two runs. The figures around them go to the run whose figures stand in the same sentence, or are in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from gpuhours.inputs.durations import HOUR
from gpuhours.questions.checking.reading.figures.tokens import Item
from gpuhours.questions.checking.reading.naming.cast import Cast, Owner
from gpuhours.questions.checking.reading.naming.names import mentions
from gpuhours.questions.checking.reading.runs.parts import CLASHING, alike, value_of
from gpuhours.questions.checking.reading.sentences.placed import Placed, ReadProse
from gpuhours.questions.checking.reading.sentences.scopes import Sentence

ROUNDED = 0.006
"""The relative difference between GPUs x time and GPU-hours that rounding explains."""
MOST = 12
"""The most counts of GPU-hours that are tested; a longer list is a table in words."""
OF_A_RUN = CLASHING | {"parameters", "mfu", "learning_rate", "seq_len", "global_batch_tokens", "model_flops", "nodes", "dataset_tokens",
                       "tokens_per_second_per_gpu", "tokens_per_second"}  # fmt: skip
"""Quantities that may differ between the runs."""


class Multiplied(NamedTuple):
    """The positions in the list of placed figures of a run's GPUs, its time and its GPU-hours."""

    gpus: int
    time: int
    hours: int


def by_products(read: ReadProse, owners: list[Owner], cast: Cast) -> list[Owner]:
    """Makes runs of figures that multiply out, if at least two do; with runs that the text names, gives them what makes their GPU-hours."""
    free = [
        n for n, (entry, owner) in enumerate(zip(read.placed, owners, strict=True))
        if not entry.scope and not entry.tagged and owner.kind in ("", "own") and not entry.figure.progression
    ]  # fmt: skip
    jobs = jobs_of(read.placed, free)
    if len(cast.own) > 1:
        return _of_named(owners, jobs)
    if len(jobs) < 2:
        return owners
    names = _names(read, jobs)
    owners = list(owners)
    owned = {n: k for k, job in enumerate(jobs) for n in job if sum(n in other for other in jobs) == 1}
    owned |= _around(read, free, jobs)
    for n, k in owned.items():
        owners[n] = Owner("own", names[k])
    cast.own += [name for name in names if name not in cast.own]
    return owners


def _of_named(owners: list[Owner], jobs: Sequence[Multiplied]) -> list[Owner]:
    """The owners, where the figures that multiply out belong to one named run each: that of the GPUs, else of the GPU-hours or the time."""
    owners = list(owners)
    for part in ("gpus", "hours", "time"):
        named = [owners[getattr(job, part)] for job in jobs]
        if (
            len(named) > 1
            and all(one.kind == "own" for one in named)
            and len({one.name for one in named}) == len(named)
        ):
            break
    else:
        return owners
    for job, owner in zip(jobs, named, strict=True):
        for n in job:
            if sum(n in other for other in jobs) == 1:
                owners[n] = owner
    return owners


def jobs_of(placed: Sequence[Placed], free: Sequence[int]) -> list[Multiplied]:
    """The runs that multiply out, in the order of the text."""
    of = {
        name: [n for n in free if placed[n].place.quantity == name and value_of(placed[n]) > 0][:MOST]
        for name in ("gpus", "wall_clock", "gpu_hours")
    }
    jobs: list[Multiplied] = []
    for hours in of["gpu_hours"]:
        value = value_of(placed[hours])
        fitting = [
            Multiplied(gpus, time, hours)
            for gpus, time in product(of["gpus"], of["wall_clock"])
            if abs(value_of(placed[gpus]) * value_of(placed[time]) / HOUR / value - 1) < ROUNDED
        ]
        known = any(alike(value, value_of(placed[job.hours])) for job in jobs)
        if fitting and not known:
            jobs.append(min(fitting, key=lambda job: _width(placed, job)))
    return sorted(jobs, key=lambda job: min(placed[n].index for n in job))


def _width(placed: Sequence[Placed], job: Multiplied) -> int:
    """How far apart a run's figures are in the text."""
    return sum(abs(placed[n].index - placed[job.hours].index) for n in job)


def _around(read: ReadProse, free: Sequence[int], jobs: Sequence[Multiplied]) -> dict[int, int]:
    """The other figures, each with the number of its run: by its sentence, by a name, else by order if there are as many as runs."""
    placed = read.placed
    taken = {n for job in jobs for n in job}
    rest = [n for n in free if n not in taken and placed[n].place.quantity in OF_A_RUN]
    places = {k: _capitals(read, [placed[n].sentence for n in job]) for k, job in enumerate(jobs)}
    known = {word: [k for k in places if word in places[k]] for words in places.values() for word in words}
    found: dict[int, int] = {}
    unsure: set[int] = set()
    for n in rest:
        here = [
            (placed[at].index, k)
            for k, job in enumerate(jobs)
            for at in job
            if placed[at].sentence is placed[n].sentence
        ]
        said = _capitals(read, [placed[n].sentence])
        owners = {known[word][0] for word in said if len(known.get(word, ())) == 1}
        if here:
            before = [one for one in here if one[0] < placed[n].index]
            found[n] = max(before)[1] if before else min(here)[1]
        elif len(owners) == 1:
            found[n] = owners.pop()
        elif said or AGAINST & {item.text.lower() for item in _words(read, placed[n].sentence)}:
            unsure.add(n)
    for quantity in {placed[n].place.quantity for n in rest}:
        left = [n for n in rest if placed[n].place.quantity == quantity and n not in found]
        told = [n for n in rest if placed[n].place.quantity == quantity]
        differ = any(not alike(value_of(placed[left[0]]), value_of(placed[n])) for n in left)
        if len(left) == len(told) == len(jobs) and differ and unsure.isdisjoint(left):
            found |= dict(zip(left, range(len(jobs)), strict=True))
    return found


AGAINST = frozenset(["against", "versus", "vs", "vs.", "than", "compared"])
"""Words between two figures that need not be in the order of the runs."""


def _words(read: ReadProse, sentence: Sentence) -> Sequence[Item]:
    return read.items[sentence.first : sentence.last]


def _capitals(read: ReadProse, sentences: Sequence[Sentence]) -> set[str]:
    """The capitalised words of sentences, but not their first words unless they are capitalised elsewhere too."""
    inside = {
        item.text
        for one in sentences
        for item in _words(read, one)[1:]
        if item.kind == "word" and item.text[:1].isupper()
    }
    first = {_words(read, one)[0].text for one in sentences}
    elsewhere = {
        item.text
        for one in read.sentences
        for item in _words(read, one)[1:]
        if item.kind == "word" and item.text in first
    }
    return {word for word in inside | elsewhere if word[:1].isupper() and word.upper() != word}


def _names(read: ReadProse, jobs: Sequence[Multiplied]) -> list[str]:
    """A name for each run: the model that its sentence names, else its machine and time."""
    names: list[str] = []
    for job in jobs:
        first = min((read.placed[n] for n in job), key=lambda entry: entry.index)
        named = [m.shown for m in mentions(read.items, first.sentence.first, first.index, ()) if m.shown not in names]
        shown = f"{read.placed[job.gpus].text} for {read.placed[job.time].text}"
        names.append(named[-1] if named else shown)
    return names
