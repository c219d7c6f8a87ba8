"""Mutation testing on a sample: change one detail of an equation at a time and check that the tests of its folder fail.

    python -m tests.benchmarks.mutants [MUTANTS] [SEED]

Only a copy of the tree is changed. Each sampled mutant is unparsed and the tests of its folder are run, which takes minutes in total.
Survivors are printed with their line; exit code 1 if fewer than ``AIM`` are killed.
"""

from __future__ import annotations

import ast
import copy
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "estimator/gpuhours"
TESTS: dict[str, tuple[str, ...]] = {
    "kernels": ("tests/kernels",), "layout": ("tests/layout",), "step": ("tests/step",), "memory": ("tests/memory",),
    "flops.py": ("tests/test_flops.py",), "cost": ("tests/cost",), "run/identities.py": ("tests/run/test_identities.py",),
}  # fmt: skip
"""Code to change -> the corresponding tests, which are the only ones run."""
EQUIVALENT: dict[tuple[str, str], str] = {
    ("flops.py", "np.greater(length, 0), length, 1)"): "a sequence of no token has no FLOPs, whatever its number is divided by",
    ("layout/layout.py", "= 6"): "a word's code may be any number that no other word has",
    ("step/state.py", "np.greater(part.vocabulary, 0), workload.loss_blocks"): "a vocabulary of one word has no loss",
}  # fmt: skip
"""(module, part of the line) -> why a mutant of that line changes no answer; such survivors count as survivors and are printed with it."""
AIM = 0.9
LONGEST = 120
"""Seconds of CPU time after which a mutant counts as killed because it hangs; the tests of a folder take ten."""
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE,
    ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.And: ast.Or, ast.Or: ast.And, ast.In: ast.NotIn, ast.Is: ast.IsNot,
}  # fmt: skip
CALLS = {
    "maximum": "minimum", "minimum": "maximum", "multiply": "divide", "divide": "multiply", "add": "subtract", "subtract": "add",
    "greater": "less_equal", "less_equal": "greater", "equal": "not_equal", "not_equal": "equal", "ceil": "floor",
    "floor_divide": "divide", "max": "min", "min": "max", "sum": "max", "any": "all", "all": "any",
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change to one file."""

    path: Path
    line: int
    what: str
    text: str


def mutants(path: Path) -> Iterator[Mutant]:
    """Return every single change that can be made to a file."""
    whole = ast.parse(path.read_text(encoding="utf-8"))
    annotations = {id(inner) for node in ast.walk(whole) for field in ("annotation", "returns")
                   if isinstance(part := getattr(node, field, None), ast.AST) for inner in ast.walk(part)}  # fmt: skip
    for place, node in enumerate(ast.walk(whole)):
        for kind in () if id(node) in annotations else changes(node):
            changed = copy.deepcopy(whole)
            other = next(one for number, one in enumerate(ast.walk(changed)) if number == place)
            before = ast.unparse(other)
            change(other, kind)
            after = ast.unparse(other)
            if before != after:
                yield Mutant(path, getattr(node, "lineno", 0), f"{before}  ->  {after}", ast.unparse(changed))


def changes(node: ast.AST) -> list[str]:
    """Return the changes that can be made at a node of the syntax tree."""
    if isinstance(node, ast.BinOp | ast.BoolOp):
        return ["operator"] if type(node.op) in SWAPS and not has_text(node) else []
    if isinstance(node, ast.Compare):
        return ["compare"] if type(node.ops[0]) in SWAPS else []
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return ["call"] if name in CALLS else ["branches"] if name == "where" and len(node.args) == 3 else []
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return ["number"]
    return ["condition"] if isinstance(node, ast.IfExp | ast.If) else []


def has_text(node: ast.AST) -> bool:
    """Whether the operation is on strings or types and not on numbers."""
    return any(isinstance(inner, ast.JoinedStr | ast.List | ast.Tuple)
               or (isinstance(inner, ast.Constant) and isinstance(inner.value, str)) for inner in ast.walk(node))  # fmt: skip


def change(node: ast.AST, kind: str) -> None:
    """Apply the change."""
    if kind == "operator":
        node.op = SWAPS[type(node.op)]()  # type: ignore[attr-defined]
    elif kind == "compare":
        node.ops[0] = SWAPS[type(node.ops[0])]()  # type: ignore[attr-defined]
    elif kind == "call":
        if isinstance(node.func, ast.Attribute):  # type: ignore[attr-defined]
            node.func.attr = CALLS[node.func.attr]  # type: ignore[attr-defined]
        else:
            node.func.id = CALLS[node.func.id]  # type: ignore[attr-defined]
    elif kind == "branches":
        node.args[1], node.args[2] = node.args[2], node.args[1]  # type: ignore[attr-defined]
    elif kind == "number":
        node.value = 1 if node.value == 0 else node.value * 2  # type: ignore[attr-defined]
    else:
        node.test = ast.UnaryOp(ast.Not(), node.test)  # type: ignore[attr-defined]


def killed(mutant: Mutant, copied: Path, tests: tuple[str, ...]) -> bool:
    """Whether the tests of the mutant's folder fail."""
    target = copied / mutant.path.relative_to(ROOT)
    kept = target.read_text(encoding="utf-8")
    target.write_text(mutant.text, encoding="utf-8")
    paths = os.pathsep.join(str(copied / part) for part in ("estimator", "cli", "."))
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", *tests]
    try:
        ran = subprocess.run(
            command, cwd=copied, env={**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}, check=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (LONGEST, LONGEST)),
        )  # fmt: skip
    finally:
        target.write_text(kept, encoding="utf-8")
    return ran.returncode != 0


def why(mutant: Mutant) -> str:
    """Why a mutant changes no answer, if that is known."""
    line = mutant.path.read_text(encoding="utf-8").splitlines()[mutant.line - 1]
    place = str(mutant.path.relative_to(ROOT / PACKAGE))
    return next(
        (f"  ({reason})" for (module, part), reason in EQUIVALENT.items() if module == place and part in line), ""
    )


def main() -> int:
    """Draw a sample, test it and print the result."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 150
    rng = random.Random(sys.argv[2] if len(sys.argv) > 2 else "0")
    found = [
        (mutant, tests)
        for part, tests in TESTS.items()
        for path in files(ROOT / PACKAGE / part)
        for mutant in mutants(path)
    ]
    sample = rng.sample(found, min(count, len(found)))
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "copy"
        shutil.copytree(ROOT, copied, ignore=shutil.ignore_patterns(".git", "__pycache__", ".*_cache", ".hypothesis"))
        for number, (mutant, tests) in enumerate(sample, 1):
            if not killed(mutant, copied, tests):
                survivors += 1
                print(
                    f"survives  {mutant.path.relative_to(ROOT / PACKAGE)}:{mutant.line}  {mutant.what}{why(mutant)}",
                    flush=True,
                )
            if number % 10 == 0:
                print(f"{number} of {len(sample)}: {number - survivors} killed", file=sys.stderr, flush=True)
    print(
        f"{len(sample)} of {len(found)} mutants: {len(sample) - survivors} killed, {(len(sample) - survivors) / len(sample):.0%}"
    )
    return 0 if len(sample) - survivors >= AIM * len(sample) else 1


def files(path: Path) -> list[Path]:
    """Return the modules of a folder, or the single file."""
    return [path] if path.suffix else sorted(path.glob("*.py"))


if __name__ == "__main__":
    sys.exit(main())
