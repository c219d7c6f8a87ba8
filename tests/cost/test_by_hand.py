"""Every formula and every line of cost/ against hand calculations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gpuhours.cost.bill import bill, carbon, money, offer
from gpuhours.cost.embodied import embodied_bill, embodied_carbon
from gpuhours.cost.grids import countries, grid
from gpuhours.cost.inputs import CostInputs, read_kept, read_sent
from gpuhours.cost.lines import Amount, Bill, Line, joined, unknown
from gpuhours.cost.owned import depreciation, owned_bill, upkeep
from gpuhours.cost.power import (
    HOST_SHARE,
    POWER_SHARE,
    PUE,
    SHARE_SPREAD,
    UNKNOWN_LOAD,
    Load,
    board_share,
    building_energy,
    drawn_energy,
    draws,
    energy_bill,
    running_share,
)
from gpuhours.cost.prices import PriceRow, choose_price, price_rows, read_date
from gpuhours.cost.storage import choose, keeping, storage_bill, storage_prices
from gpuhours.hardware.clusters import cluster
from gpuhours.hardware.figures import SourcedFigure
from gpuhours.inputs.errors import UnitError
from gpuhours.inputs.profile_folders import Unknown
from tests.round_machine import CARD, machine

HOUR, KWH, YEAR = 3600.0, 3.6e6, 365.25 * 86400.0
MONTH = YEAR / 12
THOUSAND_HOURS = 1000 * HOUR
FIRST, *_, LAST = sorted(countries()["FRA"].intensity)
"""Years of the grids that are known."""


def asked(**inputs: Any) -> CostInputs:
    return CostInputs(**inputs)


def line(found: Bill, name: str) -> Line:
    return next(one for one in found.lines if one.name == name)


def test_quantity_times_rate() -> None:
    assert money(THOUSAND_HOURS, 2.5 / HOUR) == pytest.approx(2500)
    assert carbon(1000 * KWH, 400 / KWH) == pytest.approx(400e3)
    assert drawn_energy(THOUSAND_HOURS, 700) == pytest.approx(700 * KWH)
    assert building_energy(700 * KWH, 1.2) == pytest.approx(840 * KWH)
    assert keeping(1e12, MONTH, 0.02e-9 / MONTH) == pytest.approx(20), "a terabyte for a month"


@pytest.mark.parametrize(("hfu", "share"), [(0.0, 0.69), (0.2, 0.69 + 0.49 * 0.2), (0.35, 0.8615), (0.9, 0.8615)])
def test_a_board_draws_by_its_load_up_to_35_per_cent(hfu: float, share: float) -> None:
    assert board_share(hfu) == pytest.approx(share)


def test_hours_without_steps_draw_a_fifth_of_the_limit() -> None:
    """At an HFU of 50 % a step draws 0.8615 of the limit; with six tenths of the hours productive, 0.6 x 0.8615 + 0.4 x 0.2.

    If only 4 % of the hours are stops, the others are slower, with an HFU of 0.2 x 0.72 / 0.96 = 15 %: 0.96 x (0.69 + 0.49 x 0.15) +
    0.04 x 0.2.
    """
    assert Load(0.5, 0.6, running=0.6).share == pytest.approx(0.5969)
    assert Load(0.2, 0.72, running=0.96).share == pytest.approx(0.74096)
    assert Load(None, 0.6, running=0.6).share == pytest.approx(0.6 * 0.85 + 0.4 * 0.2)
    assert Load(0.5, error=0.9).share == pytest.approx(0.9 * 0.8615)
    assert Load(0.5, error=1.5).share == 1.0
    assert running_share(0.75) == pytest.approx(1 - 0.12 * 0.25)
    assert running_share(1.2) == 1.0


def test_a_card_of_one_s_own() -> None:
    """40,000 USD over five years at 50 % use; a tenth of it per year for staff and space."""
    assert depreciation(40_000, 5, 0.5) * YEAR == pytest.approx(16_000)
    assert upkeep(40_000, 0.1, 0.5) * YEAR == pytest.approx(8_000)
    inputs = asked(owned={"capex": 40_000, "years": 5, "utilisation": 0.5, "upkeep": 0.1, "electricity": 0.1})
    found = owned_bill(THOUSAND_HOURS, None, inputs, 900 * KWH)
    years = THOUSAND_HOURS / YEAR
    assert line(found, "depreciation").amount.si == pytest.approx(16_000 * years)
    assert line(found, "upkeep").amount.si == pytest.approx(8_000 * years)
    assert line(found, "electricity").amount.si == pytest.approx(90)
    assert found.cost == pytest.approx(24_000 * years + 90)
    assert found.assumptions == ()
    assert "capex" in owned_bill(THOUSAND_HOURS, None, asked(owned={}), 900 * KWH).reasons["cost"]
    assert "electricity" in owned_bill(THOUSAND_HOURS, None, inputs, None).reasons["cost"]


def test_making_the_machines() -> None:
    """150 kg for a card and 2,500 kg for a host of eight over five years of use: 1,000 hours account for 2.28 %."""
    assert embodied_carbon(THOUSAND_HOURS, 462.5e3, 5 * YEAR) == pytest.approx(462.5e3 * 1000 / (5 * 8766))
    found = embodied_bill(THOUSAND_HOURS, machine(8), asked(lifetime=5 * YEAR))
    assert line(found, "making accelerators").amount.si == pytest.approx(150e3 * 1000 / (5 * 8766))
    assert line(found, "making hosts").amount.si == pytest.approx(312.5e3 * 1000 / (5 * 8766))
    assert found.embodied_carbon == pytest.approx(462.5e3 * 1000 / (5 * 8766))
    given = embodied_bill(THOUSAND_HOURS, None, asked(lifetime=5 * YEAR, embodied=1e6))
    assert given.embodied_carbon == pytest.approx(1e6 * 1000 / (5 * 8766))
    stated = embodied_bill(THOUSAND_HOURS, machine(8), asked(lifetime=5 * YEAR, embodied=1e6))
    assert stated.embodied_carbon == given.embodied_carbon, "what is given, and no host beside it"
    assert embodied_bill(THOUSAND_HOURS, None, asked()).reasons == {"embodied_carbon": "no accelerator is given"}


def test_energy_of_nodes_and_their_network() -> None:
    """0.8 of 500 W, half of the 500 W that remain of 8 kW for the rest of a node, 52 W of switches per 400 Gbit/s; a PUE of 1.1."""
    inputs = asked(power_share=0.8, host_share=0.5, pue=1.1)
    alone, many = machine(8), machine(16)
    drawn = {one.name: float(one.power) for one in draws(many, inputs, UNKNOWN_LOAD) if not isinstance(one, Unknown)}
    assert drawn == {"accelerators": 400.0, "hosts": 250.0, "network": pytest.approx(52 * 1e10 / 50e9)}
    found = energy_bill(THOUSAND_HOURS, alone, inputs, UNKNOWN_LOAD)
    assert found.energy == pytest.approx(1.1 * 650 * KWH)
    assert line(found, "building").amount.si == pytest.approx(65 * KWH)
    boards = energy_bill(THOUSAND_HOURS, many, asked(power_share=0.8, pue=1.0, boundary="accelerators"), UNKNOWN_LOAD)
    assert boards.energy == pytest.approx(400 * KWH)
    assert energy_bill(THOUSAND_HOURS, None, asked(), UNKNOWN_LOAD).reasons == {"energy": "no accelerator is given"}


def test_the_load_of_a_board_is_told() -> None:
    """An HFU of 0.2 with goodput 0.72 is 15 % in the 96 % of hours that are no stops; without stops nothing is said of them."""

    def reason(load: Load) -> str:
        found = energy_bill(THOUSAND_HOURS, machine(8), asked(), load)
        return next(one.reason for one in found.assumptions if one.name == POWER_SHARE.name)

    assert "HFU of 15%" in reason(Load(0.2, 0.72, running=0.96))
    assert reason(Load(0.2, 0.72, running=0.96)).endswith("; 0.2 in the 4% of the hours without steps")
    assert reason(Load(None, 0.6, running=0.6)) == f"{POWER_SHARE.reason}; 0.2 in the 40% of the hours without steps"
    assert "without steps" not in reason(Load(0.2))


def test_a_metered_chip_with_its_host_unless_the_power_is_given() -> None:
    """A TPU v4 was metered at 378.5 W with its part of the host; half of its 340 W, or 300 W, are the boards alone."""
    where = cluster("tpu-v4", gpus=4)

    def drawn(**inputs: Any) -> dict[str, float]:
        found = draws(where, asked(boundary="accelerators", **inputs), UNKNOWN_LOAD)
        return {one.name: float(one.power) for one in found if not isinstance(one, Unknown)}

    assert drawn() == {"accelerators in their hosts": 378.5}
    assert drawn(power_share=0.5) == {"accelerators": 170.0}
    assert drawn(power=300.0) == {"accelerators": 300.0}


@pytest.mark.parametrize("year", [2024.5, 1989, 2101, 12, "2024.5"])
def test_a_year_is_a_whole_number_of_our_time(year: object) -> None:
    with pytest.raises(ValueError, match="must be a year"):
        CostInputs.model_validate({"year": year})
    assert CostInputs.model_validate({"year": 1990}).year == 1990
    assert CostInputs.model_validate({"year": 2100}).year == 2100


def test_power_that_nobody_rated_and_how_far_it_spreads() -> None:
    """An unrated host leaves 0.75 of the card's draw; a share for a load of one fifth has a spread around 0.788."""
    bare = replace(
        machine(8),
        node=replace(machine(8).node, power=None),
        accelerator=replace(CARD, node="dgx-a100-40gb", path=None),
    )
    bare = replace(bare, node=replace(bare.node, gpus=7))
    hosts = next(
        one
        for one in draws(bare, asked(host_share=0.5), UNKNOWN_LOAD)
        if not isinstance(one, Unknown) and one.name == "hosts"
    )
    assert float(hosts.power) == pytest.approx(0.5 * 0.75 * 500)
    found = energy_bill(THOUSAND_HOURS, machine(8), asked(), Load(0.2))
    low, value, high = found.ranges[POWER_SHARE.name]
    assert value == pytest.approx(0.69 + 0.49 * 0.2)
    assert (low - value, high - value) == pytest.approx(SHARE_SPREAD)
    full = energy_bill(THOUSAND_HOURS, machine(8), asked(), Load(0.9)).ranges[POWER_SHARE.name]
    assert full[2] == pytest.approx(0.8615 + 0.09, abs=2e-3)
    assert found.ranges.keys() >= {HOST_SHARE.name, PUE.name}


