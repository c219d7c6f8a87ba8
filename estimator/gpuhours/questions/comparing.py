"""Compare two runs: which inputs differ, how every result changes, and how much of each change each input causes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.layout.choices import Coded, word
from gpuhours.questions.envelope import envelope
from gpuhours.questions.html_table import four_digits, html_table
from gpuhours.run.default_layout import is_partial
from gpuhours.run.ensemble import settled
from gpuhours.run.evaluate import evaluate
from gpuhours.run.results import RESULTS, plain_results
from gpuhours.run.shortcuts import run_of
from gpuhours.run.shown import SHARE, with_share
from gpuhours.run.spec import Described, Run, of_other_runs

WHOLE = ("model", "cost")
"""Blocks compared as a whole, since their individual keys mean little on their own."""
TOGETHER = (frozenset({"hardware.accelerator", "hardware.node"}),)
"""Keys that can only be changed together."""
SKIPPED = frozenset({"name", "assumptions"})
BARELY = 5e-4
"""Deviation of a factor from 1 that vanishes when four digits are shown."""
Numbers = Mapping[str, float | None]
"""Result name -> value; None if undetermined."""


@dataclass(frozen=True)
class Input:
    """One key or block that differs."""

    key: str
    first: Any
    second: Any


@dataclass(frozen=True)
class InputEffect:
    """The factor by which one input changes a result: when it is changed first, when it is changed last, and the geometric mean of both."""

    key: str
    factor: float
    first: float
    last: float


@dataclass(frozen=True)
class ResultChange:
    """One result of both runs; ``interaction`` is the factor not explained by the product of the causes, 1 if none."""

    name: str
    unit: str
    first: float | None
    second: float | None
    causes: tuple[InputEffect, ...] = ()
    interaction: float | None = None

    @property
    def factor(self) -> float | None:
        """second / first."""
        if self.first is None or self.second is None or not self.first or not self.second:
            return None
        return self.second / self.first


@dataclass(frozen=True, repr=False)
class Comparison:
    """Two runs, their differences, and what causes each difference."""

    first: Run
    second: Run
    inputs: tuple[Input, ...]
    changes: tuple[ResultChange, ...]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        known = {one.name: one.factor for one in self.changes if one.factor is not None}
        changed = [f"{name} x {factor:.4g}" for name, factor in known.items() if abs(factor - 1) > BARELY][:5]
        said = ", ".join(changed) or ("no difference" if known else "nothing to compare")
        return f"<Comparison of {self.first.name} and {self.second.name}: {said}>"

    def _repr_html_(self) -> str:
        """The notebook view: every result that differs between the runs, with the factor and its causes, largest first."""
        names = [
            f"{name} (second)" if name == self.first.name and place else name
            for place, name in enumerate((self.first.name, self.second.name))
        ]
        rows = []
        for one in (change for change in self.changes if change.factor is None or abs(change.factor - 1) > BARELY):
            causes = [cause for cause in one.causes if abs(cause.factor - 1) > BARELY]
            strongest = sorted(causes, key=lambda cause: -abs(math.log(cause.factor)) if cause.factor > 0 else 0.0)
            made = ", ".join(f"{cause.key} x {four_digits(cause.factor)}" for cause in strongest)
            if one.first != one.second:
                rows.append((one.name, one.first, one.second, one.unit, one.factor, made))
        return html_table(("result", *names, "unit", "factor", "from"), rows, notes=self.notes)

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``gpuhours compare --json``."""
        content = {
            "names": [self.first.name, self.second.name],
            "inputs": [{"key": one.key, "a": plain(one.first), "b": plain(one.second)} for one in self.inputs],
            "results": [
                {
                    "name": change.name, "unit": change.unit, "a": change.first, "b": change.second, "factor": change.factor,
                    "change": None if change.factor is None else change.factor - 1, "interaction": change.interaction,
                    "causes": [{"key": one.key, "factor": one.factor, "first": one.first, "last": one.last} for one in change.causes],
                }
                for change in self.changes
            ],
            "notes": list(self.notes),
        }  # fmt: skip
        return envelope("compare", content)


def compare(first: Described, second: Described) -> Comparison:
    """The differences between the inputs, and the change in every result.

    Each input is changed alone from the first run, and changed last to reach the second run. Its factor is the geometric mean of the two
    effects. If inputs interact, the product of their factors differs from the total change; ``interaction`` is the ratio.
    """
    first, second = run_of(first, {}), run_of(second, {})
    inputs = differences(first, second)
    first, second = alike(of_other_runs(first), of_other_runs(second))
    before, after = numbers(first), numbers(second)
    steps, notes = _alone(first, second, inputs)
    notes += _price_notes(first, second)
    changes = []
    for name, value in before.items():
        unit, other = RESULTS[name].unit, after[name]
        change = ResultChange(name, unit, value, other)
        if change.factor is not None and not math.isclose(change.factor, 1, rel_tol=1e-12) and steps:
            causes = _causes(name, value, other, steps)
            product = math.prod(cause.factor for cause in causes)
            change = ResultChange(name, unit, value, other, causes, change.factor / product if product else None)
        changes.append(change)
    return Comparison(first, second, inputs, tuple(changes), notes)


