"""CPU overhead: the part of the host's time to launch a step's kernels that exceeds the accelerator's own time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from gpuhours.architecture.operators import Block, Ends, Pointwise, Role, Stack, Trainable
from gpuhours.hardware.number_formats import FP32
from gpuhours.inputs.arrays import Array, every, some
from gpuhours.kernels.collectives import SWITCH_RANKS
from gpuhours.layout.choices import Recompute, Sharding, VisionPlacement
from gpuhours.layout.ranks import has_experts
from gpuhours.layout.recompute import times_again
from gpuhours.step.context import whole_sequences
from gpuhours.step.schedule import Late, Passes
from gpuhours.workload import Workload

LLAMA_GEMMS = 7
"""GEMMs of the llama layer on which the host time of a layer's modules was measured: q, k, v, o, gate, up, down."""
LLAMA_LAUNCHES = 14
"""Launches of a llama block: four GEMMs, attention, two norms, two residuals, rotary embeddings (four kernels) and SwiGLU."""
SWITCHED = 0.87
"""Host delay of a reduction through a node's switch, relative to that of a ring, on clusters with a measured delay per ring step
(nanotron's benchmark: 21.5 ms per layer over the 8 ranks of a node, median of 69 runs; rings would take 24.0 ms, and 4.4 of either are
launches)."""


WEIGHTED = frozenset({"gemm", "bias"})
"""Operators with weights, which autocast casts unless they are frozen and stored in the format of GEMMs."""


def late_and_gaps(workload: Workload, update: Array = 0.0, layers: Passes | None = None) -> tuple[Late, Late, Array]:
    """Exposed CPU overhead of a micro-batch on a stage: launch time beyond the accelerator's time, as a function of the stage's share x of
    the layers and its ``busy`` s of kernels; the same while a pipeline fills, when layers alone are launched; s of unavoidable gaps.

        late    max(0, x H + E + (U - u) / m - busy)        gaps    g / p + e + w / m

    H s to launch all layers; E s to launch an encoder that runs whole on a stage; U the host's and u the accelerator's time for
    the optimiser update (``update``), once per m micro-batches; g s of gaps in all layers on p stages, e in such an encoder, w s for which
    a step waits.

    If the loss reads a number back to the host (``reads_back``) and ``layers``, the passes of all layers, is given, the forward pass (H_f,
    F) and the rest (B backward) are compared separately:

        late    max(0, x (H_f - F)) + max(0, x (H - H_f - B) + E + (U - u) / m)
    """
    front, rest = workload.model.encoder, workload.model.parts[len(workload.model.encoder) :]
    launching, gaps = launch_time(rest, workload)
    gaps = gaps / workload.ranks.pipeline
    once = sum((table_copies(part, workload) for part in workload.model.ends), start=np.asarray(0.0))
    if front:
        here = np.where(np.equal(workload.ranks.vision, VisionPlacement.separate), 0.0, 1.0)
        encoding, between = launch_time(front, workload)
        once, gaps = once + here * encoding, gaps + here * between
    kernels = workload.software.host.kernels
    if kernels is not None:
        trained = any(part.trainable is not Trainable.FROZEN for part in workload.model.parts)
        updating = kernels.update if trained else 0.0
        once = once + (updating - update) / workload.ranks.microbatches
        gaps = gaps + kernels.waits / workload.ranks.microbatches
    late = partial(_late, launching, once)
    filling = partial(_late, launching, 0.0) if some(once) else late
    if kernels is not None and kernels.reads_back and layers is not None:
        there = forward_launches(workload)
        ahead, behind = there - layers.forward, launching - there - (layers.backward + layers.weight)
        late = partial(_late_by_pass, ahead, behind, once)
        filling = partial(_late_by_pass, ahead, behind, 0.0)
    return late, filling, gaps


def _late(launching: Array, once: Array, share: Array, busy: Array) -> Array:
    """The first equation of ``late_and_gaps``."""
    return np.maximum(share * launching + once - busy, 0.0)


def _late_by_pass(ahead: Array, behind: Array, once: Array, share: Array, busy: Array) -> Array:
    """Its second equation, of whose passes the forward one and the rest are compared on their own."""
    return np.maximum(share * ahead, 0.0) + np.maximum(share * behind + once, 0.0)


