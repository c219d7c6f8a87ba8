"""Starter files: every example validates and gives an answer, and a file written from options contains these options."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
import yaml

import gpuhours
from gpuhours.questions.starting import ASKED, example, example_names
from tests.conftest import LLAMA, Command

WORDS = (
    *LLAMA,
    "--batch",
    "1024",
    "--lora",
    "16",
)


def test_the_kinds_that_people_begin_with_are_there() -> None:
    assert {"lora", "video-fine-tune", "mixture", "x-gen-video-30b", "longvila", "videomae-huge"} <= set(
        example_names()
    )


@pytest.mark.parametrize("name", list(example_names()))
def test_every_example_is_a_run_with_an_answer(tmp_path: Path, name: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(example(name), encoding="utf-8")
    found = gpuhours.estimate(path)
    assert found.results["parameters"] is not None
    if name in ("lora", "video-fine-tune", "mixture"):
        assert found.fits is True
        assert [one for one in ("gpu_hours", "step_time", "cost", "energy") if found.results[one] is None] == []


@pytest.mark.parametrize(
    "words", [WORDS, ("--params", "7B", "--price", "2 USD/hour"), ("--set", "operation.restart=10 minutes", *WORDS)]
)
def test_a_file_from_options_is_the_run_of_the_options(
    gpuhours_command: Command, tmp_path: Path, words: tuple[str, ...]
) -> None:
    path = tmp_path / "run.yaml"
    assert gpuhours_command("init", *words, "-o", str(path)).code == 0
    of_file, of_words = (gpuhours_command("estimate", *given, "--json") for given in ((str(path),), words))
    assert json.loads(of_file.out)["results"] == json.loads(of_words.out)["results"]
    assert gpuhours_command("init", *words, "-o", str(path)).code == 2
    assert "# " in path.read_text(encoding="utf-8")


def test_every_line_behind_a_sign_is_a_key(gpuhours_command: Command, tmp_path: Path) -> None:
    """Commented-out lines form a valid run once the comment signs are removed."""
    lines = gpuhours_command("init").out.splitlines()[1:]
    path = tmp_path / "run.yaml"
    path.write_text("\n".join(line.removeprefix("# ") for line in lines), encoding="utf-8")
    assert set(yaml.safe_load(path.read_text(encoding="utf-8"))) == {
        "model",
        "data",
        "training",
        "hardware",
        "layout",
        "software",
        "cost",
    }
    assert gpuhours.load(path).hardware.gpus == 64


def test_an_unknown_example_names_those_there_are(gpuhours_command: Command) -> None:
    assert gpuhours_command("init", "--example", "lorra").err.count("lora") >= 1
    assert "mixture" in gpuhours_command("init", "--example", "list").out
    assert gpuhours_command("init", "--example", "lora", "--gpus", "8").code == 2


def test_answers_make_the_file_that_options_make(gpuhours_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "llama-3-8b\n1T\n\n4M tokens\nh100-sxm-80gb\n64\n\n\n\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(said))
    asked = gpuhours_command("init", "--ask")
    words = (
        "--model",
        "llama-3-8b",
        "--tokens",
        "1T",
        "--batch",
        "4M tokens",
        "--gpu",
        "h100-sxm-80gb",
        "--gpus",
        "64",
    )
    assert asked.out == gpuhours_command("init", *words).out
    assert asked.err.count("?") == len(ASKED)


def test_an_answer_without_meaning_is_refused(gpuhours_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("llama-3-8b\n\n\n\nh100\n"))
    ran = gpuhours_command("init", "--ask")
    assert ran.code == 2
    assert ran.out == ""
    assert "h100-sxm-80gb" in ran.err
    assert gpuhours_command("init", "--gpu", "h100").code == 2
