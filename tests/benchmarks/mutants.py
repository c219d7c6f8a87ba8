"""Mutation testing on a sample: change one detail of an equation at a time and check that the tests of its folder fail.

    python -m tests.benchmarks.mutants [MUTANTS] [SEED] [AREA ...]

An area is a key of ``TESTS``, and MUTANTS are drawn from each area named; without an area, they are drawn from all areas together. The
tests of an area are collected once. For each mutant, a fork of this process gives the function its changed code and runs the tests, the
quickest first, until one fails. A mutant that survives this, or is outside every function (a table, a default), is written into a copy
of the tree and tested with fresh imports: its function may run only while modules are imported. Survivors are printed with their line;
exit code 1 if fewer than ``AIM`` of an area are killed.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "estimator/gpuhours"
TESTS: dict[str, tuple[str, ...]] = {
    "kernels": ("tests/kernels",), "layout": ("tests/layout",), "step": ("tests/step",), "memory": ("tests/memory",),
    "flops.py": ("tests/test_flops.py",), "cost": ("tests/cost",), "run/identities.py": ("tests/run/test_identities.py",),
}  # fmt: skip
"""Code to change -> the corresponding tests, which are the only ones run."""
EQUIVALENT: dict[tuple[str, str], str] = {
    ("kernels/gemm.py", "SMALL = 4096"): "both ways of computing three GEMMs give the same times",
    ("kernels/gemm.py", "TILES.T.reshape(2, -1"): "NumPy finds the size that is meant for any negative number",
    ("flops.py", "np.greater(length, 0), length, 1)"): "a sequence of no token has no FLOPs, whatever its number is divided by",
    ("layout/placement.py", "(missing == 2) & (p > 2)"): "of two stages at most one lacks a layer",
    ("layout/choices.py", "= 6"): "a word's code may be any number that no other word has",
    ("step/state.py", "np.greater(part.vocabulary, 0), workload.loss_blocks"): "a vocabulary of one word has no loss",
    ("step/compute.py", "np.greater(part.vocabulary, 0), 0.0, 4.0 * scale"): "a vocabulary of one word has no loss",
    ("step/compute.py", "light.total, 1e-12"): "no pass takes a picosecond; the limit is there for an empty one",
    ("step/communication.py", "np.asarray(experts[0].active"): "both GEMMs of an expert see the same tokens",
    ("memory/states.py", "(precision.master > 0) * sharded_from"): "a master copy has 4 bytes, or there is none",
    ("memory/advice.py", "float(np.max(workload.cluster.gpus))"): "advice is for one run, with one number of accelerators",
    ("cost/power.py", "if stopped >= 0.005"): "a share of exactly half a per cent may be named or not",
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
    function: str
    """``name`` or ``Class.name`` of the function that is changed; empty outside every function."""
    what: str
    text: str


@dataclass(frozen=True)
class Site:
    """A place of a file where a change can be made: the number of a node of the syntax tree, and the kind of change."""

    path: Path
    place: int
    kind: str

    def mutant(self) -> Mutant | None:
        """Make the change; None if the text stays the same."""
        whole = ast.parse(self.path.read_text(encoding="utf-8"))
        node = next(itertools.islice(ast.walk(whole), self.place, None))
        function, before = owner(whole, node), ast.unparse(node)
        change(node, self.kind)
        after = ast.unparse(node)
        line = getattr(node, "lineno", 0)
        return (
            None
            if before == after
            else Mutant(
                self.path, line, function, f"{before}  ->  {after}", ast.unparse(ast.fix_missing_locations(whole))
            )
        )


def sites(path: Path) -> Iterator[Site]:
    """Return every place of a file where a change can be made."""
    whole = ast.parse(path.read_text(encoding="utf-8"))
    annotations = {id(inner) for node in ast.walk(whole) for name in ("annotation", "returns")
                   if isinstance(part := getattr(node, name, None), ast.AST) for inner in ast.walk(part)}  # fmt: skip
    for place, node in enumerate(ast.walk(whole)):
        for kind in () if id(node) in annotations else changes(node):
            yield Site(path, place, kind)


def owner(whole: ast.Module, node: ast.AST) -> str:
    """Return the name of the outermost function whose body holds a node, empty if none."""
    named = [(one.name, one) for one in whole.body if isinstance(one, ast.FunctionDef)]
    named += [(f"{kind.name}.{one.name}", one) for kind in whole.body if isinstance(kind, ast.ClassDef)
              for one in kind.body if isinstance(one, ast.FunctionDef)]  # fmt: skip
    return next(
        (name for name, one in named for part in one.body for inner in ast.walk(part) if inner is node),
        "",
    )


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


def give_code(mutant: Mutant) -> None:
    """Give the loaded function its changed code, which every module that imported it then runs."""
    module = importlib.import_module(".".join(mutant.path.relative_to(ROOT / "estimator").with_suffix("").parts))
    found: Any = module
    for name in mutant.function.split("."):
        found = found.__dict__[name]
    for inner in ("fget", "__func__", "func"):  # a property, a class or static method, a cached property
        found = getattr(found, inner, found)
    function = inspect.unwrap(found)
    assert isinstance(function, FunctionType), mutant.function
    function.__code__ = code_of(compile(mutant.text, str(mutant.path), "exec"), mutant.function)


def code_of(code: CodeType, name: str) -> CodeType:
    """Return the code of a function of a module or of one of its classes."""
    for part in name.split("."):
        code = next(one for one in code.co_consts if isinstance(one, CodeType) and one.co_name == part)
    return code


@dataclass
class Judge:
    """A pytest plugin that, in place of running the collected tests once, runs them for each mutant."""

    sample: Sequence[Mutant]
    tests: tuple[str, ...]
    copied: Path
    survivors: list[Mutant] = field(default_factory=list)
    order: list[pytest.Item] = field(default_factory=list)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Time the tests, then judge each mutant."""
        seconds = self.seconds(session)
        self.order = sorted(
            (item for item in session.items if item.nodeid in seconds), key=lambda item: seconds[item.nodeid]
        )
        print(f"\n{len(self.order)} of {len(session.items)} tests pass, {sum(seconds.values()):.0f} s", file=sys.stderr)
        for number, mutant in enumerate(self.sample, 1):
            if not (self.killed(session, mutant) or killed(mutant, self.copied, self.tests)):
                self.survivors.append(mutant)
                print(
                    f"survives  {mutant.path.relative_to(ROOT / PACKAGE)}:{mutant.line}  {mutant.what}{why(mutant)}",
                    flush=True,
                )
            if number % 10 == 0:
                print(
                    f"{number} of {len(self.sample)}: {number - len(self.survivors)} killed",
                    file=sys.stderr,
                    flush=True,
                )
        return True

    def seconds(self, session: pytest.Session) -> dict[str, float]:
        """CPU time (s) of each test that passes unchanged, as measured in a fork."""
        with tempfile.TemporaryFile("w+") as told:
            child = os.fork()
            if child == 0:
                silence()
                times: dict[str, float] = {}
                for item, after in zip(session.items, [*session.items[1:], None], strict=True):
                    failed, begun = session.testsfailed, time.process_time()
                    item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
                    if session.testsfailed == failed:
                        times[item.nodeid] = time.process_time() - begun
                json.dump(times, told)
                told.flush()
                os._exit(0)
            os.waitpid(child, 0)
            told.seek(0)
            return dict(json.load(told))

    def killed(self, session: pytest.Session, mutant: Mutant) -> bool:
        """Whether a test fails in a fork that was given the mutant's code; False outside functions, which only fresh imports run."""
        if not mutant.function:
            return False
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0
        silence()
        resource.setrlimit(resource.RLIMIT_CPU, (LONGEST, LONGEST))
        give_code(mutant)
        failed = session.testsfailed
        for item, after in zip(self.order, [*self.order[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if session.testsfailed > failed:
                os._exit(1)
        os._exit(0)


def silence() -> None:
    """Send what this process prints nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def killed(mutant: Mutant, copied: Path, tests: tuple[str, ...]) -> bool:
    """Whether the tests of the mutant's area fail in a copy of the tree."""
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


def drawn(areas: Sequence[str], count: int, rng: random.Random) -> dict[str, list[Mutant]]:
    """Draw so many mutants from the areas together, and return them by area."""
    found = [(area, site) for area in areas for path in files(ROOT / PACKAGE / area) for site in sites(path)]
    rng.shuffle(found)
    made = ((area, mutant) for area, site in found if (mutant := site.mutant()) is not None)
    sample: dict[str, list[Mutant]] = {}
    for area, mutant in itertools.islice(made, count):
        sample.setdefault(area, []).append(mutant)
    return sample


def main() -> int:
    """Draw a sample, test it and print the result."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 150
    seed, named = (sys.argv[2] if len(sys.argv) > 2 else "0"), sys.argv[3:]
    samples = [drawn([area], count, random.Random(seed)) for area in named] or [
        drawn(list(TESTS), count, random.Random(seed))
    ]
    enough = True
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "copy"
        shutil.copytree(ROOT, copied, ignore=shutil.ignore_patterns(".git", "__pycache__", ".*_cache", ".hypothesis"))
        for sample in samples:
            survivors = sum(survived(area, mutants, copied) for area, mutants in sample.items())
            total = sum(len(mutants) for mutants in sample.values())
            print(
                f"{', '.join(sample)}: {total} mutants, {total - survivors} killed, {(total - survivors) / total:.0%}",
                flush=True,
            )
            enough = enough and total - survivors >= AIM * total
    return 0 if enough else 1


def survived(area: str, mutants: Sequence[Mutant], copied: Path) -> int:
    """Return how many mutants of an area survive its tests."""
    judge = Judge(mutants, TESTS[area], copied)
    pytest.main(
        ["-q", "-s", "-n", "0", "-p", "no:cacheprovider", *(str(ROOT / test) for test in TESTS[area])], plugins=[judge]
    )
    return len(judge.survivors)


def files(path: Path) -> list[Path]:
    """Return the modules of a folder, or the single file."""
    return [path] if path.suffix else sorted(path.glob("*.py"))


if __name__ == "__main__":
    sys.exit(main())
