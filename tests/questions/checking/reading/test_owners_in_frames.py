"""Who a figure belongs to, in frames of structure times cue words: a word about something else acts on its own clause; texts are ours."""

from __future__ import annotations

import pytest

from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper

DAY = 86_400.0
TITLE = "# Plover-30B\n\n"
MAIN = "Plover-30B was trained on 2T tokens with 512 H100 GPUs for 18 days"
OF_MAIN = {("tokens", 2e12), ("gpus", 512.0), ("wall_clock", 18 * DAY)}
THEIRS = "96 A100 GPUs for 40 days"
OF_THEM = {("gpus", 96.0), ("wall_clock", 40 * DAY)}

BEHIND_OR_BEFORE = [
    "{main}; {beside}.", "{main}, and {beside}.", "{main}, whereas {beside}.", "{main}, while {beside}.", "{main}, but {beside}.",
    "{main} ({beside}).", "{main} — {beside}.", "{main}. {Beside}.", "{Beside}; {main}.", "{Beside}, whereas {main}.",
    "While {beside}, {main}.", "Although {beside}, {main}.", "{Beside}. {main}.", "{Beside}, but {main}.",
]  # fmt: skip
"""Ways to join a clause about the run and one about something else."""
BESIDE = [
    "the ablations took {theirs}", "evaluation took {theirs}", "fine-tuning took {theirs}", "captioning the images took {theirs}",
    "a pilot with smaller models took {theirs}", "training the tokenizer took {theirs}", "Gannet-65B needed {theirs}",
    "the baseline of Smith et al. needed {theirs}", "we had planned {theirs}", "V100s would have needed {theirs}",
    "the group next door needed {theirs}", "another lab ran theirs on {theirs}", "the reviewers' estimate was {theirs}",
    "our first estimate was {theirs}",
]  # fmt: skip
"""Clauses about something else."""
KNOWN = {("{Beside}; {main}.", 2), ("{Beside}. {main}.", 2)}
"""Cells that are not read yet, a frame and the number of the clause: fine-tuning lasts to the end of its paragraph."""
NO_FIGURES = [
    "{main}, and no ablations were run.", "{main}, excluding evaluation.", "{main} (without ablations).", "Excluding ablations, {main}.",
    "Not counting evaluation and debugging, {main}.", "After the ablations were done, {main}.", "With the settings of the pilot, {main}.",
    "{main}, with the hyperparameters that a sweep had found.", "{main}, while data preparation ran on CPUs.", "{main}, as we had planned.",
    "{main}, better than every baseline.", "{main}; the allocation came from the national centre.", "{main}, and inference is cheap.",
]  # fmt: skip
"""Clauses about something else that give no figure."""


def claimed(text: str) -> set[tuple[str, float]]:
    """What the runs of a text state."""
    return {(claim.quantity, claim.value) for run in read_paper(text).runs for claim in run.claims}


def wrong(text: str, own: set[tuple[str, float]], never: set[tuple[str, float]]) -> list[object]:
    """What is missed, what is given to the run although it is not its own, and a contradiction, which none of these texts has."""
    found = claimed(text)
    accused = ["contradicted"] if check_paper(read_paper(text)).verdict == "contradicted" else []
    return [*sorted(own - found), *sorted(never & found), *accused]


@pytest.mark.parametrize("frame", BEHIND_OR_BEFORE)
def test_a_cue_acts_on_the_figures_of_its_clause(frame: str) -> None:
    failed = {}
    for number, told in enumerate(BESIDE):
        beside = told.format(theirs=THEIRS)
        text = TITLE + frame.format(main=MAIN, beside=beside, Beside=beside[0].upper() + beside[1:])
        if (frame, number) not in KNOWN and (found := wrong(text, OF_MAIN, OF_THEM)):
            failed[number, text] = found
    assert not failed


@pytest.mark.parametrize("frame", NO_FIGURES)
def test_a_cue_without_figures_takes_none_from_the_run(frame: str) -> None:
    assert not wrong(TITLE + frame.format(main=MAIN), OF_MAIN, set())


LARGE, SMALL = "512 H100 GPUs for 18 days, 221,184 GPU-hours", "64 H100 GPUs for 9 days, 13,824 GPU-hours"
OF_LARGE = {"gpus": 512, "wall_clock": 18 * DAY, "gpu_hours": 221_184}
OF_SMALL = {"gpus": 64, "wall_clock": 9 * DAY, "gpu_hours": 13_824}
TWO = [
    "Plover-30B used {large}, whereas Plover-3B used {small}.",
    "While Plover-30B used {large}, Plover-3B used {small}.",
    "Plover-30B used {large} (Plover-3B: {small}).",
    "Plover-30B and Plover-3B are our models. The former used {large}. The latter used {small}.",
    "Plover-30B and Plover-3B are our models. The larger used {large}; the smaller used {small}.",
    "We release Plover-30B and Plover-3B. The larger model used {large}. The smaller model used {small}.",
    "**Plover-30B**\n\n- 512 H100 GPUs\n- 18 days\n- 221,184 GPU hours\n\n**Plover-3B**\n\n- 64 H100 GPUs\n- 9 days\n- 13,824 GPU hours",
    "We release Plover-30B and Plover-3B. The former ran on 512 H100 GPUs for 18 days, the latter on 64 for 9 days. They took 221,184 and "
    "13,824 GPU-hours, respectively.",
]


