"""A user's table, judged with the constants that its site's steps make most likely."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpuhours.questions.calibrating.calibrating import calibrate
from gpuhours.questions.validating.described import predict_described, read_described
from gpuhours.questions.validating.report import validate
from tests.conftest import Command

STEPS = Path(__file__).parents[2] / "steps" / "own-steps.csv"


def test_rows_are_predicted_as_calibrate_predicts_them() -> None:
    calibration = calibrate([STEPS])
    (stack,) = calibration.stacks
    plain, there = validate(STEPS), validate(STEPS, site=calibration.site)
    assert [one.predicted for one in plain.judged] == pytest.approx(list(stack.before))
    assert [one.predicted for one in there.judged] == pytest.approx(list(stack.after), rel=1e-3)
    assert all(
        one.low <= low * 1.001 for one, low in zip(there.judged, stack.site_low, strict=True) if one.low is not None
    )
    assert there.summary()["coverage_80"] == 1.0


def test_the_command(gpuhours_command: Command, tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    assert gpuhours_command("calibrate", str(STEPS), "-o", str(site)).code == 0
    ran = gpuhours_command("validate", "--runs", str(STEPS), "--site", str(site), "--quiet")
    assert ran.out.strip().endswith("calibrated on the steps of site.yaml")
    told = json.loads(gpuhours_command("validate", "--runs", str(STEPS), "--site", str(site), "--json").out)
    assert told["site"] == "site.yaml"
    refused = gpuhours_command("validate", "--site", str(site))
    assert refused.code == 2
    assert "--runs" in refused.err
    run_file = gpuhours_command("validate", "--runs", "x.yaml", "--site", str(site))
    assert "names its own site" in run_file.err


def test_columns_that_nothing_reads_are_said(gpuhours_command: Command, tmp_path: Path) -> None:
    head, *rows = STEPS.read_text(encoding="utf-8").splitlines()
    table = tmp_path / "mine.csv"
    table.write_text("\n".join([f"{head},vpp,lunch", *(f"{row},3," for row in rows)]) + "\n", encoding="utf-8")
    assert validate(table).unread == ("vpp",)
    assert "Columns that are not used: vpp" in gpuhours_command("validate", "--runs", str(table)).out
    assert validate(STEPS).unread == ()


def test_a_file_of_runs_names_its_site_under_run(tmp_path: Path) -> None:
    """The hint works as described: a factor of 1.5 on megatron-core's steps makes the row's step 1.5 times as long."""
    site = (Path(__file__).parents[2] / "steps" / "site.yaml").read_text(encoding="utf-8")
    (tmp_path / "site.yaml").write_text(site.replace("factor: 1.0\n", "factor: 1.5\n", 1), encoding="utf-8")
    steps = []
    for said in ("", "site: site.yaml, "):
        path = tmp_path / "runs.yaml"
        path.write_text(
            f"title: mine\nsource: here\nrows:\n- id: a\n  step_time: 9 s\n  run: {{{said}model: {{layers: 48, hidden: 6144, heads: 64, "
            "vocab: 51200}, data: {seq_len: 2048}, training: {global_batch: 256}, hardware: {accelerator: a100-sxm-80gb, gpus: 64}, "
            "layout: {tensor: 8, sharding: zero1}, software: megatron-core}\n",
            encoding="utf-8",
        )
        steps.append(float(predict_described(read_described(path))[0].time or 0))
    assert steps[1] == pytest.approx(1.5 * steps[0])
