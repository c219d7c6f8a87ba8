"""Decides who each figure belongs to: a run of the authors, another model, something other than the run, or no one in particular.

A name, a size (``the 7B``), a rank (``the largest``) or a stage applies from its position to the end of its sentence, and further if the
next sentence begins with a pronoun or has no name. A heading, or the first words of a list item, apply to the text under them. After a word
of comparison, figures belong to others until the authors refer to themselves. All the words are in ``run_words``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.naming.cast import NOBODY, OURS, Cast, Owner
from gpuhours.questions.checking.reading.naming.names import words_of
from gpuhours.questions.checking.reading.ownership.behind import NEAR, behind_it, is_agent, named_behind, of_the_device
from gpuhours.questions.checking.reading.ownership.clauses import (
    DONE,
    DONE_WORDS,
    EXCEPT,
    HYPOTHETICAL,
    NOTIONAL,
    OF_A_CLAUSE,
    SEVERAL_RUNS,
    apart_from_the_run,
    beside_allotments,
    clause_of,
    of_money_alone,
    outside_brackets,
    sides_apart,
    sides_of_clauses,
    tells_several_runs,
    would,
)
from gpuhours.questions.checking.reading.ownership.outline import Outline
from gpuhours.questions.checking.reading.ownership.references import references
from gpuhours.questions.checking.reading.ownership.sections import SHORT, about, goes_on_about_others, ours
from gpuhours.questions.checking.reading.ownership.subject_changes import against, subject_changes
from gpuhours.questions.checking.reading.sentences.placed import ReadProse
from gpuhours.questions.checking.reading.sentences.scopes import Sentence
from gpuhours.questions.checking.reading.sentences.spans import end_of_opening
from gpuhours.questions.checking.reading.vocabulary.run_words import (
    PRONOUNS,
    SUMMED_OVER_RUNS,
    SUMMED_UP,
    compares,
    holds,
    phrases_of,
)
from gpuhours.questions.checking.reading.vocabulary.side_words import BESIDE_SECTIONS, OF_MACHINES_ALONE, SIDE

SUBJECT = 4
"""A name among this many first items of a block is the subject of the block."""
LABEL = 6
"""The most items in a first sentence that is a paragraph's label: ``Stage 2 (video).``"""
MACHINES = frozenset(["gpu", "node"])
"""Units of what one run has: ``on 1,024 GPUs for 18 days, 442,368 GPU-hours altogether`` sums up that run."""
SUMMING = frozenset(
    ["total", "altogether", "sum", "together", "combined", "overall", "all", "adds", "add", "adding", "added", "cumulative", "summed",
     "aggregate", "both", "cumulatively", "family", "project", "needed", "pipeline", "recipe", "everything"]
)  # fmt: skip
"""Words that mark a sum in a sentence."""
READ_BY_EACH = frozenset(["token", "step", "epoch"])
TOGETHER = ("in total", "together", "combined", "altogether", "total of", "in sum", "in all")
"""``Both models continue on 48B tokens``: an amount that a model reads is for each model, unless the sentence has one of these words."""
CLOSE = 3
ELSEWHERE = "another machine"
"""A paragraph that opens with this is about another machine until the authors refer to their own."""
WITHDRAWN = "a figure that is withdrawn"
"""Sets aside the figures of its own sentence only; the next sentence gives the correct ones."""


