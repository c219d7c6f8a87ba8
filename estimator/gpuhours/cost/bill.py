"""From GPU time to money, energy and carbon: quantity x unit = amount, each line with its source.

What is left out: storage, traffic, people, embodied carbon, failed and trial runs. Energy is that of the
accelerators (``boundary: accelerators``, as papers report it) or of whole nodes (``node``), times PUE.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator

from gpuhours.cost.prices import SECONDS_PER_HOUR, PerGpu, Terms, choose_price
from gpuhours.hardware.clusters import Cluster
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.errors import UnitError
from gpuhours.inputs.profile_folders import Unknown
from gpuhours.inputs.units import Fraction, Watts, parse
from gpuhours.inputs.yaml_files import Block

POWER_SHARE = Assumption(
    "cost.power_share", 0.85, "",
    "mean draw over board power while steps run; training seldom holds the limit all the time",
    "Morrison et al. 2025, arXiv:2503.05804: over 600 W of an H100's 700; 222 training steps timed on four "
    "H200: median 612 W of 700, 0.87",
)  # fmt: skip
NODE_SHARE = Assumption(
    "cost.power_share", 0.76, "",
    "mean draw of a whole node over its rating, at most",
    "arXiv:2412.08602: a node of 8 H100 under training loads",
)  # fmt: skip
PUE = Assumption(
    "cost.pue", 1.2, "",
    "power of the building over power of the machines; papers state 1.08 to 1.2",
    "OLMo 2, arXiv:2501.00656, table 19 (1.12 and 1.2); Luccioni et al. 2022, arXiv:2211.02001 (1.2); "
    "Patterson et al. 2021, arXiv:2104.10350, table 4 (1.09 to 1.12)",
)  # fmt: skip


def read_pue(value: object) -> float:
    """A power usage effectiveness: at least 1, since the machines themselves count."""
    pue = parse(value, "")
    if not 1.0 <= pue <= 5.0:
        raise UnitError("must lie between 1 and 5: power of the building over power of the machines")
    return pue


def read_year(value: object) -> int:
    """A calendar year."""
    year = parse(value, "")
    if year != round(year) or not 1990 <= year <= 2100:
        raise UnitError("must be a year, such as 2025")
    return int(year)


class CostInputs(Block):
    """The ``cost:`` block of a run; everything may be left out. Numbers may be arrays."""

    price: PerGpu | None = None
    """``2.5 USD/GPU-hour``; USD per GPU and second inside."""
    provider: str | None = None
    terms: Terms | None = None
    pue: Annotated[float, BeforeValidator(read_pue)] | None = None
    power: Watts | None = None
    """Mean draw of one accelerator, where it was measured."""
    power_share: Fraction | None = None
    boundary: Literal["accelerators", "node"] = "accelerators"
    country: str | None = None
    year: Annotated[int, BeforeValidator(read_year)] | None = None


def money(gpu_time: Array, price: Array) -> Array:
    """What renting the accelerators costs, USD.

        C = t p

    t  GPU s rented, stops included        p  USD per GPU and second

    Leaves out storage, traffic and people; errs low by those.
    """
    return np.multiply(gpu_time, price)


def machine_energy(gpu_time: Array, power: Array, share: Array) -> Array:
    """Electricity that the machines draw, J.

        E = t P u

    t  GPU s        P  W per accelerator: board power, or the node's rating over its GPUs
    u  mean draw over P

    With board power alone the host, its network cards and fans are left out: 8 accelerators are rated at
    about half of a node (DGX A100 3.2 of 6.5 kW, DGX H100 5.6 of 10.2, DGX B200 8 of 14.3). Stops are taken
    to draw as much as steps; a checkpoint draws about 0.15 P (Morrison et al. 2025, arXiv:2503.05804).
    """
    return np.multiply(gpu_time, np.multiply(power, share))


def building_energy(machines: Array, pue: Array) -> Array:
    """Electricity of the building, J.

        E_b = E PUE

    E  J drawn by the machines        PUE  power usage effectiveness (ISO/IEC 30134-2)
    """
    return np.multiply(machines, pue)


def carbon(energy: Array, intensity: Array) -> Array:
    """Emissions of the electricity, gCO2e.

        M = E g

    E  J of the building        g  gCO2e per J, the average of a country's production over a year, life cycle

    Location-based: certificates bought for the site change nothing here. Leaves out making the hardware.
    """
    return np.multiply(energy, intensity)


UNIT_SIZES: Mapping[str, float] = {
    "GPU*hour": SECONDS_PER_HOUR, "kWh": 3.6e6, "": 1.0, "kW/GPU": 1e3, "USD": 1.0, "kgCO2e": 1e3,
    "USD/(GPU*hour)": 1 / SECONDS_PER_HOUR, "gCO2e/kWh": 1 / 3.6e6,
}  # fmt: skip
"""The units people read a bill in, and how many SI units one of them is."""


@dataclass(frozen=True, eq=False)
class Amount:
    """A number in SI units, and the unit people read it in."""

    si: Array
    unit: str

    @property
    def value(self) -> Array:
        """The number in ``unit``."""
        return np.divide(self.si, UNIT_SIZES[self.unit])

    def to_dict(self) -> dict[str, Any]:
        """Value and unit."""
        return {"value": self.value, "unit": self.unit}


@dataclass(frozen=True, eq=False)
class Line:
    """One line of a bill: quantity x rate = amount."""

    result: str
    """cost, energy or carbon"""
    name: str
    quantity: Amount
    rate: Amount
    amount: Amount
    terms: str
    """What the rate holds for, in a few words: ``AWS on-demand 2026-10``, ``0.85 of 700 W``."""
    source: str

    def to_dict(self) -> dict[str, Any]:
        """The line as JSON."""
        numbers = {key: getattr(self, key).to_dict() for key in ("quantity", "rate", "amount")}
        words = {"terms": self.terms, "source": self.source}
        return {"result": self.result, "name": self.name, **numbers, **words}


@dataclass(frozen=True, eq=False)
class Bill:
    """What a run costs. A total is None where something is not known; ``warnings`` say what."""

    lines: tuple[Line, ...] = ()
    cost: Array | None = None
    """USD"""
    energy: Array | None = None
    """J"""
    carbon: Array | None = None
    """gCO2e"""
    assumptions: tuple[Assumption, ...] = ()
    reasons: Mapping[str, str] | None = None
    """Why a total is None, by its name."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why what is missing is missing."""
        by_reason: dict[str, list[str]] = {}
        for result, reason in (self.reasons or {}).items():
            by_reason.setdefault(reason, []).append(result)
        return tuple(f"not determined: {', '.join(results)}; {reason}" for reason, results in by_reason.items())

    def to_dict(self) -> dict[str, Any]:
        """The bill as JSON."""
        return {
            "lines": [line.to_dict() for line in self.lines],
            "cost": {"value": self.cost, "unit": "USD"},
            "energy": {"value": self.energy, "unit": "J"},
            "carbon": {"value": self.carbon, "unit": "gCO2e"},
            "assumptions": [assumption.to_dict() for assumption in self.assumptions],
            "reasons": dict(self.reasons or {}),
        }


