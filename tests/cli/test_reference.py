"""The pages under ``.github/docs`` match the package's own listings, and every example in them runs.

``GPUHOURS_WRITE=1 pytest tests/cli/test_reference.py`` writes them anew.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gpuhours.questions.starting import example
from tests.cli.conftest import committed
from tests.cli.test_json import OWN_RUNS
from tests.conftest import Command

DOCS = Path(__file__).parents[2] / ".github" / "docs"
PAGES = DOCS / "pages"
NEEDS_GPU = "gpuhours hardware measure -o my-h200.yaml"


def loaded() -> ModuleType:
    """Import the generator, a script in the folder of its pages."""
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATE = loaded()


@pytest.mark.parametrize("name", GENERATE.PAGE)
def test_a_page_is_what_is_generated(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    path = PAGES / "reference" / f"{name}.md"
    if os.environ.get("GPUHOURS_WRITE"):
        path.write_text(GENERATE.page(name), encoding="utf-8")
    assert path.read_text(encoding="utf-8") == GENERATE.page(name)


def test_tables_of_the_model_are_what_is_generated() -> None:
    if os.environ.get("GPUHOURS_WRITE"):
        GENERATE.MODEL.write_text(GENERATE.model_page(), encoding="utf-8")
    assert GENERATE.MODEL.read_text(encoding="utf-8") == GENERATE.model_page()
    assert GENERATE.model_constants().count("\n") > 25
    assert GENERATE.identity_rows().count("\n") > 40


def test_every_page_is_in_the_site_and_every_link_ends_at_one() -> None:
    listed = set(re.findall(r"[\w/-]+\.md", (DOCS / "mkdocs.yml").read_text(encoding="utf-8")))
    pages = {str(path.relative_to(PAGES)) for path in PAGES.rglob("*.md")}
    assert listed == pages
    for page in sorted(pages):
        text = (PAGES / page).read_text(encoding="utf-8")
        headings = {line.lstrip("# ").lower().replace(" ", "-") for line in text.splitlines() if line.startswith("#")}
        for target in re.findall(r"\]\(([^)]+)\)", text):
            place, _, part = target.partition("#")
            assert not place or (PAGES / page).parent.joinpath(place).is_file(), f"{page}: {target}"
            assert place or part in headings, f"{page}: {target}"


def examples() -> Iterator[str]:
    """Return every command line in a help text or on a page; those of the guide are run by ``test_readme``."""
    for _, text in GENERATE.helps():
        for line in re.findall(r"Example:(.*)\Z", text, re.DOTALL):
            yield from re.findall(r"(gpuhours .*?)(?:, or (?=gpuhours)|, then |$)", " ".join(line.split()))
    for page in sorted(PAGES.glob("*.md")):
        if page.stem == "guide":
            continue
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            yield from (line for line in block.splitlines() if line.startswith("gpuhours "))


def test_every_command_has_an_example() -> None:
    names = [name for name, text in GENERATE.helps() if "Example: gpuhours" not in text]
    assert names == ["gpuhours"]


@pytest.mark.parametrize("line", list(dict.fromkeys(examples())))
def test_an_example_runs(line: str, gpuhours_command: Command, beside: Path) -> None:
    (beside / "paper.txt").write_text(
        "A 7B model was trained on 1T tokens with 64 A100 GPUs for 30 days.", encoding="utf-8"
    )
    (beside / "my_runs.csv").write_text(OWN_RUNS, encoding="utf-8")
    (beside / "lora.yaml").write_text(example("lora"), encoding="utf-8")
    if line.startswith("gpuhours ci "):
        committed(beside)
    words = shlex.split(line.partition(" > ")[0], comments=True)[1:]
    if "-o" in words:
        (beside / words[words.index("-o") + 1]).unlink(missing_ok=True)
    ran = gpuhours_command(*words)
    expected: Any = {2} if line == NEEDS_GPU else {0, 1} if words[0] in ("check", "ci") else {0}
    assert ran.code in expected, ran.err


@pytest.mark.skipif(importlib.util.find_spec("material") is None, reason="needs the extra docs")
def test_the_site_is_built(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "-q",
        "-f",
        str(DOCS / "mkdocs.yml"),
        "-d",
        str(tmp_path / "site"),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "site" / "reference" / "keys.html").is_file()
