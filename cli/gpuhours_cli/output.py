"""Where answers and errors go: stdout for the answer, stderr for the rest; JSON, a table or one line."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="The answer alone.")]


class Result(Protocol):
    """What every command returns: frozen, and able to say itself as JSON."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON document."""
        ...


def console() -> Console:
    """The console for answers: 80 columns where nothing says otherwise; no colour in a pipe or under NO_COLOR."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 80
    return Console(width=width, highlight=False, soft_wrap=False, emoji=False)


def emit(
    result: Result, screen: Callable[[], RenderableType], *, as_json: bool, answer: Callable[[], str] | None = None
) -> None:
    """Print ``result`` as JSON, as one line (``answer``, under ``--quiet``) or as a screen."""
    if as_json:
        written(json.dumps(result.to_dict(), indent=2, allow_nan=False) + "\n")
    elif answer is not None:
        written(answer() + "\n")
    else:
        shown(screen())


def shown(screen: RenderableType) -> None:
    """Print a screen, coloured only for a terminal."""
    paper = console()
    with paper.capture() as captured:
        paper.print(screen)
    written(captured.get())


def written(text: str) -> None:
    """Write to stdout; a reader that has seen enough (``| head``) is no error, a terminal without a sign for a bar neither."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def saved(text: str, path: Path) -> None:
    """Write a file that a command was asked for, over an older one; where that cannot be, say why."""
    from gpuhours.inputs.errors import EstimateError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EstimateError(
            f"cannot be written: {error.strerror}", "Name a file in a folder that exists.", f"-o {path}"
        ) from None
