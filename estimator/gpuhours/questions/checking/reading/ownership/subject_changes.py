"""Finds where the subject of a sentence changes: to a run by its name, size, rank or stage, to the authors, or to others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.naming.cast import OURS, Cast, Owner
from gpuhours.questions.checking.reading.naming.names import Mention, coined, mentions, same_name, stem
from gpuhours.questions.checking.reading.ownership.behind import LONGEST_ASIDE, in_its_aside
from gpuhours.questions.checking.reading.ownership.references import is_a_measure
from gpuhours.questions.checking.reading.ownership.sections import NEGATIONS, ours
from gpuhours.questions.checking.reading.sentences.scopes import Sentence
from gpuhours.questions.checking.reading.vocabulary.run_words import (
    AGAINST,
    BASES,
    CONTINUED,
    OURSELVES,
    PREDECESSORS,
    TIMES_PAST,
    VARIED,
)


def _named(
    items: Sequence[Item], sentence: Sentence, cast: Cast, *, compared: bool
) -> tuple[dict[int, Owner], set[int]]:
    """The owners that a sentence names, by position, and the positions of all names."""
    found: dict[int, Owner] = {}
    covered: set[int] = set()
    for mention in mentions(items, sentence.first, sentence.last, [*cast.own, *cast.others]):
        covered |= set(range(mention.first, mention.last + 1))
        owner = cast.owner(mention)
        if is_measure(items, mention.first, mention.last, sentence) or (
            owner.kind == "own" and len(cast.own) > 1 and is_a_measure(items, mention.first)
        ):
            continue  # results comparable to GPT-3 are reached after 280B tokens
        if is_compared(items, mention.first, sentence) and not _is_contrasted(items, mention, owner, cast):
            owner = Owner("other", mention.shown)
        if compared and not cast.stems:
            owner = Owner("other", mention.shown)
        before = items[mention.first - 1].text.lower() if mention.first > sentence.first else ""
        if before in PREDECESSORS or (
            before not in TIMES_PAST and items[max(mention.first - 2, 0)].text.lower() in PREDECESSORS
        ):
            owner = Owner("other", mention.shown)
        if _is_base(items, mention, before, owner, cast, sentence):
            found |= _in_its_brackets(items, mention, sentence)
        if owner.kind == "other" and before in BASES | CONTINUED and mention.first > sentence.first + 1:
            if isinstance(items[mention.last], Figure):
                found[mention.last] = owner
                found.setdefault(
                    mention.last + 1, OURS
                )  # the batch of Tern-2 70B, 4M tokens: only the size is that model's
            continue
        found[mention.first] = owner
    return found, covered


def subject_changes(
    items: Sequence[Item], sentence: Sentence, cast: Cast, *, compared: bool = False
) -> Iterator[tuple[int, Owner]]:
    """The positions in a sentence where a new owner begins, in order."""
    found, covered = _named(items, sentence, cast, compared=compared)
    found |= (
        dict(_labelled_brackets(items, sentence, cast))
        | dict(_reporting(items, sentence, cast))
        | dict(_cited(items, sentence))
        | dict(_on_their_card(items, sentence, cast))
    )
    for index in range(sentence.first, sentence.last):
        item = items[index]
        lowered = item.text.lower()
        if index in covered:
            continue
        compared_to = index > sentence.first and items[index - 1].text.lower() in ("as", "than", "like", "of", "to")
        if lowered in ("we", "us") and index > sentence.first and items[index - 1].text.lower() in RELATIVE:
            continue  # GPT-Neo, which we use as a baseline, saw 380B tokens
        if lowered == "ours" and items[index - 1].text.lower() in NEGATIONS:
            found[index] = Owner("other", "others")  # which isn't ours and took 18T tokens
        elif lowered in OURSELVES and item.kind == "word" and not compared_to:
            if not in_its_aside(items, index, sentence, found):
                found.setdefault(index, OURS)
        elif (meant := cast.references.get(index)) is not None:
            found[index] = Owner("own", meant)
        elif (
            isinstance(item, Figure)
            and item.scale in ("b", "m", "t", "billion", "million")
            and item.unit in ("", "model", "parameter")
        ):
            if (sized := _owner_of_size(items, index, sentence, cast)) is not None:
                found[index] = sized
        elif (lowered in OLDER and _is_version(items, index, sentence)) or (
            lowered in FIRST and _did(items, index, sentence)
        ):
            found[index] = Owner("other", f"the {lowered} {items[index + 1].text}")
        elif lowered == "new" and items[index - 1].text.lower() == "the" and _sized_noun(items, index):
            found.setdefault(index, OURS)
        elif lowered in MAKERS and items[index - 1].text.lower() in ("its", "their") and index > sentence.first + 1:
            found[index] = Owner("other", f"{items[index - 1].text} {lowered}")
        elif (
            lowered in ("somebody", "someone") and items[index - 1].text.lower() == "by" and index > sentence.first + 1
        ):
            found[index] = Owner("other", f"{lowered} else")
            clause = range(index + 1, min(index + LONGEST_CLAUSE, sentence.last))
            found.setdefault(next((at for at in clause if items[at].text in (",", ")")), sentence.last), OURS)
        elif lowered in SUCCEEDS and index + 1 < sentence.last and items[index + 1].text.lower() in DETERMINERS:
            found[index] = Owner("other", "its predecessor")
        elif lowered in FORERUNNERS and item.kind == "word":
            found.setdefault(index, Owner("other", f"its {lowered}"))
    yield from sorted(found.items())


RELATIVE = frozenset(["which", "that", "whom", "whose"])


def _owner_of_size(items: Sequence[Item], index: int, sentence: Sentence, cast: Cast) -> Owner | None:
    """``the 7B``: the model of this size, another's if it is called a predecessor or baseline; None if the size names none."""
    size = items[index]
    assert isinstance(size, Figure)
    if _is_predecessor(items, index, sentence) or _is_baseline(items, index, sentence):
        return Owner("other", f"the other {size.text}")
    run = cast.by_size(size.value) if len(cast.own) > 1 and not size.hedges else None
    if run is not None and "." in size.digits and abs(cast.sizes[run] / size.value - 1) > EXACT_SIZE:
        return None  # 6.8B is not the 7.0B
    return None if run is None else Owner("own", run)


