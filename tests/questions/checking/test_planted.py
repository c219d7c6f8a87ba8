"""Impossible figures that nothing else in the text repeats, found by the machine, the published runs and the sums."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from gpuhours.questions.checking.outcome import Check
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.setting import LARGE, LONG, SLOWEST_PRETRAINING, linked
from gpuhours.questions.checking.table import read_rows
from gpuhours.questions.checking.verdict import check_paper, check_table

# by hand: 6 x 7e9 x 2e12 / (512 x 20 days x 86,400 s x 312e12) = 30.4 %; 4,096 cards make it 3.8 %
PLAIN = "Wagtail has 7B parameters. It was trained on 2T tokens with {gpus} A100 80GB GPUs in {days} days."


def only(text: str) -> Check:
    (run,) = check_paper(read_paper(text)).runs
    return run


def test_a_pretraining_slower_than_half_of_any_is_contradicted() -> None:
    assert only(PLAIN.format(gpus=512, days=20)).verdict == "consistent"
    assert only(PLAIN.format(gpus="1,024", days=30)).verdict != "contradicted"  # 10 %: slow, as some are
    for text in (PLAIN.format(gpus="4,096", days=20), PLAIN.format(gpus=512, days=200)):
        found = only(text)
        assert found.verdict == "contradicted"
        assert "on 100 B tokens or more is below 11 %" in found.contradictions[0].statement


def test_hours_alone_may_be_of_more_runs() -> None:
    """1.2 M GPU-hours are 7 % of the peak for 20 days' work; ten times as many may include all experiments: open, with this condition."""
    text = "Wagtail has 7B parameters. It was trained on 2T tokens. In all it took {hours} A100 80GB GPU-hours."
    assert only(text.format(hours="240k")).verdict == "consistent"
    found = only(text.format(hours="2.4M"))
    assert found.verdict == "not determined"
    assert found.doubts[0].condition == "all of the hours belong to this run alone"
    assert {c.claim.quantity for c in found.claims if c.verdict == "agrees"} == set()


def test_a_stated_speed_testifies_rather_than_other_runs() -> None:
    slow = PLAIN.format(gpus="4,096", days=20) + " The MFU was 3.8 %."
    assert only(slow).verdict == "consistent"


def test_the_slowest_published_pretraining_is_where_it_is_said_to_be() -> None:
    """Every published run covered by the rule has an MFU of at least the stated one, within the rounding of 11 %."""
    rows = read_rows(Path(str(files("gpuhours") / "published" / "run_totals.csv")))
    slowest = []
    for run in check_table(rows, "run_totals.csv").runs:
        size, tokens = (run.document.claim(name) for name in ("parameters", "tokens"))
        reached = [i.value for i in run.implied if i.quantity == "mfu" and i.value]
        text_only = "image" not in next(row["modality"] for row in rows if row["id"] == run.document.name)
        of_kind = size and size.value >= LARGE and tokens and tokens.value >= LONG and text_only
        if of_kind and reached and linked(run.accelerator):
            slowest += reached
    assert len(slowest) > 20
    assert min(slowest) == pytest.approx(SLOWEST_PRETRAINING, rel=0.03)


@pytest.mark.parametrize("nodes", [64, 8])
def test_a_node_of_h100s_holds_no_more_than_sixteen(nodes: int) -> None:
    found = only(f"We train Wagtail on {nodes} nodes with 512 H100 GPUs.")
    assert found.verdict == ("contradicted" if nodes == 8 else "consistent")


def test_attention_counted_in_full_at_four_thousand_tokens_is_no_contradiction() -> None:
    """6.7B at 4,096 tokens: full attention adds 4096 / (6 x 4156) = 16 %. Megatron-LM counts it, others do not; 8ND adds a third."""
    text = "A 6.7B model on 64 A100 GPUs: sequences of 4,096, a global batch of 512, {rate} TFLOP/s per GPU at 8.28 s per step."
    plain = 6 * 6.7e9 * 512 * 4096 / 8.28 / 64 / 1e12
    for share in (1.0, 1.082, 1.164):
        assert only(text.format(rate=f"{share * plain:.1f}")).verdict == "consistent"
    assert only(text.format(rate=f"{1.4 * plain:.1f}")).verdict == "contradicted"


RUNS = """Our flagship has {size} parameters and saw 2T tokens, which is $8.4 \\times 10^{{22}}$ FLOPs.

| GPUs | TFLOPs/GPU | MFU |
|--:|--:|--:|
| 512 | 430 | 43% |
| 1,024 | 400 | 40% |
"""


def test_one_sentence_about_all_runs_is_held_to_itself() -> None:
    """6 x 7e9 x 2e12 = 8.4e22: a size of 7M is wrong for any of the runs."""
    assert check_paper(read_paper(RUNS.format(size="7B"))).verdict != "contradicted"
    assert check_paper(read_paper(RUNS.format(size="7M"))).verdict == "contradicted"


SUMS = """Both ran on A100-80GB cards.

| Model | Parameters | GPU-hours | Carbon (tCO2e) |
|:--|--:|--:|--:|
| Wagtail-2B | 2B | 30,000 | 4.0 |
| Wagtail-9B | 9B | 150,000 | 20.0 |
| Total | | {total} | 24.0 |
"""


def test_a_total_is_of_the_runs_whose_carbon_adds_up() -> None:
    assert check_paper(read_paper(SUMS.format(total="180,000"))).verdict == "consistent"
    found = check_paper(read_paper(SUMS.format(total="1,800,000")))
    assert found.verdict == "contradicted"
    assert found.sums[0].factor == pytest.approx(10.0)
    more = SUMS.format(total="1,800,000").replace("| 24.0 |", "| 240.0 |")  # both are of more runs than are listed
    assert check_paper(read_paper(more)).verdict != "contradicted"


def test_gpus_multiplied_twice_and_a_digit_of_days() -> None:
    text = "Wagtail: 7B parameters, 2T tokens, {gpus} A100 80GB GPUs for {days} days, which are 245,760 GPU-hours at 30 % MFU."
    assert only(text.format(gpus=512, days=20)).verdict == "consistent"
    first = only(text.format(gpus="4,096", days=20)).contradictions[0].likely_causes[0]
    assert first.cause == "GPUs of a node counted twice"
    first = only(text.format(gpus=512, days=200)).contradictions[0].likely_causes[0]
    assert first.cause == "a digit too many or too few"


@pytest.mark.parametrize("arrow", ["512 → 2,048 sequences", "512 -> 2,048", "512 (ramped up to 2,048)"])
def test_a_batch_that_grows_is_not_that_of_every_step(arrow: str) -> None:
    """300,000 steps of 4,096 x 512 are 0.63 T tokens, of 2,048 sequences 2.5 T; 2 T lies between."""
    settings = {"Parameters": "7B", "Sequence length": "4,096", "Batch size": arrow, "Steps": "300,000", "Tokens": "2T"}
    text = "| Setting | Value |\n|--|--|\n" + "".join(f"| {name} | {value} |\n" for name, value in settings.items())
    assert only(text).verdict != "contradicted"
    plain = only(text.replace(arrow, "512"))
    assert plain.verdict == "contradicted"
