"""The models that prose introduces by name, with or without a size in it, and whose they are.

A capitalised word is a model's name if the text says what only models do: a verb of training leads it, a naming verb gives it, or its own
clause goes on with parameters, machines, time or tokens. Each frame is a point; a name needs ``ENOUGH``. Whose it is follows from how it
is introduced: the authors' verbs and headings speak for them, citations, reports and comparisons for others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field, replace

from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.accelerators import find_accelerator
from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.naming.cast import Cast, rank_of, sized
from gpuhours.questions.checking.reading.naming.names import mentions, size_of, stem, words_of
from gpuhours.questions.checking.reading.ownership.owners import assign
from gpuhours.questions.checking.reading.ownership.sections import TURNS, compared_blocks, goes_on_about_others, ours
from gpuhours.questions.checking.reading.ownership.subject_changes import DESCRIBED, is_compared, is_measure
from gpuhours.questions.checking.reading.runs.coordination import distributed
from gpuhours.questions.checking.reading.runs.groups import is_quantity
from gpuhours.questions.checking.reading.runs.informal_runs import clash
from gpuhours.questions.checking.reading.sentences.placed import ReadProse
from gpuhours.questions.checking.reading.sentences.scopes import Sentence
from gpuhours.questions.checking.reading.vocabulary.run_words import (
    COMMON,
    DATA_STEMS,
    MEASURES,
    NEAR,
    NOT_MODELS,
    PREDECESSORS,
    compares,
    holds,
    phrases_of,
)

NAMING = frozenset(phrases_of("call, called, calls, name, named, dubbed, baptised, christened, label, labelled"))
"""Verbs that give a name."""
LED = ("train", "pretrain", "pre-train", "present", "introduc", "releas", "built", "build", "describ")
"""Prefixes of verbs whose object is a model."""
LINKS = frozenset(phrases_of("the, our, its, their, we, of, both, and, it, is, a, an, this"))
"""Words between such a verb and a name."""
DOES = frozenset(
    phrases_of("""
    has, had, was, is, took, takes, used, uses, saw, sees, read, reads, ran, needed, needs, learned, learns, cost,
    costs, comprises, contains, holds, consists, went, goes, came, comes, got, finished, made, makes, consumed, spent,
    required, lasted, occupied, kept, reached, stacked, counts, processed, stopped, began, started, shared
""")
)
"""Verbs of which a model is the subject."""
SUBJECTS = DOES | {",", "("}
"""What follows a name that a sentence is about."""
MEASURED = frozenset(["parameter", "token", "gpu", "node", "gpu_time", "node_time", "step", "epoch", "sample", "flop"])
"""Units of what a training has."""
THEIRS = phrases_of("""
    its authors, the authors, their paper, the paper, its report, their report, its paper, published by,
    public weights, et al, did not retrain, competitor, strongest published, closest relative, best known, they state,
    they report, its predecessor, were reported, was reported, is reported, reportedly
""")
"""Phrases of a sentence that introduces somebody else's model."""
ENOUGH = 2.0
"""Points that make a capitalised word a name; a size or version in it is as good."""
MOST, MOST_OTHERS = 12, 40
"""The most runs of a text, and other models, that prose names; more are a survey."""
CLAUSE = 14
"""The most items from a name to the figure that its clause goes on with."""


@dataclass
class Introduced:
    """A name, where it stands, how surely it is a model's, and whose."""

    shown: str
    at: list[int] = field(default_factory=list)
    points: float = 0.0
    ours: float = 0.0
    theirs: float = 0.0
    bases: int = 0
    """How often it is only what a run starts from or is measured against."""


