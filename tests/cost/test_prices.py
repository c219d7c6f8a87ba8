"""Dated prices: the contents of each, and which one is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpuhours.cost.bill import bill
from gpuhours.cost.inputs import CostInputs
from gpuhours.cost.prices import PREFERRED, Price, PriceRow, choose_price, price_rows
from gpuhours.hardware.accelerators import list_accelerators
from gpuhours.hardware.clusters import cluster
from gpuhours.inputs.durations import HOUR
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.profile_folders import Unknown, profile_paths
from gpuhours.questions.listing.hardware import sheet
from tests.cost.billing import billed


@pytest.mark.parametrize("name", list(profile_paths("prices")))
def test_every_price_is_dated_sourced_and_plausible(name: str) -> None:
    assert name in list_accelerators()
    rows = price_rows(name)
    assert rows
    for row in rows:
        assert "2022" < row.as_of < "2027", row.name
        assert len(row.source) > 10
        assert 0.1 <= row.price * HOUR <= 30, row.name  # an RTX 3060 on a marketplace: 0.14
        assert row.seen_at.startswith("https://"), row.name
        assert (row.years is not None) == (row.terms == "reserved"), row.name


PAGES = [
    ("h100-sxm-80gb", "AWS", "on-demand", 55.04 / 8),
    ("h100-sxm-80gb", "GCP", "on-demand", 88.49 / 8),
    ("h200-sxm-141gb", "Azure", "on-demand", 84.80 / 8),
    ("b200-sxm", "AWS", "on-demand", 113.933 / 8),
    ("gb200", "AWS", "capacity-block", 761.904 / 72),
    ("a100-sxm-80gb", "AWS", "on-demand", 27.44705 / 8),
    ("h100-sxm-80gb", "AWS", "reserved", 38.53 / 8),
    ("h100-sxm-80gb", "CoreWeave", "spot", 19.71 / 8),
    ("b300-sxm", "CoreWeave", "spot", 35.84 / 8),
    ("a100-sxm-40gb", "AWS", "on-demand", 21.957642 / 8),
    ("l40", "CoreWeave", "on-demand", 10.00 / 8),
    ("mi325x", "TensorWave", "on-demand", 1.95),
]


@pytest.mark.parametrize(("name", "provider", "terms", "usd"), PAGES, ids=[f"{row[0]} {row[1]}" for row in PAGES])
def test_a_price_is_the_nodes_over_its_accelerators(name: str, provider: str, terms: str, usd: float) -> None:
    """GCP lists hosts and accelerators separately: 9.46 USD/hour is a host without its eight H100."""
    chosen = choose_price(name, provider, terms)
    assert isinstance(chosen, Price)
    assert chosen.row.price * HOUR == pytest.approx(usd, rel=1e-3)


def row(price: float, provider: str, as_of: str, terms: str = "on-demand", **more: Any) -> dict[str, Any]:
    return {"price": price, "provider": provider, "as_of": as_of, "terms": terms, "source": "invented", **more}


def test_the_price_taken_is_the_middle_one_of_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    offers = [
        row(9, "a", "2024-01"), row(3, "a", "2026-01"), row(2, "b", "2026-02-03"), row(8, "c", "2025-12"),
        row(7, "c", "2025-12"), row(1, "d", "2026-05", "spot"), row(1, "e", "2026-05", "marketplace"),
    ]  # fmt: skip
    rows = tuple(PriceRow.model_validate(offer) for offer in offers)
    monkeypatch.setattr("gpuhours.cost.prices.price_rows", lambda name: rows)
    chosen = choose_price("any")
    assert isinstance(chosen, Price)
    assert (chosen.row.provider, chosen.row.as_of) == ("a", "2026-01")
    assert (chosen.low * HOUR, chosen.high * HOUR) == pytest.approx((2, 7))
    assert chosen.reason == "the middle of 3 on demand offers, the newest of each provider"
    assert isinstance(choose_price("any", "d"), Unknown), "spot is never taken unasked"
    spot = choose_price("any", "d", "spot")
    assert isinstance(spot, Price)
    assert "spot" not in PREFERRED


def test_of_two_the_cheaper_and_its_range_in_dollars_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tuple(PriceRow.model_validate(offer) for offer in (row(5, "a", "2026-01"), row(3, "b", "2026-01")))
    monkeypatch.setattr("gpuhours.cost.prices.price_rows", lambda name: rows)
    chosen = choose_price("any")
    assert isinstance(chosen, Price)
    said = chosen.to_dict()
    assert (said["provider"], said["unit"]) == ("b", "USD/(GPU*hour)")
    assert (said["value"], said["low"], said["high"]) == pytest.approx((3, 3, 5))


@pytest.mark.parametrize(
    ("date", "message"),
    [
        ("", "a price without a date is a rumour"),
        ("as_of: undated, ", "must be a date"),
        ("as_of: 2026-13, ", "must be a date"),
    ],
)
def test_a_price_without_a_date_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, date: str, message: str
) -> None:
    (tmp_path / "prices").mkdir()
    text = f"- {{price: 2 USD/GPU-hour, provider: us, terms: on-demand, {date}source: invented}}\n"
    (tmp_path / "prices" / "h100-sxm-80gb.yaml").write_text(text)
    monkeypatch.setenv("GPUHOURS_PROFILES", str(tmp_path))
    with pytest.raises(EstimateError) as raised:
        price_rows("h100-sxm-80gb")
    assert "h100-sxm-80gb.yaml:1" in raised.value.where
    assert message in str(raised.value).lower()


def test_terms_are_never_ranked_with_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A three-year reservation paid upfront is not compared with a one-year reservation or an hour on demand."""
    offers = [
        row(9, "a", "2026-01"), row(5, "a", "2026-01", "reserved", years=1), row(3, "a", "2026-01", "reserved", years=3, upfront="all"),
        row(6, "b", "2026-01", "reserved", years=1), row(1, "c", "2026-01", "spot"),
    ]  # fmt: skip
    rows = tuple(PriceRow.model_validate(offer) for offer in offers)
    monkeypatch.setattr("gpuhours.cost.prices.price_rows", lambda name: rows)
    demanded, reserved, bound = (
        choose_price("x"),
        choose_price("x", terms="reserved"),
        choose_price("x", terms="reserved", years=3),
    )
    assert isinstance(demanded, Price)
    assert isinstance(reserved, Price)
    assert isinstance(bound, Price)
    assert demanded.row.price * HOUR == pytest.approx(9)
    assert (reserved.low * HOUR, reserved.high * HOUR) == pytest.approx((5, 6))
    assert bound.row.name == "a, reserved for 3 years, paid up front, 2026-01"
    missing = choose_price("x", "b", "reserved", 3)
    assert isinstance(missing, Unknown)
    assert "no dated b 3-year reserved price of x is known" in missing.reason


