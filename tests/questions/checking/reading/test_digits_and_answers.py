"""Digits side by side that are no group, digit groups beyond doubt, and answers to questions that are not about the run; texts are ours."""

from __future__ import annotations

import pytest

from gpuhours.questions.checking.reading.formats.digit_groups import without_space_groups
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper
from tests.read_texts import one

DAY = 86_400.0
GROUPED = " The run took 12 000 steps and 40 320 GPU-hours."
SIDE_BY_SIDE = [
    "Llama 3 405B", "Gemma 3 270M", "Gemma 3 270 M", "GPT-3 175B", "GPT-3 175 billion", "PaLM 2 340B", "Qwen 3 235B", "GPT 2 774M",
    "H100 640 GB", "A100 300 days", "Falcon 2 110 billion parameters", "Llama 2 and 3 405 billion parameters", "64 640 GB nodes",
    "8 320 GB servers", "in stage 2 300 GPUs", "week 40 320 GPUs", "16 512-GPU jobs", "batches of 64 128", "V100-32 500 hours",
]  # fmt: skip


@pytest.mark.parametrize("written", SIDE_BY_SIDE)
@pytest.mark.parametrize(
    "frame", ["We used {} here.", "| {} | 7 |", "| x | {} | 54 days |", "{}\n", "with {}, and", "- {}: 512"]
)
def test_numbers_side_by_side_stay_apart(written: str, frame: str) -> None:
    text = frame.format(written)
    assert without_space_groups(text) == text
    assert written in without_space_groups(text + GROUPED)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("It read 1 024 000 samples.", "It read 1,024,000 samples."),
        ("Granted:   12 000 node-hours\nUsed:      11 260 node-hours", "Granted:   12,000 node-hours\nUsed:      11,260 node-hours"),
        ("the remaining\n1 180 node-hours of 12 000", "the remaining\n1,180 node-hours of 12,000"),
        ("It took 40 320 GPU-hours.", "It took 40,320 GPU-hours."),
        ("We paid € 442 368 in all.", "We paid € 442,368 in all."),
        ("1,024 GPUs, 12 000 steps, 40 320 GPU-hours", "1,024 GPUs, 12,000 steps, 40 320 GPU-hours"),
        ("gemma 3 270 steps. We like gemma 3. It took 12 000 h", "gemma 3 270 steps. We like gemma 3. It took 12,000 h"),
    ],
)  # fmt: skip
def test_groups_beyond_doubt(text: str, read: str) -> None:
    assert without_space_groups(text) == read


def test_a_generation_and_a_size_are_no_contradiction() -> None:
    """6 x 405e9 x 15.6e12 / (16,384 x 54 days x 989.4e12) = 50 %: possible, which 3,405 B parameters would not be."""
    paper = read_paper("Llama 3 405B was trained on 16384 H100 GPUs for 54 days on 15.6T tokens.")
    assert check_paper(paper).verdict == "consistent"
    assert [claim.value for run in paper.runs for claim in run.claims if claim.quantity == "parameters"] == [405e9]


STATED = " We trained Plover on 512 H100 GPUs for 5 days."
QUESTIONS = [
    ("How long did a checkpoint take? 40 minutes." + STATED, {"wall_clock": 5 * DAY, "gpus": 512}),
    ("How long does one evaluation take? 3 hours." + STATED, {"wall_clock": 5 * DAY, "gpus": 512}),
    ("How long did the download take? Four days.", {"wall_clock": None}),
    ("How long did it take? Nine days." + STATED, {"wall_clock": 5 * DAY}),
    ("How long did Plover-7B take? Nine days.", {"wall_clock": 9 * DAY}),
    ("And for how long? Nine days.", {"wall_clock": 9 * DAY}),
    ("How much energy did the evaluation need? 12 MWh.", {"energy": None}),
    ("What context length is supported? 131,072. The sequence length was 8,192 tokens.", {"seq_len": 8192}),
    ("What is the maximum context length? 131,072.", {"seq_len": None}),
    ("What context length did you use? 8,192.", {"seq_len": 8192}),
    ("How large is the data set? 15T.", {"parameters": 7e9}),
    ("How large is the batch? 4M tokens.", {"parameters": 7e9, "global_batch_tokens": 4e6}),
    ("How many GPUs does the demo need? Eight.", {"gpus": None}),
    ("How many GPUs did the team use? 256.", {"gpus": 256}),
]


@pytest.mark.parametrize(("text", "told"), QUESTIONS)
def test_an_answer_counts_only_if_its_question_is_about_the_run(text: str, told: dict[str, float | None]) -> None:
    found = one(f"# Plover-7B\n\nPlover-7B has 7B parameters.\n\n{text}")
    assert {name: found.get(name) for name in told} == told
