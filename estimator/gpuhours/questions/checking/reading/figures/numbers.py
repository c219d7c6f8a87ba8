"""Splits text into words and figures, without deciding what they mean.

``numbers.lark`` classifies runs of characters (one regular expression per terminal); ``phrases`` combines what belongs together, left to
right, longest first, so an unreadable figure does not affect the rest of its sentence. This module joins figures that form one figure.
"""

from __future__ import annotations

import functools
from dataclasses import replace

from gpuhours.inputs.durations import DAY
from gpuhours.questions.checking.reading.figures.dates import spans_of_dates
from gpuhours.questions.checking.reading.figures.lent_units import (
    with_fronted_units,
    with_subjects,
    with_units_of_states,
    with_units_told_before,
)
from gpuhours.questions.checking.reading.figures.listed_units import (
    with_listed_units,
    with_rates_of_one,
    with_the_unit_of_the_whole,
)
from gpuhours.questions.checking.reading.figures.phrases import next_items
from gpuhours.questions.checking.reading.figures.tokens import Figure, Item, tokens_of
from gpuhours.questions.checking.reading.vocabulary.units import SCALES, factor, seconds


def scan(text: str) -> list[Item]:
    """Every word and figure of ``text``, in order; results for short texts are cached because labels and cells are scanned repeatedly."""
    return list(_scanned_short(text)) if len(text) <= SHORT else _scanned(text)


SHORT = 200
"""The longest text, in characters, whose items are cached."""


@functools.lru_cache(maxsize=8192)
def _scanned_short(text: str) -> tuple[Item, ...]:
    return tuple(_scanned(text))


def _scanned(text: str) -> list[Item]:
    tokens = tokens_of(text)
    items: list[Item] = []
    at = 0
    while at < len(tokens):
        found, at = next_items(tokens, at, text)
        items += found
    items = with_units_told_before(with_fronted_units(with_subjects(items)))
    items = with_units_of_states(with_the_unit_of_the_whole(with_listed_units(with_rates_of_one(items))))
    items = _refined(_sums_of_time(items, text))
    _parts_of_sums(items)
    _rates_behind(items)
    return _with_dates(items, text)


def _sums_of_time(items: list[Item], text: str) -> list[Item]:
    """Joins ``2 weeks and 3 days`` or ``118 days, 5 hrs, 41 min`` into one figure."""
    joined: list[Item] = []
    for item in items:
        first, between = _time_before(joined)
        if (
            isinstance(item, Figure)
            and first is not None
            and item.unit == "time"
            and not (item.per or first.per or item.hedges)
            and not (first.hedges and between == 1 and joined[-1].text == ",")  # just under a month, 28 days
            and item.value < seconds(first.word)
            and seconds(item.word) < seconds(first.word)
        ):
            total = first.value + item.value
            digits = f"{total / seconds(item.word):.6g}"
            del joined[len(joined) - 1 - between :]
            joined.append(
                replace(
                    first, value=total, digits=digits, end=item.end, text=text[first.start : item.end], word=item.word
                )
            )
        else:
            joined.append(item)
    return joined


EXACTLY = frozenset(["exactly", "precisely"])
REFINED = 0.1
"""The largest relative difference between a figure and its more exact repetition."""


def _refined(items: list[Item]) -> list[Item]:
    """``a little over fifteen days (15.5)``: the bare number in brackets repeats the figure before it more exactly, and gets its unit."""
    _listed_in_brackets(items)
    _sums_behind(items)
    _each_for_somebody(items)
    for at in range(2, len(items) - 1):
        bare, first = items[at], items[at - 2]
        behind = items[at + 1 : at + 3]
        closed = behind[-1].text if behind[0].text.lower() in EXACTLY else behind[0].text
        if not isinstance(bare, Figure) or not isinstance(first, Figure) or items[at - 1].text + closed != "()":
            continue
        if bare.unit or bare.scale or bare.sides or not first.unit or first.value <= 0 or first.per or first.until:
            continue
        size = factor(first.unit, first.word)
        values = (bare.value * size, bare.value * size * SCALES.get(first.scale, 1.0))
        value = min(values, key=lambda one: abs(one / first.value - 1))
        if value > 0 and abs(value / first.value - 1) < REFINED:
            items[at] = replace(
                bare,
                value=value,
                unit=first.unit,
                word=first.word,
                scale=first.scale,
                device=first.device,
                refines=True,
            )
    return items


