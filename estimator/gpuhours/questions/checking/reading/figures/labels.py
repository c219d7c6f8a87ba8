"""The unit in a label: ``Energy (MWh)``, ``GPU hours`` or ``Tokens (B)`` gives its unit to the bare number under or after it.

A table cell is read as the sentence ``label: value unit``, and so is a line ``label: value`` of a card or a log; the usual word rules then
decide its quantity.
"""

from __future__ import annotations

import functools
import re

from gpuhours.questions.checking.reading.figures.numbers import scan
from gpuhours.questions.checking.reading.figures.tokens import Figure, Token, tokens_of
from gpuhours.questions.checking.reading.figures.unit_tokens import unit_at
from gpuhours.questions.checking.reading.vocabulary.chips import MODEL_NUMBER

MEANT = {
    "hours used": "GPU hours",
    "gpu used": "GPUs",
    "gpus used": "GPUs",
    "gpu count": "GPUs",
    "train samples": "training examples",
    "gpus on node": "GPUs",
    "slurm gpus on node": "GPUs",
    "slurm job num nodes": "nodes",
    "slurm nnodes": "nodes",
    "device batch size": "",
    "num examples": "training examples",
    "number of examples": "training examples",
    "number of trainable parameters": "trainable parameters",
    "compute hours": "GPU hours",
    "world size": "GPUs",
    "n gpus": "GPUs",
    "num gpus": "GPUs",
    "ngpus": "GPUs",
    "num nodes": "nodes",
    "nnodes": "nodes",
    "dt": "",
    "s/step": "seconds per step",
    "s/it": "seconds per step",
    "s/iter": "seconds per step",
    "sec/step": "seconds per step",
    "ms/step": "milliseconds per step",
    "ms/it": "milliseconds per step",
    "clip": "",
    "grad clip": "",
    "gradient clip": "",
    "sequence": "",
    "seq": "",
    "seq.": "",
}
"""Labels with a conventional unit (the model card template asks for "Hours used" and means device-hours)."""
SHORT_UNITS = {
    "ms": "milliseconds",
    "secs": "seconds",
    "mins": "minutes",
    "h": "hours",
    "hr": "hours",
    "hrs": "hours",
    "d": "days",
    "s": "seconds",
    "sec": "seconds",
    "min": "minutes",
    "wk": "weeks",
}
"""Time units as abbreviated in brackets: ``Wall-clock (h)``."""
MOST_WORDS = 7
"""A longer label in prose is a sentence."""
WEIGHT = {
    "gpu_time": 3,
    "node_time": 3,
    "flop": 3,
    "flop/s": 3,
    "flop_days": 3,
    "energy": 3,
    "co2": 3,
    "power": 2,
    "money": 2,
    "byte": 2,
    "percent": 2,
}
LENDABLE = frozenset(
    [
        *WEIGHT,
        "time",
        "gpu",
        "token",
        "parameter",
        "step",
        "epoch",
        "layer",
        "head",
        "expert",
        "node",
        "sample",
        "sequence",
        "frame",
        "patch",
    ]
)
"""Units that a label can give to a number; a ``model`` or a ``task`` in a label counts nothing."""
ENDS = frozenset(["", "of", "for", "in", "per", "to", "on", "used", "seen", "trained", "consumed", "processed", "during", "total", ",", "/",
                  "(", "needed", "with", "over", "made", "taken", "read",
                  "without", "including", "excluding", "after", "before", "incl",
                  "at", "by", "required", "#", "count", "number", ".", "—", "-", "–", "×", "x", "*"])  # fmt: skip
