"""Runs that a line of ``typical.yaml`` names fall in that line, by their own year, kind, size and number of accelerators."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from gpuhours.run.typical import UsualWeights, first, typical

TABLE = files("gpuhours") / "published" / "run_totals.csv"
NAMED = [
    (number, choice, name)
    for number, line in enumerate(typical().stacks)
    for choice, names in line.named.items()
    for name in names
]


@cache
def rows() -> dict[str, dict[str, str]]:
    """The published whole runs by their id."""
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {row["id"]: row for row in csv.DictReader(lines)}


@cache
def facts() -> dict[str, list[dict[str, Any]]]:
    """The recorded runs of every name."""
    read = yaml.safe_load(Path(__file__).with_name("named_runs.yaml").read_text(encoding="utf-8"))
    return {name: entry["runs"] for key, entry in read.items() for name in entry.get("names", [key])}


def of_row(row: dict[str, str]) -> dict[str, Any]:
    """The facts of a published run; a count that it does not state is an error."""
    seen = row["modality"].split()[0]
    kind = "text" if seen in ("text", "code") else "video" if "video" in seen else "vision"
    params = row["trainable_params_b"] or row["params_b"]
    traits = ["mixture"] if "MoE" in row["modality"] else []
    return {"kind": kind, "year": row["year"], "gpus": row["gpus"], "params": float(params) * 1e9, "traits": traits}


def is_in(run: dict[str, Any], line: UsualWeights) -> bool:
    """Whether a run falls in a line: on one of the numbers of accelerators that it ran on, or on all between the known bounds."""
    known = {**(of_row(rows()[run["run"]]) if "run" in run else {}), **run}
    traits = dict.fromkeys(("mixture", "adapters", "tuned"), False) | dict.fromkeys(known.get("traits", ()), True)
    kind, year, params = known["kind"], int(known["year"]), float(known["params"])

    def falls(gpus: Any) -> bool:
        return first(typical().stacks, kind, year, float(gpus), params, **traits) is line

    if "between" in run:
        return all(falls(gpus) for gpus in run["between"])
    return any(falls(gpus) for gpus in np.atleast_1d(known["gpus"]))


@pytest.mark.parametrize(("number", "choice", "name"), NAMED)
def test_a_named_run_falls_in_its_line(number: int, choice: str, name: str) -> None:
    """BLOOM and four more of at least 20 B were counted below 20 B too; a 7B of 2022 ran on Megatron-DeepSpeed with 73 %, judged 30."""
    assert name in facts(), f"{name} has no record in named_runs.yaml"
    assert any(is_in(run, typical().stacks[number]) for run in facts()[name]), (name, choice, facts()[name])


def test_no_record_is_idle() -> None:
    """Every record is of a name that a line has, and says where it stands."""
    assert facts().keys() == {name for _, _, name in NAMED}
    assert all(("run" in run) != ("source" in run) for runs in facts().values() for run in runs)


def test_a_run_in_another_line_is_told() -> None:
    """BLOOM is not below 20 B, RoBERTa not after 2019, Llama 3 not below 1,024 accelerators."""
    small = next(line for line in typical().stacks if line.until == 2022 and "below 20B" in line.source)
    assert not is_in({"run": "bloom-176b"}, small)
    assert not is_in({"run": "roberta-large"}, small)
    assert is_in({"run": "welm-10b"}, small)
    (late,) = (line for line in typical().stacks if line.kind == "text" and line.until == 2024)
    assert not is_in({"run": "llama31-405b"}, late)
    assert is_in({"run": "phi3-mini"}, late)
