"""Percentages of a card's peak rate: the figure that is a share of it, and the figure that is the peak."""

from __future__ import annotations

from collections.abc import Sequence

from gpuhours.questions.checking.reading.figures.tokens import Figure, Item


def of_a_bare_peak(items: Sequence[Item], index: int) -> bool:
    """``137.7 TFLOP/s per module, 36% of the 383 that the data sheet promises``: whether a percentage is a share of a bare peak."""
    behind = [item for item in items[index + 1 : index + 4] if item.text.lower() not in ("the", "its", "their", "a")]
    if len(behind) < 2 or behind[0].text.lower() != "of":
        return False
    peak = behind[1]
    speed = any(
        isinstance(item, Figure) and item.unit in ("flop", "flop/s") for item in items[max(index - 6, 0) : index]
    )
    return speed and isinstance(peak, Figure) and not peak.unit and not peak.per


OBTAIN = ("obtain", "reach", "achiev", "sustain", "attain", "got", "get", "extract", "realis", "realiz", "deliver")
"""Prefixes of verbs that say which share of a peak a run had."""
FAR_FROM_A_PEAK = 40


def obtained_of_a_peak(items: Sequence[Item], index: int) -> bool:
    """``The card is specified at 383 TFLOP/s, of which we obtained 33%``: whether a percentage is the part of a peak that was reached."""
    before = [item.text.lower() for item in items[max(index - 4, 0) : index]]
    if not any(word.startswith(OBTAIN) for word in before) or not {"mfu", "hfu"}.isdisjoint(before):
        return False
    for at in range(index - 1, max(index - FAR_FROM_A_PEAK, -1), -1):
        item = items[at]
        if item.kind == "stop":
            return False
        if isinstance(item, Figure) and item.unit in ("flop", "flop/s"):
            return True
    return False


AGAINST = frozenset(["against", "relative", "assuming", "at", "over"])


def a_share_of(items: Sequence[Item], index: int) -> bool:
    """``22% of 165 TFLOP/s`` and ``38% with respect to the card's 756 TFLOPS``: whether the figure is the whole of a percentage."""
    for at in range(index - 1, max(index - 9, -1), -1):
        item = items[at]
        if isinstance(item, Figure):
            between = [other.text.lower() for other in items[at + 1 : index]]
            against = AGAINST & set(between) and "mfu" in between
            return item.unit == "percent" and (
                "of" in between or between[:3] == ["with", "respect", "to"] or bool(against)
            )
    return False
