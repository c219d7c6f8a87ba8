"""Reading measured runs, judging predictions, and the resulting bands."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.validating import Validation, updating, validate
from gpuhours.questions.validating.case import Case
from gpuhours.questions.validating.learning import Sample, interval_score, learn, samples, unmet_stack, world_of
from gpuhours.questions.validating.report import GROUPS, summary
from gpuhours.questions.validating.rows import read_rows
from gpuhours.questions.validating.sources import system_of
from gpuhours.questions.validating.updating import worse
from gpuhours.run import conformal
from gpuhours.run.band import band_of, novelty
from gpuhours.run.conformal import Curve
from gpuhours.run.novelty import OF_STACK, TRAITS, Traits, features, kind_of
from gpuhours_cli.render.validate import answer
from tests.benchmarks.swaps import ranked
from tests.cli.test_readme import printed
from tests.conftest import Command
from tests.published import in_sample, left_out

ROW: dict[str, Any] = {
    "id": "A-1", "source_title": "ours", "model_family": "Llama", "model_name": "Llama 3 8B", "accelerator": "h100-sxm-80gb",
    "software": "megatron-core", "dtype": "bf16", "layers": 32, "hidden": 4096, "heads": 32, "kv_heads": 8, "ffn_hidden": 14336,
    "gated_mlp": 1, "vocab": 128256, "seq_len": 8192, "global_batch": 128, "micro_batch": 1, "gpus": 8, "tp": 1, "pp": 1, "dp": 4,
    "cp": 2, "sharding": "zero1", "step_time_s": 12.3,
}  # fmt: skip


def judged(folder: Path, *rows: dict[str, Any]) -> Validation:
    """Return the validation of a table of such rows."""
    table = folder / "runs.csv"
    columns = list(dict.fromkeys(name for row in rows for name in {**ROW, **row}))
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({**ROW, **row} for row in rows)
    return validate(table)


@pytest.fixture(name="published")
def _published() -> Validation:
    return left_out()


@pytest.fixture(name="in_sample")
def _in_sample() -> Validation:
    return in_sample()


def test_the_readme_says_how_far_off_it_has_been(published: Validation) -> None:
    assert printed("gpuhours validate --quiet") == answer(published) + "\n"


def test_the_published_runs_keep_their_errors(in_sample: Validation) -> None:
    """Fails if a changed constant increases the error of a class."""
    by = in_sample.by()
    assert in_sample.summary()["predicted"] > 2600
    others = [
        one for one in in_sample.judged if not str(one.row.word("source_title")).startswith("Hugging Face nanotron")
    ]
    dense = summary(one for one in others if GROUPS["kind"](one) == "dense")
    assert dense["median_ape"] < 0.032
    assert dense["mape"] < 0.06
    for kind in ("mixture of experts", "adapters or frozen parts", "vision and video"):
        assert by["kind"][kind]["median_ape"] < 0.10, kind


def test_nanotron_on_networks_as_they_were_met(in_sample: Validation) -> None:
    """852 layouts on one to 64 nodes, some of which reached only a thirtieth of their network rate."""
    found = [one for one in in_sample.judged if str(one.row.word("source_title")).startswith("Hugging Face nanotron")]
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
def test_errors_by_source(in_sample: Validation, source: str, within: float) -> None:
    (found,) = (value for title, value in in_sample.by()["source_title"].items() if title.startswith(source))
    assert found["mape"] < within


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
        "leave_out",
        "median_width",
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
        "fits_probability",
        "leave_out",
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
    """A capacity factor applies to its own row, not to neighbouring ones."""
    mixture = {"experts": 8, "top_k": 2, "ep": 2, "dp": 2, "gpus": 2}
    rows = [mixture | {"notes": notes} for notes in ("", "capacity factor 2")]
    together = [one.predicted for one in judged(tmp_path, *rows).judged]
    alone = [judged(tmp_path, row).judged[0].predicted for row in rows]
    assert together == pytest.approx(alone)
    assert alone[1] != pytest.approx(alone[0])


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


def test_rows_predicted_together_are_those_predicted_alone(tmp_path: Path) -> None:
    changes = [
        {"id": f"R{batch}", "global_batch": batch, "micro_batch": size} for batch in (64, 128) for size in (1, 2)
    ]
    together = [one.predicted for one in judged(tmp_path, *changes).judged]
    alone = [judged(tmp_path, change).judged[0].predicted for change in changes]
    assert together == pytest.approx(alone, rel=1e-12)


def test_kinds_of_runs() -> None:
    assert kind_of(experts=True, partly=True, frames=False) == "mixture of experts"
    assert kind_of(experts=False, partly=True, frames=False) == "adapters or frozen parts"
    assert kind_of(experts=False, partly=True, frames=True) == "vision and video"
    assert kind_of(experts=False, partly=False, frames=False) == "dense"


KNOWN = Traits("megatron-core-2024", "h100-sxm-80gb", "hopper", "bf16", "dense", 512, 8192)
STRANGE = Traits("abacus", "mi300x", "cdna3", "fp4", "dense", 10**6, 10**8, stack_said=False)


def test_novelty_names_what_was_never_measured() -> None:
    assert novelty(KNOWN) == ()
    found = " ".join(novelty(STRANGE))
    for word in ("mi300x", "abacus", "more GPUs", "longer sequences", "fp4"):
        assert word in found


def test_a_new_run_has_a_wider_range_and_nobody_like_it() -> None:
    known, strange = band_of(KNOWN, 5.0), band_of(STRANGE, 5.0)
    assert known.low < 1 < known.high
    assert strange.low < known.low
    assert strange.high > known.high
    assert strange.memory_low <= known.memory_low
    assert (strange.runs, strange.on_stack, strange.median_error) == (0, 0, None)
    assert known.runs > 10
    assert known.median_error is not None


def test_features_count_other_systems_only() -> None:
    rows = [Sample("ours", KNOWN, 5.0, 0.0), Sample("theirs", KNOWN, 5.0, 0.0)]
    world = world_of(rows)
    assert max(features(KNOWN, 5.0, world)[:9]) == 0
    assert set(features(KNOWN, 5.0, world, frozenset({"ours"}))[:9]) == {0.5}
    assert set(features(KNOWN, 5.0, world, frozenset({"ours", "theirs"}))[:9]) == {1.0}
    stands_in = features(dataclasses.replace(KNOWN, stands_in=True), 5.0, world)[:9]
    assert [one for one, trait in zip(stands_in, TRAITS, strict=True) if trait in OF_STACK] == [1.0] * len(OF_STACK), (
        "of another stack"
    )
    assert sum(stands_in) == len(OF_STACK)


def made(systems: int, spread: float) -> list[Sample]:
    """Return twenty rows per system with similar errors; every second system has a stack found nowhere else, with three times the error."""
    random, found = np.random.default_rng(3), []
    for number in range(systems):
        odd = number % 2 == 1
        traits = Traits(f"stack-{number}" if odd else "stack", "h100-sxm-80gb", "hopper", "bf16", "dense", 8, 8192)
        scale = spread * (3 if odd else 1)
        middle = random.normal(0, scale)
        found += [Sample(f"s{number}", traits, 5.0, middle + random.normal(0, scale / 2)) for _ in range(20)]
    return found


def test_ranges_hold_on_sources_that_they_have_not_seen_and_widen_with_novelty() -> None:
    found = learn(made(24, 0.05))
    assert 0.72 <= found["coverage"]["rows"] <= 0.88
    assert 0.72 <= found["coverage"]["sources"] <= 0.88
    narrow = Curve(**{name: found["all"][name] for name in ("base", "coefficients", "shift", "below", "above")})
    usual = features(made(1, 0.05)[0].traits, 5.0, world_of(made(24, 0.05)))
    new = (1.0, *usual[1:3], 1.0, *usual[4:])
    assert narrow.usual(new) > 1.3 * narrow.usual(usual)


def test_no_range_has_seen_its_own_source() -> None:
    """The range that a source is judged by does not depend on the source's rows."""
    rows = made(12, 0.05)
    far = [Sample(one.system, one.traits, one.time, 9.0 if one.system == "s3" else one.error) for one in rows]
    one, other = learn(rows), learn(far)
    if one["factor"] == other["factor"]:
        assert one["without"]["s3"] == other["without"]["s3"]
    no_quantile = {"below": 0, "above": 0}
    assert {**one["without"]["s3"], **no_quantile} == {**other["without"]["s3"], **no_quantile}


