"""Keeps what was parsed from the included files as Python keeps compiled modules, since parsing them takes a tenth of a short command.

A compiled file stands where Python puts a module's: in ``__pycache__`` beside the file, or under ``PYTHONPYCACHEPREFIX``. It begins with a
hash of the text that it was made from, so an edited file is parsed again, whatever its date. Nothing depends on it: under
``PYTHONDONTWRITEBYTECODE``, or where the folder is read-only, every process parses the text.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.util import cache_from_source, source_hash
from pathlib import Path
from typing import Any, TypeVar

Parsed = TypeVar("Parsed")

FORMAT = b"1"
"""Part of the hash. Change it whenever the same text is parsed into something else."""


def compiled(path: Path, text: bytes, parse: Callable[[], Parsed]) -> Parsed:
    """What ``parse`` makes of ``text``, the contents of ``path``; from the compiled file if that was made from the same text."""
    stored, stamp = compiled_file(path), source_hash(FORMAT + text)
    kept = None if stored is None else _read(stored, stamp)
    if kept is not None:
        return kept[0]
    parsed = parse()
    if stored is not None and not sys.dont_write_bytecode:
        with suppress(OSError):  # a read-only or full disk
            _write(stored, stamp + pickle.dumps((parsed,), pickle.HIGHEST_PROTOCOL))
    return parsed


def compiled_file(path: Path) -> Path | None:
    """Where the compiled form of a file is kept; None if this Python keeps none."""
    try:
        return Path(cache_from_source(f"{path}.py")).with_suffix(".pickle")
    except NotImplementedError:
        return None


def _read(stored: Path, stamp: bytes) -> tuple[Any] | None:
    """The contents of a compiled file, in a tuple; None if it is absent, damaged or made from another text."""
    try:
        content = stored.read_bytes()
        return pickle.loads(content[len(stamp) :]) if content.startswith(stamp) else None
    except Exception:  # a damaged pickle raises errors of any kind
        return None


def _write(stored: Path, content: bytes) -> None:
    """Write a file in one piece, so that a process which reads it meanwhile sees the old one or the new one."""
    stored.parent.mkdir(parents=True, exist_ok=True)
    draft = stored.with_suffix(f".{os.getpid()}")
    try:
        draft.write_bytes(content)
        os.replace(draft, stored)
    finally:
        draft.unlink(missing_ok=True)
