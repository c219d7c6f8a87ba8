"""Compute time of one rank for one micro-batch of one layer: GEMMs, attention, memory-bound operators."""

from __future__ import annotations

import numpy as np

from gpuhours.architecture.operators import Block, Ends, Linear, Pointwise, Split, Stack, Trainable
from gpuhours.hardware.number_formats import BF16, FP32
from gpuhours.inputs.arrays import Array, some
from gpuhours.kernels.gemm import passes_times, thin_experts
from gpuhours.kernels.memory_bound import CAPPED, memory_time
from gpuhours.layout.ranks import Ranks, degree, has_experts, local_parameters
from gpuhours.layout.recompute import Policy
from gpuhours.software.figures import Traffic
from gpuhours.step.context import attention_passes
from gpuhours.step.cpu_overhead import table_copies
from gpuhours.step.schedule import Passes
from gpuhours.workload import Workload

GEMMS, ATTENTION, OTHER = "GEMMs", "attention", "other kernels"
SUMMED = Traffic.model_construct(forward=0.0, backward=6.0)
"""Bytes per element of an adapter's input that needs no cast: the sum of both branches' gradients."""


def layer_compute(stack: Stack, workload: Workload) -> dict[str, Passes]:
    """Seconds of one layer of a stack and one micro-batch on a rank, by kind of kernel (``GEMMS``, ``ATTENTION``, ``OTHER``)."""
    tokens = np.divide(np.multiply(stack.tokens, workload.ranks.microbatch), workload.ranks.context)
    gemms = Passes()
    experts = Passes()
    for linear in stack.block.linears:
        found = gemm_passes(linear, tokens, workload, stack.trainable)
        gemms, experts = (gemms, experts + found) if has_experts(linear) else (gemms + found, experts)
    narrow = workload.precision.autocast or stack.narrow_adapters or workload.software.adapters.dtype is None
    wide = workload.wide if narrow else workload.software.adapters.dtype
    joined = Passes()
    for adapter in stack.adapters:
        joined += gemm_passes(adapter, tokens, workload, Trainable.FULL, wide)
    others = elementwise_passes(stack, tokens, workload)
    attention = attention_passes(stack, workload)
    gemms = gemms * clock_factor(gemms + experts + attention, others, workload) + experts + joined
    seconds = {GEMMS: gemms, ATTENTION: attention, OTHER: others}
    if stack.trainable is Trainable.FROZEN:
        return {kind: Passes(passes.forward) for kind, passes in seconds.items()}
    return seconds


def clock_factor(heavy: Passes, light: Passes, workload: Workload) -> Array:
    """Factor on the time of 16-bit GEMMs for the higher clock in a step: kernels that use no tensor cores draw less power, so the clock
    rises above that of back-to-back GEMMs.

        1 - q (1 - x)        q the profile's ``clock_gain``, x the share of ``heavy`` in ``heavy`` + ``light``

    ``heavy`` are GEMMs and attention, ``light`` memory-bound operators, in s; the factor is 1 unless the GEMMs' elements have 2
    bytes. It is applied to dense GEMMs only: experts' GEMMs count as heavy, adapters' are left out, and neither is scaled.

    Source: own measurements on H200 and H100, GEMMs of 70 profiled steps of Hugging Face models without recomputation: 0.85 to 0.94 of
    ``gemm_time`` if GEMMs take a fifth to three fifths of the step; in fp32, which draws less power, 0.95 to 1.00.
    """
    if not workload.software.clock_gain or workload.precision.element != BF16:
        return 1.0
    share = np.divide(heavy.total, np.maximum(heavy.total + light.total, 1e-12))
    return 1.0 - workload.software.clock_gain * (1.0 - share)


