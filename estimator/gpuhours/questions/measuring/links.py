"""The constants of the links between GPUs, scaled to measured times of collectives (``kernels.collectives``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gpuhours.hardware.accelerators import Accelerator
from gpuhours.hardware.clusters import Cluster
from gpuhours.hardware.kernel_constants import KernelConstants, LinkConstants
from gpuhours.hardware.nodes import Node
from gpuhours.inputs.arrays import Array
from gpuhours.kernels.collectives import (
    SWITCH_RANKS,
    all_gather_time,
    all_reduce_time,
    all_to_all_time,
    point_to_point_time,
    reduce_scatter_time,
)
from gpuhours.layout.groups import Group
from gpuhours.questions.measuring.collectives import CollectiveTime
from gpuhours.questions.measuring.levels import MOST, Level, best

TIMES: Mapping[str, Callable[[Array, Group, Cluster], Array]] = {
    "all_reduce": all_reduce_time, "all_gather": all_gather_time, "reduce_scatter": reduce_scatter_time,
    "all_to_all": all_to_all_time, "ring_sendrecv": point_to_point_time,
}  # fmt: skip
RINGS = frozenset({"all_reduce", "all_gather", "reduce_scatter"})
LARGE = 2**22
"""Size in bytes from which a collective is limited by its links rather than by launch overhead."""
SHARES = {"rings": "ring_share", "exchanges": "exchange_share", "in the switch": "switch_share"}


def kind_of(one: CollectiveTime, node: Node, links: LinkConstants) -> str:
    """Which bandwidth share determines a collective's time."""
    if one.operation not in RINGS:
        return "exchanges"
    switched = one.operation == "all_reduce" and one.ranks >= SWITCH_RANKS and node.sharp
    return "in the switch" if switched and links.switch_share is not None else "rings"


def link_levels(
    times: Sequence[CollectiveTime], accelerator: Accelerator, node: Node, source: str
) -> tuple[LinkConstants, list[Level]]:
    """The links' constants with a factor on each measured share, and the profile's error before and after."""
    links, levels = accelerator.link_constants, []
    large = [one for one in times if one.bytes >= LARGE]
    for kind, share in SHARES.items():
        group = [one for one in large if kind_of(one, node, links) == kind]
        if not group:
            continue
        measured = np.array([one.seconds for one in group])
        base, field = links, share

        def at(factor: float, base: LinkConstants = base, field: str = field) -> LinkConstants:
            value = min(getattr(base, field) * factor, 1.0 if field != "switch_share" else MOST)
            return base.model_copy(update={field: round(value, 4), "source": source})

        def predicted(factor: float, group: Sequence[CollectiveTime] = group, at: Any = at) -> Array:
            return predicted_times(group, with_links(accelerator, at(factor)), node)

        factor, error, before = best(predicted, measured)
        sent = np.array([one.bytes for one in group])
        levels.append(
            Level(f"collectives, {kind}", factor, float(np.median(sent / measured)), len(group), error, before)
        )
        links = at(factor)
    return links, levels


def predicted_times(times: Sequence[CollectiveTime], accelerator: Accelerator, node: Node) -> Array:
    """Predicted time in s of each collective on one node of an accelerator."""
    machine = Cluster(accelerator, node, node.gpus)
    return np.array([float(TIMES[one.operation](one.bytes, Group(one.ranks), machine)) for one in times])


def with_links(accelerator: Accelerator, links: LinkConstants) -> Accelerator:
    """The accelerator with other link constants."""
    from dataclasses import replace

    own = accelerator.kernels or KernelConstants()
    return replace(accelerator, kernels=own.model_copy(update={"links": links}))
