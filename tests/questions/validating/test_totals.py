"""Whole runs: the inputs of a row, how its remainder is learned, and what the published table shows about the model."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml

from gpuhours.inputs.durations import HOUR
from gpuhours.inputs.errors import EstimateError
from gpuhours.layout.choices import word
from gpuhours.layout.schedules import Schedule
from gpuhours.questions.validating.remainders import weighted_quantile
from gpuhours.questions.validating.rows import Row
from gpuhours.questions.validating.totals import (
    TotalsReport,
    contradiction,
    measures,
    published_totals,
    read_totals,
    validate_totals,
)
from gpuhours.questions.validating.totals_rows import described, organisation, unread
from gpuhours.run.evaluate import evaluate
from gpuhours.run.typical import typical
from gpuhours_cli.render.totals import answer
from tests.benchmarks.floor import CARD
from tests.cli.test_readme import printed
from tests.conftest import Command
from tests.questions.validating.tables import COVERED

HOURS = Path(__file__).parents[2] / "snapshots" / "total-hours.yaml"
"""GPU-hours of each published run, as its source prints them."""
ROW = {
    "id": "x-7b", "model": "X 7B", "year": "2024", "params_b": "7", "tokens_b": "1000", "gpu": "A100-80GB", "gpus": "256",
    "global_batch": "4M tokens", "seq_len": "4096", "gpu_hours": "150000", "days": "24", "mfu_pct": "45",
    "train_flops": "4.2e22", "parallelism": "TP4 PP2 ZeRO-1 (Megatron-DeepSpeed)", "recompute": "full", "cost_usd": "1e6",
}  # fmt: skip


@pytest.fixture(scope="module")
def judged() -> TotalsReport:
    return validate_totals()


def test_the_readme_says_how_far_off_whole_runs_have_been(judged: TotalsReport) -> None:
    assert printed("gpuhours validate --totals --quiet") == answer(judged) + "\n"


def test_no_published_total_is_edited_unsaid() -> None:
    """An edit of one run's hours changes no figure of the README. ``GPUHOURS_WRITE=1`` stores the current hours of the table."""
    now = {one.cells["id"]: one.cells["gpu_hours"] for one in read_totals(published_totals())}
    if os.environ.get("GPUHOURS_WRITE"):
        HOURS.write_text(yaml.safe_dump(now, sort_keys=False), encoding="utf-8")
    stored = yaml.load(HOURS.read_text(encoding="utf-8"), yaml.CSafeLoader)
    told = [
        f"{name}: {stored.get(name, 'not there')} -> {now.get(name, 'not there')} GPU-hours"
        for name in dict.fromkeys((*stored, *now))
        if stored.get(name) != now.get(name)
    ]
    assert not told, "\n".join(("published hours have changed:", *told))


def row(**changed: str) -> Row:
    return Row({**ROW, **changed}, 2)


def test_least_hands_over_size_tokens_accelerator_and_year() -> None:
    run = described(row(), "least")
    assert (run.hardware.gpus, run.training.batch_tokens, run.data.seq_len, run.layout) == (None, None, None, None)
    assert (run.data.tokens, run.hardware.accelerator, run.year) == (1e12, "a100-sxm-80gb", 2024)


def test_usual_adds_accelerators_batch_and_length_and_all_the_layout() -> None:
    usual = described(row(), "usual")
    assert (usual.hardware.gpus, usual.training.batch_tokens, usual.data.seq_len) == (256, 4e6, 4096)
    assert usual.layout is None
    said = described(row(), "all")
    assert said.layout is not None
    assert (said.layout.tensor, said.layout.pipeline, said.layout.recompute.name) == (4, 2, "full")


@pytest.mark.parametrize("given", ["least", "usual", "all"])
def test_hours_and_what_they_follow_from_are_never_handed_over(given: str) -> None:
    plain = described(row(), given)  # type: ignore[arg-type]
    other = described(row(gpu_hours="1", days="1", mfu_pct="1", train_flops="1", cost_usd="1", energy_mwh="9"), given)  # type: ignore[arg-type]
    assert plain == other
    assert plain.known.model_fields_set == set()


