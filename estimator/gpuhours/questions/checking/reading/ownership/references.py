"""Resolves what a text says instead of a name to the run that it means: ``the former``, ``the smaller``, ``its big sister``, ``the other``.

One pass keeps the runs in the order of their last mention. A word of rank goes by size, a word of order by that list, a word of kin or
contrast to the run that the list does not end with. What fits no run, or two, means nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.naming.cast import Cast
from gpuhours.questions.checking.reading.naming.informal_names import informal_name_at
from gpuhours.questions.checking.reading.naming.names import mentions, words_of
from gpuhours.questions.checking.reading.sentences.placed import ReadProse
from gpuhours.questions.checking.reading.vocabulary.run_words import NEAR, RANKED_BY, SIZES, STAGES, phrases_of

KIN = frozenset(phrases_of("sister, brother, sibling, twin, counterpart, offspring, companion"))
"""Words for the other of two runs."""
HEADS = (
    "size", "model", "one", "case", "variant", "run", "sibling", "version", "member", "network", "sister", "brother", "twin", "encoder",
    "tower",
)  # fmt: skip
"""Prefixes of nouns that a word of rank or order stands before if it means a run."""
ARTICLES = frozenset(phrases_of("the, its, our, their"))
ENDS = frozenset(
    phrases_of("""
    of, for, in, on, at, with, to, by, from, and, or, but, while, whereas, than, as, it, we, was, is, were, has, had,
    did, does, took, takes, used, uses, needed, needs, ran, runs, saw, sees, read, reads, got, cost, costs, went,
    goes, came, comes, made, makes, began, therefore, once, alone, only, finally, finished, required, requires,
    reached, reaches, lasted, kept, consumed, consumes
""")
)
"""Words behind ``the smaller`` if it has no noun."""
FIRST_OF_TWO = {"former": -2, "latter": -1, "first": -2, "second": -1}
"""Words of order for the last two runs named; ``first`` and ``second`` also number stages and steps, so nothing may follow them."""


def references(read: ReadProse, cast: Cast) -> dict[int, str]:
    """The own run that each word of rank, order, kin or contrast means, by the word's position."""
    found: dict[int, str] = {}
    if not cast.own:
        return found
    recent: list[str] = []
    pair: list[str] = []
    names = {
        mention.first: mention.shown for mention in mentions(read.items, 0, len(read.items), [*cast.own, *cast.others])
    }
    told: dict[str, int] = {}
    called = _appositions(read.items, names, cast)
    for index in range(len(read.items)):
        near = [name for name in pair if index - told[name] <= FAR]
        name = cast.run(names[index]) if index in names else _informal(read.items, index, cast)
        name = name or called.get(_kind_of_model(read.items, index))
        name = name or (None if index in names else _meant(read.items, index, cast, recent, near))
        if name is None or (index in names and is_a_measure(read.items, index)):
            continue
        if index not in names:
            found[index] = name
        told[name] = index
        for mentioned in (recent, *([pair] if read.items[index].text.lower() not in FIRST_OF_TWO else ())):
            if name in mentioned:
                mentioned.remove(name)
            mentioned.append(name)
    return found


def _appositions(items: Sequence[Item], names: dict[int, str], cast: Cast) -> dict[str, str]:
    """``Turnstone-5B, our text model``: the own run that each kind of model means; a kind that two runs have means neither."""
    found: dict[str, str] = {}
    for index, shown in names.items():
        run = cast.run(shown)
        at = next((n for n in range(index + 1, min(index + NEAR, len(items))) if items[n].text == ","), None)
        if run is None or at is None or at + 2 >= len(items) or items[at + 1].text.lower() not in ("our", "the"):
            continue
        kind = _kind_of_model(items, at + 2)
        if kind:
            found[kind] = run if found.get(kind, run) == run else ""
    words = Counter(word for name in cast.own for word in set(words_of(name)))
    alone = {word: name for name in cast.own for word in words_of(name) if words[word] == 1 and len(cast.own) > 1}
    return {**alone, **{kind: run for kind, run in found.items() if run}}


