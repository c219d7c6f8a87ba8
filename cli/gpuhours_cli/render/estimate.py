"""The screen of ``gpuhours estimate``: the answer, what limits it, what was assumed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gpuhours.layout.choices import Recompute, Sharding, word
from gpuhours.memory.odds import ENOUGH, SAFE
from gpuhours.questions.estimating.estimates import Estimate, Result
from gpuhours.run.band import Band
from gpuhours.run.results import RESULTS
from gpuhours_cli.render import numbers
from gpuhours_cli.render.observed import comparison
from gpuhours_cli.render.spread import chances_of, missing_input, odds, spread, wanted

BAR = 40
Formatter = Callable[[float], str]

ROWS = (
    "wall_clock", "gpu_hours", "gpus", "mfu", "goodput", "step_time", "steps", "tokens", "model_flops", "memory_per_gpu", "cost",
    "energy", "carbon", "embodied_carbon",
)  # fmt: skip
"""The results shown on the screen, in order."""


WORTH_SAYING = {"gpus": {"solved"}, "goodput": {"given", "solved"}}
"""Result -> origins with which it is shown. Otherwise it is redundant: the title gives the GPUs, and the assumptions say 'no stops'."""

ANSWER = frozenset({"wall_clock", "gpu_hours", "gpus", "mfu"})
"""The results printed under ``--quiet``."""

UNSAID = frozenset({"peak", "goodput", "flops_per_sample", "hardware_flops_per_sample"})
"""Inputs not listed next to a solved result; ``--explain`` shows them."""


def screen(estimate: Estimate) -> RenderableType:
    """The full screen."""
    parts: list[RenderableType] = [title(estimate), Text(), results(estimate)]
    if estimate.stages:
        parts += [Text(), stages(estimate)]
    if estimate.chances is not None:
        parts += [Text(), odds(estimate, estimate.chances)]
    if estimate.sample is not None:
        parts += [spread(estimate, estimate.sample)]
    if (first := wanted(estimate)) is not None:
        parts += [first]
    if estimate.observed is not None:
        parts += [Text(), comparison(estimate.observed)]
    elif estimate.time:
        parts += [Text(), waterfall(estimate)]
    parts += [Text(), *closing(estimate)]
    return Group(*parts)


def title(estimate: Estimate) -> RenderableType:
    """The model and its accelerators; the layout on the line below."""
    layout = layout_words(estimate)
    return Text.assemble((heading(estimate), "bold"), f"\n{layout}" if layout else "")


def heading(estimate: Estimate) -> str:
    """``X-Gen-Video-30B on 512 x H100 SXM5 80 GB``; every card of a run whose stages have several."""
    resolved = estimate.outcome.resolved
    name = estimate.run.name if estimate.run.name != "run" or resolved.model is None else resolved.model.name
    if resolved.cluster is None:
        return name
    cards = dict.fromkeys(_cards(one) for one in estimate.stages)
    several = len({one.split(" x ")[-1] for one in cards}) > 1
    return f"{name} on {', then '.join(cards) if several else _cards(estimate)}"


def _cards(estimate: Estimate) -> str:
    """``512 x H100 SXM5 80 GB``; the card alone where the number is open."""
    resolved = estimate.outcome.resolved
    many = "" if resolved.gpus is None else f"{numbers.exact(float(resolved.gpus))} x "
    return f"{many}{'' if resolved.cluster is None else resolved.cluster.accelerator.title}"


def layout_words(estimate: Estimate) -> str:
    """``tensor 4 · pipeline 8 · data 16 · zero1``: degrees above 1, and options that save memory; one replica has nothing to shard."""
    layout = estimate.outcome.resolved.layout
    if layout is None:
        return ""
    words = [
        f"{name} {int(degree)}"
        for name in ("tensor", "pipeline", "interleave", "context", "expert", "data")
        if (degree := getattr(layout, name)) is not None and degree > 1
    ]
    if layout.sharding and not (layout.data == 1 and layout.context == 1):
        words.append(word(Sharding, layout.sharding))
    if layout.recompute:
        words.append(f"recompute {word(Recompute, layout.recompute)}")
    if (layout.loss_blocks or 1) > 1:
        words.append(f"loss in {layout.loss_blocks} blocks")
    held = {
        "offload_parameters": "weights",
        "offload_optimizer": "optimiser states",
        "offload_activations": "activations",
    }
    host = [what for name, what in held.items() if getattr(layout, name)]
    words += [f"{' and '.join(host)} on the host"] if host else []
    return " · ".join(words)


def results(estimate: Estimate) -> RenderableType:
    """One line per result: value, range, origin."""
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=11)
    table.add_column(min_width=11)
    table.add_column(min_width=13)
    table.add_column(overflow="fold")
    for label, name, text, result in shown(estimate):
        table.add_row(label, text(result.value), edges(result, text), remark(estimate, name, result))
    return Padding(table, (0, 0, 0, 2))


def shown(estimate: Estimate) -> Iterator[tuple[str, str, Formatter, Result]]:
    """(label, name, formatter, result) of each row on the screen."""
    for name in ROWS:
        result = estimate.results[name]
        if result is not None and result.basis in WORTH_SAYING.get(name, {result.basis}):
            yield RESULTS[name].label, name, written(name), result


def written(name: str) -> Formatter:
    """The function that formats a result's values."""
    text = numbers.for_unit(RESULTS[name].unit)
    return (lambda value: f"{text(value)} USD") if RESULTS[name].unit == "USD" else text


