"""Who measured a run: the name that constants call a source by, and the system that it shares with other sources."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from gpuhours.inputs.yaml_files import Section, read_yaml, validated_as


class MeasuredBy(Section):
    """One source of ``published/sources.yaml``."""

    title: str
    system: str = ""
    """Sources of one system are left out together; its own name where this is empty."""


@cache
def sources() -> dict[str, MeasuredBy]:
    """Every source that has a name, by it."""
    path = Path(str(files("gpuhours"))) / "published" / "sources.yaml"
    found: dict[str, MeasuredBy] = validated_as(dict[str, MeasuredBy], read_yaml(path))
    return found


@cache
def system_of(title: str) -> str:
    """The system of a source, by its title in the tables; the title itself where it has no name."""
    return next((one.system or name for name, one in sources().items() if one.title == title), title)


def systems_of(names: tuple[str, ...]) -> frozenset[str]:
    """The systems that ``settled_on`` names: sources by their names, or whole systems."""
    known = sources()
    return frozenset(known[name].system or name if name in known else name for name in names)