def test_what_is_kept_and_sent() -> None:
    """10 TB and three checkpoints of 1 TB for two months at 0.02 USD/(GB*month); 1 TB of egress at 0.09 USD/GB."""
    inputs = asked(
        storage={
            "data": "10 TB",
            "checkpoints": 3,
            "price": 0.02,
            "kept": 2 * MONTH,
            "egress": "1 TB",
            "egress_price": 0.09,
        }
    )
    found = storage_bill(inputs, None, None, 1e12)
    assert [one.name for one in found.lines] == ["data kept", "3 checkpoints kept", "egress"]
    assert [float(one.amount.si) for one in found.lines] == pytest.approx([400, 120, 90])
    assert found.cost == pytest.approx(610)
    assert "how long" in storage_bill(asked(storage={"data": "1 TB"}), None, None, None).reasons["cost"]
    assert storage_bill(asked(), None, None, None) == Bill() or storage_bill(asked(), None, None, None).cost is None


def test_prices_of_bytes_as_people_write_them() -> None:
    for written in (0.02, "0.02", "0.02 USD/(GB*month)", "20 USD/(TB*month)"):
        assert read_kept(written) * 1e9 * MONTH == pytest.approx(0.02)
    for written in (0.09, "0.09 USD/GB", "90 USD/TB"):
        assert read_sent(written) * 1e9 == pytest.approx(0.09)
    with pytest.raises(UnitError, match="at least 0"):
        read_sent(-1)


