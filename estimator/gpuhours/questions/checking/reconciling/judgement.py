"""What a search for contradictions has found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field, replace

from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.claim import Assumed
from gpuhours.questions.checking.outcome import ContradictedClaims
from gpuhours.questions.checking.reconciling.reconcile import Fit, Measurement


@dataclass(frozen=True)
class Judgement:
    """The result of a search: contradictions, conditional ones (doubts), and the fit with and without the claims they accuse."""

    contradictions: tuple[ContradictedClaims, ...]
    doubts: tuple[ContradictedClaims, ...]
    suspects: dict[int, tuple[str, ...]]
    """Index of each contradicted claim -> the quantities of its contradiction."""
    doubtful: dict[int, tuple[str, ...]]
    """The same for contradictions that depend on a condition."""
    full: Fit
    fit: Fit
    """The fit without the accused claims; ``full`` includes them."""
    rows: tuple[Measurement, ...]
    """The measurements of ``full``."""
    counted: tuple[Assumed, ...] = ()
    """Numbers of runs, seeds or sites by which a figure for one was multiplied or a figure for all divided."""


@dataclass
class Findings:
    """The contradictions and doubts of a search so far, with the fields of ``Judgement``."""

    contradictions: list[ContradictedClaims] = field(default_factory=list)
    doubts: list[ContradictedClaims] = field(default_factory=list)
    suspects: dict[int, tuple[str, ...]] = field(default_factory=dict)
    doubtful: dict[int, tuple[str, ...]] = field(default_factory=dict)
    counted: list[Assumed] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.contradictions) + len(self.doubts)

    def add(self, found: ContradictedClaims, involved: Iterable[int], condition: str = "") -> None:
        """Record a contradiction between the claims with these indices, or a doubt if it depends on a condition."""
        claims = self.doubtful if condition else self.suspects
        for index in involved:
            claims.setdefault(index, found.claims)
        if condition:
            self.doubts.append(replace(found, condition=condition))
        else:
            self.contradictions.append(found)

    def count(self, said: Assumed, changed: Iterable[int]) -> None:
        """Record a number that figures were multiplied or divided by, and the indices of their claims."""
        self.counted.append(said)
        self.doubtful |= dict.fromkeys(changed, ())
