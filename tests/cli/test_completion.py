"""Completions that a shell gets at TAB, through its own protocol: the words so far in the environment, one name per line on stdout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gpuhours.questions.listing import names
from gpuhours.questions.listing.schemas import schema
from gpuhours.run.flags import SHORTCUTS
from tests.conftest import Command


def completed(command: Command, monkeypatch: pytest.MonkeyPatch, line: str, shell: str = "bash") -> list[str]:
    """Return the completions for the last word of a line, which may be empty."""
    words = line.split(" ")
    monkeypatch.setenv("_GPUHOURS_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    ran = command()
    assert ran.err == ""
    return ran.out.split()


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("gpuhours est", ["estimate"]),
        ("gpuhours estimate --gpu a100-sxm", ["a100-sxm-40gb", "a100-sxm-80gb"]),
        ("gpuhours plan --gpu p5.48", ["p5.48xlarge"]),
        ("gpuhours estimate --model llama-3-8", ["llama-3-8b"]),
        ("gpuhours compare --software megatron-core-e", ["megatron-core-early"]),
        ("gpuhours sweep --sharding zero", ["zero1", "zero2", "zero3"]),
        ("gpuhours estimate --recompute s", ["selective"]),
        ("gpuhours estimate --optimizer m", ["muon"]),
        ("gpuhours estimate --precision bf", ["bf16"]),
        ("gpuhours estimate --country Fr", ["France"]),
        ("gpuhours estimate --set layout.te", ["layout.tensor="]),
        ("gpuhours estimate --set layout.schedule=zb", ["layout.schedule=zb-1p", "layout.schedule=zb-2p"]),
        ("gpuhours sweep --vary hardware.gp", ["hardware.gpus="]),
        ("gpuhours sweep --zip layout.tensor,layout.pip", ["layout.tensor,layout.pipeline"]),
        ("gpuhours estimate --explain gpu_", ["gpu_hours"]),
        ("gpuhours sweep --pareto cost,step_t", ["cost,step_time"]),
        ("gpuhours hardware show dgx-h", ["dgx-h100", "dgx-h200"]),
        ("gpuhours models show deepseek-v3", ["deepseek-v3", "deepseek-v3.2"]),
        ("gpuhours software show fsdp2", ["fsdp2-eager", "fsdp2-today"]),
        ("gpuhours reproduce x", ["x-gen-video-30b"]),
        ("gpuhours init --example mix", ["mixture"]),
        ("gpuhours export --to torch", ["torchtitan"]),
        ("gpuhours schema ru", ["run"]),
        ("gpuhours prices --provider AW", ["AWS"]),
        ("gpuhours estimate --gpu nothing-like-it", []),
    ],
)
def test_offers(gpuhours_command: Command, monkeypatch: pytest.MonkeyPatch, line: str, offers: list[str]) -> None:
    assert completed(gpuhours_command, monkeypatch, line) == offers


def test_a_profile_that_cannot_be_read_is_no_error_at_a_prompt(
    gpuhours_command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "grids").mkdir()
    (tmp_path / "grids" / "mine.yaml").write_text("title: [", encoding="utf-8")
    monkeypatch.setenv("GPUHOURS_PROFILES", str(tmp_path))
    assert completed(gpuhours_command, monkeypatch, "gpuhours estimate --country F") == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_takes_the_script(tmp_path: Path) -> None:
    """The script that typer prints completes a word when sourced by a real shell with `gpuhours` on its PATH."""
    program = tmp_path / "gpuhours"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gpuhours_cli "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    lines = (
        'eval "$(_GPUHOURS_COMPLETE=source_bash gpuhours)"',
        "COMP_WORDS=(gpuhours models show llama-3-8) COMP_CWORD=3",
        "_gpuhours_completion gpuhours; echo ${COMPREPLY[@]}",
    )
    path = os.pathsep.join((str(tmp_path), os.environ["PATH"]))
    environment = {**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        ["bash", "--norc", "-c", "\n".join(lines)], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.stdout.split() == ["llama-3-8b"], ran.stderr


def test_keys_offered_are_the_keys_of_the_schema() -> None:
    found = schema("run")
    blocks = {
        "layout": found["$defs"]["Layout"], "data": found["$defs"]["Data"], "training": found["$defs"]["Training"],
        "known": found["$defs"]["Known"],
    }  # fmt: skip
    for block, shape in blocks.items():
        offered = {key.partition(".")[2] for key in names.run_keys() if key.startswith(f"{block}.")}
        assert offered == set(shape["properties"])


def test_every_shortcut_sets_a_key_that_is_offered() -> None:
    set_by = {key for key, _ in SHORTCUTS.values()}
    assert set_by - {"site"} <= {*names.run_keys()}, "a site is the path of a file, which shells complete themselves"