def test_a_layout_in_words() -> None:
    said = described(row(parallelism="PP16 (zero-bubble) EP8, no TP", recompute=""), "all").layout
    assert said is not None
    assert (said.pipeline, said.tensor, said.expert, word(Schedule, said.schedule)) == (16, 1, 8, "zb-1p")
    plain = described(row(parallelism="PP16 EP8", recompute=""), "all").layout
    assert plain is not None
    assert not {"tensor", "schedule"} & plain.model_fields_set


@pytest.mark.parametrize(
    ("words", "profile"),
    [
        ("ZeRO-3", "deepspeed"), ("MM-SP (32 nodes), ZeRO-3", "longvila"), ("FSDP", "fsdp2-eager"), ("Megatron-LM TP=8", "megatron-lm"),
        ("PP16 (zero-bubble) EP8, no TP", None), ("TP8 PP8", None),
    ],
)  # fmt: skip
def test_a_stack_in_the_words_of_a_layout_is_matched_as_in_a_run(words: str, profile: str | None) -> None:
    """By ``software/matching.yaml``, in the row's year; the name of a schedule is no stack."""
    found = described(row(parallelism=words, recompute=""), "all").software
    assert (None if found is None else found if isinstance(found, str) else found.name) == profile


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"gpu": "TPUv3000"}, "accelerator"),
        ({"params_b": "", "model": "Y"}, "parameters"),
        ({"tokens_b": "", "samples_m": ""}, "tokens"),
        ({"params_b": "7B"}, "params_b is not a number of at least 0: '7B'"),
        ({"gpus": "8-16"}, "gpus is not a number"),
        ({"tokens_b": "-1"}, "tokens_b is not a number"),
        ({"gpu": ""}, "no accelerator"),
        ({"model": "", "modality": "image (SSL)", "tokens_b": "", "samples_m": "5"}, "no model is named"),
    ],
)
def test_what_is_missing_is_said(changed: dict[str, str], says: str) -> None:
    with pytest.raises(EstimateError, match=says):
        described(row(**changed), "usual")


def test_zero_is_a_blank_and_a_column_of_another_name_is_told() -> None:
    assert described(row(active_params_b="0", epochs="0"), "usual") == described(row(), "usual")
    assert unread([row(), row(tokens="1e12", notes="a remark", parameters="")]) == ("tokens",)


def test_samples_without_epochs_are_all_that_were_seen() -> None:
    pairs = {"tokens_b": "", "samples_m": "100", "modality": "image+text"}
    assert described(row(**pairs), "usual").data.samples == 1e8
    assert described(row(**pairs, epochs="3"), "usual").data.samples == 3e8


@pytest.mark.parametrize(
    ("changed", "text", "frozen"),
    [
        ({"model": "X 7B"}, 300.0, "full"),
        ({"model": "X 7B pretrain (projector)"}, 30.0, "frozen"),
        ({"trainable_params_b": "0.02"}, 30.0, "frozen"),
        ({"samples_m": "2000"}, 30.0, "full"),
    ],
)
def test_captions_where_pairs_are_the_webs_or_only_a_connector_is_trained(
    changed: dict[str, str], text: float, frozen: str
) -> None:
    run = described(row(**{"tokens_b": "", "samples_m": "1", "modality": "image+text", **changed}), "usual")
    assert (run.data.text_tokens, run.model.language.trainable) == (text, frozen)  # type: ignore[union-attr]


def test_hours_that_contradict_what_the_row_states_are_said() -> None:
    assert contradiction(row(mfu_pct=""), 0.3) is None
    assert contradiction(row(mfu_pct="45"), 0.3) is None, "stops and rounding"
    assert "45% MFU stated" in (contradiction(row(mfu_pct="45"), 0.2) or "")
    assert "90% of the dense peak" in (contradiction(row(), 0.9) or "")
    seen = {"tokens_b": "", "samples_m": "100"}
    assert "samples without epochs" in (contradiction(row(**seen), 0.003) or "")
    assert contradiction(row(**seen, epochs="32"), 0.003) is None
    assert "units" in (contradiction(row(mfu_pct=""), 1e-9) or ""), "tokens in billions given as tokens"


