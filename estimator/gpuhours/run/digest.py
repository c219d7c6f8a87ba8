"""A digest of all data that predictions depend on besides the code: printed with a prediction, it can prove that the prediction predates
a measurement."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

LENGTH = 12
"""Number of hexadecimal digits shown."""


@cache
def digest() -> str:
    """SHA-256 over the names and contents, sorted by name, of the files with constants (``hardware_specs``), software profiles, typical
    values, fitted ranges and remainders; its first ``LENGTH`` hexadecimal digits."""
    hashed = hashlib.sha256()
    for name, content in sorted(covered()):
        hashed.update(name.encode() + b"\0" + content + b"\0")
    return hashed.hexdigest()[:LENGTH]


def covered() -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every file that the digest covers, with line endings normalised to LF."""
    ours, hardware = Path(str(files("gpuhours"))), Path(str(files("hardware_specs")))
    learned = [ours / "published" / name for name in ("bands.json", "memory_odds.json", "remainder.json")]
    named = [(f"hardware_specs/{path.relative_to(hardware).as_posix()}", path) for path in hardware.rglob("*.yaml")]
    named += [
        (path.relative_to(ours).as_posix(), path)
        for path in (*(ours / "software").rglob("*.yaml"), *(ours / "run").glob("*.yaml"), *learned)
    ]
    yield from ((name, path.read_bytes().replace(b"\r\n", b"\n")) for name, path in named)
