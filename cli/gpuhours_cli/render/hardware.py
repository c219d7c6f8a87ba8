"""The screens of ``gpuhours hardware``: a table of all profiles, and the data sheet of one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gpuhours.hardware.accelerators import Accelerator
from gpuhours.hardware.figures import SourcedFigure
from gpuhours.hardware.nodes import Node
from gpuhours.inputs.durations import HOUR
from gpuhours.inputs.profile_folders import Unknown
from gpuhours.questions.listing.hardware import Catalogue, HardwareSheet
from gpuhours_cli.render.numbers import SI, digits

if TYPE_CHECKING:
    from gpuhours.questions.measuring.measuring import Measured

DASH = "–"
SCALES: dict[str, tuple[tuple[float, str], ...]] = {
    "": (),
    "B": ((2**30, "Gi"), (2**20, "Mi")),
    "FLOP/s": ((1e12, "T"),),
}
"""Units with a customary prefix instead of the largest that fits: peaks in TFLOP/s, memory in GiB."""


def list_screen(catalogue: Catalogue) -> RenderableType:
    """Accelerators, then nodes."""
    return Group(
        Text("Accelerators: dense peak, one direction", style="bold"),
        _accelerators(catalogue.accelerators),
        Text(),
        Text("Nodes: rates per GPU, one direction", style="bold"),
        _nodes(catalogue.nodes),
        Text(),
        Text("`gpuhours hardware show NAME` prints each figure with its source."),
    )


def _table(*columns: str) -> Table:
    """A plain table: names on the left, numbers on the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    return table


def _accelerators(accelerators: tuple[Accelerator, ...]) -> Table:
    table = _table("name", "16-bit\nTFLOP/s", "8-bit\nTFLOP/s", "memory\nGiB", "memory\nTB/s", "link\nGB/s", "power\nW")
    for part in accelerators:
        wide, narrow = part.peak.get("bf16", part.peak.get("fp16")), part.peak.get("fp8")
        table.add_row(
            part.name, _scaled(wide, 1e12), _scaled(narrow, 1e12), _scaled(part.memory, 2**30),
            _scaled(part.memory_bandwidth, 1e12), _scaled(part.link_bandwidth, 1e9), _scaled(part.power, 1),
        )  # fmt: skip
    return table


def _nodes(nodes: tuple[Node, ...]) -> Table:
    table = _table("name", "GPUs", "linked", "link\nGB/s", "network\nGB/s", "power\nkW")
    for node in nodes:
        table.add_row(
            node.name, str(node.gpus), str(node.link_domain), _scaled(node.link_bandwidth, 1e9),
            _scaled(node.network_bandwidth, 1e9), _scaled(node.power, 1e3),
        )  # fmt: skip
    return table


def _scaled(value: float | None, scale: float) -> str:
    """The value over ``scale`` with three digits; a dash if unknown."""
    return DASH if value is None else digits(value / scale)


def names(catalogue: Catalogue) -> str:
    """One name per line."""
    return "\n".join([*(part.name for part in catalogue.accelerators), *(node.name for node in catalogue.nodes)])


def show_screen(profile: HardwareSheet) -> RenderableType:
    """The title, each figure with its note, the price, and the sources by number."""
    hardware, sources = profile.hardware, dict[str, int]()
    table = Table(box=None, pad_edge=False, padding=(0, 1), show_header=False)
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for key, figure in hardware.figures.items():
        number = sources.setdefault(figure.source, len(sources) + 1)
        table.add_row(key.replace("_", " ").replace(".", " "), amount(figure), f"[{number}]", figure.note)
    priced = isinstance(hardware, Accelerator) or hardware.instance
    price = [Text(_price(profile)), Text()] if priced else []
    cited = [Text(f"[{number}] {source}") for source, number in sources.items()]
    rests = [Text(_rests_on(hardware)), Text()] if isinstance(hardware, Accelerator) else []
    return Group(
        Text(hardware.title, style="bold"), Text(_about(hardware)), Text(), table, Text(), *rests, *price, *cited
    )


def _about(hardware: Accelerator | Node) -> str:
    """One line: what it is, and the path of its profile."""
    if isinstance(hardware, Accelerator):
        return f"{hardware.vendor}, {hardware.generation}; usual node {hardware.node}; {hardware.path}"
    holds = ", ".join(hardware.accelerators) or "any accelerator"
    rented = f"{hardware.provider} {hardware.instance}; " if hardware.instance else ""
    sharp = "; all-reduces inside the switch" if hardware.sharp else ""
    return f"{rented}holds {holds}{sharp}; network {hardware.network}; {hardware.path}"


def _rests_on(part: Accelerator) -> str:
    """What predictions of its step times are based on; empty if unknown."""
    return "" if part.step_times is None else f"step times: {part.step_times.basis}; {part.step_times.source}"


def _price(profile: HardwareSheet) -> str:
    """What an estimate would charge when no price is given."""
    if isinstance(profile.price, Unknown):
        return f"price: {profile.price.reason}"
    row = profile.price.row
    return f"price: {row.price * HOUR:.2f} USD/GPU-hour, {row.name}; {profile.price.reason}"


def figures(profile: HardwareSheet) -> str:
    """One figure per line, for ``--quiet``."""
    return "\n".join(f"{key}: {amount(figure)}" for key, figure in profile.hardware.figures.items())


def amount(figure: SourcedFigure) -> str:
    """``989 TFLOP/s``, ``79.1 GiB``, ``132``: memory in binary units, as drivers print it."""
    value, unit = figure.value, figure.unit.replace("byte", "B")
    scales = SCALES.get(unit, SI)
    scale, prefix = next(((scale, prefix) for scale, prefix in scales if abs(value) >= scale), (1.0, ""))
    return f"{value / scale:.6g} {prefix}{unit}".strip()


def measured_screen(measured: Measured, output: Path | None) -> RenderableType:
    """Measured rates next to those of the profile."""
    table = _table("kernel", "median rate", "of the profile's", "shapes", "error before", "error after")
    for level in measured.levels:
        unit = "TB/s" if level.kernel.startswith(("copies", "collectives")) else "TFLOP/s"
        errors = [f"{100 * error:.1f} %" if level.shapes > 1 else DASH for error in (level.before, level.error)]
        table.add_row(
            level.kernel, f"{level.rate / 1e12:.3g} {unit}", f"{level.factor:.2f}", str(level.shapes), *errors
        )
    then = (
        f"Written to {output}: `--accelerator {output}` uses it."
        if output
        else "`-o FILE.yaml` writes a profile with these constants."
    )
    return Group(
        Text(f"{measured.device.name}, PyTorch {measured.device.torch}, as {measured.accelerator.name}", style="bold"),
        table,
        Text(),
        Text(then),
    )