EXACT_SIZE = 0.02
"""The largest relative difference between a size with decimals and the run that it names."""
OF_A_BASE = "its base "
"""Prefix of the name of an owner that a run starts from: the run has its network but not its training."""
DESCRIBED = frozenset(
    ["our", "the", "dense", "public", "open", "pretrained", "pre-trained", "frozen", "own", "released", "smaller", "larger"]
)  # fmt: skip
STARTS = frozenset(
    ["from", "of", "off", "on", "initialised", "initialized", "continue", "continues", "continued", "teacher", "base"]
)


def _is_base(
    items: Sequence[Item], mention: Mention, before: str, owner: Owner, cast: Cast, sentence: Sentence
) -> bool:
    """Whether a name is that of a model that the run starts or learns from: ``the FFN of our dense Zvezda-1.9B``."""
    at = mention.first - 1
    while at > sentence.first and items[at].text.lower() in DESCRIBED:
        at -= 1
    starts = at > sentence.first and items[at].text.lower() in STARTS
    another = owner.kind == "other" or (
        mention.size is not None and mention.shown not in cast.own and mention.shown != cast.main
    )
    return starts and another


def _in_its_brackets(items: Sequence[Item], mention: Mention, sentence: Sentence) -> dict[int, Owner]:
    """``(1.9B parameters; 3T tokens, 61k GPU hours)`` directly after a name: its figures belong to that name; empty without a bracket."""
    first = mention.last + 1
    if first >= sentence.last or items[first].text != "(":
        return {}
    last = next((at for at in range(first, sentence.last) if items[at].text == ")"), sentence.last)
    return {first: Owner("other", OF_A_BASE + mention.shown), last: OURS}