def edges(result: Result, text: Formatter) -> str:
    """The 80 % range; empty if there is none."""
    if result.low is None or result.high is None:
        return ""
    return numbers.span(result.value, result.low, result.high, text)


def _memory(stage: Estimate) -> float:
    """Bytes of the fullest accelerator of a stage."""
    result = stage.results["memory_per_gpu"]
    return 0.0 if result is None else float(result.value)


def remark(estimate: Estimate, name: str, result: Result) -> RenderableType:
    """The note next to a value: its origin, or the factors it is the product of."""
    fullest = max(estimate.stages, key=_memory, default=estimate) if name == "memory_per_gpu" else estimate
    outcome = fullest.outcome
    if name == "memory_per_gpu" and outcome.memory is not None:
        spare, chance = float(outcome.memory.margin), float(outcome.memory.fits_probability)
        where = " on the encoder's own GPUs" if outcome.memory.stage < 0 else ""
        where += "" if fullest is estimate else f" in {fullest.run.name}"
        held = f"of {numbers.si('B')(float(outcome.memory.capacity))}{where}: "
        left = f"{numbers.si('B')(abs(spare))} {'to spare' if spare >= 0 else 'over'}"
        if spare < 0 <= float(outcome.memory.capacity - outcome.memory.needed):
            left = "the allocator's cache given back"
        words = held + verdict(chance) + f", {left}"
        return Text(words, style="green" if estimate.fits else "bold red")
    if name == "step_time":
        batch = outcome.value("global_batch")
        tokens = outcome.value("tokens_per_sample")
        if batch is not None and tokens is not None:
            return f"{numbers.count(batch)} {'sample' if batch == 1 else 'samples'}, {numbers.count(batch * tokens)} tokens"
    if RESULTS[name].rests_on:
        return rate(estimate, name)
    if name == "mfu":
        return f"{result.basis}; {counted(estimate)}"
    if result.basis == "solved" and result.inputs:
        return "from " + ", ".join(readable(item) for item in spelt_out(estimate, result) if item not in UNSAID)
    return result.basis


def verdict(chance: float) -> str:
    """``fits`` or ``does not fit``; with the probability if it is between 1 - ``SAFE`` and ``SAFE``."""
    said = "fits" if chance >= ENOUGH else "does not fit"
    if 1 - SAFE < chance < SAFE:
        return f"{'may fit' if said == 'fits' else 'hardly fits'} (odds {numbers.percent(chance)})"
    return said


