"""Energy per node and embodied carbon, against measured values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpuhours.cost.bill import bill
from gpuhours.cost.embodied import embodied_carbon
from gpuhours.cost.inputs import CostInputs
from gpuhours.cost.power import RUNNING_LOSS, Load, board_share
from gpuhours.hardware.clusters import cluster
from gpuhours.inputs.durations import HOUR
from gpuhours.questions.estimating.estimating import estimate
from gpuhours.run.ensemble import ensemble
from gpuhours.run.spec import from_dict
from tests.benchmarks.energy import RUNS, described, judged, ratio
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
    charge = bill(HOUR, cluster(accelerator, node, 8), CostInputs(pue=1), load=Load(hfu))
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
    """The power model alone, from published hours; the ranges of the full prediction from parameters, tokens and accelerators."""
    found = judged()
    assert len(found) == 4
    by_hours = [one.from_hours / one.run.measured for one in found if one.from_hours is not None]
    assert by_hours == pytest.approx([1.0], abs=0.03)
    assert sum(one.inside for one in found) >= 3


def test_metered_runs_from_parameters_and_tokens() -> None:
    """The geometric mean of predicted over metered energy."""
    assert ratio(judged()) == pytest.approx(1.0, abs=0.15)
    assert all(described(run).year is not None for run in RUNS), "else GPT-3 is predicted with the stacks of this year"


@pytest.mark.parametrize("name", [run.name for run in RUNS])
def test_a_range_that_holds_everything_says_nothing(name: str) -> None:
    assert all(one.high / one.low < 3 for one in judged() if one.run.name == name)


@pytest.mark.parametrize("name", [run.name for run in RUNS])
def test_slow_runs_draw_less_power(name: str) -> None:
    """The same work over more hours is a lower load: the printed range of energy is narrower than that of the hours it is used in."""
    one = next(one for one in judged() if one.run.name == name)
    hours, energy = one.spreads
    assert 0.85 * hours < energy < hours
    low, _, high = one.watts
    assert high < low


def test_what_is_lost_is_seldom_a_stop() -> None:
    """``RUNNING_LOSS`` against the stops and the remainder that the same runs are predicted with."""
    samples = [sample for run in RUNS if (sample := ensemble(described(run))) is not None]
    lost = [(np.median(one.goodput), np.median(one.effective_goodput)) for one in samples]
    assert np.median([1 - (1 - stops) / (1 - goodput) for stops, goodput in lost]) == pytest.approx(
        RUNNING_LOSS, abs=0.02
    )


def known(**figures: Any) -> float:
    """MWh that the accelerators draw in a run of 7B parameters and 1T tokens with these figures known."""
    found = estimate(
        from_dict(
            {
                "model": {"params": "7B"},
                "data": {"tokens": "1T", "seq_len": 4096},
                "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 256},
                "known": figures,
                "cost": {"boundary": "accelerators"},
            }
        )
    ).results["energy"]
    assert found is not None
    return round(float(found.value) * HOUR / 3.6e9, 6)


def test_more_goodput_in_the_same_hours_never_lowers_the_energy() -> None:
    used = [known(gpu_hours=160_000, goodput=goodput) for goodput in (0.3, 0.45, 0.6, 0.8, 0.9, 1.0)]
    assert used == sorted(used)
    assert used[-1] > 1.5 * used[0]


@pytest.mark.parametrize("goodput", [{}, {"goodput": 0.6}])
def test_power_never_rises_as_the_mfu_falls(goodput: dict[str, float]) -> None:
    shares = (0.6, 0.45, 0.35, 0.25, 0.15, 0.05)
    watts = [round(known(mfu=mfu, **goodput) * mfu, 6) for mfu in shares]  # hours are inverse to the MFU
    assert watts == sorted(watts, reverse=True)
    assert watts[-1] < 0.95 * watts[0]