ALIKE = frozenset(
    ["comparable", "similar", "equal", "equivalent", "close", "closer", "competitive", "par", "identical", "superior", "inferior",
     "relative", "parity", "line"]
)  # fmt: skip
"""Words after which ``to`` or ``with`` introduces a comparison."""


def is_measure(items: Sequence[Item], first: int, last: int, sentence: Sentence) -> bool:
    """``quality on par with GPT-3``: whether a name is only compared with, and the sentence does not go on about it."""
    if first < sentence.first + 2 or items[first - 1].text.lower() not in ("to", "with"):
        return False
    if items[first - 2].text.lower() not in ALIKE:
        return False
    behind = [item.text.lower() for item in items[last + 1 : min(last + 3, sentence.last)]]
    return behind[:1] not in (["("], ["at"], ["with"]) and not (
        behind[:1] == [","] and behind[1:] in (["which"], ["whose"], ["that"], ["a"], ["an"])
    )


def is_compared(items: Sequence[Item], first: int, sentence: Sentence, phrases: tuple[str, ...] = AGAINST) -> bool:
    """``Compared with Knot-2, which needed 40 days``: whether a name directly follows a phrase of comparison."""
    before = [item.text.lower() for item in items[max(sentence.first, first - 3) : first]]
    return any(" ".join(before[-n:]) in phrases for n in (1, 2, 3))


def _is_contrasted(items: Sequence[Item], mention: Mention, owner: Owner, cast: Cast) -> bool:
    """``The ablations took 3 days, whereas Tern-7B took 18``: whether the run itself, or one of several, stands behind a conjunction."""
    mine = same_name(cast.main, mention.shown) or (len(cast.own) > 1 and owner.name in cast.own)
    return mine and items[mention.first - 1].text.lower() == "whereas"


def _is_predecessor(items: Sequence[Item], index: int, sentence: Sentence) -> bool:
    """``our earlier 13B model``: whether a size is that of an earlier model."""
    before = items[index - 1].text.lower() if index > sentence.first else ""
    behind = items[index + 1].text.lower() if index + 1 < sentence.last else ""
    return (
        before in PREDECESSORS - {"last", "similar", "similarly", "comparable", "original", "popular"}
        and behind in VARIED
    )


OLDER = frozenset(["older", "old", "previous", "earlier", "preceding"])
VERSIONS = frozenset(["model", "models", "version", "versions", "generation", "network", "system"])
DETERMINERS = frozenset(["the", "our", "its", "their", "a", "an", "best", "largest", "most"])


def _is_version(items: Sequence[Item], index: int, sentence: Sentence) -> bool:
    """``the previous version needed 96 GPUs``: whether a word of time makes a model another one, and the subject of what follows."""
    if not sentence.first < index < sentence.last - 2 or items[index + 1].text.lower() not in VERSIONS:
        return False
    first = index - 1
    while first > sentence.first and items[first].text.lower() in ("best", "largest", "most"):
        first -= 1
    before = items[first - 1].text.lower() if first > sentence.first else ""
    return items[first].text.lower() in DETERMINERS and before not in BASES | CONTINUED


def _did(items: Sequence[Item], index: int, sentence: Sentence) -> bool:
    """``The first Plover saw 600B tokens``: whether a name and what it did follow."""
    return index + 2 < sentence.last and items[index + 1].text[:1].isupper() and items[index + 2].text.lower() in DID


FIRST = frozenset(["first", "original", "old", "previous"])
"""Words before a name of a whole family that make it an earlier model."""
FORERUNNERS = frozenset(["predecessor", "predecessors", "forerunner", "precursor"])
LONGEST_CLAUSE = 30
SUCCEEDS = frozenset(["succeeds", "supersedes", "superseded", "succeeded", "supplants"])
"""``Skarv succeeds a model of 7 billion parameters``: verbs whose object is an earlier model."""
MAKERS = frozenset(["makers", "authors", "creators", "developers", "owners", "publishers"])
"""``Training the base model took its makers 1.3M hours``: the people whose figures follow."""
BASELINES = frozenset(["baseline", "baselines", "reference", "counterpart", "competitor", "rival"])


