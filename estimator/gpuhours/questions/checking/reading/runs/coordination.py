"""Figures in lists, each for one of the runs that the text lists beside them: ``L-B and L-L ran on 16 and 32 cards for 3 and 5 days``.

A list of as many figures as there are runs is told in the order of the runs: those its sentence names before it, else those that a pronoun
of the sentence takes from the ones before, else all of them. Where no run is named, lists that the text ties together make the runs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from gpuhours.questions.checking.reading.naming.cast import Cast, Owner
from gpuhours.questions.checking.reading.naming.names import mentions, words_of
from gpuhours.questions.checking.reading.ownership.references import references
from gpuhours.questions.checking.reading.runs.parts import value_of
from gpuhours.questions.checking.reading.sentences.placed import Placed, ReadProse
from gpuhours.questions.checking.reading.vocabulary.run_words import ALL_OF_THEM, IN_ORDER, VARIANTS, holds, phrases_of

LIST_WORDS = frozenset([",", "and", "or", "/"])
ROUNDED = 0.003
"""The relative difference between a sum and its parts that rounding explains."""
NOT_A_RUNS = frozenset(["count", "change", "score", "year", "partial", "setting"])
"""Numbers that are no run's."""
GROUPS = frozenset(phrases_of("these, they, both, two, respectively, which, it, each"))
"""Words that take up several runs named before."""


def by_coordination(read: ReadProse, owners: list[Owner], cast: Cast) -> list[Owner]:
    """The owners, where each figure of a list belongs to one of as many runs, named or made by the lists."""
    return distributed(read, owners, cast) if len(cast.own) > 1 else with_lists(read, owners, cast)


def distributed(read: ReadProse, owners: list[Owner], cast: Cast) -> list[Owner]:
    """The owners, where each figure of a list belongs to one of as many runs that the text names."""
    if len(cast.own) < 2:
        return owners
    owners = list(owners)
    said = _said(read, cast)
    for found in _lists_of_figures(read).values():
        for run in found:
            for n, name in zip(run, _runs_of_a_list(read, run, said, cast), strict=False):
                if owners[n].kind not in ("other", "side"):
                    owners[n] = Owner("own", name)
    for sizes in _sizes_together(read, owners):
        for n, name in zip(sizes, cast.own, strict=False) if len(sizes) == len(cast.own) else ():
            owners[n] = Owner("own", name)
    return owners


def _sizes_together(read: ReadProse, owners: Sequence[Owner]) -> list[list[int]]:
    """``a small one with 150M parameters and a large one with 428M``: the sizes of nobody that one sentence gives."""
    found: dict[int, list[int]] = {}
    for n, entry in enumerate(read.placed):
        if entry.place.quantity == "parameters":
            found.setdefault(id(entry.sentence), []).append(n)
    return [sizes for sizes in found.values() if all(owners[n].kind == "" for n in sizes)]


def _said(read: ReadProse, cast: Cast) -> list[tuple[int, str]]:
    """Where the prose names an own run or stands for one, in order."""
    names = ((m.first, cast.run(m.shown)) for m in mentions(read.items, 0, len(read.items), [*cast.own, *cast.others]))
    sizes = (
        (entry.index, cast.by_size(value_of(entry))) for entry in read.placed if entry.place.quantity == "parameters"
    )
    named = ((at, name) for at, name in (*names, *sizes) if name is not None)
    return sorted([*named, *references(read, cast).items()])


def _runs_of_a_list(read: ReadProse, run: Sequence[int], said: Sequence[tuple[int, str]], cast: Cast) -> list[str]:
    """The runs that a list of figures is told of, in its order; empty unless there are as many."""
    first = read.placed[run[0]]
    if first.place.quantity in NOT_A_RUNS:
        return []
    end = bisect_left(said, (first.index, ""))
    here = list(dict.fromkeys(name for _, name in said[bisect_left(said, (first.sentence.first, "")) : end]))
    if here:
        return here if len(here) == len(run) else []
    if len(run) == len(cast.own):
        return cast.own
    words = {item.text.lower() for item in read.items[first.sentence.first : first.index]}
    block = read.prose.block(first.figure.start)
    last: list[str] = []
    for at, name in reversed(said[max(end - FAR, 0) : end]):
        if read.prose.block(read.items[at].start) != block or len(last) == len(run):
            break
        last = last if name in last else [name, *last]
    return last if words & GROUPS and len(last) == len(run) else []


