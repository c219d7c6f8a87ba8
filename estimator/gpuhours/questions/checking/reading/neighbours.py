"""What stands beside a figure and changes what it is: ``each A100``, ``of speech``, a name, the device whose memory it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

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
"""Gigabytes that accelerators are sold with."""


def of_something(items: Sequence[Item], index: int) -> bool:
    """``400 hours of speech`` is no duration of a run; ``3 weeks of continuous operation`` is."""
    after = [item.text.lower() for item in items[index + 1 : index + 4]]
    machines = any(isinstance(item, Figure) and item.unit in ("gpu", "node") for item in items[index + 2 : index + 3])
    return after[:1] == ["of"] and not machines and not any(word.startswith(RUNNING) for word in after[1:])


LASTING = (
    "run", "train", "pre", "job", "period", "campaign", "session",
    "effort", "budget", "continuous", "wall", "stretch", "marathon", "sprint",
    "phase", "stage", "schedule", "window", "gpu", "comput", "process", "duration", "time", "experiment",
)  # fmt: skip
"""How words for what lasts begin, behind a time written as one adjective: ``a 54-day run``."""


def of_a_length(items: Sequence[Item], index: int) -> bool:
    """``a 6-hour forecast``: the length of something that is no run."""
    figure = items[index]
    assert isinstance(figure, Figure)
    behind = items[index + 1] if index + 1 < len(items) else None
    if not figure.joined or behind is None or behind.kind != "word":
        return False
    after = [item.text.lower() for item in items[index + 1 : index + 4]]
    return not any(word.startswith(LASTING) for word in after)


SIZE_WORDS = frozenset(["small", "base", "large", "medium", "tiny", "mini", "xl", "nano", "huge"])


def behind_a_name(items: Sequence[Item], index: int) -> bool:
    """``Marlin 34B`` and ``Marlin-2 (34B)``."""
    at = index - 2
    while at > 0 and items[at].text.lower() in SIZE_WORDS:
        at -= 1  # GPT-2 small (124M)
    if at < index - 2 and items[index - 1].text == "(":
        return _is_name(items[at]) or any(c.isdigit() for c in items[at].text)
    bracketed = items[index - 1].text == "(" and index > 1 and items[min(index + 1, len(items) - 1)].text in (")", ",")
    return _is_name(items[index - 2 if bracketed else index - 1])


_SIZE = re.compile(r"(?<![\w.])(\d{1,4}(?:\.\d{1,3})?)([bm])(?!\w)", re.IGNORECASE)
ABOUT = 0.15
"""How far a size may lie from the one that the name has."""


def of_the_name_before(items: Sequence[Item], index: int) -> bool:
    """``Plover-13B (12.9B, 8T tokens)``: the size in brackets behind a name that says it roughly."""
    figure = items[index]
    if index < 2 or items[index - 1].text != "(" or not isinstance(figure, Figure):
        return False
    named = _SIZE.search(items[index - 2].text.replace("-", " "))
    if named is None:
        return False
    size = float(named[1]) * (1e9 if named[2].lower() == "b" else 1e6)
    return size > 0 and abs(figure.value / size - 1) < ABOUT


def for_an_amount(items: Sequence[Item], index: int, last: int) -> bool:
    """``172.8K GPU hours for the same trillion``: a rate, not the run's hours."""
    after = [item.text.lower() for item in items[index + 1 : min(index + 6, last)]]
    return (
        after[:1] in (["for"], ["per"], ["every"], ["each"])
        and bool({"same", "each", "every", "per"} & set(after))
        and "trillion" in after
    )


def of_a_clock(items: Sequence[Item], index: int) -> bool:
    """``38 (wall-clock)``: hours that went by, not those of all devices."""
    behind = [item.text.lower() for item in items[index + 1 : index + 3]]
    return behind[:1] in (["("], [","]) and behind[-1].startswith(("wall", "elapsed", "real"))


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
        if word in ("each", "every") and behind.text.lower() in ("of", "one"):
            them = items[at + 2].text.lower() if at + 2 < last else ""
            if behind.text.lower() == "one" or them in ("them", "these", "which"):
                return True
    return False


LETTERS = {"L": "layers", "H": "hidden", "A": "heads", "D": "hidden"}


def by_letter(items: Sequence[Item], index: int) -> str:
    """``L = 12, H = 768, A = 12``: sizes of a network by the letters that papers use, at least two of them together."""
    if index < 2 or items[index - 1].text != "=" or items[index - 2].text.upper() not in LETTERS:
        return ""
    near = items[max(index - 12, 0) : index + 12]
    letters = {one.text for one, two in pairwise(near) if two.text == "="} & {*LETTERS, *map(str.lower, LETTERS)}
    return LETTERS[items[index - 2].text.upper()] if len(letters) > 1 else ""


