"""Which part of a model stands on which pipeline stage, and how many micro-batches wait there."""

from __future__ import annotations

import numpy as np

from gpuhours.architecture.operators import Ends, Model, Stack
from gpuhours.layout import Array, Schedule
from gpuhours.step.ranks import Ranks


def layers_on_stage(layers: Array, ranks: Ranks, stage: Array) -> Array:
    """Layers of stage s = 0 ... p - 1.

        n = v ceil(L / (p v));   missing = p n - L;   the last stage has n - 1 where missing >= 1, the first n - 1 where
        missing = 2, the others n

    L layers, p stages, v chunks each. Where one or two are missing the ends carry fewer, for the embedding and the
    head (Qi et al. 2024, Zero Bubble; Llama 3 405B, arXiv:2407.21783, section 3.3.2); where more are, the first stages
    carry more (InternEvo). Other stages with fewer exist but are never the fullest.
    """
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

    p stages, v chunks per rank, m micro-batches, s stage; ``ahead`` more where a stack keeps spare buffers. Sources: Narayanan et al. 2021, section 2.2; Qi et al.
    2024, Zero Bubble, section 3 (limits of p and 2 p on the waiting micro-batches).
    """
    p, v, m = np.asarray(ranks.pipeline), np.asarray(ranks.interleave), ranks.microbatches
    kind = np.where(np.equal(schedule, Schedule.f1b1) & (v > 1), int(Schedule.interleaved), schedule)
    held = np.where(kind == Schedule.interleaved, (2 * (p - stage - 1) + (v - 1) * p + 1) / v, p - stage)
    held = np.where(kind == Schedule.zb1p, p, held)
    held = np.where(kind == Schedule.zb2p, 2 * p - 1, held)
    held = np.where(kind == Schedule.gpipe, m, held)
    return np.where(p > 1, np.minimum(held + ahead, m), 1.0)


def stack_layers(model: Model, ranks: Ranks, stage: Array) -> list[tuple[Stack, Array]]:
    """(stack, its layers on the stage). Stacks of the last stream share the stages in proportion to their layers;
    others, such as a vision encoder, stand on the first."""
    main = [stack for stack in model.stacks if np.array_equal(stack.tokens, model.stacks[-1].tokens)]
    total = sum((stack.layers for stack in main), 0.0)
    share = layers_on_stage(total, ranks, stage) / total
    first = np.where(np.equal(stage, 0), 1.0, 0.0)
    return [(stack, stack.layers * (share if any(stack is one for one in main) else first)) for stack in model.stacks]


def stands_on(part: Ends, ranks: Ranks, stage: Array) -> Array:
    """1 on the stage that an end stands on, else 0: the first for embeddings, the last for heads."""
    return np.where(np.equal(stage, 0 if part.first else np.subtract(ranks.pipeline, 1)), 1.0, 0.0)
