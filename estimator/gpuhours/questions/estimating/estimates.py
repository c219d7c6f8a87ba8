"""The estimate of a run: every result with its unit, range and origin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, field
from typing import Any

from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.records import dataclass
from gpuhours.questions.envelope import envelope
from gpuhours.questions.estimating.chances import Chances
from gpuhours.questions.estimating.explanation import Explanation
from gpuhours.questions.html_table import four_digits, html_table
from gpuhours.questions.planning.advice import Advice
from gpuhours.run.band import Band
from gpuhours.run.ensemble import Ensemble
from gpuhours.run.evaluate import Outcome
from gpuhours.run.results import RESULTS
from gpuhours.run.spec import Run
from gpuhours.run.totals import KEYS, undetermined


@dataclass(frozen=True)
class Result:
    """``value`` in ``unit``; ``low`` and ``high`` the 10th and 90th percentile, if there is a range."""

    value: Any
    unit: str
    low: float | None
    high: float | None
    basis: str
    equation: str = ""
    inputs: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of one result."""
        return asdict(self)


@dataclass(frozen=True)
class ByGpus:
    """Duration of a run on a number of accelerators, s."""

    gpus: int
    wall_clock: float
    low: float
    high: float


TOLD = ("wall_clock", "gpu_hours", "mfu", "memory_per_gpu", "cost")
"""The results shown in an estimate's repr."""


@dataclass(frozen=True, repr=False)
class Estimate:
    """Everything known about a run, ready to print."""

    run: Run
    outcome: Outcome
    """The outcome at the centre of every range: plain numbers."""
    results: Mapping[str, Result | None]
    time: Mapping[str, float]
    """Seconds of one step, by part."""
    memory: Mapping[str, float]
    """Bytes of the fullest rank, by part."""
    assumptions: tuple[Assumption, ...]
    warnings: tuple[str, ...]
    band: Band | None
    advice: Advice = field(default_factory=Advice)
    stages: tuple[Estimate, ...] = ()
    """One estimate per stage; the other fields then describe all of them, or the longest."""
    sample: Ensemble | None = None
    """The sampled runs that match the description; None if nothing had to be predicted."""
    by_gpus: tuple[ByGpus, ...] = ()
    """Set if no number of accelerators is stated."""
    draws: Mapping[str, Any] = field(default_factory=dict)
    """Wall-clock time and cost of every draw, if known."""
    chances: Chances | None = None
    """Set if a deadline or budget was given."""
    observed: Explanation | None = None
    """Set if a measured step was given."""

    def __repr__(self) -> str:
        said = [
            f"{name}={four_digits(result.value)} {result.unit}".strip()
            for name in TOLD
            if (result := self.results.get(name)) is not None
        ]
        return f"<Estimate {self.run.name}: {', '.join(said) or 'nothing determined'}>"

    def _repr_html_(self) -> str:
        """The view in a notebook: every determined result with unit, 80 % range and origin."""
        rows = [
            (name, one.value, one.low, one.high, one.unit, one.basis)
            for name, one in self.results.items()
            if one is not None
        ]
        head = ("result", "value", "low", "high", "unit", "basis")
        return html_table(head, rows, caption=self.run.name, notes=self.warnings)

    @property
    def fits(self) -> bool | None:
        """Whether it fits on the fullest rank; None if memory was not computed."""
        result = self.results.get("fits")
        return None if result is None else bool(result.value)

    def _minor_reasons(self) -> Iterator[str]:
        """The reason for each null result that no warning mentions; shown in JSON only."""
        said = " ".join(self.warnings)
        for name, result in self.results.items():
            if result is None and name not in said:
                why = RESULTS[name].absent or "the run lacks the inputs for it"
                reason = undetermined(self.outcome.totals, (name,)) if name in KEYS else None
                yield reason or f"not determined: {name}; {why}"

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``gpuhours estimate --json``."""
        return envelope("estimate", self.content())

    def content(self) -> dict[str, Any]:
        """The content without its envelope."""
        return {
            "inputs": self.run.stated(),
            "assumptions": [asdict(assumption) for assumption in self.assumptions],
            "results": {name: None if result is None else result.to_dict() for name, result in self.results.items()},
            "time": [{"part": part, "seconds": seconds} for part, seconds in self.time.items()],
            "memory": [{"part": part, "bytes": size} for part, size in self.memory.items()],
            "bill": self.outcome.bill.to_dict(),
            "ways_to_fit": [way.to_dict() for way in self.advice.ways],
            "faster_by": [asdict(change) for change in self.advice.faster],
            "longest_sample": None if self.advice.longest is None else asdict(self.advice.longest),
            "sample": None if self.sample is None else self.sample.to_dict(),
            "chances": None if self.chances is None else self.chances.to_dict(),
            "observed": None if self.observed is None else self.observed.to_dict(),
            "by_gpus": [asdict(one) for one in self.by_gpus],
            "warnings": [*self.warnings, *self._minor_reasons()],
            **(
                {"stages": [{"name": stage.run.name, **stage.content()} for stage in self.stages]}
                if self.stages
                else {}
            ),
        }
