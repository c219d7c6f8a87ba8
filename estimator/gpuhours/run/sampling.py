"""Sampling of hundreds of runs that match a description: values that are not stated are drawn from common practice (``typical.yaml``).

The sample is low-discrepancy and deterministic. For each stack, one vectorised call over a few hundred layouts gives the step times, and
each draw looks one of them up. So every draw is a feasible run, and the draw nearest to the median can be shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuhours.architecture.operators import Model
from gpuhours.inputs.arrays import Array, keep_freed_memory
from gpuhours.inputs.records import dataclass
from gpuhours.layout.choices import Recompute
from gpuhours.layout.layout import Layout
from gpuhours.layout.validity import offered
from gpuhours.memory import memory
from gpuhours.run.default_layout import (
    base_of,
    chosen_layout,
    customary,
    fills_its_shard_group,
    laid_out,
    layout_axes,
    usual,
)
from gpuhours.run.typical import Slack
from gpuhours.software.profile import Software
from gpuhours.step import step
from gpuhours.workload import Workload

Draws = NDArray[np.float64]
SHARES = (1.0, 0.4)
"""Shares of the rated network bandwidth at which every layout is evaluated; between them ln t is interpolated in ln share."""


@dataclass(frozen=True)
class LayoutGrid:
    """The layouts of one stack that complete the stated part of the layout: flat arrays with one value per layout."""

    software: Software
    model: Model
    base: Layout
    axes: Mapping[str, list[Any]]
    times: tuple[Draws, ...]
    """s per step at each of ``SHARES``."""
    filled: Draws
    """Memory needed, relative to the available memory."""
    safe: NDArray[np.bool_]
    """Whether it fits with a probability of nine in ten."""
    likely: NDArray[np.bool_]
    """Whether it is more likely to fit than not."""
    valid: NDArray[np.bool_]
    customary: NDArray[np.bool_]
    """Whether it uses only common features of the stack (``default_layout.customary``)."""
    recompute: NDArray[np.int64]
    parts: Draws
    """Accelerators over which one copy of the model is split."""

    @cached_property
    def fits(self) -> NDArray[np.bool_]:
        """Mask of the layouts to draw from: valid ones that are safe and customary; if there are none, safe ones; then those likely to fit;
        then those that need least memory."""
        least = 1.001 * self.filled[self.valid].min(initial=np.inf)
        for kept in (self.safe & self.customary, self.safe, self.likely, self.filled <= least):
            if (self.valid & kept).any():
                return self.valid & kept
        return self.valid

    @property
    def room(self) -> int:
        """2 if a valid layout fits with a probability of nine in ten, 1 if one is likely to fit, otherwise 0."""
        return 2 if np.any(self.valid & self.safe) else int(np.any(self.valid & self.likely))

    def modes(self, within: float) -> frozenset[int]:
        """Recompute modes whose fastest fitting layout is at most the fraction ``within`` slower than the fastest of all modes: nobody
        avoids a third more work by splitting the model so finely that the step time doubles."""
        best = {
            mode: float(self.times[0][self.fits & (self.recompute == mode)].min(initial=np.inf)) for mode in Recompute
        }
        return frozenset(int(mode) for mode, time in best.items() if time <= (1 + within) * min(best.values()) < np.inf)

    def near(self, mode: int, within: float) -> NDArray[np.int64]:
        """Indices of a recompute mode's layouts at most the fraction ``within`` slower than its fastest, fastest first. Of these only the
        layouts that split a model copy over the fewest accelerators are kept, as is common practice (Narayanan et al. 2021,
        arXiv:2104.04473, takeaways 1 and 2; Hagemann et al. 2023, arXiv:2311.05610, section 5)."""
        cells = np.flatnonzero(self.fits & (self.recompute == mode))
        cells = cells[self.times[0][cells] <= self.times[0][cells].min() * (1 + within)]
        cells = cells[self.parts[cells] == self.parts[cells].min()]
        return cells[np.argsort(self.times[0][cells], kind="stable")]

    def at(self, cells: NDArray[np.int64], share: Array) -> Draws:
        """s per step of the layouts ``cells`` at given shares of the network bandwidth: ln t linear in ln share."""
        slope = np.log(self.times[1][cells] / self.times[0][cells]) / np.log(SHARES[1])
        seconds: Draws = self.times[0][cells] * np.power(share, slope)
        return seconds

    def layout(self, cell: int) -> Layout:
        """One layout as plain numbers."""
        shape = tuple(len(values) for values in self.axes.values())
        places = np.unravel_index(cell, shape)
        picked = {name: values[place] for (name, values), place in zip(self.axes.items(), places, strict=True)}
        return chosen_layout(self.base, picked, self.model)


def grid(asked: Workload, stated: Layout | None) -> LayoutGrid:
    """All common layouts of a stack that complete the stated one, evaluated in one vectorised call."""
    return grids([asked], stated)[0]


def grids(several: Sequence[Workload], stated: Layout | None) -> list[LayoutGrid]:
    """The grid of each workload, all in one vectorised call: they may differ only in the number of accelerators and the batch.

    The call covers the union of the values tried for each field, and each workload selects its own: the overhead of hundreds of small
    operations is then paid only once.
    """
    keep_freed_memory()
    asked = several[0]
    own = [layout_axes(one.model, one.global_batch, one.cluster, stated, one.software) for one in several]
    axes = own[0] if len(own) == 1 else _union_of_values(own)
    count = len(axes) + 2
    fields = {name: _along(place, values, count) for place, (name, values) in enumerate(axes.items(), 2)}
    base = base_of(asked.model, asked.software, stated)
    shared = replace(
        asked,
        layout=laid_out(base, fields, asked.model),
        global_batch=_along(1, [one.global_batch for one in several], count),
        cluster=replace(asked.cluster, gpus=_along(1, [one.cluster.gpus for one in several], count)),
    )
    shape = (len(several), *(len(values) for values in axes.values()))
    times, columns = _computed(shared, base, fields["recompute"], count, shape)
    made = []
    for number, (one, tried) in enumerate(zip(several, own, strict=True)):
        cells = _grid_index([[axes[name].index(value) for value in values] for name, values in tried.items()])
        time = tuple(each[number][cells].reshape(-1) for each in times)
        filled, safe, likely, valid, *others, common, there = (each[number][cells].reshape(-1) for each in columns)
        valid = next(
            (valid & kept for kept in (common, there) if (valid & kept).any()), valid
        )  # what is stated may be uncommon
        made.append(LayoutGrid(one.software, one.model, base, tried, time, filled, safe, likely, valid, *others))
    return made


def _along(place: int, values: Sequence[Any], count: int) -> NDArray[Any]:
    """Values along one of ``count`` axes."""
    return np.asarray(values).reshape([-1 if other == place else 1 for other in range(count)])


def _computed(
    shared: Workload, base: Layout, recompute: NDArray[Any], count: int, shape: tuple[int, ...]
) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    """(step times by share of the network, other columns of ``LayoutGrid`` from ``filled`` on, then those of ``usual`` and ``offered``),
    each of the grid's ``shape``."""
    layouts, cluster = shared.layout, shared.cluster
    slower = replace(cluster, internode_bandwidth=cluster.network_bandwidth * _along(0, SHARES, count))
    with np.errstate(all="ignore"):  # invalid layouts may divide by zero; they are masked, not read
        predicted = step(replace(shared, cluster=slower))
        held = memory(shared)
    columns = (
        held.filled,
        held.safe,
        held.fits,
        predicted.valid & fills_its_shard_group(base, layouts, cluster),
        customary(layouts, shared.software, shared.model),
        recompute.astype(np.int64),
        layouts.model_parallel,
        usual(layouts, shared.global_batch, cluster),
        offered(layouts),
    )
    times = np.broadcast_to(predicted.time, (len(SHARES), *shape))
    return times, [np.broadcast_to(values, (1, *shape))[0] for values in columns]


