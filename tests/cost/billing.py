"""What a bill of some accelerator-hours on one node comes to."""

from __future__ import annotations

from typing import Any

from gpuhours.cost.bill import bill
from gpuhours.cost.inputs import CostInputs
from gpuhours.cost.lines import Bill
from gpuhours.hardware.clusters import cluster
from gpuhours.inputs.durations import HOUR

KWH = 3.6e6


def billed(hours: float, accelerator: str = "h100-sxm-80gb", **inputs: Any) -> Bill:
    """The bill of so many accelerator-hours on eight."""
    machine = cluster(accelerator, gpus=8)
    return bill(hours * HOUR, machine, CostInputs(**inputs), wall_clock=hours * HOUR / 8, checkpoint=1e12)
