"""Every public function, method and property in the folders of formulas is used by name in a test of that folder."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "estimator" / "gpuhours"
FOLDERS = ("kernels", "step", "memory", "cost")
MODULES = [path for folder in FOLDERS for path in sorted((PACKAGE / folder).glob("*.py"))] + [
    PACKAGE / "run" / "goodput.py"
]


def public(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield (name, whether it is in a class) for everything public that can be called or read."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, False
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            inside = (one for one in node.body if isinstance(one, ast.FunctionDef) and not one.name.startswith("_"))
            yield from ((one.name, True) for one in inside)


def used(tree: ast.Module) -> tuple[set[tuple[str, str]], set[str]]:
    """Return the (module, function) pairs that a test file imports and uses, and the attributes that it reads."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    imported = {
        (node.module or "", alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if (alias.asname or alias.name) in names
    }
    return imported, {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def untested(path: Path, folder: Path) -> list[str]:
    """Return the public names of a module that no test of the folder uses."""
    functions: set[tuple[str, str]] = set()
    attributes: set[str] = set()
    for file in folder.glob("test_*.py"):
        found, asked = used(ast.parse(file.read_text(encoding="utf-8")))
        functions, attributes = functions | found, attributes | asked
    room = f"gpuhours.{path.parent.name}"
    homes = (f"{room}.{path.stem}", room)
    return [
        name
        for name, inside in public(path)
        if not (name in attributes if inside else any((home, name) in functions for home in homes))
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_public_formula_has_a_test_that_calls_it(path: Path) -> None:
    assert untested(path, TESTS / path.parent.name) == []


def test_a_formula_without_a_test_would_be_seen(tmp_path: Path) -> None:
    room, tests = tmp_path / "kernels", tmp_path / "tests"
    room.mkdir()
    tests.mkdir()
    functions = "".join(f"def {name}(): ...\n" for name in ("told", "forgotten", "named", "_own"))
    (room / "sums.py").write_text(functions + "class Thing:\n    def asked(self): ...\n    def unasked(self): ...\n")
    (tests / "test_sums.py").write_text(
        '"""named"""\nfrom gpuhours.kernels.sums import told, forgotten\ntold()\nmade.asked()\nnamed\n'
    )
    assert untested(room / "sums.py", tests) == ["forgotten", "named", "unasked"]
