"""Figures that take the quantity of the ones before: lists, second learning rates, the same figure repeated in brackets."""

from __future__ import annotations

from collections.abc import Sequence

from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.quantities.counted import head_noun
from gpuhours.questions.checking.reading.quantities.place import Place
from gpuhours.questions.checking.reading.quantities.placing import LARGEST_RATE
from gpuhours.questions.checking.reading.sentences.placed import (
    Placed,
)
from gpuhours.questions.checking.reading.sentences.scopes import Sentence
from gpuhours.questions.checking.reading.vocabulary.run_words import STAGES

BEGINS_ANEW = frozenset(
    ["is", "was", "are", "were", "has", "had", "takes", "took", "needs", "needed", "model", "for", "on"]
)
"""Words after a size that make it the subject of what follows: ``and the 34B is trained for``."""


OR_SO_MANY = frozenset(
    [
        "that is",
        "i . e .",
        "i . e . ,",
        "i.e.",
        "( i . e .",
        "or",
        "(",
        "totalling",
        "totaling",
        "containing",
        "amounting to",
        "(~",
        "about",
        "= ",
    ]
)
"""Words between two counts of one collection."""


LONGEST_LINK = 40
"""The most items before a figure that are examined; without a limit the time for a long list would grow with its square."""


LIST_WORDS = frozenset(
    {
        ",",
        "and",
        "or",
        "but",
        "to",
        "then",
        "afterwards",
        "thereafter",
        "later",
        "ultimately",
        "finally",
        "/",
        "respectively",
    }
)


def as_its_list(
    items: Sequence[Item], index: int, before: list[Placed], sentence: Sentence, found: Place | None
) -> Place | None:
    """``60.1, 50.2 and 44.4 seconds``: figures in one list take the quantity of the first; any other figure keeps ``found``."""
    figure, last = items[index], before[-1] if before else None
    if last is None or last.sentence is not sentence or not isinstance(figure, Figure):
        return found
    between = [item.text.lower() for item in items[max(last.index + 1, index - LONGEST_LINK) : index]]
    if figure.progression and last.figure.progression and len(between) == 1 and (found is None or found.by_default):
        return last.place  # a batch from 512 to 1,536 sequences
    again = figure.unit == last.figure.unit != "" and figure.per == last.figure.per and _is_about(figure, last.figure)
    if between == ["("] and (figure.refines or (again and (found is None or found.by_default))):
        return last.place  # a bit more than six days (148 h)
    if found is None and figure.unit == "percent" and last.place.quantity == "mfu" and index > sentence.first:
        alike_said = last.index > sentence.first and items[last.index - 1].text.lower() == items[index - 1].text.lower()
        return last.place if alike_said and items[index - 1].text.lower() in ("at", "to", "of", "and", "with") else None
    if figure.unit in ("sequence", "sample", "token") and index and items[index - 1].text.lower() in AFTERWARDS:
        earlier = next((p for p in reversed(before) if p.sentence is sentence and p.figure.unit == figure.unit), None)
        if earlier is not None and not earlier.place.by_default:
            return earlier.place  # 1,024 sequences for the first steps, afterwards 2,048 sequences
    says = " ".join(word for word in between if word != ",")
    if figure.unit in ("sequence", "sample") and last.place.quantity == "global_batch_tokens" and says in OR_SO_MANY:
        return Place("global_batch", "a batch", 0.0)  # 2M tokens, that is 1,024 sequences
    for_another = between[:1] == ["for"] and between[-1] == "and" and len(between) <= LONGEST_RECIPIENT
    if for_another and again_of_its_kind(items, index, last) and (found is None or found.by_default):
        return last.place  # 8.4M tokens for the sparse and 4.2M tokens for the dense model
    if (
        figure.unit in ("token", "residue")
        and last.place.quantity == "dataset_samples"
        and (found is None or found.by_default)
    ):
        return Place("tokens", "corpus", 6.0) if says in OR_SO_MANY else found  # 62M sequences, that is 18B residues
    return last.place if between and _is_next_of_a_list(items, index, between, last) else found


