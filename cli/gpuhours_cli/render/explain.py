"""``--explain RESULT``: the equation of a result, its inputs back to the given ones, and the origin of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gpuhours.cost.lines import Amount
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.errors import EstimateError, nearest
from gpuhours.questions.estimating.estimates import Estimate, Result
from gpuhours.run.ensemble import Ensemble
from gpuhours.run.results import RESULTS
from gpuhours.run.totals import KEYS, UNITS, undetermined
from gpuhours_cli.render import numbers
from gpuhours_cli.render.estimate import counted
from gpuhours_cli.render.spread import say_first
from gpuhours_cli.render.stops import causes

ON_SCREENS = {"USD": "cost", "money": "cost", "duration": "wall_clock", "peak memory": "memory_per_gpu"}
"""Other names by which screens call a result."""
HOURS = frozenset({"gpu_hours", "wall_clock", "cost", "energy", "carbon"})
"""Results proportional to the run's length, whose range is that of the sample."""


def explanation(estimate: Estimate, name: str) -> RenderableType:
    """One result on one page: value, equations, parts, assumptions. ``name`` as in JSON or on screens."""
    name = result_called(name)
    result = estimate.results[name]
    if result is None:
        why = undetermined(estimate.outcome.totals, (name,)) if name in KEYS else RESULTS[name].absent or None
        return Text("\n".join((f"{name} is not determined by this run.", *((why,) if why else ()), *estimate.warnings)))
    chain = list(inputs(estimate, result))
    parts: list[RenderableType] = [heading(name, result), equations(estimate, name, result, chain)]
    if RESULTS[name].rests_on:
        parts.append(bill(estimate, name))
    if "step_time" in (name, *chain) and estimate.time:
        parts.append(listed("step time, predicted, is the sum of", named(estimate.time, numbers.duration)))
    if name in {"memory_per_gpu", "fits"}:
        parts.append(listed("memory of the fullest rank is the sum of", named(estimate.memory, numbers.si("B"))))
    if name == "goodput" and (told := dict(causes(estimate))):
        parts.append(listed("stops, as stated or else usual, take of the productive time", told.items()))
    if name in HOURS and estimate.sample is not None:
        parts.append(listed("its range comes from what is not stated", spread(estimate.sample)))
    taken = [one for one in estimate.assumptions if matters(estimate, one, name, chain)]
    if taken:
        parts.append(assumptions(taken))
    return Group(*parts)


def spread(sample: Ensemble) -> Iterator[tuple[str, str]]:
    """Each unknown's share of the range, and the fact that would narrow it most."""
    shares = sample.shares()
    yield from ((name, f"{share:.0%}") for name, share in shares.items())
    if (left := 1 - sum(shares.values())) >= 0.005:
        yield "several together", f"{left:.0%}"
    yield "say first", say_first(sample)


def result_called(words: str) -> str:
    """The result that the words name: ``GPU-hours``, ``step``, ``gpu_hours``, ``USD``."""
    known = {_plain(text): name for name, line in RESULTS.items() for text in (line.title, line.label, name)}
    known |= {_plain(words): name for words, name in ON_SCREENS.items()}
    if _plain(words) not in known:
        hint = nearest(words, RESULTS) or f"Results: {', '.join(RESULTS)}."
        raise EstimateError(f"No result {words!r}.", hint, "--explain")
    return known[_plain(words)]


def _plain(words: str) -> str:
    return "".join(letter for letter in words.lower() if letter.isalnum())


def heading(name: str, result: Result) -> Text:
    """``gpu_hours = 552,960 GPU*hour   (solved)``."""
    span = (
        ""
        if result.low is None or result.high is None
        else f"   80 % range {precise(result.low)} to {precise(result.high)}"
    )
    return Text(f"{name} = {precise(float(result.value))} {result.unit}   ({result.basis}){span}", style="bold")


def inputs(estimate: Estimate, result: Result) -> Iterator[str]:
    """Every total that a result depends on, nearest first, each once."""
    seen: set[str] = set()
    queue = list(result.inputs)
    while queue:
        item = queue.pop(0)
        solved = estimate.outcome.totals.values.get(item)
        if solved is None or item in seen:
            continue
        seen.add(item)
        queue += solved.inputs
        yield item