"""Words that may follow a counted noun that is the label's head: ``tokens seen``, but not ``token embedding``."""
PRINTED_SECONDS = ("_runtime", "_seconds")
"""Suffixes of log keys that are in seconds without saying so."""
_KEY = re.compile(
    r"(?:system|train|training|config|perf|performance|timing|throughput|data|run|optim|optimizer|stats)/([A-Za-z][\w.]{1,40})"
)
"""``system/gpu.count``: a log key with its group."""
_THOUSANDS = re.compile(
    r"([kKM])[ -]?((?:GPU|TPU|Chip|Card|Device|Accelerator|Core|Node|[AHV]\d00)[ ·-]?(?:h|hrs?|hours?|days?))",
    re.IGNORECASE,
)
"""``kGPU-h``: thousands and the unit in one word."""
_GROUPS = re.compile(r"[(\[]([^()\[\]]{1,40})[)\]]")
_SCALE = re.compile(
    r"(?:in\s+)?(thousands?|millions?|billions?|trillions?|[kKMBT]|bn)(?:\s+(?:of\s+)?([a-zA-Z][\w -]{0,30}))?",
    re.IGNORECASE,
)
_POWER = re.compile(r"(?:in\s+)?[x×]?\s?(10\s?\^\s?\{?-?\d{1,2}\}?|1e\+?\d{1,2})\s*(.{0,30})", re.IGNORECASE)
_MONEY = re.compile(
    r"(?:in\s+)?(?P<of>[kKMB]|thousands?(?: of)?|millions?(?: of)?)?\s?(?P<sign>(?:US)?\$|€|£|USD|(?:US )?dollars?)\s?"
    r"(?P<scale>[kKMB]|thousands?|millions?)?\s?(?P<per>(?:/|per\s).{1,24})?",
    re.IGNORECASE,
)
_ONE_DEVICE = re.compile(
    r"\b(?:per|each|every|on each|a)\s+(?:gpu|card|device|chip|accelerator|board)\b"
    r"(?![ -]?(?:hours?|hrs?|h)\b)|\beach\b",
    re.IGNORECASE,
)
"""``Hours used: 96 (per card)``: hours of one device."""
_WALL_CLOCK = re.compile(
    r"\b(?:wall[ -]?clock|elapsed|real time)\b|;\s?[\d.,]+[kKM]?\s?(?:GPU|TPU|device|card)[ -]hours\b", re.IGNORECASE
)
"""``Hours used: 38 (wall-clock; 304 GPU hours)``: elapsed hours."""
SUMMED = re.compile(
    r"\bnon-?embedding (?:\+|and|plus) embedding\b|\b(?:incl(?:uding|\.)?|with) embeddings?\b", re.IGNORECASE
)
"""``Non-embedding + embedding params``: all parameters."""
_DEVICE_TIME = re.compile(r"\b(?:GPU|TPU|device|accelerator|card|chip)[ -]time\b", re.IGNORECASE)
_HOURS = re.compile(r"^(\s*[~≈]?\s?\d[\d,.]*\s?[kKM]?)\s?(?:h|hrs?|hours?)\b")
"""``GPU time: 28,160 h``: hours summed over all devices."""
_DEVICE_HOURS = re.compile(r"\b(?:hours?|hrs?)$", re.IGNORECASE)
_CARBON_WORD = re.compile(r"\b(?:emissions?|emitted|carbon|GHG|footprint|t?CO2(?:e|eq)?)\b", re.IGNORECASE)
_OF_MASS = re.compile(
    r"(?:in\s+)?(kg|kilograms?|g|grams?|kt|t|tons?|tonnes?|metric tons?|metric tonnes?|lbs?|pounds?)", re.IGNORECASE
)
"""``CO2e (kg)``: units of mass for carbon."""
_MASS = re.compile(r"(?<=\d )(kg|t|tonnes|tons)\b(?!\s*(?:CO|of|carbon|/|per)|-)", re.IGNORECASE)
_MASS_OF = re.compile(r"(?<=\d )(kt|t|kg|g) of (?:CO2|CO₂|carbon dioxide)(?![\w])")
_TIGHT_PRODUCT = re.compile(r"(?<=\d)[x×*](?=\d)")
_PHRASE = re.compile(r"[^.;\n]*(?:\.\d[^.;\n]*)*")
"""The text between two full stops; a decimal point does not end it."""
_PRODUCT = re.compile(r"\s[x×*·]\s")
_PAIR = re.compile(
    r"(?:^|(?<=[|·;,\n(])|(?<=\s-\s)|(?<=[.!?]\s))[ \t]*(?P<label>[A-Za-z#$][^\n:=|·;,]{0,70}?)\s?[:=]\s?"
    r"(?P<value>[~≈∼<>]?\s?[$€£]?\d[\d,.]{0,20}(?:[eE][+-]?\d{1,2})?(?:[kKMBT]\b)?)"
)
_UNIT_FIRST = re.compile(r"\s*(?P<label>[A-Z][A-Za-z -]{2,24}s) (?P<value>\d[\d,.]*)\s*")
"""``Days 5``: all of a list item."""
_ABBREVIATED = re.compile(r"(?<=[a-z])\.(?=\s|$)")
"""``Seq. len.``: the full stops of abbreviations."""


