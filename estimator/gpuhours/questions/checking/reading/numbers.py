"""Text -> words and figures, through the grammar in ``numbers.lark``: what stands where, before anyone asks what it means."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

from gpuhours.questions.checking.precision import hedge_words
from gpuhours.questions.checking.quantities import DAY, HOUR
from gpuhours.questions.checking.reading.number_words import spelled

SCALES = {
    "hundred": 100.0, "dozen": 12.0, "thousand": 1e3, "k": 1e3, "million": 1e6, "m": 1e6, "mm": 1e6, "billion": 1e9, "b": 1e9, "bn": 1e9,
    "trillion": 1e12, "t": 1e12, "quadrillion": 1e15,
}  # fmt: skip
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹−⁻", "0123456789--")
PREFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18, "z": 1e21, "y": 1e24}
LONG_PREFIXES = {
    "kilo": "k", "mega": "m", "giga": "g", "tera": "t", "peta": "p", "exa": "e", "zetta": "z", "yotta": "y",
}  # fmt: skip
TIMES = {"ms": 1e-3, "milli": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0, "h": HOUR, "d": DAY, "day": DAY,
         "week": 7 * DAY, "fortnight": 14 * DAY, "month": 365.25 / 12 * DAY, "year": 365.25 * DAY}  # fmt: skip


@dataclass(frozen=True)
class Item:
    """A word, a mark, a stop, a device or a figure, and where it stands in the text."""

    kind: str
    """word, mark, stop, device, figure"""
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Figure(Item):
    """A number with its unit: ``value`` in the base of ``unit`` (seconds, FLOP, bytes, Wh, tonnes, fractions, counts)."""

    value: float = math.nan
    until: float | None = None
    """The other end of a range."""
    digits: str = ""
    hedges: tuple[str, ...] = ()
    unit: str = ""
    """time, gpu_time, byte, bit/s, byte/s, flop, flop/s, energy, power, co2, money, percent, pixel, rate, gpu, or a noun."""
    per: tuple[str, ...] = ()
    scale: str = ""
    word: str = ""
    """The unit as it is written: weeks, TFLOPS, GPU-hours."""
    device: str = ""
    joined: bool = False
    """Written as one adjective: ``16-frame``, ``8-GPU``."""
    sides: tuple[int, ...] = ()
    """224 x 224."""


@functools.cache
def _parser() -> Any:
    """The parser, built once; lark is imported only where prose is read."""
    from lark import Lark

    grammar = (files("gpuhours.questions.checking.reading") / "numbers.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", lexer="basic", maybe_placeholders=False)


def tags(text: str) -> dict[str, list[tuple[int, int]]]:
    """What stands between ``<params>`` and ``</params>``, by tag, as places in the text."""
    found: dict[str, list[tuple[int, int]]] = {}
    opened: dict[str, int] = {}
    for token in _parser().lex(text, dont_ignore=True):
        if token.type != "TAG":
            continue
        name = str(token).strip("</>").lower()
        if not str(token).startswith("</"):
            opened[name] = token.end_pos
        elif name in opened:
            found.setdefault(name, []).append((opened.pop(name), token.start_pos))
    return found


def scan(text: str) -> list[Item]:
    """Every word and figure of ``text``, in order. A token the grammar cannot place becomes a word of its own."""
    lost: list[Item] = []

    def skip(error: Any) -> bool:
        token = getattr(error, "token", None)
        if token is not None and token.type != "$END":
            lost.append(Item("word", str(token), token.start_pos, token.end_pos))
        return True

    if not text.strip():
        return []
    tree = _parser().parse(text, on_error=skip)
    found = [item for child in tree.children for item in _items(child, text)]
    return _sums_of_time(sorted([*found, *lost], key=lambda item: item.start), text)


def _sums_of_time(items: list[Item], text: str) -> list[Item]:
    """``2 weeks and 3 days`` is one figure."""
    joined: list[Item] = []
    for item in items:
        first = joined[-2] if len(joined) > 1 else None
        if (
            isinstance(item, Figure)
            and isinstance(first, Figure)
            and joined[-1].text.lower() in ("and", ",")
            and {item.unit, first.unit} == {"time"}
            and not (item.per or first.per or item.hedges)
            and item.value < 0.5 * first.value
            and _seconds(item.word) < _seconds(first.word)
        ):
            total = first.value + item.value
            digits = f"{total / _seconds(item.word):.6g}"
            joined[-2:] = [
                replace(
                    first, value=total, digits=digits, end=item.end, text=text[first.start : item.end], word=item.word
                )
            ]
        else:
            joined.append(item)
    return joined


def _items(node: Any, text: str) -> Iterator[Item]:
    tokens = list(node.scan_values(lambda _: True))
    if not tokens:
        return
    start, end = tokens[0].start_pos, tokens[-1].end_pos
    quoted = text[start:end]
    if node.data in ("word", "mark", "stop"):
        yield Item(str(node.data), quoted, start, end)
    elif node.data == "device":
        named = any(token.type in ("CHIP", "GPU_WORD") for token in tokens)
        yield Item("device" if named else "word", quoted, start, end)
    elif node.data == "dimensions":
        sides = tuple(int(side) for side in _split_sides(_first(tokens, "DIMENSIONS")))
        unit, per, word = _unit(tokens)
        device = _device(tokens)
        value = float(math.prod(sides)) if device or unit == "token" else float(sides[-1])
        yield Figure("figure", quoted, start, end, value=value, digits=str(sides[-1]), sides=sides,
                     unit="gpu" if device else unit or "dims", per=per, word=word, device=device)  # fmt: skip
    else:
        rising = text[:start].rstrip().lower().endswith(" from")
        yield from _figures(node, tokens, quoted, start, end, rising=rising)


def _figures(node: Any, tokens: list[Any], quoted: str, start: int, end: int, *, rising: bool) -> Iterator[Item]:
    """One figure, or two where what looked like a range is a progression (from 8,192 to 65,536)."""
    numbers = [_number(child) for child in node.iter_subtrees_topdown() if child.data == "number"]
    unit, per, word = _unit(tokens)
    device = _device(tokens)
    factor = _factor(unit, word)
    if node.data == "counted":
        unit, factor = "gpu", 1.0
    elif node.data == "device_time":
        time = _last(tokens, "TIME")
        unit, factor, word = "gpu_time", _seconds(time) / HOUR, f"{device} {time}"
    elif unit == "" and any(token.type == "MONEY_SIGN" for token in tokens):
        unit = "money"
    hedges = tuple(hedge_words(str(token)) for token in tokens if token.type == "HEDGE")
    if _first(tokens, "NUMBER").endswith("+"):
        hedges = (*hedges, "more than")
    scale = next((n[2] for n in reversed(numbers) if n[2]), "")
    first = numbers[0]
    value = first[0] * (SCALES[scale] if scale and not first[2] else 1.0)
    until = numbers[1][0] if len(numbers) > 1 else None
    joined = any(token.type == "HYPHEN" for token in tokens) and unit != "gpu_time"
    common: dict[str, Any] = {
        "unit": unit, "per": per, "scale": scale, "word": word, "device": device, "joined": joined, "hedges": hedges,
    }  # fmt: skip
    if until is not None and (rising or not 1.0 < until / value <= 3.0):
        cut = next(token for token in tokens if token.type in ("RANGE", "AND"))
        before = quoted[: cut.start_pos - start].rstrip()
        yield Figure("figure", before, start, start + len(before), value=value * factor, digits=first[1],
                     **{**common, "joined": False})  # fmt: skip
        yield Item("word", str(cut), cut.start_pos, cut.end_pos)
        second = cut.end_pos + (len(quoted[cut.end_pos - start :]) - len(quoted[cut.end_pos - start :].lstrip()))
        yield Figure(
            "figure",
            quoted[second - start :],
            second,
            end,
            value=until * factor,
            digits=numbers[1][1],
            **common,
        )
        return
    yield Figure("figure", quoted, start, end, value=value * factor, until=None if until is None else until * factor,
                 digits=first[1], **common)  # fmt: skip


def _number(node: Any) -> tuple[float, str, str]:
    """Value, digits as written and scale word of one number."""
    tokens = list(node.scan_values(lambda _: True))
    scale = _first(tokens, "SCALE").strip(" -").lower()
    power = _first(tokens, "POWER").translate(SUPERSCRIPTS)
    exponent = int("".join(c for c in power.partition("10")[2] if c.isdigit() or c == "-") or 0) if power else 0
    written = _first(tokens, "NUMBER")
    if written:
        digits = written.replace("{,}", "").replace(",", "").rstrip("+").translate(SUPERSCRIPTS)
        base, raised, power_ = digits.partition("^")
        value = float(base) ** float(power_.strip(" {}")) if raised else float(digits)
        digits = f"{value:.12g}" if raised else digits
    else:
        value = spelled(_first(tokens, "SPELLED"))
        digits = f"{value:g}"
    return value * 10.0**exponent * SCALES.get(scale, 1.0), digits, scale


def _split_sides(text: str) -> list[str]:
    return "".join(c if c.isdigit() else " " for c in text).split()


def _first(tokens: list[Any], kind: str) -> str:
    return next((str(token) for token in tokens if token.type == kind), "")


def _last(tokens: list[Any], kind: str) -> str:
    return next((str(token) for token in reversed(tokens) if token.type == kind), "")


_DEVICE = ("VENDOR", "CHIP", "FORM", "MEMORY", "GPU_WORD")
_UNITS: Mapping[str, str] = {
    "BYTES": "byte", "BITS": "bit/s", "TIME": "time", "FLOPS": "flop", "FLOP_DAYS": "flop_days", "ENERGY": "energy",
    "WATTS": "power", "CARBON": "co2", "CURRENCY": "money", "PERCENT": "percent", "PIXELS": "pixel", "RATE": "rate",
    "LENGTH": "length", "THINGS": "things",
}  # fmt: skip


def _device(tokens: list[Any]) -> str:
    """The device words, unless they come after ``per``."""
    words = []
    for token in tokens:
        if token.type == "PER":
            break
        if token.type in _DEVICE:
            words.append(" ".join(str(token).split()))
    return " ".join(words)


def _unit(tokens: list[Any]) -> tuple[str, tuple[str, ...], str]:
    """Unit kind, what it is per, and the unit as written."""
    unit, word, per = "", "", []
    after = False
    for token in tokens:
        if token.type == "PER":
            after = True
        elif after and token.type in ("BYTES", "TIME", "ENERGY", "THINGS", *_DEVICE):
            per.append(_per(token))
        elif token.type == "TIME" and unit == "node" and not after:
            unit, word = "node_time", f"{word} {token}"
        elif token.type in _UNITS and not after:
            word = str(token).strip()
            unit = _kind(_UNITS[token.type], word)
    if unit == "rate" and word.lower().endswith("hz"):
        unit = "hertz"
    return unit, tuple(dict.fromkeys(per)), word


def _per(token: Any) -> str:
    if token.type == "TIME":
        return {1.0: "second", HOUR: "hour", DAY: "day", 60.0: "minute"}.get(_seconds(str(token)), "time")
    if token.type == "ENERGY":
        return "energy"
    return "gpu" if token.type in _DEVICE else noun(str(token))


def _kind(unit: str, word: str) -> str:
    """Rates told from amounts; counted things by their noun."""
    lowered = word.lower()
    if unit == "things":
        return noun(word)
    if unit == "flop" and ("/s" in lowered or lowered.count("/") or (word.endswith("FLOPS") and lowered != "flops")):
        return "flop/s"
    if unit == "bit/s" and ("B/s" in word):
        return "byte/s"
    return unit


NOUNS: Mapping[str, str] = {
    "param": "parameter", "weight": "parameter", "billion-parameter": "parameter", "iteration": "step",
    "update": "step", "passe": "epoch", "block": "layer", "server": "node", "machine": "node", "host": "node",
    "pair": "sample", "clip": "sample", "video": "sample", "image": "sample", "picture": "sample", "example": "sample",
    "document": "sample", "triplet": "sample", "conversation": "sample", "utterance": "sample", "sentence": "sample",
    "structure": "sample", "protein": "sample", "trajectorie": "sample", "episode": "sample", "volume": "sample",
    "scan": "sample", "slide": "sample", "instance": "sample", "point": "sample", "entrie": "sample", "item": "sample",
    "demonstration": "sample", "dialogue": "sample", "instruction": "sample", "prompt": "sample", "recording": "sample",
    "molecule": "sample", "song": "sample", "page": "sample", "book": "sample", "cell": "sample", "comment": "sample",
    "caption": "sample", "tile": "sample", "waveform": "sample", "scene": "sample", "patent": "sample", "article": "sample",
    "genome": "sample", "report": "sample", "note": "sample", "track": "sample", "question": "sample", "annotation": "sample",
    "patche": "patch", "querie": "query", "core": "gpu",
}  # fmt: skip


def noun(word: str) -> str:
    """``iterations -> step``, ``video-text pairs -> sample``, ``servers -> node``."""
    singular = word.lower().strip()
    singular = singular if singular.endswith("ss") else singular.removesuffix("s")
    return NOUNS.get(singular, singular)


def _prefix(word: str) -> float:
    lowered = word.lower()
    for long, short in LONG_PREFIXES.items():
        if lowered.startswith(long):
            return PREFIXES[short]
    return PREFIXES.get(lowered[0], 1.0)


def _seconds(word: str) -> float:
    lowered = word.lower().strip()
    for name in (
        "ms",
        "milli",
        "month",
        "min",
        "s",
        "hour",
        "hr",
        "h",
        "day",
        "d",
        "week",
        "fortnight",
        "year",
    ):
        if lowered.startswith(name):
            return TIMES.get("h" if name in ("hour", "hr") else name, 1.0)
    return 1.0


def _factor(unit: str, word: str) -> float:
    """What one ``word`` is in the base of ``unit``."""
    lowered = word.lower().strip()
    if unit == "time":
        return _seconds(word)
    if unit == "node_time":
        return _seconds(lowered.split()[-1]) / HOUR
    if unit == "percent":
        return 0.01
    if unit == "flop_days":
        return _prefix(word) * DAY
    if unit in ("flop", "flop/s"):
        return 1.0 if lowered.startswith("flop") else _prefix(word)
    if unit == "byte":
        binary = 1.024 if len(lowered) == 3 and lowered[1] == "i" else 1.0
        power = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5}.get(lowered[0], 0)
        return 1.0 if lowered.startswith("byte") else _prefix(word) * binary**power
    if unit in ("bit/s", "byte/s", "energy", "power"):
        return 1.0 if lowered.startswith("watt") or lowered == "w" else _prefix(word)
    if unit == "co2":
        grams = {"kg": 1e-3, "kil": 1e-3, "kt": 1e3, "g": 1e-6, "gra": 1e-6}
        return next((factor for start, factor in grams.items() if lowered.startswith(start)), 1.0)
    if unit == "hertz":
        return PREFIXES.get(lowered[0], 1.0) if lowered != "hz" else 1.0
    return 1.0
