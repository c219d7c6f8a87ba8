"""Pipeline schedules: how long a step's micro-batches take on stages of unequal length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpuhours.inputs.arrays import Array
from gpuhours.layout.layout import Schedule


@dataclass(frozen=True, eq=False)
class Passes:
    """Seconds of one micro-batch, split as schedules can move it: forward, gradients of inputs, of weights."""

    forward: Array = 0.0
    backward: Array = 0.0
    """What the stage before waits for."""
    weight: Array = 0.0
    """What nobody waits for."""

    @property
    def total(self) -> Array:
        """All three."""
        return self.forward + self.backward + self.weight

    def __add__(self, other: Passes) -> Passes:
        return Passes(self.forward + other.forward, self.backward + other.backward, self.weight + other.weight)

    def __mul__(self, factor: Array) -> Passes:
        return Passes(self.forward * factor, self.backward * factor, self.weight * factor)


@dataclass(frozen=True, eq=False)
class Stages:
    """A pipeline's stages, one micro-batch each: the sum over all of them and the slowest one."""

    together: Passes
    slowest: Array


def stages(layer: Passes, layers: Array, first: Passes, last: Passes, pipeline: Array, interleave: Array) -> Stages:
    """``layers`` equal layers over p stages of v chunks, with what else the first and last stage do.

        b = floor(L / (p v))            layers every chunk has
        M = b v + ceil((L - b p v) / p) layers of a full stage
        slowest = max( M layer,  (M - s1) layer + first,  (M - s2) layer + last )

    L layers, p pipeline, v interleave; s = 1 for the last stage where a layer is missing to fill all
    stages, and for the first where two are, else 0. One stage holds everything.
    """
    chunks = np.multiply(pipeline, interleave)
    every = np.floor(np.divide(layers, chunks))
    most = every * interleave + np.ceil(np.divide(layers - every * chunks, pipeline))
    missing = most * pipeline - layers
    together = layer * layers + first + last
    at_end = layer.total * (most - (missing >= 1)) + last.total
    at_start = layer.total * (most - (missing >= 2)) + first.total
    inside = np.where(np.greater(pipeline, 2), layer.total * most, 0.0)
    several = np.maximum(np.maximum(at_end, at_start), inside)
    return Stages(together, np.where(np.equal(pipeline, 1), together.total, several))


def layers_of_stages(layers: int, pipeline: int, interleave: int) -> list[int]:
    """Layers of each stage, as ``stages`` counts them: M each, one less on the last, the first, then the others from behind."""
    if pipeline == 1:
        return [layers]
    every = layers // (pipeline * interleave)
    most = every * interleave - (-(layers - every * pipeline * interleave) // pipeline)
    shorter = [pipeline - 1, 0, *range(pipeline - 2, 0, -1)][: most * pipeline - layers]
    return [most - (stage in shorter) for stage in range(pipeline)]


def pipeline_time(work: Stages, microbatches: Array, pipeline: Array, interleave: Array, schedule: Array) -> Array:
    """Time of a step's forward and backward passes over all micro-batches.

        t = m T + bubble                       T the slowest stage, S the sum of all stages, of one micro-batch
        1f1b, gpipe    bubble = S - T          fill and drain: the first micro-batch walks through every stage
        interleaved    bubble = (S - T) / v
        zb-1p          bubble = (S - T) / 3    weight gradients fill two thirds
        zb-2p          bubble = max(0, (S_F + S_B) (1 - 1/p) - (m - 1) S_F / (2 p))

    m microbatches, p pipeline, v interleave; S_F, S_B forward and input gradients of all stages.

    With equal stages S - T = (p - 1) T. Sources: Narayanan et al. 2021, section 2.2 (1F1B, interleaved); Qi et al. 2023 (ZB);
    the factor 1/2 in zb-2p is fitted on that paper's runs.
    """
    walk = work.together.total - work.slowest
    fill = work.together.forward + work.together.backward
    zb2p = np.maximum(
        0.0,
        fill * (1 - 1 / np.asarray(pipeline)) - (microbatches - 1) * work.together.forward / (2 * np.asarray(pipeline)),
    )
    schedule = np.asarray(schedule)
    bubble = np.where(schedule == Schedule.interleaved, walk / interleave, walk)
    bubble = np.where(schedule == Schedule.zb1p, walk / 3, bubble)
    bubble = np.where(schedule == Schedule.zb2p, zb2p, bubble)
    bubble = np.where(np.equal(pipeline, 1), 0.0, bubble)
    return microbatches * work.slowest + bubble


def left_over(sent: Array, hidden_behind: Array, exposed: Array) -> Array:
    """Time that is felt of a collective that may overlap: at least its share ``exposed``, and all that finds nothing to hide behind.

    t = exposed x sent + max(0, (1 - exposed) x sent - hidden_behind)
    """
    return exposed * sent + np.maximum(0.0, (1 - exposed) * sent - hidden_behind)
