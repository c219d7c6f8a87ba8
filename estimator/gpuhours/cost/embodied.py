"""Embodied carbon: emissions of manufacturing the machines, and the share attributed to a run."""

from __future__ import annotations

from functools import reduce

import numpy as np

from gpuhours.cost.inputs import CostInputs
from gpuhours.cost.lines import Amount, Bill, Line, unknown
from gpuhours.hardware.clusters import Cluster
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.durations import YEAR

LUCCIONI = "Luccioni et al. 2022, arXiv:2211.02001, section 4.1"
LIFETIME = Assumption(
    "cost.lifetime", 5.1, "year", "time in use before a machine is replaced: six years at 85 %", LUCCIONI
)
BOARD, HOST = 150e3, 2500e3 / 8
"""gCO2e of manufacturing an accelerator, and an eighth of a server without accelerators, if their makers publish no value."""


def embodied_carbon(gpu_time: Array, made: Array, lifetime: Array) -> Array:
    """The run's share of the emissions of manufacturing its machines, gCO2e.

        M = m t / T

    m  gCO2e of manufacturing one accelerator and its share of the node    t  GPU s    T  s in use over an accelerator's lifetime

    Leaves out network, building and disposal. Source: Luccioni et al. 2022, arXiv:2211.02001, section 4.1.

    >>> 384 * 118 * 24 * (0.15e6 + 2.5e6 / 8) / (6 * 8766 * 0.85) / 1e6    # BLOOM on 384 A100: 11.2 t
    11.2...
    """
    return np.multiply(gpu_time, np.divide(made, lifetime))


def embodied_bill(gpu_time: Array, cluster: Cluster | None, inputs: CostInputs) -> Bill:
    """Embodied carbon in gCO2e for ``gpu_time`` GPU s, in two lines: the accelerators, and their share of the nodes."""
    if cluster is None and inputs.embodied is None:
        return unknown("no accelerator is given", "embodied_carbon")
    if cluster is not None and cluster.accelerator.generation == "tpu" and inputs.embodied is None:
        return unknown(
            f"the emissions of manufacturing {cluster.accelerator.title} are not known; give cost.embodied",
            "embodied_carbon",
        )
    lifetime = inputs.lifetime
    assumed: tuple[Assumption, ...] = ()
    if lifetime is None:
        lifetime, assumed = float(LIFETIME.value) * YEAR, (LIFETIME,)
    lines = []
    for name, made, source in _manufacturing_emissions(cluster, inputs):
        amount = embodied_carbon(gpu_time, made, lifetime)
        rate = Amount(np.divide(made, lifetime), "gCO2e/(GPU*hour)")
        terms = f"{made / 1e3:,.0f} kg over {lifetime / YEAR:.3g} years of use"
        lines.append(
            Line("embodied_carbon", name, Amount(gpu_time, "GPU*hour"), rate, Amount(amount, "kgCO2e"), terms, source)
        )
    total = reduce(np.add, (line.amount.si for line in lines))
    return Bill(tuple(lines), embodied_carbon=total, assumptions=assumed)


def _manufacturing_emissions(cluster: Cluster | None, inputs: CostInputs) -> list[tuple[str, float, str]]:
    """gCO2e of manufacturing an accelerator and its share of a node, each with its source."""
    if inputs.embodied is not None or cluster is None:
        return [("making the machines", inputs.embodied or 0.0, "given")]
    part, node = cluster.accelerator, cluster.node
    usual = f"the usual figure, {LUCCIONI}"
    board = (part.embodied, part.figures["embodied"].source) if part.embodied else (BOARD, usual)
    host = (node.embodied / node.gpus, node.figures["embodied"].source) if node.embodied else (HOST, usual)
    return [("making accelerators", *board), ("making hosts", *host)]
