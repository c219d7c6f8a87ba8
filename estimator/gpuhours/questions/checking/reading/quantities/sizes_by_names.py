"""Sizes decided by nearby names: ``Marlin 34B``, ``a 124M GPT-2``, ``N = 16.2B``; also tools and towers, which are not the run's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.quantities.neighbours import HOP_STOPS
from gpuhours.questions.checking.reading.vocabulary.run_words import DATA_STEMS

SIZE_WORDS = frozenset(["small", "base", "large", "medium", "tiny", "mini", "xl", "nano", "huge"])


def behind_a_name(items: Sequence[Item], index: int) -> bool:
    """``Marlin 34B`` and ``Marlin-2 (34B)``: whether a size follows a name."""
    at = index - 2
    while at > 0 and items[at].text.lower() in SIZE_WORDS:
        at -= 1  # GPT-2 small (124M)
    if items[index - 1].text == "," and _is_capital(items[index - 2]) and items[index - 2].text.lower() in SIZE_WORDS:
        return True  # Tiny, 120M
    if at < index - 2 and items[index - 1].text == "(":
        return _is_capital(items[index - 2]) or _is_name(items[at]) or any(c.isdigit() for c in items[at].text)
    bracketed = items[index - 1].text == "(" and index > 1 and items[min(index + 1, len(items) - 1)].text in (")", ",")
    return _is_name(items[index - 2 if bracketed else index - 1])


_SIZE = re.compile(r"(?<![\w.])(\d{1,4}(?:\.\d{1,3})?)([bm])(?!\w)", re.IGNORECASE)
ABOUT = 0.15
"""The largest relative difference between a size and the size in the name."""


def of_the_name_before(items: Sequence[Item], index: int) -> bool:
    """``Plover-13B (12.9B, 8T tokens)``: whether a size in brackets follows a name that gives it approximately."""
    figure = items[index]
    if index < 2 or items[index - 1].text != "(" or not isinstance(figure, Figure):
        return False
    named = _SIZE.search(items[index - 2].text.replace("-", " "))
    if named is None:
        return False
    size = float(named[1]) * (1e9 if named[2].lower() == "b" else 1e6)
    return size > 0 and abs(figure.value / size - 1) < ABOUT


PREPARES = (
    "caption", "label", "filter", "rewrit", "writ", "rewrote", "annotat", "transcrib", "translat", "scor", "judg", "grad", "rat", "classif",
    "dedup", "recaption", "re-caption", "tagg", "rank", "paraphras", "summari", "clean", "verif", "moderat", "describ",
)  # fmt: skip
"""Prefixes of verbs for preparing data with a model that is not the run's."""
NOT_PREPARES = ("gradient", "gradually", "grade-school", "rate", "rather", "ratio", "scores", "ranks", "scoreboard")


def of_a_tool(items: Sequence[Item], index: int, first: int) -> bool:
    """``captions were rewritten by a 7B model``, ``Captioning the clips with a 13B VLM``: whether a size is that of a tool."""
    at = index - 1
    while at > max(first, index - 3) and items[at].text.lower() in ADJECTIVES:
        at -= 1
    if at <= first or items[at].text.lower() not in ("a", "an") or items[at - 1].text.lower() not in BY:
        return False
    for item in reversed(items[max(first, at - 8) : at - 1]):
        word = item.text.lower()
        if item.kind == "stop" or item.text in ",;:()" or word in ("train", "trained", "training", "and"):
            return False
        if word.startswith(PREPARES) and word.endswith(("ing", "ed", "en")) and not word.startswith(NOT_PREPARES):
            return True
    return False


ADJECTIVES = frozenset(
    ["frozen", "small", "smaller", "larger", "separate", "public", "finetuned", "fine-tuned", "quantised", "quantized"]
)
BY = frozenset(["with", "by", "using", "via", "through"])
TOWERS = ("tower", "encoder", "vit", "backbone")


def in_brackets_of_a_tower(items: Sequence[Item], index: int) -> bool:
    """``two picture towers (SigLIP and DINOv2, together 600M parameters)``: whether a size is in brackets after a vision tower."""
    opened = next((at for at in range(index - 1, max(index - 9, 0), -1) if items[at].text in "()"), None)
    if opened is None or items[opened].text != "(":
        return False
    named = items[opened - 1].text.lower().split()[-1:]
    of_pictures = {item.text.lower() for item in items[max(opened - 3, 0) : opened]}
    return bool(named) and named[0].rstrip("s") in TOWERS and bool(of_pictures & OF_PICTURES)


OF_PICTURES = frozenset(["picture", "image", "vision", "visual", "video", "vit"])


def in_apposition(items: Sequence[Item], index: int, first: int) -> bool:
    """``Dotterel-P, a tower for pictures, 0.63B, trained by``: whether a size between commas belongs to the name that opens a sentence."""
    behind = items[index + 1].text if index + 1 < len(items) else "."
    opens = next((item for item in items[first:index] if item.kind == "word"), None)
    return (
        first < index <= first + APPOSITION
        and (items[index - 1].text == "," or [item.text.lower() for item in items[index - 2 : index]] == [",", "at"])
        and behind in (",", "(", ")", ";", ".")
        and opens is not None
        and opens.text[:1].isupper()
        and any(mark in opens.text for mark in "-0123456789")
        and not any(isinstance(item, Figure) and item.scale for item in items[first:index])
    )