def equations(estimate: Estimate, name: str, result: Result, chain: list[str]) -> RenderableType:
    """The result and each input: value, unit, and the equation, source or person it comes from."""
    rows = [(name, f"{precise(float(result.value))} {result.unit}", result.equation or result.basis)]
    for item in chain:
        solved = estimate.outcome.totals.values[item]
        value = f"{precise(float(np.asarray(solved.value)))} {UNITS.get(item, '')}"
        rows.append((item, value, origin(estimate, item, solved.basis, solved.equation)))
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    for row in rows:
        table.add_row(*row)
    return Padding(table, (0, 0, 0, 2))


def origin(estimate: Estimate, item: str, basis: str, equation: str) -> str:
    """Where one input comes from."""
    resolved = estimate.outcome.resolved
    if item == "peak" and resolved.cluster is not None:
        figure = resolved.cluster.accelerator.figures.get(f"peak.{resolved.precision.dtype}")
        return (
            "; ".join(part for part in (figure.source, figure.note) if part)
            if figure
            else resolved.cluster.accelerator.title
        )
    if item in {"flops_per_sample", "hardware_flops_per_sample"}:
        return f"summed over the model's operators, {counted(estimate)}"
    return equation or basis


def bill(estimate: Estimate, name: str) -> RenderableType:
    """quantity x rate = amount, line by line, each with its source."""
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold", ratio=1)
    for line in estimate.outcome.bill.lines:
        if line.result == name or (name == "carbon" and line.result == "energy"):
            said = " = ".join((" x ".join((amount(line.quantity), amount(line.rate))), amount(line.amount)))
            table.add_row(f"{line.name}: {said}")
            table.add_row(Padding(line.source, (0, 0, 0, 2)))
    return Padding(table, (1, 0, 0, 2))


def amount(number: Amount) -> str:
    """A number of the bill in its own unit."""
    return f"{numbers.digits(float(number.value), 4)} {number.unit}".strip()


def precise(value: float) -> str:
    """Six significant digits; scientific notation from 1e12."""
    return f"{value:.6g}" if abs(value) >= 1e12 else numbers.digits(value, 6)


def matters(estimate: Estimate, assumption: Assumption, name: str, chain: list[str]) -> bool:
    """Whether a result depends on an assumption."""
    below, block = {name, *chain}, assumption.name.split(".")[0]
    if block == "cost":
        return assumption.name.startswith(RESULTS[name].rests_on)
    if assumption.name == "known.goodput":
        return "goodput" in below
    step = estimate.outcome.totals.values.get("step_time")
    modelled = name in {"memory_per_gpu", "fits"} or (
        "step_time" in below and step is not None and step.basis == "predicted"
    )
    if block in {"software", "layout", "hardware"}:
        return modelled or (block == "layout" and "hardware_flops_per_sample" in below)
    if block == "training":
        return modelled or "peak" in below
    if block == "model" and name in {"parameters", "trainable_parameters"}:
        return True
    return modelled or bool(below & {"flops_per_sample", "tokens_per_sample"})


def assumptions(taken: list[Assumption]) -> RenderableType:
    """Each key with its assumed value, and the reason below."""
    table = Table.grid()
    table.add_column(overflow="fold", ratio=1)
    for one in taken:
        table.add_row(f"{one.name} = {shown(one)}")
        table.add_row(Padding(reason(one), (0, 0, 0, 2)))
    return Group(Text(), Text("assumed", style="bold"), Padding(table, (0, 0, 0, 2)))


def shown(assumption: Assumption) -> str:
    """The assumed value with its unit."""
    value = assumption.value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{numbers.digits(value, 4) if number else value} {assumption.unit}".strip()


def reason(assumption: Assumption) -> str:
    """The reason for an assumption, with its source."""
    return assumption.reason + (f" [{assumption.source}]" if assumption.source else "")


def named(amounts: Mapping[str, float], text: Callable[[float], str]) -> Iterator[tuple[str, str]]:
    """Each non-zero part, with its amount formatted."""
    return ((part, text(amount)) for part, amount in amounts.items() if amount)


def listed(title: str, rows: Iterable[tuple[str, str]]) -> RenderableType:
    """A titled list of names, each with its text."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    for row in rows:
        table.add_row(*row)
    return Group(Text(), Text(title, style="bold"), Padding(table, (0, 0, 0, 2)))