def unit_of(label: str) -> tuple[str, str]:
    """The scale and unit in a label: ``Tokens (B) -> ("B", "Tokens")``, ``Energy [MWh] -> ("", "MWh")``."""
    if label.strip(" :").endswith(PRINTED_SECONDS):
        return "", "seconds"
    if (key := _KEY.fullmatch(label.strip(" :"))) is not None:
        label = key[1].replace(".", " ")
    if (many := _THOUSANDS.fullmatch(label.strip(" :"))) is not None:
        return many[1].upper().replace("K", "k"), many[2]
    return _unit_of(" ".join(_ABBREVIATED.sub(" ", label.replace("_", " ")).split())[:200])


@functools.lru_cache(maxsize=4096)
def _unit_of(label: str) -> tuple[str, str]:
    lowered = label.lower().strip(" :#*").removeprefix("using ").removeprefix("total ")
    if lowered in MEANT:
        return "", MEANT[lowered]
    scale = ""
    for group in reversed(_GROUPS.findall(label)):
        inner = SHORT_UNITS.get(_bare(group).lower(), _bare(group))
        if is_unit(inner) and not (_names_device(inner) and _heaviest(_GROUPS.sub(" ", label))):
            return scale, inner
        if _CARBON_WORD.search(label) and (mass := _OF_MASS.fullmatch(_bare(group))):
            return scale, f"{mass[1]} CO2e"
        power, scaled = _POWER.fullmatch(inner), _SCALE.fullmatch(inner)
        if power is not None:
            scale = "×10^" + (power[1].partition("^")[2].strip("{} ") or power[1].lower().partition("e")[2].lstrip("+"))
            if power[2] and is_unit(power[2]):
                return scale, power[2]
        elif scaled is not None:
            scale = scaled[1] if len(scaled[1]) == 1 else f" {scaled[1].removesuffix('s')}"
            if scaled[2] and is_unit(scaled[2]):
                return scale, scaled[2]
    return scale, _heaviest(re.sub(r"[(\[][^()\[\]]{0,200}[)\]]", " ", label))


def _names_device(text: str) -> bool:
    """``GPU hours (A100)``: whether the text starts with a device, which says where the hours were spent."""
    return unit_at(tokens_of(text), 0)[0].kind == "gpu"


def _bare(group: str) -> str:
    """``in days``, ``# of tokens``: the unit without its introduction."""
    return re.sub(r"^(?:in|# of|#|number of|no\. of)\s+", "", group.strip(), flags=re.IGNORECASE)


def is_unit(text: str) -> bool:
    """Whether a text is a unit and nothing else."""
    tokens = tokens_of(text)
    unit, end = unit_at(tokens, 0)
    return bool(unit.kind) and end == len(tokens)


def _heaviest(label: str) -> str:
    """The most specific unit among a label's words, as written; empty if there is none."""
    tokens = tokens_of(label)
    best: tuple[float, str] = (0.0, "")
    at = 0
    while at < len(tokens):
        unit, end = unit_at(tokens, at)
        behind = tokens[end].text.lower() if end < len(tokens) else ""
        modifies = (unit.kind not in LENDABLE or (unit.word.lower() == "min" and behind not in ENDS)) or (
            unit.kind not in WEIGHT and unit.kind != "time" and not unit.per and behind not in ENDS
        )
        if (
            unit.kind
            and end > at
            and not modifies
            and not (at > 0 and tokens[at - 1].type in ("NUMBER", "SPELLED", "SCALE", "PER"))
            and not _DIVIDES.search(label[: tokens[at].start])
        ):
            weight = WEIGHT.get(unit.kind, 1) + 2.0 * len(unit.per) + 0.1 * (at == 0) + 0.05 * _last(tokens, end)
            if weight > best[0]:
                best = (weight, label[tokens[at].start : tokens[end - 1].end])
        at = max(end, at + 1)
    return best[1]


