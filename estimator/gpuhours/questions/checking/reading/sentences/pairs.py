"""Labels and their figures, singly or as lists: ``Sequence length: 4096``, ``tensor and pipeline degrees of 8 and 4``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gpuhours.inputs.durations import HOUR
from gpuhours.questions.checking.reading.figures.labels import SUMMED, lent
from gpuhours.questions.checking.reading.figures.numbers import scan
from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.quantities.place import Place
from gpuhours.questions.checking.reading.quantities.placing import place
from gpuhours.questions.checking.reading.sentences.scopes import Sentence, sentences

JOINTS = frozenset([",", "and", "or", "/", "&"])
SAYS = frozenset(["(", ")", "are", "is", "were", "was", "of", "=", ":", "to", "at", "set", "being"])
"""Words between a list of labels and its figures."""
LONGEST_LABEL = 6
DEGREES = frozenset(["tensor", "pipeline", "data", "context"])
"""Words that each name one degree in a list of degrees of parallelism."""
OPENS = frozenset(["the", "a", "an", "with", "using", "our", "its", "used", "use", "and", ",", "where", "("])


def place_pair(label: str, value: str) -> list[tuple[Figure, Place]]:
    """The placed figures of ``value``, read as the sentence ``label: value``; figures in the label itself are left out."""
    label = SUMMED.sub("total", label.replace(".", ""))  # "Seq. Len." is one label
    if "→" in label and "→" in value:
        names, values = label.split("→"), value.split("→")
        if len(names) == len(values):
            return [
                pair for name, one in zip(names, values, strict=True) for pair in place_pair(name.strip(), one.strip())
            ]
    text = f"{label}: {value}"
    begin = len(label) + 2
    items = scan(text)
    found: list[tuple[Figure, Place]] = []
    for sentence in sentences(items, text):
        listed = by_label_lists(items, sentence) if "=" in value or ("/" in label and "/" in value) else {}
        for index in range(sentence.first, sentence.last):
            item = items[index]
            if isinstance(item, Figure) and item.start >= begin:
                told = listed.get(index) or place(items, index, sentence.first, sentence.last)
                if item.unit == "time" and not item.per and item.value < HOUR and _OF_A_STEP.fullmatch(label.strip()):
                    told = Place("step_time", "a labelled step", 0.0)
                told = told or _by_column(label, item)
                told = told or (None if _OF_DATA.search(label) else labelled_duration(item, label))
                falls = found and index and items[index - 1].text == "→" and found[-1][1].quantity == "learning_rate"
                if falls and item.value < found[-1][0].value:
                    told = Place("final_learning_rate", "→", 0.0)
                if told is not None:
                    found.append((item, told))
    return found


COLUMNS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("parameters", ("b", "m", "billion", "million"), r"(?:total|size|n|(?:all|total) (?:params?|weights))"),
    ("seq_len", ("", "k"), r"(?:window|context|ctx)"),
    ("active_parameters", ("b", "m", "billion", "million"), r"(?:a|act|active|activated)"),
    ("dataset_samples", ("m", "million", "k", "thousand"), r"(?:data|corpus|(?:training|train) (?:data|set))"),
    ("tokens", ("t", "trillion", "b", "billion"), r"(?:data|corpus|(?:training|pre-?training|train) data|budget|d)"),
)
"""Short labels that decide a bare number: ``Total`` over 15.7B, ``Data`` over 5.7T, ``window`` over 8,192."""


def _by_column(label: str, figure: Figure) -> Place | None:
    """The place that a short label gives to a number with a scale and no unit; None if it gives none."""
    bare = label.lower().strip(" :#*()")
    if figure.unit or figure.per or figure.until:
        return None
    found = (
        name
        for name, scales, words in COLUMNS
        if (figure.scale in scales or (not figure.scale and figure.value >= LEAST_WHOLE)) and re.fullmatch(words, bare)
    )
    quantity = next(found, None)
    if quantity == "tokens" and figure.value < FEWEST_TOKENS:
        return None
    return Place(quantity, label, 1.0) if quantity else None


LEAST_WHOLE = 1e6
"""From this value on, a number without a scale may be written out in full."""
FEWEST_TOKENS = 5e9
"""Below this, an amount of data may be something other than the training tokens."""
_OF_DATA = re.compile(
    r"(?i)\b(?:audio|speech|videos?|footage|music|recordings?|clips?|segments?|utterances?|batch(?:es)?|samples?|context|prompt)\b"
)
"""Labels of times that are lengths of data."""
_OF_A_STEP = re.compile(
    r"(?i)(?:mean |avg |average |median )?(?:steps?|iter(?:ation)?s?|updates?)(?: time| duration)?(?: ?[(\[][^)\]]{1,12}[)\]])?"
)
"""Labels of the time of a step."""
_OF_RUNS = re.compile(
    r"(?i)(?:(?:total |training |train |run )?(?:time|duration|runtime|wall[ -]?clock(?: time)?|walltime)(?: \(?s(?:ec(?:onds)?)?\)?)?)\s*"
)
"""Labels of how long a run took, even if it is short."""


def labelled_duration(figure: Figure, label: str = "") -> Place | None:
    """The run's duration, for a labelled time that no word explains and that is too long for a step or has such a label; else None."""
    long = figure.unit == "time" and not figure.per and (figure.value >= HOUR or _OF_RUNS.fullmatch(label) is not None)
    return Place("wall_clock", "a labelled duration", 0.0) if long else None


