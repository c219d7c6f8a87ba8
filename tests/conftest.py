"""Shared by all tests: a fixture that runs the command line in this process, and the distribution of tests over workers."""

from __future__ import annotations

import functools
import gc
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True)
class Ran:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each of the hundred programs that tests start compiles all
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does, because the workers share the processors
gc.set_threshold(100_000)  # as the command line does: objects created by imports and test collection are permanent
Command = Callable[..., Ran]
LLAMA = ("--model", "llama-3-8b", "--tokens", "1T", "--gpu", "h100-sxm-80gb", "--gpus", "64")
"""Flags of a run that leave most of its settings open."""
ONE_RANK = (
    "--tensor", "1", "--pipeline", "1", "--context", "1", "--microbatch", "1", "--sharding", "none", "--recompute", "none",
)  # fmt: skip
"""Flags of a layout without parallelism other than data-parallel, sharding or recomputation."""
TOGETHER = {
    "published runs": re.compile(
        r"validating/test_(validation|ranges)\.py|test_generic_names|test_published_memory|test_profiles_say_where"
    ),
    "documents": re.compile("reproduce"),
    "texts": re.compile(r"test_claims_(reading|verdict|file)\.py"),
    "calibrations": re.compile("calibrat|observed"),
    "schemas": re.compile(r"test_(schemas|completion|idle_keys|reference)\.py"),
    "processes": re.compile(r"test_sweep_(engines|files|faults)|test_same_answer|test_notebook"),
}
"""Test modules to run in one worker, because they share slow computations (``tests.published``, ``tests.read_texts``,
``_worked_out_once``, ``listing.schemas.used``) or mostly wait."""
LONGEST = (
    "published runs", "processes", "schemas", "documents", "calibrations", "tests/questions/validating/test_totals.py",
    "tests/cli/test_readme.py", "tests/cli/test_golden_screens.py",
)  # fmt: skip
"""Groups that start first, so that both workers finish together: pytest-xdist starts with the groups of most tests, and these have few."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Run the tests of each module and each ``TOGETHER`` group in one process, so that they share results; start ``LONGEST`` first."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _assign_work_unit(self, node: Any) -> None:
            longest = next((scope for scope in LONGEST if scope in self.workqueue), None)
            if longest is not None:
                self.workqueue.move_to_end(longest, last=False)
            super()._assign_work_unit(node)

        def _split_scope(self, nodeid: str) -> str:
            own = nodeid.partition("::")[0]
            return next((name for name, members in TOGETHER.items() if members.search(nodeid)), own)

    return Together(config, log)


@pytest.fixture(autouse=True, scope="session")
def _worked_out_once() -> Iterator[None]:
    """Cache two slow results that several tests use: the reproduced documents that ship, and a measured run's step on each of forty stacks.

    Only the results are shared; each test formats its own output.
    """
    from gpuhours.questions.calibrating import observed
    from gpuhours.questions.reproducing import working

    shipped, anew = set(working.document_paths().values()), working.reproduce_file
    once = functools.cache(anew)
    steps: dict[tuple[str, observed.Candidate], float | None] = {}
    predicted = observed.ObservedRun._predicted

    def on_stack(self: observed.ObservedRun, stack: observed.Candidate) -> float | None:
        key = self.run.model_dump_json(warnings=False), stack
        if key not in steps:
            steps[key] = predicted(self, stack)
        return steps[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(working, "reproduce_file", lambda path: once(path) if path in shipped else anew(path))
        patch.setattr(observed.ObservedRun, "_predicted", on_stack)
        yield


@pytest.fixture
def gpuhours_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command, ``gpuhours_command("estimate", "--params", "30B")`` -> exit code, stdout, stderr; 80 columns, no colour."""
    from gpuhours_cli.app import main

    def run(*arguments: str, columns: int = 80) -> Ran:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setattr(sys, "argv", ["gpuhours", *arguments])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run
