"""Parts of a text that are separate runs: list items or sections that differ, lists "in this order".

If two items give different values for something a run has only once (hours, steps, energy), they are two runs. The same holds for lists of
equal length that the text ties together; ``jobs`` does it for sentences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from gpuhours.questions.checking.reading.formats.blocks import RUN_IN_LEVEL
from gpuhours.questions.checking.reading.naming.cast import NOBODY, Cast, Owner
from gpuhours.questions.checking.reading.quantities.rates import unit_factor
from gpuhours.questions.checking.reading.runs.groups import is_label, is_quantity, is_topic, item_name, lists, sections
from gpuhours.questions.checking.reading.sentences.placed import Placed, ReadProse
from gpuhours.questions.checking.reading.vocabulary.run_words import (
    STAGES,
    about_something_else,
    is_total,
)

CLASHING = frozenset(
    ["gpus", "global_batch", "gpu_hours", "wall_clock", "steps", "energy", "carbon", "tokens", "cost", "samples"]
)
"""Quantities that a run has only once: two list items with different values are two runs."""
ADDED = ("gpu_hours", "energy", "carbon", "cost", "wall_clock", "steps", "tokens", "node_hours", "gpus", "samples")
"""Quantities that can be summed over runs."""
PARTIAL = {"token": "tokens", "step": "steps"}
"""What ``the last 50B tokens`` means in the description of a stage."""
Listing = tuple[Sequence[Sequence[int]], Callable[[int], str]]
"""The blocks of each item of a list, and a function from an item's first block to its name."""


def value_of(entry: Placed) -> float:
    """A figure's value in the unit of its quantity."""
    return entry.figure.value * unit_factor(entry.place.quantity, entry.figure)


def by_items(read: ReadProse, owners: list[Owner], cast: Cast) -> list[Owner]:
    """Makes items of a list, or sections, separate runs if they give different values for something a run has only once."""
    blocks = read.prose.blocks
    inside: dict[int, list[int]] = {}
    for number, entry in enumerate(read.placed):
        inside.setdefault(read.prose.block(entry.figure.start), []).append(number)
    for group, name_of in (*lists(blocks), *sections(blocks, RUN_IN_LEVEL)):
        pipeline = sum(any(word in name_of(part[0]).lower() for word in ADAPTATIONS) for part in group) > 1
        numbers = [n for part in group for block in part for n in inside.get(block, [])]
        listed = blocks[group[0][0]].kind != "heading"
        if listed or pipeline:
            _adaptations(read, owners, numbers, pipeline=pipeline)
    held: dict[int, list[int]] = {}
    for number, entry in enumerate(read.placed):
        if owners[number].kind in ("", "total") and not entry.scope:
            held.setdefault(read.prose.block(entry.figure.start), []).append(number)
    for n, entry in enumerate(read.placed):
        if owners[n].kind == "total" and entry.place.quantity not in ADDED:
            owners[n] = NOBODY  # "28B parameters in total" are those of one model
    for group, name_of in lists(blocks):
        _catalogue(read, owners, (group, name_of), held, cast)
    for group, name_of in lists(blocks):
        for part in group:
            if beside := about_something_else(name_of(part[0])):
                for n in [n for block in part for n in held.get(block, [])]:
                    owners[n] = Owner("side", beside)
    for group, name_of in (*lists(blocks), *(sections(blocks) if len(cast.own) < 2 else ())):
        _separate(read, owners, (group, name_of), held, cast)
    return owners


