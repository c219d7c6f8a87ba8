"""Placement of a model's parts on pipeline stages, and the number of micro-batches in flight on each.

Step time, memory and gradient reduction use the same ``Placement``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from gpuhours.architecture.operators import Ends, Model, Role, Split, Stack
from gpuhours.inputs.arrays import Array, some
from gpuhours.inputs.records import dataclass
from gpuhours.layout.choices import VisionPlacement
from gpuhours.layout.layout import Layout
from gpuhours.layout.ranks import Ranks
from gpuhours.layout.schedules import Pipeline, by_schedule
from gpuhours.software.profile import Software


@dataclass(frozen=True, eq=False)
class Placement:
    """The distribution of the pipelined layers over the pipeline's stages."""

    layers: Array
    """Total number of layers."""
    pipeline: Array
    stated: tuple[int, ...] | None = None
    """Layers of every stage, if the layout gives them."""
    head: Array | None = None
    """For a stack that balances FLOPs: the head's FLOPs in units of one layer's."""
    reached: bool = False
    """See ``software.figures.StageEnds``; used if ``head`` is given."""

    def on(self, stage: Array) -> Array:
        """Number of layers on stage s = 0 ... p - 1.

            M = ceil(L / p);   missing = p M - L
            M - 1 on the last stage and, if two are missing, on the first; otherwise on the last ``missing`` stages; M elsewhere

        L layers, p stages, any number of chunks. If one or two layers are missing, the last stage, or the first and the last, have one
        layer fewer, for the head and the embedding (Qi et al. 2024, Zero Bubble; Llama 3 405B, arXiv:2407.21783, section 3.3.2). If more
        are missing, the first stages have more layers (inferred from the memory of InternEvo's and BigScience's published runs).

        >>> [int(Placement(126, 16).on(stage)) for stage in range(16)]    # Llama 3 405B: the ends have one layer fewer
        [7, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 7]
        """
        if self.stated is not None:
            return np.asarray(self.stated, float)[np.asarray(stage, int)]
        if self.head is not None:
            return self._balanced_layers_before(np.add(stage, 1), self.head) - self._balanced_layers_before(
                stage, self.head
            )
        p = np.asarray(self.pipeline)
        most = np.ceil(np.divide(self.layers, p))
        missing = p * most - self.layers
        ends = np.equal(stage, p - 1) | np.equal(stage, 0)
        fewer = np.where((missing == 2) & (p > 2), ends, np.greater_equal(stage, p - missing))
        return np.maximum(most - fewer, 0)

    def _balanced_layers_before(self, stage: Array, head: Array) -> Array:
        """Number of layers before stage s if FLOPs are balanced: a stage ends with the block that exceeds its share, or reaches it.

            min(L, floor(s (L + H) / p) + 1), 0 for s = 0               H the head's FLOPs in layers
            min(L, ceil(s (L + H) / p))                                 if a stage ends on reaching its share (``reached``)

        Source: nanotron's ``build_model`` (src/nanotron/models/base.py).
        """
        share = np.multiply(stage, np.add(self.layers, head)) / self.pipeline
        full = np.ceil(share) if self.reached else np.floor(share) + 1
        return np.where(np.equal(stage, 0), 0.0, np.minimum(full, self.layers))

    @cached_property
    def first(self) -> Array:
        """Number of layers on the first stage."""
        return self.on(np.zeros_like(np.asarray(self.pipeline)))

    @cached_property
    def last(self) -> Array:
        """Number of layers on the last stage."""
        return self.on(np.subtract(self.pipeline, 1))

    @cached_property
    def inside(self) -> Array:
        """Number of layers on the largest stage that is neither first nor last; 0 if there is none."""
        most: Array = 0.0
        for stage in self._inner_stages():
            most = np.maximum(most, np.where(np.greater(np.subtract(self.pipeline, 1), stage), self.on(stage), 0.0))
        return most

    def _inner_stages(self) -> Iterator[int]:
        """Inner stages that may be the largest: only the second, unless ``stated`` or ``head`` distributes layers unevenly."""
        deepest = int(np.max(self.pipeline))
        uneven = self.stated is not None or self.head is not None
        return iter(range(1, deepest - 1 if uneven else min(2, deepest - 1)))

    def candidates(self) -> list[Array]:
        """Stages that may use the most memory: the first, some inner ones, the last."""
        p = np.asarray(self.pipeline)
        if not some(p > 1):
            return [np.zeros_like(p)]
        inner = [np.minimum(stage, p - 1) for stage in self._inner_stages()]
        return [np.zeros_like(p), *inner, p - 1]


def placement_of(model: Model, layout: Layout, ranks: Ranks, software: Software) -> Placement:
    """The placement of a model's layers: the layout's ``stage_layers``, otherwise the stack's default."""
    streams, layers = [stack for stack in model.stacks if model.on_stream(stack)], stream_layers(model)
    if layout.stage_layers is not None:
        return Placement(layers, ranks.pipeline, stated=stage_totals(layout))
    head = head_in_layers(model, streams) if streams and software.balances == "flops" else None
    return Placement(layers, ranks.pipeline, head=head, reached=software.stages.reached)


