"""Goodput: the closed form against a simulation of events, laws, and the goodput of published runs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from gpuhours.hardware.number_formats import Precision
from gpuhours.run.goodput import (
    POSITIONS,
    Operation,
    availability,
    best_interval,
    blocked_time,
    checkpoint_bytes,
    goodput,
    interruptions,
    interval_of,
    launched,
    usual,
    write_time,
)  # fmt: skip
from gpuhours.run.points import centred_points
from gpuhours.run.ranges import percentiles

HOUR = 3600.0


def simulated(failures: float, restart: float, interval: float, blocked: float, saves: int, seed: int) -> float:
    """Return productive over wall-clock time of a run simulated failure by failure."""
    random = np.random.default_rng(seed)
    clock, done = 0.0, 0
    failure = random.exponential(1 / failures)
    while done < saves:
        end = clock + interval + blocked
        if failure >= end:
            clock, done = end, done + 1
            continue
        clock = failure
        while True:  # a failure during a restart starts it again
            failure = clock + random.exponential(1 / failures)
            if failure >= clock + restart:
                clock += restart
                break
            clock = failure
    return done * interval / clock


@pytest.mark.parametrize(
    ("failures", "restart", "interval", "blocked"),
    [(1 / HOUR, 600, 1800, 60), (0.1 / HOUR, 900, 3600, 5), (3 / HOUR, 300, 600, 30), (0.02 / HOUR, 7200, 10800, 300)],
)
def test_closed_form_is_what_a_simulation_of_events_gives(
    failures: float, restart: float, interval: float, blocked: float
) -> None:
    played = simulated(failures, restart, interval, blocked, 20_000, seed=5)
    assert float(availability(failures, restart, interval, blocked)) == pytest.approx(played, rel=0.02)


def test_small_losses_are_the_form_of_kokolis() -> None:
    f, R, tau, C = 0.01 / HOUR, 600.0, HOUR, 60.0
    assert float(availability(f, R, tau, C)) == pytest.approx((1 - f * (R + tau / 2)) / (1 + C / tau), rel=1e-3)


def test_youngs_interval_loses_least() -> None:
    f, C, R = 0.3 / HOUR, 20.0, 600.0
    best = float(best_interval(C, f))
    assert best == pytest.approx(np.sqrt(2 * 20 * HOUR / 0.3))
    at = [float(availability(f, R, best * factor, C)) for factor in (0.5, 0.9, 1.0, 1.1, 2.0)]
    assert max(at) - at[2] < 2e-4
    assert at[0] < at[2] > at[4]


def test_a_stated_interval_against_youngs() -> None:
    """Saving every 1,000 steps to Lustre on 512 GPUs (X-Gen-Video-30B), by hand: one failure in 3.9 days; 400 GB at 40 GB/s block 10 s;
    1,000 steps of 9.7 s lose f tau / 2 = 1.4 % to repeated work and C / tau = 0.1 % to saves, Young's 2,600 s 0.38 % to each."""
    failures, restart = 5e-4 * 512 / 86400, 900.0
    blocked = blocked_time(Operation(storage="lustre", blocking=True), 0.5, 400e9, 64, 512)
    assert float(blocked) == pytest.approx(10.0)
    stated = interval_of(Operation(checkpoint_steps=1000), 0.5, 9.7, blocked, failures)
    youngs = best_interval(blocked, failures)
    assert float(youngs) == pytest.approx(2598, rel=1e-3)
    lost = [1 - float(availability(failures, restart, tau, blocked)) - failures * restart for tau in (stated, youngs)]
    assert lost == pytest.approx([0.0144 + 0.0010, 0.00385 + 0.00385], abs=2e-4)


def test_more_failures_slower_restarts_and_rarer_saves_cost_more() -> None:
    base = float(availability(0.1 / HOUR, 600, HOUR, 10))
    assert float(availability(0.2 / HOUR, 600, HOUR, 10)) < base
    assert float(availability(0.1 / HOUR, 1200, HOUR, 10)) < base
    assert float(availability(0.1 / HOUR, 600, 3 * HOUR, 10)) < base
    assert float(availability(0.1 / HOUR, 600, HOUR, 100)) < base
    assert 0 < base < 1


def test_checkpoint_of_bloom_and_of_llama() -> None:
    assert float(checkpoint_bytes(176.247e9, 0, Precision())) == pytest.approx(2.3e12, rel=0.08), (
        "arXiv:2211.05100: 2.3 TB"
    )
    weights_and_optimiser = (15 + 90) * 2**30
    assert float(checkpoint_bytes(8.03e9, 0, Precision())) == pytest.approx(weights_and_optimiser, rel=0.01)
    assert float(write_time(2.3e12, 57.5e9)) == pytest.approx(40, rel=0.01), "BLOOM on GPFS"
    assert float(checkpoint_bytes(0, 7e9, Precision())) == 14e9
    assert float(checkpoint_bytes(1, 0, Precision("fp32"))) == 4 + 8, "nothing is narrower than its master"
    assert float(checkpoint_bytes(1, 0, Precision(state="amp"))) == 4 + 8, "12 a parameter: MaxText's documentation"
    assert float(checkpoint_bytes(1, 0, Precision(optimizer="lion"))) == 2 + 4 + 4, "one moment"


def test_a_short_run_is_mostly_launch() -> None:
    assert float(launched(600.0, 600.0)) == 0.5


@dataclass(frozen=True)
class Published:
    """The goodput that a report states, and how its run was operated. These figures do not count evaluation as a stop."""

    run: str
    gpus: int
    days: float
    parameters: float
    stated: Operation
    low: float
    high: float
    source: str
    missed: str = field(default="")