def gemm_passes(
    linear: Linear,
    tokens: Array,
    workload: Workload,
    trainable: Trainable,
    dtype: str | None = None,
) -> Passes:
    """Seconds of a linear layer's three GEMMs: forward Y = X W', input gradient dX = dY W, weight gradient dW = dY' X.

        forward [T, n] over k;   input gradient [T, k] over n;   weight gradient [n, k] over T

    T tokens, n outputs and k inputs on the rank. With experts: E / e experts on a rank, each with T e g a / (t E) tokens (perfectly
    balanced, times the profile's ``load``); t tensor, g expert_tensor, e expert degree, a active of E experts.
    """
    ranks = workload.ranks
    split = degree(linear, ranks)
    n = np.divide(linear.outputs, 1 if linear.split is Split.ROW else split)
    k = np.divide(linear.inputs, split if linear.split is Split.ROW else 1)
    if linear.split is Split.VOCABULARY:
        multiple = workload.software.vocabulary_multiple
        n = np.ceil(n / multiple) * multiple
    count: Array = 1
    if has_experts(linear):
        load = np.where(np.greater(ranks.expert, 1), workload.software.dispatch.load, 1.0)
        arriving = load * np.multiply(ranks.expert, ranks.expert_tensor) * tokens * linear.active
        tokens = arriving / np.multiply(ranks.tensor, linear.experts)
        count = np.divide(linear.experts, ranks.expert)
    elif linear.split is Split.WHOLE:
        tokens = np.divide(tokens, ranks.sequence_parallel)
    loops: Array = 1
    if has_experts(linear) and not linear.everywhere and workload.software.wide_experts and workload.precision.autocast:
        dtype, loops, count = "fp32", count, 1  # no grouped kernel takes fp32: one GEMM after another
    dtype = dtype or (workload.wide if linear.split is Split.WHOLE else workload.precision.gemm)
    chip, pads = workload.accelerator, workload.software.pads_gemms
    passes = {Trainable.FROZEN: 1, Trainable.FULL: 3}.get(trainable, 2)
    times = passes_times(tokens, n, k, chip, dtype, passes, count=count, pads=pads)
    forward, backward, weight = (*times, 0.0, 0.0)[:3]
    if workload.precision.format.unpacked and trainable is not Trainable.FULL and linear.split is not Split.VOCABULARY:
        unpacked = memory_time(workload.software.unpacking * n * k * count, chip)
        forward = forward + unpacked
        backward = backward if trainable is Trainable.FROZEN else backward + unpacked
    slower = thin_experts(tokens, count) if has_experts(linear) else 1.0
    return Passes(forward, backward, weight) * (slower * loops)


def elementwise_passes(stack: Stack, tokens: Array, workload: Workload) -> Passes:
    """Seconds of one layer's memory-bound operators, casts, and adding adapters' outputs to their GEMMs: the software profile's
    equivalent bytes at copy speed. Beside frozen weights, which are 16-bit, autocast widens nothing but LayerNorm's output.

    Half of a permutation runs after the tokens of g ``expert_tensor`` ranks have been gathered: its traffic is multiplied by (1 + g) / 2.
    """
    forward: Array = 0.0
    backward: Array = 0.0
    rows = Passes()
    ranks = workload.ranks
    autocast = workload.precision.autocast and not workload.precision.wide_stream
    scale, usual = workload.precision.element / 2, issue_bound(workload)
    for operator in stack.block.elementwise:
        widened = autocast and (stack.trainable is Trainable.FULL or operator.kind is Pointwise.LAYER_NORM)
        there, back = workload.software.traffic(operator.kind.value, autocast=widened)
        wider = 1.0 if operator.kind.value in workload.software.works_wide else scale
        worked = operator.worked + np.where(np.less(operator.worked, 1.0), workload.software.rotary_cut, 0.0)
        elements = (
            np.divide(tokens * operator.width * worked, ranks.tensor if operator.sharded else ranks.sequence_parallel)
            * wider
        )
        each = workload.software.row_time(operator.kind.value)
        rows += Passes(each.forward, each.backward) * np.divide(
            tokens, ranks.tensor if operator.sharded else ranks.sequence_parallel
        )
        if operator.kind is Pointwise.PERMUTE:
            elements = elements * (1.0 + ranks.expert_tensor) / 2
        elements = elements * issue_bound(workload, operator.kind) / usual
        forward, backward = forward + there * elements, backward + back * elements
    if workload.precision.format.narrow:
        inputs, outputs = cast_bytes(stack.block, tokens, workload)
        forward, backward = forward + inputs, backward + outputs
    inputs, outputs = adapter_bytes(stack, tokens, workload)
    wider = (1.0 if workload.precision.wide_stream else scale) / usual  # fp32: limited by bytes, not by issue
    forward, backward = forward + inputs * wider, backward + outputs * wider
    if workload.precision.wide_stream:
        cast = narrowing_bytes(stack.block, tokens, ranks)
        forward, backward = forward + cast, backward + cast
    if autocast and workload.software.autocast is not None and stack.trainable is Trainable.FULL:
        casts = workload.software.autocast.weights
        held = sum((local_parameters(linear, ranks) for linear in stack.block.linears), start=np.asarray(0.0))
        held = held / stack.uses  # autocast keeps a weight's copy till the pass ends
        forward, backward = forward + casts.forward * held, backward + casts.backward * held
    chip = workload.accelerator
    return Passes(memory_time(forward * usual, chip), memory_time(backward * usual, chip)) + rows


