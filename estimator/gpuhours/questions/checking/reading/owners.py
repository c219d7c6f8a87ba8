"""Whose figure it is: a run of the authors, somebody else's model, something beside the run, or nobody's in particular.

A name, a size (``the 7B``), a rank (``the largest``) or a stage holds from where it stands to the end of its sentence, and further where
the next sentence begins with a pronoun or has no name; a heading or the first words of a list item hold for what stands under them. Words
of comparison hand what follows to others until the authors speak of themselves. All words stand in ``run_words``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from gpuhours.questions.checking.reading.blocks import Prose
from gpuhours.questions.checking.reading.cast import NOBODY, OURS, Cast, Owner
from gpuhours.questions.checking.reading.names import mentions, stem, words_of
from gpuhours.questions.checking.reading.prose import ReadProse
from gpuhours.questions.checking.reading.run_words import (
    AGAINST,
    BASES,
    BESIDE_SECTIONS,
    COMPARISONS,
    CONTINUED,
    OPENINGS,
    OURSELVES,
    PREDECESSORS,
    PRONOUNS,
    SIDE,
    SIZES,
    STAGES,
    SUMMED_OVER_RUNS,
    SUMMED_UP,
    TIMES_PAST,
    VARIED,
    holds,
)
from gpuhours.questions.checking.reading.scopes import Sentence
from gpuhours.questions.checking.reading.spoken_names import spoken_at
from gpuhours.questions.checking.reading.tokens import Figure, Item

SUBJECT = 4
"""A name among the first items of a block is what the block is about."""
NEAR = 7
SUMMING = frozenset(
    ["total", "altogether", "sum", "together", "combined", "overall", "all", "adds", "add", "adding", "added", "cumulative", "summed",
     "aggregate", "both", "cumulatively", "family", "project", "needed"]
)  # fmt: skip
"""The words by which phrases of a sum are found in a sentence."""
READ_BY_EACH = frozenset(["token", "step", "epoch"])
TOGETHER = ("in total", "together", "combined", "altogether", "total of", "in sum", "in all")
"""``Both models continue on 48B tokens``: of what a model reads a sentence gives each one's, unless it says that it adds up."""
CLOSE = 3
SHORT = 80
"""Characters of a line that opens a list."""
TRAINS = (
    "train",
    "pretrain",
    "pre-train",
    "present",
    "introduc",
    "releas",
    "our",
    "built",
    "build",
    "model",
    "called",
    "named",
    "it's",
)
FOLLOWED = (
    "was",
    "is",
    "went",
    "read",
    "reads",
    "learned",
    "took",
    "takes",
    "has",
    "needed",
    "sees",
    "saw",
    "used",
    "(",
    "ran",
    "covers",
    "consumed",
    "were",
    "'s",
    "trains",
)


def own_name(read: ReadProse, titles: Sequence[str], said: str) -> str:
    """The model that a text is about: by its title, its label, what is said to be trained; empty where nothing tells."""
    scores: Counter[str] = Counter()
    first = True
    others = compared_blocks(read.prose)
    last, about_others = -1, False
    for sentence in read.sentences:
        items = read.items
        lowered = " ".join(item.text.lower() for item in items[sentence.first : sentence.last])
        here = read.prose.block(items[sentence.first].start)
        about_others = _goes_on_about_others(items, sentence, lowered, begins=here != last, before=about_others)
        last = here
        compared = about_others or holds(lowered, COMPARISONS) or here in others
        compared = compared and not lowered.startswith(TURNS)
        beside = any(holds(lowered, phrases) for name, phrases in SIDE.items() if name not in OF_THE_RUN)
        for found in mentions(items, sentence.first, sentence.last, ()):
            before = [item.text.lower() for item in items[max(sentence.first, found.first - 4) : found.first]]
            behind = items[found.last + 1].text.lower() if found.last + 1 < sentence.last else ""
            based = bool(before) and before[-1] in BASES and not any(word.startswith(TRAINS) for word in before)
            continued = bool(before) and before[-1] in CONTINUED
            score = 0.5 + first - 4.0 * (compared or continued or beside) - 2.0 * based
            score += (
                3.0 * any(word.startswith(TRAINS) for word in before)
                + 1.5 * (behind in FOLLOWED)
                + 0.5 * (found.size is not None)
            )
            block = read.prose.blocks[read.prose.block(items[found.first].start)]
            score += 4.0 * (block.kind == "heading" or len(block.text) < 40) * (not compared)
            scores[found.shown] += score  # type: ignore[assignment]
            first = False
    for title in titles:
        for name in scores:
            if stem(name) and stem(name) in words_of(title):
                scores[name] += 3
    if said:
        return said
    best = max(scores, key=lambda name: scores[name], default="")
    return best if best and scores[best] > 0 else ""


