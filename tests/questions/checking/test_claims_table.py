"""A table of runs, each row reconciled like a text: contradictions and their causes from figures alone.

The published runs (sources in published/run_totals.csv) and the same rows with one figure planted wrong.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest

from gpuhours.questions.checking.markdown import as_html, as_markdown
from gpuhours.questions.checking.one_run import check_document
from gpuhours.questions.checking.outcome import Check
from gpuhours.questions.checking.table import COLUMNS, TableCheck, documents, read_rows
from gpuhours.questions.checking.verdict import check_table
from tests.conftest import Command

TOTALS = Path(str(files("gpuhours") / "published" / "run_totals.csv"))
ROWS = {row["id"]: row for row in read_rows(TOTALS)}


@pytest.fixture(scope="module")
def checked() -> TableCheck:
    return check_table(list(ROWS.values()), "run_totals.csv")


def judged(row: dict[str, str]) -> Check:
    (document,) = documents([row])
    return check_document(document)


# by hand: 6 N D over hours and dense peak, or the two figures that differ
CONTRADICTED = {
    "longvila-7b-stage4": 2.06,
    "emu1-14b": 1.83,
    "flm-101b": 3.5,  # 311 B tokens against 192 GPUs x 21.5 days at the stated 160 TFLOP/s: the model grew
    "llmc-gpt3-125m": 1.12 / 0.78,  # attention, a third of its work, may be counted or not
    "idefics-80b": 0.91 / 0.78,
    "bloom-176b": 149.8 / 105.4,  # HFU sold as MFU
    "palm-540b": 8.4 / 5.7,  # hours with stops
    "codefuse-13b": 1 / 3.7,
}


@pytest.mark.parametrize("name", CONTRADICTED)
def test_what_cannot_be_is_found_with_its_factor(checked: TableCheck, name: str) -> None:
    run = next(run for run in checked.runs if run.document.name == name)
    assert run.verdict == "contradicted"
    assert run.contradictions[0].factor == pytest.approx(CONTRADICTED[name], rel=0.08)


@pytest.mark.parametrize(
    ("name", "cause"), [("bloom-176b", "HFU as MFU"), ("palm-540b", "downtime"), ("bloomberggpt", "8ND for 6ND")]
)
def test_the_cause_comes_from_the_figures(checked: TableCheck, name: str, cause: str) -> None:
    run = next(run for run in checked.runs if run.document.name == name)
    assert run.contradictions[0].likely_causes[0].cause == cause


def test_nine_in_ten_published_runs_are_not_contradicted(checked: TableCheck) -> None:
    assert checked.count("contradicted") < 0.11 * len(checked.runs)


def test_notes_decide_nothing() -> None:
    """Clearing every column of remarks, or filling it with words that name a cause, does not change the answer."""
    words = {"notes", "kind", "model", "modality", "parallelism", "source", "source_title", "source_ref", "alt_method"}
    spoken = check_table(list(ROWS.values()), "t").to_dict()
    for text in ("", "LoRA adapters, frozen, encoder-decoder, growth, sequence parallel, MoE, 8ND, max steps"):
        said = [{**row, **dict.fromkeys(words, text)} for row in ROWS.values()]
        assert check_table(said, "t").to_dict() == spoken


def planted(name: str, column: str, factor: float) -> dict[str, str]:
    row = dict(ROWS[name])
    return {**row, column: f"{float(row[column]) * factor:.12g}"}


PLANTED = [
    # which rows, the column, its factor, what is named
    (("llama1-7b", "llama1-65b", "bloom-176b"), "energy_mwh", 1000.0, {"kWh for MWh"}),
    (("llama1-7b", "llama1-65b"), "energy_mwh", 0.001, {"MWh for kWh", "kilograms for tonnes"}),
    (("mpt-7b", "deepseek-v3"), "cost_usd", 10.0, {"a digit too many or too few"}),
    (("llama1-7b", "llama2-70b", "deepseek-67b"), "params_b", 0.001, {"thousand, million, billion"}),
    (
        ("openclip-b-32_80m_3b", "openclip-g-14_2b_13b", "llava15-7b-sft"),
        "params_b",
        0.001,
        {"thousand, million, billion"},
    ),
    (("llama1-7b", "llama2-70b", "llama3-8b"), "tco2e", 1000.0, {"kilograms for tonnes"}),
]


@pytest.mark.parametrize(
    ("name", "column", "factor", "causes"),
    [
        (name, column, factor, causes)
        for names, column, factor, causes in PLANTED
        for name in names
        if ROWS[name][column]
    ],
)
def test_a_planted_figure_is_flagged_with_its_cause(name: str, column: str, factor: float, causes: set[str]) -> None:
    found = judged(planted(name, column, factor))
    assert found.verdict == "contradicted"
    assert any(
        found_one.likely_causes and found_one.likely_causes[0].cause in causes for found_one in found.contradictions
    )


WORKED = [
    name for name, row in ROWS.items() if row["energy_mwh"] and row["tokens_b"] and row["params_b"] and row["gpu"]
]


@pytest.mark.parametrize("factor", [1000.0, 0.001])
@pytest.mark.parametrize("name", WORKED)
def test_energy_is_held_against_the_work_where_no_hours_are_stated(name: str, factor: float) -> None:
    """6 N D over the card's FLOP/s at 0.4 to 78 % and its watts bound the energy; 1,000 times more or less is outside the bounds."""
    alone = dict.fromkeys(
        ("gpu_hours", "days", "gpus", "tco2e", "cost_usd", "mfu_pct", "tflops_per_gpu", "derived_fields"), ""
    )
    published = judged({**ROWS[name], **alone, "train_flops": ""})
    found = judged({**planted(name, "energy_mwh", factor), **alone, "train_flops": ""})
    assert published.verdict != "contradicted"
    assert found.verdict == "contradicted"
    named = {one.likely_causes[0].cause for one in found.contradictions if one.likely_causes}
    assert named == {"kWh for MWh" if factor > 1 else "MWh for kWh"}


