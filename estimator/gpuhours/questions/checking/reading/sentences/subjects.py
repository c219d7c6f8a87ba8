"""Gives a bare number in a sentence the unit of the noun phrase that it is the value of.

``The number of GPUs was 512``, ``training time in days came to 18``, ``GPU hours — 221,184``: the unit is in the subject, or in the label,
and the number has none. A label of a table or a card gives its unit in ``labels``; this module finds the noun phrase in prose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gpuhours.questions.checking.reading.figures.labels import LENDABLE, lent, unit_of
from gpuhours.questions.checking.reading.figures.numbers import scan
from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.formats.blocks import Passage, Piece

VERBS = frozenset(
    ["is", "was", "are", "were", "equals", "equalled", "equaled", "reached", "reaches", "totals", "totaled", "totalled", "averaged",
     "averages", "averaging", "became", "becomes", "remained", "remains", "came", "comes", "amounts", "amounted", "stood", "stands",
     "set", "fixed", "kept", "sits", "runs", "ran", "adds", "added", "be", "been", "being", "="]
)  # fmt: skip
"""Verbs between a quantity and its value."""
PARTICLES = frozenset(
    ["to", "at", "up", "of", "a", "an", "total", "only", "just", "thus", "therefore", "then", "hence", "overall"]
)
"""Words that may follow such a verb."""
MARKS = frozenset(["—", "–", "-", "("])
"""Marks between a label and its value."""
BOUNDARIES = frozenset(
    ["we", "with", "at", "using", "that", "which", "where", "while", "whereas", "and", "but", "so", "because", "since", "if", "when",
     "has", "have", "had", "used", "report", "reports", "reported", "gives", "gave"]
)  # fmt: skip
"""Words before a noun phrase that are not part of it."""
DETERMINERS = frozenset(
    ["the", "a", "an", "our", "its", "their", "this", "that", "these", "those", "average", "mean", "overall"]
)
POSTPOSED = frozenset(
    ["by", "over", "for", "on", "during", "from", "across", "within", "spent", "throughout", "after", "needed", "used"]
)
"""Words that begin what follows the head of a noun phrase: ``the GPU hours for the run``."""
COUNTING = frozenset(["number", "count", "total", "amount", "sum", "quantity", "#", "numbers"])
"""Heads before ``of`` whose complement is counted: ``the number of GPUs``."""
INSIDE = frozenset("()[]/%#$€£·-–×*")
"""Marks inside a noun phrase."""
LONGEST_HEADING, LONGEST_VALUE = 7, 60
"""In words of a heading that labels the value under it, and in characters of that value."""
LONGEST = 12
"""The most items in a noun phrase."""
FOLLOWS = frozenset(
    ["for", "in", "on", "and", "or", "which", "that", "overall", "altogether", "with", "at", "while", "but", "when", "as", "during",
     "throughout", "respectively", "across", "over"]
)  # fmt: skip
"""Words that may follow such a value; any other word is what the number counts."""
ADJACENT = frozenset(["gpu_time", "node_time", "energy", "co2", "flop", "percent"])
"""Units that a label gives also to the number directly after it: ``GPU hours 221,184`` (but not ``GPU 3``)."""


def with_subject_units(items: list[Item], text: str) -> list[Item]:
    """The items, in which bare numbers have the unit of their subject or label."""
    for at, item in enumerate(items):
        if not isinstance(item, Figure) or not _is_bare(items, at):
            continue
        label = _label_before(items, at, text)
        given = lent(label, item.text) if label else item.text
        if given == item.text:
            continue
        told = next((one for one in scan(given) if isinstance(one, Figure)), None)
        if told is not None and told.unit in LENDABLE:
            items[at] = replace(
                item, value=told.value, unit=told.unit, word=told.word, per=told.per, scale=told.scale, device=told.device,
                currency=told.currency, until=None if told.until is None else told.until,
            )  # fmt: skip
    return items


def _is_bare(items: Sequence[Item], at: int) -> bool:
    """Whether a figure is a number alone, and no noun follows that it could count."""
    figure = items[at]
    assert isinstance(figure, Figure)
    if at < 1 or figure.unit or figure.per or figure.sides or figure.joined or figure.value <= 0:
        return False
    behind = items[at + 1] if at + 1 < len(items) else None
    return behind is None or behind.kind in ("stop", "mark") or behind.text.lower() in FOLLOWS


def _label_before(items: Sequence[Item], at: int, text: str) -> str:
    """The noun phrase whose value is the figure at ``at``; empty if there is none."""
    end = at
    while end > 0 and at - end < 4 and items[end - 1].text.lower() in PARTICLES:
        end -= 1
    if end > 0 and items[end - 1].text.lower() in VERBS:
        while end > 0 and items[end - 1].text.lower() in VERBS:
            end -= 1
    elif end < at and "of" in {item.text.lower() for item in items[end:at]}:
        label = _head(_phrase(items, end), text)  # a GPU count of 512, but not sequences of 512
        counting = COUNTING & set(label.lower().split())
        return label if counting or lent_unit(label) in ADJACENT or label.endswith((")", "]")) else ""
    elif items[at - 1].text in MARKS and at > 1:
        end = at - 1
        closed = at + 1 < len(items) and items[at + 1].text == ")"
        if items[end].text == "(" and not closed:
            return ""
    elif end == at:
        label = _head(_phrase(items, end), text)
        unit = lent_unit(label)
        return label if unit in ADJACENT or (unit and label.lower().split()[:1] in (["number"], ["total"])) else ""
    else:
        return ""
    return _head(_phrase(items, end), text)


def lent_unit(label: str) -> str:
    """The kind of the unit that a label gives; empty if it gives none."""
    if not label:
        return ""
    told = next((one for one in scan(f"1 {unit_of(label)[1]}") if isinstance(one, Figure)), None)
    return told.unit if told is not None else ""


def _phrase(items: Sequence[Item], end: int) -> list[Item]:
    """The items of the noun phrase that ends before ``end``."""
    first = end
    while first > 0 and end - first < LONGEST:
        item = items[first - 1]
        lowered = item.text.lower()
        outside = item.kind == "stop" or isinstance(item, Figure) or lowered in BOUNDARIES
        if outside or (item.kind == "mark" and item.text not in INSIDE):
            break
        first -= 1
    words = list(items[first:end])
    while words and words[0].kind == "mark" and words[0].text not in "#$€£":
        words.pop(0)
    return words


def _head(words: list[Item], text: str) -> str:
    """The head of a noun phrase, with its unit in brackets: ``the total energy (MWh) of the run`` gives ``total energy (MWh)``."""
    lowered = [item.text.lower() for item in words]
    if lowered and lowered[0] in POSTPOSED | {"in", "for"}:
        starts = [n for n, word in enumerate(lowered) if word in DETERMINERS]
        if not starts:
            return ""
        words, lowered = words[starts[-1] :], lowered[starts[-1] :]
    while lowered and lowered[0] in DETERMINERS:
        words, lowered = words[1:], lowered[1:]
    for n, word in enumerate(lowered):
        counted = word == "of" and n > 0 and lowered[n - 1] in COUNTING
        if n and ((word == "of" and not counted) or word in POSTPOSED):
            words, lowered = words[:n], lowered[:n]
            break
    return text[words[0].start : words[-1].end] if words else ""


def with_headings_values(found: list[Piece]) -> list[Piece]:
    """The pieces of a text, in which a value alone under a heading is read as ``heading: value``: ``#### Hours used`` over ``150000``."""
    told: list[Piece] = []
    for above, piece in zip([None, *found], found, strict=False):
        if (
            isinstance(piece, Passage)
            and isinstance(above, Passage)
            and above.kind == "heading"
            and _is_value(above.text, piece)
        ):
            piece = replace(piece, text=f"{above.text.strip(' :#.')}: {piece.text.lstrip()}")
        told.append(piece)
    return told


def _is_value(heading: str, piece: Passage) -> bool:
    """Whether a passage is a short value that a heading without figures labels."""
    if piece.kind not in ("text", "tail") or len(piece.text.split("\n")[0]) > LONGEST_VALUE:
        return False
    if (
        not heading.strip()
        or heading.rstrip().endswith("?")
        or len(heading.split()) > LONGEST_HEADING
        or any(isinstance(i, Figure) for i in scan(heading))
    ):
        return False
    items = scan(piece.text[: 2 * LONGEST_VALUE])
    return bool(items) and isinstance(items[0], Figure) and items[0].start < 2
