"""The contrastive loss: every sample's features are compared with those of the whole batch, which are gathered from all ranks."""

from __future__ import annotations

import numpy as np

from gpuhours.architecture.operators import Ends
from gpuhours.kernels.collectives import all_gather_time, reduce_scatter_time
from gpuhours.kernels.gemm import gemm_time
from gpuhours.kernels.memory_bound import memory_time
from gpuhours.step.compute import GEMMS, OTHER
from gpuhours.step.schedule import Passes
from gpuhours.step.state import DATA
from gpuhours.workload import Workload


def contrast_parts(part: Ends, workload: Workload) -> dict[str, Passes]:
    """Seconds of the contrastive loss (both directions) of one micro-batch on one rank, by kind.

        gather     2 B e features;  their gradients scattered back; not hidden
        GEMMs      2 x [b, B] over e forward, twice as many backward
        softmax    2 b B logits

    b samples on the rank, B = b x data samples compared, e ``compared`` width. Each rank computes only its own rows (open_clip's local
    loss). Sources: Radford et al. 2021, arXiv:2103.00020, figure 3; Ilharco et al. 2021, open_clip.
    """
    ranks = workload.ranks
    b, e = np.asarray(ranks.microbatch, float), np.asarray(part.compared, float)
    whole = b * ranks.data
    chip, dtype = workload.accelerator, workload.wide
    head, size = workload.software.head, workload.precision.element
    there = 2 * gemm_time(b, whole, e, chip, dtype)
    back = 2 * (gemm_time(b, e, whole, chip, dtype) + gemm_time(whole, e, b, chip, dtype))
    logits = 2 * b * whole * size / 2
    features = 2 * whole * e * size
    return {
        GEMMS: Passes(there, back),
        OTHER: Passes(memory_time(head.forward * logits, chip), memory_time(head.backward * logits, chip)),
        DATA: Passes(
            all_gather_time(features, ranks.data_group, workload.cluster),
            reduce_scatter_time(features, ranks.data_group, workload.cluster),
        ),
    }
