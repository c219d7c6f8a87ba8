"""A run of two stages on two kinds of cards: each is named, memory is compared with its own card's, and a missing price is not 0."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import Command

TWO = """
name: two
model: llama-3-8b
training: {global_batch: 1024}
stages:
  - {name: pre, data: {tokens: 1T, seq_len: 4096}, hardware: {accelerator: a100-sxm-80gb, gpus: 128}}
  - {name: long, data: {tokens: 100B, seq_len: 32768}, hardware: {accelerator: h20-sxm-96gb, gpus: 64}}
"""


def test_a_run_on_two_kinds_of_cards(gpuhours_command: Command, tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(TWO, encoding="utf-8")
    out = gpuhours_command("estimate", str(path), columns=120).out
    assert out.splitlines()[0] == "two on 128 x NVIDIA A100 SXM 80 GB, then 64 x NVIDIA H20 SXM 96 GB"
    memory = next(line for line in out.splitlines() if line.startswith("  memory"))
    assert "of 102 GB in long" in memory, "the H20's, not the A100's"
    assert "long: not determined: cost; no dated price of h20-sxm-96gb" in " ".join(out.split())
    found = json.loads(gpuhours_command("estimate", str(path), "--json").out)
    assert found["results"]["cost"] is None