WITHDRAWN = "a figure that is withdrawn"
"""What is beside the run in its own sentence alone: the next one says what is so."""
TURNS = ("in contrast", "by contrast")
"""First words of a sentence that goes back from others to the run."""
OF_THE_RUN = ("an allocation", "a part of the machine")
"""What is beside the run and yet says its name."""


def _goes_on_about_others(
    items: Sequence[Item], sentence: Sentence, lowered: str, *, begins: bool, before: bool
) -> bool:
    """Whether a paragraph that opens with ``Prior efforts were expensive`` still speaks of these."""
    if begins:
        return holds(lowered, OPENINGS) and not _ours(items, sentence)
    return before and not lowered.startswith(TURNS) and not _ours(items, sentence)


def compared_blocks(prose: Prose) -> set[int]:
    """What stands under a heading like ``Related work``, and the items of lists that a line like ``For comparison`` opens."""
    found, under, level = set(), False, 0
    for index, block in enumerate(prose.blocks):
        if block.kind == "heading" and (level == 0 or block.depth <= level):
            level = block.depth if holds(block.text.lower(), COMPARISONS) else 0
        if level or (block.kind == "item" and under):
            found.add(index)
        else:
            under = block.kind != "item" and len(block.text) < SHORT and holds(block.text.lower(), COMPARISONS)
    return found


def beside_blocks(prose: Prose) -> set[int]:
    """What stands under a short heading about use or adaptation."""
    found, level = set(), 0
    for index, block in enumerate(prose.blocks):
        if block.kind == "heading" and (level == 0 or block.depth <= level):
            level = block.depth if about(block.text[:SHORT]).name in BESIDE_SECTIONS else 0
        if level:
            found.add(index)
    return found


def assign(read: ReadProse, cast: Cast, but: str = "") -> list[Owner]:
    """The owner of every placed figure, in their order; what is beside the run in the way ``but`` is the run."""
    owners: dict[int, Owner] = {}
    wanted: dict[int, list[int]] = {}
    for entry in read.placed:
        wanted.setdefault(id(entry.sentence), []).append(entry.index)
    block, default, carried, above = -1, NOBODY, NOBODY, NOBODY
    about_others = False
    parents: dict[int, Owner] = {}
    intro = NOBODY
    for sentence in read.sentences:
        here = read.prose.block(read.items[sentence.first].start)
        lowered = " ".join(item.text.lower() for item in read.items[sentence.first : sentence.last])
        about_others = _goes_on_about_others(read.items, sentence, lowered, begins=here != block, before=about_others)
        if here != block:
            block = here
            this = read.prose.blocks[block]
            opening = _opening(read, sentence, cast)
            if this.kind == "heading":
                above = opening if opening.kind else about(this.text[:SHORT], but)
                intro, parents, default = NOBODY, {}, above
            elif this.kind == "item":
                default = opening if opening.kind else parents.get(this.depth - 1, intro if intro.kind else above)
                parents = {depth: owner for depth, owner in parents.items() if depth < this.depth} | {
                    this.depth: default
                }
            else:
                intro = (
                    Owner("other", "others")
                    if len(this.text) < SHORT and holds(this.text.lower(), COMPARISONS)
                    else NOBODY
                )
                default, parents = above, {}
            carried = default
        begin = Owner("other", "others") if about_others and not default.kind else default
        carried = _sentence(read, sentence, cast, begin, carried, wanted.get(id(sentence), []), owners, but)
        if read.prose.blocks[block].kind == "item" and carried.kind and default == NOBODY:
            parents[read.prose.blocks[block].depth] = carried
    found = [owners.get(entry.index, NOBODY) for entry in read.placed]
    return [NOBODY if owner == OURS else owner for owner in found]


def _opening(read: ReadProse, sentence: Sentence, cast: Cast) -> Owner:
    """The run that the first words of a block name."""
    for index, owner in _events(read.items, sentence, cast):
        if index <= sentence.first + SUBJECT and owner.kind in ("own", "other"):
            return owner
    return NOBODY


MOST_WORDS = 4
"""Longer headings say more than what their section is about."""