@pytest.mark.parametrize(
    ("written", "well"), [("2026-08-15", True), ("2026-08", True), ("2026", False), ("2026-13", False), (None, False)]
)
def test_a_price_has_a_date(written: str | None, well: bool) -> None:
    if well:
        assert read_date(written) == written
        return
    with pytest.raises(ValueError, match="date"):
        read_date(written)


def test_what_a_reservation_is_called() -> None:
    row = PriceRow(
        price="2 USD/GPU-hour",
        provider="One",
        terms="reserved",
        years=3,
        upfront="all",
        as_of="2026-10",
        source="a page",
    )
    assert row.commitment == "reserved for 3 years, paid up front"
    assert row.name == "One, reserved for 3 years, paid up front, 2026-10"
    assert (row.to_dict()["value"], row.to_dict()["unit"]) == (pytest.approx(2.0), "USD/(GPU*hour)")
    assert row.model_copy(update={"terms": "on-demand", "years": None, "upfront": None}).commitment == "on demand"
    assert row.model_copy(update={"address": "https://x.test"}).seen_at == "https://x.test"
    assert row.seen_at == "", "a provider that is not listed has no page"


def test_the_price_taken_is_one_of_the_rows_and_inside_its_range() -> None:
    found = choose_price("h100-sxm-80gb")
    assert not isinstance(found, Unknown)
    assert found.row in price_rows("h100-sxm-80gb")
    assert found.low <= found.row.price <= found.high
    assert found.to_dict()["low"] == pytest.approx(found.low * HOUR)
    taken, remark = offer(cluster("h100-sxm-80gb", gpus=8), asked())
    assert (taken, remark) == (found, "")
    assert choose("object", "AWS") == choose("object", "aws")
    assert {row.kind for row in storage_prices()} == {"object", "parallel", "egress"}
    assert storage_prices()[0].si * 1e9 * MONTH == pytest.approx(0.023)
    assert storage_prices()[0].terms == "AWS S3 Standard 2026-11"


