"""A file that is written block by block and survives being killed at any moment.

Finished blocks are in ``FILE.parts/``, each moved there by one rename, so that a block is complete or absent. ``rows_so_far`` in that
folder is always a complete file of the first rows: it is joined from the blocks under another name and renamed over the old one, after
the first block and then whenever the rows have doubled, so that all joins together cost at most about twice the last. The last join has
every row, is the same whether or not the work was interrupted, and is the only one renamed to ``FILE``; then the folder is removed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.questions.sweeping.formats import Format, decoded

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST, LOCK, SO_FAR, FINISHED = "manifest.json", "lock", "rows_so_far", "finished"
REPLACES = "replaces a file"
"""Key of the manifest: the file was there when the sweep began, with ``--force``."""


def folder_of(target: Path) -> Path:
    """The folder of the finished blocks of a file."""
    return target.with_name(target.name + ".parts")


def rows_so_far(target: Path) -> Path:
    """The file of the first rows of an unfinished sweep."""
    return folder_of(target) / (SO_FAR + target.suffix)


@dataclass(frozen=True)
class Parts:
    """The blocks of one file. ``reduce`` selects rows from all blocks together; None keeps each as it is."""

    target: Path
    format: Format
    schema: pa.Schema
    blocks: int
    reduce: Callable[[pa.Table], pa.Table] | None
    locks: list[int] = field(default_factory=list)
    """Open lock files of this process."""

    @property
    def folder(self) -> Path:
        """The folder of finished blocks."""
        return folder_of(self.target)

    def there(self) -> dict[int, tuple[Path, int]]:
        """Finished blocks: number -> its file and its number of rows."""
        parts = {}
        for path in self.folder.iterdir():
            number, _, rows = path.name.partition(".")
            if number.isdigit() and rows.isdigit():
                parts[int(number)] = (path, int(rows))
        return parts

    def open(self, manifest: dict[str, Any], *, force: bool, resume: bool) -> None:
        """Create or find the folder; refuse to overwrite existing files without ``force`` or ``resume``."""
        if self.target.is_dir():
            raise EstimateError("This is a folder.", "Name a file in it.", f"-o {self.target}")
        if self.folder.is_dir():
            self._lock()
        if resume and self.folder.is_dir():
            self._check_manifest(manifest, force=force)
            return
        if self.target.exists() and not force:
            hint = "--force overwrites it." + (" --resume continues it." if self.folder.is_dir() else "")
            raise EstimateError("The file exists.", hint, f"-o {self.target}")
        if self.folder.is_dir() and not force:
            raise EstimateError(
                "An earlier sweep to this file was not finished.",
                "--resume continues it, --force starts again.",
                f"-o {self.target}",
            )
        try:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            self._begin(manifest)
        except OSError as error:
            shutil.rmtree(self.folder, ignore_errors=True)  # nothing was begun
            raise EstimateError(
                f"Cannot write here: {error.strerror}.",
                "Name a folder that has room and can be written to.",
                f"-o {self.target}",
            ) from None
        self._lock()

    def _lock(self) -> None:
        """Refuse to write where another process does; the lock disappears with its process, however that ends."""
        try:
            import fcntl
        except ImportError:  # no such locks on this platform
            return
        try:
            held = os.open(self.folder / LOCK, os.O_CREAT | os.O_RDWR)
        except OSError:
            return  # write errors are reported on writing
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            raise EstimateError(
                "Another process is writing this file.", "Wait for it, or name another file.", f"-o {self.target}"
            ) from None
        except OSError:  # a file system without locks
            os.close(held)
            return
        self.locks.append(held)

    def _begin(self, manifest: dict[str, Any]) -> None:
        """Write down what this is a sweep of, and whether its file may replace one."""
        written = {**manifest, REPLACES: self.target.exists()}
        _write_atomically(self.folder / MANIFEST, json.dumps(written, indent=1).encode())

    def _check_manifest(self, manifest: dict[str, Any], *, force: bool) -> None:
        """Refuse to continue a different sweep, or to overwrite a file that has come since it was begun."""
        try:
            before = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            before = {}
            if not self.there() and not self.target.exists():  # it ended before writing anything
                self._begin(manifest)
                return
        before = before if isinstance(before, dict) else {}
        changed = [name for name in manifest if before.get(name) != manifest[name]]
        if changed:
            raise EstimateError(
                f"The interrupted sweep was a different one: {', '.join(changed)} changed.",
                "--force starts anew.",
                f"-o {self.target}",
            )
        if self.target.exists() and not (before.get(REPLACES) or force or len(self.there()) == self.blocks):
            raise EstimateError(
                "The file has appeared since the interrupted sweep began.",
                "Move it away, or --resume --force overwrites it.",
                f"-o {self.target}",
            )

    def commit(self, number: int, content: bytes, rows: int) -> None:
        """Store one finished block."""
        _write_atomically(self.folder / f"{number:08d}.{rows}", content)

    def publish(self, count: int) -> None:
        """Build the file of the first ``count`` blocks, and move it into place by one rename: to ``FILE`` only with every block."""
        joined, there = self.folder / ("joined" + self.target.suffix), self.there()
        paths = [there[number][0] for number in range(count)]
        if self.reduce is None:
            self.format.join(paths, self.schema, joined)
        else:
            self.format.write([self.reduced(paths)], self.schema, joined)
        os.replace(joined, self.target if count == self.blocks else rows_so_far(self.target))

    def reduced(self, paths: Iterable[Path]) -> pa.Table:
        """The rows selected from several blocks, reduced while reading."""
        import pyarrow as pa

        assert self.reduce is not None
        kept, waiting = self.schema.empty_table(), []
        for path in paths:
            waiting.append(decoded(path))
            if sum(table.num_rows for table in waiting) > 100_000:
                kept, waiting = self.reduce(pa.concat_tables([kept, *waiting])), []
        return self.reduce(pa.concat_tables([kept, *waiting]))

    def finished(self) -> bool:
        """Whether the file is complete: nothing is left of the folder, or its removal has begun."""
        return not self.folder.is_dir() or (self.folder / FINISHED).exists() or not any(self.folder.iterdir())

    def close(self) -> None:
        """The file is complete: remove the folder, with what says so last, so that a kill in between does not leave a doubtful one."""
        if (self.folder / MANIFEST).exists():
            os.replace(self.folder / MANIFEST, self.folder / FINISHED)
        for path in self.folder.glob("*"):
            if path.name != FINISHED:
                path.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.release()

    def release(self) -> None:
        """Release the lock."""
        while self.locks:
            os.close(self.locks.pop())


def _write_atomically(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    draft = path.with_name(path.name + ".draft")
    try:
        draft.write_bytes(content)
        os.replace(draft, path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