def introduced(read: ReadProse) -> list[Introduced]:
    """The models that the prose names, in the order of their first mention."""
    found: dict[str, Introduced] = {}
    words = [item.text for item in read.items if item.kind == "word"]
    small = {word for word in words if word.islower()}
    if sum(word.istitle() for word in words) > len(words) / 2:
        small |= {word.lower() for word in words}  # In A Text With Capitals Everywhere They Say Nothing
    elsewhere = compared_blocks(read.prose)
    last, about_others = -1, False
    for sentence, behind in zip(read.sentences, [*read.sentences[1:], None], strict=False):
        block = read.prose.block(read.items[sentence.first].start)
        lowered = " ".join(item.text.lower() for item in read.items[sentence.first : sentence.last])
        begins, last = block != last, block
        about_others = goes_on_about_others(read.items, sentence, lowered, begins=begins, before=about_others)
        followed = behind if behind is not None and read.prose.block(read.items[behind.first].start) == block else None
        beside = about_others or block in elsewhere or _is_theirs(read.items, lowered, followed)
        theirs = 2.0 * beside
        mine = ours(read.items, sentence)
        for first, last, shown in _names(read, sentence, small):
            one = found.setdefault(shown, Introduced(shown))
            one.at.append(first)
            about = read.items[last + 1].text.lower() if last + 1 < sentence.last else ""
            one.points += _points(read.items, first, last, sentence) + ENOUGH * (theirs > 0 and about in SUBJECTS)
            led = _led(read.items, first, sentence)
            one.ours += mine + led * mine
            one.theirs += theirs * (len(one.at) == 1 or about in SUBJECTS)
            one.bases += _is_base(read.items, first, sentence) or _is_beside(read.items, first, last, sentence)
    return list(found.values())


def _names(read: ReadProse, sentence: Sentence, small: set[str]) -> Iterator[tuple[int, int, str]]:
    """The names of a sentence with their first and last item: those with a size or version, and other capitalised words."""
    items = read.items
    covered: set[int] = set()
    for mention in mentions(items, sentence.first, sentence.last, ()):
        covered |= set(range(mention.first, mention.last + 1))
        yield mention.first, mention.last, mention.shown
    for at in range(sentence.first, sentence.last):
        item = items[at]
        if at in covered or item.kind != "word" or not _is_coined(item.text, small):
            continue
        if at > sentence.first and items[at - 1].text.istitle() and items[at - 1].text.lower() in AGENTS:
            continue
        behind = items[at + 1] if at + 1 < sentence.last else None
        counted = isinstance(behind, Figure) and behind.text in VERSIONS and not behind.unit
        yield at, at + counted, f"{item.text} {behind.text}" if counted and behind is not None else item.text


VERSIONS = frozenset("123456789")
AGENTS = frozenset(
    phrases_of("team, group, lab, laboratory, institute, institut, university, company, professor, dr, mr, ms")
)
"""Words before the name of somebody who trains models."""


def _is_coined(text: str, small: set[str]) -> bool:
    """Whether a word may be a name that somebody made up: capitalised, not a card, a data set, or a word that is also written small."""
    lowered = text.lower()
    parts = lowered.split("-")
    if not text[:1].isupper() or len(parts[0]) < SHORTEST or not text[1:2].islower() or not parts[0].isalpha():
        return False
    if lowered in small or parts[0] in small or parts[0] in NOT_NAMES or find_accelerator(text) is not None:
        return False
    return not is_quantity(text) and not any(part in stem(text) for part in DATA_STEMS)


SHORTEST = 3
NOT_NAMES = (
    COMMON
    | NOT_MODELS
    | frozenset(
        phrases_of("""
    ours, mine, theirs, hers, others, everyone, everything, nobody, they, both, there, here, when, while, what, how,
    why, who, where, all, each, either, neither, its, his, her, she, you, then, also, only, half, most, many, some,
    several, none, nothing, another, other, others, about, above, after, again, against, although, altogether, as,
    because, before, below, between, but, during, finally, given, however, since, so, still, such, thus, together,
    under, until, very, yet, vit, unet, resnet, bert, clip, afterwards, once, twice, more, less, now, today, later,
    earlier, last, next, first, second, third, training, pre-training, pretraining, adaptation, fine-tuning, pre,
    post, fine, multi, self, semi, non, co, january, february, march, april, may, june, july, august, september,
    october, november, december, monday, tuesday, wednesday, thursday, friday, saturday, sunday, adamw, adam, bfloat,
    gpu, gpus, nvidia, amd, intel, google, pytorch, jax, megatron, deepspeed, transformer, transformers, appendix,
    table, figure, section, chapter, slurm, flash, rope, the, this, that, our, these, those, one, two, three
""")
    )
)
"""Capitalised words that are no models."""


