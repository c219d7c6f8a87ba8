"""Finds what a bare number counts where the text has said it before: ``1,024 of them``, ``on 32 GPUs for 4 days, then on 64 for 2``.

A pronoun stands for the last things named. A gapped clause repeats the frame of the clause before it and leaves the nouns out: its numbers
have the units of the figures in the same places, told by the preposition before them or, without one, by their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.quantities.counted import THING_UNITS
from gpuhours.questions.checking.reading.quantities.place import Place
from gpuhours.questions.checking.reading.sentences.placed import Placed
from gpuhours.questions.checking.reading.vocabulary.run_words import compares
from gpuhours.questions.checking.reading.vocabulary.units import SCALES, factor, noun

MADE = frozenset(
    ["were", "are", "was", "made", "did", "took", "ran", "needed", "perform", "performed", "make", "take", "run"]
)
"""``Every update moved 4M tokens; there were 357,628 of them``: verbs behind which steps are counted although only one was named."""
PRONOUNS = frozenset(["them", "those", "these"])
FAR = 60
"""The most items between a number and what says what it counts."""
ALIKE = 100.0
"""The largest ratio between a number and the figure whose unit it takes."""
SLOTS = {
    "gpu": frozenset(["on", "with", "using", "by"]),
    "node": frozenset(["on", "with", "using", "by"]),
    "time": frozenset(["for", "in"]),
}
"""Units of the figures behind these prepositions; other units have no preposition of their own."""
PREPOSITIONS = frozenset().union(*SLOTS.values()) | {"at", "of", "to", "from", "over"}
LENDING = frozenset(
    ["gpu", "node", "time", "gpu_time", "node_time", "token", "step", "epoch", "sample", "sequence", "parameter", "energy", "co2", "money"]
)  # fmt: skip
MEASURED = frozenset(["time", "gpu_time", "node_time", "energy", "co2", "money"])
"""Units of amounts that may be fractions."""
ADVERBS = frozenset(
    ["only", "just", "a", "mere", "even", "some", "as", "many", "much", "another", "further", "with", "then", "already"]
)
"""Words between a subject or preposition and a number."""
ENDS = frozenset(
    [
        ",",
        ")",
        "(",
        "and",
        "but",
        "or",
        "for",
        "on",
        "with",
        "in",
        "to",
        "while",
        "whereas",
        "at",
        "each",
        "respectively",
        "—",
        "–",
        "-",
    ]
)
"""Words and marks that may follow such a number; any other word is what it counts."""
VERBS = frozenset(
    ["took", "takes", "used", "uses", "needed", "needs", "had", "has", "ran", "saw", "sees", "read", "reads", "required", "cost", "got",
     "covered", "covers", "processed", "added", "lasted", "consumed", "occupied", "kept", "spent", "was", "were", "is", "are"]
)  # fmt: skip
PLANNED = frozenset(["plan", "target", "goal", "limit", "estimate", "guess", "budget"])
"""Subjects whose number is not the run's: ``the plan was 45``."""
LASTING = frozenset(["took", "takes", "lasted", "lasts"])
"""Verbs whose number is a time, like one behind ``in`` or ``for``: ``The former was done in 21 days, the latter took 19``."""
NAMES = frozenset(["one", "second", "third", "last", "other", "latter", "former", "two", "three", "half", "model", "run", "stage", "phase",
                   "part", "rest", "version", "variant", "sibling", "flagship", "smallest", "smaller", "larger", "largest",
                   "middle"])  # fmt: skip
"""Words that end the subject of a clause without a verb: ``the second half 256``."""


def is_bare(figure: Item) -> bool:
    """Whether a figure is a number without anything that says what it counts."""
    return (
        isinstance(figure, Figure)
        and not (figure.unit or figure.per or figure.sides or figure.joined)
        and figure.value > 0
    )


