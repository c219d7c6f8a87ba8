"""The peak memory: the fullest moment of the fullest rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace
from functools import cached_property, reduce
from typing import NamedTuple

import numpy as np

from gpuhours.architecture.operators import Ends, Model, Stack, Trainable
from gpuhours.hardware.number_formats import BF16, FP32, Precision
from gpuhours.inputs.arrays import Array, some
from gpuhours.inputs.records import dataclass
from gpuhours.layout.choices import Recompute, Sharding, VisionPlacement
from gpuhours.layout.layout import Layout
from gpuhours.layout.placement import Placement, StagePart, in_flight, placement_of, stage_parts
from gpuhours.layout.ranks import Ranks
from gpuhours.layout.recompute import Unkept, covered_on, selective_policy
from gpuhours.memory.activations import Saved, ends_saved, passing_through, saved
from gpuhours.memory.buffers import communicators, context_buffers, pipeline_buffers
from gpuhours.memory.held import PARTS, STATES, Memory, Parts
from gpuhours.memory.odds import UNMEASURED, odds_of
from gpuhours.memory.states import States, parameters_of, states
from gpuhours.software.memory import MemoryFacts
from gpuhours.workload import Workload


@dataclass(frozen=True, eq=False)
class _Run:
    """Quantities common to the equations of one run."""

    workload: Workload
    model: Model
    """The model on the ranks: the workload's, or only the encoder if it has its own accelerators."""
    ranks: Ranks
    queue: Ranks
    """The pipeline that determines how many micro-batches are in flight: ``ranks``, with one stage more for an encoder on its own
    accelerators."""
    found: dict[tuple[int, Unkept], Saved] = field(default_factory=dict, repr=False)
    """Cache of ``saved`` by stack and policy."""

    @cached_property
    def placement(self) -> Placement:
        """Which layers are on which stage."""
        layout = self.layout if self.model is self.workload.model else self.layout.replaced(stage_layers=None)
        return placement_of(self.model, layout, self.ranks, self.workload.software)

    @property
    def layout(self) -> Layout:
        """The workload's."""
        return self.workload.layout

    @property
    def precision(self) -> Precision:
        """The workload's."""
        return self.workload.precision

    @property
    def facts(self) -> MemoryFacts:
        """The stack's memory facts."""
        return self.workload.software.memory

    def unfused(self, stack: Stack) -> bool:
        """Whether a stack's attention is unfused, so that its scores are in memory; cores with a learned bias are ignored if there are
        others."""
        plain = [core for core in stack.block.attention if not core.biased]
        return any(self.workload.kernel_of(core) == "unfused" for core in plain) or (
            not plain and self.workload.attention_kernel == "unfused"
        )

    @cached_property
    def zero3(self) -> Array:
        """Whether weights are gathered for use (ZeRO-3)."""
        return np.equal(self.layout.sharding, Sharding.zero3)

    @cached_property
    def stream(self) -> Array:
        """Bytes per element of the residual stream. Under autocast, 2-byte GEMM outputs are added to an fp32 stream; FSDP's mixed
        precision casts whole layers, so its stream is 16-bit as well."""
        element = self.precision.element
        return np.where(self.zero3, element, FP32) if self.precision.autocast else element

    def saved(self, stack: Stack, unkept: Unkept = Unkept()) -> Saved:  # noqa: B008 - frozen
        """Bytes that one block saves per token, the same on every stage."""
        known = (id(stack), unkept)
        if known not in self.found:
            stack = self.workload.as_written(stack)
            cores = stack.block.attention
            wide_attention = any(map(self.workload.in_fp32, cores))
            kept = saved(
                stack, self.precision, self.facts, stream=self.stream, unfused=self.unfused(stack), wide_attention=wide_attention,
                unkept=unkept,
            )  # fmt: skip
            self.found[known] = kept
        return self.found[known]

    def on_rank(self, tokens: Array, ranks: Ranks) -> Array:
        """Tokens of a micro-batch on one rank, for ``tokens`` per sample."""
        return tokens * ranks.microbatch / self.sequence_ranks

    @cached_property
    def stream_tokens(self) -> Array:
        """Tokens of a micro-batch passed between stages."""
        tokens = [stack.tokens for stack in self.model.stacks if self.model.on_stream(stack)] or [0.0]
        return self.on_rank(tokens[0], self.ranks)

    @cached_property
    def buffers(self) -> Array:
        """Bytes of communication buffers: messages in flight between pipeline stages and between context ranks, and the tensors that
        sequence parallelism has gathered for one layer, n 2 T h (n ``gathered_now``)."""
        sends = pipeline_buffers(self.model, self.stream_tokens, self.ranks, self.precision)
        whole = self.facts.gathered_now * self.stream_tokens * self.model.hidden * self.precision.element
        sends = sends + np.where(np.greater(self.ranks.sequence_parallel, 1), whole, 0.0)
        return sends + context_buffers(self.model, self.stream_tokens, self.ranks, self.precision)

    @cached_property
    def sequence_ranks(self) -> Array:
        """Effective number of ranks that split a sequence: ``context``, or less if Ulysses distributes heads unevenly, ceil(a / u) on the
        fullest of u ranks."""
        heads = [core.heads for stack in self.model.stacks for core in stack.block.attention][-1:]
        dealt = np.divide(heads[0], np.ceil(np.divide(heads[0], self.ranks.ulysses))) if heads else self.ranks.ulysses
        return self.ranks.context * np.minimum(dealt, self.ranks.ulysses) / self.ranks.ulysses