def spelt_out(estimate: Estimate, result: Result) -> Iterator[str]:
    """The inputs that a result was solved from, with productive time replaced by its own inputs."""
    for item in result.inputs:
        solved = estimate.outcome.totals.values[item]
        yield from solved.inputs if item == "productive_time" and solved.inputs else (item,)


def counted(estimate: Estimate) -> str:
    """How attention is counted in model FLOPs: by the run's convention; in full under ``causal`` if the model has no causal mask."""
    convention, model = estimate.run.training.convention, estimate.outcome.resolved.model
    return (
        "attention in full"
        if convention == "causal" and model is not None and not model.masked
        else f"{convention} attention"
    )


def rate(estimate: Estimate, name: str) -> str:
    """The unit prices behind an amount: ``2.50 USD/GPU-hour, AWS on demand 2026-10``, ``0.97 kW/GPU at the node, PUE 1.2``."""
    lines = [line for line in estimate.outcome.bill.lines if line.result == name]
    if name == "energy":
        drawn = [line for line in lines if line.rate.unit == "kW/GPU"]
        where = "at the node" if len(drawn) > 1 else f"of {drawn[0].name}"
        watts = sum(float(line.rate.value) for line in drawn)
        return ", ".join(
            [f"{numbers.digits(watts)} kW/GPU {where}", *(line.terms for line in lines if line not in drawn)]
        )
    if name == "embodied_carbon":
        grams = sum(float(line.rate.value) for line in lines)
        return f"{numbers.digits(grams)} gCO2e/GPU-hour of manufacture"
    said = [f"{numbers.digits(float(line.rate.value))} {line.rate.unit}, {line.terms}" for line in lines[:1]]
    said += [f"{line.name} {numbers.count(float(line.amount.value))} USD" for line in lines[1:]]
    return " + ".join(said).replace("USD/(GPU*hour)", "USD/GPU-hour")


def readable(name: str) -> str:
    """A result's name as words: ``gpu_hours`` -> ``GPU-hours``."""
    return (
        name.replace("gpu_hours", "GPU-hours")
        .replace("_", " ")
        .replace("gpu", "GPU")
        .replace("mfu", "MFU")
        .replace("flops", "FLOPs")
    )


STAGE_COLUMNS = ("gpu_hours", "wall_clock", "tokens", "mfu", "memory_per_gpu")


def stages(estimate: Estimate) -> RenderableType:
    """One line per stage; the results above it are totals over all stages."""
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    table.add_column("stage", overflow="fold")
    for name in STAGE_COLUMNS:
        table.add_column(RESULTS[name].label, justify="right")
    for stage in estimate.stages:
        values = [(stage.results[name], written(name)) for name in STAGE_COLUMNS]
        table.add_row(stage.run.name, *("open" if result is None else text(result.value) for result, text in values))
    return Padding(table, (0, 0, 0, 2))


def waterfall(estimate: Estimate) -> RenderableType:
    """The step time by part."""
    step_seconds = sum(estimate.time.values())
    step, peak = estimate.outcome.step, estimate.outcome.value("peak")
    shown = [(part, seconds) for part, seconds in estimate.time.items() if seconds >= 0.005 * step_seconds]
    table = Table.grid(padding=(0, 1))
    table.add_column(min_width=22, no_wrap=True)
    table.add_column(overflow="crop")  # cropped if the other columns need the space: no bar is that long
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for part, seconds in shown:
        share = seconds / step_seconds
        table.add_row(
            part,
            Text(("█" * max(1, round(share * BAR))).ljust(BAR), style="cyan"),
            f"{share:.0%}",
            numbers.duration(seconds),
        )
    achieved = (
        "" if step is None else f"from {peak / 1e12:,.0f} TFLOP/s of peak to {peak * float(step.mfu) / 1e12:,.0f}"
    )
    line = Table.grid(padding=(0, 4))
    longest = f"of {estimate.outcome.run.name}, the longest stage, " if estimate.stages else ""
    line.add_row(Text("Where a step goes", style="bold"), longest + achieved)
    return Group(line, Padding(table, (0, 0, 0, 2)))


