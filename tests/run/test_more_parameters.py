"""A law: no more parameters, all else equal, take fewer hours, where a line of ``typical.yaml`` begins as elsewhere."""

from __future__ import annotations

import itertools

import pytest

import gpuhours
from gpuhours.run.typical import UsualWeights, near, parts

CARDS = ("v100-sxm2-32gb", "a100-sxm-80gb", "h100-sxm-80gb")
SIZES = (
    1e9,
    1.5e9,
    2.4e9,
    2.6e9,
    3.5e9,
    4.9e9,
    5.1e9,
    7e9,
    9.5e9,
    9.9e9,
    10.1e9,
    10.5e9,
    13e9,
    19e9,
    21e9,
    26e9,
    33e9,
    39e9,
    41e9,
    50e9,
)


@pytest.mark.parametrize("year", range(2019, 2027))
def test_more_parameters_never_take_fewer_hours(year: int) -> None:
    """100 B tokens on 256 cards, as many as hold all of these: 5.1 B took 3 % fewer hours than 4.9 B, whose 27 heads no tensor ranks
    divided and below which recomputation was less usual at once."""
    for card in CARDS:
        hours = []
        for size in SIZES:
            keys = {"year": year, "data": {"tokens": 1e11}, "hardware": {"accelerator": card, "gpus": 256}}
            hours.append(
                gpuhours.estimate(gpuhours.from_dict({**keys, "model": {"params": size}})).results["gpu_hours"].value
            )
        fewer = [
            (card, size) for size, (one, more) in zip(SIZES, itertools.pairwise(hours), strict=False) if more < one
        ]
        assert not fewer


LARGE = UsualWeights(least_params=20e9, judged={"a": 1}, source="large ones")
SMALL = UsualWeights(judged={"b": 1}, source="the others")
TUNED = UsualWeights(tuned=True, judged={"c": 1}, source="tuned ones")


@pytest.mark.parametrize(
    ("params", "weight"),
    [(14e9, 0.0), (20e9 / 2**0.5, 0.0), (20e9, 0.5), (20e9 * 2**0.25, 0.75), (20e9 * 2**0.5, 1.0), (29e9, 1.0)],
)
def test_lines_blend_around_the_size_from_which_one_applies(params: float, weight: float) -> None:
    """From 14 to 28 B around 20, evenly in the logarithm; with a factor two on either side from 10 to 40."""
    found = parts((LARGE, SMALL), "text", 2024, 64, params, 0.0, mixture=False, adapters=False)
    assert {line.source: share for share, line in found} == pytest.approx(
        {name: share for name, share in (("large ones", weight), ("the others", 1 - weight)) if share}
    )
    assert near(params, LARGE, 2**0.5) == pytest.approx(weight)
    assert near(params, SMALL, 2**0.5) == 1.0
    assert near(10e9, LARGE, 2.0) == pytest.approx(0.0)
    assert near(40e9, LARGE, 2.0) == pytest.approx(1.0)


def test_runs_that_may_be_tuned_blend_both_ways() -> None:
    """At 20 B, a quarter of them tuned: half of the other three quarters on either line."""
    found = parts((TUNED, LARGE, SMALL), "text", 2024, 64, 20e9, 0.25, mixture=False, adapters=False)
    assert {line.source: share for share, line in found} == pytest.approx(
        {"tuned ones": 0.25, "large ones": 0.375, "the others": 0.375}
    )
