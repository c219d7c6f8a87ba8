"""Which quantity a figure is: its unit says what it can be, the nearest telling words in its sentence which of those it is.

Every rule is a line of ``words.RULES``: a unit, a quantity, the words that point to it, and how far a figure may stand from
them. The cost of a rule is the distance to its nearest word (commas and other figures in between count extra) plus its
own base cost; the cheapest rule wins, and above ``DEAREST`` nothing is placed. A rule without words is what the unit means
where nothing else is said; then the placement is marked as such.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.quantities import QUANTITIES
from gpuhours.questions.checking.reading.counted import head_noun
from gpuhours.questions.checking.reading.neighbours import (
    a_share_of,
    before_a_plural,
    behind_a_batch,
    behind_a_name,
    beside_a_run,
    by_letter,
    by_symbol,
    each_device,
    for_an_amount,
    hourly,
    hours_of_a_bill,
    hours_of_clips,
    keeps_busy,
    nodes_times_devices,
    of_a_clock,
    of_a_device,
    of_a_length,
    of_an_instance,
    of_media,
    of_something,
    of_the_name_before,
    on_so_many,
    times_hours,
    to_a_node,
)
from gpuhours.questions.checking.reading.rates import by_rate, is_rate, unit_factor
from gpuhours.questions.checking.reading.tokens import Figure, Item
from gpuhours.questions.checking.reading.units import noun
from gpuhours.questions.checking.reading.words import RULES, Rule

DEAREST = 16.0
WINDOW = 80
"""Items to either side of a figure that can tell what it is: sentences are shorter, and the time stays linear in the text."""
SUBJECT_DISTANCE = 3.4
MOST_PER_SECOND = 1e20
"""FLOP/s that no machine does."""
HARMLESS = frozenset({"task", "dataset", "model", "run", "stage", "time", "language"})
"""``10 epochs per task`` are epochs; ``320,000 frames per GPU`` are no frames per clip."""


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


def place(items: Sequence[Item], index: int, first: int, last: int) -> Place | None:
    """The quantity of the figure at ``index``, judged by the items ``first`` to ``last`` of its sentence."""
    figure = items[index]
    assert isinstance(figure, Figure)
    told = by_rate(figure)
    if told == "tokens_per_second" and of_media(items, index):
        told = "setting"
    if told == "tokens_per_second" and each_device(items, index, first, last):
        told = "tokens_per_second_per_gpu"
    if told == "price" and "gpu" not in figure.per and of_an_instance(items, index, first):
        told = "node_price"
    if told == "flops_per_second_per_gpu" and a_share_of(items, index):
        told = "peak_flops"
    if told is None and (figure.unit, figure.per) == ("money", ("gpu",)) and hourly(items, index):
        told = "price"
    if told is not None:
        return Place(told, figure.text, 0.0) if _plausible(told, figure) else None
    if figure.per and not set(figure.per) <= HARMLESS and (figure.unit, figure.per) != ("byte", ("gpu",)):
        return None
    if figure.unit == "residue" and any(
        item.text.lower().startswith(("tokeni", "mer")) for item in items[index + 1 : index + 6]
    ):
        return None  # their tokens are longer
    media = figure.unit == "time" and (of_something(items, index) or of_a_length(items, index))
    unit, at = head_noun(items, index)
    first, last = max(first, index - WINDOW), min(last, index + WINDOW)
    window = Window(items[first:last])
    best: Place | None = None
    kinds = _unit_kinds(figure, unit, items, index)
    if "scaled" in kinds and not unit and not figure.hedges and index > first and behind_a_name(items, index):
        kinds = ("named",)
    if figure.scale and not figure.unit and of_the_name_before(items, index):
        return Place("parameters", "behind its name", 0.0)
    if unit == "" and not figure.unit and 1 < figure.value <= 16 and to_a_node(items, index):
        return Place("gpus_per_node", "to a node", 0.0)
    if figure.scale and figure.unit in ("", "token") and (symbol := by_symbol(items, index)):
        return Place(symbol, items[index - 2].text, 0.0)
    if not figure.unit and not figure.scale and (letter := by_letter(items, index)):
        return Place(letter, items[index - 2].text, 0.0)
    if not figure.unit and not figure.scale and index > first and items[index - 1].text.lower() == "epoch":
        return Place("partial", "epoch", 0.0)  # the best one was epoch 291
    if not figure.unit and not figure.per and nodes_times_devices(items, index):
        return Place("gpus", "nodes x devices", 0.0)
    if not figure.unit and not figure.scale and not figure.joined and on_so_many(items, index):
        return Place("gpus", "on so many", 0.5)
    timed = figure.unit == "gpu_time" or (figure.unit == "time" and not figure.word.lower().startswith("time"))
    planned = timed and keeps_busy(items, index, first)
    if planned and figure.unit == "time":
        return Place("count", "for one trillion", 0.0)
    if figure.unit == "gpu_time" and (planned or for_an_amount(items, index, last)):
        return Place("gpu_hours_per_trillion_tokens", "for the same trillion", 0.0)
    if figure.unit in ("flop/s", "flop") and is_rate(figure) and each_device(items, index, first, last):
        best = Place("flops_per_second_per_gpu", "each", 0.1)
    if figure.unit == "time" and (billed := hours_of_a_bill(items, index)):
        return Place(billed, "times a power", 0.0)
    if figure.unit == "time" and (film := hours_of_clips(items, index)):
        return Place(film, "hours of clips", 0.0)
    one_device = figure.unit == "time" and (each_device(items, index, first, last) or of_a_clock(items, index))
    calm = any(item.text.lower() in ("without", "no") for item in items[index + 1 : index + 4])
    if figure.unit == "byte" and of_a_device(items, index):
        best = Place("memory_per_gpu", items[index - 1].text, 0.2)
    for kind in kinds:
        for rule in _rules(kind):
            if calm and rule.quantity == "downtime":
                continue
            if (
                not _plausible(rule.quantity, figure)
                or (media and rule.quantity == "wall_clock")
                or (one_device and rule.quantity == "gpu_hours")
            ):
                continue
            cost, because = _cost(rule, window, index - first, at - first)
            if cost <= DEAREST and (best is None or cost < best.cost):
                best = Place(rule.quantity, because, cost)
    if best is not None and best.quantity == "global_batch" and figure.scale in ("m", "million") and not unit:
        return replace(best, quantity="global_batch_tokens")  # nobody has two million sequences in a batch
    return best


def _unit_kinds(figure: Figure, unit: str, items: Sequence[Item] = (), index: int = 0) -> tuple[str, ...]:
    """The units a figure may be looked up under."""
    kinds = [unit]
    if figure.scale in ("b", "t", "billion", "trillion", "m", "million", "bn") and unit in ("", "model"):
        kinds.append("scaled")
    if figure.scale in ("m", "million", "k", "thousand") and unit == "":
        kinds.append("millions")
    if unit == "sequence" and figure.value <= 65_536:
        kinds = ["small_sequence", "sequence"]
    if unit == "time" and figure.word.lower()[:3] in ("day", "wee", "mon", "yea", "for"):
        kinds.append("calendar")
    if unit == "token" and figure.value <= 2e7 and {"up to", "at most", "no more than"} & set(figure.hedges):
        kinds.append("capped")
    if unit == "token" and figure.value <= 131_072 and not figure.per and behind_a_batch(items, index):
        kinds.append("short_token")
    if unit == "time" and figure.value < 3600:
        kinds.append("instant")
    if unit == "time" and figure.value >= 3600:
        kinds.append("hours")
        if figure.scale in ("k", "m", "thousand", "million"):
            kinds.append("many_hours")
        if beside_a_run(items, index):
            kinds.append("beside_a_run")
    if unit == "" and figure.value >= 500 and not figure.joined and before_a_plural(items, index):
        kinds.append("plural")
    if unit == "step" and index and items[index - 1].text.lower() == "every":
        kinds.append("every_step")
    if unit == "money" and times_hours(items, index):
        kinds = ["unit_price"]
    if unit == "time" and figure.joined and figure.value < 3600:
        kinds.append("short_time")
    if unit == "time" and figure.text.lower().rstrip("s").endswith("time"):
        kinds = ["time_word"]
    if unit in ("dims", "pixel") and (not figure.sides or min(figure.sides[-2:]) >= 64):
        kinds = [unit, "picture"]
    if unit == "" and 0 < figure.value < 1:
        kinds.append("small")
    if unit == "" and figure.text[-1:] in "x×":
        kinds = ["ratio"]
    if unit == "flop/s" and figure.value > MOST_PER_SECOND:
        return ("flop",)  # training FLOPS: 9.3e22
    if unit == "flop" and is_rate(figure):
        kinds = ["flop/s"]
    if kinds[0] == "flop/s":
        if a_share_of(items, index):
            kinds.append("of_which")
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


class Window:
    """The words around a figure, each where it stands: looked up by every rule."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items
        self.spelled: list[str] = []
        self.at: list[int] = []
        self.starts: dict[str, list[int]] = {}
        self.joined: list[tuple[int, str]] = []
        for place, item in enumerate(items):
            for part in _spelled(item.words):
                self.starts.setdefault(part, []).append(len(self.spelled))
                self.spelled.append(part)
                self.at.append(place)
            self.joined += [(place, whole.replace("-", "")) for whole in item.words if "-" in whole]

    def matches(self, words: tuple[str, ...]) -> list[tuple[int, str]]:
        """Where each of ``words`` stands; a word of several parts may be joined by hyphens (``tensor-model parallelism``)."""
        found = []
        for word in words:
            parts = _spelled_parts(word)
            for start in self.starts.get(parts[0], ()):
                if len(parts) == 1 or self.spelled[start : start + len(parts)] == parts:
                    found.append((self.at[start], word))
        return found + [(place, whole) for place, whole in self.joined if whole in words]


