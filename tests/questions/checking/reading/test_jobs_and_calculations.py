"""Jobs of one training, machines told by arithmetic, conventions that a text names, and calculations that it writes out."""

from __future__ import annotations

import pytest

from gpuhours.questions.checking.papers import PaperCheck
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper


def check(text: str) -> PaperCheck:
    return check_paper(read_paper(text))


def stated(checked: PaperCheck, run: int = 0) -> dict[str, float]:
    return {claim.claim.quantity: claim.claim.value for claim in checked.runs[run].claims}


# by hand: 12 nodes x 8 = 96 GPUs; 96 x (36 h + 20 h 30 min) = 3,456 + 1,968 = 5,424 GPU-hours
# 6 x 1.1e9 x 9e10 / (5,424 h x 312 TFLOP/s) = 9.7 %
SACCT = """$ sacct -u lapwing -X --format=jobid,jobname%20,nnodes,alloctres%40,elapsed,state -S 2025-05-01 -E 2025-05-09
JobID      JobName       NNodes  AllocTRES              Elapsed     State
---------  ------------  ------  ---------------------  ----------  ---------
771203     lapwing-a         12  gres/gpu=96,node=12    1-12:00:00  TIMEOUT
771388     lapwing-b         12  gres/gpu=96,node=12    20:30:00    COMPLETED

One training: 1.1B parameters, 90B tokens, A100 cards, {} GPU-hours in all.
"""


def test_jobs_of_one_training_need_not_each_read_all_tokens() -> None:
    checked = check(SACCT.format("5,424"))
    assert checked.verdict == "consistent"
    assert stated(checked)["gpus"] == 96
    assert stated(checked, 1)["wall_clock"] == 20.5 * 3600
    assert "cost" not in stated(checked)


@pytest.mark.parametrize(
    "text",
    [
        "We had 24 servers with eight H100 each, 192 GPUs, for 100 hours, 19,200 GPU-hours.",
        "Every node of the 24 (8 x H100) was busy for 100 hours: 19,200 GPU-hours on 24 nodes.",
        "The bill lists 2,400 instance-hours of a p5.48xlarge (8 H100 80GB), which is 19,200 GPU-hours.",
    ],
)
def test_the_devices_of_a_node_by_arithmetic(text: str) -> None:
    """24 x 8 x 100 = 19,200 and 2,400 x 8 = 19,200."""
    checked = check(text)
    assert stated(checked)["gpus_per_node"] == 8
    assert checked.verdict == "consistent"


def test_the_machine_of_all_phases_by_their_hours() -> None:
    """40 h x 256 = 10,240 and 15 h x 256 = 3,840: neither the 60 hosts of the site nor the 4 spare ones."""
    checked = check(
        "The site has 60 hosts. Godwit had 32 of them, with eight H100 each, 256 GPUs in all. Two hosts were set aside.\n\n"
        "| | phase 1 | phase 2 |\n|---|---|---|\n| tokens | 200B | 60B |\n| hours | 40 | 15 |\n| GPU-hours | 10,240 | 3,840 |\n"
    )
    assert [stated(checked, run)["gpus"] for run in (0, 1)] == [256, 256]
    assert stated(checked)["nodes"] == 32


@pytest.mark.parametrize(
    ("hours", "verdict"), [("12,800", "consistent"), ("100", "contradicted")], ids=["128 x 100", "hours of the job"]
)
def test_a_list_of_terms_names_its_runs(hours: str, verdict: str) -> None:
    checked = check(
        "<dl><dt>Godwit Small (1.3B parameters)</dt><dd>100B tokens on 32 H100 GPUs in 60 hours; 1,920 GPU-hours.</dd>"
        f"<dt>Godwit Large (6.4B parameters)</dt><dd>500B tokens on 128 H100 GPUs in 100 hours; {hours} GPU-hours.</dd></dl>"
    )
    assert [run.document.name for run in checked.runs] == ["Godwit Small", "Godwit Large"]
    assert checked.verdict == verdict


@pytest.mark.parametrize(
    "text",
    [
        # 3 x 4e9 x 5e11 / (312e12 x 0.4 x 3600) = 13,355
        "Pipit is an encoder-decoder of 4B parameters. 500B tokens took 13,355 GPU-hours on 64 A100 GPUs at an MFU of 40%.",
        # 0.42 x 312 = 131, x 4 / 3 = 175 = 56 % of 312; 6 x 5e9 x 2e11 / (131e12 x 3600) = 12,720
        "All activations are recomputed. With 175 TFLOP/s per GPU the A100s reach an HFU of 56% and an MFU of 42%; the 5B model "
        "read 200B tokens in 12,720 GPU-hours.",
        # 0.36 x 989.4 = 356
        "The H100 is sold with 1,979 TFLOP/s (with sparsity). We reach 356 TFLOP/s per GPU, 36% MFU by the dense peak.",
    ],
    ids=["half of the parameters a token", "a rate that counts recomputation", "a peak called sparse"],
)
def test_conventions_that_a_text_names_are_no_contradiction(text: str) -> None:
    assert check(text).verdict == "consistent"


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("The sweep: 14 settings x 3 seeds x 20 GPU-hours = {} GPU-hours.", "840"),
        ("We spent $12,400 + $3,150 + $950 = ${}.", "16,500"),
        ("So 96 GPUs x 11 days x 24 h makes {} GPU-hours.", "25,344"),
        ("48 cards × 12.5 days = {} GPU-hours", "14,400"),
        ("It needs 6 x 2.5e9 x 4e11 = {} FLOPs.", "6.0e21"),
        ("300 W x 20,000 h = {} MWh", "6.0"),
        ("One step has 512 x 2,048 = {}M tokens.", "1.05"),
        ("Roughly 30 hours x 64 cards = about {} card-hours", "2,000"),
    ],
)
def test_calculations_that_are_written_out(text: str, right: str) -> None:
    """Units that a calculation leaves out and rounding make no contradiction; half as much again does."""
    assert check(text.format(right)).verdict != "contradicted"
    number = 1.5 * float(right.replace(",", ""))
    wrong = f"{number:,.0f}" if "," in right else f"{number:.3g}".replace("+", "")
    checked = check(text.format(wrong))
    assert checked.verdict == "contradicted"
    assert any("miscalculated" in one["statement"] for one in checked.to_dict()["contradictions"])


@pytest.mark.parametrize(
    "text",
    [
        "The 8 x 7B = 47B model has shared attention.",
        "TP = 4 x DP = 16 on the machine.",
        "lr = 3e-4 x sqrt(512 / 256) = 4.2e-4",
        "A x B = 40 and 3 + x = 9",
        "tokens/s = 4 x 2,000 / 8 = 1,000",
        "2 + 3 x 4 = 14",
        "2 x 3 = 6 x 1 = 6",
        "at 12 x 12 pixels, the loss is 4.2",
    ],
)
def test_what_is_no_plain_calculation_is_left_alone(text: str) -> None:
    assert check(text).sums == ()