def test_a_line_in_people_s_units_and_in_json_s() -> None:
    """1,000 GPU-hours x 0.7 kW = 700 kWh on the screen, 700,000 Wh in JSON."""
    hours, rate, energy = Amount(THOUSAND_HOURS, "GPU*hour"), Amount(700.0, "kW/GPU"), Amount(700 * KWH, "kWh")
    assert (hours.value, rate.value, energy.value) == (pytest.approx(1000), pytest.approx(0.7), pytest.approx(700))
    assert energy.to_dict() == {"value": pytest.approx(700e3), "unit": "Wh"}
    one = Line("energy", "accelerators", hours, rate, energy, "by hand", "a test")
    assert one.to_dict()["rate"] == {"value": pytest.approx(700), "unit": "watt/GPU"}
    assert Bill((one,), energy=energy.si).to_dict()["lines"][0]["name"] == "accelerators"


def test_bills_add_up_and_an_unknown_part_leaves_no_total() -> None:
    one, other = Bill(cost=2.0, energy=5.0), Bill(cost=3.0)
    both = joined((one, other))
    assert (both.cost, both.energy, both.carbon) == (5.0, 5.0, None)
    lacking = joined((one, unknown("nobody knows", "cost", "carbon")))
    assert (lacking.cost, lacking.energy) == (None, 5.0)
    assert lacking.warnings == ("not determined: cost, carbon; nobody knows",)


