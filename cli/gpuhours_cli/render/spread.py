"""What an estimate's range depends on: the probability of meeting limits, the main unknowns, and the fact that would narrow it most."""

from __future__ import annotations

import numpy as np
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gpuhours.inputs.durations import HOUR
from gpuhours.questions.estimating.chances import Chances
from gpuhours.questions.estimating.estimates import Estimate
from gpuhours.run.ensemble import Ensemble
from gpuhours.run.ranges import median
from gpuhours_cli.render import numbers


def chances_of(asked: Chances) -> list[tuple[str, float]]:
    """Each limit in words with the probability that it is met: (``within 50 k USD``, 0.02)."""
    budget = None if asked.budget is None else f"{numbers.count(asked.budget)} USD"
    rows = (("fits", asked.fits), (f"done by {asked.by}", asked.in_time), (f"within {budget}", asked.within_budget))
    return [(what, chance) for what, chance in rows if chance is not None]


def odds(estimate: Estimate, asked: Chances) -> RenderableType:
    """The probability that it fits, meets the deadline and stays within the budget; what the budget buys if it is too small."""
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=12)
    table.add_column(overflow="fold", ratio=1)
    said = [Text(f"{what} {chance:.0%}", "" if chance >= 0.5 else "bold red") for what, chance in chances_of(asked)]
    unasked = "not known: the GPU-hours, the time and the cost are not" if asked.by or asked.budget else "not known"
    table.add_row("Chances", Text(" · ").join(said) if said else unasked)
    if asked.together is not None and len(said) > 1:
        table.add_row(
            "", f"all of it {asked.together:.0%}; what decides: {', '.join(asked.decide) or 'the step model'}"
        )
    tokens = estimate.results["tokens"]
    if asked.affordable is not None and asked.affordable[0] < 1 and tokens is not None:
        middle, low, high = (numbers.count(share * float(tokens.value)) for share in asked.affordable)
        table.add_row("Budget buys", f"{middle} of {numbers.count(float(tokens.value))} tokens ({low} – {high})")
    return table


def spread(estimate: Estimate, sample: Ensemble) -> RenderableType:
    """Where the range comes from, which fact would narrow it, and the wall-clock time on other numbers of GPUs."""
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=12)
    table.add_column(overflow="fold", ratio=1)
    for line in estimate.by_gpus[:1]:
        days = " · ".join(
            f"{numbers.duration(one.wall_clock)} on {numbers.exact(one.gpus)}" for one in estimate.by_gpus
        )
        table.add_row("By GPUs", f"{days}   (x {line.low / line.wall_clock:.2f} – {line.high / line.wall_clock:.2f})")
    if estimate.results["gpu_hours"] is not None:
        _whole_run(table, sample)
    said = f"{len(sample.gpu_time)} runs of {sample.year}; below, one close to the median"
    table.add_row("Sample", said)
    return table


def _whole_run(table: Table, sample: Ensemble) -> None:
    """Add the rows on GPU-hours: shares of the variance, the fact to give first, and the time lost in stops."""
    shares = [f"{name} {share:.0%}" for name, share in sample.shares().items() if share >= 0.02]
    table.add_row("What decides", " · ".join(shares[:6]))
    table.add_row("Say first", say_first(sample))
    stops, rest = median(1 - sample.goodput), sample.on_top
    if "remainder" in sample.drawn:
        beside = f"; x {rest:.2f} on top, as in published runs" if abs(rest - 1) > 0.005 else ""
        table.add_row("Stops", f"{stops:.1%} of the time{beside}")


def say_first(sample: Ensemble) -> str:
    """The fact that narrows GPU-hours most, and the resulting range; or a sentence that none does."""
    first = sample.narrowed()
    if first is None:
        return "no single fact would narrow GPU-hours by 5% or more"
    low, high = (numbers.count(edge / HOUR) for edge in first[2:])
    return f"{first[1]}; GPU-hours would then be {low} – {high}"


def one_pass(estimate: Estimate) -> str:
    """``, 37 minutes of steps``: the time that one pass over the samples takes, D t / B; empty if it is not known."""
    step, batch = estimate.results["step_time"], estimate.outcome.value("global_batch")
    samples = estimate.run.data.dataset_samples
    if step is None or batch is None or samples is None:
        return ""
    return f", {numbers.duration(float(np.max(samples)) / batch * step.value)} of steps"


def missing_input(estimate: Estimate) -> str | None:
    """The one input to give first if GPU-hours are undetermined, and what follows from it; None if they are not."""
    resolved = estimate.outcome.resolved
    if estimate.results["gpu_hours"] is not None or estimate.stages:
        return None
    data = estimate.run.data
    if resolved.model is None:
        return "--model or --params: everything else depends on what is trained"
    if resolved.cluster is None:
        return "--gpu, such as h100-sxm-80gb: GPU-hours, time and cost follow; `gpuhours hardware list`"
    if data.dataset_samples is not None and estimate.results["steps"] is None:
        return f"--epochs (1 for one pass over the samples{one_pass(estimate)}): GPU-hours, time and cost follow"
    if estimate.results["steps"] is None:
        return "--tokens, --steps, or --samples with --epochs: GPU-hours, time and cost follow"
    if not resolved.timed:
        slow = f"the speed of {resolved.cluster.accelerator.title} is not known"
        return f"--mfu, such as 40%: {slow}, so no step is predicted; GPU-hours, time and cost follow"
    return None


def wanted(estimate: Estimate) -> RenderableType | None:
    """The line that says which input to give first if GPU-hours are undetermined; None if they are not."""
    said = missing_input(estimate)
    if said is None:
        return None
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=12)
    table.add_column(overflow="fold", ratio=1)
    table.add_row("Say first", said)
    return table
