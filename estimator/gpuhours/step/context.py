"""Context parallelism, one sequence on several ranks: rings of keys and values, exchanged heads (Ulysses), both, or all-gathered keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gpuhours.architecture.operators import AttentionCore, Stack, Trainable
from gpuhours.hardware.clusters import Cluster
from gpuhours.hardware.libraries import libraries_of
from gpuhours.inputs.arrays import Array, every, some
from gpuhours.kernels.attention import attention_time
from gpuhours.kernels.collectives import (
    all_gather_time,
    all_to_all_time,
    point_to_point_time,
    reduce_scatter_time,
)
from gpuhours.kernels.memory_bound import CAPPED, WIDE_BIASED, memory_time
from gpuhours.layout.groups import Group
from gpuhours.layout.ranks import Ranks
from gpuhours.layout.sequence_methods import with_exchange
from gpuhours.software.figures import LearnedMask
from gpuhours.step.schedule import Passes, exposed_time
from gpuhours.workload import Workload


def attention_passes(stack: Stack, workload: Workload) -> Passes:
    """Seconds of one layer's attention cores on one rank for one micro-batch, with the sequence split over ring x ulysses ranks."""
    total = Passes()
    length = stack.tokens if stack.sequence is None else stack.sequence
    sequences = np.multiply(workload.ranks.microbatch, np.divide(stack.tokens, length))
    for core in stack.block.attention:
        kernel = workload.kernel_of(core)
        total += _core_passes(core, length, sequences, workload, kernel, whole=whole_sequences(stack, core))
    return total


def whole_sequences(stack: Stack, core: AttentionCore) -> bool:
    """Whether context ranks get whole sequences rather than parts of one. This is so if a sample consists of many short sequences (the
    patches of its frames, distributed by frame), or if keys come from another stream, which every rank has.

    A stack of short sequences has a ``sequence`` different from its ``tokens``; if it attends over all tokens, both are the same object.
    """
    own = stack.sequence is not None and stack.sequence is not stack.tokens
    return own or core.keys is not None


def _core_passes(
    core: AttentionCore, length: Array, sequences: Array, workload: Workload, kernel: str, *, whole: bool
) -> Passes:
    """Seconds of one attention core on one rank, with its mask as the stack passes it to the kernel.

    A padding mask is passed to fused kernels as a tensor over all pairs, and no pair is skipped: the time is that of all pairs without a
    mask, times the profile's factor. For unfused attention the factor is not applied: it adds a mask to its scores in any case. A window
    shorter than the sequence or an explicit causal mask is treated in the same way if the profile has a figure for it
    (``window_mask``).
    """
    learned = workload.software.learned_mask
    if core.from_table and learned is not None and kernel != "unfused":
        return learned_mask_passes(core, length, sequences, workload, learned)
    masking = workload.software.padding_mask
    if core.padded and masking is not None and kernel != "unfused":
        seen = replace(core, causal=False, window=None, padded=False)
        whole_pairs = _shared_passes(seen, length, sequences, workload, kernel, whole=whole)
        return Passes(whole_pairs.forward * masking.forward, whole_pairs.backward * masking.backward)
    slower = workload.software.window_mask
    near = core.window is not None and some(np.less(core.window, length))
    if slower is not None and (near or (workload.software.masked and core.causal)):
        seen = replace(core, causal=False, window=None)
        return _shared_passes(seen, length, sequences, workload, kernel, whole=whole) * slower
    return _shared_passes(core, length, sequences, workload, kernel, whole=whole)


def _traffic_per_score(core: AttentionCore, workload: Workload) -> list[float]:
    """Equivalent bytes per score that unfused attention moves beyond its kernels, forward and backward."""
    kind = "biased-scores" if core.biased and workload.software.biased_attention else "scores"
    kind = "disentangled-scores" if core.places is not None else kind
    sunk = core.sunk and workload.written_out(core) and "sink-scores" in workload.software.pointwise.operators
    kind = "sink-scores" if sunk else kind
    added = workload.software.traffic(kind, autocast=workload.precision.autocast)
    more = [CAPPED] if core.capped else []
    more += [WIDE_BIASED] if core.wide_bias and workload.written_out(core) else []
    return [sum(each) for each in zip(added, *more, strict=True)]


BLOCK = 64
"""Tokens and channels of a block of the kernel that learned masks run on."""


