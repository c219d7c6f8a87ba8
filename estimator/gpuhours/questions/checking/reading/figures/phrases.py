"""Combines tokens into one figure: a number, its hedges, its unit and what it is per, and nothing that does not belong to it.

figure  = hedge* [between] [$] number [range number] [x] ([-] device [- time] | [-] unit) (per unit)*
number  = (digits | words) [x 10^n] [thousand | k | million ...]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from gpuhours.questions.checking.precision import hedge_words
from gpuhours.questions.checking.reading.figures.number_tokens import ReadNumber, number_at, type_at
from gpuhours.questions.checking.reading.figures.tokens import DEVICE, Figure, Item, Token
from gpuhours.questions.checking.reading.figures.unit_tokens import unit_at
from gpuhours.questions.checking.reading.vocabulary.units import SCALES


def next_items(tokens: Sequence[Token], at: int, text: str) -> tuple[list[Item], int]:
    """The figure, device or word that begins at a token, and the index of the token after it."""
    figure = _figure(tokens, at, text)
    if figure is not None:
        return figure
    token = tokens[at]
    if token.type in DEVICE:
        end = at
        while end < len(tokens) and tokens[end].type in DEVICE:
            end += 1
        named = any(t.type in ("CHIP", "GPU_WORD") for t in tokens[at:end])
        start, stop = token.start, tokens[end - 1].end
        return [Item("device" if named else "word", text[start:stop], start, stop)], end
    if token.type == "ALPHANUMERIC" and token.text[-1] in "pP" and token.text[:-1].isdigit():
        lines = Figure(
            "figure",
            token.text,
            token.start,
            token.end,
            value=float(token.text[:-1]),
            digits=token.text[:-1],
            unit="pixel",
        )
        return [lines], at + 1  # 720p
    kinds = {"STOP": "stop", "MARK": "mark", "POWER_MARK": "mark", "MONEY_SIGN": "mark", "POWER": "mark"}
    return [Item(kinds.get(token.type, "word"), token.text, token.start, token.end)], at + 1


def _square(token: Token) -> Figure | None:
    """``224^2``: the two sides of a picture; None if the token is not one."""
    base, raised, power = token.text.replace(" ", "").partition("^")
    if not raised or power.strip("{}") != "2" or not base.isdigit() or not 16 <= int(base) <= 16_384:
        return None
    side = int(base)
    return Figure(
        "figure", token.text, token.start, token.end, value=float(side), digits=base, sides=(side, side), unit="dims"
    )


def _figure(tokens: Sequence[Token], at: int, text: str) -> tuple[list[Item], int] | None:
    """The figure that begins at a token, with the hedges before it and the unit after it; None if there is no number."""
    first = at
    hedges: list[str] = []
    currency = ""
    while type_at(tokens, at) in ("HEDGE", "MONEY_SIGN", "BETWEEN"):
        if tokens[at].type == "HEDGE":
            hedges.append(hedge_words(tokens[at].text))
        elif tokens[at].type == "MONEY_SIGN":
            currency = tokens[at].text
        at += 1
    if type_at(tokens, at) == "DIMENSIONS":
        return _dimensions(tokens, first, at, text)
    if at == first and tokens[at].type == "NUMBER" and (square := _square(tokens[at])) is not None:
        return [square], at + 1
    number = number_at(tokens, at)
    if number is None:
        return None
    if tokens[at].text.endswith("+") and tokens[at].type == "NUMBER":
        hedges.append("more than")
    product = None if currency else _product(tokens, at, number, text)
    if product is not None:
        return product
    until, cut, end = _range(tokens, first, number)
    end += type_at(tokens, end) == "TIMES" and (type_at(tokens, end + 1) in DEVICE or not _spaced(tokens, end))
    unit, end = unit_at(tokens, end, money=bool(currency))
    start, stop = tokens[first].start, tokens[end - 1].end
    kind_, word, scale_up, per, device, joined = unit
    if not kind_ and currency:
        kind_ = "money"
    value = number.value * (SCALES[until.scale] if until and until.scale and not number.scale else 1.0)
    figure = Figure(
        "figure", text[start:stop], start, stop, value=value * scale_up, digits=number.digits, hedges=tuple(hedges), unit=kind_, per=per,
        scale=number.scale or (until.scale if until else ""), word=word, device=device, joined=joined,
        currency=(currency or word) * (kind_ == "money"),
    )  # fmt: skip
    if until is None:
        return [figure], end
    return _with_upper_end(tokens, cut, figure, until._replace(value=until.value * scale_up), text), end


WIDEST_RANGE = 3.0
"""The largest ratio of the ends of a range."""


def _with_upper_end(tokens: Sequence[Token], cut: int, figure: Figure, until: ReadNumber, text: str) -> list[Item]:
    """One figure for the range ``20-24 days``; both ends for the progression ``from 4k to 128k``. ``cut``: the token between."""
    start = figure.start
    rising = text[max(start - 6, 0) : start].rstrip().lower().endswith("from")
    if figure.value > 0 and 1.0 < until.value / figure.value <= WIDEST_RANGE and not rising:
        return [replace(figure, until=until.value)]
    middle, begin = tokens[cut - 1].end, tokens[cut + 1].start
    low = replace(figure, text=text[start:middle], end=middle, joined=False, progression=True)
    high = replace(
        figure, text=text[begin : figure.end], start=begin, value=until.value, digits=until.digits, progression=True
    )
    return [low, Item("word", tokens[cut].text, tokens[cut].start, tokens[cut].end), high]


def _spaced(tokens: Sequence[Token], at: int) -> bool:
    return tokens[at].start > tokens[at - 1].end


def _range(tokens: Sequence[Token], first: int, number: ReadNumber) -> tuple[ReadNumber | None, int, int]:
    """The upper end of a range (None if there is no range), the index of the token between the ends, and the index after the range."""
    at = number.end
    between = any(t.type == "BETWEEN" for t in tokens[first:at])
    if type_at(tokens, at) != "RANGE" and not (between and type_at(tokens, at) == "AND"):
        return None, at, at
    behind = at + 1
    while type_at(tokens, behind) in ("MONEY_SIGN", "HEDGE"):
        behind += 1
    until = number_at(tokens, behind)
    return (None, at, at) if until is None else (until, at, until.end)


BATCHES = frozenset(["gbs", "bs", "batch", "batchsize", "size"])
"""Words before ``1,024 x 8,192`` that make it a number of sequences times their length."""
OF_ITS_OWN = frozenset(["co2", "power", "energy", "money", "percent"])
"""Units that belong to the last factor of a product and not to the whole product."""


def _product(tokens: Sequence[Token], at: int, number: ReadNumber, text: str) -> tuple[list[Item], int] | None:
    """Reads ``16x3.8B`` (experts of a size), or ``2048 * 1024`` and ``32 x 8 x 2 = 512`` (factors, not separate figures); else None."""
    end = number.end
    factors = [number.value]
    scales = [number.scale]
    while _is_times(tokens, end) and (other := number_at(tokens, end + 1)) is not None:
        factors.append(other.value)
        scales.append(other.scale)
        end = other.end
    if len(factors) < 2:
        return None
    start, stop = tokens[at].start, tokens[end - 1].end
    if unit_at(tokens, end)[0].kind in OF_ITS_OWN:
        return None  # PUE 1.15 x 0.056 kg/kWh
    if (
        len(factors) == 2
        and not scales[0]
        and scales[1] in ("b", "m", "billion", "million", "t")
        and factors[0] <= 4096
    ):
        unit, end = unit_at(tokens, end)
        stop = tokens[end - 1].end
        return [
            Figure(
                "figure",
                text[start:stop],
                start,
                stop,
                value=factors[0],
                digits=number.digits,
                unit="expert",
                word=unit.word,
            )
        ], end
    if len(factors) == 2 and (pair := _batch_of(tokens, at, end, text, (factors[0], factors[1]))) is not None:
        return pair
    if type_at(tokens, end) in DEVICE:
        unit, end = unit_at(tokens, end)
        stop = tokens[end - 1].end
        whole = math.prod(factors)
        return [Figure("figure", text[start:stop], start, stop, value=whole, digits=f"{whole:.12g}", unit=unit.kind, word=unit.word,
                       device=unit.device, per=unit.per)], end  # fmt: skip
    return [Item("word", text[start:stop], start, stop)], end


def _batch_of(
    tokens: Sequence[Token], at: int, end: int, text: str, factors: tuple[float, float]
) -> tuple[list[Item], int] | None:
    """``GBS: 2,048 x 4,096 tokens``: the number of sequences and their length, after a word for a batch; else None."""
    said = tokens[at - 2 if at > 1 and tokens[at - 1].text in ":=" else max(at - 1, 0)].text.lower()
    unit, behind = unit_at(tokens, end)
    if not at or said not in BATCHES or unit.kind not in ("", "token") or unit.per:
        return None
    end = behind if unit.kind else end
    start, stop = tokens[at].start, tokens[end - 1].end
    middle = start + len(text[start:stop].partition("x")[0].partition("×")[0].partition("*")[0].rstrip())
    batch = Figure(
        "figure", text[start:middle], start, middle, value=factors[0], digits=f"{factors[0]:.12g}", unit="sequence"
    )
    begin = middle + len(text[middle:stop]) - len(text[middle:stop].lstrip(" x×*·"))
    length = Figure(
        "figure", text[begin:stop], begin, stop, value=factors[1], digits=f"{factors[1]:.12g}", unit="token"
    )
    return [batch, Item("word", "x", middle, begin), length], end


def _is_times(tokens: Sequence[Token], at: int) -> bool:
    return type_at(tokens, at) == "TIMES" or (type_at(tokens, at) == "MARK" and tokens[at].text in "*×·")


def _dimensions(tokens: Sequence[Token], first: int, at: int, text: str) -> tuple[list[Item], int]:
    """Reads ``224 x 224``, or the product ``32 x 8 A100`` if it counts devices."""
    sides = [int(side) for side in "".join(c if c.isdigit() else " " for c in tokens[at].text).split()]
    at += 1
    while _is_times(tokens, at) and type_at(tokens, at + 1) == "NUMBER" and tokens[at + 1].text.isdigit():
        sides.append(int(tokens[at + 1].text))
        at += 2
    if len(sides) == 2 and sides[1] in CONSUMER and sides[0] <= MOST_CONSUMER:
        start, stop = tokens[first].start, tokens[at - 1].end
        return [Figure("figure", text[start:stop], start, stop, value=float(sides[0]), digits=str(sides[0]), unit="gpu", word="GPUs",
                       device=f"RTX {sides[1]}")], at  # fmt: skip
    if len(sides) == 2 and (pair := _batch_of(tokens, at - 1, at, text, (sides[0], sides[1]))) is not None:
        return pair
    if type_at(tokens, at) == "MARK" and tokens[at].text == "=":
        stop = tokens[at - 1].end
        return [Item("word", text[tokens[first].start : stop], tokens[first].start, stop)], at
    at += type_at(tokens, at) == "TIMES"
    unit, end = unit_at(tokens, at)
    start, stop = tokens[first].start, tokens[max(end, at) - 1].end
    pictures = len(sides) == 3 and sides[0] < min(sides[1:]) and min(sides[1:]) >= SMALLEST_PICTURE
    if pictures and unit.kind in ("", "pixel"):
        return _frames_of_a_clip(sides, start, stop, text), end
    counts = unit.kind in ("gpu", "gpu_time", "token", "node")
    if unit.kind == "sample" and min(sides[:2]) >= SMALLEST_PICTURE:
        unit = unit._replace(kind="dims")  # steps at 384x384 images
    value = float(math.prod(sides)) if counts else float(sides[-1])
    digits = f"{value:g}"
    return [Figure("figure", text[start:stop], start, stop, value=value * unit.factor, digits=digits, sides=tuple(sides[:4]),
                   unit=unit.kind or "dims", per=unit.per, word=unit.word, device=unit.device)], end  # fmt: skip


def _frames_of_a_clip(sides: Sequence[int], start: int, stop: int, text: str) -> list[Item]:
    """``16 x 224 x 224``: the frames of a clip, and the sides of one."""
    count, *picture = sides
    cut = start + len(str(count))
    return [
        Figure("figure", text[start:cut], start, cut, value=float(count), digits=str(count), unit="frame", word="frames"),
        Figure("figure", text[cut + 1 : stop], cut + 1, stop, value=float(picture[-1]), digits=str(picture[-1]),
               sides=tuple(picture), unit="dims"),
    ]  # fmt: skip


CONSUMER, MOST_CONSUMER = frozenset([2080, 3080, 3090, 4080, 4090, 5080, 5090]), 64
"""``4x 4090``: cards known by their number alone, and the most of them in one run."""
SMALLEST_PICTURE = 64
"""The shortest side in pixels; below it, three numbers are a patch."""
