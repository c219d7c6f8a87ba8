"""Reads the unit after a number: the device or thing that it counts, and what it is per."""

from __future__ import annotations

from collections.abc import Sequence

from gpuhours.inputs.durations import DAY, HOUR
from gpuhours.questions.checking.reading.figures.number_tokens import number_at, type_at
from gpuhours.questions.checking.reading.figures.tokens import DEVICE, Token, Unit
from gpuhours.questions.checking.reading.vocabulary.units import SCALES, UNITS, factor, kind, noun, seconds

BUSY = ("training", "pretraining", "pre-training", "compute", "computing")
FURTHER = frozenset(
    [
        "further",
        "more",
        "additional",
        "full",
        "whole",
        "extra",
        "straight",
        "consecutive",
        "calendar",
        "net",
        "long",
        "solid",
        "other",
    ]
)
"""Words that may stand between a number and its unit of time."""
OF_DEVICES = frozenset(
    [
        "useful",
        "productive",
        "effective",
        "net",
        "billed",
        "paid",
        "custom",
        "individual",
        "identical",
        "rented",
        "interconnected",
        "local",
        "physical",
        "older",
        "consumer",
    ]
)
"""Words that may stand between a number and the device it counts."""
PEAK_WORDS = frozenset(
    [
        "model",
        "training",
        "dense",
        "sparse",
        "bf16",
        "fp16",
        "fp8",
        "tf32",
        "fp32",
        "bfloat16",
        "float16",
        "peak",
        "theoretical",
        "half-precision",
    ]
)
"""Words that may stand between a number and FLOP/s."""
WORK = frozenset({"step", "iteration", "update", "epoch", "pass", "run"})


def unit_at(tokens: Sequence[Token], at: int, *, money: bool = False) -> tuple[Unit, int]:
    """The unit, device and ``per`` after a number, and the next index; an empty unit if there is none (``money``: with a price's
    ``per``)."""
    begun = at
    of_it = type_at(tokens, at - 1) == "SCALE" and type_at(tokens, at + 1) == "THINGS"
    at += of_it and tokens[at].text.lower() == "of"  # 15 billions of tokens
    joined = type_at(tokens, at) == "HYPHEN"
    at += joined
    at = _behind_adjectives(tokens, at)
    found = Unit()
    if type_at(tokens, at) in DEVICE:
        found, at = _device_unit(tokens, at)
    elif type_at(tokens, at) in UNITS:
        token = tokens[at]
        unit = kind(UNITS[token.type], token.text)
        found = Unit(unit, token.text.strip(), factor(unit, token.text))
        at += 1
        hosts = unit == "node" or token.text.lower().startswith("instance")
        if hosts and type_at(tokens, at + (type_at(tokens, at) == "HYPHEN")) == "TIME":
            at += type_at(tokens, at) == "HYPHEN"
            found = Unit("node_time", f"{token.text} {tokens[at].text}", seconds(tokens[at].text) / HOUR)
            at += 1
    elif not money:
        return found, begun
    else:
        at = begun
    begins_clause = found.device and type_at(tokens, at) == "PER" and tokens[at].text.lower().startswith(("each", "a"))
    if begins_clause and tokens[at + 1].type == "THINGS" and noun(tokens[at + 1].text) in WORK:
        return found._replace(joined=joined), at  # with 8 GPUs each step takes: not GPUs per step
    begun = at
    per, at = _per(tokens, at)
    if not found.device and found.kind and "gpu" in per:
        found = found._replace(
            device=" ".join(t.text for t in tokens[begun:at] if t.type == "CHIP")
        )  # tokens/s per A100
    if "second" in per and found.kind in ("flop", "flop/s"):
        found, per = found._replace(kind="flop/s"), tuple(one for one in per if one != "second")
    return found._replace(per=per, joined=joined and found.kind != "gpu_time"), at


def _behind_adjectives(tokens: Sequence[Token], at: int) -> int:
    """The index after words that may stand between a number and its unit; ``at`` if there are none."""
    if (
        type_at(tokens, at) in ("WORD", "ORDINAL")
        and tokens[at].text.lower() in FURTHER
        and type_at(tokens, at + 1) in ("TIME", "CARBON")
    ):
        at += 1  # 11 further minutes, 18.7 net tCO2e
    at = _behind_generation(tokens, at)
    at += type_at(tokens, at) == "WORD" and tokens[at].text.lower() in OF_DEVICES and type_at(tokens, at + 1) in DEVICE
    skipped = at
    while skipped < at + 4 and skipped < len(tokens) and tokens[skipped].text.lower() in PEAK_WORDS:
        skipped += 1
    return skipped if type_at(tokens, skipped) == "FLOPS" else at  # 667 dense bf16 TFLOPS


GENERATIONS = frozenset(["first", "second", "third", "fourth", "fifth", "sixth"])


