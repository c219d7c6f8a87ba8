"""Mistakes planted in prose, cards and tables are called with their cause; the same runs without them are not, whatever stands around."""

from __future__ import annotations

import pytest

from gpuhours.questions.checking.outcome import Check
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper
from tests.benchmarks.accused import outcomes
from tests.read_texts import one


def only(text: str) -> Check:
    (run,) = check_paper(read_paper(text)).runs
    return run


def test_planted_mistakes_are_called_and_sound_texts_are_not() -> None:
    """At least 95 % called and 90 % with the right cause first, and no sound text accused; 143 of 144 on the day of writing."""
    found = list(outcomes(("planted", "around 1")))
    planted = [outcome for outcome in found if outcome.kind == "planted"]
    assert [(o.mistake.name, o.form) for o in found if o.kind != "planted" and o.called] == []
    assert sum(outcome.called for outcome in planted) >= 0.95 * len(planted)
    assert sum(outcome.named for outcome in planted) >= 0.9 * len(planted)


STAGE = (
    "Wagtail has 7B parameters, saw 2T tokens and took 159,000 GPU-hours on 512 A100 GPUs. "
    "{} it read 30B tokens in 14 hours on 128 GPUs at an MFU of {}%."
)


@pytest.mark.parametrize("opening", ["In a final stage", "Afterwards", "During a short second phase"])
def test_a_later_stage_accuses_nobody(opening: str) -> None:
    """2T tokens of 7B in 159,000 hours are 47 % of the peak; 31 % are those of the stage, whose machine differs."""
    assert only(STAGE.format(opening, 31)).verdict == "consistent"


def test_a_rate_of_a_benchmark_or_a_peak_accuses_nobody() -> None:
    text = "Wagtail has 7B parameters and was trained on 2T tokens with 512 A100 GPUs in 13 days. {}"
    for said in ("The peak MFU was 59 %.", "In a benchmark of one node we saw 59 % MFU."):
        assert only(text.format(said)).verdict == "consistent"
    assert only(text.format("The MFU was 23 %.")).verdict == "contradicted"


# by hand: 6 x 22e9 x 900e9 / (512 x 20 days x 86,400 s x 312e12) = 43.0 %; 8 N D for 6 N D makes it 57.4 %
RECOMPUTED = (
    "Wagtail has 22B parameters. It was trained on 900B tokens with 512 A100 GPUs in 20 days. {} The MFU was {}%."
)


def test_a_figure_that_only_a_mistaken_formula_gives_to_its_digits() -> None:
    """``20 days`` alone would leave room for 57.4 %, but 8 N D gives just this figure, and the text says why."""
    found = only(RECOMPUTED.format("All activations are recomputed.", 57.4))
    assert found.contradictions[0].likely_causes[0].cause == "HFU as MFU"
    assert found.contradictions[0].arithmetic.endswith("= 43 %; the text says MFU 57.4 %")
    for said, mfu in (("All activations are recomputed.", 43.0), ("", 57.4), ("All activations are recomputed.", 55.1)):
        assert only(RECOMPUTED.format(said, mfu)).verdict == "consistent"
    assert only(RECOMPUTED.format("Nothing is recomputed.", 57.4)).verdict == "consistent"


@pytest.mark.parametrize(
    "said",
    ["No activation recomputation was needed.", "We train without recomputation.", "Activation checkpointing: off."],
)
def test_recomputation_that_a_text_denies(said: str) -> None:
    assert read_paper(f"{said} It ran on 8 H100 GPUs.").single.fact("recompute") == "none"
    kept = read_paper("There is no way around recomputing activations on 8 H100 GPUs.").single
    assert kept.fact("recompute") == "full"


@pytest.mark.parametrize("label", ["$/GPU-hour", "USD per GPU-hour", "$ per GPU hour", "Price ($/GPU-h)"])
def test_a_label_that_is_a_rate_lends_all_of_it(label: str) -> None:
    row = one(f"| Model | GPU-hours | {label} | Cost ($) |\n|---|---|---|---|\n| Wagtail | 80,000 | 2.4 | 192,000 |")
    assert (row["gpu_hours"], row["price"], row["cost"]) == (80_000, 2.4, 192_000)


def test_sizes_per_token_are_active() -> None:
    for text in (
        "It has 120B parameters and activates 14B parameters per token.",
        "Only 14B of 120B parameters per token are used.",
    ):
        found = one(f"{text} It was trained on 256 H100 GPUs.")
        assert (found["parameters"], found["active_parameters"]) == (120e9, 14e9)


def test_sequences_of_a_batch_stay_sequences() -> None:
    text = "- Tokens: 1.5T\n- Steps: 357,628\n- Sequence length: 4,096\n- Global batch size: {} sequences"
    assert only(text.format("1,024")).verdict == "consistent"
    found = only(text.format("4,194,304"))
    assert found.contradictions[0].likely_causes[0].cause == "tokens for sequences"


def test_hours_of_many_jobs_on_one_node() -> None:
    """8 GPUs for 5 hours are 40 GPU-hours; 1,600 are those of 40 such jobs, whether or not a text counts them."""
    found = only(
        "Each of the small models ran on one node with H100 GPUs for five hours; the campaign used 1,600 GPU hours."
    )
    assert found.verdict != "contradicted"