def _cost(rule: Rule, window: Window, index: int, at: int) -> tuple[float, str]:
    """Distance to the nearest of the rule's words, and which it was."""
    if not rule.words:
        return rule.base, ""
    best, because, items = DEAREST + 1, "", window.items
    for position, word in window.matches(rule.words):
        length = word.count(" ")
        if position <= index <= position + length and position != index:
            distance = 0.0
        elif position + length < index:
            distance = float(index - position - length - 1) + _crossings(items, position + length + 1, index)
            distance += ANOTHERS * (
                _taken(items[:index], position + length + 1)
                or _between_count_and_noun(items, position, position + length, index)
            )
        elif position > index:
            distance = 0.4 * max(0, min(position, at) - index - 1) + 1.25 * max(0, position - at - 1)
            distance += 0.4 + _crossings(items, max(at, index) + 1, position)
            distance += ANOTHERS * (_taken(items, position + length + 1) or _in_its_bracket(items, index, position))
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


ANOTHERS = 6.0
"""What it costs to take a word that stands directly before another bare figure."""


def _between_count_and_noun(items: Sequence[Item], first: int, last: int, index: int) -> bool:
    """``500 warm-up steps, 5,000 steps``: a word inside what another figure counts is that figure's."""
    counter = items[first - 1] if first else None
    if not isinstance(counter, Figure) or counter.unit or last + 2 >= index:
        return False
    behind = items[last + 1]
    return behind.kind == "word" and noun(behind.text.lower()) in ("step", "epoch", "token")


