"""The remainder that whole runs share, learned from other organisations' runs: medians, spreads and likeness by hand."""

from __future__ import annotations

import numpy as np
import pytest

from gpuhours.questions.validating.remainders import learn, likely, mean_log_loss
from gpuhours.run.remainder import NOTHING, Likeness, Remainder, applied_share

ALIKE = Likeness(kind=0.15, year=0.2, organisation=0.2, run=0.3)


def runs(
    *residuals: tuple[str, float], year: int = 2024, kind: str = "text", params: float = 7e9
) -> list[dict[str, object]]:
    return [
        {
            "id": str(n), "organisation": who, "kind": kind, "year": year, "params": params, "residual": value, "nodes": 64.0,
            "hours": 1e4, "below": 0.1, "above": 0.1,
        }
        for n, (who, value) in enumerate(residuals)
    ]  # fmt: skip


def test_remainder_is_the_middle_of_the_others_and_as_wide_as_they_spread() -> None:
    spread = [(who, value) for who, value in zip("abcdefghij", np.linspace(0.0, 0.4, 10), strict=True)]
    found = learn(runs(*spread), ALIKE).remainder("text", 2024, 7e9)
    assert found.value == pytest.approx(np.exp(0.2), rel=0.01)
    assert found.low < found.value < found.high
    assert learn([], ALIKE).remainder("text", 2024, 7e9) == NOTHING
    narrow = learn(runs(*((who, 0.2) for who in "abcdefghij")), ALIKE).remainder("text", 2024, 7e9)
    assert narrow.high / narrow.low == pytest.approx(1.0)


def test_a_size_that_enough_have_trained_spreads_by_itself() -> None:
    small = runs(*((who, value) for who, value in zip("abcdefghij", np.linspace(-0.6, 0.6, 10), strict=True)))
    large = runs(*((who, 0.0) for who in "klmnopqrst"), params=7e10)
    found = learn([*small, *large], ALIKE)
    one, other = found.remainder("text", 2024, 7e9), found.remainder("text", 2024, 7e10)
    assert one.value == other.value
    assert other.high / other.low < 1.3 < 2 < one.high / one.low
    few = learn([*small, *large[:7]], ALIKE)
    assert few.spread("text", large=True) != found.spread("text", large=True), (
        "seven organisations are spoken for by the kind"
    )


def test_two_runs_by_hand() -> None:
    one, other = runs(("a", 0.2), ("b", 0.2))
    found = learn([one, {**other, "residual": 0.4}], ALIKE)
    shared = 1.0 + 0.15**2 + 9 * 0.2**2
    own = 0.2**2 + 0.3**2
    assert found.remainder("text", 2024, 7e9).value == pytest.approx(np.exp(0.6 * shared / (2 * shared + own)))
    assert found.off == pytest.approx([0.2 - 0.4 * shared / (shared + own), 0.4 - 0.2 * shared / (shared + own)])
    spread = shared + own - shared**2 / (shared + own)
    densities = 0.375 / spread**0.5 * (1 + found.off**2 / spread / 4) ** -2.5  # Student's with 4 degrees of freedom
    assert mean_log_loss(found) == pytest.approx(-np.mean(np.log(densities)))


def test_one_large_organisation_does_not_decide() -> None:
    found = learn(runs(*([("a", 2.0)] * 36), *((who, 0.0) for who in "bcdefghijklm")), ALIKE)
    assert found.remainder("text", 2024, 7e9).value < np.exp(1.0)


def test_a_kind_and_a_year_that_few_have_shown_lean_on_others() -> None:
    text = runs(*((who, 0.0) for who in "abcdefghijklmnop"))
    found = learn([*text, *runs(("x", 0.6), ("y", 0.6), kind="video"), *runs(("z", 0.6), year=2020)], ALIKE)
    assert found.remainder("text", 2024, 7e9).value == pytest.approx(1.0, abs=0.1)
    assert 1.05 < found.remainder("video", 2024, 7e9).value < np.exp(0.6)
    assert 1.05 < found.remainder("text", 2020, 7e9).value < np.exp(0.6)
    assert found.remainder("text", 2030, 7e9) == found.remainder("text", 2024, 7e9), "years to come are as the last"


def test_likeness_is_what_makes_runs_without_their_organisation_least_of_a_surprise() -> None:
    years = [run for year, value in ((2022, 0.5), (2023, 0.0), (2024, 0.5)) for run in runs(
        *((f"{who}{year}", value + 0.02 * n) for n, who in enumerate("abcd")), year=year,
    )]  # fmt: skip
    mean = likely(years)
    assert mean.year > 0.1
    assert mean_log_loss(learn(years, mean)) < mean_log_loss(
        learn(years, Likeness(0.0, 0.0, mean.organisation, mean.run))
    )


def test_one_run_decides_no_tie_between_likenesses() -> None:
    """The covariance changes by no more than a run's share of the evidence, whichever set of parameters is the likeliest."""
    owners = [(who, 0.1 * np.sin(3 * n)) for n, who in enumerate("abcdefghijklmnopqrst")]
    years = [run for place, one in enumerate(owners) for run in runs(one, year=2020 + place % 5)]
    whole = likely(years)
    for out in (0, 9):
        other = likely([*years[:out], *years[out + 1 :]])
        assert abs(other.year - whole.year) < 0.03
        assert abs(other.exempt - whole.exempt) < 0.1


def test_single_nodes_feel_no_remainder_and_the_most_expensive_runs_half_of_it() -> None:
    nodes, hours = np.array([1.0, 4.0, 16.0, 1000.0, 256.0, 2048.0]), np.array([1e3, 1e4, 1e5, 1e5, 1e6, 1e8])
    assert np.asarray(applied_share(nodes, hours, 0.5)) == pytest.approx([0.0, 0.5, 1.0, 1.0, 0.75, 0.5])
    dear = [{**run, "hours": 1e7} for run in runs(*((who, 0.2) for who in "abcdefghij"))]
    exempt = Likeness(0.15, 0.2, 0.2, 0.3, exempt=0.5)
    assert learn(dear, exempt).remainder("text", 2024, 7e9).value == pytest.approx(np.exp(0.4), rel=0.05)


def test_a_remainder_moves_the_median_by_its_own_whatever_side_spreads_further() -> None:
    """With draws of the remainder around 1.2 (1.1 to 3.6), the median is multiplied by 1.2."""
    place = (np.arange(101) + 0.5) / 101
    alone = np.exp(0.3 * np.sin(7 * np.arange(101))) * 3600
    one = Remainder(1.2, 1.1, 3.6)
    assert np.median(alone * one.factors(alone, place, 16.0)) == pytest.approx(1.2 * np.median(alone))
    ratio = one.factors(alone, place, 16.0)
    assert np.quantile(ratio, 0.9) / np.quantile(ratio, 0.5) == pytest.approx(3.0, rel=0.02)
