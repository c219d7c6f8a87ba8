"""README and guide are correct: their commands are run, and the output they print must be the actual output.

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

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = (README, ROOT / ".github" / "docs" / "pages" / "guide.md")
TEXTS = {path: path.read_text(encoding="utf-8") for path in PAGES}
BLOCK = re.compile(r"```console\n\$ (?P<command>gpuhours[^\n]*)\n(?P<output>.*?)```", re.DOTALL)
RUNS = [run for text in TEXTS.values() for run in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
LINES = [
    line
    for text in TEXTS.values()
    for shell in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    for line in shell.splitlines()
    if line.startswith("gpuhours ")
]
PYTHON = [
    block for text in TEXTS.values() for block in re.findall(r"```python\n(import gpuhours\n.*?)```", text, re.DOTALL)
]
WRITES = bool(os.environ.get("GPUHOURS_WRITE"))
JUDGED = ("gpuhours validate --quiet", "gpuhours validate --totals --quiet")
"""Evaluating all published runs takes ten seconds, so tests/questions/validating, which does it anyway, checks these outputs."""
BLOCKS = [
    (path, block)
    for path, text in TEXTS.items()
    for block in BLOCK.finditer(text)
    if WRITES or block["command"] not in JUDGED
]


def printed(command: str) -> str:
    """What the README prints under a command."""
    return next(block["output"] for block in BLOCK.finditer(TEXTS[README]) if block["command"] == command)


@pytest.mark.parametrize(("path", "block"), BLOCKS, ids=[block["command"] for _, block in BLOCKS])
def test_printed_output_is_what_the_command_prints(
    gpuhours_command: Command, path: Path, block: re.Match[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    ran = gpuhours_command(*shlex.split(block["command"])[1:], columns=100)
    said = "\n".join(line.rstrip() for line in ran.out.splitlines()) + "\n"
    if WRITES:
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(block[0], f"```console\n$ {block['command']}\n{said}```"), encoding="utf-8")
        return
    assert said == block["output"]


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
    words = shlex.split(line, comments=True)[1:]
    if "-o" in words:
        (beside / words[words.index("-o") + 1]).unlink(missing_ok=True)  # nothing is written over unasked
    ran = gpuhours_command(*words)
    assert ran.code == 0, ran.err


def test_the_python_block_runs(beside: Path) -> None:
    (block,) = PYTHON
    (beside / "block.py").write_text(block, encoding="utf-8")
    frames = runpy.run_path(str(beside / "block.py"))["frames"]
    assert frames.to_arrow().num_rows == len(range(16, 129, 16))
