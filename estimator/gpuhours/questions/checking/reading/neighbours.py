"""What stands beside a figure and changes what it is: ``each A100``, ``of speech``, a name, the device whose memory it is."""

from __future__ import annotations

from collections.abc import Sequence

from gpuhours.questions.checking.reading.tokens import Figure, Item

HOP_STOPS = frozenset(
    [
        "of",
        "for",
        "in",
        "on",
        "with",
        "at",
        "to",
        "by",
        "from",
        "and",
        "or",
        "per",
        "using",
        "over",
        "across",
        "were",
        "was",
        "is",
        "are",
        "each",
        "the",
        "a",
        "an",
        "which",
        "that",
        "then",
        "as",
        "while",
        "during",
        "into",
        "within",
        "after",
        "before",
        "but",
        "until",
        "via",
        "than",
        "through",
        "total",
        "totaling",
        "consisting",
        "consuming",
        "taking",
        "took",
        "reaching",
        "yielding",
        "corresponding",
        "followed",
        "requiring",
        "resulting",
        "running",
        "trained",
        "sampled",
    ]
)
RUNNING = (
    "train",
    "pre-train",
    "pretrain",
    "continuous",
    "wall",
    "comput",
    "uninterrupted",
    "operation",
    "run",
    "optimi",
    "gpu",
    "processing",
)
SOLD = frozenset([11, 12, 16, 24, 32, 40, 48, 64, 80, 94, 96, 128, 141, 144, 180, 192, 256, 288])
"""Gigabytes that accelerators are sold with."""


def of_something(items: Sequence[Item], index: int) -> bool:
    """``400 hours of speech`` is no duration of a run; ``3 weeks of continuous operation`` is."""
    after = [item.text.lower() for item in items[index + 1 : index + 4]]
    machines = any(isinstance(item, Figure) and item.unit in ("gpu", "node") for item in items[index + 2 : index + 3])
    return after[:1] == ["of"] and not machines and not any(word.startswith(RUNNING) for word in after[1:])


def behind_a_name(items: Sequence[Item], index: int) -> bool:
    """``Marlin 34B`` and ``Marlin-2 (34B)``."""
    bracketed = items[index - 1].text == "(" and index > 1 and items[min(index + 1, len(items) - 1)].text in (")", ",")
    return _is_name(items[index - 2 if bracketed else index - 1])


def for_an_amount(items: Sequence[Item], index: int, last: int) -> bool:
    """``172.8K GPU hours for the same trillion``: a rate, not the run's hours."""
    after = [item.text.lower() for item in items[index + 1 : min(index + 6, last)]]
    return (
        after[:1] in (["for"], ["per"], ["every"], ["each"])
        and bool({"same", "each", "every", "per"} & set(after))
        and "trillion" in after
    )


def of_a_device(items: Sequence[Item], index: int) -> bool:
    """``1024 A100s (80GB)``: the memory that stands directly behind a device."""
    figure = items[index]
    assert isinstance(figure, Figure)
    before = [item for item in items[max(index - 2, 0) : index] if item.text not in ("(", ",", "with", "of")]
    near = before[-1] if before else None
    named = near is not None and (near.kind == "device" or (isinstance(near, Figure) and near.device != ""))
    return named and not figure.per and round(figure.value / 1e9) in SOLD


def each_device(items: Sequence[Item], index: int, first: int, last: int) -> bool:
    """``each A100 reaches 24k tokens per second``: a rate of one device."""
    for at in range(max(first, index - 10), min(last, index + 6) - 1):
        word, behind = items[at].text.lower().strip(), items[at + 1]
        if word in ("each", "per", "every", "a", "one", "single") and behind.kind == "device":
            return True
    return False


def of_media(items: Sequence[Item], index: int) -> bool:
    """``50 tokens per second of audio`` is a property of the tokeniser, not a speed."""
    after = [item.text.lower() for item in items[index + 1 : index + 4]]
    return after[:1] == ["of"] and bool({"audio", "speech", "video", "music", "sound"} & set(after))


def _is_name(item: Item) -> bool:
    """``Marlin 34B``: a capitalised word directly before a size."""
    return item.kind == "word" and item.text[:1].isupper() and len(item.text) > 1 and item.text.lower() not in HOP_STOPS