RUNS = [
    Published("Llama 3 405B", 16384, 54, 405e9, Operation(failures=419 / 54 / 16384, blocking=False), 0.90, 0.97,
              "arXiv:2407.21783, section 3.3.4: more than 90 %"),
    Published("RSC-1", 2048, 10, 70e9, Operation(failures=6.5e-3 / 8, checkpoint_interval=3600.0), 0.88, 0.92,
              "arXiv:2410.21680: about 0.9 for runs on more than 1,024 GPUs; saves every hour"),
    Published("MegaScale", 12288, 30, 530e9, Operation(restart=900.0, blocking=False), 0.90, 0.97,
              "arXiv:2402.15627: more than 90 %; diagnosis under 10 min, catching up under 15"),
    Published("ByteRobust", 9600, 90, 500e9, Operation(restart=600.0, blocking=False), 0.965, 0.975,
              "arXiv:2509.16293: 0.97 over three months; failover about 10 min"),
    Published("OPT-175B", 992, 60, 175e9, Operation(failures=105 / 60 / 992, restart=4 * HOUR), 0.59, 0.59,
              "arXiv:2205.01068: 105 restarts in two months, a third of them by hand; the restart of four hours is ours",
              "34 days of steps at its 147 TFLOP/s in 57 days: restarts and lost work were longer than four hours"),
    Published("HLAT 7B", 1024, 60, 7e9, Operation(), 0.988, 0.988, "HLAT, 7B: 98.8 %; nothing else is known here"),
    Published("HLAT 70B", 4096, 60, 70e9, Operation(storage="object", blocking=True), 0.778, 0.778,
              "HLAT, 70B: 77.8 %; saved to an object store"),
]  # fmt: skip


def predicted(run: Published) -> tuple[float, float, float]:
    """Return median, 10th and 90th percentile of the goodput predicted from the stated facts alone."""
    points = centred_points(len(POSITIONS))
    at = {name: points[place] for place, name in enumerate(POSITIONS)}
    size = checkpoint_bytes(run.parameters, 0, Precision())
    drawn = goodput(
        run.stated.model_copy(update={"evaluation": 0.0}),
        at,
        gpus=run.gpus,
        nodes=run.gpus / 8,
        size=size,
        step_time=10.0,
        productive=run.days * 86400,
    )
    low, high = percentiles(drawn) or (0.0, 0.0)
    return float(np.median(drawn[1:])), low, high


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.run)
def test_published_goodput_lies_in_the_range(run: Published) -> None:
    _, low, high = predicted(run)
    inside = run.high >= low and run.low <= high
    assert inside is not bool(run.missed), (run.source, low, high)


def test_every_figure_has_its_source_and_order() -> None:
    figures = usual()
    for spread in (figures.failures, figures.restart, figures.restart_at_scale, figures.evaluation, figures.launch,
                   figures.launch_at_scale, figures.interval, figures.blocked, *figures.storage.values()):  # fmt: skip
        assert spread.low < spread.value < spread.high
        assert len(spread.source) > 40


OF_A_RUN = {"gpus": 1024, "nodes": 128, "size": 9.8e11, "step_time": 10.0, "productive": 30 * 86400.0}
"""70B parameters on 1,024 accelerators for a month."""
WORSE = [
    pytest.param([{"failures": one} for one in (1e-4, 1e-3, 1e-2)], id="failures"),
    pytest.param([{"restart": one} for one in (300.0, 1800.0, 3 * HOUR)], id="restart"),
    pytest.param([{"checkpoint_interval": one} for one in (2 * HOUR, 6 * HOUR, 24 * HOUR)], id="rarer than best"),
    pytest.param([{"checkpoint_interval": one} for one in (600.0, 60.0, 20.0)], id="more often than best"),
    pytest.param([{"checkpoint_steps": one} for one in (720, 2160, 8640)], id="steps, rarer than best"),
    pytest.param([{"blocking": True, "checkpoint_bandwidth": one} for one in (1e12, 1e11, 1e10)], id="bandwidth"),
    pytest.param([{"blocking": True, "storage": one} for one in ("nvme", "lustre", "object")], id="storage"),
    pytest.param([{"storage": "object", "blocking": one} for one in (False, True)], id="blocking"),
    pytest.param([{"evaluation": one} for one in (0.0, 0.02, 0.1)], id="evaluation"),
    pytest.param([{"launch": one} for one in (60.0, 1800.0, 5 * HOUR)], id="launch"),
]


@pytest.mark.parametrize("from_best", WORSE)
def test_every_key_moves_goodput_its_way(from_best: list[dict[str, object]]) -> None:
    """At the median of everything else."""
    at = dict.fromkeys(POSITIONS, 0.5)
    found = [float(goodput(Operation.model_validate(said), at, **OF_A_RUN)) for said in from_best]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == len(found)


def test_larger_checkpoints_cost_more() -> None:
    stated = Operation(blocking=True, checkpoint_interval=HOUR)
    at = dict.fromkeys(POSITIONS, 0.5)
    small, large = (float(goodput(stated, at, **{**OF_A_RUN, "size": size})) for size in (1e11, 1e12))
    assert large < small


def test_causes_add_up_to_the_time_lost() -> None:
    """1 / goodput - 1 is the sum of the causes, to first order."""
    stated = Operation(failures=2e-4, restart=600.0, checkpoint_interval=1800.0, evaluation=0.02, launch=600.0)
    found = interruptions(stated, dict.fromkeys(POSITIONS, 0.5), **OF_A_RUN)
    assert sum(map(float, found.shares.values())) == pytest.approx(1 / float(found.goodput) - 1, rel=0.02)
    by_hand = {"restarts": 1024 * 2e-4 / 86400 * 600, "evaluation": 0.02 / 0.98, "launch": 600 / (30 * 86400)}
    assert {name: float(found.shares[name]) for name in by_hand} == pytest.approx(by_hand)