def by_label_lists(items: Sequence[Item], sentence: Sentence) -> dict[int, Place]:
    """``The tensor, pipeline and data parallel sizes are 8, 4 and 96``: matches labels to figures in order, if there are equally many."""
    found: dict[int, Place] = {}
    index = sentence.first
    while index < sentence.last:
        run = _run_of_figures(items, index, sentence.last)
        if len(run) > 1:
            labels = _labels_before(items, run[0], sentence.first, len(run))
            told = (
                [_quantity_under(label, labels[-1], items[at]) for label, at in zip(labels, run, strict=True)]
                if labels
                else []
            )
            if told and all(told) and len({place.quantity for place in told if place}) == len(run):
                found |= {at: place for at, place in zip(run, told, strict=True) if place}
        index = run[-1] + 1 if run else index + 1
    return found


def _run_of_figures(items: Sequence[Item], index: int, last: int) -> list[int]:
    """The indices of bare figures joined by commas and ``and``, starting at ``index``."""
    run: list[int] = []
    at = index
    while at < last and isinstance(item := items[at], Figure) and not item.unit and not item.per and not item.sides:
        run.append(at)
        behind = at + 1
        while behind < last and behind - at < 3 and items[behind].text.lower() in JOINTS:
            behind += 1
        if behind == at + 1:
            break
        at = behind
    return run


def _labels_before(items: Sequence[Item], start: int, first: int, many: int) -> list[str]:
    """The last ``many`` labels of a list that ends before ``start``; empty if there is no such list."""
    at = start - 1
    while at >= first and start - at < 5 and items[at].text.lower() in SAYS:
        at -= 1
    if at == start - 1:
        return []
    labels: list[list[str]] = [[]]
    while at >= first and not isinstance(items[at], Figure) and items[at].kind != "stop":
        word = items[at].text.lower()
        if word in JOINTS:
            if labels[0]:
                labels.insert(0, [])
        elif len(labels[0]) >= LONGEST_LABEL or (len(labels) == many and word in OPENS and labels[0]):
            break
        else:
            labels[0].insert(0, items[at].text)
        at -= 1
    return [" ".join(label) for label in labels[-many:]] if len(labels) >= many and all(labels[-many:]) else []


def _quantity_under(label: str, last: str, figure: Item) -> Place | None:
    """The quantity of a figure under its label, which may borrow its last words from the label at the end of the list; None if unknown."""
    first = label.split()[0].lower()
    for name in (label, f"{label} {last.partition(' ')[2]}", f"{first} parallel" if first in DEGREES else label):
        value = lent(name, figure.text)
        placed = place_pair(name.strip(), value)
        if placed and (placed[0][1].because or value != figure.text):
            return placed[0][1]
    return None
