"""Where answers and errors go: stdout for the answer, stderr for the rest; JSON, a table or one line."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the answer only.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")]


class Answer(Protocol):
    """What every command returns: frozen, and able to say itself as JSON."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON document."""
        ...


def console() -> Console:
    """The console for answers: 80 columns where nothing says otherwise; no colour in a pipe or under NO_COLOR."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 80
    return Console(
        width=width, highlight=False, soft_wrap=False, emoji=False, markup=False
    )  # texts of users are no markup


def emit(
    result: Answer, screen: Callable[[], RenderableType], *, as_json: bool, answer: Callable[[], str] | None = None
) -> None:
    """Print ``result`` as JSON, as one line (``answer``, under ``--quiet``) or as a screen."""
    if as_json:
        written(json.dumps(finite(result.to_dict()), indent=2, allow_nan=False) + "\n")
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


DIGITS = 10
"""Significant digits of a number in JSON: what lies behind them differs between versions of Python and of libraries, as sums do.
Whole numbers stay as they are."""


def finite(value: Any) -> Any:
    """The same as every machine says it: null for what is no finite number (a figure that overflowed is not known), the rest rounded."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    if not isinstance(value, float) or (value.is_integer() and abs(value) < 1e15):
        return value
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""What moves a cursor, turns text round or is not seen: never printed as it is."""


def printable(text: str, *, coloured: bool = False) -> str:
    """The text with every sign that is not seen written out (``\\u202e``); colours that we set ourselves stay."""
    parts = COLOUR.split(text) if coloured else [text]
    return "".join(
        part
        if coloured and COLOUR.fullmatch(part)
        else UNSEEN.sub(lambda sign: sign[0].encode("unicode_escape").decode(), part)
        for part in parts
    )


def written(text: str) -> None:
    """Write to stdout; a reader that has seen enough (``| head``) is no error, a terminal without a sign for a bar neither."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        sys.stdout.write(printable(text, coloured=sys.stdout.isatty()))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def unused(path: Path | None, force: bool, option: str = "-o") -> None:
    """Refuse, before any work, to write over a file that is there already, unless told to."""
    from gpuhours.inputs.errors import EstimateError

    if path is not None and path.is_file() and not force:  # /dev/stdout and pipes are there to be written to
        raise EstimateError("The file exists.", "--force replaces it.", f"{option} {path}")


FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
"""Errors of the disk, not of ours."""


def saved(content: str | bytes, path: Path, option: str = "-o") -> None:
    """Write a file that a command was asked for by an option, over an older one, whole or not at all; where that cannot be, say why."""
    from gpuhours.inputs.errors import EstimateError

    plain = not path.exists() or path.is_file()  # not /dev/stdout or a pipe
    target = path.resolve() if plain else path
    draft = target.with_name(f".{target.name}.{os.getpid()}") if plain else target
    try:
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
            "Make room, or name a file elsewhere."
            if error.errno in FULL
            else "Name a file in a folder that exists and can be written to.",
            f"{option} {path}",
        ) from None
