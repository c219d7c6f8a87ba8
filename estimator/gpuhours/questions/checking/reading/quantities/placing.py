"""Decides a figure's quantity: its unit gives the candidates, and the nearest decisive words in its sentence choose one.

Every rule is a line of ``words.RULES``: a unit, a quantity, the words that point to it, and the largest distance from the figure. A rule
costs the distance to its nearest word (commas and other figures between them cost extra) plus its base cost. The cheapest rule wins; above
a cost of ``DEAREST`` nothing is placed. A rule without words gives the default meaning of a unit, and such a placement is marked as
default.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.quantities.adjacent import next_to_a_symbol, next_to_a_time, next_to_figures
from gpuhours.questions.checking.reading.quantities.counted import head_noun
from gpuhours.questions.checking.reading.quantities.distance import DEAREST, Window, cost_of
from gpuhours.questions.checking.reading.quantities.money import (
    DEAREST_HOUR,
    behind_a_price,
    behind_hours,
    hourly,
    of_a_node_hour,
    of_an_hour,
    of_an_instance,
    paid_to_people,
    times_hours,
)
from gpuhours.questions.checking.reading.quantities.neighbours import (
    before_a_plural,
    each_device,
    energy_before,
    is_a_year,
    of_a_clock,
    of_a_device,
    of_a_length,
    of_an_energy,
    of_media,
    of_parts,
    of_something,
)
from gpuhours.questions.checking.reading.quantities.peaks import a_share_of
from gpuhours.questions.checking.reading.quantities.per_step import length_of_sequences
from gpuhours.questions.checking.reading.quantities.place import Place, plausible
from gpuhours.questions.checking.reading.quantities.rates import by_rate, is_rate
from gpuhours.questions.checking.reading.quantities.relations import (
    behind_a_batch,
    counts_clips,
    next_to_a_run,
)
from gpuhours.questions.checking.reading.quantities.sizes_by_names import (
    behind_a_name,
    of_a_sized_run,
)
from gpuhours.questions.checking.reading.vocabulary.rules import Rule
from gpuhours.questions.checking.reading.vocabulary.words import RULES

WINDOW = 80
"""Items examined on each side of a figure: longer than real sentences, and it keeps the time linear in the text."""
LARGEST_DECAY = 0.5
"""A larger decay is that of a moving average."""
MOST_PER_SECOND = 1e20
"""No machine reaches this many FLOP/s."""
FEWEST_CLIPS = 100
OPTIMISER = frozenset(
    ["learning_rate", "final_learning_rate", "weight_decay", "momentum", "dropout", "beta1", "beta2", "epsilon"]
)
"""Quantities that are never spelled out as a word."""
WRITTEN_IN_FULL, LARGEST_IN_MILLIONS = 1e6, 1e9
"""From the first on, a number without a scale is read like one with ``M`` or ``B``; below the second like one with ``M``."""
AUDIO = frozenset(["audio", "speech"])
"""Beside these words, hours are hours of audio, even if it is taken from videos."""
LARGEST_RATE = 0.02
HARMLESS = frozenset({"task", "dataset", "model", "run", "stage", "time", "language"})
"""``10 epochs per task`` are epochs; ``320,000 frames per GPU`` are not frames per clip."""

COUNTED_PER = (("byte", ("gpu",)), ("parameter", ("token",)))
"""Units with what they are per that words decide: ``14B parameters per token`` are the active ones."""


@functools.cache
def _rules(unit: str) -> tuple[Rule, ...]:
    return tuple(rule for rule in RULES if unit in rule.units)


def place(items: Sequence[Item], index: int, first: int, last: int) -> Place | None:
    """The quantity of the figure at ``index``, from items ``first`` to ``last`` of its sentence; None if nothing decides it."""
    figure = items[index]
    assert isinstance(figure, Figure)
    told = _rate(items, index, first, last)
    if told == "carbon_intensity" and not figure.per and energy_before(items, index) == "mwh":
        figure = replace(figure, per=("mwh",))
    if told is not None:
        return Place(told, figure.text, 0.0) if plausible(told, figure) else None
    if figure.per and not set(figure.per) <= HARMLESS and (figure.unit, figure.per) not in COUNTED_PER:
        return None
    if figure.unit == "residue" and any(
        item.text.lower().startswith(("tokeni", "mer")) for item in items[index + 1 : index + 6]
    ):
        return None  # tokens that are longer than a residue
    sized = not figure.unit and of_a_sized_run(items, index)
    unit, at = ("", index) if sized else head_noun(items, index)
    first, last = max(first, index - WINDOW), min(last, index + WINDOW)
    settled = (
        next_to_a_symbol(items, index, unit, first)
        or next_to_figures(items, index, unit, at)
        or next_to_a_time(items, index, first, last)
    )
    decided = settled or _by_words(items, index, unit, at, first, last)
    if decided is not None and decided.quantity == "parameters" and figure.per == ("token",):
        return replace(decided, quantity="active_parameters")
    return decided


def _rate(items: Sequence[Item], index: int, first: int, last: int) -> str | None:
    """The quantity of a rate: of one device, one node or the whole machine, from the words beside it; None if the unit decides nothing."""
    figure = items[index]
    assert isinstance(figure, Figure)
    told = by_rate(figure)
    if told == "global_batch_tokens" and length_of_sequences(items, index):
        return "seq_len"
    if told == "tokens_per_second" and of_media(items, index):
        return "setting"
    if told == "tokens_per_second" and each_device(items, index, first, last):
        return "tokens_per_second_per_gpu"
    if told == "price" and "gpu" not in figure.per and paid_to_people(items, index, first, last):
        return "count"
    if told == "price" and "gpu" not in figure.per and of_an_instance(items, index, first):
        return "node_price"
    if told == "flops_per_second_per_gpu" and a_share_of(items, index):
        return "peak_flops"
    if told is None and (figure.unit, figure.per) == ("money", ("gpu",)) and hourly(items, index):
        return "price"
    if told is None and figure.unit == "money" and not figure.per and of_a_node_hour(items, index):
        return "node_price"
    if told is None and figure.unit == "money" and not figure.per and of_an_hour(items, index):
        return "price"
    if told is None and figure.unit == "co2" and not figure.per and of_an_energy(items, index):
        return "carbon_intensity"
    return told


def _by_words(items: Sequence[Item], index: int, unit: str, at: int, first: int, last: int) -> Place | None:
    """The place from the cheapest rule for the figure's unit; None if no rule applies."""
    figure = items[index]
    assert isinstance(figure, Figure)
    best: Place | None = None
    kinds = _unit_kinds(figure, unit, items, index)
    if "scaled" in kinds and not unit and not figure.hedges and index > first and behind_a_name(items, index):
        kinds = ("named",)
    if "scaled" in kinds and not unit and of_a_sized_run(items, index):
        kinds = ("named",)
    if figure.unit in ("flop/s", "flop") and is_rate(figure) and each_device(items, index, first, last):
        best = Place("flops_per_second_per_gpu", "each", 0.1)
    if figure.unit == "byte" and of_a_device(items, index):
        best = Place("memory_per_gpu", items[index - 1].text, 0.2)
    behind = items[index + 1 : index + 4]
    if [item.text.lower() for item in behind[:2]] == ["of", "which"] and isinstance(behind[-1], Figure):
        last = index + 1  # 38 days of which 4 were lost
    if not unit and index > first + 1 and items[index - 1].text == "=" and items[index - 2].kind == "word":
        last = index + 1  # lr=3e-4 betas=(0.9, 0.95)
    barred = _barred(items, index, first, last)
    window = Window(items[first:last])
    for kind in kinds:
        for rule in _rules(kind):
            if rule.words and window.lacks(rule.words):
                continue
            if rule.quantity in barred or not plausible(rule.quantity, figure):
                continue
            cost, because = cost_of(rule, window, index - first, at - first)
            if cost <= DEAREST and (best is None or cost < best.cost):
                best = Place(rule.quantity, because, cost)
    if (
        best is not None
        and best.quantity == "video_hours"
        and AUDIO & {item.text.lower() for item in items[first:last]}
    ):
        return replace(best, quantity="audio_hours")
    if best is not None and best.quantity == "global_batch" and figure.scale in ("m", "million") and not unit:
        return replace(best, quantity="global_batch_tokens")  # no batch has two million sequences
    return best