def closing(estimate: Estimate) -> Iterator[RenderableType]:
    """Assumptions, errors on similar measured runs, suggested layout changes, and warnings."""
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=12)
    table.add_column(overflow="fold", ratio=1)
    shown = [one for one in estimate.assumptions if not one.name.endswith("(drawn)")]
    if shown:
        said = " · ".join(assumed(assumption) for assumption in shown)
        table.add_row(f"Assumed ({len(shown)})", said)
    if estimate.band is not None:
        table.add_row("Like this run", likeness(estimate.band))
    if estimate.advice.faster:
        table.add_row(
            "Faster by", " · ".join(f"{change.words} ({change.gain:+.0%})" for change in estimate.advice.faster)
        )
    if estimate.advice.longest is not None and not estimate.stages:
        longest = estimate.advice.longest
        many = longest.unit if longest.value == 1 else f"{longest.unit}s"
        table.add_row("Fits up to", f"{numbers.count(longest.value)} {many} per sample, all else unchanged")
    if estimate.advice.ways:
        table.add_row("To make it fit", " · ".join(way_words(way) for way in estimate.advice.ways))
    for index, warning in enumerate(estimate.warnings):
        table.add_row("Note" if index == 0 else "", warning)
    if table.row_count:
        yield table


def likeness(band: Band) -> str:
    """The number of similar measured runs, and the median error of their predictions with their source left out."""
    if band.own_steps:
        return f"{runs(band.own_steps).replace('measured run', 'step')} of your own"
    if band.median_error is None:
        return f"none on this stack ({band.kind})" if band.on_stack == 0 else (
            f"none measured ({band.kind}); {runs(band.on_stack)} elsewhere on this stack, "
            f"median error {numbers.percent(band.stack_error)} unseen"
        )  # fmt: skip
    many = f"{runs(band.runs)} of {band.sources} source{'s' if band.sources > 1 else ''}"
    return f"{many} ({band.kind}): median error {numbers.percent(band.median_error)} unseen"


def runs(count: int) -> str:
    """``1 run``, ``12 measured runs``."""
    return f"{count} measured run{'s' if count != 1 else ''}"


def way_words(way: Any) -> str:
    """``recompute selective (-21 GB, +4 % time)``."""
    slower = "" if way.slower is None else f", {way.slower:+.0%} time"
    short = "" if way.fits else ", still too large"
    return f"{way.change} (−{numbers.si('B')(way.saved)}{slower}{short})"


EXACT = 10**6
"""Whole numbers below it are written out in full, since they may be copied into a run file."""


def assumed(assumption: Any) -> str:
    """``layout.microbatch 1``: the key and its assumed value."""
    value = assumption.value
    if isinstance(value, bool):
        shown = str(value).lower()  # as in a run file
    elif isinstance(value, int | float) and 0 <= value < EXACT and value % 1 == 0:
        shown = f"{value:,.0f}"
    else:
        shown = numbers.count(value) if isinstance(value, int | float) else str(value)
    return f"{assumption.name} {shown}{' ' + assumption.unit if assumption.unit else ''}"


def answer(estimate: Estimate) -> str:
    """The one-line answer for ``--quiet``."""
    said = [f"{text(result.value)} {label}" for label, name, text, result in shown(estimate) if name in ANSWER]
    if (missing := missing_input(estimate)) is not None:
        said.append(f"GPU-hours not determined: say {missing.split(': ')[0]}")
    asked = estimate.chances
    money = estimate.results["cost"]
    if money is not None and ((asked is not None and asked.budget is not None) or estimate.run.cost.price is not None):
        said.append(f"{numbers.count(float(money.value))} USD")
    if estimate.fits is False:
        said.append("does not fit")
    if asked is not None:
        limits = chances_of(asked)
        unlikely = [
            f"unlikely to be {what} ({chance:.0%})" for what, chance in limits if chance < 0.5 and what != "fits"
        ]
        if not unlikely and estimate.fits is not False and not asked.likely:
            unlikely = [f"unlikely to be all of it at once ({asked.together:.0%})"]
        said += unlikely
    return ", ".join(said) or "not determined"
