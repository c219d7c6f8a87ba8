"""The folders are layers, in the order in which a number is computed: every import points downwards."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "estimator" / "gpuhours"
LAYERS = (
    "inputs", "data", "architecture", "hardware", "software", "layout", "kernels", "workload",
    "flops", "memory", "step", "cost", "run", "questions",
)  # fmt: skip
READING = (
    "vocabulary", "formats", "figures", "naming", "quantities", "sentences", "tables", "ownership", "runs", "claims", "text",
)  # fmt: skip
SCREENS = {"typer", "rich", "gpuhours_cli"}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem != "__init__")


def imported(path: Path) -> Iterator[str]:
    """Return every module that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    own = LAYERS.index(layer(path))
    for name in imported(path):
        assert name.split(".")[0] not in SCREENS, f"{path} imports {name}: the estimator draws nothing"
        parts = name.split(".")
        if parts[0] == "gpuhours" and len(parts) > 1 and parts[1] in LAYERS:
            assert LAYERS.index(parts[1]) <= own, f"{path} imports {name}, which stands above it"
        elif parts[0] == "gpuhours" and len(parts) > 1:
            raise AssertionError(f"{path} imports {name} from the package's front door, which stands above every layer")


def test_every_folder_is_a_layer() -> None:
    assert {layer(path) for path in MODULES} - {"published"} == set(LAYERS)


def test_no_module_imports_itself_in_a_circle() -> None:
    arrows = {module(path): {name for name in imported(path) if name in KNOWN} - {module(path)} for path in MODULES}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above[above.index(name) :], name))
        if name in done:
            return
        for below in sorted(arrows.get(name, ())):
            visit(below, (*above, name))
        done.add(name)

    for name in sorted(arrows):
        visit(name, ())


def test_no_folder_imports_itself_in_a_circle() -> None:
    """Folders inside a layer too: what two questions share stands below both."""
    arrows: dict[str, set[str]] = {}
    for path in MODULES:
        for name in imported(path):
            here, there = room(module(path)), room(name)
            if name in KNOWN and here != there:
                arrows.setdefault(here, set()).add(there)
    below = {name: {name} for name in arrows}
    for _ in arrows:
        below = {name: set().union(*(below.get(one, {one}) for one in arrows[name])) | {name} for name in arrows}
    circles = {(name, one) for name, into in arrows.items() for one in into if name in below.get(one, ())}
    assert circles == set()


@pytest.mark.parametrize(
    "path", [path for path in MODULES if "reading" in path.parts], ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_a_text_is_read_in_one_direction(path: Path) -> None:
    """From words and marks through figures, quantities and owners to claims: no room of ``reading`` asks a later one."""
    here = reading_room(module(path))
    for name in imported(path):
        there = reading_room(name)
        assert there is None or here is None or READING.index(there) <= READING.index(here), (
            f"{path} imports {name}, read later"
        )


def test_every_folder_of_reading_has_its_place() -> None:
    rooms = {reading_room(module(path)) for path in MODULES if "reading" in path.parts}
    assert rooms - {None} == set(READING)


def reading_room(name: str) -> str | None:
    """The folder of ``reading`` that a module stands in, or the module where it stands beside the folders."""
    above, found, below = name.partition("gpuhours.questions.checking.reading.")
    return below.split(".")[0] if found and not above else None


def room(name: str) -> str:
    """The folder of a module, or the module where it stands beside the folders."""
    return ".".join(name.split(".")[: 3 if name.startswith("gpuhours.questions.") else 2])


def module(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


KNOWN = {module(path) for path in MODULES}