def test_a_trait_that_says_nothing_is_spared_and_widens_no_range() -> None:
    """Of ten traits that are new together, the two skipped ones have no coefficient; the ranges of the others have the same coverage."""
    counted, spared = learn(made(12, 0.05)), learn(made(12, 0.05), frozenset({"scale", "length"}))
    at = [counted["features"].index(name) for name in ("scale", "length")]
    assert min(counted["all"]["coefficients"][place] for place in at) > 0
    for one in (spared["all"], *spared["without"].values()):
        assert [one["coefficients"][place] for place in at] == [0, 0]
    assert 0.7 <= spared["coverage"]["rows"] <= 0.9


def test_the_interval_score_is_least_for_the_percentiles() -> None:
    """Winkler's score of ranges around 0 for normal errors is smallest near -1.2816 to 1.2816, the 10th and 90th percentile."""
    errors = np.random.default_rng(2).normal(size=200_000)
    scores = {
        half: float(interval_score(np.full(1, -half), np.full(1, half), errors).mean()) for half in (1.0, 1.2816, 1.6)
    }
    assert min(scores, key=lambda half: scores[half]) == 1.2816


def test_a_range_reaches_as_far_to_either_side_as_sources_did() -> None:
    """In twelve systems every third is far slower than predicted and none far faster, so the range extends further up than down."""
    random = np.random.default_rng(5)
    traits = Traits("stack", "h100-sxm-80gb", "hopper", "bf16", "dense", 8, 8192)
    rows = [
        Sample(f"s{number}", traits, 5.0, abs(random.normal(0, 0.4)) if number % 3 == 0 else random.normal(0, 0.05))
        for number in range(12)
        for _ in range(20)
    ]
    found = learn(rows)["all"]
    assert found["above"] > 2 * found["below"] > 0