def test_a_whole_bill() -> None:
    """1,000 GPU-hours at 2 USD; 650 W and a PUE of 1.1; the grid of France; embodied carbon."""
    inputs = asked(price=2, power_share=0.8, host_share=0.5, pue=1.1, country="France", year=2024, lifetime=5 * YEAR)
    found = bill(THOUSAND_HOURS, machine(8), inputs)
    assert found.cost == pytest.approx(2000)
    assert found.energy == pytest.approx(715 * KWH)
    france = grid("France", 2024)
    assert not isinstance(france, Unknown)
    assert found.carbon == pytest.approx(715 * KWH * france.intensity)
    assert isinstance(grid("Atlantis"), Unknown)
    assert countries()["FRA"].name == "France"
    own = bill(THOUSAND_HOURS, machine(8), replace_owned(inputs))
    assert own.cost == pytest.approx(found.energy * 0.1 / KWH + 8000 * 1000 / 8766)


def replace_owned(inputs: CostInputs) -> CostInputs:
    owned = {"capex": 40_000, "years": 5, "utilisation": 1.0, "electricity": 0.1}
    return CostInputs.model_validate(
        {**inputs.model_dump(exclude_none=True, exclude={"price", "owned"}), "owned": owned}
    )


@pytest.mark.parametrize(
    ("node", "asked_for", "taken"),
    [
        ("AWS", None, "AWS"),
        ("aws", "GCP", "GCP Cloud"),
        ("", None, ""),
        ("Nobody", None, "none of Nobody"),
        (None, "Azure", "Azure"),
    ],
)
def test_whose_storage_is_charged(node: str | None, asked_for: str | None, taken: str) -> None:
    """That of the requested provider, else of the node's provider; else the median, and no provider is reported as missing."""
    inputs = asked(price=2, power_share=0.8, provider=asked_for, storage={"data": "1 TB", "kept": MONTH})
    where = None if node is None else replace(machine(8), node=replace(machine(8).node, provider=node))
    said = line(bill(THOUSAND_HOURS, where, inputs), "data kept").terms
    assert taken in said
    assert ("none of" in said) == (node == "Nobody")
    if not taken:
        assert said == line(storage_bill(inputs, None, None, None), "data kept").terms


def test_a_card_of_one_s_own_of_which_only_the_price_is_known() -> None:
    """Five years at 83 % use and 8 cents per kWh are assumed unless given, and each line says which applies."""
    years = THOUSAND_HOURS / YEAR
    known = {"years": 4, "utilisation": 0.5, "electricity": 0.1}
    for given in ({}, *({key: value} for key, value in known.items())):
        found = owned_bill(THOUSAND_HOURS, None, asked(owned={"capex": 40_000, **given}), 900 * KWH)
        use = {"years": 5, "utilisation": 0.83, "electricity": 0.08} | given
        assert found.cost == pytest.approx(
            40_000 / use["years"] / use["utilisation"] * years + 900 * use["electricity"]
        )
        assert [one.name.removeprefix("cost.owned.") for one in found.assumptions] == [
            key for key in known if key not in given
        ]
        assert [one.name for one in found.lines] == ["depreciation", "electricity"]
        assert line(found, "depreciation").source == "given"
        assert (line(found, "electricity").source == "given") == ("electricity" in given)
    bought = replace(
        machine(8), accelerator=replace(CARD, figures={"purchase": SourcedFigure(value=30_000.0, source="a list")})
    )
    found = owned_bill(THOUSAND_HOURS, bought, asked(owned={}), 0.0)
    assert found.cost == pytest.approx(30_000 / 5 / 0.83 * years)
    assert next(one.name for one in found.assumptions) == "cost.owned.capex"
    assert line(found, "depreciation").source.startswith("a list")


