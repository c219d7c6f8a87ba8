"""Keeps what was made of the included files as Python keeps compiled modules: parsing and validating them takes a tenth of an estimate.

A compiled file stands where Python puts a module's: in ``__pycache__`` beside the file, or under ``PYTHONPYCACHEPREFIX``. It begins with a
hash of the text and of the code that it was made from, so after a change of either it is made anew. Nothing depends on it: under
``PYTHONDONTWRITEBYTECODE``, or where the folder is read-only, every process parses the text. ``pip uninstall`` does not know these files
and leaves them behind in their ``__pycache__`` folders; the README says which folders to delete then.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from importlib.util import cache_from_source, source_hash
from pathlib import Path
from typing import Any, TypeVar

from pydantic import VERSION

Made = TypeVar("Made")


def compiled(path: Path, text: bytes, make: Callable[[], Made], kind: str = "") -> Made:
    """What ``make`` makes of ``text``, the contents of ``path``; from the compiled file if the same code made that from the same text.
    ``kind`` tells apart several things made of one file."""
    stored, stamp = compiled_file(path, kind), source_hash(own_code() + text)
    kept = None if stored is None else _read(stored, stamp)
    if kept is not None:
        return kept[0]
    made = make()
    if stored is not None and not sys.dont_write_bytecode:
        with suppress(OSError):  # a read-only or full disk
            _write(stored, stamp + pickle.dumps((made,), pickle.HIGHEST_PROTOCOL))
    return made


@cache
def own_code() -> bytes:
    """A hash of the date, size and place of the modules of this package below its ``questions``, and of pydantic's version. Python tells a
    changed module by its date and size; an installer may give every release the same date, but not the same place on the disk and time of
    writing. Nothing that is kept is made by ``questions``, the upper half of the modules: they are not looked at, which takes time."""
    stats = sorted((entry.path, entry.stat()) for entry in _modules(Path(__file__).parents[1]))
    seen = [(path, one.st_mtime_ns, one.st_size, one.st_ino, one.st_ctime_ns) for path, one in stats]
    return source_hash(repr((VERSION, seen)).encode())


def _modules(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    """Every Python file in a folder and those inside it, but ``questions``."""
    for entry in os.scandir(folder):
        if entry.name.endswith(".py"):
            yield entry
        elif "." not in entry.name and entry.name not in ("__pycache__", "questions") and entry.is_dir():
            yield from _modules(entry.path)


def compiled_file(path: Path, kind: str = "") -> Path | None:
    """Where something made of a file is kept; None if this Python keeps none."""
    try:
        return Path(cache_from_source(f"{path}{kind}.py")).with_suffix(".pickle")
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
    from tempfile import NamedTemporaryFile  # imported only where something is kept

    stored.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=stored.parent, prefix=f"{stored.stem}.", suffix=".draft", delete=False) as draft:
        try:
            draft.write(content)
            draft.close()
            os.replace(draft.name, stored)
        except BaseException:
            os.unlink(draft.name)
            raise
