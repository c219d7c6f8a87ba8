"""Tells digits grouped by spaces (``1 024 000``) from numbers side by side (``Llama 3 405B``, ``A100 300 days``, ``64 640 GB nodes``)."""

from __future__ import annotations

import re

from gpuhours.questions.checking.reading.formats.marks import GROUP_COMMA
from gpuhours.questions.checking.reading.vocabulary.run_words import phrases_of

_CANDIDATE = re.compile(
    r"(?<![\d.,\-–/×^\w])(?<!\d )[1-9]\d{0,2}(?: \d{3}){1,4}(?![\d.,]?\d| \d)(?= [A-Za-z(]|[ \t]*(?:$|\n|[|;,.)%:&=/]))"
)
_BEFORE = re.compile(r"(?:([^\W_][\w.+’'-]{0,40}[-–]?)(?:[ \t]?|[ \t]*\n[ \t>]{0,8})|([:=(~≈])[ \t]*|([$€£])[ \t]?)$")
"""The word, mark or currency directly before a number; a word may end the line before."""
_LEADING = frozenset(
    phrases_of("""
        a, about, after, almost, another, approximately, are, around, at, by, consumed, cost, costs, counted, during, every, exactly,
        for, from, has, have, hence, holds, in, is, just, makes, nearly, needed, of, on, only, over, per, ran, requires, required,
        roughly, spent, than, to, took, total, totalling, totaling, under, until, used, uses, was, were, with, within
    """)
)
"""Words that are no name and take no number of their own, so that digits behind them begin a figure."""
_ORDINAL = frozenset(
    phrases_of("""
        attempt, block, chapter, checkpoint, class, day, epoch, equation, eq, expert, fig, figure, gen, generation, group, iteration, job,
        layer, level, line, machine, model, month, no, node, number, option, page, part, phase, question, rank, round, row, run, section,
        seed, shard, slide, stage, step, table, task, tier, update, version, week, year, zero
    """)
)
"""Nouns that a number of their own may follow: ``in stage 2 512 GPUs``."""
_COUNTED = re.compile(
    r" (?:[A-Za-z]{1,12}\d{0,3}[ -])?(?:hours|days|steps|iterations|updates|tokens|sequences|samples|examples|images|clips|videos|GPUs|TPUs"
    r"|chips|cards|accelerators|parameters|kWh|MWh|dollars|euros|USD|EUR)\b"
)
"""A plural or a unit that ends its phrase; ``40 320-GPU jobs`` and ``8 256 GPU runs`` are not counted."""
_OF_A_PART = re.compile(r" (?:[KMGTP]i?B|[kM]?W|[kKMBT]|thousand|million|billion|trillion)\b")
"""Units of memory and power, and scales, whose number may describe one of several things: ``8 320 GB nodes``, ``3 405 billion``."""
_NAMED = re.compile(r"([^\W\d_]{2,40})[ -]?(\d{1,3})(?![\w.,]?\d| \d)")


def without_space_groups(text: str) -> str:
    """Replaces spaces that group digits with commas, where the text leaves no doubt that they do.

    ``12 000`` and ``1 126 400 000`` are grouped by themselves: no number is ``000``. ``40 320`` is grouped if the text groups another
    number so and none with commas, or if it follows a word such as ``used`` and counts something. Digits behind a name, an ordinal noun
    or a hyphen, and digits that touch a letter, are numbers of their own, and so are powers of two (``64 128``).
    """
    found = [one for one in _CANDIDATE.finditer(text) if not _is_apart(one)]
    if not found:
        return text
    numbered = {(word.lower(), digits) for word, digits in _NAMED.findall(text)}
    found = [one for one in found if (_word_before(one).lower(), one[0].split(" ")[0]) not in numbered]
    commas = GROUP_COMMA.search(text) is not None
    opening = {one[0] for one in found if _opens(one)}
    shown = not commas and (len(opening) > 1 or any(_surely_one_number(one[0]) for one in found))
    joined = {one.start() for one in found if shown or _surely_one_number(one[0]) or (not commas and _is_alone(one))}
    return _CANDIDATE.sub(lambda one: one[0].replace(" ", ",") if one.start() in joined else one[0], text)


def _surely_one_number(digits: str) -> bool:
    """Whether digits cannot be numbers side by side: a group begins with 0, or there are four groups."""
    groups = digits.split(" ")
    return len(groups) > 3 or any(group.startswith("0") for group in groups[1:])


def _before(found: re.Match[str]) -> tuple[str, str, str]:
    """The word, mark or currency directly before a number; all empty at the start of a paragraph or a cell."""
    before = _BEFORE.search(found.string, max(found.start() - 60, 0), found.start())
    word, mark, currency = before.groups("") if before else ("", "", "")
    return word, mark, currency


def _word_before(found: re.Match[str]) -> str:
    return _before(found)[0]


def _opens(found: re.Match[str]) -> bool:
    """Whether a word that takes no number of its own, a mark or a currency precedes a number."""
    word, mark, currency = _before(found)
    return bool(mark or currency) or word.lower() in _LEADING


def _is_alone(found: re.Match[str]) -> bool:
    """``used 40 320 GPU-hours``, ``$ 442 368``: whether one number by itself leaves no other reading than one grouped number."""
    return bool(_before(found)[2]) or (_opens(found) and _COUNTED.match(found.string, found.end()) is not None)


def _is_apart(found: re.Match[str]) -> bool:
    """Whether the digits are surely numbers of their own, by the word before them or the unit behind them."""
    groups = found[0].split(" ")
    if all(group[0] != "0" and int(group) & (int(group) - 1) == 0 for group in groups):
        return True
    if len(groups) < 4 and not _surely_one_number(found[0]) and _OF_A_PART.match(found.string, found.end()):
        return True
    word = _word_before(found)
    if (
        word.lower() in _LEADING
        or not word
        or (_surely_one_number(found[0]) and found.string[found.start() - 1] in "\n>")
    ):
        return False
    named = word[0].isupper() or any(letter.isupper() or letter.isdigit() for letter in word) or word[-1] in "-–"
    return word.lower() in _ORDINAL or named
