"""``gpuhours prices``: its list, its JSON, and its message if no price is known."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Command


def test_json_holds_terms_dates_and_addresses(gpuhours_command: Command) -> None:
    ran = gpuhours_command("prices", "--gpu", "h100", "--provider", "AWS", "--json")
    rows = json.loads(ran.out)["prices"]
    assert len(rows) >= 6
    for row in rows:
        assert row["accelerator"].startswith("h100")
        assert row["provider"] == "AWS"
        assert row["unit"] == "USD/GPU/hour"
        assert row["value"] > 0
        assert row["as_of"] >= "2024"
        assert row["address"].startswith("https://aws.amazon.com")
    assert {(row["years"], row["upfront"]) for row in rows if row["terms"] == "reserved"} == {(1, None), (3, "all")}


def test_an_instance_is_its_card_at_its_price(gpuhours_command: Command) -> None:
    lines = gpuhours_command("prices", "--gpu", "p5.48xlarge", "--quiet").out.splitlines()
    assert "h100-sxm-80gb: 6.88 USD/GPU-hour, AWS p5.48xlarge, on demand, 2026-10" in lines
    assert all("p5.48xlarge" in line for line in lines)


def test_a_card_without_a_price_is_not_free(gpuhours_command: Command) -> None:
    ran = gpuhours_command("prices", "--gpu", "p100-sxm-16gb", "--json")
    found = json.loads(ran.out)
    assert (found["prices"], found["unpriced"]) == ([], ["p100-sxm-16gb"])
    assert "no dated price is known" in gpuhours_command("prices", "--gpu", "p100-sxm-16gb").out


WRONG = [
    (("--provider", "awss"), "Did you mean 'AWS'?"),
    (("--gpu", "l40s", "--provider", "AWS"), "Known: CoreWeave, Crusoe, Vast.ai."),
    (("--gpu", "h100x"), "No such profile."),
]


@pytest.mark.parametrize(("said", "hint"), WRONG, ids=[" ".join(row[0]) for row in WRONG])
def test_what_is_not_known_says_what_is(gpuhours_command: Command, said: tuple[str, ...], hint: str) -> None:
    ran = gpuhours_command("prices", *said)
    assert ran.code == 2
    assert hint in ran.err
