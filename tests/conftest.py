"""What all tests share: the command line run in this process, as a user would see it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Ran:
    """Exit code and what was printed."""

    code: int
    out: str
    err: str


os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line has it: workers share the processors
Command = Callable[..., Ran]
LLAMA = ("--model", "llama-3-8b", "--tokens", "1T", "--gpu", "h100-sxm-80gb", "--gpus", "64")
"""Flags of a run that leaves most of it open."""
ONE_RANK = (
    "--tensor", "1", "--pipeline", "1", "--context", "1", "--microbatch", "1", "--sharding", "none", "--recompute", "none",
)  # fmt: skip
"""Flags of a layout that shares nothing out."""


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