FAR = 24
"""The most names before a list that its pronoun may take up."""


def with_lists(read: ReadProse, owners: list[Owner], cast: Cast) -> list[Owner]:
    """``60.1, 50.2 and 44.4 seconds, in this order``: combines lists of equal length into runs."""
    for block, found in _lists_of_figures(read).items():
        text = read.prose.blocks[block].text.lower()
        in_order = holds(text, IN_ORDER)
        if not in_order and ALL_OF_THEM.search(text):
            found = [run for run in found if len(run) == len(cast.own)]
        elif not in_order:
            continue
        if not found:
            continue
        length = max((len(run) for run in found), key=lambda size: sum(len(run) == size for run in found))
        zipped = [run for run in found if len(run) == length]
        named = [name for name in cast.own if all(word in text for word in words_of(name))] if in_order else cast.own
        if len(named) != length == len(cast.own) and ALL_OF_THEM.search(text):
            named = cast.own  # the three stages, respectively
        names = (
            named
            if len(named) == length
            else [
                read.placed[n].text if not read.placed[n].figure.word else _counted(read.placed[n]) for n in zipped[0]
            ]
        )
        if len(named) != length and (listed := _listed_names(read, read.placed[zipped[0][0]].index, length)):
            named = names = listed
        if len(zipped) < 2 and len(named) != length:
            continue
        for run in zipped:
            for n, name in zip(run, names, strict=True):
                owners[n] = Owner("own", name)
        cast.own += [name for name in names if name not in cast.own]
    return owners


def _lists_of_figures(read: ReadProse) -> dict[int, list[list[int]]]:
    """Lists of figures with the same quantity, by block."""
    lists: dict[int, list[list[int]]] = {}
    at = 0
    while at < len(read.placed):
        run = [at]
        while run[-1] + 1 < len(read.placed) and _goes_on(read, run[-1]):
            run.append(run[-1] + 1)
        if len(run) > 1:
            listed = run[:-1] if _ends_with_its_sum(read, run) else run
            lists.setdefault(read.prose.block(read.placed[at].figure.start), []).append(listed)
        at = run[-1] + 1
    return lists


def _ends_with_its_sum(read: ReadProse, run: Sequence[int]) -> bool:
    """``5.7k, 11.4k and 25.3k GPU-hours, 42.4k altogether``: whether the last of a list is what the others add up to."""
    last = read.placed[run[-1]]
    near = {item.text.lower() for item in read.items[last.index - 1 : last.index + 4]}
    if not near & {"altogether", "total", "together", "sum", "combined", "overall", "all"}:
        return False  # on 32, 64 and 96 GPUs
    *parts, whole = [value_of(read.placed[n]) for n in run]
    return len(parts) > 1 and abs(sum(parts) / whole - 1) < ROUNDED if whole else False


def lists_in_order(read: ReadProse) -> Iterator[list[Placed]]:
    """Lists of a block that has another list of the same length and a word such as ``respectively``."""
    for block, found in _lists_of_figures(read).items():
        lengths = [len(run) for run in found]
        if holds(read.prose.blocks[block].text.lower(), IN_ORDER):
            yield from ([read.placed[n] for n in run] for run in found if lengths.count(len(run)) > 1)


def _listed_names(read: ReadProse, index: int, length: int) -> list[str]:
    """``the small, base and large ones ... 2, 4 and 11 days, respectively``: the size words; empty if not as many as the figures."""
    words: list[str] = []
    last = index
    for at in range(max(index - 40, 0), index):
        word = read.items[at].text.lower()
        if word in VARIANTS:
            words = [*words, read.items[at].text] if at - last <= 3 else [read.items[at].text]
            last = at
    return words if len(words) == length else []


def _counted(entry: Placed) -> str:
    return f"{entry.figure.digits} {entry.figure.word}"


def _goes_on(read: ReadProse, at: int) -> bool:
    """Whether the next placed figure continues a list of the same quantity."""
    one, two = read.placed[at], read.placed[at + 1]
    between = [item.text.lower() for item in read.items[one.index + 1 : two.index]]
    alike = one.place.quantity == two.place.quantity and one.sentence is two.sentence
    return alike and 0 < len(between) <= 2 and all(word in LIST_WORDS for word in between)
