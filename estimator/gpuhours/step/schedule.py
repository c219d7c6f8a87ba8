"""Pipeline schedules: the time of a step's micro-batches on stages of unequal length."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpuhours.inputs.arrays import Array
from gpuhours.inputs.records import dataclass
from gpuhours.layout.placement import Placement
from gpuhours.layout.schedules import Pipeline, Walk, by_schedule


@dataclass(frozen=True, eq=False)
class Passes:
    """Seconds of one micro-batch, split into the passes that schedules can reorder: forward, input gradients, weight gradients."""

    forward: Array = 0.0
    backward: Array = 0.0
    """Input gradients, for which the previous stage waits."""
    weight: Array = 0.0
    """Weight gradients, for which no stage waits."""

    @property
    def total(self) -> Array:
        """Seconds of all three."""
        return self.forward + self.backward + self.weight

    def __add__(self, other: Passes) -> Passes:
        return Passes(self.forward + other.forward, self.backward + other.backward, self.weight + other.weight)

    def __mul__(self, factor: Array) -> Passes:
        return Passes(self.forward * factor, self.backward * factor, self.weight * factor)


@dataclass(frozen=True, eq=False)
class Stages:
    """Seconds of one micro-batch on a pipeline's stages: the passes summed over all stages, and the total of the slowest stage."""

    together: Passes
    slowest: Array


Late = Callable[[Array, Array], Array]
"""Seconds by which the host makes a micro-batch longer on a stage with the given share of the layers and seconds of kernels."""


def no_host(share: Array, busy: Array) -> Array:
    """``Late`` where launches are left out."""
    return 0.0


def stages(  # a pass is frozen
    layer: Passes,
    placement: Placement,
    first: Passes,
    last: Passes,
    spread: Passes = Passes(),  # noqa: B008
    late: Late = no_host,
) -> Stages:
    """Seconds of one micro-batch on the slowest stage and on all stages together: equal layers placed on stages, plus the additional work
    of the ``first`` and ``last`` stage, and work ``spread`` evenly over all.

        slowest  = max( n_0 layer + first,  n layer,  n_(p-1) layer + last ) + spread / p          each + late(n_s / L, itself)
        together = L layer + first + last + spread + sum over stages of what is late

    L layers, n_s of them on stage s, n on the largest inner stage. A single stage has all work. ``late`` of a stage's share of the layers
    and of its work makes it longer; on all stages together, inner ones are taken to be equal, and what is late is divided equally among
    the passes.
    """
    pipeline, one, each = placement.pipeline, layer.total, spread.total / placement.pipeline
    together = layer * placement.layers + first + last + spread

    def on(count: Array, own: Array = 0.0) -> tuple[Array, Array]:
        """(s of a stage with ``count`` layers and other work, s of these by which it is late)."""
        busy = one * count + own + each
        behind = late(np.divide(count, placement.layers), busy)
        return busy + behind, behind

    inner, single = np.maximum(np.subtract(pipeline, 2), 0), np.equal(pipeline, 1)
    start, end, inside = on(placement.first, first.total), on(placement.last, last.total), on(placement.inside)
    alone, waits = together.total, late(np.asarray(1.0), together.total)
    several = np.maximum(np.maximum(end[0], start[0]), np.where(inner > 0, inside[0], 0.0))
    slowest = np.where(single, alone + waits, several)
    if late is no_host:
        return Stages(together, slowest)
    between = on((placement.layers - placement.first - placement.last) / np.maximum(inner, 1))
    more = np.where(single, waits, start[1] + end[1] + inner * between[1]) / 3
    return Stages(together + Passes(more, more, more), slowest)


def pipeline_time(work: Stages, microbatches: Array, pipeline: Array, interleave: Array, schedule: Array) -> Array:
    """Seconds of a step's forward and backward passes over all micro-batches.

        t = m T + bubble                       T s of the slowest stage, S s of all stages together, for one micro-batch
        1f1b, gpipe    bubble = S - T          fill and drain: the first micro-batch passes through every stage
        interleaved    bubble = (S - T) / v
        zb-1p          bubble = (S - T) / 3    weight gradients fill two thirds
        zb-2p          bubble = max(0, (S_F + S_B) (1 - 1/p) - (m - 1) S_F / (2 p))

    m microbatches, p pipeline, v interleave; S_F, S_B forward and input gradients of all stages.

    With equal stages S - T = (p - 1) T. Sources: Narayanan et al. 2021, section 2.2 (1F1B, interleaved); Qi et al. 2023 (ZB);
    the factor 1/2 in zb-2p is fitted on that paper's runs. Each bubble is declared in ``layout.schedules``.

    >>> from gpuhours.layout.choices import words
    >>> from gpuhours.layout.schedules import Schedule
    >>> work = Stages(Passes(4.0, 8.0, 12.0), 6.0)    # four stages of 6 s
    >>> [float(pipeline_time(work, 8, 4, 1, schedule)) for schedule in map(words(Schedule).get, ("1f1b", "zb-1p"))]
    [66.0, 54.0]
    """
    line = Pipeline(pipeline, interleave, microbatches)
    walk = Walk(work.together.total - work.slowest, work.together.forward, work.together.backward)
    bubble = by_schedule(schedule, lambda rules: rules.bubble(line, walk))
    bubble = np.where(np.equal(pipeline, 1), 0.0, bubble)
    return microbatches * work.slowest + bubble


MOST_DISTURBED = 2.0
"""Longest time for which a collective slows concurrent work, as a multiple of its time over the scale-up links alone."""


def exposed_time(sent: Array, hidden_behind: Array, exposed: Array, scale_up: Array | None = None) -> Array:
    """Exposed seconds of a collective that overlaps with compute: the slow-down of concurrent GEMMs, plus the part of the collective
    that outlasts the compute.

        t = cost + max(0, sent - cost - hidden_behind);   cost = exposed x min(sent, 2 u)

    ``sent`` s of the collective, ``hidden_behind`` s of concurrent compute, u ``scale_up`` s of the same message over the scale-up links
    alone; without it, cost = exposed x sent. GEMMs are slowed by the bytes that a collective moves through their memory and SMs, not by
    a slower network (own overlap measurements on one node, where sent = u).

    >>> float(exposed_time(3.0, 2.0, 0.0)), float(exposed_time(3.0, 2.0, 0.5))    # 3 s sent behind 2 s of GEMMs
    (1.0, 1.5)
    """
    cost = exposed * (sent if scale_up is None else np.minimum(sent, MOST_DISTURBED * np.asarray(scale_up)))
    return cost + np.maximum(0.0, sent - cost - hidden_behind)