def _grid_index(places: Sequence[Sequence[int]]) -> Any:
    """An index that selects the positions ``places`` along each axis: slices if all are consecutive, which are faster than gathering."""
    if all(list(one) == list(range(one[0], one[0] + len(one))) for one in places):
        return tuple(slice(one[0], one[0] + len(one)) for one in places)
    return np.ix_(*places)


def _union_of_values(several: Sequence[Mapping[str, list[Any]]]) -> dict[str, list[Any]]:
    """The union of the values tried for each field."""
    return {name: list(dict.fromkeys(value for one in several for value in one[name])) for name in several[0]}


@dataclass(frozen=True)
class Choices:
    """Stack, recompute mode, layout and step time of each draw. ``stack`` indexes ``grids``; ``cell`` indexes the layouts of that grid."""

    grids: tuple[LayoutGrid, ...]
    stack: NDArray[np.int64]
    mode: NDArray[np.int64]
    cell: NDArray[np.int64]
    step_time: Draws
    usual_time: Draws
    """s per step if collectives reach the typical share of the rated network bandwidth."""
    share: float
    """The typical share; 1 if the rate is known."""

    @property
    def fits(self) -> bool:
        """Whether some layout of the stacks is likely to fit."""
        return any(one.room for one in self.grids)


def quantile_indices(weights: Mapping[Any, float], position: Draws) -> NDArray[np.int64]:
    """Index of the alternative at each quantile ``position``: the inverse of the cumulative weights."""
    ends = np.cumsum(list(weights.values())) / sum(weights.values())
    return np.minimum(np.searchsorted(ends, position, side="right"), len(ends) - 1)


