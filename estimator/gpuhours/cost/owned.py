"""Owned hardware: its cost per hour instead of a rental price."""

from __future__ import annotations

import numpy as np

from gpuhours.cost.inputs import CostInputs, Owned
from gpuhours.cost.lines import Amount, Bill, Line, unknown
from gpuhours.hardware.clusters import Cluster
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.durations import YEAR

YEARS = Assumption(
    "cost.owned.years", 5.0, "year", "straight-line depreciation over the server life that large operators use",
    "annual reports for 2024: Amazon 5 years, Meta 5.5, Alphabet and Microsoft 6; not re-read",
)  # fmt: skip
UTILISATION = Assumption(
    "cost.owned.utilisation", 0.83, "", "share of its life in which a cluster is in use",
    "Kokolis et al. 2025, arXiv:2410.21680: 83 % on RSC-1, 85 % on RSC-2",
)  # fmt: skip
ELECTRICITY = Assumption(
    "cost.owned.electricity", 0.08, "USD/kWh", "industrial price of electricity in the United States",
    "U.S. Energy Information Administration, Electric Power Monthly, average of 2024: 8.1 cents; not re-read",
)  # fmt: skip


def depreciation(capex: Array, years: Array, utilisation: Array) -> Array:
    """Depreciation of an accelerator per second in use, USD/s.

        p = C / (Y u)

    C  USD per accelerator with its share of node and network    Y  depreciation period, s (given in years)    u  share of it in use

    >>> round(float(depreciation(40_000, 5, 0.8)) * 3600, 3)    # USD per hour
    1.141
    """
    return np.divide(capex, np.multiply(np.multiply(years, YEAR), utilisation))


def upkeep(capex: Array, share: Array, utilisation: Array) -> Array:
    """Staff, space, spare parts and contracts per second in use, USD/s.

    p = C s / u        s  share of the capex per second (given per year)

    >>> round(float(upkeep(40_000, 0.1, 0.8)) * 3600, 3)    # a tenth of the capex per year
    0.57
    """
    return np.divide(np.multiply(capex, np.divide(share, YEAR)), utilisation)


def _capex(owned: Owned, cluster: Cluster | None) -> tuple[float, str] | None:
    """The purchase price of an accelerator in USD, given or of its list price, and its source; None if it is not known."""
    if owned.capex is not None:
        return owned.capex, "given"
    bought = None if cluster is None else cluster.accelerator.figures.get("purchase")
    return None if bought is None else (bought.value, f"{bought.source}; {bought.note}")


def _assumed(owned: Owned, capex: float, source: str) -> tuple[Assumption, ...]:
    """The assumptions for what ``owned`` leaves open."""
    usual = ((YEARS, owned.years), (UTILISATION, owned.utilisation), (ELECTRICITY, owned.electricity))
    price = Assumption(
        "cost.owned.capex", capex, "USD", "list price of the card alone, without node and network", source
    )
    return (*((price,) if owned.capex is None else ()), *(one for one, given in usual if given is None))


def owned_bill(gpu_time: Array, cluster: Cluster | None, inputs: CostInputs, energy: Array | None) -> Bill:
    """Depreciation, electricity and, if its share is given, upkeep in USD, for ``gpu_time`` GPU s that consume ``energy`` J."""
    owned = inputs.owned or Owned()
    bought = _capex(owned, cluster)
    if bought is None:
        return unknown("the purchase price of an owned accelerator is not known; give cost.owned.capex", "cost")
    capex, source = bought
    if energy is None:
        return unknown("the electricity of the machines is not known", "cost")
    years = float(YEARS.value) if owned.years is None else owned.years
    use = float(UTILISATION.value) if owned.utilisation is None else owned.utilisation
    lines = [
        _per_hour(
            "depreciation", gpu_time, depreciation(capex, years, use),
            f"{capex:,.0f} USD over {years:g} years at {use:.0%}", source,
        )
    ]  # fmt: skip
    if owned.upkeep is not None:
        terms = f"{owned.upkeep:.0%} of the capex per year"
        lines.append(_per_hour("upkeep", gpu_time, upkeep(capex, owned.upkeep, use), terms, "given"))
    lines.append(_electricity(owned, energy))
    total: Array = 0.0
    for one in lines:
        total = np.add(total, one.amount.si)
    return Bill(tuple(lines), cost=total, assumptions=_assumed(owned, capex, source))


def _per_hour(name: str, gpu_time: Array, rate: Array, terms: str, source: str) -> Line:
    """A line of so many GPU s at a rate in USD per GPU s."""
    paid = Amount(np.multiply(gpu_time, rate), "USD")
    return Line("cost", name, Amount(gpu_time, "GPU*hour"), Amount(rate, "USD/(GPU*hour)"), paid, terms, source)


def _electricity(owned: Owned, energy: Array) -> Line:
    """The line of ``energy`` J at the tariff that is given or assumed."""
    tariff = float(ELECTRICITY.value) / 3.6e6 if owned.electricity is None else owned.electricity
    paid = Amount(np.multiply(energy, tariff), "USD")
    source = "given" if owned.electricity is not None else ELECTRICITY.source
    return Line("cost", "electricity", Amount(energy, "kWh"), Amount(tariff, "USD/kWh"), paid, "owned", source)