def _kind_of_model(items: Sequence[Item], index: int) -> str:
    """``text`` of ``our text model``; empty for other words."""
    behind = items[index + 1].text.lower() if index + 1 < len(items) else ""
    before = items[index - 1].text.lower() if index else ""
    kind = items[index].text.lower()
    told = before in ARTICLES and items[index].kind == "word" and kind.isalpha() and kind not in ADJECTIVES | set(SIZES)
    return (
        kind
        if told and behind in ("model", "network", "policy", "encoder") and kind not in ("first", "second", "other")
        else ""
    )


def _informal(items: Sequence[Item], index: int, cast: Cast) -> str | None:
    """The own run that ``stage 2``, ``the image stage`` or ``the base model`` names; None if it names none."""
    informal = informal_name_at(items, index)
    if informal is not None and (run := cast.informal.get((informal.kind, informal.key))):
        return run
    word = items[index].text.lower()
    variant = cast.informal.get(("variant", word))
    if variant and index and items[index - 1].text.lower() in ARTICLES and _is_a_run(items, index):
        return variant
    said = words_of(" ".join(item.text for item in items[index : index + 2]))
    if items[index].kind != "word" or not STAGES.fullmatch(" ".join(said)):
        return None
    found = [name for name in cast.own if words_of(name)[: len(said)] == said]
    return found[0] if len(found) == 1 else None


def _meant(items: Sequence[Item], index: int, cast: Cast, recent: Sequence[str], pair: Sequence[str]) -> str | None:
    """The own run that the word at ``index`` means; None if it means none, or if more than one fits.

    ``recent`` and ``pair``: the runs by last mention; ``pair`` as they stood before ``the former`` and ``the latter``.
    """
    word = items[index].text.lower()
    if is_a_measure(items, index):
        return None
    before = items[index - 1].text.lower() if index else ""
    if word in SIZES and _is_a_run(items, index):
        return cast.by_rank(word)
    numbered = word in ("first", "second")
    alone = not numbered or (
        len(pair) == 2 and not any(kind == "stage" for kind, _ in cast.informal) and _is_a_run(items, index)
    )
    if before == "the" and word in FIRST_OF_TWO and len(pair) > 1 and alone:
        return pair[FIRST_OF_TWO[word]]
    parts = list(dict.fromkeys(cast.informal.values())) or cast.own
    of_two = len(parts) == 2 and recent
    kin = word in KIN and before not in SIZES and _before_adjectives(items, index) in ARTICLES
    counts = index + 1 < len(items) and isinstance(items[index + 1], Figure)  # the other four were occupied
    if of_two and (kin or (word == "other" and before == "the" and not counts and _is_a_run(items, index))):
        return next(name for name in parts if name != recent[-1])
    return None


def _is_a_run(items: Sequence[Item], index: int) -> bool:
    """Whether a noun for a model follows a word of rank, or none where its article shows that it stands for one."""
    behind = items[index + 1] if index + 1 < len(items) else None
    if behind is None or behind.kind in ("stop", "mark") or isinstance(behind, Figure):
        return items[index - 1].text.lower() in ARTICLES
    word = behind.text.lower()
    return word.startswith(HEADS) or (items[index - 1].text.lower() in ARTICLES and word in ENDS)


def _before_adjectives(items: Sequence[Item], index: int, skipped: frozenset[str] = frozenset()) -> str:
    """The word before a noun and its adjectives of size and age: ``its`` of ``its big sister``."""
    at = index - 1
    while at > 0 and index - at < NEAR and items[at].text.lower() in ADJECTIVES | skipped:
        at -= 1
    return items[at].text.lower() if 0 <= at < index else ""


def is_a_measure(items: Sequence[Item], index: int) -> bool:
    """``a little below its teacher``, ``as many as the larger``: whether a word only says what something is compared with."""
    before = _before_adjectives(items, index, ARTICLES)
    at = index - 1
    while at > 0 and items[at].text.lower() in ADJECTIVES | ARTICLES:
        at -= 1
    inside = at > 1 and items[at - 2].kind != "stop"  # Those of the code model consumed
    return before in RANKED_BY or (before == "of" and inside and items[at - 1].text.lower() in MEASURED_BY)


MEASURED_BY = frozenset(
    phrases_of("size, half, third, quarter, twice, times, number, amount, that, those, cost, length")
)
"""Nouns before ``of the former`` that only measure something by it: ``roughly the active size of the former``."""
ADJECTIVES = frozenset(phrases_of("big, bigger, small, smaller, little, older, younger, larger, large"))
FAR = 150
"""The most items between a name and ``the former``."""
