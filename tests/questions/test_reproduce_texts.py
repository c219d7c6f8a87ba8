"""``reproduce TEXT`` and ``check TEXT`` say the same of every figure."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuhours.questions.checking.outcome import Check
from gpuhours.questions.checking.papers import PaperCheck
from gpuhours.questions.checking.verdict import check
from gpuhours.questions.reproducing.findings import Finding
from gpuhours.questions.reproducing.texts import reproduce_text
from gpuhours.questions.verdicts import AGREES

TEXTS = sorted((Path(__file__).parents[1] / "texts").glob("*.txt"))
UP_TO = "unseen-falcon-180b"
"""Its 4,096 GPUs are an upper end, so that the ranks that follow from the rest are fewer than those stated."""


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_both_commands_judge_every_figure_alike(path: Path) -> None:
    checked = check(path)
    assert isinstance(checked, PaperCheck)
    for run, shown in zip(checked.runs, reproduce_text(path), strict=True):
        assert shown.verdict == run.verdict
        for one, finding in zip(run.claims, shown.figures[: len(run.claims)], strict=True):
            assert (finding.quantity, finding.verdict) == (one.claim.quantity, one.verdict)
            assert finding.published == one.claim.value
            assert path.stem == UP_TO or finding.verdict != AGREES or _meets(finding), finding.figure
        _the_same_implied(run, shown.figures[len(run.claims) :])


def _meets(finding: Finding) -> bool:
    """Whether the shown range and the stated one meet, as they do if the figure agrees with those shown beside it."""
    if finding.low is None or finding.high is None or finding.stated_low is None or finding.stated_high is None:
        return True
    return finding.low * 0.99 <= finding.stated_high and finding.stated_low <= finding.high * 1.01


def _the_same_implied(run: Check, shown: tuple[Finding, ...]) -> None:
    assert [(one.quantity, one.value) for one in run.implied] == [(one.quantity, one.computed) for one in shown]
