"""Which part of a model stands on which pipeline stage, and how many micro-batches wait there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpuhours.architecture.operators import Ends, Model, Stack
from gpuhours.inputs.arrays import Array
from gpuhours.layout.layout import Schedule, VisionPlacement
from gpuhours.layout.ranks import Ranks


def layers_on_stage(layers: Array, ranks: Ranks, stage: Array) -> Array:
    """Layers of stage s = 0 ... p - 1.

        n = v ceil(L / (p v));   missing = p n - L
        the last stage has n - 1 where missing >= 1, the first n - 1 where missing = 2, the others n

    L layers, p stages, v chunks each. Where one or two are missing the ends carry fewer, for the embedding
    and the head (Qi et al. 2024, Zero Bubble; Llama 3 405B, arXiv:2407.21783, section 3.3.2); where more are,
    the first stages carry more (InternEvo). Other stages with fewer exist but are never the fullest."""
    p = np.asarray(ranks.pipeline)
    most = np.ceil(layers / (p * ranks.interleave)) * ranks.interleave
    missing = p * most - layers
    fewer = np.where(stage == p - 1, missing >= 1, (stage == 0) & (missing == 2))
    return np.where(p == 1, layers, np.maximum(most - fewer, 0))


def waiting(schedule: Array, ranks: Ranks, stage: Array, ahead: int = 0) -> Array:
    """Micro-batches' worth of a stage's activations held at once.

        1F1B          min(p - s, m)
        interleaved   min((2 (p - s - 1) + (v - 1) p + 1) / v, m)
        ZB-1p, ZB-2p  min(p, m), min(2 p - 1, m) on every stage
        GPipe         m

    p stages, v chunks per rank, m micro-batches, s stage; ``ahead`` more where a stack keeps spare buffers.
    Sources: Narayanan et al. 2021, section 2.2; Qi et al. 2024, Zero Bubble, section 3 (limits of p and 2 p).
    """
    p, v, m = np.asarray(ranks.pipeline), np.asarray(ranks.interleave), ranks.microbatches
    kind = np.where(np.equal(schedule, Schedule.f1b1) & (v > 1), int(Schedule.interleaved), schedule)
    held = np.where(kind == Schedule.interleaved, (2 * (p - stage - 1) + (v - 1) * p + 1) / v, p - stage)
    held = np.where(kind == Schedule.zb1p, p, held)
    held = np.where(kind == Schedule.zb2p, 2 * p - 1, held)
    held = np.where(kind == Schedule.gpipe, m, held)
    return np.where(p > 1, np.minimum(held + ahead, m), 1.0)


@dataclass(frozen=True, eq=False)
class Standing:
    """A part of the model on one stage."""

    part: Stack | Ends
    count: Array
    """Layers of a stack, 1 or 0 of an end."""
    ranks: Ranks
    """The ranks as the part sees them."""


def standing(model: Model, ranks: Ranks, stage: Array) -> list[Standing]:
    """What stands on a stage: the layers of the pipeline's own stream in proportion, embeddings and whatever
    comes before the stream on the first stage, heads and whatever comes after on the last, an encoder in
    front where the layout has it (one on accelerators of its own is not here)."""
    first = np.where(np.equal(stage, 0), 1.0, 0.0)
    last = np.where(np.equal(stage, np.subtract(ranks.pipeline, 1)), 1.0, 0.0)
    in_front = np.where(np.equal(ranks.vision, VisionPlacement.first_stage), first, 0.0)
    in_front = np.where(np.equal(ranks.vision, VisionPlacement.replicated), 1.0, in_front)
    total = sum((stack.layers for stack in model.stacks if model.on_stream(stack)), 0.0)
    share = layers_on_stage(total, ranks, stage) / np.maximum(total, 1)
    leading = len(model.encoder)
    found = [Standing(part, in_front * _layers(part), ranks.encoding) for part in model.parts[:leading]]
    seen = False
    for part in model.parts[leading:]:
        streams = isinstance(part, Stack) and model.on_stream(part)
        early = part.first if isinstance(part, Ends) else not seen
        seen = seen or streams
        found.append(Standing(part, (share if streams else first if early else last) * _layers(part), ranks))
    return found


def _layers(part: Stack | Ends) -> Array:
    return part.layers if isinstance(part, Stack) else 1.0
