"""Practical cases with their observed ranges: no case may change from right to wrong, or back, unnoticed.

``GPUHOURS_WRITE=1 pytest tests/questions/test_cases.py`` writes what is answered now.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from gpuhours.inputs.yaml_files import read_yaml
from gpuhours.run.evaluate import evaluate
from gpuhours.run.results import plain_results
from gpuhours.run.spec import from_dict

CASES: dict[str, Any] = read_yaml(Path(__file__).parent / "cases.yaml").data
ANSWERS = Path(__file__).parents[1] / "snapshots" / "cases.yaml"
STATES = ("weights", "gradients", "optimiser")


def answers() -> dict[str, dict[str, Any]]:
    """Return case -> the answer in its unit, and whether it is inside the observed range."""
    found = {}
    for name, case in CASES.items():
        outcome = evaluate(from_dict(case["run"]))
        held = outcome.memory
        assert held is not None
        values = plain_results(outcome) | {
            "allocated": float(held.allocated),
            "states": sum(float(held.parts[part]) for part in STATES),
            "flops_per_token": float(outcome.value("flops_per_sample") or 0.0) / case["run"]["data"]["seq_len"],
        }
        answer = float(values[case["result"]]) / float(case["unit"])
        low, high = case["met"]
        found[name] = {
            "answer": float(f"{answer:.3g}"),
            "holds": bool(low <= answer <= high),
            "met": f"{low:g} to {high:g}",
        }
    return found


def changed(stored: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]) -> list[str]:
    """Return the cases that became right or wrong, with the old and new answers, and those whose expected value changed."""
    words = {True: "right", False: "wrong"}
    moved = [
        f"{name}: {before['met']} was met -> {now[name]['met']}"
        for name, before in stored.items()
        if name in now and now[name]["met"] != before["met"]
    ]
    return moved + [
        f"{name}: {before['answer']:g} ({words[before['holds']]}) -> {now[name]['answer']:g} ({words[now[name]['holds']]})"
        for name, before in stored.items()
        if name in now and now[name]["holds"] != before["holds"]
    ]


def test_no_case_turns() -> None:
    now = answers()
    if os.environ.get("GPUHOURS_WRITE"):
        ANSWERS.write_text(yaml.safe_dump(now, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")
    stored = read_yaml(ANSWERS).data
    told = changed(stored, now)
    assert not told, "\n".join(("a case has turned:", *told))
    assert stored.keys() == now.keys()


def test_a_turned_case_is_told_with_both_answers() -> None:
    stored = {name: {"answer": 64.0, "holds": True, "met": "60 to 70"} for name in "abc"}
    now = {**stored, "a": {**stored["a"], "answer": 97.5, "holds": False}, "b": {**stored["b"], "met": "60 to 100"}}
    assert changed(stored, now) == ["b: 60 to 70 was met -> 60 to 100", "a: 64 (right) -> 97.5 (wrong)"]
