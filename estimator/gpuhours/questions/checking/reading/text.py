"""Prose -> claims: every figure with its quote and place, every number that was not understood listed too.

Reading never guesses silently. A figure whose quantity only its unit gave is marked; a second figure for the same quantity is
set aside and shown; figures about fine-tuning or evaluation do not enter the check of the run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.checking.claim import Claim, Document, Unplaced
from gpuhours.questions.checking.precision import Spread, between, spread
from gpuhours.questions.checking.quantities import DAY, QUANTITIES
from gpuhours.questions.checking.reading.facts import find_facts
from gpuhours.questions.checking.reading.numbers import Figure, Item, scan, tags
from gpuhours.questions.checking.reading.placing import Place, head_noun, place, unit_factor
from gpuhours.questions.checking.reading.scopes import Sentence, sentences

TAGGED = {"params": "parameters", "gpu_count": "gpus", "training": "wall_clock", "year": "year"}
"""What the tags of the tagged style say; ``<training>`` may hold GPU-hours too."""
QUOTE = 96
LONGEST_DOCUMENT = 2_000_000
LIST_WORDS = frozenset({",", "and", "or", "to", "then", "ultimately", "finally", "/", "respectively"})


@dataclass(frozen=True)
class Placed:
    """A figure of the text with its quantity."""

    index: int
    figure: Figure
    sentence: Sentence
    place: Place
    scope: str
    tagged: bool
    said: str = ""
    """The scope of the sentence, which a tag overrules."""


def read_text(text: str, name: str = "text") -> Document:
    """Everything a text says in figures."""
    if len(text) > LONGEST_DOCUMENT:
        raise EstimateError(f"has {len(text):,} characters", "Check one run's section at a time.", name)
    items = scan(text)
    tagged = _tagged(text)
    placed: list[Placed] = []
    unplaced: list[Unplaced] = []
    for sentence in sentences(items, text):
        for index in range(sentence.first, sentence.last):
            item = items[index]
            if isinstance(item, Figure):
                found = _place(items, index, sentence, tagged, placed)
                if found is not None and not (_is_prose(items, index) and not found.tagged and found.place.by_default):
                    placed.append(found)
                elif not _is_prose(items, index):
                    unplaced.append(
                        Unplaced(
                            _plain(item.text),
                            quote(text, item),
                            _line(text, item.start),
                            "no words say what it counts",
                        )
                    )
    unplaced += _empty_tags(text, items, tagged)
    claims = [_claim(entry, text, items) for entry in placed]
    main = _main_scopes(placed)
    claims = [replace(claim, scope="") if claim.scope in main else claim for claim in claims]
    kept, aside = _one_each(claims, [entry.tagged for entry in placed])
    facts = find_facts(items, text, tagged)
    kept = _size_from_name(kept, facts)
    return Document(name, tuple(kept), facts, tuple(unplaced), tuple(aside))


def _tagged(text: str) -> list[tuple[str, int, int]]:
    return [(name, start, end) for name, spans in tags(text).items() for start, end in spans]


def _empty_tags(text: str, items: Sequence[Item], tagged: Iterable[tuple[str, int, int]]) -> list[Unplaced]:
    """Tags that should hold a figure and hold words: ``<training>several weeks</training>``."""
    figures = [item for item in items if isinstance(item, Figure)]
    return [
        Unplaced(_plain(text[start:end]), _plain(text[start:end]), _line(text, start), f"<{name}> holds no figure")
        for name, start, end in tagged
        if name in TAGGED and not any(figure.start < end and figure.end > start for figure in figures)
    ]


def _place(
    items: Sequence[Item],
    index: int,
    sentence: Sentence,
    tagged: Iterable[tuple[str, int, int]],
    before: list[Placed],
) -> Placed | None:
    figure = items[index]
    assert isinstance(figure, Figure)
    for name, start, end in tagged:
        if figure.start < end and figure.end > start and name in TAGGED:
            if name == "gpu_count" and figure.sides:
                figure = replace(figure, value=float(math.prod(figure.sides)), unit="gpu")
            told = _tag_says(name, figure)
            if told is not None:
                return Placed(
                    index, figure, sentence, Place(told, f"<{name}>", 0.0), "", True, sentence.scope_at(index)
                )
    found = place(items, index, sentence.first, sentence.last)
    if found is None or found.by_default:
        found = _as_the_list_before(items, index, before, sentence) or found
    if before and before[-1].place.quantity == "beta1" and 0.5 < figure.value < 1 and index - before[-1].index <= 3:
        found = Place("beta2", "betas", 0.0)  # the two are given as a pair
    if found is None:
        return None
    scope = sentence.scope_at(index)
    return Placed(index, figure, sentence, found, scope, False)


def _tag_says(name: str, figure: Figure) -> str | None:
    """The quantity a tag gives to the figure inside it, if the unit can be that."""
    if name == "training":
        units = {
            "time": "wall_clock",
            "gpu_time": "gpu_hours",
            "step": "steps",
            "epoch": "epochs",
            "token": "tokens",
        }
        return units.get(figure.unit)
    if name == "gpu_count" and figure.unit not in ("", "gpu", "chip"):
        return "nodes" if figure.unit == "node" else None
    if name == "params" and figure.unit not in ("", "parameter", "model"):
        return None
    quantity = QUANTITIES[TAGGED[name]]
    return quantity.name if quantity.least <= figure.value <= quantity.most else None


def _as_the_list_before(items: Sequence[Item], index: int, before: list[Placed], sentence: Sentence) -> Place | None:
    """``8,192 to 65,536, and ultimately to 262,144``: a bare figure goes where the list before it went."""
    figure = items[index]
    if not before or not isinstance(figure, Figure) or figure.per:
        return None
    if head_noun(items, index)[0] not in ("", "sequence", "sample", "token"):
        return None
    last = before[-1]
    between_them = [item.text.lower() for item in items[last.index + 1 : index]]
    if last.sentence is not sentence or last.figure.unit or not between_them:
        return None
    if len(between_them) > 4 or not all(word in LIST_WORDS for word in between_them):
        return None
    return Place(last.place.quantity, last.place.because or last.place.quantity, last.place.cost + 1)


def _is_prose(items: Sequence[Item], index: int) -> bool:
    """Numbers that are words: "one of", a citation's year, a list mark."""
    figure = items[index]
    assert isinstance(figure, Figure)
    lowered = figure.text.lower()
    if lowered in ("one", "a", "two") and not figure.unit:
        return True
    year = figure.text.isdigit() and len(figure.text) == 4 and 1950 <= figure.value <= 2040
    around = {items[i].text for i in (index - 1, index + 1) if 0 <= i < len(items)}
    bracketed = bool(around & {"(", "[", ")", "]"})
    return (year and (bracketed or "," in around)) or ("[" in around and "]" in around)


