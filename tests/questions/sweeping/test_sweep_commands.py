"""``gpuhours sweep``, ``plan`` and ``compare`` as run from a shell, and their plots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command

pytestmark = pytest.mark.usefixtures("_rows_made_once")
RUN = str(Path(__file__).parents[2] / "runs" / "gpt-22b.yaml")
VARY = ("--vary", "layout.tensor=1,2,4,8", "--vary", "layout.recompute=none,full")


def document(text: str) -> dict[str, Any]:
    return dict(json.loads(text))


def test_sweep_json(gpuhours_command: Command) -> None:
    ran = gpuhours_command("sweep", RUN, *VARY, "--where", "fits", "--minimise", "gpu_hours", "--top", "2", "--json")
    found = document(ran.out)
    assert (ran.code, ran.err) == (0, "")
    assert found["evaluated"] == 8
    assert found["kept"] == len(found["rows"]) == 2
    assert found["rows"][0]["gpu_hours"] <= found["rows"][1]["gpu_hours"]
    assert {"name": "gpu_hours", "unit": "GPU*hour"} in found["columns"]
    assert found["vary"] == [{"keys": ["layout.tensor"], "points": 4}, {"keys": ["layout.recompute"], "points": 2}]


def test_sweep_zip_and_file(gpuhours_command: Command, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    vary = ("--vary", "layout.tensor=1,2", "--vary", "layout.pipeline=4,2", "--zip", "layout.tensor,layout.pipeline")
    ran = gpuhours_command("sweep", RUN, *vary, "-o", str(path), "--quiet")
    assert (ran.code, ran.out.strip()) == (0, "2")
    assert len(path.read_text(encoding="utf-8").splitlines()) == 3
    again = gpuhours_command("sweep", RUN, *vary, "-o", str(path))
    assert again.code == 2
    assert "--force" in again.err
    assert gpuhours_command("sweep", RUN, *vary, "-o", str(path), "--resume").code == 0
    assert gpuhours_command("sweep", RUN, *vary, "-o", str(path), "--force").code == 0


def test_sweep_without_a_row_is_a_no(gpuhours_command: Command) -> None:
    ran = gpuhours_command("sweep", RUN, *VARY, "--where", "mfu > 99%")
    assert ran.code == 1
    assert "no row" in ran.out


@pytest.mark.parametrize(("arguments", "told"), [
    (("--vary", "layout.tensor"), "KEY=SPEC"),
    (("--vary", "layout.tensr=1,2"), "'tensor'"),
    (("--vary", "layout.tensor=0,1"), "at least 1"),
    ((*VARY, "-o", "out.xlsx"), ".parquet"),
    ((*VARY, "--plot", "out.gif"), ".svg"),
    ((*VARY, "--where", "speed > 3"), "speed"),
    ((*VARY, "--minimise", "gpu_hour"), "gpu_hours"),
    ((*VARY, "--top", "3"), "--minimise"),
    ((*VARY, "--engine", "dask"), "--scheduler"),
])  # fmt: skip
def test_sweep_bad_input(gpuhours_command: Command, arguments: tuple[str, ...], told: str) -> None:
    ran = gpuhours_command("sweep", RUN, *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert told in ran.err


def test_screens_fit_and_say_what_matters(gpuhours_command: Command) -> None:
    ran = gpuhours_command("sweep", RUN, *VARY, "--vary", "layout.pipeline=1,3")
    assert ran.code == 0
    assert max(len(line) for line in ran.out.splitlines()) <= 80
    assert "16 cases" in ran.out
    assert "not valid" in ran.out
    assert "█" in gpuhours_command("sweep", RUN, *VARY).out
    assert (
        "--where fits"
        in gpuhours_command(
            "sweep", RUN, *VARY, "--minimise", "step_time", "--set", "layout.pipeline=1", "--set", "layout.microbatch=8"
        ).out
    )
    planned = gpuhours_command("plan", RUN)
    assert planned.code == 0
    assert max(len(line) for line in planned.out.splitlines()) <= 80
    assert "yours" in planned.out
    assert "within 5% of the best" in planned.out


def test_plan_json_and_quiet(gpuhours_command: Command) -> None:
    ran = gpuhours_command("plan", RUN, "--gpus", "16,32", "--minimise", "cost", "--top", "2", "--json")
    found = document(ran.out)
    assert (ran.code, ran.err) == (0, "")
    assert {"space", "evaluated", "pruned", "seconds", "best"} <= set(found)
    assert found["evaluated"] + found["pruned"] == found["space"]
    assert {"layout", "results"} <= set(found["best"][0])
    assert found["best"][0]["results"]["cost"]["value"] <= found["best"][1]["results"]["cost"]["value"]
    options = gpuhours_command("plan", RUN, "--quiet").out.split()
    best = document(gpuhours_command("plan", RUN, "--json").out)["best"][0]["results"]["step_time"]["value"]
    alone = document(gpuhours_command("estimate", RUN, "--set", "layout.sharding=none", *options, "--json").out)
    assert alone["results"]["step_time"]["value"] == pytest.approx(best, rel=1e-12)


def test_plan_says_no(gpuhours_command: Command) -> None:
    ran = gpuhours_command("plan", RUN, "--gpus", "1", "--set", "hardware.accelerator=a100-sxm-40gb")
    assert ran.code == 1
    assert "No layout fits" in ran.out


def test_compare(gpuhours_command: Command, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(Path(RUN).read_text(encoding="utf-8").replace("gpus: 64", "gpus: 128").replace("300B", "150B"))
    ran = gpuhours_command("compare", RUN, str(other), "--json")
    found = document(ran.out)
    assert ran.code == 0
    assert {one["key"] for one in found["inputs"]} == {"hardware.gpus", "data.tokens"}
    screen = gpuhours_command("compare", RUN, str(other)).out
    assert max(len(line) for line in screen.splitlines()) <= 80
    assert "tokens x 0.5" in screen
    assert "same inputs" in gpuhours_command("compare", RUN, RUN).out


def test_pictures(gpuhours_command: Command, tmp_path: Path) -> None:
    pytest.importorskip("vl_convert")
    line, heat, front, bars = (tmp_path / name for name in ("line.svg", "heat.png", "front.html", "bars.svg"))
    assert gpuhours_command("sweep", RUN, "--vary", "hardware.gpus=16..64*2", "--plot", str(line)).code == 0
    drawn = line.read_text(encoding="utf-8")
    assert "80 % band" in drawn
    assert ">GPU-hours<" in drawn
    assert ">GPUs<" in drawn
    wide = ("--vary", "layout.tensor=1..8*2", "--vary", "layout.pipeline=1..8*2", "--vary", "layout.microbatch=1,2")
    assert gpuhours_command("sweep", RUN, *wide, "--plot", str(heat)).code == 0
    assert heat.read_bytes().startswith(b"\x89PNG")
    assert gpuhours_command("sweep", RUN, *wide, "--pareto", "step_time,memory_per_gpu", "--plot", str(front)).code == 0
    page = front.read_text(encoding="utf-8")
    assert "memory per GPU (GB)" in page
    assert "cdn.jsdelivr" not in page, "a page that opens without a network"
    assert gpuhours_command("sweep", RUN, *wide, "--minimise", "cost", "--top", "3", "--plot", str(bars)).code == 0
    assert "cost (USD)" in bars.read_text(encoding="utf-8")
    assert gpuhours_command("sweep", RUN, *wide, "--plot", str(heat)).code == 2, "an existing picture is kept"


def test_progress_bar_is_for_terminals_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    from gpuhours_cli.render.progress import watching

    with watching("cases", quiet=False) as watch:
        assert watch is None, "stderr is no terminal here"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("TTY_INTERACTIVE", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with watching("cases", quiet=False) as watch:
        assert watch is not None
        watch(500, 1000)
    shown = capsys.readouterr()
    assert "500 of 1,000 cases" in shown.err
    assert shown.out == ""


def test_accelerators_of_different_price_lists_are_told(gpuhours_command: Command, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("{model: {params: 1B}, data: {tokens: 1B, seq_len: 2048}, hardware: {gpus: 8}}", encoding="utf-8")
    swept = ("sweep", str(path), "--vary", "hardware.accelerator=h100-sxm-80gb,a100-sxm-80gb")
    assert (
        "costs are from different offers (h100-sxm-80gb: AWS on demand; a100-sxm-80gb: Lambda on demand)"
        in " ".join(gpuhours_command(*swept).out.split())
    )
    path.write_text(path.read_text(encoding="utf-8")[:-1] + ", cost: {provider: Lambda}}", encoding="utf-8")
    assert document(gpuhours_command(*swept, "--json").out)["notes"] == []


def test_an_accelerator_without_a_price_is_told(gpuhours_command: Command, tmp_path: Path) -> None:
    """Its cost is empty in the table, never 0, and the screen says why."""
    path = tmp_path / "run.yaml"
    path.write_text("{model: {params: 1B}, data: {tokens: 1B, seq_len: 2048}, hardware: {gpus: 8}}", encoding="utf-8")
    swept = ("sweep", str(path), "--vary", "hardware.accelerator=h100-sxm-80gb,h20-sxm-96gb")
    assert "cost not determined: no dated price of h20-sxm-96gb" in " ".join(gpuhours_command(*swept).out.split())
    rows = {
        row["hardware.accelerator"]: row["cost"] for row in document(gpuhours_command(*swept, "--json").out)["rows"]
    }
    assert rows["h20-sxm-96gb"] is None
    assert rows["h100-sxm-80gb"] > 0
