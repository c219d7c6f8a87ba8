"""What an hour of an accelerator costs: dated rows, and how one of them is chosen."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, RootModel

from gpuhours.inputs.errors import UnitError
from gpuhours.inputs.profile_folders import Unknown, profile_folders
from gpuhours.inputs.units import parse
from gpuhours.inputs.yaml_files import read_yaml, validated

Terms = Literal["on-demand", "capacity-block", "reserved", "marketplace", "spot", "stated"]
PREFERRED: tuple[Terms, ...] = ("on-demand", "capacity-block", "reserved", "marketplace", "stated")
"""Which terms are taken when none are asked for; never spot, which may be withdrawn at any time."""

SECONDS_PER_HOUR = 3600.0


def read_price(value: object) -> float:
    """``2.5 USD/hour``, ``2.5 USD/GPU-hour`` or a bare ``2.5`` -> USD per GPU and second."""
    price = parse(value, "USD/(GPU*hour)" if "GPU" in str(value) else "USD/hour")
    if price < 0:
        raise UnitError("must be at least 0")
    return price / SECONDS_PER_HOUR


def read_date(value: object) -> str:
    """``2026-08-15`` or ``2026-08``; a price without a date is refused."""
    if value is None:
        raise ValueError("a price without a date is a rumour: add `as_of: 2026-08-15`")
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?", str(value)):
        raise ValueError("must be a date: 2026-08-15 or 2026-08")
    return str(value)


PerGpu = Annotated[float, BeforeValidator(read_price)]


class PriceRow(BaseModel):
    """One offer on one day."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    price: PerGpu
    """USD per GPU and second."""
    provider: str
    terms: Terms
    as_of: Annotated[str, BeforeValidator(read_date)] = Field(default=None)  # type: ignore[assignment]
    source: Annotated[str, Field(min_length=4)]
    offering: str = ""
    region: str = ""
    note: str = ""

    @property
    def name(self) -> str:
        """``AWS p5.48xlarge, on-demand, 2026-10``."""
        return ", ".join((" ".join(part for part in (self.provider, self.offering) if part), self.terms, self.as_of))

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON, USD per GPU-hour."""
        price = {"value": self.price * SECONDS_PER_HOUR, "unit": "USD/(GPU*hour)"}
        return self.model_dump(exclude={"price"}) | price


class PriceList(RootModel[tuple[PriceRow, ...]]):
    """One file of ``hardware_specs/prices``: the offers for the accelerator of that name."""


@dataclass(frozen=True)
class Price:
    """The row that was chosen, why, and how far its like were apart."""

    row: PriceRow
    reason: str
    low: float
    high: float
    """USD per GPU and second: the cheapest and dearest of the rows it was chosen among."""

    def to_dict(self) -> dict[str, Any]:
        """The row, its range and the reason as JSON."""
        spread = {"low": self.low * SECONDS_PER_HOUR, "high": self.high * SECONDS_PER_HOUR}
        return {**self.row.to_dict(), **spread, "reason": self.reason}


def price_rows(accelerator: str) -> tuple[PriceRow, ...]:
    """Every dated offer for an accelerator; a user's own file replaces ours."""
    for folder in profile_folders():
        path = folder / "prices" / f"{accelerator}.yaml"
        if path.is_file():
            return _read(path)
    return ()


@cache
def _read(path: Path) -> tuple[PriceRow, ...]:
    return validated(PriceList, read_yaml(path)).root


def choose_price(accelerator: str, provider: str | None = None, terms: str | None = None) -> Price | Unknown:
    """The middle of the newest offers for an accelerator, one per provider.

    1. rows of the provider and terms asked for; without terms, of the first ``PREFERRED`` kind that has one
    2. of each provider its newest row; of rows of one day the cheapest
    3. of those the one in the middle by price (the lower one of two)
    """
    rows = price_rows(accelerator)
    fitting = [row for row in rows if provider is None or row.provider.lower() == provider.lower()]
    kinds = (terms,) if terms else PREFERRED
    kind = next((kind for kind in kinds if any(row.terms == kind for row in fitting)), None)
    if kind is None:
        asked = "".join(f" {word}" for word in (provider, terms) if word)
        known = sorted({f"{row.provider} {row.terms}" for row in rows})
        hint = f"Known: {', '.join(known)}." if known else "Give one: 2.5 USD/GPU-hour."
        return Unknown(f"no dated{asked} price of {accelerator} is known. {hint}")
    newest: dict[str, PriceRow] = {}
    for row in sorted((row for row in fitting if row.terms == kind), key=lambda row: row.price, reverse=True):
        if row.provider not in newest or row.as_of >= newest[row.provider].as_of:
            newest[row.provider] = row
    offers = sorted(newest.values(), key=lambda row: (row.price, row.provider))
    chosen = offers[(len(offers) - 1) // 2]
    several = f"the middle of {len(offers)} {kind} offers, the newest of each provider"
    reason = several if len(offers) > 1 else f"the only {kind} offer known"
    return Price(chosen, reason, offers[0].price, offers[-1].price)
