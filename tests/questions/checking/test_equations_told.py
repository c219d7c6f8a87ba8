"""A result that misses the equation of its text is called in every form and by every factor; sound and unusual texts never are."""

from __future__ import annotations

import pytest

from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper
from tests.benchmarks import unusual
from tests.benchmarks.equations_told import outcomes


@pytest.mark.parametrize(("form", "least"), [("list", 0.85), ("one sentence", 0.9), ("among others", 0.65)])
def test_wrong_results_are_called(form: str, least: float) -> None:
    """Of those whose figures are read. In lists and among other runs a far larger factor without a known cause is asked about."""
    found = [one for one in outcomes((form,), (2.0,)) if one.read]
    due = [one for one in found if one.factor != 1 and one.due]
    assert [one.told.name for one in found if one.factor == 1 and one.called] == []
    assert sum(one.called for one in due) >= least * len(due)


@pytest.mark.parametrize("name", unusual.TEXTS)
def test_unusual_texts_are_not_called(name: str) -> None:
    assert check_paper(read_paper(unusual.TEXTS[name])).verdict != "contradicted"


def said(text: str) -> tuple[str, str]:
    """The verdict on a text and the first cause."""
    found = check_paper(read_paper(text))
    causes = [charge.likely_causes[0].cause for charge in found.contradictions if charge.likely_causes]
    return found.verdict, causes[0] if causes else ""


# by hand: 3.2 / 2.0 = 1.6; 1 - 2.0 / 3.2 = 37.5 %; 3.2 / 2.0 - 1 = 60 %
@pytest.mark.parametrize(
    ("ratio", "wrong"),
    [
        ("a speed-up of {}", (1.6, 2.1)),
        ("{} times as fast", (1.6, 2.4)),
        ("which is {} % less", (37.5, 62.5)),
        ("by a factor of {}", (1.6, 16)),
    ],
)
@pytest.mark.parametrize("pair", ["Each step fell from 3.2 s to 2.0 s, {}.", "Steps take 2.0 s instead of 3.2 s, {}."])
def test_ratios_of_two_figures(pair: str, ratio: str, wrong: tuple[float, float]) -> None:
    right, off = (said(pair.format(ratio.format(value))) for value in wrong)
    assert right[0] == "consistent"
    assert off[0] == "contradicted"
    assert off[1].endswith("miscalculated") or off[1].startswith("a digit")


@pytest.mark.parametrize(
    "sentence",
    [
        "Raising the power limit from 350 W to 700 W made training 15% faster on 64 H100 GPUs.",
        "We lengthened the checkpoint interval from 30 minutes to 2 hours, and the run was 3% faster.",
        "The step fell from 8.0 s to 4.4 s, 10% faster than the previous release.",
        "We cut the idle time from 12 hours to 3 hours and thereby reduced the bill by 6%.",
        "Memory dropped from 76 GB to 41 GB at the price of 30% more time.",
        "The data loader took the wait from 0.9 s to 0.1 s a step, a speed-up of 1.2 overall.",
        "Recomputation brought memory from 79 GB down to 44 GB, while steps became 27% slower.",
        "Capping GPUs at 400 W instead of 700 W cost 8% more time.",
        "GPUs ran at 400 W instead of 700 W, 8% more time.",
        "With 141 GB rather than 80 GB per card we could train 1.25x faster.",
        "Increasing the warm-up from 2 hours to 4 hours made the loss 5% lower.",
    ],
)
def test_ratios_of_something_else(sentence: str) -> None:
    """Eleven sentences that two figures and a change of a third thing make: each was called miscalculated."""
    assert said(sentence)[0] != "contradicted"


# by hand: 3,968 + 448 = 4,416 h; x $3.10 = $13,690
BILL = (
    "The first stage took 3,968 GPU-hours on 64 H200s, the second 448. The grand total is 4,416 GPU-hours, and at $3.10 per "
    "GPU-hour the invoice for both reads ${}."
)


@pytest.mark.parametrize(("cost", "verdict"), [("13,690", "consistent"), ("18,690", "contradicted")])
def test_the_bill_of_all_runs(cost: str, verdict: str) -> None:
    assert said(BILL.format(cost))[0] == verdict


# by hand: 64 x 21 x 24 = 32,256; 64 x 27 x 24 = 41,472
NET = (
    "Counting from launch, 27 days went by, but for six of them all 64 A100s were without power, so that the machine computed for 21 "
    "days. With the outage taken out this makes {} GPU-hours."
)


@pytest.mark.parametrize(
    ("hours", "expected"), [("32,256", ("consistent", "")), ("41,472", ("contradicted", "downtime"))]
)
def test_hours_net_of_stops(hours: str, expected: tuple[str, str]) -> None:
    assert said(NET.format(hours)) == expected


@pytest.mark.parametrize(("memory", "expected"), [(80, ("consistent", "")), (640, ("contradicted", "memory summed"))])
def test_memory_of_each_card(memory: int, expected: tuple[str, str]) -> None:
    text = f"We had 8 H100 SXM for 30 hours (240 GPU-hours), with {memory} GB of memory on each card."
    assert said(text) == expected


