"""Splits a sentence into clauses, so that a word about something else acts on the figures of its own clause only.

``X took 18 days, whereas the ablations took 3``, ``After the ablations (8 GPUs), X ran on 512``: a bracket, the words behind a conjunction,
and an opening that a comma ends are clauses; after a bracket the clause around it goes on.
"""

from __future__ import annotations

from collections.abc import Sequence

from gpuhours.questions.checking.reading.figures.tokens import Figure, Item

TURNING = frozenset(["whereas", "while", "although", "though", "but"])
"""Conjunctions that begin a clause wherever they stand."""
JOINING = TURNING | frozenset(
    ["and", "where", "which", "whose", "with", "without", "after", "before", "compared", "against", "versus", "unlike", "followed",
     "excluding", "including", "less", "more", "better", "worse", "far", "much", "as", "so", "not", "plus", "then", "out", "instead", "for"]
)  # fmt: skip
"""Words that begin a clause behind a comma."""
DASHES = frozenset(["—", "–", "--", "-"])
OPENERS = frozenset(
    ["while", "whereas", "although", "though", "after", "before", "besides", "apart", "aside", "beyond", "excluding", "without", "not",
     "unlike", "instead", "based", "following", "with", "of", "despite", "compared", "as"]
)  # fmt: skip
"""First words of an opening that says nothing about the clause behind its comma, unlike ``for the ablations,`` or ``to evaluate it,``."""
RELATIVES = frozenset(["which", "who", "whose", "that", "where"])


def clause_numbers(items: Sequence[Item], first: int, last: int) -> list[int]:
    """The number of the clause of each item from ``first`` to ``last``; a clause that goes on behind a bracket keeps its number."""
    numbers: list[int] = []
    current = highest = 0
    around: list[int] = []
    opened = end_of_opening(items, first, last)
    for at in range(first, last):
        text = items[at].text.lower()
        if text == "(":
            around.append(current)
            current = highest = highest + 1
        elif text == ")" and around:
            numbers.append(current)
            current = around.pop()
            continue
        elif at > first and not around and (at == opened or _begins(items, at, last)):
            current = highest = highest + 1
        numbers.append(current)
    return numbers


def _begins(items: Sequence[Item], at: int, last: int) -> bool:
    """Whether a clause begins at an item."""
    text = items[at].text.lower()
    behind = items[at + 1] if at + 1 < last else None
    if behind is None:
        return False
    if text in TURNING:
        return True
    if items[at].kind == "mark" and text in DASHES:
        return not isinstance(behind, Figure)
    if items[at - 1].text == "," and text in JOINING:
        return text != "and" or not isinstance(behind, Figure)
    return text == "before" and items[at].kind == "word" and behind.text[:1].isupper()


def end_of_opening(items: Sequence[Item], first: int, last: int) -> int:
    """Where the main clause begins behind an opening such as ``After the ablations,``; -1 without one."""
    if items[first].text.lower() not in OPENERS:
        return -1
    depth, relative = 0, False
    for at in range(first + 1, last - 1):
        depth += (items[at].text == "(") - (items[at].text == ")")
        if items[at].text != "," or depth > 0 or isinstance(items[at + 1], Figure):
            continue
        if items[at + 1].text.lower() in RELATIVES and not relative:
            relative = True  # Apart from the tokenizer, which took three days,
            continue
        return at + 1
    return -1