def _separate(read: ReadProse, owners: list[Owner], listing: Listing, held: dict[int, list[int]], cast: Cast) -> None:
    """Makes the items of one list separate runs if they give different values for something a run has only once."""
    blocks, (group, name_of) = read.prose.blocks, listing
    _relabel(read, [block for part in group for block in part], held)
    parts = [(part, [n for block in part for n in held.get(block, []) if owners[n] == NOBODY]) for part in group]
    if all(is_topic(name_of(part[0])) for part in group):
        return
    labels = is_label if blocks[group[0][0]].kind == "item" else is_quantity
    clash = _clash(read, [numbers for part, numbers in parts if not labels(name_of(part[0]))])
    if not clash:
        return
    used: dict[str, int] = {}
    for part, numbers in parts:
        of_part = [n for block in part for n in held.get(block, []) if owners[n].kind == "total"]
        for n in of_part if blocks[part[0]].kind == "item" else []:
            if not is_total(read.items[read.placed[n].sentence.first].text):
                owners[n] = Owner("side", "a part of the run")  # a sum over some of the items
        if not any(read.placed[n].place.quantity in clash for n in numbers):
            continue
        name = name_of(part[0])
        used[name] = used.get(name, 0) + 1
        _name_part(read, owners, numbers, name if used[name] == 1 else f"{name} ({used[name]})", cast)


ADAPTATIONS = (
    "fine-tun", "finetun", "sft", "reward model", "rlhf", "ppo", "dpo", "grpo", "preference", "alignment",
    "instruction", "distill", "policy",
)  # fmt: skip
"""Parts of the headings of a pipeline that starts from a finished model; if two occur, the pipeline is what the text is about."""


def _adaptations(read: ReadProse, owners: list[Owner], inside: Sequence[int], *, pipeline: bool) -> None:
    """If most items of a list are fine-tuning, a reward model and the like, the list is about those, and they become its runs.

    ``inside``: the figures in the list's items; ``pipeline``: whether the items' names say that it is a pipeline.
    """
    jobs: dict[int, bool] = {}
    for n in inside:
        entry = read.placed[n]
        if entry.place.quantity in ("gpu_hours", "wall_clock", "steps"):
            beside = owners[n] == BESIDE or entry.scope == "fine-tuning"
            jobs[read.prose.block(entry.figure.start)] = beside
    if len(jobs) < 2 or (2 * sum(jobs.values()) < len(jobs) and not pipeline):
        return
    for n in inside:
        if owners[n] == BESIDE:
            owners[n] = NOBODY
        if read.placed[n].scope == "fine-tuning":
            read.placed[n] = replace(read.placed[n], scope="")


BESIDE = Owner("side", "adaptation")


def _catalogue(read: ReadProse, owners: list[Owner], listing: Listing, held: dict[int, list[int]], cast: Cast) -> None:
    """A list of the sizes in a family: makes each item that gives parameters a separate model."""
    group, name_of = listing
    sizes = [
        [
            n
            for block in part
            for n in held.get(block, [])
            if read.placed[n].place.quantity in ("parameters", "vision_parameters")
        ]
        for part in group
    ]
    if sum(bool(numbers) for numbers in sizes) < max(3, len(group) - 1):
        return
    for part, numbers in zip(group, sizes, strict=True):
        name = name_of(part[0])
        for n in [n for block in part for n in held.get(block, [])] if numbers else []:
            owners[n] = Owner("own", cast.run(name) or name)


def _relabel(read: ReadProse, group: Sequence[int], held: dict[int, list[int]]) -> None:
    """``Warm-up: 6k steps`` among items that count steps is a stage with that name, not the warm-up of the learning rate."""
    steps = [block for block in group if any(read.placed[n].place.quantity == "steps" for n in held.get(block, []))]
    if len(steps) < 2:
        return
    for block in group:
        label = item_name(read.prose.blocks[block].text).lower().replace("-", " ").replace(" ", "")
        for n in held.get(block, []):
            entry = read.placed[n]
            if entry.place.quantity == "warmup_steps" and label == entry.place.because.replace("-", "").replace(
                " ", ""
            ):
                read.placed[n] = replace(entry, place=replace(entry.place, quantity="steps"))


