"""Long prose about several runs: which runs a text has, and whose the figures are that no sentence names a run for."""

from __future__ import annotations

from gpuhours.questions.checking.reading.text import read_paper
from tests.read_texts import figures

STAGES = """Whinchat has 3B parameters.

Pretraining. We trained for 9 days on 64 H100 GPUs, or 13,824 GPU-hours, and read 800B tokens.

Tuning for dialogues. On 16 GPUs this took 20 hours (320 GPU-hours).

Ablations. To choose the mixture, models with 400M parameters were trained on 8 GPUs for 30 hours.
"""
NAMED = """Tern-S has 2B parameters, Tern-L has 9B. Tern-S ran on 64 H100 GPUs for 5 days (7,680 GPU-hours), Tern-L on 256 for 15 days
(92,160 GPU-hours).

We then lengthened the context on 40B tokens. This took 128 GPUs and 10 hours, hence {} GPU-hours.
"""
GRANTED = """We trained Knot-S and Knot-L. Knot-S has 1B parameters and ran on 64 H100 GPUs for 4 days (6,144 GPU-hours). For Knot-L, of 6B
parameters, we were granted 512 cards. Its pretraining lasted 10 days and consumed 122,880 GPU-hours.
"""
OTHERS = """Loon has 5B parameters and was trained on 900B tokens with 128 H100 GPUs in 12 days.

The people at Quail published 43% MFU for a 7B model on 256 H100 GPUs.
"""
NUMBERED = """3.1 Setup

Siskin is trained on 300B tokens with batches of 1,024 sequences. It has 2B parameters.

3.2 Stability

Once we skipped 200 batches after a spike, on 64 H100 GPUs.
"""


def hours(text: str) -> list[float]:
    """Return the GPU-hours of each run."""
    return sorted(claims["gpu_hours"] for claims in figures(text).values() if "gpu_hours" in claims)


def test_labels_that_open_paragraphs_are_headings() -> None:
    """A tuning beside the pretraining is a run, an ablation is none."""
    runs = figures(STAGES)
    assert hours(STAGES) == [320, 13_824]
    assert all(claims.get("gpus") != 8 and claims.get("parameters") != 400e6 for claims in runs.values())
    assert {claims["gpus"] for claims in runs.values()} == {16, 64}


def test_a_job_beside_runs_that_all_have_theirs_is_a_run_of_its_own() -> None:
    """128 GPUs x 10 hours are 1,280 GPU-hours; with another product no figure of it is anybody's."""
    assert hours(NAMED.format("1,280")) == [1_280, 7_680, 92_160]
    longer = next(claims for claims in figures(NAMED.format("1,280")).values() if claims.get("gpu_hours") == 1_280)
    assert (longer["gpus"], longer["tokens"]) == (128, 40e9)
    assert hours(NAMED.format("1,820")) == [7_680, 92_160]


def test_what_follows_a_grant_is_told_of_the_run_that_got_it() -> None:
    """``For Knot-L we were granted 512 cards. Its pretraining lasted 10 days``"""
    (large,) = [claims for name, claims in figures(GRANTED).items() if "L" in name]
    assert (large["wall_clock"], large["gpu_hours"]) == (10 * 86_400, 122_880)


def test_people_who_report_are_others() -> None:
    """``The people at Quail published 43% MFU for a 7B model``"""
    paper = read_paper(OTHERS)
    assert [run.name for run in paper.runs] == ["text"]
    assert {claim.quantity for claim in paper.runs[0].claims}.isdisjoint({"mfu"})


def test_a_numbered_heading_is_a_topic_and_no_run() -> None:
    """``3.2 Stability`` divides no run, whatever its figures are."""
    assert len(read_paper(NUMBERED).runs) == 1
