"""Figures explained by a nearby figure: tokens in each step, steps until a rate is reached, clips and their length."""

from __future__ import annotations

from collections.abc import Sequence

from gpuhours.questions.checking.reading.figures.tokens import Figure, Item


def nodes_times_devices(items: Sequence[Item], index: int) -> bool:
    """``64 nodes x 8 A100 = 512`` and ``48 nodes with 8 GPUs each (384 in use)``: whether a figure is the product of the two before."""
    figure = items[index]
    assert isinstance(figure, Figure)
    before = [item for item in items[max(index - 16, 0) : index] if isinstance(item, Figure)][-2:]
    units = {item.unit for item in before}
    return (
        units == {"node", "gpu"}
        and min(item.value for item in before) > 1
        and figure.value == before[0].value * before[1].value
    )


def on_so_many(items: Sequence[Item], index: int) -> bool:
    """``the other on 256 for 8.5 days``: whether a bare count stands between ``on`` and a duration."""
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


PASSES = {
    "token": "dataset_tokens",
    "residue": "dataset_tokens",
    "sample": "dataset_samples",
    "sequence": "dataset_samples",
}


def of_passes(items: Sequence[Item], index: int) -> str:
    """``Two epochs over about 188M tokens``: the data set quantity that several passes go over; empty for other figures."""
    figure = items[index]
    assert isinstance(figure, Figure)
    at = index - 1
    while (
        at > index - 4 and at > 0 and items[at].text.lower() in ("the", "a", "all", "our", "these", "about", "roughly")
    ):
        at -= 1
    passes = items[at - 1] if at > 0 and items[at].text.lower() in ("over", "of", "on", "through", "across") else None
    if "over" in " ".join(figure.hedges).lower() and index and isinstance(items[index - 1], Figure):
        passes = items[index - 1]
    several = isinstance(passes, Figure) and passes.unit == "epoch" and passes.value > 1.02 and not passes.per
    return PASSES.get(figure.unit, "") if several else ""


DEVICES = frozenset(
    ["superchips", "modules", "dies", "gcds", "gpus", "cards", "chips", "devices", "accelerators", "boards", "tpus"]
)


def on_some_of_them(items: Sequence[Item], index: int) -> bool:
    """``61 hours on 64 of them``: whether the figure is a part of the devices counted before."""
    before = items[index - 1].text.lower() if index else ""
    behind = [item.text.lower() for item in items[index + 1 : index + 4]]
    of_them = behind[:2] in (["of", "them"], ["of", "these"], ["of", "those"], ["of", "which"])
    of_the_cards = behind[:2] in (["of", "the"], ["of", "our"], ["of", "its"]) and behind[2:] and behind[2] in DEVICES
    if _of_named_devices(items, index):
        return True
    if before not in ("on", "using", "with", "over") or not (of_them or of_the_cards):
        return False
    counted = [
        item for item in items[max(index - 160, 0) : index] if isinstance(item, Figure) and item.unit in ("gpu", "node")
    ]
    return bool(counted) and counted[-1].unit == "gpu" and counted[-1].value >= items[index].value  # type: ignore[attr-defined]


def on_each_of(items: Sequence[Item], index: int) -> bool:
    """``global batch 65,536 (512 on each of 128 A100)``: whether the figure is what each of so many devices has."""
    behind = items[index + 1 : index + 5]
    words = [item.text.lower() for item in behind[:3]]
    counted = next((item for item in behind[2:] if isinstance(item, Figure)), None)
    return words[:2] == ["on", "each"] and counted is not None and counted.unit == "gpu"


OF_WHOM = frozenset(["the", "same", "its", "their", "our", "'s", "’s", "'", "’", "s"])


KINDS_OF_THINGS = frozenset(["units", "pieces"])
"""Nouns for devices whose name follows: ``1,024 units of type H100``."""


def _of_named_devices(items: Sequence[Item], index: int) -> bool:
    """``2,048 of Nvidia's H100 chips`` and ``2,048 of the superchips``: whether a bare figure counts the devices named after it."""
    behind = items[index + 1 : index + 7]
    if behind and behind[0].text.lower() in KINDS_OF_THINGS:
        behind = [item for item in behind[1:] if item.text.lower() not in ("type", "kind", "model", "the")]
    if not behind or behind[0].text.lower() != "of":
        return False
    at = next((n for n, item in enumerate(behind[1:], 1) if item.kind == "device" or item.text.lower() in DEVICES), 0)
    between = behind[1:at]
    return at > 0 and all(item.text.lower() in OF_WHOM or item.text[:1].isupper() for item in between)


