"""Claims as YAML: ``check`` reads this format, and ``-o claims.yaml`` writes it so that it can be corrected by hand.

    facts: {accelerator: a100-sxm-80gb, country: China}
    claims:
      - {quantity: wall_clock, value: approximately 3 months, quote: ..., place: line 5}
      - {quantity: gpu_hours, value: 1.8M GPU-hours}

``value`` is written as in the document. Its words and digits determine its precision, unless ``spread`` (a relative standard
deviation) is given. ``claims`` may also be a plain mapping, quantity: value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from gpuhours.inputs.errors import EstimateError, UnitError, nearest
from gpuhours.inputs.units import parse
from gpuhours.inputs.yaml_files import Source, read_yaml, validated
from gpuhours.questions.checking.claim import GIVEN, NAME_OF_CARD, Claim, Document, Fact, Paper
from gpuhours.questions.checking.precision import Spread
from gpuhours.questions.checking.quantities import QUANTITIES
from gpuhours.questions.checking.reading.claims.stated import figure_spread
from gpuhours.questions.checking.reading.figures.numbers import scan
from gpuhours.questions.checking.reading.figures.tokens import Figure
from gpuhours.questions.checking.reading.quantities.placing import accepts
from gpuhours.questions.checking.reading.quantities.rates import unit_factor

NEEDS_UNIT = frozenset({"second", "byte", "Wh", "watt", "tCO2e"})


def _known(value: object) -> object:
    if not isinstance(value, str) or value not in QUANTITIES:
        raise ValueError(f"no such quantity. {nearest(str(value), QUANTITIES)}".strip())
    return value


QuantityName = Annotated[str, BeforeValidator(_known)]


class WrittenClaim(BaseModel):
    """One claim of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quantity: QuantityName
    value: float | int | str
    spread: Annotated[float, Field(gt=0, lt=5)] | None = None
    quote: str = ""
    place: str = ""
    run: str = ""
    """Of which run, where the file is about several; empty for what holds for all of them."""
    sentence: int = GIVEN
    """Figures of one sentence or row have the same number: they were said together."""
    either: Annotated[QuantityName | None, Field(examples=["wall_clock"])] = None
    """Another quantity that the words leave open: "hours used" may be GPU-hours or days by the clock."""
    about: str = ""
    """Empty for the run; anything else keeps the claim out of the check (fine-tuning, evaluation)."""


def _as_list(value: object) -> object:
    """Convert a mapping to a list of claims, ``{gpus: 512}`` -> ``[{quantity: gpus, value: 512}]``; return other values unchanged."""
    if isinstance(value, Mapping):
        return [{"quantity": name, "value": entry} for name, entry in value.items()]
    return value


