"""Papers as printed: tables in three formats, several runs, other people's models, logs; with figures and letter case changed.

The texts are invented; their arithmetic holds (2 runs of 6 N D = 40 to 45 % of 312 TFLOP/s).
"""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuhours.questions.checking.claim import Paper
from gpuhours.questions.checking.reading.figures.labels import lent
from gpuhours.questions.checking.reading.figures.numbers import scan
from gpuhours.questions.checking.reading.figures.tokens import Figure
from gpuhours.questions.checking.reading.formats.marks import plain
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper
from tests.conftest import Command

MARKDOWN = """# Osprey: two sizes

Both sizes use sequences of 4,096 tokens and run on A100-80GB cards. By comparison, Vulture-30B is reported at 2.4M A100 hours.

| Model | Params | Tokens (B) | GPUs | Days | GPU-hours | Energy [MWh] |
|:--|--:|--:|--:|--:|--:|--:|
| Osprey-2B | 2.1B | 900 | 128 | 8.0 | **24,576** | 11.3 |
| Osprey-9B | 9.0B | 1,500 | 512 | 14.5 | 178,176 | 82.0 |
| Total | | | | | 202,752 | 93.3 |
"""
HTML = """<html><body><h1>Osprey: two sizes</h1><p>Both run on A100-80GB cards.</p>
<table><tr><th>Model</th><th>Params</th><th>Tokens (B)</th><th>GPUs</th><th>Days</th><th>GPU-hours</th></tr>
<tr><td>Osprey-2B</td><td>2.1B</td><td>900</td><td>128</td><td>8.0</td><td>24,576</td></tr>
<tr><td>Osprey-9B</td><td>9.0B</td><td>1,500</td><td>512</td><td>14.5</td><td>178,176</td></tr></table></body></html>"""
LATEX = r"""\section{Osprey: two sizes}
Both run on A100-80GB~cards.
\begin{tabular}{lrrrrr}
\toprule
Model & Params & Tokens (B) & GPUs & Days & GPU-hours \\
\midrule
\textbf{Osprey-2B} & $2.1$B & 900 & 128 & $8.0$ & 24{,}576 \\
Osprey-9B & 9.0B & 1{,}500 & 512 & 14.5 & $178{,}176$ \\
\bottomrule
\end{tabular}
"""
ACROSS = """Both run on A100-80GB cards.

| | Osprey-2B | Osprey-9B |
|---|---|---|
| Params | 2.1B | 9.0B |
| Tokens (B) | 900 | 1,500 |
| GPUs | 128 | 512 |
| Days | 8.0 | 14.5 |
| GPU-hours | 24,576 | 178,176 |
"""
RUNS = {
    "Osprey-2B": {"parameters": 2.1e9, "tokens": 9e11, "gpus": 128, "wall_clock": 8.0 * 86400, "gpu_hours": 24_576},
    "Osprey-9B": {"parameters": 9e9, "tokens": 1.5e12, "gpus": 512, "wall_clock": 14.5 * 86400, "gpu_hours": 178_176},
}


def figures(paper: Paper) -> dict[str, dict[str, float]]:
    return {run.name: {claim.quantity: claim.value for claim in run.claims} for run in paper.runs}


@pytest.mark.parametrize(
    ("text", "kind"), [(MARKDOWN, ".md"), (HTML, ".html"), (LATEX, ".tex"), (ACROSS, ".txt"), (LATEX, ".txt")]
)
def test_a_table_in_every_format(text: str, kind: str) -> None:
    paper = read_paper(text, "osprey", kind)
    found = figures(paper)
    for name, wanted in RUNS.items():
        for quantity, value in wanted.items():
            assert found[name][quantity] == pytest.approx(value), (name, quantity)
    assert check_paper(paper).verdict == "consistent"


def test_totals_and_other_peoples_models() -> None:
    paper = read_paper(MARKDOWN)
    assert figures(paper)["all together"] == {"gpu_hours": 202_752, "energy": pytest.approx(93.3e6)}
    aside = {(claim.quantity, claim.value): claim.scope for claim in paper.set_aside}
    assert "Vulture-30B" in aside["gpu_hours", 2.4e6]
    assert check_paper(paper).added_up


def test_a_wrong_row_and_a_wrong_sum() -> None:
    row = check_paper(read_paper(MARKDOWN.replace("178,176", "348")))
    wrong = next(run for run in row.runs if run.document.name == "Osprey-9B")
    assert wrong.contradictions[0].likely_causes[0].cause == "wall-clock for aggregate hours"
    assert "512" in wrong.contradictions[0].arithmetic
    total = check_paper(read_paper(MARKDOWN.replace("202,752", "180,752")))
    assert [found.claims for found in total.sums] == [("gpu_hours",)]


