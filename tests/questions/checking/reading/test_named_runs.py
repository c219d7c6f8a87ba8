"""Runs that prose names without a size, the words that stand for them, and lists of figures with one for each."""

from __future__ import annotations

import pytest

from gpuhours.questions.checking.reading.figures.numbers import scan
from gpuhours.questions.checking.reading.figures.tokens import Figure
from gpuhours.questions.checking.reading.text import read_paper
from tests.read_texts import figures

DAY = 86_400.0
PAIR = "We trained Dunlin-S and Dunlin-L. Dunlin-S has 410M parameters and took 3 days on 16 H100 GPUs. "


def test_models_whose_names_give_no_size_are_runs() -> None:
    found = figures(f"{PAIR}Dunlin-L has 2.8B parameters and took 12 days on 64 H100 GPUs.")
    assert {name: (run["gpus"], run["wall_clock"] / DAY) for name, run in found.items()} == {
        "Dunlin-S": (16, 3),
        "Dunlin-L": (64, 12),
    }


@pytest.mark.parametrize("said", ["The larger", "Its big sister", "The other", "The larger one"])
def test_what_stands_for_a_name_owns_the_figures_behind_it(said: str) -> None:
    found = figures(f"{PAIR}{said} took 12 days on 64 H100 GPUs, 18,432 GPU-hours.")
    assert found["Dunlin-L"]["gpu_hours"] == 18_432
    assert found["Dunlin-S"]["gpus"] == 16


def test_sizes_told_together_are_those_of_the_runs_in_order() -> None:
    found = figures(
        "We train two encoders, one with 304M parameters and one with 1.1B parameters, called Knot-S and Knot-G. "
        "Knot-S took 5 days on 64 A100 GPUs. Knot-G took 9 days on 256 A100 GPUs."
    )
    assert {name: run["parameters"] for name, run in found.items()} == {"Knot-S": 304e6, "Knot-G": 1.1e9}


def test_what_a_run_is_measured_against_owns_nothing() -> None:
    found = figures(f"{PAIR}Dunlin-L used more cards than its sister, 64 H100 GPUs, for 12 days.")
    assert found["Dunlin-L"]["wall_clock"] == 12 * DAY
    assert found["Dunlin-S"]["wall_clock"] == 3 * DAY


@pytest.mark.parametrize(
    "said",
    [
        "Dunlin-S and Dunlin-L used 1,152 and 18,432 GPU-hours.", "In GPU-hours, the two amount to 1,152 and 18,432.",
        "They needed 1,152 and 18,432 GPU-hours, respectively.",
    ],
)  # fmt: skip
def test_a_list_gives_each_run_its_own(said: str) -> None:
    found = figures(f"{PAIR}Dunlin-L took 12 days on 64 H100 GPUs. {said}")
    assert {name: run["gpu_hours"] for name, run in found.items()} == {"Dunlin-S": 1152, "Dunlin-L": 18_432}


def test_the_authors_speak_of_the_run_that_the_paragraph_is_about() -> None:
    found = figures(f"{PAIR}For Dunlin-L we were lent 64 H100 GPUs. We kept them for 12 days.")
    assert found["Dunlin-L"]["wall_clock"] == 12 * DAY


def test_a_model_of_others_without_a_size_keeps_its_figures() -> None:
    paper = read_paper(
        f"{PAIR}Dunlin-L took 12 days on 64 H100s. Knot is the closest relative. Its authors report 96 A100s for 40 days."
    )
    assert all(claim.value not in (96, 40 * DAY) for run in paper.runs for claim in run.claims)


def test_a_capital_alone_makes_no_run() -> None:
    text = "Throughput was good. Wall-clock time was 18 days. Lisbon has 4 GPUs of its own. Plover-7B was trained on 64 H100 GPUs."
    assert len(read_paper(text).runs) == 1


def test_a_unit_that_opens_a_sentence_ends_with_it() -> None:
    units = [
        item.unit
        for item in scan("In GPU-hours, 1,600 and 704; together 2,304. We had 32.")
        if isinstance(item, Figure)
    ]
    assert units == ["gpu_time", "gpu_time", "gpu_time", ""]
