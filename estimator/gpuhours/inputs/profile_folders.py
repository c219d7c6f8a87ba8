"""Finds profiles: in the user's own folders first, then among those included in gpuhours.

A profile is a YAML file. Its names are its file name and those in its ``also:`` line; nothing else in it is read here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal, get_args

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.yaml_files import ReadOnce, read_text

PROFILES = "GPUHOURS_PROFILES"
"""The environment variable that lists a user's own folders, structured like ``hardware_specs``."""

LONGEST_NAME = 80
Kind = Literal["accelerators", "nodes", "prices", "grids"]

MAKERS = frozenset({"nvidia", "amd", "google", "geforce", "tesla", "quadro", "instinct", "radeon", "gpu", "generation"})
"""Words that do not identify a card."""
SPELLINGS = (
    (re.compile(r"^sxm\d$"), "sxm"),
    (re.compile(r"^(\d+)gi?b?$"), r"\1gb"),
    (re.compile(r"^pcie?\d?$"), "pcie"),
)
ALSO = re.compile(r"^also: \[(?P<names>[^\]]*)\]", re.MULTILINE)


@dataclass(frozen=True)
class Unknown:
    """A missing value, with the reason; it is never replaced by 0 or a default."""

    reason: str


@cache
def shipped() -> Path:
    """The folder of the included profiles."""
    return Path(str(files("hardware_specs")))


@cache
def shipped_profiles(kind: Kind) -> Mapping[str, Path]:
    """The included profiles of one kind, name -> file; they do not change while a process runs."""
    return {path.stem: path for path in sorted((shipped() / kind).glob("*.yaml"))}


def profile_folders() -> list[Path]:
    """Folders searched for profiles: the user's first, so that they override the included ones."""
    return [*own_folders(), shipped()]


def own_folders() -> list[Path]:
    """The user's folders, from ``PROFILES``; raises ``EstimateError`` for an entry that is not a folder of profiles."""
    own = [Path(entry).expanduser() for entry in os.environ.get(PROFILES, "").split(os.pathsep) if entry]
    for folder in own:
        if not any((folder / kind).is_dir() for kind in get_args(Kind)):
            problem = (
                "contains none of accelerators/, nodes/, prices/ and grids/." if folder.is_dir() else "is not a folder."
            )
            raise EstimateError(problem, "It must be laid out like hardware_specs.", f"${PROFILES} = {folder}")
    return own


def profile_paths(kind: Kind) -> dict[str, Path]:
    """Every profile of one kind, name -> file, without reading any."""
    paths: dict[str, Path] = {}
    for folder in own_folders():
        for path in sorted((folder / kind).glob("*.yaml")):
            paths.setdefault(path.stem, path)
    return dict(sorted({**shipped_profiles(kind), **paths}.items()))


def find_profile(kind: Kind, name: str, beside: Path | None = None) -> Path:
    """The profile for a name, or, if ``name`` is a path, that path relative to the folder of ``beside``. Raises ``EstimateError`` if no
    profile or several match."""
    if is_path(name):
        return (beside.parent if beside else Path()) / Path(name).expanduser()
    plain = plain_name(name)
    for folder in own_folders():
        path = folder / kind / f"{plain}.yaml"
        if plain == Path(plain).name and path.is_file():
            return path
    if plain in shipped_profiles(kind):
        return shipped_profiles(kind)[plain]
    stems = informally_named(kind, name)
    if len(stems) == 1:
        return profile_paths(kind)[stems[0]]
    where = f"{kind[:-1]} = {name[:LONGEST_NAME]!r}"
    if stems:
        raise EstimateError("Several profiles match: choose one.", listed(stems), where)
    raise EstimateError("No such profile.", suggestion(plain, list(profile_paths(kind))), where)


def listed(names: list[str]) -> str:
    """``There are h100-sxm-80gb, h100-nvl-94gb.``"""
    return f"There are {', '.join(names)}."


def is_path(name: str) -> bool:
    """Whether a name is the path of a user's file."""
    return name.endswith((".yaml", ".yml"))


def plain_name(name: str) -> str:
    """``H100_SXM 80GB`` -> ``h100-sxm-80gb``."""
    return name[:LONGEST_NAME].strip().lower().replace("_", "-").replace(" ", "-")


def suggestion(name: str, known: list[str]) -> str:
    """A hint with the nearest known names: those that begin with ``name``; if there are none, the one with the most similar spelling, among
    those of the same card or family (``b150`` -> ``b200-sxm``) if there are any."""
    alike = [candidate for candidate in known if candidate.startswith(name)] if name else []
    if not alike:
        same_card = [candidate for candidate in known if candidate.split("-")[0] == name.split("-")[0]]
        own = _family(name)
        family = [one for one in known if own and own in (_family(one), *map(_family, one.split("-")))]
        likeness = {candidate: _likeness(name, candidate) for candidate in same_card or family or known}
        best = max(likeness, key=lambda candidate: likeness[candidate], default="")
        alike = [best] if likeness.get(best, 0.0) >= 0.6 else []
    listing = "`gpuhours hardware list` shows all."
    if not alike:
        return f"`gpuhours hardware list` shows all {len(known)}; a path ending in .yaml is read as your own."
    if len(alike) == 1:
        return f"Did you mean {alike[0]!r}?   {listing}"
    return f"There are {', '.join(alike)}.   {listing}"


def _family(name: str) -> str:
    """What a name begins with before its first digit: ``b``, ``rtx-a``, ``gb``; empty if it has no digit there."""
    found = re.match(r"[a-z-]+(?=\d)", name)
    return found[0] if found else ""


def _likeness(name: str, candidate: str) -> float:
    """Similarity of two names, 0 to 1; ``name`` is also compared with the beginning of ``candidate``, for a shorter name (``h100-smx``),
    and with each word of it (``a5500``)."""
    import difflib

    heads = (candidate, candidate[: len(name)], *candidate.split("-"))
    return max(difflib.SequenceMatcher(None, name, head).ratio() for head in heads)


def informally_named(kind: Kind, name: str) -> list[str]:
    """The profiles to which an informal name may refer: one, several, or none.

    A profile matches if the words of ``name`` are those of one of its other names. If there is none, a profile matches if each word is a
    word of its file name, or several adjacent ones joined (``rtx4090``). A name with an unknown word (``smx``) matches nothing.
    """
    words = _words(name)
    if not words:
        return []
    paths = profile_paths(kind)
    exact = [stem for stem, path in paths.items() if any(_words(other) == words for other in also(path))]
    return exact or [stem for stem in paths if _runs(_words(stem)).issuperset(words)]


@ReadOnce
def also(path: Path) -> tuple[str, ...]:
    """Other names of a profile, from its ``also:`` line."""
    line = ALSO.search(read_text(path))
    return tuple(plain_name(name) for name in line["names"].split(",")) if line else ()


def _words(name: str) -> tuple[str, ...]:
    """The words that identify a card, in canonical spelling: ``NVIDIA H100-SXM5 80G`` -> (h100, sxm, 80gb)."""
    words = []
    for word in re.split(r"[^a-z0-9]+", plain_name(name)):
        for pattern, spelling in SPELLINGS:
            word = pattern.sub(spelling, word)
        if word and word not in MAKERS:
            words.append(word)
    return tuple(words)


def _runs(words: tuple[str, ...]) -> set[str]:
    """Each word, and adjacent words joined: ``rtx``, ``4090``, ``rtx4090``."""
    return {"".join(words[start:end]) for start in range(len(words)) for end in range(start + 1, len(words) + 1)}
