"""Time of the forward work that the backward pass recomputes to save memory."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gpuhours.architecture.operators import Stack
from gpuhours.inputs.arrays import Array
from gpuhours.layout.choices import Recompute
from gpuhours.layout.recompute import EVERYTHING, Policy, covered, gemm_share, selective_policy, times_again
from gpuhours.step.communication import CONTEXT, EXPERT, TENSOR
from gpuhours.step.compute import ATTENTION, GEMMS, OTHER, operator_share
from gpuhours.step.schedule import Passes
from gpuhours.workload import Workload


def repeated(stack: Stack, workload: Workload, parts: Mapping[str, Passes]) -> Array:
    """Seconds of forward work recomputed in one layer and micro-batch, according to ``layout.recompute``; the mean over the stack's layers.

    full        everything, in ``recompute_layers`` layers of each stage or in all
    selective   what the layout's ``recompute_modules`` or the stack's default recompute
    """
    layout, recompute = workload.layout, np.asarray(workload.layout.recompute)
    some = _time_again(selective_policy(stack, layout, workload.software), stack, workload, parts)
    chosen = np.where(recompute == Recompute.selective, some, 0.0)
    full = covered(layout, workload.model, stack, workload.ranks.pipeline) * _time_again(
        EVERYTHING, stack, workload, parts
    )
    return np.where(recompute == Recompute.full, full * times_again(stack, workload.software), chosen)


def _time_again(policy: Policy, stack: Stack, workload: Workload, parts: Mapping[str, Passes]) -> Array:
    """Forward seconds of one layer that a policy recomputes: the sum over all kinds of the policy's share times the forward pass."""
    shares: Mapping[str, Array] = {
        GEMMS: gemm_share(policy, stack, workload.software),
        ATTENTION: policy.core,
        CONTEXT: policy.core,
        OTHER: operator_share(policy, stack, workload),
        TENSOR: policy.tensor,
        EXPERT: policy.expert,
    }
    return sum((shares[kind] * passes.forward for kind, passes in parts.items()), start=np.asarray(0.0))
