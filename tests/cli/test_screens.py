"""Whole screens at 80 and 120 columns, stored as text that can be reviewed in a diff.

``GPUHOURS_WRITE=1 pytest tests/cli/test_screens.py`` writes what the commands print now.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import Command, Ran

SNAPSHOTS = Path(__file__).parents[1] / "snapshots"
RUNS, STEPS = (Path(__file__).parents[1] / folder for folder in ("runs", "steps"))

SCREENS = {
    "estimate": ("estimate", str(RUNS / "x-gen.yaml")),
    "estimate-shortcuts": (
        "estimate", "--params", "30B", "--tokens", "500B", "--gpu", "h100-sxm-80gb", "--gpus", "512",
        "--tensor", "4", "--pipeline", "8", "--batch", "2048", "--seq-len", "2048", "--year", "2026",
    ),
    "estimate-first": ("estimate", "--params", "7B", "--tokens", "1T", "--gpu", "a100-sxm-80gb", "--year", "2026"),
    "estimate-budget": (
        "estimate", "--params", "7B", "--tokens", "1T", "--gpu", "h100-sxm-80gb", "--days", "30", "--budget", "50k USD", "--year", "2026",
    ),
    "estimate-tuned": (
        "estimate", "--params", "7B", "--tokens", "1T", "--gpu", "h100-sxm-80gb", "--gpus", "256", "--best", "--year", "2026",
    ),
    "estimate-too-large": (
        "estimate", "--model", "llama-2-70b", "--tokens", "1T", "--gpu", "a100-sxm-80gb", "--gpus", "8",
        "--tensor", "2", "--batch", "1024", "--seq-len", "4096", "--year", "2026",
    ),
    "estimate-explain": ("estimate", str(RUNS / "x-gen.yaml"), "--explain", "gpu_hours"),
    "estimate-observed": ("estimate", str(RUNS / "gpt-22b.yaml"), "--observed", "step_time=9.8s"),
    "estimate-site": ("estimate", str(RUNS / "gpt-22b.yaml"), "--site", str(STEPS / "site.yaml")),
    "calibrate": ("calibrate", str(STEPS / "own-steps.csv")),
    "watch": ("watch", str(STEPS / "train.log"), "--run", str(RUNS / "gpt-22b.yaml"), "--once"),
    "reproduce": ("reproduce",),
    "prices": ("prices", "--gpu", "a100 80gb"),
    "estimate-owned": (
        "estimate", "--params", "7B", "--tokens", "100B", "--gpu", "p5.48xlarge", "--gpus", "64", "--set", "cost.owned.capex=45000",
        "--set", "cost.owned.upkeep=10%", "--set", "cost.storage.data=50TB", "--set", "cost.storage.checkpoints=20",
        "--set", "cost.country=France", "--explain", "cost",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCREENS)
def test_screen(gpuhours_command: Command, name: str) -> None:
    for columns in (80, 120):
        holds(gpuhours_command(*SCREENS[name], columns=columns), name, columns)


def holds(ran: Ran, name: str, columns: int) -> None:
    screen = "\n".join(line.rstrip() for line in ran.out.splitlines()) + "\n"
    path = SNAPSHOTS / f"{name}-{columns}.txt"
    if os.environ.get("GPUHOURS_WRITE"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(screen, encoding="utf-8")
        return
    assert max(len(line) for line in screen.splitlines()) <= columns
    assert screen == path.read_text(encoding="utf-8")


LONG_STEP = (
    "--model",
    "llama-3-70b",
    "--tokens",
    "15T",
    "--gpu",
    "h100-sxm-80gb",
    "--gpus",
    "64",
    "--batch",
    "8192",
    "--seq-len",
    "8192",
)


@pytest.mark.parametrize("columns", [80, 120])
def test_times_of_the_parts_are_never_cut(gpuhours_command: Command, columns: int) -> None:
    screen = gpuhours_command("estimate", *LONG_STEP, columns=columns).out
    parts = [line.rstrip() for line in screen.splitlines() if "█" in line]
    assert [line for line in parts if not line.endswith((" minutes", " s"))] == []
    assert any(line.endswith(" minutes") for line in parts)


@pytest.mark.parametrize("columns", [80, 140])
def test_a_sweep_shows_what_decides_in_the_width_there_is(gpuhours_command: Command, columns: int) -> None:
    vary = ("--vary", "hardware.gpus=64..512*2", "--vary", "layout.tensor=2,4,8")
    screen = gpuhours_command("sweep", str(RUNS / "gpt-22b.yaml"), *vary, columns=columns).out
    heading = screen.splitlines()[2]
    assert [word for word in ("step", "MFU", "memory", "fits", "USD") if word not in heading.split()] == []
    assert max(len(line.rstrip()) for line in screen.splitlines()[2:]) <= columns
    assert "█" in screen


def test_no_line_ends_in_spaces(gpuhours_command: Command) -> None:
    """A diff of two screens, or a screen in a document, shows them."""
    for words in (
        ("estimate", "--params", "7B", "--tokens", "1T", "--gpu", "h100-sxm-80gb"),
        ("hardware", "list"),
        ("software", "list"),
    ):
        assert [line for line in gpuhours_command(*words).out.splitlines() if line != line.rstrip()] == []


@pytest.mark.parametrize(
    "words",
    [
        ("models", "show", "qwen2-vl-7b"),
        ("models", "show", "clip-vit-b-32"),
        ("models", "show", "deepseek-v3"),
        ("hardware", "show", "h100-sxm-80gb"),
        ("software", "show", "megatron-core"),
    ],
)
def test_a_narrow_screen_loses_nothing(gpuhours_command: Command, words: tuple[str, ...]) -> None:
    """At 60 columns the parts of a model had no names, and numbers ended in an ellipsis."""
    narrow, wide = (gpuhours_command(*words, columns=columns).out for columns in (60, 120))
    assert "…" not in narrow
    assert max(map(len, narrow.splitlines())) <= 60
    assert sorted("".join(narrow.split())) == sorted("".join(wide.split()))
