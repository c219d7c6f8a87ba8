"""Paths in a run file are read from the file's folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpuhours.run.spec import load
from tests.architecture.test_hugging_face import ROWS

LLAMA = next(row for row in ROWS if row["config"].get("model_type") == "llama")


@pytest.mark.parametrize("name", ["shape.json", "./shape.json", "inner"])
def test_a_model_beside_the_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "runs"
    (folder / "inner").mkdir(parents=True)
    for place in (folder / "shape.json", folder / "inner" / "config.json"):
        place.write_text(json.dumps(LLAMA["config"]), encoding="utf-8")
    model = f"{name}/" if name == "inner" else name
    (folder / "run.yaml").write_text(f"model: {model}\ndata: {{tokens: 1B, seq_len: 4096}}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    run = load(folder / "run.yaml")
    assert run.model is not None
    assert run.model.build(run.data).parameters == LLAMA["parameters"]
