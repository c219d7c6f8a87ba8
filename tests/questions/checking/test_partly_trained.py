"""Weights that are not trained have no optimiser states: of 70B parameters with 414M trained, 8 GPUs hold 18 GB each, not 140."""

from __future__ import annotations

import pytest

from gpuhours.questions.checking.papers import PaperCheck
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper
from gpuhours.questions.verdicts import CONTRADICTED, NOT_DETERMINED

TOOK = " The run took 12 hours (96 GPU-hours)."
LITTLE = {
    "lora": "We fine-tune a 70B model with LoRA on 8 H100 80GB GPUs using FSDP, with 414M trainable parameters.",
    "qlora": "QLoRA of a 70B model on 8 H100 80GB GPUs with ZeRO-3 trains 414M parameters.",
    "adapters": "Adapters of 414M parameters are inserted into a 70B model and only the adapters are trained, on 8 H100 GPUs with FSDP.",
    "frozen": "The 70B backbone is frozen; 414M parameters beside it are trained on 8 H100 80GB GPUs with ZeRO-3.",
    "head": "Only the head of the 70B model (414M parameters) is trained, on 8 H100 80GB GPUs with FSDP.",
    "by count": "The 70B model has 414M trainable parameters and was tuned on 8 H100 80GB GPUs with ZeRO-3.",
    "by share": "A 70B model is tuned on 8 H100 80GB GPUs with ZeRO-3; only 0.6% of the parameters are trainable.",
    "dora": "We tune a 70B model with DoRA (rank 16) on 8 H100 GPUs with FSDP.",
    "probe": "We linear-probe a 70B model on 8 H100 80GB GPUs with ZeRO-3.",
    "prompt": "We prompt-tune a 70B model on 8 H100 80GB GPUs with FSDP.",
    "offload": "We fine-tune all of a 70B model on 8 H100 80GB GPUs with ZeRO-3, with optimizer states offloaded to the host.",
}


def checked(text: str) -> PaperCheck:
    return check_paper(read_paper(text + TOOK))


@pytest.mark.parametrize("said", LITTLE.values(), ids=LITTLE.keys())
def test_frozen_weights_have_no_optimiser_states(said: str) -> None:
    found = checked(said)
    assert found.verdict != CONTRADICTED
    assert not [one for run in found.runs for one in run.doubts if "optimiser" in one.statement]


def test_all_of_a_model_in_mixed_precision_is_still_judged() -> None:
    """16 bytes x 70 G / 8 = 140 GB on a card of 80."""
    assert checked("Mixed-precision training of a 70B model on 8 H100 80GB GPUs with FSDP.").verdict == CONTRADICTED


def test_states_that_fit_in_sixteen_bits_are_asked_about() -> None:
    """8 bytes x 70 G / 8 = 70 GB on a card of 80; over 4 cards 140 GB, which no format of the states makes fit."""
    found = checked("We fine-tune all of a 70B model on 8 H100 80GB GPUs with FSDP.")
    assert found.verdict == NOT_DETERMINED
    assert "32 bits" in found.runs[0].doubts[0].to_confirm
    assert checked("We fine-tune all of a 70B model on 4 H100 80GB GPUs with FSDP.").verdict == CONTRADICTED


def test_most_of_a_model_trained_is_not_a_little() -> None:
    said = "The 70B model has 65B trainable parameters and was tuned on 4 H100 80GB GPUs with ZeRO-3."
    assert checked(said).verdict == CONTRADICTED
