"""Figures that MODEL.md and the guide state of what was learned from runs are those of the published tables."""

import ast
import json
import re
from pathlib import Path

from gpuhours.run.conformal import table, unmeasured_stack
from gpuhours.run.remainder import remainder_of_known_step

ROOT = Path(__file__).parents[1] / "estimator"
MODEL = " ".join((ROOT / "MODEL.md").read_text(encoding="utf-8").split())
GUIDE = " ".join((ROOT.parent / ".github" / "docs" / "pages" / "guide.md").read_text(encoding="utf-8").split())


def stated(pattern: str, text: str = MODEL) -> tuple[float, ...]:
    found = re.search(pattern, text)
    assert found is not None, pattern
    return tuple(map(float, found.groups()))


def test_every_module_and_formula_that_is_named_exists() -> None:
    """Modules by path, formulas of kernels, step, memory and cost by name, in prose and above the equations."""
    package = ROOT / "gpuhours"
    modules = [path for path in re.findall(r"`((?:\w+/)*\w+\.py)`", MODEL) if not path.startswith("tests/")]
    places = {
        path: next((p for p in (package / path, package / "questions" / path) if p.exists()), None) for path in modules
    }
    assert [path for path, place in places.items() if place is None] == []
    named = re.findall(r"`((?:\w+/)*\w+\.py)`, `(\w+)`", MODEL)
    assert len(named) > 45
    for path, name in named:
        tree = ast.parse((package / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, (path, name)
        assert not name.startswith("_")


def test_the_slowdown_of_unmeasured_stacks() -> None:
    assert stated(r"such stacks took ([\d.]+) times as long") == (round(unmeasured_stack(), 2),)


def test_what_lies_beyond_a_known_step() -> None:
    known = remainder_of_known_step()
    assert stated(r"x ([\d.]+) \(([\d.]+) to ([\d.]+)\)") == tuple(
        round(one, 2) for one in (known.value, known.low, known.high)
    )


def test_the_share_of_the_remainder_that_expensive_runs_keep() -> None:
    learned = json.loads((ROOT / "gpuhours" / "published" / "remainder.json").read_text(encoding="utf-8"))
    assert stated(r"keep ([\d.]+) %") == (round(100 * (1 - learned["likeness"]["exempt"])),)


def test_the_share_of_blanked_rows_inside_their_range() -> None:
    inside = stated(r"blanked at random: (\d+) % of these lie in it", GUIDE)
    assert inside == (float(f"{100 * table()['step']['blanked']['rows']:.0f}"),)