def bill(gpu_time: Array | None, cluster: Cluster | None, inputs: CostInputs) -> Bill:
    """Money, energy and carbon of ``gpu_time`` GPU s on a cluster, as far as they are known."""
    if gpu_time is None:
        return Bill(reasons=dict.fromkeys(("cost", "energy", "carbon"), "the GPU-hours are not"))
    charge = _charge(gpu_time, cluster, inputs)
    energy = _energy(gpu_time, cluster, inputs)
    emitted = _carbon(energy.energy, inputs)
    parts = (charge, energy, emitted)
    return Bill(
        lines=tuple(line for part in parts for line in part.lines),
        cost=charge.cost,
        energy=energy.energy,
        carbon=emitted.carbon,
        assumptions=tuple(assumption for part in parts for assumption in part.assumptions),
        reasons={result: reason for part in parts for result, reason in (part.reasons or {}).items()},
    )


def _charge(gpu_time: Array, cluster: Cluster | None, inputs: CostInputs) -> Bill:
    """Money: the price given, or one from the dated lists."""
    assumptions: tuple[Assumption, ...] = ()
    price, terms, source = inputs.price, "given", "given"
    if price is None:
        if cluster is None:
            return Bill(reasons={"cost": "neither a price nor an accelerator is given"})
        chosen = choose_price(cluster.accelerator.name, inputs.provider, inputs.terms)
        if isinstance(chosen, Unknown):
            return Bill(reasons={"cost": chosen.reason})
        price, row = chosen.row.price, chosen.row
        terms, source = f"{row.provider} {row.terms} {row.as_of}", f"{row.name}: {row.source}"
        low, high = chosen.low * SECONDS_PER_HOUR, chosen.high * SECONDS_PER_HOUR
        reason = f"{row.name}; {chosen.reason} ({low:.2f} to {high:.2f})"
        assumptions = (Assumption("cost.price", price * SECONDS_PER_HOUR, "USD/(GPU*hour)", reason, row.source),)
    cost = money(gpu_time, price)
    hours, hourly = Amount(gpu_time, "GPU*hour"), Amount(price, "USD/(GPU*hour)")
    line = Line("cost", "GPU time", hours, hourly, Amount(cost, "USD"), terms, source)
    return Bill((line,), cost=cost, assumptions=assumptions)


