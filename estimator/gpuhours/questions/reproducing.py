"""Published texts as YAML: what they state, what had to be supplied, and whether their figures come out.

A document is a run file with two more blocks. ``claims`` are the figures of the text, each with the words around
it; ``figures`` says what to compute, and which *other* claims it may start from. A figure never sees its own claim.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from itertools import takewhile
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.errors import Contradiction, EstimateError, UnitError, nearest
from gpuhours.inputs.units import magnitude, parse
from gpuhours.inputs.yaml_files import Block, Source, read_yaml, validated
from gpuhours.questions.checking.precision import Spread, between, spread
from gpuhours.questions.envelope import envelope
from gpuhours.questions.estimating.estimates import Estimate
from gpuhours.questions.estimating.estimating import estimate
from gpuhours.questions.verdicts import AGREES, CONTRADICTED, NOT_DETERMINED, of_whole
from gpuhours.run.results import RESULTS
from gpuhours.run.spec import Run, from_source, put, revised

TIMES = "times"
"""Unit of one run's result over another's."""
FITS = "fits"
"""Unit of a yes (1) or no (0)."""
OPEN = 4.0
"""A range wider than this factor from end to end leaves a figure open, even where it covers the published value."""


class StatedFigure(Block):
    """One figure that the text states."""

    value: str | float
    unit: str = ""
    """The unit to compare in; that of the result it stands for."""
    key: str = ""
    """Where it stands in a run when another figure starts from it."""
    words: tuple[str, ...] = ()
    """What the text says around it: approximately, estimated, up to."""
    exact: bool = False
    """A setting (512 GPUs), not a rounded measurement."""
    low: float | None = None
    high: float | None = None
    """The ends of what is stated as a range."""
    where: str = ""

    @model_validator(mode="after")
    def _positive(self) -> StatedFigure:
        if (self.low is None) != (self.high is None):
            raise ValueError("a range has a low and a high end")
        if self.low is not None and self.high is not None and not 0 < self.low <= self.high:
            raise ValueError("low and high must be positive and in this order")
        if self.low is None and magnitude(self.value) <= 0:
            raise ValueError("a figure that is compared must be greater than 0")
        return self

    def measured(self, unit: str | None = None) -> Spread:
        """The value in ``unit`` (or its own) and how exact its digits and words make it."""
        if self.low is not None and self.high is not None:
            return between(self.low, self.high)
        text = str(self.value)
        try:
            value = magnitude(self.value) if unit is None else parse(self.value, unit)
        except UnitError as error:
            raise EstimateError(
                str(error), "The claim and the result it stands for are of one kind.", f"claims: {self.value}"
            ) from None
        duration = self.unit in {"s", "second", "day"}
        return spread(value, _digits(text), self.words, exact=self.exact, duration=duration)


class AskedFigure(Block):
    """One thing to compute."""

    label: str
    result: str
    claim: str | None = None
    """The claim it is held against; None where the text states nothing."""
    given: tuple[str, ...] = ()
    """Claims it may start from."""
    run: str = ""
    """One of the document's ``runs``; the document's own where not given."""
    over: str = ""
    """Another of ``runs``: the figure is the ratio of this run's result to that one's."""
    settings: Mapping[str, Any] = Field(default_factory=dict, alias="set")
    """Keys of the run set for this figure only: another reading of the text."""
    note: str = ""
    not_modelled: str = ""

    @model_validator(mode="after")
    def _not_its_own_answer(self) -> AskedFigure:
        if self.claim is not None and self.claim in self.given:
            raise ValueError(f"{self.label!r} may not start from its own claim {self.claim!r}")
        return self


class Published(Block):
    """A document file."""

    name: str
    title: str
    source: str
    year: int | None = None
    run: Mapping[str, Any]
    runs: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    """Other runs that the text speaks of, each laid over ``run``."""
    claims: Mapping[str, StatedFigure]
    figures: tuple[AskedFigure, ...]

    @model_validator(mode="after")
    def _names_exist(self) -> Published:
        for figure in self.figures:
            for name in (figure.run, figure.over):
                if name and name not in self.runs:
                    raise ValueError(f"{figure.label!r} names the run {name!r}. {nearest(name, self.runs)}".strip())
            for name in (*figure.given, *((figure.claim,) if figure.claim else ())):
                if name not in self.claims:
                    raise ValueError(f"{figure.label!r} names the claim {name!r}. {nearest(name, self.claims)}".strip())
        return self


@dataclass(frozen=True)
class Finding:
    """One figure: published, computed, verdict. ``low`` and ``high`` bound what was computed."""

    figure: str
    published: float | None
    unit: str
    computed: float | None
    low: float | None
    high: float | None
    relative_error: float | None
    verdict: str | None
    """None where nothing is published."""
    reason: str
    stated: str = ""
    """The words of the text where it states a range."""
    stated_low: float | None = None
    stated_high: float | None = None
    """The ends of what is published: its range, or what its digits and words leave open."""
    depends_on: tuple[str, ...] = ()
    """The claims of the text that it was computed from: handed in, or agreed with by an assumption."""
    possible: bool = True
    """False where what it was computed from cannot be true together: no run can."""


@dataclass(frozen=True)
class Reproduction:
    """One document, figure by figure."""

    name: str
    title: str
    source: str
    figures: tuple[Finding, ...]
    assumptions: tuple[Assumption, ...]

    @property
    def verdict(self) -> str:
        """Of the whole text."""
        return of_whole(finding.verdict for finding in self.figures)

    def to_dict(self) -> dict[str, Any]:
        """One entry of ``documents`` in the JSON."""
        return {
            "name": self.name, "title": self.title, "source": self.source, "verdict": self.verdict,
            "figures": [asdict(finding) for finding in self.figures],
            "assumptions": [asdict(assumption) for assumption in self.assumptions],
        }  # fmt: skip


@dataclass(frozen=True)
class Reproductions:
    """Every document that was asked for."""

    documents: tuple[Reproduction, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``gpuhours reproduce --json``."""
        return envelope("reproduce", {"documents": [document.to_dict() for document in self.documents]})


