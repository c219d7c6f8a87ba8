"""Finds figures that are not the run's because of their own clause: in brackets, after a comma, or in a hypothetical."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.naming.cast import Owner
from gpuhours.questions.checking.reading.sentences.scopes import Sentence
from gpuhours.questions.checking.reading.sentences.spans import clause_numbers
from gpuhours.questions.checking.reading.vocabulary.run_words import holds, phrases_of
from gpuhours.questions.checking.reading.vocabulary.side_words import SIDE

HYPOTHETICAL = "a hypothetical case"


UNREAL = frozenset(
    ["have", "take", "need", "see", "cost", "require", "last", "double", "halve", "finish", "mean", "shrink", "become"]
)
"""Verbs after ``would`` that describe something that did not happen, unlike the authors' plan ``would get through it in 33 days``."""


def would(words: Sequence[str]) -> bool:
    """``On V100s that would double``: whether a sentence describes something that did not happen."""
    if any(one == "would" and two in UNREAL for one, two in pairwise(words)):
        return True
    asides = [at for at, word in enumerate(words[:-1]) if word == "would" and words[at + 1] in ASIDES]
    return any(
        not UNREAL.isdisjoint(words[at + 2 : at + FAR_VERB]) for at in asides
    )  # would by the same yardstick cost


ASIDES = frozenset(
    ["by", "at", "with", "on", "probably", "likely", "still", "even", "then", "thus", "perhaps", "easily", "surely"]
)
"""Words between ``would`` and its verb."""
FAR_VERB = 8


def outside_brackets(items: Sequence[Item], first: int, last: int) -> list[str]:
    """The lower-case words of a sentence outside brackets; a bracket has a subject of its own."""
    words, depth = [], 0
    for item in items[first:last]:
        depth += (item.text == "(") - (item.text == ")")
        if depth <= 0:
            words.append(item.text.lower())
    return words


OF_A_CLAUSE = ("a part of the machine", "what was left out")
"""Reasons that set aside only the figures of the clause that gives them: ``48 nodes, plus 4 in reserve``."""


LABEL = 4
"""The most words of a label before a colon."""
CLAUSES = frozenset([",", "(", ")", "plus", ";", ":"])


PREDICATES = frozenset(["is", "are", "was", "were", "do", "does", "did", "come", "comes", "came"])
"""First words of a clause whose subject stands before a bracket: ``a trial (900 GPU-hours) is not in these figures``."""
RELATIVE = frozenset(["which", "that", "these", "they", "but", "this", "it", "all", "both", "none"])
"""First words of a clause that continues the one before it."""


def sides_of_clauses(items: Sequence[Item], sentence: Sentence, wanted: Sequence[int]) -> Iterator[tuple[int, Owner]]:
    """The indices of figures whose own clause says that they are not the run's, each with an owner that gives the reason."""
    if not wanted:
        return
    yield from (
        (index, Owner("side", "an allocation")) for index in wanted if _is_shared_out(items, index, sentence.last)
    )
    for first, last in _brackets(items, sentence):
        if would([item.text.lower() for item in items[first:last]]):
            yield from ((index, Owner("side", HYPOTHETICAL)) for index in wanted if first <= index < last)
    bounds = [
        sentence.first - 1,
        *(n for n in range(sentence.first, sentence.last) if items[n].text in CLAUSES),
        sentence.last,
    ]
    clauses = [(one + 1, two) for one, two in pairwise(bounds) if two > one + 1]
    for n, (first, last) in enumerate(clauses):
        said = " ".join(item.text.lower() for item in items[first:last])
        name = next((name for name in OF_A_CLAUSE if holds(said, SIDE[name])), None)
        if name is None:
            continue
        behind = _behind_its_bracket(items, clauses, n)
        if not n and n + 1 < len(clauses) and items[last].text == ":" and last - first <= LABEL:
            behind = clauses[n + 1]  # one replica: TP 8 x PP 4 = 32 GPUs
        figures = [index for index in wanted if first <= index < last or behind[0] <= index < behind[1]]
        last = max(last, behind[1])
        begins = (
            clauses[n - 1][0]
            if n
            and (
                items[first].text.lower() in RELATIVE
                or _is_bare(items, first, last)
                or (items[first - 1].text == ")" and items[first].text.lower() in PREDICATES)
            )
            else first
        )
        if begins < first and n > 1 and items[first - 1].text == ")":
            begins = clauses[n - 2][0]  # 32 more cards (4 nodes) in reserve
        yield from ((index, Owner("side", name)) for index in figures or wanted if begins <= index < last)