def of_them(items: Sequence[Item], index: int) -> Figure | None:
    """The number of ``1,024 of them`` with the last plural noun or devices named before its clause; None without a pronoun."""
    figure = items[index]
    behind = [item.text.lower() for item in items[index + 1 : index + 3]]
    if not isinstance(figure, Figure) or not is_bare(figure) or behind[:1] != ["of"]:
        return None
    if (whole := _whole(items, index)) is not None:
        size = factor(whole.unit, whole.word)
        return replace(figure, value=figure.value * size, unit=whole.unit, word=whole.word, device=whole.device)
    if behind[-1] not in PRONOUNS or (items[index - 1].text.lower() == "the" and figure.text.isalpha()):
        return None  # the two of them
    made = items[index - 1].text.lower() in MADE
    for at in range(_start(items, index) - 1, max(index - FAR, 0) - 1, -1):
        item = items[at]
        word = item.words[-1] if item.words else ""
        if noun(word) == "step" and (made or word.endswith("s")) and (made or not isinstance(item, Figure)):
            return replace(figure, unit="step", word=word)
        if isinstance(item, Figure):
            many = not made and item.value > figure.value and items[at + 1].text.lower() != "long"
            many = many or (item.unit == "gpu" and items[index - 1].text.lower() in VERBS)
            if item.unit in (THING_UNITS | {"gpu", "sequence"}) - MEASURED and many:
                return replace(figure, unit=item.unit, word=item.word, device=item.device)
        elif item.kind == "device" and items[at + 1].text == "-" and items[at + 2].text.lower().startswith("hour"):
            return replace(figure, unit="gpu_time", word=f"{item.text} hours", device=item.text)
        elif item.kind == "device":
            return replace(figure, unit="gpu", word=item.text, device=item.text)
        elif word.endswith("s") and noun(word) in THING_UNITS | {"sequence", "gpu"}:
            return replace(figure, unit=noun(word), word=word)
    return None


def _whole(items: Sequence[Item], index: int) -> Figure | None:
    """The whole behind a part: ``190,464 of the 200,000 GPU-hours``; None without one."""
    at = index + 2 + (index + 2 < len(items) and items[index + 2].text.lower() in OF_A_WHOLE)
    whole = items[at] if at < len(items) and items[index + 1].text.lower() == "of" else None
    larger = (
        isinstance(whole, Figure)
        and whole.unit in LENDING
        and not whole.per
        and whole.value > getattr(items[index], "value", 0.0)
    )
    return whole if larger and isinstance(whole, Figure) else None


def is_whole(items: Sequence[Item], index: int) -> bool:
    """Whether a figure is the whole of which the one before it is a part, and so not what the run used."""
    words = [item.text.lower() for item in items[max(index - 2, 0) : index]]
    part = items[index - 3] if index > 2 else None
    of_run = isinstance(part, Figure) and part.unit == "percent"  # 15 % of the 300B tokens were maths
    return isinstance(part, Figure) and not of_run and words[:1] == ["of"] and words[-1] in OF_A_WHOLE


OF_A_WHOLE = frozenset(["the", "our", "its", "their", "all", "these", "those"])


def gapped(items: Sequence[Item], index: int, before: Sequence[Placed]) -> tuple[Figure, Place] | None:
    """The number in a clause that repeats the frame of an earlier one, with the unit and place of its counterpart; None without one."""
    figure = items[index]
    if not isinstance(figure, Figure) or not is_bare(figure):
        return None
    behind = items[index + 1] if index + 1 < len(items) else None
    if behind is not None and behind.kind not in ("stop", "mark") and behind.text.lower() not in ENDS:
        return None
    at = index - 1
    while at > 0 and items[at].text.lower() in ADVERBS - PREPOSITIONS:
        at -= 1
    lead = items[at].text.lower() if at >= 0 else ""
    if figure.value < 1 or (at > 0 and items[at - 1].text.lower() in PLANNED):
        return None
    first = _start_of_sentence(items, index, 2)
    told = [p for p in before if first <= p.index < index and p.figure.unit in LENDING and not p.figure.per]
    if lead in PREPOSITIONS:
        lenders = [p for p in told if lead in SLOTS.get(p.figure.unit, ()) and _leads(items, p, lead)]
        alike = [p for p in told if items[p.index - 1].text.lower() == lead and p.figure.unit in MEASURED]
        if not lenders and alike and alike[-1].figure.unit != "time":
            lenders = alike  # the former accounts for 1,920 GPU hours, the latter for 4,800
        if figure.scale:
            lenders = [
                p
                for p in told
                if (p.figure.unit == "parameter" or p.figure.scale == figure.scale)
                and items[p.index - 1].text.lower() == lead
            ]
    elif lead in VERBS | NAMES or _is_name(items[at]) or _is_machine(items[at]):
        here = {p.figure.unit for p in told if p.index > _start(items, index)}
        lenders = [p for p in told if p.figure.unit not in here and bool(p.figure.scale) == bool(figure.scale)]
        lenders = [p for p in lenders if p.index < _start(items, index)]
        times = [p for p in lenders if p.figure.unit == "time" and lead in LASTING]
        lenders = [p for p in lenders if not _behind_preposition(items, p)]
        again = any(items[p.index - 1].text.lower() == lead for p in lenders)  # stage 1 took 64 GPUs, stage 2 took 128
        ends = behind is None or behind.kind in ("stop", "mark") or behind.text.lower() == "and"
        lenders = times if times and ends and not again else lenders or times
    else:
        return None
    whole = figure.value % 1 == 0 or bool(figure.scale)
    lenders = [p for p in lenders if whole or p.figure.unit in MEASURED]
    if not lenders:
        return None
    return _as(figure, lenders[-1])