def assign(read: ReadProse, cast: Cast, but: str = "") -> list[Owner]:
    """The owner of every placed figure, in order; figures that would be set aside as ``but`` count as the run's."""
    cast = replace(cast, references=references(read, cast))
    owners: dict[int, Owner] = {}
    wanted: dict[int, list[int]] = {}
    for entry in read.placed:
        wanted.setdefault(id(entry.sentence), []).append(entry.index)
    last, last_block = None, -1
    block, default, carried = -1, NOBODY, NOBODY
    about_others = False
    outline = Outline()
    for sentence in read.sentences:
        here = read.prose.block(read.items[sentence.first].start)
        lowered = " ".join(item.text.lower() for item in read.items[sentence.first : sentence.last])
        about_others = goes_on_about_others(read.items, sentence, lowered, begins=here != block, before=about_others)
        if here != block:
            block = here
            this = read.prose.blocks[block]
            opening = _opening(read, sentence, cast)
            if this.kind == "heading":  # a title is about the run
                default = outline.heading(opening if opening.kind or not block else about(this.text[:SHORT], but))
            elif this.kind == "item":
                default = outline.item(this.depth, opening)
            else:
                default = outline.paragraph(this.text, opening if _labels(read.items, sentence, opening) else NOBODY)
            carried = default
            if not default.kind and this.kind == "text" and holds(lowered, SIDE[ELSEWHERE]):
                default = Owner("side", ELSEWHERE)
        if here == last_block and _takes_back(read.items, sentence, lowered, wanted.get(id(sentence), [])):
            taken = wanted.get(id(last), [])
            owners |= {index: Owner("side", LEFT_OUT) for index in taken if _of_work(read, index, taken)}
        last, last_block = sentence, here
        begin = Owner("other", "others") if about_others and not default.kind else default
        carried = _sentence(read, sentence, cast, begin, carried, wanted.get(id(sentence), []), owners, but)
        if read.prose.blocks[block].kind == "item" and carried.kind and default == NOBODY:
            outline.items[read.prose.blocks[block].depth] = carried
    found = [owners.get(entry.index, NOBODY) for entry in read.placed]
    return [NOBODY if owner == OURS else owner for owner in found]


def _labels(items: Sequence[Item], sentence: Sentence, opening: Owner) -> bool:
    """``Stage 2 (video).``: whether a paragraph's first sentence is only the name of the run that it opens with."""
    named = not set(words_of(items[sentence.first].text)[:1]).isdisjoint(words_of(opening.name))
    return sentence.last - sentence.first <= LABEL and opening.kind == "own" and named


def _is_fragment(items: Sequence[Item], sentence: Sentence) -> bool:
    """``9,920 GPU-hours, $19,344.``: whether a sentence only goes on with figures, without a subject or a verb."""
    words = [item.text.lower() for item in items[sentence.first : sentence.last] if item.kind == "word"]
    return isinstance(items[sentence.first], Figure) and set(words) <= JOINTS | FRAGMENT


FRAGMENT = frozenset(["or", "for", "in", "total", "all", "on"])
LEFT_OUT = "what was left out"


def _takes_back(items: Sequence[Item], sentence: Sentence, lowered: str, wanted: Sequence[int]) -> bool:
    """``We do not count them.``: whether a sentence without figures excludes what its pronoun stands for."""
    words = [item.text.lower() for item in items[sentence.first : sentence.last]]
    inside = next((n for n, word in enumerate(words) if word in RELATIVE and n), len(words))
    pronoun = not REFERRING.isdisjoint(words[:inside])
    return pronoun and not wanted and holds(lowered, SIDE[LEFT_OUT])


RELATIVE = frozenset(["that", "which", "who"])
"""Words that begin a relative clause, inside which no pronoun is the subject: ``trials that preceded it are not included``."""
REFERRING = PRONOUNS - {"there", "which", "one", "its", "their", "he", "she"} | {"them", "none"}
"""Pronouns that can stand for what the sentences before gave."""


def _of_work(read: ReadProse, index: int, taken: Sequence[int]) -> bool:
    """Whether a figure measures the run's work or cost, or counts a machine when an earlier sentence also gives one."""
    figure = read.items[index]
    if not isinstance(figure, Figure):
        return False
    told = {entry.place.quantity for entry in read.placed if entry.index < min(taken, default=0)}
    machine = figure.unit in ("gpu", "node") and not told.isdisjoint(("gpus", "nodes"))
    return figure.unit in WORK_UNITS or machine


WORK_UNITS = frozenset(["token", "epoch", "step", "sample", "time", "gpu_time", "node_time", "money", "energy", "co2"])


def _opening(read: ReadProse, sentence: Sentence, cast: Cast) -> Owner:
    """The run that the first words of a block name; nobody if they name none."""
    for index, owner in subject_changes(read.items, sentence, cast):
        if index <= sentence.first + SUBJECT and owner.kind in ("own", "other"):
            return owner
    return NOBODY


