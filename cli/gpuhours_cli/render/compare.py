"""The screen of ``gpuhours compare``: inputs, results, causes."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gpuhours.questions.comparing import Comparison, ResultChange, plain
from gpuhours.run.site import carried_words
from gpuhours_cli.render import numbers
from gpuhours_cli.render.sweep import SHOWN_FIRST, column

MOST_CAUSES = 3
LONGEST = 34


def screen(comparison: Comparison) -> RenderableType:
    """The full screen."""
    if not comparison.inputs:
        return Text("The two runs have the same inputs.")
    first, second = comparison.first.name, comparison.second.name
    changed = " with the inputs below" if first == second else ""
    parts: list[RenderableType] = [Text(f"{first} → {second}{changed}", style="bold"), Text()]
    parts += [Text("Inputs", style="bold"), Padding(inputs(comparison), (0, 0, 1, 2)), Text("Results", style="bold")]
    parts.append(Padding(changes(comparison), (0, 0, 0, 2)))
    notes = [*comparison.notes, *interactions(comparison), *carried_words(comparison.first.site)]
    parts += [Text(f"  {note}", style="dim") for note in ([""] if notes else []) + notes]
    return Group(*parts)


def inputs(comparison: Comparison) -> RenderableType:
    """One line per key that differs."""
    grid = Table.grid(padding=(0, 2))
    for one in comparison.inputs:
        grid.add_row(one.key, said(one.first), "→", said(one.second))
    return grid


def said(value: Any) -> str:
    """A short description of an input."""
    shown = plain(value)
    if shown is None:
        return "not given"
    if isinstance(shown, dict):
        shown = ", ".join(f"{key} {inner}" for key, inner in shown.items() if not isinstance(inner, dict | list))
    text = numbers.count(shown) if isinstance(shown, int | float) and not isinstance(shown, bool) else str(shown)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def changes(comparison: Comparison) -> RenderableType:
    """One line per main result: both values, the change, and the largest causes."""
    grid = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "right", "right", "left"):
        grid.add_column(justify=justify, overflow="fold")
    for change in comparison.changes:
        if change.name not in SHOWN_FIRST or (change.first is None and change.second is None):
            continue
        title, text = column(change.name)
        first, second = ("–" if value is None else text(value) for value in (change.first, change.second))
        grid.add_row(title, first, second, percent(change), causes(change))
    return grid


def percent(change: ResultChange) -> str:
    """``+12 %``; ``x 3.1`` from a factor of 2; ``=`` below 0.05 %; empty if there is no factor."""
    if change.factor is None or change.name == "fits":
        return ""
    if abs(change.factor - 1) < 5e-4:
        return "="
    return (
        f"x {numbers.digits(change.factor)}"
        if change.factor >= 2
        else f"{100 * (change.factor - 1):+.1f} %".replace("-", "−")
    )


def causes(change: ResultChange) -> str:
    """``gpus x 0.52 · accelerator x 0.91``."""
    several = change.causes if len(change.causes) > 1 else ()
    return " · ".join(
        f"{' + '.join(key.rsplit('.', 1)[-1] for key in one.key.split(' + '))} x {numbers.digits(one.factor)}"
        for one in several[:MOST_CAUSES]
    )


def interactions(comparison: Comparison) -> list[str]:
    """A note for each result whose causes interact by more than a per cent."""
    strong = [
        change
        for change in comparison.changes
        if change.interaction is not None and change.name in SHOWN_FIRST and abs(change.interaction - 1) > 0.01
    ]
    if not strong:
        return []
    return [
        "not explained by any single input: "
        + ", ".join(f"{column(one.name)[0]} x {one.interaction:.3f}" for one in strong[:4])
    ]


def answer(comparison: Comparison) -> str:
    """For ``--quiet``: the change of the main results, in one line."""
    kept = {change.name: change for change in comparison.changes}
    shown = [(name, kept[name].factor) for name in ("gpu_hours", "wall_clock", "cost", "step_time")]
    return " ".join(f"{name}={factor:.4g}x" for name, factor in shown if factor is not None) or "nothing to compare"
