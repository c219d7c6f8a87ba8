"""A published text as YAML: what it states, what had to be supplied and from where, and which figures to compute.

A document is a run file with further blocks. ``claims`` are the figures of the text, each with the words around it; ``figures`` says what
to compute, and which *other* claims it may start from; ``open`` what the text leaves to one of a few readings; ``takes`` what has to be
solved for where a prediction does not hold a figure. A figure never sees its own claim, nor what descends from it (``descent``).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from typing import Any

from pydantic import Field, model_validator

from gpuhours.inputs.errors import EstimateError, UnitError, nearest
from gpuhours.inputs.units import magnitude, parse
from gpuhours.inputs.yaml_files import Section
from gpuhours.questions.checking.precision import Spread, between, spread


class StatedFigure(Section):
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
    descends: tuple[str, ...] = Field(default=(), alias="from")
    """Other claims it was worked out from by whoever wrote the document."""

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


class AskedFigure(Section):
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
    descends: tuple[str, ...] = Field(default=(), alias="from")
    """Claims that ``set`` was worked out from."""
    headline: bool = False
    """One of the figures that the text is read for: said in words below the table."""
    note: str = ""
    not_modelled: str = ""

    @model_validator(mode="after")
    def _not_its_own_answer(self) -> AskedFigure:
        if self.claim is not None and self.claim in self.given:
            raise ValueError(f"{self.label!r} may not start from its own claim {self.claim!r}")
        return self


class Reading(Section):
    """A key that the text leaves to one of a few values, each as likely."""

    among: tuple[Any, ...] = Field(min_length=2)
    reason: str
    source: str = ""
    descends: tuple[str, ...] = Field(default=(), alias="from")


class Solve(Section):
    """What a figure would take: one key is varied until the prediction holds what is stated."""

    claim: str
    result: str
    words: str
    """What is varied, in words: ``text tokens a pair, encoder on every rank``."""
    key: str
    """The key to solve for; ``known.goodput`` is solved for every stack that was drawn."""
    least: float = Field(default=64, gt=0)
    most: float = Field(default=65536, gt=0)
    settings: Mapping[str, Any] = Field(default_factory=dict, alias="set")


class Settles(Section):
    """A system whose measured constants came from this text's own figures."""

    system: str
    claims: tuple[str, ...]


class Published(Section):
    """A document file."""

    name: str
    title: str
    source: str
    organisation: str = ""
    """Whose run it is, where published hours of its runs are known: what was learned from those is left out."""
    year: int | None = None
    run: Mapping[str, Any]
    runs: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    """Other runs that the text speaks of, each laid over ``run``."""
    claims: Mapping[str, StatedFigure]
    figures: tuple[AskedFigure, ...]
    readings: Mapping[str, Reading] = Field(default_factory=dict, alias="open")
    takes: tuple[Solve, ...] = ()
    settles: tuple[Settles, ...] = ()
    """Which of its figures decided constants of software profiles: a run on such a profile has seen them."""

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