SYMBOLS_OF_SIZE = {"N": "parameters", "D": "tokens"}


def by_symbol(items: Sequence[Item], index: int) -> str:
    """``N = 16.2B`` and ``D = 500B``: parameters and tokens by the letters of 6 N D."""
    if index < 2 or items[index - 1].text != "=":
        return ""
    return SYMBOLS_OF_SIZE.get(items[index - 2].text, "")


def on_so_many(items: Sequence[Item], index: int) -> bool:
    """``the other on 256 for 8.5 days``: a bare count between ``on`` and the time it was busy."""
    figure = items[index]
    before = items[index - 1].text.lower() if index else ""
    behind = items[index + 1 : index + 3]
    time = behind[1] if len(behind) == 2 else None
    return (
        isinstance(figure, Figure)
        and isinstance(time, Figure)
        and before in ("on", "using", "with")
        and behind[0].text.lower() in ("for", "over", "during", "in")
        and figure.value == round(figure.value) > 1
        and time.unit == "time"
        and not time.per
    )


def to_a_node(items: Sequence[Item], index: int) -> bool:
    """``eight to a server`` and ``32 nodes of 8``: a bare count of the devices of a node."""
    behind = [item.text.lower() for item in items[index + 1 : index + 4]]
    named = len(behind) > 1 and behind[0] in ("to", "in", "per", "a") and behind[-1] in NODES | {"node"}
    before = [items[index - 1].text.lower(), items[index - 2]] if index > 1 else ["", None]
    nodes = isinstance(before[1], Figure) and before[1].unit == "node" and before[0] in ("of", "with", "x", "×", "*")
    return named or nodes


def nodes_times_devices(items: Sequence[Item], index: int) -> bool:
    """``64 nodes x 8 A100 = 512`` and ``48 nodes with 8 GPUs each (384 in use)``: a bare count that is the product of the two before it."""
    figure = items[index]
    assert isinstance(figure, Figure)
    before = [item for item in items[max(index - 16, 0) : index] if isinstance(item, Figure)][-2:]
    units = {item.unit for item in before}
    return (
        units == {"node", "gpu"}
        and min(item.value for item in before) > 1
        and figure.value == before[0].value * before[1].value
    )


NODES = frozenset(["server", "servers", "machine", "host", "box", "board", "tray"])


def of_media(items: Sequence[Item], index: int) -> bool:
    """``50 tokens per second of audio`` is a property of the tokeniser, not a speed."""
    after = [item.text.lower() for item in items[index + 1 : index + 4]]
    return after[:1] == ["of"] and bool({"audio", "speech", "video", "music", "sound"} & set(after))


def _is_name(item: Item) -> bool:
    """``Marlin 34B``: a capitalised word directly before a size."""
    return item.kind == "word" and item.text[:1].isupper() and len(item.text) > 1 and item.text.lower() not in HOP_STOPS


def before_a_plural(items: Sequence[Item], index: int) -> bool:
    """``52,114 commits``: a bare count directly before a word in the plural."""
    behind = items[index + 1] if index + 1 < len(items) else None
    word = behind.text.lower() if behind is not None and behind.kind == "word" else ""
    return len(word) > 3 and word.endswith("s") and not word.endswith("ss") and word not in HOP_STOPS


def behind_a_batch(items: Sequence[Item], index: int) -> bool:
    """``batch size 1,536 at 4,096 tokens``: a length that a count of sequences goes before."""
    before = items[index - 2] if index > 1 else None
    return (
        isinstance(before, Figure)
        and before.unit in ("", "sequence", "sample")
        and items[index - 1].text.lower() in ("at", "x", "×", "*", "of")
    )


def times_hours(items: Sequence[Item], index: int) -> bool:
    """``18,432 GPU-hours at $1.29``: money that hours are multiplied by."""
    figure = items[index] if index < len(items) else None
    before = items[max(index - 3, 0) : index]
    at = next((n for n, item in enumerate(before) if isinstance(item, Figure) and item.unit == "gpu_time"), None)
    small = isinstance(figure, Figure) and figure.value < 200 and not figure.scale
    times = items[index + 1 : index + 3]
    if (
        small
        and len(times) == 2
        and times[0].text.lower() in ("x", "×", "*", "·")
        and isinstance(times[1], Figure)
        and times[1].unit == "time"
    ):
        return True  # 32 x $3.22 x 73 h
    return (
        small
        and at is not None
        and all(item.text.lower() in ("at", "@", "x", "×", "*", "times", ",", "(") for item in before[at + 1 :])
    )


