"""Units of a bill, shares of ratings, and words that contain numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

import gpuhours
from gpuhours.cost.embodied import _manufacturing_emissions
from gpuhours.cost.inputs import CostInputs
from gpuhours.cost.lines import JSON_UNITS, UNIT_SIZES
from gpuhours.cost.power import HOST_RANGE, PUE, PUE_RANGE
from gpuhours.hardware.figures import SourcedFigure
from tests.round_machine import NODE, machine

RUN = {
    "model": "llama-3-8b",
    "data": {"tokens": "1T", "seq_len": 4096},
    "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 64},
}


def test_units_of_a_bill() -> None:
    """An hour is 3,600 s, a kWh 3.6e6 J, a month 365.25 / 12 days."""
    hours = {"GPU*hour": 3600, "USD/(GPU*hour)": 1 / 3600, "gCO2e/(GPU*hour)": 1 / 3600}
    energy = {"kWh": 3.6e6, "gCO2e/kWh": 1 / 3.6e6, "USD/kWh": 1 / 3.6e6, "kW/GPU": 1e3}
    stored = {"GB": 1e9, "USD/GB": 1e-9, "GB*month": 1e9 * 730.5 * 3600, "USD/(GB*month)": 1 / (1e9 * 730.5 * 3600)}
    assert pytest.approx({"": 1, "USD": 1, "kgCO2e": 1e3, **hours, **energy, **stored}) == UNIT_SIZES


def test_units_of_json() -> None:
    """1 tCO2e is 1e6 g; 1 Wh is 3,600 J."""
    assert JSON_UNITS["kWh"] == ("Wh", 3600.0)
    assert JSON_UNITS["kgCO2e"] == ("tCO2e", 1e6)
    assert (JSON_UNITS["kW/GPU"], JSON_UNITS["GB"], JSON_UNITS["USD/GB"]) == (
        ("watt/GPU", 1),
        ("byte", 1),
        ("USD/byte", 1),
    )
    assert JSON_UNITS["gCO2e/kWh"][1] == pytest.approx(1e6 / 3600)
    assert JSON_UNITS["gCO2e/(GPU*hour)"][1] == pytest.approx(1e6 / 3600)
    assert JSON_UNITS["USD/kWh"][1] == pytest.approx(1 / 3600)


def test_hosts_draw_a_share_of_what_their_rating_leaves() -> None:
    low, middle, high = HOST_RANGE
    assert 0 < low < middle < high <= 1


def test_a_hall_of_accelerators_wastes_less_than_the_mean_of_all_halls() -> None:
    """A PUE is at least 1; the mean of all data centres is 1.56 (Uptime Institute, Global Data Center Survey 2024)."""
    low, middle, high = PUE_RANGE
    assert 1 < low < middle < high < 1.56
    assert middle == PUE.value


def test_a_nodes_making_is_shared_by_its_accelerators() -> None:
    """800 kg for a node of eight: 100 kg each."""
    node = replace(NODE, embodied=8e5, figures={**NODE.figures, "embodied": SourcedFigure(value=8e5, source="round")})
    hosts = {name: made for name, made, _ in _manufacturing_emissions(replace(machine(8), node=node), CostInputs())}[
        "making hosts"
    ]
    assert hosts == pytest.approx(1e5)


def test_words_of_a_price_and_a_draw_hold_their_numbers() -> None:
    found = gpuhours.estimate({**RUN, "known": {"mfu": 0.4}, "year": 2026}).to_dict()
    price = next(one for one in found["assumptions"] if one["name"] == "cost.price")
    low, high = (float(text) for text in price["reason"].rpartition("(")[2].rstrip(")").split(" to "))
    assert low <= price["value"] <= high < 100
    draws = [line["terms"] for line in found["bill"]["lines"] if line["result"] == "energy" and "W" in line["terms"]]
    assert any(text.startswith("0.") and " of 700 W" in text for text in draws), draws


def test_words_of_what_was_emitted_in_making_hold_its_number() -> None:
    """An hour of a GPU accounts for kg / (years x 8,766 h), which JSON gives in t."""
    found = gpuhours.estimate({**RUN, "known": {"mfu": 0.4}, "year": 2026}).to_dict()
    for line in (one for one in found["bill"]["lines"] if one["result"] == "embodied_carbon"):
        kilograms, years = (float(line["terms"].split()[place].replace(",", "")) for place in (0, 3))
        assert kilograms / (years * 8766) == pytest.approx(1e3 * line["rate"]["value"], rel=0.02)
