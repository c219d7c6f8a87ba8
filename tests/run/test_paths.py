"""Paths in a run file are relative to the file's folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpuhours.run.overlays import with_paths_from
from gpuhours.run.spec import from_dict, load, run_file
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


@pytest.mark.parametrize("text", ["a guess / " * 40, "g" * 300 + "/b.json", "g" * 300 + ".yaml", "a/b\0c"])
def test_a_long_reason_with_a_slash_is_no_name_of_a_file(text: str, tmp_path: Path) -> None:
    """A file name has at most 255 characters; a longer text is left unchanged, while other names are resolved."""
    (tmp_path / "shape.json").write_text("{}")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "config.json").write_text("{}")
    said = {"reason": text, "model": ["shape.json", "./weights", "other.json"]}
    found = with_paths_from(said, tmp_path)
    assert found == {"reason": text, "model": [str(tmp_path / "shape.json"), str(tmp_path / "weights"), "other.json"]}


def test_a_run_file_with_a_long_reason_is_read(tmp_path: Path) -> None:
    written = tmp_path / "run.yaml"
    written.write_text(f"assumptions: {{data.tokens: {{value: 1T, reason: '{'half / double ' * 30}'}}}}\n")
    assert run_file(written).data["assumptions"]["data.tokens"]["reason"].startswith("half / double")


def test_a_run_shows_itself_in_a_line() -> None:
    whole = {"model": "llama-3-8b", "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 64}, "layout": {"tensor": 2}}
    assert repr(from_dict(whole)) == "<Run run: llama-3-8b, 64 x h100-sxm-80gb, a layout>"
    assert str(from_dict({"name": "mine", "model": {"params": "7B"}})) == "<Run mine: standard>"
