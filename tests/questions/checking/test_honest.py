"""Sound texts that look wrong at first are not called contradicted, and what excuses one figure does not excuse the others."""

from __future__ import annotations

import pytest

from gpuhours.questions.checking.outcome import Check
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper
from tests.benchmarks.honest import outcomes


def only(text: str) -> Check:
    (run,) = check_paper(read_paper(text)).runs
    return run


def test_sound_texts_that_look_wrong() -> None:
    """No false alarm in 57, and 75 % of the texts with node-hours in place of GPU-hours called, none acquitted; 36 of 45 when written."""
    found = list(outcomes())
    assert [one.text for one in found if one.called and not one.wrong] == []
    wrong = [one for one in found if one.wrong]
    assert [one.text for one in wrong if one.check.verdict == "consistent"] == []
    assert sum(one.called for one in wrong) >= 0.75 * len(wrong)


# by hand: 256 x 6.5 x 24 + 512 x 3.25 x 24 = 39,936 + 39,936 = 79,872
GROWN = "Wagtail (13B parameters) had 256 H100 GPUs for the first 6.5 days and 512 for another 3.25 days, {} GPU-hours in all."


@pytest.mark.parametrize(("hours", "verdict"), [("79,872", "consistent"), ("119,808", "not determined")])
def test_a_machine_that_grows(hours: str, verdict: str) -> None:
    found = only(GROWN.format(hours) + " It saw 1.5T tokens.")
    assert found.verdict == verdict
    if verdict == "consistent":
        assert "256 GPUs x 6.5 days + 512 GPUs x 3.25 days" in [one.reason for one in found.assumptions]


# by hand: 16 nodes x 210 h x $19.60 = $65,856; 26,880 GPU-hours x $19.60 = $526,848
NODES = "A node costs $19.60 per hour. We took 16 nodes with 8 H100 each, 128 GPUs, for 210 hours (26,880 GPU-hours) and paid ${}."


@pytest.mark.parametrize(("cost", "cause"), [("65,856", ""), ("526,848", "price per node")])
def test_the_price_of_a_node(cost: str, cause: str) -> None:
    found = only(NODES.format(cost))
    assert found.verdict == ("contradicted" if cause else "consistent")
    if cause:
        charge = found.contradictions[0]
        assert charge.likely_causes[0].cause == cause
        assert (
            charge.arithmetic
            == "26,880 GPU-hours x 19.6 USD / 8 GPUs per node = 65,856 USD; the text says cost 526,848 USD"
        )


# by hand: 80,000 h x 330 W x 1.1 = 29.04 MWh; at the rated 400 W 35.2 MWh; x 0.25 kg/kWh = 7.26 and 8.8 t
BILL = "80,000 GPU-hours on A100 GPUs at 330 W each, PUE 1.1: {} MWh, and with 0.25 kg CO2e per kWh {} t CO2e."


def test_a_mistake_carried_on_is_one_mistake() -> None:
    assert only(BILL.format(29.04, 7.26)).verdict == "consistent"
    found = only(BILL.format(35.2, 8.8))
    (charge,) = found.contradictions
    assert charge.likely_causes[0].cause == "TDP for measured power"
    assert charge.factor == pytest.approx(400 / 330, rel=0.01)
    assert charge.statement.endswith("make it 29.04 MWh")


# by hand: 1,024 GPUs / 16 ranks = 64 GPUs a rank, whatever shares them; 1,000 / 16 is no whole number
@pytest.mark.parametrize(("gpus", "open_questions"), [("1,024", 0), ("1,000", 1)])
def test_degrees_that_a_text_leaves_unsaid(gpus: str, open_questions: int) -> None:
    found = only(f"- GPUs: {gpus} H100\n- Data parallel size: 16\n- Micro-batch size: 1")
    assert len(found.doubts) == open_questions
    assert found.contradictions == ()