def _listed_in_brackets(items: list[Item]) -> None:
    """``61,401 GPU-hours (3,571, 12,672 and 45,158)``: bare numbers in brackets that add up to the figure before them get its unit."""
    for at, first in enumerate(items[:-4]):
        if not isinstance(first, Figure) or not first.unit or first.value <= 0 or items[at + 1].text != "(":
            continue
        inside = []
        for position in range(at + 2, min(at + 28, len(items))):
            item = items[position]
            if isinstance(item, Figure) and not item.unit:
                inside.append(position)
            elif item.text == ")" or isinstance(item, Figure) or item.kind == "stop":
                break
        if len(inside) < 2 or item.text != ")":
            continue
        bare = [item for position in inside if isinstance(item := items[position], Figure)]
        if first.per or any(item.scale or item.sides for item in bare):
            continue
        size = factor(first.unit, first.word)
        for times in {1.0, size}:
            if abs(times * sum(item.value for item in bare) / first.value - 1) < ADDS_UP:
                for position, item in zip(inside, bare, strict=True):
                    items[position] = replace(
                        item, value=times * item.value, unit=first.unit, word=first.word, device=first.device
                    )
                break


ADDED = frozenset(["gpu_time", "node_time", "energy", "co2", "money", "step", "token", "sample"])
SUMS = frozenset(
    [
        "all",
        "total",
        "together",
        "altogether",
        "overall",
        "sum",
        "=",
        "combined",
        "totalling",
        "totaling",
        "makes",
        "making",
        "up",
        "both",
        "two",
        "three",
    ]
)
"""Words that mark a sum, up to five items before or three after a figure."""


def _sums_behind(items: list[Item]) -> None:
    """``36,864, 147,456 and 61,440 GPU-hours, 245,760 in all``: a bare number that is the sum of those before it gets their unit."""
    for at, item in enumerate(items):
        if not isinstance(item, Figure) or item.unit or item.per or item.sides or item.joined or item.value <= 0:
            continue
        if not any(one.text.lower() in SUMS for one in items[max(at - 5, 0) : at + 4]):
            continue
        parts = _parts_before(items, at)
        last = next((part for part in parts if part.unit in ADDED), None)
        if len(parts) < 2 or last is None or any(part.per or part.until for part in parts):
            continue
        size = factor(last.unit, last.word)
        values = [part.value if part.unit else part.value * size for part in parts]
        for value in {item.value, item.value * size}:
            if abs(value / sum(values) - 1) < ADDS_UP:
                items[at] = replace(
                    item, value=value, unit=last.unit, word=last.word, device=last.device, currency=last.currency
                )


def _parts_before(items: list[Item], at: int) -> list[Figure]:
    """The figures of a sentence before ``at`` that have one unit or none, from right to left."""
    parts: list[Figure] = []
    for one in reversed(items[max(at - MOST_BEFORE, 0) : at]):
        units = {part.unit for part in parts if part.unit}
        if one.kind == "stop" or (isinstance(one, Figure) and one.unit and units and one.unit not in units):
            break
        if isinstance(one, Figure):
            if one.joined or one.sides or (not one.unit and one.scale):
                break
            parts.append(one)
            if one.unit and len(parts) > 1 and not parts[0].unit:
                break  # the former used 46,080 GPU-hours and the latter 3,840, making 49,920 in all
    return parts


MOST_BEFORE = 40
ADDS_UP = 0.02