def document_paths() -> dict[str, Path]:
    """The documents that ship with gpuhours: name -> file."""
    folder = Path(str(files("gpuhours") / "published" / "documents"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def reproduce(names: tuple[str, ...] = ()) -> Reproductions:
    """Work out documents by name or path; all that ship with gpuhours when none is named."""
    known = document_paths()
    chosen = [_path(name, known) for name in names] if names else list(known.values())
    return Reproductions(tuple(reproduce_file(path) for path in chosen))


def _path(name: str, known: Mapping[str, Path]) -> Path:
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    for stem, path in known.items():
        if stem.lower() == name.lower():
            return path
    raise EstimateError(
        "No such document.", nearest(name, known) or f"There are {', '.join(known)}.", f"document = {name!r}"
    )


def reproduce_file(path: Path) -> Reproduction:
    """Compute every figure of one document file."""
    source = read_yaml(path)
    text = validated(Published, source)
    seen: dict[str, Assumption] = {}
    findings = []
    for figure in text.figures:
        finding, assumptions = _finding(text, figure, source)
        findings.append(finding)
        for assumption in assumptions:
            seen.setdefault(assumption.name, assumption)
    return Reproduction(text.name, text.title, text.source, tuple(findings), tuple(seen.values()))


def _finding(text: Published, figure: AskedFigure, source: Source) -> tuple[Finding, tuple[Assumption, ...]]:
    """One figure, computed from the run and the claims it may start from, then judged."""
    claim = None if figure.claim is None else text.claims[figure.claim]
    if figure.not_modelled:
        unit = RESULTS[figure.result].unit if figure.result in RESULTS else ""
        stated = claim.measured(unit) if claim else None
        found = Finding(figure.label, stated.centre if stated else None, unit, None, None, None, None, _open(stated),
                        f"not yet modelled: {figure.not_modelled}")  # fmt: skip
        return _with_statement(found, stated, claim), ()
    try:
        worked = _estimate(text, figure, source, figure.run)
        other = _estimate(text, figure, source, figure.over) if figure.over else None
    except Contradiction as error:
        return replace(_impossible(figure, claim, error), depends_on=figure.given), ()
    found = _judged(figure, claim, worked) if other is None else _ratio(figure, claim, worked, other)
    measured = (
        None
        if claim is None
        else claim.measured(found.unit if found.unit in ("", TIMES) else RESULTS[figure.result].unit)
    )
    sources = (*figure.given, *_agreed_with(worked), *(() if other is None else _agreed_with(other)))
    found = replace(found, depends_on=tuple(dict.fromkeys(sources)))
    return _with_statement(found, measured, claim), (*worked.assumptions, *(() if other is None else other.assumptions))


def _with_statement(finding: Finding, stated: Spread | None, claim: StatedFigure | None) -> Finding:
    """A finding with how exactly its published value is meant."""
    if stated is None or claim is None:
        return finding
    words = "" if claim.low is None else str(claim.value)
    return replace(finding, stated=words, stated_low=stated.low, stated_high=stated.high)


def _agreed_with(worked: Estimate) -> Iterator[str]:
    """The claims that the assumptions of a run descend from."""
    for run in (worked.run, *worked.run.stages):
        for supplied in run.assumptions.values():
            yield from supplied.depends_on


def _ratio(figure: AskedFigure, claim: StatedFigure | None, worked: Estimate, other: Estimate) -> Finding:
    """One run's result over another's. Both are predicted by the same equations: their errors are left to cancel, no range is given."""
    stated = None if claim is None else claim.measured("")
    published = None if stated is None else stated.centre
    above, below = worked.results.get(figure.result), other.results.get(figure.result)
    if above is None or below is None:
        reason = figure.note or f"{figure.result} is not determined in both runs"
        return Finding(figure.label, published, TIMES, None, None, None, None, _open(stated), reason)
    value = float(above.value) / float(below.value)
    error = None if published is None else value / published - 1
    return Finding(
        figure.label, published, TIMES, value, None, None, error, _verdict(stated, value, None, None), figure.note
    )


def _estimate(text: Published, figure: AskedFigure, source: Source, name: str) -> Estimate:
    """The run of the document, or the one of ``name``, with the given claims put at their keys, each with the spread of its words."""
    data = revised(text.run, text.runs[name]) if name else copy.deepcopy(dict(text.run))
    supplied = data.setdefault("assumptions", {})
    if not isinstance(supplied, dict) or not all(isinstance(key, str) for key in supplied):
        raise EstimateError("must be a mapping of keys to values", "", f"{source.name}  run.assumptions")
    for name, value in figure.settings.items():
        for key in [key for key in supplied if key == name or key.startswith(f"{name}.")]:
            del supplied[key]
        put(data, name, value)
    for name in figure.given:
        claim = text.claims[name]
        if not claim.key:
            raise EstimateError(
                f"The claim {name!r} has no key to stand at in a run.",
                "Give it one: key: known.gpu_hours.",
                source.name,
            )
        put(data, claim.key, claim.value)
    places = {key[1:]: place for key, place in source.places.items() if key[:1] == ("run",)}
    run = from_source(Source(source.name, {"name": text.name, **data}, places))
    return estimate(run, uncertain=dict(_stated(text, figure, run)))


def _stated(text: Published, figure: AskedFigure, run: Run) -> Iterator[tuple[str, tuple[float, float, float]]]:
    """The ranges of the claims a figure starts from."""
    for name in figure.given:
        claim = text.claims[name]
        value = run.value(claim.key)
        if claim.exact or not isinstance(value, int | float):
            continue
        exact = claim.measured()
        if exact.sigma > 0:
            yield claim.key, (value * exact.low / exact.centre, value, value * exact.high / exact.centre)


def _impossible(figure: AskedFigure, claim: StatedFigure | None, error: Contradiction) -> Finding:
    """A figure whose inputs cannot be true together."""
    unit = RESULTS[figure.result].unit if figure.result in RESULTS else ""
    stated = claim.measured(unit) if claim else None
    reason = " ".join(part for part in (error.problem, figure.note) if part)
    computed = error.value if figure.result == error.where else None
    verdict = CONTRADICTED if claim else None
    found = Finding(
        figure.label,
        stated.centre if stated else None,
        unit,
        computed,
        None,
        None,
        None,
        verdict,
        reason,
        possible=False,
    )
    return _with_statement(found, stated, claim)


def _judged(figure: AskedFigure, claim: StatedFigure | None, worked: Estimate) -> Finding:
    """Published against computed."""
    if figure.result not in worked.results:
        raise EstimateError(
            f"{figure.label!r} asks for {figure.result!r}.", nearest(figure.result, worked.results), "figures"
        )
    result = worked.results[figure.result]
    unit = RESULTS[figure.result].unit
    stated = None if claim is None else claim.measured(unit)
    published = None if stated is None else stated.centre
    if result is None:
        return Finding(figure.label, published, unit, None, None, None, None, _open(stated),
                       figure.note or "; ".join(worked.warnings))  # fmt: skip
    value, low, high = float(result.value), result.low, result.high
    error = value / published - 1 if published else None
    unit = FITS if isinstance(result.value, bool) else result.unit
    verdict = _verdict(stated, value, low, high)
    reason = figure.note
    if verdict == NOT_DETERMINED and not reason and low and high:
        reason = f"left open by a factor of {high / low:.2g} by {', '.join(worked.run.ranges()) or 'the prediction'}"
    return Finding(figure.label, published, unit, value, low, high, error, verdict, reason)


def _open(stated: Spread | None) -> str | None:
    """The verdict on a figure that the text leaves open."""
    return None if stated is None else NOT_DETERMINED


def _verdict(stated: Spread | None, value: float, low: float | None, high: float | None) -> str | None:
    """How a computed value and its range sit with what is stated; None where nothing is.

    agrees            the ranges touch, or the value lies within the precision of the statement (at least 1 %)
    not determined    the computed range spans more than a factor of 4 and touches what is stated: the text leaves the figure
                      open, however near the middle of the range comes
    contradicted      the ranges do not touch
    """
    if stated is None:
        return None
    if stated.centre == value:
        return AGREES
    low, high = (value, value) if low is None or high is None else (min(low, value), max(high, value))
    wide = low <= 0 or high / low > OPEN
    least = max(abs(math.log(stated.high / stated.centre)), 0.01)
    if not wide and value > 0 and abs(math.log(value / stated.centre)) <= least:
        return AGREES
    if low <= stated.high * 1.01 and high >= stated.low * 0.99:
        return NOT_DETERMINED if wide else AGREES
    return CONTRADICTED


def _digits(text: str) -> str:
    """``"1.8M GPU-hours" -> "1.8"``."""
    return "".join(takewhile(lambda character: character in "0123456789.,", text.strip()))