# by hand: 16 x 32 = 512 GPUs x 28 days x 24 = 344,064; / 16 = 21,504; / 32 = 10,752
@pytest.mark.parametrize(
    ("hours", "expected"), [("344k", ("consistent", "")), ("21.5k", ("contradicted", "replica for cluster"))]
)
def test_hours_of_one_replica(hours: str, expected: tuple[str, str]) -> None:
    text = f"Data parallel size 16, 512 H100 in all. After 28 days the job had used {hours} GPU-hours."
    assert said(text) == expected


# by hand: 1,024 x 2,048 x 125,000 = 262B
STEPS = (
    "A batch has 1,024 sequences of 2,048 tokens. Training stops after 125,000 steps, by which time {} tokens have been processed. In a "
    "trial with half the batch (512 sequences, 20,000 steps) on 16 A100s the loss was worse."
)


@pytest.mark.parametrize(("tokens", "verdict"), [("262B", "consistent"), ("340B", "contradicted")])
def test_a_batch_that_was_tried_is_no_schedule(tokens: str, verdict: str) -> None:
    found, cause = said(STEPS.format(tokens))
    assert found == verdict
    assert verdict == "consistent" or cause == "steps x batch x length miscalculated"


# by hand: 80,000 h x 500 W = 40 MWh; x 1.25 = 50 MWh
METERS = "80,000 GPU-hours on H100s. The accelerators alone took {} MWh. With a PUE of 1.25 the hall took {} MWh."


@pytest.mark.parametrize(
    ("inner", "outer", "verdict"), [(40, 50, "consistent"), (40, 65, "contradicted"), (31, 50, "contradicted")]
)
def test_energy_of_the_accelerators_and_of_the_hall(inner: int, outer: int, verdict: str) -> None:
    assert said(METERS.format(inner, outer))[0] == verdict


# by hand: 357,628 x 1,024 = 366M
@pytest.mark.parametrize(("samples", "verdict"), [("366M", "consistent"), ("700M", "contradicted")])
def test_sequences_that_were_processed(samples: str, verdict: str) -> None:
    text = (
        f"We trained for 357,628 steps. A global batch has 1,024 sequences. In all {samples} sequences were processed."
    )
    assert said(text)[0] == verdict


# by hand: 256 x 520 W x 1.15 = 153 kW
@pytest.mark.parametrize(
    ("whose", "kilowatts", "verdict"),
    [
        ("The whole cluster", 153, "consistent"),
        ("The whole cluster", 306, "contradicted"),
        ("A server", 6, "not determined"),
    ],
)
def test_power_of_the_cluster_and_of_a_server(whose: str, kilowatts: int, verdict: str) -> None:
    text = f"We used 256 H100 GPUs. Each GPU drew 520 W. The PUE is 1.15. {whose} drew {kilowatts} kW."
    assert said(text)[0] == verdict


# by hand: 32 nodes x 8 x 12.9 days x 24 = 79,258
@pytest.mark.parametrize(("hours", "verdict"), [("79,258", "consistent"), ("103,000", "contradicted")])
def test_stops_are_in_the_hours_as_in_the_time(hours: str, verdict: str) -> None:
    text = f"We ran on 32 nodes. Each node has 8 A100 GPUs. The run took 12.9 days. It used {hours} GPU-hours."
    assert said(text)[0] == verdict


@pytest.mark.parametrize(
    "sentence",
    [
        "We used 128 GPUs for 6 days per model, 55,296 GPU-hours for all three.",
        "A run on 8 A100s takes 20 hours, so that with 5 seeds and two data sets we spent 1,600 GPU-hours.",
        "The first model took 6 days on 64 GPUs, the second 9 days on 128 GPUs, and 36,864 GPU-hours went into both.",
        "We have 512 GPUs, trained for 12 days on half of them and used 73,728 GPU-hours.",
        "Using 2 pods of 256 chips each for 8 days we used 98,304 chip-hours.",
        "Wall-clock was 100 hours with 85 hours of computation, 64 GPUs, so 6,400 GPU-hours reserved, 5,440 used.",
        "We report 4.1M GPU-hours; 3.3M (80%) went into pre-training on 2,048 H100 (67 days), the rest into post-training.",
        "The 64 GPUs were ours for three weeks, during which the training proper used 21,000 GPU-hours.",
    ],
)
def test_hours_of_several_runs_or_of_a_part(sentence: str) -> None:
    """By hand: 3 x 128 x 6 x 24 = 55,296; 8 x 20 x 5 x 2 = 1,600; 64 x 144 + 128 x 216 = 36,864; 256 x 288; 512 x 192;
    64 x 100 and 64 x 85; below 64 x 504."""
    assert said(sentence)[0] != "contradicted"


@pytest.mark.parametrize(
    "sentence",
    ["We used 128 GPUs for 6 days, 55,296 GPU-hours.", "Training took 12 days on 512 GPUs and used 73,728 GPU-hours."],
)
def test_hours_of_one_run_are_machines_times_time(sentence: str) -> None:
    assert said(sentence)[0] == "contradicted"
