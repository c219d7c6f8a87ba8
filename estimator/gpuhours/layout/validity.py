"""The rules that a valid layout satisfies, such as divisibility."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from gpuhours.architecture.operators import Model
from gpuhours.hardware.clusters import Cluster
from gpuhours.inputs.arrays import Array, Mask, every, some
from gpuhours.inputs.errors import EstimateError
from gpuhours.layout.choices import Recompute, Sharding, VisionPlacement
from gpuhours.layout.layout import Layout
from gpuhours.layout.placement import stream_layers
from gpuhours.layout.ranks import Ranks, has_experts
from gpuhours.layout.schedules import chunked
from gpuhours.layout.sequence_methods import METHODS, SequenceMethod

VARIED = ("pipeline", "interleave", "context", "expert", "sharding", "recompute")
"""Fields of a layout that ``refuse`` checks; for arrays of them, ``violations`` marks invalid entries instead."""
ENDS = 2
"""Number of layers by which the first and the last chunk together may be shorter: one for the embedding, one for the head."""


def violations(model: Model, global_batch: Array, layout: Layout, cluster: Cluster, ranks: Ranks) -> Mapping[str, Mask]:
    """The rules that a layout breaks: reason -> mask. Nothing is raised, so that a sweep may contain invalid layouts.

    Attention heads must divide evenly, except those of an encoder, of which some ranks may have more than others.
    """
    degrees = np.multiply(layout.model_parallel, ranks.data) + layout.encoder_gpus
    return {
        "tensor x pipeline x context x data is not the number of accelerators": np.not_equal(degrees, cluster.gpus),
        "data x microbatch does not divide the global batch": _uneven(
            global_batch, np.multiply(ranks.data, ranks.microbatch)
        ),
        **_of_chunks(model, layout, ranks),
        "expert x expert_tensor does not divide tensor x context x data": _uneven(
            np.multiply(ranks.copies, ranks.tensor), np.multiply(ranks.expert, ranks.expert_tensor)
        ),
        "optimizer_in_backward applies gradients before the next micro-batch adds to them": np.logical_and(
            layout.optimizer_in_backward, np.greater(ranks.microbatches, 1)
        ),
        "shard_group does not divide the data-parallel ranks": _uneven(ranks.copies, ranks.shards),
        "ulysses does not divide context": _uneven(ranks.context, ranks.ulysses),
        "vision: separate requires vision_gpus": np.equal(layout.vision, VisionPlacement.separate)
        & np.equal(layout.vision_gpus, 0),
        "vision: separate requires an encoder in front of a language model": np.equal(
            layout.vision, VisionPlacement.separate
        )
        & (not model.encoder),
        **_idle_in_a_sweep(layout),
        **_of_heads_and_experts(model, ranks),
    }


def _of_chunks(model: Model, layout: Layout, ranks: Ranks) -> dict[str, Mask]:
    """``violations`` of the rules about a pipeline's chunks."""
    layers = (
        stream_layers(model) if any(map(model.on_stream, model.stacks)) else sum(stack.layers for stack in model.stacks)
    )
    several = np.greater(ranks.interleave, 1)
    return {
        "interleave runs under schedule: interleaved": several & np.logical_not(chunked(ranks.schedule)),
        _uneven_chunks(layers, ranks): np.logical_not(
            chunks_divide(layers, ranks.pipeline, ranks.interleave) | (layout.stage_layers is not None)
        ),
        "there are fewer layers than pipeline chunks": np.less(layers, np.multiply(ranks.pipeline, ranks.interleave))
        & (layout.stage_layers is None),
        "interleaving needs a pipeline": several & np.equal(ranks.pipeline, 1),
    }


def _of_heads_and_experts(model: Model, ranks: Ranks) -> dict[str, Mask]:
    """``violations`` of the rules about attention heads and experts."""
    broken: dict[str, Mask] = {}
    heads, experts = "tensor x ulysses does not divide the attention heads", "expert does not divide the experts"
    split = np.multiply(ranks.tensor, ranks.ulysses)
    for stack in model.stacks:
        for core in () if any(stack is part for part in model.encoder) else stack.block.attention:
            broken[heads] = np.logical_or(broken.get(heads, False), _uneven(core.heads, split))
        for linear in filter(has_experts, stack.block.linears):
            broken[experts] = np.logical_or(broken.get(experts, False), _uneven(linear.experts, ranks.expert))
    return broken


