"""Money, energy and carbon against what papers print, and what is said where nothing is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpuhours.cost.bill import Bill, CostInputs, bill, building_energy, carbon, machine_energy, money
from gpuhours.cost.grids import Grid, grid
from gpuhours.cost.prices import PREFERRED, Price, PriceRow, choose_price, price_rows
from gpuhours.hardware.accelerators import list_accelerators
from gpuhours.hardware.clusters import Cluster, cluster
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.profile_folders import Unknown, profile_paths
from gpuhours.inputs.units import parse

HOUR = 3600.0
KWH = 3.6e6


def billed(hours: float, accelerator: str = "h100-sxm-80gb", **inputs: Any) -> Bill:
    return bill(hours * HOUR, cluster(accelerator, gpus=8), CostInputs(**inputs))


# Energy printed in papers that is hours x watts x PUE: it tests the arithmetic, not the power model.
# name, accelerator, GPU-hours, share of 400 W, PUE, MWh printed, tolerance (their rounding), source
ENERGY = [
    ("LLaMA 7B", "a100-sxm-80gb", 82_432, 1.0, 1.1, 36, 0.02, "arXiv:2302.13971, table 15"),
    ("LLaMA 13B", "a100-sxm-80gb", 135_168, 1.0, 1.1, 59, 0.02, "arXiv:2302.13971, table 15"),
    ("LLaMA 33B", "a100-sxm-80gb", 530_432, 1.0, 1.1, 233, 0.005, "arXiv:2302.13971, table 15"),
    ("LLaMA 65B", "a100-sxm-80gb", 1_022_362, 1.0, 1.1, 449, 0.005, "arXiv:2302.13971, table 15"),
    (
        "OPT 175B as LLaMA reckons",
        "a100-sxm-80gb",
        809_472,
        1.0,
        1.1,
        356,
        0.005,
        "arXiv:2302.13971, table 15",
    ),
    ("BLOOM 176B", "a100-sxm-80gb", 1_082_990, 1.0, 1.0, 433.196, 1e-5, "arXiv:2211.02001, table 3"),
    ("SAM ViT-H", "a100-sxm-80gb", 68 * 256, 1.0, 1.0, 6.963, 1e-3, "arXiv:2304.02643, model card"),
]


@pytest.mark.parametrize("row", ENERGY, ids=[row[0] for row in ENERGY])
def test_energy_of_papers(row: tuple[str, str, float, float, float, float, float, str]) -> None:
    _, accelerator, hours, share, pue, printed, within, source = row
    energy = billed(hours, accelerator, power_share=share, pue=pue).energy
    assert energy is not None
    assert float(energy) / KWH / 1e3 == pytest.approx(printed, rel=within), source


# Carbon printed in papers from energy and an intensity they state.
# name, GPU-hours, W, PUE, gCO2e/kWh, t printed, tolerance, source
CARBON = [
    ("LLaMA 65B", 1_022_362, 400, 1.1, 385, 173, 0.005, "arXiv:2302.13971, table 15: 0.385 kg/kWh"),
    ("BLOOM 176B", 1_082_990, 400, 1.0, 57, 24.69, 0.001, "arXiv:2211.02001: 57 g/kWh, without PUE"),
    (
        "Llama 3.1 405B",
        30_840_000,
        700,
        1.08,
        383,
        8_930,
        0.01,
        "model card; PUE 1.08 and 383 g fit its 8,930 t",
    ),
]


@pytest.mark.parametrize("row", CARBON, ids=[row[0] for row in CARBON])
def test_carbon_of_papers(row: tuple[str, float, float, float, float, float, float, str]) -> None:
    _, hours, watts, pue, intensity, printed, within, source = row
    energy = building_energy(machine_energy(hours * HOUR, watts, 1.0), pue)
    assert carbon(energy, intensity / KWH) / 1e6 == pytest.approx(printed, rel=within), source


# name, accelerator, GPU-hours, the price the paper states, USD printed, tolerance, source
MONEY = [
    ("DeepSeek-V3", "h800-sxm-80gb", 2_788_000, "2 USD/GPU-hour", 5.576e6, 1e-9, "arXiv:2412.19437, table 1"),
    (
        "MiniMax-M1 RL",
        "h800-sxm-80gb",
        512 * 21 * 24,
        "2 USD/GPU-hour",
        534_700,
        0.04,
        "arXiv:2506.13585: 3 weeks",
    ),
    (
        "MPT-7B",
        "a100-sxm-40gb",
        440 * 9.5 * 24,
        "2 USD/GPU-hour",
        200_000,
        0.01,
        "Databricks: 440 A100, 9.5 days",
    ),
    (
        "nanochat d24",
        "h100-sxm-80gb",
        24.33,
        "3 USD/GPU-hour",
        73,
        0.01,
        "karpathy/nanochat: $24 an 8-GPU hour",
    ),
]


@pytest.mark.parametrize("row", MONEY, ids=[row[0] for row in MONEY])
def test_money_of_papers(row: tuple[str, str, float, str, float, float, str]) -> None:
    _, accelerator, hours, price, printed, within, source = row
    assert billed(hours, accelerator, price=price).cost == pytest.approx(printed, rel=within), source


def test_the_price_deepseek_reckons_with_is_the_one_known_for_its_accelerator() -> None:
    charge = billed(2_788_000, "h800-sxm-80gb")
    assert charge.cost == pytest.approx(5.576e6)
    assert charge.assumptions[0].name == "cost.price"
    assert "stated, 2024-12; the only stated offer known" in charge.assumptions[0].reason


@pytest.mark.parametrize("price", ["2.5 USD/hour", "2.5 USD/GPU-hour", 2.5, "2.5", "60 USD/day", "2.5 USD/(GPU*hour)"])
def test_a_price_as_people_write_it(price: object) -> None:
    assert billed(1000, price=price).cost == pytest.approx(2_500)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"price": "2.5 EUR/hour"}, "'EUR"),
    ({"price": "2.5 USD"}, "expected USD"),
    ({"price": -1}, "at least 0"),
    ({"pue": 0.9}, "between 1 and 5"),
    ({"power_share": 1.2}, "at most 1"),
    ({"terms": "on demand"}, "on-demand"),
    ({"year": 20.5}, "must be a year"),
    ({"prize": 2}, "Extra inputs"),
]


@pytest.mark.parametrize(("inputs", "message"), BAD, ids=[next(iter(row[0])) for row in BAD])
def test_bad_inputs(inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CostInputs(**inputs)


def test_lines_multiply_and_add_up() -> None:
    charge = billed(552_960, price="2.5 USD/hour", pue=1.2, country="United States", year=2024)
    assert [line.result for line in charge.lines] == ["cost", "energy", "energy", "carbon"]
    for line in charge.lines:
        scale = 1e3 if line.amount.unit == "kgCO2e" else 1.0
        assert line.quantity.value * line.rate.value == pytest.approx(line.amount.value * scale), line.name
        assert line.source
    assert charge.cost == pytest.approx(1_382_400)
    assert charge.energy == pytest.approx(552_960 * 0.7 * 0.85 * 1.2 * KWH)
    assert charge.carbon == pytest.approx(552_960 * 0.7 * 0.85 * 1.2 * 383.78)
    assert [assumption.name for assumption in charge.assumptions] == ["cost.power_share"]
    assert charge.warnings == ()


def test_every_supplied_figure_is_listed() -> None:
    named = {assumption.name: assumption for assumption in billed(1, country="France").assumptions}
    assert set(named) == {"cost.price", "cost.power_share", "cost.pue", "cost.year"}
    assert all(assumption.source and assumption.reason for assumption in named.values())


def test_measured_power_replaces_the_share() -> None:
    charge = billed(1000, power="612 W", pue=1)
    assert charge.energy == pytest.approx(612 * KWH)
    assert {assumption.name for assumption in charge.assumptions} == {"cost.price"}


def test_whole_nodes() -> None:
    """A DGX H100 is rated 10.2 kW for 8; measured means stay under 0.76 of that (arXiv:2412.08602)."""
    charge = billed(8, boundary="node", pue=1)
    assert charge.energy == pytest.approx(10.2 * 0.76 * KWH)
    none = bill(HOUR, cluster("a100-sxm-40gb", "aws-p4d", 8), CostInputs(boundary="node"))
    assert none.energy is None
    assert "the power of AWS p4d.24xlarge is not known" in none.warnings[0]


NOTHING: list[tuple[float | None, Cluster | None, dict[str, Any], str, str]] = [
    (None, None, {}, "cost", "the GPU-hours are not"),
    (HOUR, None, {}, "cost", "neither a price nor an accelerator"),
    (HOUR, None, {}, "energy", "no accelerator is given"),
    (HOUR, cluster("h100-sxm-80gb"), {}, "carbon", "no country is given"),
    (HOUR, cluster("h100-sxm-80gb"), {"country": "Frence"}, "carbon", "Did you mean 'France'?"),
    (HOUR, cluster("h100-sxm-80gb"), {"country": "Atlantis"}, "carbon", "the country 'Atlantis'"),
    (
        HOUR,
        cluster("h100-sxm-80gb"),
        {"country": "France", "year": 1995},
        "carbon",
        "2022 to 2025, not for 1995",
    ),
    (
        HOUR,
        cluster("h100-sxm-80gb"),
        {"provider": "Example"},
        "cost",
        "no dated Example price of h100-sxm-80gb",
    ),
    (HOUR, cluster("tpu-v5e"), {}, "energy", "the power of Google TPU v5e is not known; give cost.power"),
    (HOUR, cluster("gb300"), {}, "cost", "no dated price of gb300 is known"),
]


@pytest.mark.parametrize(("time", "machine", "inputs", "result", "reason"), NOTHING, ids=[row[4] for row in NOTHING])
def test_what_is_not_known_is_none_with_a_reason(
    time: float | None, machine: Cluster | None, inputs: dict[str, Any], result: str, reason: str
) -> None:
    charge = bill(time, machine, CostInputs(**inputs))
    assert getattr(charge, result) is None
    assert reason in next(warning for warning in charge.warnings if result in warning)


def test_a_bill_of_many_runs_is_the_bills_of_each() -> None:
    hours, prices, pues = np.array([[1.0], [10.0]]), np.array([1.0, 2.0, 3.0]), np.array([1.1, 1.2, 1.3])
    inputs = CostInputs(country="USA").model_copy(update={"price": prices / HOUR, "pue": pues})
    many = bill(hours * HOUR, cluster("h100-sxm-80gb"), inputs)
    one = billed(10, price=3, pue=1.3, country="USA")
    assert np.shape(np.asarray(many.cost)) == (2, 3)
    for result in ("cost", "energy", "carbon"):
        assert getattr(many, result)[1, 2] == pytest.approx(getattr(one, result))


def test_laws() -> None:
    assert money(2.0, 3.0) == 2 * money(1.0, 3.0)
    assert building_energy(machine_energy(1.0, 700.0, 0.85), 1.0) == machine_energy(1.0, 700.0, 0.85)
    assert machine_energy(1.0, 700.0, 0.85) < machine_energy(1.0, 700.0, 1.0)


@pytest.mark.parametrize("name", list(profile_paths("prices")))
def test_every_price_is_dated_sourced_and_plausible(name: str) -> None:
    assert name in list_accelerators()
    rows = price_rows(name)
    assert rows
    for row in rows:
        assert "2022" < row.as_of < "2027", row.name
        assert len(row.source) > 10
        assert 0.2 <= row.price * HOUR <= 30, row.name


PAGES = [
    ("h100-sxm-80gb", "AWS", "on-demand", 55.04 / 8),
    ("h100-sxm-80gb", "GCP", "on-demand", 88.49 / 8),
    ("h200-sxm-141gb", "Azure", "on-demand", 84.80 / 8),
    ("b200-sxm", "AWS", "on-demand", 113.933 / 8),
    ("gb200", "AWS", "capacity-block", 761.904 / 72),
    ("a100-sxm-80gb", "AWS", "on-demand", 27.44705 / 8),
]


@pytest.mark.parametrize(("name", "provider", "terms", "usd"), PAGES, ids=[f"{row[0]} {row[1]}" for row in PAGES])
def test_a_price_is_the_nodes_over_its_accelerators(name: str, provider: str, terms: str, usd: float) -> None:
    """GCP lists hosts and accelerators apart: 9.46 USD/hour is a host without its eight H100."""
    chosen = choose_price(name, provider, terms)
    assert isinstance(chosen, Price)
    assert chosen.row.price * HOUR == pytest.approx(usd, rel=1e-3)


def row(price: float, provider: str, as_of: str, terms: str = "on-demand") -> dict[str, Any]:
    return {"price": price, "provider": provider, "as_of": as_of, "terms": terms, "source": "invented"}


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
    assert chosen.reason == "the middle of 3 on-demand offers, the newest of each provider"
    assert isinstance(choose_price("any", "d"), Unknown), "spot is never taken unasked"
    spot = choose_price("any", "d", "spot")
    assert isinstance(spot, Price)
    assert "spot" not in PREFERRED


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


NAMES = ["United States", "USA", "us", "united states of america", " U.S. "]


@pytest.mark.parametrize("name", NAMES)
def test_a_country_by_name_and_code(name: str) -> None:
    found = grid(name, 2024)
    assert isinstance(found, Grid)
    assert (found.code, found.country, found.year) == ("USA", "United States", 2024)
    assert found.intensity * KWH == pytest.approx(383.78)


def test_the_years_of_a_grid() -> None:
    newest, early, gap = grid("France"), grid("France", 2020), grid("UAE", 2025)
    assert isinstance(newest, Grid)
    assert isinstance(early, Grid)
    assert isinstance(gap, Grid)
    assert (newest.year, early.year, gap.year) == (2025, 2022, 2024)


def test_intensities_lie_where_grids_lie() -> None:
    from gpuhours.cost.grids import _tables

    for table in _tables():
        for code, country in table.countries.items():
            assert len(code) == 3
            for year, value in country.intensity.items():
                assert 10 < parse(value, "gCO2e/kWh") < 1_000, (code, year)
