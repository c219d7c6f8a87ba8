"""How far a step may be off because of what a run does not state."""

from __future__ import annotations

import numpy as np
import pytest

import gpuhours
from gpuhours.run.band import Band, band
from gpuhours.run.evaluate import evaluate
from gpuhours.run.resolve import resolve
from gpuhours.step import over_left_open, step
from gpuhours.workload import Workload

RUN = {
    "model": "llama-3-8b", "data.tokens": "1T", "hardware.accelerator": "h100-sxm-80gb", "hardware.gpus": 64, "layout.tensor": 1,
    "layout.pipeline": 1, "layout.microbatch": 1, "layout.sharding": "zero3", "layout.recompute": "none", "software": "fsdp2-eager",
    "training.dtype": "bf16",
}  # fmt: skip


def workload(**settings: object) -> Workload:
    return resolve(gpuhours.from_dict({}, settings={**RUN, **settings})).workload


def factors(asked: Workload, *facts: str) -> tuple[float, float]:
    time = step(asked).time
    least, most = over_left_open(asked, time, {fact: np.asarray(True) for fact in facts})
    return float(least), float(most)


def test_a_step_of_which_everything_is_said_has_no_such_range() -> None:
    asked = workload()
    closed = {"recompute": np.asarray(False)}
    assert over_left_open(asked, step(asked).time, closed) == (1.0, 1.0)


def test_recomputation_left_open_reaches_from_none_to_full() -> None:
    """Full recomputation is one forward pass more: a third of the GEMMs' FLOPs."""
    asked = workload()
    least, most = factors(asked, "recompute")
    assert least == 1.0
    assert most == pytest.approx(float(step(workload(**{"layout.recompute": "full"})).time / step(asked).time))
    assert 1.1 < most < 1.4
    assert factors(workload(**{"layout.recompute": "full"}), "recompute")[0] == pytest.approx(1 / most)


def test_a_value_that_does_not_fit_in_memory_is_passed_over() -> None:
    """70B on 16 accelerators with full recomputation: keeping all activations takes more than they have."""
    large = {"model": "llama-3-70b", "hardware.gpus": 16, "layout.recompute": "full"}
    assert factors(workload(**large), "recompute") == (1.0, 1.0)


def test_a_network_counts_only_between_nodes() -> None:
    assert factors(workload(**{"hardware.gpus": 8}), "network") == (1.0, 1.0)
    least, most = factors(workload(), "network")
    assert (least, most > 1.05) == (1.0, True)


def test_eight_bit_gemms_may_be_meant_where_there_are_any() -> None:
    assert factors(workload(), "precision")[0] < 0.95
    assert factors(workload(**{"hardware.accelerator": "a100-sxm-80gb"}), "precision") == (1.0, 1.0)


def test_independent_facts_add_up_as_squares() -> None:
    asked = workload()
    each = [np.log(factors(asked, fact)[1]) for fact in ("recompute", "network")]
    assert np.log(factors(asked, "recompute", "network")[1]) == pytest.approx(np.hypot(*each))


def test_a_run_whose_layout_leaves_recomputation_open_may_take_longer_by_it() -> None:
    def range_of(settings: dict[str, object]) -> Band:
        found = band(evaluate(gpuhours.from_dict({}, settings=settings)))
        assert found is not None
        return found

    less = {key: value for key, value in RUN.items() if key != "layout.recompute"}
    stated, left = range_of(dict(RUN)), range_of(less)
    assert left.low == stated.low
    assert left.high > 1.05 * stated.high


def test_a_schedule_left_open_counts_from_two_stages_on() -> None:
    """Chunks of two stages already make the bubble smaller; one stage has none."""
    open_pipeline = {"software": "megatron-core", "layout.sharding": "zero1", "training.global_batch": 256}
    assert factors(workload(**open_pipeline), "schedule") == (1.0, 1.0)
    least, most = factors(workload(**open_pipeline, **{"layout.pipeline": 2}), "schedule")
    assert least < 0.999
    assert most == 1.0