def _claim(entry: Placed, text: str, items: Sequence[Item]) -> Claim:
    figure, quantity = entry.figure, QUANTITIES[entry.place.quantity]
    factor = unit_factor(quantity.name, figure)
    value = figure.value * factor
    written = _plain(figure.text)
    return Claim(
        quantity.name,
        value,
        figure_spread(quantity.name, figure, value, factor),
        written,
        quote(text, figure),
        _line(text, figure.start),
        entry.place.because,
        entry.scope,
    )


def figure_spread(name: str, figure: Figure, value: float, factor: float = 1.0) -> Spread:
    """How exactly a figure is meant: its digits, its words, and whether its quantity is a setting."""
    quantity = QUANTITIES[name]
    if figure.until is not None:
        return between(value, figure.until * factor)
    hedges = tuple(word for word in figure.hedges if not (word in ("over", "under", "below") and _throughout(figure)))
    exact = quantity.exact and (not figure.scale or figure.scale in ("hundred", "dozen"))
    return spread(
        value, figure.digits, hedges,
        exact=exact, duration=figure.unit in ("time", "gpu_time") and value < 400 * DAY and name != "gpu_hours",
        nominal=name.endswith("parameters"),
    )  # fmt: skip


def _throughout(figure: Figure) -> bool:
    """``over 300 epochs`` and ``over 21 days`` mean during, not more than."""
    return figure.unit in ("time", "epoch", "step", "layer", "node", "gpu", "percent", "pod")