@pytest.mark.parametrize("lead", ["", "# Plover\n\n", "We trained two models.\n\n"])
@pytest.mark.parametrize("text", TWO)
def test_each_of_two_models_has_its_own_figures(text: str, lead: str) -> None:
    runs = read_paper(lead + text.format(large=LARGE, small=SMALL)).runs
    found = {run.name: {claim.quantity: claim.value for claim in run.claims} for run in runs}
    assert found["Plover-30B"].items() >= OF_LARGE.items()
    assert found["Plover-3B"].items() >= OF_SMALL.items()


def test_an_earlier_model_is_not_ours() -> None:
    text = (
        f"{TITLE}The best earlier model needed {THEIRS}. Ours was trained on 2T tokens with 512 H100 GPUs for 18 days."
    )
    assert not wrong(text, OF_MAIN, OF_THEM)


WHOLE = [
    "Pre-training took 10,000 GPU-hours, post-training took 500 GPU-hours, in total 10,500 GPU-hours.",
    "Pre-training took 10,000 GPU-hours. Post-training took 500 GPU-hours. In total, Plover needed 10,500 GPU-hours.",
    "The first stage took 10,000 GPU-hours, the second 500 GPU-hours; altogether 10,500 GPU-hours.",
]


@pytest.mark.parametrize("text", WHOLE)
def test_what_stages_add_up_to_is_the_whole(text: str) -> None:
    hours = {run.kind: {c.value for c in run.claims if c.quantity == "gpu_hours"} for run in read_paper(text).runs}
    assert hours["total"] == {10_500}
    assert 10_500 not in hours["own"]


def test_a_list_that_ends_with_its_sum_is_in_the_order_of_the_models() -> None:
    text = (
        "We train Plover at 1.5B, 3B and 7B parameters. On 64 A100 GPUs the three models took 3, 8 and 16 days, respectively; this equals "
        "4.6k, 12.3k and 24.6k GPU-hours, 41.5k altogether."
    )
    found = {run.name: {c.quantity: c.value for c in run.claims} for run in read_paper(text).runs}
    assert {name: run.get("gpu_hours") for name, run in found.items()} == {
        "1.5B": 4600, "3B": 12_300, "7B": 24_600, "all together": 41_500,
    }  # fmt: skip


def test_a_size_behind_its_time_names_the_run_whatever_stands_between() -> None:
    text = "We trained two. On 512 V100 GPUs, 30 days were needed for the 3B-parameter model and 60 days for the one with 15B parameters."
    found = {run.name: {c.quantity: c.value for c in run.claims} for run in read_paper(text).runs}
    assert found["3B"]["wall_clock"] == 30 * DAY
    assert found["15B"].items() >= {"wall_clock": 60 * DAY, "parameters": 15e9}.items()


def test_what_a_user_needs_is_not_the_runs() -> None:
    text = f"{TITLE}{MAIN}. It fits a single machine with 8 A100 cards, since anybody who wants to use it should not need more."
    assert not wrong(text, OF_MAIN, {("gpus", 8.0)})


def test_a_list_whose_last_happens_to_be_the_sum_has_one_for_each_model() -> None:
    text = "We train models of 300M, 1.5B and 3.3B parameters on 32, 64 and 96 GPUs, respectively."
    assert sorted(c.value for run in read_paper(text).runs for c in run.claims if c.quantity == "gpus") == [32, 64, 96]


@pytest.mark.parametrize(
    "said",
    [
        "Compared to Dunlin-40B, the loss is lower by 0.1.", "In comparison with Dunlin-40B, it needs less memory.",
        "Relative to Dunlin-40B, training was cheaper.", "Against Dunlin-40B we see fewer spikes.", "Next to Dunlin-40B, Plover is small.",
        "Unlike Dunlin-40B, our model was trained without restarts.",
    ],
)  # fmt: skip
def test_a_model_compared_with_lends_no_size(said: str) -> None:
    text = f"# Plover\n\nPlover was trained on 256 H100 GPUs for 21 days.\n\n{said}"
    assert not wrong(text, {("gpus", 256.0)}, {("parameters", 40e9)})


@pytest.mark.parametrize(
    "said",
    [
        "Afterwards, preference tuning ran on the same cluster for 31 hours.", "The instruction-tuned variant took 31 hours more.",
        "A later alignment stage took another 31 hours on 64 of the GPUs.", "Supervised fine-tuning was done in 31 hours.",
        "The long-context stage that followed lasted 31 hours.", "After pre-training, annealing took 31 hours.",
    ],
)  # fmt: skip
def test_days_of_a_table_stay_those_of_the_run_before_the_hours_of_a_later_stage(said: str) -> None:
    table = "| | Plover-13B |\n|---|---|\n| GPUs | 256 H100 |\n| Tokens | 2.1T |\n| Days | 21 |"
    assert not wrong(f"# Plover-13B\n\n{table}\n\n{said}", {("wall_clock", 21 * DAY)}, {("wall_clock", 31 * 3600.0)})