def _energy(gpu_time: Array, cluster: Cluster | None, inputs: CostInputs) -> Bill:
    """Energy: mean draw of the accelerators or of whole nodes, times PUE."""
    draw = mean_draw(cluster, inputs)
    if isinstance(draw, Unknown):
        return Bill(reasons={"energy": draw.reason})
    assumptions = draw.assumptions
    pue, pue_source = inputs.pue, "given"
    if pue is None:
        pue, pue_source = float(PUE.value), PUE.source
        assumptions = (*assumptions, PUE)
    machines = machine_energy(gpu_time, draw.power, draw.share)
    energy = building_energy(machines, pue)
    hours, mean = Amount(gpu_time, "GPU*hour"), Amount(np.multiply(draw.power, draw.share), "kW/GPU")
    drawn, used = Amount(machines, "kWh"), Amount(energy, "kWh")
    lines = (
        Line("energy", draw.name, hours, mean, drawn, draw.terms, draw.source),
        Line("energy", "building (PUE)", drawn, Amount(pue, ""), used, "PUE", pue_source),
    )
    return Bill(lines, energy=energy, assumptions=assumptions)


@dataclass(frozen=True, eq=False)
class Draw:
    """What draws power, and how much."""

    name: str
    power: Array
    """W per GPU"""
    share: Array
    """mean draw over ``power``"""
    terms: str
    source: str
    assumptions: tuple[Assumption, ...] = ()


def mean_draw(cluster: Cluster | None, inputs: CostInputs) -> Draw | Unknown:
    """The mean draw of an accelerator or of its part of a node: measured, or a share of the rating."""
    if inputs.power is not None:
        return Draw("accelerators", inputs.power, 1.0, "measured", "given")
    if cluster is None:
        return Unknown("no accelerator is given")
    whole = inputs.boundary == "node"
    profile, usual = (cluster.node, NODE_SHARE) if whole else (cluster.accelerator, POWER_SHARE)
    if profile.power is None:
        advice = "cost.boundary accelerators leaves it out" if whole else "give cost.power"
        return Unknown(f"the power of {profile.title} is not known; {advice}")
    power = profile.power / cluster.node.gpus if whole else profile.power
    name, source = "nodes" if whole else "accelerators", profile.figures["power"].source
    if inputs.power_share is not None:
        share = inputs.power_share
        return Draw(name, power, share, f"a share of {power:g} W", f"{source}; share of it given")
    share, source = float(usual.value), f"{source}; share of it: {usual.source}"
    return Draw(name, power, share, f"{share:g} of {power:g} W", source, (usual,))


def _carbon(energy: Array | None, inputs: CostInputs) -> Bill:
    """Carbon: the energy times the grid's intensity."""
    if energy is None:
        return Bill(reasons={"carbon": "the energy is not"})
    if inputs.country is None:
        return Bill(reasons={"carbon": "no country is given, so the grid is not known"})
    from gpuhours.cost.grids import grid  # a table that is read only where a country is given

    found = grid(inputs.country, inputs.year)
    if isinstance(found, Unknown):
        return Bill(reasons={"carbon": found.reason})
    assumptions: tuple[Assumption, ...] = ()
    if found.year != inputs.year:
        reason = "no year is given: the newest known"
        if inputs.year is not None:
            reason = f"{inputs.year} is not in the table: the nearest known"
        assumptions = (Assumption("cost.year", found.year, "", reason, found.source),)
    emitted = carbon(energy, found.intensity)
    used, intensity = Amount(energy, "kWh"), Amount(found.intensity, "gCO2e/kWh")
    terms = f"{found.country} {found.year}"
    line = Line("carbon", "grid", used, intensity, Amount(emitted, "kgCO2e"), terms, found.source)
    return Bill((line,), carbon=emitted, assumptions=assumptions)
