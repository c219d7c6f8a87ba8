"""Where output goes: stdout for the answer, stderr for everything else; JSON, a table or one line."""

from __future__ import annotations

import errno
import io
import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from gpuhours.inputs.visible import visible

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the answer only.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")]


class Answer(Protocol):
    """What every command returns: a frozen object that can be written as JSON."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON document."""
        ...


def console() -> Console:
    """The console for stdout: 80 columns in a pipe unless ``COLUMNS`` is set; no colour in a pipe or under NO_COLOR."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 80
    return Console(
        width=width, highlight=False, soft_wrap=False, emoji=False, markup=False
    )  # users' texts are not markup


def emit(
    result: Answer, screen: Callable[[], RenderableType], *, as_json: bool, answer: Callable[[], str] | None = None
) -> None:
    """Print ``result`` as JSON, as one line (``answer``, under ``--quiet``) or as a screen."""
    if as_json:
        import json

        written(json.dumps(finite(result.to_dict()), indent=2, allow_nan=False) + "\n")
    elif answer is not None:
        written(answer() + "\n")
    else:
        shown(screen())


def shown(screen: RenderableType) -> None:
    """Print a screen, coloured only for a terminal, without the spaces with which tables fill their last column."""
    paper = console()
    with paper.capture() as captured:
        paper.print(screen)
    written("".join(line.rstrip(" \n") + "\n" for line in captured.get().splitlines(keepends=True)))


DIGITS = 10
"""Significant digits of a float in JSON: the digits after these differ between versions of Python and libraries.
Whole numbers are unchanged."""


def finite(value: Any) -> Any:
    """A value for JSON, the same on every machine: floats rounded to ``DIGITS`` digits, None for non-finite ones (overflow: unknown)."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    if not isinstance(value, float) or (value.is_integer() and abs(value) < 1e15):
        return value
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")


def printable(text: str, *, coloured: bool = False) -> str:
    """The text with invisible characters escaped (``\\u202e``); our own colours are kept."""
    parts = COLOUR.split(text) if coloured else [text]
    return "".join(part if coloured and COLOUR.fullmatch(part) else visible(part) for part in parts)


def written(text: str) -> None:
    """Write to stdout; a closed pipe (``| head``) or a terminal that cannot show a character is not an error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        sys.stdout.write(printable(text, coloured=sys.stdout.isatty()))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def unused(path: Path | None, force: bool, option: str = "-o") -> None:
    """Refuse, before any work, to overwrite an existing file, unless ``force`` is given."""
    from gpuhours.inputs.errors import EstimateError

    if path is not None and path.is_file() and not force:  # /dev/stdout and pipes may be written to
        raise EstimateError("The file exists.", "--force overwrites it.", f"{option} {path}")


FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
"""Errors caused by the disk, not by gpuhours."""


def needs_output(output: Path | None, example: str, *, as_json: bool, force: bool) -> None:
    """Refuse to write nowhere, and over a file that exists unless ``force``; ``example`` names the option with a file."""
    from gpuhours.inputs.errors import EstimateError

    if output is None and not as_json:
        raise EstimateError("No output file is given.", f"For example: {example}", "-o")
    unused(output, force)


def delivered(result: Answer, text: str, output: Path | None, *, as_json: bool, quiet: bool) -> None:
    """Write a text to a file if one is given, and print the result as JSON, where the text is, or the text itself."""
    if output is not None:
        saved(text, output)
    if as_json:
        emit(result, str, as_json=True)
    elif output is None or not quiet:
        written(f"written to {output}\n" if output else text)


def saved(content: str | bytes, path: Path, option: str = "-o") -> None:
    """Write the file that an option asks for, atomically, replacing an older one; on failure, explain why."""
    from gpuhours.inputs.errors import EstimateError

    plain = not path.exists() or path.is_file()  # false for /dev/stdout or a pipe
    target = Path(os.path.realpath(path)) if plain else path
    draft = target.with_name(f".{target.name}.{os.getpid()}") if plain else target
    try:
        if plain and target.is_symlink():
            raise OSError(errno.ELOOP, "it is a link that leads back to itself")
        try:
            draft.write_bytes(content if isinstance(content, bytes) else printable(content).encode())
            if plain:
                os.replace(draft, target)
        finally:
            if plain:
                draft.unlink(missing_ok=True)
    except OSError as error:
        raise EstimateError(
            f"cannot be written: {error.strerror}",
            "Free some space, or name a file elsewhere."
            if error.errno in FULL
            else "Name a file in an existing, writable folder.",
            f"{option} {path}",
        ) from None
