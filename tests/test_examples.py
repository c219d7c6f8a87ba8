"""The worked examples in docstrings are correct."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WITH_EXAMPLES = [
    ".".join(path.relative_to(root).with_suffix("").parts)
    for root in (ROOT / "estimator", ROOT / "cli")
    for path in sorted(root.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert tried > 0
    assert failed == 0


def test_there_are_examples_where_formulas_are() -> None:
    rooms = {name.split(".")[1] for name in WITH_EXAMPLES}
    assert {"inputs", "data", "hardware", "layout", "kernels", "memory", "step", "cost", "run"} <= rooms
