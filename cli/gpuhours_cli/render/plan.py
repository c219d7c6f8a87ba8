"""The screen of ``gpuhours plan``: the best layouts, why the first one is faster, and how flat the optimum is."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gpuhours.layout.layout import Layout
from gpuhours.questions.planning.answer import Choice, Plan, fields_of
from gpuhours.run.default_layout import DECISIVE
from gpuhours.run.site import carried_words
from gpuhours_cli.render import numbers
from gpuhours_cli.render.sweep import column

DEGREES = ("tensor", "pipeline", "context", "expert", "data")
COLUMNS = ("gpus", "step_time", "mfu", "memory_per_gpu", "gpu_hours", "cost")
ALWAYS = ("step_time", "mfu", "memory_per_gpu")
MOST_PARTS = 4
"""Maximum number of parts of the difference that are listed."""


def screen(planned: Plan) -> RenderableType:
    """The full screen."""
    head = f"{planned.run.name}: {planned.space:,} layouts, {planned.evaluated:,} evaluated, {numbers.duration(planned.seconds)}"
    parts: list[RenderableType] = [Text(head, style="bold"), Text()]
    if not planned.best:
        parts.append(
            Text(
                "  No layout fits. Try more GPUs (--gpus), a smaller batch, a loss in blocks (layout.loss_blocks) or GPUs "
                "with more memory.",
                style="bold red",
            )
        )
        return Group(*parts)
    rows = [(f"{place}", one) for place, one in enumerate(planned.best, start=1)]
    if planned.own is not None:
        rows.append(("yours", planned.own))
    parts.append(table(planned, rows))
    carried = [f"  {line}" for line in carried_words(planned.run.site)]
    unpriced = planned.best[0].outcome.bill.reasons.get("cost")
    missing = [f"  cost not determined: {unpriced}"] if unpriced else []
    parts += [Text(line) for line in ("", *why(planned), *missing, *carried)]
    return Group(*parts)


def table(planned: Plan, rows: list[tuple[str, Choice]]) -> RenderableType:
    """One line per layout: its non-default fields, then the results that matter for the objective."""
    several = len({one.value("gpus") for _, one in rows}) > 1
    shown = [name for name in COLUMNS if name in ALWAYS or name == planned.minimise or (name == "gpus" and several)]
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    grid.add_column("", style="dim")
    grid.add_column("layout", overflow="fold")
    for name in shown:
        grid.add_column(column(name)[0], justify="right", no_wrap=True)
    for label, one in rows:
        grid.add_row(
            label, words(fields_of(one.layout, one.outcome)) + on_host(one), *(cell(one, name) for name in shown)
        )
    return grid


def on_host(one: Choice) -> str:
    """`` · 415 GB on each host``, if anything is offloaded."""
    held = one.results["host_memory_per_node"]
    return f" · {numbers.si('B')(held)} on each host" if held else ""


def cell(one: Choice, name: str) -> str:
    """One formatted result; memory is marked if it does not fit."""
    value = one.results[name]
    if value is None:
        return "–"
    over = name == "memory_per_gpu" and one.results["fits"] is False
    return column(name)[1](value) + (" no fit" if over else "")


def words(fields: dict[str, Any]) -> str:
    """``tensor 8 · pipeline 4 (24 chunks) · data 128 · micro 4 · zero1``: the non-default fields of a layout."""
    chunks = f" ({fields['interleave']} chunks)" if fields["interleave"] > 1 else ""
    said = [
        f"{name} {fields[name]}" + (chunks if name == "pipeline" else "") for name in DEGREES if (fields[name] or 1) > 1
    ]
    if fields["microbatch"] > 1:
        said.append(f"micro {fields['microbatch']}")
    said += [fields["sharding"]] if fields["sharding"] != "none" else []
    if fields["recompute"] != "none":
        layers = fields.get("recompute_layers")
        said.append(f"recompute {fields['recompute']}" + (f" in {layers} layers" if layers else ""))
    if fields["schedule"] not in ("1f1b", "interleaved"):
        said.append(fields["schedule"])
    if fields["context"] > 1:
        said.append(fields["sequence_method"])
    if fields["vision"] != "first-stage":
        said.append(f"vision {fields['vision']}")
    if (fields.get("loss_blocks") or 1) > 1:
        said.append(f"loss in {fields['loss_blocks']} blocks")
    said += [f"{what} offloaded" for what in ("optimizer", "activations") if fields[f"offload_{what}"]]
    if not fields["sequence_parallel"] and fields["tensor"] > 1:
        said.append("no sequence parallelism")
    return " · ".join(said) or "one GPU"


def why(planned: Plan) -> list[str]:
    """How much better the best layout is than the second and the run's own, and how many layouts are within ``FLAT`` of it."""
    lines, winner = [], planned.best[0]
    for name, rival in (("2", planned.best[1] if len(planned.best) > 1 else None), ("yours", planned.own)):
        if rival is None:
            continue
        gain = rival.value(planned.minimise) / winner.value(planned.minimise) - 1
        line = f"  {name}: {planned.minimise.replace('_', ' ')} {gain:+.1%}".replace("-", "−")
        if rival.value("gpus") == winner.value("gpus"):
            parts = planned.against(rival)[:MOST_PARTS]
            line += (
                ", of which "
                + ", ".join(f"{part} {'+' if more > 0 else '−'}{numbers.duration(abs(more))}" for part, more in parts)
                if parts
                else ""
            )
        odds = planned.odds(rival)
        lines.append(line if odds is None else f"{line}; really better with {odds:.0%}")
    flat = planned.flatness
    if flat is not None:
        several = [f"{name} {' '.join(map(str, values))}" for name, values in flat.values.items() if len(values) > 1]
        lines.append(
            f"  {flat.layouts:,} layouts that fit are within {flat.within:.0%} of the best"
            + (": " + " · ".join(several[:5]) if several else "")
        )
    return lines


def answer(planned: Plan) -> str:
    """For ``--quiet``: the best layout as ``--set`` options, with the fields in ``DECISIVE`` and all other non-default fields."""
    if not planned.best:
        return "none fits"
    one = planned.best[0]
    usual = fields_of(Layout.model_construct(), one.outcome)
    fields = {
        name: value
        for name, value in fields_of(one.layout, one.outcome).items()
        if name != "data" and (name in DECISIVE or usual.get(name) != value)
    }
    return " ".join(f"--set layout.{name}={str(value).lower()}" for name, value in fields.items())
