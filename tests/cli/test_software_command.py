"""``gpuhours software``: the known names, the measured steps behind each stack, and how a name is matched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpuhours.software.profile import list_software
from tests.conftest import LLAMA, Command


def test_every_stack_is_listed_with_the_steps_it_was_tried_on(gpuhours_command: Command) -> None:
    ran = gpuhours_command("software", "list", "--json")
    entries = {entry["name"]: entry for entry in json.loads(ran.out)["software"]}
    assert set(entries) == set(list_software())
    assert entries["bigscience"]["steps"] == 114
    assert entries["bigscience"]["single_system"]
    assert entries["megatron-deepspeed"]["measured_on"] == []
    screen = gpuhours_command("software", "list", columns=80).out
    assert max(map(len, screen.splitlines())) <= 80
    assert all(name in screen for name in list_software())


def test_one_stack_says_where_it_was_met_and_its_figures_with_sources(gpuhours_command: Command) -> None:
    ran = gpuhours_command("software", "show", "internevo", columns=100)
    assert ran.code == 0
    for text in (
        "InternEvo training performance",
        "answers to its own name only",
        "like megatron-2023",
        "shard broadcast",
    ):
        assert text in ran.out
    assert max(map(len, ran.out.splitlines())) <= 100
    document = json.loads(gpuhours_command("software", "show", "internevo", "--json").out)
    assert document["network"]["shard_broadcast"] == pytest.approx(0.06e-3)
    assert document["network"]["source"]


def test_a_system_s_name_is_read_and_the_reading_is_said(gpuhours_command: Command) -> None:
    ran = gpuhours_command("software", "show", "NeMo 24.05")
    assert "'NeMo 24.05' read as megatron-core-early" in " ".join(ran.out.split())
    assert gpuhours_command("software", "show", "NeMo 24.05", "--quiet").out == "megatron-core-early\n"


def test_a_name_that_nothing_reads_is_an_error(gpuhours_command: Command) -> None:
    ran = gpuhours_command("software", "show", "megatron-coer")
    assert ran.code == 2
    assert "Did you mean 'megatron-core'" in ran.err
    ran = gpuhours_command("software", "show", "abacus")
    assert ran.code == 2
    assert "No such software profile" in ran.err


def test_an_estimate_leaves_an_unknown_stack_open_and_says_so(gpuhours_command: Command) -> None:
    arguments = (
        "estimate",
        *LLAMA,
        "--json",
    )
    named = json.loads(gpuhours_command(*arguments, "--software", "abacus").out)
    open_to_all = json.loads(gpuhours_command(*arguments).out)
    assert named["results"]["gpu_hours"] == open_to_all["results"]["gpu_hours"]
    assert any("'abacus'" in warning for warning in named["warnings"])


def test_an_estimate_reads_a_stack_s_name_and_says_so(gpuhours_command: Command) -> None:
    arguments = ("estimate", *LLAMA, "--batch", "512",
                 "--seq-len", "8192", "--json")  # fmt: skip
    read = json.loads(gpuhours_command(*arguments, "--software", "NeMo 25.04").out)
    named = json.loads(gpuhours_command(*arguments, "--software", "megatron-core-2024").out)
    assert read["results"]["step_time"] == named["results"]["step_time"]
    assert any(one["name"] == "software" and "read as" in one["reason"] for one in read["assumptions"])


def test_a_file_of_one_s_own_is_shown(tmp_path: Path, gpuhours_command: Command) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("like: torch-eager\ntitle: Ours\n", encoding="utf-8")
    assert "Ours" in gpuhours_command("software", "show", str(own)).out
