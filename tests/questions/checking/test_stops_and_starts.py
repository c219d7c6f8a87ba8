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
