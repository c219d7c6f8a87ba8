"""Unit words: what each one measures, and its size in the base unit."""

from __future__ import annotations

from collections.abc import Mapping

from gpuhours.inputs.durations import DAY, HOUR

SCALES = {
    "hundred": 100.0, "dozen": 12.0, "thousand": 1e3, "k": 1e3, "million": 1e6, "m": 1e6, "mm": 1e6, "mn": 1e6, "mio": 1e6, "billion": 1e9,
    "b": 1e9, "bn": 1e9, "trillion": 1e12, "t": 1e12, "quadrillion": 1e15,
    "lakh": 1e5, "lakhs": 1e5, "crore": 1e7, "crores": 1e7,
    "thousands": 1e3, "millions": 1e6, "billions": 1e9, "trillions": 1e12,
}  # fmt: skip
PREFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18, "z": 1e21, "y": 1e24}
LONG_PREFIXES = {
    "kilo": "k", "mega": "m", "giga": "g", "tera": "t", "peta": "p", "exa": "e", "zetta": "z", "yotta": "y",
}  # fmt: skip
TIMES = (("ms", 1e-3), ("milli", 1e-3), ("month", 365.25 / 12 * DAY), ("min", 60.0), ("s", 1.0), ("h", HOUR), ("d", DAY), ("week", 7 * DAY),
         ("wk", 7 * DAY), ("fortnight", 14 * DAY), ("year", 365.25 * DAY), ("yr", 365.25 * DAY))  # fmt: skip
"""Prefixes of words for times, longest first, in seconds."""
UNITS: Mapping[str, str] = {
    "BYTES": "byte", "BITS": "bit/s", "TIME": "time", "FLOPS": "flop", "FLOP_DAYS": "flop_days", "ENERGY": "energy",
    "WATTS": "power", "CARBON": "co2", "CURRENCY": "money", "PERCENT": "percent", "PIXELS": "pixel", "RATE": "rate",
    "LENGTH": "length", "THINGS": "things", "INSTANCE": "things", "GPU_TIME": "gpu_time",
}  # fmt: skip
"""Terminals of the grammar that are units, and the kind of each."""
NOUNS: Mapping[str, str] = {
    "param": "parameter", "weight": "parameter", "billion-parameter": "parameter", "iteration": "step", "iter": "step",
    "update": "step", "passe": "epoch", "block": "layer", "server": "node", "machine": "node", "host": "node", "system": "node",
    "box": "node", "dgx": "node",
    "boxe": "node", "pass": "epoch", "tok": "token", "img": "sample", "seq": "sequence",  "subject": "sample", "patient": "sample",
    "amino acid": "residue", "amino-acid": "residue", "base pair": "residue", "base-pair": "residue", "nucleotide": "residue",
    "word piece": "token", "wordpiece": "token", "word-piece": "token", "subword": "token",
    "pair": "sample", "clip": "sample", "video": "sample", "image": "sample", "picture": "sample", "example": "sample",
    "document": "sample", "triplet": "sample", "triple": "sample", "pic": "sample", "tuple": "sample", "rollout": "sample",
    "response": "sample", "completion": "sample",
    "transcript": "sample", "excerpt": "sample", "snippet": "sample", "conversation": "sample", "utterance": "sample", "sentence": "sample",
    "structure": "sample", "protein": "sample", "trajectorie": "sample", "episode": "sample", "volume": "sample",
    "scan": "sample", "slide": "sample", "instance": "sample", "point": "sample", "entrie": "sample", "item": "sample",
    "demonstration": "sample", "dialogue": "sample", "instruction": "sample", "prompt": "sample", "recording": "sample",
    "molecule": "sample", "song": "sample", "page": "sample", "book": "sample", "cell": "sample", "comment": "sample",
    "crop": "sample",
    "caption": "sample", "tile": "sample", "waveform": "sample", "scene": "sample", "patent": "sample", "article": "sample",
    "genome": "sample", "report": "sample", "note": "sample", "track": "sample", "question": "sample", "annotation": "sample",
    "dim": "dimension", "module": "gpu",
    "patche": "patch", "querie": "query", "core": "gpu", "chip": "gpu", "comparison": "sample",
    "commit": "sample", "file": "sample", "post": "sample", "tweet": "sample", "email": "sample", "review": "sample", "game": "sample",
    "problem": "sample", "function": "sample", "message": "sample", "crystal": "sample", "material": "sample", "compound": "sample",
    "reaction": "sample", "spectra": "sample", "photo": "sample", "photograph": "sample",
    "row": "sample", "abstract": "sample", "paper": "sample", "exam": "sample", "grasp": "sample",
}  # fmt: skip
"""Other names of counted things."""


