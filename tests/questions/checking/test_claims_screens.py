"""Screens of ``gpuhours check``, stored as text.

``GPUHOURS_WRITE=1 pytest tests/questions/checking/test_claims_screens.py`` writes them anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import Command

HERE = Path(__file__).parents[2]
SNAPSHOTS = HERE / "snapshots"
SCREENS = ("seed-000", "seed-002", "seed-003", "seed-004", "bad-sparse", "bad-epochs", "llm-65b")


def kept(path: Path, text: str) -> str:
    """Return the snapshot at ``path``, which is written first if the environment asks for it."""
    if os.environ.get("GPUHOURS_WRITE"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SCREENS)
def test_screen(gpuhours_command: Command, name: str) -> None:
    ran = gpuhours_command("check", str(HERE / "texts" / f"{name}.txt"))
    screen = "\n".join(line.rstrip() for line in ran.out.splitlines()) + "\n"
    assert max(map(len, screen.splitlines())) <= 80
    assert screen == kept(SNAPSHOTS / f"check-{name}.txt", screen)


def test_markdown(gpuhours_command: Command, tmp_path: Path) -> None:
    review = tmp_path / "review.md"
    gpuhours_command("check", str(HERE / "texts" / "bad-sparse.txt"), "--markdown", str(review))
    text = review.read_text(encoding="utf-8")
    assert text == kept(SNAPSHOTS / "check-bad-sparse.md", text)