def so_the_batch_is(items: Sequence[Item], index: int) -> bool:
    """``With 60 samples per GPU the batch is 4,800``: whether the figure is the batch of all devices, after that of one."""
    before = [item.text.lower() for item in items[max(index - 4, 0) : index]]
    if before[-1:] not in (["is"], ["was"], ["becomes"], ["of"], ["makes"]) or not {"batch", "batches"} & set(before):
        return False
    earlier = [item for item in items[max(index - 12, 0) : index] if isinstance(item, Figure)]
    return bool(earlier) and "gpu" in earlier[-1].per and 1 < earlier[-1].value < items[index].value  # type: ignore[attr-defined]


def behind_a_batch(items: Sequence[Item], index: int) -> bool:
    """``batch size 1,536 at 4,096 tokens``: whether a length follows a count of sequences."""
    before = items[index - 2] if index > 1 else None
    return (
        isinstance(before, Figure)
        and before.unit in ("", "sequence", "sample")
        and items[index - 1].text.lower() in ("at", "x", "×", "*", "of")
    )


def hours_of_clips(items: Sequence[Item], index: int) -> str:
    """``1.35M clips (about 3,750 hours)``: the quantity of hours in brackets after a number of clips; empty if it is not one."""
    clips = items[index - 2] if index > 1 and items[index - 1].text == "(" else None
    if not isinstance(clips, Figure) or clips.unit != "sample":
        return ""
    word = clips.word.lower()
    film = word.startswith(("clip", "video", "recording", "film", "movie", "episode"))
    return "video_hours" if film else "audio_hours" if word.startswith(("utterance", "song", "track")) else ""


BESIDE = frozenset(["gpu", "gpu_time", "step", "epoch", "node", "node_time", "token"])
NO_RUN = frozenset(["every", "each", "first", "last", "past", "after", "until", "next", "per", "another", "old", "ago"])


def next_to_a_run(items: Sequence[Item], index: int) -> bool:
    """``36,600 steps, 70 hours``: whether a time is near the steps, GPUs or epochs of a run."""
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


SPENT = (
    "spen",
    "us",
    "consum",
    "cost",
    "burn",
    "took",
    "take",
    "budget",
    "total",
    "comput",
    "account",
    "charg",
    "train",
    "bill",
    "run",
)
"""Prefixes of words near hours of machines."""
FILMED = ("audio", "speech", "sound", "music", "video", "film", "footage", "recording", "broadcast", "podcast", "data", "corpus", "clip",
          "transcri", "labell", "label", "annotat")  # fmt: skip
"""Prefixes of words near hours of recordings."""
FAR_FROM_HOURS = 8


def spent_on_machines(items: Sequence[Item], index: int, first: int, last: int) -> bool:
    """``The 558,000 hours were spent on``: whether hours, too many for elapsed time, are device-hours and not hours of recordings."""
    behind = items[index + 1 : index + 4]
    if behind and behind[0].text.lower() in ("on", "of") and any(item.kind == "device" for item in behind[1:]):
        return True  # 728,000 hours on A100s
    words = [item.text.lower() for item in items[first:last] if item.kind == "word"]
    near = [item.text.lower() for item in items[max(index - FAR_FROM_HOURS, first) : min(index + FAR_FROM_HOURS, last)]]
    return any(word.startswith(SPENT) for word in near) and not any(word.startswith(FILMED) for word in words)


def instead_of(items: Sequence[Item], index: int) -> bool:
    """``13.2 days instead of 22``: whether a figure is what another one before it replaced."""
    words = [item.text.lower() for item in items[max(index - 3, 0) : index]]
    words = words[:-1] if words[-1:] in (["the"], ["our"], ["only"]) else words
    replaced = words[-2:] in (["instead", "of"], ["rather", "than"], ["down", "from"], ["up", "from"])
    return replaced and any(isinstance(item, Figure) for item in items[max(index - 12, 0) : index - 2])