def memory(workload: Workload) -> Memory:
    """Peak bytes on the fullest rank.

        allocated = max over stages and moments of
                    weights + gradients + optimiser + activations + logits + buffers
        total     = allocated + fragmentation + context

    The moments are: the loss, forward and backward (all activations in flight, and the logits); the last layer's backward pass (recomputed
    activations); the first layer's backward pass (all gradients, the first layer's activations); the optimiser update. An encoder on its
    own accelerators is an additional stage before the first. Left out: data loading on the GPU, evaluation. Invalid layouts are not
    refused here.
    """
    ranks = workload.ranks
    run = _Run(workload, workload.model, ranks, ranks)
    stages = [_Stage(stage, *_moments(run, stage)) for stage in workload.placement.candidates()]
    if workload.model.encoder and some(np.equal(ranks.vision, VisionPlacement.separate)):
        stages.append(_encoder_stage(run))
    return _with_overhead(run, stages)


class _Stage(NamedTuple):
    """Memory of one stage."""

    place: Array
    """0 is the first; -1 stands for an encoder's own accelerators."""
    moments: Sequence[Parts]
    dropped: Array
    """Bytes of weights that ZeRO-3 frees between layers."""


def _encoder_stage(run: _Run) -> _Stage:
    """The moments of an encoder's own accelerators, which hold whole copies of it and run one stage ahead of the language model's first."""
    separate = np.equal(run.ranks.vision, VisionPlacement.separate)
    stacks = [part for part in run.model.encoder if isinstance(part, Stack)]
    alone = Model("encoder", run.model.encoder, stacks[-1].block.hidden)
    own = replace(run.ranks.encoding, vision=VisionPlacement.first_stage)
    longer = replace(run.ranks, pipeline=np.add(run.ranks.pipeline, 1))
    inner = replace(run, model=alone, ranks=own, queue=longer, found={})
    moments, dropped = _moments(inner, np.zeros_like(np.asarray(own.pipeline)))
    where_separate = [{name: np.where(separate, held, 0.0) for name, held in parts.items()} for parts in moments]
    return _Stage(np.asarray(-1), where_separate, np.where(separate, dropped, 0.0))


