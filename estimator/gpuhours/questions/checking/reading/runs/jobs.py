"""Sentences and paragraphs that are separate runs: each gives a machine and a time of its own, different from the others'.

``Norn-A is complete. 2.7B parameters. It was trained on 48 H100 in 158 hours; 7,584 GPU-hours.``     one paragraph, one job: all of it
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from gpuhours.questions.checking.reading.figures.tokens import Figure
from gpuhours.questions.checking.reading.naming.cast import NOBODY, Cast, Owner
from gpuhours.questions.checking.reading.naming.names import mentions
from gpuhours.questions.checking.reading.runs.parts import alike, value_of
from gpuhours.questions.checking.reading.sentences.placed import ReadProse
from gpuhours.questions.checking.reading.vocabulary.run_words import PRONOUNS

JOB = ("gpus", "wall_clock", "gpu_hours")
"""Quantities that a sentence about one job gives."""
MOST_JOBS = 60


def by_sentences(read: ReadProse, owners: list[Owner], cast: Cast) -> list[Owner]:
    """Makes sentences that each give a machine and a time, both different from the others', separate runs.

    The clauses behind a semicolon continue such a sentence, and the other figures of a paragraph with one job belong to it.
    """
    if len(cast.own) > 1:
        return owners
    held: dict[int, list[int]] = {}
    for n in _free(read, owners):
        held.setdefault(id(read.placed[n].sentence), []).append(n)
    jobs: list[tuple[list[int], dict[str, float]]] = []
    for numbers in joined(read, list(held.values())):
        said = {
            read.placed[n].place.quantity: value_of(read.placed[n])
            for n in reversed(numbers)
            if read.placed[n].place.quantity in JOB
        }
        if "gpus" in said and len(said) > 1:
            jobs.append((numbers, said))
    jobs = jobs[:MOST_JOBS]
    apart = [
        numbers for numbers, said in jobs
        if any(other is not said and all(not alike(said[q], other[q]) for q in JOB if q in said and q in other)
               and len(said.keys() & other.keys()) > 1 for _, other in jobs)
    ]  # fmt: skip
    if len(apart) < 2:
        return owners
    owners = list(owners)
    several = Counter(_block(read, numbers[0]) for numbers, _ in jobs)
    alone = {_block(read, numbers[0]): numbers for numbers in apart if several[_block(read, numbers[0])] == 1}
    for n in _free(read, owners):
        if (own := alone.get(_block(read, n))) is not None and n not in own:
            own.append(n)
    names = _names(read, apart)
    for name, numbers in zip(names, apart, strict=True):
        for n in numbers:
            owners[n] = Owner("own", name if owners[n].kind != "own" else owners[n].name)
    return owners


def _free(read: ReadProse, owners: Sequence[Owner]) -> list[int]:
    """The figures of the run or of no one yet."""
    return [
        n
        for n, entry in enumerate(read.placed)
        if not entry.scope and not entry.tagged and (owners[n] == NOBODY or owners[n].kind == "own")
    ]


def _names(read: ReadProse, jobs: Sequence[Sequence[int]]) -> list[str]:
    """A name for each job: the first model that its paragraph names, else the first words of its sentence; no two are the same."""
    names: list[str] = []
    for number, numbers in enumerate(jobs, 1):
        first = min((read.placed[n] for n in numbers), key=lambda entry: entry.index)
        begun = next(
            (s.first for s in read.sentences if _starts(read, s.first) == _block(read, numbers[0])),
            first.sentence.first,
        )
        last = max(read.placed[n].sentence.last for n in numbers)
        named = [m.shown for m in mentions(read.items, begun, last, ())]
        named += [item.text for item in read.items[begun:last] if item.kind == "word" and _COINED.fullmatch(item.text)]
        words = [
            i.text for i in read.items[first.sentence.first : first.sentence.first + 4] if not isinstance(i, Figure)
        ]
        name = next((one for one in named if one not in names), " ".join(words) or f"run {number}")
        names.append(name if name not in names else f"{name} ({number})")
    return names


_COINED = re.compile(r"[A-Z][a-z]{2,20}-[A-Z\d]\w{0,12}")
"""``Norn-A``: a name that is no word of the language."""


def _starts(read: ReadProse, index: int) -> int:
    """The block of an item."""
    return read.prose.block(read.items[index].start) if index < len(read.items) else -1


def joined(read: ReadProse, held: list[list[int]]) -> list[list[int]]:
    """The figures of sentences, where what goes on behind a semicolon or with a pronoun is joined to what it goes on with."""
    return _joined_by_pronouns(read, _joined_by_semicolons(read, held))


def _joined_by_semicolons(read: ReadProse, held: list[list[int]]) -> list[list[int]]:
    """``trained on 48 H100 in 158 hours; 7,584 GPU-hours``: joins a clause behind a semicolon to the one before, if it repeats nothing."""
    joined: list[list[int]] = []
    for numbers in held:
        first = read.placed[numbers[0]].sentence.first
        told = {read.placed[n].place.quantity for n in numbers} & set(JOB)
        before = {read.placed[n].place.quantity for n in joined[-1]} & set(JOB) if joined else set()
        follows = (
            joined
            and first > 0
            and read.items[first - 1].text == ";"
            and _block(read, joined[-1][-1]) == _block(read, numbers[0])
        )
        if follows and told and before and not told & before:
            joined[-1] = [*joined[-1], *numbers]
        else:
            joined.append(numbers)
    return joined


def _joined_by_pronouns(read: ReadProse, held: list[list[int]]) -> list[list[int]]:
    """``The rest was read on 256 H100. It took 15 days``: joins a sentence that goes on with a time to the one before with the machine."""
    joined: list[list[int]] = []
    for numbers in held:
        told = {read.placed[n].place.quantity for n in numbers} & set(JOB)
        first = read.items[read.placed[numbers[0]].sentence.first].text.lower()
        before = {read.placed[n].place.quantity for n in joined[-1]} & set(JOB) if joined else set()
        same = joined and _block(read, joined[-1][-1]) == _block(read, numbers[0])
        if same and told and before and not told & before and "gpus" not in told and first in PRONOUNS:
            joined[-1] = [*joined[-1], *numbers]
        else:
            joined.append(numbers)
    return joined


def _block(read: ReadProse, n: int) -> int:
    return read.prose.block(read.placed[n].figure.start)
