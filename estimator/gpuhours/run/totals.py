"""The totals of a run: any sufficient subset determines the rest.

Every identity is a product. Identities with a single unknown are solved for it, repeatedly, until nothing changes. Totals that remain
unknown are reported; redundant values must agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gpuhours.inputs.arrays import Array
from gpuhours.inputs.records import dataclass
from gpuhours.run.identities import IDENTITIES, Identity

TOLERANCE = 1e-6
"""Relative difference up to which the two sides of an identity agree."""
UNITS: Mapping[str, str] = {
    "samples": "sample", "global_batch": "sample", "dataset_samples": "sample", "steps": "step", "epochs": "epoch",
    "tokens": "token", "tokens_per_sample": "token/sample", "model_flops": "FLOP", "model_flops_per_step": "FLOP",
    "hardware_flops_per_step": "FLOP", "flops_per_sample": "FLOP/sample", "hardware_flops_per_sample": "FLOP/sample",
    "step_time": "second", "productive_time": "second", "wall_clock": "second", "gpu_hours": "GPU*hour", "gpus": "GPU",
    "peak": "FLOP/second/GPU", "tokens_per_second_per_gpu": "token/second/GPU", "mfu": "", "hfu": "", "goodput": "",
}  # fmt: skip
"""The unit of each total."""
SOLVED: tuple[Identity, ...] = tuple(
    one
    for one in IDENTITIES
    if isinstance(one, Identity) and one.use != "published" and one.exponents.keys() <= UNITS.keys()
)
"""The identities between totals."""


@dataclass(frozen=True)
class Solved:
    """One total, its origin, and its inputs."""

    value: Array
    basis: str
    equation: str = ""
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Conflict:
    """An identity whose quantities are all known but do not agree: product / constant is ``factor`` instead of 1."""

    identity: Identity
    factor: Array


@dataclass(frozen=True)
class Totals:
    """Everything that follows from the known values."""

    values: Mapping[str, Solved]
    conflicts: tuple[Conflict, ...]

    def value(self, name: str) -> Any:
        """The value of one total, or None if it is not determined."""
        solved = self.values.get(name)
        return None if solved is None else solved.value

    def roots(self, names: Iterable[str]) -> tuple[str, ...]:
        """The totals from which those in ``names`` are ultimately derived: those that were not solved by an identity."""
        roots: dict[str, None] = {}
        queue = list(names)
        seen: set[str] = set()
        while queue:
            name = queue.pop(0)
            solved = self.values.get(name)
            if solved is None or name in seen:
                continue
            seen.add(name)
            if solved.basis == "solved":
                queue += solved.inputs
            else:
                roots[name] = None
        return tuple(roots)

    @property
    def plainest(self) -> Conflict:
        """The conflict that involves the fewest solved values."""
        return min(
            self.conflicts, key=lambda one: sum(self.values[name].basis == "solved" for name in one.identity.exponents)
        )


KEYS: Mapping[str, str] = {
    "tokens": "data.tokens", "samples": "data.samples", "epochs": "data.epochs", "steps": "data.steps",
    "dataset_samples": "data.dataset_samples", "tokens_per_sample": "data.seq_len", "global_batch": "training.global_batch",
    "flops_per_sample": "model", "hardware_flops_per_sample": "layout.recompute", "peak": "hardware.accelerator",
    "gpus": "hardware.gpus", "mfu": "known.mfu", "gpu_hours": "known.gpu_hours", "wall_clock": "known.days",
    "step_time": "known.step_time", "goodput": "known.goodput",
}  # fmt: skip
"""The key of a run at which each total can be stated."""

WANTED = ("tokens", "steps", "mfu", "step_time", "gpus", "wall_clock", "gpu_hours")
"""The totals that users ask for."""


def undetermined(totals: Totals, wanted: Iterable[str] = WANTED) -> str | None:
    """A message that names the undetermined ones of the wanted totals, and the keys of which one more value would determine most of them
    (found by trying each key); None if all are determined."""
    names = [name for name in wanted if name not in totals.values]
    if not names:
        return None
    known = dict.fromkeys((*totals.values, "goodput"), (1.0, "given"))
    settled = {}
    for supposed in KEYS.keys() - totals.values.keys():
        more = solve({**known, supposed: (1.0, "given")}).values
        settled[supposed] = sum(name in more for name in names)
    most = max(settled.values())
    keys = [key for name, key in KEYS.items() if settled.get(name) == most]
    open_totals = ", ".join(names)
    some = "one" if most == len(names) else "for some of them, one"
    return f"not determined: {open_totals}; {some} of {', '.join(keys)} would determine them"


def solve(
    known: Mapping[str, tuple[Array, str]],
    identities: Iterable[Identity] = SOLVED,
    tolerance: float = TOLERANCE,
) -> Totals:
    """Solve the identities from ``known``: name -> (value, basis: given, predicted or assumed).

    Identities are tried in order until none has exactly one unknown. Identities whose quantities are all known but disagree by more than
    ``tolerance`` are returned as conflicts.
    """
    solved = {name: Solved(value, basis) for name, (value, basis) in known.items() if value is not None}
    used: set[int] = set()
    identities = tuple(identities)
    moved = True
    while moved:
        moved = False
        for index, identity in enumerate(identities):
            unknown = [name for name in identity.exponents if name not in solved]
            if len(unknown) != 1:
                continue
            values = {name: solved[name].value for name in identity.exponents if name in solved}
            solved[unknown[0]] = Solved(identity.solve(unknown[0], values), "solved", identity.text, tuple(values))
            used.add(index)
            moved = True
    conflicts = []
    for index, identity in enumerate(identities):
        if index in used or any(name not in solved for name in identity.exponents):
            continue
        factor = identity.mismatch({name: solved[name].value for name in identity.exponents})
        if np.any(np.abs(factor - 1.0) > tolerance):
            conflicts.append(Conflict(identity, factor))
    return Totals(solved, tuple(conflicts))
