"""Compare the metered energy of published runs with the predicted energy.

    python -m tests.benchmarks.energy

Most published energies are hours x rated watts and would only test arithmetic (LLaMA, BLOOM, OPT, GLM-130B, SAM), so only runs whose
power was metered are judged. ``from hours`` tests the power model alone, if the hours are published. ``from the run`` predicts from
parameters, tokens, accelerator, number of accelerators and the year of publication, which ``validate --totals`` hands over too, as
``gpuhours estimate`` does: the value and the range that it prints. A bare clone needs PYTHONPATH=cli:estimator:.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuhours.cost.bill import bill
from gpuhours.cost.inputs import CostInputs
from gpuhours.cost.power import Load
from gpuhours.hardware.clusters import cluster
from gpuhours.questions.estimating.estimates import Estimate
from gpuhours.questions.estimating.estimating import estimate
from gpuhours.run.spec import Run, from_dict

HOUR = WH = 3600.0
MWH = 3.6e9


@dataclass(frozen=True)
class Metered:
    """A run, its metered energy, and what that energy covers."""

    name: str
    measured: float
    """MWh"""
    accelerator: str
    node: str | None
    gpus: int
    inputs: dict[str, Any]
    run: dict[str, Any]
    source: str
    hours: float | None = None
    """GPU-hours, if published."""
    hfu: float | None = None


RUNS = (
    Metered(
        "GPT-3 175B", 1287, "v100-sxm-16gb", "dgx-1-v100", 10_000, {"pue": 1.10},
        {"year": 2020, "model": "gpt-3-175b", "data": {"tokens": "300B"}},
        "arXiv:2104.10350, table 4: 330 W a V100 with its part of the system, metered; the count of GPUs is the authors' assumption",
        hours=3_552_000, hfu=0.20,
    ),
    Metered(
        "OLMo 7B", 104, "a100-sxm-40gb", None, 216, {"pue": 1.0, "boundary": "accelerators"},
        {"year": 2024, "model": {"params": "6.9B"}, "data": {"tokens": "2.46T", "seq_len": 2048}},
        "arXiv:2402.00838, table 6: accelerators alone, before PUE",
    ),
    Metered(
        "OLMo 2 7B", 131, "h100-sxm-80gb", None, 1024, {"pue": 1.0, "boundary": "accelerators"},
        {"year": 2025, "model": {"params": "7.3B"}, "data": {"tokens": "4.05T", "seq_len": 4096}},
        "arXiv:2501.00656, table 19: accelerators of one node metered, before PUE",
    ),
    Metered(
        "OLMo 2 13B", 257, "h100-sxm-80gb", None, 1024, {"pue": 1.0, "boundary": "accelerators"},
        {"year": 2025, "model": {"params": "13.7B"}, "data": {"tokens": "5.6T", "seq_len": 4096}},
        "arXiv:2501.00656, table 19: the same; Morrison et al. 2025 list 230 with PUE",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """Measured and predicted MWh; ``from_hours`` is None if the hours are not published or do not determine it."""

    run: Metered
    from_hours: float | None
    estimate: Estimate
    """What the product answers to parameters, tokens, accelerator and number of accelerators."""

    def range_of(self, name: str) -> tuple[float, float, float]:
        """10th percentile, value and 90th percentile of a result."""
        found = self.estimate.results[name]
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        return found.low, float(found.value), found.high

    @property
    def low(self) -> float:
        """10th percentile, MWh."""
        return self.range_of("energy")[0] * WH / MWH

    @property
    def from_run(self) -> float:
        """MWh"""
        return self.range_of("energy")[1] * WH / MWH

    @property
    def high(self) -> float:
        """90th percentile, MWh."""
        return self.range_of("energy")[2] * WH / MWH

    @property
    def spreads(self) -> tuple[float, float]:
        """Ratio of the 90th to the 10th percentile, of GPU-hours and of energy."""
        least, _, most = self.range_of("gpu_hours")
        return most / least, self.high / self.low

    @property
    def watts(self) -> tuple[float, float, float]:
        """Energy over GPU-hours, in W, at the 10th percentile, the value and the 90th percentile of both."""
        (least, usual, most), (low, middle, high) = self.range_of("gpu_hours"), self.range_of("energy")
        return low / least, middle / usual, high / most

    @property
    def inside(self) -> bool:
        """Whether the metered energy is inside the range."""
        return self.low <= self.run.measured <= self.high


@functools.cache
def judged() -> tuple[Judged, ...]:
    """Every metered run with the predictions from hours and from the run."""
    return tuple(Judged(run, _from_hours(run), estimate(described(run))) for run in RUNS)


def described(run: Metered) -> Run:
    """The run as a user would describe it before it starts."""
    hardware = {"accelerator": run.accelerator, "gpus": run.gpus} | ({} if run.node is None else {"node": run.node})
    return from_dict({**run.run, "hardware": hardware, "cost": run.inputs})


def _from_hours(run: Metered) -> float | None:
    if run.hours is None:
        return None
    machine = cluster(run.accelerator, run.node, run.gpus)
    energy = bill(run.hours * HOUR, machine, CostInputs(**run.inputs), load=Load(run.hfu)).energy
    return None if energy is None else float(np.asarray(energy)) / MWH


def ratio(found: Sequence[Judged]) -> float:
    """Return the geometric mean of predicted (from the run) over measured energy."""
    return float(np.exp(np.mean([np.log(one.from_run / one.run.measured) for one in found])))


def main() -> None:
    """Print the table, and the geometric mean of predicted over measured."""
    found = judged()
    print(f"{'run':12} {'measured':>9} {'from hours':>11} {'from the run':>13} {'range':>15}   MWh")
    for one in found:
        hours = f"{one.from_hours:,.0f}" if one.from_hours is not None else "-"
        span = f"{one.low:,.0f} to {one.high:,.0f}"
        print(
            f"{one.run.name:12} {one.run.measured:9,.0f} {hours:>11} {one.from_run:13,.0f} {span:>15}   {one.run.source}"
        )
    inside = sum(one.inside for one in found)
    print(
        f"predicted from the run over measured, geometric mean: {ratio(found):.2f}; {inside} of {len(found)} inside the range"
    )
    print(f"in all: {sum(one.from_run for one in found):,.0f} of {sum(one.run.measured for one in found):,.0f} MWh")


if __name__ == "__main__":
    main()