def _uneven_chunks(layers: Array, ranks: Ranks) -> str:
    """The reason given if chunks do not divide the layers, with the numbers of chunks that would, for up to four pipeline degrees."""
    reason = "pipeline x interleave does not divide the layers"
    if np.ndim(layers) or every(np.equal(ranks.interleave, 1)):
        return reason
    degrees = sorted({int(degree) for degree in np.ravel(ranks.pipeline).tolist() if degree > 1})
    would = (f"{_chunks(int(layers), [degree])} at pipeline {degree}" for degree in degrees)
    return f"{reason}; interleave may be {', '.join(would)}" if 0 < len(degrees) <= 4 else reason


def _idle_in_a_sweep(layout: Layout) -> dict[str, Mask]:
    """Masks of a sweep's layouts on which a key has no effect, which ``refuse`` reports for a single layout: reason -> mask."""
    idle: dict[str, Mask] = {}
    if np.ndim(layout.recompute) and layout.recompute_layers is not None and np.ndim(layout.recompute_layers) == 0:
        idle["recompute_layers says how many layers `recompute: full` covers"] = np.not_equal(
            layout.recompute, int(Recompute.full)
        )
    if np.ndim(layout.sharding) and layout.shard_group is not None and np.ndim(layout.shard_group) == 0:
        idle["shard_group has no effect: nothing is sharded"] = np.equal(layout.sharding, int(Sharding.none))
    return idle


MOST_CHUNKS = 128
"""Largest number of chunks per stage suggested: beyond it the pipeline bubble is negligible."""


def chunks_divide(layers: Array, pipeline: Array, interleave: Array) -> Mask:
    """Whether L layers divide into p v equal chunks, of which the first and the last may have one layer fewer. True for one chunk per stage
    or one stage."""
    missing = np.remainder(np.negative(layers), np.multiply(pipeline, interleave))
    return np.less_equal(missing, ENDS) | np.equal(interleave, 1) | np.equal(pipeline, 1)


def _uneven(whole: Array, part: Array) -> Mask:
    return np.not_equal(np.remainder(whole, part), 0)


def refuse(layout: Layout, model: Model) -> None:
    """Raise ``EstimateError`` if a layout of single values has chunks that do not divide the layers, a placement with another number of
    layers, or a degree or key with no effect on this model. Arrays are not checked here: ``violations`` marks invalid entries."""
    if any(np.ndim(getattr(layout, name)) for name in VARIED):
        return
    layers = stream_layers(model)
    if np.ndim(layers) == 0:
        refuse_placement(layout, int(layers))
    for key, (idle, problem, hint) in _without_effect(layout, model).items():
        if key in layout.model_fields_set and idle:
            raise EstimateError(problem, hint, f"layout.{key}")