PRICED = [name for name, row in ROWS.items() if row["cost_usd"]]
SIZED = [
    name
    for name, row in ROWS.items()
    if row["tokens_b"] and row["gpu_hours"] and row["params_b"] and not row["active_params_b"]
]


@pytest.mark.parametrize("name", PRICED)
def test_ten_times_the_cost_is_flagged_in_every_row(name: str) -> None:
    assert judged(planted(name, "cost_usd", 10.0)).verdict == "contradicted"


@pytest.mark.parametrize("name", SIZED[::4])
def test_two_n_d_is_flagged_in_every_row(name: str) -> None:
    row = {**ROWS[name], "derived_fields": ""}
    row["train_flops"] = f"{2e18 * float(row['params_b']) * float(row['tokens_b']):.3g}"
    if judged(ROWS[name]).contradictions:
        pytest.skip("contradicted as published")
    causes = [one.likely_causes[0].cause for one in judged(row).contradictions if one.likely_causes]
    assert "2ND for 6ND" in causes


def test_tokens_of_a_row_that_counts_samples() -> None:
    """400 M pairs x 32 passes x 50 tokens per image, plus half as much text: 960 G tokens; not assumed if the row states its tokens."""
    row = {
        "id": "x",
        "params_b": "0.15",
        "samples_m": "400",
        "epochs": "32",
        "tokens_per_frame": "50",
        "gpu_hours": "9000",
    }
    (document,) = documents([row])
    assert [(one.quantity, one.value) for one in document.assumed] == [("tokens", pytest.approx(960e9))]
    (stated,) = documents([{**row, "tokens_b": "900"}])
    assert stated.assumed == ()


def test_rows_are_judged_as_texts_are(checked: TableCheck, gpuhours_command: Command, tmp_path: Path) -> None:
    """The row's cells as a file of claims give the same verdict and the same contradiction."""
    row = ROWS["palm-540b"]
    facts = {"accelerator": "tpu-v4"}
    claims = {
        "parameters": 540.35e9,
        "tokens": 780e9,
        "model_flops": 2.53e24,
        "gpu_hours": float(row["gpu_hours"]),
        "mfu": 0.462,
    }
    path = tmp_path / "palm.yaml"
    path.write_text(json.dumps({"facts": facts, "claims": claims}), encoding="utf-8")
    text = json.loads(gpuhours_command("check", str(path), "--json").out)
    run = next(run for run in checked.runs if run.document.name == "palm-540b")
    assert text["verdict"] == run.verdict == "contradicted"
    assert text["contradictions"][0]["claims"][0] == run.contradictions[0].claims[0] == "gpu_hours"


def test_a_derived_cell_is_no_claim_until_it_differs() -> None:
    """GPU-hours computed from GPUs and days agree with them by construction; if changed, they contradict them."""
    row = {"id": "x", "gpus": "512", "days": "10.0", "gpu_hours": "122880", "derived_fields": "gpu_hours=gpus*days*24"}
    assert judged(row).verdict == "not determined"
    assert judged({**row, "derived_fields": ""}).verdict == "consistent"
    assert judged({**row, "gpu_hours": "1228800"}).verdict == "contradicted"


def test_every_column_is_a_quantity() -> None:
    from gpuhours.questions.checking.quantities import QUANTITIES

    assert {name for name, _ in COLUMNS.values()} <= QUANTITIES.keys()


def test_command(gpuhours_command: Command, tmp_path: Path) -> None:
    few = ("#", "id,", "bloom-176b,", "palm-540b,", "llama1-7b,", "emu1-14b,")
    table = "".join(
        line for line in TOTALS.read_text(encoding="utf-8").splitlines(keepends=True) if line.startswith(few)
    )
    (tmp_path / "few.csv").write_text(table, encoding="utf-8")
    ran = gpuhours_command("check", str(tmp_path / "few.csv"), "--json")
    assert ran.code == 1
    found = json.loads(ran.out)
    assert len(found["runs"]) == 4
    assert found["summary"]["contradicted"] == sum(run["verdict"] == "contradicted" for run in found["runs"]) == 3
    (tmp_path / "x.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    assert gpuhours_command("check", str(tmp_path / "x.csv")).code == 2
    good = tmp_path / "good.csv"
    good.write_text("id,params_b,tokens_b,gpu,gpu_hours\nllama-7b,6.7,1000,A100-80GB,82432\n", encoding="utf-8")
    assert gpuhours_command("check", str(good)).code == 0


def test_names_of_runs_and_tables_are_text_in_markdown_and_html() -> None:
    hostile = "<img src=x onerror=alert(1)>|<script>alert(2)</script>"
    row = {"model": hostile, "params_b": "7", "tokens_b": "1000", "gpu": "H100", "gpus": "256", "gpu_hours": "12000"}
    checked = check_table([row], f"{hostile}.csv")
    assert checked.verdict == "contradicted"
    told = as_markdown(checked)
    assert told.count("\\<img") == told.count("<img") > 0
    assert told.count("\\<script\\>") == told.count("<script") > 0
    page = as_html(checked)
    assert "<img" not in page
    assert "<script>" not in page


def test_flops_of_a_negative_size() -> None:
    """Their ratio to 6 N D has no logarithm."""
    row = {
        "model": "m",
        "params_b": "-7",
        "tokens_b": "1000",
        "train_flops": "4.2e22",
        "gpu": "H100",
        "derived_fields": "train_flops",
    }
    assert check_table([row], "t.csv").runs