H100_BANDWIDTH, H100_SMS = 3.35e12, 132
"""B/s and number of SMs of the card on which eager operators were timed."""


def issue_bound(workload: Workload, kind: Pointwise | None = None) -> float:
    """Factor on the equivalent bytes of eager operators on cards with more bandwidth per SM than H100, where instruction issue limits them.

        max(1, 1 - s + s (2 / e) (B / S) / (B / S of H100))

    B byte/s, S SMs, e bytes per element (wider elements need no more instructions), s the profile's ``issued`` (of a ``kind``: its
    ``issued_of``). 1 if s is 0 or the number of SMs is unknown.

    Source: own measurements, single kernels on both cards (``h100_eager_operators.csv``, ``h200_eager_operators.csv``): sums, copies and
    casts to 16 bit gain all of the additional bandwidth; products with a row or a head's table, splitting or concatenating heads, and casts
    to fp32 gain 0 to 40 % of it.
    """
    facts = workload.software.pointwise
    share = facts.issued if kind is None else facts.issued_of.get(kind.value, facts.issued)
    chip = workload.accelerator
    if not share or chip.sms is None:
        return 1.0
    each = chip.memory_bandwidth / chip.sms / (H100_BANDWIDTH / H100_SMS)
    return max(1.0, 1.0 - share + share * each * BF16 / workload.precision.element)


def adapter_bytes(stack: Stack, tokens: Array, workload: Workload) -> tuple[Array, Array]:
    """(forward, backward) bytes moved on a rank to cast adapters' inputs and to add their outputs to the GEMMs', for ``tokens`` tokens.

        sum over adapters of  b_out T a n / t + b_in T a k / t

    T tokens, n outputs and k inputs of the adapter, a active experts, t ranks that split it (for k, only if rows are split), b the
    profile's bytes per element.
    """
    facts, ranks = workload.software.adapters, workload.ranks
    autocast = workload.precision.autocast
    out = (facts.autocast if autocast or stack.narrow_adapters else None) or facts
    into = (facts.autocast_inputs if autocast else None) or (SUMMED if stack.narrow_adapters else facts.inputs)
    forward: Array = 0.0
    backward: Array = 0.0
    for down, up in zip(stack.adapters[::2], stack.adapters[1::2], strict=True):
        outputs = np.divide(tokens * up.active * up.outputs, degree(up, ranks))
        inputs = np.divide(tokens * down.active * down.inputs, degree(down, ranks) if down.split is Split.ROW else 1)
        forward = forward + out.forward * outputs + into.forward * inputs
        backward = backward + out.backward * outputs + into.backward * inputs
    return forward, backward


