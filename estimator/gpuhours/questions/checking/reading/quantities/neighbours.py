"""Neighbours that change what a figure is: ``each A100``, ``of speech``, the device that a memory size belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from gpuhours.questions.checking.reading.figures.tokens import Figure, Item

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
        "against",
        "beside",
        "behind",
        "among",
        "between",
        "toward",
        "towards",
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
    "calendar",
    "elapsed",
    "real",
    "actual",
    "pure",
    "non-stop",
    "nonstop",
    "operation",
    "run",
    "optimi",
    "gpu",
    "processing",
)
SOLD = frozenset([11, 12, 16, 24, 32, 40, 48, 64, 80, 94, 96, 128, 141, 144, 180, 192, 256, 288])
"""Memory sizes, in gigabytes, that accelerators are sold with."""


def of_something(items: Sequence[Item], index: int) -> bool:
    """Whether a time measures something else: ``400 hours of speech`` is not a run's duration; ``3 weeks of continuous operation`` is."""
    after = [item.text.lower() for item in items[index + 1 : index + 4]]
    machines = any(isinstance(item, Figure) and item.unit in ("gpu", "node") for item in items[index + 2 : index + 3])
    return after[:1] == ["of"] and not machines and not any(word.startswith(RUNNING) for word in after[1:])


LASTING = (
    "run", "train", "pre", "job", "period", "campaign", "session",
    "effort", "budget", "continuous", "wall", "stretch", "marathon", "sprint",
    "phase", "stage", "schedule", "window", "gpu", "comput", "process", "duration", "time", "experiment",
)  # fmt: skip
"""Prefixes of words for activities, after a time used as an adjective: ``a 54-day run``."""


def of_a_length(items: Sequence[Item], index: int) -> bool:
    """``a 6-hour forecast``: whether the figure is the length of something other than a run."""
    figure = items[index]
    assert isinstance(figure, Figure)
    behind = items[index + 1] if index + 1 < len(items) else None
    if not figure.joined or behind is None or behind.kind != "word":
        return False
    after = [item.text.lower() for item in items[index + 1 : index + 4]]
    return not any(word.startswith(LASTING) for word in after)


def of_an_energy(items: Sequence[Item], index: int) -> bool:
    """``every kilowatt-hour with 190 g CO2e``: whether one unit of energy is named just before the figure."""
    return energy_before(items, index) != ""


def energy_before(items: Sequence[Item], index: int) -> str:
    """The unit of energy named just before what it emits: ``a megawatt-hour came with 0.088 t``; empty if there is none."""
    near: list[str] = []
    for item in reversed(items[max(index - REACH_OF_ENERGY, 0) : index]):
        if item.text in (",", ";", "(") or (isinstance(item, Figure) and item.unit != "energy"):
            break
        near.insert(0, item.text.lower().strip())
    for one, two in pairwise(near):
        whole = one if " " in one else f"{one} {two}"
        said = whole.split()
        if len(said) == 2 and said[0] in ONE_OF and said[1] in UNITS_OF_ENERGY:
            return UNITS_OF_ENERGY[said[1]]
    return ""


REACH_OF_ENERGY = 6
ONE_OF = frozenset(["every", "each", "per", "a", "one", "1"])
UNITS_OF_ENERGY = {
    "kilowatt-hour": "kwh", "kwh": "kwh", "kilowatt": "kwh", "kilowatt-hours": "kwh",
    "megawatt-hour": "mwh", "mwh": "mwh", "megawatt": "mwh",
}  # fmt: skip


def for_an_amount(items: Sequence[Item], index: int, last: int) -> bool:
    """``172.8K GPU hours for the same trillion``: whether the figure is a rate, not the run's hours."""
    after = [item.text.lower() for item in items[index + 1 : min(index + 6, last)]]
    return (
        after[:1] in (["for"], ["per"], ["every"], ["each"])
        and bool({"same", "each", "every", "per"} & set(after))
        and "trillion" in after
    )


def of_a_clock(items: Sequence[Item], index: int) -> bool:
    """``38 (wall-clock)``: whether the hours are elapsed time and not summed over devices."""
    behind = [item.text.lower() for item in items[index + 1 : index + 3]]
    return behind[:1] in (["("], [","]) and behind[-1].startswith(("wall", "elapsed", "real"))


def of_a_device(items: Sequence[Item], index: int) -> bool:
    """``1024 A100s (80GB)``: whether the figure is a memory size directly after a device."""
    figure = items[index]
    assert isinstance(figure, Figure)
    before = [item for item in items[max(index - 2, 0) : index] if item.text not in ("(", ",", "with", "of")]
    near = before[-1] if before else None
    named = near is not None and (near.kind == "device" or (isinstance(near, Figure) and near.device != ""))
    return named and not figure.per and round(figure.value / 1e9) in SOLD


