"""The cost of storing data and checkpoints and of egress: dated prices, and the lines of the bill."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from gpuhours.cost.inputs import CostInputs, Storage, read_kept, read_sent
from gpuhours.cost.lines import Amount, Bill, Line, Range, joined, unknown
from gpuhours.cost.prices import read_date
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.profile_folders import Unknown
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.yaml_files import Section, read_yaml, validated

Kind = Literal["object", "parallel", "egress"]


class StoragePrice(Section):
    """One dated price for storage or egress."""

    provider: str
    kind: Kind
    offering: str
    price: str
    as_of: Annotated[str, BeforeValidator(read_date)]
    source: Annotated[str, Field(min_length=4)]
    address: Annotated[str, Field(pattern="^https://")]
    note: str = ""

    @property
    def si(self) -> float:
        """The price in USD per byte and second stored, or per byte sent."""
        return read_sent(self.price) if self.kind == "egress" else read_kept(self.price)

    @property
    def terms(self) -> str:
        """``AWS S3 Standard 2026-11``."""
        return f"{self.provider} {self.offering} {self.as_of}"


class StoragePrices(Section):
    """The file of storage prices."""

    prices: tuple[StoragePrice, ...]


@cache
def storage_prices() -> tuple[StoragePrice, ...]:
    """Every dated price of ``hardware_specs/storage.yaml``."""
    return validated(StoragePrices, read_yaml(Path(str(files("hardware_specs"))) / "storage.yaml")).prices


@dataclass(frozen=True)
class Chosen:
    """A price in SI units, its terms and source, and the range of the known prices if it is their median."""

    si: float
    terms: str
    source: str
    spread: Range | None = None


def choose(kind: Kind, provider: str | None) -> Chosen | Unknown:
    """The provider's price (USD per byte and second stored, or per byte sent); otherwise the median of all known prices of that kind."""
    rows = sorted((row for row in storage_prices() if row.kind == kind), key=lambda row: row.si)
    own = [row for row in rows if provider is not None and row.provider.lower() == provider.lower()]
    if own:
        return Chosen(own[0].si, own[0].terms, f"{own[0].source}, {own[0].address}")
    if not rows:
        return Unknown(f"no price of {kind} storage is known")
    row = rows[(len(rows) - 1) // 2]
    other = "" if provider is None else f"; none of {provider} is known"
    return Chosen(row.si, row.terms + other, f"{row.source}, {row.address}", (rows[0].si, row.si, rows[-1].si))


def keeping(size: Array, seconds: Array, price: Array) -> Array:
    """The cost of storing bytes, USD.

        C = S t p        S  byte    t  s stored    p  USD per byte and second

    >>> round(float(keeping(1e12, 365.25 / 12 * 86400, 0.023e-9 / (365.25 / 12 * 86400))), 6)    # 1 TB for a month
    23.0
    """
    return np.multiply(size, np.multiply(seconds, price))


def storage_bill(inputs: CostInputs, provider: str | None, wall_clock: Array | None, checkpoint: Array | None) -> Bill:
    """Cost in USD of storing data and checkpoints and of egress, for those that the run states.

    ``wall_clock``: s for which data are stored, unless ``kept`` is stated;  ``checkpoint``: bytes of one checkpoint
    """
    asked = inputs.storage
    if asked is None:
        return Bill()
    parts = []
    seconds = wall_clock if asked.kept is None else asked.kept
    if asked.data is not None or asked.checkpoints is not None:
        if seconds is None:
            return unknown("how long data are stored is not known; give cost.storage.kept", "cost")
        if asked.checkpoints is not None and checkpoint is None:
            return unknown("the size of a checkpoint is not known: the model is not", "cost")
        parts += _storage_bills(asked, provider, seconds, checkpoint)
    if asked.egress is not None:
        parts.append(_egress_bill(asked, provider))
    return joined(parts)


def _storage_bills(asked: Storage, provider: str | None, seconds: Array, checkpoint: Array | None) -> list[Bill]:
    sizes: list[tuple[str, Array]] = [] if asked.data is None else [("data kept", asked.data)]
    if asked.checkpoints is not None and checkpoint is not None:
        sizes.append((f"{asked.checkpoints:g} checkpoints kept", np.multiply(asked.checkpoints, checkpoint)))
    chosen = Chosen(asked.price, "given", "given") if asked.price is not None else choose(asked.kind, provider)
    if isinstance(chosen, Unknown):
        return [unknown(chosen.reason, "cost")]
    return [
        _line(
            name,
            Amount(np.multiply(size, seconds), "GB*month"),
            Amount(chosen.si, "USD/(GB*month)"),
            keeping(size, seconds, chosen.si),
            chosen,
        )
        for name, size in sizes
    ]


def _egress_bill(asked: Storage, provider: str | None) -> Bill:
    chosen = (
        Chosen(asked.egress_price, "given", "given") if asked.egress_price is not None else choose("egress", provider)
    )
    if isinstance(chosen, Unknown):
        return unknown(chosen.reason, "cost")
    assert asked.egress is not None
    return _line(
        "egress", Amount(asked.egress, "GB"), Amount(chosen.si, "USD/GB"), np.multiply(asked.egress, chosen.si), chosen
    )


def _line(name: str, quantity: Amount, rate: Amount, cost: Array, chosen: Chosen) -> Bill:
    return Bill((Line("cost", name, quantity, rate, Amount(cost, "USD"), chosen.terms, chosen.source),), cost=cost)