def _points(items: Sequence[Item], first: int, last: int, sentence: Sentence) -> float:
    """How surely a mention is a model's: its size or version, the verb before it, what its clause goes on with."""
    last_part = items[first].text.split("-")[-1]
    if size_of(items[first].text) or (
        "-" in items[first].text and (not last_part.islower() or rank_of(items[first].text))
    ):
        return ENOUGH
    before = [item.text.lower() for item in items[max(first - NEAR, sentence.first) : first]]
    named = any(word in NAMING for word in before) and set(before[-1:]) <= NAMING | LINKS
    clause = items[last + 1 : min(last + CLAUSE, sentence.last)]
    follows = clause[0].text.lower() if clause else ""
    units = {item.unit for item in clause if isinstance(item, Figure)}
    measured = (not units.isdisjoint(MEASURED)) + ("parameter" in units)
    about = (0.5 + measured) * (follows in DOES) + measured * (follows in (",", "("))
    return ENOUGH * named + 1.5 * _led(items, first, sentence) + about


def _led(items: Sequence[Item], first: int, sentence: Sentence) -> bool:
    """``We train Isobar``, ``training of Ostler-32B and of``: whether a verb of which models are the object leads a name."""
    at = first - 1
    while at > sentence.first and first - at <= NEAR and items[at].text.lower() in LINKS:
        at -= 1
    return at >= sentence.first and items[at].text.lower().startswith(LED)


def _is_theirs(items: Sequence[Item], said: str, behind: Sentence | None) -> bool:
    """Whether a sentence, or the next one that goes on about its subject, speaks of somebody else's model."""
    if said.startswith(TURNS):
        return False
    goes_on = " ".join(item.text.lower() for item in items[behind.first : behind.first + NEAR]) if behind else ""
    return compares(said) or holds(said, THEIRS) or holds(goes_on, THEIRS)


def _is_base(items: Sequence[Item], first: int, sentence: Sentence) -> bool:
    """``upcycled from the dense Ouzel-2B``, ``continue Tern-2``: whether a mention is only that of a model to start from."""
    at = first - 1
    while at > sentence.first and items[at].text.lower() in DESCRIBED:
        at -= 1
    return at >= sentence.first and items[at].text.lower() in STARTS


STARTS = frozenset(
    phrases_of("from, off, initialised, initialized, continue, continues, continued, extend, extends, extended")
)


OTHERS_BEFORE = tuple(phrase for phrase in MEASURES if phrase != "whereas")
"""Words before what a run is only compared with; ``whereas`` may go on with another run."""


def _is_beside(items: Sequence[Item], first: int, last: int, sentence: Sentence) -> bool:
    """Whether a mention is only a measure, a base or an earlier model."""
    before = items[first - 1].text.lower() if first > sentence.first else ""
    return (
        before in PREDECESSORS
        or is_compared(items, first, sentence, OTHERS_BEFORE)
        or is_measure(items, first, last, sentence)
    )


def with_names(read: ReadProse, cast: Cast, main: str, titles: Sequence[str]) -> Cast:
    """The cast with the models that the prose introduces: the authors' if two of them have different figures, and others' in any case."""
    found = [one for one in introduced(read) if one.points >= ENOUGH]
    told = {word for title in titles for word in words_of(title)}
    titled = [one for one in found if stem(one.shown) in told]
    own = [
        one for one in titled or found
        if one.shown == main or (one.ours >= one.theirs and one.bases < len(one.at))
    ]  # fmt: skip
    others = [one.shown for one in found if one not in own][:MOST_OTHERS]
    own = _members(own[: MOST + 1])
    names = [one.shown for one in own]
    wider = replace(
        cast,
        own=names,
        others=[*cast.others, *others],
        stems={stem(name) for name in [*names, main] if stem(name)},
        sizes=sized(names),
        informal={},
    )
    if not 2 <= len(names) <= MOST:
        return replace(cast, others=[*cast.others, *others])
    owners = distributed(read, assign(read, wider), wider)
    for entry, owner in zip(read.placed, owners, strict=True):
        if owner.kind == "own" and entry.place.quantity == "parameters" and not owner.also:
            wider.sizes.setdefault(owner.name, entry.figure.value)
    return wider if clash(read, distributed(read, assign(read, wider), wider), names) else cast


def _members(own: Sequence[Introduced]) -> list[Introduced]:
    """The names without those of a whole family: ``Lorica`` beside ``Lorica-B`` and ``Lorica-L``, ``Filament`` beside ``Filament-6.5B``."""
    kept = []
    for one in own:
        members = [other for other in own if other is not one and stem(other.shown) == stem(one.shown)]
        members = [] if size_of(one.shown) else members  # Plover-5B beside Plover-5B-Code
        longer = [other for other in members if set(words_of(one.shown)) < set(words_of(other.shown))]
        if longer and (len(longer) > 1 or size_of(longer[0].shown)):
            continue
        kept.append(one)
    return kept
