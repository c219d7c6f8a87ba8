"""Transfer of vision features from the ranks that encoded frames to the ranks that read them."""

from __future__ import annotations

import numpy as np

from gpuhours.architecture.operators import Stack, Trainable
from gpuhours.inputs.arrays import Array
from gpuhours.kernels.collectives import all_gather_time, point_to_point_time, reduce_scatter_time
from gpuhours.layout.choices import VisionPlacement
from gpuhours.layout.groups import Group
from gpuhours.step.communication import CONTEXT, P2P
from gpuhours.step.schedule import Passes
from gpuhours.workload import Workload


def feature_parts(workload: Workload) -> dict[str, Passes]:
    """Exposed seconds to transfer a micro-batch's features from the ranks that encoded its frames to the ranks that read them.

        first stage   all-gather over the ranks that split a sequence (frames are distributed, then tokens)
        replicated    all-gather over the stages, then over the ranks of a stage that share a sample
        separate      one message of max(M d / g, M / (t c)): sent by each of the encoder's g accelerators, received by a reading rank

    M = T b h e bytes; T tokens per sample after the encoder's last layer, including the class token, before a bridge reduces them; b
    samples, h the layer's width, e bytes per element; d, t, c data, tensor, context. If the encoder is trained, gradients are sent back the
    same way.
    Source: LongVILA, arXiv:2408.10188, section 3.3 (two-stage sharding).
    """
    ranks, stack = workload.ranks, [part for part in workload.model.encoder if isinstance(part, Stack)][-1]
    message = np.multiply(stack.tokens, ranks.microbatch) * stack.block.hidden * workload.precision.element
    trained = stack.trainable is not Trainable.FROZEN

    def dealt(group: Group, gathered: Array) -> Passes:
        there = all_gather_time(gathered, group, workload.cluster)
        return Passes(there, reduce_scatter_time(gathered, group, workload.cluster) if trained else 0.0)

    placement = np.asarray(ranks.vision)
    first = np.where(placement == VisionPlacement.first_stage, 1.0, 0.0)
    replicated = np.where(placement == VisionPlacement.replicated, 1.0, 0.0)
    inside = np.multiply(ranks.tensor, ranks.context)
    busiest = np.maximum(np.divide(ranks.data, np.maximum(ranks.vision_gpus, 1)), 1 / np.asarray(inside))
    sent = point_to_point_time(message * busiest, Group(2, workload.cluster.gpus_per_domain), workload.cluster)
    apart = Passes(sent, sent if trained else 0.0) * np.where(placement == VisionPlacement.separate, 1.0, 0.0)
    everywhere = dealt(ranks.stage_group, message / inside) + dealt(Group(inside, 1), message)
    return {
        CONTEXT: dealt(Group(ranks.context, ranks.tensor), message) * first,
        P2P: everywhere * replicated + apart,
    }