def with_room(
    grids: Mapping[str, LayoutGrid], stacks: Sequence[tuple[float, Mapping[str, float]]], slack: Slack
) -> dict[str, float]:
    """The weights of the stacks to draw from: of each part only those with the most ``room``, since who runs out of memory takes another.
    A part in which none fits keeps its share, so that the answer is continuous in the shares."""
    found: dict[str, float] = {}
    for share, weights in stacks:
        most = max((grids[name].room for name in weights), default=0)
        fitting = {
            name: weight
            for name, weight in weights.items()
            if grids[name].room == most and (most or grids[name].modes(slack.modes))
        }
        for name, weight in fitting.items():
            found[name] = found.get(name, 0.0) + share * weight / sum(fitting.values())
    return found


def choose(
    grids: Mapping[str, LayoutGrid],
    stacks: Sequence[tuple[float, Mapping[str, float]]],
    modes: Mapping[Recompute, float],
    slack: Slack,
    position: Mapping[str, Draws],
    network: Draws,
    share: float,
) -> Choices | None:
    """A stack, a feasible recompute mode and a near-optimal layout for every draw; None if no layout fits. ``stacks`` are the weights of
    each part of such runs, with its share."""
    fitting = with_room(grids, stacks, slack)
    if not fitting:
        return None
    stack = quantile_indices(fitting, position["software"])
    mode, cell = np.zeros_like(stack), np.zeros_like(stack)
    time, usual_time = np.zeros(len(stack)), np.zeros(len(stack))
    chosen = tuple(grids[name] for name in fitting)
    for number, one in enumerate(chosen):
        fitting_modes = one.modes(slack.modes)
        open_to = {kind: weight for kind, weight in modes.items() if kind in fitting_modes}
        usable = open_to or {Recompute(kind): 1.0 for kind in sorted(fitting_modes)}
        picked = quantile_indices(usable, position["recompute"])
        for place, kind in enumerate(usable):
            here = (stack == number) & (picked == place)
            near = one.near(int(kind), slack.within)
            index = np.minimum((position["layout"][here] * len(near)).astype(int), len(near) - 1)
            mode[here], cell[here] = int(kind), near[index]
            time[here] = one.at(near[index], network[here])
            usual_time[here] = one.at(near[index], share)
    return Choices(chosen, stack, mode, cell, time, usual_time, share)


def grids_of(asked: Sequence[Mapping[str, Workload]], stated: Layout | None) -> list[dict[str, LayoutGrid]]:
    """For each run, given as its workloads by stack name, the grid of every stack."""
    by_number: list[dict[str, LayoutGrid]] = [{} for _ in asked]
    for name in dict.fromkeys(name for workloads in asked for name in workloads):
        places = [place for place, workloads in enumerate(asked) if name in workloads]
        for place, one in zip(places, grids([asked[place][name] for place in places], stated), strict=True):
            by_number[place][name] = one
    return by_number
