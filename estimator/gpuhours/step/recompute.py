"""Time of the forward work that the backward pass repeats to save memory."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gpuhours.architecture.operators import Stack
from gpuhours.inputs.arrays import Array
from gpuhours.layout.layout import Recompute
from gpuhours.layout.recompute import EVERYTHING, Policy, covered, product_share, selective_policy
from gpuhours.step.communication import CONTEXT, EXPERT, TENSOR
from gpuhours.step.compute import ATTENTION, OTHER, PRODUCTS, operator_share
from gpuhours.step.schedule import Passes
from gpuhours.workload import Workload


def repeated(stack: Stack, workload: Workload, parts: Mapping[str, Passes]) -> Array:
    """Seconds of one layer and micro-batch that are recomputed, according to ``layout.recompute``.

    full        everything, for ``recompute_layers`` of a stage's layers or all
    selective   what the layout's modules or the stack's default repeat
    """
    layout, recompute = workload.layout, np.asarray(workload.layout.recompute)
    some = _time_again(selective_policy(stack, layout, workload.software), stack, workload, parts)
    chosen = np.where(recompute == Recompute.selective, some, 0.0)
    full = covered(layout, workload.model, stack, workload.ranks.pipeline) * _time_again(
        EVERYTHING, stack, workload, parts
    )
    return np.where(recompute == Recompute.full, full, chosen)


def _time_again(policy: Policy, stack: Stack, workload: Workload, parts: Mapping[str, Passes]) -> Array:
    """Forward seconds of one layer that a policy repeats: its share of each kind."""
    shares: Mapping[str, Array] = {
        PRODUCTS: product_share(policy, stack, workload.software),
        ATTENTION: policy.core,
        CONTEXT: policy.core,
        OTHER: operator_share(policy, stack, workload),
        TENSOR: policy.tensor,
        EXPERT: policy.expert,
    }
    return sum((shares[kind] * passes.forward for kind, passes in parts.items()), start=np.asarray(0.0))
