"""What must be certain before a text is contradicted: sound texts in which another reading of one figure makes all of them fit."""

from __future__ import annotations

import pytest

from gpuhours.questions.checking.papers import PaperCheck
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper
from gpuhours.questions.verdicts import CONSISTENT, CONTRADICTED, NOT_DETERMINED


def checked(text: str) -> PaperCheck:
    return check_paper(read_paper(text))


PADDED = (
    "The corpus holds 48B tokens; with padding the model (420M parameters) processed 72B positions in 51 hours on a server with "
    "eight A100s, 408 GPU-hours, at 40% MFU."
)
RESERVED = (
    "Between 2 May and 17 July (76 days) the 38B model was trained with 320 A100s on 0.9T tokens. 583,680 GPU-hours were reserved; "
    "the run was up for 57 days of them at 42% MFU."
)
PREDICTED = (
    "We fitted the law on 30 models of 90M to 3B parameters and 2B to 60B tokens, 21,000 A100-hours in all. The largest took 2,400 "
    "GPU-hours. It predicts that a 40B model needs 800B tokens and 1.9e23 FLOPs."
)
BUSY = (
    "# Dipper 2B\n- Parameters: 2B\n- Tokens: 1 trillion\n- Hardware: 32 nodes x 8 A100 40GB\n- Duration: 4.6 days\n"
    "- GPU utilisation: 98 % (as the monitor shows it)"
)
AT_LENGTH = (
    "| context | tok/s/GPU | MFU |\n|---|---|---|\n| 4k | 10,300 | 45% |\n| 128k | 3,700 | 43% |\n\n"
    "6.9B parameters, H100; MFU counts attention."
)
DIES = (
    "### Infrastructure of Sanderling-9B\n\nModel: 9B parameters, 800B tokens.\n\nNodes: 64, with four AMD MI250X each (256 "
    "accelerators).\n\nRun time: 318 hours.\n\nUtilisation: 38.5% MFU with respect to 383 TFLOP/s.\n\n"
    "Parallelism: tensor 2, pipeline 4, data 64."
)


@pytest.mark.parametrize("text", [PADDED, RESERVED, PREDICTED, BUSY, AT_LENGTH])
def test_another_reading_is_asked_for_first(text: str) -> None:
    found = checked(text)
    assert found.verdict != CONTRADICTED
    assert all(charge.condition for run in found.runs for charge in run.doubts)


def test_what_is_asked() -> None:
    assert "not “72B”" in checked(PADDED).runs[0].doubts[0].condition
    assert "not “57 days”" in checked(RESERVED).runs[0].doubts[0].condition
    assert "busy" in checked(BUSY).runs[0].doubts[0].condition


def test_a_layout_in_dies_beside_machines_in_packages() -> None:
    """2 x 4 x 64 ranks are the 512 dies of 256 packages: 6 x 9e9 x 8e11 / (256 x 318 h x 3,600 s x 383e12) = 38.5 %."""
    assert checked(DIES).verdict == CONSISTENT
    assert checked(DIES.replace("four AMD", "six AMD")).verdict != CONSISTENT


def test_a_utilisation_of_the_peak_is_still_judged() -> None:
    """Nothing is left open where the text says of what the utilisation is a share."""
    wrong = BUSY.replace("GPU utilisation: 98 % (as the monitor shows it)", "MFU: 98 %")
    assert checked(wrong).verdict == CONTRADICTED
    assert checked(BUSY).verdict == NOT_DETERMINED


GRANTED = (
    "Sandpiper-20B was made under a national grant of 300 000 GPU hours, of which the final run consumed 264 192 GPU hours: 64 nodes "
    "with 8 A100 (80 GB) each during 516 h. For 20 B parameters and 1.1 T tokens this means 44.5 % MFU."
)
LABELS = "* Weights {0} 0.9B\n* Corpus {0} 40B tokens (deduplicated)\n* Epochs {0} 4\n* Tokens {1} {2}B\n* Hardware {0} 16x A100, 5 days"


def test_what_was_granted_is_not_what_was_used() -> None:
    (run,) = read_paper(GRANTED).runs
    assert [claim.value for claim in run.claims if claim.quantity == "gpu_hours"] == [264_192]
    assert checked(GRANTED).verdict == CONSISTENT


@pytest.mark.parametrize(("dots", "seen"), [("......", "processed"), ("", "seen")])
def test_labels_of_a_list_are_one_run(dots: str, seen: str) -> None:
    (run,) = read_paper(LABELS.format(dots, seen, 160)).runs
    assert {claim.quantity for claim in run.claims} >= {"parameters", "dataset_tokens", "tokens", "gpus", "wall_clock"}
