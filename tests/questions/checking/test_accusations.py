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


EACH_OF = (
    "Averaged over the run of Turnstone-11B (11.2B parameters, 1.1T tokens, bf16), each of the 256 H100 SXM GPUs sustained 412 TFLOPS; "
    "of a peak of 989 TFLOPS per GPU that is an MFU of 41.7%. It took 195 hours."
)
FOR_THE_READER = (
    "Since you ask for it: Siskin has twenty billion parameters and saw 500 billion tokens; it occupied 512 A100s for a week and a half, "
    "10.5 days if you want it to the digit, which is 129,024 GPU hours. The MFU came out at 41.4%."
)
TWO_CARDS = (
    "Ruff-12B is out: 12.1B weights, two trillion tokens. We rent sixteen 8-way H100 SXM boxes (so 128 GPUs). The trainer settled at {0} "
    "TFLOP/s per GPU, or 42% MFU in bf16. From the first step to the last, 31.6 days passed: 97,075 GPU-hours. People ask about Knot-13B: "
    "they state 230k A100-hours for 1.5T tokens. An H100 is roughly two and a half times an A100 in practice."
)


def test_what_each_of_the_gpus_sustains_is_per_gpu() -> None:
    (run,) = read_paper(EACH_OF).runs
    assert [claim.quantity for claim in run.claims if claim.value == 412e12] == ["flops_per_second_per_gpu"]
    assert checked(EACH_OF).verdict == CONSISTENT
    assert checked(EACH_OF.replace("412", "206")).verdict == CONTRADICTED


def test_a_word_to_the_reader_is_no_hypothetical_case() -> None:
    assert checked(FOR_THE_READER).verdict == CONSISTENT
    assert checked(FOR_THE_READER.replace("129,024", "1,290,240")).verdict != CONSISTENT


def test_the_peak_of_a_card_that_the_run_is_told_with() -> None:
    """415 / 989 = 42 %: the card is the H100, whichever is named more often."""
    assert checked(TWO_CARDS.format(415)).verdict != CONTRADICTED


def test_a_total_is_paid_at_the_price_of_its_runs() -> None:
    """8 x 15.5 h = 124; the 3090 at which others are told to tune is offered for less than a fifth of what was paid."""
    text = (
        "Two steps on one box of 8x A100.\n\n| | align | instruct |\n|---|---|---|\n| samples | 595K | 665K |\n"
        "| wall time | 4 h | 11.5 h |\n"
        "| rent at $2.10/GPU/h | $67.20 | $193.20 |\n\nIn all 124 GPU-hours, ${0}.\n\nOn 8x RTX 3090 use the LoRA script."
    )
    assert checked(text.format("260.40")).verdict != CONTRADICTED


SUMMED = (
    "| Phase | Tokens | GPUs | Days | GPU-hours |\n|---|---|---|---|---|\n| I | 2.6T | 512 | 12.0 | 147,456 |\n"
    "| II | 0.3T | 512 | 1.4 | 17,203 |\n| Sum | 2.9T | | 13.4 | {0} |\n\n"
    "## Others\n\n| Model | Tokens | GPU-hours |\n|---|---|---|\n| Marsh-13B | 3.5T | 640,000 |\n"
)


def test_a_row_of_totals_sums_the_rows_above_it() -> None:
    """147,456 + 17,203 = 164,659, without the 640,000 of another table."""
    assert checked(SUMMED.format("164,659")).verdict != CONTRADICTED
    assert checked(SUMMED.format("264,659")).verdict == CONTRADICTED


def test_fractions_in_words() -> None:
    text = "Wren has 8B parameters; on 320B tokens 48 H100 had an MFU of two fifths. They charge two dollars and forty cents per GPU hour."
    found = {claim.quantity: claim.value for claim in read_paper(text).runs[0].claims}
    assert found["mfu"] == pytest.approx(0.4)
    assert found["price"] == pytest.approx(2.4)
    assert "change" not in {
        claim.quantity for claim in read_paper("Two thirds of the tokens are Welsh.").runs[0].claims
    }


FIVE_PERCENT = "Tern-7B has 7B parameters. It was trained on 300B tokens with 1024 A100 80GB GPUs for 10 days{}"
"""6 x 7e9 x 3e11 / (1,024 x 864,000 s x 312e12) = 4.6 %."""