def _taken(items: Sequence[Item], behind: int) -> bool:
    """``1.9M triplets (batch 1,024)``: the word is the next figure's."""
    for _ in range(2):
        behind += behind < len(items) and items[behind].text.lower() in (":", "=", "of", "size")
    item = items[behind] if behind < len(items) else None
    return isinstance(item, Figure) and not item.unit and not item.scale


def _in_its_bracket(items: Sequence[Item], index: int, position: int) -> bool:
    """``2.4B (the base had seen 4T)``: words in a bracket behind a figure that holds a figure of its own."""
    opened = next((at for at in range(index + 1, position) if items[at].text == "("), None)
    if opened is None or any(item.text == ")" for item in items[opened:position]):
        return False
    for item in items[opened + 1 : opened + 24]:
        if item.text == ")":
            return False
        if isinstance(item, Figure):
            return True
    return False


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
def _spelled(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words of an item, without their plural, taken apart at hyphens."""
    return tuple(_singular(part) for whole in words for part in _parts(whole))


@functools.cache
def _spelled_parts(word: str) -> list[str]:
    """A rule's word in its parts."""
    return [_singular(part) for part in word.split()]


def _singular(word: str) -> str:
    """``checkpoints`` and ``checkpoint`` are one word; ``loss`` is none, and what lasts is not last."""
    if word == "lasts":
        return word
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _parts(word: str) -> list[str]:
    return [part for part in word.replace("-", " ").split() if part] or [word]
