"""Times lost and told, dates at both ends, lists under a title, and what an epoch, a pronoun or the end of a line refer to."""

from __future__ import annotations

import pytest

from gpuhours.questions.checking.papers import PaperCheck
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper

DAY = 86_400.0


def check(text: str) -> PaperCheck:
    return check_paper(read_paper(text))


def stated(text: str) -> dict[str, float]:
    (run,) = check(text).runs
    return {claim.claim.quantity: claim.claim.value for claim in run.claims}


# by hand: 2 May to 1 June are 30 days; 23 x 24 x 192 = 105,984; 15 x 24 x 192 = 69,120
LOST = "Godwit was trained from 2 May to 1 June 2025 on 192 GPUs, and {} were lost to repairs. It used {} GPU-hours."


@pytest.mark.parametrize(
    ("lost", "hours", "verdict"),
    [
        ("7 days", "105,984", "consistent"),
        ("7 days", "69,120", "contradicted"),
        ("seven days", "105,984", "consistent"),
    ],
)
def test_days_that_a_text_says_were_lost(lost: str, hours: str, verdict: str) -> None:
    assert check(LOST.format(lost, hours)).verdict == verdict


def test_dates_behind_start_and_end() -> None:
    found = stated("Start: 2025-03-04. End: 2025-03-24. GPUs: 96 H100.")
    assert 20 * DAY < found["wall_clock"] < 21 * DAY


def test_a_list_under_a_title() -> None:
    found = stated(
        "machine and speed\n  GPUs             48 (A100)\n  parameters       3B\n"
        "  tokens           90B\n  days             9.5\n"
    )
    assert (found["gpus"], found["parameters"], found["tokens"], found["wall_clock"]) == (48, 3e9, 9e10, 9.5 * DAY)


def test_one_epoch_takes() -> None:
    """24 x 3 h x 16 = 1,152."""
    found = stated("One epoch takes 3 hours on 16 A100; we train for 24 epochs, 1,152 GPU-hours in total.")
    assert found["epochs"] == 24
    assert found["epoch_time"] == 3 * 3600


def test_what_a_relative_clause_leaves_out_is_not_the_bill() -> None:
    found = stated(
        "Godwit took 4,800 GPU-hours on 64 H100. At $2.10 per GPU-hour this is $10,080. Trials that preceded it are not included."
    )
    assert (found["price"], found["cost"]) == (2.10, 10_080)


def test_the_end_of_a_line_after_a_space() -> None:
    found = stated("it 50000/50000 | iter_time 2.4 s | gbs 256 | seq 2048 \njob wall time: 33 h 20 min")
    assert found["seq_len"] == 2048
    assert found["wall_clock"] == 120_000


# by hand: 80 x 150 = 12,000; 17,400 is 1.45 times that, as stops would explain if there had been any
@pytest.mark.parametrize(("said", "verdict"), [("No restarts and no pauses.", "contradicted"), ("", "not determined")])
def test_a_text_that_denies_stops(said: str, verdict: str) -> None:
    text = (
        "1. Dunlin-A is complete. 2.1B parameters. It was trained on 40 H100 in 90 hours; 3,600 GPU-hours were charged.\n\n"
        "2. Dunlin-B is complete. 3.0B parameters. It was trained on 80 A100 in 150 hours; 17,400 GPU-hours were charged. "
    )
    checked = check(text + said)
    assert checked.runs[1].document.claim("parameters").value == 3e9
    assert checked.runs[1].verdict == verdict


@pytest.mark.parametrize(
    ("text", "quantity", "value"),
    [
        ("An m8.24xlarge (8 H100 80GB) costs $40.20 an hour; we had it for 30 hours.", "node_price", 40.20),
        ("The 9B model took 640,000 hours on A100s.", "gpu_hours", 640_000),
        ("A batch has 512 sequences per optimizer step, of 2,048 tokens each.", "global_batch", 512),
        (
            "A byte model with 2B parameters read 400B tokens. A subword model would see 90B tokens in that text.",
            "tokens",
            4e11,
        ),
        (
            "A replica of 16 H100 (TP 8, PP 2) does 30,000 tokens/s; with 8 of them, 128 GPUs, we see 240,000 tokens/s.",
            "tokens_per_second",
            240_000,
        ),
    ],
)
def test_what_a_figure_belongs_to(text: str, quantity: str, value: float) -> None:
    assert stated(text)[quantity] == value


def test_a_card_named_in_a_rate() -> None:
    (run,) = check("We reach 140 TFLOP/s per A100, an MFU of 45%.").runs
    assert run.accelerator is not None
    assert run.accelerator.peak == 312e12
    assert run.verdict == "consistent"


def test_the_hours_of_one_epoch() -> None:
    """20 x 4 h x 16 = 1,280; 64 are those of one epoch."""
    (run,) = check("One epoch takes 4 hours on 16 A100; we train for 20 epochs, 64 GPU-hours in total.").runs
    assert [one.likely_causes[0].cause for one in run.contradictions] == ["epochs forgotten"]


# by hand: 512 x 12 x 24 = 147,456 and 32 x 6 x 24 = 4,608
TWO = (
    "1. Dunlin-A is complete. It was trained on 512 H100 GPUs over 12 days ({} GPU-hours).\n\n"
    "2. Dunlin-B is complete. It was trained on 32 A100 for 6 days, 4,608 GPU-hours."
)


@pytest.mark.parametrize(("hours", "verdict"), [("147,456", "consistent"), ("250,000", "contradicted")])
def test_more_hours_than_passed_in_one_sentence(hours: str, verdict: str) -> None:
    checked = check(TWO.format(hours))
    assert len(checked.runs) == 2
    assert checked.verdict == verdict


@pytest.mark.parametrize(
    ("text", "quantity", "value"),
    [
        ("It ran for a day and a half on 64 GPUs.", "wall_clock", 1.5 * DAY),
        ("Godwit took 9,600 GPU-hours, within the allocation that the board had granted.", "gpu_hours", 9600),
        (
            "Godwit-Law continues from Tern-8B (8B parameters, 15T tokens). We train it for another 200B tokens.",
            "tokens",
            2e11,
        ),
        ("Each step holds 1,024 x 4,096 = 4.19M tokens.", "global_batch_tokens", 4.19e6),
        ("64 GPUs x 12 days x 24 h = 18,432 GPU-hours.", "wall_clock", 12 * DAY),
        (
            "[fit] done\n[fit]\n[fit]   parameters       1.3B\n[fit]   GPU-hours        2,304\n[fit]   MFU              36%\n",
            "gpu_hours",
            2304,
        ),
    ],
)
def test_what_the_words_beside_a_figure_say(text: str, quantity: str, value: float) -> None:
    assert stated(text)[quantity] == pytest.approx(value)


@pytest.mark.parametrize(("total", "verdict"), [("2.7T", "consistent"), ("2.2T", "contradicted")])
def test_a_total_in_the_line_of_the_last_stage(total: str, verdict: str) -> None:
    """2.0T + 600B + 100B = 2.7T."""
    text = "Stage 1: 2.0T tokens. Stage 2: 600B tokens. Stage 3: 100B tokens. Total: {} tokens."
    assert check(text.format(total)).verdict == verdict
