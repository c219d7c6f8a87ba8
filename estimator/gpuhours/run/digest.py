"""A fingerprint of everything that predictions rest on beside the code: a prediction printed with it can be shown to be older than a
measurement."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path

LENGTH = 12
"""Hexadecimal digits that are shown."""


@cache
def digest() -> str:
    """SHA-256 of constants (``hardware_specs``), software profiles, what is usual, learned ranges and remainders: names and bytes, in the
    order of names."""
    ours, hardware = Path(str(files("gpuhours"))), Path(str(files("hardware_specs")))
    learned = [ours / "published" / name for name in ("bands.json", "memory_odds.json", "remainder.json")]
    named = [(f"hardware_specs/{path.relative_to(hardware).as_posix()}", path) for path in hardware.rglob("*.yaml")]
    named += [
        (path.relative_to(ours).as_posix(), path)
        for path in (*(ours / "software").rglob("*.yaml"), *(ours / "run").glob("*.yaml"), *learned)
    ]
    hashed = hashlib.sha256()
    for name, path in sorted(named):
        hashed.update(name.encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return hashed.hexdigest()[:LENGTH]