def _behind_its_bracket(items: Sequence[Item], clauses: Sequence[tuple[int, int]], n: int) -> tuple[int, int]:
    """``A replica of 32 H100 (TP 8, PP 4) does 70k tokens/s``: the clause that goes on behind a bracket; empty if none does."""
    if items[clauses[n][1]].text != "(":
        return 0, 0
    return next((span for span in clauses[n + 1 :] if items[span[0] - 1].text == ")"), (0, 0))


def _brackets(items: Sequence[Item], sentence: Sentence) -> Iterator[tuple[int, int]]:
    """Where each bracket in a sentence begins and ends."""
    opened = -1
    for at in range(sentence.first, sentence.last):
        if items[at].text == "(":
            opened = at + 1
        elif items[at].text == ")" and opened >= 0:
            yield opened, at
            opened = -1


def _is_bare(items: Sequence[Item], first: int, last: int) -> bool:
    """``(not counted here)``: whether a clause starts with ``not``, ``in`` or ``held`` and has no figure."""
    return items[first].text.lower() in ("not", "in", "held") and not any(
        isinstance(i, Figure) for i in items[first:last]
    )


def clause_of(
    items: Sequence[Item], sentence: Sentence, phrases: tuple[str, ...], verbs: tuple[str, ...] = ("train",)
) -> tuple[int, int] | None:
    """The only clause of a sentence with one of the phrases, if another clause says that something is trained; else None."""
    bounds = [
        sentence.first - 1,
        *(n for n in range(sentence.first, sentence.last) if items[n].text in CLAUSES),
        sentence.last,
    ]
    clauses = [(one + 1, two) for one, two in pairwise(bounds) if two > one + 1]
    said = [" ".join(item.text.lower() for item in items[first:last]) for first, last in clauses]
    holding = [n for n, words in enumerate(said) if holds(words, phrases)]
    trained = any(verb in words for n, words in enumerate(said) if n not in holding for verb in verbs)
    return clauses[holding[0]] if len(holding) == 1 and trained else None


NOTIONAL = phrases_of("""
    had it not, had we paid, if we had paid, if we had rented, had we rented, had it been rented, had it been billed, at list price,
    at list prices, at the list price, on demand, at market price, at market prices, at public prices, at cloud prices, at the price of
""")
"""Phrases of a price that the authors were spared: what the run would have cost is still its cost."""


def of_money_alone(items: Sequence[Item], sentence: Sentence) -> bool:
    """Whether all figures of a sentence are amounts of money."""
    figures = [item for item in items[sentence.first : sentence.last] if isinstance(item, Figure)]
    return bool(figures) and all(figure.unit == "money" for figure in figures)


DONE = ("trained", "read", "took", "ran", "needed", "lasted", "saw", "consumed", "used", "cost", "required", "spent")
"""Verbs that tell what a run did."""
DONE_WORDS = frozenset(DONE)
OF_A_SENTENCE = (*OF_A_CLAUSE, "a figure that is withdrawn", "what is told elsewhere")
"""Reasons that have rules of their own for how far they reach."""


def sides_apart(items: Sequence[Item], sentence: Sentence, anchors: Sequence[int]) -> dict[str, set[int]]:
    """The reasons that hold in some clauses of a sentence whose others tell of the run, each with the items of those clauses.

    ``anchors`` are the items that name the run.
    """
    found: dict[str, set[int]] = {}
    for name, phrases in SIDE.items():
        if name in OF_A_SENTENCE:
            continue

        def told(said: str, name: str = name, phrases: tuple[str, ...] = phrases) -> bool:
            return holds(said, phrases) or (name == HYPOTHETICAL and would(said.split()))

        inside = apart_from_the_run(items, sentence, told, anchors)
        if inside is not None:
            found[name] = inside
    return found


