"""Cost, energy and carbon from GPU time: quantity x rate = amount, each line with its source.

Left out: staff, failed and trial runs, and for embodied carbon the network and the building. Cost is rent, or depreciation and
electricity of owned hardware; energy is that of whole nodes and their network, times PUE.
"""

from __future__ import annotations

import numpy as np

from gpuhours.cost.embodied import embodied_bill
from gpuhours.cost.inputs import CostInputs
from gpuhours.cost.lines import Amount, Bill, Line, joined, unknown
from gpuhours.cost.owned import owned_bill
from gpuhours.cost.power import UNKNOWN_LOAD, Load, energy_bill
from gpuhours.cost.prices import Price, choose_price
from gpuhours.cost.storage import storage_bill
from gpuhours.hardware.clusters import Cluster
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.durations import HOUR
from gpuhours.inputs.profile_folders import Unknown


def money(gpu_time: Array, price: Array) -> Array:
    """Cost of renting the accelerators, USD.

        C = t p

    t  GPU s rented, stops included        p  USD per GPU and second

    Leaves out storage, traffic and staff, so it underestimates the cost.

    >>> float(money(1000 * 3600, 2.5 / 3600))    # 1,000 GPU-hours at 2.50 USD
    2500.0
    """
    return np.multiply(gpu_time, price)


def carbon(energy: Array, intensity: Array) -> Array:
    """Emissions of the electricity, gCO2e.

        M = E g

    E  J consumed by the building        g  gCO2e per J, life cycle, average of a country's generation over a year

    Location-based: certificates bought for the site are not counted. Leaves out manufacturing of the hardware.

    >>> float(carbon(1000 * 3.6e6, 400 / 3.6e6))    # 1,000 kWh of 400 g
    400000.0
    """
    return np.multiply(energy, intensity)


def bill(
    gpu_time: Array | None,
    cluster: Cluster | None,
    inputs: CostInputs,
    *,
    wall_clock: Array | None = None,
    load: Load = UNKNOWN_LOAD,
    checkpoint: Array | None = None,
) -> Bill:
    """Cost (USD), energy (J) and carbon (gCO2e) of ``gpu_time`` GPU s on a cluster; totals that are not known are None, with the reason.

    ``wall_clock``  s for which data are stored
    ``load``        how hard the accelerators work, which determines their power
    ``checkpoint``  bytes of one checkpoint
    """
    if gpu_time is None:
        return unknown("the GPU-hours are not", "cost", "energy", "carbon", "embodied_carbon")
    energy = energy_bill(gpu_time, cluster, inputs, load)
    charge = (
        _rent(gpu_time, cluster, inputs)
        if inputs.owned is None
        else owned_bill(gpu_time, cluster, inputs, energy.energy)
    )
    provider = inputs.provider or ((cluster.node.provider or None) if cluster is not None else None)
    kept = storage_bill(inputs, provider, wall_clock, checkpoint)
    return joined((charge, kept, energy, _carbon(energy.energy, inputs), embodied_bill(gpu_time, cluster, inputs)))


def _rent(gpu_time: Array, cluster: Cluster | None, inputs: CostInputs) -> Bill:
    """The rental cost at the given price, otherwise at a price from the price lists."""
    if inputs.price is not None:
        return _rental_bill(gpu_time, inputs.price, "given", "given")
    if cluster is None:
        return unknown("neither a price nor an accelerator is given", "cost")
    chosen, remark = offer(cluster, inputs)
    if isinstance(chosen, Unknown):
        return unknown(chosen.reason, "cost")
    row = chosen.row
    charged = _rental_bill(
        gpu_time,
        row.price,
        f"{row.provider} {row.commitment} {row.as_of}{remark}",
        f"{row.name}: {row.source}; {row.seen_at}",
    )
    low, high = chosen.low * HOUR, chosen.high * HOUR
    reason = f"{row.name}{remark}; {chosen.reason} ({low:.2f} to {high:.2f})"
    source = f"{row.source}; {row.seen_at}".removesuffix("; ")
    assumed = Assumption("cost.price", row.price * HOUR, "USD/(GPU*hour)", reason, source)
    ranges = {"cost.price": (chosen.low, row.price, chosen.high)} if chosen.low < chosen.high else {}
    return Bill(charged.lines, cost=charged.cost, assumptions=(assumed,), ranges=ranges)


def _rental_bill(gpu_time: Array, price: Array, terms: str, source: str) -> Bill:
    cost = money(gpu_time, price)
    hours, hourly = Amount(gpu_time, "GPU*hour"), Amount(price, "USD/(GPU*hour)")
    return Bill((Line("cost", "GPU time", hours, hourly, Amount(cost, "USD"), terms, source),), cost=cost)


def offer(cluster: Cluster, inputs: CostInputs) -> tuple[Price | Unknown, str]:
    """The price of the cluster's accelerator (USD per GPU and second), and a remark if it is not for the cluster's own instance: of that
    instance, otherwise of its provider, otherwise of any provider."""
    name, node = cluster.accelerator.name, cluster.node
    if not node.instance or inputs.provider is not None:
        return choose_price(name, inputs.provider, inputs.terms, inputs.years), ""
    own = choose_price(name, node.provider, inputs.terms, inputs.years, node.instance)
    if isinstance(own, Price):
        return own, ""
    provider = choose_price(name, node.provider, inputs.terms, inputs.years)
    if isinstance(provider, Price):
        return provider, f", no such price of {node.instance} known"
    return choose_price(name, None, inputs.terms, inputs.years), f", no such price of {node.provider} known"


def _carbon(energy: Array | None, inputs: CostInputs) -> Bill:
    """Carbon emissions (gCO2e) of the electricity: ``energy`` in J times the grid's carbon intensity."""
    if energy is None:
        return unknown("the energy is not", "carbon")
    if inputs.country is None:
        return unknown("no country is given, so the grid is not known", "carbon")
    from gpuhours.cost.grids import grid  # the table is needed only if a country is given

    chosen = grid(inputs.country, inputs.year)
    if isinstance(chosen, Unknown):
        return unknown(chosen.reason, "carbon")
    assumptions: tuple[Assumption, ...] = ()
    if chosen.year != inputs.year:
        reason = "no year is given: the newest known"
        if inputs.year is not None:
            reason = f"{inputs.year} is not in the table: the nearest known"
        assumptions = (Assumption("cost.year", chosen.year, "", reason, chosen.source),)
    emitted = carbon(energy, chosen.intensity)
    used, intensity = Amount(energy, "kWh"), Amount(chosen.intensity, "gCO2e/kWh")
    terms = f"{chosen.country} {chosen.year}"
    line = Line("carbon", "grid", used, intensity, Amount(emitted, "kgCO2e"), terms, chosen.source)
    return Bill((line,), carbon=emitted, assumptions=assumptions)