def hourly(items: Sequence[Item], index: int) -> bool:
    """``Hourly rate: $1.60 per GPU``."""
    return any(item.text.lower() in ("hourly", "hour") for item in items[max(index - 6, 0) : index + 4])


def hours_of_a_bill(items: Sequence[Item], index: int) -> str:
    """``300 W x 384 h``: hours that a power is multiplied by, which are those of all devices unless devices are a factor too."""
    factors: list[Figure] = []
    at = index - 1
    while at > 0 and items[at].text.lower() in ("x", "×", "*", "·", "times") and isinstance(items[at - 1], Figure):
        factor = items[at - 1]
        assert isinstance(factor, Figure)
        factors.append(factor)
        at -= 2
    kinds = {factor.unit for factor in factors}
    if "power" not in kinds:
        return ""
    return "wall_clock" if kinds & {"gpu", "node"} else "gpu_hours"


def hours_of_clips(items: Sequence[Item], index: int) -> str:
    """``1.35M clips (about 3,750 hours)``."""
    clips = items[index - 2] if index > 1 and items[index - 1].text == "(" else None
    if not isinstance(clips, Figure) or clips.unit != "sample":
        return ""
    word = clips.word.lower()
    film = word.startswith(("clip", "video", "recording", "film", "movie", "episode"))
    return "video_hours" if film else "audio_hours" if word.startswith(("utterance", "song", "track")) else ""


BESIDE = frozenset(["gpu", "gpu_time", "step", "epoch", "node", "node_time"])
NO_RUN = frozenset(["every", "each", "first", "last", "past", "after", "until", "next", "per", "another", "old", "ago"])


def beside_a_run(items: Sequence[Item], index: int) -> bool:
    """``36,600 steps, 70 hours``: a time next to the steps, GPUs or epochs of a run."""
    if index and items[index - 1].text.lower() in NO_RUN:
        return False
    for at in range(index - 1, max(index - 16, -1), -1):
        if items[at].kind == "stop":
            break
        if isinstance(items[at], Figure) and items[at].unit in BESIDE:  # type: ignore[attr-defined]
            return True
    for item in items[index + 1 : index + 6]:
        if item.kind == "stop":
            break
        if isinstance(item, Figure) and item.unit in BESIDE:
            return True
    return False


def a_share_of(items: Sequence[Item], index: int) -> bool:
    """``22% of 165 TFLOP/s`` and ``38% with respect to the card's 756 TFLOPS``: the whole that a share is of."""
    for at in range(index - 1, max(index - 9, -1), -1):
        item = items[at]
        if isinstance(item, Figure):
            between = [other.text.lower() for other in items[at + 1 : index]]
            return item.unit == "percent" and ("of" in between or between[:3] == ["with", "respect", "to"])
    return False


INSTANCES = frozenset(["instance", "node", "server", "machine", "box", "system", "cluster", "pod", "slice"])


def of_an_instance(items: Sequence[Item], index: int, first: int) -> bool:
    """``price of the instance: $32.77/h``: what a whole node costs, not a GPU."""
    behind = [item.text.lower() for item in items[index + 1 : index + 7]]
    if behind[:1] == ["for"] and any(word in INSTANCES or "large" in word for word in behind):
        return True  # $32.77 per hour for the instance
    for item in reversed(items[max(first, index - 8) : index]):
        if (isinstance(item, Figure) and item.unit == "gpu") or item.kind == "device":
            return False
        if item.text.lower() in INSTANCES or (isinstance(item, Figure) and item.unit == "node"):
            return True
    return False


def keeps_busy(items: Sequence[Item], index: int, first: int) -> bool:
    """``one trillion tokens keeps them busy for three days (171K GPU hours)``: what a unit of work takes, not the run."""
    for at in range(max(first, index - 16), index):
        item = items[at]
        if item.text.lower() == "trillion" and items[at - 1].text.lower().strip() in ("each", "every", "per"):
            return True
        if (
            isinstance(item, Figure)
            and item.unit == "token"
            and item.value == 1e12
            and item.text.lower().startswith(("one", "a ", "each"))
            and not any(
                one.text.lower().startswith(("train", "pretrain", "pre-train")) for one in items[max(at - 4, 0) : at]
            )
        ):
            return True
    return False