def _with_overhead(run: _Run, stages: Sequence[_Stage]) -> Memory:
    """Add memory outside the tensors: context and communicators, and memory that the allocator reserves but does not use.

    Gathering and freeing weights layer by layer fragments a stage's memory, by at most the size of the weights that it drops.

    A full allocator waits for memory in use by other streams and releases its cached blocks before it fails (``release_cached_blocks`` in
    c10/cuda/CUDACachingAllocator.cpp). Whether a run fits therefore depends on ``reserved_least``; the usual reserve is limited to the
    card's free memory."""
    facts, capacity = run.facts, run.workload.cluster.accelerator.memory
    peaks = [_highest(stage.moments) for stage in stages]
    allocated = reduce(np.maximum, peaks)
    context = facts.context + facts.communicator * communicators(run.ranks)
    share = max(facts.reserved_zero3 - facts.reserved, 0.0)
    holed = (peak + np.minimum(share * peak, stage.dropped) for peak, stage in zip(peaks, stages, strict=True))
    holes = reduce(np.maximum, holed) - allocated
    least = facts.reserved_least * allocated
    moments = tuple((parts, stage.place) for stage in stages for parts in stage.moments)
    usual = facts.reserved * allocated + holes + _given_back_late(run, moments, allocated)
    if some(run.layout.expandable_segments):
        grown = np.minimum(usual, facts.reserved_expandable * allocated)
        usual = np.where(run.layout.expandable_segments, grown, usual)
        least = np.where(run.layout.expandable_segments, np.minimum(least, usual), least)
    unused = np.maximum(least, np.minimum(usual, capacity - allocated - context))
    cluster = run.workload.cluster
    host = _on_host(run) * np.minimum(cluster.gpus_per_node, cluster.gpus)
    odds = odds_of(UNMEASURED if run.workload.software.is_stand_in else run.workload.software.name)
    return Memory(allocated, unused, context, capacity, least, odds, host, cluster.node.host_memory, moments)


def _given_back_late(run: _Run, moments: tuple[tuple[Parts, Array], ...], allocated: Array) -> Array:
    """Bytes that the allocator reserves additionally because buffers of tensor-parallel reductions are still in use by another stream.

    These are a share of activations and logits (``MemoryFacts.reserved_split``), counted as the increase of the fullest moment, and n
    unsharded copies of the residual stream, n 2 T h (``reserved_ahead``), if the host runs ahead of the reductions. It does not run ahead
    if it waits for messages between stages (``send_wait``), or if a slow ring delays the host itself (``Cluster.delay``) with at most two
    stages; with three or more, the first stage's accelerator waits for the next one while the pipeline fills.
    """
    share, ahead = run.facts.reserved_split, run.facts.reserved_ahead
    if not share and not ahead:
        return 0.0
    split = np.greater(run.ranks.tensor, 1)
    more = np.where(split, 1.0 + share, 1.0)
    flows = ("activations", "logits")
    grown = [{name: held * more if name in flows else held for name, held in parts.items()} for parts, _ in moments]
    in_step = np.greater(run.workload.cluster.delay, 0) & np.less_equal(run.ranks.pipeline, 2)
    waits = in_step | (run.workload.software.network.send_wait > 0)
    copies = np.where(split & np.logical_not(waits), ahead, 0.0)
    return _highest(grown) - allocated + copies * run.stream_tokens * run.model.hidden * run.precision.element


def _on_host(run: _Run) -> Array:
    """Bytes of offloaded states and weights that the fullest rank keeps in host memory."""
    if not some(run.layout.offload_optimizer) and not some(run.layout.offload_parameters):
        return 0.0
    most: Array = 0.0
    for stage in run.placement.candidates():
        weights = parameters_of(stage_parts(run.model, run.placement, run.ranks, stage))
        most = np.maximum(most, states(weights, run.ranks, run.layout, run.precision, run.facts).host)
    return most