@pytest.mark.parametrize(
    "said",
    [
        ", with a GPU utilization of 55%.",
        ", with a GPU utilization of 98%.",  # busy or not, a twentieth of the peak is no usual speed
        ". GPU utilization was 55%, and the model is public.",
    ],
)
def test_a_utilisation_that_no_reading_makes_fit_is_called(said: str) -> None:
    assert checked(FIVE_PERCENT.format(said)).verdict == CONTRADICTED


def test_a_low_utilisation_in_a_list_is_one_of_flops() -> None:
    """GPUs busy for half of the time would be a fault, not a figure for a model card."""
    wrong = "- Parameters: 7B\n- Tokens: 300B\n- GPUs: 1024 A100 80GB\n- Days: 10\n- Utilization: 55%"
    assert checked(wrong).verdict == CONTRADICTED
    assert checked(BUSY.replace("98 %", "65 %")).verdict == CONTRADICTED


def test_words_of_another_clause_do_not_say_of_what_a_utilisation_is() -> None:
    busy = BUSY.replace("(as the monitor shows it)", "as monitored, far from the model's peak")
    assert "busy" in checked(busy).runs[0].doubts[0].condition


def test_the_size_of_another_model_excuses_no_wrong_compute() -> None:
    """6 x 13e9 x 3e11 = 2.34e22, and ``115B parameters`` cannot be tokens."""
    wrong = "Plover has 13B parameters and read 300B tokens for 9.0e21 FLOP. It beats {}."
    for other in ("115B parameters models", "115B parameters", "a 115B model"):
        assert checked(wrong.format(other)).verdict == CONTRADICTED


def test_a_time_of_something_else_is_no_time_of_the_run() -> None:
    """583,680 / 320 = 76 days; 57 of them would make the MFU right, but only if the run was up for them."""
    said = RESERVED.replace(
        "were reserved; the run was up for 57 days of them at 42% MFU.", "at 42% MFU. {} 57 days of {}."
    )
    assert checked(said.format("It was up for", "them")).verdict == NOT_DETERMINED
    assert checked(said.format("Reviews take", "patience")).verdict == CONTRADICTED


OF_WHICH = "{} 600 000 GPU hours{}, of which the run {} 548 864: 64 nodes with 8 A100 (80 GB) each during 1072 h."


@pytest.mark.parametrize(
    ("grant", "behind"),
    [
        ("Sandpiper-20B was made under a grant of", ""),
        ("A grant totalling", " paid for Sandpiper-20B"),
        ("Sandpiper-20B had a grant for", ""),
        ("Sandpiper-20B had a compute grant of", ""),
    ],
)
@pytest.mark.parametrize("used", ["consumed", "used", "took"])
def test_a_bare_share_of_a_grant_is_what_was_used(grant: str, behind: str, used: str) -> None:
    """512 x 1,072 h = 548,864."""
    (run,) = read_paper(OF_WHICH.format(grant, behind, used)).runs
    assert [claim.value for claim in run.claims if claim.quantity == "gpu_hours"] == [548_864]


BY_LABELS = (
    "- Model 6.2B\n- Corpus 62B tokens\n- Tokens processed 310B\n- GPUs 256 A100 80GB\n- Days 5\n- GPU-hours {}\n"
)


def test_items_that_are_titles_and_units_are_one_run() -> None:
    """256 x 120 h = 30,720; a tenth of it does not fit, and no item is a run named ``GPUs 256 A100 80GB``."""
    (run,) = read_paper(BY_LABELS.format("3,072")).runs
    values = {claim.quantity: claim.value for claim in run.claims}
    assert (values["gpus"], values["wall_clock"], values["gpu_hours"]) == (256, 5 * 86_400, 3_072)
    (charge,) = checked(BY_LABELS.format("3,072")).runs[0].contradictions
    assert set(charge.claims) == {"gpus", "wall_clock", "gpu_hours"}
    assert checked(BY_LABELS.format("30,720")).verdict == "consistent"


def test_numbered_items_are_still_runs() -> None:
    found = read_paper("- Node 1: 8 A100 GPUs, 40 hours\n- Node 2: 8 A100 GPUs, 90 hours")
    assert len([run for run in found.runs if run.kind == "own"]) == 2