def _main_scopes(placed: Sequence[Placed]) -> frozenset[str]:
    """The scopes that are the run: pre-training or unnamed; fine-tuning too where the run is one."""
    telling = {"gpus", "nodes", "wall_clock", "gpu_hours", "tokens", "steps"}
    counted = [p for p in placed if p.place.quantity in telling]
    tagged = [p for p in counted if p.tagged and p.place.quantity in ("gpus", "wall_clock", "gpu_hours")]
    if any(p.said == "fine-tuning" for p in tagged):
        return frozenset({"", "fine-tuning"})
    plain = any(p.scope == "" for p in counted)
    tuned = any(p.scope == "fine-tuning" for p in counted)
    return frozenset({"", "fine-tuning"}) if tuned and not plain else frozenset({""})


def _one_each(claims: Sequence[Claim], tagged: Sequence[bool]) -> tuple[list[Claim], list[Claim]]:
    """One claim for each quantity that identities use: tagged before told before assumed, first before later."""
    order = sorted(
        range(len(claims)),
        key=lambda i: (not tagged[i], claims[i].because == "", claims[i].quantity == "parameters" and i, i),
    )
    best: dict[str, int] = {}
    for index in order:
        claim = claims[index]
        if claim.scope:
            continue
        first = best.setdefault(claim.quantity, index)
        if claim.spread.sigma < claims[first].spread.sigma and _same(claim, claims[first]):
            best[claim.quantity] = index
    kept, aside = [], []
    scheduled = _schedules([claim for claim in claims if not claim.scope])
    for index, claim in enumerate(claims):
        if claim.scope:
            aside.append(claim)
        elif best[claim.quantity] == index or not QUANTITIES[claim.quantity].checked:
            kept.append(replace(claim, spread=scheduled.get(claim.quantity, claim.spread)))
        else:
            if not _same(claim, claims[best[claim.quantity]]):
                aside.append(replace(claim, scope=f"another figure for {claim.title}"))
    return kept, aside


def _same(claim: Claim, other: Claim) -> bool:
    """Whether two figures say the same within their digits: ``4k (4096 tokens)``."""
    if claim.value <= 0 or other.value <= 0:
        return claim.value == other.value
    apart = abs(math.log(claim.value / other.value))
    return apart < max(0.02, 2 * math.hypot(claim.spread.sigma, other.spread.sigma))


def _schedules(claims: Sequence[Claim]) -> dict[str, Spread]:
    """A batch or length that grows during the run is known only to lie between its ends."""
    spreads = {}
    for name in ("global_batch", "global_batch_tokens", "seq_len"):
        same = [claim for claim in claims if claim.quantity == name]
        values = [claim.value for claim in same]
        if any(not _same(claim, same[0]) for claim in same):
            spreads[name] = between(min(values), max(values))
    return spreads


def _size_from_name(claims: list[Claim], facts: Sequence[object]) -> list[Claim]:
    """A model's size from its name, where the text gives no other: ``LongVILA-7B``."""
    if any(claim.quantity == "parameters" for claim in claims):
        return claims
    from gpuhours.questions.checking.reading.facts import size_in_name

    found = size_in_name(facts)
    return [*claims, found] if found else claims


def quote(text: str, figure: Item) -> str:
    """The words around a figure, without tags."""
    start = max(0, figure.start - QUOTE // 2)
    end = min(len(text), figure.end + QUOTE // 3)
    while start > 0 and not text[start - 1].isspace():
        start -= 1
    while end < len(text) and not text[end].isspace():
        end += 1
    line_start = max(text.rfind("\n", 0, figure.start), text.rfind("|", 0, figure.start)) + 1
    line_end = text.find("\n", figure.end)
    start, end = max(start, line_start), min(end, len(text) if line_end < 0 else line_end)
    return _plain(text[start:end])


def _plain(text: str) -> str:
    """Text without tags and line ends."""
    pieces = text.replace("</", "<").split("<")
    kept = [pieces[0]]
    for piece in pieces[1:]:
        name, closing, rest = piece.partition(">")
        kept.append(rest if closing and name.replace("_", "").isalpha() else "<" + piece)
    return " ".join("".join(kept).split())


def _line(text: str, position: int) -> str:
    return f"line {text.count(chr(10), 0, position) + 1}"