def _sentence(
    read: ReadProse,
    sentence: Sentence,
    cast: Cast,
    default: Owner,
    carried: Owner,
    wanted: list[int],
    owners: dict[int, Owner],
    but: str,
) -> Owner:
    """Sets the owner of each figure in one sentence; returns the owner that the next sentence continues with."""
    items = read.items
    lowered = " ".join(item.text.lower() for item in items[sentence.first : sentence.last])
    compared = compares(lowered)
    events = list(subject_changes(items, sentence, cast, compared=default.kind == "other"))
    anchors = [index for index, owner in events if owner.kind in ("own", "us")]
    compared_apart = apart_from_the_run(items, sentence, compares, anchors) if compared else None
    if compared and compared_apart is None:
        events = list(subject_changes(items, sentence, cast, compared=True))
    named = any(owner.kind in ("own", "other") for _, owner in events)
    events = sorted([*events, *against(items, sentence, named)], key=lambda event: event[0])
    goes_on = not named and carried.kind in ("own", "us") and not _of_every_run(items, sentence)
    goes_on = goes_on and not of_the_device(items, sentence)
    goes_on = goes_on or items[sentence.first].text.lower() in PRONOUNS or _is_fragment(items, sentence)
    returns = carried.name == HYPOTHETICAL and not DONE_WORDS.isdisjoint(lowered.split())  # ...; it took 390 hours on 8
    begin, of = default if returns or not goes_on else carried, NOBODY
    notional = holds(lowered, NOTIONAL) and of_money_alone(items, sentence)
    apart = {} if notional else sides_apart(items, sentence, anchors)
    side = _side(items, sentence, lowered, default, (but, *apart, *([HYPOTHETICAL] if notional else [])))
    if compared and compared_apart is None and not ours(items, sentence):
        other = next((owner for _, owner in events if owner.kind == "other"), Owner("other", "others"))
        begin = other if not any(owner.kind == "own" for _, owner in events) else begin
    elif side is not None and begin.kind != "other":
        begin, of = Owner("side", side), next((owner for _, owner in reversed(events) if owner.kind == "own"), of)
        events = [(index, owner) for index, owner in events if owner.kind == "other"]
    elif (
        not named
        and holds(lowered, {"": SUMMED_UP, "own": SUMMED_OVER_RUNS}.get(begin.kind, ()))
        and not (begin.kind == "own" and any(getattr(items[index], "unit", "") in MACHINES for index in wanted))
    ):
        begin = Owner("total")
    _give(items, sentence, lowered, events, begin, default, wanted, owners)
    for name, inside in apart.items():
        owners |= {index: Owner("side", name) for index in wanted if index in inside and name != but}
    theirs = [index for index in wanted if index in (compared_apart or ()) and owners[index].kind != "other"]
    owners |= dict.fromkeys(theirs, Owner("other", "others"))
    owners |= {} if notional else _parts_aside(items, sentence, lowered, wanted, whole=side is not None)
    subjects = [(at, owner) for at, owner in events if not (owner.kind == "own" and is_agent(items, at, sentence))]
    after = _subject_after(subjects if any(owner.kind == "own" for _, owner in subjects) else events, begin, default)
    return of if of.kind and after.name in OF_MACHINES_ALONE else after  # Tern was granted 512 cards. Its training took


def _subject_after(events: Sequence[tuple[int, Owner]], begin: Owner, default: Owner) -> Owner:
    """The subject that a sentence leaves to the next: the last run that it names, or the one that it began with."""
    last = next((owner for _, owner in reversed(events) if owner.kind in ("own", "other")), None)
    if last is None or (last.kind == "other" and events[-1][1] == OURS):
        last = OURS if any(owner == OURS for _, owner in events) and begin.kind != "own" else begin
    if last == OURS and default.kind == "own":
        return default  # Stage 2. We then switch to longer clips
    return default if last.name == WITHDRAWN else last


