"""Reading measured runs, judging predictions, and the resulting bands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpuhours.questions.validating import Validation
from gpuhours.questions.validating.report import GROUPS, summary
from gpuhours.questions.validating.rows import published_runs
from gpuhours.run.conformal import table
from gpuhours.run.novelty import kind_of
from gpuhours_cli.render.validate import answer, ranges
from tests.cli.test_readme import printed
from tests.questions.validating.tables import judged


def test_the_readme_says_how_far_off_it_has_been(published: Validation) -> None:
    assert printed("gpuhours validate --quiet") == answer(published) + "\n"


def test_the_published_runs_keep_their_errors(in_sample: Validation) -> None:
    """Fails if a changed constant increases the error of a class."""
    by = in_sample.by()
    assert in_sample.summary()["predicted"] > 2600
    others = [
        one for one in in_sample.judged if not str(one.row.word("source_title")).startswith("Hugging Face nanotron")
    ]
    dense = summary(one for one in others if GROUPS["kind"](one) == "dense")
    assert dense["median_ape"] < 0.032
    assert dense["mape"] < 0.06
    for kind in ("mixture of experts", "adapters or frozen parts", "vision and video"):
        assert by["kind"][kind]["median_ape"] < 0.10, kind


def test_nanotron_on_networks_as_they_were_met(in_sample: Validation) -> None:
    """852 layouts on one to 64 nodes, some of which reached only a thirtieth of their network rate."""
    found = [one for one in in_sample.judged if str(one.row.word("source_title")).startswith("Hugging Face nanotron")]
    alone, beyond = ([one for one in found if (one.row.number("gpus") == 8) is here] for here in (True, False))
    assert summary(alone)["mape"] < 0.15
    assert summary(beyond)["mape"] < 0.30
    assert summary(beyond)["median_ape"] < 0.20
    total = summary(found)
    assert total["out_of_memory_rows"] == 1471
    assert total["skipped"] == 0
    assert total["out_of_memory_called"] > 0.8 * 1471


@pytest.mark.parametrize(
    ("source", "within"),
    [("Korthikanti", 0.031), ("Narayanan", 0.045), ("BigScience", 0.05), ("Zero Bubble", 0.045), ("InternEvo", 0.05),
     ("MosaicML", 0.045), ("gpuhours measurements", 0.035), ("torchtitan", 0.10), ("torchtune", 0.07)],
)  # fmt: skip
def test_errors_by_source(in_sample: Validation, source: str, within: float) -> None:
    (found,) = (value for title, value in in_sample.by()["source_title"].items() if title.startswith(source))
    assert found["mape"] < within


def test_the_document_is_what_scripts_rely_on(published: Validation) -> None:
    document = published.to_dict()
    json.dumps(document, allow_nan=False)
    assert set(document) >= {"summary", "by", "rows"}
    assert set(document["summary"]) >= {
        "rows",
        "predicted",
        "skipped",
        "mape",
        "median_ape",
        "p90_ape",
        "bias",
        "coverage_80",
        "memory_rows",
        "memory_mape",
        "memory_median_ape",
        "fits_wrong",
        "leave_out",
        "median_width",
    }
    assert set(document["rows"][0]) >= {
        "id",
        "measured",
        "predicted",
        "low",
        "high",
        "error",
        "memory_measured",
        "memory_predicted",
        "fits",
        "fits_probability",
        "leave_out",
        "skipped_because",
    }
    told = [row for row in document["rows"] if row["error"] is not None]
    assert all(row["low"] < row["predicted"] < row["high"] for row in told)
    assert all(
        row["predicted"] is None or sum(row["parts"].values()) == pytest.approx(row["predicted"]) for row in told
    )


def test_how_the_ranges_held_is_said_of_published_rows_left_out(tmp_path: Path) -> None:
    """Also with half of their facts blanked, as learned; in full only, and not of a user's rows or with nothing left out."""
    own = judged(tmp_path, {})
    ours = Validation(str(published_runs()[0]), own.judged)
    learned = table()["step"]
    assert ours.to_dict()["ranges"] == {"as_published": learned["coverage"], "half_blanked": learned["blanked"]}
    (line,) = ranges(ours)
    blanked = learned["blanked"]
    assert (
        f"blanked at random {100 * blanked['rows']:.0f} %, {blanked['median_width']:.2f}, {blanked['interval_score']:.3f}"
        in line.plain
    )
    assert f"interval score {learned['coverage']['interval_score']:.3f}" in line.plain
    assert "blanked" not in answer(ours)
    for other in (own, Validation(ours.path, own.judged, in_sample=True), Validation(ours.path, ())):
        assert other.to_dict()["ranges"] is None
        assert ranges(other) == []


def test_one_row(tmp_path: Path) -> None:
    (one,) = judged(tmp_path, {}).judged
    assert one.error == pytest.approx(0, abs=0.1)
    assert one.skipped_because is None


def test_rows_side_by_side_are_the_rows_alone(tmp_path: Path) -> None:
    """A capacity factor applies to its own row, not to neighbouring ones."""
    mixture = {"experts": 8, "top_k": 2, "ep": 2, "dp": 2, "gpus": 2}
    rows = [mixture | {"notes": notes} for notes in ("", "capacity factor 2")]
    together = [one.predicted for one in judged(tmp_path, *rows).judged]
    alone = [judged(tmp_path, row).judged[0].predicted for row in rows]
    assert together == pytest.approx(alone)
    assert alone[1] != pytest.approx(alone[0])


def test_rows_predicted_together_are_those_predicted_alone(tmp_path: Path) -> None:
    changes = [
        {"id": f"R{batch}", "global_batch": batch, "micro_batch": size} for batch in (64, 128) for size in (1, 2)
    ]
    together = [one.predicted for one in judged(tmp_path, *changes).judged]
    alone = [judged(tmp_path, change).judged[0].predicted for change in changes]
    assert together == pytest.approx(alone, rel=1e-12)


def test_kinds_of_runs() -> None:
    assert kind_of(experts=True, partly=True, frames=False) == "mixture of experts"
    assert kind_of(experts=False, partly=True, frames=False) == "adapters or frozen parts"
    assert kind_of(experts=False, partly=True, frames=True) == "vision and video"
    assert kind_of(experts=False, partly=False, frames=False) == "dense"
