"""The source of a measured run: its short name, and the system that it shares with other sources."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from gpuhours.inputs.yaml_files import Section, read_yaml, validated_as


class MeasuredBy(Section):
    """One source of ``published/sources.yaml``."""

    title: str
    system: str = ""
    """Sources of one system are left out together; the source's own name if empty."""


@cache
def sources() -> dict[str, MeasuredBy]:
    """Every named source, by name."""
    path = Path(str(files("gpuhours"))) / "published" / "sources.yaml"
    found: dict[str, MeasuredBy] = validated_as(dict[str, MeasuredBy], read_yaml(path))
    return found


@cache
def system_of(title: str) -> str:
    """The system of a source, by its title in the tables; the title itself if it has no name."""
    return next((one.system or name for name, one in sources().items() if one.title == title), title)


def systems_of(names: tuple[str, ...]) -> frozenset[str]:
    """The systems listed in ``fitted_on``: source names or system names."""
    known = sources()
    return frozenset(known[name].system or name if name in known else name for name in names)
