"""Finds names of models and runs in a text: their position, the size they contain, and whether they are the authors' own."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence

from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.vocabulary.run_words import (
    COMMON,
    DATA_NAMES,
    DATA_STEMS,
    NO_NAMES,
    NOT_MODELS,
)
from gpuhours.questions.checking.reading.vocabulary.units import SCALES

_SIZE = re.compile(r"(?<![\w.])(?:\d{1,3}x)?(\d{1,4}(?:\.\d{1,3})?)([kmbt])(?![\w])", re.IGNORECASE)
_VERSIONED = re.compile(
    r"[A-Za-z][A-Za-z]+-?\d{1,2}(?:\.\d{1,2})?|[A-Z][A-Za-z]{2,}-(?:base|large|small|tiny|medium|mini|nano|huge|xl|xxl|lite|pro)"
)


@dataclass(frozen=True)
class Mention:
    """A name in the text: items ``first`` to ``last``, the name as written, and its size in parameters."""

    first: int
    last: int
    shown: str
    size: float | None = None


@functools.lru_cache(maxsize=65_536)
def words_of(name: str) -> tuple[str, ...]:
    """``Llama 2 7B -> (llama, 2, 7b)``: the parts that different spellings of a name share."""
    return tuple(re.findall(r"[^\W_]+(?:\.\d+[a-z]?)?", name.lower()))


def stem(name: str) -> str:
    """``Marlow-24B -> marlow``: the name without sizes and versions; empty if only a size is left."""
    kept = [
        word
        for word in words_of(name)
        if not any(c.isdigit() for c in word) and word not in ("base", "model", "the", "chat", "instruct", "total", "v")
    ]
    return kept[0] if kept else next((re.split(r"\d", word)[0] for word in words_of(name) if word[:1].isalpha()), "")


def family_of(name: str) -> str:
    """``GPT-3-175B -> gpt 3``: a model's name without its size; empty for a name that is not a model's (a stage, a bare size)."""
    if size_of(name) is None and not _VERSIONED.fullmatch(name):
        return ""
    words = [word for word in words_of(name) if not _SIZE.fullmatch(word) and word not in GENERIC]
    return (
        " ".join(words) if words and any(word[0].isalpha() for word in words) and not set(words) & NOT_OF_NAMES else ""
    )


def another_line(name: str, main: str) -> bool:
    """``GPT-3-175B`` and ``GPT-J-6B``: whether the second words of two names differ, where at least one is not a number."""
    one, two = family_of(name).split()[1:2], family_of(main).split()[1:2]
    return bool(one and two) and one != two and (one[0].isalpha() or two[0].isalpha())


def coined(name: str) -> str:
    """``LongVA`` and ``Video-LLaVA``: the first word with inner capitals, unlike names of stages and parts; empty if there is none."""
    found = re.search(r"\b(?=\w*[a-z])[A-Z]\w*[A-Z]\w*", name)
    return found[0].lower() if found and len(found[0]) > 3 else ""


GENERIC = frozenset(["base", "model", "the", "chat", "instruct", "total", "v", "ours"])
NOT_OF_NAMES = frozenset(["stage", "phase", "size", "training", "pre", "post", "run", "part"])


def size_of(name: str) -> float | None:
    """The parameter count in a name: ``Marlow-24B``, ``OPT-175B``; None for names without a size."""
    found = _SIZE.search(name.replace("-", " ").replace("_", " "))
    if found is None or found[2].lower() == "k":
        return None
    size = float(found[1]) * SCALES[found[2].lower()]
    return size if 1e6 <= size < 1e14 else None


def same_name(one: str, other: str) -> bool:
    """Whether two names mean the same run: one has all the words of the other, and sizes and versions are equal."""
    a, b = set(words_of(one)), set(words_of(other))
    short, long = (a, b) if len(a) <= len(b) else (b, a)
    numbered = {word for word in long if any(c.isdigit() for c in word)} == {
        word for word in short if any(c.isdigit() for c in word)
    }
    return bool(short) and short <= long and numbered and any(not word.isdigit() for word in short)


def mentions(items: Sequence[Item], first: int, last: int, known: Iterable[str]) -> Iterator[Mention]:
    """The model names in a sentence, in order, without names of data sets, cards and formats."""
    names, begins = _spellings(tuple(known))
    index = first
    capitals = any(item.kind == "word" and item.text != item.text.lower() for item in items[first:last])
    while index < last:
        found = (
            _known(items, index, last, names, begins)
            or _sized(items, index, last, capitals=capitals)
            or _versioned(items, index)
        )
        if found is not None and not _of_data(items, found, first, last):
            yield found
        index = found.last + 1 if found is not None else index + 1


@functools.lru_cache(maxsize=64)
def _spellings(known: tuple[str, ...]) -> tuple[dict[tuple[str, ...], str], frozenset[str]]:
    """The spellings of each known name, and the first words of those spellings."""
    names = {words_of(name): name for name in known if words_of(name)} | _aliases(known)
    return names, frozenset(words[0] for words in names)


def _aliases(known: Iterable[str]) -> dict[tuple[str, ...], str]:
    """Words that occur in only one of the names: ``Scout`` of ``Heron 4 Scout`` beside ``Heron 4 Ranger``."""
    names = [name for name in known if words_of(name)]
    if len(names) < 2:
        return {}
    counts = Counter(word for name in names for word in set(words_of(name)))
    return {
        (word,): name for name in names for word in words_of(name)
        if counts[word] == 1 and len(word) > 3 and word.isalpha() and word not in NOT_MODELS and word not in COMMON
    }  # fmt: skip


def _known(
    items: Sequence[Item], index: int, last: int, names: dict[tuple[str, ...], str], begins: Container[str]
) -> Mention | None:
    """The longest name from a table or heading that begins at ``index``; None if there is none."""
    first = words_of(items[index].text)
    if not first or first[0] not in begins:
        return None
    for end in range(min(last, index + 6) - 1, index - 1, -1):
        said = words_of(" ".join(item.text for item in items[index : end + 1]))
        if said in names and words_of(items[end].text):
            return Mention(index, end, names[said], size_of(names[said]))
    return None


_VERSION = re.compile(r"[1-9](?:\.\d)?")
"""``Llama 3.1 70B``: a version between a name and its size."""


def _sized(items: Sequence[Item], index: int, last: int, *, capitals: bool = True) -> Mention | None:
    """``Aldous-20B``, ``PaLM 540B``, ``Llama 2 7B``: a name with its size; None if there is none at ``index``."""
    item = items[index]
    if item.kind != "word" or len(item.text) < 2 or not item.text[:1].isalpha():
        return None
    size = size_of(item.text) if any(c.isdigit() for c in item.text) else None
    if size is not None:
        return (
            Mention(index, index, item.text, size)
            if stem(item.text) not in NOT_MODELS and len(stem(item.text)) > 1
            else None
        )
    small = not item.text[:1].isupper() and (capitals or item.text in COMMON or len(item.text) < 3)
    if small or stem(item.text) in NOT_MODELS or item.text.lower() in NO_NAMES:
        return None
    end = index + 1
    if end < last and isinstance(items[end], Figure) and _VERSION.fullmatch(items[end].text):
        end += 1
    behind = items[end] if end < last else None
    if isinstance(behind, Figure) and behind.unit == "expert" and size_of(behind.text):
        return Mention(index, end, f"{item.text} {behind.text}", size_of(behind.text))  # Mixtral 8x22B
    if (
        isinstance(behind, Figure)
        and behind.scale in ("b", "m", "t")
        and not behind.hedges
        and behind.unit in ("", "model")
        and not behind.per
    ):
        if (end + 1 < last and items[end + 1].text.lower() in ("tokens", "words")) or behind.text.lower().endswith(
            (" b", " m", " t")
        ):
            return None
        return Mention(index, end, " ".join(item.text for item in items[index : end + 1]), behind.value)
    return None


def _versioned(items: Sequence[Item], index: int) -> Mention | None:
    """``GPT-3``: a capitalised name with a number, unlike formats and sections; None if there is none at ``index``."""
    text = items[index].text
    if items[index].kind != "word" or "-" not in text or not text[:1].isupper() or not _VERSIONED.fullmatch(text):
        return None
    return None if stem(text) in NOT_MODELS else Mention(index, index, text, None)


MACHINES = (
    "server",
    "node",
    "system",
    "box",
    "machine",
    "pod",
    "slice",
    "cluster",
    "chip",
    "card",
    "rack",
    "partition",
    "instance",
)
"""Prefixes of words that make the name before them the name of a machine."""


def _of_data(items: Sequence[Item], found: Mention, first: int, last: int) -> bool:
    """Whether the name, or a word after it, shows that it is a data set or a machine and not a model."""
    if any(part in stem(found.shown) for part in DATA_STEMS):
        return True
    behind = " ".join(item.text.lower() for item in items[found.last + 1 : min(found.last + 3, last)])
    if found.size is None and behind.startswith(MACHINES):
        return True  # sixteen HLS-2 servers
    return any(behind.startswith(word) for word in DATA_NAMES)


def is_a_version(items: Sequence[Item], index: int) -> bool:
    """``Llama 3.1 70B``: whether a number between a capitalised name and a size is the version of a model."""
    if index < 1 or index + 1 >= len(items) or not _VERSION.fullmatch(items[index].text):
        return False
    size = items[index + 1]
    sized = isinstance(size, Figure) and size.scale in ("b", "m") and not size.unit and not size.hedges
    return (
        sized
        and items[index - 1].kind == "word"
        and items[index - 1].text[:1].isupper()
        and items[index - 1].text.lower() not in NO_NAMES
    )
