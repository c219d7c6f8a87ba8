"""The report page: its structure and figures, no external requests, and all content escaped."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gpuhours.questions.reporting.report import Report, report
from gpuhours.run.spec import from_dict, load
from gpuhours_cli.render import numbers
from gpuhours_cli.render.report import page
from tests.conftest import ONE_RANK, Command

RUNS = Path(__file__).parents[2] / "runs"
LITTLE = {"model": {"params": "7B"}, "data": {"tokens": "1T"}, "hardware": {"accelerator": "a100-sxm-80gb"}}
NAMES = ("x-gen", "gpt-22b", "too large", "little is said")
VOID = {"meta", "link", "br", "wbr", "img", "input", "hr"}


@dataclass
class Read(HTMLParser):
    """The elements of a page; checks that each is closed in the right place."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(text: str) -> Read:
    found = Read()
    found.feed(text)
    found.close()
    assert not found.open
    return found


@pytest.fixture(scope="module", params=NAMES)
def found(request: pytest.FixtureRequest) -> Report:
    if request.param == "little is said":
        return report(from_dict(LITTLE))
    if request.param == "too large":
        return report(load(RUNS / "gpt-22b.yaml", {"layout.tensor": 1}))
    return report(load(RUNS / f"{request.param}.yaml"))


def test_a_page_asks_nobody_for_anything(found: Report) -> None:
    text = page(found)
    for tag, attributes in read(text).tags:
        assert tag not in ("script", "img", "iframe", "object", "embed", "form", "base")
        for name in ("src", "href", "action", "data", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,")), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes)
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_headings_come_in_order_and_sections_have_names(found: Report) -> None:
    seen = read(page(found))
    levels = [int(tag[1]) for tag, _ in seen.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    names = [attributes["id"] for _, attributes in seen.tags if "id" in attributes]
    assert len(names) == len(set(names))
    for tag, attributes in seen.tags:
        for name in (attributes.get("aria-labelledby") or "").split():
            assert name in names, (tag, name)
    assert {"header", "main", "footer"} <= {tag for tag, _ in seen.tags}
    assert seen.tags[0] == ("html", {"lang": "en"})


def test_every_picture_and_table_says_what_it_is(found: Report) -> None:
    text = page(found)
    for drawn in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        root = ElementTree.fromstring(drawn)
        assert root.get("role") == "img"
        assert [child.tag for child in root[:2]] == ["title", "desc"]
        assert all((child.text or "").strip() for child in root[:2])
        width, height = (float(edge) for edge in (root.get("viewBox") or "").split()[2:])
        for shape in root.iter("rect"):
            x, wide = float(shape.attrib["x"]), float(shape.attrib["width"])
            assert 0 <= x <= x + wide <= width + 0.5
        for word in root.iter("text"):
            assert 0 <= float(word.attrib["y"]) <= height
    for table in re.findall(r"<table.*?</table>", text, re.DOTALL):
        assert "<caption>" in table
        assert 'scope="col"' in table
        assert table.count('scope="row"') == table.count("<tr>") - 1


def test_the_answer_comes_first_with_its_range(found: Report) -> None:
    hours = found.estimate.results["gpu_hours"]
    text = read(page(found)).text
    sections = [name for _, attributes in read(page(found)).tags if (name := attributes.get("aria-labelledby"))]
    assert sections[0] == "answer"
    if hours is None:
        assert found.decides is not None
        assert numbers.count(found.decides.low) in text.partition("What one more fact")[0]
        assert "does not settle GPU-hours" in text
    else:
        assert numbers.count(hours.value) in text
    if found.estimate.fits is False:
        assert "does not fit" in text
    for assumption in found.estimate.assumptions:
        assert assumption.name in text
        assert assumption.source in text


def test_the_waterfall_falls_from_peak_to_mfu() -> None:
    text = page(report(load(RUNS / "gpt-22b.yaml")))
    drawn = next(one for one in re.findall(r"<svg.*?</svg>", text, re.DOTALL) if "waterfall" in one)
    shapes = [
        (float(shape.attrib["x"]), float(shape.attrib["width"])) for shape in ElementTree.fromstring(drawn).iter("rect")
    ]
    assert all(x + wide <= before + 1.0 for (before, _), (x, wide) in pairwise(shapes[1:-1])), (
        "each loss begins where the one before it ended"
    )
    assert shapes[-1][1] / shapes[0][1] == pytest.approx(
        float(report(load(RUNS / "gpt-22b.yaml")).estimate.results["mfu"].value),
        abs=0.005,  # type: ignore[union-attr]
    )


def test_the_run_itself_stands_among_the_other_numbers_of_gpus() -> None:
    found = report(load(RUNS / "gpt-22b.yaml"))
    own = next(row for row in found.scale if row.gpus == 64)
    results = found.estimate.results
    assert results["gpu_hours"] is not None
    assert own.gpu_hours == pytest.approx(results["gpu_hours"].value, rel=1e-6)
    times = [row.wall_clock for row in found.scale]
    assert times == sorted(times, reverse=True)


def test_other_numbers_of_gpus_stand_on_one_curve() -> None:
    """A run with an open layout keeps the layout of its answer: with more replicas, each achieves the same or less per hour."""
    rows = report(
        from_dict({
            "model": "llama-3-8b", "data": {"tokens": "1T"}, "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 64}, "year": 2026,
        })
    ).scale  # fmt: skip
    assert len(rows) == 7
    hours = [row.gpu_hours for row in rows]
    assert hours == sorted(hours)


def test_nothing_from_a_file_is_taken_for_markup() -> None:
    evil = "<script>alert(1)</script>\"&'"
    described = {
        "name": evil,
        "model": "llama-2-7b",
        "data": {"seq_len": 2048, "tokens": "1T"},
        "training": {"global_batch": 512},
        "hardware": {"accelerator": "a100-sxm-80gb", "gpus": 64},
        "layout": {"sharding": "zero1"},
        "assumptions": {"software": {"value": "megatron-core", "reason": evil, "source": evil}},
    }
    text = page(report(from_dict(described)))
    assert "<script" not in text
    assert read(text).text.count(evil) >= 3


def test_the_command_writes_the_page(gpuhours_command: Command, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    ran = gpuhours_command("report", str(RUNS / "gpt-22b.yaml"), "-o", str(path), "--json")
    assert (ran.code, ran.err) == (0, "")
    said = json.loads(ran.out)
    assert said["schema"].startswith("gpuhours/report/")
    assert {row["gpus"] for row in said["scale"]} >= {32, 64, 128}
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    large = gpuhours_command(
        "report",
        str(RUNS / "gpt-22b.yaml"),
        *ONE_RANK,
        "-o",
        str(path),
        "--force",
    )
    assert large.code == 1
    assert gpuhours_command("report", str(RUNS / "gpt-22b.yaml")).code == 2
    nowhere = gpuhours_command("report", str(RUNS / "gpt-22b.yaml"), "-o", str(tmp_path / "no" / "page.html"))
    assert nowhere.code == 2
    assert "cannot be written" in nowhere.err


def test_a_run_of_stages_has_a_page() -> None:
    described = {
        "model": "llama-2-7b",
        "training": {"global_batch": 512},
        "hardware": {"accelerator": "a100-sxm-80gb", "gpus": 64},
        "layout": {"sharding": "zero1"},
        "stages": [
            {"name": "first", "data": {"seq_len": 2048, "tokens": "1T"}},
            {"name": "longer", "data": {"seq_len": 4096, "tokens": "100B"}},
        ],
    }
    text = read(page(report(from_dict(described)))).text
    assert "longer" in text


def test_the_answers_own_row_says_what_the_answer_says() -> None:
    """MFU and GPU-hours in the answer's row of the table equal the answer, stated or predicted."""
    for given in ({}, {"known.mfu": 0.4}, {"known.step_time": "9 s"}):
        found = report(load(RUNS / "gpt-22b.yaml", given))
        own = next(row for row in found.scale if row.gpus == found.estimate.outcome.value("gpus"))
        for name, said in (("mfu", own.mfu), ("gpu_hours", own.gpu_hours), ("wall_clock", own.wall_clock)):
            result = found.estimate.results[name]
            assert result is not None
            assert said == pytest.approx(float(result.value)), (name, given)
        assert all(row.mfu * row.gpu_hours == pytest.approx(own.mfu * own.gpu_hours) for row in found.scale)