def _barred(items: Sequence[Item], index: int, first: int, last: int) -> frozenset[str]:
    """Quantities that a figure cannot have, whatever words surround it."""
    barred = set()
    around = [*items[max(index - 5, first) : index], *items[index + 1 : index + 4]]
    if any(item.text.lower() in ("without", "no") for item in around):
        barred.add("downtime")  # no restarts for the last 11 days
        if getattr(items[index], "unit", "") == "time":
            barred.add("count")  # 71 hours without interruption
    worth = items[index - 1].text.lower() == "worth" and behind_hours(items, index)  # 30,208 GPU-hours, worth $48,333
    if getattr(items[index], "unit", "") == "money" and (worth or behind_a_price(items, index)):
        barred.add("count")
    if items[index].text.isalpha():
        barred |= OPTIMISER
    if _counts_a_model(items, index):
        barred |= {"tokens", "dataset_tokens", "dataset_samples"}  # 3.2 million tokens for the 15B model
    if not getattr(items[index], "unit", "") and of_parts(items, index):
        barred |= {"global_batch", "microbatch", "samples", "dataset_samples"}
    if getattr(items[index], "unit", "") == "time":
        if of_something(items, index) or of_a_length(items, index):
            barred.add("wall_clock")
        if each_device(items, index, first, last) or of_a_clock(items, index):
            barred.add("gpu_hours")
    return frozenset(barred)


