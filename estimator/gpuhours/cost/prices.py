"""Hourly price of an accelerator: dated offers with their terms, and how one is chosen."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from gpuhours.inputs.durations import HOUR
from gpuhours.inputs.profile_folders import Unknown, plain_name, profile_folders
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.units import amount, bare
from gpuhours.inputs.yaml_files import ReadOnce, Section, read_yaml, validated_as

Terms = Literal["on-demand", "capacity-block", "reserved", "marketplace", "spot", "stated"]
PREFERRED: tuple[Terms, ...] = ("on-demand", "capacity-block", "reserved", "marketplace", "stated")
"""The order in which terms are considered if none are requested; never spot, since spot capacity may be withdrawn at any time."""
WORDS: Mapping[str, str] = {"on-demand": "on demand", "capacity-block": "capacity block"}
"""Terms that have another name in prose."""


def _read_price(value: object) -> float:
    """Read ``2.5 USD/hour``, ``2.5 USD/GPU-hour`` or a bare ``2.5`` as USD per GPU and second."""
    return amount(value, "USD/(GPU*hour)" if "GPU" in str(value) else "USD/hour") / HOUR


def read_date(value: object) -> str:
    """Read ``2026-08-15`` or ``2026-08``; raises ``ValueError`` for a price without a date, or for another form."""
    if value is None:
        raise ValueError("a price without a date is a rumour: add `as_of: 2026-08-15`")
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?", str(value)):
        raise ValueError("must be a date: 2026-08-15 or 2026-08")
    return str(value)


PerGpu = Annotated[float, BeforeValidator(_read_price), bare(1 / HOUR)]


class PriceRow(Section):
    """One offer on one day."""

    model_config = ConfigDict(validate_default=True)

    price: PerGpu
    """USD per GPU and second."""
    provider: str
    terms: Terms
    years: Literal[1, 3] | None = None
    """Length of a reservation."""
    upfront: Literal["none", "partial", "all"] | None = None
    """How much of a reservation is paid up front, if known."""
    as_of: Annotated[str, BeforeValidator(read_date)] = Field(default=None)  # type: ignore[assignment]
    source: Annotated[str, Field(min_length=4)]
    address: Annotated[str, Field(pattern="^(https://.*)?$")] = ""
    """Where it was seen, if not on the provider's own page."""
    offering: str = ""
    region: str = ""
    note: str = ""

    @property
    def commitment(self) -> str:
        """The terms in full: ``reserved for 3 years, paid up front``."""
        words = WORDS.get(self.terms, self.terms)
        if self.years is not None:
            words += f" for {self.years} year{'s' if self.years > 1 else ''}"
        paid = {"all": ", paid up front", "partial": ", paid partly up front", "none": ", paid hourly"}
        return words + (paid[self.upfront] if self.upfront else "")

    @property
    def name(self) -> str:
        """``AWS p5.48xlarge, on demand, 2026-10``."""
        offer = " ".join(part for part in (self.provider, self.offering) if part)
        return ", ".join((offer, self.commitment, self.as_of))

    @property
    def seen_at(self) -> str:
        """The address of the row, otherwise the address of its provider's price page."""
        return self.address or _provider_address(self.provider, self.terms)

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON, USD per GPU-hour."""
        price = {"value": self.price * HOUR, "unit": "USD/(GPU*hour)"}
        return self.model_dump(exclude={"price"}) | price | {"address": self.seen_at, "commitment": self.commitment}


class Provider(Section):
    """The address of a provider's price page; extra keys give separate pages for some terms."""

    model_config = ConfigDict(extra="allow")

    address: Annotated[str, Field(pattern="^https://")]


@dataclass(frozen=True)
class Price:
    """The chosen row, the reason for it, and the price range of the rows it was chosen from."""

    row: PriceRow
    reason: str
    low: float
    high: float
    """USD per GPU and second: the cheapest and most expensive of the rows it was chosen from."""

    def to_dict(self) -> dict[str, Any]:
        """The row, its range and the reason as JSON."""
        spread = {"low": self.low * HOUR, "high": self.high * HOUR}
        return {**self.row.to_dict(), **spread, "reason": self.reason}


@cache
def _provider_address(provider: str, terms: str) -> str:
    """The provider's price page for these terms; empty for one that is not listed."""
    listed = read_yaml(Path(str(files("hardware_specs"))) / "providers.yaml")
    known: Provider | None = validated_as(dict[str, Provider], listed).get(provider)
    if known is None:
        return ""
    return str((known.model_extra or {}).get(terms, known.address))


def price_rows(accelerator: str) -> tuple[PriceRow, ...]:
    """Every dated offer for an accelerator; a user's own file replaces the included one."""
    for folder in profile_folders():
        path = folder / "prices" / f"{accelerator}.yaml"
        if path.is_file():
            return _read(path)
    return ()


@ReadOnce
def _read(path: Path) -> tuple[PriceRow, ...]:
    """One file of ``hardware_specs/prices``: the offers for that accelerator."""
    rows: tuple[PriceRow, ...] = validated_as(tuple[PriceRow, ...], read_yaml(path))
    return rows


def choose_price(
    accelerator: str,
    provider: str | None = None,
    terms: str | None = None,
    years: int | None = None,
    instance: str = "",
) -> Price | Unknown:
    """The median of the newest offers for an accelerator, one per provider, in USD per GPU and second.

    1. Select the rows that match provider, instance, terms and years. If no terms are given, use the first of ``PREFERRED`` that has rows.
       Of reservations, use the shortest.
    2. For each provider, take its newest row, and the cheapest of rows with the same date.
    3. Of these, take the median by price (the lower of the two middle ones).

    Offers with different terms, or reservations of different length, are never ranked together.
    """
    rows = price_rows(accelerator)
    fitting = [
        row
        for row in rows
        if (provider is None or row.provider.lower() == provider.lower())
        and (not instance or plain_name(row.offering) == plain_name(instance))
        and (years is None or row.years == years)
    ]
    kinds = (terms,) if terms else PREFERRED
    kind = next((kind for kind in kinds if any(row.terms == kind for row in fitting)), None)
    if kind is None:
        return Unknown(_missing(accelerator, rows, provider, terms, years, instance))
    alike = [row for row in fitting if row.terms == kind]
    shortest = min((row.years or 0) for row in alike)
    newest: dict[str, PriceRow] = {}
    for row in sorted((row for row in alike if (row.years or 0) == shortest), key=lambda row: row.price, reverse=True):
        if row.provider not in newest or row.as_of >= newest[row.provider].as_of:
            newest[row.provider] = row
    offers = sorted(newest.values(), key=lambda row: (row.price, row.provider))
    chosen = offers[(len(offers) - 1) // 2]
    what = WORDS.get(kind, kind) + (f" {shortest}-year" if shortest else "")
    several = f"the middle of {len(offers)} {what} offers, the newest of each provider"
    reason = several if len(offers) > 1 else f"the only {what} offer known"
    return Price(chosen, reason, offers[0].price, offers[-1].price)


def _missing(
    accelerator: str,
    rows: tuple[PriceRow, ...],
    provider: str | None,
    terms: str | None,
    years: int | None,
    instance: str,
) -> str:
    """A message that says why no price was chosen, and which prices are known."""
    bound = None if years is None else f"{years}-year"
    asked = "".join(f" {word}" for word in (provider, instance, bound, terms) if word)
    known = sorted({f"{row.provider} {row.commitment}" for row in rows})
    hint = f"Known: {'; '.join(known)}." if known else "Give one: 2.5 USD/GPU-hour."
    return f"no dated{asked} price of {accelerator} is known. {hint}"