_DIVIDES = re.compile(r"(?:[\w$€£)\]]\s?/|\bper)\s?(?:[A-Za-z]+[ -])?$", re.IGNORECASE)
"""The end of a text before a unit that something is divided by: ``$/``, ``tokens per GPU-``."""


def _last(tokens: list[Token], end: int) -> bool:
    return end >= len(tokens)


def lent(label: str, value: str) -> str:
    """``value`` with the label's unit added after its number, if the number has none."""
    groups = [*_GROUPS.findall(label), label]
    money = next((found for group in groups if (found := _MONEY.fullmatch(group.strip(" :")))), None)
    money = money or next((found for found in _MONEY.finditer(label) if found["per"]), None)
    one_device = _ONE_DEVICE.search(value) or _ONE_DEVICE.search(label) or _WALL_CLOCK.search(value)
    if one_device and money is None and _DEVICE_HOURS.search(unit_of(label)[1]):
        label = "training hours"
    product = _of_product(label, value)
    if product is not None:
        return product
    label = SUMMED.sub("total", label)
    if _CARBON_WORD.search(label):
        value = _MASS.sub(r"\1 CO2e", value)
    if _DEVICE_TIME.search(label):
        value = _HOURS.sub(r"\1 GPU hours", value, count=1)
    figures = scan(value[:120])
    first = figures[0] if figures else None
    if not isinstance(first, Figure) or first.unit not in ("", "money") or first.per:
        return value
    head, tail = value[: first.end], value[first.end :]
    if money is not None or first.unit == "money":
        foreign = money is not None and money["sign"] in ("€", "£")
        sign = "" if first.unit == "money" else money["sign"] if money is not None and foreign else "$"
        scale = "" if money is None else (money["scale"] or money["of"] or "").split(" ")[0].removesuffix("s")
        scaled = f" {scale}" if scale and not first.scale else ""
        per = _rate_in(label) if money is None or not money["per"] else f" {money['per']}"
        return f"{sign}{head}{scaled}{per}{tail}"
    scale, unit = unit_of(label)
    scale = "" if first.scale or first.sides else scale
    if first.sides and unit:
        return value
    return f"{head}{scale} {unit}{tail}" if unit else f"{head}{scale}{tail}"


_HOURLY = re.compile(
    rf"(?:\bper |/ ?)((?:{MODEL_NUMBER}|GPU|TPU|device|card|chip|accelerator|node|instance)[ -]?(?:hours?|hr?)\b)",
    re.IGNORECASE,
)
_EVERY_HOUR = re.compile(r"\b(?:hourly|per hour|an hour)\b", re.IGNORECASE)
"""``Hourly rate ($)``: money for an hour."""


def _rate_in(label: str) -> str:
    """What money under a label is for: ``Price per GPU hour ($) -> " per GPU hour"``; empty if it is an amount."""
    if any(c.isdigit() for c in re.sub(rf"\b{MODEL_NUMBER}\b", "", label)):
        return ""  # the bill at $2.20 per GPU-hour
    device = _HOURLY.search(label)
    if device is not None:
        return f" per {device[1]}"
    return " per hour" if _EVERY_HOUR.search(label) else ""


def _of_product(label: str, value: str) -> str | None:
    """``GPUs x hours`` over ``32 x 40`` gives two figures, ``32 GPUs, 40 hours``; None if the label is not such a product."""
    names, values = (
        _PRODUCT.split(" ".join(_GROUPS.findall(label)) if _GROUPS.search(label) else label),
        _PRODUCT.split(f" {value} "),
    )
    if len(names) < 2:
        names = (
            re.split(r"[x×*]", _GROUPS.sub(" ", label))
            if re.fullmatch(r"[#A-Za-z ]{2,20}[×*][A-Za-z ]{2,20}", label.strip())
            else names
        )
    values = _TIGHT_PRODUCT.split(value.strip()) if len(names) == 2 and len(values) < 2 else values
    film = re.fullmatch(r"\s*(\d{1,4})\s?[x×]\s?(\d{2,5})\s?[x×]\s?(\d{2,5})\s*", value)
    if film and len(names) == 3 and re.search(r"\b(?:frames?|T)\b", names[0]):
        return f"{film[1]} frames, {film[2]}x{film[3]} pixels"
    if len(names) < 2 or len(names) != len(values):
        return None
    units = ["GPUs" if _A_NUMBER.fullmatch(name.strip()) else _heaviest(name.replace("#", " ")) for name in names]
    if not all(units):
        return None
    return ", ".join(f"{number.strip()} {unit}" for number, unit in zip(values, units, strict=True))


