"""Offloading of optimiser states, weights and activations to host memory: PCIe transfers and the update on the host."""

from __future__ import annotations

import numpy as np

from gpuhours.architecture.operators import Stack, Trainable
from gpuhours.hardware.optimisers import OPTIMISERS
from gpuhours.inputs.arrays import Array, some
from gpuhours.layout.choices import Recompute, Sharding
from gpuhours.layout.weights import layer_weights
from gpuhours.step.schedule import Passes, exposed_time
from gpuhours.workload import Workload

HOST_BANDWIDTH = 25e9
"""B/s of host memory traffic in Adam for one accelerator's share of the host (200 GB/s of eight channels, shared by 8 accelerators; an
assumption)."""
ADAM_BYTES = 28.0
"""Bytes of host memory traffic per parameter in Adam: weight and two moments read and written, gradient read, all in fp32."""
PCIE_SHARE = 0.88
"""Share of the PCIe rate that large copies reach (bandwidthTest tables in stas00/ml-engineering)."""
EXPOSED = 0.1
"""Share of activation copies that is exposed even if there is enough compute to hide them (an assumption)."""


def host_update_time(owned: Array, workload: Workload) -> Array:
    """Estimated time in s of ZeRO-Offload's update of a rank's own parameters (Ren et al. 2021, arXiv:2101.06840, section 4).

        t = (g + w) n / PCIe + 28 a n / H      gradients to the host, Adam there, weights back; no overlap

    n ``owned`` parameters, g and w bytes of a gradient and a weight, a the optimiser's traffic relative to Adam's, PCIe and H
    (``HOST_BANDWIDTH``) byte/s.
    """
    precision, chip = workload.precision, workload.cluster.accelerator
    moved = (precision.gradients + precision.weights) * owned / (PCIE_SHARE * chip.pcie_bandwidth)
    return moved + OPTIMISERS[precision.optimizer].traffic * ADAM_BYTES * owned / HOST_BANDWIDTH


def activations_time(stack: Stack, workload: Workload, compute: Array) -> Array:
    """Exposed time in s of copying one layer's activations to the host in the forward pass and back in the backward pass, per micro-batch.

    With full recomputation only the block's input is copied, 2 T h / z bytes; otherwise everything that is saved, about 34 T h / t bytes
    (Korthikanti et al. 2022, section 4.1). T tokens on a rank, h hidden, t tensor degree, z ranks that split the residual stream.
    """
    ranks = workload.ranks
    elements = np.divide(np.multiply(stack.tokens, ranks.microbatch), ranks.context) * stack.block.hidden
    size = workload.precision.element
    kept = np.where(
        np.equal(workload.layout.recompute, Recompute.full),
        size * elements / ranks.sequence_parallel,
        17 * size * elements / np.asarray(ranks.tensor),
    )
    copied = 2 * kept / (PCIE_SHARE * workload.cluster.accelerator.pcie_bandwidth)
    waited = exposed_time(copied, compute, EXPOSED)
    return (
        np.where(workload.layout.offload_activations, waited, 0.0) if stack.trainable is not Trainable.FROZEN else 0.0
    )


def parameters_time(stack: Stack, workload: Workload, compute: Passes) -> Passes:
    """Exposed time in s of copying one layer's weights from the host for each pass, and its gradients to the host, per micro-batch.

        w P / (n PCIe) forward;  the same plus g P' / (n PCIe) backward        hidden behind the compute of one layer

    P parameters of the layer on a rank, P' the trainable ones, w and g bytes of a weight and a gradient, n shards under ZeRO-3 (each rank
    fetches its own), otherwise 1. Sources: Rajbhandari et al. 2021, ZeRO-Infinity, arXiv:2104.07857, section 5; block swapping in diffusion
    trainers is the same on one rank.
    """
    if not some(workload.layout.offload_parameters):
        return Passes()
    ranks, precision = workload.ranks, workload.precision
    held, trained = (layer_weights(stack, ranks, trained=only).all for only in (False, True))
    shards = np.where(np.equal(workload.layout.sharding, Sharding.zero3), ranks.shards, 1)
    rate = PCIE_SHARE * workload.cluster.accelerator.pcie_bandwidth * shards
    fetched = precision.frozen_layer(held, trained) / rate
    forward = exposed_time(fetched, compute.forward, EXPOSED)
    if stack.trainable is Trainable.FROZEN:
        return Passes(forward * workload.layout.offload_parameters)
    back = exposed_time(fetched + precision.gradients * trained / rate, compute.backward + compute.weight, EXPOSED)
    return Passes(forward, back) * workload.layout.offload_parameters
