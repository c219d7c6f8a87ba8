"""The guide states the ranges that ``reproduce`` prints for the headline figures: constants move them, and nobody rereads prose."""

from __future__ import annotations

from pathlib import Path

from gpuhours.inputs.durations import DAY
from gpuhours.questions.reproducing import Finding, Reproduction, reproduce

GUIDE = Path(__file__).parents[2] / ".github" / "docs" / "pages" / "guide.md"


def of(documents: tuple[Reproduction, ...], name: str) -> tuple[Reproduction, Finding]:
    document = next(one for one in documents if one.name == name)
    return document, next(finding for finding in document.figures if finding.headline)


def between(finding: Finding, unit: float, digits: int) -> str:
    """``1.2 to 3.9``: the predicted range in multiples of ``unit``."""
    assert finding.low is not None
    assert finding.high is not None
    return f"{finding.low / unit:.{digits}f} to {finding.high / unit:.{digits}f}"


def test_the_guide_states_what_is_predicted_of_the_headlines() -> None:
    documents, text = reproduce().documents, " ".join(GUIDE.read_text(encoding="utf-8").split())
    _, hours = of(documents, "Video-LLaMA-30B")
    assert f"1.8M GPU-hours (Video-LLaMA-30B) fall inside {between(hours, 1e6, 1)}M, reproduced" in text
    _, days = of(documents, "VideoMAE-Huge")
    assert f"3.5 weeks (VideoMAE-Huge) inside {between(days, 7 * DAY, 1)}, reproduced" in text
    video, mfu = of(documents, "X-Gen-Video-30B")
    assert (hours.verdict, days.verdict, mfu.verdict) == ("agrees", "agrees", "contradicted")
    assert f"an eight-stage pipeline give {between(mfu, 0.01, 0)} %" in text
    best = max(video.takes, key=lambda need: need.nearest)
    assert best.value is None, "no length of text brings the median to the stated figure"
    reached = (
        "so no length of text reaches it"
        if best.held_from is None
        else f"from {best.held_from:,.0f} tokens the range holds it"
    )
    ends = f"any length of text the median ends at {best.nearest:.1%} and the range at {best.nearest_high:.1%}"
    assert f"{ends}, {reached}".replace("%", " %") in text
