"""The layout of a run that names none: the fastest that fits, out of a few hundred usual ones, in one call of the equations."""

from __future__ import annotations

from itertools import takewhile
from typing import Any

import numpy as np

from gpuhours.architecture.operators import Model, Stack
from gpuhours.hardware.clusters import Cluster
from gpuhours.hardware.number_formats import Precision
from gpuhours.inputs.arrays import Array
from gpuhours.layout.layout import Layout, Recompute, Schedule, Sharding, VisionPlacement
from gpuhours.layout.validity import offered
from gpuhours.memory import memory
from gpuhours.software.profile import DEGREES, Software
from gpuhours.step import step
from gpuhours.workload import Workload

LONG_SEQUENCE = 16384
"""Tokens from which sharing a sequence over several accelerators is tried."""
DEEPEST = 64
FULL_TOKENS = 131072
"""Tokens of a micro-batch up to which short samples are put together: images and clips come by hundreds."""


def default_layout(
    model: Model,
    global_batch: Array,
    cluster: Cluster,
    software: Software,
    precision: Precision,
    stated: Layout | None = None,
) -> Layout | None:
    """The fastest usual layout that fits with nine in ten; where none does, the one that needs least memory; None where none can run.

    Inputs may be arrays: the layout then holds arrays of their shape, each row's own best. Usual: powers of two for
    tensor (inside a node), pipeline, context (long sequences only) and expert degrees, 1 to 8 samples per micro-batch,
    ZeRO-1 or (without a pipeline) ZeRO-3, every recompute mode, one to four chunks per stage, an encoder on the first stage or
    on all. ``plan`` searches all. What ``stated`` says stays as it is.
    """
    axes = layout_axes(model, cluster, stated, software.degrees)
    base = Layout() if stated is None else stated
    behind = _dimensions(model, global_batch, cluster)
    ahead = len(axes)
    chosen = {
        name: np.asarray(values).reshape([-1 if place == own else 1 for place in range(ahead)] + [1] * behind)
        for own, (name, values) in enumerate(axes.items())
    }
    layouts = base.replaced(**chosen, schedule=schedule_of(base, chosen["interleave"]))
    asked = Workload(model, global_batch, layouts, cluster, software, precision)
    with np.errstate(all="ignore"):  # layouts that cannot run may divide by nothing; they are marked, not read
        predicted, held = step(asked), memory(asked)
    time, filled, valid, safe = np.broadcast_arrays(predicted.time, held.filled, predicted.valid, held.safe)
    score = np.where(valid & offered(layouts), np.where(safe, time, 1e30 * filled), np.inf)
    flat = score.reshape(-1, *score.shape[ahead:])
    best = np.argmin(flat, axis=0)
    if not np.all(np.isfinite(np.min(flat, axis=0))):
        return None
    places = np.unravel_index(best, score.shape[:ahead])
    picked = {name: np.asarray(values)[place] for (name, values), place in zip(axes.items(), places, strict=True)}
    plain = {name: plain_value(name, value) for name, value in picked.items()}
    return base.replaced(**plain, schedule=schedule_of(base, plain["interleave"]))


def schedule_of(base: Layout, interleave: Any) -> Any:
    """Chunks need the interleaved schedule, where the run names none."""
    if "schedule" in base.model_fields_set:
        return base.schedule
    if np.ndim(interleave):
        return np.where(np.greater(interleave, 1), int(Schedule.interleaved), int(Schedule.f1b1))
    return Schedule.interleaved if interleave > 1 else Schedule.f1b1


DECISIVE = ("tensor", "pipeline", "microbatch", "sharding", "recompute")
"""Fields that decide time and memory; a layout that names some of them is completed."""


def is_partial(layout: Layout | None) -> bool:
    """Whether a layout says something, and leaves something open that decides: of single values, not of a sweep's."""
    if layout is None or not layout.model_fields_set:
        return False
    numbers = (getattr(layout, name) for name in layout.model_fields_set)
    return any(name not in layout.model_fields_set for name in DECISIVE) and all(
        np.ndim(value) == 0 for value in numbers
    )


