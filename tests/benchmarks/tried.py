"""A random run with its results, as used by the laws."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from gpuhours.inputs.errors import EstimateError
from gpuhours.memory import Memory
from gpuhours.run.evaluate import Outcome, evaluate
from gpuhours.run.spec import Run, from_dict
from gpuhours.step import Step
from tests.benchmarks.random_runs import Description, said


@dataclass(frozen=True)
class Tried:
    """One random run, its outcome and variations of it."""

    described: Description
    outcome: Outcome
    rng: random.Random
    asked: dict[str, Outcome | None] = field(default_factory=dict)

    @cached_property
    def run(self) -> Run:
        """The validated run."""
        return self.outcome.run

    @property
    def step(self) -> Step:
        """The predicted step."""
        assert self.outcome.step is not None
        return self.outcome.step

    @property
    def memory(self) -> Memory:
        """The predicted memory."""
        assert self.outcome.memory is not None
        return self.outcome.memory

    def with_said(self, *settings: tuple[str, Any]) -> Outcome | None:
        """Return the outcome with some keys set, or None if that run is not possible; results are cached across laws."""
        asked = repr(settings)
        if asked not in self.asked:
            try:
                found: Outcome | None = evaluate(from_dict(said(self.described, *settings)))
            except EstimateError:
                found = None
            runs = found is not None and found.step is not None and bool(found.step.valid)
            self.asked[asked] = found if runs else None
        return self.asked[asked]

    def without(self, key: str) -> Outcome:
        """Return the outcome without a key."""
        return evaluate(from_dict(said(self.described, (key, None))))


ROUNDING = 1e-9
"""Relative difference allowed between two ways of computing the same number."""
