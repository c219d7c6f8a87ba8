"""Which part of a model is on which pipeline stage, and how many micro-batches are in flight there.

Time, memory and gradient reduction use the same ``Placement``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpuhours.architecture.operators import Ends, Model, Role, Split, Stack
from gpuhours.inputs.arrays import Array, some
from gpuhours.inputs.records import dataclass
from gpuhours.layout.layout import Layout, Schedule, VisionPlacement
from gpuhours.layout.ranks import Ranks
from gpuhours.software.profile import Software


@dataclass(frozen=True, eq=False)
class Placement:
    """The distribution of the pipelined layers over its stages."""

    layers: Array
    """Total number of layers."""
    pipeline: Array
    stated: tuple[int, ...] | None = None
    """Layers of every stage, if the layout gives them."""
    head: Array | None = None
    """For a stack that balances FLOPs: those of the head, expressed in layers."""
    reached: bool = False
    """See ``software.figures.StageEnds``."""

    def on(self, stage: Array) -> Array:
        """Layers on stage s = 0 ... p - 1.

            M = ceil(L / p);   missing = p M - L
            M - 1 on the last stage and, if two are missing, on the first; otherwise on the last ``missing`` stages; M elsewhere

        L layers, p stages, in any number of chunks. If one or two are missing the ends have fewer layers, for the embedding and the
        head (Qi et al. 2024, Zero Bubble; Llama 3 405B, arXiv:2407.21783, section 3.3.2); if more are, the first stages have more
        (memory of InternEvo's and BigScience's published runs).

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
        """Layers before a stage of a stack that balances FLOPs: a stage is full with the block that exceeds its share, or reaches it.

            min(L, floor(s (L + H) / p) + 1), 0 before the first        H the head, in layers
            min(L, ceil(s (L + H) / p))                                 if reaching the share is enough (``reached``)

        Source: nanotron's ``build_model`` (src/nanotron/models/base.py).
        """
        share = np.multiply(stage, np.add(self.layers, head)) / self.pipeline
        full = np.ceil(share) if self.reached else np.floor(share) + 1
        return np.where(np.equal(stage, 0), 0.0, np.minimum(full, self.layers))

    @property
    def inside(self) -> Array:
        """Layers of the largest stage that is neither first nor last; 0 if there is none."""
        most: Array = 0.0
        for stage in self._inner_stages():
            most = np.maximum(most, np.where(np.greater(np.subtract(self.pipeline, 1), stage), self.on(stage), 0.0))
        return most

    def _inner_stages(self) -> Iterator[int]:
        """Inner stages that may be the largest: only the second, unless the layers are distributed unevenly."""
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
    """The placement of a model's layers: as the layout states, otherwise the stack's default."""
    streams, layers = [stack for stack in model.stacks if model.on_stream(stack)], stream_layers(model)
    if layout.stage_layers is not None:
        return Placement(layers, ranks.pipeline, stated=stage_totals(layout))
    head = head_in_layers(model, streams) if streams and software.balances == "flops" else None
    return Placement(layers, ranks.pipeline, head=head, reached=software.stages.reached)


def stream_layers(model: Model) -> Array:
    """Layers distributed over the pipeline stages."""
    return sum((stack.layers for stack in model.stacks if model.on_stream(stack)), 0.0)


def stage_totals(layout: Layout) -> tuple[int, ...]:
    """``stage_layers`` by stage; if given by chunk in model order, chunk c is on stage c mod p."""
    given, pipeline = layout.stage_layers or (), int(np.max(layout.pipeline))
    return tuple(sum(given[stage::pipeline]) for stage in range(pipeline))


def head_in_layers(model: Model, streams: list[Stack]) -> Array:
    """FLOPs of the head per token, in units of one layer's.

    H = V h / (4 h^2 + MLP)       grouped keys and values count as many as queries, as nanotron's models define their costs

    A model without a head over a vocabulary (a diffusion transformer) has no such head to place.
    """
    counted = {Role.ATTENTION_OUTPUT: 4, Role.MLP_IN: 1, Role.MLP_OUT: 1}
    products = ((counted.get(linear.role, 0), linear.flops_per_token) for linear in streams[-1].block.linears)
    layer = sum((times * each for times, each in products), 0.0)
    heads = (linear for part in model.ends for linear in part.linears if linear.split is Split.VOCABULARY)
    head = sum((linear.flops_per_token for linear in heads), 0.0)
    return np.divide(head, layer) if some(np.greater(head, 0)) else np.asarray(0.0)


def waiting(schedule: Array, ranks: Ranks, stage: Array, ahead: int = 0) -> Array:
    """Number of micro-batches whose activations a stage keeps at once.

        1F1B          min(p - s, m)
        interleaved   min((2 (p - s - 1) + (v - 1) p + 1) / v, m)
        ZB-1p, ZB-2p  min(p, m), min(2 p - 1, m) on every stage
        GPipe         m

    p stages, v chunks per rank, m micro-batches, s stage; ``ahead`` additional ones if a stack keeps spare buffers.
    Sources: Narayanan et al. 2021, section 2.2; Qi et al. 2024, Zero Bubble, section 3 (limits of p and 2 p).
    """
    p, v, m = np.asarray(ranks.pipeline), np.asarray(ranks.interleave), ranks.microbatches
    kind = np.where(np.equal(schedule, Schedule.interleaved) & (v == 1), int(Schedule.f1b1), schedule)
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
    """Layers of a stack on the stage; 1 or 0 for an end."""
    ranks: Ranks
    """The ranks as seen by the part."""


def standing(model: Model, placement: Placement, ranks: Ranks, stage: Array) -> list[Standing]:
    """The parts on a stage: its share of the pipelined layers, embeddings and whatever precedes them on the first stage, heads and
    whatever follows on the last (or the vocabulary of both split over all stages), an encoder in front if the layout places it
    there (not one on accelerators of its own)."""
    first = np.where(np.equal(stage, 0), 1.0, 0.0)
    last = np.where(np.equal(stage, np.subtract(ranks.pipeline, 1)), 1.0, 0.0)
    in_front = np.where(np.equal(ranks.vision, VisionPlacement.first_stage), first, 0.0)
    in_front = np.where(np.equal(ranks.vision, VisionPlacement.replicated), 1.0, in_front)
    share = placement.on(stage) / np.maximum(placement.layers, 1)
    leading = len(model.encoder)
    parts = [Standing(part, in_front * _layers(part), ranks.encoding) for part in model.parts[:leading]]
    seen = False
    for part in model.parts[leading:]:
        streams = isinstance(part, Stack) and model.on_stream(part)
        early = part.first if isinstance(part, Ends) else not seen
        seen = seen or streams
        here = share if streams else first if early else last
        if isinstance(part, Ends) and of_words(part):
            here = np.where(ranks.spreads, 1 / np.asarray(ranks.pipeline, float), here)
        parts.append(Standing(part, here * _layers(part), ranks))
    return parts


def of_words(part: Ends) -> bool:
    """Whether an end has a row per vocabulary entry: an embedding, or a head with its loss."""
    return part.split is Split.VOCABULARY or some(np.greater(part.vocabulary, 0))


def _layers(part: Stack | Ends) -> Array:
    return part.layers if isinstance(part, Stack) else 1.0
