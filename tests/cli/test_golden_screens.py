"""A golden screen for every command, flag and class of error: the text that a user sees, reviewable in a diff.

``GPUHOURS_WRITE=1 pytest tests/cli/test_golden_screens.py`` writes what the commands print now. Times that a machine took are replaced
by ``N s``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml

from tests.cli.test_json import OWN_RUNS, TOTALS, TRAIN_LOG
from tests.conftest import Command

TESTS = Path(__file__).parents[1]
SNAPSHOTS = TESTS / "snapshots"
X_GEN, GPT = str(TESTS / "runs" / "x-gen.yaml"), str(TESTS / "runs" / "gpt-22b.yaml")
LLAMA = ("--model", "llama-2-7b", "--tokens", "1T", "--gpu", "h100-sxm-80gb", "--gpus", "64", "--batch", "512")
SCREENS: dict[str, tuple[str, ...]] = {
    "sweep": ("sweep", GPT, "--vary", "layout.tensor=1,2,4,8", "--vary", "hardware.gpus=64,128"),
    "sweep-where": ("sweep", GPT, "--vary", "layout.tensor=1,2,4,8", "--where", "fits and mfu > 40%"),
    "sweep-minimise": ("sweep", GPT, "--vary", "layout.microbatch=1..8*2", "--minimise", "step_time", "--top", "2"),
    "sweep-pareto": ("sweep", GPT, "--vary", "hardware.gpus=64..512*2", "--pareto", "gpu_hours,step_time"),
    "sweep-zip": (
        "sweep", GPT, "--vary", "layout.tensor=4,8", "--vary", "layout.microbatch=2,4", "--zip", "layout.tensor,layout.microbatch",
    ),
    "sweep-nothing-left": ("sweep", GPT, "--vary", "layout.tensor=1,2", "--where", "mfu > 99%"),
    "sweep-quiet": ("sweep", GPT, "--vary", "layout.tensor=1,2,4", "--minimise", "step_time", "--quiet"),
    "plan": ("plan", GPT, "--gpus", "64"),
    "plan-none-fits": ("plan", GPT, "--gpus", "1"),
    "plan-quiet": ("plan", GPT, "--gpus", "64", "--quiet"),
    "compare": ("compare", GPT, "OTHER.yaml"),
    "compare-same": ("compare", GPT, GPT),
    "compare-quiet": ("compare", GPT, "OTHER.yaml", "--quiet"),
    "validate": ("validate", "--runs", "RUNS.csv"),
    "validate-memory-only": ("validate", "--runs", "RUNS.csv", "--memory-only"),
    "validate-quiet": ("validate", "--runs", "RUNS.csv", "--quiet"),
    "hardware-show": ("hardware", "show", "a100-sxm-80gb"),
    "hardware-show-node": ("hardware", "show", "dgx-h100"),
    "models-show": ("models", "show", "llama-2-7b"),
    "models-show-clip": ("models", "show", "longvila-7b", "--frames", "64"),
    "check-table": ("check", "TOTALS.csv"),
    "check-quiet": ("check", "TOTALS.csv", "--quiet"),
    "estimate-quiet": ("estimate", *LLAMA, "--quiet"),
    "estimate-mfu": ("estimate", *LLAMA, "--mfu", "40%"),
    "estimate-little": ("estimate", "--params", "30B"),
    "calibrate-quiet": ("calibrate", GPT, "TRAIN.log", "--quiet"),
    "watch-quiet": ("watch", "TRAIN.log", "--run", GPT, "--once", "--quiet"),
    "reproduce-quiet": ("reproduce", "--quiet"),
    "error-no-input": ("estimate",),
    "error-unknown-accelerator": ("estimate", "--params", "7B", "--gpu", "h100_smx"),
    "error-unknown-key": ("estimate", GPT, "--set", "layout.tensr=4"),
    "error-unit": ("estimate", "--params", "7B", "--tokens", "5 GB"),
    "error-two-models": ("estimate", "--params", "7B", "--model", "llama-2-7b"),
    "error-no-file": ("estimate", "missing.yaml"),
    "error-syntax": ("estimate", "BROKEN.yaml"),
    "error-place": ("estimate", "WRONG.yaml"),
    "error-layout": ("estimate", *LLAMA, "--tensor", "3"),
    "error-above-peak": ("estimate", *LLAMA, "--gpu-hours", "1k"),
    "error-overdetermined": ("estimate", *LLAMA, "--days", "10", "--gpu-hours", "50k"),
    "error-explain": ("estimate", *LLAMA, "--explain", "mfuu"),
    "error-vary": ("sweep", GPT, "--vary", "layout.tensor"),
    "error-where": ("sweep", GPT, "--vary", "layout.tensor=1,2", "--where", "mfu >"),
    "error-no-profile": ("hardware", "show", "h100"),
    "error-no-model": ("models", "show", "lama-2-7b"),
    "error-no-document": ("reproduce", "longvilla"),
    "error-log": ("calibrate", GPT, "OTHER.log"),
    "error-log-alone": ("calibrate", "TRAIN.log"),
    "error-site": ("estimate", GPT, "--site", "WRONG.yaml"),
    "error-observed": ("estimate", GPT, "--observed", "step_tme=1s"),
    "error-table": ("check", "COLUMNS.csv"),
}  # fmt: skip
COMMANDS = (
    "estimate", "reproduce", "check", "sweep", "plan", "compare", "validate", "hardware", "models", "schema", "ci", "init", "export",
    "calibrate", "watch",
)  # fmt: skip
HELPS = {
    "help": ("--help",), **{f"help-{name}": (name, "--help") for name in COMMANDS},
    "help-hardware-show": ("hardware", "show", "--help"), "help-models-show": ("models", "show", "--help"),
}  # fmt: skip
FILES = {
    "RUNS.csv": OWN_RUNS,
    "TOTALS.csv": TOTALS,
    "TRAIN.log": TRAIN_LOG,
    "OTHER.log": "loading\nstep 12 took 14.2 ms\n",
    "COLUMNS.csv": "a,b\n1,2\n",
    "BROKEN.yaml": "model: {params: 7B\nhardware: [",
    "WRONG.yaml": "model: llama-2-7b\nhardware:\n  accelerator: h100-sxm-80gb\n  gpus: many\n",
}
PROFILE = re.compile(r"\s+\S*/hardware_specs/(\S+)")
"""The path of a profile, and hence the wrapping of its line, depends on where gpuhours is installed."""
DIGEST = re.compile(r"\bprofiles [0-9a-f]{12}\b")
"""Digest of all constants: it changes with every constant, but screens should not."""
TOOK = re.compile(r"\bin [\d.,]+ (s|ms|µs|minutes)\b|(?<=evaluated, )[\d.,]+ (s|ms|µs|minutes)\b")


def screen(gpuhours_command: Command, folder: Path, words: tuple[str, ...]) -> str:
    """Return the exit code and the content of stdout and stderr."""
    files = {**FILES, "OTHER.yaml": other()}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    told = [str(folder / word) if word in files else word for word in words]
    ran = gpuhours_command(*told)
    shown = "\n".join(line.rstrip() for line in (ran.out + ran.err).splitlines())
    shown = shown.replace(str(folder) + "/", "").replace(str(TESTS) + "/", "tests/")
    shown = PROFILE.sub(r" hardware_specs/\1", shown)
    shown = DIGEST.sub("profiles DIGEST", TOOK.sub("N s", shown))
    return f"$ gpuhours {' '.join(words).replace(str(TESTS), 'tests')}   -> {ran.code}\n{shown}\n"


def other() -> str:
    """Return gpt-22b.yaml with twice the GPUs and another micro-batch, as YAML."""
    run = yaml.safe_load(Path(GPT).read_text(encoding="utf-8"))
    run["name"] = "twice the GPUs"
    run["hardware"]["gpus"] = 2 * int(run["hardware"]["gpus"])
    run.setdefault("layout", {})["microbatch"] = 2
    return str(yaml.safe_dump(run))


@pytest.mark.parametrize("name", [*SCREENS, *HELPS])
def test_golden(gpuhours_command: Command, tmp_path: Path, name: str) -> None:
    found = screen(gpuhours_command, tmp_path, {**SCREENS, **HELPS}[name])
    path = SNAPSHOTS / f"golden-{name}.txt"
    if os.environ.get("GPUHOURS_WRITE"):
        path.write_text(found, encoding="utf-8")
    assert "Traceback" not in found
    assert "-> 3" not in found.splitlines()[0]
    assert found == DIGEST.sub("profiles DIGEST", path.read_text(encoding="utf-8"))


def test_every_error_is_bad_input_or_a_no() -> None:
    """Uses the first line of each screen, which ``test_golden`` verifies."""
    for name in SCREENS:
        if name.startswith("error"):
            head = (SNAPSHOTS / f"golden-{name}.txt").read_text(encoding="utf-8").splitlines()[0]
            assert head.endswith(("-> 1", "-> 2")), head


def test_an_unexpected_exception_is_our_fault(gpuhours_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that says so and where to report it; exit code 3; a traceback only on request."""
    import gpuhours.questions.estimating.estimating as module

    def broken(*_: object, **__: object) -> None:
        raise KeyError("a key\nof ours")

    monkeypatch.setattr(module, "estimate", broken)
    ran = gpuhours_command("estimate", "--params", "7B")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.count("\n") == 1
    for said in ("error: gpuhours itself failed (KeyError", "this is a bug", "issue tracker"):
        assert said in ran.err
    monkeypatch.setenv("GPUHOURS_TRACEBACK", "1")
    with pytest.raises(KeyError):
        gpuhours_command("estimate", "--params", "7B")