_DATE = re.compile(r" (\d{4}-\d\d(?:-\d\d)?)")


def _price_notes(first: Run, second: Run) -> tuple[str, ...]:
    """Why a cost is missing, or that the runs are priced by different providers, on different terms or at different dates, which alone may
    explain the difference in cost."""
    bills = [evaluate(run).bill for run in (first, second)]
    missing = tuple(
        dict.fromkeys(f"cost not determined: {one.reasons['cost']}" for one in bills if "cost" in one.reasons)
    )
    rents = [next((line.terms for line in one.lines if line.name == "GPU time"), None) for one in bills]
    if missing or None in rents or rents[0] == rents[1] or "given" in rents:
        return missing
    one, other = map(str, rents)
    if _DATE.sub("", one) == _DATE.sub("", other):
        return (f"the prices are of different dates, {one} and {other}; cost.price makes them comparable",)
    return (
        f"the prices are from different offers, {one} and {other}, which explains part of the difference in cost; "
        "cost.provider and cost.terms make them comparable",
    )


def alike(first: Run, second: Run) -> tuple[Run, Run]:
    """Both runs, with everything that neither states set to the value assumed in the first run's estimate."""
    base = settled(first)
    if base is first:
        return first, second
    supplied = dict(second.assumptions)
    for key in ("software", "known.goodput"):
        if key in base.assumptions and first.value(key) is None and second.value(key) is None:
            supplied[key] = base.assumptions[key]
            second = second.replaced(key, base.value(key))
    if SHARE in base.assumptions and not second.hardware.has_network_rate:
        supplied[SHARE] = base.assumptions[SHARE]
        second = with_share(second, base.value(SHARE))
    if is_partial(second.layout) and base.layout is not None and second.layout is not None:
        said = {name: getattr(second.layout, name) for name in second.layout.model_fields_set}
        second = second.replaced("layout", base.layout.replaced(**said))
    return base, second.replaced("assumptions", supplied)


def differences(first: Run, second: Run) -> tuple[Input, ...]:
    """Every key of the run file whose value differs. Blocks in ``WHOLE``, and blocks that only one run has, count as one key."""
    inputs: list[Input] = []
    for name in Run.model_fields:
        if name not in SKIPPED:
            inputs += _differences(name, getattr(first, name), getattr(second, name))
    return tuple(inputs)


def _differences(key: str, one: Any, other: Any) -> list[Input]:
    if one == other:
        return []
    if key in WHOLE or not isinstance(one, BaseModel) or type(one) is not type(other):
        return [Input(key, one, other)]
    return [
        each
        for name in type(one).model_fields
        for each in _differences(f"{key}.{name}", getattr(one, name), getattr(other, name))
    ]


def _alone(
    first: Run, second: Run, inputs: Sequence[Input]
) -> tuple[list[tuple[str, Numbers, Numbers]], tuple[str, ...]]:
    """For each input, the results when only it is changed, and when everything but it is changed.

    Keys that are invalid without each other (a node for another accelerator, degrees for other GPUs) are changed together.
    """
    steps, notes = [], []
    for group in _groups(inputs):
        keys = [one.key for one in group]
        try:
            changed = numbers(_set(first, keys, second))
            kept = numbers(_set(second, keys, first))
        except EstimateError as error:
            notes.append(
                f"{', '.join(keys)} cannot be changed alone ({error.problem.rstrip('.')}): counted as interaction"
            )
            continue
        steps.append((" + ".join(keys), changed, kept))
    return steps, tuple(notes)


def _groups(inputs: Sequence[Input]) -> list[list[Input]]:
    """Inputs one by one, except that those of ``TOGETHER`` are grouped, and degrees of a layout with the number of GPUs."""
    groups: list[list[Input]] = []
    for one in inputs:
        partner = next(
            (group for group in groups if any({one.key, other.key} <= pair for other in group for pair in TOGETHER)),
            None,
        )
        if partner is None:
            groups.append([one])
        else:
            partner.append(one)
    return groups


def _set(run: Run, keys: Sequence[str], source: Run) -> Run:
    for key in keys:
        run = run.replaced(key, source.value(key))
    return run


def _causes(
    name: str, first: float | None, second: float | None, steps: Sequence[tuple[str, Numbers, Numbers]]
) -> tuple[InputEffect, ...]:
    """The factor of each input on one result, largest effect first."""
    causes = []
    for key, changed, kept in steps:
        alone, without = changed[name], kept[name]
        if not first or not second or not alone or not without:
            continue
        once, last = alone / first, second / without
        if not (math.isclose(once, 1, rel_tol=1e-9) and math.isclose(last, 1, rel_tol=1e-9)):
            causes.append(InputEffect(key, math.sqrt(once * last), once, last))
    return tuple(sorted(causes, key=lambda cause: -abs(math.log(cause.factor))))


def numbers(run: Run) -> Numbers:
    """Every result of a run."""
    return plain_results(evaluate(run))


def plain(value: Any) -> Any:
    """The JSON form of an input value."""
    if isinstance(value, Coded):
        return word(type(value), value)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    return value