def _parts_of_sums(items: list[Item]) -> None:
    """``30,720 + 6,912 + 1,536 = 39,168 GPU-hours``: bare numbers with plus signs between them get the unit of the sum that they make."""
    for at, item in enumerate(items):
        if (
            not isinstance(item, Figure)
            or item.unit not in ADDED | {"time", "gpu"}
            or at < 4
            or items[at - 1].text != "="
        ):
            continue
        parts = [at - 2]
        while parts[-1] > 1 and items[parts[-1] - 1].text == "+":
            parts.append(parts[-1] - 2)
        bare = [part for n in parts if isinstance(part := items[n], Figure) and not part.unit and not part.scale]
        size = factor(item.unit, item.word)
        if len(bare) < 2 or len(bare) != len(parts):
            continue
        if abs(size * sum(part.value for part in bare) / item.value - 1) < ADDS_UP:
            for n, part in zip(parts, bare, strict=True):
                items[n] = replace(part, value=size * part.value, unit=item.unit, word=item.word, device=item.device)


DONE = ("processed", "handled", "consumed", "seen", "read", "generated", "trained", "completed", "made", "executed", "performed", "done",
        "ingested", "used")  # fmt: skip
"""Participles between an amount and the time or device it is per."""
SPAN = {"second": "second", "minute": "minute", "hour": "hour", "day": "day", "step": "step", "update": "step", "iteration": "step",
        "batch": "step", "gpu": "gpu", "device": "gpu", "card": "gpu", "accelerator": "gpu"}  # fmt: skip


def _rates_behind(items: list[Item]) -> None:
    """``1.35 million tokens were processed per second``: makes an amount a rate if what it is per follows its participle."""
    for at, item in enumerate(items):
        if not isinstance(item, Figure) or item.unit not in ("token", "sample", "sequence", "step") or item.per:
            continue
        words = [one.text.lower().strip() for one in items[at + 1 : at + 9]]
        words = words[1:] if words[:1] in (["are"], ["were"], ["is"], ["was"], ["get"], ["got"]) else words
        if words[:1] == [] or words[0] not in DONE or words[1:2] == [] or words[1] not in ("per", "each", "every", "a"):
            continue
        per: list[str] = []
        for word in words[2:]:
            if word in SPAN:
                per.append(SPAN[word])
            elif word not in ("per", "and", "/", "each", "every"):
                break
        if per:
            items[at] = replace(item, per=tuple(dict.fromkeys(per)))


FOR = frozenset(["for", "on", "with"])


def _each_for_somebody(items: list[Item]) -> None:
    """``22,000 GPU hours for one, 4,500 for another``: later figures followed by ``for`` get the unit of the first."""
    first: Figure | None = None
    gap = 0
    for at, item in enumerate(items):
        behind = items[at + 1].text.lower() if at + 1 < len(items) else ""
        gap += 1
        if item.kind == "stop" or gap > 10:
            first = None
        if not isinstance(item, Figure):
            continue
        before = items[at - 1].text.lower() if at else ""
        if item.unit and behind in FOR and not item.per:
            first, gap = item, 0
        elif first is not None and not item.unit and not item.scale and behind in FOR and before in (",", "and", "="):
            size = factor(first.unit, first.word)
            items[at] = replace(item, value=item.value * size, unit=first.unit, word=first.word, device=first.device)
            gap = 0


def _time_before(items: list[Item]) -> tuple[Figure | None, int]:
    """The time at the end of the list, possibly before a comma and an ``and``, and the number of items after it; None without a time."""
    for between in range(3):
        item = items[-1 - between] if len(items) > between else None
        if isinstance(item, Figure):
            return (item, between) if item.unit == "time" else (None, 0)
        if item is None or item.text.lower() not in ("and", ","):
            break
    return None, 0


def _with_dates(items: list[Item], text: str) -> list[Item]:
    """Turns ``from March 3 to March 25`` into one time figure with the unit ``dates``, which replaces the items it covers."""
    spans = spans_of_dates(text)
    if not spans:
        return items
    kept: list[Item] = []
    waiting = list(spans)
    for item in items:
        while waiting and waiting[0].end <= item.start:
            waiting.pop(0)
        span = waiting[0] if waiting else None
        if span is None or item.end <= span.start:
            kept.append(item)
        elif not (kept and kept[-1].start == span.start):
            low, high = span.days * DAY, (span.days + 1) * DAY
            kept.append(
                Figure(
                    "figure",
                    text[span.start : span.end],
                    span.start,
                    span.end,
                    value=low,
                    until=high,
                    digits=f"{span.days}",
                    unit="dates",
                )
            )
    return kept
