"""A first answer on a card whose kernels are not known, by hand: model FLOPs over a usual share of the peak."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import gpuhours
from gpuhours.inputs.durations import HOUR
from gpuhours.run.typical import PeakShare
from gpuhours.run.unmeasured_card import between

TPU = {"model.params": 4e9, "data.tokens": 1e12, "hardware.accelerator": "tpu-v5p"}


def _estimate(**keys: Any) -> Any:
    return gpuhours.estimate(gpuhours.from_dict({}, "test", settings=TPU | keys))


def test_hours_follow_from_a_usual_share_of_the_peak() -> None:
    """FLOPs / (0.23 x 459 TFLOP/s), with the range of the share; no stops on top, since the share includes them."""
    found = _estimate()
    hours = found.results["gpu_hours"]
    assert hours.value == pytest.approx(found.results["model_flops"].value / (0.23 * 459e12) / HOUR, rel=1e-6)
    assert hours.high / hours.low == pytest.approx(0.54 / 0.07, rel=0.03)
    assert found.results["mfu"].basis == "assumed"
    assert any("--mfu" in warning for warning in found.warnings)


def test_stated_stops_are_not_counted_twice() -> None:
    """4 B: runs whose share is 0.23 ran for 0.98 of their time. At that goodput nothing changes, at 0.49 hours double."""
    hours = _estimate().results["gpu_hours"].value
    as_usual = _estimate(**{"known.goodput": 0.98})
    assert as_usual.results["mfu"].value == pytest.approx(0.23 / 0.98)
    assert as_usual.results["gpu_hours"].value == pytest.approx(hours)
    assert as_usual.results["gpu_hours"].low == pytest.approx(_estimate().results["gpu_hours"].low, rel=0.01)
    assert _estimate(**{"known.goodput": 0.49}).results["gpu_hours"].value == pytest.approx(2 * hours)


def test_large_models_have_their_own_share() -> None:
    """Whole runs of 10 B parameters and more spread less."""
    assert _estimate(**{"model.params": 70e9}).results["mfu"].value == pytest.approx(0.27)


def test_a_larger_model_never_takes_fewer_hours() -> None:
    """At the bound of 10 B the share is the geometric mean of both lines; on either side hours grow with the size, at every edge of the
    range. 10 B took 143 k and 9.9 B 167 k."""
    sizes = (3e9, 4.9e9, 5.1e9, 7e9, 9.9e9, 10e9, 14e9, 19.9e9, 20.1e9, 30e9)
    hours = [_estimate(**{"model.params": size}).results["gpu_hours"] for size in sizes]
    for smaller, larger in itertools.pairwise(hours):
        assert smaller.low < larger.low
        assert smaller.value < larger.value
        assert smaller.high < larger.high
    middle = (
        PeakShare(low=0.1, value=0.2, high=0.4, goodput=0.9, source="small"),
        PeakShare(low=0.2, value=0.3, high=0.5, goodput=0.8, source="large", least_params=10e9),
    )
    assert between(*middle, 10e9).value == pytest.approx(0.06**0.5)
    assert between(*middle, 10e9).goodput == pytest.approx(0.72**0.5)
    assert between(*middle, 5e9).low == pytest.approx(0.1)
    assert between(*middle, 20e9).high == pytest.approx(0.5)


@pytest.mark.parametrize(
    "keys", [{"known.mfu": 0.4}, {"known.gpu_hours": "100k"}, {"known.days": 30, "hardware.gpus": 256}]
)
def test_what_is_stated_is_kept(keys: dict[str, Any]) -> None:
    """A stated MFU, hours, or duration and number of chips leave nothing to assume."""
    assert "known.mfu" not in {one.name for one in _estimate(**keys).assumptions}


def test_days_alone_solve_the_chips() -> None:
    """Hours over a stated duration give the number of chips."""
    found = _estimate(**{"known.days": 30})
    assert found.results["gpus"].value == pytest.approx(found.results["gpu_hours"].value / (30 * 24), rel=1e-6)


def test_a_measured_card_is_still_sampled() -> None:
    """On a card with kernel constants the step is predicted."""
    assert _estimate(**{"hardware.accelerator": "h100-sxm-80gb", "hardware.gpus": 64}).sample is not None
