"""A table of runs: the ones that cannot be, and why.

The flagged list is that of a hand check of 227 published runs (their sources are in published/run_totals.csv).
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest

from gpuhours.questions.checking.table import TableCheck, check_table, read_rows
from tests.conftest import Command

TOTALS = Path(str(files("gpuhours") / "published" / "run_totals.csv"))


@pytest.fixture(scope="module")
def checked() -> TableCheck:
    return check_table(read_rows(TOTALS), "run_totals.csv")


# implied share of the dense peak by hand, and a word of the reason
FLAGGED = {
    "longvila-7b-stage4": ("impossible", 2.06, "adapters"),
    "emu1-14b": ("impossible", 1.83, "not all tokens pass"),
    "flm-101b": ("impossible", 1.69, "grew"),
    "llmc-gpt3-125m": ("impossible", 1.05, "step time"),
    "idefics-80b": ("implausible", 0.91, "frozen"),
    "openba-15b": ("implausible", 0.80, "encoder-decoder"),
}


def test_flags_exactly_the_impossible_runs(checked: TableCheck) -> None:
    assert {row.id for row in checked.rows if row.verdict in ("impossible", "implausible")} == set(FLAGGED)


@pytest.mark.parametrize("name", FLAGGED)
def test_says_why(checked: TableCheck, name: str) -> None:
    verdict, implied, reason = FLAGGED[name]
    row = next(row for row in checked.rows if row.id == name)
    assert row.verdict == verdict
    assert row.implied_mfu == pytest.approx(implied, rel=0.01)
    assert reason in " ".join(row.reasons)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bloom-176b", "recomputed"),
        ("bloomberggpt", "recomputed"),
        ("glm-130b", "recomputed"),
        ("palm-540b", "stops"),
        ("codefuse-13b", "hours"),
    ],
)
def test_stated_against_implied(checked: TableCheck, name: str, reason: str) -> None:
    row = next(row for row in checked.rows if row.id == name)
    assert row.verdict == "conflicting"
    assert reason in " ".join(row.reasons)


def test_command(gpuhours_command: Command, tmp_path: Path) -> None:
    ran = gpuhours_command("check", str(TOTALS), "--json")
    assert ran.code == 1
    assert json.loads(ran.out)["summary"]["impossible"] == 4
    (tmp_path / "x.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    assert gpuhours_command("check", str(tmp_path / "x.csv")).code == 2
    good = tmp_path / "good.csv"
    good.write_text("id,params_b,tokens_b,gpu,gpu_hours\nllama-7b,6.7,1000,A100-80GB,82432\n", encoding="utf-8")
    assert gpuhours_command("check", str(good)).code == 0
