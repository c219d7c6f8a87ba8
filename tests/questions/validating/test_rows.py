"""What the rows of a table say, what is refused or skipped, and runs described in YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.validating import Validation, validate
from gpuhours.questions.validating.case import Case
from gpuhours.questions.validating.rows import read_rows
from tests.conftest import Command
from tests.questions.validating.tables import judged


def test_a_degree_that_no_layout_has_is_a_reason_to_skip(tmp_path: Path) -> None:
    rows = judged(tmp_path, {"loss_blocks": "1e30"}, {"loss_blocks": "8"}).judged
    assert rows[0].skipped_because == "loss_blocks = 1e+30: not possible in any layout"
    assert rows[1].predicted is not None


def test_a_table_without_chunks_says_nothing_of_the_schedule(tmp_path: Path) -> None:
    """A plain 1F1B with "VP not given" is treated as unstated, as the stack interleaves."""
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


def test_heads_that_do_not_divide_the_width_are_of_a_size_that_kernels_take(tmp_path: Path) -> None:
    """33 heads with a width of 4,096: 128 each, as in DistFlashAttention's model, not 124."""
    plain, guessed, said = (
        one.predicted
        for one in judged(
            tmp_path,
            {"heads": 32, "kv_heads": 32},
            {"heads": 33, "kv_heads": 33},
            {"heads": 33, "kv_heads": 33, "head_dim": 128},
        ).judged
    )
    assert plain
    assert guessed == said
    assert guessed == pytest.approx(plain, rel=0.06)


def test_a_row_s_optimiser_and_what_it_keeps_on_the_host_are_read(tmp_path: Path) -> None:
    changes = (
        {"optimizer": ""},
        {"optimizer": "AdamW 8-bit"},
        {"offload": "optimizer parameters"},
        {"optimizer": "AdamW in backward"},
    )
    rows = (
        {"software": "fsdp2-eager", "sharding": "none", "gpus": 1, "dp": 1, "cp": 1, "global_batch": 1} | one
        for one in changes
    )
    plain, *others = (one.memory_predicted or 0.0 for one in judged(tmp_path, *rows).judged)
    assert 0 < max(others) < plain


def test_a_row_may_say_what_its_host_takes_to_launch(tmp_path: Path) -> None:
    small = {
        "software": "torch-eager", "seq_len": 64, "global_batch": 1, "gpus": 1, "dp": 1, "cp": 1, "sharding": "none", "hidden": 512,
        "heads": 8, "ffn_hidden": 1024, "vocab": 1024, "model_name": "small", "params_b": 0.07,
    }  # fmt: skip
    usual, fast, slow = judged(tmp_path, small, {**small, "launch_us": 12.4}, {**small, "launch_us": 40}).judged
    assert usual.predicted
    assert fast.predicted
    assert slow.predicted
    assert fast.predicted < usual.predicted < slow.predicted


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
    """Return the validation of such a file."""
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
    with pytest.raises(EstimateError, match="missing: the global batch") as raised:
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
        ([{"id": "d", "run": {"training": {"global_batch": 128}}}], "has no measurement"),
        ([{"id": "d", "step_time": "1 s"}, {"id": "d", "step_time": "2 s"}], "two rows are named 'd'"),
    ],
)
def test_rows_that_cannot_be_meant(tmp_path: Path, rows: list[dict[str, Any]], match: str) -> None:
    with pytest.raises(EstimateError, match=f"(?i){match}") as raised:
        described(tmp_path, rows=rows)
    assert "ours.yaml" in raised.value.where


def test_no_step_takes_no_time(tmp_path: Path) -> None:
    with pytest.raises(EstimateError, match="at least 1e-09"):
        described(tmp_path, rows=[{**DESCRIBED["rows"][0], "step_time": "1e-320 s"}])


def test_names_are_shown_as_they_are(tmp_path: Path, gpuhours_command: Command) -> None:
    """Including names that a terminal could interpret as markup."""
    described(tmp_path, title="[ours] steps", rows=[{**DESCRIBED["rows"][0], "id": "[/nope]"}])
    ran = gpuhours_command("validate", "--runs", str(tmp_path / "ours.yaml"))
    assert "[ours] steps" in ran.out
    assert "[/nope]" in ran.out


def test_a_wrong_profile_is_said_with_its_row(tmp_path: Path) -> None:
    with pytest.raises(EstimateError, match="Did you mean 'h100-sxm-80gb'") as raised:
        described(tmp_path, rows=[{"id": "e", "step_time": "1 s", "run": {"hardware": {"accelerator": "h100_smx"}}}])
    assert "ours.yaml  e  hardware.accelerator" in raised.value.where


def test_an_impossible_layout_is_a_reason_to_skip(tmp_path: Path) -> None:
    row = {**DESCRIBED["rows"][0], "run": {"training": {"global_batch": 128}, "layout": {"microbatch": 100}}}
    (one,) = described(tmp_path, rows=[row]).judged
    assert one.predicted is None
    assert "does not divide" in (one.skipped_because or "")


def test_words_for_how_tokens_reach_experts(tmp_path: Path) -> None:
    """DeepEP sends a token once to each rank, without packing; a stated capacity is slots by one-hot masks; unstated is sorted copies."""
    experts = {
        "experts": 8,
        "top_k": 2,
        "ep": 4,
        "software": "torch-eager",
        "sharding": "zero3",
        "cp": 1,
        "dp": 8,
        "micro_batch": 1,
    }
    deep, slots, plain = (
        judged(tmp_path, {**experts, "framework": words}).judged[0].case
        for words in ("TE + DeepEP", "GShard, capacity factor 1.5", "")
    )
    assert isinstance(deep, Case)
    assert isinstance(slots, Case)
    assert isinstance(plain, Case)
    own = plain.software.dispatch
    assert (deep.software.dispatch.sends, deep.software.dispatch.packing.forward) == ("ranks", 0.0)
    assert (slots.software.dispatch.load, slots.software.dispatch.packing) == (1.5, own.slots)
    assert own.sends == "copies"
    assert own.packing.forward < own.slots.forward
    column = judged(tmp_path, {**experts, "expert_capacity": 1.25}).judged[0].case
    assert isinstance(column, Case)
    assert column.software.dispatch.load == 1.25
