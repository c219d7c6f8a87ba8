"""Gives what a text with several runs tells of no named run to the run that lacks it, or makes it a run of its own.

A machine, a time and GPU-hours told together are one job, and a run has one. A job of nobody goes to the run told of last, or to the only
run, that has none. A job of nobody beside runs that all have theirs, and the second job of one run, is another run if it multiplies out;
otherwise it stays where it was. Whether a figure agrees with a run's others never decides that it is that run's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gpuhours.inputs.durations import HOUR
from gpuhours.questions.checking.reading.naming.cast import NOBODY, Cast, Owner
from gpuhours.questions.checking.reading.runs.jobs import JOB, joined
from gpuhours.questions.checking.reading.runs.parts import BESIDE, alike, value_of
from gpuhours.questions.checking.reading.sentences.placed import ReadProse
from gpuhours.questions.checking.reading.vocabulary.run_words import PRONOUNS

Job = Mapping[str, float]
"""What a job gives: its machine, time and GPU-hours."""
ROUNDED = 0.01
"""The relative difference between GPUs x time and GPU-hours that rounding explains."""


def by_empty_places(read: ReadProse, owners: list[Owner], cast: Cast) -> list[Owner]:
    """The owners, where each job that is nobody's, or the second of a run, belongs to a run without one or is a run of its own."""
    named = {owner.name for owner in owners if owner.kind == "own"}
    if len(named) > 1:
        return _filled(read, list(owners), cast)
    only = Owner("own", next(iter(named), cast.main or "pretraining"))
    theirs = zip(owners, read.placed, strict=True)
    filled = _filled(read, [only if owner == NOBODY and not entry.scope else owner for owner, entry in theirs], cast)
    return filled if len({owner.name for owner in filled if owner.kind == "own"}) > 1 else owners


def _filled(read: ReadProse, owners: list[Owner], cast: Cast) -> list[Owner]:
    held: dict[str, Job] = {}
    left: list[tuple[list[int], Job]] = []
    for numbers, said in _jobs(read, owners):
        owner = owners[numbers[0]]
        if owner.kind == "own" and not _differs(said, held.get(owner.name, {})):
            held[owner.name] = {**said, **held.get(owner.name, {})}
        elif len(said) > 1:
            left.append((numbers, said))
    _untuned(read, owners, held)
    for numbers, said in left if held else ():
        entry, owner = read.placed[numbers[0]], owners[numbers[0]]
        taker = _run_without_a_job(owners, numbers, said, held, cast) if owner == NOBODY and not entry.scope else None
        if taker is None and not _is_a_run(said, whole=bool(entry.scope or owner.kind == "side")):
            continue
        if taker is None:
            taker = " for ".join(read.placed[n].text for n in numbers if read.placed[n].place.quantity in JOB[:2])
            cast.own.append(taker)
        held[taker] = said
        for n in _with_its_sentences(read, owners, numbers):
            owners[n] = Owner("own", taker)
            read.placed[n] = replace(read.placed[n], scope="")
    return owners


def _untuned(read: ReadProse, owners: Sequence[Owner], held: Mapping[str, Job]) -> None:
    """Takes the scope from the figures of a run that is nothing but a tuning beside other runs: it is then a run as they are."""
    scopes: dict[str, set[str]] = {}
    for entry, owner in zip(read.placed, owners, strict=True):
        if owner.name in held and entry.place.quantity in JOB:
            scopes.setdefault(owner.name, set()).add(entry.scope)
    for n, owner in enumerate(owners):
        if len(scopes) > 1 and scopes.get(owner.name) == {"fine-tuning"} and read.placed[n].scope == "fine-tuning":
            read.placed[n] = replace(read.placed[n], scope="")


def _jobs(read: ReadProse, owners: Sequence[Owner]) -> list[tuple[list[int], Job]]:
    """The jobs of runs and of nobody, each with its figures: those of one owner in a sentence and what goes on with it."""
    found: dict[tuple[int, str], list[int]] = {}
    for n, (entry, owner) in enumerate(zip(read.placed, owners, strict=True)):
        of_runs = owner.kind in ("", "own") or owner == BESIDE
        if entry.scope in ("", "fine-tuning") and not entry.tagged and of_runs and not owner.also:
            found.setdefault((id(entry.sentence), owner.name), []).append(n)
    jobs: list[tuple[list[int], Job]] = []
    for numbers in joined(read, list(found.values())):
        said: dict[str, float] = {}
        for n in reversed(numbers):
            said |= {read.placed[n].place.quantity: value_of(read.placed[n])}
        if job := {quantity: value for quantity, value in said.items() if quantity in JOB}:
            jobs.append((numbers, job))
    return jobs


def _differs(said: Job, mine: Job) -> bool:
    """Whether a job gives another value than its run has, for two of what it gives: one other value may be a mistake."""
    return sum(not alike(said[quantity], mine[quantity]) for quantity in said.keys() & mine.keys()) > 1


def _is_a_run(said: Job, *, whole: bool) -> bool:
    """Whether a job multiplies out; a time and GPU-hours are enough unless it must be ``whole``, as one beside the pretraining must."""
    if not {"wall_clock", "gpu_hours"} <= said.keys() or not said["gpu_hours"]:
        return False
    hours = said.get("gpus", 0.0) * said["wall_clock"] / HOUR
    return not (hours or whole) or abs(hours / said["gpu_hours"] - 1) < ROUNDED


def _run_without_a_job(
    owners: Sequence[Owner], numbers: Sequence[int], said: Job, held: Mapping[str, Job], cast: Cast
) -> str | None:
    """The run without a job that a job of nobody belongs to: the one told of last, or the only one; None if it is another run."""
    empty = [name for name in cast.own if not said.keys() & held.get(name, {}).keys()]
    before = [owner.name for owner in owners[: numbers[0]] if owner.kind == "own"]
    return before[-1] if before and before[-1] in empty else empty[0] if len(empty) == 1 else None


def _with_its_sentences(read: ReadProse, owners: Sequence[Owner], numbers: Sequence[int]) -> list[int]:
    """A job's figures, with those of the same owner in its sentences, and in the one before if its first begins with a pronoun."""
    sentences = {id(read.placed[n].sentence) for n in numbers}
    first = read.placed[numbers[0]].sentence.first
    if read.items[first].text.lower() in PRONOUNS:
        before = [entry.sentence for entry in read.placed if entry.sentence.last <= first]
        sentences |= {id(before[-1])} if before and first - before[-1].last <= 1 else set()
    owner = owners[numbers[0]]
    return [n for n, entry in enumerate(read.placed) if id(entry.sentence) in sentences and owners[n] == owner]