def times_a_device(items: Sequence[Item], index: int) -> bool:
    """``A100 SXM4 40 GB x 16``: whether the figure is the number of the device before it."""
    figure = items[index]
    if (
        index < 2
        or items[index - 1].text.strip() not in ("x", "×", "*")
        or not isinstance(figure, Figure)
        or figure.value < 1
    ):
        return False
    named = items[index - 2]
    size = isinstance(named, Figure) and named.unit == "byte" and index > 2 and items[index - 3].kind == "device"
    return (
        named.kind == "device"
        or size
        or (named.text == ")" and any(item.kind == "device" for item in items[max(index - 6, 0) : index]))
    )


def speaks_of_flops(items: Sequence[Item], index: int, first: int) -> bool:
    """``(3.84 × 10^22 altogether)``: whether the words before or just after a number are about operations."""
    near = items[max(first, index - 24) : index + 4]
    return any(
        "flop" in item.text.lower() or item.text.lower() in ("compute", "operations", "6nd", "c") for item in near
    )


def each_of_several(items: Sequence[Item], index: int) -> bool:
    """``2 racks, 18 nodes each``: whether the figure is what each of several things has, not the total."""
    behind = [item.text.lower() for item in items[index + 1 : index + 3]]
    if behind[:1] != ["each"] or (
        behind[1:] and behind[1] not in (".", ",", ";", ")", ":", "|", "(") and not behind[1].startswith("\n")
    ):
        return False
    before = next((item for item in reversed(items[max(index - 5, 0) : index]) if isinstance(item, Figure)), None)
    return before is not None and before.value > 1 and before.unit != getattr(items[index], "unit", "")


def since_when(items: Sequence[Item], index: int) -> bool:
    """``commented 2 days ago``, ``a thread three weeks old``: whether a time says how long ago something was, and is not a duration."""
    behind = [item.text.lower() for item in items[index + 1 : index + 3]]
    return behind[:1] in (["ago"], ["old"]) or behind == ["back", ","] or behind in (["or", "ago"], ["or so", "ago"])


def keeps_busy(items: Sequence[Item], index: int, first: int) -> bool:
    """``one trillion tokens keeps them busy for three days (171K GPU hours)``: whether a figure is for one unit of work, not the run."""
    for at in range(max(first, index - 16), index):
        item = items[at]
        if item.text.lower() == "trillion" and items[at - 1].text.lower().strip() in ("each", "every", "per"):
            return True
        if (
            isinstance(item, Figure)
            and item.unit == "token"
            and item.value == 1e12
            and item.text.lower().startswith(("one", "a ", "each"))
            and (items[at + 1].text.lower() in KEEPS or (at and items[at - 1].text.lower() in FOR_EACH))
        ):
            return True
    return False


KEEPS = frozenset(
    ["keep", "keeps", "take", "takes", "cost", "costs", "need", "needs", "require", "requires", "occupy", "occupies", "last", "lasts",
     "is", "means", "amounts", "corresponds"]
)  # fmt: skip
"""Verbs of which ``one trillion tokens`` is the subject."""
FOR_EACH = frozenset(["for", "per", "every", "on"])
"""Words before ``one trillion tokens`` that make it a unit of work."""
STOPS = frozenset(
    ["stop", "stops", "stopped", "lost", "downtime", "outage", "outages", "interruptions", "failures", "idle", "down"]
)


def part_of_a_stop(items: Sequence[Item], index: int, first: int) -> bool:
    """``Stops ate 12 hours: eleven broken cards (7.4 h), two upgrades (3.1 h)``: whether a time in brackets is part of a total of stops."""
    if index < 2 or items[index - 1].text != "(":
        return False
    colon = next((at for at in range(index - 1, first, -1) if items[at].text == ":"), None)
    whole = items[colon - 1] if colon else None
    if colon is None or not isinstance(whole, Figure) or whole.unit != "time" or whole.value <= items[index].value:  # type: ignore[attr-defined]
        return False
    return any(item.text.lower() in STOPS for item in items[first:colon])


def hours_of_a_day(items: Sequence[Item], index: int) -> bool:
    """``256 GPUs x 26 days x 24 h``: whether a time only converts the one that it multiplies."""
    before = items[index - 2] if index > 1 else None
    times = index > 1 and items[index - 1].text.strip() in ("x", "×", "*")
    return times and isinstance(before, Figure) and before.unit == "time" and before.value > items[index].value  # type: ignore[attr-defined]