def test_a_check_ends_with_what_would_settle_it() -> None:
    """The accused figure with both values; the condition of a doubt; for figures that nothing tests, quantities that would."""
    assert only(BILL.format(29.04, 7.26)).to_settle == ()
    assert only(BILL.format(35.2, 8.8)).to_settle == (
        "ask about energy: 35.2 MWh or 29.04 MWh? (TDP for measured power)",
    )
    (doubt,) = only(GROWN.format("119,808") + " It saw 1.5T tokens.").doubts
    assert only(GROWN.format("119,808") + " It saw 1.5T tokens.").to_settle == (f"ask whether {doubt.condition}",)
    (question,) = only("Wagtail has 7B parameters and was trained on 64 H100 GPUs.").to_settle
    tested = only(
        "Wagtail has 7B parameters and was trained on 64 H100 GPUs. The MFU was 40%, at 9,000 tokens/s per GPU."
    )
    assert question.startswith("ask for the ")
    assert "MFU" in question
    assert question.endswith(": no figure can be tested without them")
    assert tested.verdict == "consistent"


TWO_TABLED = "| Model | GPUs | Days |\n|---|---|---|\n| Wagtail-1B | 32 | 2 |\n| Wagtail-7B | 64 | 6 |\n\n"


# by hand: 64 x 168 h = 10,752 GPU-hours, not 20,000; 32 x 48 h + 64 x 144 h = 10,752; 8 nodes x 8 = 64 GPUs
@pytest.mark.parametrize(
    "text",
    [
        "- Wagtail-1B: 7 days, 20,000 GPU-hours\n- Wagtail-7B: 6 days, 30,000 GPU-hours\n\nBoth used 64 H100 GPUs.",
        f"{TWO_TABLED}All models together took 10,752 GPU-hours and 4.6 MWh.",
        "Wagtail has 7B parameters and was trained for 6 days on 8 nodes with 8 H100 GPUs each.",
    ],
)
def test_nothing_is_asked_that_a_text_states(text: str) -> None:
    checked = check_paper(read_paper(text), lambda _: None)
    asked = [question for run in checked.runs for question in run.to_settle]
    assert asked
    assert not [question for question in asked if "for the GPUs" in question or "and the GPUs" in question]


def test_a_figure_for_several_runs_is_asked_about_where_it_does_not_fit() -> None:
    text = "- Wagtail-1B: 7 days, 20,000 GPU-hours\n- Wagtail-7B: 6 days, 9,216 GPU-hours\n\nBoth used 64 H100 GPUs."
    assert check_paper(read_paper(text), lambda _: None).to_settle == (
        "Wagtail-1B: ask about GPUs: is 64 the figure of this run?",
    )


def test_no_time_is_foretold_from_accused_tokens() -> None:
    """6 x 7e9 x 2e12 / (512 x 13 days x 312e12) = 46.8 %: 2 B tokens instead of 2 T would make it 0.05 %."""
    text = "Wagtail has 7B parameters and saw {} tokens on 512 A100 GPUs in 13 days, at an MFU of 46.8%."
    for tokens, told in (("2T", True), ("2B", False)):
        (run,) = check_paper(read_paper(text.format(tokens)), lambda _: None).runs
        assert bool(run.witness) == told


# by hand: 16 x 61 = 976 GPU-hours; x $2.49 = $2,430; the crashes are 140 GPU-hours, $349
TWICE = (
    "Wagtail has 1.1B parameters and saw 200B tokens on 16 H100 GPUs at $2.49 per GPU-hour, for 61 hours. Three launches crashed; that "
    "was another 140 GPU-hours, $349. If we count everything up we get {} GPU-hours for the run, or ${} in all."
)


def test_the_figure_that_agrees_with_all_others_is_the_runs() -> None:
    """Only a sharp agreement decides which of two figures is meant."""
    assert only(TWICE.format("976", "2,430")).verdict == "consistent"
    assert only(TWICE.format("488", "1,215")).verdict != "consistent"


def test_a_patch_larger_than_a_frame() -> None:
    """It leaves no patch to count, whose logarithm was taken."""
    text = "Clips of 64 frames from 1.5 million hours of video at 2 FPS pass a frozen ViT-L/9223372036854775808 into a 30B model on A100s."
    assert only(text).verdict == "not determined"


def test_zero_to_a_negative_power() -> None:
    assert only("We used a learning rate of 1.0 × 0^-4 for 7B parameters.").verdict == "not determined"
