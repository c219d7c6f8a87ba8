"""The Python interface of the estimator, and how its answers are displayed in a notebook."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

import gpuhours
from gpuhours.inputs.errors import EstimateError

RUN = Path(__file__).parents[2] / "runs" / "gpt-22b.yaml"
WORDS = {"model": "llama-3-8b", "tokens": "1T", "gpu": "h100-sxm-80gb", "gpus": 64, "seq_len": 8192, "batch": 512}


def test_a_run_its_file_and_its_words_are_the_same() -> None:
    asked = [gpuhours.estimate(gpuhours.load(RUN)), gpuhours.estimate(RUN), gpuhours.estimate(str(RUN))]
    assert len({one.results["gpu_hours"].value for one in asked if one.results["gpu_hours"]}) == 1
    plain = {
        "model": "llama-3-8b", "data": {"tokens": "1T", "seq_len": 8192}, "training": {"global_batch": 512},
        "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 64},
    }  # fmt: skip
    assert gpuhours.estimate(plain).results == gpuhours.estimate(**WORDS).results


def test_words_go_over_a_file() -> None:
    cards = gpuhours.estimate(RUN, gpus=128).results["gpus"]
    assert cards is not None
    assert cards.value == 128


@pytest.mark.parametrize(("run", "words"), [(None, {}), (None, {"gppu": "h100"}), ("missing.yaml", {})])
def test_what_cannot_be_estimated_is_an_error(run: str | None, words: dict[str, str]) -> None:
    with pytest.raises(EstimateError):
        gpuhours.estimate(run, **words)
    with pytest.raises(EstimateError):
        gpuhours.estimate(gpuhours.load(RUN), gpus=2)


class Cells(HTMLParser):
    """Tags must close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open += [] if tag == "br" else [tag]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_an_estimate_shows_itself() -> None:
    found = gpuhours.estimate({"name": "<7B>", "model": {"params": "7B"}}, gpus=8)
    assert len(repr(found)) < 200
    page = Cells()
    page.feed(found._repr_html_())
    assert page.open == []
    assert "<7B>" in page.text
    assert "parameters" in page.text


def test_a_comparison_and_a_plan_show_themselves() -> None:
    """A notebook displays the results of both runs with the reasons for the factor, and the layouts including the user's own."""
    run = gpuhours.load(RUN)
    compared, planned = gpuhours.compare(run, gpuhours.load(RUN, {"training.global_batch": 1024})), gpuhours.plan(run)
    for found, words in (
        (compared, ("step_time", "factor", "training.global_batch x")),
        (planned, ("tensor", "own", "second")),
    ):
        page = Cells()
        page.feed(found._repr_html_())
        assert page.open == []
        assert [word for word in words if not any(word in text for text in page.text)] == []


def test_a_sweep_is_a_frame_with_units() -> None:
    found = gpuhours.sweep(gpuhours.load(RUN), {"hardware.gpus": [64, 128]})
    assert found.to_arrow().schema.field("gpu_hours").metadata == {b"unit": b"GPU*hour"}
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    assert isinstance(found.to_pandas(), pandas.DataFrame)
    assert found.to_pandas().attrs["units"]["step_time"] == "second"
    assert isinstance(found.to_polars(), polars.DataFrame)
    assert found.to_polars()["gpu_hours"].to_list() == found.to_arrow()["gpu_hours"].to_pylist()


@pytest.mark.parametrize(
    ("said", "tokens", "remarked"), [("8k", 8000, True), ("8Ki", 8192, False), (6000, 6000, False)]
)
def test_which_eight_thousand_was_taken_is_said(said: object, tokens: int, remarked: bool) -> None:
    found = gpuhours.estimate(
        model="llama-3-8b", seq_len=said, batch=8, tokens="1B", gpu="h100-sxm-80gb", gpus=8, mfu="40%"
    )
    assert found.outcome.run.data.seq_len == tokens
    assert any("for 8,192 write 8192 or 8Ki" in one for one in found.warnings) is remarked


def test_every_question_takes_what_estimate_takes() -> None:
    """A file, a mapping or a run: none raises an AttributeError, and each answer has a one-line summary."""
    said = {"model": "llama-3-8b", "data": {"tokens": "1T"}, "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 64}}
    other = {**said, "hardware": {"accelerator": "a100-sxm-80gb", "gpus": 64}}
    assert (
        gpuhours.compare(said, said).changes
        == gpuhours.compare(gpuhours.from_dict(said), gpuhours.from_dict(said)).changes
    )
    assert repr(gpuhours.compare(said, other)).startswith("<Comparison of run and run: ")
    assert repr(gpuhours.compare(said, said)) == "<Comparison of run and run: no difference>"
    assert gpuhours.sweep(str(RUN), {"hardware.gpus": [64, 128]}).rows == 2
    assert gpuhours.sweep(said, {"hardware.gpus": [64, 128]}).rows == 2
    assert gpuhours.trace(RUN).ranks == gpuhours.trace(gpuhours.load(RUN)).ranks
    assert repr(gpuhours.plan(RUN)).startswith("<Plan GPT 22B: 3 best of ")
    with pytest.raises(EstimateError, match="This is not a run: Estimate") as refused:
        gpuhours.compare(gpuhours.estimate(RUN), said)  # type: ignore[arg-type]
    assert ".run" in str(refused.value)
