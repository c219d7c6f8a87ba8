"""Energy per node and embodied carbon, against measured values."""

from __future__ import annotations

import numpy as np
import pytest

from gpuhours.cost.bill import bill
from gpuhours.cost.embodied import embodied_carbon
from gpuhours.cost.inputs import CostInputs
from gpuhours.cost.power import board_share
from gpuhours.hardware.clusters import cluster
from gpuhours.inputs.durations import HOUR
from tests.benchmarks.energy import RUNS, Metered, judged, ratio, spreads
from tests.cost.billing import billed

# What large systems drew, measured over whole nodes.
# name, accelerator, node, HFU, W per accelerator as measured, tolerance, source
NODES = [
    (
        "GPT-3 on V100",
        "v100-sxm-16gb",
        "dgx-1-v100",
        0.20,
        330.0,
        0.03,
        "Patterson et al. 2021, arXiv:2104.10350, table 4",
    ),
    ("8 H100, at most", "h100-sxm-80gb", "dgx-h100", 0.40, 0.76 * 10_200 / 8, 0.03, "arXiv:2412.08602"),
]


@pytest.mark.parametrize("case", NODES, ids=[case[0] for case in NODES])
def test_power_of_whole_nodes(case: tuple[str, str, str, float, float, float, str]) -> None:
    _, accelerator, node, hfu, watts, within, source = case
    charge = bill(HOUR, cluster(accelerator, node, 8), CostInputs(pue=1), load=hfu)
    assert charge.energy == pytest.approx(watts * HOUR, rel=within), source


def test_boards_alone_are_about_60_per_cent() -> None:
    node, boards = billed(8, pue=1), billed(8, pue=1, boundary="accelerators")
    assert node.energy is not None
    assert boards.energy is not None
    assert float(boards.energy) / float(node.energy) == pytest.approx(0.6, abs=0.03)


def test_a_cloud_node_without_a_rating_is_taken_as_the_usual_one() -> None:
    cloud = bill(HOUR, cluster("p5.48xlarge", gpus=8), CostInputs(pue=1))
    assert cloud.energy == pytest.approx(billed(1, pue=1).energy)


def test_more_than_one_node_needs_a_network() -> None:
    one, two = (bill(HOUR, cluster("h100-sxm-80gb", gpus=gpus), CostInputs(pue=1)).energy for gpus in (8, 16))
    assert one is not None
    assert two is not None
    assert float(two - one) / HOUR == pytest.approx(52, abs=1)


def test_a_board_draws_more_the_harder_it_works() -> None:
    shares = board_share(np.array([0.0, 0.1, 0.2, 0.35, 0.6]))
    assert np.all(np.diff(shares) >= 0)
    assert shares[0] < 0.7
    assert shares[-1] == shares[-2] == pytest.approx(0.86, abs=0.01)


def test_embodied_carbon_of_bloom() -> None:
    """11.2 t for 1,082,990 GPU-hours on servers of eight A100: 2,500 kg per server, 150 kg per card, six years at 85 % use."""
    made = 150e3 + 2500e3 / 8
    used = embodied_carbon(1_082_990 * HOUR, made, 6 * 0.85 * 365.25 * 86400)
    assert used / 1e6 == pytest.approx(11.2, rel=0.01), "Luccioni et al. 2022, arXiv:2211.02001, section 4.1"
    charge = bill(1_082_990 * HOUR, cluster("a100-sxm-80gb", gpus=384), CostInputs())
    assert charge.embodied_carbon is not None
    assert float(charge.embodied_carbon) / 1e6 == pytest.approx(11.2, rel=0.02)


def test_metered_runs() -> None:
    """The power model alone, from published hours, and the full prediction from parameters, tokens and accelerators.

    The geometric mean is 0.93 of the metered energy of four runs, each inside its range of a factor of about three.
    """
    found = list(judged())
    assert len(found) == 4
    by_hours = [one.from_hours / one.run.measured for one in found if one.from_hours is not None]
    assert by_hours == pytest.approx([1.0], abs=0.03)
    assert ratio(found) == pytest.approx(1.0, abs=0.15)
    assert sum(one.inside for one in found) >= 3


@pytest.mark.parametrize("name", [run.name for run in RUNS])
def test_a_range_that_holds_everything_says_nothing(name: str) -> None:
    assert all(one.high / one.low < 3 for one in judged() if one.run.name == name)


@pytest.mark.parametrize("run", RUNS, ids=[run.name for run in RUNS])
def test_energy_spreads_no_further_than_the_hours_it_is_used_in(run: Metered) -> None:
    """The same work over more hours is a lower load, at which a board draws less."""
    hours, energy = spreads(run)
    assert 0.85 * hours < energy < hours
