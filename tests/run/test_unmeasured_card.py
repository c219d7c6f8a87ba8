"""A first answer on a card whose kernels are not known, by hand: model FLOPs over a usual share of the peak."""

from __future__ import annotations

from typing import Any

import pytest

import gpuhours
from gpuhours.inputs.durations import HOUR

TPU = {"model.params": 7e9, "data.tokens": 1e12, "hardware.accelerator": "tpu-v5p"}


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


def test_large_models_have_their_own_share() -> None:
    """Whole runs of 10 B parameters and more spread less."""
    assert _estimate(**{"model.params": 70e9}).results["mfu"].value == pytest.approx(0.27)


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