def _behind_preposition(items: Sequence[Item], entry: Placed) -> bool:
    """Whether a preposition, and not a verb, leads an earlier figure."""
    return entry.index > 0 and items[entry.index - 1].text.lower() in PREPOSITIONS


def _leads(items: Sequence[Item], entry: Placed, lead: str) -> bool:
    """Whether the same preposition, or a verb, stands before the earlier figure."""
    return items[entry.index - 1].text.lower() == lead or not _behind_preposition(items, entry)


def _start_of_sentence(items: Sequence[Item], index: int, many: int) -> int:
    """Where the sentence of an item begins, or the one ``many`` - 1 before it."""
    at = index
    while at > 0 and index - at < FAR:
        many -= items[at - 1].kind == "stop" and items[at - 1].text != ";"
        if not many:
            break
        at -= 1
    return at


def _start(items: Sequence[Item], index: int) -> int:
    """Where the clause of an item begins: behind a stop, a comma, or an ``and``."""
    at = index
    while (
        at > 0
        and items[at - 1].kind != "stop"
        and items[at - 1].text.lower() not in (",", "and", ";", "but", "while", "whereas")
    ):
        at -= 1
    return at


def _is_machine(item: Item) -> bool:
    """``on 64 A100 GPUs 8.6``."""
    return isinstance(item, Figure) and item.unit == "gpu"


def _is_name(item: Item) -> bool:
    """Whether a word is a name or a size: ``Plover-1B``, ``the 1B``."""
    sized = isinstance(item, Figure) and item.unit in ("", "model", "parameter") and bool(item.scale)
    return sized or (item.kind == "word" and item.text[:1].isupper())


def _as(figure: Figure, entry: Placed) -> tuple[Figure, Place] | None:
    """The number with the unit and place of an earlier figure; None if the two are too far apart in size."""
    lender = entry.figure
    size = factor(lender.unit, lender.word)
    value = figure.value * size * (SCALES.get(lender.scale, 1.0) if lender.scale and not figure.scale else 1.0)
    if not 1 / ALIKE < value / lender.value < ALIKE:
        return None
    place = replace(entry.place, cost=entry.place.cost + 1)
    return replace(
        figure, value=value, unit=lender.unit, word=lender.word, device=lender.device, currency=lender.currency
    ), place


def another_mfu(items: Sequence[Item], index: int, before: Sequence[Placed]) -> Place | None:
    """``MFU was 50% on the TPUs and 46% on the GPUs``: a share that no word explains, behind an MFU; None for any other share."""
    figure = items[index]
    if not isinstance(figure, Figure) or figure.unit != "percent" or not LOWEST < figure.value < HIGHEST:
        return None
    first = _start_of_sentence(items, index, 2)
    if compares(" ".join(item.text.lower() for item in items[_start_of_sentence(items, index, 1) : index])):
        return None
    shares = [entry for entry in before if entry.figure.unit == "percent" and first <= entry.index < index]
    return (
        replace(shares[-1].place, cost=shares[-1].place.cost + 1)
        if shares and shares[-1].place.quantity == "mfu"
        else None
    )


LOWEST, HIGHEST = 0.05, 0.75
"""The shares of the peak that a training may reach."""
