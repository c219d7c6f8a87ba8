"""Sums over runs, bills drawn from hours and price, FLOPs of all experts, bills of all runs: each by hand arithmetic, sound and wrong."""

from __future__ import annotations

import pytest

from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper


def said(text: str) -> tuple[str, str]:
    """The verdict of a text, and the first cause that its JSON names."""
    content = check_paper(read_paper(text, "text", ".md")).to_dict()
    causes = [cause["cause"] for one in content["contradictions"] for cause in one["likely_causes"]]
    return content["verdict"], next(iter(causes), "")


# by hand: 64 x 10 x 24 = 15,360; 32 x 5 x 24 = 3,840; 8 x 36 = 288; together 19,488
STAGES = (
    "Alignment of Teal-9B went in three stages on H100s. Base: 64 GPUs, 10 days, 15,360 GPU-hours. Annealing: 32 GPUs, 5 days, 3,840 "
    "GPU-hours. Chat: 8 GPUs, 36 hours, 288 GPU-hours. All three stages together: {} GPU-hours."
)
TABLE = """
| phase | GPUs | days | A100 GPU-h |
|---|---|---|---|
| warm start | 64 | 10 | 15,360 |
| long run | 32 | 5 | 3,840 |
| cool down | 8 | 1.5 | 288 |
| **total** | | | **{}** |
"""


@pytest.mark.parametrize("text", [STAGES, TABLE])
@pytest.mark.parametrize("total", ["19,488", "26,488", "91,488"])
def test_a_total_of_stages(text: str, total: str) -> None:
    verdict, cause = said(text.format(total))
    assert verdict == ("consistent" if total == "19,488" else "contradicted")
    assert cause == ("" if total == "19,488" else "sum of the runs miscalculated")


SIZES = """
| model | parameters | GPU-hours |
|---|---|---|
| Teal-3B | 3B | 15,360 |
| Teal-9B | 9B | 48,000 |
| total | | {} |
"""


def test_a_family_may_have_a_size_that_is_not_listed() -> None:
    """A card of 2023 sums up four sizes and lists three."""
    assert said(SIZES.format("93,360"))[0] != "contradicted"
    assert said(SIZES.format("51,360"))[0] == "contradicted"


def test_a_part_that_equals_the_sum_of_others() -> None:
    text = TABLE.replace("| cool down | 8 | 1.5 | 288 |", "| cool down | 80 | 10 | 19,200 |")
    assert said(text.format("38,400"))[0] == "consistent"


# by hand: 96 x 12 x 24 = 27,648; x $2.40 = $66,355
BILLS = (
    "We had 96 A100s for 12 days, at $2.40 an hour each. That is 27,648 GPU-hours and ${}.",
    "Training kept 96 A100 GPUs busy for 12 days, 27,648 GPU-hours. The price was $2.40 per GPU-hour. The charge was therefore ${}.",
    "27,648 GPU-hours on A100s were used. At $2.40 per GPU-hour, the bill thus came to ${}.",
)


@pytest.mark.parametrize("text", BILLS)
@pytest.mark.parametrize(
    ("cost", "verdict"), [("66,355", "consistent"), ("96,355", "contradicted"), ("46,355", "contradicted")]
)
def test_a_bill_is_hours_times_price(text: str, cost: str, verdict: str) -> None:
    assert said(text.format(cost))[0] == verdict


@pytest.mark.parametrize("more", ["including storage and egress", "with the failed runs included"])
def test_a_bill_of_more_than_hours(more: str) -> None:
    text = f"We had 96 A100s for 12 days, at $2.40 an hour each. That is 27,648 GPU-hours and, {more}, $96,355."
    assert said(text)[0] != "contradicted"


# by hand: 6 x 5e9 x 1e12 = 3e22; 6 x 36e9 x 1e12 = 2.16e23; 128 x 7 x 24 = 21,504
EXPERTS = (
    "Rook is a mixture of experts: 36B parameters in total, 5B active per token. 1T tokens on 128 H100s in 7 days (21,504 GPU-hours). "
    "Training compute: {} FLOPs (6 x parameters x tokens). A dense sibling of 5B was trained earlier."
)


@pytest.mark.parametrize(
    ("flops", "expected"),
    [("3.0e22", ("consistent", "")), ("2.16e23", ("contradicted", "total parameters for active ones"))],
)
def test_flops_of_all_experts(flops: str, expected: tuple[str, str]) -> None:
    assert said(EXPERTS.format(flops)) == expected


# by hand: 200 + 1,800 = 2,000 h x 350 W = 700 kWh; x 1.2 = 840 kWh
JOBS = (
    "The first model took 8 A100 cards for 25 hours, the second 24 cards for 75 hours: 200 GPU-hours for the one and 1,800 for the other, "
    "2,000 in total. A meter showed 350 W per card as an average over both jobs. The cards drew 700 kWh, and with a PUE of 1.2 this "
    "becomes 840 kWh."
)


def test_energy_of_both_jobs() -> None:
    assert said(JOBS)[0] != "contradicted"


def test_a_peak_is_no_rate_that_was_achieved() -> None:
    text = "353M params, 25B tokens on 2 RTX 4090 in 12.8 days. 6ND over 165 tflops comes out at .145."
    assert said(text)[0] != "contradicted"
