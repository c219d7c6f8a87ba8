"""Pipeline schedules: bubbles published by others, and laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuhours.layout.placement import Placement
from gpuhours.layout.schedules import SCHEDULES, Schedule
from gpuhours.step.schedule import Passes, exposed_time, no_host, pipeline_time, stages

LAYER = Passes(1.0, 1.0, 1.0)
NOTHING = Passes()


def bubble_share(pipeline: int, microbatches: int, interleave: int = 1, schedule: Schedule = Schedule.f1b1) -> float:
    line = stages(LAYER, Placement(pipeline * interleave, pipeline), NOTHING, NOTHING)
    time = pipeline_time(line, microbatches, pipeline, interleave, schedule)
    busy = microbatches * line.together.total / pipeline
    return float((time - busy) / busy)


@pytest.mark.parametrize(
    ("pipeline", "microbatches", "interleave", "expected"),
    [(4, 8, 1, 3 / 8), (8, 64, 1, 7 / 64), (8, 64, 2, 7 / 128), (8, 128, 4, 7 / 512), (1, 16, 1, 0.0)],
)
def test_bubble_is_narayanans(pipeline: int, microbatches: int, interleave: int, expected: float) -> None:
    """Narayanan et al. 2021, section 2.2: (p - 1) / m, with v chunks (p - 1) / (v m)."""
    schedule = Schedule.interleaved if interleave > 1 else Schedule.f1b1
    assert bubble_share(pipeline, microbatches, interleave, schedule) == pytest.approx(expected)


def test_measured_bubbles_of_equal_stages() -> None:
    """Own measurements on four H200s, 1F1B, llama-1.3B blocks: 0.43, 0.28, 0.17 of the step for 4, 8 and 16 micro-batches."""
    for microbatches, measured in ((4, 0.43), (8, 0.28), (16, 0.17)):
        share = bubble_share(4, microbatches)
        assert share / (1 + share) == pytest.approx(measured, abs=0.02)


def test_zero_bubble_schedules_are_ordered() -> None:
    """Qi et al. 2023: ZB-2p is faster than ZB-1p, which is faster than 1F1B; with many micro-batches no bubble remains."""
    plain, one, two = (bubble_share(8, 24, schedule=kind) for kind in (Schedule.f1b1, Schedule.zb1p, Schedule.zb2p))
    assert plain > one > two >= 0
    assert bubble_share(8, 64, schedule=Schedule.zb2p) == 0


@pytest.mark.parametrize(
    ("layers", "pipeline", "interleave", "full"),
    [(96, 8, 12, 12), (126, 8, 8, 16), (94, 8, 11, 12), (61, 16, 1, 4), (22, 8, 1, 3), (5, 1, 1, 5)],
)
def test_layers_that_do_not_fill_are_spread(layers: int, pipeline: int, interleave: int, full: int) -> None:
    """The slowest stage has ceil(L / p) layers for any number of chunks."""
    line = stages(LAYER, Placement(layers, pipeline), NOTHING, NOTHING)
    assert float(line.slowest) == pytest.approx(3 * full)


def test_the_head_decides_the_tick() -> None:
    """A head as long as two layers makes the last stage the slowest; one layer fewer on that stage compensates for half of it."""
    head = Passes(2.0, 2.0, 2.0)
    assert float(stages(LAYER, Placement(24, 8), NOTHING, head).slowest) == pytest.approx(15)
    assert float(stages(LAYER, Placement(22, 8), NOTHING, head).slowest) == pytest.approx(12)


@given(
    pipeline=st.integers(1, 64),
    interleave=st.integers(1, 8),
    microbatches=st.integers(1, 512),
    layers=st.integers(1, 200),
    schedule=st.sampled_from(list(Schedule)),
)
def test_no_schedule_beats_work_without_idling(
    pipeline: int, interleave: int, microbatches: int, layers: int, schedule: Schedule
) -> None:
    line = stages(LAYER, Placement(layers, pipeline), Passes(0.5), Passes(1.0, 2.0))
    time = float(pipeline_time(line, microbatches, pipeline, interleave, schedule))
    assert time >= microbatches * line.together.total / pipeline * (1 - 1e-12)


def test_arrays_give_what_floats_give() -> None:
    depth = np.array([1, 2, 4, 8])
    line = stages(LAYER, Placement(32, depth), NOTHING, Passes(1.0))
    together = pipeline_time(line, 16, depth, 1, Schedule.f1b1)
    for place, pipeline in enumerate(depth):
        alone = pipeline_time(
            stages(LAYER, Placement(32, int(pipeline)), NOTHING, Passes(1.0)), 16, int(pipeline), 1, Schedule.f1b1
        )
        assert together[place] == alone


@pytest.mark.parametrize(
    ("sent", "behind", "exposed", "waited"),
    [(1.0, 10.0, 0.0, 0.0), (1.0, 10.0, 0.3, 0.3), (1.0, 0.2, 0.0, 0.8), (1.0, 0.0, 0.5, 1.0)],
)
def test_what_overlap_leaves(sent: float, behind: float, exposed: float, waited: float) -> None:
    assert float(exposed_time(sent, behind, exposed)) == pytest.approx(waited)


@pytest.mark.parametrize(
    ("sent", "scale_up", "waited"),
    [(1.0, 1.0, 0.3), (1.0, 0.1, 0.3 * 0.2), (12.0, 0.1, 0.06 + 12 - 0.06 - 10), (1.0, 5.0, 0.3)],
)
def test_a_stretched_collective_costs_its_bytes(sent: float, scale_up: float, waited: float) -> None:
    """0.3 of twice its time over the scale-up links, at most its own time; what does not fit behind 10 s is fully visible."""
    assert float(exposed_time(sent, 10.0, 0.3, scale_up)) == pytest.approx(waited)


def test_every_schedule_has_rules() -> None:
    assert set(SCHEDULES) == set(Schedule)
    assert (SCHEDULES[Schedule.gpipe].order.ahead, SCHEDULES[Schedule.zb2p].order.lag) == (None, 2)


def test_without_launches_no_stage_is_late() -> None:
    assert no_host(0.25, 3.0) == 0.0