def _kinds_of_time(figure: Figure, items: Sequence[Item], index: int) -> list[str]:
    """The kinds of a time by its length and by what it stands next to."""
    if figure.value < 3600:
        return ["instant"]
    many = figure.scale in ("k", "m", "thousand", "million")
    return ["hours", *(["many_hours"] if many else []), *(["next_to_a_run"] if next_to_a_run(items, index) else [])]


def _kinds_of_money(figure: Figure, items: Sequence[Item], index: int) -> list[str]:
    """The kinds of a sum of money: the price of an hour, a sum that could be one, or any other."""
    if times_hours(items, index):
        return ["unit_price"]
    if figure.value >= DEAREST_HOUR or figure.scale:
        return ["money"]
    return ["money", "small_money", *(["hourly_money"] if behind_hours(items, index) else [])]


def _kinds_of_flops(figure: Figure, unit: str, items: Sequence[Item], index: int) -> list[str]:
    """The kinds of a count of FLOPs or a rate, whichever it is by its size and words."""
    if (unit == "flop/s" and figure.value > MOST_PER_SECOND) or (unit == "flop" and not is_rate(figure)):
        return ["flop"]  # training FLOPS: 9.3e22
    of_which = ["of_which"] if a_share_of(items, index) else []
    return ["flop/s", *of_which, "small_rate" if figure.value < 5e15 else "large_rate"]


def _kinds_below_one(value: float) -> list[str]:
    """The kinds of a bare number that may be a rate, a decay or a share."""
    tiny = ["tiny"] if 0 < value < LARGEST_RATE else []
    small = ["small"] if 0 < value < 1 else []
    return [*tiny, *small, *(["tenths"] if 0 < value < min(1, LARGEST_DECAY) else [])]


def _counts_a_model(items: Sequence[Item], index: int) -> bool:
    """``600B tokens through a 3B transformer``: whether the noun directly behind a figure with a scale is a model."""
    figure = items[index]
    behind = items[index + 1].text.lower() if index + 1 < len(items) else ""
    unit = getattr(figure, "unit", "")
    return unit == "model" or (not unit and bool(getattr(figure, "scale", "")) and behind in WHOLE_MODELS)


