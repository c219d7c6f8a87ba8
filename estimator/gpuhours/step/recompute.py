"""Forward work that the backward pass does again to save memory."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gpuhours.architecture.operators import Stack
from gpuhours.inputs.arrays import Array
from gpuhours.layout.layout import Recompute
from gpuhours.layout.ranks import has_experts
from gpuhours.step.communication import CONTEXT
from gpuhours.step.compute import ATTENTION, OTHER, PRODUCTS
from gpuhours.step.schedule import Passes
from gpuhours.workload import Workload

MLP = frozenset({"up", "gate and up", "down"})
"""Products of a feed-forward layer."""
FIRST_HALF = 0.25
"""Share of causal attention that the first half of a sequence needs."""


def repeated(stack: Stack, workload: Workload, parts: Mapping[str, Passes]) -> Array:
    """Seconds of one layer and micro-batch that are computed twice.

    full        everything, for ``recompute_layers`` of a stage's layers or all; without the block's last product where the stack
                stops at the last activation that is needed, and that is not behind it (an adapter's beside it is computed after it;
                the gradient of a routing weight needs its expert's output)
    selective   what the stack means by it, ``selective_part``
    """
    software, ranks = workload.software, workload.ranks
    everything: Array = sum((passes.forward for passes in parts.values()), start=0.0)
    last = stack.block.linears[-1]
    adapted = any(adapter.name.startswith(f"{last.name} ") for adapter in stack.adapters)
    if software.early_stop and not adapted and not has_experts(last):
        everything = everything - parts[PRODUCTS].forward * share(stack, {last.name})
    covered: Array = 1.0
    if workload.layout.recompute_layers is not None:
        covered = np.minimum(
            np.divide(np.multiply(workload.layout.recompute_layers, ranks.pipeline), stack.layers), 1.0
        )
    some = selective_part(software.selective, stack, parts, everything)
    recompute = np.asarray(workload.layout.recompute)
    chosen = np.where(recompute == Recompute.selective, some, 0.0)
    return np.where(recompute == Recompute.full, covered * everything, chosen)


def selective_part(kind: str, stack: Stack, parts: Mapping[str, Passes], everything: Array) -> Array:
    """What selective recompute does again.

    attention               the core (Korthikanti et al. 2022, section 5)
    all-but-attention       everything except the core and what its ranks exchange (selective checkpoint++ of LoongTrain)
    all-but-half-attention  the same, but the core of the first half of the sequence too (BurstEngine, arXiv:2509.19836)
    half-of-products        every second product and all memory-bound operators (torchtitan's operator-wise policy)
    attention-block, mlp    one half of the block: its products but the last, half of the memory-bound operators
    """
    core = parts[ATTENTION].forward + parts[CONTEXT].forward
    if kind == "attention":
        return core
    if kind in ("all-but-attention", "all-but-half-attention"):
        return everything - core * (1.0 if kind == "all-but-attention" else 1.0 - FIRST_HALF)
    if kind == "half-of-products":
        return parts[PRODUCTS].forward / 2 + parts[OTHER].forward
    glue = parts[OTHER].forward / 2
    if kind == "mlp":
        return parts[PRODUCTS].forward * share(stack, MLP - {"down"}) + glue
    rest = {linear.name for linear in stack.block.linears} - MLP - {"attention output"}
    return parts[PRODUCTS].forward * share(stack, rest) + core + glue


def share(stack: Stack, names: set[str] | frozenset[str]) -> Array:
    """Share of a block's product FLOPs in the products of these names."""
    linears = stack.block.linears
    some = sum((linear.flops_per_token for linear in linears if linear.name in names), start=0.0)
    return np.divide(some, sum(linear.flops_per_token for linear in linears))
