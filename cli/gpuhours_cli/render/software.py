"""The screens of ``gpuhours software``: all stacks, and the figures of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gpuhours.questions.listing.software import StackEntry, StackList, StackSheet

NOWHERE = "no measured step of its own"
SAID_APART = ("source", "note", "fitted", "fitted_on")
"""Keys of a group that are not figures."""


def list_screen(stacks: StackList) -> RenderableType:
    """One line per stack: its name, the number of measured steps, and its title."""
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column("name", no_wrap=True)
    table.add_column("steps", justify="right", no_wrap=True)
    table.add_column("sources", justify="right", no_wrap=True)
    table.add_column("stack", overflow="fold")
    for entry in stacks.entries:
        sources = len({one.source for one in entry.software.measured_on})
        table.add_row(entry.software.name, str(entry.steps or "–"), str(sources or "–"), Text(entry.software.title))
    return Group(
        Text("Training stacks, and the published steps each was tried on", style="bold"), table, Text(),
        Text("`gpuhours software show NAME` prints where one was measured, and its figures."),
    )  # fmt: skip


def show_screen(profile: StackSheet) -> RenderableType:
    """Title, where it was measured, its facts, and its groups of figures with sources."""
    entry = profile.entry
    lines: list[RenderableType] = [Text(entry.software.title, style="bold")]
    if profile.remark:
        lines.append(Text(profile.remark))
    if entry.software.note:
        lines.append(Text(entry.software.note))
    lines += [Text(), _measured_on(entry)]
    if profile.facts:
        lines += [Text(), Padding(_figures(profile.facts), (0, 0, 0, 2))]
    for name, group in profile.groups.items():
        data = group.model_dump(mode="json", exclude_none=True)
        figures = {key: value for key, value in data.items() if key not in SAID_APART and value not in ({}, [])}
        lines += [Text(), Text(name, style="bold"), Padding(Text(data["source"]), (0, 0, 0, 2))]
        lines.append(Padding(_figures(figures), (0, 0, 0, 2)))
    return Group(*lines)


def _measured_on(entry: StackEntry) -> RenderableType:
    """The sources whose steps it was compared with, with years and releases."""
    how = f"like {entry.like}; " if entry.like else ""
    own = "; answers to its own name only" if entry.software.single_system else ""
    head = Text(f"{how}measured in {entry.steps} steps{own}" if entry.steps else f"{how}{NOWHERE}{own}")
    table = Table(box=None, pad_edge=False, padding=(0, 1), show_header=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in entry.software.measured_on:
        releases = f" ({', '.join(one.releases)})" if one.releases else ""
        table.add_row(str(one.steps), _years(one.years), Text(f"{one.source}{releases}"))
    return Group(head, Padding(table, (0, 0, 0, 2)))


def _years(years: tuple[int, ...]) -> str:
    return "" if not years else str(years[0]) if len(years) == 1 else f"{years[0]}-{years[-1] % 100:02}"


def _figures(data: Mapping[str, Any]) -> Table:
    """Key and value, mappings on one line."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in data.items():
        table.add_row(key.replace("_", " "), Text(_written(value)))
    return table


def _written(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(
            f"{key} {_pair(one) if isinstance(one, Mapping) else _written(one)}" for key, one in value.items()
        )
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_written, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _pair(value: Mapping[str, Any]) -> str:
    return " / ".join(_written(one) for one in value.values())