def as_it_stands(layout: Layout | None) -> Layout | None:
    """A layout that leaves nothing open: what it does not say is what it is without a word, as in a measured run's description."""
    return None if layout is None else layout.replaced(**{name: getattr(layout, name) for name in DECISIVE})


def layout_axes(
    model: Model, cluster: Cluster, stated: Layout | None, degrees: tuple[str, ...] = DEGREES
) -> dict[str, list[Any]]:
    """What is tried for each field of the layout: what is stated alone, else what is usual and the stack has (``degrees``).

    Who names a tensor or pipeline degree shares no sequence over accelerators without saying so.
    """
    axes = candidates(model, cluster)
    axes |= {name: [1.0] for name in axes.keys() & set(DEGREES) - set(degrees)}
    if stated is not None and not is_partial(stated):
        return {name: [getattr(stated, name)] for name in (*axes, "interleave")}
    said = frozenset() if stated is None else stated.model_fields_set
    layers = max((float(np.max(stack.layers)) for stack in model.stacks), default=1.0)
    axes["interleave"] = [1.0, 2.0, 4.0] if layers >= 8 and "pipeline" in degrees else [1.0]
    if said & {"tensor", "pipeline"}:
        axes.pop("context", None)
    return axes | {name: [getattr(stated, name)] for name in axes.keys() & said}


def candidates(model: Model, cluster: Cluster) -> dict[str, list[Any]]:
    """The values tried for each field of the layout; counts as floats, as in every sweep."""
    gpus, domain = float(np.max(cluster.gpus)), float(np.max(cluster.gpus_per_domain))
    longest = max(
        (float(np.max(stack.sequence if stack.sequence is not None else stack.tokens)) for stack in model.stacks),
        default=0,
    )
    layers = max((float(np.max(stack.layers)) for stack in model.stacks), default=1)
    experts = max((_experts(stack) for stack in model.stacks), default=1)
    axes: dict[str, list[Any]] = {
        "tensor": _powers(min(gpus, domain, 8)),
        "microbatch": _powers(max(8.0, FULL_TOKENS / longest)) if longest else _powers(8),
        "pipeline": _pipelines(gpus, layers),
        "sharding": [Sharding.zero1, Sharding.zero3],
        "recompute": [Recompute.none, Recompute.selective, Recompute.full],
    }
    if model.encoder:
        axes["vision"] = [VisionPlacement.first_stage, VisionPlacement.replicated]
    if longest >= LONG_SEQUENCE:
        axes["context"] = _powers(min(gpus, longest // 4096))
    if experts > 1:
        axes["expert"] = _powers(min(gpus, experts))
    return dict(reversed(axes.items()))


def _pipelines(gpus: float, layers: float) -> list[float]:
    """Powers of two, and where the accelerators are none what divides them and the layers: 12 stages of BLOOM's 70 on 384."""
    most = min(gpus, layers, DEEPEST)
    odd = [] if np.log2(gpus) % 1 == 0 else [float(p) for p in range(3, int(most) + 1) if gpus % p == 0]
    return sorted({*_powers(most), *odd})


def _powers(most: float) -> list[float]:
    return list(takewhile(lambda degree: degree <= most, (2.0**power for power in range(40))))


def _experts(stack: Stack) -> float:
    return max((float(np.max(linear.experts)) for linear in stack.block.linears), default=1)


def _dimensions(model: Model, global_batch: Array, cluster: Cluster) -> int:
    """Axes of the arrays among the inputs."""
    numbers = [global_batch, cluster.gpus, cluster.network_bandwidth, model.hidden, model.parameters]
    numbers += [number for part in model.parts for number in (part.tokens, getattr(part, "layers", 0))]
    return max(np.ndim(number) for number in numbers)


ENUMERATIONS = {"sharding": Sharding, "recompute": Recompute, "vision": VisionPlacement}


def plain_value(name: str, value: Any) -> Any:
    """A single choice as the layout holds it: a whole number or a member of its enumeration; arrays as they are."""
    if np.ndim(value):
        return value
    return ENUMERATIONS[name](int(value)) if name in ENUMERATIONS else int(value)