class ClaimsFile(BaseModel):
    """A file of claims about one run, or about several: each claim says of which."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = None
    facts: dict[str, str] = {}
    claims: Annotated[tuple[WrittenClaim, ...], BeforeValidator(_as_list)] = Field(min_length=1)
    not_understood: tuple[dict[str, str], ...] = ()
    """Numbers nobody could place; kept for whoever corrects the file."""


def read_claims(path: Path) -> Paper:
    """Read a YAML file of claims and return the paper it describes; raise ``EstimateError`` if a run claims a quantity twice."""
    source = read_yaml(path)
    written = validated(ClaimsFile, source)
    facts = tuple(Fact(name, value) for name, value in written.facts.items())
    names = list(dict.fromkeys(entry.run for entry in written.claims if entry.run)) or [""]
    claims = [(entry.run, _claim(entry, source, index)) for index, entry in enumerate(written.claims)]
    seen: set[tuple[str, str]] = set()
    for index, (run, claim) in enumerate(claims):
        if (run, claim.quantity) in seen and QUANTITIES[claim.quantity].checked and not claim.scope and run != TOTAL:
            raise EstimateError(
                f"{claim.quantity} is claimed twice.",
                "Keep one, or state what the other is `about`.",
                _where(source, index, claim.quantity),
            )
        if not claim.scope:
            seen.add((run, claim.quantity))
    name = written.name or path.stem
    runs = tuple(_run(run, name, facts, claims) for run in names)
    return Paper(name, runs)


TOTAL = "all together"
"""Name of the run that is the sum of the others."""


def _run(run: str, name: str, facts: tuple[Fact, ...], claims: list[tuple[str, Claim]]) -> Document:
    """Return one run of the file: its own claims, plus the claims without a run, which hold for every run."""
    own = tuple(claim for of, claim in claims if of == run)
    every = () if run in ("", TOTAL) else tuple(replace(claim, shared=True) for of, claim in claims if not of)
    taken = {claim.quantity for claim in own if not claim.scope}
    said = (*own, *(claim for claim in every if claim.quantity not in taken))
    main, aside = tuple(c for c in said if not c.scope), tuple(c for c in said if c.scope)
    named = (*(fact for fact in facts if fact.name != "model"), Fact("model", run)) if run else facts
    return Document(run or name, main, named, (), aside, "total" if run == TOTAL else "own")


def _where(source: Source, index: int, quantity: str) -> str:
    listed = isinstance(source.value(("claims",)), list)
    return source.place(("claims", index, "value") if listed else ("claims", quantity))


def _claim(entry: WrittenClaim, source: Source, index: int) -> Claim:
    where = _where(source, index, entry.quantity)
    value, spread = read_value(entry.value, entry.quantity, where)
    if entry.spread is not None:
        spread = Spread(value, entry.spread, "given")
    quantity = QUANTITIES[entry.quantity]
    if not quantity.least <= value <= quantity.most:
        raise EstimateError(f"{entry.quantity} = {entry.value!r} is impossible: {value:g} {quantity.unit}".rstrip(),
                            f"Expected {quantity.least:g} to {quantity.most:g}.", where)  # fmt: skip
    place = entry.place or where
    return Claim(
        entry.quantity,
        value,
        spread,
        str(entry.value),
        entry.quote,
        place,
        "given",
        entry.about,
        sentence=entry.sentence,
        either=entry.either or "",
    )


def read_value(written: float | int | str, name: str, where: str) -> tuple[float, Spread]:
    """Parse a value with its unit: ``approximately 3 months`` -> seconds and their spread.

    Raises ``EstimateError`` if the value cannot be parsed or lacks a unit that its quantity needs.
    """
    quantity = QUANTITIES[name]
    text = f"{written:.12g}" if isinstance(written, float) else str(written)
    figures = [] if text.lstrip().startswith("-") else [item for item in scan(text) if isinstance(item, Figure)]
    if len(figures) == 1 and accepts(name, figures[0]):
        figure = figures[0]
        if quantity.unit in NEEDS_UNIT and not figure.unit:
            raise EstimateError(
                f"{name} = {text} has no unit.",
                f"Write it with one, such as {_example(quantity.unit)}.",
                where,
            )
        value = figure.value * unit_factor(name, figure)
        return value, figure_spread(name, figure, value, unit_factor(name, figure))
    try:
        value = parse(written, quantity.unit)
    except UnitError as error:
        raise EstimateError(
            f"{name}: {error}", f"Write a number and its unit{_unit_hint(quantity.unit)}.", where
        ) from None
    return value, Spread(value, 0.0 if quantity.exact else 0.02, "given")


def _example(unit: str) -> str:
    return {
        "second": "'45 days' or '2.3 s'",
        "byte": "'80 GB'",
        "Wh": "'433 MWh'",
        "watt": "'400 W'",
        "tCO2e": "'25 tCO2e'",
    }[unit]


def _unit_hint(unit: str) -> str:
    return f", in {unit}" if unit else ""


def write_claims(paper: Paper) -> str:
    """Return a paper as YAML: every claim in the text's own words with its run, then what was set aside or not understood."""
    document = paper.single
    if len(paper.runs) == 1:
        claims = [_entry(claim, "") for claim in document.claims if claim.because != NAME_OF_CARD]
    else:
        own = [
            (run.name if run.kind != "total" else TOTAL, claim)
            for run in paper.runs
            for claim in run.claims
            if not claim.shared and claim.because != NAME_OF_CARD
        ]
        claims = [{"run": run, **_entry(claim, "")} for run, claim in own]
        shared = {
            (c.quantity, c.text): c for run in paper.runs for c in run.claims if c.shared and c.because != NAME_OF_CARD
        }
        claims += [_entry(claim, "") for claim in shared.values()]
    claims += [_entry(claim, claim.scope) for claim in document.set_aside]
    data: dict[str, Any] = {"name": document.name}
    if document.facts:
        data["facts"] = {fact.name: fact.value for fact in document.facts}
    data["claims"] = claims
    if document.not_understood:
        data["not_understood"] = [{"text": n.text, "quote": n.quote, "place": n.place} for n in document.not_understood]
    head = (
        "# Claims as `gpuhours check` read them. Correct what is wrong, place what was not understood, and check this file again.\n"
        "# `about` keeps a figure out of the check of the run. Known quantities: gpuhours schema claims.\n"
    )
    return head + yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)


def _entry(claim: Claim, about: str) -> dict[str, Any]:
    """Return one claim as a YAML entry: in its own words, or as value and spread if reading the words would not reproduce it."""
    entry: dict[str, Any] = {"quantity": claim.quantity, "value": claim.text}
    if not _gives_back(claim):
        entry["value"] = f"{claim.value:.12g} {claim.unit}".strip()
        entry["spread"] = round(max(claim.spread.sigma, 1e-6), 6)
    entry |= {"quote": claim.quote, "place": claim.place}
    entry |= {"sentence": claim.sentence} if claim.sentence != GIVEN else {}
    entry |= {"either": claim.either} if claim.either else {}
    return entry | ({"about": about} if about else {})


def _gives_back(claim: Claim) -> bool:
    try:
        value, spread = read_value(claim.text, claim.quantity, "")
    except EstimateError:
        return False
    return math.isclose(value, claim.value, rel_tol=1e-9) and math.isclose(
        spread.sigma, claim.spread.sigma, abs_tol=1e-4
    )
