"""State and activations in host memory: PCIe transfers and the host's compute."""

from __future__ import annotations

import numpy as np

from gpuhours.architecture.operators import Stack, Trainable
from gpuhours.hardware.optimisers import OPTIMISERS
from gpuhours.inputs.arrays import Array, some
from gpuhours.layout.layout import Recompute, Sharding
from gpuhours.layout.weights import layer_weights
from gpuhours.step.schedule import Passes, left_over
from gpuhours.workload import Workload

HOST_BANDWIDTH = 25e9
"""B/s of host memory that one accelerator's share of the processors reads and writes in Adam (200 GB/s of eight channels, shared by 8
accelerators; an assumption)."""
ADAM_BYTES = 28.0
"""Per parameter: weight, two moments read and written, gradient read, fp32."""
PCIE_SHARE = 0.88
"""Share of the PCIe rate that large copies reach (bandwidthTest tables in stas00/ml-engineering)."""
EXPOSED = 0.1
"""Share of activation copies that is exposed although there is enough to hide behind (an assumption)."""


def host_update_time(owned: Array, workload: Workload) -> Array:
    """Estimate of ZeRO-Offload's update of a rank's own parameters, s (Ren et al. 2021, arXiv:2101.06840, section 4).

        t = (g + w) n / PCIe + 28 a n / H      gradients down, Adam on the host, weights up; no overlap

    n ``owned`` parameters, g and w bytes of a gradient and a weight, a the optimiser's traffic relative to Adam's, PCIe and H
    (``HOST_BANDWIDTH``) byte/s.
    """
    precision, chip = workload.precision, workload.cluster.accelerator
    moved = (precision.gradients + precision.weights) * owned / (PCIE_SHARE * chip.pcie_bandwidth)
    return moved + OPTIMISERS[precision.optimizer].traffic * ADAM_BYTES * owned / HOST_BANDWIDTH


def activations_time(stack: Stack, workload: Workload, compute: Array) -> Array:
    """Exposed time in s of one layer's activations copied to the host in the forward pass and back in the backward pass, per micro-batch.

    With full recomputation only the block's input is copied, 2 T h / z bytes; otherwise about 34 T h / t, everything that is saved
    (Korthikanti et al. 2022, section 4.1). T tokens of a rank, h hidden, t tensor degree, z ranks that split the residual stream.
    """
    ranks = workload.ranks
    elements = np.divide(np.multiply(stack.tokens, ranks.microbatch), ranks.context) * stack.block.hidden
    size = workload.precision.element
    kept = np.where(
        np.equal(workload.layout.recompute, Recompute.full),
        size * elements / ranks.whole,
        17 * size * elements / np.asarray(ranks.tensor),
    )
    copied = 2 * kept / (PCIE_SHARE * workload.cluster.accelerator.pcie_bandwidth)
    felt = left_over(copied, compute, EXPOSED)
    return np.where(workload.layout.offload_activations, felt, 0.0) if stack.trainable is not Trainable.FROZEN else 0.0


def parameters_time(stack: Stack, workload: Workload, compute: Passes) -> Passes:
    """Exposed time in s of one layer's weights copied from the host for each pass, and its gradients to the host, per micro-batch.

        w P / (n PCIe) forward;  the same plus g P' / (n PCIe) backward        hidden behind the previous layer, as far as it lasts

    P parameters of the layer on a rank, P' the trainable ones, n shards of ZeRO-3 (each rank fetches its own). Sources: Rajbhandari et
    al. 2021, ZeRO-Infinity, arXiv:2104.07857, section 5; block swapping of diffusion trainers is the same on one rank.
    """
    if not some(workload.layout.offload_parameters):
        return Passes()
    ranks, precision = workload.ranks, workload.precision
    held, trained = (layer_weights(stack, ranks, trained=only).all for only in (False, True))
    shards = np.where(np.equal(workload.layout.sharding, Sharding.zero3), ranks.shards, 1)
    rate = PCIE_SHARE * workload.cluster.accelerator.pcie_bandwidth * shards
    fetched = precision.frozen_layer(held, trained) / rate
    forward = left_over(fetched, compute.forward, EXPOSED)
    if stack.trainable is Trainable.FROZEN:
        return Passes(forward * workload.layout.offload_parameters)
    back = left_over(fetched + precision.gradients * trained / rate, compute.backward + compute.weight, EXPOSED)
    return Passes(forward, back) * workload.layout.offload_parameters
