"""Energy of a run: accelerators by load, hosts, network and building, from rated power and measurements."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import numpy as np

from gpuhours.cost.inputs import CostInputs
from gpuhours.cost.lines import Amount, Bill, Line, Range, unknown
from gpuhours.hardware.clusters import Cluster
from gpuhours.hardware.nodes import Node, load_node
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.profile_folders import Unknown
from gpuhours.inputs.records import dataclass

STEP_SHARE, LOAD_SLOPE, FULL_LOAD = 0.69, 0.49, 0.35
"""u0, b and h1 of ``board_share``."""
STOPPED_SHARE = 0.2
"""Mean power of an accelerator relative to its limit while no step runs: about 0.15 during checkpoints (Morrison et al. 2025,
arXiv:2503.05804), 0.20 to 0.21 for an idle H100 that holds a model (github.com/wilicc/gpu-burn/issues/114), 0.18 to 0.22 for H100s whose
all-gather never ends (github.com/NVIDIA/nccl/issues/1550), 0.10 for an empty H100 (github.com/NVIDIA/nccl/issues/1967)."""
RUNNING_LOSS = 0.88
"""w of ``running_share``: what is lost to other things than stops, over all that is lost, in predictions of the four runs of
``tests/benchmarks/energy.py`` (0.81 to 0.94, median 0.89; 0.88 before they were given their years)."""
SHARE_SPREAD = (-0.12, 0.09)
"""10th and 90th percentile of measured minus fitted shares."""
POWER_SHARE = Assumption(
    "cost.power_share", 0.85, "",
    "mean power relative to board power while steps run; training seldom runs at the limit all the time",
    "Morrison et al. 2025, arXiv:2503.05804: over 600 W of an H100's 700; 222 training steps timed on four "
    "H200: median 612 W of 700, 0.87",
)  # fmt: skip
HOST_SHARE = Assumption(
    "cost.host_share", 0.65, "",
    "mean power of hosts, network cards, memory and fans relative to the part of the node's rating left for them",
    "arXiv:2412.08602: a node of 8 H100 under training loads draws 0.76 of its rated 10.2 kW, 0.65 of what 8 boards at 0.85 leave; "
    "Patterson et al. 2021, arXiv:2104.10350, table 4: 330 W for a V100 with its part of the system, 0.55 by the same reckoning",
)  # fmt: skip
HOST_RANGE = (0.5, 0.65, 0.8)
UNRATED = 0.75
"""Rated power of the rest of a node relative to that of its accelerators, if the node's rating is not known: 0.46 in a DGX-1 with V100,
0.79 in a DGX B200, 0.82 in a DGX H100, 1.03 in a DGX A100."""
PORT_POWER = 52.0
"""W of switches per 400 Gbit/s of a node's network cards: three ports of a two-tier tree without oversubscription, at 17 W per port
(NVIDIA QM9700: 747 to 1,720 W for 64; not re-read)."""
PORT_RATE = 50e9
PUE = Assumption(
    "cost.pue", 1.2, "",
    "power of the building over power of the machines; papers state 1.08 to 1.2",
    "OLMo 2, arXiv:2501.00656, table 19 (1.12 and 1.2); Luccioni et al. 2022, arXiv:2211.02001 (1.2); "
    "Patterson et al. 2021, arXiv:2104.10350, table 4 (1.09 to 1.12)",
)  # fmt: skip
PUE_RANGE = (1.08, 1.2, 1.35)


def board_share(hfu: Array) -> Array:
    """Mean power of an accelerator relative to its limit while steps run.

        u = u0 + b min(h, h1)

    h  FLOP executed per second over the dense peak (HFU)      u0 = 0.69, b = 0.49, h1 = 0.35

    Fitted to 222 training steps on four H200 (gpuhours measurements, November 2026): 80 % of them lie within -0.12 and +0.09.

    >>> round(float(board_share(0.40)), 3)
    0.861
    """
    return np.minimum(1.0, STEP_SHARE + LOAD_SLOPE * np.minimum(hfu, FULL_LOAD))


def running_share(goodput: Array) -> Array:
    """Share of a run's hours in which steps run, if its goodput is predicted or follows from its hours.

        s = 1 - (1 - w) (1 - g)

    g  productive share of the hours, at the pace that the HFU is of      w = 0.88

    Most of what published hours exceed predicted steps by is not a stop: steps that are slower than predicted, lost and repeated, or of
    discarded runs. A run with more stops than usual draws less than this gives.

    >>> round(float(running_share(0.75)), 3)
    0.97
    """
    return np.minimum(1.0, 1.0 - (1.0 - RUNNING_LOSS) * (1.0 - np.asarray(goodput, float)))


@dataclass(frozen=True, eq=False)
class Load:
    """How hard accelerators work over the hours of a run."""

    hfu: Array | None = None
    """FLOP executed per second over the dense peak in productive hours; None if not known."""
    goodput: Array = 1.0
    """Productive share of the hours."""
    running: Array = 1.0
    """Share of the hours in which steps run, productive or not: the goodput itself if all other hours are stops."""
    error: Array = 1.0
    """Actual over predicted power of the accelerators."""

    @property
    def share(self) -> Array:
        """Mean power of an accelerator relative to its limit over all hours.

            u = e (s u_step(h g / s) + (1 - s) u_stop)

        h  HFU in productive hours      g  goodput      s  share of the hours in which steps run      u_stop = 0.2      e  error

        The FLOPs of steps that are lost or discarded are not counted, which errs low by at most b h1 = 0.17 of such hours.

        >>> round(float(Load(0.50, 0.6, running=0.6).share), 3)
        0.597
        """
        stepping = float(POWER_SHARE.value) if self.hfu is None else board_share(self.hfu * self.goodput / self.running)
        return np.clip(self.error * (self.running * stepping + (1.0 - self.running) * STOPPED_SHARE), 0.0, 1.0)


UNKNOWN_LOAD = Load()


def drawn_energy(gpu_time: Array, power: Array) -> Array:
    """Electricity consumed by the accelerators, J.

        E = t P

    t  GPU s        P  mean power, W per accelerator

    >>> float(drawn_energy(1000 * 3600, 700)) / 3.6e6    # 1,000 GPU-hours at 700 W, kWh
    700.0
    """
    return np.multiply(gpu_time, power)


def building_energy(machines: Array, pue: Array) -> Array:
    """Electricity of the building, J.

        E_b = E PUE

    E  J consumed by the machines        PUE  power usage effectiveness (ISO/IEC 30134-2)

    >>> float(building_energy(700, 1.2))
    840.0
    """
    return np.multiply(machines, pue)


@dataclass(frozen=True, eq=False)
class Draw:
    """One power consumer."""

    name: str
    power: Array
    """Mean power, W per accelerator."""
    terms: str
    source: str
    assumptions: tuple[Assumption, ...] = ()


def energy_bill(gpu_time: Array, cluster: Cluster | None, inputs: CostInputs, load: Load) -> Bill:
    """Energy in J of the accelerators or of whole nodes over ``gpu_time`` GPU s, times PUE."""
    if cluster is None and inputs.power is None:
        return unknown("no accelerator is given", "energy")
    drawn = list(draws(cluster, inputs, load))
    lost = next((one for one in drawn if isinstance(one, Unknown)), None)
    if lost is not None:
        return unknown(lost.reason, "energy")
    known = [one for one in drawn if isinstance(one, Draw)]
    hours = Amount(gpu_time, "GPU*hour")
    lines = [
        Line(
            "energy", one.name, hours, Amount(one.power, "kW/GPU"),
            Amount(drawn_energy(gpu_time, one.power), "kWh"), one.terms, one.source,
        )
        for one in known
    ]  # fmt: skip
    machines = reduce(np.add, (line.amount.si for line in lines))
    pue, source = (float(PUE.value), PUE.source) if inputs.pue is None else (inputs.pue, "given")
    energy = building_energy(machines, pue)
    overhead = Amount(np.subtract(pue, 1.0), "")
    lost_heat = Amount(np.subtract(energy, machines), "kWh")
    lines.append(
        Line(
            "energy",
            "building",
            Amount(machines, "kWh"),
            overhead,
            lost_heat,
            f"PUE {pue:g}" if np.ndim(pue) == 0 else "PUE",
            source,
        )
    )
    assumptions = (
        *(assumption for one in known for assumption in one.assumptions),
        *((PUE,) if inputs.pue is None else ()),
    )
    return Bill(tuple(lines), energy=energy, assumptions=assumptions, ranges=dict(_ranges(assumptions)))


def _ranges(assumptions: tuple[Assumption, ...]) -> Iterator[tuple[str, Range]]:
    """10th percentile, value and 90th percentile of each assumed power share and PUE."""
    for assumption in assumptions:
        if assumption.name == POWER_SHARE.name and np.ndim(assumption.value) == 0:
            share = float(assumption.value)
            yield assumption.name, (share + SHARE_SPREAD[0], share, min(1.0, share + SHARE_SPREAD[1]))
        elif assumption.name == HOST_SHARE.name:
            yield assumption.name, HOST_RANGE
        elif assumption.name == PUE.name:
            yield assumption.name, PUE_RANGE


def draws(cluster: Cluster | None, inputs: CostInputs, load: Load) -> Iterator[Draw | Unknown]:
    """The power consumers, in W per accelerator: the accelerator, its share of the node, its share of the network."""
    if cluster is None:
        assert inputs.power is not None
        yield Draw("accelerators", inputs.power, "measured", "given")
        return
    measured = cluster.accelerator.figures.get("system_power")
    if measured is not None and inputs.power is None and inputs.power_share is None:
        yield Draw("accelerators in their hosts", measured.value, f"{measured.value:g} W", measured.source)
    else:
        yield _boards(cluster, inputs, load)
        if inputs.boundary == "node":
            yield _hosts(cluster, inputs)
    if inputs.boundary == "node" and np.any(np.greater(cluster.nodes, 1)):
        yield _network(cluster)


def _boards(cluster: Cluster, inputs: CostInputs, load: Load) -> Draw | Unknown:
    """Power of the accelerators: as measured, or a share of their limit that depends on load."""
    if inputs.power is not None:
        return Draw("accelerators", inputs.power, "measured", "given")
    part = cluster.accelerator
    if part.power is None:
        return Unknown(f"the power of {part.title} is not known; give cost.power")
    source = part.figures["power"].source
    if inputs.power_share is not None:
        return Draw(
            "accelerators",
            np.multiply(part.power, inputs.power_share),
            f"a share of {part.power:g} W",
            f"{source}; share of it given",
        )
    assumed, share = POWER_SHARE, load.share
    if np.ndim(share) == 0:
        assumed = Assumption(POWER_SHARE.name, round(float(share), 3), "", _reason(load), POWER_SHARE.source)
    terms = f"{share:g} of {part.power:g} W" if np.ndim(share) == 0 else f"of {part.power:g} W"
    return Draw(
        "accelerators", np.multiply(part.power, share), terms, f"{source}; share of it: {assumed.source}", (assumed,)
    )


def _reason(load: Load) -> str:
    """How the share of the limit of one run comes about."""
    said = POWER_SHARE.reason
    if load.hfu is not None:
        worked = float(load.hfu * load.goodput / load.running)
        said = f"mean power relative to board power at an HFU of {worked:.0%} while steps run: 0.69 + 0.49 x HFU, up to 35 %"
    stopped = 1.0 - float(load.running)
    return f"{said}; {STOPPED_SHARE:g} in the {stopped:.0%} of the hours without steps" if stopped >= 0.005 else said


def _hosts(cluster: Cluster, inputs: CostInputs) -> Draw | Unknown:
    """Power of the rest of the node per accelerator: a share of the node's rating minus that of its accelerators."""
    part = cluster.accelerator
    if part.power is None:
        return Unknown(f"the power of {part.title} is not known; give cost.power and cost.boundary accelerators")
    share = inputs.host_share
    assumed: tuple[Assumption, ...] = ()
    rated = _rating(cluster)
    if rated is None:
        left, whose, source = UNRATED * part.power, "of a usual node", "no rating of the node is known"
    else:
        left = rated.power / rated.gpus - part.power if rated.power else 0.0
        whose, source = f"of {rated.title}", rated.figures["power"].source
    if share is None:
        share = float(HOST_SHARE.value)
        assumed = (HOST_SHARE,)
        source = f"{source}; share of it: {HOST_SHARE.source}"
    terms = f"{share:g} of {left:.0f} W {whose}" if np.ndim(share) == 0 else whose
    return Draw("hosts", np.multiply(left, share), terms, source, assumed)


def _rating(cluster: Cluster) -> Node | None:
    """The node whose rated power applies: the cluster's own, otherwise the accelerator's default node if it has as many GPUs; None if
    neither has a rating."""
    if cluster.node.power is not None:
        return cluster.node
    usual = load_node(cluster.accelerator.node, cluster.accelerator.path)
    return usual if usual.power is not None and usual.gpus == cluster.node.gpus else None


def _network(cluster: Cluster) -> Draw:
    """Power of the switches between nodes per accelerator; 0 for a single node."""
    power = PORT_POWER * np.divide(cluster.network_bandwidth, PORT_RATE) * np.greater(cluster.nodes, 1)
    return Draw(
        "network", power, "switches of a two-tier tree", "NVIDIA QM9700: 747 to 1,720 W for 64 ports; not re-read"
    )
