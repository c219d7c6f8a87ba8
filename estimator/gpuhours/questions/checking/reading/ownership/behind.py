"""Finds a name behind a figure that a preposition ties to it: ``9 days for Tern-7B``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.naming.cast import Owner
from gpuhours.questions.checking.reading.sentences.scopes import Sentence

NEAR = 7
"""The most items between a figure and a name behind it."""


def named_behind(
    items: Sequence[Item], sentence: Sentence, events: list[tuple[int, Owner]], wanted: Sequence[int]
) -> bool:
    """``64 nodes for the 80B, 16 nodes for the 9B``: whether each name in a sentence follows its figures after a ``for`` or similar."""
    named = [at for at, owner in events if owner.kind in ("own", "other")]
    if len(named) < 2 or not wanted or wanted[0] > named[0]:
        return False
    if any(at > named[0] for at, owner in events if owner.kind not in ("own", "other")):
        return False
    bound = any(
        all(_is_tied(items, sentence.first, at, preposition) for at in named) for preposition in ("for", "in", "during")
    )
    between = all(any(one < index < two for index in wanted) for one, two in pairwise(named))
    return bound and between


BETWEEN = frozenset(["the", "our", "one", "model", "with", "of"])
"""Words between a preposition and a name: ``for the one with 15B parameters``."""


def _is_tied(items: Sequence[Item], first: int, at: int, preposition: str) -> bool:
    """Whether a preposition stands before a name, with words between that belong to the name."""
    before = at - 1
    while before > first and at - before < 5 and items[before].text.lower() in BETWEEN:
        before -= 1
    return before >= first and items[before].text.lower() == preposition


YARDSTICKS = frozenset([",", "what", "than", "as", "like", "half", "twice"])
"""Words that make a name after a figure a comparison and not its owner."""


def behind_it(items: Sequence[Item], index: int, events: list[tuple[int, Owner]], near: int = NEAR) -> Owner | None:
    """``9 days for Tern-7B``: the name after a figure that a preposition ties to it; None if there is none."""
    if not events or events[0][0] - index > near:
        return None
    between = {item.text.lower() for item in items[index + 1 : events[0][0]]}
    if "(" in between and _tells_more(items, events[0][0]):
        return None  # 18 days (Tern-7B: 9 days)
    if between & YARDSTICKS:
        return None  # 257 tonnes, about half of what GPT-3 caused
    bound = between & {"for", "of", "by", "train", "training", "trained", "took", "went", "into", "("}
    return (
        events[0][1]
        if bound and not any(isinstance(item, Figure) for item in items[index + 1 : events[0][0]])
        else None
    )


def _tells_more(items: Sequence[Item], at: int) -> bool:
    """Whether a bracket goes on with figures behind the name at ``at``."""
    closed = next((n for n in range(at, min(at + 30, len(items))) if items[n].text == ")"), at)
    return any(isinstance(item, Figure) for item in items[at + 1 : closed])


def is_agent(items: Sequence[Item], at: int, sentence: Sentence) -> bool:
    """``100B tokens, all of them translated by the teacher``: whether a name only says by whom or than what."""
    before = at - 1
    while before > sentence.first and items[before].text.lower() in ("the", "its", "our"):
        before -= 1
    return before > sentence.first and items[before].text.lower() in ("by", "than", "like")


def in_its_aside(items: Sequence[Item], index: int, sentence: Sentence, found: dict[int, Owner]) -> bool:
    """``Gemma 2B, for those who want to place us, used 3T tokens``: whether a word stands in an aside behind another's name."""
    before = range(index - 1, max(index - LONGEST_ASIDE, sentence.first), -1)
    bracket = next((at for at in before if items[at].text in "()"), None)
    if bracket is not None and items[bracket].text == "(" and items[bracket + 1].text.lower() in ITS_PRONOUNS:
        named = range(bracket - 1, max(bracket - LONGEST_ASIDE, sentence.first - 1), -1)
        nearest = next(
            (at for at in named if at in found), -1
        )  # the dense 7B of last year (that one cost us 41,000 hours)
        return nearest >= 0 and found[nearest].kind == "other"
    opened = next((at for at in before if items[at].text == ","), None)
    closed = next(
        (at for at in range(index + 1, min(index + LONGEST_ASIDE, sentence.last)) if items[at].text == ","), None
    )
    if opened is None or closed is None or any(isinstance(item, Figure) for item in items[opened:closed]):
        return False
    goes_on = closed + 1 < sentence.last and items[closed + 1].text.lower() in REPORTS
    return goes_on and any(
        at in found and found[at].kind == "other" for at in range(max(opened - 3, sentence.first), opened)
    )


REPORTS = frozenset(["used", "took", "needed", "ran", "was", "had", "required", "saw", "read", "cost", "has", "is", "reports", "reported",
                     "gives"])  # fmt: skip
"""Verbs behind an aside with which a sentence goes on about its subject."""
LONGEST_ASIDE = 10
ITS_PRONOUNS = frozenset(["that", "which", "it", "they", "those", "this", "these"])


def of_the_device(items: Sequence[Item], sentence: Sentence) -> bool:
    """``A v5e chip is rated at 197 TFLOP/s``: whether a sentence says what the device is, which holds for every run on it."""
    words = [item.text.lower() for item in items[sentence.first : min(sentence.first + LONGEST_SUBJECT, sentence.last)]]
    if words[:1] == [] or words[0] not in ("a", "an", "the", "each", "every"):
        return False
    verb = next((n for n, word in enumerate(words) if word in HAS), 0)
    subject = items[sentence.first + verb - 1]
    return verb > 1 and (subject.kind == "device" or subject.text.lower() in DEVICES)


LONGEST_SUBJECT = 7
HAS = frozenset(["is", "has", "offers", "delivers", "provides", "comes", "carries", "peaks"])
DEVICES = frozenset(["chip", "card", "gpu", "accelerator", "device", "tpu", "module"])