INSTANCES = [
    ("p5.48xlarge", {}, 55.04 / 8, "AWS on demand 2026-10"),
    ("p4d.24xlarge", {}, 21.957642 / 8, "AWS on demand 2026-11-09"),
    (
        "p5.48xlarge",
        {"terms": "reserved", "years": 3},
        23.777 / 8,
        "AWS reserved for 3 years, paid up front 2026-05-25",
    ),
    ("a3-megagpu-8g", {}, 92.94 / 8, "GCP on demand 2026-05-25"),
    ("p5.48xlarge", {"provider": "Lambda"}, 3.99, "Lambda on demand 2026-10"),
]


@pytest.mark.parametrize(
    ("instance", "inputs", "usd", "terms"), INSTANCES, ids=[f"{row[0]} {row[1]}" for row in INSTANCES]
)
def test_an_instance_is_charged_at_its_own_price(instance: str, inputs: dict[str, Any], usd: float, terms: str) -> None:
    charge = bill(100 * HOUR, cluster(instance, gpus=8), CostInputs(**inputs))
    assert charge.cost == pytest.approx(100 * usd, rel=1e-3)
    assert charge.lines[0].terms == terms


def test_an_instance_without_a_price_says_whose_it_takes() -> None:
    charge = bill(100 * HOUR, cluster("p5e.48xlarge", gpus=8), CostInputs(terms="on-demand"))
    reason = next(one for one in charge.assumptions if one.name == "cost.price").reason
    assert charge.lines[0].terms == "AWS on demand 2026-08, no such price of p5e.48xlarge known"
    assert "no such price of p5e.48xlarge known" in reason


def test_the_spread_of_known_prices_is_the_range() -> None:
    charge = billed(1, "a100-sxm-80gb")
    low, middle, high = (usd * HOUR for usd in charge.ranges["cost.price"])
    assert (low, middle, high) == pytest.approx((2.70, 2.79, 3.43), rel=0.01)
    assert "cost.price" not in billed(1, "a100-sxm-80gb", price=2).ranges


def test_the_sheet_of_an_instance_has_its_price() -> None:
    shown = sheet("p5.48xlarge")
    assert isinstance(shown.price, Price)
    assert shown.price.row.price * HOUR == pytest.approx(55.04 / 8)
    assert {row.offering for row in shown.prices} == {"p5.48xlarge"}
    unpriced, own = sheet("p3dn.24xlarge").price, sheet("dgx-h100").price
    assert isinstance(unpriced, Unknown)
    assert "no dated AWS p3dn.24xlarge price of v100-sxm-32gb is known" in unpriced.reason
    assert isinstance(own, Unknown)
