"""The list of software profiles, and all facts about one, for ``gpuhours software``."""

from __future__ import annotations

from typing import Any

from gpuhours.inputs.records import dataclass
from gpuhours.inputs.yaml_files import Section
from gpuhours.questions.envelope import envelope
from gpuhours.software.matching import software_named
from gpuhours.software.memory import MemoryFacts
from gpuhours.software.profile import Software, list_software, load_software, parent_of


@dataclass(frozen=True)
class StackEntry:
    """One line of the list."""

    software: Software
    like: str | None

    @property
    def steps(self) -> int:
        """Measured steps that it was compared with."""
        return sum(one.steps for one in self.software.measured_on)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object."""
        profile = self.software
        return {
            "name": profile.name, "title": profile.title, "like": self.like, "aliases": list(profile.aliases),
            "single_system": profile.single_system,
            "steps": self.steps, "measured_on": [one.model_dump(mode="json") for one in profile.measured_on],
        }  # fmt: skip


@dataclass(frozen=True)
class StackList:
    """Every profile."""

    entries: tuple[StackEntry, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``software list``."""
        return envelope("software", {"software": [entry.to_dict() for entry in self.entries]})


@dataclass(frozen=True)
class StackSheet:
    """One profile, and how its name was interpreted."""

    entry: StackEntry
    remark: str = ""

    @property
    def groups(self) -> dict[str, Section | MemoryFacts]:
        """Its groups of figures, each with a source."""
        return {name: value for name, value in self.entry.software if hasattr(value, "source")}

    @property
    def facts(self) -> dict[str, Any]:
        """Its keys outside the groups."""
        said = self.entry.software.model_dump(mode="json")
        said["unmeasured_factor"] = said["unmeasured_factor"] or 1.0  # a profile shown as its own stack's
        other = {"name", "title", "note", "aliases", "measured_on", "single_system", *self.groups}
        return {name: value for name, value in said.items() if name not in other and value not in (None, {}, [])}

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``software show``."""
        groups = {name: group.model_dump(mode="json", exclude_none=True) for name, group in self.groups.items()}
        content = {
            **self.entry.to_dict(), "note": self.entry.software.note, "read_as": self.remark, **self.facts, **groups,
        }  # fmt: skip
        return envelope("software", content)


def listing() -> StackList:
    """Every profile included in gpuhours."""
    return StackList(tuple(StackEntry(load_software(name), parent_of(name)) for name in list_software()))


def sheet(name: str) -> StackSheet:
    """All facts about the profile that a name refers to (``software.matching``), or of a YAML file."""
    profile, remark = software_named(name)
    software = load_software(profile)
    like = parent_of(software.name) if software.name in list_software() else None
    return StackSheet(StackEntry(software, like), remark)
