"""Cost, energy and carbon against figures printed in papers, and the messages if something is not known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpuhours.cost.bill import bill, carbon, money
from gpuhours.cost.grids import GridIntensity, grid
from gpuhours.cost.inputs import CostInputs
from gpuhours.cost.lines import TOTALS
from gpuhours.cost.power import building_energy, drawn_energy
from gpuhours.cost.storage import Chosen, choose, storage_prices
from gpuhours.hardware.clusters import Cluster, cluster
from gpuhours.inputs.durations import HOUR
from gpuhours.inputs.units import parse
from tests.cost.billing import KWH, billed

# Energy printed in papers and computed as hours x watts x PUE: it tests the arithmetic, not the power model.
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
    energy = billed(hours, accelerator, power_share=share, pue=pue, boundary="accelerators").energy
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
    energy = building_energy(drawn_energy(hours * HOUR, watts), pue)
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
    ({"pue": 5.01}, "between 1 and 5"),
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
    """A line is quantity x rate; a total is the sum of its lines."""
    charge = billed(
        552_960, price="2.5 USD/hour", pue=1.2, country="United States", year=2024, boundary="accelerators", power_share=0.85,
        storage={"data": "50 TB", "checkpoints": 4, "egress": "1 TB"},
    )  # fmt: skip
    scales = {"kgCO2e": 1e3}
    for line in charge.lines:
        scale = scales.get(line.amount.unit, 1.0)
        assert line.quantity.value * line.rate.value == pytest.approx(line.amount.value * scale), line.name
        assert line.source
    for name in TOTALS:
        parts = [float(line.amount.si) for line in charge.lines if line.result == name]
        assert sum(parts) == pytest.approx(float(getattr(charge, name))), name
    names = [line.name for line in charge.lines if line.result == "cost"]
    assert names == ["GPU time", "data kept", "4 checkpoints kept", "egress"]
    assert charge.energy == pytest.approx(552_960 * 0.7 * 0.85 * 1.2 * KWH)
    assert charge.carbon == pytest.approx(552_960 * 0.7 * 0.85 * 1.2 * 383.78)
    assert charge.warnings == ()


def test_every_supplied_figure_is_listed() -> None:
    named = {assumption.name: assumption for assumption in billed(1, country="France").assumptions}
    assert set(named) == {"cost.price", "cost.power_share", "cost.host_share", "cost.pue", "cost.year", "cost.lifetime"}
    assert all(assumption.source and assumption.reason for assumption in named.values())


def test_measured_power_replaces_the_share() -> None:
    charge = billed(1000, power="612 W", pue=1, boundary="accelerators")
    assert charge.energy == pytest.approx(612 * KWH)
    assert {assumption.name for assumption in charge.assumptions} == {"cost.price", "cost.lifetime"}


NOTHING: list[tuple[float | None, Cluster | None, dict[str, Any], str, str]] = [
    (None, None, {}, "cost", "the GPU-hours are not"),
    (HOUR, None, {}, "cost", "neither a price nor an accelerator"),
    (HOUR, None, {}, "energy", "no accelerator is given"),
    (HOUR, None, {}, "embodied_carbon", "no accelerator is given"),
    (HOUR, cluster("b200-sxm"), {"owned": {}}, "cost", "the purchase price of an owned accelerator is not known"),
    (HOUR, cluster("h100-sxm-80gb"), {"storage": {"data": "1 TB"}}, "cost", "how long data are stored is not known"),
    (
        HOUR,
        cluster("h100-sxm-80gb"),
        {"storage": {"checkpoints": 2, "kept": "1 day"}},
        "cost",
        "size of a checkpoint is not known",
    ),
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
    (HOUR, cluster("h20-sxm-96gb"), {}, "cost", "no dated price of h20-sxm-96gb is known"),
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
    assert building_energy(drawn_energy(1.0, 595.0), 1.0) == drawn_energy(1.0, 595.0)
    assert drawn_energy(1.0, 595.0) < drawn_energy(1.0, 700.0)


NAMES = ["United States", "USA", "us", "united states of america", " U.S. "]


@pytest.mark.parametrize("name", NAMES)
def test_a_country_by_name_and_code(name: str) -> None:
    found = grid(name, 2024)
    assert isinstance(found, GridIntensity)
    assert (found.code, found.country, found.year) == ("USA", "United States", 2024)
    assert found.intensity * KWH == pytest.approx(383.78)


def test_the_years_of_a_grid() -> None:
    newest, early, gap = grid("France"), grid("France", 2020), grid("UAE", 2025)
    assert isinstance(newest, GridIntensity)
    assert isinstance(early, GridIntensity)
    assert isinstance(gap, GridIntensity)
    assert (newest.year, early.year, gap.year) == (2025, 2022, 2024)


def test_intensities_lie_where_grids_lie() -> None:
    from gpuhours.cost.grids import _tables

    for table in _tables():
        for code, country in table.countries.items():
            assert len(code) == 3
            for year, value in country.intensity.items():
                assert 10 < parse(value, "gCO2e/kWh") < 1_000, (code, year)


def test_hardware_of_ones_own() -> None:
    """By hand: 30,000 USD over 5 years at 83 % use is 0.825 USD per hour; 10 % upkeep per year 0.412; 1 kW at 8 cents 0.08."""
    owned = {"capex": 30_000, "years": 5, "utilisation": 0.83, "electricity": "0.08 USD/kWh", "upkeep": "10%"}
    charge = billed(1000, power="1 kW", pue=1, boundary="accelerators", owned=owned)
    by_name = {line.name: float(line.amount.value) for line in charge.lines if line.result == "cost"}
    assert by_name["depreciation"] == pytest.approx(30_000_000 / (5 * 8766 * 0.83))
    assert by_name["upkeep"] == pytest.approx(3_000_000 / (8766 * 0.83))
    assert by_name["electricity"] == pytest.approx(80)
    assert charge.cost == pytest.approx(sum(by_name.values()))
    assert {one.name for one in charge.assumptions} == {"cost.lifetime"}


def test_storage_by_hand() -> None:
    """100 TB and 10 checkpoints of 1 TB for a month at 0.02 USD/GB-month; 5 TB of egress at 0.09 USD/GB."""
    month = 365.25 / 12 * 86400
    inputs = CostInputs(
        price=0, storage={"data": "100 TB", "checkpoints": 10, "price": 0.02, "egress": "5 TB", "egress_price": 0.09}
    )
    charge = bill(0.0, cluster("h100-sxm-80gb"), inputs, wall_clock=month, checkpoint=1e12)
    assert [float(line.amount.value) for line in charge.lines if line.result == "cost"] == pytest.approx(
        [0, 2000, 200, 450]
    )
    assert charge.cost == pytest.approx(2650), "a price of zero is a price"


def test_prices_of_storage_are_dated_and_addressed() -> None:
    assert {row.kind for row in storage_prices()} == {"object", "parallel", "egress"}
    for price in storage_prices():
        assert 0.005 <= float(price.price.split()[0]) <= 1
        assert price.si > 0
    chosen = choose("object", "AWS")
    assert isinstance(chosen, Chosen)
    assert chosen.terms == "AWS S3 Standard 2026-11"