def _is_baseline(items: Sequence[Item], index: int, sentence: Sentence) -> bool:
    """``our dense 7B baseline``: whether a size is that of a baseline."""
    return any(item.text.lower() in BASELINES for item in items[index + 1 : min(index + 3, sentence.last)])


def _cited(items: Sequence[Item], sentence: Sentence) -> Iterator[tuple[int, Owner]]:
    """``Strubell et al. (2019) estimate 284 tonnes``, ``the 13B and 175B models of Brown et al.``: where figures of cited work begin."""
    for at in range(sentence.first + 1, sentence.last - 1):
        if items[at].text.lower() != "et" or not items[at + 1].text.lower().startswith("al"):
            continue
        owner = Owner("other", f"{items[at - 1].text} et al.")
        if at <= sentence.first + 1 and not ours(items, sentence) and _tells(items, at + 2, sentence.last):
            yield at, owner
        elif at > sentence.first + 3 and items[at - 2].text.lower() in ("of", "by", "from"):
            first = at - 2
            while first > sentence.first and (
                isinstance(items[first - 1], Figure) or items[first - 1].text.lower() in OF_THEIRS
            ):
                first -= 1
            if first < at - 2:
                yield first, owner


VERSION = re.compile(
    r"v ?\d+(?:\.\d+)*|version \d.*|(?:the )?(?:old|previous|earlier|original|baseline|before|formerly)\b.*",
    re.IGNORECASE,
)
"""Words that open a bracket about an earlier version."""


def _labelled_brackets(items: Sequence[Item], sentence: Sentence, cast: Cast) -> Iterator[tuple[int, Owner]]:
    """``8.2B params, 1.2T tokens (v1: 3.1B, 400B tokens)``: where a bracket labelled with another version begins and ends."""
    for at in range(sentence.first, sentence.last - 2):
        if items[at].text != "(":
            continue
        colon = next((n for n in range(at + 2, min(at + 5, sentence.last)) if items[n].text == ":"), None)
        if colon is None or not VERSION.fullmatch(" ".join(item.text for item in items[at + 1 : colon])):
            continue
        label = items[at + 1].text
        if cast.run(label) is not None:
            continue
        last = next((n for n in range(colon, sentence.last) if items[n].text == ")"), sentence.last)
        yield from ((at, Owner("other", label)), (last, OURS))


METERS = (
    "codecarbon", "carbon", "eco", "green", "experimentimpact", "slurm", "tensorboard", "wandb", "powerapi", "nvidia", "pytorch", "torch",
    "megatron", "deepspeed", "jax", "xla", "nsight", "dcgm", "prometheus", "grafana", "lightning", "nemo",
)  # fmt: skip
"""Prefixes of names of tools that report the authors' own figures."""


def _reporting(items: Sequence[Item], sentence: Sentence, cast: Cast) -> Iterator[tuple[int, Owner]]:
    """``AlphaFold 2 reports 128 TPU v3 cores``: a coined name that opens a sentence reporting its own figures."""
    name = items[sentence.first]
    known = coined(name.text) or (name.text.isupper() and name.text.isalpha() and len(name.text) > SHORTEST_CAPITALS)
    if (
        name.kind != "word"
        or not known
        or name.text.lower().startswith(METERS)
        or stem(name.text) in cast.stems | {stem(cast.main)}
    ):
        return
    behind = sentence.first + 1
    if behind < sentence.last and items[behind].text == ",":  # BLOOM, on the comparably clean French grid, reported
        closed = (at for at in range(behind + 1, min(behind + LONGEST_ASIDE, sentence.last)) if items[at].text == ",")
        behind = next(closed, behind)
    verbs = [item.text.lower() for item in items[behind : min(behind + 3, sentence.last)]]
    if any(verb in ("reports", "reported", "report", "quotes", "quoted", "states", "stated") for verb in verbs):
        yield sentence.first, Owner("other", name.text)


