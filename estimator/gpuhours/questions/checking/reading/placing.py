"""Which quantity a figure is: its unit says what it can be, the nearest telling words in its sentence which of those it is.

Every rule is a line of ``words.RULES``: a unit, a quantity, the words that point to it, and how far a figure may stand from
them. The cost of a rule is the distance to its nearest word (commas and other figures in between count extra) plus its
own base cost; the cheapest rule wins, and above ``DEAREST`` nothing is placed. A rule without words is what the unit means
where nothing else is said; then the placement is marked as such.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from gpuhours.questions.checking.quantities import QUANTITIES
from gpuhours.questions.checking.reading.neighbours import (
    HOP_STOPS,
    behind_a_name,
    each_device,
    for_an_amount,
    of_a_device,
    of_media,
    of_something,
)
from gpuhours.questions.checking.reading.rates import by_rate, is_rate, unit_factor
from gpuhours.questions.checking.reading.tokens import Figure, Item
from gpuhours.questions.checking.reading.units import noun
from gpuhours.questions.checking.reading.words import RULES, Rule

DEAREST = 16.0
WINDOW = 80
"""Items to either side of a figure that can tell what it is: sentences are shorter, and the time stays linear in the text."""
SUBJECT_DISTANCE = 3.4
HARMLESS = frozenset({"task", "dataset", "model", "run", "stage", "time", "language"})
"""``10 epochs per task`` are epochs; ``320,000 frames per GPU`` are no frames per clip."""
THING_UNITS = frozenset(
    [
        "token",
        "parameter",
        "sample",
        "step",
        "epoch",
        "frame",
        "layer",
        "head",
        "expert",
        "node",
        "patch",
        "query",
        "stage",
        "replica",
        "worker",
        "rank",
        "model",
        "task",
        "dataset",
        "language",
        "time",
        "word",
        "pod",
        "benchmark",
        "shot",
        "fold",
        "dimensional",
        "bit",
    ]
)


@dataclass(frozen=True)
class Place:
    """Where a figure goes, what said so, and at what distance."""

    quantity: str
    because: str
    cost: float

    @property
    def by_default(self) -> bool:
        """Nothing but the unit spoke for it."""
        return self.because == ""


@functools.cache
def _rules(unit: str) -> tuple[Rule, ...]:
    return tuple(rule for rule in RULES if unit in rule.units)


def head_noun(items: Sequence[Item], index: int) -> tuple[str, int]:
    """The counted thing behind a figure (``150 million high-quality video-text pairs``) and where it stands."""
    figure = items[index]
    assert isinstance(figure, Figure)
    best, at = (figure.unit, index) if figure.unit in THING_UNITS else ("", index)
    if figure.joined and figure.unit:
        return figure.unit, index
    if figure.unit and figure.unit not in THING_UNITS and not (figure.unit == "gpu" and figure.device):
        return figure.unit, index
    if figure.per:
        return figure.unit, index
    if not figure.unit and not figure.joined and (listed := _unit_of_the_list(items, index)):
        return listed, index
    hopped = 0
    for position in range(index + 1, min(index + 7, len(items))):
        item = items[position]
        lowered = item.text.lower().strip()
        if (
            position + 2 < len(items)
            and items[position + 1].text == "by"
            and items[position + 2].text.lower() == lowered
        ):
            break  # token by token
        if item.kind == "mark" and item.text in "-–":
            continue
        if item.kind != "word" or lowered in HOP_STOPS:
            break
        name = noun(lowered)
        if name == "node" and figure.unit == "gpu" and not lowered.endswith("s"):
            break  # an 8xH100 node
        if name == "gpu" or (name not in THING_UNITS and name not in ("sequence", "dimension", "gpu")):
            hopped += 1
            if best or hopped > 4:
                break
            continue
        best, at = name, position
        hopped = 0
    return best or figure.unit, at


def _unit_of_the_list(items: Sequence[Item], index: int) -> str:
    """``310 million, 80 million and 15 million clips``: the last of a list names what all count."""
    for item in items[index + 1 : index + 8]:
        if isinstance(item, Figure):
            if item.unit:
                return item.unit if item.unit in THING_UNITS and item.scale else ""
        elif item.text.lower() not in (",", "and", "or"):
            return ""
    return ""


def place(items: Sequence[Item], index: int, first: int, last: int) -> Place | None:
    """The quantity of the figure at ``index``, judged by the items ``first`` to ``last`` of its sentence."""
    figure = items[index]
    assert isinstance(figure, Figure)
    told = by_rate(figure)
    if told == "tokens_per_second" and of_media(items, index):
        told = "setting"
    if told == "tokens_per_second" and each_device(items, index, first, last):
        told = "tokens_per_second_per_gpu"
    if told is not None:
        return Place(told, figure.text, 0.0) if _plausible(told, figure) else None
    if figure.per and not set(figure.per) <= HARMLESS and (figure.unit, figure.per) != ("byte", ("gpu",)):
        return None
    media = figure.unit == "time" and of_something(items, index)
    unit, at = head_noun(items, index)
    first, last = max(first, index - WINDOW), min(last, index + WINDOW)
    stems = _stems(tuple(items[first:last]))
    best: Place | None = None
    kinds = _unit_kinds(figure, unit)
    if "scaled" in kinds and not unit and not figure.hedges and index > first and behind_a_name(items, index):
        kinds = ("named",)
    if figure.unit == "gpu_time" and for_an_amount(items, index, last):
        return Place("gpu_hours_per_trillion_tokens", "for the same trillion", 0.0)
    if figure.unit in ("flop/s", "flop") and is_rate(figure) and each_device(items, index, first, last):
        best = Place("flops_per_second_per_gpu", "each", 0.1)
    calm = any(item.text.lower() in ("without", "no") for item in items[index + 1 : index + 4])
    if figure.unit == "byte" and of_a_device(items, index):
        best = Place("memory_per_gpu", items[index - 1].text, 0.2)
    for kind in kinds:
        for rule in _rules(kind):
            if calm and rule.quantity == "downtime":
                continue
            if not _plausible(rule.quantity, figure) or (media and rule.quantity == "wall_clock"):
                continue
            cost, because = _cost(rule, stems, index - first, at - first, items[first:last])
            if cost <= DEAREST and (best is None or cost < best.cost):
                best = Place(rule.quantity, because, cost)
    return best


def _unit_kinds(figure: Figure, unit: str) -> tuple[str, ...]:
    """The units a figure may be looked up under."""
    kinds = [unit]
    if figure.scale in ("b", "t", "billion", "trillion", "m", "million", "bn") and unit in ("", "model"):
        kinds.append("scaled")
    if figure.scale in ("m", "million", "k", "thousand") and unit == "":
        kinds.append("millions")
    if unit == "sequence" and figure.value <= 65_536:
        kinds = ["small_sequence", "sequence"]
    if unit == "time" and figure.word.lower()[:3] in ("day", "wee", "mon", "yea"):
        kinds.append("calendar")
    if unit == "time" and figure.joined and figure.value < 3600:
        kinds.append("short_time")
    if unit == "time" and figure.text.lower().rstrip("s").endswith("time"):
        kinds = ["time_word"]
    if unit in ("dims", "pixel") and (not figure.sides or min(figure.sides[-2:]) >= 64):
        kinds = [unit, "picture"]
    if unit == "" and figure.text[-1:] in "x×":
        kinds = ["ratio"]
    if unit == "flop" and is_rate(figure):
        kinds = ["flop/s"]
    if kinds[0] == "flop/s":
        kinds.append("small_rate" if figure.value < 5e15 else "large_rate")
    if unit == "power" and figure.value > 5000:
        kinds = ["large_power"]
    if unit == "" and 1990 <= figure.value <= 2035 and len(figure.digits) == 4 and figure.text.strip().isdigit():
        kinds.append("year")
    return tuple(kinds)


def accepts(quantity: str, figure: Figure) -> bool:
    """Whether a figure with this unit can be that quantity at all; a bare number can."""
    if by_rate(figure) == quantity or (not figure.unit and not figure.per):
        return True
    kinds = set(_unit_kinds(figure, figure.unit)) | ({"sample", "sequence"} & {figure.unit})
    return not figure.per and any(rule.quantity == quantity and rule.units & kinds for rule in RULES)


def _plausible(quantity: str, figure: Figure) -> bool:
    entry = QUANTITIES[quantity]
    value = figure.value * unit_factor(quantity, figure)
    return entry.least <= value <= entry.most and (value == round(value) or not entry.whole)


Stems = tuple[tuple[str, ...], ...]


@functools.lru_cache(maxsize=64)
def _stems(items: tuple[Item, ...]) -> Stems:
    """The words of each item, lower-case; ``warm-up`` also as ``warmup`` and as ``warm up``."""
    return tuple(_words(item) for item in items)


def _words(item: Item) -> tuple[str, ...]:
    if isinstance(item, Figure):
        return ("#", *item.word.lower().split(), *(("per", *item.per) if item.per else ()))
    return tuple(item.text.lower().replace("’", "'").split())


def _cost(rule: Rule, stems: Stems, index: int, at: int, items: Sequence[Item]) -> tuple[float, str]:
    """Distance to the nearest of the rule's words, and which it was."""
    if not rule.words:
        return rule.base, ""
    best, because = DEAREST + 1, ""
    for position, word in _matches(rule.words, stems):
        length = word.count(" ")
        if position <= index <= position + length and position != index:
            distance = 0.0
        elif position + length < index:
            distance = float(index - position - length - 1) + _crossings(items, position + length + 1, index)
        elif position > index:
            distance = 0.4 * max(0, min(position, at) - index - 1) + 1.25 * max(0, position - at - 1)
            distance += 0.4 + _crossings(items, max(at, index) + 1, position)
        else:
            distance = 0.0
        if rule.before and position > index:
            continue
        if rule.subject and position <= 3:
            distance = min(distance, SUBJECT_DISTANCE)
        cost = distance + rule.base - 0.15 * length
        if distance <= rule.reach and cost < best:
            best, because = cost, word
    return best, because