def noun(word: str) -> str:
    """The base form of a counted noun: ``iterations -> step``, ``video-text pairs -> sample``, ``servers -> node``."""
    singular = word.lower().strip()
    if "large" in singular and ("." in singular or "-" in singular):
        return "node"  # trn2.48xlarge
    singular = singular if singular.endswith("ss") else singular.removesuffix("s")
    return NOUNS.get(singular, singular)


def seconds(word: str) -> float:
    """The seconds in a unit of time: ``hrs -> 3600``."""
    lowered = word.lower().strip(" -")
    return next((value for start, value in TIMES if lowered.startswith(start)), 1.0)


def kind(unit: str, word: str) -> str:
    """The kind of a unit word: separates rates from amounts, and names counted things by their noun."""
    lowered = word.lower()
    if unit == "things":
        return {"contexts": "sequence", "it": "step"}.get(lowered) or noun(word)  # it/s
    if unit == "flop" and (
        "/s" in lowered
        or "per second" in lowered
        or lowered.count("/")
        or (word.endswith("FLOPS") and lowered != "flops")
    ):
        return "flop/s"
    if unit == "bit/s" and ("B/s" in word):
        return "byte/s"
    if unit == "rate" and lowered.endswith("hz"):
        return "hertz"
    return unit


def factor(unit: str, word: str) -> float:
    """The size of one ``word`` in the base of ``unit``; 1 for numbers, devices and money."""
    lowered = word.lower().strip()
    if unit == "time":
        return seconds(word)
    if unit in ("node_time", "gpu_time"):
        return (
            seconds(lowered.replace("-", " ").split()[-1] if " " in lowered or "-" in lowered else _tail(lowered))
            / HOUR
        )
    if unit == "percent":
        return 0.01
    if unit == "flop_days":
        return prefix(word) * DAY
    if unit in ("flop", "flop/s"):
        return 1.0 if lowered.startswith(("flop", "floating")) else prefix(word)
    if unit == "byte":
        binary = 1.024 if len(lowered) == 3 and lowered[1] == "i" else 1.0
        power = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5}.get(lowered[0], 0)
        return 1.0 if lowered.startswith("byte") else prefix(word) * binary**power
    if unit in ("bit/s", "byte/s", "energy", "power"):
        return 1.0 if lowered.startswith("watt") or lowered in ("w", "wh") else prefix(word)
    if unit == "co2":
        starts = (
            ("kilot", 1e3),
            ("kt", 1e3),
            ("kil", 1e-3),
            ("kg", 1e-3),
            ("g", 1e-6),
            ("lb", 4.5359237e-4),
            ("pound", 4.5359237e-4),
        )
        return next((size for start, size in starts if lowered.startswith(start)), 1.0)
    if unit == "hertz":
        return PREFIXES.get(lowered[0], 1.0) if lowered != "hz" else 1.0
    return 1.0


def _tail(word: str) -> str:
    """``gpuh -> h`` and ``gpu·h -> h``: the time word at the end of a compound."""
    for stem in ("gpu", "tpu", "npu", "hpu", "node"):
        if word.startswith(stem):
            return word.removeprefix(stem).removeprefix("s").lstrip(" ·*×") or "h"
    return word


def prefix(word: str) -> float:
    """The factor of a unit prefix: ``teraFLOP/s -> 1e12``, ``kWh -> 1e3``."""
    lowered = word.lower()
    for long, short in LONG_PREFIXES.items():
        if lowered.startswith(long):
            return PREFIXES[short]
    return PREFIXES.get(lowered[0], 1.0)