def forward_launches(workload: Workload) -> Array:
    """Host seconds to launch the forward pass of all layers for one micro-batch.

    Raises ``ValueError`` for a profile that is modelled by layers, not by kernels.
    """
    total: Array = 0.0
    for part in workload.model.stacks:
        total = total + part.layers * launches_forward(part, workload, layer_kernels(part, workload)[0])
    return total


def table_copies(part: Ends, workload: Workload) -> Array:
    """Seconds for which the host is blocked by copying a fixed fp32 table, expanded to every sample, from pageable memory.

        t = 4 T w / pageable        T tokens of a micro-batch on a rank, w table elements per token, pageable byte/s of the profile

    Source: own measurements of VideoMAE's position table on H100, 4.4 to 10 ms per step at 8 GB/s.
    """
    rate = workload.software.pageable
    tokens = np.divide(np.multiply(part.tokens, workload.ranks.microbatch), workload.ranks.context)
    return FP32 * tokens * part.tabled / rate if rate else 0.0


def as_run(part: Stack | Ends, workload: Workload) -> Stack | Ends:
    """The part as the stack runs it: with all experts if its code runs them (``Workload.as_written``); under full recomputation, a frozen
    stack of layers passes gradients through if the software requires gradients of all inputs (``frozen_carry_gradients``)."""
    full = every(np.equal(workload.layout.recompute, Recompute.full))
    part = workload.as_written(part) if isinstance(part, Stack) else part
    if workload.software.frozen_carry_gradients and full and part.trainable is Trainable.FROZEN:
        return part if isinstance(part, Ends) else replace(part, trainable=Trainable.PASS_THROUGH)
    return part


def launch_time(parts: Sequence[Stack | Ends], workload: Workload) -> tuple[Array, Array]:
    """(host seconds to launch one micro-batch of all layers in ``parts``, seconds of GPU gaps between their kernels)."""
    launching: Array = 0.0
    gaps: Array = 0.0
    for part in parts:
        if isinstance(part, Stack):
            stack = as_run(part, workload)
            one = _layer_launches if workload.software.host.kernels is None else kernel_launches
            each, between = one(stack, workload)  # type: ignore[arg-type]
            launching, gaps = launching + part.layers * each, gaps + part.layers * between
    return launching, gaps


def _layer_launches(stack: Stack, workload: Workload) -> tuple[Array, Array]:
    """(s of launching, s of gaps) of one layer and micro-batch, from the profile's host time per layer.

    A layer with a split sequence is launched block by block (``_sharing_time``). A frozen stack is launched forward only. The time is
    scaled by the block's number of operators relative to the measured block (``launches``).
    """
    host = workload.software.host
    again = np.where(np.asarray(workload.layout.recompute) == Recompute.full, host.forward, 0.0)
    hooks = np.where(np.asarray(workload.layout.sharding) == Sharding.zero3, host.shard, 0.0)
    back = 0.0 if stack.trainable is Trainable.FROZEN else host.backward + again
    unfused = workload.attention_kernel == "unfused"
    launching = launches(stack.block, unfused=unfused) * (host.forward + back) + hooks + _sharing_time(stack, workload)
    launching = launching + _dispatch_time(stack, workload) + _splitting_time(stack, workload)
    return launching * (host.autocast if workload.precision.autocast else 1.0), host.gap


def _splitting_time(stack: Stack, workload: Workload) -> Array:
    """Additional host seconds per layer and micro-batch with t tensor ranks: launching reductions in pieces, and 4 S (t - 1) ring steps at
    the delay measured on the cluster (``Cluster.delay``). S is the number of reductions in the forward pass, each an all-gather and a
    reduce-scatter, and as many in the backward pass. Half of the launching is in the forward pass and is repeated under full
    recomputation."""
    tensor = workload.ranks.tensor
    group, node = workload.ranks.tensor_group, workload.cluster.node
    switched = np.greater_equal(tensor, SWITCH_RANKS) & np.equal(group.domains(workload.cluster), 1) & node.sharp
    steps = np.where(switched, SWITCHED, 1.0) * np.subtract(tensor, 1)
    rings = 4 * stack.block.all_reduces * steps * workload.cluster.delay
    again = np.where(np.equal(workload.layout.recompute, Recompute.full), 1.5, 1.0)
    return np.where(np.greater(tensor, 1), workload.software.host.tensor * again + rings, 0.0)


def _dispatch_time(stack: Stack, workload: Workload) -> Array:
    """Additional host seconds per layer and micro-batch with expert parallelism."""
    if not any(has_experts(linear) for linear in stack.block.linears):
        return 0.0
    needed = workload.software.dispatch.host_time(workload.cluster.accelerator.name)
    return np.where(np.greater(workload.ranks.expert, 1), needed, 0.0)