def _crossings(items: Sequence[Item], first: int, last: int) -> float:
    """What stands between: a comma or an ``and`` starts another thought, another figure has its own words."""
    cost = 0.0
    for item in items[first:last]:
        if item.kind == "figure":
            cost += 2.5
        elif item.kind == "mark":
            cost += 2.0 if item.text == "," else 0.3
        elif item.text.lower() in ("and", "followed", "with", "while", "whereas", "alongside", "then"):
            cost += 2.5
    return cost


@functools.lru_cache(maxsize=4096)
def _matches(words: tuple[str, ...], stems: Stems) -> tuple[tuple[int, str], ...]:
    """Where each of ``words`` stands; a word of several parts may be joined by hyphens (``tensor-model parallelism``)."""
    found = []
    flat = [(_singular(part), i) for i, parts in enumerate(stems) for whole in parts for part in _parts(whole)]
    spelled = [part for part, _ in flat]
    for word in words:
        parts = [_singular(part) for part in word.split()]
        for start in range(len(spelled) - len(parts) + 1):
            if spelled[start : start + len(parts)] == parts:
                found.append((flat[start][1], word))
    joined = [(i, whole.replace("-", "")) for i, parts in enumerate(stems) for whole in parts if "-" in whole]
    found += [(i, whole) for i, whole in joined if whole in words]
    return tuple(found)


def _singular(word: str) -> str:
    """``checkpoints`` and ``checkpoint`` are one word; ``loss`` is none."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _parts(word: str) -> list[str]:
    return [part for part in word.replace("-", " ").split() if part] or [word]
