"""Reading prose: every figure is found, none is invented, and every number not understood is listed."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuhours.questions.checking.claim import NAME_OF_CARD
from gpuhours.questions.checking.quantities import QUANTITIES
from gpuhours.questions.checking.reading.figures.numbers import scan
from gpuhours.questions.checking.reading.figures.tokens import Figure
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.reading.vocabulary.number_words import spelled
from tests.read_texts import TEXTS, paper

EXPECTED = yaml.load((TEXTS / "expected.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)


def read(name: str):  # type: ignore[no-untyped-def]
    return paper(name).single


@pytest.mark.parametrize("name", EXPECTED)
def test_finds_every_figure(name: str) -> None:
    found = {claim.quantity: claim.value for claim in read(name).claims}
    for quantity, value in EXPECTED[name]["figures"].items():
        assert quantity in found, f"{quantity} = {value} was not found"
        assert found[quantity] == pytest.approx(value, rel=1e-6), quantity


@pytest.mark.parametrize("name", EXPECTED)
def test_invents_no_figure(name: str) -> None:
    document = read(name)
    told = [claim for claim in document.claims if claim.because != NAME_OF_CARD]
    found = {claim.quantity for claim in told if QUANTITIES[claim.quantity].checked}
    assert found <= set(EXPECTED[name]["figures"])
    assert [number.text for number in document.not_understood] == EXPECTED[name]["not_understood"]


@pytest.mark.parametrize("name", EXPECTED)
def test_finds_the_accelerator(name: str) -> None:
    assert read(name).fact("accelerator") == EXPECTED[name]["accelerator"]


@pytest.mark.parametrize("name", EXPECTED)
def test_every_figure_has_quote_and_place(name: str) -> None:
    for claim in (*read(name).claims, *read(name).set_aside):
        assert claim.place.startswith("line ")
        assert claim.text in claim.quote or claim.quantity == "parameters"
        assert "<" not in claim.quote


PHRASES = [
    ("about 2.1 million H800 GPU hours", "gpu_time", 2.1e6),
    ("6,000 A100-hours", "gpu_time", 6000),
    ("five A100-days", "gpu_time", 120),
    ("half a million GPU hours", "gpu_time", 5e5),
    ("120 node-hours", "node_time", 120),
    ("thirty-two nodes", "node", 32),
    ("one hundred and twenty-eight GPUs", "gpu", 128),
    ("8x H100 SXM 80GB GPUs", "gpu", 8),
    ("16x8 A100 GPUs", "gpu", 128),
    ("1024 TPU v4 chips", "gpu", 1024),
    ("three and a half weeks", "time", 3.5 * 7 * 86400),
    ("a week", "time", 7 * 86400),
    ("2.3 s/step", "time", 2.3),
    ("700 ms per iteration", "time", 0.7),
    ("3.8 × 10^25 FLOPs", "flop", 3.8e25),
    (r"$3.8 \times 10^{25}$ FLOPs", "flop", 3.8e25),
    ("1.7e24 FLOP", "flop", 1.7e24),
    ("23,000 petaflop/s-days", "flop_days", 23_000e15 * 86400),
    ("150 TFLOP/s/GPU", "flop/s", 150e12),
    ("400 TFLOPS per GPU", "flop/s", 400e12),
    ("433 MWh", "energy", 433e6),
    ("25 tCO2e", "co2", 25),
    ("30 tonnes of CO2 equivalent", "co2", 30),
    ("400 Gbps", "bit/s", 4e11),
    ("80 GiB", "byte", 80 * 2**30),
    ("2.5TB", "byte", 2.5e12),
    (r"44.5\%", "percent", 0.445),
    ("$5.58M", "money", 5.58e6),
    ("2 million dollars", "money", 2e6),
    ("1.4T tokens", "token", 1.4e12),
]


@pytest.mark.parametrize(("text", "unit", "value"), PHRASES)
def test_phrases(text: str, unit: str, value: float) -> None:
    (figure,) = [item for item in scan(text) if isinstance(item, Figure)]
    assert figure.unit == unit
    assert figure.value == pytest.approx(value)


def test_ranges_and_progressions() -> None:
    (days,) = [item for item in scan("It took 10–12 days.") if isinstance(item, Figure)]
    assert (days.value, days.until) == (10 * 86400, 12 * 86400)
    lengths = [item.value for item in scan("from 8,192 to 65,536 tokens") if isinstance(item, Figure)]
    assert lengths == [8192, 65536]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("thirty-two", 32),
        ("three and a half", 3.5),
        ("two hundred and fifty-six", 256),
        ("fifteen", 15),
        ("two thousand", 2000),
    ],
)
def test_spelled(text: str, value: float) -> None:
    assert spelled(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "   ", "No figures here.", "((((((", "1", "- - -", "<params></params>", "10 to 12 to 14 20-30-40"],
)
def test_odd_texts(text: str) -> None:
    read_paper(text)


def test_what_is_not_understood_is_listed() -> None:
    document = read_paper("The flux compensator was set to 88.8 for the whole evening.").single
    assert [number.text for number in document.not_understood] == ["88.8"]
    assert not document.claims


def test_fine_tuning_stays_out_of_the_run() -> None:
    document = read_paper(
        "We pre-trained the model for 300 epochs on 64 A100 GPUs. It was then fine-tuned for 10 epochs on 8 A100 GPUs."
    ).single
    epochs, gpus = document.claim("epochs"), document.claim("gpus")
    assert epochs is not None
    assert gpus is not None
    assert (epochs.value, gpus.value) == (300, 64)
    assert {(claim.quantity, claim.scope) for claim in document.set_aside} == {
        ("epochs", "fine-tuning"),
        ("gpus", "fine-tuning"),
    }


VOCABULARY = (
    "trained for over about 512 8x 1.5e-4 2,048 10-12 44.5% H100 A100 80GB GPUs GPU-hours hours days tokens per second and to from "
    "<params> </params> <training> </training> - , . ( ) | $ 10^25 × three million 7B parameters batch size of MFU learning rate at"
)
WORDS = VOCABULARY.split()


@settings(max_examples=40)
@given(st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join) | st.text(max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    document = read_paper(text).single
    for claim in document.claims:
        assert claim.spread.low <= claim.spread.high


@pytest.mark.parametrize(
    "table",
    [
        r"\begin{table}\begin{tabular}{lrr}\toprule\end{tabular}\caption{Cost.}\end{table}",
        r"\begin{tabular}{lr}\end{tabular}",
        "<table></table>",
        "<table><thead></thead><tbody></tbody></table>",
    ],
)
def test_a_table_without_rows_is_read_past(table: str) -> None:
    document = read_paper(f"We train on 64 A100 GPUs.\n\n{table}\n\nTraining took 45 days.\n").single
    assert {claim.quantity for claim in document.claims} >= {"gpus", "wall_clock"}


TAGS = {
    "<gpu_count>8x8</gpu_count> <hardware>H100s</hardware>": ("gpus", 64),
    "<gpu_count>eight</gpu_count> <hardware>V100 GPUs</hardware>": ("gpus", 8),
    "<gpu_count>64 GPUs</gpu_count>": ("gpus", 64),
    "<training>1.2M GPU hours</training>": ("gpu_hours", 1.2e6),
    "<training>2 weeks and 3 days</training>": ("wall_clock", 17 * 86400),
    "<training>roughly 200K steps</training>": ("steps", 200_000),
    "<params>175B</params>": ("parameters", 175e9),
    "<training>about a week</training>": ("wall_clock", 7 * 86400),
}


@pytest.mark.parametrize("text", TAGS)
def test_tags(text: str) -> None:
    quantity, value = TAGS[text]
    claim = read_paper(f"We report {text} here.").single.claim(quantity)
    assert claim is not None
    assert claim.value == pytest.approx(value)


def test_a_tag_without_a_figure_is_listed() -> None:
    document = read_paper("It took <training>several weeks</training> on <gpu_count>many</gpu_count> GPUs.").single
    assert [number.text for number in document.not_understood] == ["several weeks", "many"]


def test_a_paper_in_pages_is_quoted_by_page() -> None:
    paper = read_paper("We trained it on 64 A100 GPUs. It\n\f\ntook nine days.\n\f\nEach GPU drew 340 W.")
    places = {claim.quantity: claim.place for claim in paper.runs[0].claims}
    assert places == {"gpus": "page 1", "wall_clock": "page 2", "gpu_power": "page 3"}
