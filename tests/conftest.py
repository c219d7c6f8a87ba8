"""What all tests share: the command line run in this process, as a user would see it."""

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
    """Exit code and what was printed."""

    code: int
    out: str
    err: str


os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line has it: workers share the processors
gc.set_threshold(100_000)  # likewise: what imports and collected tests make stays
Command = Callable[..., Ran]
LLAMA = ("--model", "llama-3-8b", "--tokens", "1T", "--gpu", "h100-sxm-80gb", "--gpus", "64")
"""Flags of a run that leaves most of it open."""
ONE_RANK = (
    "--tensor", "1", "--pipeline", "1", "--context", "1", "--microbatch", "1", "--sharding", "none", "--recompute", "none",
)  # fmt: skip
"""Flags of a layout that shares nothing out."""
TOGETHER = {
    "published runs": re.compile(
        r"test_validation\.py|test_generic_names|test_published_memory|test_profiles_say_where"
    ),
    "documents": re.compile("reproduce"),
    "texts": re.compile(r"test_claims_(reading|verdict|file)\.py"),
    "calibrations": re.compile("calibrat|observed"),
    "schemas": re.compile(r"test_(schemas|completion|idle_keys|reference)\.py"),
    "processes": re.compile(r"test_sweep_(engines|files|faults)|test_same_answer|test_notebook"),
}
"""Tests of several modules that share what is long in the making (``tests.published``, ``tests.read_texts``, ``_worked_out_once``,
``listing.schemas.used``), or that mostly wait."""
LONGEST = (
    "published runs", "processes", "schemas", "documents", "calibrations", "tests/questions/validating/test_totals.py",
    "tests/cli/test_readme.py", "tests/cli/test_golden_screens.py",
)  # fmt: skip
"""What begins first, so that both workers end together: by itself pytest-xdist begins with what has most tests, and these have few."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """What tests share is worked out in one process: those of a module stay together, and those of ``TOGETHER``; ``LONGEST`` first."""
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
    """The documents that ship, and a measured run's step on each of forty stacks: several tests print what is worked out once. What they
    print of it is their own."""
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
    """``gpuhours_command("estimate", "--params", "30B")`` -> exit code, stdout, stderr; 80 columns, no colour."""
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
