"""A bill: quantity x rate = amount, line by line, each with its source; a total that is not known has a reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from functools import reduce
from typing import Any

import numpy as np

from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.durations import HOUR, MONTH
from gpuhours.inputs.records import dataclass

GB_MONTH = 1e9 * MONTH
"""Byte-seconds of a gigabyte stored for a month."""
TOTALS = ("cost", "energy", "carbon", "embodied_carbon")
"""The totals of a bill, each the sum of its lines."""

UNIT_SIZES: Mapping[str, float] = {
    "GPU*hour": HOUR, "kWh": 3.6e6, "": 1.0, "kW/GPU": 1e3, "USD": 1.0, "kgCO2e": 1e3, "GB": 1e9,
    "USD/(GPU*hour)": 1 / HOUR, "gCO2e/kWh": 1 / 3.6e6, "USD/kWh": 1 / 3.6e6, "GB*month": GB_MONTH,
    "USD/(GB*month)": 1 / GB_MONTH, "USD/GB": 1e-9, "gCO2e/(GPU*hour)": 1 / HOUR,
}  # fmt: skip
"""Size in SI units of each unit shown in a bill."""

JSON_UNITS: Mapping[str, tuple[str, float]] = {
    "kWh": ("Wh", 3600.0), "kW/GPU": ("watt/GPU", 1.0), "kgCO2e": ("tCO2e", 1e6), "GB": ("byte", 1.0), "USD/GB": ("USD/byte", 1.0),
    "gCO2e/kWh": ("tCO2e/Wh", 1e6 / 3600), "USD/kWh": ("USD/Wh", 1 / 3600), "gCO2e/(GPU*hour)": ("tCO2e/(GPU*hour)", 1e6 / 3600),
}  # fmt: skip
"""Units of a bill that differ in JSON, with their size in SI units."""

Range = tuple[float, float, float]
"""10th percentile, value, 90th percentile."""


@dataclass(frozen=True, eq=False)
class Amount:
    """A number in SI units, with the unit it is shown in."""

    si: Array
    unit: str

    @property
    def value(self) -> Array:
        """The number in ``unit``."""
        return np.divide(self.si, UNIT_SIZES[self.unit])

    def to_dict(self) -> dict[str, Any]:
        """Value and unit, in the units of all JSON documents."""
        unit, size = JSON_UNITS.get(self.unit, (self.unit, UNIT_SIZES[self.unit]))
        return {"value": np.divide(self.si, size), "unit": unit}


@dataclass(frozen=True, eq=False)
class Line:
    """One line of a bill: quantity x rate = amount."""

    result: str
    """One of ``TOTALS``."""
    name: str
    quantity: Amount
    rate: Amount
    amount: Amount
    terms: str
    """What the rate applies to, in a few words: ``AWS on-demand 2026-10``, ``0.85 of 700 W``."""
    source: str
    partial: bool = True
    """Whether the amount is added to its total; if not, the line is a subtotal of the lines before it."""

    def to_dict(self) -> dict[str, Any]:
        """The line as JSON."""
        numbers = {key: getattr(self, key).to_dict() for key in ("quantity", "rate", "amount")}
        words = {"terms": self.terms, "source": self.source}
        return {"result": self.result, "name": self.name, **numbers, **words}


@dataclass(frozen=True, eq=False)
class Bill:
    """The cost, energy and carbon of a run. A total is None if an input is not known; ``reasons`` says which."""

    lines: tuple[Line, ...] = ()
    cost: Array | None = None
    """USD"""
    energy: Array | None = None
    """J"""
    carbon: Array | None = None
    """gCO2e of the electricity"""
    embodied_carbon: Array | None = None
    """gCO2e: the run's share of the emissions of manufacturing the machines"""
    assumptions: tuple[Assumption, ...] = ()
    ranges: Mapping[str, Range] = field(default_factory=dict)
    """Assumed keys and their ranges, in SI units."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Name of a total that is None -> the reason."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """One warning for each reason why totals are missing."""
        by_reason: dict[str, list[str]] = {}
        for result, reason in self.reasons.items():
            by_reason.setdefault(reason, []).append(result)
        return tuple(f"not determined: {', '.join(results)}; {reason}" for reason, results in by_reason.items())

    def to_dict(self) -> dict[str, Any]:
        """The bill as JSON: the lines, each with its units."""
        return {"lines": [line.to_dict() for line in self.lines], "reasons": dict(self.reasons)}


def joined(parts: Iterable[Bill]) -> Bill:
    """Several bills as one, with totals added; a total that is not known in one of them is not known in the sum."""
    parts = tuple(parts)
    reasons = {result: reason for part in parts for result, reason in part.reasons.items()}

    def added(name: str) -> Array | None:
        known = [value for part in parts if (value := getattr(part, name)) is not None]
        if name in reasons or not known:
            return None
        return reduce(np.add, known)

    return Bill(
        lines=tuple(line for part in parts for line in part.lines),
        **{name: added(name) for name in TOTALS},
        assumptions=tuple(dict.fromkeys(assumption for part in parts for assumption in part.assumptions)),
        ranges={key: value for part in parts for key, value in part.ranges.items()},
        reasons=reasons,
    )


def unknown(reason: str, *results: str) -> Bill:
    """An empty bill that gives ``reason`` for the missing totals ``results``."""
    return Bill(reasons=dict.fromkeys(results, reason))
