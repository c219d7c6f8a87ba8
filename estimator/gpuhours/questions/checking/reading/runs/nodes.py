"""Tells the devices of a node from those of the run, and modules from their dies, by the run's other figures.

16 nodes, 8 A100, 128 GPUs                      16 x 8 = 128: a node has eight
8,064 instance-hours, 8 A100, 64,512 GPU-hours  8,064 x 8 = 64,512: an instance has eight
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from gpuhours.inputs.durations import HOUR
from gpuhours.questions.checking.claim import Claim
from gpuhours.questions.checking.reading.runs.parts import value_of
from gpuhours.questions.checking.reading.sentences.placed import Placed

IN_A_NODE = 16
"""The most GPUs in a node."""
EXACT, ROUNDED = 1e-9, 0.02
"""Relative errors that are allowed of a product of counts, and of one with a time or with hours."""


def devices_of_a_node(claims: list[Claim]) -> list[Claim]:
    """Makes a number of GPUs those of a node if the other figures say so, and the GPUs of the only node the run's GPUs."""
    main = [claim for claim in claims if not claim.scope]
    said = {claim.quantity for claim in main}
    if not said & {"gpus", "nodes", "node_hours"}:
        return [_called(claim, "gpus_per_node", "gpus") for claim in claims]
    values = {name: sorted({c.value for c in main if c.quantity == name and c.value > 0}) for name in OF_MACHINES}
    in_one = {few for few in values["gpus"] if 1 < few <= IN_A_NODE and _multiplies_out(few, values)}
    if in_one:
        return [_called(claim, "gpus", "gpus_per_node") if claim.value in in_one else claim for claim in claims]
    nodes = [claim for claim in main if claim.quantity == "nodes"]
    counted = [claim for claim in main if claim.quantity == "gpus"]
    if nodes and counted and counted[0].value <= IN_A_NODE < nodes[0].value and counted[0].because == "":
        return [replace(c, quantity="gpus_per_node") if c is counted[0] else c for c in claims]  # an instance has eight
    if "gpus" not in said and nodes and all(claim.value == 1 for claim in nodes):
        return [_called(claim, "gpus_per_node", "gpus") for claim in claims]
    return claims


def _called(claim: Claim, one: str, other: str) -> Claim:
    """The claim as one of another quantity, if it is one of the first and belongs to the run."""
    return replace(claim, quantity=other) if claim.quantity == one and not claim.scope else claim


def _multiplies_out(few: float, values: Mapping[str, Sequence[float]]) -> bool:
    """Whether a number of GPUs times the nodes is the run's GPUs, or times the hours of nodes its GPU-hours, and alone it is neither.

    ``values``: those of each quantity in order, each once, so that thousands of them are looked up and not compared in pairs.
    """
    several = [nodes for nodes in values["nodes"] if nodes > 1]
    if any(_has_near(values["gpus"], few * nodes, EXACT) for nodes in several):
        return True
    hours = [time / HOUR for time in values["wall_clock"]]
    gpu_hours = values["gpu_hours"]
    if any(_has_near(gpu_hours, few * time, ROUNDED) for time in hours):
        return False
    of_nodes = [nodes * time for nodes in several for time in hours] if len(several) * len(hours) <= MOST_PAIRS else []
    return any(_has_near(gpu_hours, few * time, ROUNDED) for time in (*values["node_hours"], *of_nodes))


def _has_near(ordered: Sequence[float], value: float, error: float) -> bool:
    """Whether one of some values in order is a value up to a relative error."""
    at = bisect_left(ordered, value * (1 - error))
    return at < len(ordered) and ordered[at] <= value * (1 + error)


MOST_PAIRS = 1_000
"""The most products of nodes and times that are compared with GPU-hours: of more, one fits by chance."""
OF_MACHINES = ("gpus", "nodes", "wall_clock", "gpu_hours", "node_hours")


def same_devices(claims: list[Claim]) -> list[Claim]:
    """If one figure counts two-die modules by die, counts all of them by die: 128 nodes of 4 MI250X are 1,024 GCDs.

    If the run's machine is counted in modules, a rate of one die is half that of a module.
    """
    dies = any(claim.quantity == "gpus" and DIES.search(claim.text) for claim in claims if not claim.scope)
    counted = next((claim for claim in claims if claim.quantity == "gpus" and not claim.scope), None)
    modules = counted is not None and not DIES.search(counted.quote if counted.of_row else counted.text)

    def doubled(claim: Claim) -> bool:
        if claim.quantity == "gpus_per_node":
            return dies and not modules and not DIES.search(claim.text)
        return modules and claim.quantity in OF_ONE_DEVICE and OF_A_DIE.search(claim.quote) is not None

    return [
        replace(claim, value=2 * claim.value, spread=replace(claim.spread, centre=2 * claim.spread.centre))
        if doubled(claim)
        else claim
        for claim in claims
    ]


OF_ONE_DEVICE = frozenset(["flops_per_second_per_gpu", "tokens_per_second_per_gpu"])
OF_A_DIE = re.compile(r"\b(?:per|each|every|a|one)[ -]GCD\b", re.IGNORECASE)
DIES = re.compile(r"\bgcds?\b", re.IGNORECASE)


def of_the_only_machine(entries: Sequence[Placed], runs: Iterable[Sequence[Placed]]) -> set[int]:
    """The ids of the figures that count the machine on which every run was made, of those that a text gives without a name.

    A number of GPUs is theirs if it times the time of a run is its GPU-hours, for each run that gives both; the nodes and the GPUs of a
    node are if their product is that number.
    """
    times = [
        (held["wall_clock"], held["gpu_hours"])
        for held in map(_held, runs)
        if {"wall_clock", "gpu_hours"} <= held.keys()
    ]
    values = [(entry, entry.place.quantity, value_of(entry)) for entry in entries if not entry.scope]
    gpus = {
        value
        for _, quantity, value in values
        if times and quantity == "gpus" and all(abs(value * time / HOUR / hours - 1) < ROUNDED for time, hours in times)
    }
    if len(gpus) != 1:
        return set()
    (all_,) = gpus
    of_few = {value for _, name, value in values if name in ("gpus", "gpus_per_node") and 0 < value <= IN_A_NODE}
    said_nodes = {value for _, name, value in values if name == "nodes"}
    each = {(all_ / few, few) for few in of_few if all_ / few in said_nodes}
    of_nodes, of_one = ({pair[0] for pair in each}, {pair[1] for pair in each}) if len(each) == 1 else (set(), set())
    return {
        id(entry)
        for entry, quantity, value in values
        if (quantity == "gpus" and value in gpus | of_one)
        or (quantity == "nodes" and value in of_nodes)
        or (quantity == "gpus_per_node" and value in of_one)
    }


def _held(entries: Sequence[Placed]) -> dict[str, float]:
    """The first positive value of each quantity of a run."""
    return {e.place.quantity: value for e in reversed(entries) if not e.scope and (value := value_of(e)) > 0}