def apart_from_the_run(
    items: Sequence[Item], sentence: Sentence, told: Callable[[str], bool], anchors: Sequence[int]
) -> set[int] | None:
    """The items of the clauses that are ``told`` to be about something else, if another clause tells of the run; else None.

    A clause behind such a one continues it unless it names the run and says what was done: ``the ablations took 3 days, and X took 18``.
    """
    if not told(" ".join(item.text.lower() for item in items[sentence.first : sentence.last])):
        return None
    clauses: dict[int, list[int]] = {}
    for at, number in enumerate(clause_numbers(items, sentence.first, sentence.last), sentence.first):
        clauses.setdefault(number, []).append(at)
    inside: set[int] = set()
    beside = runs = False
    for places in clauses.values():
        words = [items[at].text.lower() for at in places]
        if told(" ".join(words)):
            beside = True
        else:
            named, done = any(at in anchors for at in places), any(word in DONE for word in words)
            of_run = named and done if beside else named or done
            beside = beside and not of_run
            runs = runs or (of_run and any(isinstance(items[at], Figure) for at in places))
        inside |= set(places) if beside else set()
    return inside if inside and runs else None


EXCEPT = re.compile(
    r"\b(?:not counting|not including|without counting|not to mention|apart from|leaving out|leaving aside)\b.*"
)
"""Phrases after which a sentence says what its figures exclude."""
ALLOTMENTS = frozenset(["allocation", "budget", "quota", "grant", "award", "allowance"])
COMING_TO = frozenset(["of", "for", "totalling", "totaling", "worth"])
"""Words between an allotment and its amount."""
_ALLOTTED = "|".join(sorted(ALLOTMENTS))
_WITHIN = re.compile(
    rf"\b(?:within|under|below|less than|out of|charged to) (?:the|our|its|their|that|this) (?:{_ALLOTTED})\b.*"
    rf"|\b(?:{_ALLOTTED}) (?:{'|'.join(sorted(COMING_TO))}) [^;]{{1,60}}?,? (?:out )?of which\b"
)


def beside_allotments(said: str) -> str:
    """The words of a sentence that tell what was used, without those of what was allowed.

    ``10,944 GPU-hours, within the allocation that we were granted``; ``an allocation of 9,000 node-hours, of which the run used 7,200``.
    """
    return _WITHIN.sub("", _ON_ITS_ALLOCATION.sub("on a machine of ", said))


_ON_ITS_ALLOCATION = re.compile(
    r"\b(?:on|in|within|inside|over|using) (?:[a-z-]+ ){0,6}?allocation of (?![^,;.]{0,30}\b(?:hours?|h|credits?)\b)"
)
"""``trained within a single allocation of 512 H800 GPUs``: the machine that a run had, not what it was allowed."""


def _is_shared_out(items: Sequence[Item], index: int, last: int) -> bool:
    """``a grant of 90,000 GPU-hours, of which the run used 71,000``: whether a figure is what was granted."""
    before = [item.text.lower() for item in items[max(index - 2, 0) : index]]
    behind = " ".join(item.text.lower() for item in items[index + 1 : last])
    return len(before) == 2 and before[0] in ALLOTMENTS and before[1] in COMING_TO and "of which" in behind


SEVERAL_RUNS = "several short runs"


def tells_several_runs(items: Sequence[Item], sentence: Sentence) -> bool:
    """``The comparison consists of 24 runs of about 6.5 hours on a single card``: whether it gives the time of each of many small jobs."""
    for at in range(sentence.first, sentence.last - 2):
        runs = items[at]
        if not isinstance(runs, Figure) or runs.unit not in ("run", "seed", "fold") or runs.value < FEWEST_RUNS:
            continue
        if items[at + 1].text.lower() in ("of", "at", "with", "each", "that") and any(
            isinstance(item, Figure) and item.unit == "time" for item in items[at + 2 : min(at + 6, sentence.last)]
        ):
            return True
    return False


FEWEST_RUNS = 3