def about(text: str, but: str = "") -> Owner:
    """What a heading is about, where that is not the run."""
    lowered = text.lower()
    for name, beginnings in BESIDE_SECTIONS.items():
        if (
            name != but
            and len(text.split()) <= MOST_WORDS
            and any(word.startswith(beginnings) for word in lowered.split())
        ):
            return Owner("side", name)
    for name, phrases in SIDE.items():
        if name != but and holds(lowered, phrases):
            return Owner("side", name)
    return Owner("other", "others") if holds(lowered, COMPARISONS) else NOBODY


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
    """The owners of the figures of one sentence; gives what the next sentence goes on about."""
    items = read.items
    lowered = " ".join(item.text.lower() for item in items[sentence.first : sentence.last])
    compared = holds(lowered, COMPARISONS)
    events = list(_events(items, sentence, cast, compared=compared or default.kind == "other"))
    named = any(owner.kind in ("own", "other") for _, owner in events)
    events = sorted([*events, *_against(items, sentence, named)], key=lambda event: event[0])
    first_word = items[sentence.first].text.lower()
    begin = carried if (not named and carried.kind in ("own", "us")) or first_word in PRONOUNS else default
    said = f"{_clause_before(items, sentence)} {lowered}" if first_word in PRONOUNS else lowered
    side = next((name for name, phrases in SIDE.items() if name != but and holds(said, phrases)), None)
    side = side or (default.name if default.kind == "side" and default.name in BESIDE_SECTIONS else None)
    if compared and not _ours(items, sentence):
        other = next((owner for _, owner in events if owner.kind == "other"), Owner("other", "others"))
        begin = other if not any(owner.kind == "own" for _, owner in events) else begin
    elif side is not None and begin.kind != "other":
        begin = Owner("side", side)
        events = [(index, owner) for index, owner in events if owner.kind == "other"]
    elif (
        not named and begin.kind in ("", "own") and holds(lowered, SUMMED_UP if begin.kind == "" else SUMMED_OVER_RUNS)
    ):
        begin = Owner("total")
    last = begin
    summed = [at for at in range(sentence.first, sentence.last) if items[at].text.lower() in SUMMING]
    of_each = first_word in ("both", "all") and not holds(lowered, TOGETHER)
    trailing = _named_behind(items, sentence, events, wanted)
    for index in wanted:
        if trailing:
            owners[index] = next((owner for at, owner in events if at > index), events[-1][1])
            continue
        before = [(at, owner) for at, owner in events if at <= index]
        behind = _behind(items, index, [event for event in events if event[0] > index], CLOSE)
        if before and behind is not None and not any(isinstance(item, Figure) for item in items[before[-1][0] : index]):
            behind = None
        if behind is not None:
            owner = behind
        elif before:
            owner = before[-1][1]
            if owner == OURS and begin.kind != "other":
                owner = next((one for _, one in reversed(before) if one.kind == "own"), begin)
        else:
            owner = _behind(items, index, events) or begin
        if owner.kind == "total" and not any(
            at <= sentence.first + SUBJECT or abs(at - index) <= NEAR for at in summed
        ):
            owner = default
        if owner.kind == "total" and of_each and getattr(items[index], "unit", "") in READ_BY_EACH:
            owner = default
        owners[index] = owner
    for _, owner in events:
        last = owner if owner.kind in ("own", "other", "us") else last
    return default if last.name == WITHDRAWN else last


def _clause_before(items: Sequence[Item], sentence: Sentence) -> str:
    """What stands before a semicolon: ``a chat version is tuned from it; this takes 9 hours``."""
    if not sentence.first or items[sentence.first - 1].text != ";":
        return ""
    words: list[str] = []
    for item in reversed(items[max(sentence.first - 81, 0) : sentence.first - 1]):
        if item.kind == "stop":
            break
        words.insert(0, item.text.lower())
    return " ".join(words)


def _against(items: Sequence[Item], sentence: Sentence, named: bool) -> Iterator[tuple[int, Owner]]:
    """Where a phrase like ``compared to`` hands over to others, and where a sentence that begins with it goes back to the run."""
    for at in range(sentence.first, sentence.last):
        two = " ".join(item.text.lower() for item in items[at : min(at + 3, sentence.last)])
        if not any(two == phrase or two.startswith(phrase + " ") for phrase in AGAINST):
            continue
        yield at, Owner("other", "others")
        if at <= sentence.first + 1 and not named:
            comma = next((n for n in range(at, sentence.last) if items[n].text == ","), None)
            if comma is not None:
                yield comma, OURS
        return


