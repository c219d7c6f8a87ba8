"""All commands together, and the one place where errors become exit codes.

typer is imported where it is first needed, when ``main`` has told the garbage collector to wait.
"""

from __future__ import annotations

import errno
import gc
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

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
"""Packages that a plain install leaves out -> the extra that brings them."""
MOST_SAID = 200
"""Characters of an unexpected exception that are shown."""
REPORT = "Report the command and its files on the project's issue tracker; GPUHOURS_TRACEBACK=1 shows where it failed."


def registered(names: Iterable[str] | None = None) -> typer.Typer:
    """The command line with these commands, or all: building all takes as long as importing typer."""
    from gpuhours_cli.root import COMMANDS, app

    for module in dict.fromkeys(COMMANDS[name].module for name in (COMMANDS if names is None else names)):
        importlib.import_module(f"gpuhours_cli.{module}")
    return app


def needed(words: list[str]) -> Iterable[str]:
    """The commands that a command line asks for: the one it names, none for the list of them, else all."""
    from gpuhours_cli.root import COMMANDS, HELP

    if "_GPUHOURS_COMPLETE" in os.environ:  # a shell asks what may follow
        return COMMANDS
    if not words or words[0] in HELP:
        return ()
    return words[:1] if words[0] in COMMANDS else COMMANDS


def said(fault: Exception) -> str:
    """What went wrong and where, on one line."""
    last = traceback.extract_tb(fault.__traceback__)[-1]
    what = " ".join(f"{type(fault).__name__}: {fault}".split())[:MOST_SAID]
    return f"{what}, {os.path.basename(last.filename)}:{last.lineno}"


def refuse_unseen(words: list[str]) -> None:
    """Refuse words with signs that are not seen, before an error of the command line repeats them."""
    from gpuhours.inputs.errors import EstimateError
    from gpuhours_cli.output import printable

    for word in words:
        if printable(word) != word:
            raise EstimateError("This has signs that are not seen.", "Leave them out.", printable(word)[:MOST_SAID])


def main() -> None:
    """Run a command: 0 fine, 1 the answer is no, 2 bad input, 3 our own fault."""
    gc.set_threshold(100_000)  # what imports make stays: looking for garbage in between costs a tenth of the start
    os.environ.setdefault(
        "OPENBLAS_NUM_THREADS", "1"
    )  # matrices are small: threads wait for each other longer than they work
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")  # none is used; looking for them reads every package
    warnings.filterwarnings("ignore", category=RuntimeWarning)  # what overflows is printed as not known
    from gpuhours.inputs.errors import Contradiction, EstimateError
    from gpuhours_cli.output import FULL, printable

    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    try:
        refuse_unseen(sys.argv[1:])
        registered(needed(sys.argv[1:]))(prog_name="gpuhours")
    except EstimateError as error:
        lines = [line for line in (error.where, error.problem, error.hint) if line]
        sys.stderr.write(printable("error: " + "\n  ".join(lines)) + "\n")
        raise SystemExit(1 if isinstance(error, Contradiction) else 2) from None
    except Exception as fault:
        if isinstance(fault, OSError) and fault.errno == errno.ENAMETOOLONG:
            sys.stderr.write("error: No such file: the name is too long.\n")
            raise SystemExit(2) from None
        if isinstance(fault, OSError) and fault.errno in FULL:
            sys.stderr.write(
                f"error: The answer cannot be written: {fault.strerror}.\n  Make room, or send it elsewhere.\n"
            )
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left in the buffer goes nowhere
            raise SystemExit(2) from None
        if os.environ.get("GPUHOURS_TRACEBACK"):
            raise
        missing = fault.name if isinstance(fault, ModuleNotFoundError) else None
        extra = EXTRAS.get((missing or "").partition(".")[0])
        if extra is not None:
            sys.stderr.write(
                f"error: This needs the package {missing}.\n  pip install 'gpuhours[{extra}]' brings it.\n"
            )
            raise SystemExit(2) from None
        sys.stderr.write(
            printable(f"error: gpuhours itself failed ({said(fault)}): our fault, not yours. {REPORT}") + "\n"
        )
        raise SystemExit(3) from None
    finally:
        gc.freeze()  # nor is anything left worth looking for: the process ends
