"""A published text as YAML: what it states, what had to be assumed and from where, and which figures to compute.

A document is a run file with further blocks. ``claims`` are the figures of the text, each with the surrounding words; ``figures`` lists
what to compute, and which *other* claims it may use; ``open`` what the text leaves to one of a few readings; ``takes`` what to solve for if
a prediction does not match a figure. A figure never uses its own claim, nor anything derived from it (``descent``).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from gpuhours.inputs.errors import EstimateError, UnitError, nearest
from gpuhours.inputs.units import magnitude, parse
from gpuhours.inputs.yaml_files import Section
from gpuhours.questions.checking.precision import Spread, between, spread


class StatedFigure(Section):
    """One figure that the text states."""

    value: str | float
    unit: str = ""
    """The unit of comparison; by default that of its result."""
    key: str = ""
    """Its key in a run when another figure uses it."""
    words: tuple[str, ...] = ()
    """Qualifiers in the text: approximately, estimated, up to."""
    exact: bool = False
    """Whether it is a setting (512 GPUs) rather than a rounded measurement."""
    low: float | None = None
    high: float | None = None
    """The ends of a stated range."""
    where: str = ""
    descends: tuple[str, ...] = Field(default=(), alias="from")
    """Other claims from which the author of the document derived it."""

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
        """The value in ``unit`` (or its own) with the precision implied by its digits and words."""
        if self.low is not None and self.high is not None:
            return between(self.low, self.high)
        text = str(self.value)
        try:
            value = magnitude(self.value) if unit is None else parse(self.value, unit)
        except UnitError as error:
            raise EstimateError(
                str(error), "The claim and its result must have the same dimension.", f"claims: {self.value}"
            ) from None
        duration = self.unit in {"s", "second", "day"}
        return spread(value, _digits(text), self.words, exact=self.exact, duration=duration)


class AskedFigure(Section):
    """One thing to compute."""

    label: str
    result: str
    claim: str | None = None
    """The claim to compare with; None if the text states nothing."""
    given: tuple[str, ...] = ()
    """Claims that it may use."""
    run: str = ""
    """One of the document's ``runs``; the document's own run by default."""
    over: str = ""
    """Another of ``runs``: the figure is the ratio of this run's result to that one's."""
    settings: Mapping[str, Any] = Field(default_factory=dict, alias="set")
    """Keys of the run set for this figure only: another reading of the text."""
    descends: tuple[str, ...] = Field(default=(), alias="from")
    """Claims from which ``set`` was derived."""
    source: str = ""
    """The source outside the text of what is ``set``."""
    headline: bool = False
    """Whether it is a main figure of the text, summarised in words below the table."""
    note: str = ""

    @model_validator(mode="after")
    def _not_its_own_answer(self) -> AskedFigure:
        if self.claim is not None and self.claim in self.given:
            raise ValueError(f"{self.label!r} may not use its own claim {self.claim!r}")
        return self


class KeyOrigin(Section):
    """Where a key of the runs, or a block of keys, comes from."""

    words: str = ""
    """The words of the text that give it."""
    source: str = ""
    """The source outside the text, with an address."""
    descends: tuple[str, ...] = Field(default=(), alias="from")
    """The claims that it was derived from."""


class Reading(Section):
    """A key that the text leaves to one of a few values, considered equally likely."""

    among: tuple[Any, ...] = Field(min_length=2)
    reason: str
    source: str = ""
    descends: tuple[str, ...] = Field(default=(), alias="from")


class Solve(Section):
    """What it would take to match a figure: one key is varied until the prediction matches the statement."""

    claim: str
    result: str
    words: str
    """Description of what is varied: ``text tokens per pair, encoder on every rank``."""
    key: str
    """The key to solve for; ``known.goodput`` is solved for every sampled stack."""
    least: float = Field(default=64, gt=0)
    most: float = Field(default=65536, gt=0)
    settings: Mapping[str, Any] = Field(default_factory=dict, alias="set")


class Settles(Section):
    """A system whose measured constants were determined from this text's own figures."""

    system: str
    claims: tuple[str, ...]


def _in_full(origins: Any) -> Any:
    """Words that stand for an origin are those of the text."""
    if not isinstance(origins, Mapping):
        return origins
    return {key: {"words": one} if isinstance(one, str) else one for key, one in origins.items()}


class Published(Section):
    """A document file."""

    name: str
    title: str
    source: str
    organisation: str = ""
    """The organisation of the run: if published hours of its runs are known, what was learned from them is left out."""
    year: int | None = None
    run: Mapping[str, Any]
    runs: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    """Other runs in the text, each an overlay over ``run``."""
    origins: Annotated[Mapping[str, KeyOrigin], BeforeValidator(_in_full)] = Field(default_factory=dict)
    """Where the keys of ``run``, of ``runs`` and of settings come from, by key or block; words alone stand for those of the text."""
    claims: Mapping[str, StatedFigure]
    figures: tuple[AskedFigure, ...]
    readings: Mapping[str, Reading] = Field(default_factory=dict, alias="open")
    takes: tuple[Solve, ...] = ()
    settles: tuple[Settles, ...] = ()
    """Figures of the text that determined constants of software profiles: runs on such a profile are not blind to them."""

    @model_validator(mode="after")
    def _names_exist(self) -> Published:
        for figure in self.figures:
            for name in (figure.run, figure.over):
                if name and name not in self.runs:
                    raise ValueError(f"{figure.label!r} names the run {name!r}. {nearest(name, self.runs)}".strip())
            for name in (*figure.given, *((figure.claim,) if figure.claim else ())):
                if name not in self.claims:
                    raise ValueError(f"{figure.label!r} names the claim {name!r}. {nearest(name, self.claims)}".strip())
        for name in (*(solve.claim for solve in self.takes), *(name for one in self.settles for name in one.claims)):
            if name not in self.claims:
                raise ValueError(f"{name!r} is not a claim. {nearest(name, self.claims)}".strip())
        return self


def _digits(text: str) -> str:
    """``"1.8M GPU-hours" -> "1.8"``."""
    return "".join(takewhile(lambda character: character in "0123456789.,", text.strip()))