def test_known_models_are_found_by_name_and_size() -> None:
    named = described(row(model="LLaMA-7B", params_b="6.7"), "usual").model
    assert named is not None
    assert named.name == "llama-7b"
    other = described(row(model="LLaMA-7B", params_b="9"), "usual").model
    assert other is not None
    assert other.name != "llama-7b"


@pytest.mark.parametrize(
    ("model", "size", "name"),
    [
        ("OpenCLIP ViT-B-16-plus-240 LAION-400M", "0.2084", "clip-b-16-plus-240"),
        ("SigLIP ViT-B/16", "0.203", "siglip-b-16"),
        ("SigLIP B/16", "0.203", "siglip-b-16"),
        ("CLIPA-v2 H/14", "0.986", "clip-h-14"),
        ("SigLIP So400m/14", "0.88", "siglip-so400m"),
        ("EVA-CLIP ViT-g/14", "1.14", "clip-g-14"),  # with the text tower of L/14: a tenth less work
    ],
)
def test_two_towers_are_known_by_that_for_pictures(model: str, size: str, name: str) -> None:
    pairs = {"tokens_b": "", "samples_m": "100", "modality": "image+text (CLIP)"}
    found = described(row(**pairs, model=model, params_b=size), "usual").model
    assert getattr(found, "name", None) == name
    with pytest.raises(EstimateError, match="is no"):
        described(row(**pairs, model=f"{model} ViT-B/16", params_b="4"), "usual")


@pytest.mark.parametrize(
    ("model", "modality", "name"),
    [
        ("UMT ViT-L/16", "video (MIM)", "videomae-l"),
        ("BEiT ViT-B/16", "image (MIM)", "mae-b"),
        ("EVA-01 1B", "image (MIM)", "eva-1b"),
        ("DINOv3 ViT-7B", "image (SSL)", "dinov3-vit-7b16"),
        ("Whisper large-v3", "audio", "whisper-large-v3"),
    ],
)
def test_masked_pictures_are_known_by_their_encoder(model: str, modality: str, name: str) -> None:
    said = {"tokens_b": "", "params_b": "", "samples_m": "2", "epochs": "100"}
    assert getattr(described(row(**said, model=model, modality=modality), "usual").model, "name", None) == name


def test_videos_are_known_by_name_and_release_and_have_two_sides() -> None:
    said = {"tokens_b": "", "samples_m": "2", "epochs": "1", "modality": "video generation", "frames_per_sample": "93"}
    found = described(row(**said, model="Open-Sora-Plan v1.2 stage 4", params_b="2.7", resolution="640x480"), "usual")
    assert (getattr(found.model, "name", None), found.data.image(480)) == ("open-sora-plan-1.2", (480, 640))
    assert getattr(described(row(model="nanochat d24 fp8", params_b=""), "usual").model, "name", None) == "nanochat-d24"


def test_an_encoder_with_a_decoder_takes_half_the_work() -> None:
    """Each token passes through only one of encoder and decoder: about 3 N D."""
    run = described(row(params_b="15", kind="encoder-decoder", seq_len=""), "least")
    found = evaluate(run.replaced("hardware.gpus", 64))
    assert found.resolved.model is not None
    assert float(found.resolved.model.parameters) == pytest.approx(15e9, rel=0.05)
    assert found.value("model_flops") == pytest.approx(3 * 15e9 * 1e12, rel=0.1)
    named = described(row(model="T5-v1.1-XXL", params_b="11.1", kind="encoder-decoder"), "usual")
    assert getattr(named.model, "name", None) == "t5-v1.1-xxl"


def test_speech_in_tokens_is_a_decoder() -> None:
    assert getattr(described(row(modality="audio+text"), "usual").model, "kind", "") in ("standard", "decoder")
    with pytest.raises(EstimateError, match="no architecture"):
        described(row(modality="audio", tokens_b="", samples_m="80"), "usual")