CARD = """# Osprey-9B

- **Parameters:** 9.0B
- **Hours used:** 178176
- **Hardware:** 512 x A100-80GB
- **Training time:** 14 days, 12 hrs
- **Carbon Emitted:** 34,440 kg CO2 eq.
- **Data:** 1.5T tokens
"""
LOG = (
    "step 4,200/95,000 | tok/sec: 1,310,720 | dt: 1.6 s | MFU of 0.42 | seq_len=4096 · "
    "throughput per GPU (TFLOP/s/GPU): 131.0"
)
SHORT = [
    ("trained for 6 hours on 8xA100", "gpus", 8),
    ("The 7B model was trained on 1T tokens with 256 H100-GPUs.", "gpus", 256),
    ("A $7$B model, $10^{12}$ tokens, 64 A100 GPUs, 12 days", "tokens", 1e12),
    ("We used 1024 80GB A100s.", "gpus", 1024),
    ("The MoE has 16x3.8B parameters, 6.6B active.", "experts", 16),
    ("The run: from May 2 to May 20, 2025, on 64 H100 GPUs.", "wall_clock", 18.5 * 86400),
    ("It took 118 days, 5 hrs, 41 min of training.", "wall_clock", 10_215_660),
    ("It consumed 725 A100 GPU-days.", "gpu_hours", 17_400),
    ("GPU hours: 48", "gpu_hours", 48),
    ("We rented cards at $2.15/GPU-h for the run.", "price", 2.15),
    ("Sparse training took 20.7k A100 GPU training hours.", "gpu_hours", 20_700),
    ("A step took 1.6 s/it on average.", "step_time", 1.6),
    ("The grid emits 210 gCO2e/kWh.", "carbon_intensity", 0.21),
    ("We emitted 18t CO2eq.", "carbon", 18),
]


@pytest.mark.parametrize(("text", "quantity", "value"), SHORT)
def test_forms(text: str, quantity: str, value: float) -> None:
    claim = read_paper(text).single.claim(quantity)
    assert claim is not None
    assert claim.value == pytest.approx(value, rel=0.03)


def test_card_and_log() -> None:
    found = figures(read_paper(CARD, "card"))["card"]
    assert found["gpu_hours"] == 178_176
    assert found["wall_clock"] == 14.5 * 86400
    assert found["carbon"] == pytest.approx(34.44)
    log = figures(read_paper(LOG, "log"))["log"]
    assert (log["tokens_per_second"], log["step_time"], log["mfu"], log["seq_len"]) == (1_310_720, 1.6, 0.42, 4096)
    assert log["flops_per_second_per_gpu"] == pytest.approx(131e12)


def test_two_runs_in_prose() -> None:
    text = "Osprey-2B occupied 128 A100 GPUs for 8 days; Osprey-9B was done in 14.5 days with 512 A100 GPUs."
    found = figures(read_paper(text))
    assert found["Osprey-2B"]["gpus"] == 128
    assert found["Osprey-9B"]["wall_clock"] == 14.5 * 86400


def test_lists_in_order() -> None:
    text = "We tried 16, 32 and 64 nodes. A step took 9.1, 4.8 and 2.6 seconds, respectively."
    found = sorted((run["nodes"], run["step_time"]) for run in figures(read_paper(text)).values())
    assert found == [(16, 9.1), (32, 4.8), (64, 2.6)]


PROSE = [
    "We present Osprey-9B, a dense decoder with 9.0 billion parameters.",
    "It was trained on 1.5 trillion tokens with 512 A100 GPUs for 14.5 days.",
    "The run consumed 178,176 GPU-hours at an MFU of 42%.",
    "The global batch size was 1,024 sequences and the sequence length was 4,096.",
]
WANTED = {"parameters": 9e9, "tokens": 1.5e12, "gpus": 512, "wall_clock": 14.5 * 86400, "gpu_hours": 178_176, "mfu": 0.42,
          "global_batch": 1024, "seq_len": 4096}  # fmt: skip


def held(text: str) -> None:
    paper = read_paper(text, "osprey")
    found = {claim.quantity: claim.value for claim in paper.single.claims}
    assert {name: found.get(name) for name in WANTED} == pytest.approx(WANTED)
    assert check_paper(paper).verdict == "consistent"


@settings(max_examples=12)
@given(st.randoms(use_true_random=False))
def test_the_order_of_paragraphs_does_not_matter(shuffler: random.Random) -> None:
    first, *rest = PROSE
    shuffler.shuffle(rest)
    held("\n\n".join([first, *rest]))


@pytest.mark.parametrize("changed", [str.lower, str.upper, str.title, str])
def test_case_does_not_matter(changed: type[str]) -> None:
    held("\n\n".join(changed(part) for part in PROSE))


REWRITTEN = [
    {"1.5 trillion": "1.5T", "9.0 billion": "9.0B", "178,176": "178.176k"},
    {"1.5 trillion": "1,500,000,000,000", "9.0 billion": "9,000,000,000", "178,176": "178176"},
    {"1.5 trillion": "1,500 billion", "9.0 billion": "9 billion", "1,024": "1024"},
    {"1.5 trillion": "$1.5\\times10^{12}$", "4,096": "4k"},
]


