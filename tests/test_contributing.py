"""The table "to add X, touch Y" names files and folders that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_place_exists() -> None:
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| a")]
    places = [place for row in rows for place in re.findall(r"`((?:estimator|hardware_specs|tests)/[^`]*)`", row)]
    assert len(places) > 20
    assert [place for place in places if not (ROOT / place).exists()] == []
