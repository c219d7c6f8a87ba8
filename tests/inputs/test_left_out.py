"""Missing units or multipliers, impossible values and meaningless keys are refused or reported."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

import gpuhours
from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.checking.reading.figures.numbers import scan
from tests.conftest import Command

RUN: dict[str, Any] = {
    "model": {"name": "llama-3-8b"},
    "data": {"tokens": "1T", "seq_len": 4096},
    "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 64},
    "training": {"global_batch": 512},
    "year": 2026,
}


def asked(*settings: tuple[str, Any]) -> gpuhours.Estimate:
    """An estimate of the run with some keys set."""
    return gpuhours.estimate(gpuhours.from_dict(RUN, settings=dict(settings)))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("hardware.internode_bandwidth", 400, "a bare number is in byte/s"),
        ("hardware.network", {"all_reduce": 50}, "a bare number is in byte/s"),
        ("input.storage_bandwidth", "2", "a bare number is in byte/s"),
        ("model", {"params": 7}, "write '7B'"),
        ("cost.power", 0.7, "'0.7 kW'"),
        ("cost.power", "1 GW", "at most"),
        ("cost.price", "1e308 USD/hour", "at most"),
        ("cost.storage", {"data": "1 TB", "price": "1e300 USD/(GB*month)"}, "at most"),
        ("cost.storage", {"egress": "1 TB", "egress_price": -1}, "at least 0"),
        ("cost.owned", {"capex": "30k USD", "electricity": "1e200 USD/kWh"}, "at most"),
        ("cost.owned", {"capex": "30k USD", "years": 5e-324}, "at least"),
        ("cost.owned", {"capex": "30k USD", "years": 31}, "at most 30"),
        ("data.text_tokens", 0, "is empty"),
        ("model", {"name": "llama-3-8b", "trainable": "lora", "rank": 5000}, "hidden is 4,096"),
        ("layout", {"sharding": "zero3", "shard_group": 3}, "shard_group does not divide"),
    ],
)
def test_what_cannot_be_meant_is_refused(key: str, value: Any, said: str) -> None:
    with pytest.raises(EstimateError) as refused:
        asked((key, value))
    assert said in str(refused.value)


def test_years_of_owned_hardware_have_a_unit() -> None:
    owned = [asked(("cost.owned", {"capex": "30k USD", "years": years})).results["cost"] for years in (3, "36 month")]
    assert owned[0] is not None
    assert owned[1] is not None
    assert owned[0].value == pytest.approx(owned[1].value)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("training.global_batch", "4M", "meant in tokens"),
        ("model.rank", 64, "model.rank has no effect"),
        ("model.trainable", "frozen", "no part of the model is trained"),
        ("data.text_tokens", 100, "data.seq_len has no effect"),
        ("cost.storage", {"kept": "1 year"}, "cost.storage has no effect"),
        ("cost.year", 2020, "cost.year has no effect"),
    ],
)
def test_what_may_be_meant_otherwise_is_said(key: str, value: Any, said: str) -> None:
    assert not any(said in text for text in asked().warnings)
    assert any(said in text for text in asked((key, value)).warnings)


def test_stops_that_a_stated_mfu_leaves_out_are_said() -> None:
    found = asked(("known.mfu", 0.4), ("operation.failures", 0.1), ("operation.restart", "1 hour"))
    assert any(text.startswith("operation.failures, operation.restart: no effect") for text in found.warnings)


@pytest.mark.parametrize(("stated", "runs"), [(500, 512), (512, None)])
def test_a_batch_that_is_rounded_is_said_to_be(stated: int, runs: int | None) -> None:
    """A run with a stated layout used to take 512 samples per step instead of 500 without reporting it."""
    layout = {"tensor": 2, "pipeline": 2, "sharding": "zero1"}
    found = asked(("training.global_batch", stated), ("layout", layout), ("software", "megatron-core")).to_dict()
    noted = [one["value"] for one in found["assumptions"] if one["name"] == "training.global_batch"]
    assert noted == ([] if runs is None else [runs])


def test_a_power_beyond_all_numbers_in_prose() -> None:
    assert scan("The compute is 4.02 × 9223372036854775808^22 FLOPs, i.e. a lot.") is not None


def test_json_says_no_digits_that_machines_differ_in(gpuhours_command: Command) -> None:
    """Python 3.12 sums floats with a different algorithm from 3.11."""
    found = json.loads(
        gpuhours_command(
            "estimate", "--model", "llama-3-8b", "--tokens", "1T", "--gpus", "64", "--gpu", "a30", "--json"
        ).out
    )
    value = found["results"]["gpu_hours"]["value"]
    assert value == float(f"{value:.10g}")
    assert found["results"]["parameters"]["value"] == 8_030_261_248


def test_digits_without_end_are_read_in_linear_time() -> None:
    """6,400 digits used to take 1.3 s, a page of them minutes."""
    before = time.process_time()
    found = scan("It appeared in <year>" + "9" * 20_000 + "</year>. It took 512 GPUs.")
    assert time.process_time() - before < 1.0
    assert any(getattr(item, "value", None) == 512 for item in found)


def test_what_a_named_model_had_taken_out_stays_out() -> None:
    """Unlike CLIP's encoder of the same name, LLaVA's has no projection; read back from JSON, it used to have 7 M more parameters."""
    run = gpuhours.from_dict({"model": "llava-1.5-7b", "data": {"frames": 1, "text_tokens": 512}})
    again = gpuhours.from_dict(json.loads(json.dumps(run.model_dump(mode="json", exclude_none=True))))
    assert again.model == run.model


def test_a_site_that_names_no_stack_is_refused_where_it_stands() -> None:
    for stacks in ({}, {"stacks": []}):
        with pytest.raises(EstimateError, match=r"site\.stacks"):
            gpuhours.from_dict({**RUN, "site": stacks})
