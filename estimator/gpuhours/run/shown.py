"""The run that represents a sample: the draw nearest to the median, with all drawn values set, and the sample's medians as its totals."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.durations import HOUR
from gpuhours.inputs.errors import EstimateError
from gpuhours.layout.choices import Coded, word
from gpuhours.layout.layout import Layout
from gpuhours.run.evaluate import Outcome, evaluate
from gpuhours.run.ranges import median
from gpuhours.run.resolve import Resolved, resolve
from gpuhours.run.sampling import Choices, Draws, LayoutGrid
from gpuhours.run.spec import Interconnect, Run, Supplied
from gpuhours.run.typical import network_share

SHARE = "hardware.network.share"
NAMED = "not stated: as in a run of the sample whose step takes about the median time"
USUAL = "not stated: the usual value, whatever else the run leaves open"
ALIKE = 0.09
"""Distance from the median step time, in log, within which a simpler layout is preferred: about the error of a predicted step."""
STOPS = "stops, and the ratio of published hours to those of steps: the median of the sample"


def shown_draw(seconds: Draws, choices: Choices) -> int:
    """Index of the draw whose predicted step time is nearest to the median, in log. Its stops do not matter: they are set such that the
    run takes the median GPU time.

    Only draws that fit are considered if any do, since who runs out of memory takes another stack; of them those of one recompute mode if
    more than half have it, as adapters do. Of the draws within ``ALIKE`` of the median (or the nearest one), those that recompute least
    are preferred, then those with the simplest layout and the most common stack: such a run is the shortest to describe, and readers take
    it for advice.
    """
    far = np.abs(np.log(choices.usual_time / median(seconds)))
    fits = np.array([one.room > 0 for one in choices.grids])[choices.stack]
    kept = fits if fits.any() else ~fits
    modes = np.bincount(choices.mode[kept])
    if 2 * modes.max() > kept.sum():
        kept &= choices.mode == np.argmax(modes)
    far = np.where(kept, far, np.inf)
    near = np.flatnonzero(far <= max(far.min(), ALIKE))
    said = {(int(choices.stack[draw]), int(choices.cell[draw])): 0 for draw in near}
    for stack, cell in said:
        grid = choices.grids[stack]
        said[stack, cell] = len(departures(grid.layout(cell), grid))
    common = np.bincount(choices.stack)

    def preferred(draw: int) -> tuple[int, int, int, float]:
        stack, cell = int(choices.stack[draw]), int(choices.cell[draw])
        return int(choices.mode[draw]), said[stack, cell], -int(common[stack]), float(far[draw])

    return int(min(near, key=lambda draw: preferred(int(draw))))


def departures(layout: Layout, grid: LayoutGrid) -> dict[str, Any]:
    """The fields of a grid's layout that differ from their defaults: key -> value."""
    fields = [name for name in grid.axes if name in Layout.model_fields]
    names = (*fields, "recompute_layers", "recompute_modules", "schedule")
    plain = Layout.model_construct()
    return {name: value for name in names if (value := getattr(layout, name)) != getattr(plain, name)}


def as_named(run: Run, resolved: Resolved, choices: Choices, draw: int) -> Run:
    """The run of one draw, with its stack, layout and the typical share of the network set."""
    grid = choices.grids[int(choices.stack[draw])]
    layout = grid.layout(int(choices.cell[draw]))
    said = {
        "software": (run.stack, grid.software.name),
        "training.global_batch": (run.training.global_batch, resolved.global_batch),
    }
    why = {note.name: note.reason for note in resolved.assumptions}
    supplied = {
        key: Supplied(value=value, reason=NAMED if stated is None else why.get(key, NAMED))
        for key, (stated, value) in said.items()
        if stated is None or (key == "training.global_batch" and stated != value)
    }
    completed = {
        f"layout.{name}": Supplied(value=spelt(value), reason=NAMED)
        for name, value in departures(layout, grid).items()
        if run.layout is None or name not in run.layout.model_fields_set
    }
    named = run.replaced("layout", layout).replaced("software", run.stack or grid.software.name)
    named = named.replaced("training.global_batch", resolved.global_batch).replaced("training.batch_tokens", None)
    named = named.replaced("assumptions", {**run.assumptions, **supplied, **completed})
    return on_usual_network(named) if choices.share != 1.0 else named


def on_usual_network(run: Run) -> Run:
    """The run with the typical share of network bandwidth set, if it spans several nodes and nothing gives the rate of collectives."""
    try:
        resolved = resolve(run)
    except EstimateError:  # an invalid run is refused on evaluation
        return run
    if run.hardware.has_network_rate or resolved.cluster is None or not np.max(resolved.cluster.nodes) > 1:
        return run
    usual = network_share(resolved.cluster)
    if usual.value == 1.0:
        return run
    supplied = Supplied(value=usual.value, reason=USUAL, source=usual.source)
    return with_share(run, usual.value).replaced("assumptions", {**run.assumptions, SHARE: supplied})


def with_share(run: Run, share: float) -> Run:
    """The run with collectives that reach the given share of the rated network bandwidth."""
    kind = None if run.hardware.network is None else run.hardware.network.kind
    return run.replaced("hardware.network", Interconnect(kind=kind, share=share))


def spelt(value: Any) -> Any:
    """A field of a layout as a user writes it."""
    if isinstance(value, tuple):
        return [spelt(one) for one in value]
    return word(type(value), value) if isinstance(value, Coded) else value


def at_median(named: Run, gpu_time: float, notes: tuple[Assumption, ...]) -> tuple[Outcome, float]:
    """The outcome of a run with its goodput set such that it takes ``gpu_time`` GPU s, and its predicted step time in s.

    If the goodput is stated, or if the steps alone take longer than ``gpu_time``, the step time is scaled instead. Without tokens or steps
    only the step is predicted.
    """
    stated = named.known.goodput is not None and "known.goodput" not in named.assumptions
    plain = evaluate(named if stated else named.replaced("known.goodput", 1.0))
    if plain.value("gpu_hours") is None:
        plain = evaluate(named)
    assert plain.step is not None
    if plain.value("gpu_hours") is None:  # without tokens or steps only the step can be predicted
        return dataclasses.replace(plain, assumptions=(*notes, *plain.assumptions)), float(plain.step.time)
    share = gpu_seconds(plain) / gpu_time
    if stated:
        outcome = evaluate(named, slower=1.0 / share, like=plain)
        return dataclasses.replace(outcome, assumptions=(*notes, *outcome.assumptions)), float(plain.step.time)
    supplied = Supplied(value=round(min(share, 1.0), 6), reason=STOPS)
    stopped = named.replaced("assumptions", {**named.assumptions, "known.goodput": supplied})
    stopped = stopped.replaced("known.goodput", min(share, 1.0))
    resolved = dataclasses.replace(
        plain.resolved,
        assumptions=(*plain.resolved.assumptions, Assumption("known.goodput", supplied.value, "", STOPS)),
        bases={**plain.resolved.bases, "known.goodput": "assumed"},
    )
    outcome = evaluate(stopped, slower=min(1.0 / share, 1.0), like=dataclasses.replace(plain, resolved=resolved))
    return dataclasses.replace(outcome, assumptions=(*notes, *outcome.assumptions)), float(plain.step.time)


def gpu_seconds(outcome: Outcome) -> float:
    """GPU s of a run whose GPU-hours are determined."""
    hours = outcome.value("gpu_hours")
    assert hours is not None
    return float(np.max(hours)) * HOUR