_A_NUMBER = re.compile(r"(?i)number|count|no\.?|#|qty|quantity|how many")
"""``Number x days``: the factor that counts the devices in a product with a time."""


def _of_carbon(phrase: re.Match[str]) -> str:
    """``CO2: 39,498 kg``, ``the emission 6.5 t``: marks a mass as CO2e if the phrase is about carbon."""
    said = phrase[0]
    return _MASS.sub(r"\1 CO2e", said) if _CARBON_WORD.search(said) else said


_IN_UNITS = re.compile(r"\b[Ii]n (?P<unit>[A-Za-z][\w -]{2,24}):(?P<list>[^.;\n]*(?:\.\d[^.;\n]*)*)")
_BARE = re.compile(r"(?<![\w.,$€£-])\d[\d,.]*(?<![,.])(?:[kKMB]\b)?(?=\s*(?:[,;.)]|and\b|or\b|$))")


def _listed_in(found: re.Match[str]) -> str:
    """``In GPU hours: small 248, base 992``: adds the unit that opens the list to every bare number in it."""
    if not is_unit(found["unit"]):
        return found[0]
    return f"in {found['unit']}:" + _BARE.sub(lambda number: f"{number[0]} {found['unit']}", found["list"])


_MODIFIED = re.compile(
    r"(?m)^([ \t:]{0,8}(?:[-*•][ ])?[A-Za-z][^\n:,;|.=\d]{1,40}), ([A-Za-z][^\n:;|=\d]{1,60}):(?=[ ]{0,3}[~≈$€£]?\d)"
)
"""``GPU-hours, all jobs of the final training: 12,400``: a label and what is said of it."""


def _as_remark(found: re.Match[str]) -> str:
    """The label with what is said of it in brackets; what it includes says nothing about the figure."""
    return f"{found[1]}:" if _INCLUDES.search(found[2]) else f"{found[1]} ({found[2]}):"


_INCLUDES = re.compile(r"(?i)\b(?:included|including|inclusive|incl)\b")


_CALCULATED = re.compile(r"[ \t]+\+[ \t][^\n=]{1,120}=")
"""``Parameters: 0.4 + 6.6 = 7B``: the label is that of the sum, not of its first term."""


def with_lent_units(text: str) -> str:
    """A paragraph in which each ``label: bare number`` has the label's unit added after the number."""
    if (item := _UNIT_FIRST.fullmatch(text)) is not None and is_unit(item["label"]):
        return f"{item['label']}: {lent(item['label'], item['value'])}"
    text = _MODIFIED.sub(_as_remark, text)
    if "In " in text or "in " in text:
        text = _IN_UNITS.sub(_listed_in, text)
    if _CARBON_WORD.search(text):
        text = _MASS_OF.sub(r"\1 CO2", text)
        text = _PHRASE.sub(_of_carbon, text)
    if ":" not in text and "=" not in text:
        return text
    parts, at = [], 0
    for found in _PAIR.finditer(text):
        start, end = found.span("value")
        ahead = scan(text[start : end + 40].split("\n")[0])
        first = ahead[0] if ahead else None
        wordy = len(found["label"].split()) > MOST_WORDS
        if wordy or not isinstance(first, Figure) or first.unit or first.start > 1:
            continue
        end = max(end, start + first.end)  # 2.57 million
        if _CALCULATED.match(text, end):
            continue
        behind = text[end : end + 24].split("\n")[0]
        given = lent(found["label"], text[start:end] + behind).removesuffix(behind)
        if given != text[start:end]:
            parts.append(text[at:start] + given)
            at = end
    return "".join([*parts, text[at:]])
