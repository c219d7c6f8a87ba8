"""How far a rule's words are from a figure, counting what lies between."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.vocabulary.rules import Rule
from gpuhours.questions.checking.reading.vocabulary.units import noun

DEAREST = 16.0
"""Above this cost, a word does not decide what a figure is."""
SUBJECT_DISTANCE = 3.4
"""The largest distance counted for a word that opens the sentence, if its rule allows that."""


class Window:
    """The words around a figure, indexed by position so that every rule can look them up."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items
        self.spelled: list[str] = []
        self.at: list[int] = []
        self.starts: dict[str, list[int]] = {}
        self.joined: list[tuple[int, str]] = []
        spelled, at, starts = (
            self.spelled,
            self.at,
            self.starts,
        )  # local names: a long text passes here once for each figure and word
        for place, item in enumerate(items):
            parts, joined = _spelled(item.words)
            for part in parts:
                if part in starts:
                    starts[part].append(len(spelled))
                else:
                    starts[part] = [len(spelled)]
                spelled.append(part)
                at.append(place)
            if joined:
                self.joined += [(place, whole) for whole in joined]
        self.words = {*self.starts, *(whole for _, whole in self.joined)}

    def lacks(self, words: tuple[str, ...]) -> bool:
        """Whether the text has none of the first parts of ``words``: a quick test that skips most rules."""
        return _beginnings(words).isdisjoint(self.words)

    def matches(self, words: tuple[str, ...]) -> list[tuple[int, str]]:
        """The position of each of ``words``; a word of several parts may be hyphenated (``tensor-model parallelism``)."""
        found = []
        for word in words:
            parts = _spelled_parts(word)
            for start in self.starts.get(parts[0], ()):
                if len(parts) == 1 or self.spelled[start : start + len(parts)] == parts:
                    found.append((self.at[start], word))
        return found + [(place, whole) for place, whole in self.joined if whole in words]


def cost_of(rule: Rule, window: Window, index: int, at: int) -> tuple[float, str]:
    """The cost of the rule's cheapest word near a figure, and that word; the word is empty if none is within reach."""
    if not rule.words:
        return rule.base, ""
    best, because, items = DEAREST + 1, "", window.items
    if window.lacks(rule.words):
        return best, because
    for position, word in window.matches(rule.words):
        length = word.count(" ")
        remark = _remark(items, position + length, index)
        nearest = _between(index, at, position, position + length) - remark
        subject = rule.subject and position <= 3
        if not subject and (nearest > rule.reach or nearest + rule.base - 0.15 * length >= best):
            continue  # crossings only add to the cost
        if position <= index <= position + length and position != index:
            distance = 0.0
        elif position + length < index:
            distance = nearest + _crossings(items, position + length + 1, index - remark - 1 if remark else index)
            distance += ANOTHERS * (
                _taken(items[:index], position + length + 1)
                or _between_count_and_noun(items, position, position + length, index)
            )
        elif position > index:
            distance = nearest + _crossings(items, max(at, index) + 1, position)
            distance += ANOTHERS * (_taken(items, position + length + 1) or _in_its_bracket(items, index, position))
        else:
            distance = 0.0
        if rule.before and position > index:
            continue
        if subject:
            distance = min(distance, SUBJECT_DISTANCE)
        cost = distance + rule.base - 0.15 * length
        if distance <= rule.reach and cost < best:
            best, because = cost, word
    return best, because


def _between(index: int, at: int, first: int, last: int) -> float:
    """The number of words between a figure and a rule's word: after the figure, fewer up to the end of its phrase (``at``), more beyond."""
    if last < index:
        return float(index - last - 1)
    if first > index:
        return 0.4 * max(0, min(first, at) - index - 1) + 1.25 * max(0, first - at - 1) + 0.4
    return 0.0


def _remark(items: Sequence[Item], last: int, index: int) -> int:
    """``Goodput (share of the time): 93 %``: how many items a label has in brackets between its head, ``last``, and its value."""
    if index < last + 4 or items[index - 2].text != ")" or items[index - 1].text.lower() not in COPULAS:
        return 0
    opened = next((at for at in range(last + 1, min(last + 6, index)) if items[at].text == "("), index)
    closed = any(item.text == ")" for item in items[opened : index - 2])
    return 0 if closed else max(index - opened - 2, 0)


COPULAS = frozenset([":", "was", "is", "are", "were", "reached", "of", "="])
"""Words between a label and its value."""


ANOTHERS = 6.0
"""Extra cost of a word that belongs to another figure."""


def _between_count_and_noun(items: Sequence[Item], first: int, last: int, index: int) -> bool:
    """``500 warm-up steps, 5,000 steps``: whether a word lies between another figure and the noun it counts, and so belongs to it."""
    counter = items[first - 1] if first else None
    if not isinstance(counter, Figure) or counter.unit or last + 2 >= index:
        return False
    behind = items[last + 1]
    return behind.kind == "word" and noun(behind.text.lower()) in ("step", "epoch", "token")


def _taken(items: Sequence[Item], behind: int) -> bool:
    """``1.9M triplets (batch 1,024)``: whether the word belongs to the next figure."""
    for _ in range(2):
        behind += behind < len(items) and items[behind].text.lower() in (":", "=", "of", "size")
    item = items[behind] if behind < len(items) else None
    return isinstance(item, Figure) and not item.unit and not item.scale


def _in_its_bracket(items: Sequence[Item], index: int, position: int) -> bool:
    """``2.4B (the base had seen 4T)``: whether a word is in a bracket after the figure, and that bracket has its own figure."""
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
    """The cost of what lies between: a comma or an ``and`` starts a new thought, and another figure has its own words."""
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
def _spelled(words: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words of an item in the singular, split at hyphens; the hyphenated ones also without their hyphens."""
    parts = tuple(_singular(part) for whole in words for part in _parts(whole))
    return parts, tuple(whole.replace("-", "") for whole in words if "-" in whole)


@functools.cache
def _beginnings(words: tuple[str, ...]) -> frozenset[str]:
    """The first part of each of a rule's words, and each word whole."""
    return frozenset(words) | {_spelled_parts(word)[0] for word in words}


@functools.cache
def _spelled_parts(word: str) -> list[str]:
    """A rule's word split into parts."""
    return [_singular(part) for part in word.split()]


def _singular(word: str) -> str:
    """``checkpoints`` becomes ``checkpoint``; ``loss`` is not a plural, and ``lasts`` must not become ``last``."""
    if word == "lasts":
        return word
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _parts(word: str) -> list[str]:
    return [part for part in word.replace("-", " ").split() if part] or [word]