@pytest.mark.parametrize("numbers", REWRITTEN)
def test_how_numbers_are_written_does_not_matter(numbers: dict[str, str]) -> None:
    text = "\n\n".join(PROSE)
    for before, after in numbers.items():
        text = text.replace(before, after)
    if "4k" in numbers.values():
        text = text.replace("was 4k", "was 4,096")
    held(text)


@pytest.mark.parametrize(
    ("label", "value", "read"),
    [
        ("Energy (MWh)", "4.24", "4.24 MWh"),
        ("Tokens (B)", "600", "600B Tokens"),
        ("FLOPs (10^21)", "1.78", "1.78×10^21 FLOPs"),
        ("GPUs x hours", "32 x 40", "32 GPUs, 40 hours"),
        ("Sequence length", "4k", "4k"),
        ("Price ($/GPU-hour)", "2.15", "$2.15 /GPU-hour"),
    ],
)
def test_labels_lend_their_unit(label: str, value: str, read: str) -> None:
    assert lent(label, value) == read


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("**24k** and `512x512`", "24k and 512x512"),
        ("3.0 x 10<sup>-4</sup>, CO<sub>2</sub>", "3.0 x 10^-4, CO2"),
        (r"$1.78\times10^{23}$ FLOPs", "1.78×10^23 FLOPs"),
        ("~$3/GPU/hr, so ~$24/hr", "~$3/GPU/hr, so ~$24/hr"),
        ("1{,}024", "1,024"),
        (r"\~22 trillion", "~22 trillion"),
    ],
)
def test_marks_are_taken_off(text: str, shown: str) -> None:
    assert plain(text) == shown


NASTY = st.text(alphabet="0123456789.,eE+-x×$%<>|*_`~[](){}\\#&;: \n\tkMBTGPUhoursdaytknA1", max_size=160)


@settings(max_examples=60)
@given(NASTY)
def test_any_text_ends_in_a_verdict(text: str) -> None:
    found = check_paper(read_paper(text))
    json.dumps(found.to_dict(), allow_nan=False)
    for item in scan(text):
        assert not isinstance(item, Figure) or item.start < item.end


@pytest.mark.parametrize(
    "unit", ["1 and ", "- a: 1\n", "| x | 1 |\n", "a.a", "<a ", "[x](", "1-", "- ", "from May 2 to "]
)
def test_time_grows_with_the_text_and_no_faster(unit: str) -> None:
    def seconds(times: int) -> float:
        start = time.process_time()
        read_paper(unit * times)
        return time.process_time() - start

    seconds(10)
    assert seconds(1600) < 3.5 * 4 * max(seconds(400), 0.02)


def test_wide_gaps_in_lines_are_read_in_linear_time() -> None:
    """Every space of a gap was searched for a bracket behind the rest of it: 40,000 spaces took 8 s."""
    start = time.process_time()
    read_paper(f"We trained a 7B{40_000 * ' '}model\non 64 A100 GPUs\nfor 10 days.")
    assert time.process_time() - start < 2


def test_folder_and_standard_input(gpuhours_command: Command, tmp_path: Path) -> None:
    (tmp_path / "good.md").write_text(MARKDOWN, encoding="utf-8")
    (tmp_path / "wrong.md").write_text(MARKDOWN.replace("178,176", "348"), encoding="utf-8")
    ran = gpuhours_command("check", str(tmp_path), "--json")
    assert ran.code == 1
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert [line["verdict"] for line in lines] == ["consistent", "contradicted"]
    assert [len(line["runs"]) for line in lines] == [3, 3]
    assert "2 documents; 1 contradicted" in gpuhours_command("check", str(tmp_path)).out
    assert gpuhours_command("check", str(tmp_path / "good.md"), str(tmp_path / "missing.md")).code == 2


def test_page_and_claims_of_several_runs(gpuhours_command: Command, tmp_path: Path) -> None:
    paper, claims, page = tmp_path / "paper.md", tmp_path / "claims.yaml", tmp_path / "page.html"
    paper.write_text(MARKDOWN.replace("178,176", "348"), encoding="utf-8")
    ran = gpuhours_command("check", str(paper), "-o", str(claims), "--html", str(page))
    assert ran.code == 1
    assert "In this text: 2 runs; 1 contradicted." in ran.out
    assert "<table>" in page.read_text(encoding="utf-8")
    again = gpuhours_command("check", str(claims), "--json")
    assert again.code == 1
    assert {run["name"]: run["verdict"] for run in json.loads(again.out)["runs"]}["Osprey-9B"] == "contradicted"


@pytest.mark.parametrize("span", ["²", "0", "-3", "9" * 5000, "٣", "two", ""])
def test_cells_that_span_what_is_no_number(span: str) -> None:
    text = f"<table><tr><th>Model</th><th colspan='{span}'>GPUs</th></tr><tr><td>Wagtail-7B</td><td rowspan='{span}'>512</td></tr></table>"
    (run,) = read_paper(text, "t").runs
    assert {one.quantity: one.value for one in run.claims}["gpus"] == 512
