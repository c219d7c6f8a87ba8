"""Reading measured runs, judging predictions, and the bands that come of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.validating import Validation, validate
from gpuhours.questions.validating.learning import WANTED, left_out_coverage, weighted
from gpuhours.questions.validating.report import GROUPS, summary
from gpuhours.questions.validating.rows import read_rows
from gpuhours.run.band import KINDS, kind_of, limits, novelty
from tests.benchmarks.swaps import ranked
from tests.conftest import Command

ROW: dict[str, Any] = {
    "id": "A-1", "source_title": "ours", "model_family": "Llama", "model_name": "Llama 3 8B", "accelerator": "h100-sxm-80gb",
    "software": "megatron-core", "dtype": "bf16", "layers": 32, "hidden": 4096, "heads": 32, "kv_heads": 8, "ffn_hidden": 14336,
    "gated_mlp": 1, "vocab": 128256, "seq_len": 8192, "global_batch": 128, "micro_batch": 1, "gpus": 8, "tp": 1, "pp": 1, "dp": 4,
    "cp": 2, "sharding": "zero1", "step_time_s": 12.3,
}  # fmt: skip


def judged(folder: Path, *rows: dict[str, Any]) -> Validation:
    """The validation of a table of such rows."""
    table = folder / "runs.csv"
    columns = list(dict.fromkeys(name for row in rows for name in {**ROW, **row}))
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({**ROW, **row} for row in rows)
    return validate(table)


@pytest.fixture(scope="module")
def published() -> Validation:
    return validate()


def test_the_published_runs_keep_their_errors(published: Validation) -> None:
    """What the README claims; a change of a constant that worsens a class fails here."""
    by = published.by()
    assert published.summary()["predicted"] > 2600
    others = [one for one in published.judged if not str(one.row.word("source_title")).startswith("nanotron bench on")]
    dense = summary(one for one in others if GROUPS["kind"](one) == "dense 16-bit")
    assert dense["median_ape"] < 0.03
    assert dense["mape"] < 0.05
    for kind in ("mixture of experts", "mixture of experts on Blackwell", "Blackwell", "dense 8-bit or less"):
        assert by["kind"][kind]["median_ape"] < 0.10, kind


def test_nanotron_on_networks_as_they_were_met(published: Validation) -> None:
    """852 layouts on one to 64 nodes, some of which met a thirtieth of their network."""
    found = [one for one in published.judged if str(one.row.word("source_title")).startswith("nanotron bench on")]
    alone, beyond = ([one for one in found if (one.row.number("gpus") == 8) is here] for here in (True, False))
    assert summary(alone)["mape"] < 0.15
    assert summary(beyond)["mape"] < 0.30
    assert summary(beyond)["median_ape"] < 0.20
    total = summary(found)
    assert total["out_of_memory_rows"] == 1471
    assert total["skipped"] == 0
    assert total["out_of_memory_called"] > 0.8 * 1471


@pytest.mark.parametrize(
    ("source", "within"),
    [("Korthikanti", 0.031), ("Narayanan", 0.045), ("BigScience", 0.05), ("Zero Bubble", 0.045), ("InternEvo", 0.05),
     ("MosaicML", 0.045), ("gpuhours measurements", 0.035), ("torchtitan", 0.10), ("torchtune", 0.07)],
)  # fmt: skip
def test_errors_by_source(published: Validation, source: str, within: float) -> None:
    (found,) = (value for title, value in published.by()["source_title"].items() if title.startswith(source))
    assert found["mape"] < within


def test_the_band_covers_as_often_as_it_says(published: Validation) -> None:
    assert 0.75 <= published.summary()["coverage_80"] <= 0.88


def test_the_document_is_what_scripts_rely_on(published: Validation) -> None:
    document = published.to_dict()
    json.dumps(document, allow_nan=False)
    assert set(document) >= {"summary", "by", "rows"}
    assert set(document["summary"]) >= {
        "rows",
        "predicted",
        "skipped",
        "mape",
        "median_ape",
        "p90_ape",
        "bias",
        "coverage_80",
        "memory_rows",
        "memory_mape",
        "memory_median_ape",
        "fits_wrong",
    }
    assert set(document["rows"][0]) >= {
        "id",
        "measured",
        "predicted",
        "low",
        "high",
        "error",
        "memory_measured",
        "memory_predicted",
        "fits",
        "skipped_because",
    }
    told = [row for row in document["rows"] if row["error"] is not None]
    assert all(row["low"] < row["predicted"] < row["high"] for row in told)
    assert all(
        row["predicted"] is None or sum(row["parts"].values()) == pytest.approx(row["predicted"]) for row in told
    )


def test_one_row(tmp_path: Path) -> None:
    (one,) = judged(tmp_path, {}).judged
    assert one.error == pytest.approx(0, abs=0.1)
    assert one.skipped_because is None


def test_rows_side_by_side_are_the_rows_alone(tmp_path: Path) -> None:
    """A capacity factor is the row's own, not its neighbour's."""
    mixture = {"experts": 8, "top_k": 2, "ep": 2, "dp": 2, "gpus": 2}
    rows = [mixture | {"notes": notes} for notes in ("", "capacity factor 2")]
    together = [one.predicted for one in judged(tmp_path, *rows).judged]
    alone = [judged(tmp_path, row).judged[0].predicted for row in rows]
    assert together == pytest.approx(alone)
    assert alone[1] != pytest.approx(alone[0])


def test_a_degree_that_no_layout_has_is_a_reason_to_skip(tmp_path: Path) -> None:
    rows = judged(tmp_path, {"loss_blocks": "1e30"}, {"loss_blocks": "8"}).judged
    assert rows[0].skipped_because == "loss_blocks = 1e+30: no layout has that"
    assert rows[1].predicted is not None


def test_a_table_without_chunks_says_nothing_of_the_schedule(tmp_path: Path) -> None:
    """A plain 1F1B beside "VP not given" is a blank: the stack interleaves."""
    row = {"pp": 4, "dp": 1, "vp": "", "schedule": "1f1b", "global_batch": 16}
    said, unsaid = (judged(tmp_path, row | {"notes": notes}).judged[0] for notes in ("", "micro batch, VP not given"))
    assert unsaid.predicted is not None
    assert said.predicted is not None
    assert unsaid.predicted < 0.9 * said.predicted


def test_a_capacity_that_is_said_is_what_experts_compute(tmp_path: Path) -> None:
    row = {"experts": 8, "top_k": 2, "ep": 8, "framework": "NeMo 24.12", "software": "megatron-core", "dp": 8, "cp": 1}
    usual, dropped = (
        judged(tmp_path, row | {"notes": notes}).judged[0].predicted for notes in ("", "capacity factor 1")
    )
    assert usual is not None
    assert dropped is not None
    assert dropped < usual


def test_a_rate_is_as_good_as_a_time(tmp_path: Path) -> None:
    rate = 128 * 8192 / (12.3 * 8)
    (one,) = judged(tmp_path, {"step_time_s": "", "tokens_per_s_per_gpu": rate}).judged
    assert one.measured == pytest.approx(12.3)


@pytest.mark.parametrize(
    "change",
    [
        {"seq_len": ""}, {"layers": ""}, {"accelerator": "", "gpu": ""}, {"dtype": "weird"}, {"heads": "abc"}, {"kv_heads": 7},
        {"accelerator": "a100-sxm-80gb", "dtype": "fp8"}, {"model_name": "DiT-XL/2"}, {"accelerator": "abacus"},
    ],
)  # fmt: skip
def test_what_cannot_be_predicted_is_skipped_with_a_reason(tmp_path: Path, change: dict[str, Any]) -> None:
    (one,) = judged(tmp_path, change).judged
    assert one.predicted is None
    assert one.skipped_because


@pytest.mark.parametrize(
    ("change", "remark"),
    [
        ({"accelerator": "H100-SXM5-80GB"}, ""), ({"software": "colossal-ai"}, "deepspeed"),
        ({"software": "", "framework": "MaxText"}, "jax"),
        ({"software": "", "framework": ""}, "unknown, taken as megatron-lm"),
    ],
)  # fmt: skip
def test_the_nearest_profile_is_taken_and_said(tmp_path: Path, change: dict[str, Any], remark: str) -> None:
    (one,) = judged(tmp_path, change).judged
    assert one.predicted is not None
    assert one.case is not None
    assert remark in " ".join(one.case.remarks)


def test_a_table_without_the_columns_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "other.csv"
    table.write_text("name,age\nx,3\n", encoding="utf-8")
    with pytest.raises(EstimateError, match="column"):
        read_rows(table)


def test_rows_predicted_together_are_those_predicted_alone(tmp_path: Path) -> None:
    changes = [
        {"id": f"R{batch}", "global_batch": batch, "micro_batch": size} for batch in (64, 128) for size in (1, 2)
    ]
    together = [one.predicted for one in judged(tmp_path, *changes).judged]
    alone = [judged(tmp_path, change).judged[0].predicted for change in changes]
    assert together == pytest.approx(alone, rel=1e-12)


def test_kinds_of_runs() -> None:
    plain = {"experts": False, "partly": False, "tokens": 4096}
    assert KINDS[int(kind_of("hopper", "bf16", **plain))] == "dense 16-bit"
    assert KINDS[int(kind_of("hopper", "fp8", **plain))] == "dense 8-bit or less"
    assert (
        KINDS[int(kind_of("blackwell", "fp8", experts=True, partly=False, tokens=4096))]
        == "mixture of experts on Blackwell"
    )
    codes = kind_of("ampere", "bf16", experts=False, partly=False, tokens=np.array([4096, 2**20]))
    assert [KINDS[code] for code in codes] == ["dense 16-bit", "long sequence"]
    low, high = limits(codes)
    assert np.all(low < 1)
    assert np.all(high > 1)


def test_novelty_names_what_was_never_measured() -> None:
    assert novelty("h100-sxm-80gb", "megatron-core", 512, 8192, "bf16") == ()
    found = " ".join(novelty("mi300x", "abacus", 10**6, 10**8, "fp32"))
    for word in ("mi300x", "abacus", "more GPUs", "longer sequences", "fp32"):
        assert word in found


def test_weighted_percentiles_do_not_let_one_source_decide() -> None:
    """Nine hundred rows of one source weigh thirty, twenty-five of another five: those are past the 86th percentile."""
    values = np.concatenate([np.zeros(900), np.ones(25)])
    sources = np.array(["a"] * 900 + ["b"] * 25)
    low, middle, high = weighted(values, sources)
    assert (low, middle) == (0, 0)
    assert high == pytest.approx(1)
    assert np.quantile(values, 0.9) == 0


def test_left_out_coverage_grows_with_width() -> None:
    random = np.random.default_rng(1)
    sources = np.repeat([f"s{index}" for index in range(12)], 20)
    ratios = random.normal(0, 0.05, len(sources)) + np.repeat(random.normal(0, 0.03, 12), 20)
    kinds = np.zeros(len(sources), int)
    covered = [left_out_coverage(ratios, sources, kinds, width) for width in (0.5, 1.0, 2.0)]
    assert covered == sorted(covered)
    assert covered[0] < WANTED < covered[2]


def test_methods_of_one_stack_are_ranked_as_measured(published: Validation) -> None:
    """Rings, double rings, Ulysses, both, tensor ranks; recomputed or not: pairs that differ by over 2 %."""
    pairs, right = ranked(published.judged, 0.02, lambda case: case.software.name)
    assert pairs > 140
    assert right / pairs > 0.97


DESCRIBED: dict[str, Any] = {
    "title": "ours",
    "source": "a notebook",
    "models": {"tower": {"kind": "vision", "layers": 24, "hidden": 1024, "heads": 16, "patch": 14, "classes": 1000}},
    "run": {"model": "tower", "data": {"frames": 1}, "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 1}},
    "rows": [
        {"id": "a", "step_time": "160 ms", "allocated": "20 GB", "run": {"training": {"global_batch": 128},
         "layout": {"microbatch": 128}, "software": "torch-eager"}},
    ],
}  # fmt: skip


def described(folder: Path, **changes: Any) -> Validation:
    """The validation of such a file."""
    path = folder / "ours.yaml"
    path.write_text(yaml.safe_dump({**DESCRIBED, **changes}), encoding="utf-8")
    return validate(path)


def test_runs_described_in_yaml(tmp_path: Path) -> None:
    (one,) = described(tmp_path).judged
    assert one.error is not None
    assert abs(one.error) < 0.15
    assert one.memory_measured == pytest.approx(20e9)
    assert one.to_dict()["software"] == "torch-eager"


def test_what_a_described_run_lacks_is_said(tmp_path: Path) -> None:
    with pytest.raises(EstimateError, match="not known: the global batch") as raised:
        described(tmp_path, rows=[{"id": "b", "step_time": "1 s"}])
    assert "ours.yaml  b" in raised.value.where
    with pytest.raises(EstimateError, match="No such key"):
        described(tmp_path, rows=[{"id": "c", "step_time": "1 s", "run": {"layuot": {}}}])


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([], "at least 1 item"),
        ([{"id": " ", "step_time": "1 s"}], "at least 1 character"),
        ([{"id": "d", "step_time": "1 s", "run": {"known": {"mfu": "40 %"}}}], "leave known out"),
        ([{"id": "d", "run": {"training": {"global_batch": 128}}}], "nothing to judge by"),
        ([{"id": "d", "step_time": "1 s"}, {"id": "d", "step_time": "2 s"}], "two rows are called 'd'"),
    ],
)
def test_rows_that_cannot_be_meant(tmp_path: Path, rows: list[dict[str, Any]], match: str) -> None:
    with pytest.raises(EstimateError, match=f"(?i){match}") as raised:
        described(tmp_path, rows=rows)
    assert "ours.yaml" in raised.value.where


def test_no_step_takes_no_time(tmp_path: Path) -> None:
    (one,) = described(tmp_path, rows=[{**DESCRIBED["rows"][0], "step_time": "1e-320 s"}]).judged
    assert one.error is None
    assert "1e-320 s" in (one.skipped_because or "")


def test_names_are_shown_as_they_are(tmp_path: Path, gpuhours_command: Command) -> None:
    """What a terminal would take for markup, too."""
    described(tmp_path, title="[ours] steps", rows=[{**DESCRIBED["rows"][0], "id": "[/nope]"}])
    ran = gpuhours_command("validate", "--runs", str(tmp_path / "ours.yaml"))
    assert "[ours] steps" in ran.out
    assert "[/nope]" in ran.out


def test_a_wrong_profile_is_said_with_its_row(tmp_path: Path) -> None:
    with pytest.raises(EstimateError, match="Did you mean 'h100-sxm-80gb'") as raised:
        described(tmp_path, rows=[{"id": "e", "step_time": "1 s", "run": {"hardware": {"accelerator": "h100_smx"}}}])
    assert "ours.yaml  e  accelerator" in raised.value.where


def test_an_impossible_layout_is_a_reason_to_skip(tmp_path: Path) -> None:
    row = {**DESCRIBED["rows"][0], "run": {"training": {"global_batch": 128}, "layout": {"microbatch": 100}}}
    (one,) = described(tmp_path, rows=[row]).judged
    assert one.predicted is None
    assert "does not divide" in (one.skipped_because or "")