def _highest(moments: Sequence[Parts]) -> Array:
    """The largest total over all moments, elementwise. For speed in a sweep over layouts, moments with the same states are compared before
    the states are added, while their arrays are small."""
    groups: dict[tuple[int, ...], tuple[list[Array], list[Array]]] = {}
    for parts in moments:
        kept = [parts[name] for name in STATES]
        flows = reduce(np.add, (value for name, value in parts.items() if name not in STATES))
        groups.setdefault(tuple(map(id, kept)), (kept, []))[1].append(flows)
    sums = (reduce(np.add, kept) + reduce(np.maximum, flows) for kept, flows in groups.values())
    return reduce(np.maximum, sums)


def _moments(run: _Run, stage: Array) -> tuple[list[Parts], Array]:
    """(moments of one stage, bytes of weights that ZeRO-3 frees between layers). One of the moments is the stage's peak: a frozen part's
    forward pass, the loss (forward and backward), the last layer's backward pass, the first layer's backward pass, the update."""
    there = stage_parts(run.model, run.placement, run.ranks, stage)
    kept = states(parameters_of(there), run.ranks, run.layout, run.precision, run.facts)
    flows = _activations(run, stage, there)
    logits, facts = _logits(run, there), run.facts
    recomputed = np.equal(run.layout.recompute, Recompute.full)
    early, buffers = kept.early_gradients, run.buffers + kept.bucket
    weights = kept.weights + kept.gathered
    cached = weights + kept.casts if run.precision.autocast else weights
    weights = np.where(recomputed, weights, cached) if run.precision.autocast else weights
    last, first = (
        each + np.minimum(np.maximum(kept.whole_gradients - each, 0), kept.layer_gradients)
        for each in (early, kept.gradients)
    )

    def moment(weights: Array, gradients: Array, activations: Array, logits: Array) -> Parts:
        values = (weights, gradients, kept.optimiser, activations, logits, buffers)
        return dict(zip(PARTS, values, strict=False))

    moments = [
        moment(weights, early, flows.held, logits * facts.logits),
        moment(weights, last, flows.held + flows.again, 0.0),
        moment(weights, first, flows.first, 0.0),
    ]
    if run.precision.autocast or facts.logits_forward > facts.logits:
        moments.append(moment(cached, early, flows.held, logits * facts.logits_forward))
    if some(flows.passing):
        moments.append(moment(cached, early, flows.passing, 0.0))
    return [*moments, _update(kept)] if facts.update or facts.flat_gather else moments, kept.dropped


def _update(kept: States) -> Parts:
    """The parts during the optimiser update: no activations, gathered weights or messages."""
    states = {"weights": kept.weights, "gradients": kept.gradients, "optimiser": kept.optimiser + kept.update}
    return {**states, "activations": 0.0, "logits": 0.0, "communication buffers": 0.0}


@dataclass(frozen=True, eq=False)
class _Activations:
    """Bytes of activations on one stage."""

    held: Array
    """Saved activations of all micro-batches in flight."""
    again: Array
    """Additional during the last layer's backward pass: recomputed activations, and gradients passing through it."""
    first: Array
    """During the first layer's backward pass, when all others are finished."""
    passing: Array
    """During a frozen layer's forward pass."""


