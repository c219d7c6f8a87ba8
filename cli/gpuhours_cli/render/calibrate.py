"""The screen of ``gpuhours calibrate``: each step before and after calibration, the chosen stack with the reason, and the new range."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import median

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gpuhours.questions.calibrating.calibrating import Calibration, StackCalibrated, median_size, title
from gpuhours.questions.calibrating.choosing import FULL
from gpuhours_cli.render import numbers


def screen(calibration: Calibration, output: Path | None) -> RenderableType:
    """Each stack that the runs name, then remarks from reading the files."""
    parts: list[RenderableType] = []
    for one in calibration.stacks:
        parts += [Text(heading(one), style="bold"), Text(), Padding(steps(one), (0, 0, 1, 2)), verdict(one), Text()]
    parts += [Text(f"note: {remark}") for remark in calibration.remarks]
    if output is not None:
        parts.append(Text(f"written to {output}: gpuhours estimate run.yaml --site {output}"))
    else:
        parts.append(Text("-o site.yaml saves it, for --site site.yaml"))
    return Group(*parts)


def heading(one: StackCalibrated) -> str:
    """``3 steps of fsdp-compile on h100-sxm-80gb``."""
    count = len(one.steps)
    return f"{count} step{'s' if count > 1 else ''} of {one.stated.software} on {one.steps[0].traits.card}"


def steps(one: StackCalibrated) -> RenderableType:
    """Each step: measured, predicted before and after calibration, and predicted from the other steps alone."""
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold", ratio=1)
    for _ in range(4):
        table.add_column(justify="right", no_wrap=True)
    table.add_row("", "measured", "before", "after", "left out", style="dim")
    for step, before, after, left in zip(one.steps, one.before, one.after, one.left_out, strict=True):
        predicted = (duration_and_error(value, step.seconds) for value in (before, after, left))
        table.add_row(step.name, numbers.duration(step.seconds), *predicted)
    if len(one.steps) > 1:
        sizes = (
            median_size([value / step.seconds - 1 for value, step in zip(values, one.steps, strict=True) if value])
            for values in (one.before, one.after, one.left_out)
        )
        table.add_row("median error", "", *("" if size is None else numbers.percent(size) for size in sizes))
    return table


def duration_and_error(value: float | None, measured: float) -> str:
    """``2.08 s −35 %``."""
    return "–" if value is None else f"{numbers.duration(value)} {value / measured - 1:+.0%}"


def verdict(one: StackCalibrated) -> RenderableType:
    """The chosen stack, the factor that carries over, and the new range."""
    choice = one.choice
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=8)
    table.add_column(overflow="fold", ratio=1)
    kept = "as stated" if choice.stack.software == one.stated.software else title(choice.stack)
    table.add_row("Stack", f"{choice.stack.software}, {kept}")
    if choice.stack.network is not None:
        table.add_row("Network", choice.stack.network)
    table.add_row("Why", one.why)
    table.add_row("Factor", factor(one))
    table.add_row("Range", ranges(one))
    return table


def factor(one: StackCalibrated) -> str:
    """How much of the residual carries over to other runs."""
    over_prediction = math.exp(median(one.choice.residuals))
    if one.choice.factor == 1.0:
        few = f"; {FULL} steps would tell more" if len(one.steps) < FULL else ""
        return f"none: the residual (x {over_prediction:.2f}) is within chance and run-to-run variation{few}"
    return f"x {one.choice.factor:.3f} of x {over_prediction:.3f} carries over to other runs"


def ranges(one: StackCalibrated) -> str:
    """Ratio of the high to the low end of the range, before and after calibration."""
    before = one.high[0] / one.low[0]
    after = one.site_high[0] / one.site_low[0]
    low, high = (numbers.duration(value) for value in (one.site_low[0], one.site_high[0]))
    few = "because few steps tell little" if len(one.steps) < FULL else "because these steps vary more than usual"
    verb = "narrows" if after < before else f"widens, {few},"
    return f"{verb} from x {before:.2f} to x {after:.2f}, high over low: {low} to {high} for {one.steps[0].name}"


def answer(calibration: Calibration) -> str:
    """For ``--quiet``: the stack chosen for each stated one."""
    return "\n".join(
        f"{one.stated.software}: {one.choice.stack.software}"
        f"{'' if one.choice.stack.network is None else f' over {one.choice.stack.network}'} x {one.choice.factor:.3f}"
        for one in calibration.stacks
    )