def learned_mask_passes(
    core: AttentionCore, length: Array, sequences: Array, workload: Workload, shares: LearnedMask
) -> Passes:
    """Seconds of one attention core on one rank whose bias has gradients, which PyTorch runs on its memory-efficient kernel.

        forward 4 b a s^2 d / (u P);  backward 10 b a s^2 d / (u P)

    b sequences, a heads on the rank, s tokens and d channels rounded up to 64, u share of the peak P. Source: kernels of profiled steps on
    H200: Swin-L, -B and -T (49 tokens, 32 channels) and BEiT base (197, 64) take 8.7, 6.0, 5.3 and 13.0 ms, this gives 8.6, 5.7, 5.2 and
    13.2; BEiT large, which was not used, 17.8 and 17.7. Left out: a ring.
    """
    ranks, peak = workload.ranks, workload.accelerator.peak_for(workload.wide)
    heads = np.ceil(np.divide(core.heads, np.multiply(ranks.tensor, ranks.ulysses)))
    tokens, channels = (BLOCK * np.ceil(np.divide(size, BLOCK)) for size in (length, core.head_dim))
    pairs = sequences * heads * tokens**2 * channels
    return Passes(4 * pairs / (shares.forward * peak), 10 * pairs / (shares.backward * peak))


def _own_block(kernel: str, core: AttentionCore, workload: Workload, common: dict[str, Any]) -> list[Array]:
    """Seconds of a rank's own block, forward and backward; half of the FLOPs in fp32 if scores are (``Workload.casts_to_fp32``)."""
    formats = {"fp32", common["dtype"]} if workload.casts_to_fp32(core) else {common["dtype"]}
    asked = [{**common, "keys": core.keys, "causal": core.causal, "dtype": dtype} for dtype in sorted(formats)]
    chip = workload.accelerator
    return [
        sum(attention_time(kernel, direction, chip, **one) for one in asked) / len(asked)
        for direction in ("forward", "backward")
    ]


def _shared_passes(
    core: AttentionCore, length: Array, sequences: Array, workload: Workload, kernel: str, *, whole: bool
) -> Passes:
    """Seconds of one attention core on one rank.

        heads split over tensor x ulysses;  the rank's own block of s / r, causal, then r - 1 blocks of other ranks:
            balanced (zigzag, all-gather, hybrid)   s / r queries on s / (2 r) keys: half of every block is masked
            plain ring                              s / r on s / r: nothing is masked on the last rank, and all ranks wait for it
            helped                                  s / r on s / r, floor(r / 2) blocks: if r is even, half of the ranks idle once

    s length, r ring. Unfused attention adds the stack's traffic per score beyond its kernels (an fp32 softmax under autocast). After each
    block the partial outputs are rescaled and added (``merge`` bytes per element of the output). Sources: Liu et al. 2023 (ring);
    Brandon et al. 2023 (striped) and Zhu 2024 (zigzag) for the balanced order.
    """
    ranks = workload.ranks
    r = 1 if whole else ranks.ring
    split = np.multiply(ranks.tensor, ranks.ulysses)
    batch = np.divide(sequences, ranks.ring) if whole else sequences
    part = np.divide(length, r)
    common: dict[str, Any] = {
        "batch": batch,
        "heads": np.ceil(np.divide(core.heads, split)),
        "kv_heads": np.ceil(np.divide(core.kv_heads, split)),
        "length": part,
        "head_dim": core.head_dim,
        "value_dim": core.value_dim,
        "window": core.window,
        "dtype": workload.wide,
        "dropped": core.dropped,
        "unaligned": libraries_of(workload.software.libraries).unaligned,
    }
    chip, facts = workload.accelerator, workload.software.context
    own_path = core.biased or (kernel == "unfused" and workload.in_fp32(core))
    if own_path and workload.software.biased_gemms is not None:
        common["dtype"] = workload.software.biased_gemms
    own = _own_block(kernel, core, workload, common)
    if kernel == "unfused":
        scores = batch * common["heads"] * part * (part if core.keys is None else core.keys)
        added = (memory_time(each * scores, chip) for each in _traffic_per_score(core, workload))
        own = [time + more for time, more in zip(own, added, strict=True)]
    if every(np.equal(r, 1)):
        return Passes(*own)
    keys, blocks = _other_blocks(core, workload, part)
    other = [
        attention_time(kernel, direction, chip, keys=keys, causal=False, **common)
        for direction in ("forward", "backward")
    ]
    output = batch * part * common["heads"] * core.value_dim * np.logical_not(ranks.gathers_keys)
    merge = [memory_time(moved * output, chip) for moved in (facts.merge.forward, facts.merge.backward)]
    return Passes(*(mine + blocks * (rest + added) for mine, rest, added in zip(own, other, merge, strict=True)))


