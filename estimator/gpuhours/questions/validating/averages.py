"""Step times averaged over a whole run: published hours over the number of steps."""

from __future__ import annotations

import numpy as np

from gpuhours.architecture.operators import Model
from gpuhours.hardware.clusters import Cluster
from gpuhours.inputs.durations import DAY
from gpuhours.questions.validating.case import Case
from gpuhours.questions.validating.described import Described
from gpuhours.run.goodput import POSITIONS, Operation, checkpoint_of, goodput
from gpuhours.run.input_pipeline import feed
from gpuhours.run.remainder import remainder_of_known_step

BEYOND = "beyond steps"
"""Name of the part of an average that is no step."""
REMARK = "an average over a whole run: with typical stops, and what runs lose beyond their steps"


def averaged(time: float, one: Case | Described) -> float:
    """Seconds of wall-clock time per step, from the ``time`` of a step.

        max(time, input pipeline) x beyond / goodput

    goodput at typical stops (``run.goodput``) for a day of training; ``beyond`` (``run.remainder.remainder_of_known_step``) was learned
    from runs of text models that state hours and MFU. Nothing was fitted to averages of steps; but ``beyond`` is not learned again without
    the row's organisation (Meta has rows here, and one of the ten runs).
    """
    model, cluster = _trained(one)
    fed = None
    if isinstance(one, Described):
        fed = feed(one.pipeline, one.resolved.data, one.resolved.workload.global_batch, time, cluster)
    running = goodput(
        Operation(), dict.fromkeys(POSITIONS, 0.5), gpus=cluster.gpus, nodes=cluster.nodes,
        size=checkpoint_of(model, one.precision), step_time=time, productive=DAY,
    )  # fmt: skip
    slowest = time if fed is None else max(time, float(fed.time))
    return slowest * remainder_of_known_step().value / float(running)


def widened(low: float, high: float) -> tuple[float, float]:
    """The limits of a step's range as factors, widened by the spread of ``beyond``: independent errors, added in quadrature in log."""
    beyond = remainder_of_known_step()
    below, above = np.log(beyond.low / beyond.value), np.log(beyond.high / beyond.value)
    return float(np.exp(-np.hypot(np.log(low), below))), float(np.exp(np.hypot(np.log(high), above)))


def _trained(one: Case | Described) -> tuple[Model, Cluster]:
    """The model and the machine of a run."""
    if isinstance(one, Described):
        return one.model, one.cluster
    bandwidth = one.node.network_bandwidth if one.bandwidth is None else one.bandwidth
    return one.decoder.model(one.tokens), Cluster(one.chip, one.node, one.gpus, bandwidth, one.delay)
