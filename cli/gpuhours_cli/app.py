"""All commands together, and the one place where errors become exit codes.

typer is imported on first use, after ``main`` has raised the garbage collector's threshold.
"""

from __future__ import annotations

import errno
import functools
import gc
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import typer

EXTRAS = {
    "pyarrow": "sweep",
    "altair": "plot",
    "vl_convert": "plot",
    "distributed": "dask",
    "dask": "dask",
    "pypdf": "pdf",
}
"""Packages that a plain install omits -> the extra that installs them."""
MOST_SAID = 200
"""Longest excerpt of an unexpected exception that is shown, in characters."""
REPORT = "Report the command and its files on the project's issue tracker; GPUHOURS_TRACEBACK=1 shows where it failed."


def registered(names: Iterable[str] | None = None) -> typer.Typer:
    """The command line with these commands registered, or all of them (registering all takes as long as importing typer)."""
    from gpuhours_cli.root import COMMANDS, app

    for module in dict.fromkeys(COMMANDS[name].module for name in (COMMANDS if names is None else names)):
        importlib.import_module(f"gpuhours_cli.{module}")
    return app


def command_line(words: list[str]) -> Any:
    """The commands that a command line needs, built."""
    app = registered(needed(words))
    return _built(len(app.registered_commands) + len(app.registered_groups))


@functools.cache
def _built(commands: int) -> Any:
    """The commands registered so far (``commands`` of them), built once per process: building takes longer than most commands."""
    from typer.main import get_command

    from gpuhours_cli.root import app

    return get_command(app)


def needed(words: list[str]) -> Iterable[str]:
    """The commands that a command line needs: the one it names, none for the list of commands, otherwise all."""
    from gpuhours_cli.root import COMMANDS, HELP

    if "_GPUHOURS_COMPLETE" in os.environ:  # a shell completes a command line
        return COMMANDS
    if not words or words[0] in HELP:
        return ()
    return words[:1] if words[0] in COMMANDS else COMMANDS


def said(fault: Exception) -> str:
    """The exception and where it was raised, on one line."""
    last = traceback.extract_tb(fault.__traceback__)[-1]
    what = " ".join(f"{type(fault).__name__}: {fault}".split())[:MOST_SAID]
    return f"{what}, {os.path.basename(last.filename)}:{last.lineno}"


def refuse_unseen(words: list[str]) -> None:
    """Refuse arguments with invisible characters before an error message repeats them."""
    from gpuhours.inputs.errors import EstimateError
    from gpuhours_cli.output import printable

    for word in words:
        if printable(word) != word:
            raise EstimateError("This contains invisible characters.", "Remove them.", printable(word)[:MOST_SAID])


def main() -> None:
    """Run a command. Exit code 0: fine, 1: the answer is no, 2: bad input, 3: a bug in gpuhours.

    The process is the command's own: the collector's threshold, the environment and the filter of warnings hold for all of it. Who imports
    ``gpuhours``, or this module, keeps theirs.
    """
    gc.set_threshold(1_000_000)  # imported objects stay alive: collecting meanwhile costs a tenth of the start-up time
    os.environ.setdefault(
        "OPENBLAS_NUM_THREADS", "1"
    )  # matrices are small: with more threads, waiting takes longer than the work
    os.environ.setdefault(
        "PYDANTIC_DISABLE_PLUGINS", "1"
    )  # no plugins are used; searching for them reads every installed package
    warnings.filterwarnings("ignore", category=RuntimeWarning)  # overflowing values are printed as unknown
    from gpuhours.inputs.errors import Contradiction, EstimateError
    from gpuhours_cli.output import printable

    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the parent process
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    try:
        refuse_unseen(sys.argv[1:])
        command_line(sys.argv[1:])(prog_name="gpuhours")
    except EstimateError as error:
        lines = [line for line in (error.where, error.problem, error.hint) if line]
        sys.stderr.write(printable("error: " + "\n  ".join(lines)) + "\n")
        raise SystemExit(1 if isinstance(error, Contradiction) else 2) from None
    except Exception as fault:
        message = machine_fault(fault)
        if message is None and os.environ.get("GPUHOURS_TRACEBACK"):
            raise
        sys.stderr.write(
            message or printable(f"error: gpuhours itself failed ({said(fault)}): this is a bug. {REPORT}") + "\n"
        )
        raise SystemExit(3 if message is None else 2) from None
    finally:
        gc.freeze()  # no collection at exit either: the process is ending


def machine_fault(fault: Exception) -> str | None:
    """The message about a fault of the machine (a name too long, a full disk, a package that is not installed); None for a bug."""
    from gpuhours_cli.output import FULL

    if isinstance(fault, OSError) and fault.errno == errno.ENAMETOOLONG:
        return "error: No such file: the name is too long.\n"
    if isinstance(fault, OSError) and fault.errno in FULL:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the rest of the buffer is discarded
        return f"error: The answer cannot be written: {fault.strerror}.\n  Free some space, or write it elsewhere.\n"
    if isinstance(fault, ModuleNotFoundError) and not os.environ.get("GPUHOURS_TRACEBACK"):
        extra = EXTRAS.get((fault.name or "").partition(".")[0])
        if extra is not None:
            return f"error: This needs the package {fault.name}.\n  pip install 'gpuhours[{extra}]' installs it.\n"
    return None
