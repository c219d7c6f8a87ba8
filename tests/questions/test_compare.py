"""Comparison of two runs: what differs, by how much, and why."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

import gpuhours
from gpuhours.questions.comparing import Comparison
from tests.questions.sweeping.small_run import RUN as SMALL

RUN: dict[str, Any] = {**SMALL, "layout": {"tensor": 2, "pipeline": 2}}


def changed(**blocks: Any) -> dict[str, Any]:
    return {
        **RUN,
        **{name: {**RUN[name], **block} if isinstance(block, dict) else block for name, block in blocks.items()},
    }


def compared(other: dict[str, Any]) -> Comparison:
    return gpuhours.compare(gpuhours.from_dict(RUN), gpuhours.from_dict(other))


def change(found: Comparison, name: str) -> Any:
    return next(one for one in found.changes if one.name == name)


def test_a_mapping_and_a_file_are_compared_as_runs_are(tmp_path: Path) -> None:
    other = changed(data={"tokens": "300B"})
    file = tmp_path / "run.yaml"
    file.write_text(json.dumps(other), encoding="utf-8")
    assert gpuhours.compare(RUN, other).to_dict() == compared(other).to_dict()
    assert gpuhours.compare(RUN, file).changes == compared(other).changes


def test_same_runs_differ_in_nothing() -> None:
    found = compared(RUN)
    assert found.inputs == ()
    assert all(one.factor in (1, None) and one.causes == () for one in found.changes)


def test_both_sides_are_the_single_estimates() -> None:
    one_run, other = (
        {**data, "known": {"goodput": 0.9}} for data in (RUN, changed(hardware={"gpus": 128}, layout={"tensor": 4}))
    )
    found = gpuhours.compare(gpuhours.from_dict(one_run), gpuhours.from_dict(other))
    first, second = (gpuhours.estimate(gpuhours.from_dict(data)).results for data in (one_run, other))
    for one in found.changes:
        for value, expected in ((one.first, first[one.name]), (one.second, second[one.name])):
            assert value == (None if expected is None else pytest.approx(float(expected.value), rel=1e-12)), one.name


def test_what_neither_says_is_settled_as_in_the_first_ones_estimate() -> None:
    found = compared(changed(data={"tokens": "300B"}))
    hours = gpuhours.estimate(gpuhours.from_dict(RUN)).results["gpu_hours"]
    assert hours is not None
    assert change(found, "gpu_hours").first == pytest.approx(hours.value, rel=1e-6)
    assert change(found, "goodput").factor == pytest.approx(1.0)


def test_one_input_is_the_whole_cause() -> None:
    found = compared(changed(data={"tokens": "300B"}))
    assert [one.key for one in found.inputs] == ["data.tokens"]
    hours = change(found, "gpu_hours")
    assert hours.factor == pytest.approx(3)
    assert [(cause.key, cause.factor) for cause in hours.causes] == [("data.tokens", pytest.approx(3))]
    assert hours.interaction == pytest.approx(1)
    assert change(found, "step_time").causes == ()


def test_independent_causes_multiply_to_the_whole_change() -> None:
    found = compared(changed(data={"tokens": "50B"}, layout={"recompute": "full"}))
    hours = change(found, "gpu_hours")
    assert {cause.key for cause in hours.causes} == {"data.tokens", "layout.recompute"}
    assert math.prod(cause.factor for cause in hours.causes) == pytest.approx(hours.factor, rel=1e-9)
    assert hours.interaction == pytest.approx(1, rel=1e-9)


def test_interaction_is_what_causes_leave() -> None:
    found = compared(
        changed(
            hardware={"accelerator": "h100-sxm-80gb", "gpus": 256},
            layout={"pipeline": 4, "interleave": 3},
            training={"global_batch": 1024},
        )
    )
    for one in found.changes:
        if one.causes:
            product = math.prod(cause.factor for cause in one.causes) * one.interaction
            assert product == pytest.approx(one.factor, rel=1e-9), one.name
            sizes = [abs(math.log(cause.factor)) for cause in one.causes]
            assert sizes == sorted(sizes, reverse=True)
    assert "hardware.accelerator" in {cause.key for cause in change(found, "step_time").causes}


def test_an_input_that_cannot_change_alone_is_named() -> None:
    found = compared(
        changed(hardware={"gpus": 12}, layout={"tensor": 3, "pipeline": 1}, training={"global_batch": 516})
    )
    assert change(found, "gpus").second == 12
    assert "hardware.gpus" in " ".join(found.notes)


def test_whole_models_are_one_input() -> None:
    other = {**RUN, "model": {"layers": 48, "hidden": 4096, "heads": 32, "vocab": 51200}}
    assert [one.key for one in compared(other).inputs] == ["model"]


def test_document_is_plain_json() -> None:
    import json

    document = compared(changed(layout={"recompute": "full"}, software="megatron-2023")).to_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert {"key": "layout.recompute", "a": "none", "b": "full"} in document["inputs"]
    assert set(document["results"][0]) == {"name", "unit", "a", "b", "factor", "change", "interaction", "causes"}


def test_different_price_lists_are_told() -> None:
    """A100 from one provider and H100 from another is not a comparison of cards."""
    other = {**RUN, "hardware": {**RUN["hardware"], "accelerator": "h100-sxm-80gb"}}
    assert any("different offers" in note for note in compared(other).notes)
    rates = {"cost": {"price": "2 USD/GPU-hour"}}
    same = gpuhours.compare(gpuhours.from_dict({**RUN, **rates}), gpuhours.from_dict({**other, **rates}))
    assert not any("different offers" in note for note in same.notes)


def test_prices_of_one_offer_at_different_dates_are_told() -> None:
    """AWS on demand of July and of October: provider and terms are alike already."""
    rates = {"cost": {"provider": "AWS", "terms": "on-demand"}}
    other = {**RUN, **rates, "hardware": {**RUN["hardware"], "accelerator": "h100-sxm-80gb"}}
    (note,) = [
        one
        for one in gpuhours.compare(gpuhours.from_dict({**RUN, **rates}), gpuhours.from_dict(other)).notes
        if "prices" in one
    ]
    assert "different dates" in note
    assert "cost.provider" not in note


def test_a_card_without_a_price_is_told() -> None:
    other = {**RUN, "hardware": {**RUN["hardware"], "accelerator": "h20-sxm-96gb"}}
    told = compared(other)
    assert any("cost not determined: no dated price of h20-sxm-96gb" in note for note in told.notes)
    assert next(one.second for one in told.changes if one.name == "cost") is None


def test_runs_without_a_model_are_compared_by_what_they_say() -> None:
    """Without a predictable step nothing is sampled, so nothing is fixed in the first run for the second to inherit."""
    told = {key: value for key, value in RUN.items() if key != "model"}
    told["software"] = "megatron-core"
    first = gpuhours.from_dict(told)
    assert gpuhours.compare(first, first).inputs == ()
