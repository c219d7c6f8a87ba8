"""The screen of ``gpuhours plan``: the best layouts, why the first wins, how flat the optimum is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gpuhours.planning.answer import Choice, Plan, fields_of
from gpuhours_cli.render import numbers

DEGREES = ("tensor", "pipeline", "interleave", "context", "expert", "data", "microbatch")
RESULTS: dict[str, tuple[str, Callable[[float], str]]] = {
    "step_time": ("step", numbers.duration),
    "mfu": ("MFU", numbers.percent),
    "memory_per_gpu": ("memory", numbers.si("B")),
    "gpu_hours": ("GPU-hours", numbers.count),
    "cost": ("USD", numbers.count),
}
MOST_PARTS = 4
"""Parts of the difference that are named."""


def screen(found: Plan) -> RenderableType:
    """The whole answer."""
    head = f"{found.run.name}: {found.space:,} layouts, {found.evaluated:,} worked out, {numbers.duration(found.seconds)}"
    parts: list[RenderableType] = [Text(head, style="bold"), Text()]
    if not found.best:
        parts.append(Text("  No layout fits. More GPUs (--gpus), a smaller batch or more memory per GPU would.", style="bold red"))
        return Group(*parts)
    rows = [(f"{place}", one) for place, one in enumerate(found.best, start=1)]
    if found.own is not None:
        rows.append(("yours", found.own))
    parts.append(table(rows))
    parts += [Text(line) for line in ("", *why(found))]
    return Group(*parts)


def table(rows: list[tuple[str, Choice]]) -> RenderableType:
    """One line per layout: the degrees that any of them uses, the words, the results."""
    layouts = [fields_of(one.layout, one.outcome) for _, one in rows]
    grid = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    grid.add_column("", style="dim")
    degrees = [name for name in DEGREES if name in ("tensor", "pipeline", "data") or any(one.get(name, 1) != 1 for one in layouts)]
    shown = [name for name in RESULTS if any(one.results[name][0] is not None for _, one in rows)]
    for name in degrees:
        grid.add_column({"interleave": "chunks", "microbatch": "micro"}.get(name, name), justify="right")
    grid.add_column("how", overflow="fold")
    for name in shown:
        grid.add_column(RESULTS[name][0], justify="right", no_wrap=True)
    for (label, one), fields in zip(rows, layouts, strict=True):
        cells = [cell(one, name) for name in shown]
        grid.add_row(label, *(str(fields.get(name, 1)) for name in degrees), words(fields), *cells)
    return grid


def cell(one: Choice, name: str) -> str:
    """One result; memory that does not fit says so."""
    value = one.results[name][0]
    if value is None:
        return "–"
    over = name == "memory_per_gpu" and one.results["fits"][0] is False
    return RESULTS[name][1](value) + (" no fit" if over else "")


def words(fields: dict[str, Any]) -> str:
    """``zero1, recompute full (6 layers)``: what is neither usual nor a degree."""
    said = [fields["sharding"]] if fields["sharding"] != "none" else []
    if fields["recompute"] != "none":
        layers = fields.get("recompute_layers")
        said.append(f"recompute {fields['recompute']}" + (f" ({layers} layers)" if layers else ""))
    if fields["schedule"] not in ("1f1b", "interleaved"):
        said.append(fields["schedule"])
    if fields["context"] > 1:
        said.append(fields["sequence_method"])
    if not fields["sequence_parallel"] and fields["tensor"] > 1:
        said.append("no sequence parallelism")
    return ", ".join(said)


def why(found: Plan) -> list[str]:
    """What the winner gains on its rivals, and how many others are as good within the model's own error."""
    lines = []
    for name, rival in (("2", found.best[1] if len(found.best) > 1 else None), ("yours", found.own)):
        if rival is None:
            continue
        gain = rival.value("step_time") / found.best[0].value("step_time") - 1
        parts = found.against(rival)[:MOST_PARTS]
        said = ", ".join(f"{part} {'+' if seconds > 0 else '−'}{numbers.duration(abs(seconds))}" for part, seconds in parts)
        lines.append(f"  {name} takes {gain:+.1%}: {said}" if said else f"  {name} is the same")
    flat = found.flatness
    if flat is not None:
        several = [f"{name} {' '.join(map(str, values))}" for name, values in flat.values.items() if len(values) > 1]
        lines.append(f"  {flat.layouts:,} layouts that fit are within {flat.within:.0%} of the best" + (": " + " · ".join(several[:5]) if several else ""))
    return lines


def answer(found: Plan) -> str:
    """The best layout as ``--set`` options."""
    if not found.best:
        return "none fits"
    one = found.best[0]
    usual = {"interleave": 1, "context": 1, "expert": 1, "sharding": "none", "recompute": "none", "schedule": "1f1b"}
    fields = {name: value for name, value in fields_of(one.layout, one.outcome).items() if usual.get(name) != value}
    return " ".join(f"--set layout.{name}={str(value).lower()}" for name, value in fields.items() if value is not None)