def narrowing_bytes(block: Block, tokens: Array, ranks: Ranks) -> Array:
    """Bytes of casting the inputs of quantised GEMMs to 16 bit and their outputs back to fp32, per pass (bitsandbytes'
    ``Linear4bit``); every GEMM casts its input, even if several share it.

        6 T sum over GEMMs of  (f k + n) / t        T tokens, n outputs, k inputs, f GEMMs in one; 4 B on one side, 2 on the other
    """
    moved: Array = 0.0
    for linear in block.linears:
        if linear.split is not Split.WHOLE:
            moved = moved + linear.active * (linear.fused * linear.inputs + linear.outputs) / degree(linear, ranks)
    return (FP32 + BF16) * tokens * moved


def operator_share(policy: Policy, stack: Stack, workload: Workload) -> Array:
    """Share of a layer's memory-bound forward traffic that a recompute policy recomputes."""
    shares = {operator.kind: policy.on_operator(operator.kind) for operator in stack.block.elementwise}
    if len(set(shares.values()) | {policy.others}) == 1:
        return policy.others
    moved = [
        (shares[operator.kind], workload.software.traffic(operator.kind.value, autocast=False)[0] * operator.width)
        for operator in stack.block.elementwise
    ]
    return np.divide(sum(share * each for share, each in moved), sum(each for _, each in moved))


def cast_bytes(block: Block, tokens: Array, workload: Workload) -> tuple[Array, Array]:
    """(forward, backward) bytes for quantising a layer's GEMM inputs (forward), output gradients (backward) and weights (half in each).

    With sequence parallelism, ranks cast their share of a dense GEMM's input before the gather; experts' inputs are cast after it.
    """
    ranks, casts = workload.ranks, workload.software.casts
    factor = {"plain": 1.0, "blocks": casts.blocks, "four_bit": casts.four_bit}[workload.precision.format.casts]
    inputs: Array = 0.0
    outputs: Array = 0.0
    quantised = [linear for linear in block.linears if linear.split is not Split.WHOLE]
    for linear in quantised:
        share = np.divide(tokens * linear.active, ranks.tensor)
        wide = ranks.expert_tensor if has_experts(linear) else np.divide(ranks.tensor, ranks.sequence_parallel)
        row = linear.split is Split.ROW
        inputs = inputs + share * linear.inputs * (1 if row else wide)
        outputs = outputs + share * linear.outputs * (wide if row else 1)
    weights = casts.weights * factor * sum(local_parameters(linear, ranks) for linear in quantised)
    return casts.forward * factor * inputs + weights / 2, casts.backward * factor * outputs + weights / 2


def convolution_passes(linear: Linear, tokens: Array, workload: Workload, trainable: Trainable, dtype: str) -> Passes:
    """Seconds of patch embedding by a convolution with non-overlapping windows: forward and weight gradient (pixels need no gradient).

    t = 2 T k n / (u P)        T patches, k pixels of one, n width, u share of the peak P

    Raises ``ValueError`` for a stack that embeds patches by GEMMs.
    """
    shares, peak = workload.software.convolution, workload.accelerator.peak_for(dtype)
    if shares is None:
        raise ValueError("this stack embeds patches by GEMMs")
    flops = linear.flops_per_token * tokens
    weight = flops / (shares.backward * peak) if trainable is Trainable.FULL else 0.0
    return Passes(flops / (shares.forward * peak), 0.0, weight)


TENSOR_CHANNELS = 64
"""Channels to a group from which on cuDNN runs a convolution in groups on tensor cores (48 did not, 64 did)."""


def grouped_passes(part: Ends, linear: Linear, tokens: Array, workload: Workload) -> Passes:
    """Seconds of a convolution in groups over neighbouring steps: forward and both gradients alike.

    t = 2 T k n / (u P)        T steps, k inputs of an output, n width, u share of the peak P

    Source: kernels of wav2vec 2.0's positions on H200. With 48 channels to a group cuDNN runs no tensor cores: 5 TFLOP/s, several groups
    at once; with 64, 22. Raises ``ValueError`` for a stack that runs them as GEMMs.
    """
    shares, peak = workload.software.grouped_convolution, workload.accelerator.peak_for(workload.wide)
    if shares is None:
        raise ValueError("this stack runs convolutions in groups as GEMMs")
    share = np.where(np.less(part.grouped, TENSOR_CHANNELS), *shares)
    t = linear.flops_per_token * tokens / (share * peak)
    trained, full = part.trainable is not Trainable.FROZEN, part.trainable is Trainable.FULL
    return Passes(t, t if trained else 0.0, t if full else 0.0)