SHORTEST_CAPITALS = 4
"""A name in capitals has more letters; shorter ones are units and terms (``TDP``, ``MFU``)."""
WRITTEN = frozenset(["card", "paper", "report", "readme", "announcement", "blog", "post", "website", "page"])


def _on_their_card(items: Sequence[Item], sentence: Sentence, cast: Cast) -> Iterator[tuple[int, Owner]]:
    """``the 150,000 A100 hours on the Stable Diffusion card``: figures from another model's card or paper."""
    for at in range(sentence.first + 4, sentence.last):
        if items[at].text.lower() not in WRITTEN:
            continue
        first = at
        while first > at - 4 and first - 1 > sentence.first and items[first - 1].text[:1].isupper():
            first -= 1
        name = [item.text for item in items[first:at] if item.kind == "word"]
        if (
            not name
            or items[first - 1].text.lower() != "the"
            or items[first - 2].text.lower() not in ("on", "in", "from")
        ):
            continue
        if cast.stems & {stem(word) for word in name} or stem(cast.main) in {stem(word) for word in name}:
            continue
        if isinstance(items[first - 3], Figure):
            yield first - 3, Owner("other", " ".join(name))


OF_THEIRS = frozenset(["model", "models", "network", "networks", "and", ",", "run", "runs"])
"""Words between figures and the name of the people whose models have them."""
TELLS = (
    "report", "estimat", "stat", "us", "train", "find", "found", "measur", "quot", "giv", "gave", "claim", "spen", "need", "reach", "put",
    "say", "said", "took", "ran", "obtain", "show", "achiev",
)  # fmt: skip
"""Prefixes of verbs that report someone else's figures."""


def _tells(items: Sequence[Item], first: int, last: int) -> bool:
    """Whether a reporting verb follows a citation, after the year in brackets."""
    words = [item.text.lower() for item in items[first : min(first + 6, last)] if not isinstance(item, Figure)]
    verb = next((word for word in words if word not in ("(", ")", ".", ",", "al", "al.", "[", "]")), "")
    return verb.startswith(TELLS)


def _sized_noun(items: Sequence[Item], index: int) -> bool:
    before = items[index - 1].text.lower() if index else ""
    if before == "the" and index + 1 < len(items) and items[index + 1].text.lower() in DID:
        return True  # the larger used
    behind = items[index + 1].text.lower() if index + 1 < len(items) else ""
    return behind.startswith(
        ("size", "model", "one", "variant", "run", "sibling", "version", "of", "member", "network")
    )


DID = frozenset(["used", "took", "needed", "ran", "was", "had", "required", "saw", "read", "cost", "has", "is"])
"""Verbs behind a size that stands for a model."""


RELATIVES = frozenset(["which", "who", "whose", "that", "where", "whom"])


def against(items: Sequence[Item], sentence: Sentence, named: bool) -> Iterator[tuple[int, Owner]]:
    """Where figures pass to others after a phrase such as ``compared to``, and back to the run in a sentence that begins with it."""
    for at in range(sentence.first, sentence.last):
        two = " ".join(item.text.lower() for item in items[at : min(at + 3, sentence.last)])
        if not any(two == phrase or two.startswith(phrase + " ") for phrase in AGAINST):
            continue
        if any(item.text.lower() == "peak" for item in items[at : min(at + 9, sentence.last)]):
            continue  # measured against the card's peak
        yield at, Owner("other", "others")
        if at <= sentence.first + 1 and not named:
            comma = next((n for n in range(at, sentence.last) if items[n].text == ","), None)
            if comma is not None and comma + 1 < sentence.last and items[comma + 1].text.lower() in RELATIVES:
                behind_it = (n for n in range(comma + 1, sentence.last) if items[n].text == ",")
                comma = next(behind_it, None)  # Compared with Tern-2, which needed 40 days, our run
            if comma is not None and comma + 1 < sentence.last and isinstance(items[comma + 1], Figure):
                behind = range(comma + 1, min(comma + 5, sentence.last))
                comma = next((n for n in behind if items[n].text == ","), comma)  # than Tern-2, 40B parameters, it
            if comma is not None:
                yield comma, OURS
        return