def _activations(run: _Run, stage: Array, found: Sequence[StagePart]) -> _Activations:
    """Bytes of activations of a stage at its moments.

    held     micro-batches in flight x sum over stacks of layers x saved bytes per token x tokens
    again    all bytes that a layer saves without recomputation, minus those that it kept, plus the gradients passing through it
    first    all bytes that a layer saves without recomputation, plus the gradients passing through it
    passing  temporaries of a frozen layer, its loaded inputs, and the other micro-batches in flight
    """
    held: Array = 0.0
    again: Array = 0.0
    first: Array = 0.0
    passing: Array = 0.0
    loaded: Array = 0.0
    for there in found:
        tokens, present = run.on_rank(there.part.tokens, there.ranks), np.greater(there.count, 0)
        if isinstance(there.part, Ends):
            kept = ends_saved(there.part, run.precision, stream=run.stream) / there.ranks.sequence_parallel
            held = held + there.count * tokens * kept
            loaded = loaded + there.count * tokens * kept * there.part.first
            continue
        if there.part.trainable is Trainable.FROZEN:
            through = tokens * passing_through(there.part, there.ranks, run.precision)
            passing = np.maximum(passing, np.where(present, through, 0))
            continue
        block = run.saved(there.part)
        everything, through = block.on_rank(there.ranks), block.passing / there.ranks.tensor
        on_stage = run.placement.on(stage) if run.model.on_stream(there.part) else there.count
        covered, left = _covered_and_saved(run, there.part, block, there, on_stage)
        held = held + tokens * (covered * left + (there.count - covered) * everything)
        missing = np.where(np.greater(covered, 0), everything - left, 0.0)
        again = np.maximum(again, np.where(present, tokens * (missing + through), 0))
        first = np.maximum(first, np.where(present, tokens * (everything + through), 0))
    count = in_flight(run.ranks.schedule, run.queue, stage, run.facts.pipeline_ahead)
    output = run.facts.pipeline_outputs * run.stream_tokens * run.model.hidden
    outputs = np.where(
        np.greater(run.ranks.pipeline, 1), output * run.precision.element / run.ranks.sequence_parallel, 0
    )
    held = count * (held + outputs)
    held = np.where(run.layout.offload_activations, np.minimum(held, 2 * first), held)
    passing = np.where(np.greater(passing, 0), held * (count - 1) / count + loaded + passing, 0.0)
    return _Activations(held, again, first, passing)


def _covered_and_saved(run: _Run, stack: Stack, block: Saved, there: StagePart, on_stage: Array) -> tuple[Array, Array]:
    """(number of a stack's layers that the layout's recompute mode covers, on a stage with ``on_stage`` layers in total; bytes per token
    that each covered layer saves, at most those without recomputation)."""
    ranks, mode = there.ranks, run.layout.recompute
    everything = block.on_rank(ranks)
    unkept = selective_policy(stack, run.layout, run.workload.software).unkept
    left = run.saved(stack, unkept).on_rank(ranks) if unkept.all_but is None else block.left_by(unkept, ranks)
    full, selective = np.equal(mode, Recompute.full), np.equal(mode, Recompute.selective)
    each = np.where(full, block.entry / ranks.sequence_parallel, np.where(selective, left, everything))
    covered = there.count * np.where(full, covered_on(run.layout, on_stage), 1.0)
    return covered, np.minimum(each, everything)


def _narrow_logits_factor(run: _Run, part: Ends) -> float:
    """Bytes per logit of a loss that reads 16-bit logits, relative to those of an fp32 loss; 1 for other losses, and more where tanh saves
    its output, in the format of GEMMs (capped logits)."""
    narrow, most = run.facts.logits_narrow, max(run.facts.logits, run.facts.logits_forward)
    if part.capped:
        return 1.0 + run.precision.operand / most
    if narrow is None or not part.narrow_loss or run.precision.element != BF16:
        return 1.0
    return (narrow + (FP32 if run.precision.autocast else 0.0)) / most


def _logits(run: _Run, parts: Sequence[StagePart]) -> Array:
    """Number of logits in memory at once on the rank, T V / (t n): T tokens, V padded vocabulary, t tensor degree, n blocks of tokens."""
    largest = 0.0
    for there in parts:
        if isinstance(there.part, Ends):
            unit = run.workload.software.vocabulary_multiple * np.asarray(there.ranks.tensor)
            padded = np.ceil(np.divide(there.part.vocabulary, unit)) * unit
            tokens = run.on_rank(there.part.tokens, there.ranks)
            at_once = tokens / run.workload.loss_blocks(tokens)
            largest = largest + there.count * at_once * padded / there.ranks.tensor * _narrow_logits_factor(
                run, there.part
            )
    return largest