def _other_blocks(core: AttentionCore, workload: Workload, part: Array) -> tuple[Array, Array]:
    """Keys of one block of another rank, of ``part`` tokens each, and how many such blocks a rank computes (see ``_shared_passes``)."""
    r = workload.ranks.ring
    if not core.causal:
        return part, np.subtract(r, 1)
    if workload.software.context.helped:
        return part, np.floor_divide(r, 2)
    balanced = with_exchange(workload.ranks.method, lambda exchange: exchange.balanced)
    return np.where(balanced, part / 2, part), np.subtract(r, 1)


def context_passes(stack: Stack, workload: Workload, attention: Passes) -> Passes:
    """Exposed seconds of communication between the ranks that split a sequence, for one layer and micro-batch.

        exchange   all-to-all of q, k, v and of the output among u ranks, b s / c (2 a + 2 k) d / t elements, in each pass; not hidden
        ring       r - 1 blocks of M = b s / r (2 k d / t u) elements forward; backward the same blocks and their gradients, or the
                   queries, their gradients and the output gradients if the stack sends those and they are smaller
        all-gather keys and values of the whole sequence before attention; reduce-scatter of their gradients after it; not hidden

    c context = u ulysses x r ring, a heads, k key-value heads (at least one on a rank: u t > k ranks hold copies), d head size,
    b sequences, s length, t tensor. Sources: Jacobs et al. 2023 (Ulysses); Liu et al. 2023 (ring); Fang and Zhao 2024 (both);
    Llama Team 2024, section 3.3.2 (all-gather).
    """
    ranks, facts = workload.ranks, workload.software.context
    size, exposed = workload.precision.element, workload.software.exposed.context
    tokens = np.divide(np.multiply(stack.tokens, ranks.microbatch), ranks.context)
    total = Passes()
    for core in stack.block.attention:
        if whole_sequences(stack, core):
            continue
        width = np.asarray(core.head_dim) + core.value_dim
        queries = np.divide(core.heads, ranks.tensor) * width * size
        held = np.maximum(np.divide(core.kv_heads, ranks.tensor), ranks.ulysses)
        copied = facts.repeats_keys & np.equal(ranks.ulysses, 1)
        keys = np.where(copied, np.divide(core.heads, ranks.tensor), held) * width * size
        exchanged = all_to_all_time(tokens * (queries + keys), ranks.ulysses_group, workload.cluster)
        back = keys * (1 + facts.gradient / size)
        if facts.backward == "queries":
            back = np.minimum(back, 1.5 * queries)
        sent = tokens * (facts.fetched if core.causal else 1.0)
        forward, backward = (ring_time(sent * row, ranks, workload.cluster, facts.ring) for row in (keys, back))
        whole = tokens * keys * ranks.ring
        gathered = all_gather_time(whole, ranks.ring_group, workload.cluster)
        scattered = reduce_scatter_time(whole * facts.gradient / size, ranks.ring_group, workload.cluster)
        total += Passes(
            exchanged + np.where(ranks.gathers_keys, gathered, exposed_time(forward, attention.forward, exposed)),
            exchanged
            + np.where(ranks.gathers_keys, gathered + scattered, exposed_time(backward, attention.backward, exposed)),
        )
    return total if stack.trainable is not Trainable.FROZEN else Passes(total.forward)


def ring_time(block: Array, ranks: Ranks, cluster: Cluster, kind: str) -> Array:
    """Seconds to pass ``block`` bytes to the next rank r - 1 times.

        flat     r - 1 sends, each limited by the slowest link: across nodes, the NIC of the one rank per node that sends out of it
        double   rings inside nodes, r - d sends, concurrent with rings between nodes, d - 1 sends over all NICs at once; at most ``flat``

    r ring, d domains of scale-up links that it spans. Source for double rings: Gu et al. 2024 (LoongTrain), section 4.
    """
    ring = ranks.ring_group
    flat = np.maximum(ring.size - 1, 0) * point_to_point_time(block, ring, cluster)
    if kind == "flat":
        return flat
    domains = ring.domains(cluster)
    inner = Group(ring.per_domain(cluster), ring.stride)
    outer = Group(domains, np.multiply(ring.stride, inner.size))
    inside = np.maximum(ring.size - domains, 0) * point_to_point_time(block, inner, cluster)
    between = np.maximum(domains - 1, 0) * point_to_point_time(block, outer, cluster)
    return np.minimum(flat, np.maximum(inside, between))