APPOSITION = 14
"""The most items from the name to its size."""
CORPORA = ("pile", "corpus", "crawl", "web", "text", "stack", "pajama")


def of_a_corpus(items: Sequence[Item], index: int) -> bool:
    """``on Proof-Pile-2 (55B tokens)``: whether a size is in brackets after the name of a data set."""
    named = items[index - 2].text if index > 2 and items[index - 1].text == "(" else ""
    return named[:1].isupper() and named.lower().rstrip("-.0123456789v").endswith(CORPORA)


def _is_capital(item: Item) -> bool:
    return item.kind == "word" and item.text[:1].isupper()


def _is_name(item: Item) -> bool:
    """``Marlin 34B``: whether an item is a capitalised word that can be a name before a size."""
    return item.kind == "word" and item.text[:1].isupper() and len(item.text) > 1 and item.text.lower() not in HOP_STOPS


LETTERS = {"L": "layers", "H": "hidden", "A": "heads", "D": "hidden"}


def by_letter(items: Sequence[Item], index: int) -> str:
    """``L = 12, H = 768, A = 12``: the quantity of a network size given by its letter; empty unless at least two such letters are near."""
    if index < 2 or items[index - 1].text != "=" or items[index - 2].text.upper() not in LETTERS:
        return ""
    near = items[max(index - 12, 0) : index + 12]
    letters = {one.text for one, two in pairwise(near) if two.text == "="} & {*LETTERS, *map(str.lower, LETTERS)}
    return LETTERS[items[index - 2].text.upper()] if len(letters) > 1 else ""


SYMBOLS_OF_SIZE = {"N": "parameters", "D": "tokens"}


def by_symbol(items: Sequence[Item], index: int) -> str:
    """``N = 16.2B`` and ``D: 500B``: parameters or tokens, by the letters of 6 N D; empty for anything else."""
    if index < 2 or items[index - 1].text not in ("=", ":"):
        return ""
    return SYMBOLS_OF_SIZE.get(items[index - 2].text, "")


ARTICLES = frozenset(["a", "an", "our", "my", "the", "this", "another", "new"])
OF_DATA = (
    "data",
    "corp",
    "set",
    "image",
    "pair",
    "token",
    "sample",
    "clip",
    "video",
    "document",
    "subset",
    "split",
    "collection",
    "benchmark",
)
"""Prefixes of words that make the name after an amount that of a data set."""


def before_a_name(items: Sequence[Item], index: int) -> bool:
    """``a 124M GPT-2`` and ``our 3B Tern``: whether a size stands between an article and a model's name."""
    behind = items[index + 1] if index + 1 < len(items) else None
    if index < 1 or behind is None or items[index - 1].text.lower() not in ARTICLES or not _is_name(behind):
        return False
    near = [item.text.lower() for item in items[index + 1 : index + 4]]
    return not any(part in near[0] for part in DATA_STEMS) and not any(word.startswith(OF_DATA) for word in near)


def of_adapters(items: Sequence[Item], index: int) -> bool:
    """``LoRA (r=64)``: whether the figure is the rank of adapters, given by its letter."""
    near = {item.text.lower() for item in items[max(index - 9, 0) : index - 2]}
    return (
        index > 2
        and items[index - 1].text in "=:"
        and items[index - 2].text.lower() == "r"
        and bool(near & {"lora", "qlora", "dora"})
    )


WORKS = ("activ", "chosen", "pick", "select", "used", "per", "routed", "work", "each", "fire")


def at_work(items: Sequence[Item], index: int) -> bool:
    """``2 experts are activated for each input token``: whether the figure is the number of active experts and not of all experts."""
    behind = [item.text.lower() for item in items[index + 1 : index + 7]]
    behind = behind[2:] if behind[:2] == ["of", "them"] else behind[:4]  # 16 experts, two of them chosen per token
    stop = next((n for n, word in enumerate(behind) if word in (",", ";", ".", "(", ")", "across", "of")), len(behind))
    words = [
        word
        for word, next_word in zip(behind, [*behind, ""][1:], strict=True)
        if word.strip() != "per" or next_word in OF_INPUTS
    ]
    return any(word.startswith(WORKS) for word in words[:stop])


OF_INPUTS = frozenset(["token", "input", "frame", "patch", ""])
"""Things that experts work on: ``16 experts per block`` are all of them."""


def of_a_sized_run(items: Sequence[Item], index: int) -> bool:
    """``4T tokens for the 7B and 5T tokens for the 13B``: whether a size with an article names the run of the amount before it."""
    figure = items[index]
    if (
        index < 3
        or not isinstance(figure, Figure)
        or figure.scale not in ("b", "m")
        or items[index - 1].text.lower() != "the"
    ):
        return False
    behind = items[index + 1] if index + 1 < len(items) else None
    closed = behind is None or behind.kind in ("stop", "mark") or behind.text.lower() in ("and", "or", "while", "but")
    amount = items[index - 3]
    return (
        closed
        and items[index - 2].text.lower() in ("for", "in", "of")
        and isinstance(amount, Figure)
        and amount.unit != ""
    )