WHOLE_MODELS = frozenset(["transformer", "network"])


def _unit_kinds(figure: Figure, unit: str, items: Sequence[Item] = (), index: int = 0) -> tuple[str, ...]:
    """The units under which rules for a figure are looked up."""
    kinds = [unit]
    if unit == "" and is_a_year(items, index):
        return ("year",)
    if figure.scale in ("b", "t", "billion", "trillion", "m", "million", "bn") and unit in ("", "model"):
        kinds.append("scaled")
    in_full = (
        unit == "" and not figure.scale and figure.value >= WRITTEN_IN_FULL and figure.value == round(figure.value)
    )
    if in_full and not figure.joined:
        kinds.append("scaled")  # 5,200,000,000
    if unit == "" and (
        figure.scale in ("m", "million", "k", "thousand") or (in_full and figure.value < LARGEST_IN_MILLIONS)
    ):
        kinds.append("millions")
    if unit == "sequence" and figure.value <= 65_536:
        kinds = ["small_sequence", "sequence"]
    if unit == "time" and figure.word.lower()[:3] in ("day", "wee", "mon", "yea", "for"):
        kinds.append("calendar")
    if unit == "token" and figure.value <= 2e7 and {"up to", "at most", "no more than"} & set(figure.hedges):
        kinds.append("capped")
    if unit == "token" and figure.value <= 131_072 and not figure.per and behind_a_batch(items, index):
        kinds.append("short_token")
    if unit == "dates" and (next_to_a_run(items, index) or _opens_hours(items, index)):
        kinds.append("next_to_a_run")
    if unit == "time":
        kinds += _kinds_of_time(figure, items, index)
    if unit == "" and figure.value >= 500 and not figure.joined and before_a_plural(items, index):
        kinds.append("plural")
    if unit == "" and not figure.scale and figure.value >= FEWEST_CLIPS and counts_clips(items, index):
        kinds.append("cut")
    if unit == "step" and index and items[index - 1].text.lower() == "every":
        kinds.append("every_step")
    if unit == "money":
        kinds = _kinds_of_money(figure, items, index)
    if unit == "time" and figure.joined and figure.value < 3600:
        kinds.append("short_time")
    if unit == "time" and figure.text.lower().rstrip("s").endswith("time"):
        kinds = ["time_word"]
    if unit in ("dims", "pixel") and (not figure.sides or min(figure.sides[-2:]) >= 64):
        kinds = [unit, "picture"]
    if unit == "":
        kinds = ["ratio"] if figure.text[-1:] in "x×" else [*kinds, *_kinds_below_one(figure.value)]
    if unit in ("flop", "flop/s"):
        kinds = _kinds_of_flops(figure, unit, items, index)
    if unit == "power" and figure.value > 5000:
        kinds = ["large_power"]
    if unit == "" and 1990 <= figure.value <= 2035 and len(figure.digits) == 4 and figure.text.strip().isdigit():
        kinds.append("year")
    return tuple(kinds)


def _opens_hours(items: Sequence[Item], index: int) -> bool:
    """``From 11 March to 5 July; 1,082,990 GPU hours``: whether dates are directly before the hours spent between them."""
    behind = [item for item in items[index + 1 : index + 3] if item.text not in (";", ",", ":")]
    return bool(behind) and isinstance(behind[0], Figure) and behind[0].unit in ("gpu_time", "node_time")


def accepts(quantity: str, figure: Figure) -> bool:
    """Whether a figure with this unit can have the quantity; a bare number always can."""
    if by_rate(figure) == quantity or (not figure.unit and not figure.per):
        return True
    kinds = set(_unit_kinds(figure, figure.unit)) | ({"sample", "sequence"} & {figure.unit})
    return not figure.per and any(rule.quantity == quantity and rule.units & kinds for rule in RULES)