def read_again(passes: Passes, head: Linear, tokens: Array, workload: Workload) -> Passes:
    """A head's ``passes`` if T tokens are processed in n blocks: each pass takes at least the time of reading its weights and logits.

        t = max(t of all tokens at once, e (n k V / t + T V / t) / (beta B))        if n > 1

    e bytes per element, k width, V vocabulary split over t ranks, beta B the operand bandwidth (``GemmConstants.memory_share``). Source:
    own measurements on H200, Liger's 128 blocks of 128 tokens (measured 93 us per GEMM, this gives 87).
    """
    blocks, chip = workload.loss_blocks(tokens), workload.accelerator
    if not some(np.greater(blocks, 1)):
        return passes
    words = np.divide(head.outputs, degree(head, workload.ranks))
    read = workload.precision.element * words * (blocks * head.inputs + tokens)
    least = np.where(np.greater(blocks, 1), read / (chip.gemm_constants.memory_share * chip.memory_bandwidth), 0.0)
    forward, backward, weight = (
        np.where(np.greater(one, 0), np.maximum(one, least), 0.0)
        for one in (passes.forward, passes.backward, passes.weight)
    )
    return Passes(forward, backward, weight)


def _end_gemm(part: Ends, linear: Linear, tokens: Array, workload: Workload) -> Passes:
    """Seconds of one GEMM of an end: as a convolution where it is one and the stack's rates are known."""
    if some(part.grouped) and workload.software.grouped_convolution is not None:
        return grouped_passes(part, linear, tokens, workload)
    embedded = part.from_pixels and workload.software.convolution is not None
    passes = convolution_passes if embedded else gemm_passes
    return passes(linear, tokens, workload, part.trainable, workload.wide)


def ends_compute(part: Ends, workload: Workload) -> dict[str, Passes]:
    """Seconds of an end of the model (embedding, patch embedding, or final GEMMs and loss) for one micro-batch on a rank, by kind of
    kernel. Head and loss are processed in blocks of tokens if ``loss_blocks`` gives several."""
    ranks = workload.ranks
    tokens = np.divide(np.multiply(part.tokens, ranks.microbatch), ranks.context)
    gemms = Passes()
    for linear in part.linears:
        found = _end_gemm(part, linear, tokens, workload)
        words = linear.split is Split.VOCABULARY and some(part.vocabulary)
        gemms += read_again(found, linear, tokens, workload) if words else found
    head = workload.software.head
    scale = workload.precision.element / 2
    wider = 1.0 if workload.software.works_wide else scale  # the loss computes in fp32, whatever the logits' format
    logits = np.divide(tokens * part.vocabulary, ranks.tensor)
    chip = workload.accelerator
    looked_up = tokens * sum((np.asarray(linear.outputs) for linear in part.linears), start=np.asarray(0.0))
    stream = np.where(np.greater(part.vocabulary, 0), 0.0, 4.0 * scale * looked_up)
    logits = logits * (head.narrow if part.narrow_loss else 1.0)
    there, back = CAPPED if part.capped else (0.0, 0.0)
    forward = memory_time((head.forward * wider + there * scale) * logits + stream, chip)
    backward = memory_time((head.backward * wider + back * scale) * logits + 2 * stream, chip)
    forward = forward + table_copies(part, workload)
    trained = part.trainable is not Trainable.FROZEN
    others = Passes(forward, backward if trained else 0.0)
    return {GEMMS: gemms * clock_factor(gemms, others, workload), OTHER: others}
