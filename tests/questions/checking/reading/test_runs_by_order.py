"""Runs that a text tells apart by order, size, resolution or state; texts are ours."""

from __future__ import annotations

import pytest

from gpuhours.questions.checking.reading.text import read_paper

DAY, HOUR = 86_400.0, 3600.0
Figures = set[tuple[str, float]]

APART: dict[str, list[tuple[str, list[Figures]]]] = {
    "the smaller and the larger": [
        ("It comes in two sizes. The smaller has 1.2 billion weights and ran on 32 A100 cards; the larger has 5.8 billion and needed "
         "256 of them. The former was done in 12 days, the latter took 15.",
         [{("parameters", 1.2e9), ("gpus", 32), ("wall_clock", 12 * DAY)}, {("gpus", 256), ("wall_clock", 15 * DAY)}]),
        ("Of our two models the larger, with 13 billion parameters, took 40 days on 256 GPUs; the smaller, with 3 billion, took 9 days on "
         "128 GPUs.",
         [{("gpus", 256), ("wall_clock", 40 * DAY)}, {("gpus", 128), ("wall_clock", 9 * DAY)}]),
        ("The smaller was trained on 16 H100 for 60 hours. The larger was trained on 64 H100 for 90 hours. They cost 960 GPU-hours for the "
         "smaller and 5,760 GPU-hours for the larger.",
         [{("gpus", 16), ("gpu_hours", 960)}, {("gpus", 64), ("gpu_hours", 5760)}]),
    ],
    "the first and the second": [
        ("We made Knot-3B and Knot-3B-Chat. The first was trained on 64 H100 for 11 days, the second on 16 of these for 2 days. "
         "The former used 16,896 GPU-hours and the latter 768, making 17,664 in all.",
         [{("gpus", 64), ("wall_clock", 11 * DAY), ("gpu_hours", 16896)}, {("gpus", 16), ("wall_clock", 2 * DAY), ("gpu_hours", 768)}]),
        ("For the first model we had 8 A6000 for 50 hours, 400 GPU-hours. The second model got 16 A6000 for 80 hours, 1,280 GPU-hours.",
         [{("gpus", 8), ("wall_clock", 50 * HOUR), ("gpu_hours", 400)}, {("gpus", 16), ("wall_clock", 80 * HOUR), ("gpu_hours", 1280)}]),
        ("Our base Ruff-1B took 9 days on 32 cards and Ruff-4B took 21 days on 128 cards. MFU was 38 % in the first case and 43 % in the "
         "second.",
         [{("gpus", 32), ("mfu", 0.38)}, {("gpus", 128), ("mfu", 0.43)}]),
    ],
    "resolutions": [
        ("We began at 256x256 with 200k steps, batches of 2,048, and took 80 hours. At 512x512 the batch was 1,024, in 90k steps or 70 "
         "hours. The last leg, 1024x1024, had 30k steps with a batch of 256 and lasted 50 hours.",
         [{("steps", 2e5), ("global_batch", 2048), ("wall_clock", 80 * HOUR)}, {("steps", 9e4), ("wall_clock", 70 * HOUR)},
          {("steps", 3e4), ("global_batch", 256), ("wall_clock", 50 * HOUR)}]),
        ("Training starts with 128x128 pictures for 60 hours and 150k steps. It goes on with 256x256 pictures for 45 hours and 80k steps.",
         [{("wall_clock", 60 * HOUR), ("steps", 1.5e5)}, {("wall_clock", 45 * HOUR), ("steps", 8e4)}]),
    ],
    "two states": [
        ("Going from 32 to 128 GPUs cuts a step from 4.1 s to 1.2 s. A run, once 88 hours (2,816 GPU-hours), is over in 26 hours (3,328 "
         "GPU-hours).",
         [{("gpus", 32), ("step_time", 4.1), ("wall_clock", 88 * HOUR), ("gpu_hours", 2816)},
          {("gpus", 128), ("step_time", 1.2), ("wall_clock", 26 * HOUR), ("gpu_hours", 3328)}]),
        ("We moved from 8 to 64 cards. Wall-clock time went from 20 days to 3, GPU-hours from 3,840 to 4,608.",
         [{("gpus", 8), ("wall_clock", 20 * DAY), ("gpu_hours", 3840)}, {("gpus", 64), ("wall_clock", 3 * DAY), ("gpu_hours", 4608)}]),
    ],
}  # fmt: skip
"""Texts with figures of each run, which no other run has."""


@pytest.mark.parametrize("kind", APART)
def test_runs_are_told_apart(kind: str) -> None:
    wrong = {}
    for text, expected in APART[kind]:
        found = [{(claim.quantity, round(claim.value, 4)) for claim in run.claims} for run in read_paper(text).runs]
        for own in expected:
            theirs = set().union(*(other for other in expected if other is not own)) - own
            if not any(own <= run and not theirs & run for run in found):
                wrong[text] = (own, found)
    assert not wrong
