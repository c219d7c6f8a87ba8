"""The result of a plan: the best layouts, why the first one is faster, and how flat the optimum is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from gpuhours.inputs.records import dataclass
from gpuhours.layout.choices import Coded, word
from gpuhours.layout.layout import Layout
from gpuhours.questions.envelope import envelope
from gpuhours.questions.html_table import html_table
from gpuhours.questions.planning.space import FIELDS, GIVEN, Space, Values
from gpuhours.run.evaluate import Outcome, evaluate
from gpuhours.run.ranges import middle
from gpuhours.run.results import RESULTS, plain_results
from gpuhours.run.shown import spelt
from gpuhours.run.spec import Run

WITHIN_A_RUN = 0.065
"""Standard deviation of the error in the log ratio of step times of two layouts of one run: it contains two in three of 4,626 pairs of
measured runs with the same source, model, length, batch, accelerators and number format (``gpuhours validate --json``)."""


@dataclass(frozen=True)
class Choice:
    """One layout and the run's results with it."""

    layout: Layout
    outcome: Outcome

    @cached_property
    def results(self) -> Mapping[str, Any]:
        """Every result as a plain number, as in ``estimate``; None if unknown."""
        return plain_results(self.outcome)

    def value(self, name: str) -> float:
        """One result; infinite if unknown, so that it is never the smallest."""
        result = self.results[name]
        return float("inf") if result is None else float(result)

    @property
    def parts(self) -> Mapping[str, float]:
        """Seconds of a step by part."""
        return (
            {}
            if self.outcome.step is None
            else {name: float(middle(value)) for name, value in self.outcome.step.parts.items()}
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of one layout."""
        return {
            "layout": fields_of(self.layout, self.outcome),
            "results": {name: {"value": value, "unit": RESULTS[name].unit} for name, value in self.results.items()},
            "time": [{"part": part, "seconds": seconds} for part, seconds in self.parts.items()],
        }


def choice(run: Run) -> Choice:
    """A run with its layout, evaluated as in ``estimate``."""
    assert run.layout is not None
    return Choice(run.layout, evaluate(run))


def fields_of(layout: Layout, outcome: Outcome) -> dict[str, Any]:
    """A layout as written in a run file, with the data degree that follows."""
    solved = outcome.resolved.layout
    fields: dict[str, Any] = {}
    for name in FIELDS:
        value = getattr(layout, name)
        if value is not None:
            fields[name] = spelt(value)
    fields |= {name: spelt(value) for name in GIVEN if (value := getattr(layout, name))}
    fields["data"] = None if solved is None or solved.data is None else int(middle(solved.data))
    return fields


@dataclass(frozen=True)
class Flatness:
    """The number of layouts within a relative distance ``within`` of the best, and the values of their fields."""

    within: float
    layouts: int
    values: Mapping[str, tuple[Any, ...]]

    @classmethod
    def of(cls, space: Space, cells: Values, inner: Values, within: float) -> Flatness:
        """Computed from the layouts that the search found."""
        one = space.some(cells)
        places = np.unravel_index(inner, space.inner_shape)
        taken = {}
        for name in (
            "tensor",
            "pipeline",
            "interleave",
            "context",
            "expert",
            "microbatch",
            "sharding",
            "recompute",
            "schedule",
        ):
            spread = np.broadcast_to(getattr(one, name), (len(cells), *space.inner_shape))
            values = sorted({int(value) for value in spread[(np.arange(len(cells)), *places)]})
            kind = type(getattr(Layout.model_construct(), name))
            taken[name] = tuple(word(kind, value) if issubclass(kind, Coded) else value for value in values)
        return cls(within, len(cells), taken)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object."""
        return {
            "within": self.within,
            "layouts": self.layouts,
            "values": {name: list(values) for name, values in self.values.items()},
        }


@dataclass(frozen=True, repr=False)
class Plan:
    """The result of a search over all layouts."""

    run: Run
    minimise: str
    space: int
    evaluated: int
    """Layouts whose memory or step was computed."""
    seconds: float
    best: tuple[Choice, ...]
    own: Choice | None
    """The layout given in the run."""
    flatness: Flatness | None

    def __repr__(self) -> str:
        return f"<Plan {self.run.name}: {len(self.best)} best of {self.space:,} layouts by {self.minimise}>"

    def _repr_html_(self) -> str:
        """The notebook view: the non-default keys and the results of the best layouts, with the run's own layout below."""
        shown = [
            *((str(place), one) for place, one in enumerate(self.best, 1)),
            *([("own", self.own)] if self.own else []),
        ]
        laid = [(place, one, fields_of(one.layout, one.outcome)) for place, one in shown]
        plain = fields_of(Layout.model_construct(), self.best[0].outcome) if self.best else {}
        keys = [name for name in FIELDS if any(fields.get(name) != plain.get(name) for _, _, fields in laid)]
        told = tuple(dict.fromkeys((self.minimise, "step_time", "mfu", "memory_per_gpu")))
        head = ["", *keys, *(f"{name}\n{RESULTS[name].unit}" for name in told)]
        rows = [
            (place, *(fields.get(key) for key in keys), *(one.results[name] for name in told))
            for place, one, fields in laid
        ]
        searched = f"{self.space:,} layouts, {self.evaluated:,} worked out in {self.seconds:.2f} s"
        return html_table(head, rows, caption=f"{self.run.name}: least {self.minimise}", notes=(searched,))

    @property
    def pruned(self) -> int:
        """Layouts excluded by a bound or by divisibility."""
        return self.space - self.evaluated

    @property
    def fits(self) -> bool:
        """Whether any layout fits."""
        return bool(self.best)

    def against(self, other: Choice) -> list[tuple[str, float]]:
        """(part, seconds that the other layout takes longer), largest difference first."""
        if not self.best:
            return []
        ours, theirs = self.best[0].parts, other.parts
        more = [(part, theirs.get(part, 0.0) - ours[part]) for part in ours]
        return sorted((pair for pair in more if abs(pair[1]) > 1e-9), key=lambda pair: -abs(pair[1]))

    def odds(self, other: Choice) -> float | None:
        """Probability that the best layout is really better than another one: Phi(ln(theirs / ours) / s); None if either is unknown.

        s is ``WITHIN_A_RUN``, the model's error in the ratio of two layouts of one run.
        """
        ours, theirs = (one.value(self.minimise) for one in (self.best[0], other))
        if not (math.isfinite(ours) and math.isfinite(theirs) and ours > 0 and theirs > 0):
            return None
        return 0.5 * (1 + math.erf(math.log(theirs / ours) / WITHIN_A_RUN / math.sqrt(2)))

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``gpuhours plan --json``."""
        rivals = [("runner-up", self.best[1])] if len(self.best) > 1 else []
        rivals += [("own layout", self.own)] if self.own is not None else []
        content = {
            "minimise": self.minimise,
            "space": self.space,
            "evaluated": self.evaluated,
            "pruned": self.pruned,
            "seconds": self.seconds,
            "best": [one.to_dict() for one in self.best],
            "own": None if self.own is None else self.own.to_dict(),
            "why": [
                {"against": name, "parts": [{"part": part, "seconds": seconds} for part, seconds in self.against(other)]}
                for name, other in rivals
            ] if self.best else [],
            "odds": [{"against": name, "probability": self.odds(other)} for name, other in rivals] if self.best else [],
            "flat": None if self.flatness is None else self.flatness.to_dict(),
        }  # fmt: skip
        return envelope("plan", content)
