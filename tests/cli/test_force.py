"""``--force``: without it no command overwrites an existing file, and it refuses before doing any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import LLAMA, Command

RUN = str(Path(__file__).parents[1] / "runs" / "gpt-22b.yaml")
PAPER = str(Path(__file__).parents[1] / "texts" / "llm-65b.txt")
WRITING = {
    "report": ("report", RUN, "-o"), "trace": ("trace", RUN, "-o"), "calibrate": ("calibrate", RUN, "-o"),
    "init": ("init", *LLAMA, "-o"), "export": ("export", RUN, "-o"), "ci": ("ci", "--base", "HEAD", "-o"),
    "check": ("check", PAPER, "-o"), "check markdown": ("check", PAPER, "--markdown"), "check html": ("check", PAPER, "--html"),
    "measure": ("hardware", "measure", "-o"), "import": ("import", PAPER, "-o"),
    "sweep": ("sweep", RUN, "--vary", "layout.tensor=4,8", "-o"), "plot": ("sweep", RUN, "--vary", "layout.tensor=4,8", "--plot"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITING)
def test_a_file_that_is_there_is_left_alone(gpuhours_command: Command, tmp_path: Path, name: str) -> None:
    path = tmp_path / {"sweep": "kept.csv", "plot": "kept.svg"}.get(name, "kept.txt")
    path.write_text("mine\n", encoding="utf-8")
    ran = gpuhours_command(*WRITING[name], str(path))
    assert ran.code == 2
    assert "The file exists." in ran.err
    assert "--force" in ran.err
    assert WRITING[name][-1] in ran.err, "the option that names it"
    assert path.read_text(encoding="utf-8") == "mine\n"


@pytest.mark.parametrize("name", ["trace", "init", "export", "check markdown"])
def test_told_to_it_is_replaced(gpuhours_command: Command, tmp_path: Path, name: str) -> None:
    path = tmp_path / "old.txt"
    path.write_text("mine\n", encoding="utf-8")
    assert gpuhours_command(*WRITING[name], str(path), "--force").code in (0, 1)
    assert not path.read_text(encoding="utf-8").startswith("mine")


@pytest.mark.parametrize("name", ["report", "trace", "init", "export", "check", "check html"])
def test_a_link_to_itself_is_told(gpuhours_command: Command, tmp_path: Path, name: str) -> None:
    path = tmp_path / "loop.txt"
    path.symlink_to(path)
    ran = gpuhours_command(*WRITING[name], str(path))
    assert (ran.code, "leads back to itself" in ran.err) == (2, True)
    assert [one.name for one in tmp_path.iterdir()] == ["loop.txt"]