def kernel_launches(stack: Stack, workload: Workload) -> tuple[Array, Array]:
    """(s of launching, s of gaps) of one layer and micro-batch, from its number of kernels.

        forward     l_f + k_f c_f + calls (+ ``causal`` s for causal layers)
        backward    l_b + k_b c_b + calls (+ n (forward + r_f + r_b) if recomputed)
        hooks       ZeRO-3: ``shard``, plus h per pass and module with weights
        gaps        g (k_f + k_b), and n g k_f if recomputed

    k kernels (``layer_kernels``), c s per kernel, l s for the layer's modules, r s for recomputation, which runs n times (``times_again``),
    g s per gap

    What is launched within another stack's layer (``Stack.within``) has l in proportion to its GEMMs, of which the llama layer that l
    was measured on has seven, and no r: the layer is recomputed as one.

    Raises ``ValueError`` for a profile that is modelled by layers, not by kernels.
    """
    host, facts = workload.software.host, workload.software.host.kernels
    if facts is None:
        raise ValueError("this stack is modelled by layers, not by kernels")
    there, back = layer_kernels(stack, workload)
    extra = attention_calls(stack, workload)
    forward = launches_forward(stack, workload, there)
    called = 0.0 if stack.within else facts.recomputed.forward + facts.recomputed.backward
    backward = _modules_share(stack) * facts.layer.backward + back * facts.each.backward + extra * facts.call.backward
    full = np.equal(workload.layout.recompute, Recompute.full)
    times = times_again(stack, workload.software)
    again = np.where(full, times * (called + forward), 0.0)
    trained = stack.trainable is not Trainable.FROZEN
    passes = np.where(full, 2 + times, 2) if trained else 1
    hooks = (0.0 if stack.within else host.shard) + facts.module * passes * modules(stack, workload)
    hooks = np.where(np.equal(workload.layout.sharding, Sharding.zero3), hooks, 0.0)
    launching = forward + (backward + again if trained else 0.0) + hooks
    launched = there + (back + np.where(full, times * there, 0.0) if trained else 0.0)
    shared = _sharing_time(stack, workload) + _dispatch_time(stack, workload) + _splitting_time(stack, workload)
    return launching + shared, facts.gap * launched


def launches_forward(stack: Stack, workload: Workload, kernels: Array) -> Array:
    """Host seconds to launch the forward pass of one layer with this many ``kernels`` (``kernel_launches``).

    Raises ``ValueError`` for a profile that is modelled by layers, not by kernels.
    """
    facts = workload.software.host.kernels
    if facts is None:
        raise ValueError("this stack is modelled by layers, not by kernels")
    handed = facts.causal * any(core.causal for core in stack.block.attention)
    return (
        _modules_share(stack) * facts.layer.forward
        + handed
        + kernels * facts.each.forward
        + attention_calls(stack, workload) * facts.call.forward
    )


def _modules_share(stack: Stack) -> Array:
    """Host time of a stack's modules relative to a layer's: 1, or by its GEMMs if it is launched within another stack's layer."""
    return np.minimum(_gemms(stack) / LLAMA_GEMMS, 1.0) if stack.within else 1.0


def layer_kernels(stack: Stack, workload: Workload) -> tuple[Array, Array]:
    """Number of kernels that one layer launches, (forward, backward): those of its operators and, under autocast, of its casts.

    Raises ``ValueError`` for a profile that is modelled by layers, not by kernels.
    """
    facts = workload.software.host.kernels
    if facts is None:
        raise ValueError("this stack is modelled by layers, not by kernels")
    casts = facts.autocast if workload.precision.autocast else {}
    if stack.trainable is not Trainable.FULL and workload.precision.frozen <= workload.precision.operand:
        casts = {name: counted for name, counted in casts.items() if name not in WEIGHTED}
    forward: Array = 0.0
    backward: Array = 0.0
    for name, times in _operator_counts(stack, workload):
        for table in (facts.operators, casts):
            if name in table:
                forward = forward + table[name].forward * times
                backward = backward + table[name].backward * times
    return forward, backward