def _behind_generation(tokens: Sequence[Token], at: int) -> int:
    """The index after ``second-generation`` before a device: ``16 second-generation TPUs``; ``at`` if there is no such word."""
    parts: list[str] = []
    for end in range(at, min(at + 3, len(tokens))):
        parts.append(tokens[end].text.lower())
        said = "".join(parts).replace("-", " ").split()
        if len(said) > 1 and said[0] in GENERATIONS and said[1:] == ["generation"]:
            return end + 1 if type_at(tokens, end + 1) in DEVICE else at
    return at


def _device_unit(tokens: Sequence[Token], at: int) -> tuple[Unit, int]:
    """A count of devices, device-hours, or nodes of devices (``420 DGX A100 servers``)."""
    words, begun = [], at
    while type_at(tokens, at) in DEVICE or (type_at(tokens, at) == "HYPHEN" and type_at(tokens, at + 1) in DEVICE):
        words.append(" ".join(tokens[at].text.split()))
        at += 1
    device = " ".join(word for word in words if word not in "-‑")
    behind = at + (type_at(tokens, at) == "HYPHEN")
    if behind + 1 < len(tokens) and tokens[behind].text.lower() in BUSY and tokens[behind + 1].type == "TIME":
        behind += 1  # GPU training hours
    if type_at(tokens, behind) == "MARK" and tokens[behind].text == "-" and type_at(tokens, behind + 1) == "GPU_TIME":
        behind += 1  # TPU-core-hours
    if type_at(tokens, behind) == "TIME":
        return Unit(
            "gpu_time", f"{device} {tokens[behind].text}", seconds(tokens[behind].text) / HOUR, (), device
        ), behind + 1
    if type_at(tokens, behind) == "GPU_TIME":
        return Unit(
            "gpu_time", f"{device} {tokens[behind].text}", factor("gpu_time", tokens[behind].text), (), device
        ), behind + 1
    if (
        type_at(tokens, behind) == "THINGS"
        and noun(tokens[behind].text) == "node"
        and tokens[behind].text.lower().endswith("s")
    ):
        word, behind = tokens[behind].text, behind + 1
        timed = behind + (type_at(tokens, behind) == "HYPHEN")
        if type_at(tokens, timed) == "TIME":
            return Unit(
                "node_time", f"{word} {tokens[timed].text}", seconds(tokens[timed].text) / HOUR, (), device
            ), timed + 1
        return Unit("node", word, 1.0, (), device), behind
    if device.upper().replace("-", " ").startswith("DGX ") and not any(
        t.type == "GPU_WORD" for t in tokens[at - len(words) : at]
    ):
        return Unit("node", device, 1.0, (), device), at
    if not any(t.type in ("CHIP", "GPU_WORD", "MEMORY", "FORM") for t in tokens[begun:at]):
        return Unit(), begun  # two AMD EPYC processors
    return Unit("gpu", device, 1.0, (), device), at


def _per(tokens: Sequence[Token], at: int) -> tuple[tuple[str, ...], int]:
    """What a unit is per: ``per GPU``, ``/s``, ``per trillion tokens``; and the next index."""
    per: list[str] = []
    while type_at(tokens, at) == "PER":
        behind, many = at + 1, ""
        number = None if "/" in tokens[at].text else number_at(tokens, behind)
        if number is not None:
            many, behind = f"{number.value:g} ", number.end
        elif type_at(tokens, behind) == "SCALE":
            many, behind = f"{SCALES.get(tokens[behind].text.strip(' -').lower(), 1.0):g} ", behind + 1
        token = tokens[behind] if behind < len(tokens) else None
        if token is None or token.type not in ("BYTES", "TIME", "ENERGY", "THINGS", "GPU_TIME", *DEVICE):
            break
        if token.type in DEVICE:
            while type_at(tokens, behind) in DEVICE:
                behind += 1
            per.append(many + "gpu")
            timed = behind + (type_at(tokens, behind) in ("HYPHEN", "AND"))
            if type_at(tokens, timed) == "TIME":
                per.append(_per_time(tokens[timed].text))
                behind = timed + 1
        elif token.type == "GPU_TIME":
            per += [many + "gpu", _per_time("h" if factor("gpu_time", token.text) == 1.0 else "day")]
            behind += 1
        else:
            per.append(
                many
                + (
                    _per_time(token.text)
                    if token.type == "TIME"
                    else ("mwh" if token.text.lower().startswith("m") else "energy")
                    if token.type == "ENERGY"
                    else "step"
                    if token.text.lower() == "it"
                    else noun(token.text)
                )
            )
            behind += 1
            joint = token.type == "TIME" and type_at(tokens, behind) == "AND" and behind + 1 < len(tokens)
            if joint and (type_at(tokens, behind + 1) == "GPU_WORD" or noun(tokens[behind + 1].text) == "gpu"):
                per.append("gpu")  # tokens per second and chip
                behind += 2
        at = behind
    return tuple(dict.fromkeys(per)), at


def _per_time(word: str) -> str:
    return {1.0: "second", HOUR: "hour", DAY: "day", 60.0: "minute"}.get(seconds(word), "time")