def test_a_row_with_few_active_parameters_is_a_mixture() -> None:
    known = described(row(model="Phi-3.5-MoE 16x3.8B-A6.6B", params_b="60.8", active_params_b="6.6"), "usual")
    assert known.model.name == "phi-3.5-moe"  # its active parameters say so: 16 x 3.8 is a name
    unknown = described(row(model="A mixture", params_b="60", active_params_b="6"), "usual")
    assert unknown.model.shape.experts is not None
    counted = described(row(model="A dense model", params_b="7", active_params_b="6.6"), "usual")
    assert counted.model.shape.experts is None


def test_organisations() -> None:
    assert organisation(row(id="llama2-7b", model="Llama 2 7B")) == "Meta"
    assert organisation(row(id="opt-175b", model="OPT-175B")) == "Meta"
    assert organisation(row(id="z", model="Z", source_title="A report")) == "A report"


def test_weighted_quantile_and_measures() -> None:
    assert weighted_quantile(np.array([3.0, 1.0, 2.0]), np.ones(3), 0.5) == 2.0
    assert measures(np.array([1.0, -0.5]))["bias"] == pytest.approx(0.0)
    assert measures(np.array([])) == {"mape": None, "median_ape": None, "bias": None}


def test_published_runs_are_predicted_better_than_by_a_constant_share_of_the_peak(judged: TotalsReport) -> None:
    total = judged.summary()
    assert total["predicted"] >= 90
    assert total["mape"] < total["baseline_30"]["mape"]
    assert total["mape"] < total["baseline_40"]["mape"]
    assert abs(total["bias"]) < 0.1
    low, high = COVERED
    assert low <= total["coverage_80"] <= high, f"range: holds {total['coverage_80']:.1%} of the whole runs left out"


def test_the_same_input_gives_the_same_answer(judged: TotalsReport, tmp_path: Path) -> None:
    """Whether remainders are learned from the rows at hand, as for the published table, or are the shipped ones."""
    one = next(one for one in judged.judged if one.raw.row.id == "llama2-7b")
    table = tmp_path / "alone.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, one.raw.row.cells)
        writer.writeheader()
        writer.writerow(one.raw.row.cells)
    (other,) = validate_totals(table).judged
    assert (one.predicted, one.low, one.high) == pytest.approx((other.predicted, other.low, other.high), rel=0.01)


def test_contradictory_rows_are_skipped_with_the_reason(judged: TotalsReport) -> None:
    why = {one.raw.row.id: one.raw.skipped_because for one in judged.judged}
    assert "contradict" in (why["flm-101b"] or "")
    assert why["llama2-7b"] is None


