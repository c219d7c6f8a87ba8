"""A plain install has no extras; a command that needs one names it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gpuhours_cli.app import EXTRAS
from tests.conftest import Command

RUN = str(Path(__file__).parents[1] / "runs" / "gpt-22b.yaml")


@pytest.mark.parametrize(
    ("missing", "arguments"),
    [
        ("pyarrow", ("sweep", RUN, "--vary", "layout.tensor=4,8")),
        ("altair", ("sweep", RUN, "--vary", "layout.tensor=4,8", "--plot", "new.png")),
        ("distributed", ("sweep", RUN, "--vary", "layout.tensor=4,8", "--engine", "dask")),
    ],
)
def test_a_missing_package_names_its_extra(
    missing: str, arguments: tuple[str, ...], gpuhours_command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    ran = gpuhours_command(*arguments)
    assert ran.code == 2
    assert f"gpuhours[{EXTRAS[missing]}]" in ran.err


def test_every_extra_is_declared() -> None:
    declared = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    for extra in EXTRAS.values():
        assert f"\n{extra} = [" in declared