def stream_layers(model: Model) -> Array:
    """Number of layers distributed over the pipeline stages."""
    return sum((stack.layers for stack in model.stacks if model.on_stream(stack)), 0.0)


def stage_totals(layout: Layout) -> tuple[int, ...]:
    """Layers of every stage from ``stage_layers``; if that is given by chunk in model order, chunk c is on stage c mod p."""
    given, pipeline = layout.stage_layers or (), int(np.max(layout.pipeline))
    return tuple(sum(given[stage::pipeline]) for stage in range(pipeline))


def head_in_layers(model: Model, streams: list[Stack]) -> Array:
    """FLOPs of the head per token, in units of one layer's.

    H = V h / (4 h^2 + MLP)       with grouped keys and values counted like queries, as in the costs defined by nanotron's models

    0 for a model without a head over a vocabulary (a diffusion transformer).
    """
    counted = {Role.ATTENTION_OUTPUT: 4, Role.MLP_IN: 1, Role.MLP_OUT: 1}
    gemms = ((counted.get(linear.role, 0), linear.flops_per_token) for linear in streams[-1].block.linears)
    layer = sum((times * each for times, each in gemms), 0.0)
    heads = (linear for part in model.ends for linear in part.linears if linear.split is Split.VOCABULARY)
    head = sum((linear.flops_per_token for linear in heads), 0.0)
    return np.divide(head, layer) if some(np.greater(head, 0)) else np.asarray(0.0)


def in_flight(schedule: Array, ranks: Ranks, stage: Array, ahead: int = 0) -> Array:
    """Number of micro-batches in flight on a stage, whose activations it holds at once.

        1F1B          min(p - s, m)
        interleaved   min((2 (p - s - 1) + (v - 1) p + 1) / v, m)
        ZB-1p, ZB-2p  min(p, m), min(2 p - 1, m) on every stage
        GPipe         m

    p stages, v chunks per rank, m micro-batches, s stage; at most m. ``ahead`` is added if a stack keeps additional buffers.
    Sources: Narayanan et al. 2021, section 2.2; Qi et al. 2024, Zero Bubble, section 3 (limits of p and 2 p).
    """
    line = Pipeline(np.asarray(ranks.pipeline), np.asarray(ranks.interleave), ranks.microbatches)
    held = by_schedule(schedule, lambda rules: rules.in_flight(line, stage))
    return np.where(line.stages > 1, np.minimum(held + ahead, line.microbatches), 1.0)


@dataclass(frozen=True, eq=False)
class StagePart:
    """A part of the model on one stage."""

    part: Stack | Ends
    count: Array
    """Layers of a stack on the stage; 1 or 0 for an end."""
    ranks: Ranks
    """The degrees with which the part is split (an encoder's differ: ``Ranks.encoding``)."""


def stage_parts(model: Model, placement: Placement, ranks: Ranks, stage: Array) -> list[StagePart]:
    """The parts on a stage: its share of the pipelined layers; on the first stage also embeddings and stacks before the pipelined layers;
    on the last also heads and stacks after them. With ``vocabulary_parallel``, embedding and head are split over all stages. An encoder in
    front is included if the layout places it on this stage, but not if it has its own accelerators."""
    first = np.where(np.equal(stage, 0), 1.0, 0.0)
    last = np.where(np.equal(stage, np.subtract(ranks.pipeline, 1)), 1.0, 0.0)
    share = placement.on(stage) / np.maximum(placement.layers, 1)
    leading = len(model.encoder)
    parts = _in_front(model, ranks, first) if leading else []
    seen = False
    for part in model.parts[leading:]:
        streams = isinstance(part, Stack) and model.on_stream(part)
        early = part.first if isinstance(part, Ends) else not seen
        seen = seen or streams
        here = share if streams else first if early else last
        if isinstance(part, Ends) and some(ranks.spreads) and of_words(part):
            here = np.where(ranks.spreads, 1 / np.asarray(ranks.pipeline, float), here)
        parts.append(StagePart(part, here * _layers(part), ranks))
    return parts


def _in_front(model: Model, ranks: Ranks, first: Array) -> list[StagePart]:
    """The parts of an encoder in front on a stage that is the first one or, where ``first`` is 0, another."""
    here = np.where(np.equal(ranks.vision, VisionPlacement.first_stage), first, 0.0)
    here = np.where(np.equal(ranks.vision, VisionPlacement.replicated), 1.0, here)
    return [StagePart(part, here * _layers(part), ranks.encoding) for part in model.encoder]


def of_words(part: Ends) -> bool:
    """Whether an end is over a vocabulary: an embedding, or a head with its loss."""
    return part.split is Split.VOCABULARY or some(np.greater(part.vocabulary, 0))


def _layers(part: Stack | Ends) -> Array:
    return part.layers if isinstance(part, Stack) else 1.0
