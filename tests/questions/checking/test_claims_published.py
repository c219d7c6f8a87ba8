"""Published runs as text: conflicting figures are found, with the reason that authors or readers gave, and no others."""

from __future__ import annotations

import csv
from importlib.resources import files

import pytest

from gpuhours.questions.checking.one_run import check_document
from gpuhours.questions.checking.outcome import Check
from gpuhours.questions.checking.reading.text import read_paper

TOTALS = files("gpuhours") / "published" / "run_totals.csv"
ROWS = {
    row["id"]: row
    for row in csv.DictReader(line for line in TOTALS.read_text(encoding="utf-8").splitlines() if line[:1] != "#")
    if row["params_b"]
}

SENTENCES = (
    ("gpus", "gpus=", "The cluster had {} {gpu} GPUs. "),
    ("days", "days=", "Training took {} days. "),
    ("tokens_b", "", "It was trained on {} billion tokens. "),
    ("gpu_hours", "gpu_hours=", "It consumed {} {gpu} GPU-hours. "),
    ("train_flops", "train_flops", "Total compute was {} FLOPs. "),
    ("mfu_pct", "mfu", "MFU was {}%. "),
    ("tflops_per_gpu", "tflops", "We reached {} TFLOP/s per GPU. "),
)


def told(row: dict[str, str]) -> str:
    """Return the figures that a run's source states (without derived ones) as prose."""
    active = f", of which {row['active_params_b']}B are active per token" if row["active_params_b"] else ""
    text = f"{row['model']} has <params>{row['params_b']} billion parameters</params>{active}. "
    for column, derived, sentence in SENTENCES:
        if row[column] and not (derived and derived in row["derived_fields"]):
            text += sentence.format(row[column], gpu=row["gpu"])
    return text


def judged(name: str) -> Check:
    return check_document(read_paper(told(ROWS[name]), name).single)


# the correct likely cause, or None if the mistake cannot be identified from figures alone
CONFLICTS = {
    "llama31-405b": "downtime",  # the card's hours include more than the steady state
    "opt-175b": "8ND for 6ND",  # 147 TFLOP/s counts recomputation
    "bloom-176b": "HFU as MFU",
    "gopher-280b": "8ND for 6ND",
    "palm-540b": "downtime",  # chip-hours include stops and repeated steps
    "alexatm-20b": "downtime",
    "bloomberggpt": "8ND for 6ND",
    "codefuse-13b": None,
    "flm-101b": None,  # the model grew during training
    "llmc-gpt3-125m": None,
    "emu1-14b": None,
    "idefics-80b": None,  # frozen parts, which these sentences do not mention
    "longvila-7b-stage4": "base model's tokens",
}


@pytest.mark.parametrize("name", CONFLICTS)
def test_conflict_is_found(name: str) -> None:
    found = judged(name)
    assert found.verdict == "contradicted"
    cause = CONFLICTS[name]
    if cause is not None:
        assert found.contradictions[0].likely_causes[0].cause == cause


def test_nothing_else_is_called_a_conflict() -> None:
    wrong = {name for name in ROWS.keys() - CONFLICTS.keys() if judged(name).contradictions}
    assert not wrong
    assert len(ROWS) > 70
