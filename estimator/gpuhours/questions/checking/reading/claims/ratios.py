"""Finds what a sentence says of two of its figures: ``from 3.84 s to 0.60 s, a speed-up of 6.4``, ``12 MWh instead of 20, 40 % less``.

    times = larger / smaller        per cent = 1 - smaller / larger, or larger / smaller - 1

The arithmetic can be checked whatever the figures are about, but only where the ratio stands beside the two figures as another word for
them: ``from 350 W to 700 W made training 15 % faster`` and ``from 79 to 44 GB, while steps became 27 % slower`` are about something
else. Of several pairs of figures, any may be the one that is meant; a sentence with several pairs and several ratios is left out.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence

from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.claim import Miscalculation
from gpuhours.questions.checking.reading.figures.numbers import scan
from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.formats.blocks import Prose
from gpuhours.questions.checking.reading.vocabulary.run_words import phrases_of

_SENTENCE = re.compile(r"[^\n]+?(?:[.!?;](?=\s|$)|(?=\n)|$)")
MEASURED = frozenset(["time", "energy", "money", "co2", "gpu_time", "node_time", "byte", "power"])
"""Units of figures that become more or less; machines are counted beside them."""
BESIDE = MEASURED | {"gpu"}
_FROM, _TO = ("from",), ("to", "down", "up")
_INSTEAD = re.compile(
    r"(?i)(?:instead of|rather than|against|versus|vs\.?|compared (?:to|with)|in place of)\s*(?:the |about )?$"
)
_TIMES = re.compile(r"(?i)^[\d.,]+ ?(?:x|×|times|-?fold)\b|^[\d.,]+ ?×")
_OF_SPEED = re.compile(
    r"(?i)\b(?:speed-? ?ups?|accelerations?|by a factor|factors?|improvements?|reductions?) of "
    r"(?:about |roughly |nearly |almost |some )?$"
)
_LESS_WORDS = (
    "less|more|faster|fast|fewer|shorter|lower|higher|quicker|slower|cheaper|speed-?up|reduction|saving|increase"
)
_LESS = re.compile(rf"(?i)^\s*(?:as )?(?:{_LESS_WORDS})\b")
_BY = re.compile(
    r"(?i)\b(?:cut|reduc\w+|lower\w*|short\w+|decreas\w+|increas\w+|fell|f[ae]lls?|rose|rises?|sav\w+|drop\w*|sank|grew|grows)\b[^.;]{0,60}"
    r"\bby (?:about |roughly |nearly |almost |some )?$"
)
DIRECTIONS = (
    ("fall", re.compile(r"(?i)less|fewer|shorter|lower|cheaper|reduc|saving|cut|short|decreas|f[ae]ll|sav|drop|sank")),
    ("rise", re.compile(r"(?i)more|higher|increas|rose|rise|grew|grow")),
)
"""Words by which something became less, or more; ``faster`` may be said of the time or of the speed."""
LINKS = frozenset(
    phrases_of("""a, an, the, or, i.e, that, this, it, is, was, means, makes, making, hence, thus, so, therefore, which, giving, being,
    by, exactly, only, just, even, about, roughly, nearly, almost, some, around, approximately, factor, factors, of, speedup, speed-up,
    speedups, speed-ups, acceleration, improvement, reduction, saving, times, x, ×, fold, -fold, as, fast, faster, less, fewer, shorter,
    lower, quicker, slower, cheaper, more, higher, %, percent, per, cent, time, from""")
)
"""Words that may stand between two figures and their ratio."""
OTHER_SUBJECT = re.compile(r"(?i)\b(?:and|but|while|whereas|with|at|so|though)\b")
"""Words before a comma behind the figures, after which a ratio is about something else."""
NEARBY = 40
"""The most characters between the figures and the comma before their ratio: ``from 9.0 hours to 4.1 hours per epoch, ...``."""
BEHIND = frozenset(
    phrases_of("""on, with, in, for, at, and, but, after, when, per, to, while, by, thanks, because, since, under, using, through, before,
    compared, now, or""")
)
"""Words that may follow a ratio of two figures; nouns of another quantity may not: ``8 % more time`` of two powers."""
NOUNS = {
    "time": ("time",), "gpu_time": ("time",), "node_time": ("time",), "energy": ("energy", "electricity", "power"),
    "money": ("money",), "byte": ("memory",), "power": ("power",), "co2": ("carbon", "co2"),
}  # fmt: skip
_WORD_BEHIND = re.compile(
    rf"(?i)(?:\s*(?:x|×|times|-?fold)(?![a-z]))?(?:\s*(?:as )?(?:{_LESS_WORDS})\b)?\s*([a-z]\w*)?"
)
_ELSEWHERE = re.compile(
    r"(?i)\bthan (?!before\b)|\b(?:overall|total|whole|altogether|end[- ]to[- ]end|in practice|net)\b"
)
"""Words behind a ratio by which it is one to another figure: ``10 % faster than the last release``, ``a speed-up of 1.2 overall``."""
_OF_TIME = re.compile(r"(?i)\b(?:fast|faster|quicker|slower|speed-? ?ups?|accelerations?)\b")
ALLOWED, HEDGED = 0.015, 0.1
"""Relative error of a ratio beyond the digits of its figures, and of one with ``about``."""


@dataclass(frozen=True)
class Ratio:
    """What a sentence says of two figures: the value that it gives and the least and most that the figures allow."""

    text: str
    line: int
    stated: float
    right: float
    holds: bool
    percent: bool


def ratios(prose: Prose) -> Iterator[Ratio]:
    """Yield every ratio that a sentence gives for two of its figures."""
    for found in _SENTENCE.finditer(prose.text):
        sentence = found[0]
        if len(sentence) > LONGEST or not any(
            word in sentence for word in ("%", "times", "x", "×", "fold", "factor", "speed", "percent")
        ):
            continue
        items = scan(sentence)
        said = [(figure, kind) for figure in items if isinstance(figure, Figure) and (kind := _kind(figure, sentence))]
        pairs = list(_pairs(items, sentence))
        told = [pair for pair in pairs if pair[0].unit in MEASURED]
        if not told or (len(said) > 1 and len(pairs) > 1):
            continue
        for figure, kind in said:
            beside = [pair for pair in told if _is_of(figure, pair, sentence)]
            if not beside:
                continue
            nearest = min(beside, key=lambda pair: abs(pair[1].start - figure.start))
            holds = any(_holds(figure, kind, pair) for pair in pairs)
            right = next((value for value, _ in _values(kind, nearest)), 0.0)
            if right > 0:
                begins, ends = min(nearest[0].start, figure.start), max(nearest[1].end, figure.end)
                text = " ".join(sentence[begins:ends].split())
                line = prose.line(found.start() + figure.start)
                yield Ratio(text, line, _plain(figure), right, holds, kind != "times")


LONGEST = 600


def _kind(figure: Figure, sentence: str) -> str:
    """``times``, or ``fall``, ``rise`` or ``percent``, if a figure says how much less, more or faster something became; empty otherwise."""
    before, behind = sentence[: figure.start], sentence[figure.end :]
    if figure.until is not None or figure.sides or figure.per or _plain(figure) <= 0:
        return ""
    if figure.unit == "percent":
        told = _LESS.search(behind) or _BY.search(before)
        return next((kind for kind, words in DIRECTIONS if told and words.search(told[0])), "percent" if told else "")
    if _OF_SPEED.search(before) and figure.unit in ("", "time") and figure.word != "s":
        return "times"
    return (
        "times"
        if _TIMES.search(sentence[figure.start :]) and (_LESS.search(behind) or _LESS.search(behind.partition(" ")[2]))
        else ""
    )


def _is_of(figure: Figure, pair: tuple[Figure, Figure], sentence: str) -> bool:
    """Whether a ratio is said of two figures: it stands beside them, with nothing that makes it one of something else."""
    first, last = pair[0].start, pair[1].end
    behind = sentence[figure.end :]
    clause = re.split(r"[.,;()](?:\s|$)", behind, maxsplit=1)[0]
    if figure.start >= last:
        head, comma, tail = re.split(r"([,:(–—]|$)", sentence[last : figure.start], maxsplit=1)
        beside = _links(tail) and (_links(head) or (comma and len(head) <= NEARBY and not OTHER_SUBJECT.search(head)))
    else:
        beside = figure.end <= first and _links(sentence[figure.end : first])
        clause = ""
    word = _WORD_BEHIND.match(behind)
    after = word[1].lower() if word is not None and word[1] and figure.start >= last else ""
    of_time = _OF_TIME.search(sentence[max(figure.start - 15, 0) : figure.end + 20])
    return bool(
        beside
        and (not after or after in BEHIND or after in NOUNS.get(pair[0].unit, ()) or after == "than")
        and not _ELSEWHERE.search(clause)
        and (not of_time or pair[0].unit in ("time", "gpu_time", "node_time"))
    )


def _links(text: str) -> bool:
    """Whether a text has only words that tie a ratio to its figures, and other ratios."""
    return all(word in LINKS or word[0].isdigit() for word in re.findall(r"[^\s,():–—~≈]+", text.lower()))


def _plain(figure: Figure) -> float:
    return 100 * figure.value if figure.unit == "percent" else figure.value


def _pairs(items: Sequence[Item], sentence: str) -> Iterator[tuple[Figure, Figure]]:
    """Yield the pairs of figures of one unit that a sentence sets against each other: from one to the other, or instead of it."""
    figures = [(n, item) for n, item in enumerate(items) if isinstance(item, Figure)]
    for (n, one), (m, other) in itertools.pairwise(figures):
        if one.unit != other.unit or one.unit not in BESIDE or not one.value > 0 < other.value:
            continue
        between = [item.text.lower().strip() for item in items[n + 1 : m]]
        from_to = (
            n > 0 and items[n - 1].text.lower().strip() in _FROM and between and {*between} <= {*_TO, "only", "just"}
        )
        if from_to or (m - n <= MOST_BETWEEN and _INSTEAD.search(sentence[one.end : other.start])):
            yield one, other


MOST_BETWEEN = 4


def _values(kind: str, pair: tuple[Figure, Figure]) -> list[tuple[float, float]]:
    """The values that a ratio of two figures may have, each with the relative error that one of the figures' errors makes in it.

    ``1.6 times as fast`` is also 0.6 times faster; ``37.5 %`` less time is 60 % more speed.
    """
    less, more = sorted(figure.value for figure in pair)
    if less == more:
        return []
    share, times = less / more, more / less
    rise, fall = (times - 1, times / (times - 1)), (1 - share, share / (1 - share))
    if kind == "times":
        return [(times, 1.0), rise]
    return [(100 * value, slope) for value, slope in {"fall": (fall,), "rise": (rise,)}.get(kind, (fall, rise))]


def _holds(figure: Figure, kind: str, pair: tuple[Figure, Figure]) -> bool:
    """Whether a ratio is that of two figures within the digits of all three."""
    off = sum(_half_a_digit(one) for one in pair)
    hedged = any(one.hedges for one in (figure, *pair))
    allowed = (HEDGED if hedged else ALLOWED) + _half_a_digit(figure)
    return any(abs(math.log(_plain(figure) / value)) <= allowed + slope * off for value, slope in _values(kind, pair))


def _half_a_digit(figure: Figure) -> float:
    """Half of the last digit that is written, relative to the number; zeros at the end of a whole number may be digits."""
    number = float(figure.digits.partition("e")[0].replace(",", "") or 0)
    decimals = figure.digits.partition("e")[0].partition(".")[2]
    return float(0.5 * 10.0 ** -len(decimals) / number) if number else 0.0


def misjudged(prose: Prose) -> Iterator[Miscalculation]:
    """Yield every ratio of a text that its figures do not have."""
    for one in ratios(prose):
        if not one.holds:
            unit = " %" if one.percent else ""
            cause = "change miscalculated" if one.percent else "speed-up miscalculated"
            yield Miscalculation(one.text, f"{one.right:.3g}{unit}", one.stated / one.right, f"line {one.line}", cause)


def held(prose: Prose) -> Iterator[str]:
    """Yield every ratio of a text that its figures have, as a sentence."""
    for one in ratios(prose):
        if one.holds:
            yield f"“{one.text}”: {one.right:.3g}{' %' if one.percent else ''}"
