"""A fingerprint of everything that predictions depend on besides the code: a prediction printed with it can be shown to predate a
measurement."""

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
    """SHA-256 of constants (``hardware_specs``), software profiles, typical values, learned ranges and remainders: names and contents, in
    order of names."""
    hashed = hashlib.sha256()
    for name, content in sorted(covered()):
        hashed.update(name.encode() + b"\0" + content + b"\0")
    return hashed.hexdigest()[:LENGTH]


def by_file() -> dict[str, str]:
    """The same file by file, so that a change names the file that made it."""
    return {name: hashlib.sha256(content).hexdigest()[:LENGTH] for name, content in sorted(covered())}


def covered() -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every file that the digest covers, with the ends of lines that git keeps."""
    ours, hardware = Path(str(files("gpuhours"))), Path(str(files("hardware_specs")))
    learned = [ours / "published" / name for name in ("bands.json", "memory_odds.json", "remainder.json")]
    named = [(f"hardware_specs/{path.relative_to(hardware).as_posix()}", path) for path in hardware.rglob("*.yaml")]
    named += [
        (path.relative_to(ours).as_posix(), path)
        for path in (*(ours / "software").rglob("*.yaml"), *(ours / "run").glob("*.yaml"), *learned)
    ]
    yield from ((name, path.read_bytes().replace(b"\r\n", b"\n")) for name, path in named)