def test_what_a_price_from_the_lists_says_of_itself() -> None:
    """The range of offers in USD per hour, in words and in SI units; no range for a single offer; a given price has no note."""
    for provider in (None, "Lambda"):
        inputs = asked(provider=provider, power_share=0.8)
        chosen = choose_price("h100-sxm-80gb", provider)
        assert not isinstance(chosen, Unknown)
        found = bill(THOUSAND_HOURS, replace(cluster("h100-sxm-80gb", gpus=8)), inputs)
        price = next(one for one in found.assumptions if one.name == "cost.price")
        assert price.value == pytest.approx(chosen.row.price * HOUR)
        assert price.reason.endswith(f"({chosen.low * HOUR:.2f} to {chosen.high * HOUR:.2f})")
        assert found.ranges.get("cost.price") == (None if provider else (chosen.low, chosen.row.price, chosen.high))
        assert (chosen.low < chosen.high) == (provider is None)
    given = bill(THOUSAND_HOURS, cluster("h100-sxm-80gb", gpus=8), asked(price=2, power_share=0.8))
    assert "cost.price" not in given.ranges
    assert "cost.price" not in [one.name for one in given.assumptions]


@pytest.mark.parametrize(
    ("year", "said"), [(None, "no year is given"), (LAST + 3, f"{LAST + 3} is not in the table"), (2024, None)]
)
def test_the_year_of_a_grid(year: int | None, said: str | None) -> None:
    """The newest year if none is requested, the nearest if the table lacks the requested one, and no assumption if it has it."""
    inputs = asked(price=2, power_share=0.8, country="France", **({} if year is None else {"year": year}))
    found = bill(THOUSAND_HOURS, machine(8), inputs)
    reasons = [one.reason for one in found.assumptions if one.name == "cost.year"]
    assert [reason.startswith(str(said)) for reason in reasons] == ([] if said is None else [True])
    chosen = grid("France", year)
    assert not isinstance(chosen, Unknown)
    assert found.carbon == pytest.approx(found.energy * chosen.intensity)
    assert line(found, "grid").terms == f"{chosen.country} {chosen.year}"
    assert (grid("France").year, grid("France", LAST + 3).year, grid("France", 2024).year) == (LAST, LAST, 2024)  # type: ignore[union-attr]
    for far in (LAST + 4, FIRST - 4):
        assert (
            str(getattr(grid("France", far), "reason", ""))
            == f"the grid of France is known for {FIRST} to {LAST}, not for {far}"
        )


def test_the_middle_of_the_prices_of_storage_and_a_providers_own() -> None:
    """Per GB and month, the median of all with the minimum and maximum; a line is quantity times rate in the units people use."""
    per_month = sorted(row.si * 1e9 * MONTH for row in storage_prices() if row.kind == "object")
    found, own = choose("object", None), choose("object", "AWS")
    assert not isinstance(found, Unknown)
    assert not isinstance(own, Unknown)
    assert found.spread is not None
    assert [one * 1e9 * MONTH for one in (found.spread[0], found.si, found.spread[2])] == pytest.approx(
        [per_month[0], per_month[(len(per_month) - 1) // 2], per_month[-1]]
    )
    assert (own.spread, own.si * 1e9 * MONTH) == (None, pytest.approx(0.023))
    inputs = asked(price=2, power_share=0.8, storage={"data": "10 TB", "egress": "1 TB"}, provider="AWS")
    bought = bill(THOUSAND_HOURS, machine(8), inputs, wall_clock=MONTH / 2)
    for name, quantity, rate in (("data kept", 10_000 / 2, 0.023), ("egress", 1000, 0.09)):
        one = line(bought, name)
        assert (one.quantity.value, one.rate.value) == (pytest.approx(quantity), pytest.approx(rate))
        assert one.amount.value == pytest.approx(quantity * rate)
    assert bought.cost == pytest.approx(2000 + 115 + 90)