def _parts_aside(
    items: Sequence[Item], sentence: Sentence, lowered: str, wanted: Sequence[int], *, whole: bool
) -> dict[int, Owner]:
    """The figures in parts of a sentence that are not about the run. ``whole``: the whole sentence is set aside already."""
    aside = dict(sides_of_clauses(items, sentence, wanted))
    if (exception := EXCEPT.search(lowered)) is not None:
        at = sentence.first + lowered[: exception.start()].count(" ")
        opened = end_of_opening(items, sentence.first, sentence.last) if at == sentence.first else -1
        end = opened if opened > 0 else sentence.last  # Apart from the tokenizer, X took 18 days
        aside |= {index: Owner("side", LEFT_OUT) for index in wanted if at < index < end}
    if not whole and (span := _of_one_clause(items, sentence, SIDE[HYPOTHETICAL])) is not None:
        aside |= {index: Owner("side", HYPOTHETICAL) for index in wanted if span[0] <= index < span[1]}
    if not whole and (span := clause_of(items, sentence, SIDE[PREPARATION])) is not None:
        aside |= {index: Owner("side", PREPARATION) for index in wanted if span[0] <= index < span[1]}
    return aside


def _side(items: Sequence[Item], sentence: Sentence, lowered: str, default: Owner, but: tuple[str, ...]) -> str | None:
    """The reason, none of ``but``, why a whole sentence is not about the run; None if it is."""
    pronoun = items[sentence.first].text.lower() in PRONOUNS
    said = f"{_clause_before(items, sentence)} {lowered}" if pronoun else lowered
    said = beside_allotments(EXCEPT.sub("", said.replace("training and inference", "training")))
    if SEVERAL_RUNS not in but and tells_several_runs(items, sentence):
        return SEVERAL_RUNS
    done = not DONE_WORDS.isdisjoint(lowered.split())
    for name, phrases in SIDE.items():
        if name == HYPOTHETICAL and done and not holds(lowered, phrases):
            continue  # 32 GPUs would have cut this; it took 390 hours on 8
        if name not in but and name not in OF_A_CLAUSE and holds(said, phrases):
            if name == PREPARATION and clause_of(items, sentence, phrases) is not None:
                continue  # trained on 128 A100, latents computed in advance
            outside = " ".join(outside_brackets(items, sentence.first, sentence.last))
            if name == HYPOTHETICAL and _of_one_clause(items, sentence, phrases):
                continue  # it was read three times, and eight of the cards are enough for it
            if name == OTHERS_TRAINED and not holds(outside, phrases):
                continue  # the decoder has 5B parameters, the encoder (not trained here) 0.2B
            if name == "use" and _only_in_passing(items, sentence, phrases):
                continue  # it took 24,000 GPU hours, and inference is cheap as well
            return name
    if HYPOTHETICAL not in but and would(outside_brackets(items, sentence.first, sentence.last)):
        return HYPOTHETICAL
    if default.name == ELSEWHERE and ours(items, sentence):
        return None
    return default.name if default.kind == "side" and default.name in (*BESIDE_SECTIONS, ELSEWHERE) else None


PREPARATION = "data preparation"


def _of_one_clause(items: Sequence[Item], sentence: Sentence, phrases: tuple[str, ...]) -> tuple[int, int] | None:
    """The only clause with one of the phrases, if clauses before it say with figures what was done; else None."""
    span = clause_of(items, sentence, phrases, DONE)
    if span is None or not any(isinstance(item, Figure) for item in items[sentence.first : span[0]]):
        return None
    return span if any(item.text.lower() in DONE for item in items[sentence.first : span[0]]) else None


OTHERS_TRAINED = "a part that others trained"


def _only_in_passing(items: Sequence[Item], sentence: Sentence, phrases: tuple[str, ...]) -> bool:
    """Whether the phrases occur only in a last clause without figures, behind a comma and ``and``, ``while`` or ``but``."""
    figures = [n for n in range(sentence.first, sentence.last) if isinstance(items[n], Figure)]
    if not figures:
        return False
    for at in range(figures[-1], sentence.last - 1):
        if items[at].text == "," and items[at + 1].text.lower() in ("and", "while", "but", "which", "whereas"):
            before = " ".join(item.text.lower() for item in items[sentence.first : at])
            return not holds(before, phrases)
    return False