def remarks(layout: Layout, model: Model) -> tuple[str, ...]:
    """Settings of a layout that have no effect here, but would with a larger degree or another model."""
    if np.ndim(layout.context) or np.ndim(layout.sequence_method) or np.ndim(layout.vision):
        return ()
    without_effect = []
    if layout.context == 1 and layout.sequence_method is not SequenceMethod.zigzag:
        without_effect.append("layout.sequence_method has no effect: context is 1, so one rank has the whole sequence")
    if not model.encoder and layout.vision is not VisionPlacement.first_stage:
        without_effect.append(
            "layout.vision has no effect: the model has no vision encoder in front of a language model"
        )
    some, layers = layout.recompute_layers, stream_layers(model)
    if (
        some is not None
        and "pipeline" in layout.model_fields_set
        and not np.ndim(layout.pipeline)
        and not np.ndim(layers)
    ):
        most = -(-int(layers) // layout.pipeline)
        if some > most:
            without_effect.append(
                f"layout.recompute_layers has no effect: no stage has more than {most} layers, so all are recomputed"
            )
    return tuple(without_effect)


def refuse_placement(layout: Layout, layers: int) -> None:
    """Raise ``EstimateError`` if chunks or stages (single values) do not match the model's layers, suggesting chunks that would."""
    pipeline, chunks = layout.pipeline, layout.interleave
    if layout.stage_layers is not None and sum(layout.stage_layers) != layers:
        given = sum(layout.stage_layers)
        raise EstimateError(
            f"stage_layers adds up to {given} layers, but the model has {layers}.", "", "layout.stage_layers"
        )
    if layout.stage_layers is None and not chunks_divide(layers, pipeline, chunks):
        raise EstimateError(
            f"{layers} layers do not divide into {pipeline} stages of {chunks} chunks.",
            f"interleave may be {_chunks(layers, [pipeline])} at pipeline {pipeline}; layout.stage_layers states any other placement.",
            "layout.interleave",
        )


def refuse_interleave(layout: Layout, layers: int, pipelines: Sequence[int]) -> None:
    """Raise ``EstimateError`` if a given number of chunks per stage divides the layers at none of the pipeline degrees that a search may
    choose."""
    chunks = layout.interleave
    if np.ndim(chunks) or chunks == 1 or layout.stage_layers is not None:
        return
    if not any(chunks_divide(layers, pipeline, chunks) for pipeline in pipelines if pipeline > 1):
        several = ", ".join(str(pipeline) for pipeline in pipelines if pipeline > 1)
        raise EstimateError(
            f"{layers} layers do not divide into stages of {chunks} chunks at any pipeline degree here ({several or 'none above 1'}).",
            f"interleave may be {_chunks(layers, pipelines)}.", "layout.interleave",
        )  # fmt: skip


def _chunks(layers: int, pipelines: Sequence[int]) -> str:
    """The numbers of chunks per stage, up to ``MOST_CHUNKS``, that divide the layers at one of the pipeline degrees: ``1, 2, 4 or 8``."""
    those = {1}
    for pipeline in pipelines:
        several = np.arange(2, min(layers // pipeline, MOST_CHUNKS) + 1)
        those.update(several[chunks_divide(layers, pipeline, several)].tolist() if pipeline > 1 else ())
    *most, last = map(str, sorted(those))
    return f"{', '.join(most)} or {last}" if most else last


def _without_effect(layout: Layout, model: Model) -> Mapping[str, tuple[bool, str, str]]:
    """Keys that may have no effect: key -> (whether it has none here, problem, hint)."""
    mixture = any(has_experts(linear) for stack in model.stacks for linear in stack.block.linears)
    dense = (not mixture, "The model has no experts.", "Leave it out.")
    apart = layout.vision is VisionPlacement.separate
    hybrid = METHODS[layout.sequence_method].heads == "some" and layout.context > 1
    losses = any(some(np.greater(part.vocabulary, 0)) for part in model.ends)
    return {
        "expert": (not mixture and layout.expert > 1, *dense[1:]),
        "expert_tensor": (not mixture and layout.expert_tensor not in (None, 1), *dense[1:]),
        "vision_gpus": (layout.vision_gpus > 0 and not apart, "It applies only to `vision: separate`.", ""),
        "recompute_layers": (
            layout.recompute_layers is not None and layout.recompute is not Recompute.full,
            "recompute_layers says how many layers `recompute: full` covers.",
            "Add recompute: full, or leave it out.",
        ),
        "shard_group": (
            layout.shard_group is not None and layout.sharding is Sharding.none,
            "Nothing is sharded.",
            "Add sharding: zero1, zero2 or zero3.",
        ),
        "ulysses": (
            layout.ulysses is not None and not hybrid,
            "It sets how many ranks exchange heads under `sequence_method: hybrid`.",
            "Leave it out, or add context and sequence_method: hybrid.",
        ),
        "loss_blocks": ((layout.loss_blocks or 1) > 1 and not losses, "The model has no loss over a vocabulary.", "Leave it out."),
    }  # fmt: skip


def offered(layout: Layout) -> Mask:
    """Whether stacks support a layout's combination of ZeRO and pipeline parallelism: only up to ZeRO-1 with several stages. ZeRO-2 and
    ZeRO-3 would reduce-scatter or all-gather with every micro-batch of a pipeline; DeepSpeed refuses them and Megatron-Core has only ZeRO-1
    there."""
    return np.less_equal(layout.sharding, int(Sharding.zero1)) | np.equal(layout.pipeline, 1)


def divisors(number: int) -> list[int]:
    """The divisors of a number: 1, ..., number."""
    small = [part for part in range(1, math.isqrt(number) + 1) if number % part == 0]
    return sorted({*small, *(number // part for part in small)})