def _operator_counts(stack: Stack, workload: Workload) -> list[tuple[str, Array]]:
    """(operator, number of times a layer runs it), as in the models' code: GEMMs unfused, adapters in pairs."""
    facts = workload.software.host.kernels
    looped = facts is not None and facts.experts == "looped"
    counts: list[tuple[str, Array]] = [
        ("gemm", linear.fused * (linear.experts if looped else 1)) for linear in stack.block.linears
    ]
    routed = sum(linear.experts for linear in stack.block.linears if looped and linear.role is Role.MLP_OUT)
    counts.append(("expert", routed))
    quantised = workload.precision.format.unpacked and stack.trainable is not Trainable.FULL
    counts.append(("unpacked", _gemms(stack) if quantised else 0))
    counts += [("bias", linear.fused) for linear in stack.block.linears if linear.bias]
    counts += [(operator.kind.value, 2 if operator.kind is Pointwise.QK_NORM else 1) for operator in stack.block.elementwise
              if operator.kind is not Pointwise.BIAS]  # fmt: skip
    cut = sum(bool(np.any(np.less(operator.worked, 1.0))) for operator in stack.block.elementwise)
    counts.append(("cut-rotary", cut))
    for core in stack.block.attention:
        kernel = workload.kernel_of(core)
        counts.append(("unfused" if kernel == "unfused" else "attention", 1))
        counts += [("disentangled", int(core.places is not None)), ("place-bias", int(core.from_table))]
    narrow = stack.narrow_adapters and facts is not None and "narrow-adapter" in facts.operators
    return [*counts, ("narrow-adapter" if narrow else "adapter", len(stack.adapters) / 2)]


def _gemms(stack: Stack) -> Array:
    """Number of GEMMs of a layer, unfused."""
    return sum(linear.fused for linear in stack.block.linears)


def attention_calls(stack: Stack, workload: Workload) -> Array:
    """Number of additional attention calls of one layer and micro-batch, for cores that loop over sequences; otherwise 0."""
    length = stack.tokens if stack.sequence is None else stack.sequence
    sequences = np.multiply(workload.ranks.microbatch, np.divide(stack.tokens, length))
    loops = sum(core.looped for core in stack.block.attention)
    return loops * np.maximum(sequences - 1.0, 0.0)


def modules(stack: Stack, workload: Workload) -> Array:
    """Number of modules with weights in one layer: GEMMs (those of every expert if the stack loops over experts), norms, both GEMMs
    of every adapter."""
    facts = workload.software.host.kernels
    looped = facts is not None and facts.experts == "looped"
    gemms = sum(one.fused * (one.experts if looped else 1) for one in stack.block.linears)
    return gemms + sum(np.max(operator.parameters) > 0 for operator in stack.block.elementwise) + len(stack.adapters)


def _sharing_time(stack: Stack, workload: Workload) -> Array:
    """Additional host seconds for one layer and micro-batch whose sequence is split over several ranks, summed over all passes.

    per pass: r x hop for a ring of r > 1 ranks, plus one exchange if u > 1 ranks exchange heads
    """
    facts, ranks = workload.software.context, workload.ranks
    if all(whole_sequences(stack, core) for core in stack.block.attention):
        return 0.0
    rings = np.greater(ranks.ring, 1) & np.logical_not(ranks.gathers_keys)
    hops = np.where(rings, ranks.ring, 0.0)
    exchanges = np.where(np.greater(ranks.ulysses, 1), 1.0, 0.0)
    forward = hops * facts.hop.forward + exchanges * facts.exchange.forward
    if stack.trainable is Trainable.FROZEN:
        return forward
    again = np.where(np.asarray(workload.layout.recompute) == Recompute.full, forward, 0.0)
    return forward + again + hops * facts.hop.backward + exchanges * facts.exchange.backward


def launches(block: Block, *, unfused: bool = False) -> float:
    """Number of operators that a host launches for a block, relative to the llama block on which hosts were timed.

        (GEMMs + attention cores + memory-bound operators, without biases, rotary as its four kernels) / 14

    Unfused attention counts as six operators: two GEMMs, scale, softmax, mask or dropout, a copy. Checked on H200: the host time of ViT
    blocks is 0.70 of a llama block's without gradients; with gradients 0.77 forward and 0.68 backward.
    """
    weight = {Pointwise.BIAS: 0, Pointwise.ROTARY: 4}
    pointwise = sum(weight.get(operator.kind, 1) for operator in block.elementwise)
    return (len(block.linears) + len(block.attention) * (6 if unfused else 1) + pointwise) / LLAMA_LAUNCHES