def test_command(gpuhours_command: Command, tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text(
        "id,model,year,params_b,tokens_b,gpu,gpus,gpu_hours\nx,X 7B,2024,7,1000,H100,256,90000\n", encoding="utf-8"
    )
    ran = gpuhours_command("validate", "--totals", str(table), "--given", "least", "--json")
    assert ran.code == 0
    found = json.loads(ran.out)
    assert set(found["summary"]) == {
        "rows", "predicted", "mape", "median_ape", "bias", "coverage_80", "median_width", "baseline_30", "baseline_40",
    }  # fmt: skip
    assert set(found["rows"][0]) >= {"id", "published", "predicted", "low", "high", "error", "skipped_because"}
    assert found["rows"][0]["low"] < found["rows"][0]["predicted"] < found["rows"][0]["high"]
    assert gpuhours_command("validate", "--totals", str(table), "--given", "some").code == 2
    assert gpuhours_command("validate", str(table)).code == 2
    told = gpuhours_command("validate", "--given", "all")
    assert (told.code, "--given is for --totals" in told.err) == (2, True)
    for option in (("--runs", str(table)), ("--site", str(table)), ("--memory-only",), ("--in-sample",)):
        told = gpuhours_command("validate", "--totals", *option)
        assert (told.code, f"{option[0]} is for steps" in told.err) == (2, True)
    assert gpuhours_command("validate", "--totals", str(tmp_path / "none.csv")).code == 2
    assert "whole runs" in gpuhours_command("validate", "--totals", str(table)).out


def test_any_row_is_predicted_or_skipped_with_a_reason(gpuhours_command: Command, tmp_path: Path) -> None:
    """Kinds without a family, other units, absurd counts and blanks: never a traceback, and the screen names every row."""
    table = tmp_path / "theirs.csv"
    changes = (
        {}, {"modality": "text (RL)"}, {"modality": "protein"}, {"modality": "image+text (CLIP)"},
        {"modality": "audio", "tokens_b": "", "samples_m": "3"},
        {"gpu_hours": "1e20"}, {"gpu_hours": ""}, {"tokens_b": "0.000001"}, {"tokens_b": "2e12"}, {"params_b": "70 B"}, {"year": "23"},
        {"gpu": "Gaudi 2"}, {"seq_len": "1e7"}, {"gpus": "1e9", "global_batch": "8193"},
        {"parallelism": "TP64 PP0", "recompute": "some"},
    )  # fmt: skip
    with table.open("w", encoding="utf-8", newline="") as file:
        written = csv.DictWriter(file, [*ROW, "modality", "samples_m", "price"])
        written.writeheader()
        written.writerows({**ROW, "price": "2", **change, "id": f"run-{place}"} for place, change in enumerate(changes))
    for given in ("least", "usual", "all"):
        found = validate_totals(table, given)  # type: ignore[arg-type]
        assert len(found.judged) == len(changes)
        assert all(one.raw.skipped_because or 0 < (one.low or 0) <= (one.predicted or 0) for one in found.judged)
        assert found.judged[0].error is not None
    ran = gpuhours_command("validate", "--totals", str(table))
    assert (ran.code, "Columns that are not used: price" in ran.out) == (0, True)
    assert all(one.raw.row.id in ran.out for one in found.judged if one.raw.skipped_because)


def test_every_row_names_its_source() -> None:
    assert all(one.word("source") for one in read_totals(published_totals()))


@pytest.mark.parametrize("large", [False, True])
def test_shares_of_the_peak_for_unknown_cards_are_those_of_published_runs(judged: TotalsReport, *, large: bool) -> None:
    """The share of the peak assumed on a card without kernel constants is that of runs on other cards, n runs of an organisation and kind
    weighing sqrt(n), widened by what one card differs from others (0.29 in ln)."""
    line = typical().peak_share[0 if large else 1]
    raws = [one.raw for one in judged.judged if one.raw.found is not None and (one.raw.found.params >= 1e10) == large]
    used = np.array([raw.model_flops / (raw.published or np.nan) / HOUR / raw.peak for raw in raws])
    owners = [(raw.organisation, raw.found.kind) for raw in raws if raw.found]
    weights = np.array([owners.count(owner) ** -0.5 for owner in owners])
    low, value, high = np.log([weighted_quantile(used, weights, at) for at in (0.1, 0.5, 0.9)])
    apart = 1.2816 * CARD  # the 90th percentile of a normal distribution
    widened = np.exp([value - np.hypot(value - low, apart), value, value + np.hypot(high - value, apart)])
    assert [line.low, line.value, line.high] == pytest.approx(widened, abs=0.011)


def test_cards_without_kernels_get_a_first_answer(judged: TotalsReport) -> None:
    """The four runs on TPUs are predicted from a share of the peak; the published hours are in the range of three."""
    shared = [one for one in judged.judged if one.raw.shared is not None]
    assert {one.raw.row.id for one in shared} == {"gopher-280b", "palm-540b", "paligemma", "vit-22b"}
    assert all(one.low and one.predicted and one.high and one.low < one.predicted < one.high for one in shared)
    inside = [one for one in shared if (one.low or 0) <= (one.raw.published or 0) <= (one.high or 0)]
    assert len(inside) >= 3