def _named_behind(
    items: Sequence[Item], sentence: Sentence, events: list[tuple[int, Owner]], wanted: list[int]
) -> bool:
    """``64 nodes for the 80B, 16 nodes for the 9B``: whether the names of a sentence stand behind their figures, each after a ``for``."""
    named = [at for at, owner in events if owner.kind in ("own", "other")]
    if len(named) < 2 or len(named) < len(events) or not wanted or wanted[0] > named[0]:
        return False
    bound = all(
        at > sentence.first
        and items[at - 1].text.lower() in ("for", "the")
        and "for" in (items[at - 1].text.lower(), items[at - 2].text.lower())
        for at in named
    )
    between = all(any(one < index < two for index in wanted) for one, two in pairwise(named))
    return bound and between


def _behind(items: Sequence[Item], index: int, events: list[tuple[int, Owner]], near: int = NEAR) -> Owner | None:
    """``9 days for Tern-7B``: the name that follows a figure, bound to it by a preposition."""
    if not events or events[0][0] - index > near:
        return None
    between = {item.text.lower() for item in items[index + 1 : events[0][0]]}
    bound = between & {"for", "of", "by", "train", "training", "trained", "took", "went", "into", "("}
    return (
        events[0][1]
        if bound and not any(isinstance(item, Figure) for item in items[index + 1 : events[0][0]])
        else None
    )


def _ours(items: Sequence[Item], sentence: Sentence) -> bool:
    return any(item.text.lower() in ("we", "our", "ours") for item in items[sentence.first : sentence.last])


def _events(
    items: Sequence[Item], sentence: Sentence, cast: Cast, *, compared: bool = False
) -> Iterator[tuple[int, Owner]]:
    """Where in a sentence somebody begins to be spoken of, in order."""
    found: dict[int, Owner] = {}
    covered: set[int] = set()
    for mention in mentions(items, sentence.first, sentence.last, [*cast.own, *cast.others]):
        covered |= set(range(mention.first, mention.last + 1))
        owner = cast.owner(mention)
        if compared and not cast.stems:
            owner = Owner("other", mention.shown)
        before = items[mention.first - 1].text.lower() if mention.first > sentence.first else ""
        if before in PREDECESSORS or (
            before not in TIMES_PAST and items[max(mention.first - 2, 0)].text.lower() in PREDECESSORS
        ):
            owner = Owner("other", mention.shown)
        if owner.kind == "other" and before in BASES | CONTINUED and mention.first > sentence.first + 1:
            continue
        found[mention.first] = owner
    for index in range(sentence.first, sentence.last):
        item = items[index]
        lowered = item.text.lower()
        if index in covered:
            continue
        compared_to = index > sentence.first and items[index - 1].text.lower() in ("as", "than", "like", "of", "to")
        if lowered in OURSELVES and item.kind == "word" and not compared_to:
            found.setdefault(index, OURS)
        elif lowered in SIZES and (named := cast.by_rank(lowered)) and _sized_noun(items, index):
            found[index] = Owner("own", named)
        elif (
            isinstance(item, Figure)
            and item.scale in ("b", "m", "t", "billion", "million")
            and item.unit in ("", "model", "parameter")
        ):
            run = cast.by_size(item.value) if len(cast.own) > 1 else None
            if _is_predecessor(items, index, sentence):
                found[index] = Owner("other", f"the earlier {item.text}")
            elif run is not None and not item.hedges:
                found[index] = Owner("own", run)
        elif (spoken := spoken_at(items, index)) and (run := cast.spoken.get((spoken.kind, spoken.key))):
            found[index] = Owner("own", run)
        elif stage := _stage(items, index, cast):
            found[index] = Owner("own", stage)
    yield from sorted(found.items())


def _is_predecessor(items: Sequence[Item], index: int, sentence: Sentence) -> bool:
    """``our earlier 13B model``."""
    before = items[index - 1].text.lower() if index > sentence.first else ""
    behind = items[index + 1].text.lower() if index + 1 < sentence.last else ""
    return (
        before in PREDECESSORS - {"last", "similar", "similarly", "comparable", "original", "popular"}
        and behind in VARIED
    )


def _sized_noun(items: Sequence[Item], index: int) -> bool:
    behind = items[index + 1].text.lower() if index + 1 < len(items) else ""
    return behind.startswith(
        ("size", "model", "one", "variant", "run", "sibling", "version", "of", "member", "network")
    )


def _stage(items: Sequence[Item], index: int, cast: Cast) -> str | None:
    """The own run that ``stage 2`` names."""
    if index + 1 >= len(items) or items[index].kind != "word":
        return None
    said = f"{items[index].text} {items[index + 1].text}"
    if not STAGES.fullmatch(said):
        return None
    found = [name for name in cast.own if words_of(name)[: len(words_of(said))] == words_of(said)]
    return found[0] if len(found) == 1 else None
