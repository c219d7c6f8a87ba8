"""The screens of ``gpuhours models``: the list, and one model part by part."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gpuhours.flops import CONVENTIONS
from gpuhours.questions.listing.models import ModelList, Summary
from gpuhours_cli.render.numbers import count, exact, si

KINDS = {
    "decoder": "Language models",
    "vision": "Vision encoders",
    "masked-autoencoder": "Masked autoencoders",
    "video-language": "Video-language models",
    "contrastive": "Contrastive towers",
    "diffusion": "Diffusion transformers",
    "two-stream": "Diffusion transformers of two streams",
    "single-stream": "Diffusion transformers of one stream",
    "self-distillation": "Self-distillation (student and teacher)",
    "encoder-decoder": "Encoder-decoders",
    "staged-vision": "Vision encoders in stages",
    "sound": "Encoders of sound",
    "shared-layers": "Language models whose layers share weights",
}


def list_screen(models: ModelList) -> RenderableType:
    """One table per kind, smallest model first."""
    lines: list[RenderableType] = []
    for kind, entries in groupby(models.entries, key=lambda entry: entry.kind):
        table = Table(box=None, pad_edge=False, padding=(0, 2), show_header=False)
        for justify in ("left", "right", "left"):
            table.add_column(justify=justify, no_wrap=True)
        for entry in entries:
            active = f"{count(entry.active)} active" if entry.active < entry.parameters else ""
            table.add_row(entry.name, count(entry.parameters), active)
        lines += [Text(KINDS.get(kind, kind), style="bold"), Padding(table, (0, 0, 1, 2))]
    return Group(*lines, Text("`gpuhours models show NAME` prints the parts of one."))


def show_screen(summary: Summary) -> RenderableType:
    """Counts, where they come from, the parts, FLOPs under each convention, assumptions."""
    title = Text(summary.title, style="bold")
    lines: list[RenderableType] = [title, _facts(summary), Text(), _parts(summary), Text(), _flops(summary)]
    if summary.assumptions:
        lines += [Text(), Text("Assumed")]
        lines += [Text(f"  {one.name} = {one.value}: {one.reason}") for one in summary.assumptions]
    return Group(*lines)


def _facts(summary: Summary) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(overflow="fold")
    table.add_row("parameters", exact(summary.parameters), _against(summary))
    if summary.active < summary.parameters:
        table.add_row("active", exact(summary.active), "seen by one token")
    if summary.trainable < summary.parameters:
        table.add_row("trained", exact(summary.trainable), "")
    table.add_row("tokens", exact(summary.tokens), "per sample")
    if summary.source:
        table.add_row("source", "", summary.source)
    return table


def _against(summary: Summary) -> str:
    """How the count compares with the published one."""
    known = summary.published
    if known is None or known.parameters is None:
        return ""
    if not known.within:
        return f"as published: {known.counted}"
    return f"published {count(known.parameters)}: {known.counted}"


def _parts(summary: Summary) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for name in ("part", "layers", "tokens", "parameters", "trained", "FLOP/sample"):
        words = name in ("part", "trained")
        wraps: dict[str, Any] = {"min_width": 10} if name == "part" else {"no_wrap": True}
        table.add_column(name, justify="left" if words else "right", **wraps)
    for part in summary.parts:
        layers = exact(part.layers) if part.flops.stacked else ""
        cost = si("FLOP")(float(part.flops.training)) if part.flops.training else ""
        table.add_row(part.name, layers, exact(part.tokens), count(part.parameters), part.trainable, cost)
    return table


def _flops(summary: Summary) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    table.add_column("convention")
    table.add_column("FLOP per training sample", justify="right", no_wrap=True)
    table.add_column("counts")
    for name, value in summary.flops.items():
        table.add_row(name, si("FLOP")(value), CONVENTIONS[name])
    return table
