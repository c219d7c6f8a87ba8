"""Claims as YAML: written, corrected by hand and read back; invalid ones are explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.checking.claim import NAME_OF_CARD
from gpuhours.questions.checking.file import read_claims, write_claims
from gpuhours.questions.checking.one_run import check_document
from tests.conftest import Command
from tests.read_texts import TEXTS, judged, paper

NAMES = sorted(path.stem for path in TEXTS.glob("*.txt"))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_reads_back_the_same(name: str, tmp_path: Path) -> None:
    document = paper(name).single
    path = tmp_path / "claims.yaml"
    path.write_text(write_claims(paper(name)), encoding="utf-8")
    again = read_claims(path).single
    assert [(c.quantity, c.value) for c in again.claims] == [
        (c.quantity, pytest.approx(c.value, rel=1e-9)) for c in document.claims if c.because != NAME_OF_CARD
    ]
    first, second = judged(name), check_document(again)
    assert first.verdict == second.verdict
    assert [c.claims for c in first.contradictions] == [c.claims for c in second.contradictions]


def test_plain_mapping(tmp_path: Path) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(
        "facts: {accelerator: h100-sxm-80gb}\n"
        "claims:\n  gpus: 512\n  wall_clock: 45 days\n  gpu_hours: 552,960 GPU-hours\n  mfu: 44.5%\n",
        encoding="utf-8",
    )
    found = check_document(read_claims(path).single)
    assert found.verdict == "consistent"
    assert {c.claim.quantity for c in found.claims if c.verdict == "agrees"} == {
        "gpus",
        "wall_clock",
        "gpu_hours",
    }


WRONG = {
    "claims: {gpuz: 512}": "Did you mean 'gpus'",
    "claims: {wall_clock: 45}": "no unit",
    "claims: {wall_clock: 3 GB}": "wall_clock",
    "claims: {mfu: lots}": "mfu",
    "claims: {gpus: -4}": "is impossible",
    "claims: []": "claims",
    "klaims: {gpus: 4}": "klaims",
    "claims: [{quantity: gpus, value: 4}, {quantity: gpus, value: 8}]": "twice",
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_files(text: str, tmp_path: Path) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(text + "\n", encoding="utf-8")
    with pytest.raises(EstimateError) as caught:
        read_claims(path)
    assert WRONG[text] in str(caught.value)
    assert "claims.yaml" in str(caught.value)


def test_output_and_markdown(gpuhours_command: Command, tmp_path: Path) -> None:
    claims, review = tmp_path / "claims.yaml", tmp_path / "review.md"
    ran = gpuhours_command("check", str(TEXTS / "bad-hfu.txt"), "-o", str(claims), "--markdown", str(review))
    assert ran.code == 1
    assert "HFU as MFU" in review.read_text(encoding="utf-8")
    assert gpuhours_command("check", str(claims)).code == 1
    assert gpuhours_command("check", str(TEXTS / "minutes.txt"), "--quiet").out == "consistent\n"


def test_a_file_that_cannot_be_written_is_bad_input(gpuhours_command: Command, tmp_path: Path) -> None:
    ran = gpuhours_command("check", str(TEXTS / "minutes.txt"), "-o", str(tmp_path / "missing" / "claims.yaml"))
    assert ran.code == 2
    assert "cannot be written" in ran.err
