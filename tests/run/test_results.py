"""One table of results is used by every command, so a new row appears everywhere at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpuhours.run.results import RESULTS, Read, ResultDefinition
from tests.conftest import Command

GPT = str(Path(__file__).parents[1] / "runs" / "gpt-22b.yaml")


@pytest.fixture
def one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a result that does not exist: GPU-hours of a thousand steps."""
    line = ResultDefinition(
        "hours_per_thousand_steps", "per 1,000", "GPU-hours of a thousand steps", "GPU*hour",
        lambda outcome: Read(1000 * outcome.value("step_time") * outcome.value("gpus") / 3600), better="less", stages="largest",
    )  # fmt: skip
    monkeypatch.setitem(RESULTS, line.name, line)  # type: ignore[arg-type]


@pytest.mark.usefixtures("one_more")
def test_a_line_of_the_table_is_a_result_of_every_command(gpuhours_command: Command) -> None:
    own = json.loads(gpuhours_command("estimate", GPT, "--json").out)["results"]
    by_hand = 1000 * own["step_time"]["value"] * own["gpus"]["value"] / 3600
    found = own["hours_per_thousand_steps"]
    assert (found["value"], found["unit"], found["basis"]) == (pytest.approx(by_hand), "GPU*hour", "solved")
    assert found["low"] < found["value"] < found["high"]
    swept = json.loads(
        gpuhours_command("sweep", GPT, "--vary", "hardware.gpus=8,16", "--minimise", "hours_per_thousand_steps", "--json").out
    )  # fmt: skip
    assert {"name": "hours_per_thousand_steps", "unit": "GPU*hour"} in swept["columns"]
    compared = json.loads(gpuhours_command("compare", GPT, GPT, "--json").out)["results"]
    assert [one["a"] for one in compared if one["name"] == "hours_per_thousand_steps"] == [pytest.approx(by_hand)]
    planned = json.loads(gpuhours_command("plan", GPT, "--json").out)["own"]["results"]
    assert planned["hours_per_thousand_steps"]["value"] == pytest.approx(by_hand)
    assert "per_thousand" in gpuhours_command("estimate", GPT, "--explain", "hours_per_thousand_steps").out


def test_every_line_is_whole() -> None:
    for name, line in RESULTS.items():
        assert name == line.name
        assert line.label, name
        assert line.title, name
        assert len(line.label) <= 15, name


def test_a_checkpoint_has_weights_and_optimiser_states(gpuhours_command: Command) -> None:
    """14 bytes a parameter in 16 bit with 32-bit master weights and moments; BLOOM's authors report 2.3 TB (arXiv:2211.05100)."""
    found = json.loads(gpuhours_command("estimate", "--model", "bloom-176b", "--json").out)["results"]
    assert found["checkpoint_bytes"]["value"] == 14 * found["parameters"]["value"]
    assert found["checkpoint_bytes"]["value"] == pytest.approx(2.3e12, rel=0.08)
