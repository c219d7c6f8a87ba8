"""The ``cost:`` block of a run: prices, power, grid, storage and owned hardware."""

from typing import Annotated, Literal

from pydantic import BeforeValidator

from gpuhours.cost.lines import GB_MONTH
from gpuhours.cost.prices import PerGpu, Terms
from gpuhours.inputs.errors import UnitError
from gpuhours.inputs.units import Bytes, Count, Fraction, Seconds, amount, bare, measured_in, parse
from gpuhours.inputs.yaml_files import Section


def _read_pue(value: object) -> float:
    """Read a power usage effectiveness: at least 1, since it includes the machines themselves."""
    pue = parse(value, "")
    if not 1.0 <= pue <= 5.0:
        raise UnitError("must be between 1 and 5: power of the building over power of the machines")
    return pue


def _read_year(value: object) -> int:
    """Read a calendar year."""
    year = parse(value, "")
    if year != round(year) or not 1990 <= year <= 2100:
        raise UnitError("must be a year, such as 2025")
    return int(year)


def read_kept(value: object) -> float:
    """``0.023 USD/(GB*month)`` or a bare ``0.023`` -> USD per byte and second. Raises ``UnitError`` out of range or in another unit."""
    return amount(value, "USD/(GB*month)") / GB_MONTH


def read_sent(value: object) -> float:
    """``0.09 USD/GB`` or a bare ``0.09`` -> USD per byte. Raises ``UnitError`` out of range or in another unit."""
    return amount(value, "USD/GB") / 1e9


def _read_electricity(value: object) -> float:
    """``0.08 USD/kWh`` or a bare ``0.08`` -> USD per joule. Raises ``UnitError`` out of range or in another unit."""
    return amount(value, "USD/kWh") / 3.6e6


class Storage(Section):
    """What is stored during the run, and what is sent out of the provider's network."""

    data: Bytes | None = None
    """The data set, and whatever else is stored throughout."""
    checkpoints: Count | None = None
    """Number of stored checkpoints, each of the run's checkpoint size."""
    kind: Literal["object", "parallel"] = "object"
    """An object store, or a parallel file system."""
    price: Annotated[float, BeforeValidator(read_kept), bare(1 / GB_MONTH)] | None = None
    """USD per byte and second; ``0.023 USD/(GB*month)``."""
    kept: Seconds | None = None
    """For how long; the run's wall-clock time by default."""
    egress: Bytes | None = None
    """Bytes sent out of the provider's network."""
    egress_price: Annotated[float, BeforeValidator(read_sent), bare(1e-9)] | None = None
    """USD per byte; ``0.09 USD/GB``."""


class Owned(Section):
    """Owned hardware instead of rented."""

    capex: Annotated[float, measured_in("USD")] | None = None
    """Purchase price of one accelerator with its share of node and network."""
    years: Annotated[float, measured_in("year", most=30)] | None = None
    """Depreciation period."""
    utilisation: Annotated[float, measured_in("", most=1.0)] | None = None
    """Share of those years in which it is in use."""
    electricity: Annotated[float, BeforeValidator(_read_electricity), bare(1 / 3.6e6)] | None = None
    """USD per joule; ``0.08 USD/kWh``."""
    upkeep: Fraction | None = None
    """Staff, space, spare parts and contracts per year, as a share of the capex."""


class CostInputs(Section):
    """The ``cost:`` block of a run; every key is optional. Numbers may be arrays."""

    price: PerGpu | None = None
    """``2.5 USD/GPU-hour``; stored as USD per GPU and second."""
    provider: str | None = None
    terms: Terms | None = None
    years: Count | None = None
    """Length of a reservation in years: 1 or 3."""
    pue: Annotated[float, BeforeValidator(_read_pue)] | None = None
    power: Annotated[float, measured_in("W", most=1e5)] | None = None
    """Mean power of one accelerator, if measured."""
    power_share: Fraction | None = None
    """Mean power of an accelerator relative to its limit."""
    host_share: Fraction | None = None
    """Mean power of hosts, network cards, memory and fans relative to the part of the node's rating left for them."""
    boundary: Literal["node", "accelerators"] = "node"
    """Whose energy counts: whole nodes and their network, or only the accelerators, as in many papers."""
    embodied: Annotated[float, measured_in("gCO2e")] | None = None
    """Emissions of manufacturing one accelerator with its share of the node."""
    lifetime: Seconds | None = None
    """Time in use before a machine is replaced."""
    country: str | None = None
    year: Annotated[int, BeforeValidator(_read_year)] | None = None
    storage: Storage | None = None
    owned: Owned | None = None
