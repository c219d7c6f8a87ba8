"""Where profiles are found: a user's own folders first, then those that gpuhours brings.

A profile is a YAML file; its name is the file's. Nothing here reads one.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal, get_args

from gpuhours.inputs.errors import EstimateError

PROFILES = "GPUHOURS_PROFILES"
"""The environment variable that names a user's own folders, laid out as ``hardware_specs`` is."""

LONGEST_NAME = 80
Kind = Literal["accelerators", "nodes", "prices", "grids"]


@dataclass(frozen=True)
class Unknown:
    """A figure that no profile has, and why: never 0, never a default."""

    reason: str


def profile_folders() -> list[Path]:
    """Where profiles are looked for: the user's folders first, so that they may replace ours."""
    own = [Path(entry).expanduser() for entry in os.environ.get(PROFILES, "").split(os.pathsep) if entry]
    for folder in own:
        if not any((folder / kind).is_dir() for kind in get_args(Kind)):
            problem = (
                "holds none of accelerators/, nodes/, prices/ and grids/." if folder.is_dir() else "is not a folder."
            )
            raise EstimateError(problem, "It is laid out as hardware_specs is.", f"${PROFILES} = {folder}")
    return [*own, Path(str(files("hardware_specs")))]


def profile_paths(kind: Kind) -> dict[str, Path]:
    """Every profile of one kind: name -> file; nothing is read."""
    found: dict[str, Path] = {}
    for folder in profile_folders():
        for path in sorted((folder / kind).glob("*.yaml")):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def find_profile(kind: Kind, name: str, beside: Path | None = None) -> Path:
    """The file of a name, or the path itself where ``name`` ends in ``.yaml``."""
    if is_path(name):
        return (beside.parent if beside else Path()) / Path(name).expanduser()
    plain = plain_name(name)
    for folder in profile_folders():
        path = folder / kind / f"{plain}.yaml"
        if plain == Path(plain).name and path.is_file():
            return path
    raise EstimateError(
        "No such profile.",
        suggestion(plain, list(profile_paths(kind))),
        f"{kind[:-1]} = {name[:LONGEST_NAME]!r}",
    )


def is_path(name: str) -> bool:
    """Whether a name is a file of the user's own."""
    return name.endswith((".yaml", ".yml"))


def plain_name(name: str) -> str:
    """``H100_SXM 80GB`` -> ``h100-sxm-80gb``."""
    return name[:LONGEST_NAME].strip().lower().replace("_", "-").replace(" ", "-")


def suggestion(name: str, known: list[str]) -> str:
    """The nearest names: those that start alike before those spelt alike."""
    alike = [candidate for candidate in known if candidate.startswith(name)] if name else []
    if not alike:
        likeness = {candidate: _likeness(name, candidate) for candidate in known}
        best = max(likeness, key=lambda candidate: likeness[candidate], default="")
        alike = [best] if likeness.get(best, 0.0) >= 0.6 else []
    listing = "`gpuhours hardware list` shows all."
    if not alike:
        return f"`gpuhours hardware list` shows all {len(known)}; a path ending in .yaml is read as your own."
    if len(alike) == 1:
        return f"Did you mean {alike[0]!r}?   {listing}"
    return f"There are {', '.join(alike)}.   {listing}"


def _likeness(name: str, candidate: str) -> float:
    """How alike two names are, 0 to 1; one that stops early (``h100-smx``) is compared as far as it goes."""
    heads = (candidate, candidate[: len(name)])
    return max(difflib.SequenceMatcher(None, name, head).ratio() for head in heads)
