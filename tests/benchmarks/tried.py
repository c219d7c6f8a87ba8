"""One random run as the laws see it."""

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
    """One random run."""

    described: Description
    outcome: Outcome
    rng: random.Random
    asked: dict[str, Outcome | None] = field(default_factory=dict)

    @cached_property
    def run(self) -> Run:
        """Validated."""
        return self.outcome.run

    @property
    def step(self) -> Step:
        """As predicted."""
        assert self.outcome.step is not None
        return self.outcome.step

    @property
    def memory(self) -> Memory:
        """As predicted."""
        assert self.outcome.memory is not None
        return self.outcome.memory

    def with_said(self, *settings: tuple[str, Any]) -> Outcome | None:
        """What it comes to with some keys set; None where that cannot run. Worked out once, however many laws ask."""
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
        """What it comes to without a key."""
        return evaluate(from_dict(said(self.described, (key, None))))
