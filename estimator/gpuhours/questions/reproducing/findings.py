"""The results for a document: a finding per figure, the input values needed to match figures, and an overall verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, field, replace
from typing import Any

from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.precision import Spread
from gpuhours.questions.envelope import envelope
from gpuhours.questions.reproducing.taking import Need
from gpuhours.questions.verdicts import AGREES, CONTRADICTED, NOT_DETERMINED, of_whole

TIMES = "times"
"""Unit of a ratio of results of two runs."""
FITS = "fits"
"""Unit of a yes (1) or no (0)."""
OPEN = 4.0
"""Ratio of the ends of a range above which a figure is not determined, even if the range contains the published value."""
LEAST = 0.01
"""Smallest relative tolerance of a stated value."""


@dataclass(frozen=True)
class Finding:
    """One figure: published, computed, verdict. ``low`` and ``high`` are the range of the computed value."""

    figure: str
    published: float | None
    unit: str
    computed: float | None
    low: float | None
    high: float | None
    relative_error: float | None
    verdict: str | None
    """None if nothing is published."""
    reason: str
    stated: str = ""
    """The text's wording, if it states a range."""
    stated_low: float | None = None
    stated_high: float | None = None
    """The range of the published value: as stated, or from its digits and words."""
    outside: float | None = None
    """Ratio of the nearest ends of the stated and the computed range, 1 if they overlap."""
    depends_on: tuple[str, ...] = ()
    """The figures of the text that it uses, directly or through its assumptions; never its own."""
    rests_on: tuple[str, ...] = ()
    """What the author of the document chose for this figure and no machine can judge: assumptions, readings, keys with outside sources."""
    basis: str = "computed"
    """computed: follows from the given figures; reconciled: from all figures, including its own; predicted: blind, with open inputs
    sampled from common practice."""
    headline: bool = False
    quantity: str = ""
    """Its name in ``check``, for a text that was read."""
    possible: bool = True
    """False if its inputs contradict each other: no run can match them."""


@dataclass(frozen=True)
class Reproduction:
    """One document, figure by figure."""

    name: str
    title: str
    source: str
    figures: tuple[Finding, ...]
    assumptions: tuple[Assumption, ...]
    descent: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Assumption -> the figures of the text that it is derived from."""
    takes: tuple[Need, ...] = ()
    whole: str | None = None
    """The overall verdict, if it does not follow from its figures (a text that was checked)."""

    @property
    def verdict(self) -> str:
        """The verdict on the whole text."""
        return self.whole or of_whole(finding.verdict for finding in self.figures)

    def to_dict(self) -> dict[str, Any]:
        """One entry of ``documents`` in the JSON."""
        return {
            "name": self.name, "title": self.title, "source": self.source, "verdict": self.verdict,
            "figures": [asdict(finding) for finding in self.figures],
            "assumptions": [
                {**asdict(one), "depends_on": list(self.descent.get(one.name, ()))} for one in self.assumptions
            ],
            "takes": [asdict(need) for need in self.takes],
        }  # fmt: skip


@dataclass(frozen=True)
class Reproductions:
    """Every requested document."""

    documents: tuple[Reproduction, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``gpuhours reproduce --json``."""
        return envelope("reproduce", {"documents": [document.to_dict() for document in self.documents]})


def judged(finding: Finding, stated: Spread | None, words: str = "") -> Finding:
    """A finding compared with a statement: its range, how far outside it is, the verdict. No verdict without a statement."""
    if stated is None:
        return finding
    low, high = stated.low * (1 - LEAST), stated.high * (1 + LEAST)
    beside = replace(finding, published=stated.centre, stated=words, stated_low=stated.low, stated_high=stated.high)
    if not finding.possible:
        return replace(beside, verdict=CONTRADICTED)
    if finding.computed is None:
        return replace(beside, verdict=NOT_DETERMINED)
    value = finding.computed
    below, above = (value, value) if finding.low is None or finding.high is None else (finding.low, finding.high)
    below, above = min(below, value), max(above, value)
    apart = 1.0 if value == stated.centre else _gap_factor(low, high, below, above)
    wide = below <= 0 or above / below > OPEN
    verdict = CONTRADICTED if apart > 1 else NOT_DETERMINED if wide and value != stated.centre else AGREES
    reason = finding.reason
    if verdict == NOT_DETERMINED and not reason:
        reason = f"left open by a factor of {above / max(below, 1e-300):.2g}"
    error = value / stated.centre - 1 if stated.centre else None
    return replace(beside, relative_error=error, outside=apart, verdict=verdict, reason=reason)


def _gap_factor(low: float, high: float, below: float, above: float) -> float:
    """The ratio of the nearest ends of two ranges; 1 if they overlap."""
    if low <= above and below <= high:
        return 1.0
    return (low / above if low > above else below / high) if min(above, high) > 0 else math.inf
