"""All commands together, and the one place where errors become exit codes."""

from __future__ import annotations

import gc
import os
import sys

from gpuhours_cli import (
    check,
    compare,
    estimate,
    hardware,
    init,
    interchange,
    models,
    plan,
    prices,
    report,
    reproduce,
    schema,
    software,
    sweep,
    trace,
    validate,
)
from gpuhours_cli.root import app

COMMANDS = (
    estimate,
    reproduce,
    check,
    sweep,
    plan,
    compare,
    report,
    trace,
    validate,
    hardware,
    software,
    models,
    prices,
    schema,
    interchange,
    init,
)
"""The modules whose commands ``app`` holds; importing one registers it."""


def main() -> None:
    """Run a command: 0 fine, 1 the answer is no, 2 bad input."""
    gc.set_threshold(100_000)  # what imports make stays: looking for garbage in between costs a tenth of the start
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")  # none is used; looking for them reads every package
    from gpuhours.inputs.errors import Contradiction, EstimateError

    try:
        app(prog_name="gpuhours")
    except EstimateError as error:
        lines = [line for line in (error.where, error.problem, error.hint) if line]
        sys.stderr.write("error: " + "\n  ".join(lines) + "\n")
        raise SystemExit(1 if isinstance(error, Contradiction) else 2) from None
    finally:
        gc.freeze()  # nor is anything left worth looking for: the process ends