def _is_next_of_a_list(items: Sequence[Item], index: int, between: Sequence[str], last: Placed) -> bool:
    """Whether nothing but commas and conjunctions stands between a figure and the one before, which is alike and has a place of its own."""
    figure, earlier = items[index], last.figure
    assert isinstance(figure, Figure)
    if not all(word in (",", "and", "or") for word in between) or last.place.by_default or not figure.unit:
        return False
    alike = (figure.unit, figure.per, figure.word) == (earlier.unit, earlier.per, earlier.word)
    bare = figure.unit not in ("byte", "percent") or _is_bare(items, index)
    return alike and figure.value < ONE_KIND * earlier.value and bare


LONGEST_RECIPIENT = 6


def again_of_its_kind(items: Sequence[Item], index: int, last: Placed) -> bool:
    """Whether a figure has the unit of the one before, and what it is for follows as well."""
    figure = items[index]
    assert isinstance(figure, Figure)
    behind = items[index + 1].text.lower() if index + 1 < len(items) else ""
    return behind == "for" and (figure.unit, figure.per) == (last.figure.unit, last.figure.per)


def _is_about(figure: Figure, other: Figure) -> bool:
    """Whether two figures are equal up to rounding."""
    return other.value > 0 and abs(figure.value / other.value - 1) < ROUNDED


ROUNDED = 0.1


def is_another_rate(items: Sequence[Item], index: int, before: list[Placed], sentence: Sentence) -> bool:
    """``1e-4 in stage I and 2e-5 in stage II``: whether the figure is a second learning rate, for another stage."""
    figure, last = items[index], before[-1] if before else None
    if last is None or last.sentence is not sentence or last.place.quantity != "learning_rate":
        return False
    assert isinstance(figure, Figure)
    alike = not figure.unit and not figure.per and 0 < figure.value < LARGEST_RATE and figure.value != last.figure.value
    near = items[index - 1].text.lower() in ("and", ",", "or", "then") and index - last.index <= FAR_RATE
    behind = [item.text.lower() for item in items[index + 1 : index + 4]]
    return (
        alike and near and behind[:1] in (["in"], ["for"], ["during"]) and bool(STAGES.fullmatch(" ".join(behind[1:])))
    )


FAR_RATE = 12


ONE_KIND = 1e4
"""The largest ratio between figures of one list: 629B tokens and 2,048 are not in the same list."""


AFTERWARDS = frozenset(["afterwards", "thereafter", "then", "later", "finally", "ultimately"])


def _is_bare(items: Sequence[Item], index: int) -> bool:
    """Whether no noun follows a figure: ``37 %, 46 % and 43 %, respectively``."""
    behind = items[index + 1] if index + 1 < len(items) else None
    return (
        behind is None
        or behind.kind in ("stop", "mark")
        or behind.text.lower() in ("and", "or", "respectively", "in", "for")
    )


FARTHEST = 9
"""The most items from one figure of a list to the next, including a bracketed aside between them."""


def as_the_list_before(items: Sequence[Item], index: int, before: list[Placed], sentence: Sentence) -> Place | None:
    """``8,192 to 65,536, and ultimately to 262,144``: a bare figure takes the quantity of the list before it; None if there is no list."""
    figure = items[index]
    if not before or not isinstance(figure, Figure) or figure.per:
        return None
    if head_noun(items, index)[0] not in ("", "sequence", "sample", "token"):
        return None
    last = before[-1]
    if index - last.index > FARTHEST:
        return None
    if figure.unit and figure.scale and figure.scale != last.figure.scale:
        return None  # batch size 4096, 1.28M images
    between_them = [item.text.lower() for item in items[last.index + 1 : index]]
    if last.sentence is not sentence or not between_them:
        return None
    named = between_them[0] == "(" and between_them[-2:-1] == [")"] and between_them[-1] in (",", "and", ";")
    named = named and len(between_them) < 9 and bool(figure.scale) and figure.scale == last.figure.scale
    if last.figure.unit:  # "Scout read 40 trillion tokens, Ranger 22 trillion"
        behind = items[index + 1].text.lower() if index + 1 < len(items) else ""
        again = (
            behind not in BEGINS_ANEW
            and not figure.unit
            and bool(figure.scale)
            and figure.scale == last.figure.scale
            and (len(between_them) <= 3 or named)
        )
        return (
            Place(last.place.quantity, last.place.because or last.place.quantity, last.place.cost + 1)
            if again
            else None
        )
    if not named and (len(between_them) > 4 or not all(word in LIST_WORDS for word in between_them)):
        return None  # 8.9B (Heron), 3.9B (Wren)
    return Place(last.place.quantity, last.place.because or last.place.quantity, last.place.cost + 1)