def _name_part(read: ReadProse, owners: list[Owner], numbers: Sequence[int], name: str, cast: Cast) -> None:
    """Makes the figures of one item a run; a second leg in it ("followed by 194k steps") becomes another run."""
    seen: dict[str, float] = {}
    leg = 1
    for n in numbers:
        entry = read.placed[n]
        quantity, value = entry.place.quantity, value_of(entry)
        if quantity == "partial" and entry.figure.unit in PARTIAL:
            read.placed[n] = entry = replace(entry, place=replace(entry.place, quantity=PARTIAL[entry.figure.unit]))
            quantity = entry.place.quantity
        if quantity in CLASHING and quantity in seen and not alike(seen[quantity], value):
            before = " ".join(item.text.lower() for item in read.items[max(entry.index - 6, 0) : entry.index])
            if "followed" in before or "then" in before or "another" in before:
                leg += 1
        seen[quantity] = value
        full = name if leg == 1 else f"{name}, leg {leg}"
        owners[n] = Owner("own", full)
        if full not in cast.own:
            cast.own.append(full)


def whole_of_a_stage(name: str, entries: list[Placed]) -> None:
    """``Stage 3: the last 20k steps``: part of the training, but all of a stage that gives no other count; changes ``entries``."""
    partial = [n for n, entry in enumerate(entries) if entry.place.quantity == "partial"]
    if len(partial) != 1 or not STAGES.match(name):
        return
    entry = entries[partial[0]]
    whole = PARTIAL.get(entry.figure.unit)
    if whole and all(other.place.quantity != whole for other in entries):
        entries[partial[0]] = replace(entry, place=replace(entry.place, quantity=whole))


def with_later_stages(entries: list[Placed]) -> list[Placed]:
    """Takes out and returns the sums of a run and its later stages: ``pre-training 10,000, post-training 500, in total 10,500``."""
    sums: list[Placed] = []
    for quantity in ADDED:
        told = [entry for entry in entries if entry.place.quantity == quantity]
        own = [value_of(entry) for entry in told if not entry.scope]
        for entry in told:
            later = sum(value_of(other) for other in told if other.scope == "fine-tuning" and other is not entry)
            if later and any(abs((value + later) / value_of(entry) - 1) < ROUNDED for value in own[:1]):
                sums.append(entry)
    entries[:] = [entry for entry in entries if not any(entry is one for one in sums)]
    return [replace(entry, scope="") for entry in sums]


ROUNDED = 0.003
"""The relative difference between a sum and its parts that rounding explains."""


def _clash(read: ReadProse, parts: Sequence[Sequence[int]]) -> set[str]:
    """The quantities for which two parts give different values."""
    clash = set()
    every = [n for numbers in parts for n in numbers]
    for quantity in CLASHING:
        values = [
            value_of(read.placed[n])
            for numbers in parts
            for n in numbers[:40]
            if read.placed[n].place.quantity == quantity and not _corpus_beside_seen(read, n, every)
        ]
        owners = sum(any(read.placed[n].place.quantity == quantity for n in numbers) for numbers in parts)
        if owners > 1 and any(not alike(values[0], value) for value in values):
            clash.add(quantity)
    return clash


CORPUS = frozenset(["corpus", "training on", "pretraining"])
SEEN = frozenset(["tokens seen", "seen", "consumed", "processed", "trained for", "saw", "sees"])


def _corpus_beside_seen(read: ReadProse, at: int, numbers: Sequence[int]) -> bool:
    """``Corpus: 48B tokens`` where one other item counts the tokens seen: whether both figures belong to one run."""
    entry = read.placed[at]
    if entry.place.quantity != "tokens" or entry.place.because not in CORPUS:
        return False
    others = [read.placed[n] for n in numbers if n != at and read.placed[n].place.quantity == "tokens"]
    return len(others) == 1 and others[0].place.because in SEEN


def alike(a: float, b: float) -> bool:
    """Whether two values are equal up to rounding."""
    return a == b or (a > 0 and b > 0 and abs(math.log(a / b)) < 0.03)
