"""The README tells the truth: its commands are run, and what it prints of them is what they print.

``GPUHOURS_WRITE=1 pytest tests/cli/test_readme.py`` writes the output that the commands have now.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
from pathlib import Path

import pytest

from tests.conftest import Command

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"```console\n\$ (?P<command>gpuhours[^\n]*)\n(?P<output>.*?)```", re.DOTALL)
RUNS = re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
LINES = [
    line
    for shell in re.findall(r"```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    for line in shell.splitlines()
    if line.startswith("gpuhours ")
]
PYTHON = re.search(r"```python\n(import gpuhours\n.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
BLOCKS = list(BLOCK.finditer(README.read_text(encoding="utf-8")))


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block["command"])
def test_printed_output_is_what_the_command_prints(
    gpuhours_command: Command, block: re.Match[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(README.parent)
    ran = gpuhours_command(*shlex.split(block["command"])[1:], columns=100)
    printed = "\n".join(line.rstrip() for line in ran.out.splitlines()) + "\n"
    if os.environ.get("GPUHOURS_WRITE"):
        text = README.read_text(encoding="utf-8")
        README.write_text(text.replace(block[0], f"```console\n$ {block['command']}\n{printed}```"), encoding="utf-8")
        return
    assert printed == block["output"]


def test_every_command_is_in_the_readme_and_has_an_example() -> None:
    from typer.main import get_command

    from gpuhours_cli.app import registered

    text = README.read_text(encoding="utf-8")
    for name, command in get_command(registered()).commands.items():  # type: ignore[attr-defined]
        assert f"gpuhours {name}" in text, name
        children = getattr(command, "commands", {}).values() or [command]
        for child in children:
            assert "Example: gpuhours" in (child.epilog or command.epilog or ""), f"{name} {child.name}"


@pytest.mark.parametrize("run", RUNS, ids=range(len(RUNS)))
def test_every_run_file_printed_is_accepted(run: str, gpuhours_command: Command, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(run, encoding="utf-8")
    ran = gpuhours_command("estimate", str(path))
    assert ran.code in (0, 1), ran.err
    assert not ran.err


@pytest.mark.parametrize("line", LINES)
def test_every_command_line_printed_runs(line: str, gpuhours_command: Command, beside: Path) -> None:
    if line.endswith("-o run.yaml") or "-o run.yaml " in line:
        (beside / "run.yaml").unlink()  # written by this command, and nothing is overwritten unasked
    ran = gpuhours_command(*shlex.split(line, comments=True)[1:])
    assert ran.code == 0, ran.err


def test_the_python_block_runs(beside: Path) -> None:
    assert PYTHON is not None
    (beside / "block.py").write_text(PYTHON[1], encoding="utf-8")
    frames = runpy.run_path(str(beside / "block.py"))["frames"]
    assert frames.to_arrow().num_rows == len(range(16, 129, 16))
