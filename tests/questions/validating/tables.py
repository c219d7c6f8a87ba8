"""A table of measured runs that tests write, row by row, and what validation says of it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from gpuhours.questions.validating import Validation, validate

ROW: dict[str, Any] = {
    "id": "A-1", "source_title": "ours", "model_family": "Llama", "model_name": "Llama 3 8B", "accelerator": "h100-sxm-80gb",
    "software": "megatron-core", "dtype": "bf16", "layers": 32, "hidden": 4096, "heads": 32, "kv_heads": 8, "ffn_hidden": 14336,
    "gated_mlp": 1, "vocab": 128256, "seq_len": 8192, "global_batch": 128, "micro_batch": 1, "gpus": 8, "tp": 1, "pp": 1, "dp": 4,
    "cp": 2, "sharding": "zero1", "step_time_s": 12.3,
}  # fmt: skip
COVERED = (0.75, 0.88)
"""Allowed coverage of an 80 % range over left-out rows."""


def judged(folder: Path, *rows: dict[str, Any]) -> Validation:
    """Return the validation of a table of such rows."""
    table = folder / "runs.csv"
    columns = list(dict.fromkeys(name for row in rows for name in {**ROW, **row}))
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({**ROW, **row} for row in rows)
    return validate(table)