def behind_a_machine(items: Sequence[Item], index: int) -> bool:
    """``One 8xH100 box. 45 minutes.``: whether the sentence before a time that stands alone counts devices or nodes."""
    for item in reversed(items[max(index - FAR_FROM_HOURS, 0) : max(index - 1, 0)]):
        if item.kind == "stop":
            return False
        if isinstance(item, Figure) and item.unit in ("gpu", "node"):
            return True
    return False


def on_a_machine(items: Sequence[Item], index: int) -> bool:
    """``2.81 minutes on 8xH100``: whether a time is directly before the devices that it was spent on."""
    behind = items[index + 1 : index + 3]
    counted = behind[1] if len(behind) == 2 and behind[0].text.lower() in ("on", "with") else None
    return isinstance(counted, Figure) and counted.unit in ("gpu", "node") and not counted.per


def is_a_part(items: Sequence[Item], index: int) -> bool:
    """``500 billion tokens, among them 34 billion from newspapers``: whether an amount is a part of the tokens before it."""
    before = [item.text.lower() for item in items[max(index - 2, 0) : index]]
    part = before in (["among", "them"], ["among", "these"]) or before[-1:] == ["including"]
    whole = next(
        (item for item in reversed(items[max(index - FAR_FROM_HOURS, 0) : index]) if isinstance(item, Figure)), None
    )
    return part and whole is not None and whole.unit == "token"


def behind_its_base(items: Sequence[Item], index: int) -> bool:
    """``continues from Tern-8B (8B parameters, 15T tokens)``: whether a figure is in brackets behind the model that a run starts from."""
    opened = next((at for at in range(index - 1, max(index - 8, 1), -1) if items[at].text in "()"), 0)
    before = [item.text for item in items[max(opened - 4, 0) : opened]]
    named = any(any(c.isdigit() for c in word) and word[:1].isalpha() for word in before)
    return opened > 0 and items[opened].text == "(" and "from" in before and named


def of_things_cut(items: Sequence[Item], index: int) -> bool:
    """``56,000 calls of 4 seconds``: whether a time is the length of each of many things."""
    if index < 3 or items[index - 1].text.lower() != "of" or items[index - 2].kind != "word":
        return False
    count, thing = items[index - 3], items[index - 2].text.lower()
    return isinstance(count, Figure) and not count.unit and count.value > 1 and thing.endswith("s")


def counts_clips(items: Sequence[Item], index: int) -> bool:
    """``56,000 calls of 4 seconds``: whether a bare figure counts things that each have such a length."""
    time = items[index + 3] if index + 3 < len(items) else None
    return (
        isinstance(time, Figure)
        and time.unit == "time"
        and time.value < LONGEST_THING
        and of_things_cut(items, index + 3)
    )


LONGEST_THING = 600.0
"""In seconds."""
RISES = ("warm", "ramp", "climb", "rise", "rising", "increas", "grow", "linear")
WITHIN = frozenset(["within", "over", "in", "during", "for", "after", "first", "the", "by"])
RISEN = {"step": "warmup_steps", "token": "warmup_tokens", "epoch": "warmup_epochs"}


def after_a_rise(items: Sequence[Item], index: int) -> str:
    """``climbs to 3e-4 within 2,000 steps``: the quantity of what a learning rate needs to reach its peak; empty for other figures."""
    figure = items[index]
    assert isinstance(figure, Figure)
    if figure.unit not in RISEN or figure.per:
        return ""
    before = index - 1
    while before > index - 6 and before > 0 and items[before].text.lower() in WITHIN | PEAKS | {",", "("}:
        before -= 1
    rate = items[before]
    if (
        (before == index - 1 and "over" not in figure.hedges)
        or not isinstance(rate, Figure)
        or rate.unit
        or not 0 < rate.value < LARGEST_RATE
    ):
        return ""
    words = [item.text.lower() for item in items[max(before - 8, 0) : before]]
    links = {item.text.lower() for item in items[before + 1 : index]}
    risen = any(word.startswith(RISES) for word in words)
    peaked = any(word in PEAKS for word in words) and bool(links & {"after", "within", "by"})
    return RISEN[figure.unit] if risen or peaked else ""


PEAKS = frozenset(["peak", "peaks", "peaked", "peaking", "maximum", "reaches", "reached", "reaching"])
"""``peaks at 1.5e-4 after 2,000 steps``: words for the peak of a learning rate."""


LARGEST_RATE = 0.1
"""No learning rate is larger."""