def each_device(items: Sequence[Item], index: int, first: int, last: int) -> bool:
    """``each A100 reaches 24k tokens per second``: whether a rate is that of one device.

    What follows another number is said of that one: ``1M tokens per second, 7.8k per GPU``.
    """
    another = (at for at in range(index + 1, min(last, index + 6)) if isinstance(items[at], Figure))
    last = next((at + 1 for at in another if "gpu" in items[at].per), last)  # type: ignore[attr-defined]
    for at in range(max(first, index - 10), min(last, index + 6) - 1):
        word, behind = items[at].text.lower().strip(), items[at + 1]
        if word.rstrip("-") in ("each", "per", "every", "a", "one", "single") and behind.kind == "device":
            return True
        if word.startswith("per-") and word.removeprefix("per-").startswith(OF_ONE):
            return True
        if at < index and isinstance(items[at], Figure) and _is_one_device(items[at]):  # type: ignore[arg-type]
            return True
        if word in ("each", "every") and behind.text.lower() in ("of", "one"):
            them = items[at + 2].text.lower() if at + 2 < last else ""
            if behind.text.lower() == "one" or them in ("them", "these", "which"):
                return True
            if any(isinstance(item, Figure) and item.unit == "gpu" for item in items[at + 2 : min(at + 4, last)]):
                return True  # each of the 320 H100s
    return False


OF_ONE = ("gpu", "device", "card", "chip", "accelerator", "tpu", "h100", "a100", "h200", "v100", "b200")
"""``per-GPU throughput``: beginnings of a device after ``per-``."""


def _is_one_device(figure: Figure) -> bool:
    """``One card did 8,762 tokens/s``: whether a figure is one device, as the subject."""
    return figure.unit == "gpu" and figure.value == 1 and figure.text.lower().startswith(("one ", "a ", "single "))


def to_a_node(items: Sequence[Item], index: int) -> bool:
    """``eight to a server`` and ``32 nodes of 8``: whether a bare figure counts the devices of one node."""
    behind = [item.text.lower() for item in items[index + 1 : index + 4]]
    named = len(behind) > 1 and behind[0].strip() in ("to", "in", "per", "a") and NODES & set(behind[1:])
    before = [items[index - 1].text.lower(), items[index - 2]] if index > 1 else ["", None]
    nodes = isinstance(before[1], Figure) and before[1].unit == "node" and before[0] in ("of", "with", "x", "×", "*")
    return bool(named) or nodes


NODES = frozenset(["node", "server", "servers", "machine", "host", "box", "board", "tray"])


def of_media(items: Sequence[Item], index: int) -> bool:
    """Whether ``of audio`` or similar follows, as in ``50 tokens per second of audio`` or ``800 seconds of speech``: neither is a speed."""
    after = [item.text.lower() for item in items[index + 1 : index + 4]]
    return after[:1] == ["of"] and bool({"audio", "speech", "video", "music", "sound"} & set(after))


def before_a_plural(items: Sequence[Item], index: int) -> bool:
    """``52,114 commits``: whether a bare count stands directly before a plural noun."""
    behind = items[index + 1] if index + 1 < len(items) else None
    word = behind.text.lower() if behind is not None and behind.kind == "word" else ""
    return len(word) > 3 and word.endswith("s") and not word.endswith("ss") and word not in HOP_STOPS


PARTS_OF_SAMPLES = frozenset(
    [
        "atoms",
        "nodes",
        "edges",
        "voxels",
        "points",
        "bonds",
        "pixels",
        "bytes",
        "letters",
        "bases",
        "particles",
        "vertices",
    ]
)


def of_parts(items: Sequence[Item], index: int) -> bool:
    """``512 structures (≈38k atoms) per step``: whether the figure counts parts of samples, not samples."""
    return index + 1 < len(items) and items[index + 1].text.lower() in PARTS_OF_SAMPLES


BETAS = frozenset(["momentum", "momenta", "betas", "beta"])


def of_two_betas(items: Sequence[Item], index: int) -> str:
    """``momentum 0.9, 0.95``: which of Adam's two betas the figure is (``beta1`` or ``beta2``); empty if neither."""

    def beta(item: Item) -> bool:
        return isinstance(item, Figure) and not item.unit and 0.5 < item.value < 1

    behind = items[index + 1 : index + 3]
    before = {item.text.lower() for item in items[max(index - 3, 0) : index]}
    if len(behind) == 2 and behind[0].text in (",", "/") and beta(behind[1]) and before & BETAS:
        return "beta1"
    earlier = items[max(index - 5, 0) : max(index - 2, 0)]
    if index > 2 and items[index - 1].text in (",", "/") and beta(items[index - 2]):
        return "beta2" if {item.text.lower() for item in earlier} & BETAS else ""
    return ""


MONTHS = frozenset(
    ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"]
)  # fmt: skip


def is_a_year(items: Sequence[Item], index: int) -> bool:
    """``December 2023, context 128k`` and ``2015-2022``: whether four digits after a month, or a range of such numbers, are years."""
    figure = items[index] if index < len(items) else None
    if not isinstance(figure, Figure) or figure.unit or figure.scale or figure.per or not _like_a_year(figure.value):
        return False
    if figure.until is not None:
        return _like_a_year(figure.until) and len(figure.digits) == 4
    return index > 0 and items[index - 1].text.lower() in MONTHS and figure.text.strip().isdigit()


def _like_a_year(value: float) -> bool:
    return value == round(value) and 1900 <= value <= 2100


SEQUENCES = ("sample", "sequence", "context", "window", "chunk", "segment", "example", "crop", "document")


def before_a_sequence(items: Sequence[Item], index: int) -> bool:
    """``1,024 2048-token samples``: whether the figure is the length of each sequence, even if the sequences are counted per batch."""
    return index + 1 < len(items) and items[index + 1].text.lower().startswith(SEQUENCES)