def _of_every_run(items: Sequence[Item], sentence: Sentence) -> bool:
    """``Both are trained on 256 cards``: whether a sentence applies to all runs and not only to the one before."""
    words = [item.text.lower() for item in items[sentence.first : sentence.last] if item.text[:1].isalnum()]
    if _TO_EACH.search(" ".join(words[-6:])):
        return True
    behind = items[sentence.first + 1].text.lower() if sentence.first + 1 < sentence.last else ""
    return items[sentence.first].text.lower() in ("both", "all", "each", "either") and behind in ALL_DO


ALL_DO = frozenset(
    phrases_of(
        "are, were, models, runs, sizes, of, stages, use, used, have, had, share, ran, was, is, model, size, network, variant"
    )
)
_TO_EACH = re.compile(
    r"\b(?:to|by|for|with) (?:(?:each|either|every)(?: one)?(?: of (?:the|our))? (?:model|network|size|variant)s?|both)$"
)
"""``1.1T tokens are shown to each model``, ``to both``."""


def _give(
    items: Sequence[Item],
    sentence: Sentence,
    lowered: str,
    events: list[tuple[int, Owner]],
    begin: Owner,
    default: Owner,
    wanted: Sequence[int],
    owners: dict[int, Owner],
) -> None:
    """Gives each figure of a sentence the last name before it, or a following name that a preposition ties to it."""
    summed = [at for at in range(sentence.first, sentence.last) if items[at].text.lower() in SUMMING]
    of_each = items[sentence.first].text.lower() in ("both", "all") and not holds(lowered, TOGETHER)
    trailing = named_behind(items, sentence, events, wanted)
    for index in wanted:
        if trailing:
            owners[index] = next((owner for at, owner in events if at >= index), events[-1][1])
            continue
        before = [(at, owner) for at, owner in events if at <= index]
        behind = behind_it(items, index, [event for event in events if event[0] > index], CLOSE)
        if before and behind is not None and not any(isinstance(item, Figure) for item in items[before[-1][0] : index]):
            behind = None
        if behind is not None:
            owner = behind
        elif before:
            owner = _together(items, before)
            if owner == OURS and begin.kind != "other":
                owner = next((one for _, one in reversed(before) if one.kind == "own"), begin)
        else:
            owner = behind_it(items, index, events) or begin
        if owner.kind == "total" and not any(
            (at <= sentence.first + SUBJECT or abs(at - index) <= NEAR) and _sums(items, at, index) for at in summed
        ):
            owner = default
        if owner.kind == "total" and of_each and getattr(items[index], "unit", "") in READ_BY_EACH:
            owner = default
        owners[index] = owner


def _sums(items: Sequence[Item], at: int, index: int) -> bool:
    """Whether a sum word applies to the figure at ``index``: in ``19B parameters in all, 2T tokens`` it applies only to the parameters."""
    behind_another = at > 1 and items[at - 1].text.lower() == "in" and isinstance(items[at - 2], Figure)
    return not behind_another or at - 2 == index


JOINTS = frozenset(["and", ",", "the", "&", "both"])


def _together(items: Sequence[Item], before: Sequence[tuple[int, Owner]]) -> Owner:
    """The last name before a figure, with the names joined to it: ``the 33B and the 65B``."""
    owner = before[-1][1]
    also: list[str] = []
    for (at, one), (behind, _) in reversed(list(pairwise(before))):
        between = [item.text.lower() for item in items[at + 1 : behind] if item.text.lower() not in words_of(one.name)]
        if one.kind != "own" or owner.kind != "own" or not between or not set(between) <= JOINTS:
            break
        also.append(one.name)
    return owner._replace(also=tuple(also)) if also else owner


def _clause_before(items: Sequence[Item], sentence: Sentence) -> str:
    """The words before a semicolon: ``a chat version is tuned from it; this takes 9 hours``; empty if the sentence does not follow one."""
    if not sentence.first or items[sentence.first - 1].text != ";":
        return ""
    words: list[str] = []
    for item in reversed(items[max(sentence.first - 81, 0) : sentence.first - 1]):
        if item.kind == "stop":
            break
        words.insert(0, item.text.lower())
    return " ".join(words)
