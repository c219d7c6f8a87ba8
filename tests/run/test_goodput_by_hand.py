"""Every formula of goodput against hand calculations."""

from __future__ import annotations

import numpy as np
import pytest

from gpuhours.hardware.number_formats import Precision
from gpuhours.run.goodput import (
    AT_SCALE,
    NEAR_BEST,
    POSITIONS,
    Operation,
    UsualSpread,
    availability,
    best_interval,
    blocked_time,
    checkpoint_bytes,
    checkpoint_of,
    goodput,
    interval_of,
    launch_time,
    launched,
    usual,
    write_rate,
    write_time,
)
from tests.round_machine import ADAPTED, MODEL, WHOLE

HOUR = 3600.0


def test_a_figure_drawn_from_its_spread() -> None:
    """Linear in the logarithm: a quarter of the way from quantile 0.5 to 0.9 is a quarter of the way from 10 to 160."""
    spread = UsualSpread(value=10.0, low=2.0, high=160.0, source="by hand")
    assert spread.draw(np.array([0.1, 0.5, 0.6, 0.9])) == pytest.approx([2, 10, 20, 160])


def test_checkpoints() -> None:
    """2 + 4 + 8 bytes for every parameter; for an adapted model 2 for the frozen ones and 14 for the adapters."""
    assert checkpoint_bytes(10, 5, Precision()) == 150
    assert checkpoint_of(MODEL.model(1), Precision()) == pytest.approx(14 * WHOLE)
    adapters = 4 * 8 * (4 * 1024 + 1024 + 256 + 256 + 1024)
    assert checkpoint_of(ADAPTED.model(1), Precision()) == pytest.approx(2 * WHOLE + 14 * adapters)
    assert write_time(1e12, 50e9) == 20.0


@pytest.mark.parametrize(
    ("said", "position", "gpus", "seconds"),
    [
        ({"blocking": True, "checkpoint_bandwidth": 1e10}, 0.5, 64, 100.0),
        ({"blocking": False, "checkpoint_bandwidth": 1e10}, 0.5, 64, 3.0),  # a copy only, as usual
        ({"blocking": False, "checkpoint_bandwidth": 1e12}, 0.5, 64, 1.0),  # never more than the writing
        ({"blocking": True}, 0.5, 8, 250.0),  # 4 GB/s: what one node can send
        ({"blocking": True}, 0.5, 256, 50.0),  # 20 GB/s: the parallel file system of 256 accelerators
        ({"blocking": True}, 0.5, 1024, 12.5),  # four times as much for four times as many
        ({"blocking": True, "storage": "nvme"}, 0.5, 64, 1e12 / (8 * 8e9)),  # of every node
        ({"checkpoint_bandwidth": 1e10}, 0.6, 64, 100.0),  # not said: the upper half waits,
        ({"checkpoint_bandwidth": 1e10}, 0.5, 64, 3.0),
    ],
)
def test_what_a_save_of_a_terabyte_blocks(said: dict[str, object], position: float, gpus: int, seconds: float) -> None:
    operation = Operation.model_validate(said)
    assert blocked_time(operation, position, 1e12, gpus / 8, gpus) == pytest.approx(seconds)


def test_nobody_at_scale_waits_for_the_writing() -> None:
    blocked = blocked_time(Operation(), 0.9, 1e14, AT_SCALE / 8, AT_SCALE)
    assert blocked == pytest.approx(usual().blocked.high)


def test_time_between_saves() -> None:
    """As stated; by steps of 10 s; an hour by default, but at most twice sqrt(2 x 8 s / (1 / hour))."""
    assert interval_of(Operation(checkpoint_interval=900.0), 0.5, 10.0, 8.0, 1 / HOUR) == 900.0
    assert interval_of(Operation(checkpoint_steps=30), 0.5, 10.0, 8.0, 1 / HOUR) == 300.0
    assert best_interval(8.0, 1 / HOUR) == pytest.approx(240)
    assert interval_of(Operation(), 0.5, 10.0, 8.0, 1 / HOUR) == pytest.approx(NEAR_BEST * 240)
    assert interval_of(Operation(), 0.5, 10.0, 8.0, 1 / (HOUR * 1e6)) == pytest.approx(HOUR)


def test_launch_by_nodes() -> None:
    """The geometric mean of 120 and 600 s on four nodes, half of the way to sixteen in powers of two."""
    assert launch_time(0.5, np.array([1, 4, 16, 2048])) == pytest.approx([120, (120 * 600) ** 0.5, 600, 600])
    assert launch_time(0.9, 1) == pytest.approx(600)


def test_productive_time_over_wall_clock() -> None:
    """One failure in 10 days of 100 GPUs, half an hour to restart, saves of 6 s every hour; 2 % evaluation; 10 minutes of launch in 10
    days: each loss taken off in turn."""
    operation = Operation(
        failures=1e-3,
        restart=1800.0,
        checkpoint_interval=HOUR,
        checkpoint_bandwidth=1e12,
        blocking=True,
        evaluation=0.02,
        launch=600.0,
    )
    found = goodput(
        operation, dict.fromkeys(POSITIONS, 0.5), gpus=100, nodes=12.5, size=6e12, step_time=10.0, productive=864e3
    )
    stopped = availability(0.1 / 86400, 1800.0, HOUR, 6.0)
    assert stopped == pytest.approx((1 - 0.1 / 86400 * (1800 + 1800)) / (1 + 6 / HOUR), rel=1e-4)
    assert launched(864e3, 600.0) == pytest.approx(864e3 / 864.6e3)
    assert found == pytest.approx(float(stopped) * 0.98 * 864e3 / 864.6e3)


def test_each_kind_of_storage_grows_with_the_cluster_in_its_own_way() -> None:
    """Drives with the nodes, an object store not at all; a parallel file system with the nodes that write, then with the GPUs it serves."""
    drives, store, parallel = (
        [float(write_rate(kind, 0.5, nodes, 8 * nodes)) for nodes in (1, 2, 4, 256, 512)]  # type: ignore[arg-type]
        for kind in ("nvme", "object", "lustre")
    )
    assert [one / drives[0] for one in drives] == pytest.approx([1, 2, 4, 256, 512])
    assert [one / store[0] for one in store] == [1] * 5
    assert [one / parallel[0] for one in parallel[:3]] == pytest.approx([1, 2, 4])
    assert parallel[4] / parallel[3] == pytest.approx(2)
