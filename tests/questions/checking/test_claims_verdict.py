"""Verdicts: which claims agree or contradict, by which factor, and by which known mistake."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuhours.questions.checking.claim import Claim, Document, Fact
from gpuhours.questions.checking.one_run import check_document
from gpuhours.questions.checking.outcome import Check
from gpuhours.questions.checking.precision import Spread
from tests.conftest import Command
from tests.read_texts import TEXTS, judged

EXPECTED = yaml.load((TEXTS / "expected.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
PLANTED = [name for name, entry in EXPECTED.items() if "cause" in entry]


@pytest.mark.parametrize("name", EXPECTED)
def test_verdict(name: str) -> None:
    assert judged(name).verdict == EXPECTED[name]["verdict"]


@pytest.mark.parametrize("name", PLANTED)
def test_likely_cause(name: str) -> None:
    first = judged(name).contradictions[0]
    known = [cause.cause for cause in first.likely_causes if cause.known]
    assert (known[0] if known else None) == EXPECTED[name]["cause"]
    assert first.factor == pytest.approx(EXPECTED[name]["factor"], rel=0.01)


def document(accelerator: str = "a100-sxm-80gb", sigma: float = 0.005, **values: float) -> Document:
    """A document that states ``values``."""
    claims = tuple(Claim(name, value, Spread(value, sigma, "given")) for name, value in values.items())
    return Document("given", claims, (Fact("accelerator", accelerator),))


def implied(found: Check, quantity: str) -> float | None:
    return next(entry.value for entry in found.implied if entry.quantity == quantity)


# Hand calculations on the five documents (sources: their texts; arithmetic with 312 and 989.4 TFLOP/s)
def test_video_llama_needs_821_gpus() -> None:
    found = judged("seed-000")
    assert implied(found, "gpus") == pytest.approx(1.8e6 / (365.25 / 4 * 24), rel=1e-3)
    assert implied(found, "dataset_samples") == pytest.approx(168.75e6, rel=1e-3)
    assert implied(found, "steps") is None  # passes are not stated
    usual = {entry.quantity: entry.value for entry in found.implied if entry.basis == "assumed"}
    assert usual["steps"] == pytest.approx(82_397, rel=1e-3)
    assert usual["visual_tokens"] == pytest.approx(2.765e12, rel=1e-3)
    assert usual["mfu"] == pytest.approx(0.289, rel=0.15)  # by hand without attention beside 6ND


def test_videollama_gpu_hours() -> None:
    found = judged("seed-001")
    assert implied(found, "gpu_hours") == pytest.approx(32_256, rel=1e-3)
    assert implied(found, "gpus_per_node") == pytest.approx(8)
    assert implied(found, "tokens") is None
    assert implied(found, "mfu") is None


def test_x_gen_compute() -> None:
    found = judged("seed-002")
    assert implied(found, "gpu_hours") == pytest.approx(552_960, rel=1e-3)
    assert implied(found, "data_parallel") == pytest.approx(16)
    assert implied(found, "model_flops") == pytest.approx(8.76e23, rel=0.05)  # less the stops assumed
    assert implied(found, "epochs") is None


def test_videomae_step_time_and_mfu() -> None:
    found = judged("seed-003")
    assert implied(found, "gpu_hours") == pytest.approx(18_816, rel=1e-3)
    assert implied(found, "steps") == pytest.approx(1.465e6, rel=1e-3)
    assert implied(found, "step_time") == pytest.approx(1.445, rel=0.05)
    usual = {entry.quantity: entry.value for entry in found.implied if entry.basis == "assumed"}
    assert usual["mfu"] is not None
    assert 0.24 < usual["mfu"] < 0.34


def test_longvila_tokens_are_impossible() -> None:
    first = judged("seed-004").contradictions[0]
    assert set(first.claims) == {"tokens", "gpu_hours", "parameters"}
    assert first.factor == pytest.approx(1.27, rel=0.08)  # 4ND of 7.07e9, no attention; ours adds 3 % for it


def test_sparse_peak() -> None:
    found = check_document(document("h100-sxm-80gb", flops_per_second_per_gpu=383e12, mfu=0.194))
    (contradiction,) = found.contradictions
    assert contradiction.claims[0] == "mfu"
    assert contradiction.likely_causes[0].cause == "sparse peak"
    assert contradiction.likely_causes[0].factor == 0.5


def test_no_known_cause_is_said() -> None:
    found = check_document(document(tensor=8, pipeline=12, data_parallel=7, gpus=1024))
    (missed,) = found.contradictions[0].likely_causes
    assert missed.cause == "tensor parallel x pipeline parallel x data parallel miscalculated"
    assert found.contradictions[0].to_dict()["no_known_cause"] is True


def test_gpus_must_divide() -> None:
    found = check_document(document(sigma=0, tensor=8, pipeline=12, gpus=1024))
    (contradiction,) = found.contradictions
    assert "do not divide" in contradiction.statement
    assert check_document(document(sigma=0, tensor=8, pipeline=16, gpus=1024)).verdict == "consistent"


def test_state_must_fit() -> None:
    claims = document(parameters=13e9, gpus=64)
    plain = Document("given", claims.claims, (*claims.facts, Fact("sharding", "ddp")))
    assert "weights and optimiser" in check_document(plain).contradictions[0].statement
    assert not check_document(claims).contradictions  # spread over 64 GPUs it fits


def test_witness_is_one_more_measurement() -> None:
    stated = document("h100-sxm-80gb", mfu=0.60, gpus=512)
    assert not check_document(stated).contradictions
    found = check_document(stated, lambda _: (0.44, 0.41, 0.47))
    assert found.contradictions[0].claims == ("mfu",)
    agreeing = check_document(document("h100-sxm-80gb", mfu=0.445, gpus=512), lambda _: (0.44, 0.41, 0.47))
    assert not agreeing.contradictions
    assert "predicts" in agreeing.witness


@settings(max_examples=60)
@given(
    st.floats(1e8, 1e12),
    st.floats(1e9, 1e14),
    st.sampled_from([1, 8, 512, 16_384]),
    st.floats(0.15, 0.6),
    st.floats(1e-3, 0.1),
)
def test_what_is_true_is_never_contradicted(
    parameters: float, tokens: float, gpus: int, mfu: float, sigma: float
) -> None:
    compute = 6 * parameters * tokens
    seconds = compute / (mfu * 312e12 * gpus)
    if not 60 < seconds < 1e9 or 16 * parameters / gpus > 80e9:
        return
    claims = {
        "parameters": parameters,
        "tokens": tokens,
        "gpus": gpus,
        "mfu": mfu,
        "wall_clock": seconds,
        "model_flops": compute,
    }
    exact = tuple(Claim(name, value, Spread(value, sigma, "")) for name, value in claims.items())
    assert not check_document(Document("true", exact, (Fact("accelerator", "a100-sxm-80gb"),))).contradictions


@settings(max_examples=60)
@given(st.floats(0.05, 20), st.sampled_from(["gpu_hours", "gpus", "wall_clock"]))
def test_a_wrong_factor_is_found_with_its_size(factor: float, wrong: str) -> None:
    true = {"gpu_hours": 24_000.0, "gpus": 100.0, "wall_clock": 240 * 3600.0}
    found = check_document(document(**{**true, wrong: true[wrong] * factor}))
    assert (
        bool(found.contradictions) == (abs(math.log(factor)) > 2.6 * math.hypot(0.02, 3**0.5 * 0.005))
        or 0.9 < factor < 1.11
    )
    if found.contradictions:
        size = abs(math.log(found.contradictions[0].factor))
        assert size == pytest.approx(abs(math.log(factor)), rel=0.02)


def test_json_contract(gpuhours_command: Command) -> None:
    ran = gpuhours_command("check", str(TEXTS / "bad-sparse.txt"), "--json")
    assert ran.code == 1
    found = json.loads(ran.out)
    keys = {
        "quantity",
        "stated",
        "low",
        "high",
        "reconciled",
        "reconciled_low",
        "reconciled_high",
        "residual",
        "verdict",
        "quote",
    }
    assert all(keys <= set(claim) for claim in found["claims"])
    assert all({"quantity", "value", "low", "high", "unit"} <= set(entry) for entry in found["implied"])
    (contradiction,) = found["contradictions"]
    assert {"claims", "factor", "likely_causes"} <= set(contradiction)
    assert all({"cause", "factor", "explains"} <= set(cause) for cause in contradiction["likely_causes"])
    assert gpuhours_command("check", str(TEXTS / "llm-65b.txt"), "--json").code == 0


@pytest.mark.parametrize("name", ["missing.txt", "paper.pdf"])
def test_bad_input(gpuhours_command: Command, tmp_path: Path, name: str) -> None:
    ran = gpuhours_command("check", str(tmp_path / name))
    assert ran.code == 2
    assert ran.err.startswith("error: ")


def test_a_binary_file_is_bad_input(gpuhours_command: Command, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"\xff\xfe\x00\x01")
    assert gpuhours_command("check", str(tmp_path / "x.txt")).code == 2
