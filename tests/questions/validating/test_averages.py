"""Averages over whole runs, by hand: stops, what lies beyond steps, and the input pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gpuhours.questions.validating import Judged, validate
from gpuhours.questions.validating.averages import REMARK
from gpuhours.run.remainder import remainder_of_known_step
from tests.questions.validating.tables import judged

CLIPS = {
    "title": "clips",
    "source": "by hand",
    "models": {"vit-b16": {"kind": "vision", "patch": 16, "classes": 400, "layers": 12, "hidden": 768, "heads": 12}},
    "run": {
        "data": {"frames": 16, "fps": "2 FPS", "resolution": 224}, "input": {"stored_fps": "30 FPS"},
        "training": {"dtype": "bf16", "global_batch": 64}, "software": "torch-eager",
        "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 8, "node": "dgx-h100"}, "layout": {"microbatch": 8},
        "model": "vit-b16",
    },
}  # fmt: skip


def clips(folder: Path, **row: object) -> Judged:
    """One step of 64 clips on eight GPUs, alone or as an average."""
    (folder / "clips.yaml").write_text(yaml.safe_dump({**CLIPS, "rows": [{"id": "clips", **row}]}), encoding="utf-8")
    return validate(folder / "clips.yaml").judged[0]


def test_an_average_is_a_step_with_its_stops(tmp_path: Path) -> None:
    step, average = judged(tmp_path, {}, {"id": "A-2", "outcome": "average"}).judged
    assert step.predicted
    assert average.predicted
    # 8 GPUs x 5e-4 failures a day, 900 s each and half an hour lost; 112 GB at 50 GB/s every hour; 1 % evaluation; 2 minutes to launch
    stops = (1 - 8 * 5e-4 / 86400 * (900 + 1800)) / (1 + 112 / 50 / 3600) * 0.99 * 86400 / 86520
    assert average.predicted / step.predicted == pytest.approx(remainder_of_known_step().value / stops, rel=1e-3)
    assert sum(average.parts.values()) == pytest.approx(average.predicted)
    assert REMARK in average.remarks
    assert REMARK not in step.remarks


def test_an_average_is_less_certain_than_a_step(tmp_path: Path) -> None:
    step, average = judged(tmp_path, {}, {"id": "A-2", "outcome": "average"}).judged
    assert average.low
    assert average.high
    assert step.low
    assert step.high
    assert average.high / average.low > step.high / step.low


def test_an_average_waits_for_clips_that_arrive_slower_than_they_are_trained_on(tmp_path: Path) -> None:
    alone, average = clips(tmp_path, step_time="1 s"), clips(tmp_path, step_time="1 s", average=True)
    assert alone.predicted
    assert average.predicted
    assert average.predicted > 1.3 * alone.predicted  # decoding bounds it, stops alone would add a seventh