def test_a_stack_that_nobody_measured_takes_what_such_stacks_took_each_system_once() -> None:
    """Medians 0.1, 0.3, 0.5 and two systems taken to be right (0, 0): 0.1 in the middle; without the first 0 0 0.3 0.5 -> 0.15. Rows of
    stacks that others ran, and how many rows a system has, do not count."""
    one = Traits("new", "h100-sxm-80gb", "hopper", "bf16", "dense", 8, 8192)
    rows = [
        Sample(f"s{at}", one, 5.0, error, unmet=True)
        for at, error in enumerate((0.1, 0.3, 0.5))
        for _ in range(1 + 9 * at)
    ]
    rows += [Sample("met", one, 5.0, 2.0)] * 50
    assert unmet_stack(rows) == pytest.approx(0.1)
    assert unmet_stack(rows, frozenset({"s0"})) == pytest.approx(0.15)


def test_the_factor_of_the_stored_table_was_learned_without_the_system_judged(published: Validation) -> None:
    """Divided out again, the predictions are the parent's; the stacks of our own H200 runs are ones that others ran too: untouched."""
    by = {system_of(one.row.word("source_title") or ""): one for one in published.judged if one.error is not None}
    case = by["bigscience"].case
    assert case is not None
    assert case.software.unmet == conformal.unmet_stack("bigscience") > 1.05
    assert conformal.unmet_stack("bigscience") == pytest.approx(
        np.exp(unmet_stack(samples(published.judged), frozenset({"bigscience"}))), abs=1e-4
    )
    untouched = by["pythia"].case
    assert untouched is not None
    assert untouched.software.unmet == 1.0


def test_every_source_weighs_the_same_beside_every_row(tmp_path: Path) -> None:
    """Three rows of one source and one of another: medians and means of each source, then over the two sources."""
    rows = judged(
        tmp_path,
        *({"step_time_s": time} for time in (12.0, 13.0, 15.0)),
        {"source_title": "theirs", "step_time_s": 9.0},
    )
    errors = [abs(one.error or 0.0) for one in rows.judged]
    found = rows.summary()
    assert found["sources"] == 2
    assert found["sources_mape"] == pytest.approx((np.mean(errors[:3]) + errors[3]) / 2)
    assert found["sources_median_ape"] == pytest.approx((np.median(errors[:3]) + errors[3]) / 2)


def test_no_source_is_worse_than_it_was_and_the_range_holds_what_it_says(published: Validation) -> None:
    """Every change must pass this. If it makes sources worse for the sake of others, say so and run `gpuhours validate --update`."""
    told = worse(published)
    assert not told, "\n".join(("left out, a source is worse than before:", *told))


def test_a_worse_source_and_a_lost_range_are_told(published: Validation) -> None:
    slower = [
        dataclasses.replace(one, predicted=2 * one.predicted, low=2 * one.low, high=2 * one.high)
        if one.predicted and one.low and one.high
        else one
        for one in published.judged
    ]
    told = worse(dataclasses.replace(published, judged=tuple(slower)))
    assert any(said.startswith("Zero Bubble") and "->" in said for said in told)
    assert told[-1].startswith("range: covers")


def test_rows_that_vanish_and_worse_memory_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = json.loads(updating.errors_path().read_text(encoding="utf-8"))
    heavier, fewer, gone = sorted(
        name for name in stored if name.startswith(("Zero Bubble", "EasyContext", "BurstEngine"))
    )
    told: dict[str, str] = {}
    for name, key, change in ((gone, "predicted", 0), (fewer, "predicted", -1), (heavier, "memory_mape", 0.006)):
        now = {title: dict(one) for title, one in stored.items()}
        if change:
            now[name][key] += change
        else:
            del now[name]
        monkeypatch.setattr(updating, "errors", lambda _, now=now: now)
        (told[name],) = worse(None)  # type: ignore[arg-type] # what is judged is not asked
    assert told[gone].endswith(f"{stored[gone]['predicted']} steps predicted -> 0")
    assert told[fewer].endswith(f"-> {stored[fewer]['predicted'] - 1}")
    assert "mean error of memory" in told[heavier]


def test_the_stored_ranges_cover_left_out_sources(published: Validation) -> None:
    """80 % of the rows of a left-out source; two sources in three have a coverage of at least 65 %."""
    assert 0.75 <= published.summary()["coverage_80"] <= 0.88
    by = [one for one in published.by()["source_title"].values() if one["predicted"] >= 8]
    assert np.mean([one["coverage_80"] >= 0.65 for one in by]) > 0.67
    assert len(samples(published.judged)) > 1600


def test_methods_of_one_stack_are_ranked_as_measured(in_sample: Validation) -> None:
    """Rings, double rings, Ulysses, combinations, tensor ranks, with or without recomputation: pairs that differ by more than 2 %."""
    pairs, right = ranked(in_sample.judged, 0.02, lambda case: case.software.name)
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
    assert "ours.yaml  e  accelerator" in raised.value.where


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
