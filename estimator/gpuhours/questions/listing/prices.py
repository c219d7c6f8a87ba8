"""All known dated prices, by accelerator and provider, for ``gpuhours prices``."""

from __future__ import annotations

from typing import Any

from gpuhours.cost.prices import PriceRow, price_rows
from gpuhours.cost.storage import StoragePrice, storage_prices
from gpuhours.hardware.accelerators import list_accelerators, load_accelerator
from gpuhours.hardware.nodes import find_instance
from gpuhours.inputs.durations import HOUR
from gpuhours.inputs.errors import EstimateError, nearest
from gpuhours.inputs.profile_folders import informally_named, plain_name, profile_paths
from gpuhours.inputs.records import dataclass
from gpuhours.questions.envelope import envelope


@dataclass(frozen=True)
class PriceTable:
    """Offers by accelerator, and prices of storage and traffic."""

    offers: dict[str, tuple[PriceRow, ...]]
    """Accelerator -> its offers: by provider, then by terms, the newest first."""
    storage: tuple[StoragePrice, ...]
    unpriced: tuple[str, ...]
    """Requested accelerators without a dated price."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``gpuhours prices``."""
        content = {
            "prices": [{"accelerator": name, **row.to_dict()} for name, rows in self.offers.items() for row in rows],
            "storage": [row.model_dump() for row in self.storage],
            "unpriced": list(self.unpriced),
        }
        return envelope("prices", content)


def price_table(gpu: str | None = None, provider: str | None = None) -> PriceTable:
    """The offers for an accelerator (all that the name may refer to, or an instance's) and of a provider; all if none is named."""
    names, instance = _asked(gpu)
    offers = {
        name: tuple(
            sorted(
                (row for row in price_rows(name) if _fits(row, provider, instance)),
                key=lambda row: (row.provider.lower(), row.terms, row.years or 0, _latest_first(row.as_of), row.price),
            )
        )
        for name in names
    }
    storage = tuple(
        row
        for row in storage_prices()
        if gpu is None and (provider is None or row.provider.lower() == provider.lower())
    )
    if provider is not None and not storage and not any(offers.values()):
        _known_provider(provider, gpu)
    unpriced = tuple(name for name, rows in offers.items() if not rows) if gpu is not None else ()
    return PriceTable({name: rows for name, rows in offers.items() if rows}, storage, unpriced)


def _asked(gpu: str | None) -> tuple[list[str], str]:
    """The accelerators that a name may refer to, and the instance if it is one."""
    if gpu is None:
        return list(profile_paths("prices")), ""
    rented = find_instance(gpu)
    if rented is not None:
        return list(rented.accelerators), rented.instance
    if plain_name(gpu) in list_accelerators():
        return [plain_name(gpu)], ""
    return informally_named("accelerators", gpu) or [load_accelerator(gpu).name], ""


def _fits(row: PriceRow, provider: str | None, instance: str) -> bool:
    same = provider is None or row.provider.lower() == provider.lower()
    return same and (not instance or plain_name(row.offering) == plain_name(instance))


def _latest_first(as_of: str) -> tuple[int, ...]:
    """A sort key with later dates first."""
    return tuple(-int(part) for part in as_of.split("-"))


def _known_provider(provider: str, gpu: str | None) -> None:
    """Raise if no price of a provider is known."""
    known = sorted({row.provider for name in profile_paths("prices") for row in price_rows(name)})
    if provider.lower() not in (name.lower() for name in known):
        hint = nearest(provider, known) or f"Known: {', '.join(known)}."
        raise EstimateError("No price of this provider is known.", hint, f"--provider {provider}")
    if gpu is not None:
        priced = sorted({row.provider for name in _asked(gpu)[0] for row in price_rows(name)})
        known_for = f"Known: {', '.join(priced)}." if priced else "None of any provider is known."
        raise EstimateError(f"{provider} has no dated price for it.", known_for, f"--gpu {gpu}")


def per_hour(row: PriceRow) -> float:
    """USD per GPU-hour."""
    return row.price * HOUR
